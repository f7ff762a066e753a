//! The statements, with the table's name put in.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::queue::MOST;

/// The name of the table where none was set.
pub(crate) const DEFAULT_TABLE: &str = "sessions";

/// Every statement, for one table. Cloning a [`SqlStr`] made from an `Arc` copies no text, and
/// sqlx finds the prepared statement by its text.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) table: String,
    pub(crate) create: Vec<SqlStr>,
    pub(crate) drop: SqlStr,
    /// Fails if a column is missing.
    pub(crate) check: SqlStr,
    pub(crate) fetch: SqlStr,
    /// For some ids at once, at most as many as [`FETCHES`] says.
    fetch_some: [SqlStr; 4],
    pub(crate) save_absent: SqlStr,
    pub(crate) save_version: SqlStr,
    pub(crate) save_untouched: SqlStr,
    pub(crate) save_any: SqlStr,
    pub(crate) delete_any: SqlStr,
    pub(crate) delete_version: SqlStr,
    pub(crate) delete_untouched: SqlStr,
    pub(crate) touch_any: SqlStr,
    pub(crate) touch_version: SqlStr,
    pub(crate) touch_untouched: SqlStr,
    pub(crate) list: SqlStr,
    pub(crate) scan: SqlStr,
    pub(crate) purge: SqlStr,
}

impl Statements {
    /// The statement that fetches so many records: the ids are the parameters from 2 on.
    pub(crate) fn fetch_some(&self, ids: usize) -> SqlStr {
        let fits = FETCHES.iter().position(|most| ids <= *most);
        self.fetch_some[fits.unwrap_or(FETCHES.len() - 1)].clone()
    }

    /// `None` unless the name is a plain identifier: 1 to 63 ASCII letters, digits and
    /// underscores, no digit first, and not one of SQLite's own (`sqlite_...`).
    pub(crate) fn new(table: &str) -> Option<Self> {
        let plain = table.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && table.starts_with(|first: char| !first.is_ascii_digit())
            && table.len() <= 63
            && !table.to_ascii_lowercase().starts_with("sqlite_");
        plain.then(|| Self::build(table))
    }

    fn build(table: &str) -> Self {
        // The name is a plain identifier by now, so no text can leave the quotes.
        let sql = |text: &str| {
            let text = text.replace("$table", &format!("\"{table}\"")).replace("$expiry", EXPIRY);
            AssertSqlSafe(std::sync::Arc::<str>::from(text)).into_sql_str()
        };
        let create = include_str!("table.sql")
            .replace("\"sessions", &format!("\"{table}"))
            .split_terminator(';')
            .map(str::trim)
            .filter(|statement| !statement.is_empty())
            .map(sql)
            .collect();
        Self {
            table: table.to_owned(),
            create,
            drop: sql("DROP TABLE IF EXISTS $table"),
            check: sql("SELECT id, version, expires_at, format, owner, data FROM $table LIMIT 0"),
            fetch: sql("SELECT id, version, expires_at, format, owner, data FROM $table \
                 WHERE id = ?1 AND $expiry > ?2"),
            fetch_some: FETCHES.map(|most| {
                let ids: Vec<_> = (2..most + 2).map(|number| format!("?{number}")).collect();
                sql(&format!(
                    "SELECT id, version, expires_at, format, owner, data FROM $table \
                     WHERE id IN ({}) AND $expiry > ?1",
                    ids.join(", ")
                ))
            }),
            save_absent: sql(
                "INSERT INTO $table AS stored (id, version, expires_at, format, owner, data) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE SET \
                 version = ?2, expires_at = ?3, format = ?4, owner = ?5, data = ?6 \
                 WHERE stored.expires_at <= ?7",
            ),
            save_version: sql("UPDATE $table SET \
                 version = ?2, expires_at = ?3, format = ?4, owner = ?5, data = ?6 \
                 WHERE id = ?1 AND version = ?8 AND $expiry > ?7"),
            save_untouched: sql("UPDATE $table SET \
                 version = ?2, expires_at = ?3, format = ?4, owner = ?5, data = ?6 \
                 WHERE id = ?1 AND version = ?8 AND $expiry > ?7 \
                 AND expires_at IS ?9"),
            save_any: sql("INSERT INTO $table (id, version, expires_at, format, owner, data) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE SET \
                 version = ?2, expires_at = ?3, format = ?4, owner = ?5, data = ?6"),
            delete_any: sql("DELETE FROM $table WHERE id = ?1 \
                 RETURNING id, version, expires_at, format, owner, data"),
            delete_version: sql("DELETE FROM $table \
                 WHERE id = ?1 AND version = ?2 AND $expiry > ?3 \
                 RETURNING id, version, expires_at, format, owner, data"),
            delete_untouched: sql("DELETE FROM $table \
                 WHERE id = ?1 AND version = ?2 AND $expiry > ?3 \
                 AND expires_at IS ?4 \
                 RETURNING id, version, expires_at, format, owner, data"),
            // max() of a NULL is NULL: a record that never expires stays so.
            touch_any: sql("UPDATE $table SET expires_at = max(expires_at, ?2) \
                 WHERE id = ?1 AND $expiry > ?3"),
            touch_version: sql("UPDATE $table SET expires_at = max(expires_at, ?2) \
                 WHERE id = ?1 AND $expiry > ?3 AND version = ?4"),
            touch_untouched: sql("UPDATE $table SET expires_at = max(expires_at, ?2) \
                 WHERE id = ?1 AND $expiry > ?3 AND version = ?4 \
                 AND expires_at IS ?5"),
            list: sql("SELECT id, version, expires_at, format, owner, data FROM $table \
                 WHERE owner = ?1 AND id > ?2 AND $expiry > ?3 ORDER BY id LIMIT ?4"),
            scan: sql("SELECT id, version, expires_at, format, owner, data FROM $table \
                 WHERE id > ?1 AND $expiry > ?2 ORDER BY id LIMIT ?3"),
            purge: sql("DELETE FROM $table WHERE rowid IN (SELECT rowid FROM $table \
                 WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)"),
        }
    }
}

/// How many ids a statement fetches. There are few, because each connection prepares each once.
const FETCHES: [usize; 4] = [4, 16, MOST, MANY];

/// The most ids that one statement fetches: what a store asks for at once.
pub(crate) const MANY: usize = 100;

/// A record is live before its expiry, not at it; one without expiry has one that never comes.
const EXPIRY: &str = "coalesce(expires_at, 9223372036854775807)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_identifiers_are_table_names() {
        for name in ["sessions", "_a", "A9", &"x".repeat(63)] {
            assert!(Statements::new(name).is_some(), "{name}");
        }
        let long = "x".repeat(64);
        for name in
            ["", "9a", "a b", "a\"b", "a;b", "a.b", "ä", "a\0", "sqlite_x", "SQLite_x", &long]
        {
            assert!(Statements::new(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn the_name_is_put_into_every_statement() {
        let statements = Statements::new("visitors").unwrap();
        assert_eq!(statements.create.len(), 3);
        assert!(statements.create[1].as_str().contains("\"visitors_expires_at\" ON \"visitors\""));
        assert_eq!(statements.drop.as_str(), "DROP TABLE IF EXISTS \"visitors\"");
        assert!(!format!("{statements:?}").contains("$"));
        assert!(!format!("{statements:?}").contains("sessions"));
    }
}
