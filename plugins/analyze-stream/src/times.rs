//! The times of rows, as numbers that sort as they do.

use jiff::Timestamp;
use modelwatch_sdk::{
    Error, Result,
    arrow::{
        array::{
            Array, ArrayRef,
            cast::AsArray,
            types::{
                ArrowPrimitiveType, Date32Type, Date64Type, Int64Type, TimestampMicrosecondType,
                TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
            },
        },
        schema::{DataType, TimeUnit},
    },
    rows,
    state::{Reader, Writer, damaged},
};

use crate::values::chunks;

/// The key of a row without a time. As a time it is no time that anyone writes, and it stands before all others.
const NO_TIME: i64 = i64::MIN;

/// What a key counts, since 1970 where it is a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Days,
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    /// A whole number of the data.
    Whole,
    /// The bits of a float of the data, turned so that they sort as floats do.
    Float,
}

/// A time for each row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Times {
    unit: Unit,
    keys: Vec<i64>,
}

impl Times {
    /// The bytes of a time.
    pub(crate) const WIDTH: u64 = 8;

    /// Reads dates, timestamps and plain numbers.
    ///
    /// # Errors
    /// When the array has none of them.
    pub(crate) fn read_array(array: &ArrayRef) -> Result<Self> {
        fn keys<T: ArrowPrimitiveType>(unit: Unit, array: &ArrayRef) -> Times
        where
            i64: From<T::Native>,
        {
            let keys = array.as_primitive::<T>().iter().map(|it| it.map_or(NO_TIME, i64::from)).collect();
            Times { unit, keys }
        }
        Ok(match array.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => keys::<TimestampSecondType>(Unit::Seconds, array),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                keys::<TimestampMillisecondType>(Unit::Milliseconds, array)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                keys::<TimestampMicrosecondType>(Unit::Microseconds, array)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => keys::<TimestampNanosecondType>(Unit::Nanoseconds, array),
            DataType::Date32 => keys::<Date32Type>(Unit::Days, array),
            DataType::Date64 => keys::<Date64Type>(Unit::Milliseconds, array),
            DataType::Int64 => keys::<Int64Type>(Unit::Whole, array),
            it if it.is_integer() || it.is_floating() => {
                let numbers = rows::numbers(array.as_ref())?;
                Self { unit: Unit::Float, keys: numbers.values.iter().map(|it| of_float(*it)).collect() }
            }
            other => return Err(Error::input(format!("expected times, dates or numbers, got {other}"))),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns what a row sorts by; none where it has no time.
    pub(crate) fn key(&self, row: usize) -> Option<i64> {
        self.keys.get(row).copied().filter(|it| *it != NO_TIME)
    }

    /// Returns the rows that have a time in the order of their times, equal ones in the order of the data.
    pub(crate) fn order(&self) -> Vec<usize> {
        let mut res: Vec<usize> = (0..self.keys.len()).filter(|row| self.keys[*row] != NO_TIME).collect();
        // The sort is stable.
        res.sort_by_key(|row| self.keys[*row]);
        res
    }

    /// Returns the time of a row as people write it; none where it has none.
    pub(crate) fn show(&self, row: usize) -> Option<String> {
        let key = self.key(row)?;
        let nanoseconds = match self.unit {
            Unit::Days => 86_400_000_000_000,
            Unit::Seconds => 1_000_000_000,
            Unit::Milliseconds => 1_000_000,
            Unit::Microseconds => 1_000,
            Unit::Nanoseconds => 1,
            Unit::Whole => return Some(key.to_string()),
            Unit::Float => return Some(f64::from_bits(turned(key) as u64).to_string()),
        };
        let time = Timestamp::from_nanosecond(i128::from(key) * nanoseconds);
        // Where no calendar reaches, the number has to do.
        Some(time.map_or_else(|_| key.to_string(), |it| it.to_string()))
    }

    /// Returns no times of the same unit.
    pub(crate) fn none(&self) -> Self {
        Self { unit: self.unit, keys: Vec::new() }
    }

    /// Appends those of some other rows.
    ///
    /// # Errors
    /// When they are in another unit.
    pub(crate) fn extend(&mut self, other: &Self, rows: &[usize]) -> Result<()> {
        if self.unit != other.unit {
            return Err(Error::input("the timestamp column does not have the same type in all rows"));
        }
        self.keys.extend(rows.iter().map(|it| other.keys[*it]));
        Ok(())
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u8(self.unit as u8);
        writer.bytes(&self.keys.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let units = [
            Unit::Days,
            Unit::Seconds,
            Unit::Milliseconds,
            Unit::Microseconds,
            Unit::Nanoseconds,
            Unit::Whole,
            Unit::Float,
        ];
        let unit = units.get(usize::from(reader.u8()?)).ok_or_else(|| damaged("times are in an unknown unit"))?;
        Ok(Self { unit: *unit, keys: chunks(reader.bytes()?)?.map(i64::from_le_bytes).collect() })
    }
}

/// Returns a key that sorts as the float; NaN is no time.
fn of_float(value: f64) -> i64 {
    // 0 and -0 are one time.
    if value.is_nan() { NO_TIME } else { turned((value + 0.0).to_bits() as i64) }
}

/// Turns the bits of negative floats, of which the greatest are the least, and turns them back.
fn turned(bits: i64) -> i64 {
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modelwatch_sdk::arrow::array::{
        Date32Array, Float64Array, Int64Array, StringArray, TimestampMillisecondArray, TimestampSecondArray,
    };

    use super::*;

    #[track_caller]
    fn check(array: impl Array + 'static, order: &[usize], shown: &[Option<&str>]) {
        let times = Times::read_array(&(Arc::new(array) as ArrayRef)).unwrap();
        assert_eq!(times.order(), order);
        assert_eq!(
            (0..times.len()).map(|it| times.show(it)).collect::<Vec<_>>(),
            shown.iter().map(|it| it.map(str::to_owned)).collect::<Vec<_>>()
        );
        let mut writer = Writer::default();
        times.write(&mut writer);
        assert_eq!(Times::read(&mut Reader(&writer.0)).unwrap(), times);
    }

    #[test]
    fn rows_sort_by_time_and_those_without_one_are_left_out() {
        check(
            TimestampSecondArray::from(vec![Some(5), None, Some(-1), Some(5)]),
            &[2, 0, 3],
            &[Some("1970-01-01T00:00:05Z"), None, Some("1969-12-31T23:59:59Z"), Some("1970-01-01T00:00:05Z")],
        );
        check(TimestampMillisecondArray::from(vec![1500]), &[0], &[Some("1970-01-01T00:00:01.5Z")]);
        check(Date32Array::from(vec![1, 0]), &[1, 0], &[Some("1970-01-02T00:00:00Z"), Some("1970-01-01T00:00:00Z")]);
        check(
            Int64Array::from(vec![9_007_199_254_740_993, 9_007_199_254_740_992]),
            &[1, 0],
            &[Some("9007199254740993"), Some("9007199254740992")],
        );
        check(
            Float64Array::from(vec![1.5, f64::NAN, -2.0, 0.0, -0.0, f64::NEG_INFINITY]),
            &[5, 2, 3, 4, 0],
            &[Some("1.5"), None, Some("-2"), Some("0"), Some("0"), Some("-inf")],
        );
        check(TimestampSecondArray::from(vec![i64::MAX]), &[0], &[Some("9223372036854775807")]);
    }

    #[test]
    fn texts_are_no_times() {
        let error = Times::read_array(&(Arc::new(StringArray::from(vec!["noon"])) as ArrayRef)).unwrap_err();
        assert_eq!(error.message, "expected times, dates or numbers, got Utf8");
    }
}
