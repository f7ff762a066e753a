//! A session that waits for its commit, without its type.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use http::HeaderValue;

use crate::error::Error;
use crate::schema::fields::Fields;
use crate::store::base::{Arrival, Base};
use crate::store::change::{Change, Unsettled};
use crate::store::core::Core;
use crate::store::ended_by::EndedBy;
use crate::store::patch::Asks;
use crate::store::session_type::SessionType;
use crate::store::watches::OwnSecrets;
use crate::transport::Delivery;

/// A handle's state, without its value.
pub(crate) struct State {
    pub(crate) core: Arc<Core>,
    pub(crate) session_type: Arc<SessionType>,
    pub(crate) base: Base,
    /// The fields that the value came from, if they are not those of the base's record.
    pub(crate) ancestor: Option<Fields>,
    pub(crate) loaded_at: SystemTime,
    /// What the request came with.
    pub(crate) arrival: Arrival,
    /// What ended that, if this host knows.
    pub(crate) ended_by: Option<EndedBy>,
    /// The number of times that the request had destroyed its session when the handle was loaded.
    pub(crate) epoch: u32,
    /// Whether the value was borrowed mutably and may have changed.
    pub(crate) borrowed: bool,
    pub(crate) asks: Asks,
    /// The earlier commits with unknown results.
    pub(crate) unsettled: Option<Box<Unsettled>>,
    /// The newest token of the handle's commits, if the client carries it in a header.
    pub(crate) token: Option<HeaderValue>,
    /// A token that no response carries yet.
    pub(crate) owed: Option<Delivery>,
    /// The secrets of the handle, once somebody waits for its end.
    pub(crate) secrets: OnceLock<Arc<OwnSecrets>>,
}

impl State {
    pub(crate) fn new(
        core: Arc<Core>,
        session_type: Arc<SessionType>,
        base: Base,
        loaded_at: SystemTime,
    ) -> Self {
        Self {
            core,
            session_type,
            arrival: base.arrival(),
            ended_by: base.ended_by(),
            base,
            ancestor: None,
            loaded_at,
            epoch: 0,
            borrowed: false,
            asks: Asks::default(),
            unsettled: None,
            token: None,
            owed: None,
            secrets: OnceLock::new(),
        }
    }

    /// Whether a commit may have anything to do.
    pub(crate) fn is_touched(&self) -> bool {
        self.borrowed
            || !self.asks.is_empty()
            || self.unsettled.is_some()
            || self.ancestor.is_some()
    }

    /// Whether the commit must first find out how earlier commits ended.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.unsettled.is_some() || self.ancestor.is_some()
    }
}

/// A session that waits for its commit, without its type.
pub(crate) trait Pending: Send {
    fn state(&self) -> &State;
    /// Returns the change that a commit applies. Encodes the value if it may have changed, and
    /// moves the unsettled commits into the change.
    fn change(&mut self) -> Result<Change, Error>;
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}
