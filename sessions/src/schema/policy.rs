//! What to do with a field that both sides of a merge changed.

use std::fmt;
use std::fmt::Display;

use super::malformed::Malformed;
use crate::provider::Source;

/// The refusal of a function in `merge(with = ..)`: both requests changed the field, and the
/// function cannot reconcile the changes. The save then fails with
/// [`Error::Conflict`](crate::Error::Conflict).
///
/// ```
/// use sessions::{Session, schema::MergeConflict};
///
/// #[derive(Session)]
/// #[session(name = "visitor", version = 1)]
/// struct Visitor {
///     #[session(merge(with = seats))]
///     seats: u8,
/// }
///
/// fn seats(base: &u8, mine: &u8, theirs: &u8) -> Result<u8, MergeConflict> {
///     let taken = (base - mine) + (base - theirs);
///     base.checked_sub(taken).ok_or(MergeConflict)
/// }
///
/// assert_eq!(seats(&3, &2, &1), Ok(0));
/// assert_eq!(seats(&3, &1, &1), Err(MergeConflict));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeConflict;

impl Display for MergeConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("both sides changed the field and its policy refuses to choose")
    }
}

impl std::error::Error for MergeConflict {}

/// Decodes bytes, and appends the value as this build encodes it, if there is a buffer.
pub type AgainFn = fn(&[u8], Option<&mut Vec<u8>>) -> Result<(), Malformed>;

/// A function that merges a field which both sides changed.
pub type MergeFn = fn(Three<'_>, &mut Vec<u8>) -> Result<(), Refusal>;

/// A field's bytes on the three sides of a merge.
#[derive(Clone, Copy, Debug)]
pub struct Three<'a> {
    /// The field as it was loaded.
    pub base: &'a [u8],
    /// The field as this request has changed it.
    pub mine: &'a [u8],
    /// The field as another request has saved it in the meantime.
    pub theirs: &'a [u8],
}

/// Why a field was not merged.
#[derive(Debug)]
pub enum Refusal {
    /// The policy refuses to choose.
    Conflict,
    /// A side cannot be read, or the result cannot be written.
    Malformed(Source),
}

impl From<Malformed> for Refusal {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.into())
    }
}

/// What to do with a field, or a group, that both sides changed.
#[derive(Clone, Copy, Debug)]
pub enum Policy {
    /// Takes mine, and reports the loss of theirs.
    Mine,
    /// Makes the save fail.
    Conflict,
    /// Takes `None` if either side is `None`, else mine.
    ClearWins,
    /// Applies my insertions and removals to theirs.
    Union(FieldKind),
    /// Appends to theirs what I appended.
    Append,
    /// Calls a function of the three sides.
    Merge(MergeFn),
}

/// What kind of collection a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Not a collection.
    Single,
    /// A list, or a [`Flash`](crate::flash::Flash): elements may repeat.
    List,
    /// A set.
    Set,
    /// A map.
    Map,
}
