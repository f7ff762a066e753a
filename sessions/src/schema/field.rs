//! One field of a session type, and what several share.

use super::canonical::Order;
use super::policy::{AgainFn, FieldKind, Policy};
use crate::provider::Source;

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
    pub kind: FieldKind,
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

impl Field {
    /// Whether two encodings are of the same value, so that one may replace the other.
    pub(crate) fn is_same(&self, one: &[u8], other: &[u8]) -> bool {
        self.order.is_same(one, other)
    }
}
