//! Ending everybody's sessions, and what has ended so: its records are as good as gone.

use std::time::SystemTime;

use super::Store;
use super::base::Loaded;
use super::core::Core;
use super::fence::FENCE_FORMAT;
use crate::error::Error;
use crate::provider::Record;
use crate::schema::header::Summary;
use crate::schema::stored::Stored;

impl Store {
    /// Ends every session of the app, of all session types and all owners, anonymous ones too: after
    /// a break-in, or for a change after which nobody may stay logged in. The keys stay, so
    /// [sealed links](crate::codec::Codec) stay valid. It costs two calls of the provider, however
    /// many sessions there are.
    ///
    /// This host refuses the sessions at once, and every other host within ten minutes: hosts read
    /// what has ended every 5 minutes, together with the key ring. A host that cannot reach the
    /// provider accepts the sessions until it can. An ended session reads as
    /// [`Arrival::Ended`](crate::Arrival::Ended). Its record stays in the database until it
    /// expires, but no call returns it, except that `export_owner` shows it as ended.
    ///
    /// A login that is under way is undone, with [`Error::LoginUndone`], if it began before its host
    /// knew of this call. A host that does not know of it yet completes the login, and the session
    /// ends as soon as that host knows. In a client-side store, the cookies are refused.
    ///
    /// Every host must run a build that has this method: older builds accept ended sessions.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Provider`] if the provider fails. The sessions may or may
    /// not have ended then: call it again.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.user = Some(7);
    /// let _ = visitor.commit().await?;
    ///
    /// store.end_all().await?;
    /// assert!(store.list::<Visitor>(7, Page::first(20)).await?.items.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn end_all(&self) -> Result<(), Error> {
        self.core.end_everybodys().await
    }

    /// Ends every session of the app that was created, or whose owner logged in, before `time`. In
    /// everything else it is as [`end_all`](Self::end_all).
    ///
    /// Hosts stamp sessions with their own clocks, which may differ by ten minutes. So that no older
    /// session stays, this ends those with a stamp up to ten minutes after `time`: of the sessions
    /// that exist now, those that began up to twenty minutes after `time` may end too. A session
    /// that begins once its host knows of this call stays. An earlier `time` than that of an earlier
    /// call brings nothing back.
    ///
    /// # Errors
    /// The errors of [`end_all`](Self::end_all). [`Error::Misuse`] for a time that is more than ten
    /// minutes ahead of this host's clock.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = sessions::Store::new(sessions::MemoryProvider::new());
    /// // The attacker was locked out two hours ago.
    /// let locked_out = store.now() - Duration::from_secs(2 * 60 * 60);
    /// store.end_all_before(locked_out).await?;
    /// # Ok(()) }
    /// ```
    pub async fn end_all_before(&self, time: SystemTime) -> Result<(), Error> {
        self.core.end_everybodys_before(time).await
    }
}

impl Core {
    /// See [`Store::end_all`](crate::Store::end_all).
    pub(crate) async fn end_everybodys(&self) -> Result<(), Error> {
        let ended = self.epochs.end_all().await;
        self.watches.queue_all();
        ended
    }

    /// See [`Store::end_all_before`](crate::Store::end_all_before).
    pub(crate) async fn end_everybodys_before(&self, time: SystemTime) -> Result<(), Error> {
        let ended = self.epochs.end_before(time).await;
        self.watches.queue_all();
        ended
    }

    /// Whether a session was ended after it was loaded.
    pub(super) fn has_ended(&self, loaded: &Loaded) -> bool {
        self.is_over(&loaded.stored.summary)
    }

    /// Whether the session of this header has ended together with everybody's.
    pub(super) fn is_over(&self, summary: &Summary) -> bool {
        self.epochs.has_ended(summary.epoch, summary.created_at)
    }

    /// Whether a record holds a session that has ended together with everybody's. One that cannot
    /// be read has not: nobody knows its number.
    pub(super) fn is_ended_record(&self, record: &Record) -> bool {
        // An app that never calls `end_all` parses nothing here.
        self.epochs.is_used()
            && *record.format != *FENCE_FORMAT
            && Stored::parse("", &record.data).is_ok_and(|stored| self.is_over(&stored.summary))
    }

    /// Returns the record unless its session has ended together with everybody's.
    pub(super) fn unless_ended(&self, record: Option<Record>) -> Option<Record> {
        record.filter(|record| !self.is_ended_record(record))
    }
}
