//! Reads TensorFlow graphs whose variables were frozen into constants.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use tract_onnx::prelude::DatumType;
use tract_tensorflow::tfpb::tensorflow::{DataType, GraphDef, NodeDef, attr_value::Value};

use super::{
    convert, limits,
    preflight::{check_nodes, producer},
    source::{Examined, Graph, Source},
    tf_ops, wire,
};
use crate::{
    error::InferError,
    spec::{ElementType, ModelFormat, ModelInfo, TensorSpec},
};

/// What goes into a graph and comes out of it.
pub(super) struct Ports {
    /// What is known of the model apart from its nodes.
    pub(super) info: ModelInfo,
    /// One for each placeholder, in order.
    pub(super) input_types: Vec<DatumType>,
    /// One for each output.
    pub(super) output_nodes: Vec<String>,
}

/// Reads a `GraphDef`: inputs are its placeholders, outputs the nodes that nobody consumes.
pub(super) fn examine(path: &Path) -> Result<Examined, InferError> {
    let malformed =
        |reason: String| InferError::Malformed { path: path.to_path_buf(), format: ModelFormat::TfFrozen, reason };
    let interface = |reason: String| InferError::Interface { path: path.to_path_buf(), reason };
    let graph: GraphDef = limits::decode(path, ModelFormat::TfFrozen, &wire::GRAPH)?;
    let mut inputs = Vec::new();
    let mut input_types = Vec::new();
    for node in graph.node.iter().filter(|it| it.op == "Placeholder") {
        let datum_type = tf_ops::data_type(node, "dtype").and_then(|it| DatumType::try_from(it).ok());
        let datum_type =
            datum_type.ok_or_else(|| malformed(format!("placeholder `{}` has no known type", node.name)))?;
        let dtype = convert::element_type(datum_type)
            .ok_or_else(|| interface(format!("input `{}` has an unsupported element type", node.name)))?;
        let shape =
            placeholder_shape(node).ok_or_else(|| interface(format!("input `{}` has no declared shape", node.name)))?;
        inputs.push(TensorSpec { name: node.name.clone(), dtype, shape });
        input_types.push(datum_type);
    }
    let output_nodes = output_nodes(&graph);
    if output_nodes.is_empty() {
        return Err(interface("no node is an output".to_string()));
    }
    let spec = |name: &String| TensorSpec { name: name.clone(), dtype: ElementType::F32, shape: vec![None] };
    let info = ModelInfo {
        format: ModelFormat::TfFrozen,
        inputs,
        outputs: output_nodes.iter().map(spec).collect(),
        operators: BTreeMap::new(),
        n_parameters: 0,
        signature: None,
        signatures: Vec::new(),
        is_one_file: true,
    };
    Ok(examined(path, graph, Ports { info, input_types, output_nodes }))
}

/// Returns what there is to say of a flat graph, and the graph itself if it can be run.
pub(super) fn examined(path: &Path, graph: GraphDef, ports: Ports) -> Examined {
    let Ports { mut info, input_types, output_nodes } = ports;
    info.operators = operators(&graph.node);
    info.n_parameters = graph.node.iter().map(n_numbers).fold(0, u64::saturating_add);
    let obstacles = tf_ops::obstacles(&graph.node);
    let row_by_row = info.has_convolutions();
    let attempts = if !obstacles.is_empty() {
        Err(InferError::unsupported(path, obstacles.clone()))
    } else if let Err(fault) = check_nodes(&graph.node) {
        Err(fault.of(path))
    } else if let Err((what, limit)) = tf_ops::check_sizes(&graph.node) {
        Err(InferError::Limit { path: path.to_path_buf(), what, limit })
    } else {
        let graph = Graph::TensorFlow { graph, outputs: output_nodes };
        Ok(Source { row_by_row, ..Source::new(graph, info.clone(), input_types) }.into())
    };
    Examined { info, obstacles, attempts }
}

/// Returns how many nodes there are of each operator.
pub(super) fn operators<'a>(nodes: impl IntoIterator<Item = &'a NodeDef>) -> BTreeMap<String, usize> {
    let mut res = BTreeMap::new();
    for node in nodes {
        *res.entry(node.op.clone()).or_default() += 1;
    }
    res
}

fn placeholder_shape(node: &NodeDef) -> Option<Vec<Option<usize>>> {
    match node.attr.get("shape")?.value.as_ref()? {
        Value::Shape(shape) if !shape.unknown_rank => {
            Some(shape.dim.iter().map(|it| usize::try_from(it.size).ok()).collect())
        }
        _ => None,
    }
}

/// Returns the nodes without consumers, only the `Identity` ones if there are such: freezing puts these at the outputs.
fn output_nodes(graph: &GraphDef) -> Vec<String> {
    let consumed: HashSet<&str> = graph.node.iter().flat_map(|it| &it.input).map(|it| producer(it)).collect();
    let is_output =
        |it: &&NodeDef| !matches!(&*it.op, "NoOp" | "Const" | "Placeholder") && !consumed.contains(&*it.name);
    let candidates: Vec<&NodeDef> = graph.node.iter().filter(is_output).collect();
    let identities: Vec<&NodeDef> = candidates.iter().copied().filter(|it| it.op == "Identity").collect();
    let chosen = if identities.is_empty() { candidates } else { identities };
    chosen.into_iter().map(|it| it.name.clone()).collect()
}

fn n_numbers(node: &NodeDef) -> u64 {
    let Some(Value::Tensor(tensor)) = node.attr.get("value").and_then(|it| it.value.as_ref()) else {
        return 0;
    };
    let counts = matches!(
        DataType::try_from(tensor.dtype),
        Ok(DataType::DtFloat | DataType::DtDouble | DataType::DtHalf | DataType::DtInt8 | DataType::DtUint8)
    );
    let dims = tensor.tensor_shape.iter().flat_map(|it| &it.dim).map(|it| u64::try_from(it.size).unwrap_or(0));
    if counts { dims.fold(1, u64::saturating_mul) } else { 0 }
}
