//! Tells what a model file holds, whether it can be run or not.

use std::{fs, io, path::Path};

use crate::{
    error::{InferError, Operators},
    format,
    spec::{Layers, ModelFormat, ModelInfo},
    tract,
};

/// What a model file holds.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// What is known of the model; of one that cannot be run, what its file declares.
    pub info: ModelInfo,
    /// The bytes of the file, or of all files of a folder.
    pub bytes: u64,
    /// The operators that cannot be run, all of them, each with its node.
    pub obstacles: Operators,
    /// Rows influence each other, for which reason each is run alone.
    pub rows_are_mixed: bool,
    /// Why the model cannot be run, if so.
    pub refusal: Option<InferError>,
}

/// Returns what the model at `path` holds, of which a signature may be wanted. That it cannot be run is part of the answer.
///
/// Fails if its interface cannot be read.
pub fn inspect(path: &Path, signature: Option<&str>) -> Result<Inspection, InferError> {
    let tract::Known { info, obstacles, rows_are_mixed, refusal } = tract::inspect(path, signature)?;
    let bytes = model_bytes(path, &info)?;
    Ok(Inspection { info, bytes, obstacles, rows_are_mixed, refusal })
}

/// Returns the tensors inside of the ONNX model at `path`, which [`Model::with_layers`](crate::Model::with_layers) gives.
///
/// # Errors
/// Where the model is no ONNX model, or not sound.
pub fn layers(path: &Path) -> Result<Layers, InferError> {
    tract::layers(path)
}

/// Returns what the ONNX model at `path` declares, for another runtime to run it.
///
/// It is held against what every sound model is, as before tract sees one; that tract cannot run it is no error.
///
/// # Errors
/// Where the model is no ONNX model, or not sound, or its interface is not one of tensors.
pub fn examine_onnx(path: &Path, runtime: &'static str) -> Result<ModelInfo, InferError> {
    match format::detect(path)? {
        ModelFormat::Onnx => tract::onnx_interface(path),
        format => Err(InferError::OtherFormat { path: path.to_path_buf(), format, runtime }),
    }
}

/// Returns the bytes of a model file with the data that it names beside it, or of all files of a folder; `info` is what is known of it.
///
/// Fails if they cannot be looked at.
pub fn model_bytes(path: &Path, info: &ModelInfo) -> Result<u64, InferError> {
    let own = n_bytes(path).map_err(|source| InferError::Open { path: path.to_path_buf(), source })?;
    if info.is_one_file || info.format != ModelFormat::Onnx {
        return Ok(own);
    }
    let beside = tract::onnx_data(path)?;
    Ok(beside.contents().iter().fold(own, |sum, it| sum.saturating_add(it.len() as u64)))
}

/// Adds up a folder without following links out of it.
fn n_bytes(path: &Path) -> io::Result<u64> {
    /// No model has as many files; what is beyond is not counted.
    const MAX_ENTRIES: usize = 100_000;
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let (mut n_seen, mut total, mut folders) = (0, 0_u64, vec![path.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            n_seen += 1;
            if n_seen > MAX_ENTRIES {
                return Ok(total);
            }
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.is_file() {
                total = total.saturating_add(metadata.len());
            }
        }
    }
    Ok(total)
}
