//! Tests of the store in memory, on a server that fails where it is told to, and on others that speak as other clouds do.

mod addresses;
mod clouds;
mod copies;
mod faults;
mod garbage;
mod server;
mod sharing;

use std::collections::BTreeMap;

use modelwatch_sdk::{
    ErrorKind, Result,
    store::{CheckpointId, CheckpointStore},
};
use modelwatch_store::{Compression, Engine, Settings};
use serde_json::{Map, json};

use self::server::{PATIENCE, Server};
use crate::{Config, open_with, retry::Patience};

const CHUNK: usize = 4096;

fn config(url: &str, options: impl IntoIterator<Item = (String, String)>) -> Config {
    let options: BTreeMap<_, _> = options.into_iter().collect();
    Config {
        url: url.to_owned(),
        options,
        compression: Compression::Adaptive,
        delta: false,
        replicas: vec![],
        timeout: 30,
        deadline: 60,
    }
}

fn settings() -> Settings {
    let mut res = Settings::of("store-object/0");
    res.chunk_size = CHUNK as u64;
    res.max_pack = 5 * CHUNK as u64;
    res
}

fn open(server: &Server) -> Engine {
    try_open(server, PATIENCE).unwrap()
}

fn try_open(server: &Server, patience: Patience) -> Result<Engine> {
    open_with(&server.config(), patience, settings())
}

/// Bytes that do not repeat, so that no two chunks are alike.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut res = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut res);
    res
}

fn content(step: u64) -> Vec<u8> {
    [noise(2 * CHUNK, 0), noise(CHUNK + 10, 1 + step)].concat()
}

fn commit(store: &dyn CheckpointStore, step: u64) -> Result<CheckpointId> {
    let metadata: Map<_, _> = json!({"step": step}).as_object().unwrap().clone();
    let mut writer = store.begin(&(), "digits", &metadata)?;
    writer.append("model.bin", &content(step))?;
    writer.commit()
}

fn read(store: &dyn CheckpointStore, id: &CheckpointId) -> Result<Vec<u8>> {
    let reader = store.open(&(), id)?;
    let mut res = Vec::new();
    let mut buffer = vec![0; 1000];
    loop {
        match reader.read("model.bin", res.len() as u64, &mut buffer)? {
            0 => return Ok(res),
            n => res.extend_from_slice(&buffer[..n]),
        }
    }
}

fn kind<T>(res: Result<T>) -> Option<ErrorKind> {
    res.err().map(|it| it.kind)
}

/// The suite of the SDK, on memory that is named like the folder.
#[test]
fn conforms() {
    modelwatch_sdk::testing::store(&|path| {
        let config = config(&format!("memory:///{}", path.file_name().unwrap().to_str().unwrap()), []);
        Ok(Box::new(open_with(&config, PATIENCE, settings())?))
    });
}

#[test]
fn conforms_on_a_server() {
    let server = Server::start(false);
    modelwatch_sdk::testing::store(&|path| {
        let mut config = server.config();
        config.url = format!("s3://bucket/{}", path.file_name().unwrap().to_str().unwrap());
        Ok(Box::new(open_with(&config, PATIENCE, Settings::of("store-object/0"))?))
    });
}
