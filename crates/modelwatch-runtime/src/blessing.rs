//! What a verdict is about: made when a run decides, and held against a checkpoint before a ref moves to it.
//!
//! The store's log is a chain of digests already, so that nobody changes a verdict in it unseen. A blessing says what the
//! verdict was on: which bytes, judged on which data, by which plugins, with which requirements.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
    time::SystemTime,
};

use modelwatch_config::Document;
use modelwatch_sdk::{
    report::Check,
    store::{BlessedCheck, Blessing, CheckpointId, DataSeal, FileEntry, short},
};
use serde_json::{Map, Value, json};

use crate::{
    checkpoint,
    record::{Of, RunRecord},
};

/// The most files of one role, and of a model, that are listed; the digest is of all of them.
const LISTED_FILES: usize = 64;
/// The most checks that are listed, worst first. An entry of a log has to stay small.
const LISTED_CHECKS: usize = 256;

/// What of a pipeline says how a checkpoint is judged. Where it comes from, where it goes and what is told to whom does not, so
/// that a pipeline is the same one for each checkpoint that it is given with `--set`. Which signature of its model is judged does.
const JUDGING: [&str; 5] = ["baseline", "data", "verify", "analyze", "fail_on"];

/// Returns the digest of what a pipeline, with its overrides, says about judging.
///
/// ```
/// use modelwatch_runtime::blessing::config_digest;
///
/// let digest = |text: &str| config_digest(&modelwatch_config::parse("p.toml".as_ref(), text, &[]).document);
/// let strict = "name = 'a'\n[[verify]]\nuses = 'metrics'\nrequire = { accuracy = '>= 0.9' }";
/// // Names and reports do not matter, requirements do.
/// assert_eq!(digest(strict), digest(&format!("{strict}\n[report]\nhtml = 'x.html'")));
/// assert_ne!(digest(strict), digest(&strict.replace("0.9", "0.8")));
/// // The checkpoint does not, but for which signature of its model is run.
/// let of = |signature: &str| digest(&format!("{strict}\n[checkpoint]\nimport = 'm'\nname = 'm'\n{signature}"));
/// assert_eq!(digest(strict), of(""));
/// assert_ne!(of(""), of("signature = 'serve'"));
/// assert_ne!(of("signature = 'embed'"), of("signature = 'serve'"));
/// ```
pub fn config_digest(document: &Document) -> String {
    let value = document.value();
    let written = value.as_object();
    let of = |it: &&str| Some(((*it).to_owned(), written?.get(*it)?.clone()));
    let mut judging: Map<_, _> = JUDGING.iter().filter_map(of).collect();
    if let Some(signature) = value.pointer("/checkpoint/signature") {
        judging.insert("checkpoint".to_owned(), json!({ "signature": signature }));
    }
    let mut judging = Value::Object(judging);
    // Tables in the order of their keys, however they were written and whatever serde_json keeps.
    judging.sort_all_objects();
    hex(&judging.to_string())
}

/// Returns why a blessing does not hold for a checkpoint, if it does not.
pub fn problem(blessing: &Blessing, id: &CheckpointId) -> Option<String> {
    if blessing.digest != digest_of(blessing) {
        return Some(format!("the blessing of its verdict is not what its digest {} says", short(&blessing.digest)));
    }
    (blessing.checkpoint != *id)
        .then(|| format!("the blessing of its verdict is of {}, not of {}", blessing.checkpoint.short(), id.short()))
}

/// Files of data, with what tells whether they were changed since.
pub(crate) struct SealedData {
    pub(crate) seal: DataSeal,
    stamps: Vec<(PathBuf, Stamp)>,
}

