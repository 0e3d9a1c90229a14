//! Maps files into memory; the one place of this crate with unsafe code.

use std::{fs::File, io, path::Path};

use memmap2::Mmap;
use prost::bytes::Bytes;

use crate::error::TensorError;

/// Maps a regular file; slices of what is returned keep the mapping alive.
pub(crate) fn map(path: &Path) -> Result<Bytes, TensorError> {
    let io = || TensorError::io(path);
    // Opening a pipe would wait for a writer that never comes.
    let metadata = path.metadata().map_err(io())?;
    if !metadata.is_file() {
        return Err(io()(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    map_opened(path, &File::open(path).map_err(io())?)
}

/// Maps a regular file that was opened at `path`.
pub(crate) fn map_opened(path: &Path, file: &File) -> Result<Bytes, TensorError> {
    let io = || TensorError::io(path);
    let metadata = file.metadata().map_err(io())?;
    if !metadata.is_file() {
        return Err(io()(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    // An empty file cannot be mapped.
    if metadata.len() == 0 {
        return Ok(Bytes::new());
    }
    Ok(Bytes::from_owner(map_file(file).map_err(io())?))
}

#[expect(unsafe_code, reason = "a mapping is only as constant as its file")]
fn map_file(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapping is private and read-only, so this process never changes it.
    // That nobody else changes or truncates the file meanwhile is the contract of a checkpoint
    // (immutable once written, replaced by rename), which the writers and stores uphold.
    unsafe { Mmap::map(file) }
}
