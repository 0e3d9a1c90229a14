//! The signatures of models: entry points that have names.

use std::path::Path;

use crate::{error::InferError, spec::ModelFormat};

/// The signature that serves.
pub(super) const DEFAULT: &str = "serving_default";

/// Returns whether models of a format have signatures.
pub(super) fn are_in(format: ModelFormat) -> bool {
    matches!(format, ModelFormat::TfSavedModel | ModelFormat::TfLite)
}

/// Returns the error for a signature of a model whose format has none.
pub(super) fn none_in(path: &Path, wanted: &str, format: ModelFormat) -> InferError {
    InferError::NoSignatures { path: path.to_path_buf(), wanted: wanted.to_owned(), format }
}

/// Returns the error for a signature that is not among those of a model.
pub(super) fn missing(path: &Path, wanted: &str, there: &[String]) -> InferError {
    InferError::NoSignature { path: path.to_path_buf(), wanted: wanted.to_owned(), there: there.to_vec() }
}

/// Returns names as they are listed in an error.
pub(crate) fn listed(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|it| format!("`{it}`")).collect();
    names.join(", ")
}
