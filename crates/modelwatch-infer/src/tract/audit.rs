//! Finds what tract cannot run, or would run wrongly without a word, before a graph is built.
//!
//! The wrong ones were found by comparing tract 0.23.9 with onnxruntime on ONNX's backend tests; drop an entry only with such a comparison.

use std::collections::BTreeMap;

use tract_onnx::{
    Onnx,
    pb::{GraphProto, ModelProto, NodeProto, TypeProto, ValueInfoProto, tensor_proto::DataType, type_proto::Value},
};

/// The result of looking at every node, those of nested graphs included.
#[derive(Default)]
pub(super) struct Findings {
    /// Operator (with the attribute at fault) and node.
    pub unsupported: Vec<(String, String)>,
    pub operators: BTreeMap<String, usize>,
    /// See [`Source::skip_optimizer`](super::source::Source).
    pub skip_optimizer: bool,
    /// See [`Source::row_by_row`](super::source::Source).
    pub row_by_row: bool,
}

/// Convolutions unroll their input only for a single row (1.5 to 5 times the time for more), and a dynamic quantization takes its scale from
/// all rows that it sees, so a row's output would depend on its neighbors.
const ROW_BY_ROW: [&str; 5] = ["Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DynamicQuantizeLinear"];

/// Returns the findings for a whole model.
pub(super) fn audit(proto: &ModelProto, onnx: &Onnx) -> Findings {
    let mut res = Findings::default();
    let Some(graph) = &proto.graph else {
        return res;
    };
    let has_f16 = has_half_precision(graph);
    visit(graph, &mut |node| {
        *res.operators.entry(node.op_type.clone()).or_default() += 1;
        let known_domain = matches!(&*node.domain, "" | "ai.onnx" | "ai.onnx.ml");
        let fault = if !known_domain {
            Some(format!("{}.{}", node.domain, node.op_type))
        } else if !onnx.op_register.0.contains_key(&node.op_type) {
            Some(node.op_type.clone())
        } else {
            wrong(node, has_f16).map(|why| format!("{} with {why}", node.op_type))
        };
        if let Some(operator) = fault {
            let name =
                if node.name.is_empty() { node.output.first().cloned().unwrap_or_default() } else { node.name.clone() };
            res.unsupported.push((operator, name));
        }
    });
    let has = |it: &str| res.operators.contains_key(it);
    // Declutter folds any operator between the two into a 256-entry table if its axes map one to one; Softmax's do, its values do not.
    res.skip_optimizer = has("DequantizeLinear") && has("QuantizeLinear");
    res.row_by_row = ROW_BY_ROW.into_iter().any(has);
    res
}

fn visit<'a>(graph: &'a GraphProto, f: &mut impl FnMut(&'a NodeProto)) {
    // A stack, because files can nest deeper than threads can recurse.
    let mut graphs = vec![graph];
    while let Some(graph) = graphs.pop() {
        for node in &graph.node {
            f(node);
            graphs.extend(node.attribute.iter().filter_map(|it| it.g.as_ref()));
        }
    }
}

/// Returns what about this node is computed wrongly.
fn wrong(node: &NodeProto, has_f16: bool) -> Option<String> {
    match &*node.op_type {
        "RNN" | "LSTM" | "GRU" => wrong_recurrence(node),
        "BitShift" => Some("shifts by the width or more".to_string()),
        "DepthToSpace" | "SpaceToDepth" => {
            text(node, "mode").filter(|it| it == "CRD").map(|_| "mode = \"CRD\"".to_string())
        }
        "Celu" if has_f16 => Some("half precision".to_string()),
        "Swish" => float(node, "alpha").filter(|&it| it != 1.0).map(|it| format!("alpha = {it}")),
        "Attention" => Some("masks and caches".to_string()),
        _ => None,
    }
}

/// tract reads the weights' shapes, `hidden_size` and `layout` only.
fn wrong_recurrence(node: &NodeProto) -> Option<String> {
    if let Some(direction) = text(node, "direction").filter(|it| it != "forward") {
        return Some(format!("direction = {direction:?}"));
    }
    if let Some(attribute) =
        node.attribute.iter().find(|it| matches!(&*it.name, "clip" | "activation_alpha" | "activation_beta"))
    {
        return Some(format!("attribute `{}`", attribute.name));
    }
    if node.attribute.iter().any(|it| it.name == "input_forget" && it.i != 0) {
        return Some("attribute `input_forget`".to_string());
    }
    if node.input.get(4).is_some_and(|it| !it.is_empty()) {
        return Some("sequence lengths".to_string());
    }
    let usual: &[&str] = match &*node.op_type {
        "RNN" => &["Tanh"],
        "LSTM" => &["Sigmoid", "Tanh", "Tanh"],
        _ => &["Sigmoid", "Tanh"],
    };
    let activations = node.attribute.iter().find(|it| it.name == "activations")?;
    let same = activations.strings.len() == usual.len()
        && activations.strings.iter().zip(usual).all(|(it, usual)| it.eq_ignore_ascii_case(usual.as_bytes()));
    (!same).then(|| "unusual activations".to_string())
}

fn text(node: &NodeProto, name: &str) -> Option<String> {
    let attribute = node.attribute.iter().find(|it| it.name == name)?;
    Some(String::from_utf8_lossy(&attribute.s).into_owned())
}

fn float(node: &NodeProto, name: &str) -> Option<f32> {
    node.attribute.iter().find(|it| it.name == name).map(|it| it.f)
}

fn has_half_precision(graph: &GraphProto) -> bool {
    let half = DataType::Float16 as i32;
    let is_half = |it: &ValueInfoProto| match &it.r#type {
        Some(TypeProto { value: Some(Value::TensorType(it)), .. }) => it.elem_type == half,
        _ => false,
    };
    graph.initializer.iter().any(|it| it.data_type == half) || graph.input.iter().chain(&graph.value_info).any(is_half)
}
