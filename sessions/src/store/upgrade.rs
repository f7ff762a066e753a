//! Saving old records again in the schema version that this build writes.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Store;
use super::core::Core;
use super::patch::{Asks, Patch};
use super::save::{Patience, SaveOutcome};
use super::session_type::SessionType;
use super::stats::session_format;
use crate::data::SessionData;
use crate::error::Error;
use crate::provider::{Expect, Page, Record};
use crate::schema::stored::Stored;

impl Store {
    /// Saves every stored session of this type in the schema version that this build writes, beside
    /// the traffic. Afterwards no older version is stored, so the struct may drop it: see
    /// [`Stats::oldest`](crate::Stats::oldest). Nothing else about a session changes, neither its
    /// expiry nor its cookie.
    ///
    /// Configure the returned [`Upgrade`], then call [`run`](Upgrade::run).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// visitor.save().await?;
    /// let upgraded = store.upgrade::<Visitor>().per_second(200).run().await?;
    /// assert_eq!((upgraded.read, upgraded.saved), (1, 0));
    /// # Ok(()) }
    /// ```
    pub fn upgrade<T: SessionData>(&self) -> Upgrade<'_, T> {
        Upgrade {
            core: &self.core,
            per_second: PER_SECOND,
            refile: false,
            progress: Box::new(|_| ()),
            of: PhantomData,
        }
    }
}

/// An upgrade of stored sessions, from [`Store::upgrade`].
///
/// It does nothing until [`run`](Self::run).
#[must_use = "an upgrade does nothing until `run`"]
pub struct Upgrade<'s, T> {
    core: &'s Arc<Core>,
    per_second: u32,
    refile: bool,
    progress: Box<dyn FnMut(&Upgraded) + Send + 's>,
    of: PhantomData<fn() -> T>,
}

/// What an [`Upgrade`] has done.
///
/// ```
/// assert_eq!(sessions::Upgraded::default().saved, 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upgraded {
    /// The sessions of the type that were read.
    pub read: u64,
    /// Those that were saved again.
    pub saved: u64,
    /// Those that this build cannot read, or cannot write again. They stay as they are.
    pub unreadable: u64,
    /// Those whose owner field is not the owner that they are filed under. They read as logged out,
    /// and stay so without [`refile_owners`](Upgrade::refile_owners).
    pub misfiled: u64,
}

impl<'s, T: SessionData> Upgrade<'s, T> {
    /// Sets how many sessions to save in a second at most. The default is 500; 0 counts as 1.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// let store = Store::new(MemoryProvider::new());
    /// let upgrade = store.upgrade::<Visitor>().per_second(50);
    /// # let _ = upgrade;
    /// ```
    pub fn per_second(mut self, most: u32) -> Self {
        self.per_second = most.max(1);
        self
    }

    /// Files sessions under the owner that their owner field names, where they are filed under
    /// another one or under none: after `#[session(owner)]` moved to another field, or after the
    /// owner's type displays itself otherwise than before. Such sessions read as logged out until
    /// then.
    ///
    /// It logs them in again. That includes a session which a
    /// [`revoke_all`](Store::revoke_all) since that change did not find, because it was filed under
    /// the old text. So run it in the deploy that makes the change, or not at all.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// let store = Store::new(MemoryProvider::new());
    /// let upgrade = store.upgrade::<Visitor>().refile_owners();
    /// # let _ = upgrade;
    /// ```
    pub fn refile_owners(mut self) -> Self {
        self.refile = true;
        self
    }

    /// Calls a function after each page of about 100 records.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// let store = Store::new(MemoryProvider::new());
    /// let upgrade = store.upgrade::<Visitor>().on_progress(|so_far| println!("{}", so_far.read));
    /// # let _ = upgrade;
    /// ```
    pub fn on_progress(mut self, hear: impl FnMut(&Upgraded) + Send + 's) -> Self {
        self.progress = Box::new(hear);
        self
    }

