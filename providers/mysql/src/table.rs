//! What a table of the provider's name has, and what it lacks.

use sqlx::mysql::MySqlRow;
use sqlx::{Error, Row as _};

/// What is missing from a table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lacks {
    Table,
    /// Something that `create_table` does not change.
    Columns,
    /// Indexes, maybe none, as `ADD KEY` takes them.
    Indexes(Vec<&'static str>),
}

/// Compares the rows of `SHOW COLUMNS` and `SHOW INDEX` with what the provider needs.
pub(crate) fn lacks(columns: &[MySqlRow], indexes: &[MySqlRow]) -> Result<Lacks, Error> {
    let columns = columns.iter().map(to_column).collect::<Result<Vec<_>, _>>()?;
    let parts = indexes.iter().map(to_part).collect::<Result<Vec<_>, _>>()?;
    Ok(if fits(&columns) && is_unique(&parts) {
        Lacks::Indexes(missing(&parts))
    } else {
        Lacks::Columns
    })
}

#[derive(Debug)]
struct Column {
    name: String,
    of_type: String,
    nullable: bool,
    generated: bool,
    /// Whether a row may be inserted without it.
    optional: bool,
}

/// A column of an index.
#[derive(Clone, Debug)]
struct Part {
    index: String,
    unique: bool,
    /// From 1.
    place: String,
    column: String,
}

fn to_column(row: &MySqlRow) -> Result<Column, Error> {
    let extra = text(row, "Extra")?.unwrap_or_default().to_ascii_uppercase();
    let nullable = text(row, "Null")?.as_deref() == Some("YES");
    let has_default = text(row, "Default")?.is_some();
    Ok(Column {
        name: text(row, "Field")?.unwrap_or_default(),
        of_type: without_width(&text(row, "Type")?.unwrap_or_default()),
        nullable,
        generated: extra.contains("GENERATED") && !extra.contains("DEFAULT"),
        optional: nullable || has_default || !extra.is_empty(),
    })
}

fn to_part(row: &MySqlRow) -> Result<Part, Error> {
    Ok(Part {
        index: text(row, "Key_name")?.unwrap_or_default(),
        unique: text(row, "Non_unique")?.as_deref() == Some("0"),
        place: text(row, "Seq_in_index")?.unwrap_or_default(),
        // An index on an expression has none.
        column: text(row, "Column_name")?.unwrap_or_default(),
    })
}

/// A value as text, whatever type the server gives it.
fn text(row: &MySqlRow, name: &str) -> Result<Option<String>, Error> {
    let bytes: Option<Vec<u8>> = row.try_get_unchecked(name)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// `bigint(20) unsigned`, as MariaDB and older MySQL write it, is `bigint unsigned`.
fn without_width(of_type: &str) -> String {
    match of_type.strip_prefix("bigint(").and_then(|rest| rest.split_once(')')) {
        Some((_, rest)) => format!("bigint{rest}"),
        None => of_type.to_owned(),
    }
}

fn fits(columns: &[Column]) -> bool {
    let is_there = |(name, of_type, nullable): &(&str, &str, bool)| {
        columns.iter().any(|column| {
            column.name == *name
                && column.of_type == *of_type
                && column.nullable == *nullable
                && column.generated == (*name == GENERATED)
        })
    };
    let is_strange = |column: &Column| {
        !column.optional && !COLUMNS.iter().any(|(name, ..)| *name == column.name)
    };
    COLUMNS.iter().all(is_there) && !columns.iter().any(is_strange)
}

/// Whether the id is unique, and nothing else: a save over another record would replace it.
fn is_unique(parts: &[Part]) -> bool {
    let mut unique = parts.iter().filter(|part| part.unique).peekable();
    unique.peek().is_some() && unique.all(|part| part.column == "id" && part.place == "1")
}

fn missing(parts: &[Part]) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !parts.iter().any(|part| part.column == "expires_slot" && part.place == "1") {
        missing.push("expires_slot (expires_slot)");
    }
    // InnoDB puts the id behind the columns of every index. Another column would stand between.
    let serves = |part: &Part| {
        let next = parts.iter().find(|next| next.index == part.index && next.place == "2");
        part.column == "owner" && part.place == "1" && next.is_none_or(|next| next.column == "id")
    };
    if !parts.iter().any(serves) {
        missing.push("owner (owner, id)");
    }
    missing
}

