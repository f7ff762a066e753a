//! Decides whether two encodings are of the same value: the bytes decide, except for the order of
//! maps.

use std::borrow::Cow;

use super::malformed::{Malformed, Reason};
use super::policy::FieldKind;
use super::{cbor, wire};

/// Which order inside a field's bytes is part of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The order of lists, not of maps.
    Lists,
    /// As `Lists`, except that the field itself is a set.
    Set,
    /// The order of lists and of maps: `ordered`.
    All,
}

/// Returns the order that counts in a field of this kind.
#[must_use]
pub const fn order(kind: FieldKind) -> Order {
    match kind {
        FieldKind::Set => Order::Set,
        _ => Order::Lists,
    }
}

impl Order {
    /// Whether two encodings are of the same value.
    pub(super) fn is_same(self, one: &[u8], other: &[u8]) -> bool {
        one == other
            || self != Self::All
                && may_be_reordered(one, other)
                && self.form(one) == self.form(other)
    }

    /// Returns the form that all encodings of one value share.
    ///
    /// Bytes that are not one CBOR item are their own form.
    pub(super) fn form(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        let has_map = || bytes.iter().any(|byte| byte >> 5 == cbor::MAP);
        if self == Self::All || self == Self::Lists && !has_map() {
            return Cow::Borrowed(bytes);
        }
        let mut out = Vec::with_capacity(bytes.len());
        let sets = if self == Self::Set { Sets::Here } else { Sets::None };
        match put(bytes, 0, &mut out, cbor::MAX_DEPTH, sets) {
            Ok(end) if end == bytes.len() => Cow::Owned(out),
            _ => Cow::Borrowed(bytes),
        }
    }

    /// The order that counts in the elements of such a field.
    pub(super) fn inner(self) -> Self {
        match self {
            Self::All => Self::All,
            Self::Lists | Self::Set => Self::Lists,
        }
    }
}

/// Whether two byte strings may be reorderings of each other: reordering changes neither the length
/// nor the sum. It costs a fraction of the two forms, and most changes change the sum.
fn may_be_reordered(one: &[u8], other: &[u8]) -> bool {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    one.len() == other.len() && sum(one) == sum(other)
}

/// Returns the form that is shared by all encodings that differ only in order, including the order
/// of lists.
pub(super) fn loose(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    match put(bytes, 0, &mut out, cbor::MAX_DEPTH, Sets::Everywhere) {
        Ok(end) if end == bytes.len() => out,
        _ => bytes.to_vec(),
    }
}

/// Which arrays count as sets, whose order does not matter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sets {
    None,
    /// The item itself.
    Here,
    Everywhere,
}

impl Sets {
    fn inner(self) -> Self {
        if self == Self::Everywhere { self } else { Self::None }
    }
}

/// Appends the canonical form of the item at `at`, and returns where the item ends.
fn put(
    bytes: &[u8],
    at: usize,
    out: &mut Vec<u8>,
    depth: usize,
    sets: Sets,
) -> Result<usize, Malformed> {
    let head = wire::head(bytes, at)?;
    let each = match head.major {
        cbor::MAP => 2,
        cbor::ARRAY => 1,
        _ => {
            let end = wire::skip(bytes, at, depth)?;
            out.extend_from_slice(&bytes[at..end]);
            return Ok(end);
        }
    };
    let depth = depth.checked_sub(1).ok_or(Reason::TooDeep)?;
    let start = out.len();
    let mut ends = Vec::new();
    let mut at = head.end;
    loop {
        match head.argument {
            Some(count) if ends.len() as u64 == count => break,
            None if wire::is_break(bytes, at)? => {
                at += 1;
                break;
            }
            _ => {}
        }
        for _ in 0..each {
            at = put(bytes, at, out, depth, sets.inner())?;
        }
        ends.push(out.len());
    }
    // Copied behind its head; a map's entries and a set's elements in the order of their bytes.
    let items = out.split_off(start);
    let mut from = 0;
    let slices = ends.iter().map(|end| {
        let item = &items[from..end - start];
        from = end - start;
        item
    });
    let mut slices: Vec<&[u8]> = slices.collect();
    if sets != Sets::None || head.major == cbor::MAP {
        slices.sort_unstable();
    }
    wire::put_head(out, head.major, slices.len() as u64);
    slices.iter().for_each(|slice| out.extend_from_slice(slice));
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(order: Order, one: &[u8], other: &[u8]) -> bool {
        order.is_same(one, other)
    }

    #[test]
    fn maps_are_the_same_in_any_order_at_any_depth() {
        let (one, other) = (b"\xa2\x61a\x01\x61b\x02", b"\xa2\x61b\x02\x61a\x01");
        assert!(same(Order::Lists, one, other));
        assert!(!same(Order::All, one, other));
        let nested = |map: &[u8]| [b"\x82\xa1\x61x", map, b"\x05"].concat();
        assert!(same(Order::Lists, &nested(one), &nested(other)));
        assert!(!same(Order::Lists, one, b"\xa2\x61a\x02\x61b\x01"));
    }

    #[test]
    fn the_order_of_a_list_counts_and_that_of_a_set_does_not() {
        assert!(!same(Order::Lists, b"\x82\x01\x02", b"\x82\x02\x01"));
        assert!(same(Order::Set, b"\x82\x01\x02", b"\x82\x02\x01"));
        // Only of the field itself.
        assert!(!same(Order::Set, b"\x81\x82\x01\x02", b"\x81\x82\x02\x01"));
        assert!(!same(Order::Set, b"\x82\x01\x01", b"\x82\x01\x02"));
    }

    #[test]
    fn a_text_that_looks_like_a_map_stays_as_it_is() {
        let text = b"\x64\xe2\xa2\xa1!";
        assert_eq!(*Order::Lists.form(text), text[..]);
    }

    #[test]
    fn items_of_indefinite_length_have_the_same_form() {
        assert_eq!(
            Order::Lists.form(b"\xbf\x61b\x9f\x01\xff\x61a\x01\xff"),
            Order::Lists.form(b"\xa2\x61a\x01\x61b\x81\x01")
        );
    }

    #[test]
    fn what_is_no_item_is_a_form_of_its_own() {
        for bytes in [&b"\xa1"[..], b"\xa2\x01", b"\xa0\xa0", b"\xbf", &[0xa1; 100]] {
            assert_eq!(*Order::Lists.form(bytes), *bytes);
        }
    }
}
