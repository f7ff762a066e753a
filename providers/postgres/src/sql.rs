//! The statements, with the table's name put in.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

/// The name of the table where none was set.
pub(crate) const DEFAULT_TABLE: &str = "sessions";

/// Every statement, for one table. Cloning a [`SqlStr`] made from an `Arc` copies no text, and
/// sqlx finds the prepared statement by its text.
#[derive(Debug)]
pub(crate) struct Statements {
    /// As it was given.
    pub(crate) table: String,
    /// In quotes, its schema before it.
    pub(crate) quoted: String,
    pub(crate) create: SqlStr,
    pub(crate) columns: SqlStr,
    pub(crate) indexes: SqlStr,
    pub(crate) drop: SqlStr,
    pub(crate) fetch: SqlStr,
    pub(crate) fetch_many: SqlStr,
    pub(crate) saves: Saves,
    pub(crate) deletes: Deletes,
    pub(crate) announce: SqlStr,
    pub(crate) notify: SqlStr,
    pub(crate) identity: SqlStr,
    pub(crate) touch_any: SqlStr,
    pub(crate) touch_version: SqlStr,
    pub(crate) touch_untouched: SqlStr,
    pub(crate) list: SqlStr,
    pub(crate) scan: SqlStr,
    pub(crate) purge: SqlStr,
    pub(crate) clock: SqlStr,
}

/// The saves, one for each expectation.
#[derive(Debug)]
pub(crate) struct Saves {
    pub(crate) absent: SqlStr,
    pub(crate) version: SqlStr,
    pub(crate) untouched: SqlStr,
    pub(crate) any: SqlStr,
}

/// The deletions, one for each expectation that a record can meet.
#[derive(Debug)]
pub(crate) struct Deletes {
    pub(crate) version: SqlStr,
    pub(crate) untouched: SqlStr,
    pub(crate) any: SqlStr,
}

impl Statements {
    /// `None` unless the name is a plain identifier, or two with a dot between: a schema's and a
    /// table's. Each has ASCII letters, digits and underscores, no digit first; a table's at most
    /// 50, which leaves room for the names of its indexes, a schema's at most 63.
    pub(crate) fn new(table: &str) -> Option<Self> {
        let (schema, name) = match table.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, table),
        };
        let plain = is_plain(name, 50) && schema.is_none_or(|schema| is_plain(schema, 63));
        plain.then(|| Self::build(table, schema, name))
    }

    fn build(table: &str, schema: Option<&str>, name: &str) -> Self {
        // The names are plain identifiers by now, so no text can leave the quotes.
        let quoted = schema
            .map_or_else(|| format!("\"{name}\""), |schema| format!("\"{schema}\".\"{name}\""));
        let sql = |text: &str| {
            let text = text.replace("$channel", CHANNEL).replace("$table", &quoted);
            let text = text.replace("$expiry", EXPIRY);
            AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
        };
        // One text of several statements is one transaction and one round trip. The lock lets one
        // host at a time look for the table and create it.
        let create = format!(
            "SELECT pg_advisory_xact_lock({LOCK}); {}",
            include_str!("table.sql")
                .replace("\"sessions_", &format!("\"{name}_"))
                .replace("\"sessions\"", "$table")
        );
        Self {
            table: table.to_owned(),
            create: sql(&create),
            columns: sql(COLUMNS),
            indexes: sql(INDEXES),
            drop: sql("DROP TABLE IF EXISTS $table"),
            fetch: sql("SELECT id, version, expires_at, format, owner, data FROM $table \
                 WHERE id = $1 AND $expiry > $2"),
            fetch_many: sql("SELECT id, version, expires_at, format, owner, data FROM $table \
                 WHERE id = ANY($1) AND $expiry > $2"),
            saves: Saves::build(sql),
            deletes: Deletes::build(sql),
            announce: sql("SELECT pg_notify($channel, notice) FROM unnest($1) AS notice"),
            notify: sql("SELECT pg_notify($1, '')"),
            identity: sql(IDENTITY),
            // Not greatest(), which would give a record that never expires an expiry.
            touch_any: sql(
                "UPDATE $table SET expires_at = CASE WHEN expires_at < $2 THEN $2 ELSE expires_at END \
                 WHERE id = $1 AND $expiry > $3",
            ),
            touch_version: sql(
                "UPDATE $table SET expires_at = CASE WHEN expires_at < $2 THEN $2 ELSE expires_at END \
                 WHERE id = $1 AND $expiry > $3 AND version = $4",
            ),
            touch_untouched: sql(
                "UPDATE $table SET expires_at = CASE WHEN expires_at < $2 THEN $2 ELSE expires_at END \
                 WHERE id = $1 AND $expiry > $3 AND version = $4 \
                 AND expires_at IS NOT DISTINCT FROM $5",
            ),
            list: sql("SELECT id, version, expires_at, format, owner, data FROM $table \
                 WHERE owner = $1 AND id > $2 AND $expiry > $3 ORDER BY id LIMIT $4"),
            scan: sql("SELECT id, version, expires_at, format, owner, data FROM $table \
                 WHERE id > $1 AND $expiry > $2 ORDER BY id LIMIT $3"),
            // Rows that somebody else is writing are passed over, not waited for. The rows found
            // are locked, so none of them is saved before it is deleted.
            purge: sql("DELETE FROM $table WHERE expires_at <= $1 AND ctid = ANY(ARRAY(\
                 SELECT ctid FROM $table WHERE expires_slot <= $1 >> 20 AND expires_at <= $1 \
                 ORDER BY expires_slot LIMIT $2 FOR UPDATE SKIP LOCKED))"),
            clock: sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"),
            quoted,
        }
    }
}

