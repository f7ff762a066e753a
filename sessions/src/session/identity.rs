//! How the owner of one session proved who they are, and for whom they act.

use std::sync::Arc;
use std::time::Duration;

use super::Session;
use crate::authentication::{Authentication, Proof};
use crate::clock::is_within;
use crate::data::{AsOwner, SessionData};
use crate::error::Error;
use crate::return_path::is_local;
use crate::schema::header::Header;
use crate::store::patch::AskedIdentity;

impl<T: SessionData> Session<T> {
    /// Records that the owner has just proved who they are: at a login, or again before something
    /// that matters ("step-up"). The commit renews the session, so the token from before is dead.
    ///
    /// A login may do without: assigning the owner, or [`log_in`](Self::log_in), counts as a proof
    /// of level 1. Only a visitor's own request can record a proof, not
    /// [`Store::update`](crate::Store::update), and a proof never outlives its owner. As for a login,
    /// a [`revoke_all`](crate::Store::revoke_all) during the request ends the session.
    ///
    /// The commit fails with [`Error::Misuse`] if nobody owns the session, and with
    /// [`Error::Encode`] if a text of the proof is too long.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { clock, mut visitor, .. } = example().await?;
    /// use sessions::Proof;
    /// use std::time::Duration;
    ///
    /// const MINUTE: Duration = Duration::from_secs(60);
    /// visitor.user = Some(7);
    /// let _ = visitor.commit().await?;
    /// clock.advance(60 * MINUTE);
    /// assert!(!visitor.authenticated_within(5 * MINUTE));
    ///
    /// // The visitor typed their password again.
    /// visitor.authenticated(Proof::new("pwd"));
    /// let _ = visitor.commit().await?;
    /// assert!(visitor.authenticated_within(5 * MINUTE));
    /// # Ok(()) }
    /// ```
    pub fn authenticated(&mut self, proof: Proof) {
        self.ask_identity(|identity| identity.proof = Some(proof));
    }

