//! How the token of one session travels.

use super::Session;
use crate::data::SessionData;
use crate::error::Error;
use crate::transport::{Carrier, Delivery, PREFIX, Transport};

impl<T: SessionData> Session<T> {
    /// Returns how this client carries its token: [`Transport::Cookie`] or [`Transport::Header`].
    /// For a new session it is how the client would get one.
    ///
    /// No other site can make a browser send the header, so a check against cross-site request
    /// forgery may pass a request whose session has [`Transport::Header`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { visitor, .. } = example().await?;
    /// use sessions::Transport;
    ///
    /// let needs_csrf_token = visitor.transport() == Transport::Cookie;
    /// assert!(needs_csrf_token);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self.state().asks.header {
            true => Transport::Header,
            false => self.state().base.carrier().transport(),
        }
    }

    /// Gives the client of a new session its token in the response header, not in a cookie. Call it
    /// in a login that is made for clients without cookies, if the session type's transport is
    /// [`Transport::Either`].
    ///
    /// Do not decide by what a request says alone: a script in a page could then ask the page's own
    /// login for a token, which `HttpOnly` hides from it. A path of its own is a good sign.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the session type's transport is [`Transport::Cookie`], or if the session
    /// is live and its client has a cookie. Such a client drops its cookie first.
    ///
    /// ```
    /// use sessions::{Error, MemoryProvider, Session, Store, Transport};
    ///
    /// #[derive(Session)]
    /// #[session(name = "visitor", version = 1)]
    /// struct Visitor {
    ///     #[session(owner)]
    ///     user: Option<u64>,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// let store = Store::builder(MemoryProvider::new()).transport(Transport::Either).build()?;
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.user = Some(7);
    /// visitor.use_header()?;
    /// let commit = visitor.commit().await?;
    /// assert!(commit.set_cookie().is_none());
    /// let (name, token) = commit.headers().next().expect("a login has a token");
    /// assert_eq!(name, "session-token");
    /// assert!(token.as_bytes().starts_with(b"sess_"));
    /// # Ok(()) }
    /// ```
    pub fn use_header(&mut self) -> Result<(), Error> {
        if self.state().session_type.transport == Transport::Cookie {
            return Err(Error::misuse(
                "the sessions of this type have cookies; build the store with \
                 transport(Transport::Either)",
            ));
        }
        match self.state().base.carrier() {
            Carrier::Header => Ok(()),
            Carrier::Cookie(_) | Carrier::OtherCookie(_) if !self.is_new() => Err(Error::misuse(
                "this client has its session in a cookie, and keeps it there; have it send no cookie \
                 to log in with a token",
            )),
            _ => {
                self.ask(|asks| asks.header = true);
                Ok(())
            }
        }
    }

    /// Returns the newest token that a [`save`](Self::save) or [`commit`](Self::commit) of this
    /// handle gave the client, for the body of a response. It is `None` if none gave it one, and
    /// always `None` for a session in a cookie. The response header carries it too.
    ///
    /// ```
    /// use sessions::{Error, MemoryProvider, Session, Store, Transport};
    ///
    /// #[derive(Session)]
    /// #[session(name = "visitor", version = 1)]
    /// struct Visitor {
    ///     #[session(owner)]
    ///     user: Option<u64>,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// let store = Store::builder(MemoryProvider::new()).transport(Transport::Header).build()?;
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.user = Some(7);
    /// visitor.save().await?;
    /// assert!(visitor.token().is_some_and(|token| token.starts_with("sess_")));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        let text = self.state().token.as_ref()?.to_str().ok()?;
        text.starts_with(PREFIX).then_some(text)
    }

    pub(super) fn keep_token(&mut self, delivery: Option<&Delivery>) {
        let delivery = delivery.filter(|delivery| delivery.transport == Transport::Header);
        if let Some(delivery) = delivery {
            self.live_mut().state.token = Some(delivery.value.clone());
        }
    }
}
