//! The operations on a field of a given type: the traits that generated code requires, and the
//! merge policies that they allow.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::time::Duration;

use super::malformed::Malformed;
use super::policy::{AgainFn, FieldKind, MergeConflict, Policy, Refusal, Three};
use super::value;
use super::value::{FieldType, Value, again, value};
use crate::data::SessionData;
use crate::flash::Flash;
use crate::provider::Source;

/// A type that a field without `default` may have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no `Default`, and this field gives no `default`",
    label = "no value for a fresh session or an older record",
    note = "write `#[session(default = ...)]` on the field, or implement `Default` for the type"
)]
pub trait DefaultValue: Sized {
    /// The type's `Default`.
    fn default_value() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> DefaultValue for T {
    fn default_value() -> Self {
        T::default()
    }
}

/// A type of a field that is skipped or made with `from` and so cannot have a `default`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no `Default`, which a field with `skip` or `from` needs",
    label = "no value for a fresh session",
    note = "implement `Default` for the type"
)]
pub trait OnlyDefault: Sized {
    /// The type's `Default`.
    fn only_default() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> OnlyDefault for T {
    fn only_default() -> Self {
        T::default()
    }
}

/// A type that `merge = add` fits.
#[diagnostic::on_unimplemented(
    message = "`merge = add` does not fit the type `{Self}`",
    label = "cannot be added",
    note = "`add` is for integers, `Duration`, and `HashMap` and `BTreeMap` with such values; for \
            another collection write `merge = union`, for an `Option` `merge = clear_wins`, for \
            anything else `merge = mine`, `merge = conflict` or `merge(with = your_function)`"
)]
pub trait MergeAdd: FieldType + PartialEq {
    /// The value of a key that a map does not have.
    fn zero() -> Self;

    /// Returns `theirs + mine - base`, or `None` if the type cannot hold it.
    fn add(base: Self, mine: Self, theirs: Self) -> Option<Self>;
}

macro_rules! add_within_i128 {
    ($($integer:ty)*) => {$(
        impl MergeAdd for $integer {
            fn zero() -> Self {
                0
            }

            fn add(base: Self, mine: Self, theirs: Self) -> Option<Self> {
                let sum = i128::from(theirs) + i128::from(mine) - i128::from(base);
                sum.try_into().ok()
            }
        }
    )*};
}

add_within_i128!(u8 u16 u32 u64 i8 i16 i32 i64);

macro_rules! add_unsigned {
    ($($integer:ty: $zero:expr;)*) => {$(
        impl MergeAdd for $integer {
            fn zero() -> Self {
                $zero
            }

            fn add(base: Self, mine: Self, theirs: Self) -> Option<Self> {
                match mine.checked_sub(base) {
                    Some(more) => theirs.checked_add(more),
                    None => theirs.checked_sub(base - mine),
                }
            }
        }
    )*};
}

add_unsigned! {
    u128: 0;
    usize: 0;
    Duration: Duration::ZERO;
}

impl MergeAdd for isize {
    fn zero() -> Self {
        0
    }

    fn add(base: Self, mine: Self, theirs: Self) -> Option<Self> {
        // No target has pointers of more than 64 bits.
        (theirs as i128 + mine as i128 - base as i128).try_into().ok()
    }
}

impl MergeAdd for i128 {
    fn zero() -> Self {
        0
    }

    fn add(base: Self, mine: Self, theirs: Self) -> Option<Self> {
        theirs.checked_add(mine.checked_sub(base)?)
    }
}

/// Merges one value of a map. A missing key counts as zero. The outer `None` is a conflict.
///
/// If one side removed a key and nothing of its value is left, the key is removed. This also
/// applies if the other side only subtracted, so a removal never ends below zero.
fn add_value<V: MergeAdd>(
    base: Option<V>,
    mine: Option<V>,
    theirs: Option<V>,
) -> Option<Option<V>> {
    if mine == base {
        return Some(theirs);
    }
    if theirs == base {
        return Some(mine);
    }
    let removed = mine.is_none() || theirs.is_none();
    let [base, mine, theirs] = [base, mine, theirs].map(|value| value.unwrap_or_else(V::zero));
    match V::add(base, mine, theirs) {
        Some(sum) if removed && sum == V::zero() => Some(None),
        None if removed => Some(None),
        sum => sum.map(Some),
    }
}

