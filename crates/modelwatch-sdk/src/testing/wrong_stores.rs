//! A correct store and many wrong ones, which prove that the suite for stores notices.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value};

use crate::{
    error::{Error, ErrorKind, Result},
    host::Host,
    store::{
        CheckpointId, CheckpointManifest, CheckpointReader, CheckpointStore, CheckpointWriter, FileEntry, History,
        LogEntry, LogEvent, ScrubDepth, ScrubReport, TensorEntry, VerdictRecord, check_file_name, check_name, content,
    },
    tensor::{DType, TensorView},
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    ForgetsTheLastEntryWhenReopened,
    FlipsABitOfFiles,
    FlipsABitOfTensors,
    FlipsABitOfTensorsInPieces,
    TakesAnyFileName,
    TakesAnyLineageName,
    LineagesSeeEachOther,
    SetRefIgnoresExpected,
    SetRefTakesAnyCheckpoint,
    LogHasAGap,
    LogIgnoresItsLimit,
    UnsetRefIgnoresExpected,
    RemovesWhatARefPointsAt,
    RemovesAPart,
    RemovesForGood,
    IdDependsOnTime,
    IdForgetsMetadata,
    IdIsAnotherDigest,
    CommitsAgain,
    DroppedWriterCommits,
    ManifestIsNotSorted,
    ListsAnotherDigest,
    FailsPastTheEnd,
    ScrubReadsNothing,
    ScrubFindsDamage,
}

/// What is in a folder, if it were one.
#[derive(Default)]
struct Disk {
    logs: BTreeMap<String, Vec<LogEntry>>,
    contents: BTreeMap<CheckpointId, Content>,
    /// Counts what was committed.
    time: u64,
}

/// What was handed to a writer.
#[derive(Clone, Default)]
struct Content {
    metadata: Map<String, Value>,
    files: BTreeMap<String, Vec<u8>>,
    tensors: BTreeMap<String, (DType, Vec<u64>, Vec<u8>)>,
}

/// The folders, by their paths, which the suite never uses again.
static DISKS: Mutex<BTreeMap<PathBuf, Arc<Mutex<Disk>>>> = Mutex::new(BTreeMap::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct MemoryStore {
    fault: Fault,
    disk: Arc<Mutex<Disk>>,
}

struct Writer {
    store: MemoryStore,
    lineage: String,
    content: Content,
    committed: bool,
}

struct Reader {
    fault: Fault,
    content: Content,
    manifest: CheckpointManifest,
}

impl MemoryStore {
    fn open(path: &Path, fault: Fault) -> Box<dyn CheckpointStore> {
        let disk = Arc::clone(lock(&DISKS).entry(path.to_owned()).or_default());
        if fault == Fault::ForgetsTheLastEntryWhenReopened {
            lock(&disk).logs.values_mut().for_each(|it| drop(it.pop()));
        }
        Box::new(Self { fault, disk })
    }

    /// Returns the key of a lineage's log.
    fn key<'l>(&self, lineage: &'l str) -> &'l str {
        if self.fault == Fault::LineagesSeeEachOther { "all" } else { lineage }
    }

    /// Appends to a lineage's log what `event` makes of the history so far, if anything.
    fn append(&self, lineage: &str, event: impl FnOnce(&History, &mut Disk) -> Result<Option<LogEvent>>) -> Result<()> {
        let mut disk = lock(&self.disk);
        let mut history = History::default();
        let entries = disk.logs.get(self.key(lineage)).into_iter().flatten().cloned();
        entries.for_each(|it| history.push(it));
        let Some(event) = event(&history, &mut disk)? else { return Ok(()) };
        let step = if self.fault == Fault::LogHasAGap { 2 } else { 1 };
        let entry = LogEntry { seq: history.last_seq() + step, time: 0, event };
        disk.logs.entry(self.key(lineage).to_owned()).or_default().push(entry);
        Ok(())
    }

    fn commit(&self, lineage: &str, content: &Content) -> Result<CheckpointId> {
        let mut disk = lock(&self.disk);
        disk.time += 1;
        let id = content.id(self.fault, disk.time)?;
        drop(disk);
        self.append(lineage, |history, disk| {
            disk.contents.insert(id.clone(), content.clone());
            let gone = |it: &LogEntry| matches!(&it.event, LogEvent::Remove { ids, .. } if ids.contains(&id));
            let removed = self.fault == Fault::RemovesForGood && disk.logs.values().flatten().any(gone);
            let known = self.fault != Fault::CommitsAgain && history.contains(&id);
            Ok((!known && !removed).then(|| LogEvent::Commit { id: id.clone() }))
        })?;
        Ok(id)
    }
}

