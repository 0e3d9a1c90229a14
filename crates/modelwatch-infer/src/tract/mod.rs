//! The runtime behind [`Model`](crate::Model): tract, pinned, because everything below its facade is outside semver.

mod apart;
mod attributes;
mod audit;
mod audited;
mod axes;
mod bounds;
mod careful;
pub(crate) mod compare;
mod contributed;
mod convert;
mod double;
mod dropout;
mod dynamic_product;
mod error_function;
pub(crate) mod exact;
pub(crate) mod excerpt;
mod executable;
mod functions;
pub(crate) mod guard;
mod independent;
mod integer_product;
mod interpreted;
mod interpreter;
mod kernels;
mod layers;
mod lengths;
mod limits;
mod log_softmax;
mod memory;
mod nan;
mod nnef;
mod nodes;
mod onnx;
mod ops;
mod page;
mod places;
mod plan;
mod post_transform;
mod preflight;
mod recurrence;
mod reductions;
mod repair;
mod requantize;
mod rewrite;
mod saved_model;
mod self_tests;
mod signatures;
mod source;
mod stages;
mod tensorflow;
mod texts;
mod tf_ops;
mod tflite;
mod versions;
mod whole_range;
mod widened;
mod wire;
mod wired;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use modelwatch_tensors::heap;

pub use self::{
    audited::audited_operators,
    interpreted::Tap,
    nodes::NodeGraph,
    page::tensorflow_operators,
    self_tests::{RowTest, RowTests},
};
pub(crate) use self::{preflight::ExternalData, signatures::listed};
use self::{self_tests::SelfTests, source::Examined};
use crate::{
    error::{InferError, Operators},
    format,
    runtime::{Executable, Runtime},
    spec::{Layers, ModelFormat, ModelInfo},
};

/// The rows computed together by models that gain from it; convolutions and a few others run row by row.
pub const MICRO_BATCH: usize = 32;

/// What is known of a model, whether it can be run or not.
pub(crate) struct Known {
    pub(crate) info: ModelInfo,
    pub(crate) obstacles: Operators,
    pub(crate) rows_are_mixed: bool,
    pub(crate) refusal: Option<InferError>,
}

/// tract: runs ONNX, TensorFlow, TFLite and NNEF models on the CPU.
#[derive(Clone, Debug, Default)]
pub struct TractRuntime {
    self_tests: Option<SelfTests>,
    signature: Option<String>,
}

impl TractRuntime {
    /// Returns the runtime that keeps in `folder` what came of the self-tests of models, for the next time that they are loaded.
    pub fn keeping_self_tests(folder: PathBuf) -> Self {
        Self { self_tests: Some(SelfTests::new(folder)), signature: None }
    }

    /// Returns the runtime that loads this signature of models; the one that serves, where there is none.
    pub fn of_signature(self, signature: Option<String>) -> Self {
        Self { signature, ..self }
    }
}

impl Runtime for TractRuntime {
    fn name(&self) -> &str {
        "tract 0.23.9"
    }

    fn load(&self, path: &Path) -> Result<Arc<dyn Executable>, InferError> {
        let format = format::detect(path)?;
        let executable = guard::guarded(path, || {
            let signature = self.signature.as_deref();
            let attempts = examine(path, format, signature)?.attempts?;
            // The file as it was decoded, before as much memory is taken to lay out the weights.
            heap::give_back();
            let tests =
                self.self_tests.as_ref().and_then(|it| it.of(path, self.name(), signature, attempts.beside.as_deref()));
            executable::first_that_works(path, attempts, tests.as_ref())
        })?;
        let info = executable.info();
        tracing::debug!(path = %path.display(), %format, n_parameters = info.n_parameters, "Loaded a model.");
        Ok(Arc::new(executable))
    }
}

/// Reads a model, of which a signature may be wanted, and tries to prepare it.
pub(crate) fn inspect(path: &Path, signature: Option<&str>) -> Result<Known, InferError> {
    let format = format::detect(path)?;
    let Examined { info, obstacles, attempts } = guard::guarded(path, || examine(path, format, signature))?;
    let obstacles = Operators(obstacles);
    match guard::guarded(path, || executable::first_that_works(path, attempts?, None)) {
        Ok(it) => {
            let (info, rows_are_mixed) = (it.info().clone(), it.rows_are_mixed());
            Ok(Known { info, obstacles, rows_are_mixed, refusal: None })
        }
        Err(refusal) => Ok(Known { info, obstacles, rows_are_mixed: false, refusal: Some(refusal) }),
    }
}

/// Returns what a sound ONNX model declares.
pub(crate) fn onnx_interface(path: &Path) -> Result<ModelInfo, InferError> {
    guard::guarded(path, || onnx::interface(path))
}

/// Returns the data beside a sound ONNX model.
pub(crate) fn onnx_data(path: &Path) -> Result<Arc<ExternalData>, InferError> {
    guard::guarded(path, || onnx::data(path))
}

/// Returns the layers of a sound ONNX model.
pub(crate) fn layers(path: &Path) -> Result<Layers, InferError> {
    match format::detect(path)? {
        ModelFormat::Onnx => guard::guarded(path, || onnx::layers_of(path)),
        format => Err(without_layers(path, format)),
    }
}

fn without_layers(path: &Path, format: ModelFormat) -> InferError {
    let reason = format!("layers are read of ONNX models alone, and its format is {format}; export it to ONNX");
    InferError::Layer { path: path.to_path_buf(), reason }
}

fn examine(path: &Path, format: ModelFormat, signature: Option<&str>) -> Result<Examined, InferError> {
    if let Some(signature) = signature.filter(|_| !signatures::are_in(format)) {
        return Err(signatures::none_in(path, signature, format));
    }
    match format {
        ModelFormat::Onnx => onnx::examine(path),
        ModelFormat::TfFrozen => tensorflow::examine(path),
        ModelFormat::TfSavedModel => saved_model::examine(path, signature),
        ModelFormat::TfLite => tflite::examine(path, signature),
        ModelFormat::Nnef => nnef::examine(path),
    }
}
