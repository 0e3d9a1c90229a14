//! Counts the categories of a batch, so that the column's own counts are touched once per category and not once per row.

use std::{collections::HashMap, hash::Hash};

use modelwatch_sdk::{
    Result,
    arrow::{
        array::{
            Array, ArrowPrimitiveType,
            cast::AsArray,
            downcast_dictionary_array,
            types::{Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type},
        },
        schema::DataType,
    },
    rows::{numbers, texts},
};
use modelwatch_stats::{
    categories::{CategoryCounts, short_name},
    table::KeyCounts,
};

use crate::multiples::Multiples;

/// A name of at most so many bytes is one integer with its length, and found without hashing and comparing texts.
const MAX_PACKED: usize = 7;

/// Returns whether the values of such arrays are names by their type.
pub(crate) fn is_categorical(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean => true,
        DataType::Dictionary(_, values) => can_be_categorical(values),
        _ => false,
    }
}

/// Returns whether the values of such arrays can be read as names.
pub(crate) fn can_be_categorical(data_type: &DataType) -> bool {
    is_categorical(data_type) || data_type.is_integer() || data_type.is_floating()
}

/// Adds the categories of an array to `counts`, as often as each row counts; missing values and NaN are counted as nulls.
///
/// # Errors
/// When the array is neither text, nor a dictionary, nor plain numbers.
pub(crate) fn count(counts: &mut CategoryCounts, array: &dyn Array, multiples: Multiples<'_>) -> Result<()> {
    match array.data_type() {
        DataType::Dictionary(_, _) => return count_dictionary(counts, array, multiples),
        DataType::Utf8 => count_names(counts, array.as_string::<i32>().iter(), multiples),
        DataType::LargeUtf8 => count_names(counts, array.as_string::<i64>().iter(), multiples),
        DataType::Utf8View => count_names(counts, array.as_string_view().iter(), multiples),
        DataType::Int8 => count_integers::<Int8Type>(counts, array, multiples),
        DataType::Int16 => count_integers::<Int16Type>(counts, array, multiples),
        DataType::Int32 => count_integers::<Int32Type>(counts, array, multiples),
        DataType::Int64 => count_integers::<Int64Type>(counts, array, multiples),
        DataType::UInt8 => count_integers::<UInt8Type>(counts, array, multiples),
        DataType::UInt16 => count_integers::<UInt16Type>(counts, array, multiples),
        DataType::UInt32 => count_integers::<UInt32Type>(counts, array, multiples),
        DataType::UInt64 => count_integers::<UInt64Type>(counts, array, multiples),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => count_floats(counts, array, multiples)?,
        _ => {
            let names = texts(array)?;
            count_names(counts, names.iter().map(Option::as_deref), multiples);
        }
    }
    Ok(())
}

/// Counts a category under its name, or under its beginning and a digest where the name is very long.
pub(crate) fn push(counts: &mut CategoryCounts, name: &str, count: u64) {
    counts.push(&short_name(name), count);
}

fn count_dictionary(counts: &mut CategoryCounts, array: &dyn Array, multiples: Multiples<'_>) -> Result<()> {
    let mut nulls = 0u64;
    let (values, per_key) = downcast_dictionary_array!(
        array => {
            let mut per_key = vec![0u64; array.values().len()];
            for (row, key) in array.keys_iter().enumerate() {
                let sum = key.map_or(&mut nulls, |it| &mut per_key[it]);
                *sum = sum.saturating_add(multiples.of(row));
            }
            (array.values(), per_key)
        },
        other => return Err(modelwatch_sdk::Error::input(format!("expected a dictionary, got {other}"))),
    );
    for (name, count) in texts(values.as_ref())?.into_iter().zip(per_key) {
        match name {
            Some(name) => push(counts, &name, count),
            None => nulls = nulls.saturating_add(count),
        }
    }
    counts.push_nulls(nulls);
    Ok(())
}

fn count_names<'a>(
    counts: &mut CategoryCounts,
    names: impl Iterator<Item = Option<&'a str>>,
    multiples: Multiples<'_>,
) {
    let mut packed = KeyCounts::default();
    let long = names.enumerate().filter_map(|(row, name)| match name {
        Some(it) if it.len() <= MAX_PACKED => {
            packed.add(pack(it), multiples.of(row));
            None
        }
        other => Some((row, other)),
    });
    count_rows(counts, long, multiples, |it, counts, count| push(counts, it, count));
    let mut bytes = [0; 8];
    packed.iter().for_each(|(key, count)| push(counts, unpack(key, &mut bytes), count));
}

/// Returns the length and the bytes of a name as an integer.
fn pack(name: &str) -> u64 {
    let (name, len) = (name.as_bytes(), name.len());
    // In two loads, which may have bytes in common, and not byte by byte.
    let bytes = if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        u64::from(u32::from_be_bytes(*first)) << (8 * (len - 4)) | u64::from(u32::from_be_bytes(*last))
    } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        u64::from(u16::from_be_bytes(*first)) << (8 * (len - 2)) | u64::from(u16::from_be_bytes(*last))
    } else {
        name.first().map_or(0, |it| u64::from(*it))
    };
    (len as u64) << (8 * len) | bytes
}

