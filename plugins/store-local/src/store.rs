//! The store: its folder, and the changes that are one log entry each.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use modelwatch_sdk::{
    Error, ErrorKind, Host, JsonSchema, Registry, Result, Store,
    store::{
        CheckpointId, CheckpointReader, CheckpointStore, CheckpointWriter, History, LogEntry, LogEvent, ScrubReport,
        VerdictRecord, check_name,
    },
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    disk::{Disk, Watch},
    errors,
    format::{self, CHUNK_SIZE, Digest, FORMAT, MAX_MANIFEST, MAX_PACK, MAX_STORE_FILE, StoreFile},
    log::{Change, Log},
    manifest, random,
    reader::Reader,
    scrub,
    stage::{self, Stage},
    writer::Writer,
};

/// Keeps checkpoints in a folder: immutable, deduplicated, verified on every read, and durable once
/// acknowledged. Several processes may use it at once.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder of the store; it is created if it does not exist.
    #[schemars(extend("format" = "path"))]
    pub path: String,
}

/// A checkpoint store in a folder.
pub struct LocalStore {
    pub(crate) shared: Arc<Shared>,
}

/// What the store shares with its readers and writers.
pub(crate) struct Shared {
    pub(crate) disk: Arc<Disk>,
    pub(crate) log: Log,
    pub(crate) chunk_size: u64,
    pub(crate) max_pack: u64,
}

/// What a test may want otherwise.
pub(crate) struct Settings {
    pub(crate) watch: Arc<dyn Watch>,
    /// Seconds since 1970.
    pub(crate) clock: fn() -> u64,
    /// The chunk size of a store that is created.
    pub(crate) chunk_size: u64,
    pub(crate) max_pack: u64,
    /// How long a writer waits for the one before it.
    pub(crate) courtesy: Duration,
    /// How old abandoned staged files get.
    pub(crate) grace: Duration,
}

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).store::<LocalStore>()
}

impl Store for LocalStore {
    const NAME: &'static str = "local";
    type Config = Config;

    fn open(config: Config) -> Result<Self> {
        if config.path.is_empty() {
            return Err(Error::config("/path", "the path of the store is empty").with_help("name a folder"));
        }
        let settings = Settings {
            watch: Arc::new(()),
            clock: || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs()),
            chunk_size: CHUNK_SIZE,
            max_pack: MAX_PACK,
            courtesy: Duration::from_secs(10),
            grace: Duration::from_secs(24 * 60 * 60),
        };
        Self::open_with(Path::new(&config.path), settings)
    }
}

impl LocalStore {
    pub(crate) fn open_with(path: &Path, settings: Settings) -> Result<Self> {
        let Settings { watch, clock, chunk_size, max_pack, courtesy, grace } = settings;
        let disk = Arc::new(Disk::open(path, watch)?);
        let path = disk.root().join("store.json");
        let file = match disk.read(&path, MAX_STORE_FILE)? {
            Some(bytes) => StoreFile::parse(&path, &bytes)?,
            None => create(&disk, &path, clock(), chunk_size)?,
        };
        stage::sweep(&disk, clock(), grace);
        let log = Log::new(Arc::clone(&disk), clock, courtesy);
        Ok(Self { shared: Arc::new(Shared { disk, log, chunk_size: file.chunk_size, max_pack }) })
    }

    fn no_such(&self, lineage: &str, id: &CheckpointId) -> Error {
        let short = id.short();
        Error::new(ErrorKind::NotFound, format!("the lineage `{lineage}` has no checkpoint `{short}`"))
            .with_help("`modelwatch store list` shows what there is")
    }
}

impl Shared {
    /// Returns the manifests under which a checkpoint can be found, the most promising first.
    fn find(&self, id: &CheckpointId) -> Result<Vec<Digest>> {
        let mut res = Vec::new();
        let mut damaged = None;
        for lineage in self.log.lineages()? {
            // A damaged lineage is no reason to refuse a checkpoint of another one.
            match self.log.with(&lineage, |it| Ok(it.manifests(id))) {
                Ok(it) => res.extend(it),
                Err(e) => damaged = Some(e),
            }
        }
        match damaged {
            Some(e) if res.is_empty() => Err(e),
            _ => Ok(res),
        }
    }
}

impl CheckpointStore for LocalStore {
    fn begin(&self, _: &dyn Host, lineage: &str, metadata: &Map<String, Value>) -> Result<Box<dyn CheckpointWriter>> {
        check_name("lineage", lineage)?;
        if manifest::depth_exceeds(metadata, manifest::MAX_DEPTH) {
            return Err(Error::input("the metadata of the checkpoint is nested too deeply")
                .with_help(format!("use at most {} levels", manifest::MAX_DEPTH)));
        }
        let size = format::canonical(metadata)?.len() as u64;
        if size > MAX_MANIFEST / 4 {
            return Err(Error::input(format!("the metadata of the checkpoint has {size} bytes"))
                .with_help(format!("use at most {} bytes, and a file for the rest", MAX_MANIFEST / 4)));
        }
        Ok(Box::new(Writer::new(Arc::clone(&self.shared), lineage, metadata.clone())?))
    }

