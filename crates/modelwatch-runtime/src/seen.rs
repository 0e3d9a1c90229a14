//! What files were when they were looked at, so that what is stored is that, and nothing that was written meanwhile.
//!
//! A file is known by its device, its size and when it was changed last, and one of a hand-off by its SHA-256
//! too. Two changes within one tick of the file system's clock look like one: where that matters, hand off.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    path::{Path, PathBuf},
    time::SystemTime,
};

use modelwatch_tensors::FileDigest;

use crate::checkpoint::{CheckpointError, files};

/// The files of a checkpoint that is to be imported, as they were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    files: BTreeMap<String, Stamp>,
    /// The SHA-256 that the manifest of a hand-off has for a file, and its own.
    digests: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    /// The device, where there is such a thing. Not the inode: on file systems over a network it is another one each time.
    device: u64,
    len: u64,
    changed: Option<SystemTime>,
}

/// A file that is being read.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    path: &'a Path,
    was: Option<Stamp>,
    digest: Option<(&'a str, FileDigest)>,
    n_bytes: u64,
}

impl Seen {
    /// Looks at the file or folder as it is now.
    pub(crate) fn of(path: &Path) -> Result<Self, CheckpointError> {
        let mut res = Self::default();
        for (name, file) in files(path)? {
            let metadata = fs::metadata(&file).map_err(|source| CheckpointError::Io { path: file, source })?;
            res.files.insert(name, Stamp::of(&metadata));
        }
        Ok(res)
    }

    /// Adds what a file's bytes must be.
    pub(crate) fn expect(&mut self, name: &str, sha256: &str) {
        self.digests.insert(name.to_owned(), sha256.to_owned());
    }

    /// Begins to read a file.
    pub(crate) fn reading<'a>(&'a self, name: &str, path: &'a Path) -> Reading<'a> {
        let digest = self.digests.get(name).map(|it| (it.as_str(), FileDigest::default()));
        Reading { path, was: self.files.get(name).copied(), digest, n_bytes: 0 }
    }

    /// Fails where a file was changed, was replaced, came or went since.
    pub(crate) fn check(&self, path: &Path) -> Result<(), CheckpointError> {
        let now = Self::of(path)?;
        let names = self.files.keys().chain(now.files.keys());
        match names.into_iter().find(|it| self.files.get(*it) != now.files.get(*it)) {
            Some(name) if path.is_dir() => Err(changed(&path.join(name))),
            Some(_) => Err(changed(path)),
            None => Ok(()),
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let device = {
            use std::os::unix::fs::MetadataExt;
            metadata.dev()
        };
        #[cfg(not(unix))]
        let device = 0;
        Self { device, len: metadata.len(), changed: metadata.modified().ok() }
    }
}

impl Reading<'_> {
    /// Takes in the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.n_bytes += bytes.len() as u64;
        if let Some((_, digest)) = &mut self.digest {
            digest.update(bytes);
        }
    }

    /// Fails where what was read is not all of what was looked at.
    pub(crate) fn finish(self, file: &File) -> Result<(), CheckpointError> {
        let io = |source| CheckpointError::Io { path: self.path.to_owned(), source };
        let now = Stamp::of(&file.metadata().map_err(io)?);
        let is_digest = self.digest.is_none_or(|(expected, found)| found.finish() == expected);
        if self.was == Some(now) && self.n_bytes == now.len && is_digest { Ok(()) } else { Err(changed(self.path)) }
    }
}

fn changed(path: &Path) -> CheckpointError {
    CheckpointError::Changed { path: PathBuf::from(path) }
}
