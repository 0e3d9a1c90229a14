//! The store: what it shares with readers and writers, and the changes that are one log entry each.

use std::{sync::Arc, time::SystemTime};

use modelwatch_sdk::{
    Error, ErrorKind, Host, Result,
    store::{
        CheckpointId, CheckpointReader, CheckpointStore, CheckpointWriter, CollectOptions, CollectReport, DoctorReport,
        History, LogEntry, LogEvent, RepairReport, ScrubDepth, ScrubReport, StoreStats, VerdictRecord, check_name,
    },
};
use serde_json::{Map, Value};

use crate::{
    blobs::{Blobs, Published},
    collect,
    condemned::Lists,
    doctor, errors,
    format::{self, CHUNK_SIZE, Digest, FORMAT, MAX_MANIFEST, MAX_PACK, MAX_STORE_FILE, SEGMENT, StoreFile},
    keys,
    log::{Change, Log},
    manifest,
    pace::{Compression, Pace},
    random,
    reader::Reader,
    repair, scrub, stats,
    writer::Writer,
};

/// A checkpoint store, wherever its files are.
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What a store is opened with.
#[derive(Clone)]
pub struct Settings {
    /// Name and version of the plugin, for the log.
    pub writer: &'static str,
    /// Returns seconds since 1970.
    pub clock: fn() -> u64,
    /// The chunk size of a store that is created.
    pub chunk_size: u64,
    /// The greatest size of a pack.
    pub max_pack: u64,
    /// When chunks are stored smaller than they are.
    pub compression: Compression,
    /// Whether a tensor may be stored as a difference to that of an earlier checkpoint.
    pub uses_delta: bool,
    /// Other copies of the store, from which damage is mended.
    pub replicas: Vec<Arc<dyn Blobs>>,
}

/// What the store shares with its readers and writers.
pub(crate) struct Shared {
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) log: Log,
    pub(crate) lists: Lists,
    pub(crate) clock: fn() -> u64,
    pub(crate) chunk_size: u64,
    pub(crate) max_pack: u64,
    pub(crate) pace: Arc<Pace>,
    pub(crate) uses_delta: bool,
    pub(crate) replicas: Vec<Arc<dyn Blobs>>,
}

impl Settings {
    /// Returns the ordinary settings of a plugin of that name and version.
    pub fn of(writer: &'static str) -> Self {
        Self {
            writer,
            clock: || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_secs()),
            chunk_size: CHUNK_SIZE,
            max_pack: MAX_PACK,
            compression: Compression::Adaptive,
            uses_delta: false,
            replicas: Vec::new(),
        }
    }
}

impl Engine {
    /// Opens the store, making one where there is none. Where `store.json` is damaged and a replica has it, the store
    /// can be read and repaired.
    ///
    /// # Errors
    /// When the place cannot be used, or was written by a newer version.
    pub fn open(blobs: Arc<dyn Blobs>, settings: Settings) -> Result<Self> {
        Self::open_with_segments(blobs, settings, SEGMENT)
    }

    /// As [`Self::open`], with segments of so many entries, which tests have smaller.
    pub(crate) fn open_with_segments(blobs: Arc<dyn Blobs>, settings: Settings, segment: u64) -> Result<Self> {
        let Settings { writer, clock, chunk_size, max_pack, compression, uses_delta, replicas } = settings;
        let place = blobs.locate(keys::STORE_FILE);
        let file = blobs.read(keys::STORE_FILE, MAX_STORE_FILE).and_then(|it| match it {
            Some(bytes) => StoreFile::parse(&place, &bytes),
            None => create(blobs.as_ref(), clock(), chunk_size),
        });
        let log = Log::new(Arc::clone(&blobs), clock, writer, segment);
        let chunk_size = match file {
            Ok(it) => it.chunk_size,
            Err(e) => {
                let of_replica = e.is_damage().then(|| store_file(&replicas)).flatten();
                let Some(file) = of_replica else { return Err(e) };
                log.refuse(Some(e.with_help(
                    "run `modelwatch store repair`, which puts it back from a replica; until then nothing can be added",
                )));
                file.chunk_size
            }
        };
        let lists = Lists::default();
        let pace = Arc::new(Pace::new(compression));
        let shared = Shared { blobs, log, lists, clock, chunk_size, max_pack, pace, uses_delta, replicas };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn no_such(&self, lineage: &str, id: &CheckpointId) -> Error {
        let short = id.short();
        Error::new(ErrorKind::NotFound, format!("the lineage `{lineage}` has no checkpoint `{short}`"))
            .with_help("`modelwatch store list` shows what there is")
    }

    fn append(&self, lineage: &str, decide: impl FnMut(&crate::log::Chain) -> Result<Option<Change>>) -> Result<()> {
        self.shared.log.append(lineage, decide).map(drop)
    }
}

impl Shared {
    /// Does what comes before anything can be deleted, and once more after giving up what is kept free for that where there is
    /// no space for it: else there would never be space again.
    fn with_reserve<T>(&self, mut act: impl FnMut() -> Result<T>) -> Result<T> {
        match act() {
            Err(e) if e.kind == ErrorKind::NoSpace && self.blobs.give_up_reserve()? => act(),
            res => res,
        }
    }

