//! The log of a lineage: a chain of entries to which exactly one writer adds the next.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use modelwatch_sdk::{
    Error, ErrorKind, Result,
    store::{CheckpointId, History, LogEntry, LogEvent, check_name},
};

use crate::{
    blobs::{Blobs, Published, Stage},
    entry::{EntryFile, Link, parse_entry},
    errors,
    format::{self, Digest, FORMAT, MAX_ENTRY, MAX_SEGMENT},
    keys, random,
};

const MAX_TRIES: u32 = 16;
/// What helps a damaged log of a lineage.
const HELP: &str = "run `modelwatch store repair`, which puts it back from a replica or a segment of the log; \
    until then nothing can be added to this lineage, and what was logged before it can be read; where neither has it, \
    take that out with `modelwatch store get` and go on in a lineage of another name";

/// What helps the log of the store itself, without which nobody knows what may be used.
const STORE_HELP: &str = "run `modelwatch store repair`, which puts it back from a replica or a segment of the log; until \
    then nothing can be added to any lineage, and what is stored can be read; where neither has it, take that out with \
    `modelwatch store get` and put it into another store";

/// Returns what helps a damaged log.
pub(crate) fn help(lineage: &str) -> &'static str {
    if lineage == keys::STORE_LOG { STORE_HELP } else { HELP }
}

/// What an append is to record.
pub(crate) struct Change {
    pub(crate) event: LogEvent,
    pub(crate) manifest: Option<Digest>,
}

/// What is to be done about the log as it is.
enum Decided {
    /// The entry of that number is the one that was to be added.
    Done(u64),
    Add((u64, Digest), Change),
    Nothing,
}

impl From<LogEvent> for Change {
    fn from(event: LogEvent) -> Self {
        Self { event, manifest: None }
    }
}

/// The verified entries of a lineage and what they come to. Entries never change, so they are read once.
#[derive(Default)]
pub(crate) struct Chain {
    /// How many entries a segment repeats.
    segment: u64,
    entries: Vec<LogEntry>,
    last_hash: Option<Digest>,
    history: History,
    /// The manifests of each checkpoint, with the numbers of their entries.
    manifests: HashMap<CheckpointId, Vec<(u64, Digest)>>,
    is_complete: bool,
    /// Why the entries end where they do, if that is not the end of the log.
    damage: Option<Error>,
}

impl Chain {
    fn new(segment: u64) -> Self {
        Self { segment, ..Self::default() }
    }

