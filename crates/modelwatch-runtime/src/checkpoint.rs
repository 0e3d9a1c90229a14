//! Checkpoints: imported into a store, found in it, and laid out as files for those who read files.

mod integrity;

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use modelwatch_config::{CheckpointSpec, Selector};
use modelwatch_sdk::{
    Error, ErrorKind, Host,
    store::{self, CheckpointId, CheckpointReader, CheckpointStore, FileEntry, History, TensorEntry, check_file_name},
};
use modelwatch_tensors::{TensorError, TensorFile};
use serde_json::{Map, Value};
use tempfile::TempDir;
use thiserror::Error;

use crate::{
    arrival::{Arrival, VERDICT_FILE, is_handoff},
    blessing,
    data::remedy,
    whole_file,
};

pub use self::integrity::verify;
pub(crate) use self::integrity::{Pieces, check_manifest, check_tensor, each_chunk};

/// How much is read at a time.
pub(crate) const CHUNK: usize = 1 << 20;
/// How much is read at a time of what is stored: some pieces for each of several threads.
const IMPORTED: usize = 8 << 20;
/// The bytes from which a tensor is worth pieces of its own.
const SEAMED: u64 = 64 << 10;

/// The most bytes that are read once more to tell whether they were stored.
const READ_AGAIN: u64 = 256 << 20;

/// Folders deeper than this are taken for a loop.
const MAX_DEPTH: usize = 16;

/// Why a checkpoint cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file or folder to import cannot be read.
    #[error("cannot read `{}`: {source}{}", path.display(), remedy(source))]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    NotWritten {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder for temporary files cannot be written.
    #[error("cannot write the folder for temporary files, `{}`: {source}; set `TMPDIR` to one that can be written", path.display())]
    Temporary {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder to import has something that is neither a file nor a folder.
    #[error("`{}` is neither a file nor a folder; checkpoints hold plain files, {remedy}", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// There is no file to import.
    #[error("`{}` has no files", path.display())]
    NoFiles {
        /// The path.
        path: PathBuf,
    },
    /// The files of a hand-off are not what its manifest lists.
    #[error("the hand-off `{}` is not what it says, so that nothing was stored: {}", path.display(), problems.join("; "))]
    Handoff {
        /// The folder.
        path: PathBuf,
        /// Everything that is wrong, one sentence each.
        problems: Vec<String>,
    },
    /// A file is not what it was when it was looked at.
    #[error(
        "`{}` changed while it was read, so that nothing was stored; store it when nobody writes to it, and have it \
         written under another name first and renamed when it is whole; leave a file that is still written, such as a \
         log, out of the folder",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file is of a known format, and the reader of that format refuses it.
    #[error("nothing was stored: {0}")]
    Refused(TensorError),
    /// A file has tensors in another one, without which it is no checkpoint.
    #[error(
        "`{}` has tensors in another file, `{}`, and is not stored without it; store its folder",
        path.display(),
        sibling.display()
    )]
    Parted {
        /// The file.
        path: PathBuf,
        /// The other one, relative to the folder of the first.
        sibling: PathBuf,
    },
    /// A weight is NaN or infinite, and that is to be refused.
    #[error(
        "tensor `{tensor}` of `{}` is {value} at element {index}, so that nothing was stored; `refuse_nonfinite` is set",
        path.display()
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Which of its elements, in row-major order.
        index: usize,
        /// Its value.
        value: f64,
    },
    /// Whether all weights are finite cannot be told.
    #[error(
        "whether the weights of `{}` are finite cannot be told, so that nothing was stored: {reason}; \
         `refuse_nonfinite` is set",
        path.display()
    )]
    NotExamined {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The store failed.
    #[error("{}{}", .0.message, help(.0))]
    Store(Error),
    /// The lineage has no such ref or checkpoint.
    #[error("there is no checkpoint `{spec}`; {known}")]
    NotFound {
        /// What was looked for.
        spec: String,
        /// What there is.
        known: String,
    },
    /// Nothing can stand in for the checkpoint.
    #[error(
        "no checkpoint can be given out for `{spec}`: {}; mend the store with `modelwatch store repair`, or name another one by its \
         id",
        skipped.join("; ")
    )]
    NoneToServe {
        /// What was asked for.
        spec: String,
        /// What was passed over and why, one sentence each.
        skipped: Vec<String>,
    },
    /// More than one checkpoint's id starts like this.
    #[error("`{spec}` is the start of {n} checkpoint ids; give more digits")]
    Ambiguous {
        /// What was looked for.
        spec: String,
        /// How many fit.
        n: usize,
    },
}

