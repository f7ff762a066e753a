//! Finds the changed fields, and merges three ways, field by field.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::entries::{Span, Spans};
use super::field::Field;
use super::fields::{Changed, Fields};
use super::policy::{Policy, Refusal, Three};
use super::table::{OWNER_GROUP, Table};
use super::{cbor, collect};
use crate::error::Error;

/// The differences between a base and a value that came from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Whether any field differs.
    pub changed: bool,
    /// Whether a field of the owner group differs, so that the secret must be renewed.
    pub renew: bool,
    /// Whether the owner differs, so that the next owner must not read anything of the last one.
    pub owner: bool,
}

/// The outcome of a merge.
#[derive(Debug)]
pub struct Merged {
    /// The merged fields, at this build's version.
    pub fields: Fields,
    /// The fields in which `mine` overwrote a change of theirs. They are reported, so no loss is
    /// silent.
    pub overwritten: SmallVec<[&'static str; 4]>,
}

/// Compares `mine` with its base. If a value is the same although its bytes differ, `mine` gets the
/// base's bytes, and so do equal elements of a collection: they may hold data that only a newer
/// build knows. Also gives `mine` the base's unknown fields.
///
/// If the owner changed, nothing is taken from the base: every field stays as this build encodes
/// it.
///
/// # Errors
/// [`Error::Encode`] if a changed field could not be read back.
pub fn diff(table: &'static Table, base: &Fields, mine: &mut Fields) -> Result<Diff, Error> {
    let mut diff = Diff::default();
    let mut sides: SmallVec<[Cow<'_, [u8]>; 8]> = SmallVec::with_capacity(table.fields.len());
    let mut changed = Changed::with_capacity(table.fields.len());
    let mut again = Vec::new();
    for (index, field) in table.fields.iter().enumerate() {
        let (was, is) = (base.slice(index), mine.slice(index));
        let side = compare(field, was, is, &mut again);
        changed.push(side.is_some());
        if side.is_some() {
            diff.changed = true;
            diff.renew |= field.group == Some(OWNER_GROUP);
        }
        sides.push(side.unwrap_or(Cow::Borrowed(was)));
    }
    if diff.changed {
        // No build has yet read back what this build converted from an older record, or created.
        let is_new = base.version < table.schema.version;
        for (index, field) in table.fields.iter().enumerate() {
            if is_new || changed[index] {
                (field.again)(mine.slice(index), None)
                    .map_err(|source| table.not_encoded(index, source))?;
            }
        }
    }
    if table.owner.as_ref().is_some_and(|owner| changed[owner.field]) {
        // An owner that cannot be read counts as another owner.
        diff.owner = base.owner(table).ok() != Some(mine.owner(table)?);
    }
    let is_mine = |(index, side): (usize, &Cow<'_, [u8]>)| mine.slice(index) == &**side;
    let restored = !diff.owner && !sides.iter().enumerate().all(is_mine);
    let restored = restored.then(|| join(&sides));
    drop(sides);
    if let Some((data, spans)) = restored {
        (mine.data, mine.spans) = (data.into(), spans);
    }
    mine.changed = changed;
    mine.forget = diff.owner;
    if diff.owner {
        (mine.unknown, mine.version, mine.min_reader) = (None, 0, 0);
    } else {
        mine.unknown = base.unknown.clone();
        (mine.version, mine.min_reader) = (base.version, base.min_reader);
    }
    Ok(diff)
}

/// Returns the bytes of a changed field, or `None` if it did not change.
fn compare<'a>(
    field: &Field,
    was: &[u8],
    is: &'a [u8],
    again: &mut Vec<u8>,
) -> Option<Cow<'a, [u8]>> {
    if field.is_same(was, is) {
        return None;
    }
    // Encode the base as this build does. This build does not know what is missing then, so it
    // cannot have changed it.
    again.clear();
    again.reserve(was.len());
    if (field.again)(was, Some(again)).is_err() || field.is_same(was, again) {
        return Some(Cow::Borrowed(is));
    }
    if field.is_same(again, is) {
        return None;
    }
    let restored = collect::restore(field, was, is);
    Some(restored.map_or(Cow::Borrowed(is), Cow::Owned))
}

/// Three-way merge, field by field. `mine` has been through [`diff`].
///
/// # Errors
/// [`Error::Conflict`] if a policy refuses, [`Error::Decode`] if a field cannot be read.
pub fn merge(
    table: &'static Table,
    base: &Fields,
    mine: &Fields,
    theirs: &Fields,
) -> Result<Merged, Error> {
    let sides = Sides { table, base, mine, theirs };
    let owner = sides.owner()?;
    let mut overwritten = SmallVec::new();
    if let OwnerChange::Replaced = owner {
        let lost = (0..table.fields.len()).filter(|index| sides.theirs_changed(*index));
        overwritten.extend(lost.map(|index| table.fields[index].name));
        return Ok(Merged { fields: mine.clone(), overwritten });
    }

    let mut merged = Vec::with_capacity(theirs.data.len());
    let mut buffer = Vec::new();
    let mut spans = SmallVec::with_capacity(table.fields.len());
    let groups = sides.groups(&owner, &mut overwritten)?;
    for (index, field) in table.fields.iter().enumerate() {
        let start = merged.len();
        match field.group.map(|group| &groups[group]) {
            Some(Side::Mine) => merged.extend_from_slice(mine.slice(index)),
            Some(Side::Theirs) => merged.extend_from_slice(theirs.slice(index)),
            None => {
                if sides.merge_field(index, &mut merged)? {
                    overwritten.push(field.name);
                }
            }
        }
        if mine.forget {
            // Unknown fields that a newer build stored for an anonymous visitor do not go to an
            // owner.
            buffer.clear();
            (field.again)(&merged[start..], Some(&mut buffer))
                .map_err(|source| theirs.table.unreadable(index, source.into()))?;
            merged.truncate(start);
            merged.extend_from_slice(&buffer);
        }
        spans.push(Span::new(start..merged.len()));
    }

    let mut fields = Fields::new(table, merged.into(), spans);
    fields.forget = mine.forget;
    if !mine.forget {
        fields.unknown = theirs.unknown.clone();
        fields.version = theirs.version.max(mine.version);
        fields.min_reader = theirs.min_reader.max(mine.min_reader);
    }
    Ok(Merged { fields, overwritten })
}

/// Applies the changes of `mine` to the values of a new session: for an owner who proved who they
/// are, while their previous session continued without them. The owner group is entirely mine.
///
/// # Errors
/// As [`merge`].
pub fn replay(
    table: &'static Table,
    base: &Fields,
    mine: &Fields,
    fresh: &Fields,
) -> Result<Fields, Error> {
    // As if nobody had owned the session before.
    let sides = table.fields.iter().enumerate().map(|(index, field)| match field.group {
        Some(OWNER_GROUP) => Cow::Borrowed(fresh.slice(index)),
        _ => Cow::Borrowed(base.slice(index)),
    });
    let (data, spans) = join(&sides.collect::<SmallVec<[Cow<'_, [u8]>; 8]>>());
    let base = Fields::new(table, data.into(), spans);
    let mut mine = mine.clone();
    diff(table, &base, &mut mine)?;
    Ok(merge(table, &base, &mine, fresh)?.fields)
}

/// The three sides of a merge.
struct Sides<'a> {
    table: &'static Table,
    base: &'a Fields,
    mine: &'a Fields,
    theirs: &'a Fields,
}

/// Which side a group is taken from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Mine,
    Theirs,
}

/// What my side did to the owner.
#[derive(PartialEq, Eq)]
enum OwnerChange {
    None,
    /// From nobody to somebody.
    Appeared,
    /// From somebody to somebody else, or to nobody.
    Replaced,
}

impl Sides<'_> {
    fn mine_changed(&self, index: usize) -> bool {
        self.mine.changed.get(index).copied().unwrap_or_else(|| {
            !self.table.fields[index].is_same(self.base.slice(index), self.mine.slice(index))
        })
    }

