//! Numbers as they are written: those that are names are not rounded.

use std::{
    borrow::Cow,
    fmt,
    ops::{Range, Sub},
};

use arrow_array::{
    Array, FixedSizeListArray,
    cast::AsArray,
    types::{Int64Type, UInt64Type},
};
use arrow_schema::DataType;

use super::{are_number_lists, lists, numbers};
use crate::error::{Error, Result};

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

/// The numbers of a column, a row having `width` of them, in 8 bytes each, none of them rounded.
#[derive(Clone, Debug)]
pub struct ExactNumbers<'a> {
    values: Values<'a>,
    /// Which are missing; empty where none is.
    missing: Vec<bool>,
    /// How many numbers a row has: 1 for a plain column.
    pub width: usize,
    /// How many rows are null.
    pub nulls: usize,
}

/// Numbers of one type.
#[derive(Clone, Debug)]
enum Values<'a> {
    Floats(Cow<'a, [f64]>),
    Signed(Cow<'a, [i64]>),
    Unsigned(Cow<'a, [u64]>),
}

impl ExactNumbers<'_> {
    /// Returns how many numbers there are: rows by width.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Floats(it) => it.len(),
            Values::Signed(it) => it.len(),
            Values::Unsigned(it) => it.len(),
        }
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether they are integers or booleans.
    pub fn are_integers(&self) -> bool {
        !matches!(self.values, Values::Floats(_))
    }

    /// Returns all numbers, row by row.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Number> + Clone {
        (0..self.len()).map(|it| self.get(it))
    }

    /// Returns the numbers of a row.
    pub fn row(&self, row: usize) -> impl ExactSizeIterator<Item = Number> + Clone {
        (row * self.width..(row + 1) * self.width).map(|it| self.get(it))
    }

    fn get(&self, at: usize) -> Number {
        if self.missing.get(at) == Some(&true) {
            return Number::Float(f64::NAN);
        }
        match &self.values {
            Values::Floats(it) => Number::Float(it[at]),
            Values::Signed(it) => Number::Integer(it[at].into()),
            Values::Unsigned(it) => Number::Integer(it[at].into()),
        }
    }

    /// Returns them with a life of their own.
    pub fn into_owned(self) -> ExactNumbers<'static> {
        let values = match self.values {
            Values::Floats(it) => Values::Floats(Cow::Owned(it.into_owned())),
            Values::Signed(it) => Values::Signed(Cow::Owned(it.into_owned())),
            Values::Unsigned(it) => Values::Unsigned(Cow::Owned(it.into_owned())),
        };
        ExactNumbers { values, missing: self.missing, width: self.width, nulls: self.nulls }
    }

    /// Puts the rows of another batch after these.
    ///
    /// # Errors
    /// When those have another type or width.
    pub fn append(&mut self, other: &ExactNumbers<'_>) -> Result<()> {
        let before = self.len();
        match (&mut self.values, &other.values) {
            _ if self.width != other.width => return Err(Error::input("the rows have another width")),
            (Values::Floats(these), Values::Floats(those)) => these.to_mut().extend_from_slice(those),
            (Values::Signed(these), Values::Signed(those)) => these.to_mut().extend_from_slice(those),
            (Values::Unsigned(these), Values::Unsigned(those)) => these.to_mut().extend_from_slice(those),
            _ => return Err(Error::input("the numbers are of another type")),
        }
        if !(self.missing.is_empty() && other.missing.is_empty()) {
            self.missing.resize(before, false);
            self.missing.extend_from_slice(&other.missing);
            self.missing.resize(self.len(), false);
        }
        self.nulls += other.nulls;
        Ok(())
    }
}

/// Reads what [`numbers`] reads, and rounds no integers.
///
/// # Errors
/// When the array is of another type, or its lists differ in length.
pub fn exact_numbers(array: &dyn Array) -> Result<ExactNumbers<'_>> {
    let values = match array.data_type() {
        it if are_number_lists(it) => {
            let lists = lists::fixed(array)?;
            return Ok(list(&lists, lists.value_length() as usize)?.into_owned());
        }
        DataType::FixedSizeList(_, width) => return list(array.as_fixed_size_list(), *width as usize),
        DataType::Int64 => Values::Signed(array.as_primitive::<Int64Type>().values().as_ref().into()),
        DataType::UInt64 => Values::Unsigned(array.as_primitive::<UInt64Type>().values().as_ref().into()),
        it if it.is_integer() || *it == DataType::Boolean => {
            Values::Signed(numbers(array)?.values.iter().map(|&it| it as i64).collect())
        }
        _ => Values::Floats(numbers(array)?.values),
    };
    let nulls = array.null_count();
    let missing = if nulls == 0 { Vec::new() } else { (0..array.len()).map(|it| array.is_null(it)).collect() };
    Ok(ExactNumbers { values, missing, width: 1, nulls })
}

/// Returns whether [`numbers`] rounds some of those that [`exact_numbers`] reads.
///
/// ```
/// use modelwatch_sdk::{arrow::array::Int64Array, rows::are_rounded};
///
/// assert!(!are_rounded(&Int64Array::from(vec![1 << 53]))?);
/// assert!(are_rounded(&Int64Array::from(vec![(1 << 53) + 1]))?);
/// # Ok::<(), modelwatch_sdk::Error>(())
/// ```
///
/// # Errors
/// When the array is of another type.
pub fn are_rounded(array: &dyn Array) -> Result<bool> {
    let mut item = array.data_type();
    while let DataType::FixedSizeList(inner, _) | DataType::List(inner) | DataType::LargeList(inner) = item {
        item = inner.data_type();
    }
    if !matches!(item, DataType::Int64 | DataType::UInt64) {
        return Ok(false);
    }
    let is_rounded = |it: Number| matches!(it, Number::Integer(it) if it as f64 as i128 != it);
    Ok(exact_numbers(array)?.iter().any(is_rounded))
}

