//! What earlier commits left open, found out before anything new is planned.

use std::sync::Arc;

use super::end::ended;
use super::{Execution, untold};
use crate::error::Error;
use crate::id::StoreKey;
use crate::provider::Record;
use crate::schema::stored::Stored;
use crate::store::base::{Base, Loaded};
use crate::store::change::{Outcome, Unsettled};
use crate::store::save::Patience;

impl Execution<'_> {
    /// Finds out what became of what earlier commits of the handle left open.
    pub(super) async fn settle(&mut self, unsettled: Unsettled) -> Result<(), Error> {
        let Unsettled { in_flight, sends, ending, unknown } = unsettled;
        (self.sends, self.ending, self.unknown) = (sends, ending, unknown);
        if let Some(flight) = in_flight {
            match flight.result.await {
                Ok(Ok(committed)) => {
                    let done = committed.settle()?;
                    self.asks = std::mem::take(&mut self.asks).without(&flight.asks);
                    self.owed = done.delivery;
                    if done.outcome == Outcome::Destroyed {
                        // What the handle holds is the destroyed session's.
                        (self.base, self.ancestor, self.fields) = (done.base, None, None);
                    } else {
                        self.took = done.outcome == Outcome::Saved;
                        self.ancestor = Some(match (flight.fields, flight.ancestor) {
                            (Some(sent), _) | (None, Some(sent)) => sent,
                            (None, None) => flight.base.fields(&self.session_type)?,
                        });
                        self.base = done.base;
                    }
                }
                Ok(Err(failed)) => {
                    (self.base, self.ancestor) = (failed.base, failed.ancestor);
                    self.recovery = failed.delivery;
                    if let Some(unsettled) = failed.unsettled {
                        (self.sends, self.ending) = (unsettled.sends, unsettled.ending);
                        self.unknown = unsettled.unknown;
                    }
                }
                Err(_) => self.unknown = true,
            }
        }
        if self.unknown {
            return Err(untold());
        }
        let mut patience = Patience::new();
        self.settle_creates(&mut patience).await?;
        self.settle_saves(&mut patience).await
    }

    /// Looks for the new sessions whose saves were not answered.
    pub(super) async fn settle_creates(&mut self, patience: &mut Patience) -> Result<(), Error> {
        while let Some(at) = self.sends.iter().rposition(|send| send.version == 0) {
            let Some(key) = self.sends[at].drawn.as_ref().map(|drawn| drawn.key.clone()) else {
                self.sends.remove(at);
                continue;
            };
            match self.look_for(&key, patience).await? {
                Some(record) => {
                    let stored = Stored::parse(self.name(), &record.data)?;
                    self.take_place(at, &record, &stored).await?;
                }
                None => {
                    self.sends.remove(at).settle();
                }
            }
        }
        Ok(())
    }

    /// Looks for the saves over a live record that were not answered.
    pub(super) async fn settle_saves(&mut self, patience: &mut Patience) -> Result<(), Error> {
        let (true, Base::Live(loaded)) = (!self.sends.is_empty(), self.base.clone()) else {
            return Ok(());
        };
        let Some(record) = self.core.fetch(loaded.key.as_str(), patience).await? else {
            self.sends.drain(..).for_each(|send| {
                send.settle();
            });
            self.base = ended(&loaded);
            return Ok(());
        };
        let stored = Stored::parse(self.name(), &record.data)?;
        let header = stored.header()?;
        if let Some(at) = self.sends.iter().rposition(|send| send.is_in(&header)) {
            return self.take_place(at, &record, &stored).await;
        }
        if self.sends.iter().any(|send| send.is_past(record.version)) {
            self.unknown = true;
            return Err(untold());
        }
        // None took place. One may still be on its way, as long as the record has its version: it
        // is looked for at each conflict.
        Ok(())
    }

    /// A send took place: what it saved is the base, what it owes is done.
    pub(super) async fn take_place(
        &mut self,
        at: usize,
        record: &Record,
        stored: &Stored,
    ) -> Result<(), Error> {
        let core = self.core;
        // Those before it are in it; those after it did not take place.
        let send = self.sends.remove(at);
        self.sends.drain(..).for_each(|send| {
            send.settle();
        });
        let (login, step_up) = (send.login.clone(), send.step_up.clone());
        let (mine, asks) = (send.mine.clone(), send.asks.clone());
        let key = record.id.parse::<StoreKey>()?;
        let had = match &self.base {
            Base::Live(loaded) => loaded.bearer.clone(),
            _ => None,
        };
        let drawn = send.drawn.as_ref().map(|drawn| drawn.bearer.clone());
        self.sends.push(send);
        if let Some(login) = login {
            let mut patience = Patience::persistent();
            self.admit(&login, &key, record, &mut patience).await?;
        } else if let Some(step_up) = step_up {
            self.admit_step_up(*step_up, &key, &mut Patience::persistent()).await?;
        }
        if let Some(bearer) = &drawn {
            let token = core.token(&self.session_type, bearer).await?;
            let (session_type, summary) = (&self.session_type, &stored.summary);
            self.owed = Some(core.deliver(session_type, bearer.carrier, &token, summary)?);
        }
        self.sends.drain(..).for_each(|send| {
            send.settle();
        });
        self.end_unreadable().await;
        let bearer = drawn.or(had);
        let loaded = Loaded::new(key, bearer, record.clone(), stored.clone());
        self.base = Base::Live(Arc::new(loaded));
        self.ancestor = Some(mine);
        self.asks = std::mem::take(&mut self.asks).without(&asks);
        (self.took, self.recovery) = (true, None);
        Ok(())
    }
}
