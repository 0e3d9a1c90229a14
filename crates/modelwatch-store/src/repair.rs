//! Mends what does not verify from what does. Deletes nothing: damaged bytes go to `quarantine/`.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use modelwatch_sdk::{
    Error, ErrorKind, Host, Result,
    store::{CheckpointId, RepairReport},
};

use crate::{
    blobs::{Blobs, Published},
    collect::cancelled,
    condemned::Banned,
    engine::Shared,
    errors,
    format::Digest,
    frame::{self, Located, Scratch, Source},
    keys,
    manifest::{Chunk, StoredManifest},
    pack,
    relocate::relocate,
    repair_log::{mend_lists, mend_log, mend_store_file, set_aside},
    survey::{self, Folder},
};

pub(crate) fn repair(shared: &Arc<Shared>, host: &dyn Host) -> Result<RepairReport> {
    let mut res = RepairReport::default();
    // In the order in which one leads to the next.
    mend_store_file(shared, &mut res)?;
    for lineage in shared.logs()? {
        mend_log(shared, host, &lineage, &mut res)?;
    }
    mend_lists(shared, host, &mut res)?;
    let (mut elsewhere, mut unmended) = (None, BTreeSet::new());
    for lineage in shared.log.lineages()? {
        for (id, manifests) in shared.log.readable(&lineage, |it| Ok(survey::checkpoints(it)))? {
            cancelled(host)?;
            let Some(&manifest) = manifests.first() else { continue };
            let mended =
                mend_checkpoint(shared, host, &lineage, &id, manifest, &mut elsewhere, &mut unmended, &mut res);
            if let Err(e) = mended {
                match e.kind {
                    ErrorKind::Cancelled => return Err(e),
                    _ => res.lost.push(format!("the checkpoint `{}` of `{lineage}`: {}.", id.short(), e.message)),
                }
            }
        }
    }
    set_packs_aside(shared, host, &unmended, &mut res)?;
    Ok(res)
}

type Elsewhere = HashMap<Digest, Vec<Source>>;

#[expect(clippy::too_many_arguments, reason = "what is found out for one checkpoint serves the next")]
fn mend_checkpoint(
    shared: &Arc<Shared>,
    host: &dyn Host,
    lineage: &str,
    id: &CheckpointId,
    manifest: Digest,
    elsewhere: &mut Option<Elsewhere>,
    unmended: &mut BTreeSet<Digest>,
    res: &mut RepairReport,
) -> Result<()> {
    let blobs = shared.blobs.as_ref();
    let stored = match StoredManifest::load(blobs, manifest, shared.chunk_size) {
        Ok(it) => it,
        Err(e) => {
            if !mend_named(shared, Folder::Manifests, manifest, res) {
                // Nothing can be read by it, so that it is of no use where it is.
                if e.kind == ErrorKind::Corrupt {
                    set_aside(blobs, &keys::manifest(manifest))?;
                }
                return Err(e);
            }
            StoredManifest::load(blobs, manifest, shared.chunk_size)?
        }
    };
    let unreadable = |stored: &StoredManifest| -> Result<Vec<Digest>> {
        let mut res = Vec::new();
        let (mut bytes, mut scratch) = (Vec::new(), Scratch::default());
        for it in stored.chunks() {
            cancelled(host)?;
            bytes.resize(it.len as usize, 0);
            if stored.read_chunk(&mut scratch, blobs, it, &mut bytes).is_err() {
                res.push(stored.packs[it.pack]);
                res.extend(it.base.map(|it| stored.packs[it.pack]));
            }
        }
        res.sort_unstable();
        res.dedup();
        Ok(res)
    };
    let damaged = unreadable(&stored)?;
    if damaged.is_empty() {
        return Ok(());
    }
    unmended.extend(damaged.into_iter().filter(|it| !mend_named(shared, Folder::Packs, *it, res)));
    if unreadable(&stored)?.is_empty() {
        return Ok(());
    }
    let elsewhere = match elsewhere {
        Some(it) => it,
        None => elsewhere.insert(index_all(shared, host)?),
    };
    let mut banned = shared.banned(lineage, false)?;
    if banned.is_unsure() {
        banned.spare(survey::packs(shared)?);
    }
    let moved = stored.moved(|chunk, it| find(blobs, chunk, it, elsewhere, &banned))?;
    if !relocate(shared, lineage, manifest, &moved, &banned)? {
        let what = format!("`{}` was removed or moved meanwhile, or garbage collected", id.short());
        return Err(Error::new(ErrorKind::Conflict, what).with_help("run it again"));
    }
    res.mended.push(format!(
        "the checkpoint `{}` of `{lineage}` is read from other packs that hold the same bytes.",
        id.short()
    ));
    Ok(())
}

/// Replaces a damaged or missing file by that of a replica. Returns whether there was one.
fn mend_named(shared: &Shared, folder: Folder, digest: Digest, res: &mut RepairReport) -> bool {
    let found = shared.blobs.read(&folder.key(digest), folder.cap());
    found.is_ok_and(|it| it.is_some_and(|it| Digest::of(&it) == digest))
        || put_back(shared, folder, digest, res).unwrap_or(false)
}