/// What changes with a file.
#[derive(PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl SealedData {
    /// Reads the files.
    pub(crate) fn read(files: &[PathBuf]) -> io::Result<Self> {
        let mut stamps = Vec::with_capacity(files.len());
        let mut entries = Vec::with_capacity(files.len());
        for path in files {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let file = File::open(path)?;
            stamps.push((path.clone(), Stamp::of(&file.metadata()?)));
            entries.push(entry(&name, file)?);
        }
        let digest = digest_of_files(&entries);
        let (n_files, size) = (entries.len() as u64, entries.iter().map(|it| it.size).sum());
        entries.truncate(LISTED_FILES);
        Ok(Self { seal: DataSeal { digest, files: entries, n_files, size }, stamps })
    }

    /// Returns the seal of files in a store, which do not change.
    pub(crate) fn of_stored(files: &[FileEntry]) -> Self {
        let (digest, n_files, size) =
            (digest_of_files(files), files.len() as u64, files.iter().map(|it| it.size).sum());
        let files = files.iter().take(LISTED_FILES).cloned().collect();
        Self { seal: DataSeal { digest, files, n_files, size }, stamps: Vec::new() }
    }

    /// Returns the first file that is not what it was when it was read.
    pub(crate) fn changed(&self) -> Option<&Path> {
        let is_same = |(path, stamp): &(PathBuf, Stamp)| fs::metadata(path).is_ok_and(|it| Stamp::of(&it) == *stamp);
        self.stamps.iter().find(|it| !is_same(it)).map(|it| it.0.as_path())
    }
}

/// Returns the digest of the files of a checkpoint that is a plain file or folder.
///
/// # Errors
/// When one of them cannot be read, and when `is_cancelled`, which is asked again and again.
pub(crate) fn digest_of_path(path: &Path, is_cancelled: &dyn Fn() -> bool) -> io::Result<String> {
    let files = checkpoint::files(path).map_err(io::Error::other)?;
    let open = |path: &Path| Ok::<_, io::Error>(Cancellable { file: File::open(path)?, is_cancelled });
    let entries: io::Result<Vec<_>> = files.iter().map(|(name, path)| entry(name, open(path)?)).collect();
    Ok(digest_of_files(&entries?))
}

/// Returns the files of a checkpoint that a model in it is made of.
pub(crate) fn model_files(files: &[FileEntry], model: &str) -> Vec<FileEntry> {
    let is_of_model = |it: &&FileEntry| {
        let rest = it.name.strip_prefix(model);
        rest.is_some_and(|it| it.is_empty() || it.starts_with('/')) || model.is_empty()
    };
    files.iter().filter(is_of_model).take(LISTED_FILES).cloned().collect()
}

/// Returns the blessing with the checks of a run and its digest.
pub(crate) fn sealed(blessing: Blessing, run: &RunRecord) -> Blessing {
    let mut checks: Vec<&Of<Check>> = run.checks.iter().collect();
    // Stable, so that checks of one status stay in the pipeline's order.
    checks.sort_by_key(|it| std::cmp::Reverse(it.it.status));
    let listed = checks.iter().take(LISTED_CHECKS).map(|it| blessed(it));
    let mut res = Blessing { checks: listed.collect(), n_checks: run.checks.len() as u64, ..blessing };
    res.digest = digest_of(&res);
    res
}

fn blessed(Of { probe, it }: &Of<Check>) -> BlessedCheck {
    BlessedCheck {
        probe: probe.clone(),
        metric: it.metric.clone(),
        labels: it.labels.clone(),
        requirement: it.requirement.clone(),
        observed: it.observed,
        n: it.n,
        status: it.status,
    }
}

/// The digest of all of it but the digest itself. Keys are in the order of the structure, so that the bytes are its own.
fn digest_of(blessing: &Blessing) -> String {
    let rest = Blessing { digest: String::new(), ..blessing.clone() };
    hex(&serde_json::to_string(&rest).unwrap_or_default())
}

/// A file that is read until somebody wants no more.
struct Cancellable<'a> {
    file: File,
    is_cancelled: &'a dyn Fn() -> bool,
}

impl Read for Cancellable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.is_cancelled)() { Err(checkpoint::interrupted()) } else { self.file.read(buffer) }
    }
}

/// Returns the entry of a file with that content.
pub(crate) fn entry(name: &str, file: impl Read) -> io::Result<FileEntry> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(FileEntry { name: name.to_owned(), size: hasher.count(), digest: hasher.finalize().to_hex().to_string() })
}

/// Each file is one line, in which a name cannot end early: it comes last, and its length before it.
fn digest_of_files(files: &[FileEntry]) -> String {
    let line = |it: &FileEntry| format!("{} {} {} {}\n", it.digest, it.size, it.name.len(), it.name);
    hex(&files.iter().map(line).collect::<String>())
}

