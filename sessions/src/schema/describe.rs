//! The public description of a session type's schema, version by version.

use std::fmt;

/// The schema of a session type at each version that this build reads:
/// [`SessionData::SCHEMA`](crate::SessionData::SCHEMA).
///
/// Its `Display` form is stable text for a test, with one line for each version and field. Commit
/// it beside the struct: the test fails if the schema changes without a new version.
///
/// ```
/// use sessions::{Session, SessionData};
///
/// #[derive(Session)]
/// #[session(name = "visitor", version = 2)]
/// struct Visitor {
///     visits: u64,
///     #[session(since = 2)]
///     locale: String,
/// }
///
/// assert_eq!(
///     Visitor::SCHEMA.to_string(),
///     "\
/// session visitor, version 2
/// version 1, read by 1 and later
///   visits: u64
/// version 2, read by 1 and later
///   visits: u64
///   locale: String
/// "
/// );
/// ```
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Schema {
    /// The name of the session type.
    pub name: &'static str,
    /// The schema version of this build.
    pub version: u16,
    /// The version that this build writes. It is lower than `version` during the first of two
    /// deploys.
    pub write: u16,
    /// Each version from the oldest readable one to `version`, in ascending order.
    pub versions: &'static [SchemaVersion],
}

/// The schema of a session type at one version; part of a [`Schema`].
///
/// ```
/// # use sessions::{Session, SessionData};
/// #[derive(Session)]
/// #[session(name = "visitor", version = 1)]
/// struct Visitor {
///     visits: u64,
/// }
///
/// assert_eq!(Visitor::SCHEMA.versions[0].min_reader, 1);
/// ```
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaVersion {
    /// The version's number.
    pub version: u16,
    /// The lowest schema version whose builds can read records of this version.
    pub min_reader: u16,
    /// The fields in records of this version. The current ones come first.
    pub fields: &'static [SchemaField],
}

/// A field as one version of a schema stores it; part of a [`SchemaVersion`].
///
/// ```
/// # use sessions::{Session, SessionData};
/// #[derive(Session)]
/// #[session(name = "visitor", version = 1)]
/// struct Visitor {
///     #[session(key = "hits")]
///     visits: u64,
/// }
///
/// let field = &Visitor::SCHEMA.versions[0].fields[0];
/// assert_eq!((field.key, field.ty), ("hits", "u64"));
/// ```
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaField {
    /// The field's key in the record.
    pub key: &'static str,
    /// The field's type, as written in the source.
    pub ty: &'static str,
}

impl Schema {
    #[doc(hidden)]
    #[must_use]
    pub const fn of(
        name: &'static str,
        version: u16,
        write: u16,
        versions: &'static [SchemaVersion],
    ) -> Self {
        Self { name, version, write, versions }
    }
}

impl SchemaVersion {
    #[doc(hidden)]
    #[must_use]
    pub const fn of(version: u16, min_reader: u16, fields: &'static [SchemaField]) -> Self {
        Self { version, min_reader, fields }
    }
}

impl SchemaField {
    #[doc(hidden)]
    #[must_use]
    pub const fn of(key: &'static str, ty: &'static str) -> Self {
        Self { key, ty }
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}, version {}", self.name, self.version)?;
        if self.write != self.version {
            write!(f, ", written as {}", self.write)?;
        }
        writeln!(f)?;
        for version in self.versions {
            writeln!(f, "version {}, read by {} and later", version.version, version.min_reader)?;
            for field in version.fields {
                writeln!(f, "  {}: {}", field.key, field.ty)?;
            }
        }
        Ok(())
    }
}
