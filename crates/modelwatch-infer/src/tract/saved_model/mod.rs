//! Reads TensorFlow SavedModels: a graph of functions, and its variables in a checkpoint beside it.
//!
//! The signature that serves is made into a graph as freezing makes it: plain operators and constants, with the signature's names.

mod functions;
mod proto;
mod signature;
#[cfg(test)]
mod tests;
mod variables;

use std::path::{Path, PathBuf};

use tract_tensorflow::tfpb::{self, tensorflow::GraphDef};

pub(super) use self::functions::{CALLS, CONDITIONALS, HANDLES, READERS, TRANSPARENT};
use self::{
    functions::{Inliner, Refusal},
    proto::{MetaGraph, SavedModel},
    signature::Port,
    variables::Checkpoint,
};
use super::{
    limits,
    source::Examined,
    tensorflow::{self, Ports},
    wire,
};
use crate::{
    error::InferError,
    spec::{ModelFormat, ModelInfo},
};

/// Reads the SavedModel that is the folder `path`, or whose graph is the file `path`.
pub(super) fn examine(path: &Path, wanted: Option<&str>) -> Result<Examined, InferError> {
    let (folder, file) = places(path);
    let model: SavedModel = limits::decode(&file, ModelFormat::TfSavedModel, &wire::SAVED_MODEL)?;
    let meta_graph = signature::serving_graph(path, model)?;
    let (name, chosen) = signature::choose(path, &meta_graph, wanted)?;
    let inputs = signature::ports(path, "input", &chosen.inputs)?;
    let outputs = signature::ports(path, "output", &chosen.outputs)?;
    let mut info = ModelInfo {
        format: ModelFormat::TfSavedModel,
        inputs: inputs.iter().map(|it| it.spec.clone()).collect(),
        outputs: outputs.iter().map(|it| it.spec.clone()).collect(),
        operators: Default::default(),
        n_parameters: 0,
        signature: Some(name.to_owned()),
        signatures: signature::names(&meta_graph),
        // Its variables are beside it.
        is_one_file: false,
    };
    let checkpoint = Checkpoint::open(&folder, &meta_graph);
    match freeze(&meta_graph, &checkpoint, &inputs, &outputs) {
        Ok((graph, output_nodes)) => {
            let input_types = inputs.iter().map(|it| it.datum_type).collect();
            Ok(tensorflow::examined(path, graph, Ports { info, input_types, output_nodes }))
        }
        Err(refusal) => {
            let (error, obstacles) = refused(path, name, refusal);
            info.operators = tensorflow::operators(meta_graph.graph.iter().flat_map(|it| &it.node));
            Ok(Examined { info, obstacles, attempts: Err(error) })
        }
    }
}

fn places(path: &Path) -> (PathBuf, PathBuf) {
    if path.is_dir() {
        return (path.to_path_buf(), path.join("saved_model.pb"));
    }
    (path.parent().unwrap_or_else(|| Path::new("")).to_path_buf(), path.to_path_buf())
}

/// Returns a flat graph with a placeholder for each input, in order, and the node of each output.
fn freeze(
    meta_graph: &MetaGraph,
    checkpoint: &Checkpoint<'_>,
    inputs: &[Port<'_>],
    outputs: &[Port<'_>],
) -> Result<(GraphDef, Vec<String>), Refusal> {
    let Some(graph) = &meta_graph.graph else {
        return Err(Refusal::Malformed("there is no graph".to_owned()));
    };
    let operators = meta_graph.meta_info.as_ref().and_then(|it| it.operators.as_ref());
    let mut inliner = Inliner::new(graph.library.as_ref(), operators, checkpoint);
    let mut fed = Vec::new();
    for input in inputs {
        let (node, slot) = input.tensor.rsplit_once(':').unwrap_or((input.tensor, "0"));
        if slot != "0" {
            let what = format!("output {slot} of a node as input `{}`", input.spec.name);
            return Err(Refusal::Unsupported(what, node.to_owned()));
        }
        let dtype = input.data_type;
        let placeholder = tfpb::node().name(&input.spec.name).op("Placeholder").attr("dtype", dtype);
        fed.push((node, inliner.add(placeholder.attr("shape", input.shape.clone()))));
    }
    let wanted: Vec<_> = outputs.iter().map(|it| it.tensor).collect();
    let tensors = inliner.inline_main(&graph.node, &fed, &wanted)?;
    let mut output_nodes = Vec::new();
    for (output, tensor) in outputs.iter().zip(tensors) {
        let identity = tfpb::node().name(&output.spec.name).op("Identity").input(tensor).attr("T", output.data_type);
        output_nodes.push(inliner.add(identity));
    }
    Ok((GraphDef { node: inliner.finish(), ..Default::default() }, output_nodes))
}

fn refused(path: &Path, signature: &str, refusal: Refusal) -> (InferError, Vec<(String, String)>) {
    let path = path.to_path_buf();
    match refusal {
        Refusal::Malformed(reason) => {
            (InferError::Malformed { path, format: ModelFormat::TfSavedModel, reason }, Vec::new())
        }
        Refusal::Unsupported(operator, node) => {
            let obstacles = vec![(operator, node)];
            (InferError::unsupported(&path, obstacles.clone()), obstacles)
        }
        Refusal::Limit(what, limit) => (InferError::Limit { path, what, limit }, Vec::new()),
        Refusal::Unfed(node) => {
            let reason =
                format!("placeholder `{node}` is no input of signature `{signature}`, but its outputs need it");
            (InferError::Interface { path, reason }, Vec::new())
        }
        Refusal::Weights(reason) => (InferError::Weights { path, reason }, Vec::new()),
    }
}
