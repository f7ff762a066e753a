//! A session that waits for its commit, without its type.

use std::any::Any;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;

use crate::error::Error;
use crate::schema::fields::Fields;
use crate::store::base::Base;
use crate::store::change::{Change, Unsettled};
use crate::store::core::Core;
use crate::store::patch::Asks;
use crate::store::session_type::SessionType;

/// What a handle knows besides its value.
pub(crate) struct State {
    pub(crate) core: Arc<Core>,
    pub(crate) session_type: Arc<SessionType>,
    pub(crate) base: Base,
    /// What the value came from, where that is not what the base's record holds.
    pub(crate) ancestor: Option<Fields>,
    pub(crate) loaded_at: SystemTime,
    /// How often the request's session had been destroyed when this was loaded.
    pub(crate) epoch: u32,
    /// Somebody could have changed the value.
    pub(crate) borrowed: bool,
    pub(crate) asks: Asks,
    /// What earlier commits left open.
    pub(crate) unsettled: Option<Box<Unsettled>>,
    /// A cookie that no response carries yet.
    pub(crate) owed: Option<HeaderValue>,
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
            base,
            ancestor: None,
            loaded_at,
            epoch: 0,
            borrowed: false,
            asks: Asks::default(),
            unsettled: None,
            owed: None,
        }
    }

    /// Whether a commit has anything to look at.
    pub(crate) fn is_touched(&self) -> bool {
        self.borrowed
            || !self.asks.is_empty()
            || self.unsettled.is_some()
            || self.ancestor.is_some()
    }

    /// Whether what earlier commits left open has to be found out first.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.unsettled.is_some() || self.ancestor.is_some()
    }
}

/// A session that waits for its commit, without its type.
pub(crate) trait Pending: Send {
    fn state(&self) -> &State;
    /// What it asks of the store; encodes the value if somebody could have changed it. What
    /// earlier commits left open goes along.
    fn change(&mut self) -> Result<Change, Error>;
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