    /// Returns when and how the owner last proved who they are. It is `None` if nobody owns the
    /// stored session.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { clock, mut visitor, .. } = example().await?;
    /// use sessions::Proof;
    ///
    /// visitor.user = Some(7);
    /// visitor.authenticated(Proof::new("mfa").level(2));
    /// let _ = visitor.commit().await?;
    /// let authentication = visitor.authentication().expect("a login");
    /// assert_eq!((authentication.level, authentication.at), (2, clock.now()));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn authentication(&self) -> Option<Authentication> {
        self.state().base.owner()?;
        let header = self.header()?;
        let since = header.summary.created_at;
        Some(header.authentication.map_or_else(|| Authentication::plain(since), |it| *it))
    }

    /// Returns whether the owner proved who they are at most `time` ago. It is `false` if nobody
    /// owns the stored session, or if it is locked. "Remember me" is no proof.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// use std::time::Duration;
    ///
    /// const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);
    /// assert!(!visitor.authenticated_within(FIVE_MINUTES));
    /// visitor.user = Some(7);
    /// let _ = visitor.commit().await?;
    /// assert!(visitor.authenticated_within(FIVE_MINUTES));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn authenticated_within(&self, time: Duration) -> bool {
        let now = self.state().core.now();
        if self.is_locked() {
            return false;
        }
        self.authentication().is_some_and(|it| is_within(it.at, time, now))
    }

    /// Fails unless the owner proved who they are at most `time` ago. `return_to` is the path that
    /// the visitor comes back to afterwards, if there is one; the error has it, sealed. The
    /// frameworks' `Authenticated` extractors call this.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] if the proof is too old, or there is none. The errors of
    /// [`Store::seal_return_path`](crate::Store::seal_return_path), except for a path that is not
    /// local: that is left out.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, visitor, .. } = example().await?;
    /// use std::time::Duration;
    ///
    /// let error = visitor
    ///     .require_authentication(Duration::from_secs(300), Some("/account?tab=keys"))
    ///     .await
    ///     .expect_err("nobody is logged in");
    /// // Redirect to "/login?next=...", and after the login to where they wanted to go.
    /// let next = error.return_path().expect("a local path");
    /// assert_eq!(store.open_return_path(next).await?, "/account?tab=keys");
    /// # Ok(()) }
    /// ```
    // Not an async function, because its future would borrow the session, and `T` need not be `Sync`.
    pub fn require_authentication(
        &self,
        time: Duration,
        return_to: Option<&str>,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<T> {
        let is = self.authenticated_within(time);
        let return_to = return_to.filter(|path| !is && is_local(path)).map(str::to_owned);
        let core = self.state().core.clone();
        async move {
            if is {
                return Ok(());
            }
            let return_path = match return_to {
                Some(path) => Some(core.seal_return_path(&path).await?),
                None => None,
            };
            Err(Error::NotAuthenticated { return_path })
        }
    }

    /// Returns whether the stored session is bound to a device: its browser has registered a key, and
    /// [`DeviceBinding::enforce`](crate::DeviceBinding::enforce) makes a stolen cookie useless.
    /// Without the feature `dbsc` it is `false`, except for sessions that another build has bound.
    ///
    /// An app may ask more of a session that is not bound, such as a new proof before a payment. Most
    /// browsers bind none yet, so do not lock them out.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.user = Some(7);
    /// let _ = visitor.commit().await?;
    /// assert!(!visitor.device_bound(), "no browser has registered a key");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn device_bound(&self) -> bool {
        self.state().base.summary().is_some_and(|summary| summary.is_bound)
    }

    /// Begins to act as somebody else ("log in as"), for support staff. The session's owner stays
    /// who they are: the session is in their list, counts for their limit, and ends with their
    /// [`revoke_all`](crate::Store::revoke_all). The list of the other person does not show it.
    /// [`acting_as`](Self::acting_as) says for whom they act; the handlers decide what that means.
    ///
    /// It renews the session. [`act_as_oneself`](Self::act_as_oneself) goes back, without a login. A
    /// login, and another owner, end it too. Builds that do not know of it cannot read such a
    /// session, so they never take the one person for the other. Log who acts as whom.
    ///
    /// The commit fails with [`Error::Misuse`] if nobody owns the session.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.user = Some(7);
    /// let _ = visitor.commit().await?;
    ///
    /// visitor.act_as(8);
    /// let _ = visitor.commit().await?;
    /// assert_eq!((visitor.owner(), visitor.acting_as().as_deref()), (Some("7"), Some("8")));
    ///
    /// visitor.act_as_oneself();
    /// let _ = visitor.commit().await?;
    /// assert_eq!(visitor.acting_as(), None);
    /// # Ok(()) }
    /// ```
    #[allow(clippy::needless_pass_by_value)] // As the store's methods take an owner.
    pub fn act_as(&mut self, whom: impl AsOwner<T::Owner>) {
        let whom = Some(whom.name().into());
        self.act(whom);
    }

    /// Ends what [`act_as`](Self::act_as) began, and renews the session. It renews also if the owner
    /// acts for nobody: ask [`acting_as`](Self::acting_as) first.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.user = Some(7);
    /// visitor.act_as(8);
    /// let _ = visitor.commit().await?;
    /// visitor.act_as_oneself();
    /// let _ = visitor.commit().await?;
    /// assert_eq!(visitor.acting_as(), None);
    /// # Ok(()) }
    /// ```
    pub fn act_as_oneself(&mut self) {
        self.act(None);
    }

    /// Returns for whom the owner acts, as the owner field displays it. It is `None` if they act for
    /// themselves.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { visitor, .. } = example().await?;
    /// assert_eq!(visitor.acting_as(), None);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn acting_as(&self) -> Option<Arc<str>> {
        self.header()?.acting_as
    }

    fn act(&mut self, whom: Option<Arc<str>>) {
        self.ask_identity(|identity| identity.acting_as = Some(whom));
        self.renew();
    }

    fn ask_identity(&mut self, ask: impl FnOnce(&mut AskedIdentity)) {
        self.ask(|asks| ask(asks.identity.get_or_insert_default()));
    }

    /// What is stored of the session besides its fields.
    fn header(&self) -> Option<Header> {
        self.state().base.stored()?.header().ok()
    }
}
