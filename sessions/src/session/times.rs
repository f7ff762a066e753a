//! The times of one session in place of its type's, and requests that are no activity.

use std::time::Duration;

use super::Session;
use crate::data::SessionData;
use crate::pending::State;
use crate::schema::header::OwnTimes;
use crate::store::patch::AskedTimes;

impl<T: SessionData> Session<T> {
    /// Keeps this session for `time` ("remember me"), counted from when it was created or its owner
    /// logged in, even if it is not used. The browser keeps its cookie when it closes.
    ///
    /// The store grants at most its [`longest_remember`](crate::StoreBuilder::longest_remember). A
    /// time shorter than the store's own makes the session end earlier. The setting is kept only if
    /// the session stores something.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// use std::time::Duration;
    ///
    /// visitor.user = Some(7);
    /// visitor.remember(Duration::from_secs(60 * 24 * 60 * 60));
    /// let commit = visitor.commit().await?;
    /// let cookie = commit.set_cookie().expect("a login sets one").to_str().expect("it is ASCII");
    /// assert!(cookie.ends_with("Max-Age=5184000"));
    /// # Ok(()) }
    /// ```
    pub fn remember(&mut self, time: Duration) {
        let time = Some(self.grant(time));
        self.ask_times(AskedTimes {
            idle: time,
            lifetime: time,
            persistent: true,
            ..AskedTimes::default()
        });
    }

    /// Keeps this session for as long as the visitor comes back within `time`, without an end. The
    /// browser keeps its cookie when it closes.
    ///
    /// The limits are those of [`remember`](Self::remember). A browser drops a cookie after 400
    /// days; each touch sets it again. In a store that
    /// [encrypts its records](crate::StoreBuilder::encrypt_records) the session ends after
    /// [`longest_remember`](crate::StoreBuilder::longest_remember) all the same, because its record's
    /// key does.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { clock, mut visitor, .. } = example().await?;
    /// use std::time::Duration;
    ///
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    /// visitor.user = Some(7);
    /// visitor.remember_while_used(90 * DAY);
    /// let _ = visitor.commit().await?;
    /// // 90 days, and the touch interval.
    /// assert!(visitor.expires_at() > Some(clock.now() + 90 * DAY));
    /// # Ok(()) }
    /// ```
    pub fn remember_while_used(&mut self, time: Duration) {
        let idle = Some(self.grant(time));
        let State { core, session_type, .. } = self.state();
        // A touch does not encrypt a record anew, so without an end it would outlive its key.
        let lifetime =
            if core.encrypts_records() { session_type.longest_remember } else { OwnTimes::NEVER };
        self.ask_times(AskedTimes {
            idle,
            lifetime: Some(lifetime),
            persistent: true,
            ..AskedTimes::default()
        });
    }

    /// Takes back [`remember`](Self::remember) and the session's other times of its own: those of
    /// its type apply again, and the browser gets its cookie again.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { clock, mut visitor, .. } = example().await?;
    /// use std::time::Duration;
    ///
    /// visitor.user = Some(7);
    /// visitor.remember(Duration::from_secs(60 * 24 * 60 * 60));
    /// let _ = visitor.commit().await?;
    /// visitor.forget();
    /// let _ = visitor.commit().await?;
    /// // Seven days and an hour, with the default settings.
    /// assert_eq!(visitor.expires_at(), Some(clock.now() + Duration::from_secs(169 * 60 * 60)));
    /// # Ok(()) }
    /// ```
    pub fn forget(&mut self) {
        self.ask_times(AskedTimes { forget: true, ..AskedTimes::default() });
    }

    /// Sets this session's own idle timeout, in place of its type's. It goes on while it is used,
    /// up to its lifetime. The next login of another owner drops it.
    ///
    /// The minimum is one second. The store grants at most its
    /// [`longest_remember`](crate::StoreBuilder::longest_remember). The setting is kept only if the
    /// session stores something.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { clock, mut visitor, .. } = example().await?;
    /// use std::time::Duration;
    ///
    /// const MINUTE: Duration = Duration::from_secs(60);
    /// visitor.user = Some(7);
    /// visitor.set_idle_timeout(20 * MINUTE);
    /// let _ = visitor.commit().await?;
    /// // And a tenth of it, the touch interval.
    /// assert_eq!(visitor.expires_at(), Some(clock.now() + 22 * MINUTE));
    /// # Ok(()) }
    /// ```
    pub fn set_idle_timeout(&mut self, time: Duration) {
        let idle = Some(self.grant(time));
        self.ask_times(AskedTimes { idle, ..AskedTimes::default() });
    }

    /// Sets this session's own lifetime, in place of its type's, counted from when it was created
    /// or its owner logged in. The limits are those of
    /// [`set_idle_timeout`](Self::set_idle_timeout).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { clock, mut visitor, .. } = example().await?;
    /// use std::time::Duration;
    ///
    /// const HOUR: Duration = Duration::from_secs(60 * 60);
    /// visitor.user = Some(7);
    /// visitor.set_lifetime(8 * HOUR);
    /// let _ = visitor.commit().await?;
    /// assert_eq!(visitor.expires_at(), Some(clock.now() + 8 * HOUR));
    /// # Ok(()) }
    /// ```
    pub fn set_lifetime(&mut self, time: Duration) {
        let lifetime = Some(self.grant(time));
        self.ask_times(AskedTimes { lifetime, ..AskedTimes::default() });
    }

    /// Marks this request as no activity of the visitor, such as polling or the countdown to the
    /// end of the session: reading does not move the expiry. A request that saves a change still
    /// moves it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// use std::time::{Duration, SystemTime};
    ///
    /// /// How long the session lives if its visitor does nothing. The page polls it.
    /// fn seconds_left(mut visitor: Session<Visitor>, now: SystemTime) -> u64 {
    ///     visitor.skip_touch();
    ///     let left = visitor.expires_at().and_then(|end| end.duration_since(now).ok());
    ///     left.unwrap_or_default().as_secs()
    /// }
    /// # fn main() { let _ = (seconds_left, example); }
    /// ```
    pub fn skip_touch(&mut self) {
        if let Some(home) = &self.home {
            home.skip_touch();
        }
        self.live_mut().state.asks.skip_touch = true;
    }

    /// Caps a time of the session's own.
    fn grant(&self, time: Duration) -> Duration {
        let session_type = &self.state().session_type;
        let granted = time.min(session_type.longest_remember);
        if granted < time {
            let (name, events) = (session_type.name(), &session_type.events);
            events.remember_capped(name, time.as_secs(), granted.as_secs());
        }
        // A record holds whole milliseconds.
        let millis = u64::try_from(granted.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(millis).max(Duration::from_secs(1))
    }

    fn ask_times(&mut self, times: AskedTimes) {
        self.ask(|asks| {
            let earlier = asks.times.as_deref().copied().unwrap_or_default();
            asks.times = Some(Box::new(earlier.and(times)));
        });
    }
}
