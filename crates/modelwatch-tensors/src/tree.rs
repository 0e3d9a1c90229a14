//! Where files are looked for: on the disk, or wherever else somebody has them.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use prost::bytes::Bytes;

use crate::{
    error::TensorError,
    mmap,
    outline::{Sheet, name},
};

/// Files that are not on the disk, such as those in a store.
pub trait Files {
    /// Returns the names and sizes of all files, sorted by name. A name is a relative path, of plain components joined by `/`.
    fn list(&self) -> &[(String, u64)];

    /// Fills `out` from `offset` of a file, which has as many bytes.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn read_at(&self, name: &str, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

/// The folders and files that paths lead to.
#[derive(Clone, Copy)]
pub(crate) enum Tree<'a> {
    Disk,
    /// These alone, of which only what lists the tensors is read: their values are zeros. The empty path is their folder.
    Outlined(&'a dyn Files),
}

impl Tree<'_> {
    pub(crate) fn is_dir(self, path: &Path) -> bool {
        match self {
            Self::Disk => path.is_dir(),
            Self::Outlined(files) => {
                let name = name(path);
                let below = if name.is_empty() { name } else { name + "/" };
                let all = files.list();
                let first = all.partition_point(|it| it.0 < below);
                all.get(first).is_some_and(|it| it.0.starts_with(&below))
            }
        }
    }

    pub(crate) fn is_file(self, path: &Path) -> bool {
        match self {
            Self::Disk => path.is_file(),
            Self::Outlined(files) => size(files, path).is_some(),
        }
    }

    /// Returns what is directly in a folder, in any order.
    pub(crate) fn children(self, folder: &Path) -> Result<Vec<PathBuf>, TensorError> {
        let files = match self {
            Self::Disk => {
                let entries = fs::read_dir(folder).map_err(TensorError::io(folder))?;
                let paths = entries.map(|it| it.map(|it| it.path()));
                return paths.collect::<io::Result<_>>().map_err(TensorError::io(folder));
            }
            Self::Outlined(files) => files,
        };
        let below = files.list().iter().filter(|it| is_below(&it.0, folder));
        let first = below.filter_map(|it| Path::new(&it.0).strip_prefix(folder).ok()?.iter().next());
        let mut res: Vec<PathBuf> = first.map(|it| folder.join(it)).collect();
        res.dedup();
        Ok(res)
    }

    /// Returns a regular file; of one that is outlined what lists its tensors.
    pub(crate) fn map(self, path: &Path) -> Result<Bytes, TensorError> {
        match self {
            Self::Disk => mmap::map(path),
            Self::Outlined(files) => Sheet::of(files, path, found(files, path)?)?.table(),
        }
    }

    /// Returns a file of which the ends matter, where most formats have a mark.
    pub(crate) fn map_ends(self, path: &Path) -> Result<Bytes, TensorError> {
        match self {
            Self::Disk => mmap::map(path),
            Self::Outlined(files) => Sheet::of(files, path, found(files, path)?)?.ends(),
        }
    }
}

fn is_below(name: &str, folder: &Path) -> bool {
    Path::new(name).strip_prefix(folder).is_ok_and(|it| !it.as_os_str().is_empty())
}

fn size(files: &dyn Files, path: &Path) -> Option<u64> {
    let (all, name) = (files.list(), name(path));
    all.binary_search_by(|it| it.0.cmp(&name)).ok().map(|at| all[at].1)
}

/// Returns the size of a file.
pub(crate) fn found(files: &dyn Files, path: &Path) -> Result<u64, TensorError> {
    size(files, path).ok_or_else(|| TensorError::io(path)(io::ErrorKind::NotFound.into()))
}

impl fmt::Debug for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "Disk",
            Self::Outlined(_) => "Outlined",
        })
    }
}