impl From<Error> for CheckpointError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

fn help(error: &Error) -> String {
    if error.help.is_empty() { String::new() } else { format!("; {}", error.help) }
}

/// Stores the file or folder at `path` as a checkpoint of `lineage`, with what [`examine`](crate::arrival::examine)
/// returned.
///
/// # Errors
/// When it cannot be read or stored, or is not what was examined: nothing is stored then.
pub fn import(
    store: &dyn CheckpointStore,
    host: &dyn Host,
    lineage: &str,
    path: &Path,
    Arrival { metadata, seen, .. }: &Arrival,
) -> Result<CheckpointId, CheckpointError> {
    let files = files(path)?;
    let mut writer = store.begin(host, lineage, metadata)?;
    let mut buffer = vec![0; IMPORTED];
    for (name, file) in files {
        let io = |source| CheckpointError::Io { path: file.clone(), source };
        let mut handle = File::open(&file).map_err(io)?;
        let mut reading = seen.reading(&name, &file);
        let mut offset = 0;
        for end in seams(&file).into_iter().chain([u64::MAX]) {
            while offset < end {
                if host.is_cancelled() {
                    return Err(host.cancelled().into());
                }
                let wanted = buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
                let n = read_full(&mut handle, &mut buffer[..wanted]).map_err(io)?;
                if n == 0 {
                    break;
                }
                writer.append(&name, &buffer[..n])?;
                reading.update(&buffer[..n]);
                offset += n as u64;
            }
            // No bytes where a tensor begins or ends, and once for an empty file too, which is a file all the same.
            writer.append(&name, &[])?;
        }
        reading.finish(&handle)?;
    }
    // Also what was read long before the last file, or in the place of which there is another one by now.
    seen.check(path)?;
    match writer.commit() {
        Err(e) if e.kind == ErrorKind::Panicked => stored(store, lineage, path, metadata).ok_or_else(|| e.into()),
        res => Ok(res?),
    }
}

/// Returns the id of what a writer committed that panicked then, where the lineage has it. What is too large to read once
/// more is not looked for.
fn stored(
    store: &dyn CheckpointStore,
    lineage: &str,
    path: &Path,
    metadata: &Map<String, Value>,
) -> Option<CheckpointId> {
    let sizes = files(path).ok()?.into_iter().map(|(_, file)| Some(fs::metadata(file).ok()?.len()));
    if sizes.sum::<Option<u64>>()? > READ_AGAIN {
        return None;
    }
    let id = id_of(path, metadata).ok()?;
    store.history(lineage).ok()?.contains(&id).then_some(id)
}

/// Returns the id with which the file or folder at `path` is stored by [`import`] with that metadata. As the format of
/// stores says, it is the digest of the content alone, so that what was stored once is known again without the store.
///
/// # Errors
/// When it cannot be read.
pub fn id_of(path: &Path, metadata: &Map<String, Value>) -> Result<CheckpointId, CheckpointError> {
    let entry = |(name, file): (String, PathBuf)| {
        let found = File::open(&file).and_then(|it| blessing::entry(&name, it));
        found.map_err(|source| CheckpointError::Io { path: file, source })
    };
    let files = files(path)?.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    Ok(id_of_content(metadata, &files, &[])?)
}

