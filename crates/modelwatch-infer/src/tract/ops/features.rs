//! `ArrayFeatureExtractor`: the places of the last axis that an input names.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{OutletId, TValue, TVec, TractResult, TypedFact, TypedModel, tvec},
    tract_core::ops::{array::Gather, change_axes::AxisOp},
    tract_hir::{
        infer::{InferenceResult, Solver, TensorProxy, check_input_arity, check_output_arity},
        internal::{
            DimLike, EvalContext, EvalOp, Expansion, Op, SpecialOps, StaticName, TDim, ToDim, TypedOp, as_op, ensure,
            expand, op_as_typed_op, op_out_of_plan,
        },
    },
};

use super::Built;

#[derive(Clone, Debug)]
struct Extractor;

/// Returns the operator for any node.
pub(super) fn parse(_context: &ParsingContext, _node: &NodeProto) -> Built {
    Ok((expand(Extractor), vec![]))
}

impl Expansion for Extractor {
    fn name(&self) -> StaticName {
        "ArrayFeatureExtractor".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.given_2(&inputs[0].shape, &inputs[1].shape, move |s, of, places| {
            ensure!(!of.is_empty(), "a scalar has no places");
            // A row of one is given for what has no rows.
            let rows = if of.len() == 1 { tvec![1.to_dim()] } else { of[..of.len() - 1].into() };
            let shape: TVec<TDim> = rows.into_iter().chain([places.iter().product()]).collect();
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let of = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let rank = of.len();
        let n = of.last().map(|it| it.to_usize()).transpose()?.unwrap_or(0);
        let shape = model.outlet_fact(inputs[1])?.shape.to_tvec();
        let flat = AxisOp::Reshape(0, shape.clone(), tvec![shape.iter().product()]);
        let places = model.wire_node(format!("{prefix}.places"), flat, &inputs[1..])?[0];
        let places = model.wire_node(format!("{prefix}.existing"), Existing { n }, &[places])?[0];
        let res = model.wire_node(format!("{prefix}.found"), Gather::new(rank - 1), &[inputs[0], places])?;
        if rank == 1 { model.wire_node(prefix, AxisOp::Add(0), &res) } else { Ok(res) }
    }
}

/// Passes places through if all are among the first `n`; tract counts others from the end, or looks into the next row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Existing {
    n: usize,
}

impl Op for Existing {
    fn name(&self) -> StaticName {
        "ExistingPlaces".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Existing {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let places = inputs[0].cast_to::<i64>()?;
        let exists = |it: &i64| usize::try_from(*it).is_ok_and(|it| it < self.n);
        ensure!(places.to_plain_array_view::<i64>()?.iter().all(exists), "there are only {} features", self.n);
        Ok(inputs)
    }
}

impl TypedOp for Existing {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}
