//! Collections as encoded: their elements as slices, and replaying one side's changes on another.
//!
//! Works on bytes, so that one copy of the code serves every type; types come in only where two
//! encodings of equal elements may differ (a set inside a list, say).

use std::collections::HashMap;

use super::malformed::{Malformed, Reason};
use super::policy::{Elements, Kind, Refusal, SameFn, Three};
use super::wire;

/// An element, or an entry of a map, as encoded.
#[derive(Clone, Copy, Debug)]
struct Item<'a> {
    /// The element, or the entry's key.
    key: &'a [u8],
    /// The entry's value; empty for an element.
    value: &'a [u8],
}

/// Replays what changed from `base` to `mine` on `theirs`. Returns whether it overwrote a change of
/// theirs, which only an entry of a map can.
pub(super) fn union(
    kind: Kind,
    elements: Elements,
    three: Three<'_>,
    out: &mut Vec<u8>,
) -> Result<bool, Refusal> {
    let (base, mine, mut theirs) = (items(three.base)?, items(three.mine)?, items(three.theirs)?);
    let mut overwrote = false;
    let (pairs, removed, added) = pair(&base, &mine, elements.key);
    let (found, _, _) = pair(&base, &theirs, elements.key);
    let mut place_of = vec![None; base.len()];
    for (index, place) in found {
        place_of[index] = Some(place);
    }

    let mut gone = vec![false; theirs.len()];
    for index in removed {
        if let Some(place) = place_of[index] {
            gone[place] = true;
            overwrote |=
                kind == Kind::Map && !(elements.value)(base[index].value, theirs[place].value);
        }
    }
    let mut additions: Vec<Item<'_>> = added.into_iter().map(|index| mine[index]).collect();
    if kind == Kind::Map {
        for (index, place) in pairs {
            let (was, is) = (base[index], mine[place]);
            if (elements.value)(was.value, is.value) {
                continue;
            }
            match place_of[index] {
                Some(place) => {
                    overwrote |= !(elements.value)(was.value, theirs[place].value)
                        && !(elements.value)(is.value, theirs[place].value);
                    theirs[place] = is;
                }
                None => {
                    overwrote = true;
                    additions.push(is);
                }
            }
        }
    }
    if matches!(kind, Kind::Set | Kind::Map) {
        // What both sides added is there once.
        let (twice, _, _) = pair(&additions, &theirs, elements.key);
        let mut is_twice = vec![false; additions.len()];
        for (index, place) in twice {
            if gone[place] {
                continue;
            }
            is_twice[index] = true;
            overwrote |=
                kind == Kind::Map && !(elements.value)(additions[index].value, theirs[place].value);
            theirs[place] = additions[index];
        }
        let mut is_twice = is_twice.into_iter();
        additions.retain(|_| !is_twice.next().unwrap_or(false));
    }

    let mut gone = gone.into_iter();
    theirs.retain(|_| !gone.next().unwrap_or(false));
    theirs.append(&mut additions);
    put(kind, &theirs, out);
    Ok(overwrote)
}

/// Appends to `theirs` what `mine` appended to `base`.
pub(super) fn append(
    elements: Elements,
    three: Three<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let (base, mine, mut theirs) = (items(three.base)?, items(three.mine)?, items(three.theirs)?);
    let is_prefix = base.len() <= mine.len()
        && base.iter().zip(&mine).all(|(was, is)| (elements.key)(was.key, is.key));
    if !is_prefix {
        return Err(Refusal::Conflict);
    }
    theirs.extend_from_slice(&mine[base.len()..]);
    put(Kind::List, &theirs, out);
    Ok(())
}

/// Whether two encodings are equal, but for the order of a map's entries: what can be said of
/// values of a type without `PartialEq`.
pub(super) fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return true;
    }
    let is_map = |bytes: &[u8]| bytes.first().is_some_and(|first| first >> 5 == wire::MAP);
    if one.len() != other.len() || !is_map(one) || !is_map(other) {
        return false;
    }
    let (Ok(mut one), Ok(mut other)) = (items(one), items(other)) else { return false };
    one.sort_unstable_by_key(|item| item.key);
    other.sort_unstable_by_key(|item| item.key);
    let equal = |(one, other): (&Item<'_>, &Item<'_>)| {
        one.key == other.key && same_bytes(one.value, other.value)
    };
    one.len() == other.len() && one.iter().zip(&other).all(equal)
}

/// The elements of an array, or the entries of a map.
fn items(bytes: &[u8]) -> Result<Vec<Item<'_>>, Malformed> {
    let head = wire::head(bytes, 0)?;
    let is_map = match head.major {
        wire::ARRAY => false,
        wire::MAP => true,
        _ => return Err(Reason::Type("a collection", bytes[0]).into()),
    };
    // The items' end: a collection of indefinite length has a break behind them.
    let end = if head.argument.is_none() { bytes.len() - 1 } else { bytes.len() };
    let mut at = head.end;
    let mut next = || {
        let start = at;
        at = wire::skip(bytes, at, wire::MAX_DEPTH)?;
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

fn put(kind: Kind, items: &[Item<'_>], out: &mut Vec<u8>) {
    let major = if kind == Kind::Map { wire::MAP } else { wire::ARRAY };
    wire::put_head(out, major, items.len() as u64);
    for item in items {
        out.extend_from_slice(item.key);
        out.extend_from_slice(item.value);
    }
}

/// Pairs each item of `one` with one of `other` that has the same key: the pairs, then what is left
/// over on either side, in order. All are indices.
fn pair(
    one: &[Item<'_>],
    other: &[Item<'_>],
    same: SameFn,
) -> (Vec<(usize, usize)>, Vec<usize>, Vec<usize>) {
    // The fingerprint is blind to order, so that equal sets of another order share a bucket.
    let mut buckets: HashMap<u64, Vec<usize>> = HashMap::with_capacity(other.len());
    for (index, item) in other.iter().enumerate().rev() {
        buckets.entry(fingerprint(item.key)).or_default().push(index);
    }
    let mut pairs = Vec::new();
    let mut left = Vec::new();
    let mut taken = vec![false; other.len()];
    for (index, item) in one.iter().enumerate() {
        let bucket = buckets.get_mut(&fingerprint(item.key));
        let found = bucket.and_then(|bucket| {
            let equal = |place: &usize| same(item.key, other[*place].key);
            let at = bucket.iter().rposition(equal)?;
            Some(bucket.remove(at))
        });
        match found {
            Some(place) => {
                taken[place] = true;
                pairs.push((index, place));
            }
            None => left.push(index),
        }
    }
    let right = (0..other.len()).filter(|index| !taken[*index]).collect();
    (pairs, left, right)
}

fn fingerprint(bytes: &[u8]) -> u64 {
    let spread = |byte: &u8| (u64::from(*byte) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes
        .iter()
        .map(|byte| spread(byte).rotate_left(23).wrapping_mul(spread(byte)))
        .fold(bytes.len() as u64, u64::wrapping_add)
}