impl Content {
    fn id(&self, fault: Fault, time: u64) -> Result<CheckpointId> {
        let metadata = if fault == Fault::IdForgetsMetadata { Map::new() } else { self.metadata.clone() };
        let mut text = content(&metadata, &self.file_entries(fault), &self.tensor_entries(fault));
        match fault {
            Fault::IdDependsOnTime => text += &time.to_string(),
            Fault::IdIsAnotherDigest => text += "\n",
            _ => {}
        }
        CheckpointId::parse(&digest(Fault::None, text.as_bytes()))
    }

    fn file_entries(&self, fault: Fault) -> Vec<FileEntry> {
        let entry = |(name, it): (&String, &Vec<u8>)| FileEntry {
            name: name.clone(),
            size: it.len() as u64,
            digest: digest(fault, it),
        };
        self.files.iter().map(entry).collect()
    }

    fn tensor_entries(&self, fault: Fault) -> Vec<TensorEntry> {
        let entry = |(name, (dtype, shape, bytes)): (&String, &(DType, Vec<u64>, Vec<u8>))| TensorEntry {
            name: name.clone(),
            dtype: dtype.to_string(),
            shape: shape.clone(),
            digest: digest(fault, bytes),
        };
        self.tensors.iter().map(entry).collect()
    }
}

fn digest(fault: Fault, bytes: &[u8]) -> String {
    let digest = blake3::hash(bytes).to_hex().to_string();
    if fault == Fault::ListsAnotherDigest { digest.chars().rev().collect() } else { digest }
}

fn not_found(id: &CheckpointId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no checkpoint `{}`", id.short()))
}

impl CheckpointStore for MemoryStore {
    fn begin(&self, _: &dyn Host, lineage: &str, metadata: &Map<String, Value>) -> Result<Box<dyn CheckpointWriter>> {
        if self.fault != Fault::TakesAnyLineageName {
            check_name("lineage", lineage)?;
        }
        let content = Content { metadata: metadata.clone(), ..Content::default() };
        Ok(Box::new(Writer { store: self.clone(), lineage: lineage.to_owned(), content, committed: false }))
    }

    fn open(&self, _: &dyn Host, id: &CheckpointId) -> Result<Box<dyn CheckpointReader>> {
        let content = lock(&self.disk).contents.get(id).cloned().ok_or_else(|| not_found(id))?;
        let (files, tensors) = (content.file_entries(self.fault), content.tensor_entries(self.fault));
        let mut manifest = CheckpointManifest { id: id.clone(), metadata: content.metadata.clone(), files, tensors };
        if self.fault == Fault::ManifestIsNotSorted {
            manifest.files.reverse();
        }
        Ok(Box::new(Reader { fault: self.fault, content, manifest }))
    }

    fn lineages(&self) -> Result<Vec<String>> {
        Ok(lock(&self.disk).logs.keys().cloned().collect())
    }

    fn log(&self, lineage: &str, after: u64, limit: u32) -> Result<Vec<LogEntry>> {
        let disk = lock(&self.disk);
        let entries = disk.logs.get(self.key(lineage)).into_iter().flatten().filter(|it| it.seq > after);
        let limit = if self.fault == Fault::LogIgnoresItsLimit { usize::MAX } else { limit as usize };
        Ok(entries.take(limit).cloned().collect())
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
        self.append(lineage, |history, _| {
            if !history.contains(id) && self.fault != Fault::SetRefTakesAnyCheckpoint {
                return Err(not_found(id));
            }
            let from = history.refs().find(|it| it.0 == name).map(|it| it.1.clone());
            if from.as_ref() != expected && self.fault != Fault::SetRefIgnoresExpected {
                return Err(Error::new(ErrorKind::Conflict, format!("`{name}` is elsewhere")));
            }
            let (name, to, reason) = (name.to_owned(), id.clone(), reason.to_owned());
            Ok(Some(LogEvent::SetRef { name, from, to, reason }))
        })
    }

