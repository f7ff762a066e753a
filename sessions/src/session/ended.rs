//! Waiting for the end of a session.

use std::sync::Arc;

use super::Session;
use crate::data::SessionData;
use crate::store::base::{Arrival, Base};
use crate::store::watch::Watch;
use crate::store::watches::SessionEnd;

impl<T: SessionData> Session<T> {
    /// Returns a future that resolves when the session ends: for a WebSocket or an event stream that
    /// must close then. See [`Watch`] for how soon that is.
    ///
    /// The future belongs to what this handle may do: it also resolves when another request gives
    /// the session another secret, and not when this handle does. It outlives the handle.
    ///
    /// Without a live session it has resolved already: call [`save`](Self::save) first in a handler
    /// that begins one. A [client-side](crate::StoreBuilder::client_side) session has no record, so
    /// nobody knows of its end: the future resolves when its cookie expires, and after that time
    /// passed on this host's clock only.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// use sessions::{EndedBy, SessionEnd};
    ///
    /// visitor.visits = 1;
    /// visitor.save().await?;
    /// let ended = visitor.ended();
    ///
    /// visitor.destroy();
    /// visitor.save().await?;
    /// let end = ended.await;
    /// assert_eq!(end, SessionEnd::Ended { by: Some(EndedBy::Logout) });
    /// # Ok(()) }
    /// ```
    pub fn ended(&self) -> Watch {
        let state = self.state();
        let loaded = match &state.base {
            Base::Live(loaded) => loaded,
            Base::Sealed(sealed) => return state.core.watch_expiry(sealed.expires_at),
            Base::Superseded(_) => return state.core.watch_of_none(SessionEnd::Superseded),
            Base::Absent { arrival: Arrival::Superseded, .. } => {
                return state.core.watch_of_none(SessionEnd::Superseded);
            }
            Base::Absent { .. } | Base::Unreadable(_) | Base::Unproven(_) | Base::Ended(..) => {
                let by = state.ended_by;
                return state.core.watch_of_none(SessionEnd::Ended { by });
            }
        };
        let secrets = state.secrets.get_or_init(|| match &self.home {
            // Shared with the request's other handles: their renewals are no other request's.
            Some(home) => home.own_secrets(),
            None => Arc::default(),
        });
        if let Some(bearer) = &loaded.bearer {
            secrets.add(state.session_type.hash(&bearer.secret));
            if let Some(spare) = &bearer.spare {
                secrets.add(state.session_type.hash(spare));
            }
        }
        // While the outcome of a save is unknown, nobody can tell which secret is this handle's.
        let is_known = loaded.bearer.is_some() && state.unsettled.is_none();
        let secrets = is_known.then(|| secrets.clone());
        state.core.watch(loaded.key.clone(), secrets, loaded.version, loaded.expires_at)
    }
}
