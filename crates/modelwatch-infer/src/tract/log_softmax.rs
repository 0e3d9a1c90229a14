//! The logarithm of a softmax. tract takes it of a softmax that is 0 for what is far below the greatest number.

use tract_onnx::{
    prelude::{
        Datum, DatumType, IntoTValue, IntoTensor, TValue, TVec, Tensor, TractResult, TypedFact, tract_ndarray::ArrayD,
        tvec,
    },
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, TractErrorContext, TypedOp, as_op, bail, f16, op_as_typed_op,
        op_out_of_plan,
    },
};

use super::{axes::put_last, reductions::log_sum_exp_parts};

/// The numbers less the logarithm of the sum of the exponentials of all along these axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LogSoftmax {
    pub axes: Vec<usize>,
}

impl LogSoftmax {
    fn of<T: Datum + Copy + Into<f64>>(&self, tensor: &Tensor, narrow: fn(f64) -> T) -> TractResult<Tensor> {
        let numbers = tensor.to_plain_array_view::<T>()?;
        let n_each: usize = self.axes.iter().map(|it| numbers.shape()[*it]).product();
        let order = put_last(&self.axes, numbers.ndim());
        let mut inverse = vec![0; order.len()];
        order.iter().enumerate().for_each(|(to, from)| inverse[*from] = to);
        let ordered = numbers.permuted_axes(order);
        let shape = ordered.shape().to_vec();
        let ordered = ordered.as_standard_layout();
        let ordered = ordered.as_slice().context("the numbers do not lie side by side")?;
        let mut res = Vec::with_capacity(ordered.len());
        for row in ordered.chunks_exact(n_each.max(1)) {
            let [greatest, beyond] = log_sum_exp_parts(row);
            // In this order, what is small keeps its digits.
            res.extend(row.iter().map(|it| narrow(((*it).into() - greatest) - beyond)));
        }
        let res = ArrayD::from_shape_vec(shape, res)?.permuted_axes(inverse);
        Ok(res.as_standard_layout().into_owned().into_tensor())
    }
}

impl Op for LogSoftmax {
    fn name(&self) -> StaticName {
        "LogSoftmax".into()
    }

    op_as_typed_op!();
}

impl EvalOp for LogSoftmax {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let res = match inputs[0].datum_type() {
            DatumType::F16 => self.of(&inputs[0], f16::from_f64)?,
            DatumType::F32 => self.of(&inputs[0], |it| it as f32)?,
            DatumType::F64 => self.of(&inputs[0], |it| it)?,
            other => bail!("there is no softmax of elements of {other:?}"),
        };
        Ok(tvec!(res.into_tvalue()))
    }
}

impl TypedOp for LogSoftmax {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}
