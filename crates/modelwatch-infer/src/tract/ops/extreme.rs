//! `ReduceMax` and `ReduceMin`, compiled into an operator that keeps infinities and NaN.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{OutletId, TVec, TractResult, TypedModel},
    tract_core::ops::{
        change_axes::AxisOp,
        nn::{Reduce, Reducer},
    },
    tract_hir::{
        infer::{InferenceResult, Solver, TensorProxy, check_output_arity},
        internal::{Expansion, ShapeFactoid, SpecialOps, StaticName, TDim, ToDim, ensure, expand},
    },
};

use super::Built;
use crate::tract::{
    attributes::{int, ints},
    axes::{constant_integers, integers, resolve_axis},
    repair::Extreme,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ReduceExtreme {
    largest: bool,
    keeps_axes: bool,
    /// Without axes, all are reduced, or none.
    all_without_axes: bool,
    axes: Vec<i64>,
    axes_are_input: bool,
}

/// Returns the operator for a node of `ReduceMax` or `ReduceMin`.
pub(super) fn parse(context: &ParsingContext, node: &NodeProto, largest: bool) -> Built {
    let axes_are_input = context.onnx_operator_set_version >= 18 && node.input.get(1).is_some_and(|it| !it.is_empty());
    let op = ReduceExtreme {
        largest,
        keeps_axes: int(node, "keepdims") != Some(0),
        all_without_axes: int(node, "noop_with_empty_axes").unwrap_or(0) == 0,
        axes: ints(node, "axes").to_vec(),
        axes_are_input,
    };
    Ok((expand(op), vec![]))
}

impl ReduceExtreme {
    fn resolved(&self, axes: &[i64], rank: usize) -> TractResult<Vec<usize>> {
        if axes.is_empty() {
            return Ok(if self.all_without_axes { (0..rank).collect() } else { vec![] });
        }
        let mut res: Vec<usize> = axes.iter().map(|&it| resolve_axis(it, rank)).collect::<TractResult<_>>()?;
        res.sort_unstable();
        res.dedup();
        Ok(res)
    }

    fn shape(&self, axes: &[usize], input: &[TDim]) -> ShapeFactoid {
        let kept = input.iter().enumerate().filter_map(|(idx, it)| match (axes.contains(&idx), self.keeps_axes) {
            (false, _) => Some(it.clone()),
            (true, true) => Some(1.to_dim()),
            (true, false) => None,
        });
        ShapeFactoid::from(kept.collect::<Vec<_>>())
    }
}

impl Expansion for ReduceExtreme {
    fn name(&self) -> StaticName {
        if self.largest { "ReduceMax" } else { "ReduceMin" }.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        ensure!(inputs.len() == 1 + usize::from(self.axes_are_input), "a reduction has {} inputs", inputs.len());
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        if self.axes_are_input {
            return s.given_2(&inputs[0].shape, &inputs[1].value, move |s, shape, axes| {
                s.equals(&outputs[0].shape, self.shape(&self.resolved(&integers(&axes)?, shape.len())?, &shape))
            });
        }
        s.given(&inputs[0].shape, move |s, shape| {
            s.equals(&outputs[0].shape, self.shape(&self.resolved(&self.axes, shape.len())?, &shape))
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?.clone();
        let axes = if self.axes_are_input { constant_integers(model, inputs[1])? } else { self.axes.clone() };
        let axes = self.resolved(&axes, fact.rank())?;
        let mut wire = if fact.datum_type.is_float() {
            model.wire_node(prefix, Extreme { axes: axes.clone(), largest: self.largest }, &inputs[..1])?
        } else {
            let reducer = if self.largest { Reducer::Max } else { Reducer::Min };
            model.wire_node(prefix, Reduce { axes: axes.iter().copied().collect(), reducer }, &inputs[..1])?
        };
        if !self.keeps_axes {
            for axis in axes.into_iter().rev() {
                wire = model.wire_node(format!("{prefix}.without.{axis}"), AxisOp::Rm(axis), &wire)?;
            }
        }
        Ok(wire)
    }
}