    /// Returns the manifests under which a checkpoint can be found, the most promising first, and why there may be more of them.
    pub(crate) fn find(&self, id: &CheckpointId) -> Result<(Vec<Digest>, Option<Error>)> {
        let mut res = Vec::new();
        let mut failure = None;
        for lineage in self.log.names()? {
            // Damage is no reason to refuse a checkpoint of another lineage, or one that was logged before it.
            match self.log.readable(&lineage, |it| Ok((it.manifests(id), it.damage().cloned()))) {
                Ok((found, damage)) => {
                    res.extend(found);
                    failure = damage.map(|it| unless_passing(failure.take(), it)).or(failure);
                }
                Err(e) => failure = Some(unless_passing(failure, e)),
            }
        }
        Ok((res, failure))
    }
}

/// Returns the later failure, unless the one before it may be over in a moment: then nobody can tell that there is damage, or that
/// something is gone.
fn unless_passing(before: Option<Error>, later: Error) -> Error {
    before.filter(|it| !it.is_damage() && it.kind != ErrorKind::Gone).unwrap_or(later)
}

impl CheckpointStore for Engine {
    fn begin(&self, _: &dyn Host, lineage: &str, metadata: &Map<String, Value>) -> Result<Box<dyn CheckpointWriter>> {
        check_name("lineage", lineage)?;
        self.shared.log.accepts()?;
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
        let (mut manifests, mut failure) = self.shared.find(id)?;
        let mut tried = Vec::new();
        // A collection can move it between the look-up and the read, so that what was not there may be elsewhere by now.
        while !manifests.is_empty() {
            for it in manifests {
                match Reader::load(&self.shared, id, it) {
                    Ok(it) => return Ok(Box::new(it)),
                    Err(e) => failure = Some(unless_passing(failure, e)),
                }
                tried.push(it);
            }
            manifests = self.shared.find(id)?.0;
            manifests.retain(|it| !tried.contains(it));
        }
        let root = self.shared.blobs.locate("");
        Err(failure.unwrap_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("the store `{root}` has no checkpoint `{}`", id.short()))
                .with_help("`modelwatch store list` shows what there is")
        }))
    }

    fn lineages(&self) -> Result<Vec<String>> {
        self.shared.log.lineages()
    }

    fn log(&self, lineage: &str, after: u64, limit: u32) -> Result<Vec<LogEntry>> {
        self.shared.log.readable(lineage, |it| match (it.entries_after(after, limit), it.damage()) {
            ([], Some(e)) if limit > 0 => Err(e.clone()),
            (found, _) => Ok(found.to_vec()),
        })
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
        if name == "latest" {
            // Set once, it would stay there, whatever is stored next.
            return Err(Error::input("`latest` is always the newest checkpoint").with_help("choose another name"));
        }
        self.append(lineage, |it| {
            let history = it.history();
            if !history.contains(id) {
                return Err(self.no_such(lineage, id));
            }
            let current = history.get_ref(name);
            if current != expected {
                return Err(moved(lineage, name, current));
            }
            let (name, from) = (name.to_owned(), expected.cloned());
            Ok(Some(LogEvent::SetRef { name, from, to: id.clone(), reason: reason.to_owned() }.into()))
        })
    }

    fn unset_ref(&self, lineage: &str, name: &str, expected: &CheckpointId, reason: &str) -> Result<()> {
        check_name("ref", name)?;
        self.append(lineage, |it| {
            let Some((_, current)) = it.history().refs().find(|it| it.0 == name) else {
                return Err(Error::new(ErrorKind::NotFound, format!("there is no ref `{lineage}@{name}`"))
                    .with_help("`modelwatch store list` shows the refs"));
            };
            if current != expected {
                return Err(moved(lineage, name, Some(current)));
            }
            let (name, from, reason) = (name.to_owned(), current.clone(), reason.to_owned());
            Ok(Some(LogEvent::UnsetRef { name, from, reason }.into()))
        })
    }

    fn record_verdict(&self, lineage: &str, id: &CheckpointId, verdict: &VerdictRecord) -> Result<()> {
        self.append(lineage, |it| {
            if !it.history().contains(id) {
                return Err(self.no_such(lineage, id));
            }
            Ok(Some(LogEvent::Verdict { id: id.clone(), verdict: verdict.clone() }.into()))
        })
    }

    fn remove(&self, lineage: &str, ids: &[CheckpointId], reason: &str) -> Result<()> {
        let decide = |it: &crate::log::Chain| {
            if let Some(id) = ids.iter().find(|id| !it.history().contains(id)) {
                return Err(self.no_such(lineage, id));
            }
            for id in ids {
                if let Some((name, _)) = it.history().refs().find(|it| it.1 == id) {
                    let what = format!("cannot remove `{}`: `{lineage}@{name}` points at it", id.short());
                    return Err(Error::new(ErrorKind::Conflict, what).with_help("move the ref elsewhere first"));
                }
            }
            let event = || LogEvent::Remove { ids: ids.to_vec(), reason: reason.to_owned() }.into();
            Ok((!ids.is_empty()).then(event))
        };
        let mut is_again = false;
        self.shared.with_reserve(|| {
            let may_be_done = std::mem::replace(&mut is_again, true);
            self.append(lineage, |it| {
                // The first attempt may have come further than it could tell.
                let is_done = may_be_done && ids.iter().all(|id| it.history().removed().contains(id));
                if is_done { Ok(None) } else { decide(it) }
            })
        })
    }

    fn scrub(&self, host: &dyn Host, depth: ScrubDepth) -> Result<ScrubReport> {
        scrub::scrub(&self.shared, host, depth)
    }

    fn collect(&self, host: &dyn Host, options: &CollectOptions) -> Result<CollectReport> {
        collect::collect(&self.shared, host, options)
    }

    fn repair(&self, host: &dyn Host) -> Result<RepairReport> {
        repair::repair(&self.shared, host)
    }

    fn stats(&self, host: &dyn Host) -> Result<StoreStats> {
        stats::stats(&self.shared, host)
    }

    fn doctor(&self, host: &dyn Host) -> Result<DoctorReport> {
        doctor::examine(self.shared.blobs.as_ref(), host)
    }

    fn check_clock(&self, _: &dyn Host) -> Result<()> {
        self.shared.with_reserve(|| collect::check_clock(&self.shared))
    }

    fn history(&self, lineage: &str) -> Result<History> {
        self.shared.log.readable(lineage, |it| {
            let mut res = it.history().clone();
            it.damage().into_iter().for_each(|it| res.end_at(it.clone()));
            Ok(res)
        })
    }
}

