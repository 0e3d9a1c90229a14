//! Finds what tract cannot run, or would run wrongly without a word, before a graph is built.
//!
//! The wrong ones were found by comparing tract 0.23.9 with onnxruntime on ONNX's backend tests; drop an entry only with such a comparison.

use std::collections::BTreeMap;

use tract_onnx::{
    Onnx,
    pb::{AttributeProto, GraphProto, ModelProto, NodeProto},
};

use super::{
    attributes::{float, name},
    interpreter, ops,
    source::DYNAMIC_QUANTIZATION,
};

/// The result of looking at every node, those of nested graphs included.
#[derive(Default)]
pub(super) struct Findings {
    /// Operator (with the attribute at fault) and node.
    pub unsupported: Vec<(String, String)>,
    pub operators: BTreeMap<String, usize>,
    /// Some operator is computed by this project only, node by node.
    pub needs_interpreter: bool,
    /// See [`Source::row_by_row`](super::source::Source).
    pub row_by_row: bool,
}

/// These convolutions unroll their input only for a single row (1.5 to 5 times the time for more).
const ROW_BY_ROW: [&str; 2] = ["ConvTranspose", "ConvInteger"];

/// Returns the findings for a whole model.
pub(super) fn audit(proto: &ModelProto, onnx: &Onnx) -> Findings {
    let mut res = Findings::default();
    let Some(graph) = &proto.graph else {
        return res;
    };
    visit(graph, &mut |node, is_nested| {
        // Rows are kept apart in the graph that is compiled, not in those nested in it.
        res.row_by_row |= is_nested && node.op_type == DYNAMIC_QUANTIZATION;
        *res.operators.entry(node.op_type.clone()).or_default() += 1;
        let Some(fault) = fault(node, onnx) else {
            return;
        };
        if interpreter::is_known(&node.domain, &node.op_type) {
            res.needs_interpreter = true;
            return;
        }
        res.unsupported.push((fault, name(node).to_owned()));
    });
    let has = |it: &str| res.operators.contains_key(it);
    res.row_by_row |= ROW_BY_ROW.into_iter().any(has) || (res.needs_interpreter && has(DYNAMIC_QUANTIZATION));
    res
}

/// Returns what of this node tract lacks or computes wrongly.
fn fault(node: &NodeProto, onnx: &Onnx) -> Option<String> {
    let is_ours = node.domain == "com.microsoft" && ops::OF_MICROSOFT.contains(&&*node.op_type);
    if !is_ours && !matches!(&*node.domain, "" | "ai.onnx" | "ai.onnx.ml") {
        return Some(format!("{}.{}", node.domain, node.op_type));
    }
    if !onnx.op_register.0.contains_key(&node.op_type) {
        return Some(node.op_type.clone());
    }
    wrong(node).map(|why| format!("{}: {why}", node.op_type))
}

/// Gives each node, and whether it is in a nested graph.
fn visit<'a>(graph: &'a GraphProto, f: &mut impl FnMut(&'a NodeProto, bool)) {
    // A stack, because files can nest deeper than threads can recurse.
    let mut graphs = vec![(graph, false)];
    while let Some((graph, is_nested)) = graphs.pop() {
        for node in &graph.node {
            f(node, is_nested);
            graphs.extend(node.attribute.iter().filter_map(|it| Some((it.g.as_ref()?, true))));
        }
    }
}

/// Whether a node is one of those that are wrong.
type Condition = fn(&NodeProto) -> bool;

/// Operators that are wrong under some condition, and what that is.
///
/// A model with a node for which the condition holds is interpreted if there is a kernel for the operator, else refused.
const WRONG: [(&str, Condition, &str); 16] = [
    ("BitShift", always, "shifts by the width or more give anything"),
    ("Bernoulli", always, "random outputs cannot be compared"),
    ("Celu", always, "half precision and an alpha other than 1 are wrong"),
    ("DFT", always, "single precision leaves 1e-6 where there is nothing"),
    ("DepthToSpace", is_crd, "mode CRD is taken for DCR"),
    ("GRU", always, "the tangent is off by 1e-6, and `direction`, `clip` and activations are ignored"),
    (
        "LSTM",
        is_unusual_recurrence,
        "`direction`, `clip`, activations, `input_forget` and sequence lengths are ignored",
    ),
    ("Multinomial", always, "random outputs cannot be compared"),
    ("RNN", is_unusual_recurrence, "`direction`, `clip`, activations and sequence lengths are ignored"),
    ("RandomNormal", always, "random outputs cannot be compared"),
    ("RandomNormalLike", always, "random outputs cannot be compared"),
    ("RandomUniform", always, "random outputs cannot be compared"),
    ("RandomUniformLike", always, "random outputs cannot be compared"),
    ("SpaceToDepth", is_crd, "mode CRD is taken for DCR"),
    ("Swish", |node| float(node, "alpha").is_some_and(|it| it != 1.0), "`alpha` is ignored"),
    ("Attention", always, "masks and caches are combined wrongly"),
];

/// Returns what about this node is computed wrongly.
fn wrong(node: &NodeProto) -> Option<&'static str> {
    let (_, applies, why) = WRONG.iter().find(|(op_type, ..)| *op_type == node.op_type)?;
    applies(node).then_some(*why)
}

fn always(_node: &NodeProto) -> bool {
    true
}

fn is_crd(node: &NodeProto) -> bool {
    text(node, "mode").is_some_and(|it| it == "CRD")
}

/// tract reads the weights' shapes, `hidden_size` and `layout` only.
fn is_unusual_recurrence(node: &NodeProto) -> bool {
    let is_named = |it: &AttributeProto| matches!(&*it.name, "clip" | "activation_alpha" | "activation_beta");
    let usual: &[&str] = if node.op_type == "RNN" { &["Tanh"] } else { &["Sigmoid", "Tanh", "Tanh"] };
    let is_usual = |it: &AttributeProto| {
        it.strings.len() == usual.len()
            && it.strings.iter().zip(usual).all(|(it, usual)| it.eq_ignore_ascii_case(usual.as_bytes()))
    };
    text(node, "direction").is_some_and(|it| it != "forward")
        || node.attribute.iter().any(is_named)
        || node.attribute.iter().any(|it| it.name == "input_forget" && it.i != 0)
        || node.input.get(4).is_some_and(|it| !it.is_empty())
        || node.attribute.iter().any(|it| it.name == "activations" && !is_usual(it))
}

fn text(node: &NodeProto, name: &str) -> Option<String> {
    let attribute = node.attribute.iter().find(|it| it.name == name)?;
    Some(String::from_utf8_lossy(&attribute.s).into_owned())
}
