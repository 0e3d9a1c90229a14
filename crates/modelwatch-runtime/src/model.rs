//! The models of a run.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use modelwatch_infer::{InferError, Model, ModelFormat, TensorSpec};
use modelwatch_sdk::ModelRole;
use modelwatch_tensors::{TensorError, find_model};
use thiserror::Error;

use crate::record::ModelRecord;

/// Why a checkpoint's model cannot be run.
#[derive(Debug, Error)]
pub(crate) enum ModelError {
    /// Which file it is cannot be told.
    #[error("{0}")]
    Find(#[from] TensorError),
    /// It is, but cannot be loaded.
    #[error("{0}")]
    Load(#[from] InferError),
}

/// A model that is ready to run.
pub(crate) struct LoadedModel {
    pub(crate) model: Model,
    pub(crate) record: ModelRecord,
    pub(crate) origin: Origin,
}

/// Where a model came from.
#[derive(Clone)]
pub(crate) struct Origin {
    /// The folder or file of the checkpoint.
    pub(crate) checkpoint: PathBuf,
    /// The file or folder of the model.
    pub(crate) file: PathBuf,
    /// Its name in the checkpoint.
    pub(crate) name: String,
    pub(crate) load_seconds: f64,
}

/// Loads the model of the checkpoint whose files are at `path`.
pub(crate) fn load(path: &Path, wanted: Option<&str>, role: ModelRole) -> Result<LoadedModel, ModelError> {
    let file = find_model(path, wanted)?;
    let start = Instant::now();
    let model = Model::load(&file)?;
    let load_seconds = start.elapsed().as_secs_f64();
    let info = model.info();
    let name = file.strip_prefix(path).ok().filter(|it| !it.as_os_str().is_empty()).unwrap_or(&file);
    let record = ModelRecord {
        role: role.as_str().to_owned(),
        file: name.file_name().map_or_else(|| "the checkpoint's folder".into(), |_| name.display().to_string()),
        format: format_name(info.format).to_owned(),
        inputs: info.inputs.iter().map(spec_text).collect(),
        outputs: info.outputs.iter().map(spec_text).collect(),
        operators: info.operators.iter().map(|(name, &n)| (name.clone(), n as u64)).collect(),
        parameters: info.n_parameters,
    };
    let origin = Origin { checkpoint: path.to_owned(), file, name: record.file.clone(), load_seconds };
    Ok(LoadedModel { model, record, origin })
}

pub(crate) fn format_name(format: ModelFormat) -> &'static str {
    match format {
        ModelFormat::Onnx => "onnx",
        ModelFormat::TfFrozen => "tensorflow-frozen-graph",
        ModelFormat::TfSavedModel => "tensorflow-saved-model",
        ModelFormat::TfLite => "tflite",
        ModelFormat::Nnef => "nnef",
        _ => "other",
    }
}

fn spec_text(spec: &TensorSpec) -> String {
    let axes: Vec<_> = spec.shape.iter().map(|it| it.map_or_else(|| "?".to_owned(), |it| it.to_string())).collect();
    format!("{}: {}[{}]", spec.name, spec.dtype, axes.join(", "))
}
