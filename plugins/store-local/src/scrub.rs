//! Reads everything that is stored and says what does not verify. Changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use modelwatch_sdk::{
    Error, ErrorKind, Host, Result,
    store::{CheckpointId, LogEvent, ScrubReport, check_name},
};

use crate::{
    errors,
    format::{Digest, MAX_MANIFEST, MAX_PACK},
    log,
    manifest::StoredManifest,
    pack,
    reader::Reader,
    store::Shared,
};

pub(crate) fn scrub(shared: &Arc<Shared>, host: &dyn Host) -> Result<ScrubReport> {
    let mut res = ScrubReport::default();
    let checkpoints = scrub_logs(shared, host, &mut res)?;
    let packs = named(shared, "packs", "pack", &mut res)?;
    let manifests = named(shared, "manifests", "json", &mut res)?;
    let total = (checkpoints.len() + packs.len() + manifests.len()) as u64;
    let mut done = 0;
    let mut step = || {
        done += 1;
        host.progress(done, total);
        if host.is_cancelled() { Err(host.cancelled()) } else { Ok(()) }
    };

    let mut needed: BTreeSet<Digest> = BTreeSet::new();
    let mut whole = BTreeSet::new();
    for (lineage, id, manifest) in &checkpoints {
        step()?;
        let bytes = &mut res.bytes;
        let mut on_bytes = |n| {
            *bytes += n;
            if host.is_cancelled() { Err(host.cancelled()) } else { Ok(()) }
        };
        let read = Reader::load(shared, id, *manifest).and_then(|it| {
            needed.extend(it.packs());
            it.verify(&mut on_bytes)
        });
        match read {
            Ok(()) => drop(whole.insert(id)),
            Err(e) if e.kind == ErrorKind::Cancelled => return Err(e),
            Err(e) => {
                let e = Error {
                    message: format!("the checkpoint `{}` of `{lineage}` cannot be read: {}", id.short(), e.message),
                    ..e
                };
                report(&mut res, &e);
            }
        }
    }
    res.checkpoints = whole.len() as u64;

    for digest in packs {
        step()?;
        let path = crate::manifest::pack_path(&shared.disk, digest);
        let checked = shared.disk.read(&path, MAX_PACK).and_then(|it| {
            let bytes = it.ok_or_else(|| errors::corrupt(&path, "is missing"))?;
            res.bytes += bytes.len() as u64;
            pack::check(&path, &bytes, digest)
        });
        if let Err(e) = checked {
            let spare = "no checkpoint needs it: move it out of the store";
            report(&mut res, &if needed.contains(&digest) { e } else { e.with_help(spare) });
        }
    }
    for digest in manifests {
        step()?;
        let path = crate::manifest::path(&shared.disk, digest);
        res.bytes += shared.disk.read(&path, MAX_MANIFEST).ok().flatten().map_or(0, |it| it.len() as u64);
        if let Err(e) = StoredManifest::load(&shared.disk, digest, shared.chunk_size)
            && !checkpoints.iter().any(|it| it.2 == digest)
        {
            report(&mut res, &e.with_help("no checkpoint needs it: move it out of the store"));
        }
    }
    Ok(res)
}

/// Reads all entries of all lineages, not from memory and also past a damaged one. Returns the checkpoints that
/// are there, each with its lineage and the manifest that counts.
fn scrub_logs(shared: &Shared, host: &dyn Host, res: &mut ScrubReport) -> Result<Vec<(String, CheckpointId, Digest)>> {
    let mut checkpoints = Vec::new();
    for lineage in shared.disk.list(&shared.disk.root().join("log"))? {
        if check_name("lineage", &lineage).is_err() {
            continue;
        }
        let last = match log::last_listed(&shared.disk, &lineage) {
            Ok(it) => it,
            Err(e) => {
                report(res, &e);
                continue;
            }
        };
        let mut live = BTreeMap::new();
        let mut before = Some(Digest::ZERO);
        let mut seq = 0;
        while seq < last {
            seq += 1;
            if host.is_cancelled() {
                return Err(host.cancelled());
            }
            let path = log::entry_path(&shared.disk, &lineage, seq);
            let read = log::read_entry(&shared.disk, &lineage, seq)
                .and_then(|it| it.ok_or_else(|| errors::corrupt(&path, "is missing, although later entries exist")));
            let link = match read {
                Ok(it) => it,
                Err(e) => {
                    report(res, &e);
                    before = None;
                    // A stray file with a huge number is one gap, not as many as there are numbers.
                    seq = next_listed(shared, &lineage, seq)?.saturating_sub(1);
                    continue;
                }
            };
            if before.is_some_and(|it| it != link.prev_hash) {
                report(res, &errors::corrupt(&path, "does not follow from the entry before it"));
            }
            res.bytes += link.size;
            before = Some(link.hash);
            match link.entry.event {
                LogEvent::Commit { id } => drop(live.insert(id, link.manifest)),
                LogEvent::Remove { id } => drop(live.remove(&id)),
                _ => {}
            }
        }
        checkpoints.extend(live.into_iter().filter_map(|(id, it)| Some((lineage.clone(), id, it?))));
    }
    Ok(checkpoints)
}

/// Returns the least listed number above `seq`, or that after the last.
fn next_listed(shared: &Shared, lineage: &str, seq: u64) -> Result<u64> {
    Ok(log::listed(&shared.disk, lineage)?.into_iter().find(|&it| it > seq).unwrap_or(u64::MAX))
}

/// Returns the digests that name the files of a folder.
fn named(shared: &Shared, folder: &str, extension: &str, res: &mut ScrubReport) -> Result<Vec<Digest>> {
    let folder = shared.disk.root().join(folder);
    let mut digests = Vec::new();
    for shard in shared.disk.list(&folder)? {
        let dir = folder.join(&shard);
        for name in list_or_report(shared, &dir, res) {
            let Some(stem) = name.strip_suffix(extension).and_then(|it| it.strip_suffix('.')) else {
                continue;
            };
            match Digest::parse(stem).filter(|_| stem.starts_with(&shard) && shard.len() == 2) {
                Some(it) => digests.push(it),
                None => {
                    let e = errors::corrupt(&dir.join(&name), "has a name that is not the digest of anything");
                    report(res, &e.with_help("move it out of the store"));
                }
            }
        }
    }
    Ok(digests)
}

fn list_or_report(shared: &Shared, dir: &Path, res: &mut ScrubReport) -> Vec<String> {
    if dir.is_file() {
        return Vec::new();
    }
    shared.disk.list(dir).unwrap_or_else(|e| {
        report(res, &e);
        Vec::new()
    })
}

fn report(res: &mut ScrubReport, e: &Error) {
    let sentence = format!("{}: {}.", e.message, e.help);
    if !res.damage.contains(&sentence) {
        res.damage.push(sentence);
    }
}
