//! Mends what does not verify from what does. Deletes nothing: damaged bytes go to `quarantine/`.

use std::{collections::HashMap, sync::Arc};

use modelwatch_sdk::{
    Error, ErrorKind, Host, Result,
    store::{CheckpointId, RepairReport},
};

use crate::{
    blobs::Blobs,
    collect::cancelled,
    engine::Shared,
    entry, errors,
    format::{Digest, MAX_ENTRY, MAX_MANIFEST, MAX_PACK},
    frame::{self, Located, Scratch, Source},
    keys, log,
    manifest::{Chunk, StoredManifest},
    pack,
    relocate::relocate,
    survey::{self, Folder},
};

pub(crate) fn repair(shared: &Arc<Shared>, host: &dyn Host) -> Result<RepairReport> {
    let mut res = RepairReport::default();
    // In the order in which one leads to the next.
    for lineage in shared.blobs.list("log")? {
        mend_log(shared, host, &lineage, &mut res)?;
    }
    let mut elsewhere = None;
    for lineage in shared.log.lineages()? {
        let checkpoints = match survey::checkpoints(shared, &lineage) {
            Ok(it) => it,
            Err(e) => {
                res.lost.push(format!("the lineage `{lineage}` cannot be read: {}.", e.message));
                continue;
            }
        };
        for (id, manifests) in checkpoints {
            cancelled(host)?;
            let Some(&manifest) = manifests.first() else { continue };
            if let Err(e) = mend_checkpoint(shared, host, &lineage, &id, manifest, &mut elsewhere, &mut res) {
                match e.kind {
                    ErrorKind::Cancelled => return Err(e),
                    _ => res.lost.push(format!("the checkpoint `{}` of `{lineage}`: {}.", id.short(), e.message)),
                }
            }
        }
    }
    Ok(res)
}

/// Puts entries back that a replica has and that fit into the chain on both sides.
fn mend_log(shared: &Shared, host: &dyn Host, lineage: &str, res: &mut RepairReport) -> Result<()> {
    let blobs = shared.blobs.as_ref();
    let last = log::last_listed(blobs, lineage)?;
    let mut before = Some(Digest::ZERO);
    for seq in 1..=last {
        cancelled(host)?;
        let key = keys::entry(lineage, seq);
        let damage = match log::read_entry(blobs, lineage, seq) {
            Ok(Some(link)) if before.is_none_or(|it| it == link.prev_hash) => {
                before = Some(link.hash);
                continue;
            }
            Ok(Some(_)) => "does not follow from the entry before it".to_owned(),
            Ok(None) => "is missing".to_owned(),
            Err(e) => e.message,
        };
        let next = log::read_entry(blobs, lineage, seq + 1).ok().flatten().map(|it| it.prev_hash);
        let fits = |bytes: &[u8]| {
            entry::parse_entry(&key, lineage, seq, bytes).is_ok_and(|it| {
                before.is_none_or(|before| before == it.prev_hash) && next.is_none_or(|next| next == it.hash)
            })
        };
        if put_back(shared, &key, MAX_ENTRY, &fits)? {
            res.mended.push(format!("`{}` was put back from a replica.", blobs.locate(&key)));
            before = log::read_entry(blobs, lineage, seq)?.map(|it| it.hash);
        } else {
            res.lost.push(format!("`{}`: {damage}; no replica has it.", blobs.locate(&key)));
            before = None;
        }
    }
    Ok(())
}

type Elsewhere = HashMap<Digest, Vec<Source>>;

fn mend_checkpoint(
    shared: &Arc<Shared>,
    host: &dyn Host,
    lineage: &str,
    id: &CheckpointId,
    manifest: Digest,
    elsewhere: &mut Option<Elsewhere>,
    res: &mut RepairReport,
) -> Result<()> {
    let blobs = shared.blobs.as_ref();
    let stored = match StoredManifest::load(blobs, manifest, shared.chunk_size) {
        Ok(it) => it,
        Err(e) => {
            mend_named(shared, Folder::Manifests, manifest, res).then_some(()).ok_or(e)?;
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
    for it in damaged {
        mend_named(shared, Folder::Packs, it, res);
    }
    if unreadable(&stored)?.is_empty() {
        return Ok(());
    }
    let elsewhere = match elsewhere {
        Some(it) => it,
        None => elsewhere.insert(index_all(shared, host)?),
    };
    let banned = shared.banned(lineage, false)?;
    let moved = stored.moved(|chunk, it| find(blobs, chunk, it, elsewhere))?;
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
    let key = folder.key(digest);
    let cap = if folder == Folder::Packs { MAX_PACK } else { MAX_MANIFEST };
    let is_right = |bytes: &[u8]| Digest::of(bytes) == digest;
    if shared.blobs.read(&key, cap).is_ok_and(|it| it.is_some_and(|it| is_right(&it))) {
        return true;
    }
    let is_back = put_back(shared, &key, cap, &is_right).unwrap_or(false);
    if is_back {
        res.mended.push(format!("`{}` was put back from a replica.", shared.blobs.locate(&key)));
    }
    is_back
}

/// Puts a file back from the first replica whose bytes are right. What was there goes to quarantine first.
fn put_back(shared: &Shared, key: &str, cap: u64, is_right: &dyn Fn(&[u8]) -> bool) -> Result<bool> {
    let read = |it: &Arc<dyn Blobs>| it.read(key, cap).ok().flatten().filter(|it| is_right(it));
    let Some(bytes) = shared.replicas.iter().find_map(read) else {
        return Ok(false);
    };
    let stage = shared.blobs.stage()?;
    stage.write("mended", &bytes)?;
    if shared.blobs.stat(key).is_ok_and(|it| it.is_some()) {
        shared.blobs.quarantine(key)?;
    }
    stage.replace("mended", key)?;
    Ok(true)
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
fn find(blobs: &dyn Blobs, chunk: &Chunk, located: Located, elsewhere: &Elsewhere) -> Result<Located> {
    let mut bytes = vec![0; chunk.len as usize];
    if frame::read(blobs, &located, &mut bytes).is_ok() {
        return Ok(located);
    }
    let others = elsewhere.get(&chunk.hash).into_iter().flatten().map(|&source| Located { source, base: None });
    others.into_iter().find(|it| frame::read(blobs, it, &mut bytes).is_ok()).ok_or_else(|| {
        let place = blobs.locate(&keys::pack(located.source.pack));
        errors::corrupt(place, format_args!("held the only copy of chunk {}", chunk.hash))
    })
}
