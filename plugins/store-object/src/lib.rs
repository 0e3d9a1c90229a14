//! The checkpoint store in a bucket: the engine of `modelwatch-store` over S3, GCS, Azure and what speaks like them.
//!
//! A file gets its key by a *conditional put*, which succeeds for one writer only. Replies get lost on the way
//! from a bucket; what is not known is said to be so ([`retry`]) and left to the engine, which looks.
//! Everything here waits; that the client is asynchronous shows nowhere outside of [`bucket`].
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(rustdoc::private_intra_doc_links)]

mod bucket;
mod failure;
mod place;
mod retry;
mod stage;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use modelwatch_sdk::{Error, JsonSchema, Registry, Result, store::CheckpointStore};
use modelwatch_store::{Blobs, Compression, Engine, STORE_FILE, Settings, examine, format::MAX_STORE_FILE};
use serde::Deserialize;

use crate::{bucket::Bucket, retry::Patience};

/// The greatest size of a pack, which is held in memory until it is written, and sent again as a whole.
const MAX_PACK: u64 = 16 << 20;

/// Keeps checkpoints in a bucket of S3, Google Cloud Storage, Azure or a server that speaks like one of them.
/// Several machines may use it at once.
///
/// The format is that of the store `local`. A new store is made only where trying shows that a key never goes to
/// two writers. Credentials come from the environment, as `AWS_…`, `GOOGLE_…` or `AZURE_…`, or from the machine's role.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`; `memory:///name` goes with
    /// the process, for trying things out.
    pub url: String,
    /// Options of the connection, such as `endpoint`, `region` or `allow_http`. Credentials are refused here, because
    /// pipelines are shown and kept.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// When bytes are compressed. `adaptive` and `always`: wherever a sample shows that it is worth it, since the network is
    /// what a save waits for. `never`: not at all.
    #[serde(default)]
    pub compression: Compression,
    /// Whether tensors may be stored as differences to those of an earlier checkpoint: less space for checkpoints that
    /// follow each other closely, more time to read them. Every eighth checkpoint stands for itself.
    #[serde(default)]
    pub delta: bool,
    /// Addresses of copies of the store, from which `modelwatch store repair` mends damage. They are reached with the same
    /// `options` and credentials.
    #[serde(default)]
    pub replicas: Vec<String>,
    /// Seconds for one request, of which the largest sends or gets 16 MiB.
    #[serde(default = "timeout")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout: u32,
    /// Seconds for which a request that failed is tried again.
    #[serde(default = "deadline")]
    #[schemars(range(min = 1, max = 3600))]
    pub deadline: u32,
}

fn timeout() -> u32 {
    30
}

fn deadline() -> u32 {
    60
}

/// The store in a bucket.
pub struct ObjectStore;

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).store::<ObjectStore>()
}

impl modelwatch_sdk::Store for ObjectStore {
    const NAME: &'static str = "object";
    type Config = Config;

    fn open(config: Config) -> Result<Box<dyn CheckpointStore>> {
        let patience = Patience {
            timeout: seconds("/timeout", config.timeout)?,
            deadline: seconds("/deadline", config.deadline)?,
            pause: Duration::from_millis(100),
        };
        let mut settings = Settings::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
        settings.compression = config.compression;
        settings.uses_delta = config.delta;
        settings.max_pack = MAX_PACK;
        Ok(Box::new(open_with(&config, patience, settings)?))
    }
}

fn seconds(path: &str, value: u32) -> Result<Duration> {
    if (1..=3600).contains(&value) {
        return Ok(Duration::from_secs(value.into()));
    }
    Err(Error::config(path, format!("{value} seconds make no sense here")).with_help("use between 1 and 3600"))
}

fn open_with(config: &Config, patience: Patience, mut settings: Settings) -> Result<Engine> {
    for (at, url) in config.replicas.iter().enumerate() {
        let replica = replica(config, url, patience).map_err(|e| Error { path: format!("/replicas/{at}"), ..e })?;
        settings.replicas.push(Arc::new(replica));
    }
    let bucket = Bucket::new(place::find(config, patience)?, patience)?;
    // A store that exists was made where this was tried; what became of the place since, `doctor` tells.
    if bucket.read(STORE_FILE, MAX_STORE_FILE)?.is_none() {
        prove(&bucket)?;
    }
    Engine::open(Arc::new(bucket), settings)
}

fn replica(config: &Config, url: &str, patience: Patience) -> Result<Bucket> {
    let res = Bucket::new(place::find(&Config { url: url.to_owned(), ..config.clone() }, patience)?, patience)?;
    match res.read(STORE_FILE, MAX_STORE_FILE) {
        // One that does not answer, or is damaged, is no help to a repair, and no reason to do without the store.
        Ok(Some(_)) | Err(_) => Ok(res),
        Ok(None) => Err(Error::config("", format!("there is no store in `{}`", res.locate("")))
            .with_help("name the address of a copy of this store, or leave it out")),
    }
}

/// Refuses a place in which commits would get lost.
fn prove(bucket: &Bucket) -> Result<()> {
    let report = examine(bucket, &())?;
    if report.unsound.is_empty() {
        return Ok(());
    }
    let what = format!("`{}` is no place for a store: {}", bucket.locate(""), report.unsound.join("; "));
    Err(Error::config("/url", what).with_help(
        "use a server whose conditional puts are atomic, such as S3, GCS, Azure, R2 or MinIO, or the store `local`",
    ))
}

modelwatch_sdk::export_plugin!(registry);
