//! Reads logs and says what does not verify: entries, the segments that repeat them, and ends that only replicas have.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::{
    Host, Result,
    store::{CheckpointId, LogEvent, ScrubReport, check_name},
};

use crate::{
    collect::cancelled,
    engine::Shared,
    entry::parse_entry,
    errors,
    format::{Digest, MAX_SEGMENT},
    keys,
    log::{self, Listed},
    scrub::report,
};

/// A checkpoint that is there: its lineage, its id, and the manifest that counts.
pub(crate) type Live = (String, CheckpointId, Digest);

/// Reads all entries of all lineages, not from memory and also past a damaged one. Returns the checkpoints that
/// are there.
pub(crate) fn scrub_logs(shared: &Shared, host: &dyn Host, res: &mut ScrubReport) -> Result<Vec<Live>> {
    let mut live = Vec::new();
    for lineage in shared.logs()? {
        let listed = match Listed::read(shared.blobs.as_ref(), &lineage) {
            Ok(it) => it,
            Err(e) => {
                report(shared, res, e)?;
                continue;
            }
        };
        let entries = scrub_entries(shared, host, &lineage, &listed, res)?;
        scrub_segments(shared, &lineage, &listed, &entries.hashes, res)?;
        scrub_end(shared, &lineage, listed.last(), entries.last_hash, res)?;
        live.extend(entries.live.into_iter().map(|(id, it)| (lineage.clone(), id, it)));
    }
    Ok(live)
}

/// What the entries of a log come to.
#[derive(Default)]
struct Entries {
    hashes: BTreeMap<u64, Digest>,
    /// Unless the last entry is damaged.
    last_hash: Option<Digest>,
    live: BTreeMap<CheckpointId, Digest>,
}

fn scrub_entries(
    shared: &Shared,
    host: &dyn Host,
    lineage: &str,
    listed: &Listed,
    res: &mut ScrubReport,
) -> Result<Entries> {
    let blobs = shared.blobs.as_ref();
    let mut entries = Entries { last_hash: Some(Digest::ZERO), ..Entries::default() };
    let mut seq = 0;
    while seq < listed.last() {
        seq += 1;
        cancelled(host)?;
        let place = blobs.locate(&keys::entry(lineage, seq));
        let read = log::read_entry(blobs, lineage, seq).and_then(|it| {
            it.ok_or_else(|| {
                errors::corrupt(&place, "is missing, although later entries exist").with_help(log::help(lineage))
            })
        });
        let link = match read {
            Ok(it) => it,
            Err(e) => {
                report(shared, res, e)?;
                entries.last_hash = None;
                // A stray file with a huge number is one gap, not as many as there are numbers.
                seq = listed.next(seq, shared.log.segment).saturating_sub(1);
                continue;
            }
        };
        if entries.last_hash.is_some_and(|it| it != link.prev_hash) {
            report(
                shared,
                res,
                errors::corrupt(&place, "does not follow from the entry before it").with_help(log::help(lineage)),
            )?;
        }
        res.bytes += link.size;
        entries.last_hash = Some(link.hash);
        entries.hashes.insert(seq, link.hash);
        match link.entry.event {
            LogEvent::Commit { id } | LogEvent::Relocate { id } => {
                entries.live.extend(link.manifest.map(|it| (id, it)));
            }
            LogEvent::Remove { ids, .. } => entries.live.retain(|id, _| !ids.contains(id)),
            _ => {}
        }
    }
    Ok(entries)
}

/// Holds segments against the entries that they repeat.
fn scrub_segments(
    shared: &Shared,
    lineage: &str,
    listed: &Listed,
    hashes: &BTreeMap<u64, Digest>,
    res: &mut ScrubReport,
) -> Result<()> {
    let n = shared.log.segment;
    for &last in listed.segments.iter().filter(|it| it.is_multiple_of(n)) {
        let key = keys::segment(lineage, last);
        let place = shared.blobs.locate(&key);
        let bytes = match shared.blobs.read(&key, MAX_SEGMENT) {
            Ok(it) => it.unwrap_or_default(),
            Err(e) => {
                report(shared, res, e)?;
                continue;
            }
        };
        res.bytes += bytes.len() as u64;
        let repeats = |(seq, line): (u64, &[u8])| match hashes.get(&seq) {
            Some(it) => *it == Digest::of(line),
            None => parse_entry(&place, lineage, seq, line).is_ok(),
        };
        let lines: Vec<_> = (last + 1 - n..).zip(bytes.split(|it| *it == b'\n')).collect();
        if lines.len() as u64 != n || !lines.into_iter().all(repeats) {
            let e = errors::corrupt(&place, "does not repeat the entries that it is there for");
            report(
                shared,
                res,
                e.with_help("run `modelwatch store repair`, which writes it anew; the entries are read instead"),
            )?;
        }
    }
    Ok(())
}

/// The newest entries can go without a trace in the store itself, but not in a copy of it.
fn scrub_end(shared: &Shared, lineage: &str, last: u64, hash: Option<Digest>, res: &mut ScrubReport) -> Result<()> {
    let key = keys::entry(lineage, last + 1);
    for replica in &shared.replicas {
        let Ok(Some(link)) = log::read_entry(replica.as_ref(), lineage, last + 1) else { continue };
        // Unless it was added since the folder was listed.
        if hash.is_none_or(|it| it == link.prev_hash) && shared.blobs.stat(&key)?.is_none() {
            let (place, copy) = (shared.blobs.locate(&key), replica.locate(&key));
            let e = errors::corrupt(place, format_args!("is missing, although a replica has it: `{copy}`"));
            report(shared, res, e.with_help(log::help(lineage)))?;
        }
    }
    Ok(())
}

impl Shared {
    /// Returns the logs that the store or a replica has, sorted: those of lineages, and the store's own.
    pub(crate) fn logs(&self) -> Result<BTreeSet<String>> {
        let mut res: BTreeSet<String> = self.blobs.list("log")?.into_iter().collect();
        // A replica that cannot be reached is no help, but no harm either.
        res.extend(self.replicas.iter().filter_map(|it| it.list("log").ok()).flatten());
        res.retain(|it| it == keys::STORE_LOG || check_name("lineage", it).is_ok());
        Ok(res)
    }
}
