//! What the store does with a type's fields without knowing the type.

use super::canonical::Order;
use super::policy::{AgainFn, Kind, Policy};
use super::{Downgrade, Fields, Schema, Stored};
use crate::Error;
use crate::error::Source;

/// A session type as the store sees it: a constant that the derive builds.
#[derive(Debug)]
pub struct Table {
    /// The public description.
    pub schema: &'static Schema,
    /// `"<name>/<version>"`.
    pub format: &'static str,
    /// The lowest readable version.
    pub oldest: u16,
    /// The stored fields, in the order of their declaration.
    pub fields: &'static [Field],
    /// The groups' policies; the owner group is the first.
    pub groups: &'static [Group],
    /// The owner field, if there is one.
    pub owner: Option<Owner>,
    /// Former keys, which no field of this version has. A save drops them.
    pub retired: &'static [&'static str],
    /// Decodes a record of an older version and encodes it at this one.
    pub migrate: fn(&Stored) -> Result<Fields, Error>,
    /// Writes the fields as an older version had them, if `write` is set.
    pub downgrade: Option<DowngradeFn>,
}

/// Writes fields as an older version had them.
pub type DowngradeFn = fn(&mut Downgrade<'_>) -> Result<(), Error>;

/// A stored field of the newest version.
#[derive(Debug)]
pub struct Field {
    /// The name in the struct, for messages.
    pub name: &'static str,
    /// The key in the record.
    pub key: &'static str,
    /// The index of its group.
    pub group: Option<usize>,
    /// What to do when both sides changed it.
    pub policy: Policy,
    /// Which order is part of its value.
    pub order: Order,
    /// What kind of collection it is.
    pub kind: Kind,
    /// Decodes bytes, and encodes the value again.
    pub again: AgainFn,
    /// The same for an element of a collection or an entry's key, and for an entry's value.
    pub elements: (AgainFn, AgainFn),
}

/// Fields that move together.
#[derive(Debug)]
pub struct Group {
    /// The name in the attribute.
    pub name: &'static str,
    /// What to do when both sides changed it: `Mine` or `Conflict`.
    pub policy: Policy,
}

/// The owner field.
#[derive(Debug)]
pub struct Owner {
    /// Its index among the fields.
    pub field: usize,
    /// Displays an encoded owner; `None` for nobody.
    pub display: fn(&[u8]) -> Result<Option<String>, Source>,
}

/// The index of the owner group, which every table has.
pub const OWNER_GROUP: usize = 0;

impl Field {
    /// Whether two encodings are of the same value, so that one may replace the other.
    pub(crate) fn is_same(&self, one: &[u8], other: &[u8]) -> bool {
        self.order.is_same(one, other)
    }
}

impl Table {
    /// Returns the lowest version that can read records written at `version`.
    pub(crate) fn min_reader(&self, version: u16) -> u16 {
        let versions = self.schema.versions;
        versions.iter().find(|entry| entry.version == version).map_or(1, |entry| entry.min_reader)
    }

    /// Returns the index of the field that this version stores under `key`. The search starts at
    /// `expected`, the position in a record that this version wrote.
    #[inline]
    pub(crate) fn find(&self, expected: usize, key: &[u8]) -> Option<usize> {
        let at = |index: &usize| self.fields[*index].key.as_bytes() == key;
        if expected < self.fields.len() && at(&expected) {
            return Some(expected);
        }
        (0..self.fields.len()).find(at)
    }

    /// Whether `key` is a retired key.
    pub(crate) fn is_retired(&self, key: &[u8]) -> bool {
        self.retired.iter().any(|retired| retired.as_bytes() == key)
    }
}