    pub(crate) fn damage(&self) -> Option<&Error> {
        self.damage.as_ref()
    }

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
        found.map(|it| it.iter().rev().map(|it| it.1).collect()).unwrap_or_default()
    }

    /// Returns the manifests that count, one for each checkpoint, each with the number of its entry.
    pub(crate) fn live_manifests(&self) -> impl Iterator<Item = (u64, Digest)> {
        self.history.checkpoints().iter().filter_map(|it| self.manifests.get(&it.id)?.last()).copied()
    }

    /// Returns the lists of what was swept, with the numbers of their entries.
    pub(crate) fn sweeps(&self) -> impl Iterator<Item = (u64, &str)> {
        self.entries.iter().filter_map(|it| match &it.event {
            LogEvent::Sweep { list } => Some((it.seq, list.as_str())),
            _ => None,
        })
    }

    /// Returns the lists that are marked and were neither swept nor given up since, with the times of their marks.
    pub(crate) fn marked(&self) -> Vec<(u64, String)> {
        let mut res: Vec<(u64, String)> = Vec::new();
        for it in &self.entries {
            match &it.event {
                LogEvent::Mark { list } if res.iter().all(|it| it.1 != *list) => res.push((it.time, list.clone())),
                LogEvent::Sweep { list } | LogEvent::Void { list } => res.retain(|it| it.1 != *list),
                _ => {}
            }
        }
        res
    }

    /// Returns the lists that were marked or swept, and those of them that were given up since.
    pub(crate) fn lists(&self) -> (BTreeSet<&str>, BTreeSet<&str>) {
        let (mut all, mut void) = (BTreeSet::new(), BTreeSet::new());
        for it in &self.entries {
            match &it.event {
                LogEvent::Mark { list } | LogEvent::Sweep { list } => {
                    all.insert(list.as_str());
                    void.remove(list.as_str());
                }
                LogEvent::Void { list } => drop(void.insert(list.as_str())),
                _ => {}
            }
        }
        (all, void)
    }

    /// Returns the lineages that are known to the store's own log.
    pub(crate) fn lineages(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|it| match &it.event {
            LogEvent::Lineage { name } => Some(name.as_str()),
            _ => None,
        })
    }

    /// Reads what was added since the last time, up to what is damaged. Does not trust a listing to be complete,
    /// only to be true.
    fn refresh(&mut self, blobs: &dyn Blobs, lineage: &str) -> Result<()> {
        let listed = if self.is_complete { 0 } else { Listed::read(blobs, lineage)?.last() };
        let damage = match self.extend(blobs, lineage, listed) {
            Ok(()) if (self.entries.len() as u64) < listed => {
                let place = blobs.locate(&keys::entry(lineage, self.entries.len() as u64 + 1));
                Some(errors::corrupt(place, "is missing, although later entries exist").with_help(help(lineage)))
            }
            Ok(()) => None,
            Err(e) if e.is_damage() => Some(e),
            Err(e) => return Err(e),
        };
        self.is_complete = damage.is_none();
        self.damage = damage;
        Ok(())
    }

    /// Takes in what follows, as long as each entry follows from the one before and none after it says otherwise.
    fn extend(&mut self, blobs: &dyn Blobs, lineage: &str, listed: u64) -> Result<()> {
        let is_fresh = self.entries.is_empty();
        while self.entries.len() as u64 + self.segment <= listed && self.take_segment(blobs, lineage) {}
        let mut next = read_entry(blobs, lineage, self.entries.len() as u64 + 1)?;
        while let Some(link) = next {
            let seq = link.entry.seq;
            let is_next = link.prev_hash == self.last_hash.unwrap_or(Digest::ZERO);
            if !is_next && !is_fresh {
                // What was taken for the newest entry is not what the next one follows.
                *self = Self::new(self.segment);
                return self.extend(blobs, lineage, listed);
            }
            let after = read_entry(blobs, lineage, seq + 1);
            let contradicts = |it: &Link| it.prev_hash != link.hash;
            if !is_next || after.as_ref().is_ok_and(|it| it.as_ref().is_some_and(contradicts)) {
                let place = blobs.locate(&keys::entry(lineage, if is_next { seq + 1 } else { seq }));
                return Err(errors::corrupt(place, "does not follow from the entry before it").with_help(help(lineage)));
            }
            self.push(link);
            next = after?;
        }
        Ok(())
    }

    /// Takes in the next segment, if it is there and every entry in it follows from the one before. Whatever
    /// is wrong with it, the entries themselves are still there to be read.
    fn take_segment(&mut self, blobs: &dyn Blobs, lineage: &str) -> bool {
        let first = self.entries.len() as u64 + 1;
        if !(first - 1).is_multiple_of(self.segment) {
            return false;
        }
        let key = keys::segment(lineage, first - 1 + self.segment);
        let Ok(Some(bytes)) = blobs.read(&key, MAX_SEGMENT) else {
            return false;
        };
        let mut links = Vec::new();
        let mut before = self.last_hash.unwrap_or(Digest::ZERO);
        for (line, seq) in bytes.split(|it| *it == b'\n').zip(first..) {
            match parse_entry(&key, lineage, seq, line) {
                Ok(link) if link.prev_hash == before => {
                    before = link.hash;
                    links.push(link);
                }
                _ => return false,
            }
        }
        let is_whole = links.len() as u64 == self.segment;
        if is_whole {
            links.into_iter().for_each(|it| self.push(it));
        }
        is_whole
    }

    fn push(&mut self, link: Link) {
        match (&link.entry.event, link.manifest) {
            (LogEvent::Commit { id } | LogEvent::Relocate { id }, Some(manifest)) => {
                self.manifests.entry(id.clone()).or_default().push((link.entry.seq, manifest));
            }
            // What comes again after its removal has manifests of its own.
            (LogEvent::Remove { ids, .. }, _) => ids.iter().for_each(|it| drop(self.manifests.remove(it))),
            _ => {}
        }
        self.history.push(link.entry.clone());
        self.last_hash = Some(link.hash);
        self.entries.push(link.entry);
    }
}

