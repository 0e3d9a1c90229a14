//! Tests of the store as a whole. They use small chunks and packs, and mostly a disk that skips syncs.

mod bad_sectors;
mod beginnings;
mod concurrency;
mod crash;
mod damage;
mod outages;
mod refs;
mod reserve;
mod round_trip;
mod tape;

use std::{collections::BTreeMap, env, fs, path::Path, path::PathBuf, sync::Arc, time::Duration};

use modelwatch_sdk::{
    DType, ErrorKind, Result, TensorView,
    store::{CheckpointId, CheckpointReader, CheckpointStore, ScrubDepth, VerdictRecord},
};
use modelwatch_store::{Engine, Settings};
use serde_json::{Map, Value, json};

use crate::{
    blobs::{Folder, Manners},
    disk::Watch,
    open_with,
};

const CHUNK: usize = 4096;
/// Set by `cargo xtask crash`: a folder in memory, which it clears away also where the test is killed.
const MEMORY: &str = "MODELWATCH_CRASH_MEMORY";

/// Returns a folder in memory where there is one: nothing here is about the disk below.
fn scratch() -> tempfile::TempDir {
    let memory = env::var_os(MEMORY).map_or_else(|| "/dev/shm".into(), PathBuf::from);
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// A disk that is fast because nothing is synced.
struct Fast;

impl Watch for Fast {
    fn syncs(&self) -> bool {
        false
    }
}

const MANNERS: Manners = Manners { courtesy: Duration::from_secs(60), grace: Duration::from_secs(3600), reserve: 0 };

fn settings() -> Settings {
    let mut res = Settings::of("store-local/0");
    res.clock = || 1_700_000_000;
    res.chunk_size = CHUNK as u64;
    res.max_pack = 5 * CHUNK as u64;
    res
}

fn open(path: &Path) -> Engine {
    try_open(path).unwrap()
}

fn try_open(path: &Path) -> Result<Engine> {
    open_watched(path, Arc::new(Fast))
}

fn open_watched(path: &Path, watch: Arc<dyn Watch>) -> Result<Engine> {
    open_with(path, watch, MANNERS, settings())
}

/// The verdict of a gate that was passed.
fn passed(run_id: &str) -> VerdictRecord {
    VerdictRecord {
        verdict: "pass".into(),
        pipeline: "gate".into(),
        run_id: run_id.into(),
        metrics: Default::default(),
        blessing: None,
    }
}

/// Bytes that do not repeat, so that no two chunks are alike.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut res = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut res);
    res
}

fn metadata(step: u64) -> Map<String, Value> {
    json!({"step": step, "run": {"name": "digits", "rate": 1e-3}}).as_object().unwrap().clone()
}

/// Commits two files and a tensor of which a part changes with `step`.
fn commit(store: &dyn CheckpointStore, lineage: &str, step: u64) -> Result<CheckpointId> {
    let mut writer = store.begin(&(), lineage, &metadata(step))?;
    for (name, bytes) in content(step) {
        match name.strip_prefix("tensor:") {
            Some(name) => writer.tensor(&TensorView { name, dtype: DType::F32, shape: &[5, 300], bytes: &bytes })?,
            None => writer.append(&name, &bytes)?,
        }
    }
    writer.commit()
}

fn content(step: u64) -> Vec<(String, Vec<u8>)> {
    vec![
        ("config.json".into(), b"{}".to_vec()),
        ("weights/model.bin".into(), [noise(2 * CHUNK, 0), noise(CHUNK + 10, 1 + step)].concat()),
        ("tensor:dense/kernel".into(), noise(6000, 1000 + step)),
    ]
}

fn check_content(store: &dyn CheckpointStore, id: &CheckpointId, step: u64) -> Result<()> {
    let reader = store.open(&(), id)?;
    assert_eq!(reader.manifest().metadata, metadata(step));
    for (name, bytes) in content(step) {
        match name.strip_prefix("tensor:") {
            Some(name) => {
                let tensor = reader.tensor(name)?.unwrap();
                assert_eq!((tensor.dtype, tensor.shape), (DType::F32, &[5, 300][..]));
                assert!(tensor.bytes == bytes, "{name}");
            }
            None => assert!(read_file(reader.as_ref(), &name, 1000)? == bytes, "{name}"),
        }
    }
    Ok(())
}

fn read_file(reader: &dyn CheckpointReader, name: &str, step: usize) -> Result<Vec<u8>> {
    let mut res = Vec::new();
    let mut buffer = vec![0; step];
    loop {
        match reader.read(name, res.len() as u64, &mut buffer)? {
            0 => return Ok(res),
            n => res.extend_from_slice(&buffer[..n]),
        }
    }
}

fn kind<T>(res: Result<T>) -> Option<ErrorKind> {
    res.err().map(|it| it.kind)
}

/// All files below a folder whose path there, `/log/…`, has `part` in it, sorted.
fn files(root: &Path, part: &str) -> Vec<PathBuf> {
    let mut res = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for it in fs::read_dir(dir).unwrap() {
            let path = it.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if format!("/{}", path.strip_prefix(root).unwrap().display()).contains(part) {
                res.push(path);
            }
        }
    }
    res.sort();
    res
}

/// A copy of the store, in the state that it is in.
fn copy(of: &Path) -> tempfile::TempDir {
    let res = scratch();
    for file in files(of, "/") {
        let to = res.path().join(file.strip_prefix(of).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
    res
}

fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(root, "/")
        .into_iter()
        .filter(|it| !it.starts_with(root.join("tmp")))
        .map(|it| (it.clone(), fs::read(it).unwrap()))
        .collect()
}
