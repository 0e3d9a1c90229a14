//! The hand-off manifest: what a training loop says of the folder that it publishes.
//!
//! A producer writes its files into a hidden folder, `checkpoint.json` last, and renames the folder into place.
//! The manifest lists every file with its size and SHA-256, so that a copy that lost or changed one is found
//! before anything in it is read. Obeying a verdict is deliberately not here.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The name of the manifest in its folder.
pub const HANDOFF_FILE: &str = "checkpoint.json";
/// What is written into the folder afterwards, for the training loop.
const VERDICT_FILE: &str = "verdict.json";
const VERSION: u64 = 1;
const MAX_MANIFEST: u64 = 16 << 20;
const MAX_FILES: usize = 100_000;
const MAX_DEPTH: usize = 64;
const BUFFER: usize = 1 << 20;

/// A hand-off manifest, well-formed, but not yet held against the files.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Handoff {
    /// The step or epoch of the training.
    pub step: u64,
    /// The epoch, if it says one beside the step.
    pub epoch: Option<u64>,
    /// The seeds of random numbers, as the producer has them.
    pub seeds: Option<Value>,
    /// When it was written, in seconds since 1970, by the producer's clock.
    pub time: f64,
    /// The framework and its version, such as `keras 3.15.1`.
    pub framework: String,
    /// What the training measured; a loss may be NaN.
    pub metrics: BTreeMap<String, f64>,
    /// The files, sorted by path.
    pub files: Vec<HandoffFile>,
    /// The SHA-256 of the manifest itself, as it was read.
    pub sha256: String,
}

/// A file of a hand-off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandoffFile {
    /// The path inside the folder, with slashes and without `..`.
    pub path: String,
    /// The size.
    pub bytes: u64,
    /// The SHA-256 of the content, as 64 lower-case digits.
    pub sha256: String,
}

/// The SHA-256 of what is read piece by piece, as manifests have it.
#[derive(Clone, Debug, Default)]
pub struct FileDigest(Sha256);

/// What is wrong with a hand-off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandoffError {
    /// The operating system refused.
    #[error("cannot read `{}`: {source}; check its path and who may read it", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest is not what it should be.
    #[error("cannot read the manifest `{}`: {problem}; write it again with the hand-off callback", path.display())]
    Malformed {
        /// The manifest.
        path: PathBuf,
        /// What is wrong in it.
        problem: String,
    },
    /// A file that is listed is not there, or is no regular file.
    #[error("cannot find `{file}`, which `{HANDOFF_FILE}` in `{}` lists; publish the folder again", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The file.
        file: String,
    },
    /// A file has another size.
    #[error(
        "`{file}` in `{}` has {found} bytes where `{HANDOFF_FILE}` says {expected}; publish the folder again",
        folder.display()
    )]
    Size {
        /// The folder.
        folder: PathBuf,
        /// The file.
        file: String,
        /// The size in the manifest.
        expected: u64,
        /// The size on disk.
        found: u64,
    },
    /// A file has other content.
    #[error(
        "`{file}` in `{}` has SHA-256 {found} where `{HANDOFF_FILE}` says {expected}; publish the folder again",
        folder.display()
    )]
    Digest {
        /// The folder.
        folder: PathBuf,
        /// The file.
        file: String,
        /// The digest in the manifest.
        expected: String,
        /// The digest of what is on disk.
        found: String,
    },
    /// A file is there that the manifest does not list.
    #[error("`{file}` in `{}` is not listed in `{HANDOFF_FILE}`; remove it or publish the folder again", folder.display())]
    Unlisted {
        /// The folder.
        folder: PathBuf,
        /// The file.
        file: String,
    },
}

impl FileDigest {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest as 64 lower-case digits.
    pub fn finish(self) -> String {
        self.0.finalize().iter().map(|it| format!("{it:02x}")).collect()
    }
}

