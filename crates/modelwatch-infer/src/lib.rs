//! Models in, batches through.
//!
//! [`Model::load`] reads an ONNX, TensorFlow (SavedModel or frozen graph), TFLite or NNEF model, and [`Model::run`] takes a record batch with one
//! column per model input to one with a column per model output.
//! [`inspect`] tells what is in a model file, and of one that cannot be run all that stands in the way.
//! This is the only crate that names tract; [`Runtime`] is the small trait it stands behind, and that another runtime can stand behind
//! (`modelwatch-onnxruntime`), with [`examine_onnx`], [`Probe`] and [`RowTests`] for what all of them have to find out.
//!
//! tract computes some models wrongly without saying so.
//! What is known of that is either computed another way or refused with [`InferError::Unsupported`]: see the modules under `tract`.
//!
//! Deliberately not here: reading data files, weights without a graph (`modelwatch-tensors`), and any judgment of the outputs.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod columns_in;
mod columns_out;
mod compare;
mod difference;
mod digest;
mod error;
mod exact;
mod format;
mod inspect;
mod model;
mod numerics;
mod output_pairs;
mod probe;
mod processor;
mod reproduce;
mod runtime;
mod spec;
mod tensor;
mod tract;

pub use compare::{Comparison, Counterpart, MatchedBy, NodeDifference, OutputDifference, Terms, ValueRange};
pub use difference::{Difference, Tolerance};
pub use digest::digest;
pub use error::{InferError, Operators};
pub use exact::{ExactModel, ExactValue, Way};
pub use format::MAX_MODEL_BYTES;
pub use inspect::{Inspection, examine_onnx, inspect, layers, model_bytes};
pub use model::Model;
pub use numerics::{NodeNumbers, Numerics};
pub use probe::{Answer, Probe};
pub use processor::processor;
pub use reproduce::{Excerpt, Reproducer, Reproduction};
pub use runtime::{Executable, Prepared, Runtime, Worker, rows_of};
pub use spec::{ElementType, Layers, ModelFormat, ModelInfo, TensorSpec};
pub use tensor::{HostTensor, Values};
pub use tract::{
    MICRO_BATCH, NodeGraph, RowTest, RowTests, Tap, TractRuntime, audited_operators,
    guard::{guarded, one_line},
    tensorflow_operators,
};