/// The logs of a store.
pub(crate) struct Log {
    blobs: Arc<dyn Blobs>,
    clock: fn() -> u64,
    writer: String,
    /// How many entries a segment repeats.
    pub(crate) segment: u64,
    chains: Mutex<BTreeMap<String, Arc<Mutex<Chain>>>>,
    /// Why nothing may be added, if nothing may.
    refusal: Mutex<Option<Error>>,
}

impl Log {
    pub(crate) fn new(blobs: Arc<dyn Blobs>, clock: fn() -> u64, writer: &str, segment: u64) -> Self {
        let writer = format!("{writer} {}", std::process::id());
        Self { blobs, clock, writer, segment, chains: Mutex::default(), refusal: Mutex::default() }
    }

    /// Refuses to add anything from now on, or no longer.
    pub(crate) fn refuse(&self, why: Option<Error>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Fails where nothing may be added.
    pub(crate) fn accepts(&self) -> Result<()> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }

    /// Returns the lineages that have an entry, sorted.
    pub(crate) fn lineages(&self) -> Result<Vec<String>> {
        let mut res = Vec::new();
        for it in self.names()? {
            if Listed::read(self.blobs.as_ref(), &it)?.last() > 0 {
                res.push(it);
            }
        }
        Ok(res)
    }

