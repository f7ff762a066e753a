//! What to do with a field that both sides of a merge changed.

use std::fmt;
use std::fmt::Display;

use super::malformed::Malformed;
use crate::provider::Source;

/// Both sides changed the field and their changes cannot be reconciled: what a function given to
/// `merge(with = ..)` returns to refuse. The save then fails with
/// [`Error::Conflict`](crate::Error::Conflict).
///
/// ```
/// use sessions::{MergeConflict, Session};
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

/// Decodes bytes, and appends the value as this build encodes it where there is a buffer.
pub type AgainFn = fn(&[u8], Option<&mut Vec<u8>>) -> Result<(), Malformed>;

/// Merges a field that both sides changed.
pub type MergeFn = fn(Three<'_>, &mut Vec<u8>) -> Result<(), Refusal>;

/// A field's bytes on the three sides of a merge.
#[derive(Clone, Copy, Debug)]
pub struct Three<'a> {
    /// As it was loaded.
    pub base: &'a [u8],
    /// As this request has made it.
    pub mine: &'a [u8],
    /// As another request has saved it meanwhile.
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
    /// Mine; the loss of theirs is reported.
    Mine,
    /// The save fails.
    Conflict,
    /// `None` beats `Some`, else mine.
    ClearWins,
    /// My insertions and removals replayed on theirs.
    Union(Kind),
    /// What I appended, appended to theirs.
    Append,
    /// A function of the three.
    Merge(MergeFn),
}

/// What kind of collection a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// None.
    Single,
    /// A list, or a [`Flash`]: elements may repeat.
    List,
    /// A set.
    Set,
    /// A map.
    Map,
}
