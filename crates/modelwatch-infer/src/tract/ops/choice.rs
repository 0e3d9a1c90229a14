//! `If` under the name of its node: tract calls each of them "If", and refuses the second of that name in a graph.

use std::collections::HashMap;

use tract_onnx::{
    model::ParsingContext,
    ops::logic::{_if as of_tract, If},
    pb::NodeProto,
    prelude::{InferenceFact, InferenceModel, OutletId, TValue, TVec, TractResult, TypedModel},
    tract_core::internal::{EvalContext, EvalOp, Op, StaticName},
    tract_hir::{
        infer::{InferenceNode, InferenceOp},
        internal::{TypedOp, as_op, not_a_typed_op, op_out_of_plan},
    },
};

use super::Built;

/// Returns the operator for a node.
pub(super) fn parse(context: &ParsingContext, node: &NodeProto) -> Built {
    let (op, captured) = of_tract(context, node)?;
    Ok((Box::new(Named(op)), captured))
}

/// Returns the graphs of both branches, if the node is an `If`.
pub(in crate::tract) fn branches(node: &InferenceNode) -> Option<[&InferenceModel; 2]> {
    let Named(op) = node.op_as()?;
    let If { then_body, else_body, .. } = op.as_op().downcast_ref()?;
    Some([then_body, else_body])
}

/// tract's operator, whose node is renamed once it is in the typed graph.
#[derive(Clone, Debug)]
struct Named(Box<dyn InferenceOp>);

impl PartialEq for Named {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Named {}

impl Op for Named {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    not_a_typed_op!();
}

impl EvalOp for Named {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(context, inputs)
    }
}

impl InferenceOp for Named {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        self.0.infer_facts(inputs, outputs, observed)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.0.nboutputs()
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let n_before = target.nodes.len();
        let res = self.0.to_typed(source, node, target, mapping)?;
        // Of constants it may be constants, one for each output, and among them some that were there before.
        for (nth, it) in res.iter().enumerate().filter(|it| it.1.node >= n_before && it.1.slot == 0) {
            let name = if nth == 0 { node.name.clone() } else { format!("{}.{nth}", node.name) };
            if target.nodes.iter().all(|other| other.name != name) {
                target.rename_node(it.node, &name)?;
            }
        }
        Ok(res)
    }

    as_op!();
}
