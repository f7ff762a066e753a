//! Saving one session, and reading it again.

use tokio::sync::oneshot;

use super::{Live, Session, loaded};
use crate::commit::{Commit, CommitError};
use crate::data::SessionData;
use crate::error::Error;
use crate::pending::{Pending as _, State};
use crate::request::slots::Home;
use crate::store::change::{InFlight, Outcome, Unsettled};
use crate::telemetry::labels::Operation;
use crate::telemetry::span::observe;
use crate::transport::Delivery;

impl<T: SessionData> Session<T> {
    /// Saves the session now, in a handler, a stream or a task. Use it if the layer's commit comes
    /// too late, or if you need its error. If there is nothing to save, it makes no call except a
    /// touch that is due. Use [`reload`](Self::reload) to check whether the session is still live.
    ///
    /// Afterwards the handle holds the stored value, including concurrent changes of other
    /// requests. If a cookie is due, the response of the request carries it. Without a request, the
    /// next [`commit`](Self::commit) returns it.
    ///
    /// Each change is applied once, even if this method is called again after an error or after its
    /// future was dropped, or if the layer retries.
    ///
    /// In a HEAD request and in a prefetch it saves nothing and returns `Ok`, because such requests
    /// must not change anything.
    ///
    /// # Errors
    /// The errors of [`commit`](Self::commit). [`Error::Misuse`] if the session needs a new cookie
    /// but its response has already been sent.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// visitor.save().await?;
    /// visitor.visits = 2;
    /// visitor.save().await?;
    /// assert!(!visitor.is_new());
    /// # Ok(()) }
    /// ```
    pub async fn save(&mut self) -> Result<(), Error> {
        match self.commit_now().await {
            Ok((_, delivery)) => {
                self.owe(delivery);
                Ok(())
            }
            Err((error, delivery)) => {
                self.owe(delivery);
                Err(error)
            }
        }
    }

    /// Saves the changes, and returns the cookie that the response must carry. Use it in code
    /// without a framework's layer.
    ///
    /// # Errors
    /// - [`Error::Gone`] if the session has ended, or another request renewed it.
    /// - [`Error::Conflict`] if another request changed the same field and its policy refuses to
    ///   choose.
    /// - [`Error::LoginUndone`] if the owner, or everybody, was logged out everywhere in the meantime.
    /// - [`Error::Unavailable`] if the provider is down.
    /// - [`Error::Encode`] if a field cannot be encoded.
    ///
    /// After an error the handle keeps its changes, and a second call applies no change twice. The
    /// response must carry the error's [`set_cookie`](CommitError::set_cookie).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// let store = Store::new(MemoryProvider::new());
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.visits = 1;
    /// let commit = visitor.commit().await?;
    /// let mut response = http::HeaderMap::new();
    /// response.extend(commit.set_cookie().map(|it| (http::header::SET_COOKIE, it.clone())));
    /// # Ok(()) }
    /// ```
    pub async fn commit(&mut self) -> Result<Commit, CommitError> {
        let owed = self.live_mut().state.owed.take();
        let result = self.commit_now().await;
        let headers = |delivery: Option<Delivery>| {
            let delivery = delivery.or(owed);
            delivery.map(|it| self.state().session_type.headers(it)).unwrap_or_default()
        };
        match result {
            Ok((outcome, delivery)) => Ok(Commit::new(outcome, headers(delivery))),
            Err((error, delivery)) => Err(CommitError { error, headers: headers(delivery) }),
        }
    }

