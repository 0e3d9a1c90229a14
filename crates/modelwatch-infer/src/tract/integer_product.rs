//! Products of integers of 64 bits, for which tract has no kernel: it ends in a panic.

use tract_onnx::{
    prelude::{
        DatumType, IntoTValue, TValue, TVec, Tensor, TractResult, TypedFact,
        tract_ndarray::{ArrayD, Dimension, IxDyn, indices},
        tvec,
    },
    tract_core::ops::einsum::EinSum,
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, TractErrorContext, TypedNode, TypedOp, as_op, ensure, op_as_typed_op,
        op_out_of_plan,
    },
};

/// A sum of products, which goes around where it is no integer of 64 bits, as sums and products do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IntegerProduct(EinSum);

impl IntegerProduct {
    /// Returns what takes the place of a node that multiplies such integers.
    pub(super) fn of(node: &TypedNode) -> Option<Self> {
        let op = node.op_as::<EinSum>()?;
        (op.operating_dt == DatumType::I64 && op.q_params.is_none()).then(|| Self(op.clone()))
    }

    fn of_tensors(&self, inputs: &[ArrayD<i64>]) -> TractResult<ArrayD<i64>> {
        // By axis, its length and how far apart its neighbors are in each input.
        let mut kept: Vec<(usize, Axis)> = Vec::new();
        let mut summed: Vec<Axis> = Vec::new();
        for axis in self.0.axes.iter_all_axes() {
            let mut one = Axis { len: 1, steps: vec![0; inputs.len()] };
            for (idx, (input, positions)) in inputs.iter().zip(&axis.inputs).enumerate() {
                for &position in positions {
                    let len = input.shape()[position];
                    if len != 1 {
                        ensure!(one.len == 1 || one.len == len, "{} and {len} numbers along an axis", one.len);
                        one.len = len;
                        one.steps[idx] += usize::try_from(input.strides()[position])?;
                    }
                }
            }
            match axis.outputs.first().and_then(|it| it.first()) {
                Some(position) => kept.push((*position, one)),
                None => summed.push(one),
            }
        }
        kept.sort_by_key(|it| it.0);
        let kept: Vec<Axis> = kept.into_iter().map(|it| it.1).collect();
        let numbers: Vec<&[i64]> = inputs
            .iter()
            .map(|it| it.as_slice().context("the numbers do not lie side by side"))
            .collect::<TractResult<_>>()?;
        let places = |axes: &[Axis], at: &[usize], idx: usize| {
            axes.iter().zip(at).map(|(axis, at)| axis.steps[idx] * at).sum::<usize>()
        };
        let shape = |axes: &[Axis]| IxDyn(&axes.iter().map(|it| it.len).collect::<Vec<_>>());
        Ok(ArrayD::from_shape_fn(shape(&kept), |at| {
            let starts: Vec<usize> = (0..numbers.len()).map(|idx| places(&kept, at.slice(), idx)).collect();
            indices(shape(&summed)).into_iter().fold(0_i64, |sum, at| {
                let factors =
                    numbers.iter().enumerate().map(|(idx, it)| it[starts[idx] + places(&summed, at.slice(), idx)]);
                sum.wrapping_add(factors.fold(1, i64::wrapping_mul))
            })
        }))
    }
}

/// An axis of a sum of products.
struct Axis {
    len: usize,
    steps: Vec<usize>,
}

impl Op for IntegerProduct {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl EvalOp for IntegerProduct {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let integers = |it: &TValue| {
            let array = it.cast_to::<i64>()?.into_owned().into_plain_array::<i64>()?;
            Ok(array.as_standard_layout().into_owned())
        };
        let inputs: Vec<ArrayD<i64>> = inputs.iter().map(integers).collect::<TractResult<_>>()?;
        Ok(tvec!(Tensor::from(self.of_tensors(&inputs)?).into_tvalue()))
    }
}

impl TypedOp for IntegerProduct {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    as_op!();
}
