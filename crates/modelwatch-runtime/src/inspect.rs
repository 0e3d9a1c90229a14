//! What is in a model file.

use std::{collections::BTreeMap, path::Path};

use modelwatch_infer::{InferError, TensorSpec};
use modelwatch_tensors::{TensorError, find_model};
use serde::Serialize;
use thiserror::Error;

use crate::model::{format_name, meant};

/// Why nothing can be said of a model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InspectError {
    /// Which file it is cannot be told.
    #[error(transparent)]
    Find(#[from] TensorError),
    /// Its interface cannot be read.
    #[error("{error}{meant}", error = .0, meant = meant(.0))]
    Read(#[from] InferError),
}

/// What a model file holds.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ModelContents {
    /// The file or folder.
    pub file: String,
    /// Its format.
    pub format: &'static str,
    /// Its bytes, those of all files of a folder.
    pub bytes: u64,
    /// The signature that is run, in formats that have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// All signatures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<String>,
    /// What it takes.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Port>,
    /// How many numbers it has learned.
    pub parameters: u64,
    /// How many nodes there are of each operator.
    pub operators: BTreeMap<String, usize>,
    /// The tensors inside of it that a probe can ask for, each behind those that it is made of; of ONNX models alone.
    pub layers: Vec<String>,
    /// That of them which probes call `penultimate`.
    pub penultimate: Option<String>,
    /// Rows influence each other, for which reason each is run alone.
    pub rows_are_mixed: bool,
    /// The operators that cannot be run, each with its node.
    pub obstacles: Vec<Obstacle>,
    /// Why it cannot be run, if so.
    pub refusal: Option<String>,
}

/// An input or output.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: String,
    /// Its dimensions; nothing stands for one that the data decides.
    pub shape: Vec<Option<usize>>,
}

/// An operator that cannot be run.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Obstacle {
    /// The operator, or what about it.
    pub operator: String,
    /// The node that uses it.
    pub node: String,
}

/// Returns what is in the model at `path`, of which a signature may be wanted: a file, a SavedModel, or the folder of a checkpoint.
///
/// # Errors
///
/// Fails if there is no model, more than one, or one whose interface cannot be read; one that cannot be run is no error.
pub fn model(path: &Path, signature: Option<&str>) -> Result<ModelContents, InspectError> {
    let file = find_model(path, None)?;
    let found = modelwatch_infer::inspect(&file, signature)?;
    // That the model is of another format, or has no sound graph, is no more to be said here.
    let layers = modelwatch_infer::layers(&file).unwrap_or_default();
    let obstacles = found.obstacles.0.into_iter().map(|(operator, node)| Obstacle { operator, node });
    Ok(ModelContents {
        file: file.display().to_string(),
        format: format_name(found.info.format),
        bytes: found.bytes,
        signature: found.info.signature,
        signatures: found.info.signatures,
        inputs: found.info.inputs.into_iter().map(port).collect(),
        outputs: found.info.outputs.into_iter().map(port).collect(),
        parameters: found.info.n_parameters,
        operators: found.info.operators,
        layers: layers.tensors,
        penultimate: layers.penultimate,
        rows_are_mixed: found.rows_are_mixed,
        obstacles: obstacles.collect(),
        refusal: found.refusal.map(|it| it.to_string()),
    })
}

fn port(spec: TensorSpec) -> Port {
    Port { name: spec.name, dtype: spec.dtype.to_string(), shape: spec.shape }
}
