//! A record as Redis holds it, and what a script expects of it.

use redis::Value;
use sessions::provider::{Expect, ProviderError, Record, from_unix_millis, to_unix_millis};

use crate::error::foreign;

/// As the scripts take it.
pub(crate) fn expectation(expect: Expect) -> String {
    match expect {
        Expect::Absent => "absent".to_owned(),
        Expect::Any => "any".to_owned(),
        Expect::Version(version) => version.to_string(),
        Expect::Untouched { version, expires_at } => {
            let expiry = expires_at.map(|at| to_unix_millis(at).to_string()).unwrap_or_default();
            format!("{version}@{expiry}")
        }
    }
}

/// From the fields `v`, `e`, `f`, `o`, `d`, all of which are missing where the record is.
pub(crate) fn to_record(id: &str, fields: Value) -> Result<Option<Record>, ProviderError> {
    let Value::Array(fields) = fields else { return Err(foreign("something else")) };
    let Ok([version, expires_at, format, owner, data]) = <[Value; 5]>::try_from(fields) else {
        return Err(foreign("something else"));
    };
    let Some(version) = text(version)? else {
        return Ok(None);
    };
    let Value::BulkString(data) = data else { return Err(foreign("another kind of record")) };
    let number = |text: String| {
        text.parse::<u64>().map_err(|error| foreign("another kind of record").with_source(error))
    };
    Ok(Some(Record {
        id: id.into(),
        version: number(version)?,
        expires_at: text(expires_at)?.map(number).transpose()?.map(from_unix_millis),
        format: text(format)?.ok_or_else(|| foreign("another kind of record"))?.into(),
        owner: text(owner)?.map(Into::into),
        data: data.into(),
    }))
}

pub(crate) fn text(value: Value) -> Result<Option<String>, ProviderError> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|error| foreign("bytes where text belongs").with_source(error)),
        _ => Err(foreign("another kind of record")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_record_is_an_error() {
        let bulk = |text: &str| Value::BulkString(text.into());
        let fields = |version: &str, format| {
            Value::Array(vec![bulk(version), Value::Nil, format, Value::Nil, bulk("data")])
        };
        assert!(to_record("a", fields("1", bulk("f/1"))).unwrap().is_some());
        assert!(to_record("a", Value::Array(vec![Value::Nil; 5])).unwrap().is_none());
        for wrong in [
            fields("one", bulk("f/1")),
            fields("-1", bulk("f/1")),
            fields("1", Value::Nil),
            fields("1", Value::BulkString(vec![0xff])),
            fields("1", Value::Int(1)),
            Value::Array(vec![]),
            Value::Int(7),
            Value::Nil,
        ] {
            let error = to_record("a", wrong).unwrap_err();
            assert!(!error.is_unavailable() && error.to_string().contains("prefix()"), "{error}");
        }
    }
}