impl<K: Ord, V: MergeAdd> MergeAdd for BTreeMap<K, V>
where
    Self: FieldType + PartialEq,
{
    fn zero() -> Self {
        Self::new()
    }

    fn add(mut base: Self, mut mine: Self, theirs: Self) -> Option<Self> {
        let mut merged = Self::new();
        for (key, value) in theirs {
            let value = add_value(base.remove(&key), mine.remove(&key), Some(value))?;
            merged.extend(value.map(|value| (key, value)));
        }
        for (key, value) in mine {
            let value = add_value(base.remove(&key), Some(value), None)?;
            merged.extend(value.map(|value| (key, value)));
        }
        Some(merged)
    }
}

impl<K: Eq + Hash, V: MergeAdd, S: BuildHasher + Default> MergeAdd for HashMap<K, V, S>
where
    Self: FieldType + PartialEq,
{
    fn zero() -> Self {
        Self::default()
    }

    fn add(mut base: Self, mut mine: Self, theirs: Self) -> Option<Self> {
        let mut merged = Self::default();
        for (key, value) in theirs {
            let value = add_value(base.remove(&key), mine.remove(&key), Some(value))?;
            merged.extend(value.map(|value| (key, value)));
        }
        for (key, value) in mine {
            let value = add_value(base.remove(&key), Some(value), None)?;
            merged.extend(value.map(|value| (key, value)));
        }
        Some(merged)
    }
}

/// A type that `merge = max` fits.
#[diagnostic::on_unimplemented(
    message = "`merge = max` does not fit the type `{Self}`: it has no `Ord`",
    label = "has no greatest value",
    note = "derive `Ord` on the type, or write `merge = mine`, `merge = conflict` or \
            `merge(with = your_function)`"
)]
pub trait MergeMax: FieldType + Ord {}

#[diagnostic::do_not_recommend]
impl<T: FieldType + Ord> MergeMax for T {}

/// A type that `merge = or` fits.
#[diagnostic::on_unimplemented(
    message = "`merge = or` does not fit the type `{Self}`",
    label = "not a `bool`",
    note = "`or` is for `bool`; for integers write `merge = add` or `merge = max`, for an \
            `Option` `merge = clear_wins`, for anything else `merge = mine` or `merge = conflict`"
)]
pub trait MergeOr: FieldType {}

impl MergeOr for bool {}

/// A type that `merge = clear_wins` fits.
#[diagnostic::on_unimplemented(
    message = "`merge = clear_wins` does not fit the type `{Self}`",
    label = "not an `Option`",
    note = "`clear_wins` is for an `Option`; for a collection write `merge = union`, for anything \
            else `merge = mine`, `merge = conflict` or `merge(with = your_function)`"
)]
pub trait MergeClearWins: FieldType {}

impl<T: FieldType> MergeClearWins for Option<T> {}

/// A type that `merge = union` fits.
#[diagnostic::on_unimplemented(
    message = "`merge = union` does not fit the type `{Self}`",
    label = "not a collection of the standard library",
    note = "`union` is for `Vec`, `VecDeque` and the standard sets and maps; for a number write \
            `merge = add`, for an `Option` `merge = clear_wins`, for anything else \
            `merge = mine`, `merge = conflict` or `merge(with = your_function)`"
)]
pub trait MergeUnion: FieldType {}

/// A type that `merge = append` fits.
#[diagnostic::on_unimplemented(
    message = "`merge = append` does not fit the type `{Self}`",
    label = "not a list",
    note = "`append` is for `Vec` and `VecDeque`; for a set or a map write `merge = union`, for a \
            number `merge = add`, for anything else `merge = mine`, `merge = conflict` or \
            `merge(with = your_function)`"
)]
pub trait MergeAppend: FieldType {}

impl<T: FieldType> MergeAppend for Vec<T> {}
impl<T: FieldType> MergeAppend for VecDeque<T> {}

/// `merge = add`.
#[must_use]
pub const fn add<T: MergeAdd>() -> Policy {
    Policy::Merge(|three, out| {
        let (base, mine, theirs) = decode_three::<T>(three)?;
        let sum = T::add(base, mine, theirs).ok_or(Refusal::Conflict)?;
        Ok(value::encode(&sum, out)?)
    })
}

/// `merge = max`.
#[must_use]
pub const fn max<T: MergeMax>() -> Policy {
    Policy::Merge(|three, out| {
        let (mine, theirs) = (value::decode::<T>(three.mine)?, value::decode::<T>(three.theirs)?);
        out.extend_from_slice(if mine > theirs { three.mine } else { three.theirs });
        Ok(())
    })
}

/// `merge = or`.
#[must_use]
pub const fn or<T: MergeOr>() -> Policy {
    Policy::Merge(|three, out| {
        let either = value::decode::<bool>(three.mine)? | value::decode::<bool>(three.theirs)?;
        Ok(value::encode(&either, out)?)
    })
}

