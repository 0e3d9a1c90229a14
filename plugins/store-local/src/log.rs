//! The log of a lineage: a chain of entries to which exactly one writer adds the next.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use modelwatch_sdk::{
    Error, ErrorKind, Result,
    store::{CheckpointId, History, LogEntry, LogEvent, check_name},
};
use serde::{Deserialize, Serialize};

use crate::{
    disk::Disk,
    errors,
    format::{self, Digest, FORMAT, MAX_ENTRY},
    random,
    stage::Stage,
};

const MAX_TRIES: u32 = 16;
const HELP: &str = "put the file back from a copy of the store; nothing can be added to this lineage until then";

/// A verified entry and the digest of its file.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) entry: LogEntry,
    pub(crate) manifest: Option<Digest>,
    pub(crate) prev_hash: Digest,
    pub(crate) hash: Digest,
    pub(crate) size: u64,
    op_id: String,
}

/// What an append is to record.
pub(crate) struct Change {
    pub(crate) event: LogEvent,
    pub(crate) manifest: Option<Digest>,
}

/// The verified entries of a lineage and what they come to. Entries never change, so they are read once.
#[derive(Default)]
pub(crate) struct Chain {
    entries: Vec<LogEntry>,
    last_hash: Option<Digest>,
    history: History,
    manifests: BTreeMap<CheckpointId, Vec<Digest>>,
    is_complete: bool,
}

impl Chain {
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn entries_after(&self, seq: u64, limit: u32) -> &[LogEntry] {
        let from = usize::try_from(seq).unwrap_or(usize::MAX).min(self.entries.len());
        let rest = &self.entries[from..];
        &rest[..rest.len().min(limit as usize)]
    }

    /// Returns the manifests of a checkpoint that is there, the one that counts first.
    pub(crate) fn manifests(&self, id: &CheckpointId) -> Vec<Digest> {
        let found = self.manifests.get(id).filter(|_| self.history.contains(id));
        found.map(|it| it.iter().rev().copied().collect()).unwrap_or_default()
    }

    /// Reads what was added since the last time. Does not trust a listing to be complete, only to be true.
    fn refresh(&mut self, disk: &Disk, lineage: &str) -> Result<()> {
        let listed = if self.is_complete { 0 } else { last_listed(disk, lineage)? };
        while let Some(link) = read_entry(disk, lineage, self.entries.len() as u64 + 1)? {
            if link.prev_hash != self.last_hash.unwrap_or(Digest::ZERO) {
                let path = entry_path(disk, lineage, link.entry.seq);
                return Err(errors::corrupt(&path, "does not follow from the entry before it").with_help(HELP));
            }
            self.push(link);
        }
        if (self.entries.len() as u64) < listed {
            let path = entry_path(disk, lineage, self.entries.len() as u64 + 1);
            return Err(errors::corrupt(&path, "is missing, although later entries exist").with_help(HELP));
        }
        self.is_complete = true;
        Ok(())
    }

    fn push(&mut self, link: Link) {
        if let (LogEvent::Commit { id }, Some(manifest)) = (&link.entry.event, link.manifest) {
            self.manifests.entry(id.clone()).or_default().push(manifest);
        }
        self.history.push(link.entry.clone());
        self.last_hash = Some(link.hash);
        self.entries.push(link.entry);
    }
}

/// The logs of a store.
pub(crate) struct Log {
    disk: Arc<Disk>,
    clock: fn() -> u64,
    courtesy: Duration,
    chains: Mutex<BTreeMap<String, Arc<Mutex<Chain>>>>,
}

impl Log {
    /// `courtesy` is how long a writer waits for the one before it, see [`append`](Self::append).
    pub(crate) fn new(disk: Arc<Disk>, clock: fn() -> u64, courtesy: Duration) -> Self {
        Self { disk, clock, courtesy, chains: Mutex::default() }
    }

    /// Returns the lineages that have an entry, sorted.
    pub(crate) fn lineages(&self) -> Result<Vec<String>> {
        let mut res = Vec::new();
        for it in self.disk.list(&self.disk.root().join("log"))? {
            if check_name("lineage", &it).is_ok() && last_listed(&self.disk, &it)? > 0 {
                res.push(it);
            }
        }
        Ok(res)
    }

    /// Calls `f` with the log as it is now.
    pub(crate) fn with<T>(&self, lineage: &str, f: impl FnOnce(&Chain) -> Result<T>) -> Result<T> {
        check_name("lineage", lineage)?;
        let chain = {
            let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(chains.entry(lineage.to_owned()).or_default())
        };
        let mut chain = chain.lock().unwrap_or_else(PoisonError::into_inner);
        chain.refresh(&self.disk, lineage)?;
        f(&chain)
    }

