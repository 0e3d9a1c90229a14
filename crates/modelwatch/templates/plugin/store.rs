//! The checkpoint store `{{name}}`, which keeps everything in the memory of its process.
//!
//! It is volatile: it shows what a store has to do. One that lasts writes to a place of its own
//! where this one changes a map.
// Not `forbid`: `export_plugin!` writes two exported statics.
#![deny(unsafe_code)]

use std::{
    collections::BTreeMap,
    mem::take,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use modelwatch_sdk::{
    DType, Error, ErrorKind, Host, JsonSchema, Registry, Result, Store, TensorView,
    store::{
        CheckpointId, CheckpointManifest, CheckpointReader, CheckpointStore, CheckpointWriter, FileEntry, History,
        LogEntry, LogEvent, ScrubDepth, ScrubReport, TensorEntry, VerdictRecord, check_file_name, check_name, content,
    },
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Keeps checkpoints in memory, until the process ends.
// This comment is what `modelwatch plugin list` shows; those of the fields document the options.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Stores of one name have the same content.
    pub name: String,
}

/// A store.
pub struct Component(Shared);

type Shared = Arc<Mutex<Memory>>;

/// Everything with a name, so that a store that is opened again is the same one.
static STORES: LazyLock<Mutex<BTreeMap<String, Shared>>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Memory {
    checkpoints: BTreeMap<CheckpointId, Arc<Checkpoint>>,
    logs: BTreeMap<String, Vec<LogEntry>>,
}

struct Checkpoint {
    manifest: CheckpointManifest,
    files: BTreeMap<String, Vec<u8>>,
    tensors: BTreeMap<String, Tensor>,
}

struct Tensor {
    dtype: DType,
    shape: Vec<u64>,
    bytes: Vec<u8>,
}

struct Writer {
    memory: Shared,
    lineage: String,
    metadata: Map<String, Value>,
    files: BTreeMap<String, Vec<u8>>,
    tensors: BTreeMap<String, Tensor>,
}

struct Reader(Arc<Checkpoint>);

impl Store for Component {
    const NAME: &'static str = "{{name}}";
    type Config = Config;

    fn open(config: Config) -> Result<Box<dyn CheckpointStore>> {
        Ok(Box::new(Self(Arc::clone(lock(&STORES).entry(config.name).or_default()))))
    }
}

impl CheckpointStore for Component {
    fn begin(&self, _: &dyn Host, lineage: &str, metadata: &Map<String, Value>) -> Result<Box<dyn CheckpointWriter>> {
        check_name("lineage", lineage)?;
        Ok(Box::new(Writer {
            memory: Arc::clone(&self.0),
            lineage: lineage.to_owned(),
            metadata: metadata.clone(),
            files: BTreeMap::new(),
            tensors: BTreeMap::new(),
        }))
    }

    fn open(&self, _: &dyn Host, id: &CheckpointId) -> Result<Box<dyn CheckpointReader>> {
        match lock(&self.0).checkpoints.get(id) {
            Some(it) => Ok(Box::new(Reader(Arc::clone(it)))),
            None => Err(no_such(id)),
        }
    }

    fn lineages(&self) -> Result<Vec<String>> {
        Ok(lock(&self.0).logs.keys().cloned().collect())
    }

    fn log(&self, lineage: &str, after: u64, limit: u32) -> Result<Vec<LogEntry>> {
        let memory = lock(&self.0);
        let entries = memory.logs.get(lineage).into_iter().flatten().filter(|it| it.seq > after);
        Ok(entries.take(limit as usize).cloned().collect())
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
        // The lock is held from the comparison to the swap.
        let mut memory = lock(&self.0);
        let history = memory.with(lineage, id)?;
        // What nobody set is not there, `latest` included.
        let at = history.refs().find(|it| it.0 == name).map(|it| it.1);
        if at != expected {
            let what = format!("cannot move `{lineage}@{name}`: it was moved meanwhile");
            return Err(Error::new(ErrorKind::Conflict, what).with_help("look where it is now and decide again"));
        }
        let from = expected.cloned();
        memory.push(lineage, LogEvent::SetRef { name: name.into(), from, to: id.clone(), reason: reason.into() });
        Ok(())
    }

    fn record_verdict(&self, lineage: &str, id: &CheckpointId, verdict: &VerdictRecord) -> Result<()> {
        let mut memory = lock(&self.0);
        memory.with(lineage, id)?;
        memory.push(lineage, LogEvent::Verdict { id: id.clone(), verdict: verdict.clone() });
        Ok(())
    }

    fn unset_ref(&self, lineage: &str, name: &str, expected: &CheckpointId, reason: &str) -> Result<()> {
        let mut memory = lock(&self.0);
        let history = memory.with(lineage, expected)?;
        match history.refs().find(|it| it.0 == name) {
            None => {
                return Err(Error::new(ErrorKind::NotFound, format!("there is no ref `{lineage}@{name}`"))
                    .with_help("look at the refs that there are"));
            }
            Some((_, at)) if at != expected => {
                return Err(Error::new(ErrorKind::Conflict, format!("`{lineage}@{name}` was moved meanwhile"))
                    .with_help("look where it is now and decide again"));
            }
            Some(_) => {}
        }
        let (name, from, reason) = (name.into(), expected.clone(), reason.into());
        memory.push(lineage, LogEvent::UnsetRef { name, from, reason });
        Ok(())
    }

    fn remove(&self, lineage: &str, ids: &[CheckpointId], reason: &str) -> Result<()> {
        let mut memory = lock(&self.0);
        for id in ids {
            let history = memory.with(lineage, id)?;
            if let Some((name, _)) = history.refs().find(|it| it.1 == id) {
                let what = format!("cannot remove `{}`: `{name}` is at it", id.short());
                return Err(Error::new(ErrorKind::Conflict, what).with_help("move the ref elsewhere first"));
            }
        }
        memory.push(lineage, LogEvent::Remove { ids: ids.to_vec(), reason: reason.into() });
        Ok(())
    }

    fn scrub(&self, host: &dyn Host, _: ScrubDepth) -> Result<ScrubReport> {
        let checkpoints: Vec<_> = lock(&self.0).checkpoints.values().cloned().collect();
        let mut res = ScrubReport::default();
        for it in checkpoints {
            if host.is_cancelled() {
                return Err(host.cancelled());
            }
            res.checkpoints += 1;
            res.bytes += it.files.values().map(|it| it.len() as u64).sum::<u64>();
            if manifest(it.manifest.metadata.clone(), &it.files, &it.tensors)? != it.manifest {
                res.damage.push(format!("the checkpoint `{}` is not what was committed", it.manifest.id));
            }
        }
        Ok(res)
    }
}

impl Memory {
    /// Returns the history of a lineage that has this checkpoint.
    fn with(&self, lineage: &str, id: &CheckpointId) -> Result<History> {
        let mut history = History::default();
        self.logs.get(lineage).into_iter().flatten().cloned().for_each(|it| history.push(it));
        if history.contains(id) { Ok(history) } else { Err(no_such(id)) }
    }

    fn push(&mut self, lineage: &str, event: LogEvent) {
        let log = self.logs.entry(lineage.to_owned()).or_default();
        let time = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |it| it.as_secs());
        log.push(LogEntry { seq: log.len() as u64 + 1, time, event });
    }
}