impl Saves {
    fn build(sql: impl Fn(&str) -> SqlStr) -> Self {
        Self {
            absent: sql("INSERT INTO $table AS stored \
                 (id, version, expires_at, format, owner, data) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET \
                 version = $2, expires_at = $3, format = $4, owner = $5, data = $6 \
                 WHERE stored.expires_at <= $7"),
            version: sql("UPDATE $table SET \
                 version = $2, expires_at = $3, format = $4, owner = $5, data = $6 \
                 WHERE id = $1 AND version = $8 AND $expiry > $7"),
            untouched: sql("UPDATE $table SET \
                 version = $2, expires_at = $3, format = $4, owner = $5, data = $6 \
                 WHERE id = $1 AND version = $8 AND $expiry > $7 \
                 AND expires_at IS NOT DISTINCT FROM $9"),
            any: sql("INSERT INTO $table (id, version, expires_at, format, owner, data) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET \
                 version = $2, expires_at = $3, format = $4, owner = $5, data = $6"),
        }
    }
}

impl Deletes {
    fn build(sql: impl Fn(&str) -> SqlStr) -> Self {
        Self {
            version: sql("DELETE FROM $table \
                 WHERE id = $1 AND version = $2 AND $expiry > $3 \
                 RETURNING id, version, expires_at, format, owner, data"),
            untouched: sql("DELETE FROM $table \
                 WHERE id = $1 AND version = $2 AND $expiry > $3 \
                 AND expires_at IS NOT DISTINCT FROM $4 \
                 RETURNING id, version, expires_at, format, owner, data"),
            any: sql("DELETE FROM $table WHERE id = $1 \
                 RETURNING id, version, expires_at, format, owner, data"),
        }
    }
}

fn is_plain(name: &str, longest: usize) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.starts_with(|first: char| !first.is_ascii_digit())
        && name.len() <= longest
}

/// A record is live before its expiry, not at it; one without expiry has one that never comes.
const EXPIRY: &str = "coalesce(expires_at, 9223372036854775807)";

/// The channel of the table, by the table's own number: hosts that name the table with and without
/// its schema, or that have other search paths, mean the same channel exactly if they mean the same
/// table. The server turns the name into the number when it prepares the statement.
const CHANNEL: &str = "'sessions_' || '$table'::regclass::oid";

/// The number of the table `$1` as [`CHANNEL`] has it, none if it is missing, and the encoding of
/// the database.
const IDENTITY: &str = "SELECT to_regclass($1)::oid::text, getdatabaseencoding()::text";

/// The number of the lock for creating tables: the bytes of "sessions".
const LOCK: i64 = 0x7365_7373_696f_6e73;

/// The columns of the table `$1`, none if it is missing: name, type, whether a row may be inserted
/// without it.
const COLUMNS: &str = "SELECT attname::text, \
     format_type(atttypid, NULL) || CASE attgenerated WHEN '' THEN '' ELSE ' generated' END, NOT attnotnull OR atthasdef FROM pg_attribute \
     WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";

/// How many of the table's indexes are there: the unique one on the id, and those that serve
/// purging and listing.
const INDEXES: &str = "SELECT count(*) FILTER (WHERE indisunique AND indpred IS NULL AND columns = '{id}'), \
     count(*) FILTER (WHERE columns[1] = 'expires_slot'), \
     count(*) FILTER (WHERE columns = '{owner,id}') \
     FROM (SELECT indisunique, indpred, ARRAY(SELECT attname::text FROM unnest(indkey) WITH ORDINALITY \
     AS k (number, place) JOIN pg_attribute ON attrelid = indrelid AND attnum = number \
     ORDER BY place) AS columns FROM pg_index \
     WHERE indrelid = to_regclass($1) AND indisvalid) AS found";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_identifiers_are_table_names() {
        let long = "x".repeat(50);
        let qualified = format!("{}.{long}", "s".repeat(63));
        for name in ["sessions", "_a", "A9", &long, "app.sessions", &qualified] {
            assert!(Statements::new(name).is_some(), "{name}");
        }
        let long = "x".repeat(51);
        let qualified = format!("{}.a", "s".repeat(64));
        for name in [
            "", "9a", "a b", "a\"b", "a;b", "a.b.c", ".a", "a.", "a.9", "ä", "a\0", "a$1", &long,
            &qualified,
        ] {
            assert!(Statements::new(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn the_name_is_put_into_every_statement() {
        let statements = Statements::new("app.visitors").unwrap();
        let create = statements.create.as_str();
        assert!(create.contains("\"visitors_expires_slot\" ON \"app\".\"visitors\""), "{create}");
        assert_eq!(statements.drop.as_str(), "DROP TABLE IF EXISTS \"app\".\"visitors\"");
        let all = format!("{statements:?}");
        assert!(!all.contains("$table") && !all.contains("$expiry") && !all.contains("$channel"));
        assert!(!all.contains("\"sessions"), "{all}");
        let announce = statements.announce.as_str();
        assert!(announce.contains("'\"app\".\"visitors\"'::regclass"), "{announce}");
    }
}
