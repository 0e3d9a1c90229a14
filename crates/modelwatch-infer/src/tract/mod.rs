//! The runtime behind [`Model`](crate::Model): tract, pinned, because everything below its facade is outside semver.

mod audit;
mod careful;
mod convert;
mod executable;
mod guard;
mod onnx;
mod ops;
mod plan;
mod probe;
mod source;
mod tensorflow;
mod typed;

use std::{path::Path, sync::Arc};

use crate::{
    error::InferError,
    format,
    runtime::{Executable, Runtime},
    spec::ModelFormat,
};

/// The rows computed together by models that gain from it; convolutions and a few others run row by row.
pub const MICRO_BATCH: usize = 32;

/// tract: runs ONNX, frozen TensorFlow, TFLite and NNEF models on the CPU.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TractRuntime {}

impl Runtime for TractRuntime {
    fn name(&self) -> &str {
        "tract 0.23.9"
    }

    fn load(&self, path: &Path) -> Result<Arc<dyn Executable>, InferError> {
        let format = format::detect(path)?;
        let executable = guard::guarded(path, || {
            let attempts = match format {
                ModelFormat::Onnx => onnx::load(path)?,
                ModelFormat::TfFrozen => vec![tensorflow::load(path)?],
                ModelFormat::TfLite => vec![typed::load_tflite(path)?],
                ModelFormat::Nnef => vec![typed::load_nnef(path)?],
                ModelFormat::TfSavedModel => {
                    return Err(InferError::SavedModel { path: path.to_path_buf() });
                }
            };
            executable::first_that_works(path, attempts)
        })?;
        let info = executable.info();
        tracing::debug!(path = %path.display(), %format, n_parameters = info.n_parameters, "Loaded a model.");
        Ok(Arc::new(executable))
    }
}