    fn theirs_changed(&self, index: usize) -> bool {
        !self.table.fields[index].is_same(self.base.slice(index), self.theirs.slice(index))
    }

    fn conflict(&self, field: &'static str) -> Error {
        Error::Conflict {
            session: Cow::Borrowed(self.table.schema.name),
            field: Cow::Borrowed(field),
        }
    }

    /// Returns what my side did to the owner. If theirs made another person the owner, nothing may
    /// be mixed: this is a conflict with every policy.
    fn owner(&self) -> Result<OwnerChange, Error> {
        let Some(owner) = &self.table.owner else { return Ok(OwnerChange::None) };
        let changed = self.mine.forget;
        if !changed && !self.theirs_changed(owner.field) {
            return Ok(OwnerChange::None);
        }
        let was = self.base.owner(self.table)?;
        let theirs = self.theirs.owner(self.table)?;
        if changed && was.is_some() {
            return Ok(OwnerChange::Replaced);
        }
        let expected = if changed { self.mine.owner(self.table)? } else { was.clone() };
        let is_anothers = theirs != was && (was.is_some() || changed && theirs != expected);
        if is_anothers {
            return Err(self.conflict(self.table.fields[owner.field].name));
        }
        Ok(if changed { OwnerChange::Appeared } else { OwnerChange::None })
    }

