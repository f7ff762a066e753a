//! The statements, with the table's name put in.

use std::fmt::Write as _;
use std::sync::Arc;

use sessions::provider::Expect;
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use crate::record::millis;

/// The name of the table where none was set.
pub(crate) const DEFAULT_TABLE: &str = "sessions";

/// Every statement, for one table. Cloning a [`SqlStr`] made from an `Arc` copies no text, and
/// sqlx finds the prepared statement by its text.
#[derive(Debug)]
pub(crate) struct Statements {
    /// As it was given.
    pub(crate) table: String,
    /// In quotes, its database before it.
    quoted: String,
    pub(crate) create: SqlStr,
    pub(crate) columns: SqlStr,
    pub(crate) indexes: SqlStr,
    pub(crate) drop: SqlStr,
    pub(crate) fetch: SqlStr,
    /// For some ids at once, at most as many as [`FETCHES`] says.
    fetch_some: [SqlStr; 3],
    pub(crate) saves: Saves,
    pub(crate) touches: Touches,
    pub(crate) list: SqlStr,
    pub(crate) scan: SqlStr,
    pub(crate) clock: SqlStr,
}

/// The saves, one for each expectation. Those that update a record affect one row if they find it.
/// They must: sqlx asks the server to count the rows that are found, whether or not they change.
#[derive(Debug)]
pub(crate) struct Saves {
    /// Fails if there is a record of this id, live or not.
    pub(crate) absent: SqlStr,
    /// Updates a record that has expired.
    pub(crate) expired: SqlStr,
    pub(crate) version: SqlStr,
    pub(crate) untouched: SqlStr,
    /// Saves in any case.
    pub(crate) any: SqlStr,
}

/// The touches, one for each expectation that a record can meet. They affect one row if they find
/// it.
#[derive(Debug)]
pub(crate) struct Touches {
    pub(crate) any: SqlStr,
    pub(crate) version: SqlStr,
    pub(crate) untouched: SqlStr,
}

impl Statements {
    /// `None` unless the name is a plain identifier, or two with a dot between: a database's and a
    /// table's. Each has 1 to 64 ASCII letters, digits and underscores, no digit first.
    pub(crate) fn new(table: &str) -> Option<Self> {
        let (database, name) = match table.split_once('.') {
            Some((database, name)) => (Some(database), name),
            None => (None, table),
        };
        let plain = is_plain(name) && database.is_none_or(is_plain);
        plain.then(|| Self::build(table, database, name))
    }

    fn build(table: &str, database: Option<&str>, name: &str) -> Self {
        // The names are plain identifiers by now, so no text can leave the quotes. Backticks are
        // quotes in every sql_mode.
        let quoted = database
            .map_or_else(|| format!("`{name}`"), |database| format!("`{database}`.`{name}`"));
        let sql = |text: &str| {
            let text =
                text.replace("$record", RECORD).replace("$live", LIVE).replace("$table", &quoted);
            safe(text)
        };
        Self {
            table: table.to_owned(),
            create: sql(&include_str!("table.sql").replace("`sessions`", "$table")),
            columns: sql("SHOW COLUMNS FROM $table"),
            indexes: sql("SHOW INDEX FROM $table"),
            drop: sql("DROP TABLE IF EXISTS $table"),
            fetch: sql("SELECT $record FROM $table WHERE id = ? AND $live"),
            fetch_some: FETCHES.map(|most| {
                let ids = vec!["?"; most].join(", ");
                sql(&format!("SELECT $record FROM $table WHERE id IN ({ids}) AND $live"))
            }),
            saves: Saves::build(sql),
            touches: Touches::build(sql),
            list: sql("SELECT $record FROM $table WHERE owner = ? AND id > ? AND $live \
                 ORDER BY id LIMIT ?"),
            scan: sql("SELECT $record FROM $table WHERE id > ? AND $live ORDER BY id LIMIT ?"),
            // NOW() would be in the time zone of the session, and UNIX_TIMESTAMP() is in seconds.
            clock: sql(
                "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000",
            ),
            quoted,
        }
    }

    /// The statement that fetches so many records, and how many ids it takes before the time.
    pub(crate) fn fetch_some(&self, ids: usize) -> (SqlStr, usize) {
        let fits = FETCHES.iter().position(|most| ids <= *most).unwrap_or(FETCHES.len() - 1);
        (self.fetch_some[fits].clone(), FETCHES[fits])
    }

