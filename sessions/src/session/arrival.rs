//! What a request came with.

use super::Session;
use crate::data::SessionData;
use crate::store::base::Arrival;
use crate::store::ended_by::EndedBy;

impl<T: SessionData> Session<T> {
    /// Returns what the request came with: no cookie, a live session, or a cookie of one that is
    /// not live any more. Commits do not change it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { visitor, .. } = example().await?;
    /// assert_eq!(visitor.arrival(), sessions::Arrival::New);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn arrival(&self) -> Arrival {
        self.state().arrival
    }

    /// Returns what ended the session that the request came with, if that happened on this host not
    /// long ago. `None` says nothing: another host may have ended it, or it expired, for the store
    /// keeps nothing of an ended session.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { visitor, .. } = example().await?;
    /// assert_eq!(visitor.ended_by(), None);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn ended_by(&self) -> Option<EndedBy> {
        self.state().ended_by
    }
}
