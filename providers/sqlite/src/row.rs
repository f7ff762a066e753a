//! A record as a row of the table.

use std::borrow::Cow;
use std::time::SystemTime;

use sessions::provider::{Record, from_unix_millis, to_unix_millis};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

/// Times end with the year 9999, so they fit.
pub(crate) fn millis(time: SystemTime) -> i64 {
    to_unix_millis(time).cast_signed()
}

pub(crate) fn to_record(row: &SqliteRow) -> Result<Record, sqlx::Error> {
    Ok(Record {
        id: row.try_get::<&str, _>(0)?.into(),
        version: row.try_get::<i64, _>(1)?.cast_unsigned(),
        expires_at: row
            .try_get::<Option<i64>, _>(2)?
            .map(|at| from_unix_millis(u64::try_from(at).unwrap_or_default())),
        format: Cow::Owned(row.try_get(3)?),
        owner: row.try_get::<Option<&str>, _>(4)?.map(Into::into),
        data: row.try_get::<Vec<u8>, _>(5)?.into(),
    })
}