/// Returns the name that was packed, which is written to `bytes`.
fn unpack(key: u64, bytes: &mut [u8; 8]) -> &str {
    *bytes = key.to_be_bytes();
    // The length is the first byte that is not 0.
    let start = bytes.iter().position(|it| *it > 0).map_or(bytes.len(), |it| it + 1);
    std::str::from_utf8(&bytes[start..]).expect("a text was packed")
}

fn count_integers<T: ArrowPrimitiveType>(counts: &mut CategoryCounts, array: &dyn Array, multiples: Multiples<'_>)
where
    T::Native: Hash + Eq + std::fmt::Display,
{
    let names = array.as_primitive::<T>().iter();
    count_with(counts, names, multiples, |it, counts, count| push(counts, &it.to_string(), count));
}

fn count_floats(counts: &mut CategoryCounts, array: &dyn Array, multiples: Multiples<'_>) -> Result<()> {
    let numbers = numbers(array)?;
    // Adding 0 makes one category of 0 and -0.
    let bits = numbers.values.iter().map(|it| (!it.is_nan()).then(|| (it + 0.0).to_bits()));
    count_with(counts, bits, multiples, |it, counts, count| push(counts, &f64::from_bits(it).to_string(), count));
    Ok(())
}

fn count_with<K: Hash + Eq>(
    counts: &mut CategoryCounts,
    keys: impl Iterator<Item = Option<K>>,
    multiples: Multiples<'_>,
    add: impl FnMut(K, &mut CategoryCounts, u64),
) {
    count_rows(counts, keys.enumerate(), multiples, add);
}

fn count_rows<K: Hash + Eq>(
    counts: &mut CategoryCounts,
    rows: impl Iterator<Item = (usize, Option<K>)>,
    multiples: Multiples<'_>,
    mut add: impl FnMut(K, &mut CategoryCounts, u64),
) {
    let mut per_key: HashMap<K, u64, foldhash::fast::RandomState> = HashMap::default();
    let mut nulls = 0u64;
    for (row, key) in rows {
        let count = multiples.of(row);
        let Some(key) = key else {
            nulls = nulls.saturating_add(count);
            continue;
        };
        // Nearly always it is there.
        match per_key.get_mut(&key) {
            Some(it) => *it = it.saturating_add(count),
            None => _ = per_key.insert(key, count),
        }
    }
    // The order of the map does not matter: the counts are those of a multiset.
    for (key, count) in per_key {
        add(key, counts, count);
    }
    counts.push_nulls(nulls);
}

#[cfg(test)]
mod tests {
    use modelwatch_sdk::arrow::array::{
        ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, StringArray, StringViewArray,
    };
    use std::sync::Arc;

    use super::*;

    #[test]
    fn every_type_of_name_is_counted() {
        let dictionary: DictionaryArray<Int8Type> = [Some("a"), None, Some("b"), Some("a")].into_iter().collect();
        type Case = (ArrayRef, Vec<(&'static str, u64)>, u64);
        let cases: Vec<Case> = vec![
            (Arc::new(StringArray::from(vec![Some("a"), None, Some("a")])), vec![("a", 2)], 1),
            (Arc::new(StringViewArray::from(vec![Some("a"), Some("nan")])), vec![("a", 1), ("nan", 1)], 0),
            (Arc::new(dictionary), vec![("a", 2), ("b", 1)], 1),
            (
                Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX - 1])),
                vec![("9223372036854775806", 1), ("9223372036854775807", 1)],
                0,
            ),
            (
                Arc::new(Float64Array::from(vec![0.1 + 0.2, 0.3, -0.0, 0.0, f64::NAN])),
                vec![("0", 2), ("0.3", 1), ("0.30000000000000004", 1)],
                1,
            ),
            (Arc::new(BooleanArray::from(vec![Some(true), None])), vec![("true", 1)], 1),
        ];
        for (array, expected, nulls) in cases {
            let mut counts = CategoryCounts::default();
            count(&mut counts, array.as_ref(), Multiples::One).unwrap();
            assert_eq!(counts.counts().into_iter().collect::<Vec<_>>(), expected, "{:?}", array.data_type());
            assert_eq!(counts.n_null(), nulls, "{:?}", array.data_type());
        }
    }

    #[test]
    fn short_and_long_names_stay_apart() {
        let names = ["", "\0", "\0\0", "a", "é", "seven77", "eight888", "éééé", "\u{1}a", "a\u{1}"];
        let mut counts = CategoryCounts::default();
        let rows = StringArray::from_iter_values(names.iter().chain(&names));
        count(&mut counts, &rows, Multiples::One).unwrap();
        assert_eq!(counts.counts(), names.iter().map(|it| (*it, 2)).collect());
        let mut counts = CategoryCounts::default();
        count(&mut counts, &StringArray::from_iter_values(["a", "b"]), Multiples::Each(&[0, 3])).unwrap();
        assert_eq!(counts.counts().into_iter().collect::<Vec<_>>(), [("b", 3)]);
    }

    #[test]
    fn very_long_names_stay_apart_and_short() {
        let mut counts = CategoryCounts::default();
        push(&mut counts, &"é".repeat(1000), 1);
        push(&mut counts, &format!("{}x", "é".repeat(1000)), 1);
        assert_eq!(counts.n_kept(), 2);
        assert!(counts.counts().keys().all(|it| it.len() < 300));
    }
}
