//! Times of day and durations as numbers: unlike dates they do not move on by themselves.

use arrow_array::{
    Array, ArrowPrimitiveType, Float64Array,
    cast::AsArray,
    types::{
        DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
        Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    },
};
use arrow_schema::{DataType, TimeUnit};

/// Returns times of day, since midnight, or durations in seconds; `None` for other types.
///
/// ```
/// use modelwatch_sdk::{arrow::array::{Float64Array, Time32MillisecondArray}, rows::spans};
///
/// let times = Time32MillisecondArray::from(vec![Some(90_500), None]);
/// assert_eq!(spans(&times), Some(Float64Array::from(vec![Some(90.5), None])));
/// assert_eq!(spans(&Float64Array::from(vec![1.0])), None);
/// ```
pub fn spans(array: &dyn Array) -> Option<Float64Array> {
    fn read<T: ArrowPrimitiveType>(array: &dyn Array, seconds: impl Fn(T::Native) -> f64) -> Float64Array {
        array.as_primitive::<T>().iter().map(|it| it.map(&seconds)).collect()
    }
    Some(match array.data_type() {
        DataType::Time32(TimeUnit::Second) => read::<Time32SecondType>(array, f64::from),
        DataType::Time32(TimeUnit::Millisecond) => read::<Time32MillisecondType>(array, |it| f64::from(it) / 1e3),
        DataType::Time64(TimeUnit::Microsecond) => read::<Time64MicrosecondType>(array, |it| it as f64 / 1e6),
        DataType::Time64(TimeUnit::Nanosecond) => read::<Time64NanosecondType>(array, |it| it as f64 / 1e9),
        DataType::Duration(TimeUnit::Second) => read::<DurationSecondType>(array, |it| it as f64),
        DataType::Duration(TimeUnit::Millisecond) => read::<DurationMillisecondType>(array, |it| it as f64 / 1e3),
        DataType::Duration(TimeUnit::Microsecond) => read::<DurationMicrosecondType>(array, |it| it as f64 / 1e6),
        DataType::Duration(TimeUnit::Nanosecond) => read::<DurationNanosecondType>(array, |it| it as f64 / 1e9),
        _ => return None,
    })
}
