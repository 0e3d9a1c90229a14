//! What came of the tests of models when they were loaded, kept from one load to the next.
//!
//! A test costs five runs of a batch, and where it fails a comparison node by node. What comes of it follows from the bytes of
//! the model, the shape of the batch, the runtime and the processor, for which its kernels are chosen; not from threads, since
//! a plan computes with one. So it is kept under the digest of all of these, a small file for each model.
//!
//! What is kept spares work and decides nothing else: an optimized form that was found to differ is not run, as if it had been
//! found just now, and the first batch of real data is a test in any case. What cannot be read, written or trusted is as
//! good as not there.

use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{guard, onnx, preflight::ExternalData, stages::Fallback};
use crate::{
    digest::{add, add_model},
    processor::processor,
};

/// Raised whenever a test, or what is made of a model before it, changes: what came of older ones is then forgotten.
const SCHEME: u32 = 15;
/// The shapes kept of a model; what more there are is tested again.
const MAX_SHAPES: usize = 64;
/// The models kept; beyond that the oldest go.
const MAX_MODELS: usize = 1_000;
const MAX_BYTES: u64 = 1 << 20;

/// A folder with what came of tests.
#[derive(Clone, Debug)]
pub(super) struct SelfTests {
    folder: PathBuf,
}

/// What came of a model's tests.
#[derive(Clone, Debug)]
pub(super) struct ModelTests {
    file: PathBuf,
    /// Which reading of the model is tested, of those that there are.
    reading: usize,
}

/// What came of the tests of one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// Why the optimized form is not run, if so.
    pub(super) fallback: Option<Fallback>,
    /// Whether rows keep their answers when they trade places, or, of a single one, beside another.
    pub(super) rows_are_independent: bool,
    /// Whether a row has another answer where it is alone.
    pub(super) size_matters: bool,
}

impl Outcome {
    /// What is taken for granted of a single row until there is data.
    pub(super) const UNASKED: Self = Self { fallback: None, rows_are_independent: true, size_matters: false };
}

/// What is kept of a model that another runtime than tract runs: what its rows have to do with each other.
#[derive(Clone, Debug)]
pub struct RowTests(ModelTests);

/// What rows have to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowTest {
    /// Rows keep their answers whatever is beside them.
    pub are_independent: bool,
    /// A row has another answer where it is alone.
    pub size_matters: bool,
}

impl RowTests {
    /// Returns what is kept in `folder` of the ONNX model at `path` for a runtime; nothing where its digest cannot be had.
    pub fn of_onnx(folder: &Path, path: &Path, runtime: &str) -> Option<Self> {
        let beside = guard::guarded(path, || onnx::data(path)).ok()?;
        SelfTests::new(folder.to_path_buf()).of(path, runtime, None, Some(&beside)).map(Self)
    }

    /// Returns what came of the test of a batch; it is made, and its outcome kept, where that is not known.
    pub fn recall_or(&self, rows: usize, row_shapes: &[Vec<usize>], test: impl FnOnce() -> RowTest) -> RowTest {
        if let Some(it) = self.0.recall(rows, row_shapes) {
            return RowTest { are_independent: it.rows_are_independent, size_matters: it.size_matters };
        }
        let found = test();
        let RowTest { are_independent, size_matters } = found;
        self.0.keep(rows, row_shapes, &Outcome { fallback: None, rows_are_independent: are_independent, size_matters });
        found
    }
}

/// The reading, the rows of a batch, and their shapes.
type Tested = (usize, usize, Vec<Vec<usize>>);

impl SelfTests {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns what is kept of the model at `path`, whose weights may lie beside it; nothing where its digest cannot be had.
    pub(super) fn of(
        &self,
        path: &Path,
        runtime: &str,
        signature: Option<&str>,
        beside: Option<&ExternalData>,
    ) -> Option<ModelTests> {
        let name = digest(path, runtime, signature, beside)
            .map_err(|error| tracing::debug!(path = %path.display(), %error, "The model has no digest."))
            .ok()?;
        Some(ModelTests { file: self.folder.join(format!("{name}.json")), reading: 0 })
    }
}

