//! Opens the files that a checkpoint file names: shards and external data.

use std::{
    ffi::OsStr,
    fs::File,
    path::{Component, Path, PathBuf},
};

use prost::bytes::Bytes;

use crate::{
    beneath::{Folder, Refused},
    error::{Site, TensorError},
    format::Format,
    mmap::map_opened,
    outline::Sheet,
    tree::{Files, Tree, found},
};

/// Maps the file that `site` calls `location`.
///
/// A location must be relative, stay inside the folder of the file that names it, and pass through
/// no symbolic link; otherwise a model file from elsewhere could point at any file of this machine.
pub(crate) fn map_sibling(site: Site<'_>, place: &str, location: &str) -> Result<Bytes, TensorError> {
    if let Tree::Outlined(files) = site.tree {
        return outlined(files, site, place, location);
    }
    let (path, file) = open(site, place, location)?;
    map_opened(&path, &file)
}

/// The same for a file that must have no other name, as the ONNX specification asks of external data:
/// a hard link is a way out of the folder that a path does not show.
pub(crate) fn map_lone_sibling(site: Site<'_>, place: &str, location: &str) -> Result<Bytes, TensorError> {
    if let Tree::Outlined(files) = site.tree {
        return outlined(files, site, place, location);
    }
    let (path, file) = open(site, place, location)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let metadata = file.metadata().map_err(TensorError::io(&path))?;
        // Of a file that was removed meanwhile there is no name left.
        if metadata.is_file() && metadata.nlink() > 1 {
            let reason = format!("{place} names the data file `{location}`, which has another name as a hard link");
            return Err(site.unsupported(reason, "replace it by a copy of its own"));
        }
    }
    map_opened(&path, &file)
}

/// Maps a file of external data that `place` of the ONNX model at `model` names by its location.
///
/// # Errors
/// Unless that is a file beneath the folder of the model: relative, through no symbolic link, and with no other name.
pub fn map_external_data(model: &Path, place: &str, location: &str) -> Result<Bytes, TensorError> {
    map_lone_sibling(Site { path: model, format: Format::Onnx, tree: Tree::Disk }, place, location)
}

/// Returns what lists the tensors of a file that is somewhere else, where all files are plain and have one name.
fn outlined(files: &dyn Files, site: Site<'_>, place: &str, location: &str) -> Result<Bytes, TensorError> {
    let path = beside(site, place, location)?.0;
    Sheet::of(files, &path, found(files, &path)?)?.table_beside()
}

/// Opens the file, and returns the path under which it was found.
fn open(site: Site<'_>, place: &str, location: &str) -> Result<(PathBuf, File), TensorError> {
    let refuse = |why: &str| refused(site, place, location, why);
    let (_, names) = beside(site, place, location)?;
    let (name, folders) = names.split_last().expect("there is at least its name");
    let mut path = match site.path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let failed = |path: &Path, why: Refused| match why {
        Refused::Link => refuse("which goes through a symbolic link"),
        Refused::Io(error) => TensorError::io(path)(error),
    };
    let mut folder = Folder::open(&path).map_err(TensorError::io(&path))?;
    for name in folders {
        path.push(name);
        folder = folder.folder(name).map_err(|it| failed(&path, it))?;
    }
    path.push(name);
    let file = folder.file(name).map_err(|it| failed(&path, it))?;
    Ok((path, file))
}

/// Returns the path of the file, and its names below the folder of `site`, of which there is one at least.
fn beside<'l>(site: Site<'_>, place: &str, location: &'l str) -> Result<(PathBuf, Vec<&'l OsStr>), TensorError> {
    let refuse = |why: &str| refused(site, place, location, why);
    if location.is_empty() || location.contains('\0') {
        return Err(refuse("which is no file name"));
    }
    let mut path = site.path.parent().map(Path::to_owned).unwrap_or_default();
    let mut names: Vec<&OsStr> = Vec::new();
    for component in Path::new(location).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => names.push(name),
            _ => return Err(refuse("which is not inside the folder of the model")),
        }
    }
    if names.is_empty() {
        return Err(refuse("which is no file name"));
    }
    path.extend(&names);
    Ok((path, names))
}

fn refused(site: Site<'_>, place: &str, location: &str, why: &str) -> TensorError {
    site.corrupt(place, format!("names the data file `{location}`, {why}"))
}
