//! How records and the entries of owners' lists are kept as items.
//!
//! A record is an item of its own. An entry says that an owner has, or had, the record of an id;
//! the list asks the records themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use sessions::provider::{Bytes, ProviderError, Record, from_unix_millis, to_unix_millis};

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) const PARTITION_KEY: &str = "pk";
pub(crate) const SORT_KEY: &str = "sk";
pub(crate) const VERSION: &str = "version";
pub(crate) const DATA: &str = "data";
pub(crate) const FORMAT: &str = "format";
pub(crate) const OWNER: &str = "owner";
/// When a record expires, in milliseconds since 1970.
pub(crate) const EXPIRES_MS: &str = "expires_ms";
/// When DynamoDB may delete an item: seconds since 1970, rounded up.
pub(crate) const EXPIRES_AT: &str = "expires_at";
/// On a record: the `expires_at` of its entry in its owner's list. Missing where that stays for
/// ever.
pub(crate) const LISTED_UNTIL: &str = "listed_until";

/// The record of an item; `None` if it is none of this provider's.
pub(crate) fn to_record(mut item: Item) -> Option<Record> {
    let id = item.get(PARTITION_KEY)?.as_s().ok()?.strip_prefix(RECORD_PREFIX)?;
    let id = Arc::from(id);
    let version = number(item.get(VERSION)?)?;
    let expires_at = match item.get(EXPIRES_MS) {
        Some(at) => Some(from_unix_millis(number(at)?)),
        None => None,
    };
    let Some(AttributeValue::B(data)) = item.remove(DATA) else { return None };
    let Some(AttributeValue::S(format)) = item.remove(FORMAT) else { return None };
    let owner = match item.remove(OWNER) {
        Some(AttributeValue::S(owner)) => Some(Arc::from(owner)),
        Some(_) => return None,
        None => None,
    };
    let data = Bytes::from(data.into_inner());
    Some(Record { id, version, expires_at, format: format.into(), data, owner })
}

/// The whole item of a record.
pub(crate) fn record_item(record: &Record, listed_until: Option<u64>) -> Item {
    let mut item = record_key(&record.id);
    item.insert(VERSION.into(), n(record.version));
    item.insert(DATA.into(), data(record));
    item.insert(FORMAT.into(), s(&*record.format));
    if let Some(owner) = &record.owner {
        item.insert(OWNER.into(), s(&**owner));
        if let Some(until) = listed_until {
            item.insert(LISTED_UNTIL.into(), n(until));
        }
    }
    if let Some(at) = record.expires_at {
        item.insert(EXPIRES_MS.into(), n(to_unix_millis(at)));
        item.insert(EXPIRES_AT.into(), n(seconds(at)));
    }
    item
}

/// The whole item of an entry.
pub(crate) fn entry_item(owner: &str, id: &str, listed_until: Option<u64>) -> Item {
    let mut item = entry_key(owner, id);
    if let Some(until) = listed_until {
        item.insert(EXPIRES_AT.into(), n(until));
    }
    item
}

pub(crate) fn record_key(id: &str) -> Item {
    key(format!("{RECORD_PREFIX}{id}"), RECORD)
}

pub(crate) fn entry_key(owner: &str, id: &str) -> Item {
    key(entries_key(owner), id)
}

/// Where a scan goes on, as text: the sort key of a record is always the same.
pub(crate) fn mark(last: &Item) -> Option<String> {
    let partition = last.get(PARTITION_KEY)?.as_s().ok()?;
    let sort = last.get(SORT_KEY)?.as_s().ok()?;
    Some(format!("{}:{partition}{sort}", partition.len()))
}

/// The key that a [`mark`] names.
pub(crate) fn marked(mark: &str) -> Option<Item> {
    let (length, keys) = mark.split_once(':')?;
    let (partition, sort) = keys.split_at_checked(length.parse().ok()?)?;
    (!partition.is_empty() && !sort.is_empty()).then(|| key(partition.to_owned(), sort))
}

/// The partition key of an owner's entries.
pub(crate) fn entries_key(owner: &str) -> String {
    format!("owner#{owner}")
}

/// The id that an entry stands for.
pub(crate) fn entry_id(entry: &Item) -> Option<&str> {
    entry.get(SORT_KEY)?.as_s().ok().map(String::as_str)
}

fn key(partition: String, sort: &str) -> Item {
    Item::from([
        (PARTITION_KEY.to_owned(), AttributeValue::S(partition)),
        (SORT_KEY.to_owned(), s(sort)),
    ])
}

/// The seconds of a moment, rounded up: DynamoDB must not delete a record that is live.
pub(crate) fn seconds(at: SystemTime) -> u64 {
    to_unix_millis(at).div_ceil(1000)
}

/// How long to keep the entry of a record that is being given this expiry: twice as long as the
/// record lives, and at least a day longer. So of the calls that move a record's expiry, one in
/// each of its lifetimes has to move the entry's too.
pub(crate) fn listed_until(expires_at: SystemTime, now: SystemTime) -> u64 {
    let left = expires_at.duration_since(now).unwrap_or_default();
    seconds(expires_at) + left.max(SHORTEST_SLACK).as_secs()
}