impl CheckpointWriter for Writer {
    fn append(&mut self, file: &str, bytes: &[u8]) -> Result<()> {
        check_file_name(file)?;
        self.files.entry(file.to_owned()).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn tensor(&mut self, tensor: &TensorView<'_>) -> Result<()> {
        let copy = Tensor { dtype: tensor.dtype, shape: tensor.shape.to_vec(), bytes: tensor.bytes.to_vec() };
        if self.tensors.contains_key(tensor.name) {
            return Err(Error::input(format!("the checkpoint has a tensor `{}` already", tensor.name)));
        }
        self.tensors.insert(tensor.name.to_owned(), copy);
        Ok(())
    }

    fn publish(&mut self) -> Result<CheckpointId> {
        let (metadata, files, tensors) = (take(&mut self.metadata), take(&mut self.files), take(&mut self.tensors));
        let manifest = manifest(metadata, &files, &tensors)?;
        let id = manifest.id.clone();
        let mut memory = lock(&self.memory);
        memory.checkpoints.entry(id.clone()).or_insert_with(|| Arc::new(Checkpoint { manifest, files, tensors }));
        if memory.with(&self.lineage, &id).is_err() {
            memory.push(&self.lineage, LogEvent::Commit { id: id.clone() });
        }
        Ok(id)
    }
}

impl CheckpointReader for Reader {
    fn manifest(&self) -> &CheckpointManifest {
        &self.0.manifest
    }

    fn read(&self, file: &str, offset: u64, out: &mut [u8]) -> Result<usize> {
        let bytes = self.0.files.get(file).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("the checkpoint has no file `{}`", file.escape_debug()))
        })?;
        let rest = usize::try_from(offset).ok().and_then(|it| bytes.get(it..)).unwrap_or_default();
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>> {
        let found = self.0.tensors.get_key_value(name);
        Ok(found.map(|(name, it)| TensorView { name, dtype: it.dtype, shape: &it.shape, bytes: &it.bytes }))
    }
}

fn no_such(id: &CheckpointId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no checkpoint `{}`", id.short()))
}

/// A panic of another thread does not keep this one from the data, which is never left half changed.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Describes that content. The host holds what it reads against the digests, and an id stands for them.
fn manifest(
    metadata: Map<String, Value>,
    files: &BTreeMap<String, Vec<u8>>,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<CheckpointManifest> {
    let file = |(name, it): (&String, &Vec<u8>)| FileEntry {
        name: name.clone(),
        size: it.len() as u64,
        digest: digest(it),
    };
    let tensor = |(name, it): (&String, &Tensor)| TensorEntry {
        name: name.clone(),
        dtype: it.dtype.to_string(),
        shape: it.shape.clone(),
        digest: digest(&it.bytes),
    };
    let files: Vec<_> = files.iter().map(file).collect();
    let tensors: Vec<_> = tensors.iter().map(tensor).collect();
    let id = CheckpointId::parse(&digest(content(&metadata, &files, &tensors).as_bytes()))?;
    Ok(CheckpointManifest { id, metadata, files, tensors })
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).store::<Component>()
}

modelwatch_sdk::export_plugin!(registry);