    /// Statements that return the record of this id, live or not, and remove it if it meets the
    /// expectation: one text, so one round trip. MySQL has no `DELETE .. RETURNING`.
    ///
    /// The transaction is `REPEATABLE READ` so that where there is no record its place is locked
    /// too: none can come between the two statements and be removed unread.
    pub(crate) fn delete(&self, id: &str, expect: Expect, now: i64) -> SqlStr {
        let Self { quoted, .. } = self;
        let id = hex(id);
        let mut text = format!(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION; \
             SELECT {RECORD} FROM {quoted} WHERE id = {id} FOR UPDATE; \
             DELETE FROM {quoted} WHERE id = {id}"
        );
        // Writing into a String does not fail.
        let _ = match expect {
            Expect::Any => Ok(()),
            Expect::Version(version) => {
                write!(text, " AND version = {version} AND {}", live(now))
            }
            Expect::Untouched { version, expires_at } => {
                let seen = expires_at.map_or("NULL".to_owned(), |at| millis(at).to_string());
                write!(text, " AND version = {version} AND {} AND expires_at <=> {seen}", live(now))
            }
            Expect::Absent => write!(text, " AND FALSE"),
        };
        text.push_str("; ");
        text.push_str(COMMIT);
        safe(text)
    }

    /// Statements that open a transaction and lock records that have expired, the oldest first. What
    /// somebody else has locked is passed over, not waited for. Under `READ COMMITTED` the lock of a
    /// row that is live, in the last slot, is given back at once.
    pub(crate) fn lock_expired(&self, before: i64, limit: u64) -> SqlStr {
        let Self { quoted, .. } = self;
        safe(format!(
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION; \
             SELECT id FROM {quoted} WHERE expires_slot <= {slot} AND expires_at <= {before} \
             ORDER BY expires_slot LIMIT {limit} FOR UPDATE SKIP LOCKED",
            slot = before >> SLOT
        ))
    }

    /// Statements that remove the records of these ids and end the transaction.
    pub(crate) fn delete_locked(&self, ids: &[Vec<u8>]) -> SqlStr {
        if ids.is_empty() {
            return COMMIT.into_sql_str();
        }
        let ids = ids.iter().map(hex).collect::<Vec<_>>().join(",");
        safe(format!("DELETE FROM {} WHERE id IN ({ids}); {COMMIT}", self.quoted))
    }

    /// Adds an index to a table that lacks it.
    pub(crate) fn add_index(&self, index: &str) -> SqlStr {
        safe(format!("ALTER TABLE {} ADD KEY {index}", self.quoted))
    }
}

impl Saves {
    fn build(sql: impl Fn(&str) -> SqlStr) -> Self {
        let update = |condition: &str| {
            sql(&format!(
                "UPDATE $table SET version = ?, expires_at = ?, format = ?, owner = ?, data = ? \
                 WHERE id = ? AND {condition}"
            ))
        };
        Self {
            absent: sql("INSERT INTO $table ($record) VALUES (?, ?, ?, ?, ?, ?)"),
            expired: update("expires_at <= ?"),
            version: update("$live AND version = ?"),
            untouched: update("$live AND version = ? AND expires_at <=> ?"),
            // The record travels once: VALUES() is its second use. MySQL prefers an alias there since
            // 8.0.20, which MariaDB does not know.
            any: sql("INSERT INTO $table ($record) VALUES (?, ?, ?, ?, ?, ?) \
                 ON DUPLICATE KEY UPDATE version = VALUES(version), \
                 expires_at = VALUES(expires_at), format = VALUES(format), \
                 owner = VALUES(owner), data = VALUES(data)"),
        }
    }
}

impl Touches {
    fn build(sql: impl Fn(&str) -> SqlStr) -> Self {
        // GREATEST() of a NULL is NULL: a record that never expires stays so.
        let touch = |condition: &str| {
            sql(&format!(
                "UPDATE $table SET expires_at = GREATEST(expires_at, ?) \
                 WHERE id = ? AND $live{condition}"
            ))
        };
        Self {
            any: touch(""),
            version: touch(" AND version = ?"),
            untouched: touch(" AND version = ? AND expires_at <=> ?"),
        }
    }
}

/// A slot of expiry has 2^20 ms.
const SLOT: u32 = 20;

/// Whatever the server's `completion_type`, which may begin another transaction at once.
const COMMIT: &str = "COMMIT AND NO CHAIN NO RELEASE";

/// The columns of a record, in the order of [`to_record`](crate::record::to_record).
const RECORD: &str = "id, version, expires_at, format, owner, data";

