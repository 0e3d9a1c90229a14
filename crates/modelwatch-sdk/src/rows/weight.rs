//! How much rows count.

use std::ops::RangeInclusive;

use arrow_array::RecordBatch;

use super::{Numbers, Use, columns, numbers};
use crate::error::{Error, Result};

/// The least and the greatest weight of a row that is there. Sums of weights and of their squares are far from the ends of what numbers can
/// be.
pub const WEIGHT_RANGE: RangeInclusive<f64> = 1e-30..=65_536.0;

/// What weights are rounded to where they are summed in whole units, which gives the same sums in any order.
pub const WEIGHT_UNIT: f64 = 1.0 / 4096.0;

/// Returns whether a number is the weight of a row: 0, of one that is not there, or within [`WEIGHT_RANGE`].
///
/// ```
/// use modelwatch_sdk::rows::is_weight;
///
/// assert_eq!([0.0, 1e-9, 1.5, -1.0, f64::NAN, 1e9].map(is_weight), [true, true, true, false, false, false]);
/// ```
pub fn is_weight(number: f64) -> bool {
    number == 0.0 || WEIGHT_RANGE.contains(&number)
}

/// Returns a weight in whole units of [`WEIGHT_UNIT`], of which sums are the same in any order. What is below half of one is 0.
///
/// ```
/// assert_eq!([0.0, 0.0002, 1.5].map(modelwatch_sdk::rows::weight_units), [0, 1, 6144]);
/// ```
pub fn weight_units(weight: f64) -> u64 {
    (weight / WEIGHT_UNIT).round() as u64
}

/// Returns whether rows that have so many whole units together have less than one on average, so that rounding to these leaves little of how
/// they count.
///
/// ```
/// use modelwatch_sdk::rows::{weight_units, weigh_too_little};
///
/// assert!(weigh_too_little(1000 * weight_units(0.0001), 1000));
/// assert!(!weigh_too_little(999 * weight_units(0.0001) + weight_units(999.0), 1000));
/// ```
pub fn weigh_too_little(units: u64, n_rows: u64) -> bool {
    units < n_rows
}

/// Returns the weights of the rows, 0 for those that are not there; none where the batch has no weight column.
///
/// A row whose weight is missing, null or NaN, is not there: nobody knows how much it counts. The host counts such rows, says so in a gap,
/// and lets no requirement rest on what the probe measures, unless the probe has a gap of its own about `row weights`.
///
/// # Errors
/// When the column has no numbers or several for a row, or one is neither missing nor 0 nor within [`WEIGHT_RANGE`].
///
/// ```
/// use std::sync::Arc;
///
/// use modelwatch_sdk::{arrow::array::{ArrayRef, Float64Array}, rows::{self, Use}, testing};
///
/// let column: ArrayRef = Arc::new(Float64Array::from(vec![None, Some(1.5)]));
/// let batch = testing::batch([("w", [Use::Weight], Arc::clone(&column))]);
/// assert_eq!(rows::weights(&batch).map_err(|e| e.to_string())?, Some(vec![0.0, 1.5]));
/// assert!(rows::weights(&testing::batch([("x", [Use::Feature], column)])).map_err(|e| e.to_string())?.is_none());
/// # Ok::<(), String>(())
/// ```
pub fn weights(batch: &RecordBatch) -> Result<Option<Vec<f64>>> {
    let Some((name, numbers)) = weight_numbers(batch)? else { return Ok(None) };
    if let Some(it) = numbers.values.iter().find(|it| !it.is_nan() && !is_weight(**it)) {
        let (least, most) = (WEIGHT_RANGE.start(), WEIGHT_RANGE.end());
        return Err(Error::input(format!("the weight {it} in `{name}` is not 0 and not from {least:e} to {most}"))
            .with_help(format!(
                "divide all weights by their mean, and write 0 or {most} where that is not enough; or count each row once with `weights = false`"
            )));
    }
    Ok(Some(numbers.values.iter().map(|it| if it.is_nan() { 0.0 } else { *it }).collect()))
}

/// Returns the name of the weight column and its numbers, one for each row, whatever they are; none where the batch has no such column.
///
/// # Errors
/// When the column has no numbers or several for a row.
pub fn weight_numbers(batch: &RecordBatch) -> Result<Option<(&str, Numbers<'_>)>> {
    let Some((name, array)) = columns(batch, Use::Weight).next() else { return Ok(None) };
    let refused = |why: &str| Error::input(format!("expected one number per weight in `{name}`: {why}"));
    match numbers(array.as_ref()) {
        Ok(it) if it.width == 1 => Ok(Some((name, it))),
        Ok(several) => Err(refused(&format!("a row has {}", several.width))),
        Err(why) => Err(refused(&why.to_string()).with_help("cast it to floats, as a decimal column with `float64`")),
    }
}
