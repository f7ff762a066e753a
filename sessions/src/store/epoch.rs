//! Ending everybody's sessions, and what has ended so: its records are as good as gone.

use std::time::SystemTime;

use super::base::Loaded;
use super::core::Core;
use super::fence::FENCE_FORMAT;
use crate::error::Error;
use crate::provider::Record;
use crate::schema::header::Summary;
use crate::schema::stored::Stored;

impl Core {
    /// See [`Store::end_all`](crate::Store::end_all).
    pub(crate) async fn end_everybodys(&self) -> Result<(), Error> {
        self.epochs.end_all().await
    }

    /// See [`Store::end_all_before`](crate::Store::end_all_before).
    pub(crate) async fn end_everybodys_before(&self, time: SystemTime) -> Result<(), Error> {
        self.epochs.end_before(time).await
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