    /// Returns the lineages that have a folder, though maybe no entry yet, sorted. Lists none of these folders, which
    /// takes as long as a lineage has entries.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let all = self.blobs.list("log")?;
        Ok(all.into_iter().filter(|it| check_name("lineage", it).is_ok()).collect())
    }

    /// Calls `f` with the log as it is now. Fails where any of it is damaged.
    pub(crate) fn with<T>(&self, lineage: &str, f: impl FnOnce(&Chain) -> Result<T>) -> Result<T> {
        self.readable(lineage, |it| it.damage().cloned().map_or_else(|| f(it), Err))
    }

    /// Calls `f` with the log as it is now, up to what is damaged.
    pub(crate) fn readable<T>(&self, lineage: &str, f: impl FnOnce(&Chain) -> Result<T>) -> Result<T> {
        if lineage != keys::STORE_LOG {
            check_name("lineage", lineage)?;
        }
        let chain = {
            let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
            let chain = chains.entry(lineage.to_owned());
            Arc::clone(chain.or_insert_with(|| Arc::new(Mutex::new(Chain::new(self.segment)))))
        };
        let mut chain = chain.lock().unwrap_or_else(PoisonError::into_inner);
        chain.refresh(self.blobs.as_ref(), lineage)?;
        f(&chain)
    }

    /// Adds what `decide` makes of the log as it is, durably; nothing if it returns `None`. It is asked
    /// again whenever another writer was faster. Returns the number of the entry that was added.
    ///
    /// The key of the entry alone decides who was first. Waiting in line is a courtesy that saves retries: it
    /// times out, and where there are no locks it is not missed.
    pub(crate) fn append(
        &self,
        lineage: &str,
        mut decide: impl FnMut(&Chain) -> Result<Option<Change>>,
    ) -> Result<Option<u64>> {
        self.accepts()?;
        let blobs = self.blobs.as_ref();
        let folder = keys::log(lineage);
        let op_id = random::id();
        let mut stage = None;
        let mut turn = None;
        // An entry that was tried and may yet come to be.
        let mut uncertain = None;
        for attempt in 0..MAX_TRIES {
            let decided = self.with(lineage, |it| {
                if let Some(seq) = uncertain.take()
                    && it.history.last_seq() >= seq
                    && read_entry(blobs, lineage, seq)?.is_some_and(|it| it.op_id == op_id)
                {
                    return Ok(Decided::Done(seq));
                }
                let next = (it.history.last_seq() + 1, it.last_hash.unwrap_or(Digest::ZERO));
                Ok(decide(it)?.map_or(Decided::Nothing, |change| Decided::Add(next, change)))
            })?;
            let ((seq, prev_hash), change) = match decided {
                Decided::Done(seq) => return Ok(Some(seq)),
                Decided::Add(next, change) => (next, change),
                // What is already there may be another writer's, whose sync is still to come.
                Decided::Nothing => return blobs.settle(&folder).map(|()| None),
            };
            if turn.is_none() {
                turn = Some(blobs.wait_in_line(&folder)?);
                if self.with(lineage, |it| Ok(it.history.last_seq() + 1 != seq))? {
                    continue;
                }
            }
            self.check_last(lineage, seq - 1, prev_hash)?;
            let entry = EntryFile {
                format: FORMAT,
                lineage: lineage.to_owned(),
                seq,
                prev_hash,
                op_id: op_id.clone(),
                writer: self.writer.clone(),
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
                None => stage.insert(blobs.stage()?),
            };
            let name = format!("entry-{attempt}");
            stage.write(&name, &bytes)?;
            let published = stage.publish(&name, &keys::entry(lineage, seq))?;
            uncertain = matches!(published, Published::Unknown(_)).then_some(seq);
            if self.is_ours(lineage, seq, &op_id, published)? {
                if seq.is_multiple_of(self.segment) {
                    // It only saves time later; without it the entries are read one by one.
                    let _ = self.write_segment(lineage, seq, stage.as_ref());
                }
                return Ok(Some(seq));
            }
            thread::sleep(Duration::from_millis(random::number() % (1 << attempt.min(7))));
        }
        if let Some(seq) = uncertain {
            return Err(self.unsure(lineage, seq, &op_id, &format!("there was no answer {MAX_TRIES} times")));
        }
        Err(Error::new(
            ErrorKind::Busy,
            format!("cannot add to the log of `{lineage}`: other writers were faster {MAX_TRIES} times"),
        )
        .with_help("try again; nothing was changed"))
    }

    /// Fails unless the entry that the next one is to follow is still there: entries are read once, and the place may have
    /// come to be an older copy of itself.
    fn check_last(&self, lineage: &str, seq: u64, hash: Digest) -> Result<()> {
        let blobs = self.blobs.as_ref();
        if seq == 0 || read_entry(blobs, lineage, seq)?.is_some_and(|it| it.hash == hash) {
            return Ok(());
        }
        let place = blobs.locate(&keys::entry(lineage, seq));
        Err(Error::io(format!("`{place}`, which was there, is not in the store that is there now")).with_help(
            "see to it that the store is mounted that was there, not an older copy of it, then start again; \
             nothing was changed",
        ))
    }

    /// Returns whether the entry of that number is the one that was just tried. A reply can be lost, and a
    /// network file system may do what it was asked and report that it could not: then only looking tells.
    fn is_ours(&self, lineage: &str, seq: u64, op_id: &str, published: Published) -> Result<bool> {
        let looked = || read_entry(self.blobs.as_ref(), lineage, seq);
        let unanswered = match published {
            Published::Created => return Ok(true),
            Published::Taken => None,
            Published::Unknown(e) => Some(e),
        };
        let why = match looked() {
            Ok(found) => return Ok(found.is_some_and(|it| it.op_id == op_id)),
            Err(e) if e.is_damage() && unanswered.is_none() => return Err(e),
            Err(e) => unanswered.unwrap_or(e),
        };
        Err(self.unsure(lineage, seq, op_id, &why.message))
    }

    fn unsure(&self, lineage: &str, seq: u64, op_id: &str, why: &str) -> Error {
        let key = self.blobs.locate(&keys::entry(lineage, seq));
        let what = format!("whether `{key}` was written is not known yet: {why}");
        Error::new(ErrorKind::Uncertain, what).with_help(format!(
            "nothing was lost; once the store can be reached, it is there if the entry has the op_id {op_id}"
        ))
    }

    /// Writes the entries up to `seq` once more, in one file that is read faster.
    fn write_segment(&self, lineage: &str, seq: u64, stage: &dyn Stage) -> Result<()> {
        stage.write("segment", &segment_bytes(self.blobs.as_ref(), lineage, seq, self.segment)?)?;
        match stage.publish("segment", &keys::segment(lineage, seq))? {
            Published::Created | Published::Taken => Ok(()),
            Published::Unknown(e) => Err(e),
        }
    }
}

