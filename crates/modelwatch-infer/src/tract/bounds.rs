//! Where the values of operators end.
//!
//! Beyond a bound, what went in no longer shows. A softmax has none here: 1 is a certain answer, not one that was cut off. Nor has a
//! ReLU, whose 0 is what it is for, and so neither a clip at 0 from below, nor the least integer of a quantization, which is what a
//! ReLU becomes that is fused into it.

use tract_onnx::{prelude::DatumType, tract_hir::internal::TypedNode};

use super::nodes::NodeGraph;
use crate::numerics::Bounds;

/// How near a sigmoid or tanh comes to its ends before single precision no longer tells one input from another.
const NEAR: f64 = 1e-6;

/// Returns the bounds of an operator that has them whatever its inputs are.
pub(super) fn of_operator(operator: &str) -> Option<Bounds> {
    match operator {
        "Sigmoid" => Some(Bounds { least: Some(0.0), greatest: Some(1.0), margin: NEAR }),
        "Tanh" => Some(Bounds { least: Some(-1.0), greatest: Some(1.0), margin: NEAR }),
        _ => None,
    }
}

/// Returns the bounds of a node, where it has some.
pub(super) fn of(graph: &NodeGraph, node: &TypedNode) -> Option<Bounds> {
    let exact = |least, greatest| Bounds { least, greatest, margin: 0.0 };
    let operator = node.op.name();
    match &*operator {
        "Sigmoid" | "Tanh" => of_operator(&operator),
        "Min" => constant(graph, node).map(|it| exact(None, Some(it))),
        "Max" => constant(graph, node).filter(|it| *it != 0.0).map(|it| exact(Some(it), None)),
        it if it.contains("QuantizeLinear") => match node.outputs.first()?.fact.datum_type {
            DatumType::U8 => Some(exact(None, Some(f64::from(u8::MAX)))),
            DatumType::I8 => Some(exact(None, Some(f64::from(i8::MAX)))),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the number that is a constant input of the node, the same in all of its elements.
fn constant(graph: &NodeGraph, node: &TypedNode) -> Option<f64> {
    let outlet = node.inputs.iter().find(|it| graph.is_constant(it.node))?;
    let value = graph.constant(*outlet).ok()?;
    let value = value.cast_to::<f64>().ok()?;
    let numbers = value.to_plain_array_view::<f64>().ok()?;
    let first = *numbers.first()?;
    numbers.iter().all(|it| *it == first).then_some(first)
}