impl Handoff {
    /// Reads the manifest in a folder.
    ///
    /// # Errors
    ///
    /// Fails if there is none, or if it breaks a rule: an unknown version, a path that leaves the folder,
    /// a file that is listed twice.
    pub fn open(folder: &Path) -> Result<Self, HandoffError> {
        let path = folder.join(HANDOFF_FILE);
        let io = |source| HandoffError::Io { path: path.clone(), source };
        let metadata = fs::symlink_metadata(&path).map_err(io)?;
        if !metadata.is_file() {
            return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
        }
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(io)?;
        file.take(MAX_MANIFEST + 1).read_to_end(&mut bytes).map_err(io)?;
        Self::parse(&bytes).map_err(|problem| HandoffError::Malformed { path, problem })
    }

    /// Returns everything that is wrong with the files in the folder, sorted by path; nothing if all is well.
    ///
    /// Every listed file must be there as a regular file, reached through no symbolic link, with its size and
    /// SHA-256, and nothing else may be there but the manifest and a `verdict.json`.
    pub fn verify(&self, folder: &Path) -> Vec<HandoffError> {
        let mut res = vec![];
        for file in &self.files {
            if let Err(error) = verify_file(folder, file) {
                res.push((file.path.clone(), error));
            }
        }
        let mut walk = Walk { folder, listed: self, n_entries: 0, found: vec![] };
        if let Err((path, source)) = walk.folder("", 0) {
            res.push((String::new(), HandoffError::Io { path, source }));
        }
        let unlisted = |file: String| {
            let error = HandoffError::Unlisted { folder: folder.to_owned(), file: file.clone() };
            (file, error)
        };
        res.extend(walk.found.into_iter().map(unlisted));
        res.sort_by(|(a, _), (b, _)| a.cmp(b));
        res.into_iter().map(|(_, error)| error).collect()
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(format!("it has more than {MAX_MANIFEST} bytes"));
        }
        let raw: RawHandoff = serde_json::from_slice(&quote_non_finite(bytes)).map_err(|error| error.to_string())?;
        let mut digest = FileDigest::default();
        digest.update(bytes);
        if raw.version != VERSION {
            return Err(format!("it has version {}, and only {VERSION} is known", raw.version));
        }
        if raw.files.len() > MAX_FILES {
            return Err(format!("it lists {} files, past the limit of {MAX_FILES}", raw.files.len()));
        }
        let mut files = raw.files.into_iter().map(RawFile::check).collect::<Result<Vec<HandoffFile>, String>>()?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(pair) = files.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(format!("it lists `{}` twice", pair[0].path));
        }
        let metrics = raw.metrics.into_iter().map(|(name, value)| {
            let value = metric(&name, &value)?;
            Ok((name, value))
        });
        Ok(Self {
            step: raw.step,
            epoch: raw.epoch.as_ref().and_then(Value::as_u64),
            seeds: [raw.seeds, raw.seed, raw.rng_seed].into_iter().flatten().next(),
            time: raw.time,
            framework: raw.framework,
            metrics: metrics.collect::<Result<_, String>>()?,
            files,
            sha256: digest.finish(),
        })
    }

    fn lists(&self, path: &str) -> bool {
        self.files.binary_search_by(|it| it.path.as_str().cmp(path)).is_ok()
    }
}

#[derive(serde::Deserialize)]
struct RawHandoff {
    version: u64,
    step: u64,
    #[serde(default)]
    time: f64,
    #[serde(default)]
    framework: String,
    #[serde(default)]
    metrics: BTreeMap<String, Value>,
    epoch: Option<Value>,
    seeds: Option<Value>,
    seed: Option<Value>,
    rng_seed: Option<Value>,
    files: Vec<RawFile>,
}

#[derive(serde::Deserialize)]
struct RawFile {
    path: String,
    bytes: u64,
    sha256: String,
}

/// Returns the value of a metric, which may be no number that JSON has.
fn metric(name: &str, value: &Value) -> Result<f64, String> {
    let number = match value {
        Value::Number(it) => it.as_f64(),
        Value::String(it) => match it.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    };
    number.ok_or_else(|| {
        let shown: String = value.to_string().chars().take(60).collect();
        format!("the metric `{}` is {shown}, not a number", name.escape_debug())
    })
}

