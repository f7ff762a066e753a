//! Moving to another database beside the traffic: nobody is logged out, and nothing is lost.
//!
//! A [`Moving`] serves sessions from two databases while a mover copies them from the old one to the
//! new one. The page [Operating](crate::guide::operating#moving-to-another-database) shows the deploys.
//!
//! # How a record moves
//!
//! 1. The mover saves a *placeholder* in the new database, under a random version that no other
//!    placeholder has, or takes the one that is there.
//! 2. It *freezes* the record in the old database, if nobody has changed it meanwhile: the record
//!    keeps its data and names the placeholder, and nobody changes it there any more.
//! 3. Anyone who reads the frozen record puts it over the placeholder in the new database. That works
//!    once, because the version of a placeholder is never used again. So a session that has ended in
//!    the new database never comes back from the old one.
//! 4. The mover deletes the frozen record. Where any host may create a record of that id, as a key ring, it
//!    leaves a mark instead that forbids that.
//!
//! Whoever looks for a record looks in the old database first. A live record there is the one that
//! counts; a frozen one leads to the new database, and so does none. Every step can be repeated, by
//! any number of movers, after a crash anywhere.

mod calls;
mod databases;
mod marker;
mod mover;
mod pages;
mod stub;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use self::databases::Databases;
pub use self::mover::{Moved, Mover};
use crate::provider::{Provider, ProviderError};

/// A provider that serves from two databases while sessions move from the old one to the new one.
///
/// 1. Deploy the service with `Moving::new(old, new)` on **every** host. Until the move begins,
///    everything stays in the old database.
/// 2. [Run the mover](Self::mover) on one host or from a job. It begins the move, and returns when the
///    old database is empty. You can stop it and run it again.
/// 3. Deploy the service with `new` alone, and call [`finish`](Self::finish) afterwards.
///
/// To go back before step 3, stop the mover, deploy `Moving::new(new, old)` on every host, and run its
/// mover.
///
/// - **Cost.** A session that has not moved costs what it costs without a move. For one that has, each
///   call asks the old database first. The first save of a session asks both.
/// - **Failures.** Both databases must be up.
/// - **Changes.** [`changes`](Provider::changes) is unsupported during a move: caches trust what they
///   know for `max_age`, and watches poll.
/// - **Lists** read the old database, then the new one. A session that moves between two pages is on
///   both.
/// - **Both databases** must support `scan` and `touch`. A record needs room for 40 bytes more in its
///   format, which matters where it is as large as the old database allows.
///
/// ```
/// use sessions::moving::Moving;
/// use sessions::{MemoryProvider, Store};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
/// let (old, new) = (MemoryProvider::new(), MemoryProvider::new());
/// let moving = Moving::new(old, new);
/// let store = Store::new(moving.clone());
///
/// // On one host, once every host runs the line above:
/// let moved = moving.mover().run().await?;
/// assert_eq!(moved.left, 0);
/// # let _ = store;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Moving {
    inner: Arc<Databases>,
}

impl Moving {
    /// Serves from both databases.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store, moving::Moving};
    /// let store = Store::new(Moving::new(MemoryProvider::new(), MemoryProvider::new()));
    /// ```
    pub fn new(old: impl Provider, new: impl Provider) -> Self {
        Self { inner: Arc::new(Databases::new(old, new)) }
    }

    /// Returns the mover. Configure it, then call [`run`](Mover::run).
    ///
    /// ```
    /// # use sessions::{MemoryProvider, moving::Moving};
    /// let moving = Moving::new(MemoryProvider::new(), MemoryProvider::new());
    /// let mover = moving.mover().per_second(200);
    /// # let _ = mover;
    /// ```
    pub fn mover(&self) -> Mover<'_> {
        Mover::new(self.inner.clone())
    }

    /// Ends the move: removes its marker from the new database, so that this one can be the source of
    /// another move. Call it after a deploy in which every host uses the new database alone.
    ///
    /// # Errors
    /// Fails if a database cannot answer, if the old database still has live records, or if no move
    /// from the old to the new database has begun.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, moving::Moving};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let moving = Moving::new(MemoryProvider::new(), MemoryProvider::new());
    /// moving.mover().run().await?;
    /// moving.finish().await?;
    /// # Ok(()) }
    /// ```
    pub async fn finish(&self) -> Result<(), ProviderError> {
        let now = SystemTime::now();
        mover::must_be_left(&*self.inner.old, now).await?;
        marker::finish(&*self.inner.old, &*self.inner.new, now).await
    }
}

impl fmt::Debug for Moving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moving").field("begun", &self.inner.begun).finish_non_exhaustive()
    }
}