fn hex(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
pub(crate) mod testing {
    use std::collections::BTreeMap;

    use modelwatch_sdk::{report::Status, store::PluginSeal};

    use super::*;

    /// Returns a blessing of the checkpoint whose id has that digit alone.
    pub(crate) fn blessing(digit: char, config: &str) -> Blessing {
        let check = BlessedCheck {
            probe: "metrics".to_owned(),
            metric: "accuracy".to_owned(),
            labels: BTreeMap::new(),
            requirement: ">= 0.9".to_owned(),
            observed: Some(0.1 + 0.2),
            n: 10,
            status: Status::Pass,
        };
        let undefined = BlessedCheck { observed: Some(f64::NAN), ..check.clone() };
        let seal = PluginSeal { plugin: "verify-metrics 0.1.0".to_owned(), digest: None };
        let mut res = Blessing {
            digest: String::new(),
            program: "modelwatch".to_owned(),
            checkpoint: CheckpointId::parse(&digit.to_string().repeat(64)).unwrap(),
            model: Vec::new(),
            baseline: None,
            data: BTreeMap::new(),
            profile: None,
            plugins: BTreeMap::from([("verifier/metrics".to_owned(), seal)]),
            config: config.to_owned(),
            checks: vec![check, undefined],
            n_checks: 2,
        };
        res.digest = digest_of(&res);
        res
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::blessing, *};

    #[test]
    fn a_blessing_survives_being_written() {
        let it = blessing('a', "theirs");
        let text = serde_json::to_string(&it).unwrap();
        let read: Blessing = serde_json::from_str(&text).unwrap();
        assert_eq!(problem(&read, &it.checkpoint), None);
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        let it = blessing('a', "theirs");
        let text = serde_json::to_string(&it).unwrap();
        for (from, to) in [
            (">= 0.9", ">= 0.1"),
            ("\"n\":10", "\"n\":11"),
            ("0.30000000000000004", "0.3"),
            ("0.1.0", "0.1.1"),
            ("\"theirs\"", "\"others\""),
            (it.checkpoint.as_str(), &"b".repeat(64)),
            ("\"n_checks\":2", "\"n_checks\":3"),
        ] {
            assert!(text.contains(from), "{from}");
            let changed: Blessing = serde_json::from_str(&text.replacen(from, to, 1)).unwrap();
            let why = problem(&changed, &it.checkpoint).unwrap();
            assert!(why.contains("not what its digest"), "{why}");
        }
        let other = CheckpointId::parse(&"c".repeat(64)).unwrap();
        assert!(problem(&it, &other).unwrap().contains("is of aaaaaaaaaaaa, not of cccccccccccc"));
    }

    #[test]
    fn data_that_changes_under_the_run_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a.csv", "b.csv"].map(|it| dir.path().join(it));
        fs::write(&paths[0], "x\n1\n").unwrap();
        fs::write(&paths[1], "x\n2\n").unwrap();
        let sealed = SealedData::read(&paths).unwrap();
        assert_eq!((sealed.seal.n_files, sealed.seal.size, sealed.changed()), (2, 8, None));
        // The digest is of what is in the files, not of where they are.
        let other = tempfile::tempdir().unwrap();
        let copies = ["a.csv", "b.csv"].map(|it| other.path().join(it));
        for (from, to) in paths.iter().zip(&copies) {
            fs::copy(from, to).unwrap();
        }
        assert_eq!(SealedData::read(&copies).unwrap().seal, sealed.seal);
        fs::write(&paths[1], "x\n2\n3\n").unwrap();
        assert_eq!(sealed.changed(), Some(paths[1].as_path()));
        assert_ne!(SealedData::read(&paths).unwrap().seal.digest, sealed.seal.digest);
    }

    #[test]
    fn a_model_is_its_file_or_its_folder() {
        let entry = |name: &str| FileEntry { name: name.to_owned(), size: 1, digest: hex(name) };
        let files = ["model.onnx", "model.onnx.data", "saved/a", "saved/b/c"].map(entry);
        let names = |model| model_files(&files, model).into_iter().map(|it| it.name).collect::<Vec<_>>();
        assert_eq!(names("model.onnx"), ["model.onnx"]);
        assert_eq!(names("saved"), ["saved/a", "saved/b/c"]);
        assert_eq!(names("").len(), 4);
    }
}
