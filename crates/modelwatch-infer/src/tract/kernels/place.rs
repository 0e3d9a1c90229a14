//! The place of the largest or smallest number of each row. tract makes a list of axes for each of them.

use tract_onnx::{
    prelude::{DatumExt, IntoTValue, TValue, TVec, Tensor, TractResult, TypedFact, tvec},
    tract_core::ops::nn::Reducer,
    tract_hir::internal::{EvalContext, EvalOp, Op, StaticName, ToDim, TypedOp, as_op, op_as_typed_op, op_out_of_plan},
};

/// Gives, along the last axis, the place of a number that no other exceeds: of several, the first or the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    largest: bool,
    last: bool,
}

impl Place {
    /// Returns the operator for a reduction that gives places.
    pub(super) fn of(reducer: Reducer) -> Option<Self> {
        match reducer {
            Reducer::ArgMax(last) => Some(Self { largest: true, last }),
            Reducer::ArgMin(last) => Some(Self { largest: false, last }),
            _ => None,
        }
    }

    /// Returns the place in each row, with the last axis of length 1.
    fn in_rows(&self, rows: &Tensor) -> TractResult<Tensor> {
        let mut shape: TVec<usize> = rows.shape().into();
        let width = shape.last_mut().map_or(1, |it| std::mem::replace(it, 1));
        let numbers = rows.try_as_plain_ram()?;
        let rows = numbers.as_slice::<f32>()?.chunks_exact(width.max(1));
        Tensor::from_shape(&shape, &rows.map(|it| self.in_row(it)).collect::<Vec<_>>())
    }

    /// Returns the place in a row, 0 where nothing is within the finite numbers, as in the operator that this stands for.
    fn in_row(&self, row: &[f32]) -> i64 {
        let sign = if self.largest { 1.0 } else { -1.0 };
        let (mut place, mut best) = (0, f32::MIN);
        for (it, idx) in row.iter().map(|it| it * sign).zip(0..) {
            if it > best || (self.last && it == best) {
                (place, best) = (idx, it);
            }
        }
        place
    }
}

impl Op for Place {
    fn name(&self) -> StaticName {
        if self.largest { "PlaceOfLargest" } else { "PlaceOfSmallest" }.into()
    }

    op_as_typed_op!();
}

impl EvalOp for Place {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec!(self.in_rows(&inputs[0])?.into_tvalue()))
    }
}

impl TypedOp for Place {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.to_tvec();
        shape.iter_mut().last().into_iter().for_each(|it| *it = 1.to_dim());
        Ok(tvec!(i64::fact(shape)))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use tract_onnx::prelude::tensor2;

    use super::*;

    #[test]
    fn places_are_those_that_tract_finds() {
        let (nan, infinite) = (f32::NAN, f32::INFINITY);
        let rows = tensor2(&[
            [1.0, 3.0, 3.0, 2.0],
            [-1.0, -1.0, -1.0, -1.0],
            [nan, 1.0, nan, 1.0],
            [0.0, -0.0, 0.0, -0.0],
            [-infinite, infinite, -infinite, infinite],
            [nan, nan, nan, nan],
        ]);
        for reducer in [true, false].into_iter().flat_map(|it| [Reducer::ArgMax(it), Reducer::ArgMin(it)]) {
            let places = Place::of(reducer).unwrap().in_rows(&rows).unwrap();
            assert_eq!(places, reducer.reduce(&[1], &rows).unwrap(), "{reducer:?}");
        }
    }
}