fn moved(lineage: &str, name: &str, current: Option<&CheckpointId>) -> Error {
    let at = current.map_or("not set".to_owned(), |it| format!("at `{}`", it.short()));
    Error::new(ErrorKind::Conflict, format!("cannot move `{lineage}@{name}`: it is {at} now"))
        .with_help("look at what moved it, then try again; nothing was changed")
}

/// Returns the first `store.json` of a replica that verifies.
fn store_file(replicas: &[Arc<dyn Blobs>]) -> Option<StoreFile> {
    replicas.iter().find_map(|it| {
        let bytes = it.read(keys::STORE_FILE, MAX_STORE_FILE).ok()??;
        StoreFile::parse(&it.locate(keys::STORE_FILE), &bytes).ok()
    })
}

/// Makes the place a store; returns the winner's file where several try at once.
fn create(blobs: &dyn Blobs, created: u64, chunk_size: u64) -> Result<StoreFile> {
    let place = blobs.locate(keys::STORE_FILE);
    let written = || -> Result<Option<StoreFile>> {
        blobs.read(keys::STORE_FILE, MAX_STORE_FILE)?.map(|it| StoreFile::parse(&place, &it)).transpose()
    };
    for it in ["log", "manifests", "packs"] {
        if !blobs.list(it)?.is_empty() {
            // Since the file was looked for, another process may have begun the store and written to it.
            return written()?.ok_or_else(|| {
                errors::corrupt(&place, format_args!("is missing, although there is a folder `{it}`")).with_help(
                    "put the file back from a copy of the store, or name that copy in `replicas` and run \
                     `modelwatch store repair`; for a new store use an empty folder",
                )
            });
        }
    }
    let file = StoreFile { format_version: FORMAT, store_id: random::id(), chunk_size, created, requires: Vec::new() };
    let stage = blobs.stage()?;
    stage.write(keys::STORE_FILE, &format::seal(&file)?)?;
    if let Published::Unknown(e) = stage.publish(keys::STORE_FILE, keys::STORE_FILE)? {
        return Err(e);
    }
    written()?.ok_or_else(|| errors::corrupt(&place, "is missing, although it was just written"))
}
