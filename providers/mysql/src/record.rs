//! A record as a row of the table.

use std::borrow::Cow;
use std::time::SystemTime;

use sessions::provider::{ProviderError, Record, from_unix_millis, to_unix_millis};
use sqlx::mysql::MySqlRow;
use sqlx::{Error, Row as _};

/// Times end with the year 9999, so they fit.
pub(crate) fn millis(time: SystemTime) -> i64 {
    to_unix_millis(time).cast_signed()
}

/// The row's columns are those of a record, in their order.
pub(crate) fn to_record(row: &MySqlRow) -> Result<Record, Error> {
    Ok(Record {
        id: text(row.try_get(0)?)?.into(),
        version: row.try_get(1)?,
        expires_at: row
            .try_get::<Option<i64>, _>(2)?
            .map(|at| from_unix_millis(u64::try_from(at).unwrap_or_default())),
        format: Cow::Owned(text(row.try_get(3)?)?.to_owned()),
        owner: row.try_get::<Option<&[u8]>, _>(4)?.map(text).transpose()?.map(Into::into),
        data: row.try_get::<Vec<u8>, _>(5)?.into(),
    })
}

/// Refuses what its column has no room for. A server whose `sql_mode` is not strict would cut it off
/// instead, and take two ids for one.
pub(crate) fn check(record: &Record) -> Result<(), ProviderError> {
    let owner = record.owner.as_deref().unwrap_or_default();
    for (name, value) in [("id", &*record.id), ("format", &record.format), ("owner", owner)] {
        if value.len() > MOST {
            return Err(ProviderError::permanent(format!(
                "the record's {name} has {} bytes, give it at most {MOST}",
                value.len()
            )));
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| Error::Decode(error.into()))
}

/// The bytes of an id, a format or an owner, as the table has them.
const MOST: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_column_would_cut_off_is_refused() {
        let record = Record::new("x".repeat(255), 1, "");
        assert!(check(&record).is_ok());
        let long = "x".repeat(256);
        let owned = Record { owner: Some(long.as_str().into()), ..record.clone() };
        let formatted = Record { format: long.clone().into(), ..record };
        for (name, record) in
            [("id", Record::new(long, 1, "")), ("owner", owned), ("format", formatted)]
        {
            let error = check(&record).unwrap_err().to_string();
            assert_eq!(error, format!("the record's {name} has 256 bytes, give it at most 255"));
        }
    }
}
