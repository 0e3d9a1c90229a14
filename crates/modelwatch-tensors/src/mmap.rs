//! Maps files into memory.

mod guard;

use std::{fs::File, io, path::Path, sync::Arc};

use memmap2::Mmap;
use prost::bytes::Bytes;

use self::guard::{Guard, Origin};
use crate::error::TensorError;

/// A mapping that is known by the guard for as long as it is there.
struct Guarded {
    // First, since fields are dropped in order: what the guard knows must still be mapped.
    _guard: Guard,
    bytes: Mmap,
}

impl AsRef<[u8]> for Guarded {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Maps a regular file; slices of what is returned keep the mapping alive.
///
/// A file that is cut off meanwhile ends with zeros from then on, and [`whole`] says so.
pub(crate) fn map(path: &Path) -> Result<Bytes, TensorError> {
    let io = || TensorError::io(path);
    // Opening a pipe would wait for a writer that never comes.
    let metadata = path.metadata().map_err(io())?;
    if !metadata.is_file() {
        return Err(io()(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    map_opened(path, &File::open(path).map_err(io())?)
}

/// Maps a regular file that was opened at `path`, as [`map`] does.
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
    let bytes = map_file(file).map_err(io())?;
    let guard = Guard::of(&bytes, path, &metadata).map_err(io())?;
    Ok(Bytes::from_owner(Guarded { _guard: guard, bytes }))
}

/// Maps a file that has no name, so that nobody else can change it.
pub(crate) fn map_nameless(file: &File) -> io::Result<Bytes> {
    // An empty file cannot be mapped.
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    map_file(file).map(Bytes::from_owner)
}

/// Holds bytes of a file that [`map_external_data`](crate::map_external_data) mapped to be what the file had: what was read
/// from them before is to be believed only then.
///
/// # Errors
/// Where the file was cut off or written to since it was mapped.
pub fn whole(bytes: &[u8]) -> Result<(), TensorError> {
    unchanged(guard::origin(bytes).as_slice())
}

/// As [`whole`] for bytes of any files, of which each is looked at once.
pub(crate) fn all_whole<'b>(all: impl Iterator<Item = &'b [u8]>) -> Result<(), TensorError> {
    unchanged(&guard::origins(all))
}

/// As [`whole`], as far as something was read past the end of the file: that costs no look at it.
pub(crate) fn uncut(bytes: &[u8]) -> Result<(), TensorError> {
    guard::cut(bytes).map_or(Ok(()), |it| Err(cut(&it)))
}

/// Calls `open`, and takes its error for that of a file which it mapped and which was cut off or written to meanwhile, if there is
/// one.
pub(crate) fn watched<T>(open: impl FnOnce() -> Result<T, TensorError>) -> Result<T, TensorError> {
    let (res, mapped) = guard::watched(open);
    res.map_err(|e| unchanged(&mapped).err().unwrap_or(e))
}

fn unchanged(files: &[Arc<Origin>]) -> Result<(), TensorError> {
    files.iter().find(|it| it.is_changed()).map_or(Ok(()), |it| Err(cut(it)))
}

fn cut(file: &Origin) -> TensorError {
    TensorError::Cut { path: file.path().to_owned() }
}

#[expect(unsafe_code, reason = "a mapping is only as constant as its file")]
fn map_file(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapping is private and read-only, so this process never changes it.
    // That nobody else changes the file meanwhile is the contract of a checkpoint (immutable once written, replaced by
    // rename), which the writers and stores uphold. Where somebody cuts it off all the same, `guard` sees to it.
    unsafe { Mmap::map(file) }
}
