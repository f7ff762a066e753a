//! Encoded collections: their elements as slices, and applying one side's changes to the other.
//!
//! It works on bytes, so one copy of the code serves every type.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use smallvec::SmallVec;

use super::canonical::loose;
use super::field::Field;
use super::malformed::{Malformed, Reason};
use super::policy::{AgainFn, FieldKind, Refusal, Three};
use super::{cbor, wire};

/// An element, or an entry of a map, as encoded.
#[derive(Clone, Copy, Debug)]
struct Item<'a> {
    /// The element, or the entry's key.
    key: &'a [u8],
    /// The entry's value; empty for an element.
    value: &'a [u8],
}

/// The forms by which an item is compared.
struct Form<'a> {
    key: Key<'a>,
    value: Cow<'a, [u8]>,
}

/// The items of one side.
struct Side<'a> {
    items: Vec<Item<'a>>,
    forms: Vec<Form<'a>>,
}

impl<'a> Side<'a> {
    /// The items of a side as they are.
    fn plain(bytes: &'a [u8], field: &Field) -> Result<Self, Malformed> {
        let items = items(bytes)?;
        let order = field.order.inner();
        let form = |item: &Item<'a>| Form {
            key: Key(order.form(item.key)),
            value: order.form(item.value),
        };
        let forms = items.iter().map(form).collect();
        Ok(Self { items, forms })
    }

    /// The items of a side that another build may have encoded. Two items are the same if this
    /// build encodes them the same.
    fn again(bytes: &'a [u8], field: &Field) -> Result<Self, Malformed> {
        let items = items(bytes)?;
        let order = field.order.inner();
        let form = |bytes: &'a [u8], again: AgainFn| {
            let mut encoded = Vec::with_capacity(bytes.len());
            match again(bytes, Some(&mut encoded)) {
                Ok(()) if encoded != bytes => Cow::Owned(order.form(&encoded).into_owned()),
                _ => order.form(bytes),
            }
        };
        let (key, value) = field.elements;
        let is_map = field.kind == FieldKind::Map;
        let form = |item: &Item<'a>| Form {
            key: Key(form(item.key, key)),
            value: if is_map { form(item.value, value) } else { Cow::Borrowed(item.value) },
        };
        let forms = items.iter().map(form).collect();
        Ok(Self { items, forms })
    }

    fn keys(&self) -> impl Iterator<Item = &Key<'a>> + Clone {
        self.forms.iter().map(|form| &form.key)
    }

    fn value(&self, index: usize) -> &[u8] {
        &self.forms[index].value
    }
}

/// Applies the changes from `base` to `mine` to `theirs`. Returns whether it overwrote a change of
/// theirs, which only happens for entries of a map.
pub(super) fn union(field: &Field, three: Three<'_>, out: &mut Vec<u8>) -> Result<bool, Refusal> {
    let kind = field.kind;
    let (base, mine) = (Side::again(three.base, field)?, Side::again(three.mine, field)?);
    let theirs = Side::again(three.theirs, field)?;
    let mut overwrote = false;
    let (ours, reordered) = match_up(kind, &base, &mine);
    let Pairs { pairs, left: removed, right: mut additions } = ours;
    let (Pairs { pairs: found, .. }, found_reordered) = match_up(kind, &base, &theirs);
    let mut place_of = vec![None; base.items.len()];
    for (index, place) in found.into_iter().chain(found_reordered) {
        place_of[index] = Some(place);
    }

    // The result for each of their items: it is removed, or one of mine replaces it.
    let mut result: Vec<Option<Item<'_>>> = theirs.items.iter().copied().map(Some).collect();
    for index in removed {
        if let Some(place) = place_of[index] {
            result[place] = None;
            overwrote |= kind == FieldKind::Map && base.value(index) != theirs.value(place);
        }
    }
    for (index, mine_index) in reordered {
        match place_of[index] {
            Some(place) => result[place] = Some(mine.items[mine_index]),
            // They changed or removed it, so theirs wins.
            None => overwrote = true,
        }
    }
    if kind == FieldKind::Map {
        for (index, mine_index) in pairs {
            if base.value(index) == mine.value(mine_index) {
                continue;
            }
            match place_of[index] {
                Some(place) => {
                    overwrote |= base.value(index) != theirs.value(place)
                        && mine.value(mine_index) != theirs.value(place);
                    result[place] = Some(mine.items[mine_index]);
                }
                None => {
                    overwrote = true;
                    additions.push(mine_index);
                }
            }
        }
    }
    if matches!(kind, FieldKind::Set | FieldKind::Map) {
        // An item that both sides added appears once.
        let twice = pair(additions.iter().map(|index| &mine.forms[*index].key), theirs.keys());
        let mut is_twice = vec![false; additions.len()];
        for (index, place) in twice.pairs {
            if result[place].is_none() {
                continue;
            }
            is_twice[index] = true;
            let mine_index = additions[index];
            overwrote |= kind == FieldKind::Map && mine.value(mine_index) != theirs.value(place);
            result[place] = Some(mine.items[mine_index]);
        }
        let mut is_twice = is_twice.into_iter();
        additions.retain(|_| !is_twice.next().unwrap_or(false));
    }

    let mut result: Vec<Item<'_>> = result.into_iter().flatten().collect();
    result.extend(additions.into_iter().map(|index| mine.items[index]));
    put(kind, &result, out);
    Ok(overwrote)
}

