//! Means and convolutions of half precision, which are computed in single precision: their sums may be beyond all numbers, and have few of
//! their digits, where they are not.

use tract_onnx::{
    prelude::{DatumType, IntoTValue, SpecialOps, TValue, TVec, TractResult, TypedFact, TypedModel, tvec},
    tract_core::{
        model::TypedModelPatch,
        ops::{
            cast::cast,
            cnn::{Conv, Deconv, SumPool},
        },
    },
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, TypedNode, TypedOp, as_op, op_as_typed_op, op_out_of_plan,
    },
};

use super::{kernels::rewrite, repair::bodies};

/// Has the convolutions of a graph, and of those nested in it, take and give numbers of single precision, which are rounded behind them.
pub(super) fn widen_convolutions(model: &mut TypedModel) -> TractResult<()> {
    for node in &mut model.nodes {
        bodies(node).into_iter().try_for_each(widen_convolutions)?;
    }
    if model.nodes.iter().any(is_half) {
        rewrite(model, &widened)?;
    }
    Ok(())
}

fn is_half(node: &TypedNode) -> bool {
    let is_convolution = node.op_is::<Conv>() || node.op_is::<Deconv>();
    is_convolution && node.outputs[0].fact.datum_type == DatumType::F16
}

fn widened(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    if !is_half(node) {
        return Ok(None);
    }
    let mut patch = TypedModelPatch::default();
    let mut inputs = TVec::new();
    for (idx, it) in node.inputs.iter().enumerate() {
        let (fact, name) = (model.outlet_fact(*it)?, format!("{}.wide_{idx}", node.name));
        inputs.push(match &fact.konst {
            Some(it) => patch.add_const(name, it.cast_to::<f32>()?.into_owned())?,
            None => {
                let half = patch.tap_model(model, *it)?;
                patch.wire_node(name, cast(DatumType::F32), &[half])?[0]
            }
        });
    }
    let wide = patch.wire_node(&node.name, node.op.clone(), &inputs)?;
    let half = patch.wire_node(format!("{}.half", node.name), cast(DatumType::F16), &wide)?[0];
    patch.shunt_outside(model, node.id.into(), half)?;
    Ok(Some(patch))
}

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
