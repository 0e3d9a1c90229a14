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

use std::{path::Path, sync::Arc};

use tract_onnx::{Onnx, pb::ModelProto, prelude::TractResult, tract_hir::internal::TractErrorContext};

use graph::{Context, Graph};

pub(super) use kernels::is_known;
pub(super) use loops::{Costly, Limits};
pub(super) use tract_node::make_constant;
pub(super) use value::{Value, data_type_of};

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
        let progress = run::Progress::new(limits);
        run::run(&self.context, &self.graph, inputs, run::Place::Model { layers, progress: &progress })
    }
}
