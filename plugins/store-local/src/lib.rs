//! The local checkpoint store: the engine of `modelwatch-store` in a folder.
//!
//! What the engine wants durable is staged, synced, hard-linked into place and its folder synced
//! before the call returns ([`disk`]). Several processes may use the folder at once.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(rustdoc::private_intra_doc_links)]

mod away;
mod beginning;
mod blobs;
mod disk;
mod errors;
mod presence;
mod reserve;
mod stage;

#[cfg(test)]
mod tests;

use std::{fs, io, path::Path, sync::Arc};

use modelwatch_sdk::{Error, JsonSchema, Registry, Result, store::CheckpointStore};
use modelwatch_store::{Blobs, Compression, Engine, Settings};
use serde::Deserialize;

use crate::{
    away::Away,
    blobs::{Folder, Manners},
    disk::Watch,
};

/// Keeps checkpoints in a folder: immutable, deduplicated, verified on every read, and durable once
/// acknowledged. Several processes may use it at once.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder of the store. A store begins where there is no such folder, in one that is not empty.
    #[schemars(extend("format" = "path"))]
    pub path: String,
    /// Whether a store begins also in a folder that is there already, or in an empty one. That is what the place of a file
    /// system looks like that is not mounted: `modelwatch store init` says it once, and this for good.
    #[serde(default)]
    pub create: bool,
    /// When bytes are compressed. `adaptive`: while the disk takes them more slowly than they are compressed, and always the
    /// first few MiB of a checkpoint and what becomes less than half; so weights take up to a sixth more space on a disk that
    /// takes over half a gigabyte in a second, and a save waits for no compression. `always`: wherever a sample shows that it
    /// is worth it. `never`: not at all.
    #[serde(default)]
    pub compression: Compression,
    /// Whether tensors may be stored as differences to those of an earlier checkpoint: less space for checkpoints that
    /// follow each other closely, more time to read them. Every eighth checkpoint stands for itself.
    #[serde(default)]
    pub delta: bool,
    /// Folders with copies of the store, from which `modelwatch store repair` mends damage.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub replicas: Vec<String>,
}

/// The store in a folder.
pub struct LocalStore;

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).store::<LocalStore>()
}

impl modelwatch_sdk::Store for LocalStore {
    const NAME: &'static str = "local";
    type Config = Config;

    fn open(config: Config) -> Result<Box<dyn CheckpointStore>> {
        if config.path.is_empty() {
            return Err(Error::config("/path", "the path of the store is empty").with_help("name a folder"));
        }
        if !config.create {
            beginning::check(Path::new(&config.path))?;
        }
        let mut settings = Settings::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
        settings.compression = config.compression;
        settings.uses_delta = config.delta;
        for (at, it) in config.replicas.iter().enumerate() {
            settings.replicas.push(replica(at, it, settings.clock)?);
        }
        Ok(Box::new(open_with(Path::new(&config.path), Arc::new(()), Manners::default(), settings)?))
    }
}

fn replica(at: usize, path: &str, clock: fn() -> u64) -> Result<Arc<dyn Blobs>> {
    let root = Path::new(path);
    let opened = match fs::metadata(root.join(modelwatch_store::STORE_FILE)) {
        Ok(found) if found.is_file() => Folder::open(root, Arc::new(()), Manners::default(), clock),
        Err(e) if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(errors::absent(root, e))
        }
        _ => {
            return Err(Error::config(format!("/replicas/{at}"), format!("there is no store in `{path}`"))
                .with_help("name the folder of a copy of this store, or leave it out"));
        }
    };
    // Without it there is less to mend from, and the store can be used all the same.
    Ok(match opened {
        Ok(it) => Arc::new(it),
        Err(why) => Arc::new(Away { path: path.to_owned(), why }),
    })
}

fn open_with(path: &Path, watch: Arc<dyn Watch>, manners: Manners, settings: Settings) -> Result<Engine> {
    let folder: Arc<dyn Blobs> = Arc::new(Folder::open(path, watch, manners, settings.clock)?);
    Engine::open(folder, settings)
}

modelwatch_sdk::export_plugin!(registry);
