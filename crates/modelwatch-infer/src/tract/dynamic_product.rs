//! The product of numbers that are quantized as they come with weights of eight bits.

use std::sync::Arc;

use tract_onnx::{
    prelude::{DatumExt, IntoTValue, TValue, TVec, Tensor, TractResult, TypedFact, tvec},
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, ToDim, TypedOp, as_op, ensure, op_as_typed_op, op_out_of_plan,
    },
};

/// `DynamicQuantizeLinear`, `MatMulInteger`, and the multiplication by both scales, for as many parts of the input as there are rows, each
/// with a scale of its own.
#[derive(Clone, Debug)]
pub(super) struct DynamicProduct {
    pub n_rows: usize,
    /// By number of a row and column, the zero point taken off.
    pub weights: Arc<[i32]>,
    /// By column.
    pub scales: Arc<[f32]>,
}

impl PartialEq for DynamicProduct {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights) && Arc::ptr_eq(&self.scales, &other.scales)
    }
}

impl Eq for DynamicProduct {}

impl DynamicProduct {
    /// Takes the weights by number of a row and column, and the scales by column, of which there is at least one.
    pub(super) fn new(n_rows: usize, weights: Vec<i32>, scales: Vec<f32>) -> Self {
        Self { n_rows, weights: weights.into(), scales: scales.into() }
    }

    /// Returns whether all sums are exact in single precision, whatever is multiplied.
    pub(super) fn is_exact(&self) -> bool {
        let mut sums = vec![0_i64; self.scales.len()];
        for row in self.weights.chunks_exact(sums.len()) {
            sums.iter_mut().zip(row).for_each(|(sum, it)| *sum += i64::from(it.abs()));
        }
        // Integers of single precision go so far without a gap.
        sums.iter().all(|it| it * 255 <= 1 << f32::MANTISSA_DIGITS)
    }

    /// Returns the length of what is multiplied.
    pub(super) fn depth(&self) -> usize {
        self.weights.len() / self.scales.len()
    }
}

/// Which integers from 0 to 255 stand for numbers, of which zero is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantization {
    /// NaN where a number is not finite, lest it be hidden.
    pub scale: f32,
    pub zero_point: f32,
}

impl Quantization {
    /// Returns the one for numbers of which these are the least and the largest, or a NaN.
    pub(super) fn between(least: f32, largest: f32) -> Self {
        let scale = match (largest - least) / 255.0 {
            // ONNX Runtime's choice where all numbers are zero, of which ONNX says nothing.
            0.0 => 1.0,
            it if it.is_finite() => it,
            _ => f32::NAN,
        };
        Self { scale, zero_point: (-least / scale).round_ties_even().clamp(0.0, 255.0) }
    }
}

impl Quantization {
    /// Returns the one that is taken from all of these numbers.
    pub(super) fn of(numbers: impl Iterator<Item = f32> + Clone) -> Self {
        let least = numbers.clone().find(|it| it.is_nan()).unwrap_or_else(|| numbers.clone().fold(0.0, f32::min));
        Self::between(least, numbers.fold(0.0, f32::max))
    }

    /// Returns the integer from 0 to 255 that stands for a number.
    pub(super) fn integer(self, number: f32) -> f32 {
        ((number / self.scale).round_ties_even() + self.zero_point).clamp(0.0, 255.0)
    }
}

impl Op for DynamicProduct {
    fn name(&self) -> StaticName {
        "DynamicProduct".into()
    }

    op_as_typed_op!();
}

impl EvalOp for DynamicProduct {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (depth, width) = (self.depth(), self.scales.len());
        let input = inputs[0].try_as_plain_ram()?;
        let numbers = input.as_slice::<f32>()?;
        ensure!(numbers.len() % (self.n_rows * depth).max(1) == 0, "{} numbers are no rows", numbers.len());
        let mut output = Vec::with_capacity(numbers.len() / depth.max(1) * width);
        for row in numbers.chunks((numbers.len() / self.n_rows).max(1)) {
            let quantization = Quantization::of(row.iter().copied());
            for part in row.chunks(depth.max(1)) {
                let mut sums = vec![0_i32; width];
                for (it, weights) in part.iter().zip(self.weights.chunks_exact(width)) {
                    let integer = quantization.integer(*it) - quantization.zero_point;
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = sum.wrapping_add(weight * integer as i32);
                    }
                }
                output.extend(sums.iter().zip(&*self.scales).map(|(sum, it)| *sum as f32 * (quantization.scale * it)));
            }
        }
        let mut shape = inputs[0].shape().to_vec();
        shape.iter_mut().last().into_iter().for_each(|it| *it = width);
        Ok(tvec!(Tensor::from_shape(&shape, &output)?.into_tvalue()))
    }
}

impl TypedOp for DynamicProduct {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mut shape = inputs[0].shape.to_tvec();
        shape.iter_mut().last().into_iter().for_each(|it| *it = self.scales.len().to_dim());
        Ok(tvec!(f32::fact(shape)))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantizations_are_those_of_the_examples_that_onnx_gives() {
        for (least, largest, scale, zero_point) in
            [(-3.0, 2.0, 0.019_607_844, 153.0), (-4.0, 0.0, 0.015_686_275, 255.0), (0.0, 4.0, 0.015_686_275, 0.0)]
        {
            assert_eq!(Quantization::between(least, largest), Quantization { scale, zero_point });
        }
        // The zero point is at a tie, 126.5.
        assert_eq!(Quantization::between(-126.5, 128.5), Quantization { scale: 1.0, zero_point: 126.0 });
        assert_eq!(Quantization::between(0.0, 0.0), Quantization { scale: 1.0, zero_point: 0.0 });
        for (least, largest) in [(f32::NAN, 1.0), (f32::NEG_INFINITY, 0.0), (0.0, f32::INFINITY)] {
            assert!(Quantization::between(least, largest).scale.is_nan());
        }
    }
}