/// Puts a file that is named by its digest in its place, from a replica. Returns whether there was one.
pub(crate) fn put_back(shared: &Shared, folder: Folder, digest: Digest, res: &mut RepairReport) -> Result<bool> {
    let key = folder.key(digest);
    let Some(bytes) = of_replica(shared, &key, folder.cap(), &|it| Digest::of(it) == digest) else {
        return Ok(false);
    };
    put(shared, &key, &bytes)?;
    res.mended.push(format!("`{}` was put back from a replica.", shared.blobs.locate(&key)));
    Ok(true)
}

/// Returns a file of the first replica whose bytes are right.
pub(crate) fn of_replica(shared: &Shared, key: &str, cap: u64, is_right: &dyn Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    shared.replicas.iter().find_map(|it| it.read(key, cap).ok().flatten().filter(|it| is_right(it)))
}

/// Puts a file in the place of what is damaged or missing. What was there goes to quarantine.
pub(crate) fn put(shared: &Shared, key: &str, bytes: &[u8]) -> Result<()> {
    if shared.blobs.stat(key).is_ok_and(|it| it.is_none()) {
        return put_new(shared, key, bytes).map(drop);
    }
    let stage = shared.blobs.stage()?;
    stage.write("mended", bytes)?;
    stage.replace("mended", key)
}

/// Puts a file where there is none. Returns whether it was put: another may have been faster.
pub(crate) fn put_new(shared: &Shared, key: &str, bytes: &[u8]) -> Result<bool> {
    let stage = shared.blobs.stage()?;
    stage.write("mended", bytes)?;
    match stage.publish("mended", key)? {
        Published::Created => Ok(true),
        Published::Taken => Ok(false),
        Published::Unknown(e) => Err(e),
    }
}

/// Puts packs into quarantine that are damaged, that no replica has, and of which nothing can be read that a checkpoint
/// needs. The others stay where they are: what is sound in them serves.
fn set_packs_aside(shared: &Shared, host: &dyn Host, damaged: &BTreeSet<Digest>, res: &mut RepairReport) -> Result<()> {
    if damaged.is_empty() {
        return Ok(());
    }
    let blobs = shared.blobs.as_ref();
    let (mut needed, mut serving) = (HashSet::new(), HashSet::new());
    let (mut bytes, mut scratch) = (Vec::new(), Scratch::default());
    for stored in survey::manifests(shared)?.filter(|it| it.packs.iter().any(|it| damaged.contains(it))) {
        for chunk in stored.chunks() {
            cancelled(host)?;
            let located = stored.located(chunk);
            let packs = [Some(located.source), located.base].into_iter().flatten().map(|it| it.pack);
            let packs: Vec<_> = packs.filter(|it| damaged.contains(it)).collect();
            if packs.iter().all(|it| serving.contains(it)) {
                continue;
            }
            bytes.resize(chunk.len as usize, 0);
            if stored.read_chunk(&mut scratch, blobs, chunk, &mut bytes).is_ok() {
                serving.extend(packs.iter().copied());
            }
            needed.extend(packs);
        }
    }
    for it in damaged {
        let key = keys::pack(*it);
        let place = blobs.locate(&key);
        if serving.contains(it) {
            res.lost.push(format!("`{place}` is damaged; what can be read of it serves, so that it stays there."));
        } else if set_aside(blobs, &key)? {
            let (list, what) = match needed.contains(it) {
                true => (&mut res.lost, "nothing that a checkpoint needs can be read from it"),
                false => (&mut res.mended, "no checkpoint needs it any more"),
            };
            list.push(format!("`{place}` was damaged and was put into `quarantine/`: {what}."));
        }
    }
    Ok(())
}

/// Finds all frames that stand for themselves, by the chunk in them.
fn index_all(shared: &Shared, host: &dyn Host) -> Result<Elsewhere> {
    let mut res = Elsewhere::new();
    for pack in shared.named(Folder::Packs, |_| ())? {
        cancelled(host)?;
        // A damaged index is no help, but no harm either.
        let Ok((_, frames)) = pack::read_index(shared.blobs.as_ref(), pack) else { continue };
        for it in frames {
            res.entry(it.hash).or_default().push(Source { hash: it.hash, pack, span: it.span });
        }
    }
    Ok(res)
}

/// Returns where a chunk can be read.
fn find(blobs: &dyn Blobs, chunk: &Chunk, located: Located, elsewhere: &Elsewhere, banned: &Banned) -> Result<Located> {
    let mut bytes = vec![0; chunk.len as usize];
    if frame::read(blobs, &located, &mut bytes).is_ok() {
        return Ok(located);
    }
    // Not where a garbage collection is about to delete it.
    let others = elsewhere.get(&chunk.hash).into_iter().flatten().filter(|it| !banned.has_pack(it.pack));
    let mut others = others.map(|&source| Located { source, base: None });
    others.find(|it| frame::read(blobs, it, &mut bytes).is_ok()).ok_or_else(|| {
        let place = blobs.locate(&keys::pack(located.source.pack));
        errors::corrupt(place, format_args!("held the only copy of chunk {}", chunk.hash))
    })
}