/// Returns mine with the base's bytes for each element, and each value of a map, that is the same:
/// another build encoded `base`, this one encoded `mine`. Returns `None` if there is nothing to
/// restore.
pub(super) fn restore(field: &Field, base: &[u8], mine: &[u8]) -> Option<Vec<u8>> {
    if field.kind == FieldKind::Single {
        return None;
    }
    let (base, mine) = (Side::again(base, field).ok()?, Side::plain(mine, field).ok()?);
    let mut items = mine.items.clone();
    for (index, place) in pair(base.keys(), mine.keys()).pairs {
        items[place].key = base.items[index].key;
        if base.value(index) == mine.value(place) {
            items[place].value = base.items[index].value;
        }
    }
    let mut out = Vec::new();
    put(field.kind, &items, &mut out);
    Some(out)
}

/// Appends to `theirs` what `mine` appended to `base`.
pub(super) fn append(field: &Field, three: Three<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let (base, mine) = (Side::again(three.base, field)?, Side::again(three.mine, field)?);
    let mut result = items(three.theirs)?;
    let length = base.items.len();
    if mine.items.len() < length || !base.keys().eq(mine.keys().take(length)) {
        return Err(Refusal::Conflict);
    }
    result.extend_from_slice(&mine.items[length..]);
    put(FieldKind::List, &result, out);
    Ok(())
}

/// The elements of an array, or the entries of a map.
fn items(bytes: &[u8]) -> Result<Vec<Item<'_>>, Malformed> {
    let head = wire::head(bytes, 0)?;
    let is_map = match head.major {
        cbor::ARRAY => false,
        cbor::MAP => true,
        _ => return Err(Reason::Type("a collection", bytes[0]).into()),
    };
    // The end of the items, before the break of a collection of indefinite length.
    let end = if head.argument.is_none() { bytes.len() - 1 } else { bytes.len() };
    let mut at = head.end;
    let mut next = || {
        let start = at;
        at = wire::skip(bytes, at, cbor::MAX_DEPTH)?;
        Ok::<_, Malformed>((&bytes[start..at], at))
    };
    let mut items = Vec::new();
    let mut done = head.end;
    while done < end {
        let (key, after) = next()?;
        let (value, after) = if is_map { next()? } else { (&[][..], after) };
        items.push(Item { key, value });
        done = after;
    }
    Ok(items)
}

fn put(kind: FieldKind, items: &[Item<'_>], out: &mut Vec<u8>) {
    let major = if kind == FieldKind::Map { cbor::MAP } else { cbor::ARRAY };
    wire::put_head(out, major, items.len() as u64);
    for item in items {
        out.extend_from_slice(item.key);
        out.extend_from_slice(item.value);
    }
}

/// Pairs the items of two sides. Then pairs the remaining elements that differ only in the order
/// inside them: a hash set in a list is encoded in another order each time, and without this step
/// each of its elements would count as removed and added by both requests.
fn match_up(kind: FieldKind, one: &Side<'_>, other: &Side<'_>) -> (Pairs, Vec<(usize, usize)>) {
    let mut pairs = pair(one.keys(), other.keys());
    if kind == FieldKind::Map || pairs.left.is_empty() || pairs.right.is_empty() {
        return (pairs, Vec::new());
    }
    let loose = |side: &Side<'_>, indices: &[usize]| {
        let keys = indices.iter().map(|index| Key(Cow::Owned(loose(side.items[*index].key))));
        keys.collect::<Vec<_>>()
    };
    let (left, right) = (loose(one, &pairs.left), loose(other, &pairs.right));
    let again = pair(left.iter(), right.iter());
    let reordered = again.pairs.iter().map(|(at, place)| (pairs.left[*at], pairs.right[*place]));
    let reordered = reordered.collect();
    pairs.left = again.left.into_iter().map(|at| pairs.left[at]).collect();
    pairs.right = again.right.into_iter().map(|at| pairs.right[at]).collect();
    (pairs, reordered)
}

