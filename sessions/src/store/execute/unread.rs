//! Ending a session without reading it, and reading it once more.

use std::sync::Arc;

use super::Execution;
use crate::error::Error;
use crate::provider::Record;
use crate::schema::stored::Stored;
use crate::store::base::{Arrival, Base};
use crate::store::change::{Change, Committed, Failed, Outcome, Unsettled};
use crate::store::core::Core;
use crate::store::ended_by::EndedBy;
use crate::store::patch::Asks;
use crate::store::save::{EndOutcome, Patience};
use crate::store::session_type::SessionType;
use crate::telemetry::labels::Operation;
use crate::telemetry::span::observe;
use crate::transport::{Delivery, RequestHeaders};

impl Core {
    /// Ends what a request's cookies stand for. No field is decoded, so that logging out works
    /// whatever the record holds.
    pub(crate) async fn destroy_unread(
        self: &Arc<Self>,
        session_type: &Arc<SessionType>,
        cookies: &impl RequestHeaders,
    ) -> Result<Committed, Box<Failed>> {
        let work = async {
            let carrier = session_type.carrier(cookies);
            let base = Base::Absent { arrival: Arrival::New, carrier, by: None };
            let change = |base| Change {
                asks: Asks { destroy: true, ..Asks::default() },
                ..Change::of_nothing(session_type.clone(), base, self.now())
            };
            match self.find(session_type, cookies, self.now()).await {
                Ok(base) => Execution::new(self, change(base)).finish().await,
                Err(error) if error.is_unreadable() => {
                    Box::pin(self.destroy_unreadable(session_type, cookies))
                        .await
                        .map_err(|error| Box::new(Execution::new(self, change(base)).fail(error)))
                }
                Err(error) => Err(Box::new(Execution::new(self, change(base)).fail(error))),
            }
        };
        let name = session_type.name();
        observe(Operation::Destroy, name, None, work, Committed::report).await
    }

    /// Ends what a request's cookies name and this build cannot read. No secret can be compared
    /// there, so the id is enough: nobody's request reads that session.
    pub(super) async fn destroy_unreadable(
        &self,
        session_type: &SessionType,
        cookies: &impl RequestHeaders,
    ) -> Result<Committed, Error> {
        let is_unreadable = |record: &Record| {
            let stored = Stored::parse(session_type.name(), &record.data);
            stored.map_or(true, |stored| stored.summary.secret.is_none())
        };
        let mut patience = Patience::new();
        for key in self.named(session_type, cookies).await? {
            let Some(record) = self.fetch(key.as_str(), &mut patience).await? else { continue };
            if !is_unreadable(&record) {
                continue;
            }
            let (version, lost) = (record.version, &mut false);
            let _by = self.endings.begin(&key, EndedBy::Logout);
            let end = self.end(key.as_str(), version, &mut patience, lost, is_unreadable).await?;
            // Gone after a lost answer: this end took place.
            if matches!(end, EndOutcome::Ended(_)) || *lost && matches!(end, EndOutcome::Gone) {
                self.ended(session_type.name(), &key, EndedBy::Logout);
            }
        }
        let carrier = session_type.carrier(cookies);
        let delivery = Some(session_type.withdraw(carrier)?);
        let base = Base::Absent { arrival: Arrival::New, carrier, by: None };
        Ok(Committed::new(Outcome::Destroyed, base, delivery))
    }

    /// What is stored now of a handle's session, and the cookie of an earlier commit that turned
    /// out to have taken place.
    pub(crate) async fn reload(
        self: &Arc<Self>,
        session_type: &Arc<SessionType>,
        base: Base,
        unsettled: &mut Option<Box<Unsettled>>,
    ) -> Result<(Base, Option<Delivery>), Error> {
        let change = Change::of_nothing(session_type.clone(), base, self.now());
        let mut execution = Execution::new(self, change);
        if let Some(open) = unsettled.take()
            && let Err(error) = Box::pin(execution.settle(*open)).await
            && !execution.unknown
        {
            let failed = execution.fail(error);
            *unsettled = failed.unsettled;
            return Err(failed.error);
        }
        let now = self.now();
        let owed = execution.owed.take();
        let base = match execution.base.clone() {
            Base::Live(loaded) => match &loaded.bearer {
                Some(bearer) => self.fetch_base(session_type, bearer.clone(), now).await?,
                None => Base::Live(loaded),
            },
            Base::Superseded(superseded) => {
                self.fetch_base(session_type, superseded.bearer.clone(), now).await?
            }
            base => base,
        };
        Ok((base, owed))
    }
}
