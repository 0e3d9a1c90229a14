//! Tests of the engine on a place in memory, where replies get lost and others come between.

mod bits;
mod broken_logs;
mod encoding;
pub(crate) mod fuzz;
mod garbage;
mod golden;
mod hostile;
mod lists;
mod lost_replies;
mod memory;
mod mending;
mod requests;
mod segments;
mod steps;

use std::sync::Arc;

use modelwatch_sdk::{
    DType, ErrorKind, Result, TensorView,
    store::{CheckpointId, CheckpointReader, CheckpointStore, CollectOptions, ScrubDepth},
};
use serde_json::{Map, Value, json};

use self::memory::{Fate, Memory};
use crate::engine::{Engine, Settings};

const CHUNK: usize = 4096;
const NOW: u64 = 1_700_000_000;

fn settings() -> Settings {
    let mut res = Settings::of("test/0");
    res.clock = || NOW;
    res.chunk_size = CHUNK as u64;
    res.max_pack = 5 * CHUNK as u64;
    res
}

fn open(memory: &Memory) -> Engine {
    open_with(memory, settings())
}

fn open_with(memory: &Memory, settings: Settings) -> Engine {
    Engine::open(Arc::new(memory.clone()), settings).unwrap()
}

/// Bytes that do not repeat, so that no two chunks are alike and nothing compresses.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut res = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut res);
    res
}

/// What a checkpoint consists of: files, and tensors after `tensor:`.
type Content = [(&'static str, Vec<u8>); 3];

/// Two files and a tensor of which a part changes with `step`.
fn content(step: u64) -> Content {
    [
        ("config.json", b"{}".to_vec()),
        ("weights/model.bin", [noise(2 * CHUNK, 0), noise(CHUNK + 10, 1 + step)].concat()),
        ("tensor:dense/kernel", noise(6000, 1000 + step)),
    ]
}

fn metadata(step: u64) -> Map<String, Value> {
    json!({"step": step}).as_object().unwrap().clone()
}

fn write(
    store: &dyn CheckpointStore,
    lineage: &str,
    step: u64,
) -> Result<Box<dyn modelwatch_sdk::store::CheckpointWriter>> {
    write_these(store, lineage, step, &content(step))
}

fn write_these(
    store: &dyn CheckpointStore,
    lineage: &str,
    step: u64,
    content: &Content,
) -> Result<Box<dyn modelwatch_sdk::store::CheckpointWriter>> {
    let mut writer = store.begin(&(), lineage, &metadata(step))?;
    for (name, bytes) in content {
        match name.strip_prefix("tensor:") {
            Some(name) => {
                let shape = &[5, bytes.len() as u64 / 20];
                writer.tensor(&TensorView { name, dtype: DType::F32, shape, bytes })?;
            }
            None => writer.append(name, bytes)?,
        }
    }
    Ok(writer)
}

fn commit(store: &dyn CheckpointStore, lineage: &str, step: u64) -> Result<CheckpointId> {
    write(store, lineage, step)?.commit()
}

fn check_content(store: &dyn CheckpointStore, id: &CheckpointId, step: u64) -> Result<()> {
    check_these(store, id, step, &content(step))
}

fn check_these(store: &dyn CheckpointStore, id: &CheckpointId, step: u64, content: &Content) -> Result<()> {
    let reader = store.open(&(), id)?;
    assert_eq!(reader.manifest().metadata, metadata(step));
    for (name, bytes) in content {
        match name.strip_prefix("tensor:") {
            Some(name) => assert!(reader.tensor(name)?.unwrap().bytes == bytes, "{name}"),
            None => assert!(read_file(reader.as_ref(), name)? == *bytes, "{name}"),
        }
    }
    Ok(())
}

fn read_file(reader: &dyn CheckpointReader, name: &str) -> Result<Vec<u8>> {
    let mut res = Vec::new();
    let mut buffer = vec![0; 1000];
    loop {
        match reader.read(name, res.len() as u64, &mut buffer)? {
            0 => return Ok(res),
            n => res.extend_from_slice(&buffer[..n]),
        }
    }
}

fn is_sound(store: &dyn CheckpointStore) {
    assert_eq!(store.scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0]);
    assert_eq!(store.scrub(&(), ScrubDepth::Fast).unwrap().damage, [""; 0]);
}

fn kind<T>(res: Result<T>) -> Option<ErrorKind> {
    res.err().map(|it| it.kind)
}

fn collect(store: &dyn CheckpointStore, grace: u64) -> modelwatch_sdk::store::CollectReport {
    store.collect(&(), &CollectOptions { grace, dry_run: false }).unwrap()
}
