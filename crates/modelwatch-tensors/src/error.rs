//! What can go wrong when a checkpoint is read.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use crate::{format::Format, mlmodel::MlModelError, tree::Tree};

/// Why a file could not be read as tensors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The operating system refused.
    #[error("cannot read `{}`: {source}; check its path and who may read it", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file got shorter or was written to, or its device failed, while it was read.
    #[error("`{}` was cut off or changed while it was read; read it when nobody writes to it, or check its disk", path.display())]
    Cut {
        /// The file.
        path: PathBuf,
    },
    /// The bytes break the rules of the format.
    #[error(
        "cannot read {format} `{}`: {place} {problem}; write the file again or restore it from a good copy",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The format it was read as.
        format: Format,
        /// The tensor, field or offset.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// The file is well-formed as far as it was read, but needs something that is not read here.
    #[error("cannot read tensors from {format} `{}`: {reason}; {remedy}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: Format,
        /// What is not supported.
        reason: String,
        /// What to do instead.
        remedy: &'static str,
    },
    /// A pickle names a class or function that is no part of a state dict, and none by which it would reach the system.
    #[error("cannot read tensors from {format} `{}`: its pickle wants `{name}`, which is code; {remedy}", path.display())]
    Class {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: Format,
        /// The first such name.
        name: String,
        /// What to do instead.
        remedy: &'static str,
    },
    /// A limit that protects memory was passed.
    #[error("cannot read {format} `{}`: {place} {problem}, which is past the limit of {limit}; split it, or save it as safetensors", path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: Format,
        /// The tensor or entry.
        place: String,
        /// What is too large.
        problem: String,
        /// The limit.
        limit: u64,
    },
    /// Neither the content nor the extension says what the file is.
    #[error(
        "cannot tell the format of `{}`; known are safetensors, NPZ, NPY, PyTorch, Keras and HDF5, ONNX, TensorFlow Lite, TensorFlow checkpoints, SavedModels and frozen graphs",
        path.display()
    )]
    UnknownFormat {
        /// The file or folder.
        path: PathBuf,
    },
    /// Nothing of the wanted kind is there.
    #[error("cannot find {wanted} in `{}`; {remedy}", path.display())]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
        /// What was looked for.
        wanted: String,
        /// What to do.
        remedy: &'static str,
    },
    /// More than one file would do.
    #[error("cannot choose among {} in `{}`; {remedy}", Names(candidates), path.display())]
    Ambiguous {
        /// Where they are.
        path: PathBuf,
        /// Their paths, relative to `path` and sorted.
        candidates: Vec<PathBuf>,
        /// What to do.
        remedy: &'static str,
    },
    /// The folder says of itself that it is an MLflow model, but not in a way that can be followed.
    #[error(transparent)]
    MlModel(#[from] MlModelError),
}

impl TensorError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// The file that is being read, for errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) path: &'a Path,
    pub(crate) format: Format,
    /// Where it is, and other files that it names.
    pub(crate) tree: Tree<'a>,
}

impl Site<'_> {
    pub(crate) fn corrupt(self, place: impl Into<String>, problem: impl fmt::Display) -> TensorError {
        TensorError::Corrupt {
            path: self.path.to_owned(),
            format: self.format,
            place: place.into(),
            problem: problem.to_string(),
        }
    }

    pub(crate) fn unsupported(self, reason: impl Into<String>, remedy: &'static str) -> TensorError {
        TensorError::Unsupported { path: self.path.to_owned(), format: self.format, reason: reason.into(), remedy }
    }

    pub(crate) fn limit(self, place: impl Into<String>, problem: impl Into<String>, limit: u64) -> TensorError {
        TensorError::Limit {
            path: self.path.to_owned(),
            format: self.format,
            place: place.into(),
            problem: problem.into(),
            limit,
        }
    }
}

struct Names<'a>(&'a [PathBuf]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, name) in self.0.iter().enumerate() {
            let comma = if idx == 0 { "" } else { ", " };
            write!(f, "{comma}`{}`", name.display())?;
        }
        Ok(())
    }
}