impl ModelTests {
    /// Returns the tests of another reading of the model.
    pub(super) fn of_reading(&self, reading: usize) -> Self {
        Self { file: self.file.clone(), reading }
    }

    /// Returns what came of the tests of a batch, if that is known.
    pub(super) fn recall(&self, rows: usize, row_shapes: &[Vec<usize>]) -> Option<Outcome> {
        let tested = (self.reading, rows, row_shapes.to_vec());
        self.read().into_iter().find(|it| it.0 == tested).map(|it| it.1)
    }

    /// Keeps what came of the tests of a batch.
    pub(super) fn keep(&self, rows: usize, row_shapes: &[Vec<usize>], outcome: &Outcome) {
        let mut all = self.read();
        all.insert(0, ((self.reading, rows, row_shapes.to_vec()), outcome.clone()));
        all.truncate(MAX_SHAPES);
        if let Err(error) = self.write(&all) {
            tracing::debug!(file = %self.file.display(), %error, "What came of the self-test is not kept.");
        }
    }

    fn read(&self) -> Vec<(Tested, Outcome)> {
        match self.try_read() {
            Ok(it) => it,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::debug!(file = %self.file.display(), %error, "What came of earlier self-tests is not used.");
                Vec::new()
            }
        }
    }

    fn try_read(&self) -> io::Result<Vec<(Tested, Outcome)>> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        for it in [folder, &self.file] {
            check_owner_alone_writes(it)?;
        }
        let mut text = String::new();
        fs::File::open(&self.file)?.take(MAX_BYTES).read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Writes the file beside its place and renames it, so that there is never half of one.
    fn write(&self, all: &[(Tested, Outcome)]) -> io::Result<()> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        create_private(folder)?;
        check_owner_alone_writes(folder)?;
        if !self.file.exists() {
            make_room(folder)?;
        }
        let staged = self.file.with_extension(format!("new-{}", std::process::id()));
        fs::write(&staged, serde_json::to_vec(all)?)?;
        fs::rename(&staged, &self.file).inspect_err(|_| _ = fs::remove_file(&staged))
    }
}

/// Removes what was written longest ago where there is more than enough.
fn make_room(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    let n_too_many = (files.len() + 1).saturating_sub(MAX_MODELS);
    files[..n_too_many].iter().try_for_each(|it| fs::remove_file(&it.1))
}

/// Returns the digest of everything that the tests of a model depend on but the shape of the batch.
fn digest(path: &Path, runtime: &str, signature: Option<&str>, beside: Option<&ExternalData>) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    add(&mut hasher, &SCHEME.to_le_bytes());
    add(&mut hasher, concat!("modelwatch ", env!("CARGO_PKG_VERSION")).as_bytes());
    add(&mut hasher, runtime.as_bytes());
    // No name of a signature is empty.
    add(&mut hasher, signature.unwrap_or_default().as_bytes());
    add(&mut hasher, std::env::consts::ARCH.as_bytes());
    add(&mut hasher, processor().as_bytes());
    add_model(&mut hasher, path, beside)?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(unix)]
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// As with plugins: what everyone may write, anyone may have written.
#[cfg(unix)]
fn check_owner_alone_writes(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    match path.metadata()?.mode() & 0o002 {
        0 => Ok(()),
        _ => Err(io::Error::other(format!("`{}` is writable by everyone", path.display()))),
    }
}