fn list(array: &FixedSizeListArray, width: usize) -> Result<ExactNumbers<'_>> {
    let inner = exact_numbers(array.values().as_ref())?;
    let width = width * inner.width;
    let start = array.value_offset(0) as usize * inner.width;
    let place = start..start + array.len() * width;
    let mut missing = inner.missing.get(place.clone()).unwrap_or_default().to_vec();
    if array.null_count() > 0 {
        missing.resize(place.len(), false);
        for row in (0..array.len()).filter(|&it| array.is_null(it)) {
            missing[row * width..(row + 1) * width].fill(true);
        }
    }
    let values = match inner.values {
        Values::Floats(it) => Values::Floats(part(it, place)),
        Values::Signed(it) => Values::Signed(part(it, place)),
        Values::Unsigned(it) => Values::Unsigned(part(it, place)),
    };
    Ok(ExactNumbers { values, missing, width, nulls: array.null_count() })
}

fn part<T: Clone>(values: Cow<'_, [T]>, place: Range<usize>) -> Cow<'_, [T]> {
    match values {
        Cow::Borrowed(it) => Cow::Borrowed(&it[place]),
        Cow::Owned(it) => Cow::Owned(it[place].to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BooleanArray, Float32Array, Int8Array, Int64Array, UInt64Array};
    use arrow_schema::Field;

    use super::*;

    const BIG: i64 = 1 << 53;

    fn all(array: &dyn Array) -> Vec<Number> {
        exact_numbers(array).unwrap().iter().collect()
    }

    fn shown(array: &dyn Array) -> Vec<String> {
        all(array).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn integers_keep_all_their_digits() {
        let ids = Int64Array::from(vec![Some(BIG), None, Some(BIG + 1), Some(-1)]);
        assert_eq!(shown(&ids), ["9007199254740992", "NaN", "9007199254740993", "-1"]);
        assert_eq!((all(&ids)[2] - all(&ids)[0], exact_numbers(&ids).unwrap().nulls), (1.0, 1));
        let greatest = all(&UInt64Array::from(vec![u64::MAX, u64::MAX - 1]));
        assert_eq!(greatest[0] - greatest[1], 1.0);
        assert_eq!(shown(&Int8Array::from(vec![Some(-128), None])), ["-128", "NaN"]);
        assert_eq!(all(&BooleanArray::from(vec![true])), [Number::Integer(1)]);
        assert_eq!(all(&Float32Array::from(vec![0.5])), [Number::Float(0.5)]);
    }

    /// Rows of two from 2^53 on, of which the third is null.
    fn pairs() -> FixedSizeListArray {
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(BIG..BIG + 8));
        FixedSizeListArray::new(item, 2, values, Some(vec![true, true, false, true].into()))
    }

    #[test]
    fn rows_of_lists_start_at_their_own_offset() {
        let list = pairs().slice(1, 3);
        let read = exact_numbers(&list).unwrap();
        assert_eq!((read.width, read.len(), read.nulls), (2, 6, 1));
        assert!(read.row(0).eq([BIG + 2, BIG + 3].map(|it| Number::Integer(it.into()))));
        assert!(read.row(1).all(|it| it.to_f64().is_nan()));
        assert!(read.row(2).eq([BIG + 6, BIG + 7].map(|it| Number::Integer(it.into()))));
    }

    #[test]
    fn a_number_takes_eight_bytes_whatever_its_type() {
        let rows = 1000;
        let arrays: [ArrayRef; 3] = [
            Arc::new(Int64Array::from_iter_values(0..rows)),
            Arc::new(UInt64Array::from_iter_values(0..rows as u64)),
            Arc::new(Float32Array::from_iter_values((0..rows).map(|it| it as f32))),
        ];
        for array in arrays {
            let bytes = match exact_numbers(&array).unwrap().into_owned().values {
                Values::Floats(it) => size_of_val(&*it),
                Values::Signed(it) => size_of_val(&*it),
                Values::Unsigned(it) => size_of_val(&*it),
            };
            assert_eq!(bytes as i64, 8 * rows, "{}", array.data_type());
        }
    }

    #[test]
    fn rows_of_another_batch_come_after() {
        let (list, ids) = (pairs(), Int64Array::from_iter_values(0..2));
        let mut read = exact_numbers(&list).unwrap().into_owned();
        let whole = list.slice(0, 2);
        for part in [&whole, &list] {
            read.append(&exact_numbers(part).unwrap()).unwrap();
        }
        let missing: Vec<_> = (0..10).filter(|&row| read.row(row).any(|it| it.to_f64().is_nan())).collect();
        assert_eq!((read.len(), read.nulls, missing), (20, 2, vec![2, 8]));
        assert!(read.append(&exact_numbers(&ids).unwrap()).is_err());
        let mut ids = exact_numbers(&ids).unwrap();
        assert!(ids.append(&exact_numbers(&Float32Array::from(vec![0.5])).unwrap()).is_err());
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
