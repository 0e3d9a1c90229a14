//! Runs ONNX graphs node by node.
//!
//! tract compiles a graph only if it knows every shape in it and computes every operator.
//! Where it does not (reversed recurrences, losses, sequences, branches of different rank, shapes that depend on data), the graph is
//! interpreted: a node is either one of this project's [`kernels`], written after ONNX's operator specifications, or run by tract
//! alone, with everything about its inputs known.
//!
//! Deliberately not here: fusing, and any choice between the two ways; see [`executable`](super::executable).

mod call;
mod graph;
mod kernels;
mod loops;
mod narrow;
mod run;
mod tract_node;
mod value;

use std::{collections::HashSet, path::Path, sync::Arc};

use tract_onnx::{Onnx, pb::ModelProto, prelude::TractResult, tract_hir::internal::TractErrorContext};

use super::attributes;
use graph::{Context, Graph};
use run::{Place, Progress, See};

pub(super) use kernels::is_known;
pub(super) use loops::{Costly, Limits};
pub(super) use narrow::Narrow;
pub(super) use tract_node::make_constant;
pub(super) use value::{Value, data_type_of};

/// What is shown of a model as it runs: an input or a node.
pub(super) struct Tapped {
    pub(super) name: String,
    /// Nothing of an input.
    pub(super) operator: String,
    /// Which outputs of the model it gives.
    pub(super) outputs: Vec<String>,
}

/// A model ready to be interpreted.
pub(super) struct Interpreter {
    context: Context,
    graph: Graph,
}

impl Interpreter {
    /// Decodes the constants and chooses who computes each node.
    pub(super) fn new(onnx: Arc<Onnx>, proto: &ModelProto, path: &Path) -> TractResult<Self> {
        let is_default = |domain: &str| matches!(domain, "" | "ai.onnx");
        let version = proto.opset_import.iter().find(|it| is_default(&it.domain)).map_or(1, |it| it.version);
        let folder = path.parent().and_then(Path::to_str).map(str::to_string);
        let context = Context { onnx, version, opset_import: proto.opset_import.clone(), folder };
        let graph = Graph::parse(&context, proto.graph.as_ref().context("there is no graph")?)?;
        Ok(Self { context, graph })
    }

    /// Returns the outputs for inputs of any shape, and behind them these tensors inside of the graph.
    pub(super) fn run(&self, inputs: Vec<Value>, layers: &[String], limits: Limits) -> TractResult<Vec<Value>> {
        let place = Place::Model { layers, progress: &Progress::new(limits), see: None };
        run::run(&self.context, &self.graph, inputs, place)
    }

    /// Runs the model and shows the values of each node of its graph, by where the node stands in the order.
    pub(super) fn tap(&self, inputs: Vec<Value>, see: &See<'_>, limits: Limits) -> TractResult<Vec<Value>> {
        let place = Place::Model { layers: &[], progress: &Progress::new(limits), see: Some(see) };
        run::run(&self.context, &self.graph, inputs, place)
    }

    /// Returns the inputs, and behind them the nodes of the graph in the order in which they run.
    pub(super) fn tapped(&self) -> Vec<Tapped> {
        let outputs =
            |names: &[String]| self.graph.outputs.iter().filter(|it| names.contains(it)).cloned().collect::<Vec<_>>();
        let input = |name: &String| Tapped {
            name: name.clone(),
            operator: String::new(),
            outputs: outputs(std::slice::from_ref(name)),
        };
        let node = |it: &graph::Node| Tapped {
            name: attributes::name(&it.proto).to_owned(),
            operator: it.proto.op_type.clone(),
            outputs: outputs(&it.proto.output),
        };
        self.graph.inputs.iter().map(input).chain(self.graph.nodes.iter().map(node)).collect()
    }

    /// Returns the constants that nodes of the graph take, in the order in which these run.
    pub(super) fn constants(&self) -> Vec<(&str, &Value)> {
        let mut seen = HashSet::new();
        let taken = self.graph.nodes.iter().flat_map(|it| &it.proto.input).filter(|it| seen.insert(it.as_str()));
        taken.filter_map(|it| self.graph.constants.get_key_value(it)).map(|(name, it)| (&**name, it)).collect()
    }

    /// Returns the nodes that compute with graphs of their own.
    pub(super) fn nested(&self) -> Vec<String> {
        let computes = |it: &&graph::Node| it.graphs.values().any(|it| !it.nodes.is_empty());
        self.graph.nodes.iter().filter(computes).map(|it| attributes::name(&it.proto).to_owned()).collect()
    }
}
