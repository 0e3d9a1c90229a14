//! Whether two values are the same, as hashes.

use std::borrow::Cow;

use modelwatch_sdk::{
    Result,
    arrow::{
        array::{Array, ArrayRef, cast::AsArray, downcast_dictionary_array, downcast_primitive_array},
        schema::DataType,
    },
    rows::{numbers, texts},
};
use modelwatch_stats::hash::{hash_bytes, mix};

use crate::{kind::Kind, numbers::integers, times::nanoseconds};

/// The identity of what is missing: null and NaN alike.
pub(crate) const MISSING: u64 = 0;

/// What tells texts from other values that are spelled alike.
const TEXT: &str = "t";

/// What tells booleans from other values that are spelled alike.
const BOOLEAN: &str = "b";

/// Returns the hash of each value: equal for equal values of any width, so that 3 is 3.0; [`MISSING`] where there is none. `None` for
/// types whose values cannot be told apart.
///
/// # Errors
/// When an array is not what its type says.
pub(crate) fn identities(array: &dyn Array) -> Result<Option<Vec<u64>>> {
    let kind = Kind::of(array.data_type());
    Ok(Some(match kind {
        Kind::Untyped => vec![MISSING; array.len()],
        Kind::Integer => integers(array).map(|it| it.map_or(MISSING, of_integer)).collect(),
        Kind::Float => numbers(array)?.values.iter().map(|it| of_float(*it)).collect(),
        Kind::Boolean | Kind::Text | Kind::Category => {
            let tag = if kind == Kind::Boolean { BOOLEAN } else { TEXT };
            texts(array)?.iter().map(|it| it.as_ref().map_or(MISSING, |it| tagged(tag, it.as_bytes()))).collect()
        }
        Kind::Time => nanoseconds(array)
            .into_iter()
            .map(|it| it.map_or(MISSING, |it| tagged("time", &it.to_le_bytes())))
            .collect(),
        Kind::Decimal => {
            decimal_texts(array).iter().map(|it| it.as_ref().map_or(MISSING, |it| tagged("d", it.as_bytes()))).collect()
        }
        Kind::List | Kind::Other => return nested(array),
    }))
}

/// Returns one hash of several, which depends on their order.
pub(crate) fn chain(identities: impl IntoIterator<Item = u64>) -> u64 {
    identities.into_iter().fold(1, |sum, it| mix(sum ^ mix(it)))
}

/// Returns the identity of a text.
pub(crate) fn of_text(text: &str) -> u64 {
    tagged(TEXT, text.as_bytes())
}

/// Returns the identity of a boolean that is written as text.
pub(crate) fn of_boolean(text: &str) -> u64 {
    tagged(BOOLEAN, text.as_bytes())
}

/// Returns the hash of the name of a column.
pub(crate) fn of_name(name: &str) -> u64 {
    hash_bytes(name.as_bytes())
}

/// Returns a decimal column as texts without trailing zeros.
fn decimal_texts(array: &dyn Array) -> Vec<Option<Cow<'static, str>>> {
    macro_rules! texts {
        ($array:ident) => {
            (0..$array.len())
                .map(|row| (!$array.is_null(row)).then(|| trimmed($array.value_as_string(row)).into()))
                .collect()
        };
    }
    use modelwatch_sdk::arrow::array::types::{Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type};
    match array.data_type() {
        DataType::Decimal32(..) => {
            let array = array.as_primitive::<Decimal32Type>();
            texts!(array)
        }
        DataType::Decimal64(..) => {
            let array = array.as_primitive::<Decimal64Type>();
            texts!(array)
        }
        DataType::Decimal128(..) => {
            let array = array.as_primitive::<Decimal128Type>();
            texts!(array)
        }
        DataType::Decimal256(..) => {
            let array = array.as_primitive::<Decimal256Type>();
            texts!(array)
        }
        _ => vec![None; array.len()],
    }
}