    /// Adds what `decide` makes of the log as it is, durably; nothing if it returns `None`. It is asked
    /// again whenever another writer was faster.
    ///
    /// The link to the entry's name alone decides who was first. The lock on the folder is a courtesy that
    /// saves retries: it times out, and where there are no locks it is not missed.
    pub(crate) fn append(&self, lineage: &str, mut decide: impl FnMut(&Chain) -> Result<Option<Change>>) -> Result<()> {
        let dir = dir(&self.disk, lineage);
        let op_id = random::id();
        let mut stage = None;
        let mut courtesy = None;
        for attempt in 0..MAX_TRIES {
            let decided = self.with(lineage, |it| {
                let next = (it.history.last_seq() + 1, it.last_hash.unwrap_or(Digest::ZERO));
                Ok(decide(it)?.map(|change| (next, change)))
            })?;
            let Some(((seq, prev_hash), change)) = decided else {
                // What is already there may be another writer's, whose sync is still to come.
                return if self.disk.is_plain(&dir)? { self.disk.sync_dir(&dir) } else { Ok(()) };
            };
            if courtesy.is_none() {
                self.disk.ensure_dir(&dir)?;
                courtesy = Some(wait_in_line(&dir, self.courtesy));
                if self.with(lineage, |it| Ok(it.history.last_seq() + 1 != seq))? {
                    continue;
                }
            }
            let path = entry_path(&self.disk, lineage, seq);
            let entry = EntryFile {
                format: FORMAT,
                lineage: lineage.to_owned(),
                seq,
                prev_hash,
                op_id: op_id.clone(),
                writer: writer(),
                time: (self.clock)(),
                event: change.event,
                manifest: change.manifest,
                requires: Vec::new(),
            };
            let bytes = format::seal(&entry)?;
            if bytes.len() as u64 > MAX_ENTRY {
                return Err(Error::input(format!("an entry of {} bytes is too long for the log", bytes.len()))
                    .with_help("use a shorter text; 1 MiB is the most"));
            }
            let stage = match &mut stage {
                Some(it) => it,
                None => stage.insert(Stage::new(&self.disk)?),
            };
            let staged = stage.write(&format!("entry-{attempt}"), &bytes)?;
            if self.disk.publish(&staged, &path)? {
                return Ok(());
            }
            // A network file system may do what it was asked and report that it could not.
            if read_entry(&self.disk, lineage, seq)?.is_some_and(|it| it.op_id == op_id) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(random::number() % (1 << attempt.min(7))));
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!("cannot add to the log of `{lineage}`: other writers were faster {MAX_TRIES} times"),
        )
        .with_help("try again; nothing was changed"))
    }
}

/// Reads and checks one entry, but for its place in the chain.
pub(crate) fn read_entry(disk: &Disk, lineage: &str, seq: u64) -> Result<Option<Link>> {
    let path = entry_path(disk, lineage, seq);
    let Some(bytes) = disk.read(&path, MAX_ENTRY)? else {
        return Ok(None);
    };
    parse_entry(&path, lineage, seq, &bytes).map(Some).map_err(|e| match e.kind {
        ErrorKind::Corrupt => e.with_help(HELP),
        _ => e,
    })
}

/// Returns the numbers of the entries that the folder lists, in order.
pub(crate) fn listed(disk: &Disk, lineage: &str) -> Result<Vec<u64>> {
    let number = |it: &String| {
        let digits = it.strip_suffix(".json")?;
        let is_number = digits.len() == 20 && digits.bytes().all(|it| it.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten().filter(|&it| it > 0)
    };
    Ok(disk.list(&dir(disk, lineage))?.iter().filter_map(number).collect())
}

/// Returns the number of the last entry that the folder lists, 0 for none.
pub(crate) fn last_listed(disk: &Disk, lineage: &str) -> Result<u64> {
    Ok(listed(disk, lineage)?.last().copied().unwrap_or(0))
}

pub(crate) fn entry_path(disk: &Disk, lineage: &str, seq: u64) -> PathBuf {
    dir(disk, lineage).join(format!("{seq:020}.json"))
}

#[derive(Serialize, Deserialize)]
struct EntryFile {
    format: u64,
    lineage: String,
    seq: u64,
    prev_hash: Digest,
    op_id: String,
    #[serde(default)]
    writer: String,
    #[serde(default)]
    time: u64,
    event: LogEvent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requires: Vec<String>,
}

/// What is looked at before anything else, whatever a later version changes.
#[derive(Deserialize)]
struct Head {
    format: u64,
    #[serde(default)]
    requires: Vec<String>,
    #[serde(default)]
    writer: String,
}

fn parse_entry(path: &Path, lineage: &str, seq: u64, bytes: &[u8]) -> Result<Link> {
    let head: Head = format::unseal(path, bytes)?;
    format::check_format(path, head.format, &head.requires, &head.writer)?;
    let file: EntryFile = format::unseal(path, bytes)?;
    if file.lineage != lineage || file.seq != seq {
        let what = format_args!("is entry {} of `{}`", file.seq, file.lineage.escape_debug());
        return Err(errors::corrupt(path, what));
    }
    if matches!(file.event, LogEvent::Commit { .. }) && file.manifest.is_none() {
        return Err(errors::corrupt(path, "is a commit without a manifest"));
    }
    Ok(Link {
        entry: LogEntry { seq, time: file.time, event: file.event },
        manifest: file.manifest,
        prev_hash: file.prev_hash,
        hash: Digest::of(bytes),
        size: bytes.len() as u64,
        op_id: file.op_id,
    })
}

fn dir(disk: &Disk, lineage: &str) -> PathBuf {
    disk.root().join("log").join(lineage)
}

fn writer() -> String {
    format!("{}/{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), std::process::id())
}

fn wait_in_line(dir: &Path, patience: Duration) -> Option<File> {
    let file = File::open(dir).ok()?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Some(file),
            Err(std::fs::TryLockError::WouldBlock) if start.elapsed() < patience => {
                thread::sleep(Duration::from_millis(1 + random::number() % 8));
            }
            Err(_) => return None,
        }
    }
}