/// Returns the id of a checkpoint of that content.
fn id_of_content(
    metadata: &Map<String, Value>,
    files: &[FileEntry],
    tensors: &[TensorEntry],
) -> modelwatch_sdk::Result<CheckpointId> {
    CheckpointId::parse(&blake3::hash(store::content(metadata, files, tensors).as_bytes()).to_hex())
}

/// Returns the offsets in a file at which a tensor begins or ends, in order, so that it is stored once however
/// often it comes, whatever is before it in the file.
fn seams(file: &Path) -> Vec<u64> {
    // Whether the file is sound is nothing that matters here.
    let Some(tensors) = TensorFile::open(file).ok().filter(|it| it.path() == file) else {
        return Vec::new();
    };
    let large = tensors.extents().iter().filter(|it| it.end - it.start >= SEAMED);
    let mut res: Vec<u64> = large.flat_map(|it| [it.start, it.end]).filter(|&it| it > 0).collect();
    res.sort_unstable();
    res.dedup();
    res
}

fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match reader.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(it) => n += it,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

/// Returns the names and paths of the files that a checkpoint of `path` has, sorted by name.
///
/// # Errors
/// When it cannot be read, or has something that is no plain file.
pub fn files(path: &Path) -> Result<Vec<(String, PathBuf)>, CheckpointError> {
    let io = |source| CheckpointError::Io { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(io)?;
    let mut res = Vec::new();
    if metadata.is_file() {
        let name = path.file_name().and_then(|it| it.to_str()).unwrap_or("checkpoint");
        res.push((name.to_owned(), path.to_owned()));
    } else if !metadata.is_dir() {
        return Err(CheckpointError::NotAFile { path: path.to_owned(), remedy: "name one, or a folder of them" });
    } else {
        walk(path, "", 0, &mut res)?;
        if is_handoff(path) {
            // Written afterwards, for the training loop: with it the same hand-off would be another checkpoint.
            res.retain(|(name, _)| name != VERDICT_FILE);
        }
    }
    for (name, _) in &res {
        check_file_name(name)?;
    }
    res.sort();
    if res.is_empty() { Err(CheckpointError::NoFiles { path: path.to_owned() }) } else { Ok(res) }
}

/// Returns whether two files have the same bytes; false for what is no file.
///
/// # Errors
/// When one of them cannot be read, and when `is_cancelled`, which is asked again and again.
pub(crate) fn is_same_file(left: &Path, right: &Path, is_cancelled: &dyn Fn() -> bool) -> io::Result<bool> {
    let mut files = [File::open(left)?, File::open(right)?];
    let [of_left, of_right] = [files[0].metadata()?, files[1].metadata()?];
    if !of_left.is_file() || !of_right.is_file() || of_left.len() != of_right.len() {
        return Ok(false);
    }
    let mut buffers = [vec![0; IMPORTED], vec![0; IMPORTED]];
    loop {
        if is_cancelled() {
            return Err(interrupted());
        }
        let n = [read_full(&mut files[0], &mut buffers[0])?, read_full(&mut files[1], &mut buffers[1])?];
        if n[0] != n[1] || buffers[0][..n[0]] != buffers[1][..n[0]] {
            return Ok(false);
        }
        if n[0] == 0 {
            return Ok(true);
        }
    }
}

/// Returns the error of reading that was asked to end.
pub(crate) fn interrupted() -> io::Error {
    io::Error::other("it was interrupted")
}

fn walk(dir: &Path, prefix: &str, depth: usize, res: &mut Vec<(String, PathBuf)>) -> Result<(), CheckpointError> {
    let io = |source| CheckpointError::Io { path: dir.to_owned(), source };
    for entry in fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        let name = entry.file_name().to_str().map(|it| format!("{prefix}{it}"));
        let kind = entry.file_type().map_err(io)?;
        match name {
            Some(name) if kind.is_file() => res.push((name, path)),
            Some(name) if kind.is_dir() && depth < MAX_DEPTH => walk(&path, &format!("{name}/"), depth + 1, res)?,
            _ => {
                let remedy = if kind.is_symlink() { "copy what it points at" } else { "leave it out of the folder" };
                return Err(CheckpointError::NotAFile { path, remedy });
            }
        }
    }
    Ok(())
}

