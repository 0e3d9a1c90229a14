//! Reads what is stored and says what does not verify. Changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use modelwatch_sdk::{
    Error, ErrorKind, Host, Result,
    store::{CheckpointId, LogEvent, ScrubDepth, ScrubReport, check_name},
};

use crate::{
    collect::cancelled,
    engine::Shared,
    errors,
    format::{Digest, MAX_MANIFEST, MAX_PACK},
    keys, log,
    manifest::StoredManifest,
    pack,
    reader::Reader,
    survey::Folder,
};

pub(crate) fn scrub(shared: &Arc<Shared>, host: &dyn Host, depth: ScrubDepth) -> Result<ScrubReport> {
    let mut res = ScrubReport::default();
    let checkpoints = scrub_logs(shared, host, &mut res)?;
    let packs = shared.named(Folder::Packs, |e| report(&mut res, &e))?;
    let manifests = shared.named(Folder::Manifests, |e| report(&mut res, &e))?;
    let total = (checkpoints.len() + packs.len() + manifests.len()) as u64;
    let mut done = 0;
    let mut step = || {
        done += 1;
        host.progress(done, total);
        cancelled(host)
    };

    let mut needed: BTreeSet<Digest> = BTreeSet::new();
    let mut whole = BTreeSet::new();
    let mut sizes = BTreeMap::new();
    for (lineage, id, manifest) in &checkpoints {
        step()?;
        let bytes = &mut res.bytes;
        let mut on_bytes = |n| {
            *bytes += n;
            cancelled(host)
        };
        let read = Reader::load(shared, id, *manifest).and_then(|it| {
            needed.extend(&it.stored().packs);
            if depth == ScrubDepth::Full { it.verify(&mut on_bytes) } else { fits(shared, it.stored(), &mut sizes) }
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
        if let Err(e) = scrub_pack(shared, digest, depth, &mut res.bytes) {
            let spare = "no checkpoint needs it: move it out of the store";
            report(&mut res, &if needed.contains(&digest) { e } else { e.with_help(spare) });
        }
    }
    for digest in manifests {
        step()?;
        res.bytes +=
            shared.blobs.read(&keys::manifest(digest), MAX_MANIFEST).ok().flatten().map_or(0, |it| it.len() as u64);
        if let Err(e) = StoredManifest::load(shared.blobs.as_ref(), digest, shared.chunk_size)
            && !checkpoints.iter().any(|it| it.2 == digest)
        {
            report(&mut res, &e.with_help("no checkpoint needs it: move it out of the store"));
        }
    }
    Ok(res)
}

fn scrub_pack(shared: &Shared, digest: Digest, depth: ScrubDepth, bytes: &mut u64) -> Result<()> {
    let reads_all = match depth {
        ScrubDepth::Fast => false,
        ScrubDepth::Sampled { share, seed } => is_sampled(digest, share, seed),
        ScrubDepth::Full => true,
    };
    if !reads_all {
        return pack::read_index(shared.blobs.as_ref(), digest).map(drop);
    }
    let key = keys::pack(digest);
    let place = shared.blobs.locate(&key);
    let content = shared.blobs.read(&key, MAX_PACK)?.ok_or_else(|| errors::corrupt(&place, "is missing"))?;
    *bytes += content.len() as u64;
    pack::check(&place, &content, digest)
}

/// Draws a pack with the probability `share`, independently of all others.
fn is_sampled(digest: Digest, share: f64, seed: u64) -> bool {
    let drawn = blake3::Hasher::new().update(&digest.0).update(&seed.to_le_bytes()).finalize();
    let number = u64::from_le_bytes(*drawn.as_bytes().first_chunk().expect("a digest has 32 bytes"));
    (number as f64) < share * u64::MAX as f64
}

/// Checks that the packs of a checkpoint are there and long enough, without reading them.
fn fits(shared: &Shared, stored: &StoredManifest, sizes: &mut BTreeMap<Digest, Option<u64>>) -> Result<()> {
    for it in stored.chunks() {
        let located = stored.located(it);
        for source in [Some(located.source), located.base].into_iter().flatten() {
            let key = keys::pack(source.pack);
            let size = match sizes.get(&source.pack) {
                Some(it) => *it,
                None => {
                    let size = shared.blobs.stat(&key)?.map(|it| it.size);
                    *sizes.entry(source.pack).or_insert(size)
                }
            };
            match size {
                None => return Err(errors::corrupt(shared.blobs.locate(&key), "is missing")),
                Some(it) if source.span.offset + source.span.size > it => {
                    return Err(errors::corrupt(shared.blobs.locate(&key), format_args!("is cut off at {it} bytes")));
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// Reads all entries of all lineages, not from memory and also past a damaged one. Returns the checkpoints that
/// are there, each with its lineage and the manifest that counts.
fn scrub_logs(shared: &Shared, host: &dyn Host, res: &mut ScrubReport) -> Result<Vec<(String, CheckpointId, Digest)>> {
    let mut checkpoints = Vec::new();
    let blobs = shared.blobs.as_ref();
    for lineage in blobs.list("log")? {
        if lineage != keys::STORE_LOG && check_name("lineage", &lineage).is_err() {
            continue;
        }
        let last = match log::last_listed(blobs, &lineage) {
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
            cancelled(host)?;
            let place = blobs.locate(&keys::entry(&lineage, seq));
            let read = log::read_entry(blobs, &lineage, seq)
                .and_then(|it| it.ok_or_else(|| errors::corrupt(&place, "is missing, although later entries exist")));
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
                report(res, &errors::corrupt(&place, "does not follow from the entry before it"));
            }
            res.bytes += link.size;
            before = Some(link.hash);
            match link.entry.event {
                LogEvent::Commit { id } | LogEvent::Relocate { id } => drop(live.insert(id, link.manifest)),
                LogEvent::Remove { ids, .. } => live.retain(|id, _| !ids.contains(id)),
                _ => {}
            }
        }
        checkpoints.extend(live.into_iter().filter_map(|(id, it)| Some((lineage.clone(), id, it?))));
    }
    Ok(checkpoints)
}

/// Returns the least listed number above `seq`, or that after the last.
fn next_listed(shared: &Shared, lineage: &str, seq: u64) -> Result<u64> {
    Ok(log::listed(shared.blobs.as_ref(), lineage)?.into_iter().find(|&it| it > seq).unwrap_or(u64::MAX))
}

fn report(res: &mut ScrubReport, e: &Error) {
    let sentence = format!("{}: {}.", e.message, e.help);
    if !res.damage.contains(&sentence) {
        res.damage.push(sentence);
    }
}