    /// The side of each group.
    fn groups(
        &self,
        owner: &OwnerChange,
        overwritten: &mut SmallVec<[&'static str; 4]>,
    ) -> Result<SmallVec<[Side; 4]>, Error> {
        let mut sides = SmallVec::with_capacity(self.table.groups.len());
        for (group, entry) in self.table.groups.iter().enumerate() {
            let fields = self.table.fields.iter().enumerate();
            let members = fields.filter(|(_, field)| field.group == Some(group));
            let is_mine = members.clone().any(|(index, _)| self.mine_changed(index));
            let is_theirs = members.clone().any(|(index, _)| self.theirs_changed(index));
            let appeared = group == OWNER_GROUP && *owner == OwnerChange::Appeared;
            let side = if is_mine || appeared { Side::Mine } else { Side::Theirs };
            sides.push(side);
            if !(side == Side::Mine && is_theirs) {
                continue;
            }
            if !appeared && matches!(entry.policy, Policy::Conflict) {
                let first = members.clone().next().map_or(entry.name, |(_, field)| field.name);
                return Err(self.conflict(first));
            }
            let lost = members.filter(|(index, field)| {
                self.theirs_changed(*index)
                    && !field.is_same(self.mine.slice(*index), self.theirs.slice(*index))
            });
            overwritten.extend(lost.map(|(_, field)| field.name));
        }
        Ok(sides)
    }

    /// Appends the merged bytes of one field, and returns whether mine overwrote a change of
    /// theirs.
    fn merge_field(&self, index: usize, out: &mut Vec<u8>) -> Result<bool, Error> {
        let field = &self.table.fields[index];
        let three = Three {
            base: self.base.slice(index),
            mine: self.mine.slice(index),
            theirs: self.theirs.slice(index),
        };
        if !self.mine_changed(index) {
            out.extend_from_slice(three.theirs);
            return Ok(false);
        }
        if !self.theirs_changed(index) {
            out.extend_from_slice(three.mine);
            return Ok(false);
        }
        let start = out.len();
        let overwrote = both_changed(field, three, out).map_err(|refusal| match refusal {
            Refusal::Conflict => self.conflict(field.name),
            Refusal::Malformed(source) => self.theirs.table.unreadable(index, source),
        })?;
        // A converted value must be readable, too.
        (field.again)(&out[start..], None)
            .map_err(|source| self.table.not_encoded(index, source))?;
        Ok(overwrote)
    }
}

fn both_changed(field: &Field, three: Three<'_>, out: &mut Vec<u8>) -> Result<bool, Refusal> {
    match field.policy {
        Policy::Conflict => return Err(Refusal::Conflict),
        Policy::Union(_) => return collect::union(field, three, out),
        Policy::Append => collect::append(field, three, out)?,
        Policy::Merge(function) => function(three, out)?,
        Policy::ClearWins if three.theirs == [cbor::NULL] => out.extend_from_slice(three.theirs),
        Policy::ClearWins | Policy::Mine => {
            out.extend_from_slice(three.mine);
            let cleared = matches!(field.policy, Policy::ClearWins) && three.mine == [cbor::NULL];
            return Ok(!cleared && !field.is_same(three.mine, three.theirs));
        }
    }
    Ok(false)
}

/// Copies slices into one buffer.
fn join(slices: &[Cow<'_, [u8]>]) -> (Vec<u8>, Spans) {
    let mut data = Vec::with_capacity(slices.iter().map(|slice| slice.len()).sum());
    let spans = slices.iter().map(|slice| {
        let start = data.len();
        data.extend_from_slice(slice);
        Span::new(start..data.len())
    });
    let spans = spans.collect();
    (data, spans)
}
