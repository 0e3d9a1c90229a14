//! ONNX: the tensors that a model carries, and a summary of its structure.

mod model;
mod proto;
mod tensors;
mod unread;

pub use model::{Dimension, OnnxModel, OnnxValue};
pub(crate) use tensors::read;
