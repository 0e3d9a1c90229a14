//! What a file or folder that is to be imported says of itself, held against what it is.
//!
//! Everything here happens before a store is asked for anything.

use std::{fs, path::Path};

use modelwatch_sdk::Host;
use modelwatch_tensors::{Format, HANDOFF_FILE, Handoff, TensorError, TensorFile, find_model, find_weights};
use serde_json::{Map, Number, Value};

use crate::checkpoint::CheckpointError;

/// What a training loop is told about its hand-off, which is no part of it.
pub(crate) const VERDICT_FILE: &str = "verdict.json";

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

/// Looks at a file or folder, and at every tensor in it.
///
/// # Errors
/// When the files of a hand-off are not what its manifest lists: with all problems at once. And when it is of a known
/// format and damaged, past a limit, or asks for what is not read: what its own reader refuses is no checkpoint, and
/// that is better said now than when it is needed. And when the path is one of several files that make the checkpoint.
pub fn examine(path: &Path, host: &dyn Host) -> Result<Arrival, CheckpointError> {
    let mut metadata = if is_handoff(path) { handoff(path)? } else { Map::new() };
    let refused = |error| match error {
        TensorError::Io { path, source } => CheckpointError::Io { path, source },
        e => CheckpointError::Refused(e),
    };
    let file = match TensorFile::open(path) {
        Ok(it) => it,
        Err(e) if is_opaque(&e) => return Ok(Arrival { metadata, opaque: Some(e) }),
        Err(e) => return Err(refused(e)),
    };
    // Some formats have checksums, and some bombs explode, only where values are read.
    for tensor in file.iter() {
        if host.is_cancelled() {
            return Err(host.cancelled().into());
        }
        tensor.map_err(refused)?;
    }
    refuse_parted(path, &file)?;
    for (key, value) in of_file(file.metadata()) {
        metadata.entry(key).or_insert(value);
    }
    Ok(Arrival { metadata, opaque: None })
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

/// Checks that every number of every float tensor is finite, in the weights and in the model beside them.
///
/// # Errors
/// When one is not, or the tensors cannot be read, so that nobody knows.
pub fn refuse_nonfinite(path: &Path, model: Option<&str>) -> Result<(), CheckpointError> {
    let unknown = |e: modelwatch_tensors::TensorError| CheckpointError::NotExamined {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    let weights = find_weights(path).map_err(unknown)?;
    let model = find_model(path, model).ok().filter(|it| *it != weights);
    for file in [Some(weights), model].into_iter().flatten() {
        let file = TensorFile::open(&file).map_err(unknown)?;
        for tensor in file.iter() {
            let tensor = tensor.map_err(unknown)?;
            if !tensor.info.dtype.is_float() {
                continue;
            }
            let found = tensor.view().to_f64_iter().enumerate().find(|(_, it)| !it.is_finite());
            if let Some((index, value)) = found {
                let tensor = tensor.info.name.clone();
                return Err(CheckpointError::NotFinite { path: file.path().to_owned(), tensor, index, value });
            }
        }
    }
    Ok(())
}

fn handoff(path: &Path) -> Result<Map<String, Value>, CheckpointError> {
    let refused = |problems: Vec<String>| CheckpointError::Handoff { path: path.to_owned(), problems };
    let manifest = Handoff::open(path).map_err(|e| refused(vec![e.to_string()]))?;
    let problems = manifest.verify(path);
    if !problems.is_empty() {
        return Err(refused(problems.iter().map(ToString::to_string).collect()));
    }
    let mut res = Map::new();
    res.insert("step".to_owned(), manifest.step.into());
    res.insert("time".to_owned(), number(manifest.time));
    if !manifest.framework.is_empty() && manifest.framework.len() <= MAX_NAME {
        res.insert("framework".to_owned(), manifest.framework.into());
    }
    let metrics = manifest.metrics.into_iter().map(|(name, value)| (name, number(value)));
    insert_metrics(&mut res, metrics);
    Ok(res)
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
    let seed = ["seeds", "seed", "rng_seed"].iter().find_map(|it| said.get(*it));
    if let Some(seed) = seed.filter(|it| it.to_string().len() <= MAX_SEED) {
        res.insert("seeds".to_owned(), seed.clone());
    }
    res
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