/// Returns the id that `spec` stands for.
///
/// # Errors
/// When the lineage has no such ref or checkpoint, or more than one; where an entry of its log is damaged also for every
/// ref, since nobody can tell where that is.
pub fn resolve(history: &History, spec: &CheckpointSpec) -> Result<CheckpointId, CheckpointError> {
    match (resolve_readable(history, spec), history.damage(), &spec.selector) {
        (Err(CheckpointError::NotFound { .. }), Some(e), _) | (Ok(_), Some(e), Selector::Ref(_)) => {
            Err(CheckpointError::Store(e.clone()))
        }
        (res, ..) => res,
    }
}

/// As [`resolve`], as far as the log can be read.
pub(crate) fn resolve_readable(history: &History, spec: &CheckpointSpec) -> Result<CheckpointId, CheckpointError> {
    let found = match &spec.selector {
        Selector::Ref(name) => history.get_ref(name).cloned(),
        Selector::Id(prefix) => match history.with_prefix(prefix)[..] {
            [] => None,
            [id] => Some(id.clone()),
            ref several => return Err(CheckpointError::Ambiguous { spec: spec.to_string(), n: several.len() }),
        },
    };
    found.ok_or_else(|| {
        let refs: Vec<_> = history.refs().map(|(name, _)| format!("`{name}`")).collect();
        let known = match (history.checkpoints().len(), &refs[..]) {
            (0, _) => format!("the store has none of `{}`", spec.lineage),
            (n, []) => format!("`{}` has {n} checkpoints and no ref but `latest`", spec.lineage),
            (n, refs) => format!("`{}` has {n} checkpoints and the refs {}", spec.lineage, refs.join(", ")),
        };
        CheckpointError::NotFound { spec: spec.to_string(), known }
    })
}

/// A checkpoint's files, verified and laid out in a private folder that goes with this value.
#[derive(Debug)]
pub struct Laid {
    /// Of the owner alone, unlike the folder of the files in it.
    _dir: TempDir,
    path: PathBuf,
    /// The number of files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Laid {
    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the files durable and the folder one of that name, which must be free and on the same file system: whoever
    /// finds it finds all of it.
    ///
    /// # Errors
    /// When it cannot be written, or there is something of that name.
    pub fn keep(self, into: &Path) -> Result<(), CheckpointError> {
        let io = |source| CheckpointError::NotWritten { path: into.to_owned(), source };
        sync(&self.path, 0).map_err(io)?;
        if fs::symlink_metadata(into).is_ok() {
            return Err(io(io::ErrorKind::AlreadyExists.into()));
        }
        fs::rename(&self.path, into).map_err(io)?;
        whole_file::settle(into);
        Ok(())
    }
}

/// Makes all files and folders below one durable.
fn sync(dir: &Path, depth: usize) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            File::open(entry.path())?.sync_all()?;
        } else if depth < MAX_DEPTH {
            sync(&entry.path(), depth + 1)?;
        }
    }
    // Where a folder cannot be opened, the file system orders its own changes.
    File::open(dir).map_or(Ok(()), |it| it.sync_all())
}

/// Lays the checkpoint's files out, in the folder for temporary files.
///
/// # Errors
/// When a byte or a file does not verify, or the folder cannot be written.
pub fn lay_out(reader: &dyn CheckpointReader, host: &dyn Host) -> Result<Laid, CheckpointError> {
    let folder = std::env::temp_dir();
    lay_out_in(&folder, reader, host).map_err(|e| match e {
        CheckpointError::NotWritten { path, source } if path == folder => CheckpointError::Temporary { path, source },
        e => e,
    })
}