#[cfg(not(unix))]
fn check_owner_alone_writes(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(node: &str) -> Outcome {
        let node = Some((node.to_owned(), "Relu".to_owned()));
        Outcome { fallback: Some(Fallback { node }), rows_are_independent: true, size_matters: false }
    }

    fn tests_of(folder: &Path, model: &Path) -> ModelTests {
        SelfTests::new(folder.join("modelwatch/self-tests")).of(model, "tract", None, None).unwrap()
    }

    /// A folder with a model.
    fn project() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model.onnx");
        fs::write(&model, "bytes").unwrap();
        (folder, model)
    }

    #[test]
    fn an_outcome_belongs_to_a_shape_and_to_the_bytes_of_a_model() {
        let (folder, model) = project();
        let tests = tests_of(folder.path(), &model);
        assert_eq!(tests.recall(2, &[vec![3]]), None);
        tests.keep(2, &[vec![3]], &outcome("a"));
        tests.keep(1, &[vec![3]], &outcome("b"));
        assert_eq!(tests_of(folder.path(), &model).recall(2, &[vec![3]]), Some(outcome("a")));
        assert_eq!((tests.recall(1, &[vec![3]]), tests.recall(1, &[vec![4]])), (Some(outcome("b")), None));
        let copy = folder.path().join("copy.onnx");
        fs::copy(&model, &copy).unwrap();
        assert_eq!(tests_of(folder.path(), &copy).file, tests.file);
        fs::write(&model, "other").unwrap();
        assert_eq!(tests_of(folder.path(), &model).recall(2, &[vec![3]]), None);
    }

    #[test]
    fn a_folder_is_known_by_all_of_its_files_and_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        fs::create_dir_all(model.join("variables")).unwrap();
        fs::write(model.join("saved_model.pb"), "graph").unwrap();
        let without = digest(&model, "tract", None, None).unwrap();
        fs::write(model.join("variables/data"), "weights").unwrap();
        let with = digest(&model, "tract", None, None).unwrap();
        fs::rename(model.join("variables/data"), model.join("data")).unwrap();
        let moved = digest(&model, "tract", None, None).unwrap();
        assert!(without != with && with != moved && moved != digest(&model, "other", None, None).unwrap());
        assert!(moved != digest(&model, "tract", Some("encode"), None).unwrap());
    }

    #[test]
    fn what_is_damaged_is_as_good_as_not_there() {
        let (folder, model) = project();
        let tests = tests_of(folder.path(), &model);
        tests.keep(1, &[], &outcome("a"));
        for content in [&b"["[..], b"", b"\xff", b"[1]", b"{}"] {
            fs::write(&tests.file, content).unwrap();
            assert_eq!(tests.recall(1, &[]), None);
        }
        tests.keep(1, &[], &outcome("b"));
        assert_eq!(tests.recall(1, &[]), Some(outcome("b")));
    }

    #[test]
    fn a_folder_that_cannot_be_written_keeps_nothing() {
        let (folder, model) = project();
        fs::write(folder.path().join("modelwatch"), "a file in the way").unwrap();
        let tests = tests_of(folder.path(), &model);
        tests.keep(1, &[], &outcome("a"));
        assert_eq!(tests.recall(1, &[]), None);
    }

    #[cfg(unix)]
    #[test]
    fn what_everyone_may_write_is_neither_read_nor_written() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, model) = project();
        let tests = tests_of(folder.path(), &model);
        tests.keep(1, &[], &outcome("a"));
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let kept = tests.file.parent().unwrap();
        assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        set(&tests.file, 0o666);
        assert_eq!(tests.recall(1, &[]), None);
        set(&tests.file, 0o600);
        set(kept, 0o777);
        assert_eq!(tests.recall(1, &[]), None);
        tests.keep(2, &[], &outcome("b"));
        set(kept, 0o700);
        assert_eq!((tests.recall(1, &[]), tests.recall(2, &[])), (Some(outcome("a")), None));
    }

    #[test]
    fn there_is_a_limit_to_what_is_kept() {
        let (folder, model) = project();
        let tests = tests_of(folder.path(), &model);
        (0..=MAX_SHAPES).for_each(|rows| tests.keep(rows, &[], &outcome("a")));
        assert_eq!((tests.recall(0, &[]), tests.recall(MAX_SHAPES, &[])), (None, Some(outcome("a"))));
        let kept = tests.file.parent().unwrap();
        (1..=MAX_MODELS).for_each(|idx| fs::write(kept.join(format!("{idx}.json")), "").unwrap());
        fs::write(&model, "other").unwrap();
        tests_of(folder.path(), &model).keep(1, &[], &outcome("a"));
        assert_eq!(fs::read_dir(kept).unwrap().count(), MAX_MODELS);
    }
}