    /// Loads the stored session again, and discards unsaved changes.
    ///
    /// # Errors
    /// [`Error::Gone`] if the session has ended, or another request renewed it. The value is then
    /// that of a new session. Otherwise the errors of [`Store::load`](crate::Store::load).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// visitor.save().await?;
    /// visitor.visits = 100;
    /// visitor.reload().await?;
    /// assert_eq!(visitor.visits, 1);
    /// # Ok(()) }
    /// ```
    pub async fn reload(&mut self) -> Result<(), Error> {
        let State { core, session_type, base, unsettled, .. } = &mut self.live_mut().state;
        let (core, session_type) = (core.clone(), session_type.clone());
        let work = core.reload(&session_type, base.clone(), unsettled);
        let tallies = Some(&session_type.tallies);
        let (base, cookie) =
            observe(Operation::Load, session_type.name(), tallies, work, |(base, _)| loaded(base))
                .await?;
        let now = core.now();
        let live = self.live_mut();
        let was_live = live.state.base.key().is_some();
        let mut state = State::new(core, session_type.clone(), base, now);
        state.epoch = live.state.epoch;
        (state.arrival, state.ended_by) = (live.state.arrival, live.state.ended_by);
        state.asks.skip_touch = live.state.asks.skip_touch;
        state.asks.device = live.state.asks.device.take();
        state.owed = live.state.owed.take();
        state.secrets = std::mem::take(&mut live.state.secrets);
        let fresh = Live::<T>::new(state)?;
        let is_gone = was_live && fresh.state.base.summary().is_none();
        *live = *fresh;
        if let Some(home) = &self.home {
            home.reloaded(&self.live().state.base);
        }
        self.keep_token(cookie.as_ref());
        match &self.home {
            Some(home) if !home.is_closed() => home.owe(cookie),
            _ => self.owe(cookie),
        }
        if is_gone { Err(Error::Gone) } else { Ok(()) }
    }

    /// Keeps a token for the response, or for the next commit.
    fn owe(&mut self, delivery: Option<Delivery>) {
        if delivery.is_some() && self.home.as_ref().is_none_or(Home::is_closed) {
            self.live_mut().state.owed = delivery;
        }
    }

    /// Saves the changes, for [`commit`](Self::commit) and [`save`](Self::save).
    async fn commit_now(
        &mut self,
    ) -> Result<(Outcome, Option<Delivery>), (Error, Option<Delivery>)> {
        let live = self.live_mut();
        if !live.state.is_touched()
            && !live.state.core.is_due(
                &live.state.session_type,
                &live.state.base,
                live.state.asks.skip_touch,
                live.state.core.now(),
            )
        {
            return Ok((Outcome::Unchanged, None));
        }
        // A HEAD request or a prefetch runs the handler of a GET, but must not change anything.
        if self.home.as_ref().is_some_and(Home::is_dry) {
            return Ok((Outcome::Unchanged, None));
        }
        let mut change = self.live_mut().change().map_err(undelivered)?;
        if change.secrets.is_none() {
            change.secrets = self.home.as_ref().and_then(Home::known_secrets);
        }
        let core = self.live().state.core.clone();
        let begun = match &self.home {
            Some(home) => match home.begin_save(&core, &change) {
                Ok(begun) => begun,
                Err(error) => {
                    self.live_mut().state.unsettled = change.unsettled;
                    return Err(undelivered(error));
                }
            },
            None => None,
        };
        let state = &mut self.live_mut().state;
        let commits = core.commits().clone();
        let (sender, result) = oneshot::channel();
        // If the caller drops this future, the commit continues, and the next one waits for it.
        state.unsettled = Some(Unsettled::in_flight(InFlight {
            result,
            base: change.base.clone(),
            ancestor: change.ancestor.clone(),
            fields: change.fields.clone(),
            asks: change.asks.clone(),
        }));
        commits
            .track(async move {
                let committed = core.commit(change).await;
                if let Some(begun) = begun {
                    begun.end(&committed);
                }
                let _ = sender.send(committed);
            })
            .await;
        let live = self.live_mut();
        let unsettled = live.state.unsettled.take();
        let committed = unsettled.and_then(|mut unsettled| unsettled.take_result());
        match committed {
            Some(Ok(committed)) => {
                let done = committed.settle().map_err(undelivered)?;
                let (outcome, delivery) = (done.outcome, done.delivery.clone());
                self.keep_token(delivery.as_ref());
                if let Some(home) = &self.home {
                    home.saved(&done);
                }
                self.live_mut().settle(done).map_err(undelivered)?;
                Ok((outcome, delivery))
            }
            Some(Err(mut failed)) => {
                let delivery = failed.delivery.take();
                let error = live.fail(*failed);
                self.keep_token(delivery.as_ref());
                if let Some(home) = &self.home {
                    home.failed(&self.live().state.base);
                }
                Err((error, delivery))
            }
            // Unreachable: the task sends its result before it ends.
            None => Err(undelivered(Error::unavailable("a commit ended without a result"))),
        }
    }
}

/// An error of a commit that has no token for the client.
fn undelivered(error: Error) -> (Error, Option<Delivery>) {
    (error, None)
}
