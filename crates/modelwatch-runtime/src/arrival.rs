//! What a file or folder that is to be imported says of itself, held against what it is.
//!
//! Everything here happens before a store is asked for anything.

use std::{
    fs,
    path::{Path, PathBuf},
};

use modelwatch_sdk::Host;
use modelwatch_tensors::{
    Format, HANDOFF_FILE, Handoff, Lost, Pickled, TensorError, TensorFile, TensorRef, TensorSource, WriteError,
    find_model, find_weights, is_tensor_file, pickled,
};
use serde_json::{Map, Number, Value};

use crate::{
    checkpoint::{CheckpointError, files},
    seen::Seen,
};

/// What a training loop is told about its hand-off, which is no part of it.
pub(crate) const VERDICT_FILE: &str = "verdict.json";

/// What a pickle is told with.
const UNLESS: &str = "never load it with Python unless you trust it";

/// More metrics, or longer names, are not taken over.
const MAX_METRICS: usize = 1_000;
const MAX_NAME: usize = 256;
/// A longer text says no seed.
const MAX_SEED: usize = 4_096;

/// Returns whether the folder was published with a hand-off manifest.
pub fn is_handoff(path: &Path) -> bool {
    path.is_dir() && fs::symlink_metadata(path.join(HANDOFF_FILE)).is_ok()
}

/// What is known of a file or folder that is to be imported.
#[derive(Debug, Default)]
pub struct Arrival {
    /// What is kept as metadata of the checkpoint: of a hand-off its step, time, framework and metrics, and from any
    /// file the step, epoch, metrics and seeds that it says of itself. A plain file has none.
    pub metadata: Map<String, Value>,
    /// Why nobody looked into it, if nobody did: it is kept byte for byte all the same.
    pub opaque: Option<TensorError>,
    /// The tensors that are of a type that is not read, with their files and the types; and files beside the weights that
    /// were not read.
    pub unread: Vec<String>,
    /// What in it runs where others load it, one sentence for each file.
    pub code: Vec<String>,
    /// What its files were before they were read.
    pub(crate) seen: Seen,
}

impl Arrival {
    /// Refuses what is no hand-off and has neither a model nor tensors: there is nothing that could be judged.
    pub(crate) fn refuse_unknown(self, path: &Path) -> Result<Self, CheckpointError> {
        match self.opaque {
            Some(e @ (TensorError::UnknownFormat { .. } | TensorError::NotFound { .. })) if !is_handoff(path) => {
                Err(CheckpointError::Refused(e))
            }
            _ => Ok(self),
        }
    }
}

/// Looks at a file or folder, and at every tensor in it: in a folder at those of all files of a known format.
///
/// # Errors
/// When the files of a hand-off are not what its manifest lists: with all problems at once. And when one is of a known
/// format and damaged, past a limit, or asks for what is not read: what its own reader refuses is no checkpoint, and
/// that is better said now than when it is needed. And when the path is one of several files that make the checkpoint.
pub fn examine(path: &Path, host: &dyn Host) -> Result<Arrival, CheckpointError> {
    // Before anything is read, so that a change since is seen.
    let seen = Seen::of(path);
    let handoff = if is_handoff(path) { Some(handoff(path)?) } else { None };
    let mut res = Arrival { seen: seen?, ..Arrival::default() };
    if let Some(it) = handoff {
        res.metadata = metadata_of(&it);
        res.seen.expect(HANDOFF_FILE, &it.sha256);
        it.files.iter().for_each(|file| res.seen.expect(&file.path, &file.sha256));
    }
    let (first, mut left) = match TensorFile::open(path) {
        Ok(it) => (Some(it), None),
        Err(e) if is_opaque(&e) => (None, Some(e)),
        Err(e) => return Err(refused(e)),
    };
    let mut read = Vec::new();
    if let Some(file) = &first {
        res.take(file, host)?;
        refuse_parted(path, file)?;
        read.push(file.path().to_owned());
        read.extend(shards(file));
    }
    // Where several may be the weights, each is looked at as they are.
    let weights: Vec<PathBuf> = match &left {
        Some(TensorError::Ambiguous { path, candidates, .. }) => candidates.iter().map(|it| path.join(it)).collect(),
        _ => Vec::new(),
    };
    for file in others(path)? {
        if !read.contains(&file) {
            match TensorFile::open(&file) {
                Ok(it) => res.take(&it, host)?,
                Err(e) if is_opaque(&e) => continue,
                Err(e) => match as_it_is(path, &file, &e).filter(|_| !weights.contains(&file)) {
                    Some(note) => {
                        let notes =
                            if matches!(e, TensorError::Class { .. }) { &mut res.code } else { &mut res.unread };
                        notes.push(note);
                    }
                    None => return Err(refused(e)),
                },
            }
            read.push(file);
        }
    }
    for (name, file) in files(path)?.into_iter().filter(|it| !read.contains(&it.1)) {
        res.code.extend(pickled(&file).map(|it| of_pickle(&name, &it)));
    }
    // Which of them has the weights nobody knows, and what is in them was looked at all the same.
    if let Some(TensorError::Ambiguous { path, candidates, .. }) = &left
        && candidates.iter().all(|it| read.contains(&path.join(it)))
    {
        left = None;
    }
    res.opaque = left;
    Ok(res)
}