impl RawFile {
    fn check(self) -> Result<HandoffFile, String> {
        let shown = self.path.escape_debug().to_string();
        let is_plain = |it: &str| !matches!(it, "" | "." | "..");
        if !self.path.split('/').all(is_plain) || self.path.contains(['\\', '\0', ':']) {
            return Err(format!("it lists `{shown}`, which is no plain path inside the folder"));
        }
        if self.path == HANDOFF_FILE {
            return Err("it lists itself".to_owned());
        }
        let sha256 = self.sha256.to_ascii_lowercase();
        if sha256.len() != 64 || !sha256.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Err(format!("it has no SHA-256 of 64 digits for `{shown}`"));
        }
        Ok(HandoffFile { path: self.path, bytes: self.bytes, sha256 })
    }
}

/// Python writes numbers that JSON does not have as bare words; a loss of NaN is no reason to lose the manifest.
fn quote_non_finite(bytes: &[u8]) -> Vec<u8> {
    let mut res = Vec::with_capacity(bytes.len());
    let (mut is_text, mut idx) = (false, 0);
    while let Some(&byte) = bytes.get(idx) {
        let rest = &bytes[idx..];
        let word = [&b"NaN"[..], b"-Infinity", b"Infinity"].into_iter().find(|it| !is_text && rest.starts_with(it));
        if let Some(word) = word {
            res.push(b'"');
            res.extend_from_slice(word);
            res.push(b'"');
            idx += word.len();
            continue;
        }
        if is_text && byte == b'\\' {
            res.push(byte);
            res.extend(rest.get(1));
            idx += 2;
            continue;
        }
        is_text ^= byte == b'"';
        res.push(byte);
        idx += 1;
    }
    res
}

fn verify_file(folder: &Path, file: &HandoffFile) -> Result<(), HandoffError> {
    let missing = || HandoffError::Missing { folder: folder.to_owned(), file: file.path.clone() };
    let mut path = folder.to_owned();
    for component in Path::new(&file.path).components() {
        let Component::Normal(name) = component else { return Err(missing()) };
        path.push(name);
        if fs::symlink_metadata(&path).map_or(true, |it| it.file_type().is_symlink()) {
            return Err(missing());
        }
    }
    let io = |source| HandoffError::Io { path: path.clone(), source };
    let metadata = fs::symlink_metadata(&path).map_err(io)?;
    if !metadata.is_file() {
        return Err(missing());
    }
    if metadata.len() != file.bytes {
        let (folder, file) = (folder.to_owned(), file.clone());
        return Err(HandoffError::Size { folder, file: file.path, expected: file.bytes, found: metadata.len() });
    }
    let found = sha256(&path).map_err(io)?;
    if found != file.sha256 {
        let (folder, file) = (folder.to_owned(), file.clone());
        return Err(HandoffError::Digest { folder, file: file.path, expected: file.sha256, found });
    }
    Ok(())
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = FileDigest::default();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finish()),
            n_bytes => digest.update(&buffer[..n_bytes]),
        }
    }
}

/// Looks for what is not listed; a symbolic link is never followed, and is itself unlisted.
struct Walk<'a> {
    folder: &'a Path,
    listed: &'a Handoff,
    n_entries: usize,
    found: Vec<String>,
}

impl Walk<'_> {
    fn folder(&mut self, scope: &str, depth: usize) -> Result<(), (PathBuf, io::Error)> {
        let path = self.folder.join(scope);
        let io = |source| (path.clone(), source);
        for entry in fs::read_dir(&path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = if scope.is_empty() { name } else { format!("{scope}/{name}") };
            self.n_entries += 1;
            if self.n_entries > 2 * MAX_FILES || depth > MAX_DEPTH {
                return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "too many files or folders")));
            }
            if entry.file_type().map_err(io)?.is_dir() {
                self.folder(&name, depth + 1)?;
            } else if name != HANDOFF_FILE && name != VERDICT_FILE && !self.listed.lists(&name) {
                self.found.push(name);
            }
        }
        Ok(())
    }
}
