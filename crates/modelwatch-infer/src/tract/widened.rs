//! Means of half precision, which are computed in single precision: their sums may be beyond all numbers where they are not.

use tract_onnx::{
    prelude::{DatumType, IntoTValue, TValue, TVec, TractResult, TypedFact, tvec},
    tract_core::ops::cnn::SumPool,
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, TypedNode, TypedOp, as_op, op_as_typed_op, op_out_of_plan,
    },
};

/// The mean, or the sum, in windows of an image of half precision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Widened(SumPool);

impl Widened {
    /// Returns what takes the place of a node that adds numbers of half precision in windows.
    pub(super) fn of(node: &TypedNode) -> Option<Self> {
        let pool = node.op_as::<SumPool>().filter(|_| node.outputs[0].fact.datum_type == DatumType::F16)?;
        Some(Self(pool.clone()))
    }
}

impl Op for Widened {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl EvalOp for Widened {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let image = inputs[0].cast_to::<f32>()?.into_owned();
        let res = self.0.eval(context, tvec!(image.into_tvalue()))?.remove(0);
        Ok(tvec!(res.cast_to_dt(inputs[0].datum_type())?.into_owned().into_tvalue()))
    }
}

impl TypedOp for Widened {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    as_op!();
}