/// As [`lay_out`], below a folder of the caller's choice.
///
/// # Errors
/// As there.
pub fn lay_out_in(folder: &Path, reader: &dyn CheckpointReader, host: &dyn Host) -> Result<Laid, CheckpointError> {
    let not_written = |source| CheckpointError::NotWritten { path: folder.to_owned(), source };
    let dir = tempfile::Builder::new().prefix(".modelwatch-").tempdir_in(folder).map_err(not_written)?;
    let root = dir.path().join("files");
    fs::create_dir(&root).map_err(not_written)?;
    let mut bytes = 0;
    let files = &reader.manifest().files;
    for file in files {
        check_file_name(&file.name)?;
        let path = root.join(&file.name);
        let io = |source| CheckpointError::NotWritten { path: path.clone(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io)?;
        }
        let mut handle = File::create_new(&path).map_err(io)?;
        bytes += each_chunk(reader, host, file, |chunk| handle.write_all(chunk).map_err(io))?;
    }
    Ok(Laid { _dir: dir, path: root, files: files.len() as u64, bytes })
}

#[cfg(test)]
mod tests {
    use modelwatch_sdk::{Result, TensorView, store::CheckpointManifest, testing::FaultRow};

    use super::*;

    /// A checkpoint whose one file has these bytes, whatever its manifest says.
    struct OneFile(CheckpointManifest, Vec<u8>);

    impl CheckpointReader for OneFile {
        fn manifest(&self) -> &CheckpointManifest {
            &self.0
        }

        fn read(&self, _: &str, offset: u64, out: &mut [u8]) -> Result<usize> {
            Ok((&self.1[offset as usize..]).read(out).unwrap())
        }

        fn tensor(&self, _: &str) -> Result<Option<TensorView<'_>>> {
            Ok(None)
        }
    }

    #[test]
    fn a_file_of_other_bytes_than_the_id_stands_for_is_not_handed_out() {
        let row = FaultRow::new(27, "a checkpoint's file with its pieces in another order, each of them sound", "SIM");
        let [one, other] = [vec![1; CHUNK], vec![2; CHUNK]];
        let (right, wrong) = ([&*one, &*other].concat(), [&*other, &*one].concat());
        let files = vec![blessing::entry("weights/model.bin", &*right).unwrap()];
        let id = CheckpointId::parse(&"a".repeat(64)).unwrap();
        let manifest = CheckpointManifest { id, metadata: Map::new(), files, tensors: Vec::new() };
        let folder = tempfile::tempdir().unwrap();
        let laid = lay_out_in(folder.path(), &OneFile(manifest.clone(), right.clone()), &()).unwrap();
        assert_eq!(fs::read(laid.path().join("weights/model.bin")).unwrap(), right);
        drop(laid);
        for bytes in [wrong, one, [&*right, &[3]].concat(), Vec::new()] {
            let e = lay_out_in(folder.path(), &OneFile(manifest.clone(), bytes), &()).unwrap_err();
            assert!(matches!(&e, CheckpointError::Store(e) if e.kind == ErrorKind::Corrupt), "{e}");
            assert!(e.to_string().contains("`weights/model.bin` of the checkpoint `aaaaaaaaaaaa`"), "{e}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
        row.ok(4);
    }

    #[test]
    fn files_are_the_same_byte_by_byte() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let whole = vec![7; 3 * IMPORTED];
        let (one, other) = (write("candidate.onnx", &whole), write("production.onnx", &whole));
        assert!(is_same_file(&one, &other, &|| false).unwrap());
        let mut changed = whole.clone();
        changed[IMPORTED + 5] ^= 1;
        assert!(!is_same_file(&one, &write("changed.onnx", &changed), &|| false).unwrap());
        assert!(!is_same_file(&one, &write("longer.onnx", &[&*whole, &[7]].concat()), &|| false).unwrap());
        assert!(!is_same_file(dir.path(), dir.path(), &|| false).unwrap());
        let error = is_same_file(&one, &other, &|| true).unwrap_err();
        assert_eq!(error.to_string(), "it was interrupted");
    }
}
