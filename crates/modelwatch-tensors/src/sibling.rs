//! Opens the files that a checkpoint file names: shards and external data.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use prost::bytes::Bytes;

use crate::{
    error::{Site, TensorError},
    format::Format,
    mmap::map,
};

/// Maps the file that `site` calls `location`.
///
/// A location must be relative, stay inside the folder of the file that names it, and pass through
/// no symbolic link; otherwise a model file from elsewhere could point at any file of this machine.
pub(crate) fn map_sibling(site: Site<'_>, place: &str, location: &str) -> Result<Bytes, TensorError> {
    map(&resolve(site, place, location)?)
}

/// The same for a file that must have no other name, as the ONNX specification asks of external data:
/// a hard link is a way out of the folder that a path does not show.
pub(crate) fn map_lone_sibling(site: Site<'_>, place: &str, location: &str) -> Result<Bytes, TensorError> {
    let path = resolve(site, place, location)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::symlink_metadata(&path).map_err(TensorError::io(&path))?;
        if metadata.is_file() && metadata.nlink() != 1 {
            let problem = format!("names the data file `{location}`, which has another name as a hard link; copy it");
            return Err(site.corrupt(place, problem));
        }
    }
    map(&path)
}

/// Maps a file of external data that `place` of the ONNX model at `model` names by its location.
///
/// # Errors
/// Unless that is a file beneath the folder of the model: relative, through no symbolic link, and with no other name.
pub fn map_external_data(model: &Path, place: &str, location: &str) -> Result<Bytes, TensorError> {
    map_lone_sibling(Site { path: model, format: Format::Onnx }, place, location)
}

fn resolve(site: Site<'_>, place: &str, location: &str) -> Result<PathBuf, TensorError> {
    let refuse = |why: &str| site.corrupt(place, format!("names the data file `{location}`, {why}"));
    if location.is_empty() || location.contains('\0') {
        return Err(refuse("which is no file name"));
    }
    let mut path = match site.path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    for component in Path::new(location).components() {
        match component {
            Component::CurDir => continue,
            Component::Normal(name) => path.push(name),
            _ => return Err(refuse("which is not inside the folder of the model")),
        }
        let metadata = fs::symlink_metadata(&path).map_err(TensorError::io(&path))?;
        if metadata.file_type().is_symlink() {
            return Err(refuse("which goes through a symbolic link"));
        }
    }
    Ok(path)
}