impl Arrival {
    /// Reads the tensors of a file, and takes over what it says of itself.
    fn take(&mut self, file: &TensorFile, host: &dyn Host) -> Result<(), CheckpointError> {
        // Some formats have checksums, and some bombs explode, only where values are read.
        for idx in 0..file.len() {
            if host.is_cancelled() {
                return Err(host.cancelled().into());
            }
            file.verify(idx).map_err(refused)?;
        }
        file.check().map_err(refused)?;
        for (key, value) in of_file(file.metadata()) {
            self.metadata.entry(key).or_insert(value);
        }
        let name = file.path().file_name().unwrap_or_default().to_string_lossy();
        if !file.code().is_empty() {
            let by = if matches!(file.format(), Format::KerasZip | Format::Hdf5) { "Keras" } else { "TensorFlow" };
            let what = file.code().join(", ");
            self.code
                .push(format!("`{name}` would execute code when loaded with {by}: {what}; nothing of it was executed"));
        }
        let unread = file.skipped().iter().filter(|it| it.lost != Lost::Nothing);
        self.unread.extend(unread.map(|it| format!("`{}` of `{name}` {}", it.name.escape_debug(), it.reason)));
        Ok(())
    }
}

fn refused(error: TensorError) -> CheckpointError {
    match error {
        TensorError::Io { path, source } => CheckpointError::Io { path, source },
        TensorError::Cut { path } => CheckpointError::Changed { path },
        e => CheckpointError::Refused(e),
    }
}

/// Returns what is told of a file beside the weights that is stored although its reader refuses it; none where it is no such file.
fn as_it_is(path: &Path, file: &Path, error: &TensorError) -> Option<String> {
    let name = file.strip_prefix(path).unwrap_or(file).display();
    match error {
        TensorError::Class { name: class, .. } => Some(format!(
            "`{name}` is stored as it is, and was not read: it pickles `{class}`, which is code; {UNLESS}"
        )),
        TensorError::Unsupported { format: Format::Pickle, .. }
            if pickled(file).is_some_and(|it| it.wants.is_none()) =>
        {
            Some(format!("`{name}` is stored as it is, and was not read: {error}"))
        }
        TensorError::Corrupt {
            format: Format::Npy | Format::ShardedSafetensors | Format::ShardedPyTorch,
            place,
            problem,
            ..
        } => Some(format!("`{name}` is stored as it is, and was not read: {place} {problem}")),
        _ => None,
    }
}

/// Returns what is told of a pickle that is stored without a look at what it says.
fn of_pickle(name: &str, found: &Pickled) -> String {
    let name = name.escape_debug();
    let wants = found.wants.as_ref().map_or_else(String::new, |it| format!(": it wants `{it}`, which is code"));
    format!("`{name}` is a pickle, is stored as it is, and was not read{wants}; {UNLESS}")
}

/// Returns the files of a folder that are read although the weights may be in another one.
fn others(path: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    Ok(files(path)?.into_iter().map(|it| it.1).filter(|it| is_tensor_file(it)).collect())
}

fn shards(file: &TensorFile) -> impl Iterator<Item = PathBuf> {
    file.shards().iter().map(|it| file.path().with_file_name(it))
}

/// Refuses a file that has tensors in others, without which it is no checkpoint.
pub(crate) fn refuse_parted(path: &Path, file: &TensorFile) -> Result<(), CheckpointError> {
    let Some(sibling) = file.sibling().filter(|_| path.is_file()) else { return Ok(()) };
    // Of a SavedModel another file was read than was named.
    let sibling = file.path().with_file_name(sibling);
    let folder = path.parent().unwrap_or(path);
    let sibling = sibling.strip_prefix(folder).unwrap_or(&sibling).to_owned();
    Err(CheckpointError::Parted { path: path.to_owned(), sibling })
}

/// Returns whether nobody refused anything: there is no reader for what is there, or nothing says which file it is for.
fn is_opaque(error: &TensorError) -> bool {
    match error {
        TensorError::UnknownFormat { .. } | TensorError::NotFound { .. } | TensorError::Ambiguous { .. } => true,
        TensorError::Unsupported { format, .. } => *format == Format::Nnef,
        _ => false,
    }
}

