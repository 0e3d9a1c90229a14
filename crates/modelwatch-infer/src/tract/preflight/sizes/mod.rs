//! How large the results of a graph are at least, as far as shapes and constants tell before anything runs.
//!
//! A few bytes can ask for any memory: a shape that is filled, a tensor that is repeated, a chain of concatenations that doubles.
//! Shapes and small numbers are followed through the operators that exporters compute shapes with; what is not known counts as 1,
//! so that only what is surely too large is refused.

mod einsum;
mod operators;
mod value;

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto};

pub(in crate::tract) use self::{operators::node_outputs, value::Known};
use super::{Fault, constants::element_bytes, operands};
use crate::tract::{
    attributes::label,
    memory::MAX_TENSOR_BYTES,
    onnx::{dims, tensor_type},
};

/// Bytes of a tensor that does not depend on the inputs: it is made while the model is read.
const MAX_CONSTANT_BYTES: u64 = 512 << 20;
/// Bytes of all such tensors.
const MAX_CONSTANTS_BYTES: u64 = 2 << 30;

/// Follows the graph in its order.
pub(super) fn check(graph: &GraphProto) -> Result<(), Fault> {
    let mut total = 0;
    check_nested(graph, &Scope { values: HashMap::new(), parent: None }, &mut total)
}

/// What is known of the values of a graph, and of those around it.
struct Scope<'a> {
    values: HashMap<&'a str, Known>,
    parent: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn find(&self, name: &str) -> Known {
        match (self.values.get(name), self.parent) {
            (Some(it), _) => it.clone(),
            (None, Some(parent)) => parent.find(name),
            (None, None) => Known::anything(),
        }
    }
}

fn check_nested(graph: &GraphProto, parent: &Scope<'_>, total: &mut u64) -> Result<(), Fault> {
    let is_nested = parent.parent.is_some();
    let mut scope = Scope { values: HashMap::new(), parent: Some(parent) };
    scope.values.extend(graph.input.iter().map(|it| (&*it.name, of_input(it))));
    scope.values.extend(graph.initializer.iter().map(|it| (&*it.name, Known::of_tensor(it))));
    for node in &graph.node {
        for nested in node.attribute.iter().filter_map(|it| it.g.as_ref()) {
            check_nested(nested, &scope, total)?;
        }
        let inputs: Vec<Option<Known>> = node.input.iter().map(|it| (!it.is_empty()).then(|| scope.find(it))).collect();
        operands::check(node, &inputs, is_nested)?;
        let outputs = node_outputs(node, &inputs);
        for it in &outputs {
            check_size(node, it, total)?;
        }
        let named =
            node.output.iter().map(|it| &**it).zip(outputs.into_iter().chain(std::iter::repeat(Known::anything())));
        scope.values.extend(named.filter(|(name, _)| !name.is_empty()));
    }
    Ok(())
}

fn check_size(node: &NodeProto, output: &Known, total: &mut u64) -> Result<(), Fault> {
    let n_bytes = output.min_bytes();
    let fault = |limit: u64, what: &str| Fault {
        what: format!(
            "{} makes a tensor of shape {}, {}{what}, more than the {} that are allowed",
            label(node),
            output.shape_text(),
            size_text(n_bytes),
            size_text(limit)
        ),
        remedy: "export it with the shapes that inference needs",
    };
    if n_bytes > MAX_TENSOR_BYTES {
        return Err(fault(MAX_TENSOR_BYTES, ""));
    }
    // The value of a Constant is in the file.
    if output.is_constant && node.op_type != "Constant" {
        *total = total.saturating_add(n_bytes);
        if n_bytes > MAX_CONSTANT_BYTES {
            return Err(fault(MAX_CONSTANT_BYTES, ""));
        }
        if *total > MAX_CONSTANTS_BYTES {
            return Err(fault(MAX_CONSTANTS_BYTES, " with those before it"));
        }
    }
    Ok(())
}

fn of_input(input: &ValueInfoProto) -> Known {
    let Some(tensor) = tensor_type(input) else { return Known::anything() };
    Known {
        element_bytes: element_bytes(tensor.elem_type),
        shape: dims(tensor).map(|it| it.into_iter().map(|it| it.map(|it| it as u64)).collect()),
        numbers: None,
        is_constant: false,
    }
}

fn size_text(n_bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (n_bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    format!("{} {}", (value * 10.0).round() / 10.0, UNITS[unit])
}
