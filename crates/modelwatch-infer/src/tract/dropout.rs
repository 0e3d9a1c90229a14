//! `Dropout` that drops.
//!
//! What it answers is random. Whether it drops is known at load where that is a constant; else it shows as the node runs.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, tensor_proto::DataLocation};

/// Why it is refused.
pub(super) const DROPS: &str = "in training mode it drops at random, and random outputs cannot be compared";

/// The constants of a model, those of nested graphs included.
pub(super) type Constants<'a> = HashMap<&'a str, &'a TensorProto>;

/// Adds the constants of a graph, not of those nested in it.
pub(super) fn add_constants<'a>(res: &mut Constants<'a>, graph: &'a GraphProto) {
    res.extend(graph.initializer.iter().map(|it| (&*it.name, it)));
    for node in graph.node.iter().filter(|it| it.op_type == "Constant") {
        let value = node.attribute.iter().find_map(|it| it.t.as_ref());
        res.extend(node.output.first().map(String::as_str).zip(value));
    }
}

/// Whether a node drops something.
#[derive(PartialEq)]
pub(super) enum Drops {
    Never,
    /// What says so is computed, or an input.
    Perhaps,
    Always,
}

/// Returns whether a node drops something, as far as constants tell.
pub(super) fn drops(node: &NodeProto, constants: &Constants<'_>) -> Drops {
    const RATIO: usize = 1;
    const TRAINING_MODE: usize = 2;
    let input = |idx: usize| node.input.get(idx).filter(|it| !it.is_empty());
    let is_zero = |name: &String| constants.get(&**name).and_then(|it| is_zero(it));
    let is_training = input(TRAINING_MODE).map_or(Some(false), |it| is_zero(it).map(|it| !it));
    // Half of the numbers is what it drops if nothing is said.
    let has_ratio = input(RATIO).map_or(Some(true), |it| is_zero(it).map(|it| !it));
    match (is_training, has_ratio) {
        _ if node.op_type != "Dropout" => Drops::Never,
        (Some(false), _) | (_, Some(false)) => Drops::Never,
        (Some(true), Some(true)) => Drops::Always,
        _ => Drops::Perhaps,
    }
}

/// Returns whether all elements are zero or false, if they are in the file.
fn is_zero(tensor: &TensorProto) -> Option<bool> {
    let TensorProto { raw_data, float_data, int32_data, double_data, .. } = tensor;
    let is_here = tensor.data_location != Some(DataLocation::External as i32);
    let n_numbers = raw_data.len() + float_data.len() + int32_data.len() + double_data.len();
    let is_zero = raw_data.iter().all(|it| *it == 0)
        && float_data.iter().all(|it| *it == 0.0)
        && int32_data.iter().all(|it| *it == 0)
        && double_data.iter().all(|it| *it == 0.0);
    (is_here && n_numbers > 0).then_some(is_zero)
}
