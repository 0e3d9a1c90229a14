//! Finds what tract cannot run, or would run wrongly without a word, before a graph is built.
//!
//! Which are wrong is in [`audited`].

use std::collections::BTreeMap;

use tract_onnx::{
    Onnx,
    pb::{GraphProto, ModelProto, NodeProto},
};

use super::{
    attributes::name,
    audited,
    dropout::{self, Constants, Drops},
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
    let mut constants = Constants::new();
    visit_graphs(graph, &mut |it, _| dropout::add_constants(&mut constants, it));
    visit(graph, &mut |node, is_nested| {
        // Rows are kept apart in the graph that is compiled, not in those nested in it.
        res.row_by_row |= is_nested && node.op_type == DYNAMIC_QUANTIZATION;
        *res.operators.entry(node.op_type.clone()).or_default() += 1;
        match dropout::drops(node, &constants) {
            Drops::Never => {}
            // The kernel names what is refused.
            Drops::Perhaps => res.needs_interpreter = true,
            Drops::Always => {
                res.unsupported.push((format!("{}: {}", node.op_type, dropout::DROPS), name(node).to_owned()));
                return;
            }
        }
        if let Some(why) = audited::refused(node) {
            res.unsupported.push((format!("{}: {why}", node.op_type), name(node).to_owned()));
            return;
        }
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
    let is_compiled = node.op_type != "LabelEncoder" || ops::maps_numbers(node);
    if !is_compiled || !onnx.op_register.0.contains_key(&node.op_type) {
        return Some(node.op_type.clone());
    }
    audited::wrong(node).map(|why| format!("{}: {why}", node.op_type))
}

/// Gives each node, and whether it is in a nested graph.
fn visit<'a>(graph: &'a GraphProto, f: &mut impl FnMut(&'a NodeProto, bool)) {
    visit_graphs(graph, &mut |graph, is_nested| graph.node.iter().for_each(|it| f(it, is_nested)));
}

/// Gives each graph, and whether it is nested in another.
fn visit_graphs<'a>(graph: &'a GraphProto, f: &mut impl FnMut(&'a GraphProto, bool)) {
    // A stack, because files can nest deeper than threads can recurse.
    let mut graphs = vec![(graph, false)];
    while let Some((graph, is_nested)) = graphs.pop() {
        f(graph, is_nested);
        for node in &graph.node {
            graphs.extend(node.attribute.iter().filter_map(|it| Some((it.g.as_ref()?, true))));
        }
    }
}
