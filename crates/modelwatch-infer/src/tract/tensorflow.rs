//! Reads TensorFlow graphs whose variables were frozen into constants.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use tract_tensorflow::tfpb::tensorflow::{DataType, GraphDef, NodeDef, attr_value::Value};

use super::{
    convert, guard,
    source::{Graph, Source},
};
use crate::{
    error::{InferError, Operators},
    spec::{ElementType, ModelFormat, ModelInfo, TensorSpec},
};

/// Reads a `GraphDef`: inputs are its placeholders, outputs the nodes that nobody consumes.
pub(super) fn load(path: &Path) -> Result<Source, InferError> {
    let malformed =
        |reason: String| InferError::Malformed { path: path.to_path_buf(), format: ModelFormat::TfFrozen, reason };
    let tensorflow = tract_tensorflow::tensorflow();
    let mut graph = tensorflow.read_frozen_from_path(path).map_err(|it| malformed(guard::reason(&it)))?;
    graph.node.iter_mut().for_each(unpack_constant);
    let mut operators = BTreeMap::new();
    let mut unsupported = Vec::new();
    for node in &graph.node {
        *operators.entry(node.op.clone()).or_default() += 1;
        // Nodes that compute nothing are dropped with everything else that no output needs.
        if node.op != "NoOp" && node.op != "NextIteration" && !tensorflow.op_register.0.contains_key(&node.op) {
            unsupported.push((node.op.clone(), node.name.clone()));
        }
    }
    if !unsupported.is_empty() {
        return Err(InferError::Unsupported { path: path.to_path_buf(), operators: Operators(unsupported) });
    }
    let interface = |reason: String| InferError::Interface { path: path.to_path_buf(), reason };
    let mut inputs = Vec::new();
    let mut input_types = Vec::new();
    for node in graph.node.iter().filter(|it| it.op == "Placeholder") {
        let datum_type = node.get_attr_datum_type("dtype").map_err(|it| malformed(guard::reason(&it)))?;
        let dtype = convert::element_type(datum_type)
            .ok_or_else(|| interface(format!("input `{}` has an unsupported element type", node.name)))?;
        let shape =
            placeholder_shape(node).ok_or_else(|| interface(format!("input `{}` has no declared shape", node.name)))?;
        inputs.push(TensorSpec { name: node.name.clone(), dtype, shape });
        input_types.push(datum_type);
    }
    let outputs = output_nodes(&graph);
    if outputs.is_empty() {
        return Err(interface("no node is an output".to_string()));
    }
    let n_parameters = graph.node.iter().map(n_numbers).fold(0, u64::saturating_add);
    let spec = |name: &String| TensorSpec { name: name.clone(), dtype: ElementType::F32, shape: vec![None] };
    let row_by_row = operators.keys().any(|it: &String| it.contains("Conv"));
    let info = ModelInfo {
        format: ModelFormat::TfFrozen,
        inputs,
        outputs: outputs.iter().map(spec).collect(),
        operators,
        n_parameters,
    };
    Ok(Source { graph: Graph::TensorFlow { graph, outputs }, info, input_types, skip_optimizer: false, row_by_row })
}

/// Writes out the values that TensorFlow leaves out at the end of a constant, which repeat the last one, or zero if there is none.
///
/// tract does so only for exactly one value, and fails to parse every graph with a dynamic batch for it.
fn unpack_constant(node: &mut NodeDef) {
    const LIMIT: i64 = 1 << 24;
    let Some(Value::Tensor(tensor)) = node.attr.get_mut("value").and_then(|it| it.value.as_mut()) else {
        return;
    };
    let mut dims = tensor.tensor_shape.iter().flat_map(|it| &it.dim);
    let n = dims.try_fold(1i64, |acc, it| acc.checked_mul(it.size)).filter(|it| (1..=LIMIT).contains(it));
    let Some(n) = n.and_then(|it| usize::try_from(it).ok()).filter(|_| tensor.tensor_content.is_empty()) else {
        return;
    };
    fn fill<T: Copy + Default>(values: &mut Vec<T>, n: usize) {
        if values.len() != 1 && values.len() < n {
            values.resize(n, values.last().copied().unwrap_or_default());
        }
    }
    match DataType::try_from(tensor.dtype) {
        Ok(DataType::DtInt32) => fill(&mut tensor.int_val, n),
        Ok(DataType::DtInt64) => fill(&mut tensor.int64_val, n),
        Ok(DataType::DtFloat) => fill(&mut tensor.float_val, n),
        Ok(DataType::DtDouble) => fill(&mut tensor.double_val, n),
        _ => (),
    }
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
    let producer = |it: &String| it.trim_start_matches('^').split(':').next().unwrap_or_default().to_string();
    let consumed: HashSet<String> = graph.node.iter().flat_map(|it| &it.input).map(producer).collect();
    let is_output =
        |it: &&NodeDef| !matches!(&*it.op, "NoOp" | "Const" | "Placeholder") && !consumed.contains(&it.name);
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