/// `merge = clear_wins`.
#[must_use]
pub const fn clear_wins<T: MergeClearWins>() -> Policy {
    Policy::ClearWins
}

/// `merge = union`.
#[must_use]
pub const fn union<T: MergeUnion>(kind: FieldKind) -> Policy {
    Policy::Union(kind)
}

/// `merge = append`.
#[must_use]
pub const fn append<T: MergeAppend>() -> Policy {
    Policy::Append
}

/// `merge(with = path)`.
///
/// # Errors
/// [`Refusal::Conflict`] where `path` says so.
pub fn merge_with<T>(
    value: &Value<T>,
    three: Three<'_>,
    out: &mut Vec<u8>,
    path: fn(&T, &T, &T) -> Result<T, MergeConflict>,
) -> Result<(), Refusal> {
    let Three { base, mine, theirs } = three;
    let (base, mine) = (value.decode(base)?, value.decode(mine)?);
    let merged = path(&base, &mine, &value.decode(theirs)?);
    let merged = merged.map_err(|MergeConflict| Refusal::Conflict)?;
    Ok((value.encode)(&merged, out)?)
}

/// Returns the policy of a field that names none: `union` for the standard collections, else the
/// struct's.
#[must_use]
pub const fn by_type(kind: FieldKind) -> Policy {
    match kind {
        FieldKind::Single => Policy::Mine,
        _ => Policy::Union(kind),
    }
}

/// Displays an owner.
///
/// # Errors
/// If the bytes are not an owner.
pub fn owner<S: SessionData>(
    value: &Value<S::Owner>,
    bytes: &[u8],
) -> Result<Option<String>, Source> {
    Ok(Some(value.decode(bytes)?.to_string()))
}

/// Displays an owner that may be nobody.
///
/// # Errors
/// If the bytes are not an `Option` of an owner.
pub fn owner_option<S: SessionData>(
    value: &Value<Option<S::Owner>>,
    bytes: &[u8],
) -> Result<Option<String>, Source> {
    Ok(value.decode(bytes)?.map(|owner| owner.to_string()))
}

/// Determines at compile time what a type supports.
///
/// Generated code uses `Probe::<T>::KIND`: the constant of the inherent impl if there is one for
/// `T`, else that of the trait [`ByType`].
#[derive(Debug)]
pub struct Probe<T>(PhantomData<T>);

/// The defaults for every type; see [`Probe`].
pub trait ByType {
    /// The kind of collection: none.
    const KIND: FieldKind = FieldKind::Single;
    /// How elements, or an entry's key and value, are encoded again: not at all.
    const ELEMENTS: (AgainFn, AgainFn) = (as_it_is, as_it_is);
}

impl<T> ByType for Probe<T> {}

macro_rules! collections {
    ($($collection:ident <$($parameter:ident),*>, $kind:ident, $key:ty $(=> $value:ty)?;)*) => {$(
        impl<$($parameter),*> Probe<$collection<$($parameter),*>>
        where
            $key: FieldType,
            $($value: FieldType,)?
        {
            /// Its kind.
            pub const KIND: FieldKind = FieldKind::$kind;
            /// How its elements, or an entry's key and value, are encoded again.
            pub const ELEMENTS: (AgainFn, AgainFn) =
                (element::<$key>, collections!(@value $($value)?));
        }

        impl<$($parameter),*> MergeUnion for $collection<$($parameter),*>
        where
            Self: FieldType
        {}
    )*};
    (@value) => { as_it_is };
    (@value $value:ty) => { element::<$value> };
}

collections! {
    Vec<T>, List, T;
    VecDeque<T>, List, T;
    Flash<M>, List, (u64, M);
    HashSet<T, S>, Set, T;
    BTreeSet<T>, Set, T;
    HashMap<K, V, S>, Map, K => V;
    BTreeMap<K, V>, Map, K => V;
}

fn element<T: FieldType>(bytes: &[u8], out: Option<&mut Vec<u8>>) -> Result<(), Malformed> {
    again(&value::<T>(), bytes, out)
}

fn as_it_is(bytes: &[u8], out: Option<&mut Vec<u8>>) -> Result<(), Malformed> {
    if let Some(out) = out {
        out.extend_from_slice(bytes);
    }
    Ok(())
}

fn decode_three<T: FieldType>(three: Three<'_>) -> Result<(T, T, T), Malformed> {
    Ok((value::decode(three.base)?, value::decode(three.mine)?, value::decode(three.theirs)?))
}
