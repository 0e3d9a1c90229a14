//! Checkpoint and model file formats, read as named tensors, and what comes with them.
//!
//! [`TensorFile::open`] looks at what a file holds, not at what it is called, and lists its tensors.
//! Bytes come straight from the memory-mapped file wherever the format keeps them as they are used;
//! compressed, big-endian and column-major data is converted when it is asked for.
//!
//! A file that somebody cuts off while it is mapped is refused: it ends with zeros from then on, and neither the process with
//! it nor what was read of it is taken for the file's.
//!
//! Every file is treated as hostile: no count, length or offset in it is used before it is checked,
//! and nothing in it is ever executed.
//! The pickle of a PyTorch checkpoint is read by a machine that cannot call anything; whatever it wants
//! beside tensors and plain values is refused by its name.
//!
//! [`Handoff`] holds a folder that a training loop published against its manifest, and [`MlModel`] reads what
//! MLflow says of a model.
//! [`TensorFile::metadata`] has what a file says of itself beside its tensors.
//!
//! [`write_safetensors`] and [`write_npz`] write what was read, the two formats that hold nothing but tensors.
//!
//! Deliberately not here: running models, writing any other format, and judging the values.

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod dtype;
mod error;
mod tensor;

mod file;
mod find;
mod format;
mod handoff;
mod mlmodel;
mod outline;
mod write;

mod archive;
mod beneath;
mod catalog;
mod code;
pub mod heap;
mod metadata;
mod mmap;
mod opaque;
mod sibling;
mod strided;
mod tree;

mod hdf5;
mod keras;
mod npy;
mod npz;
mod onnx;
mod pytorch;
mod safetensors_file;
mod sharded;
mod tensorflow;
mod tflite;

pub use crate::{
    catalog::{Lost, Skipped},
    dtype::DType,
    error::TensorError,
    file::TensorFile,
    find::{find_model, find_weights, is_tensor_file, is_weights_alone, pickled},
    format::Format,
    handoff::{FileDigest, HANDOFF_FILE, Handoff, HandoffError, HandoffFile},
    mlmodel::{MLMODEL_FILE, MlModel, MlModelError, SignatureField},
    mmap::whole,
    npy::read_npy_header,
    onnx::{Dimension, OnnxModel, OnnxValue},
    opaque::has_same_elements,
    outline::list_tensors,
    pytorch::Pickled,
    sibling::map_external_data,
    tensor::{Tensor, TensorInfo, TensorRef},
    tree::Files,
    write::{NpzWriter, TensorSource, WriteError, write_npz, write_safetensors},
};