fn trimmed(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn of_integer(value: i128) -> u64 {
    tagged("n", &value.to_le_bytes())
}

fn of_float(value: f64) -> u64 {
    if value.is_nan() {
        return MISSING;
    }
    // Whole floats are the whole numbers that they are.
    if value.fract() == 0.0 && value.abs() < 2f64.powi(100) {
        return of_integer(value as i128);
    }
    tagged("f", &value.to_bits().to_le_bytes())
}

fn tagged(tag: &str, bytes: &[u8]) -> u64 {
    present(mix(hash_bytes(bytes) ^ hash_bytes(tag.as_bytes())))
}

/// What is there is never [`MISSING`].
fn present(hash: u64) -> u64 {
    hash.max(1)
}

/// Values of lists, structs, bytes, dictionaries, and of numbers that mean something else.
fn nested(array: &dyn Array) -> Result<Option<Vec<u64>>> {
    let rows = 0..array.len();
    let each = |of: &dyn Fn(usize) -> u64| {
        Some(rows.map(|it| if array.is_null(it) { MISSING } else { present(of(it)) }).collect())
    };
    let items = |values: &ArrayRef| identities(values.as_ref());
    Ok(match array.data_type() {
        DataType::List(_) => {
            let array = array.as_list::<i32>();
            let offsets = array.value_offsets();
            let Some(items) = items(array.values())? else { return Ok(None) };
            each(&|it| chain(items[offsets[it] as usize..offsets[it + 1] as usize].iter().copied()))
        }
        DataType::LargeList(_) => {
            let array = array.as_list::<i64>();
            let offsets = array.value_offsets();
            let Some(items) = items(array.values())? else { return Ok(None) };
            each(&|it| chain(items[offsets[it] as usize..offsets[it + 1] as usize].iter().copied()))
        }
        DataType::FixedSizeList(_, width) => {
            let (array, width) = (array.as_fixed_size_list(), *width as usize);
            let start = array.value_offset(0) as usize;
            let Some(items) = items(array.values())? else { return Ok(None) };
            each(&|it| chain(items[start + it * width..start + (it + 1) * width].iter().copied()))
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter().map(items).collect::<Result<Option<Vec<_>>>>()?;
            let Some(columns) = columns else { return Ok(None) };
            each(&|row| chain(columns.iter().map(|it| it[row])))
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            each(&|it| tagged("bytes", array.value(it)))
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>();
            each(&|it| tagged("bytes", array.value(it)))
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            each(&|it| tagged("bytes", array.value(it)))
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            each(&|it| tagged("bytes", array.value(it)))
        }
        DataType::Dictionary(..) => downcast_dictionary_array!(
            array => {
                let Some(values) = items(array.values())? else { return Ok(None) };
                let keys = array.keys_iter();
                Some(keys.map(|it| it.map_or(MISSING, |it| values[it])).collect())
            },
            _ => None,
        ),
        // Times of day and spans of time.
        _ => downcast_primitive_array!(
            array => each(&|it| hash_bytes(format!("{:?}", array.value(it)).as_bytes())),
            _ => None,
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modelwatch_sdk::arrow::{
        array::{
            BinaryArray, BooleanArray, Decimal128Array, DurationSecondArray, FixedSizeListArray, Float32Array,
            Float64Array, Int8Array, Int64Array, ListArray, StringArray, StructArray, UInt64Array, types::Float64Type,
        },
        schema::Field,
    };

    use super::*;

    fn of(array: impl Array) -> Vec<u64> {
        identities(&array).unwrap().unwrap()
    }

    #[test]
    fn equal_values_are_equal_in_every_width() {
        let expected = of(Int64Array::from(vec![Some(3), None, Some(-4)]));
        assert_eq!(of(Int8Array::from(vec![Some(3), None, Some(-4)])), expected);
        assert_eq!(of(Float64Array::from(vec![3.0, f64::NAN, -4.0])), expected);
        assert_eq!(of(Float32Array::from(vec![0.0, 1.5])), of(Float64Array::from(vec![-0.0, 1.5])));
        assert_eq!(expected[1], MISSING);
        let big = of(UInt64Array::from(vec![u64::MAX, u64::MAX - 1]));
        assert_ne!(big[0], big[1]);
        let decimals =
            |it: i128, scale| of(Decimal128Array::from(vec![it]).with_precision_and_scale(20, scale).unwrap());
        assert_eq!(decimals(150, 2), decimals(15, 1));
    }

    #[test]
    fn values_of_other_kinds_are_others() {
        let all = [
            of(Int64Array::from(vec![1])),
            of(StringArray::from(vec!["1"])),
            of(BooleanArray::from(vec![true])),
            of(StringArray::from(vec!["true"])),
            of(BinaryArray::from_vec(vec![b"1"])),
            of(DurationSecondArray::from(vec![1])),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().flatten().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn nested_values_are_told_apart_also_in_slices() {
        let lists = ListArray::from_iter_primitive::<Float64Type, _, _>([
            Some(vec![Some(1.0)]),
            None,
            Some(vec![Some(1.0), Some(2.0)]),
            Some(vec![Some(1.0)]),
        ]);
        let got = of(lists.clone());
        assert_eq!((got[0], got[1]), (got[3], MISSING));
        assert_ne!(got[0], got[2]);
        assert_eq!(of(lists.slice(2, 2)), got[2..]);
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        let fixed =
            FixedSizeListArray::new(item, 2, Arc::new(Float64Array::from(vec![1.0, 2.0, 1.0, 2.0, 2.0, 1.0])), None);
        let got = of(fixed.clone());
        assert_eq!((got[0] == got[1], got[1] == got[2]), (true, false));
        assert_eq!(of(fixed.slice(1, 2)), got[1..]);
        let field = Arc::new(Field::new("a", DataType::Int64, true));
        let structs = StructArray::from(vec![(field, Arc::new(Int64Array::from(vec![1, 1, 2])) as ArrayRef)]);
        let got = of(structs);
        assert_eq!((got[0] == got[1], got[1] == got[2]), (true, false));
    }
}