    fn open(&self, _: &dyn Host, id: &CheckpointId) -> Result<Box<dyn CheckpointReader>> {
        let root = self.shared.disk.root().display();
        let mut res =
            Err(Error::new(ErrorKind::NotFound, format!("the store `{root}` has no checkpoint `{}`", id.short()))
                .with_help("`modelwatch store list` shows what there is"));
        for it in self.shared.find(id)? {
            res = Reader::load(&self.shared, id, it);
            if res.is_ok() {
                break;
            }
        }
        Ok(Box::new(res?))
    }

    fn lineages(&self) -> Result<Vec<String>> {
        self.shared.log.lineages()
    }

    fn log(&self, lineage: &str, after: u64, limit: u32) -> Result<Vec<LogEntry>> {
        self.shared.log.with(lineage, |it| Ok(it.entries_after(after, limit).to_vec()))
    }

    fn set_ref(
        &self,
        lineage: &str,
        name: &str,
        id: &CheckpointId,
        expected: Option<&CheckpointId>,
        reason: &str,
    ) -> Result<()> {
        check_name("ref", name)?;
        self.shared.log.append(lineage, |it| {
            let history = it.history();
            if !history.contains(id) {
                return Err(self.no_such(lineage, id));
            }
            let current = history.get_ref(name);
            // `latest` moves by itself until it is set for the first time, so that "does not exist yet" and
            // "is the newest" are both true of it.
            let is_implied = history.refs().all(|it| it.0 != name);
            if current != expected && !(is_implied && expected.is_none()) {
                let at = current.map_or("not set".to_owned(), |it| format!("at `{}`", it.short()));
                return Err(Error::new(ErrorKind::Conflict, format!("cannot move `{lineage}@{name}`: it is {at} now"))
                    .with_help("look at what moved it, then try again; nothing was changed"));
            }
            let event = LogEvent::SetRef {
                name: name.to_owned(),
                from: expected.cloned(),
                to: id.clone(),
                reason: reason.to_owned(),
            };
            Ok(Some(Change { event, manifest: None }))
        })
    }

    fn record_verdict(&self, lineage: &str, id: &CheckpointId, verdict: &VerdictRecord) -> Result<()> {
        self.shared.log.append(lineage, |it| {
            if !it.history().contains(id) {
                return Err(self.no_such(lineage, id));
            }
            let event = LogEvent::Verdict { id: id.clone(), verdict: verdict.clone() };
            Ok(Some(Change { event, manifest: None }))
        })
    }

    fn remove(&self, lineage: &str, id: &CheckpointId) -> Result<()> {
        self.shared.log.append(lineage, |it| {
            if !it.history().contains(id) {
                return Err(self.no_such(lineage, id));
            }
            if let Some((name, _)) = it.history().refs().find(|it| it.1 == id) {
                let what = format!("cannot remove `{}`: `{lineage}@{name}` points at it", id.short());
                return Err(Error::new(ErrorKind::Conflict, what).with_help("move the ref elsewhere first"));
            }
            Ok(Some(Change { event: LogEvent::Remove { id: id.clone() }, manifest: None }))
        })
    }

    fn scrub(&self, host: &dyn Host) -> Result<ScrubReport> {
        scrub::scrub(&self.shared, host)
    }

    fn history(&self, lineage: &str) -> Result<History> {
        self.shared.log.with(lineage, |it| Ok(it.history().clone()))
    }
}

/// Makes the folder a store; returns the winner's file where several try at once.
fn create(disk: &Arc<Disk>, path: &Path, created: u64, chunk_size: u64) -> Result<StoreFile> {
    for it in ["log", "manifests", "packs"] {
        if !disk.list(&disk.root().join(it))?.is_empty() {
            return Err(errors::corrupt(path, format_args!("is missing, although there is a folder `{it}`"))
                .with_help("put the file back from a copy of the store, or point `path` at an empty folder"));
        }
    }
    disk.settle_root();
    let file = StoreFile { format_version: FORMAT, store_id: random::id(), chunk_size, created, requires: Vec::new() };
    let staged = Stage::new(disk)?;
    disk.publish(&staged.write("store.json", &format::seal(&file)?)?, path)?;
    match disk.read(path, MAX_STORE_FILE)? {
        Some(bytes) => StoreFile::parse(path, &bytes),
        None => Err(errors::corrupt(path, "is missing, although it was just written")),
    }
}