    fn record_verdict(&self, lineage: &str, id: &CheckpointId, verdict: &VerdictRecord) -> Result<()> {
        self.append(lineage, |history, _| match history.contains(id) {
            true => Ok(Some(LogEvent::Verdict { id: id.clone(), verdict: verdict.clone() })),
            false => Err(not_found(id)),
        })
    }

    fn unset_ref(&self, lineage: &str, name: &str, expected: &CheckpointId, reason: &str) -> Result<()> {
        self.append(lineage, |history, _| {
            let Some(from) = history.refs().find(|it| it.0 == name).map(|it| it.1.clone()) else {
                return Err(Error::new(ErrorKind::NotFound, format!("there is no ref `{name}`")));
            };
            if from != *expected && self.fault != Fault::UnsetRefIgnoresExpected {
                return Err(Error::new(ErrorKind::Conflict, format!("`{name}` is elsewhere")));
            }
            Ok(Some(LogEvent::UnsetRef { name: name.to_owned(), from, reason: reason.to_owned() }))
        })
    }

    fn remove(&self, lineage: &str, ids: &[CheckpointId], reason: &str) -> Result<()> {
        self.append(lineage, |history, _| {
            let there: Vec<_> = ids.iter().filter(|it| history.contains(it)).cloned().collect();
            if there.len() < ids.len() && (there.is_empty() || self.fault != Fault::RemovesAPart) {
                return Err(not_found(&ids[0]));
            }
            if history.refs().any(|it| there.contains(it.1)) && self.fault != Fault::RemovesWhatARefPointsAt {
                return Err(Error::new(ErrorKind::Conflict, "a ref points at it"));
            }
            Ok(Some(LogEvent::Remove { ids: there, reason: reason.to_owned() }))
        })
    }

    fn scrub(&self, _: &dyn Host, _: ScrubDepth) -> Result<ScrubReport> {
        let disk = lock(&self.disk);
        let damage = if self.fault == Fault::ScrubFindsDamage { vec!["it looks bad".to_owned()] } else { Vec::new() };
        let checkpoints = if self.fault == Fault::ScrubReadsNothing { 0 } else { disk.contents.len() as u64 };
        Ok(ScrubReport { checkpoints, damage, ..ScrubReport::default() })
    }
}

impl CheckpointWriter for Writer {
    fn append(&mut self, file: &str, bytes: &[u8]) -> Result<()> {
        if self.store.fault != Fault::TakesAnyFileName {
            check_file_name(file)?;
        }
        self.content.files.entry(file.to_owned()).or_default().extend(bytes);
        Ok(())
    }

    fn tensor(&mut self, tensor: &TensorView<'_>) -> Result<()> {
        let it = (tensor.dtype, tensor.shape.to_vec(), tensor.bytes.to_vec());
        match self.content.tensors.insert(tensor.name.to_owned(), it) {
            None => Ok(()),
            Some(_) => Err(Error::input(format!("there are two tensors `{}`", tensor.name))),
        }
    }

    fn publish(&mut self) -> Result<CheckpointId> {
        self.committed = true;
        self.store.commit(&self.lineage, &self.content)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.store.fault == Fault::DroppedWriterCommits && !self.committed {
            drop(self.store.commit(&self.lineage, &self.content));
        }
    }
}

impl CheckpointReader for Reader {
    fn manifest(&self) -> &CheckpointManifest {
        &self.manifest
    }

    fn read(&self, file: &str, offset: u64, out: &mut [u8]) -> Result<usize> {
        let bytes = self.content.files.get(file);
        let bytes = bytes.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no file `{file}`")))?;
        let rest = &bytes[(offset as usize).min(bytes.len())..];
        if rest.is_empty() && self.fault == Fault::FailsPastTheEnd {
            return Err(Error::input("there is nothing left"));
        }
        Ok(copy(rest, out, self.fault == Fault::FlipsABitOfFiles))
    }