/// Checks that every number of every float tensor is finite: in the weights, in the model beside them, and in all other
/// files of a folder that are read, but for arrays, which are rather examples of data.
///
/// # Errors
/// When one is not, or what may hold such numbers cannot be read, so that nobody knows.
pub fn refuse_nonfinite(path: &Path, model: Option<&str>) -> Result<(), CheckpointError> {
    let unknown = |e: TensorError| match e {
        e @ TensorError::Cut { .. } => refused(e),
        e => CheckpointError::NotExamined { path: path.to_owned(), reason: e.to_string() },
    };
    let mut all = match find_weights(path) {
        Ok(it) => vec![it],
        Err(TensorError::Ambiguous { path, candidates, .. }) => candidates.iter().map(|it| path.join(it)).collect(),
        Err(e) => return Err(unknown(e)),
    };
    all.extend(find_model(path, model).ok());
    all.extend(others(path)?.into_iter().filter(|it| it.extension().is_none_or(|it| it != "npy")));
    let mut read = Vec::new();
    for file in all {
        if read.contains(&file) {
            continue;
        }
        let opened = TensorFile::open(&file).map_err(unknown)?;
        if !read.iter().any(|it| it == opened.path()) {
            refuse_nonfinite_in(path, &opened, &unknown)?;
        }
        read.extend(shards(&opened));
        read.extend([file, opened.path().to_owned()]);
    }
    Ok(())
}

fn refuse_nonfinite_in(
    path: &Path,
    file: &TensorFile,
    unknown: &dyn Fn(TensorError) -> CheckpointError,
) -> Result<(), CheckpointError> {
    if let Some(it) = file.skipped().iter().find(|it| it.lost == Lost::Numbers) {
        let (name, file) = (it.name.escape_debug(), file.path().display());
        let reason = format!("tensor `{name}` of `{file}` {}", it.reason);
        return Err(CheckpointError::NotExamined { path: path.to_owned(), reason });
    }
    for (idx, info) in file.infos().iter().enumerate() {
        // Those without parts that are not finite are read all the same, since they may be damaged.
        let (mut found, mut n_before) = (None, 0);
        let mut look = |piece: &[u8]| {
            if info.dtype.is_float() && found.is_none() {
                let mut values = TensorRef { info, bytes: piece }.to_f64_iter().enumerate();
                found = values.find(|it| !it.1.is_finite()).map(|(at, it)| (n_before + at, it));
            }
            n_before += piece.len() / info.dtype.size();
            Ok::<_, WriteError>(())
        };
        match file.each_piece(idx, &mut look) {
            Err(WriteError::Read(e)) => return Err(unknown(e)),
            Err(e) => {
                let reason = e.to_string();
                return Err(CheckpointError::NotExamined { path: path.to_owned(), reason });
            }
            Ok(()) => {}
        }
        if let Some((index, value)) = found {
            let tensor = info.name.clone();
            return Err(CheckpointError::NotFinite { path: file.path().to_owned(), tensor, index, value });
        }
    }
    file.check().map_err(unknown)
}

/// Returns the manifest of a hand-off whose files are what it lists.
fn handoff(path: &Path) -> Result<Handoff, CheckpointError> {
    let refused = |problems: Vec<String>| CheckpointError::Handoff { path: path.to_owned(), problems };
    let manifest = Handoff::open(path).map_err(|e| refused(vec![e.to_string()]))?;
    let problems = manifest.verify(path);
    if problems.is_empty() { Ok(manifest) } else { Err(refused(problems.iter().map(ToString::to_string).collect())) }
}

fn metadata_of(manifest: &Handoff) -> Map<String, Value> {
    let mut res = Map::new();
    res.insert("step".to_owned(), manifest.step.into());
    if let Some(it) = manifest.epoch {
        res.insert("epoch".to_owned(), it.into());
    }
    res.insert("time".to_owned(), number(manifest.time));
    if !manifest.framework.is_empty() && manifest.framework.len() <= MAX_NAME {
        res.insert("framework".to_owned(), manifest.framework.as_str().into());
    }
    insert_metrics(&mut res, manifest.metrics.iter().map(|(name, value)| (name.clone(), number(*value))));
    insert_seeds(&mut res, manifest.seeds.as_ref());
    res
}

fn of_file(said: &Map<String, Value>) -> Map<String, Value> {
    let mut res = Map::new();
    if let Some(step) = ["step", "global_step"].iter().find_map(|it| natural(said.get(*it)?)) {
        res.insert("step".to_owned(), step.into());
    }
    if let Some(epoch) = said.get("epoch").and_then(natural) {
        res.insert("epoch".to_owned(), epoch.into());
    }
    let metrics = said.get("metrics").and_then(|it| match it {
        Value::Object(it) => Some(it.clone()),
        // Metadata of safetensors is text alone.
        Value::String(it) => serde_json::from_str::<Map<String, Value>>(it).ok(),
        _ => None,
    });
    insert_metrics(&mut res, metrics.into_iter().flatten().filter(|(_, it)| it.is_number()));
    insert_seeds(&mut res, ["seeds", "seed", "rng_seed"].iter().find_map(|it| said.get(*it)));
    res
}

