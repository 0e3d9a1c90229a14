//! Dates, times and durations as nanoseconds.

use modelwatch_sdk::arrow::{
    array::Array,
    schema::{DataType, TimeUnit},
};

/// Returns the least and the greatest value in nanoseconds, of dates and instants since 1970; `None` where there are none.
pub(crate) fn range(array: &dyn Array) -> Option<(i128, i128)> {
    let unit = match array.data_type() {
        DataType::Date32 => 86_400_000_000_000,
        DataType::Date64 => 1_000_000,
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) | DataType::Duration(unit) => {
            nanoseconds(*unit)
        }
        _ => return None,
    };
    let data = array.to_data();
    let is_narrow = array.data_type().primitive_width() == Some(4);
    let value = |row: usize| match is_narrow {
        true => i128::from(data.buffer::<i32>(0)[row]),
        false => i128::from(data.buffer::<i64>(0)[row]),
    };
    let values = (0..array.len()).filter(|&row| array.is_valid(row)).map(value);
    let range = values.fold(None, |res: Option<(i128, i128)>, it| {
        Some(res.map_or((it, it), |(first, last)| (first.min(it), last.max(it))))
    });
    range.map(|(first, last)| (first * unit, last * unit))
}

fn nanoseconds(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1000,
        TimeUnit::Nanosecond => 1,
    }
}

#[cfg(test)]
mod tests {
    use modelwatch_sdk::arrow::array::{Date32Array, Int64Array, TimestampMillisecondArray};

    use super::*;

    #[test]
    fn every_unit_becomes_nanoseconds() {
        let instants = TimestampMillisecondArray::from(vec![Some(5), None, Some(-2)]);
        assert_eq!(range(&instants), Some((-2_000_000, 5_000_000)));
        assert_eq!(range(&instants.slice(0, 2)), Some((5_000_000, 5_000_000)));
        assert_eq!(range(&Date32Array::from(vec![1])), Some((86_400_000_000_000, 86_400_000_000_000)));
        assert_eq!(range(&Date32Array::from(vec![None])), None);
        assert_eq!(range(&Int64Array::from(vec![1])), None);
    }
}
