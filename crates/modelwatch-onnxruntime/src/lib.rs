//! ONNX Runtime as a second runtime for ONNX models: a referee for the first, and what a model may run on in production.
//!
//! [`OnnxRuntime::open`] loads its library, which whoever wants it has installed; nothing is linked and nothing is downloaded.
//! A model is held against what every sound model is before ONNX Runtime sees it, and its rows against each other, as with tract.
//!
//! ONNX Runtime is native code: where it panics or aborts, or a damaged model makes it write where it must not, the whole process
//! ends, and nothing here can catch that.
//! It reads the model, and data beside it, by their paths once more after they were looked at.
//!
//! Deliberately not here: other hardware than the processor, values inside of a graph, outputs that are no tensors (`ZipMap`),
//! and when it is used at all, which the pipeline says.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod executable;
mod library;
mod sessions;
mod values;

pub use library::OnnxRuntime;

/// What messages call it.
const NAME: &str = "ONNX Runtime";