pub(crate) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn n(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(crate) fn data(record: &Record) -> AttributeValue {
    AttributeValue::B(Blob::new(record.data.to_vec()))
}

fn number(value: &AttributeValue) -> Option<u64> {
    value.as_n().ok()?.parse().ok()
}

/// Refuses a record that no item can hold.
///
/// The size follows DynamoDB's rules: names and texts by their UTF-8 bytes, numbers half a byte a
/// digit and one more. Numbers count with the most digits they can have, so that a record that
/// fits once does not cease to with a later version or expiry.
pub(crate) fn check_size(record: &Record) -> Result<(), ProviderError> {
    let owner = record.owner.as_ref().map_or(0, |owner| OWNER.len() + owner.len());
    let size = FIXED_SIZE + record.id.len() + record.format.len() + owner + record.data.len();
    if size <= MAX_ITEM_SIZE {
        return Ok(());
    }
    Err(ProviderError::permanent(format!(
        "a record of {} bytes of data makes an item of {size} bytes, above DynamoDB's limit of \
         {MAX_ITEM_SIZE}: keep less in the session",
        record.data.len()
    )))
}

/// 400 KB, DynamoDB's limit of an item, its attributes' names included.
const MAX_ITEM_SIZE: usize = 400 * 1024;

const FIXED_SIZE: usize = PARTITION_KEY.len()
    + RECORD_PREFIX.len()
    + SORT_KEY.len()
    + RECORD.len()
    + DATA.len()
    + FORMAT.len()
    + (VERSION.len() + number_size(20))
    + (EXPIRES_MS.len() + number_size(15))
    + (EXPIRES_AT.len() + number_size(12))
    + (LISTED_UNTIL.len() + number_size(12));

const fn number_size(digits: usize) -> usize {
    digits.div_ceil(2) + 1
}

const RECORD_PREFIX: &str = "record#";
/// The sort key of every record.
const RECORD: &str = "record";
const SHORTEST_SLACK: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Record {
        Record {
            id: "a#b".into(),
            version: u64::MAX,
            expires_at: Some(from_unix_millis(1_700_000_000_001)),
            format: "visitor/1".into(),
            data: Bytes::from_static(b"\0data"),
            owner: Some("app/visitor/7".into()),
        }
    }

    #[test]
    fn an_item_gives_back_its_record() {
        for record in [full(), Record::new("a", 1, Vec::new())] {
            let item = record_item(&record, Some(7));
            assert_eq!(item.contains_key(LISTED_UNTIL), record.owner.is_some());
            assert_eq!(to_record(item).unwrap(), record);
        }
    }

    #[test]
    fn deletion_waits_for_the_last_millisecond() {
        let item = record_item(&full(), None);
        assert_eq!(item[EXPIRES_MS], n(1_700_000_000_001));
        assert_eq!(item[EXPIRES_AT], n(1_700_000_001));
        assert_eq!(seconds(from_unix_millis(1_000)), 1);
    }

    #[test]
    fn items_of_others_are_none() {
        for name in [PARTITION_KEY, VERSION, DATA, FORMAT] {
            let mut item = record_item(&full(), None);
            item.remove(name);
            assert!(to_record(item).is_none(), "without {name}");
        }
        for name in [VERSION, DATA, FORMAT, OWNER, EXPIRES_MS] {
            let mut item = record_item(&full(), None);
            item.insert(name.into(), AttributeValue::Bool(true));
            assert!(to_record(item).is_none(), "{name} of another type");
        }
        for version in ["-1", "1.5", "1E3", "18446744073709551616"] {
            let mut item = record_item(&full(), None);
            item.insert(VERSION.into(), AttributeValue::N(version.into()));
            assert!(to_record(item).is_none(), "version {version}");
        }
    }

    #[test]
    fn a_mark_names_a_key() {
        for last in [record_key("a:b"), entry_key("app/visitor/ä", "7:id")] {
            assert_eq!(marked(&mark(&last).unwrap()).unwrap(), last);
        }
        for garbage in ["", "a", "1:", "1:a", "9:ab", "1:äb", "-1:ab", "0:ab"] {
            assert!(marked(garbage).is_none(), "{garbage}");
        }
    }

    #[test]
    fn an_entry_outlives_its_record() {
        let now = from_unix_millis(1_000_000);
        let week = Duration::from_secs(7 * 86_400);
        assert_eq!(listed_until(now + week, now), 1_000 + 14 * 86_400);
        let soon = now + Duration::from_millis(1);
        assert_eq!(listed_until(soon, now), 1_001 + 86_400);
        assert_eq!(listed_until(now - week.min(Duration::from_secs(1)), now), 999 + 86_400);
    }

    #[test]
    fn what_is_too_large_is_refused_by_a_byte() {
        let mut record = full();
        let others = FIXED_SIZE + "a#b".len() + "visitor/1".len() + "ownerapp/visitor/7".len();
        record.data = vec![0; MAX_ITEM_SIZE - others].into();
        check_size(&record).unwrap();
        record.data = vec![0; MAX_ITEM_SIZE - others + 1].into();
        let error = check_size(&record).unwrap_err();
        assert!(!error.is_unavailable() && error.to_string().contains("keep less"), "{error}");
    }
}