    fn tensor(&self, name: &str) -> Result<Option<TensorView<'_>>> {
        let Some((name, (dtype, shape, bytes))) = self.content.tensors.get_key_value(name) else { return Ok(None) };
        // Other bytes of the same length: a flipped bit, seen from afar.
        let bytes = if self.fault == Fault::FlipsABitOfTensors { &ZEROS[..bytes.len()] } else { bytes };
        Ok(Some(TensorView { name, dtype: *dtype, shape, bytes }))
    }

    fn read_tensor(&self, name: &str, offset: u64, out: &mut [u8]) -> Result<usize> {
        let found = self.content.tensors.get(name);
        let (.., bytes) =
            found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no tensor `{name}`")))?;
        Ok(copy(&bytes[offset as usize..], out, self.fault == Fault::FlipsABitOfTensorsInPieces))
    }
}

/// Copies what there is room for, and returns how much that is.
fn copy(from: &[u8], out: &mut [u8], flips_a_bit: bool) -> usize {
    let n = from.len().min(out.len());
    out[..n].copy_from_slice(&from[..n]);
    if flips_a_bit && let Some(it) = out[..n].last_mut() {
        *it ^= 1;
    }
    n
}

static ZEROS: [u8; 64] = [0; 64];

fn run(fault: Fault) {
    super::store(&|path| Ok(MemoryStore::open(path, fault)));
}

#[test]
fn a_correct_store_passes() {
    run(Fault::None);
}

#[test]
fn each_broken_promise_is_caught() {
    let mut complaints = BTreeSet::new();
    for (fault, words) in [
        (Fault::ForgetsTheLastEntryWhenReopened, "the log of a reopened store is another"),
        (Fault::FlipsABitOfFiles, "the file `one` is not what was written"),
        (Fault::FlipsABitOfTensors, "the tensor `layer.0/f16:0` is not what was written"),
        (Fault::FlipsABitOfTensorsInPieces, "the tensor `layer.0/f16:0` is another one in pieces"),
        (Fault::TakesAnyFileName, "a file named \"\": it was accepted"),
        (Fault::TakesAnyLineageName, "a lineage named \"\": it was accepted"),
        (Fault::LineagesSeeEachOther, "a lineage sees another's checkpoints"),
        (Fault::SetRefIgnoresExpected, "moving a ref that is not there from somewhere: it was accepted"),
        (Fault::SetRefTakesAnyCheckpoint, "moving a ref to what is not there: it was accepted"),
        (Fault::LogHasAGap, "the log's numbers are not 1, 2, 3"),
        (Fault::LogIgnoresItsLimit, "the log in pages is not the log"),
        (Fault::RemovesWhatARefPointsAt, "removing what a ref points at: it was accepted"),
        (Fault::UnsetRefIgnoresExpected, "taking a ref away from where it is not: it was accepted"),
        (Fault::RemovesAPart, "removing one that is there and one that is not: it was accepted"),
        (Fault::RemovesForGood, "what was removed cannot come again"),
        (Fault::IdDependsOnTime, "the same content has another id"),
        (Fault::IdForgetsMetadata, "different metadata has the same id"),
        (Fault::IdIsAnotherDigest, "an id is not the BLAKE3 digest of `store::content`"),
        (Fault::CommitsAgain, "committing the same content again changed the log"),
        (Fault::DroppedWriterCommits, "a writer that was dropped left an entry"),
        (Fault::ManifestIsNotSorted, "the manifest's files are not sorted by name"),
        (Fault::ListsAnotherDigest, "the manifest lists digests that are not those of BLAKE3"),
        (Fault::FailsPastTheEnd, "reading `empty`: Input error: there is nothing left"),
        (Fault::ScrubReadsNothing, "the scrub of a store with checkpoints read none"),
        (Fault::ScrubFindsDamage, "an empty store is damaged"),
    ] {
        let payload = catch_unwind(AssertUnwindSafe(|| run(fault))).expect_err("the suite notices");
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let message = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default();
        assert!(message.contains(words), "{fault:?}: {message}");
        assert!(complaints.insert(words), "{fault:?}: another fault leads to the same complaint");
    }
}