fn insert_seeds(res: &mut Map<String, Value>, seeds: Option<&Value>) {
    if let Some(it) = seeds.filter(|it| it.to_string().len() <= MAX_SEED) {
        res.insert("seeds".to_owned(), it.clone());
    }
}

fn insert_metrics(res: &mut Map<String, Value>, metrics: impl Iterator<Item = (String, Value)>) {
    let metrics: Map<_, _> = metrics.filter(|(name, _)| name.len() <= MAX_NAME).take(MAX_METRICS).collect();
    if !metrics.is_empty() {
        res.insert("metrics".to_owned(), metrics.into());
    }
}

fn natural(value: &Value) -> Option<u64> {
    match value {
        Value::String(it) => it.parse().ok(),
        it => it.as_u64(),
    }
}

/// JSON has no word for what is not finite.
fn number(value: f64) -> Value {
    Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    /// SHA-256 of `abc`, from FIPS 180-4.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn publish(dir: &Path) {
        fs::write(dir.join("weights.bin"), "abc").unwrap();
        let text = format!(
            r#"{{"version": 1, "step": 7, "time": 2.5, "framework": "keras 3", "metrics": {{"loss": NaN, "accuracy": 0.5}},
                "files": [{{"path": "weights.bin", "bytes": 3, "sha256": "{ABC}"}}]}}"#
        );
        fs::write(dir.join(HANDOFF_FILE), text).unwrap();
    }

    #[test]
    fn a_hand_off_says_where_it_is_from() {
        let dir = tempfile::tempdir().unwrap();
        publish(dir.path());
        let expected = json!({
            "step": 7, "time": 2.5, "framework": "keras 3", "metrics": { "accuracy": 0.5, "loss": "NaN" },
        });
        assert_eq!(Value::Object(examine(dir.path(), &()).unwrap().metadata), expected);
    }

    #[test]
    fn all_problems_of_a_hand_off_are_listed_at_once() {
        let dir = tempfile::tempdir().unwrap();
        publish(dir.path());
        fs::write(dir.path().join("weights.bin"), "abd").unwrap();
        fs::write(dir.path().join("more.bin"), "").unwrap();
        let error = examine(dir.path(), &()).unwrap_err().to_string();
        assert!(error.contains("more.bin") && error.contains("has SHA-256"), "{error}");
        fs::write(dir.path().join(HANDOFF_FILE), "{").unwrap();
        assert!(examine(dir.path(), &()).is_err());
    }

    /// Cuts a file off as soon as it is asked whether to go on.
    struct Cutting(std::path::PathBuf);

    impl Host for Cutting {
        fn is_cancelled(&self) -> bool {
            fs::File::options().write(true).open(&self.0).unwrap().set_len(200).unwrap();
            false
        }
    }

    /// The checksums of an archive are computed while it is examined, from what is mapped.
    #[test]
    fn a_file_that_is_cut_off_while_it_is_examined_is_one_that_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.npz");
        let mut archive = modelwatch_tensors::NpzWriter::new(fs::File::create(&path).unwrap());
        let values = vec![1; 1 << 20];
        for it in ["a", "b"] {
            archive.array(it, "<f4", &[1 << 18], 1 << 20, |to| to.write_all(&values)).unwrap();
        }
        archive.finish().unwrap();
        examine(dir.path(), &()).unwrap();
        let e = examine(dir.path(), &Cutting(path.clone())).unwrap_err();
        let starts = format!("`{}` changed while it was read, so that nothing was stored", path.display());
        assert!(e.to_string().starts_with(&starts), "{e}");
    }

    #[test]
    fn a_file_says_what_it_knows_of_itself_and_no_more() {
        let said = json!({
            "step": "1200", "epoch": 3, "seed": 42, "framework": "pytorch", "note": "x",
            "metrics": "{\"loss\": 0.5, \"name\": \"best\"}",
        });
        let said = said.as_object().unwrap();
        let expected = json!({ "step": 1200, "epoch": 3, "seeds": 42, "metrics": { "loss": 0.5 } });
        assert_eq!(Value::Object(of_file(said)), expected);
        for hostile in [
            json!({ "step": -1, "epoch": "x", "metrics": [1], "seed": "x".repeat(MAX_SEED) }),
            json!({ "metrics": { "x".repeat(MAX_NAME + 1): 1.0 } }),
        ] {
            assert_eq!(of_file(hostile.as_object().unwrap()), Map::new());
        }
    }
}