/// The equal items of two sides, and the remaining items of either side, in order. All are indices.
struct Pairs {
    pairs: Vec<(usize, usize)>,
    left: Vec<usize>,
    right: Vec<usize>,
}

/// Pairs each key of `one` with an equal one of `other`.
///
/// The time is linear for all keys: the standard map's hash has a random key, so a visitor cannot
/// send strings that all fall into one bucket.
fn pair<'k>(
    one: impl Iterator<Item = &'k Key<'k>>,
    other: impl Iterator<Item = &'k Key<'k>> + Clone,
) -> Pairs {
    let mut places: HashMap<&Key<'_>, SmallVec<[usize; 1]>> = HashMap::new();
    let mut taken = Vec::new();
    for (index, key) in other.enumerate() {
        places.entry(key).or_default().push(index);
        taken.push(false);
    }
    // The first of several equal ones is taken first.
    places.values_mut().for_each(|places| places.reverse());
    let (mut pairs, mut left) = (Vec::new(), Vec::new());
    for (index, key) in one.enumerate() {
        match places.get_mut(key).and_then(SmallVec::pop) {
            Some(place) => {
                taken[place] = true;
                pairs.push((index, place));
            }
            None => left.push(index),
        }
    }
    let right = (0..taken.len()).filter(|index| !taken[*index]).collect();
    Pairs { pairs, left, right }
}

/// The form of an element or of an entry's key.
#[derive(Debug)]
struct Key<'a>(Cow<'a, [u8]>);

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        #[cfg(test)]
        tests::COMPARISONS.with(|count| count.set(count.get() + 1));
        self.0 == other.0
    }
}

impl Eq for Key<'_> {}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::schema::canonical::order;
    use crate::schema::derive::{ByType as _, Probe};
    use crate::schema::policy::Policy;

    thread_local! {
        pub(super) static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    /// How many comparisons a union of these takes.
    fn comparisons(base: &[&[u8]], mine: &[&[u8]], theirs: &[&[u8]], kind: FieldKind) -> usize {
        let list = |items: &[&[u8]]| {
            let mut out = Vec::new();
            wire::put_head(&mut out, cbor::ARRAY, items.len() as u64);
            items.iter().for_each(|item| {
                wire::put_head(&mut out, cbor::BYTES, item.len() as u64);
                out.extend_from_slice(item);
            });
            out
        };
        let (base, mine, theirs) = (list(base), list(mine), list(theirs));
        COMPARISONS.set(0);
        let three = Three { base: &base, mine: &mine, theirs: &theirs };
        let field = Field {
            name: "field",
            key: "field",
            group: None,
            policy: Policy::Union(kind),
            order: order(kind),
            kind,
            again: <Probe<u8>>::ELEMENTS.0,
            elements: <Probe<u8>>::ELEMENTS,
        };
        union(&field, three, &mut Vec::new()).unwrap();
        COMPARISONS.get()
    }

    #[test]
    fn a_merge_compares_linearly_often_whatever_a_visitor_sends() {
        // Permutations of the same bytes, which a sum over bytes cannot tell apart.
        let permuted: Vec<Vec<u8>> = (0..8_000_u32)
            .map(|n| (0..13).map(move |bit| if n >> bit & 1 == 1 { [1, 2] } else { [2, 1] }))
            .map(|pairs| pairs.flatten().collect())
            .collect();
        let same = vec![vec![7; 26]; 8_000];
        for items in [permuted, same] {
            let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
            let (m, t): (&[&[u8]], &[&[u8]]) = (&[b"m"], &[b"t"]);
            let (mine, theirs) = ([&items[..], m].concat(), [t, &items[..]].concat());
            for kind in [FieldKind::List, FieldKind::Set] {
                let count = comparisons(&items, &mine, &theirs, kind);
                assert!(count < 8 * items.len(), "{kind:?}: {count} comparisons");
                let count = comparisons(&[], &items, &items, kind);
                assert!(count < 8 * items.len(), "{kind:?}: {count} comparisons");
            }
        }
    }
}
