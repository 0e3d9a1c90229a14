//! What is kept of the values of a node.

use tract_onnx::prelude::{DatumType, TValue, TractResult};

use super::super::nodes::{Outputs, is_number};
use crate::{
    compare::ValueRange,
    difference::{Difference, Tolerance},
};

/// The range of all finite values so far.
#[derive(Default)]
pub(super) struct Range(pub(super) Option<ValueRange>);

impl Range {
    pub(super) fn add(&mut self, values: &Outputs) -> TractResult<()> {
        for value in values.iter().filter(|it| is_number(it)) {
            let numbers = value.cast_to::<f64>()?;
            for &it in numbers.to_plain_array_view::<f64>()?.iter().filter(|it| it.is_finite()) {
                let range = self.0.get_or_insert(ValueRange { least: it, greatest: it });
                (range.least, range.greatest) = (range.least.min(it), range.greatest.max(it));
            }
        }
        Ok(())
    }
}

/// Takes in the elements of two values. Integers are compared digit by digit, quantized ones as the numbers that they stand for.
pub(super) fn add_difference(
    difference: &mut Difference,
    reference: &TValue,
    candidate: &TValue,
    tolerance: &Tolerance,
) -> TractResult<()> {
    if reference.shape() != candidate.shape() {
        difference.add_beyond(reference.len().max(candidate.len()));
        return Ok(());
    }
    if ![reference, candidate].iter().all(|it| is_number(it) || it.datum_type() == DatumType::String) {
        return Ok(());
    }
    if [reference, candidate].iter().any(|it| it.datum_type() == DatumType::String) {
        let texts = [reference, candidate].map(|it| it.cast_to::<String>());
        let [reference, candidate] = texts;
        let (reference, candidate) = (reference?, candidate?);
        let pairs =
            reference.to_plain_array_view::<String>()?.into_iter().zip(candidate.to_plain_array_view::<String>()?);
        pairs.for_each(|(left, right)| difference.add_words(left, right, tolerance));
        return Ok(());
    }
    let tolerance = match (integers(reference)?, integers(candidate)?) {
        (Some(left), Some(right)) => {
            left.iter().zip(&right).for_each(|(&left, &right)| difference.add_integers(left, right, tolerance));
            return Ok(());
        }
        (None, None) => *tolerance,
        _ => tolerance.of_integers(),
    };
    let (reference, candidate) = (reference.cast_to::<f64>()?, candidate.cast_to::<f64>()?);
    let pairs = reference.to_plain_array_view::<f64>()?.into_iter().zip(candidate.to_plain_array_view::<f64>()?);
    pairs.for_each(|(&left, &right)| difference.add(left, right, &tolerance));
    Ok(())
}

/// Returns integers digit by digit; none where the elements are floats, or quantized, and so stand for floats.
fn integers(value: &TValue) -> TractResult<Option<Vec<i128>>> {
    let it = value.datum_type();
    if it == DatumType::U64 {
        return Ok(Some(value.to_plain_array_view::<u64>()?.iter().map(|&it| it.into()).collect()));
    }
    if it.is_quantized() || !(it.is_integer() || it == DatumType::Bool || it.is_tdim()) {
        return Ok(None);
    }
    let value = value.cast_to::<i64>()?;
    Ok(Some(value.to_plain_array_view::<i64>()?.iter().map(|&it| it.into()).collect()))
}
