//! Decimals as floats.

use arrow_array::{
    Array, Float64Array, PrimitiveArray,
    cast::AsArray,
    types::{Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType},
};
use arrow_schema::DataType;

/// So many digits are always kept by a float.
const KEPT_DIGITS: usize = 15;

/// Returns a decimal array as floats, and whether any has more digits than floats keep; `None` for other types.
pub fn decimals(array: &dyn Array) -> Option<(Float64Array, bool)> {
    fn read<T: DecimalType>(array: &PrimitiveArray<T>) -> (Float64Array, bool) {
        let mut has_rounded = false;
        let mut float = |row: usize| {
            let text = array.value_as_string(row);
            let digits = text.trim_start_matches(['-', '0', '.']).chars().filter(char::is_ascii_digit).count();
            has_rounded |= digits > KEPT_DIGITS;
            text.parse().unwrap_or(f64::NAN)
        };
        let floats = (0..array.len()).map(|row| (!array.is_null(row)).then(|| float(row))).collect();
        (floats, has_rounded)
    }
    Some(match array.data_type() {
        DataType::Decimal32(..) => read(array.as_primitive::<Decimal32Type>()),
        DataType::Decimal64(..) => read(array.as_primitive::<Decimal64Type>()),
        DataType::Decimal128(..) => read(array.as_primitive::<Decimal128Type>()),
        DataType::Decimal256(..) => read(array.as_primitive::<Decimal256Type>()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use arrow_array::Decimal128Array;

    use super::*;

    #[test]
    fn decimals_are_read_with_their_scale() {
        let of = |values: Vec<Option<i128>>, scale: i8| {
            decimals(&Decimal128Array::from(values).with_precision_and_scale(38, scale).unwrap()).unwrap()
        };
        let (values, has_rounded) = of(vec![Some(12345), None, Some(-5)], 2);
        assert_eq!(values, Float64Array::from(vec![Some(123.45), None, Some(-0.05)]));
        assert!(!has_rounded);
        assert!(of(vec![Some(1_234_567_890_123_456)], 3).1);
        assert!(!of(vec![Some(123_456_789_012_345)], 20).1);
        assert!(decimals(&Float64Array::from(vec![1.0])).is_none());
    }
}
