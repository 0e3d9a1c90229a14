//! The tensors inside of an ONNX graph, to be given beside its outputs.

use std::collections::{BTreeSet, HashMap};

use tract_onnx::pb::{GraphProto, NodeProto};

use crate::spec::Layers;

/// The operators that have weights of their own, where only one of their operands is computed.
const LINEAR: [&str; 6] = ["Gemm", "MatMul", "Conv", "ConvTranspose", "LinearClassifier", "LinearRegressor"];

/// Their quantized forms, with the place of the weights; the data come first, and scales and zero points may be computed, too.
const QUANTIZED: [(&str, usize); 5] =
    [("MatMulInteger", 1), ("ConvInteger", 1), ("QLinearMatMul", 3), ("QLinearConv", 3), ("QGemm", 3)];

/// Its scale is that of the rows that are computed together, so that only what it is given can be compared.
const DYNAMIC: &str = "DynamicQuantizeLinear";

/// Returns the layers of a graph.
pub(super) fn layers(graph: &GraphProto) -> Layers {
    let computed = computed(graph);
    let tensors = graph.node.iter().flat_map(|it| &it.output).filter(|it| computed.contains(&***it));
    let penultimate = penultimate(graph, &computed).map(str::to_owned);
    Layers { tensors: tensors.cloned().collect(), penultimate }
}

/// Returns the tensors that nodes compute from the inputs. Nodes stand behind those whose tensors they take. What only the graphs inside
/// of a node read (`If`, `Loop`, `Scan`) is not followed: the node's own tensors are then no layers.
fn computed(graph: &GraphProto) -> BTreeSet<&str> {
    let initializers: BTreeSet<_> = graph.initializer.iter().map(|it| it.name.as_str()).collect();
    let inputs = graph.input.iter().map(|it| it.name.as_str()).filter(|it| !initializers.contains(it));
    let inputs: BTreeSet<&str> = inputs.collect();
    let mut res = BTreeSet::new();
    for node in &graph.node {
        if node.input.iter().any(|it| inputs.contains(&**it) || res.contains(&**it)) {
            res.extend(node.output.iter().map(String::as_str).filter(|it| !it.is_empty()));
        }
    }
    res
}

/// Returns what the last linear node before the first output is given: the representation that the head reads.
fn penultimate<'g>(graph: &'g GraphProto, computed: &BTreeSet<&'g str>) -> Option<&'g str> {
    let outputs = |(at, node): (usize, &'g NodeProto)| node.output.iter().map(move |it| (it.as_str(), at));
    let producers: HashMap<&str, usize> = graph.node.iter().enumerate().flat_map(outputs).collect();
    let is_input =
        |name: &str| graph.input.iter().any(|it| it.name == name) && graph.initializer.iter().all(|it| it.name != name);
    let is_computed = |it: &str| computed.contains(it) || is_input(it);
    // The latest node first, so that each is reached before all that it is made of.
    let mut left: BTreeSet<usize> =
        graph.output.first().and_then(|it| producers.get(&*it.name)).copied().into_iter().collect();
    while let Some(node) = left.pop_last().map(|at| &graph.node[at]) {
        if let Some(operand) = operand(node, is_computed) {
            let quantizer = producers.get(operand).map(|at| &graph.node[*at]).filter(|it| it.op_type == DYNAMIC);
            let operand = quantizer.and_then(|it| it.input.first()).map_or(operand, String::as_str);
            // A model of one layer reads its input, which is no layer.
            return computed.contains(operand).then_some(operand);
        }
        left.extend(node.input.iter().filter_map(|it| producers.get(&**it)));
    }
    None
}

/// Returns the data that a linear node is given, if it is one whose weights are its own.
fn operand(node: &NodeProto, is_computed: impl Fn(&str) -> bool) -> Option<&str> {
    let weights = QUANTIZED.iter().find(|it| it.0 == node.op_type).map(|it| it.1);
    let operands: Vec<_> = match weights {
        Some(it) => [0, it].iter().filter_map(|it| node.input.get(*it)).collect(),
        None if LINEAR.contains(&&*node.op_type) => node.input.iter().collect(),
        None => return None,
    };
    match Vec::from_iter(operands.into_iter().map(String::as_str).filter(|it| is_computed(it)))[..] {
        [it] => Some(it),
        _ => None,
    }
}
