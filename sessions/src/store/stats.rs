//! What is stored, counted: for operators.

use std::collections::BTreeMap;

use super::Store;
use super::core::Core;
use super::save::key_of;
use crate::data::SessionData;
use crate::error::Error;
use crate::provider::{Listed, Page, Record};

/// The stored sessions, counted by type and schema version: see [`Store::stats`].
///
/// ```
/// assert!(sessions::Stats::default().sessions.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The sessions of each type and version, in their order.
    pub sessions: Vec<VersionStats>,
    /// The other records: the key ring, fences, and what other programs keep in the same table.
    pub other_records: u64,
}

impl Stats {
    /// Returns the lowest schema version in which a session of this type is stored, or `None` if
    /// there is no session. You may drop the versions below it: set the struct's `oldest` to it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// visitor.save().await?;
    /// assert_eq!(store.stats().await?.oldest::<Visitor>(), Some(1));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn oldest<T: SessionData>(&self) -> Option<u16> {
        let of_type = self.sessions.iter().filter(|it| it.session == T::SCHEMA.name);
        of_type.map(|it| it.version).min()
    }

    fn count(&mut self, record: &Record, counts: &mut BTreeMap<(String, u16), Count>) {
        let Some((name, version)) = session_format(record) else {
            self.other_records += 1;
            return;
        };
        let count = counts.entry((name.to_owned(), version)).or_default();
        *if record.owner.is_some() { &mut count.owned } else { &mut count.anonymous } += 1;
        count.bytes += record.data.len() as u64;
    }
}

/// The stored sessions of one type at one schema version; part of [`Stats`].
///
/// ```
/// fn line(version: &sessions::VersionStats) -> String {
///     format!("{} {}: {}", version.session, version.version, version.owned + version.anonymous)
/// }
/// # let _ = line;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionStats {
    /// The name of the session type.
    pub session: String,
    /// The schema version.
    pub version: u16,
    /// The sessions with an owner.
    pub owned: u64,
    /// The sessions without one.
    pub anonymous: u64,
    /// The bytes of their data, as stored, without what the database adds.
    pub bytes: u64,
}

#[derive(Default)]
struct Count {
    owned: u64,
    anonymous: u64,
    bytes: u64,
}

/// The name and the schema version of a session's record, and `None` for another record.
pub(super) fn session_format(record: &Record) -> Option<(&str, u16)> {
    // The key ring's format looks like a session's, but its id is no key.
    key_of(record)?;
    let (name, version) = record.format.rsplit_once('/')?;
    Some((name, version.parse().ok()?))
}

impl Store {
    /// Returns the stored records, a page at a time: the sessions of all types, and the store's own
    /// records, such as the key ring. It is for operators: see
    /// [`Provider::scan`](crate::provider::Provider::scan) for what a scan promises.
    ///
    /// If the store [encrypts records](crate::StoreBuilder::encrypt_records), their data is decrypted.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Provider`] if the provider fails, or does not scan.
    /// [`Error::Misuse`] for a client-side store.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// use sessions::provider::Page;
    ///
    /// visitor.visits = 1;
    /// visitor.save().await?;
    /// let page = store.scan(Page::first(100)).await?;
    /// assert!(page.records.iter().any(|record| record.format == "visitor/1"));
    /// # Ok(()) }
    /// ```
    pub async fn scan(&self, page: Page) -> Result<Listed, Error> {
        self.core.scan(page).await
    }

    /// Counts the stored sessions, by type and schema version. It answers which versions are still
    /// in use before you drop one: [`Stats::oldest`].
    ///
    /// It reads every record of the database, a page of 1 000 at a time: 100 000 records take some
    /// seconds. Sessions that [`end_all`](Self::end_all) has ended count until they expire. Where the
    /// database has no order (Redis), a session that is saved meanwhile may count twice.
    ///
    /// # Errors
    /// As [`scan`](Self::scan).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// visitor.user = Some(7);
    /// visitor.save().await?;
    /// let stats = store.stats().await?;
    /// assert_eq!(stats.sessions[0].session, "visitor");
    /// assert_eq!((stats.sessions[0].owned, stats.sessions[0].anonymous), (1, 0));
    /// # Ok(()) }
    /// ```
    pub async fn stats(&self) -> Result<Stats, Error> {
        self.core.stats(|_| ()).await
    }
}

impl Core {
    /// See [`Store::scan`](crate::Store::scan).
    pub(crate) async fn scan(&self, page: Page) -> Result<Listed, Error> {
        self.needs_records("scan()")?;
        Ok(self.provider.scan(page, self.now()).await?)
    }

    /// See [`Store::stats`](crate::Store::stats). `progress` hears how many records were read.
    pub(crate) async fn stats(&self, mut progress: impl FnMut(u64)) -> Result<Stats, Error> {
        let (mut stats, mut counts) = (Stats::default(), BTreeMap::new());
        let (mut page, mut read) = (Page::first(STATS_PAGE), 0);
        loop {
            let listed = self.scan(page).await?;
            listed.records.iter().for_each(|record| stats.count(record, &mut counts));
            read += listed.records.len() as u64;
            progress(read);
            let Some(mark) = listed.next else { break };
            page = Page::after(mark, STATS_PAGE);
        }
        stats.sessions = counts
            .into_iter()
            .map(|((session, version), Count { owned, anonymous, bytes })| VersionStats {
                session,
                version,
                owned,
                anonymous,
                bytes,
            })
            .collect();
        Ok(stats)
    }
}

/// How many records are counted at once.
const STATS_PAGE: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sessions_have_a_name_and_a_version() {
        let key = "rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k";
        let record = |id: &str, format: &'static str| {
            let mut record = Record::new(id, 1, Vec::new());
            record.format = format.into();
            record
        };
        assert_eq!(session_format(&record(key, "visitor/12")), Some(("visitor", 12)));
        assert_eq!(session_format(&record("app:keys", "keyring/1")), None);
        for format in ["", "fence", "visitor/", "visitor/x", "a/70000"] {
            assert_eq!(session_format(&record(key, format)), None, "{format}");
        }
    }
}