/// A record is live before its expiry, not at it; one without expiry is always.
const LIVE: &str = "(expires_at IS NULL OR expires_at > ?)";

/// How many ids a statement fetches. There are few, because each connection prepares each once.
const FETCHES: [usize; 3] = [4, 20, MANY];

/// The most ids that one statement fetches: what a store asks for at once.
pub(crate) const MANY: usize = 100;

/// As [`LIVE`], with the time put in.
fn live(now: i64) -> String {
    LIVE.replace('?', &now.to_string())
}

/// Bytes as a literal that no text can leave, whatever the server's settings for strings are.
fn hex(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let mut text = String::with_capacity(2 * bytes.len() + 3);
    text.push_str("x'");
    for byte in bytes {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\'');
    text
}

fn safe(text: String) -> SqlStr {
    // What is put in is a plain identifier, a number or hexadecimal digits.
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.starts_with(|first: char| !first.is_ascii_digit())
        && name.len() <= 64
}

#[cfg(test)]
mod tests {
    use sessions::provider::from_unix_millis;

    use super::*;

    #[test]
    fn only_plain_identifiers_are_table_names() {
        let long = "x".repeat(64);
        let qualified = format!("{long}.{long}");
        for name in ["sessions", "_a", "A9", &long, "app.sessions", &qualified] {
            assert!(Statements::new(name).is_some(), "{name}");
        }
        let long = "x".repeat(65);
        let qualified = format!("{long}.a");
        for name in [
            "", "9a", "a b", "a`b", "a\"b", "a;b", "a.b.c", ".a", "a.", "a.9", "ä", "a\0", "a$",
            &long, &qualified,
        ] {
            assert!(Statements::new(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn the_name_is_put_into_every_statement() {
        let statements = Statements::new("app.visitors").unwrap();
        let create = statements.create.as_str();
        assert!(create.starts_with("CREATE TABLE IF NOT EXISTS `app`.`visitors` ("), "{create}");
        assert_eq!(statements.drop.as_str(), "DROP TABLE IF EXISTS `app`.`visitors`");
        let all = format!("{statements:?}");
        assert!(!all.contains('$') && !all.contains("`sessions`"), "{all}");
        for text in [
            statements.delete("a", Expect::Any, 1),
            statements.lock_expired(1, 2),
            statements.delete_locked(&[b"a".to_vec()]),
            statements.add_index("owner (owner, id)"),
        ] {
            assert!(text.as_str().contains("`app`.`visitors`"), "{}", text.as_str());
        }
    }

    #[test]
    fn values_of_a_deletion_leave_no_quotes() {
        let statements = Statements::new("t").unwrap();
        let delete = |expect| {
            let text = statements.delete("a'`\\", expect, 7).as_str().to_owned();
            let (begin, end) = text.split_once("DELETE FROM ").unwrap();
            assert!(begin.ends_with("FROM `t` WHERE id = x'6127605c' FOR UPDATE; "), "{begin}");
            let end = end.strip_prefix("`t` WHERE id = x'6127605c'").unwrap();
            end.strip_suffix(&format!("; {COMMIT}")).unwrap().to_owned()
        };
        assert_eq!(delete(Expect::Any), "");
        assert_eq!(delete(Expect::Absent), " AND FALSE");
        assert_eq!(
            delete(Expect::Version(u64::MAX)),
            " AND version = 18446744073709551615 AND (expires_at IS NULL OR expires_at > 7)"
        );
        let untouched = |expires_at| delete(Expect::Untouched { version: 1, expires_at });
        assert!(untouched(None).ends_with(" AND expires_at <=> NULL"));
        let nine = Some(from_unix_millis(9));
        assert!(untouched(nine).ends_with(" AND expires_at <=> 9"));
        assert_eq!(
            statements.delete_locked(&[vec![0, 255], b"'".to_vec()]).as_str(),
            format!("DELETE FROM `t` WHERE id IN (x'00ff',x'27'); {COMMIT}")
        );
        assert_eq!(statements.delete_locked(&[]).as_str(), COMMIT);
    }

    #[test]
    fn a_few_statements_fetch_any_number_of_records() {
        let statements = Statements::new("t").unwrap();
        for (ids, takes) in [(1, 4), (4, 4), (5, 20), (21, 100), (100, 100)] {
            let (sql, count) = statements.fetch_some(ids);
            assert_eq!((count, sql.as_str().matches('?').count()), (takes, takes + 1));
        }
    }
}