/// Reads and checks one entry, but for its place in the chain.
pub(crate) fn read_entry(blobs: &dyn Blobs, lineage: &str, seq: u64) -> Result<Option<Link>> {
    let key = keys::entry(lineage, seq);
    let parse = |it: Option<Vec<u8>>| it.map(|it| parse_entry(&blobs.locate(&key), lineage, seq, &it)).transpose();
    blobs.read(&key, MAX_ENTRY).and_then(parse).map_err(|e| errors::mendable(e, help(lineage)))
}

/// Returns what the segment of the `n` entries up to `seq` is to be.
pub(crate) fn segment_bytes(blobs: &dyn Blobs, lineage: &str, seq: u64, n: u64) -> Result<Vec<u8>> {
    let mut res = Vec::new();
    for it in seq + 1 - n..=seq {
        let entry = blobs.read(&keys::entry(lineage, it), MAX_ENTRY)?.unwrap_or_default();
        if !res.is_empty() {
            res.push(b'\n');
        }
        res.extend_from_slice(&entry);
    }
    Ok(res)
}

/// What a folder says of the log in it.
#[derive(Default)]
pub(crate) struct Listed {
    /// The numbers of the entries, in order.
    pub(crate) entries: Vec<u64>,
    /// The numbers of the last entries of the segments, in order.
    pub(crate) segments: Vec<u64>,
}

impl Listed {
    pub(crate) fn read(blobs: &dyn Blobs, lineage: &str) -> Result<Self> {
        let number = |digits: &str| -> Option<u64> {
            let is_number = digits.len() == 20 && digits.bytes().all(|it| it.is_ascii_digit());
            is_number.then(|| digits.parse().ok()).flatten().filter(|&it| it > 0)
        };
        let mut res = Self::default();
        for it in blobs.list(&keys::log(lineage))? {
            res.entries.extend(it.strip_suffix(".json").and_then(number));
            res.segments.extend(it.strip_suffix(".segment").and_then(number));
        }
        Ok(res)
    }

    /// Returns the number of the last entry there is or was, 0 for none: a segment repeats entries that exist.
    pub(crate) fn last(&self) -> u64 {
        let [entry, segment] = [&self.entries, &self.segments].map(|it| it.last().copied().unwrap_or(0));
        entry.max(segment)
    }

    /// Returns the least number above `seq` of an entry, or of a segment that may have it; that after the last if
    /// there is none.
    pub(crate) fn next(&self, seq: u64, segment: u64) -> u64 {
        let entry = self.entries.iter().copied().find(|&it| it > seq).unwrap_or(u64::MAX);
        let in_segment = self.segments.iter().copied().find(|&it| it > seq);
        let in_segment = in_segment.map_or(u64::MAX, |it| (seq + 1).max(it.saturating_sub(segment) + 1));
        entry.min(in_segment)
    }
}