    /// Runs the upgrade and returns what it has done. Cancelling it stops it after the record at
    /// hand; a later run goes on, because it passes over what was upgraded. Any number of hosts may
    /// run it at once.
    ///
    /// A session that a request changes meanwhile keeps that change. A host that stores the version
    /// that it reads may save an old version again until the last host of the older build is gone: run
    /// it after that.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Provider`] if the provider fails, or does not scan.
    /// [`Error::Misuse`] for a client-side store.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let store = Store::new(MemoryProvider::new());
    /// assert_eq!(store.upgrade::<Visitor>().run().await?.read, 0);
    /// # Ok(()) }
    /// ```
    pub async fn run(mut self) -> Result<Upgraded, Error> {
        let session_type = self.core.session_type::<T>()?;
        let pause = Duration::from_secs(1) / self.per_second;
        let mut done = Upgraded::default();
        let mut due = Instant::now();
        let mut page = Page::first(UPGRADE_PAGE);
        loop {
            let listed = self.core.scan(page).await?;
            for record in listed.records {
                if session_format(&record).is_none_or(|(name, _)| name != session_type.name()) {
                    continue;
                }
                done.read += 1;
                match self.core.upgrade_record::<T>(&session_type, record, self.refile).await? {
                    Outcome::Saved => {
                        done.saved += 1;
                        // Not a burst after a slow page.
                        due = due.max(Instant::now()) + pause;
                        sleep_until(due).await;
                    }
                    Outcome::Unreadable => done.unreadable += 1,
                    Outcome::Misfiled => done.misfiled += 1,
                    Outcome::Current | Outcome::Gone => {}
                }
            }
            (self.progress)(&done);
            let Some(mark) = listed.next else { return Ok(done) };
            page = Page::after(mark, UPGRADE_PAGE);
        }
    }
}

impl<T> fmt::Debug for Upgrade<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("per_second", &self.per_second)
            .field("refile", &self.refile)
            .finish_non_exhaustive()
    }
}

enum Outcome {
    Saved,
    Current,
    Unreadable,
    Misfiled,
    Gone,
}

impl Core {
    /// Saves one record again, unless it is up to date.
    async fn upgrade_record<T: SessionData>(
        &self,
        session_type: &Arc<SessionType>,
        mut record: Record,
        refile: bool,
    ) -> Result<Outcome, Error> {
        let name = session_type.name();
        let (mut patience, mut lost) = (Patience::new(), false);
        loop {
            let Ok(stored) = Stored::parse(name, &record.data) else {
                return Ok(Outcome::Unreadable);
            };
            let Ok(value) = T::load(&stored) else { return Ok(Outcome::Unreadable) };
            let files = session_type.files(record.owner.as_deref(), &value);
            if !files && !refile {
                return Ok(Outcome::Misfiled);
            }
            // Never down: a newer build's record stays.
            let is_old = stored.summary.schema_version < T::SCHEMA.write;
            if files && !is_old {
                return Ok(Outcome::Current);
            }
            let owner: Option<Arc<str>> = if files {
                record.owner.clone()
            } else {
                value.owner().map(|owner| session_type.owner(&owner.to_string()).into())
            };
            let next = {
                let patch = Patch::new(
                    session_type.clone(),
                    stored.fields(session_type.table)?,
                    value.fields()?,
                    owner.as_ref(),
                    Asks { skip_touch: true, ..Asks::default() },
                    self.now(),
                )?;
                let draft = patch.over(&stored, owner.as_ref(), None)?;
                self.record(session_type, &record.id, record.version, &draft, patch.now)
            };
            // The new version can be larger than a record may be.
            let Ok(mut next) = next else { return Ok(Outcome::Unreadable) };
            next.expires_at = record.expires_at;
            let Record { version, expires_at, .. } = record;
            let expect = Expect::Untouched { version, expires_at };
            match self.save(&next, expect, false, self.now(), &mut patience, &mut lost).await? {
                SaveOutcome::Saved => return Ok(Outcome::Saved),
                SaveOutcome::Conflict(None) => return Ok(Outcome::Gone),
                SaveOutcome::Conflict(Some(theirs)) => record = theirs,
            }
            patience.after_conflict().await?;
        }
    }
}

/// How many sessions are saved in a second where nothing else is said.
const PER_SECOND: u32 = 500;

/// How many records are read at once.
const UPGRADE_PAGE: u32 = 100;
