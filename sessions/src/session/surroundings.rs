//! From where one session is used, and whether it is locked.

use std::sync::Arc;

use super::Session;
use crate::data::SessionData;
use crate::device::{Device, Devices};

impl<T: SessionData> Session<T> {
    /// Notes from where this request came, for the list of the owner's devices. Returns whether that
    /// is another device or network than the one that the session was last seen from: the app decides
    /// what that means, for example [`lock`](Self::lock), [`destroy`](Self::destroy) or nothing.
    ///
    /// It is written when the session begins, at a login, and when something else is saved; otherwise
    /// at most once each touch interval, by a save in place of a touch. Call it in a middleware, so
    /// that each request counts.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// use sessions::Device;
    ///
    /// let home = Device::default().address("203.0.113.7".parse().expect("an address"));
    /// visitor.user = Some(7);
    /// visitor.seen_from(home);
    /// let _ = visitor.commit().await?;
    /// let listed = store.list::<Visitor>(7, Page::first(20)).await?.items;
    /// let devices = listed[0].devices.as_ref().expect("it was noted");
    /// assert_eq!(devices.first.network.as_deref(), Some("203.0.113.0/24"));
    ///
    /// let away = Device::default().address("198.51.100.7".parse().expect("an address"));
    /// if visitor.seen_from(away) {
    ///     visitor.lock();
    /// }
    /// # let _ = visitor.commit().await?;
    /// # assert!(visitor.is_locked());
    /// # Ok(()) }
    /// ```
    pub fn seen_from(&mut self, device: Device) -> bool {
        let is_new = self.devices().is_some_and(|devices| devices.last != device);
        let device = Arc::new(device);
        if let Some(home) = &self.home {
            home.seen_from(device.clone());
        }
        self.live_mut().state.asks.device = Some(device);
        is_new
    }

    /// Returns from where the stored session was used. It is `None` if nobody noted it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { visitor, .. } = example().await?;
    /// assert_eq!(visitor.devices(), None);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn devices(&self) -> Option<Devices> {
        Some(*self.state().base.stored()?.header().ok()?.devices?)
    }

    /// Locks the session at the next commit, until its owner proves again who they are: for a "lock"
    /// button, or when something is odd. What a locked session may do is for the handlers to decide;
    /// [`authenticated_within`](Self::authenticated_within) and the `Authenticated` extractors refuse
    /// it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// use sessions::Proof;
    ///
    /// visitor.user = Some(7);
    /// let _ = visitor.commit().await?;
    /// visitor.lock();
    /// let _ = visitor.commit().await?;
    /// assert!(visitor.is_locked());
    ///
    /// visitor.authenticated(Proof::new("pin"));
    /// let _ = visitor.commit().await?;
    /// assert!(!visitor.is_locked());
    /// # Ok(()) }
    /// ```
    pub fn lock(&mut self) {
        self.ask(|asks| asks.lock = true);
    }

    /// Returns whether the owner has to prove again who they are: after [`lock`](Self::lock), or
    /// because they did not use the session for the time that
    /// [`lock_after`](crate::SessionSettings::lock_after) sets. Requests to a locked session are no
    /// activity: it ends when its idle timeout is over.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { visitor, .. } = example().await?;
    /// assert!(!visitor.is_locked());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let state = self.state();
        let now = state.core.now();
        self.summary().is_some_and(|summary| {
            state.session_type.is_locked(summary, state.base.owner().is_some(), now)
        })
    }
}
