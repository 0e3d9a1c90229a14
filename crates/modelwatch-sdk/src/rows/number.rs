//! Numbers as they are written: those that are names are not rounded.

use std::{fmt, ops::Sub};

use arrow_array::{
    Array,
    cast::AsArray,
    types::{Int64Type, UInt64Type},
};
use arrow_schema::DataType;

use super::{Numbers, numbers};
use crate::error::Result;

/// A number of a column. Integers keep all their digits, which `f64` does not beyond 2^53.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// An integer or a boolean.
    Integer(i128),
    /// A float, or NaN where a value is missing.
    Float(f64),
}

impl Number {
    /// Returns the nearest `f64`.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Integer(it) => it as f64,
            Self::Float(it) => it,
        }
    }

    /// Returns whether it is neither missing, NaN nor infinite.
    pub fn is_finite(self) -> bool {
        self.to_f64().is_finite()
    }

    /// Returns how far the number may be from `reference`: `atol + rtol · |reference|`, and `atol` alone where one of both is an
    /// integer. Integers are names as often as amounts, and near a name is no name.
    pub fn allowance(self, reference: Self, rtol: f64, atol: f64) -> f64 {
        match (self, reference) {
            (Self::Float(_), Self::Float(it)) => atol + rtol * it.abs(),
            _ => atol,
        }
    }

    /// Returns the integer, also of a float that is whole.
    fn whole(self) -> Option<i128> {
        match self {
            Self::Integer(it) => Some(it),
            // Beyond 2^64 is none of the integers that a column can have.
            Self::Float(it) => (it.fract() == 0.0 && it.abs() <= 2f64.powi(65)).then_some(it as i128),
        }
    }
}

/// The difference, rounded once at the end, so that it is 0 for equal numbers alone. NaN where one of both is, and between equal
/// infinities.
impl Sub for Number {
    type Output = f64;

    fn sub(self, other: Self) -> f64 {
        match (self, other) {
            (Self::Float(left), Self::Float(right)) => left - right,
            _ => match (self.whole(), other.whole()) {
                (Some(left), Some(right)) => (left - right) as f64,
                _ => self.to_f64() - other.to_f64(),
            },
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Float(left), Self::Float(right)) => left == right,
            (left, right) => left - right == 0.0,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(it) => it.fmt(f),
            Self::Float(it) => it.fmt(f),
        }
    }
}

/// Reads what [`numbers`] reads, and rounds no integers.
///
/// # Errors
/// When the array is of another type.
pub fn exact_numbers(array: &dyn Array) -> Result<Numbers<'static, Number>> {
    let Numbers { values, width, nulls } = numbers(array)?;
    let values = match integers(array) {
        None => values.iter().map(|&it| Number::Float(it)).collect(),
        Some(integers) => values.iter().zip(integers).map(|(&rounded, it)| exact(rounded, it)).collect(),
    };
    Ok(Numbers { values, width, nulls })
}

fn exact(rounded: f64, integer: i128) -> Number {
    if rounded.is_nan() { Number::Float(rounded) } else { Number::Integer(integer) }
}

/// Returns the integers of an array, whatever stands for those that are missing; none of an array of others.
fn integers(array: &dyn Array) -> Option<Vec<i128>> {
    match array.data_type() {
        DataType::Int64 => Some(array.as_primitive::<Int64Type>().values().iter().map(|&it| it.into()).collect()),
        DataType::UInt64 => Some(array.as_primitive::<UInt64Type>().values().iter().map(|&it| it.into()).collect()),
        DataType::FixedSizeList(_, width) => {
            let (list, width) = (array.as_fixed_size_list(), *width as usize);
            integers(&list.values().slice(list.value_offset(0) as usize, list.len() * width))
        }
        it if it.is_integer() || *it == DataType::Boolean => {
            Some(numbers(array).ok()?.values.iter().map(|&it| it as i128).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Int64Array, UInt64Array};
    use arrow_schema::Field;

    use super::*;

    const BIG: i64 = 1 << 53;

    #[test]
    fn integers_keep_all_their_digits() {
        let read = |it: ArrayRef| exact_numbers(&it).unwrap();
        let ids = read(Arc::new(Int64Array::from(vec![Some(BIG), None, Some(BIG + 1), Some(-1)])));
        assert!(matches!(ids.values[..], [Number::Integer(_), Number::Float(it), ..] if it.is_nan()));
        assert_eq!((ids.values[2] - ids.values[0], ids.nulls), (1.0, 1));
        assert_eq!(ids.values[2].to_string(), "9007199254740993");
        let greatest = read(Arc::new(UInt64Array::from(vec![u64::MAX, u64::MAX - 1])));
        assert_eq!(greatest.values[0] - greatest.values[1], 1.0);
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        let list = FixedSizeListArray::new(item, 2, Arc::new(Int64Array::from_iter_values(BIG..BIG + 6)), None);
        let list = read(Arc::new(list.slice(1, 2)));
        assert_eq!(list.row(1), [BIG + 4, BIG + 5].map(|it| Number::Integer(it.into())));
        assert_eq!(read(Arc::new(BooleanArray::from(vec![true]))).values[0], Number::Integer(1));
        assert_eq!(read(Arc::new(Float32Array::from(vec![0.5]))).values[0], Number::Float(0.5));
    }

    #[test]
    fn an_integer_is_held_against_a_float_without_rounding() {
        let integer = |it: i64| Number::Integer(it.into());
        assert_eq!(integer(BIG + 1) - Number::Float(BIG as f64), 1.0);
        assert_ne!(integer(BIG + 1), Number::Float(BIG as f64));
        assert_eq!(integer(3), Number::Float(3.0));
        assert_eq!(integer(3) - Number::Float(2.5), 0.5);
        assert_eq!(integer(3) - Number::Float(f64::INFINITY), f64::NEG_INFINITY);
        assert!((integer(3) - Number::Float(f64::NAN)).is_nan());
        assert_eq!(Number::Float(f64::INFINITY), Number::Float(f64::INFINITY));
    }

    #[test]
    fn a_share_of_an_integer_is_not_allowed() {
        let [float, integer] = [Number::Float(100.0), Number::Integer(100)];
        assert_eq!(float.allowance(float, 0.1, 0.5), 10.5);
        assert_eq!(integer.allowance(float, 0.1, 0.5), 0.5);
        assert_eq!(float.allowance(integer, 0.1, 0.5), 0.5);
    }
}