/// The columns, their types as the server names them, and whether they take `NULL`.
const COLUMNS: [(&str, &str, bool); 7] = [
    ("id", "varbinary(255)", false),
    ("version", "bigint unsigned", false),
    ("expires_at", "bigint", true),
    (GENERATED, "bigint", true),
    ("format", "varbinary(255)", false),
    ("owner", "varbinary(255)", true),
    ("data", "longblob", false),
];

/// The column that the server works out. It would stay empty otherwise, and nothing be purged.
const GENERATED: &str = "expires_slot";

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        let column = |(name, of_type, nullable): (&str, &str, bool)| Column {
            name: name.to_owned(),
            of_type: of_type.to_owned(),
            nullable,
            generated: name == GENERATED,
            optional: nullable,
        };
        COLUMNS.map(column).into()
    }

    fn index(index: &str, unique: bool, columns: &[&str]) -> Vec<Part> {
        let part = |(place, column): (usize, &&str)| Part {
            index: index.to_owned(),
            unique,
            place: (place + 1).to_string(),
            column: (*column).to_owned(),
        };
        columns.iter().enumerate().map(part).collect()
    }

    #[test]
    fn servers_write_one_type_in_two_ways() {
        assert_eq!(without_width("bigint(20) unsigned"), "bigint unsigned");
        assert_eq!(without_width("bigint(20)"), "bigint");
        assert_eq!(without_width("bigint unsigned"), "bigint unsigned");
        assert_eq!(without_width("varbinary(255)"), "varbinary(255)");
    }

    #[test]
    fn columns_beside_ours_must_be_optional() {
        assert!(fits(&columns()));
        for missing in 0..COLUMNS.len() {
            let mut columns = columns();
            columns.remove(missing);
            assert!(!fits(&columns));
        }
        for optional in [true, false] {
            let (name, of_type) = ("note".to_owned(), "text".to_owned());
            let note = Column { name, of_type, nullable: false, generated: false, optional };
            let mut columns = columns();
            columns.push(note);
            assert_eq!(fits(&columns), optional);
        }
    }

    #[test]
    fn the_slot_must_be_generated_and_nothing_else() {
        for column in 0..COLUMNS.len() {
            let mut columns = columns();
            columns[column].generated ^= true;
            assert!(!fits(&columns), "{}", columns[column].name);
        }
    }

    #[test]
    fn only_the_id_may_be_unique() {
        let primary = || index("PRIMARY", true, &["id"]);
        assert!(is_unique(&primary()));
        assert!(!is_unique(&index("id", false, &["id"])));
        assert!(!is_unique(&index("PRIMARY", true, &["id", "owner"])));
        let two = [primary(), index("one", true, &["owner"])].concat();
        assert!(!is_unique(&two));
    }

    #[test]
    fn indexes_that_serve_are_taken_by_whatever_name() {
        let primary = index("PRIMARY", true, &["id"]);
        assert_eq!(missing(&primary), ["expires_slot (expires_slot)", "owner (owner, id)"]);
        for (columns, left) in [
            (&["owner"][..], &["expires_slot (expires_slot)"][..]),
            (&["owner", "id"], &["expires_slot (expires_slot)"]),
            (&["owner", "version"], &["expires_slot (expires_slot)", "owner (owner, id)"]),
            (&["id", "owner"], &["expires_slot (expires_slot)", "owner (owner, id)"]),
            (&["expires_slot", "owner"], &["owner (owner, id)"]),
        ] {
            assert_eq!(missing(&index("mine", false, columns)), left, "{columns:?}");
        }
    }
}
