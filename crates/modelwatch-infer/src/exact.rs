//! Models run on exactly the tensors given: no rows, no batches, no conversions.
//!
//! [`Model`](crate::Model) is what pipelines use; this is for whoever compares runtimes, value by value.

use std::path::Path;

use crate::{error::InferError, tensor::HostTensor, tract::exact};

/// A value as ONNX knows it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ExactValue {
    /// A tensor.
    Tensor {
        /// The number of the element type in ONNX's `TensorProto.DataType`.
        data_type: i32,
        /// The elements; types without a variant in [`Values`](crate::Values) are widened to `F32`.
        tensor: HostTensor,
    },
    /// A list of values.
    Sequence(Vec<ExactValue>),
    /// An optional without a value; one with a value is that value.
    Absent,
}

impl ExactValue {
    /// Returns the tensor in a serialized ONNX `TensorProto`, or why there is none.
    pub fn decode_tensor(bytes: &[u8]) -> Result<Self, String> {
        exact::decode_tensor(bytes)
    }
}

/// How an exact model is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// As one compiled graph.
    Compiled,
    /// As one compiled graph into which all inputs but the first are built as constants.
    CompiledWithConstants,
    /// Node by node.
    Interpreted,
}

/// An ONNX model that runs on exact tensors.
pub struct ExactModel(exact::Exact);

impl ExactModel {
    /// Loads an ONNX model; operators that cannot be computed correctly are an error.
    pub fn load(path: &Path) -> Result<Self, InferError> {
        exact::Exact::load(path).map(Self)
    }

    /// Returns the outputs in the model's order.
    pub fn run(&self, inputs: &[ExactValue], way: Way) -> Result<Vec<ExactValue>, InferError> {
        self.0.run(inputs, way)
    }
}
