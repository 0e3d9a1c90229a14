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
    format::{Digest, MAX_PACK, MAX_STORE_FILE, store_id},
    frame::{self, Located, Scratch, Source},
    keys, log,
    manifest::{Chunk, StoredManifest},
    pack,
    relocate::relocate,
    repair_log::{mend_lists, mend_log, mend_store_file, set_aside},
    survey::{self, Folder},
};

pub(crate) fn repair(shared: &Arc<Shared>, host: &dyn Host) -> Result<RepairReport> {
    // Where not even that can be read for the moment, nothing can be found out.
    if let Err(e) = shared.blobs.read(keys::STORE_FILE, MAX_STORE_FILE)
        && !e.is_damage()
    {
        return Err(e);
    }
    refuse_foreign(shared)?;
    let mut res = RepairReport::default();
    // In the order in which one leads to the next. What fails is no reason to leave the rest as it is.
    let mended = mend_store_file(shared, &mut res);
    go_on(mended, "the kind of the store", &mut res)?;
    for lineage in shared.logs()? {
        let mended = mend_log(shared, host, &lineage, &mut res);
        go_on(mended, &format!("the log of `{lineage}`"), &mut res)?;
    }
    let mended = mend_lists(shared, host, &mut res);
    go_on(mended, "the lists of garbage", &mut res)?;
    let (mut elsewhere, mut unmended) = (None, BTreeSet::new());
    for lineage in shared.log.lineages()? {
        let survey = |it: &log::Chain| {
            let cut_after = it.damage().map(|_| it.history().last_seq());
            Ok((survey::checkpoints(it), cut_after))
        };
        let (checkpoints, cut_after) = match shared.log.readable(&lineage, survey) {
            Ok(it) => it,
            Err(e) => {
                go_on(Err(e), &format!("the checkpoints of `{lineage}`"), &mut res)?;
                continue;
            }
        };
        for (id, manifests) in checkpoints {
            cancelled(host)?;
            let Some(&manifest) = manifests.first() else { continue };
            // Before anything is put aside.
            let gone_after = cut_after.filter(|_| may_be_swept(shared, &missing(shared, manifest)));
            let mended =
                mend_checkpoint(shared, host, &lineage, &id, manifest, &mut elsewhere, &mut unmended, &mut res);
            if let (Some(last), Err(e)) = (gone_after, &mended)
                && e.is_damage()
            {
                res.unclear.push(format!(
                    "the checkpoint `{}` of `{lineage}` is not there, since {}; it may have been removed after entry {last}.",
                    id.short(),
                    e.message
                ));
                continue;
            }
            go_on(mended, &format!("the checkpoint `{}` of `{lineage}`", id.short()), &mut res)?;
        }
    }
    let mended = set_packs_aside(shared, host, &unmended, &mut res);
    go_on(mended, "damaged packs", &mut res)?;
    Ok(res)
}

/// Refuses a replica that is a copy of another store: what only that one has was never in this one.
///
/// Where `store.json` is damaged, so that nobody knows which store it is, the first entries of logs say it, which never change.
fn refuse_foreign(shared: &Shared) -> Result<()> {
    let own = id_of(shared.blobs.as_ref());
    for it in &shared.replicas {
        let is_foreign = match (&own, id_of(it.as_ref())) {
            (Some(own), Some(other)) => *own != other,
            (None, Some(_)) => begins_otherwise(shared, it.as_ref())?,
            // It cannot be reached, or is damaged itself.
            (_, None) => false,
        };
        if is_foreign {
            let place = it.locate(keys::STORE_FILE);
            return Err(Error::input(format!("the replica with `{place}` is a copy of another store"))
                .with_help("name a copy of this one in `replicas`; nothing was changed"));
        }
    }
    Ok(())
}

fn id_of(blobs: &dyn Blobs) -> Option<String> {
    store_id(&blobs.read(keys::STORE_FILE, MAX_STORE_FILE).ok()??)
}

/// Returns whether there are logs whose beginning can be read, and none that the replica has begun in the same way.
fn begins_otherwise(shared: &Shared, replica: &dyn Blobs) -> Result<bool> {
    let mut is_any = false;
    for lineage in shared.blobs.list("log")? {
        let first = |blobs: &dyn Blobs| log::read_entry(blobs, &lineage, 1).ok().flatten().map(|it| it.hash);
        let Some(own) = first(shared.blobs.as_ref()) else { continue };
        match first(replica) {
            Some(it) if it == own => return Ok(false),
            // Begun since a stale replica was made. Every store has the log of the store itself.
            None if lineage != keys::STORE_LOG => {}
            _ => is_any = true,
        }
    }
    Ok(is_any)
}

/// Takes a failure down, unless it is that the repair is to end. What is not damaged for certain was left as it was.
fn go_on(mended: Result<()>, what: &str, res: &mut RepairReport) -> Result<()> {
    match mended {
        Err(e) if e.kind == ErrorKind::Cancelled => return Err(e),
        Err(e) if e.is_damage() => res.lost.push(format!("{what}: {}.", e.message)),
        Err(e) => res.lost.push(format!("{what} could not be looked through, and stays as it is: {}.", e.message)),
        Ok(()) => {}
    }
    Ok(())
}

type Elsewhere = HashMap<Digest, Vec<Source>>;

/// Returns the files of a checkpoint that are not there.
fn missing(shared: &Shared, manifest: Digest) -> Vec<(Folder, Digest)> {
    let files = match StoredManifest::load(shared.blobs.as_ref(), manifest, shared.chunk_size) {
        Ok(it) => it.packs.into_iter().map(|it| (Folder::Packs, it)).collect(),
        Err(_) => vec![(Folder::Manifests, manifest)],
    };
    let is_missing = |it: &(Folder, Digest)| shared.blobs.stat(&it.0.key(it.1)).is_ok_and(|it| it.is_none());
    files.into_iter().filter(is_missing).collect()
}

/// Returns whether a garbage collection deleted any of these files, as it does once a checkpoint was removed, or may have.
fn may_be_swept(shared: &Shared, files: &[(Folder, Digest)]) -> bool {
    let sweeps = |it: &log::Chain| {
        let lists: Vec<String> = it.sweeps().map(|it| it.1.to_owned()).collect();
        Ok((lists, it.damage().is_some()))
    };
    match shared.log.readable(keys::STORE_LOG, sweeps) {
        Ok((lists, false)) => {
            let names_any = |name: &String| {
                let list = shared.lists.get(shared.blobs.as_ref(), name);
                list.map_or(true, |list| files.iter().any(|it| list.names(it.0, &it.1)))
            };
            !files.is_empty() && lists.iter().any(names_any)
        }
        _ => !files.is_empty(),
    }
}

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
        Err(e) if e.is_damage() => {
            if !mend_named(shared, Folder::Manifests, manifest, res)? {
                // Nothing can be read by wrong bytes, so that they are of no use where they are. What the device does not
                // give back may come back.
                if e.kind == ErrorKind::Corrupt {
                    set_aside(blobs, &keys::manifest(manifest))?;
                }
                return Err(e);
            }
            StoredManifest::load(blobs, manifest, shared.chunk_size)?
        }
        Err(e) => return Err(e),
    };
    let damaged = |stored: &StoredManifest, why: &mut Option<Error>| -> Result<Vec<Digest>> {
        let mut res = Vec::new();
        let (mut bytes, mut scratch) = (Vec::new(), Scratch::default());
        for it in stored.chunks() {
            cancelled(host)?;
            bytes.resize(it.len as usize, 0);
            match stored.read_chunk(&mut scratch, blobs, it, &mut bytes) {
                Ok(()) => {}
                Err(e) if e.is_damage() => {
                    res.push(stored.packs[it.pack]);
                    res.extend(it.base.map(|it| stored.packs[it.pack]));
                    why.get_or_insert(e);
                }
                Err(e) => return Err(e),
            }
        }
        res.sort_unstable();
        res.dedup();
        Ok(res)
    };
    // A replica that cannot be reached may be of help another time; until then the same bytes elsewhere may be.
    let (mut unclear, mut why) = (None, None);
    for it in damaged(&stored, &mut why)? {
        match mend_named(shared, Folder::Packs, it, res) {
            Ok(true) => {}
            Ok(false) => drop(unmended.insert(it)),
            Err(e) => unclear = Some(e),
        }
    }
    why = None;
    if damaged(&stored, &mut why)?.is_empty() {
        return Ok(());
    }
    let elsewhere = match elsewhere {
        Some(it) => it,
        None => elsewhere.insert(index_all(shared, host)?),
    };
    // Where the log is damaged as well, it can be led to no other place, and what is wrong with the checkpoint is something else.
    let mut banned = shared.banned(lineage, false).map_err(|e| if e.is_damage() { why.unwrap_or(e) } else { e })?;
    if banned.is_unsure() {
        banned.spare(survey::packs(shared)?);
    }
    let moved =
        stored.moved(|chunk, it| find(blobs, chunk, it, elsewhere, &banned)).map_err(|e| unclear.unwrap_or(e))?;
    if !relocate(shared, lineage, manifest, &moved, &banned)? {
        let what = format!("`{}` was removed or moved meanwhile, or garbage collected", id.short());
        return Err(Error::new(ErrorKind::Busy, what).with_help("run it again"));
    }
    res.mended.push(format!(
        "the checkpoint `{}` of `{lineage}` is read from other packs that hold the same bytes.",
        id.short()
    ));
    Ok(())
}

/// Replaces a damaged or missing file by that of a replica. Returns whether it is whole now.
fn mend_named(shared: &Shared, folder: Folder, digest: Digest, res: &mut RepairReport) -> Result<bool> {
    match shared.blobs.read(&folder.key(digest), folder.cap()) {
        Ok(Some(it)) if Digest::of(&it) == digest => Ok(true),
        Err(e) if !e.is_damage() => Err(e),
        _ => put_back(shared, folder, digest, res),
    }
}

/// Puts a file that is named by its digest in its place, from a replica. Returns whether there was one.
pub(crate) fn put_back(shared: &Shared, folder: Folder, digest: Digest, res: &mut RepairReport) -> Result<bool> {
    let key = folder.key(digest);
    let Some(bytes) = of_replica(shared, &key, folder.cap(), &|it| Digest::of(it) == digest)? else {
        return Ok(false);
    };
    put(shared, &key, &bytes)?;
    res.mended.push(format!("`{}` was put back from a replica.", shared.blobs.locate(&key)));
    Ok(true)
}

/// Returns a file of the first replica whose bytes are right. Fails where none has it and one could not be asked, which is
/// no reason to do without the file.
pub(crate) fn of_replica(
    shared: &Shared,
    key: &str,
    cap: u64,
    is_right: &dyn Fn(&[u8]) -> bool,
) -> Result<Option<Vec<u8>>> {
    let mut unclear = None;
    for it in &shared.replicas {
        match it.read(key, cap) {
            Ok(Some(it)) if is_right(&it) => return Ok(Some(it)),
            Err(e) if !e.is_damage() => unclear = Some(e),
            _ => {}
        }
    }
    unclear.map_or(Ok(None), Err)
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
/// needs. The others stay where they are: what is sound in them serves, and what the device does not give back may come
/// back.
fn set_packs_aside(shared: &Shared, host: &dyn Host, damaged: &BTreeSet<Digest>, res: &mut RepairReport) -> Result<()> {
    if damaged.is_empty() {
        return Ok(());
    }
    let blobs = shared.blobs.as_ref();
    let (mut needed, mut serving) = (HashSet::new(), HashSet::new());
    let (mut bytes, mut scratch) = (Vec::new(), Scratch::default());
    // What cannot be read now may need any of them, so that none is put aside then.
    for lineage in shared.all_lineages()? {
        if shared.log.readable(&lineage, |it| Ok(it.damage().is_some()))? {
            let what =
                format!("damaged packs stay where they are: the log of `{lineage}` is damaged, and may need them.");
            res.lost.push(what);
            return Ok(());
        }
    }
    let manifests = survey::manifests(shared, |e| e.kind == ErrorKind::Corrupt)?;
    for stored in manifests.iter().filter(|it| it.packs.iter().any(|it| damaged.contains(it))) {
        for chunk in stored.chunks() {
            cancelled(host)?;
            let located = stored.located(chunk);
            let packs = [Some(located.source), located.base].into_iter().flatten().map(|it| it.pack);
            let packs: Vec<_> = packs.filter(|it| damaged.contains(it)).collect();
            if packs.iter().all(|it| serving.contains(it)) {
                continue;
            }
            bytes.resize(chunk.len as usize, 0);
            match stored.read_chunk(&mut scratch, blobs, chunk, &mut bytes) {
                Ok(()) => serving.extend(packs.iter().copied()),
                Err(e) if e.is_damage() => {}
                Err(e) => return Err(e),
            }
            needed.extend(packs);
        }
    }
    for it in damaged {
        let key = keys::pack(*it);
        let place = blobs.locate(&key);
        if serving.contains(it) {
            res.lost.push(format!("`{place}` is damaged; what can be read of it serves, so that it stays there."));
        } else if let Err(e) = blobs.read(&key, MAX_PACK)
            && e.kind != ErrorKind::Corrupt
        {
            res.lost.push(format!("{}; the file stays where it is.", e.message));
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
    for pack in shared.named(Folder::Packs, survey::pass_over)? {
        cancelled(host)?;
        let frames = match pack::read_index(shared.blobs.as_ref(), pack) {
            Ok((_, it)) => it,
            // A damaged index is no help, but no harm either.
            Err(e) if e.is_damage() => continue,
            Err(e) => return Err(e),
        };
        for it in frames {
            res.entry(it.hash).or_default().push(Source { hash: it.hash, pack, span: it.span });
        }
    }
    Ok(res)
}

/// Returns where a chunk can be read. What cannot be read for the moment is no reason to take it for lost, nor from elsewhere.
fn find(blobs: &dyn Blobs, chunk: &Chunk, located: Located, elsewhere: &Elsewhere, banned: &Banned) -> Result<Located> {
    let mut bytes = vec![0; chunk.len as usize];
    match frame::read(blobs, &located, &mut bytes) {
        Err(e) if e.is_damage() => {}
        read => return read.map(|()| located),
    }
    // Not where a garbage collection is about to delete it.
    let others = elsewhere.get(&chunk.hash).into_iter().flatten().filter(|it| !banned.has_pack(it.pack));
    let mut unclear = None;
    for it in others.map(|&source| Located { source, base: None }) {
        match frame::read(blobs, &it, &mut bytes) {
            Ok(()) => return Ok(it),
            Err(e) if e.is_damage() => {}
            Err(e) => unclear = Some(e),
        }
    }
    Err(unclear.unwrap_or_else(|| {
        let place = blobs.locate(&keys::pack(located.source.pack));
        errors::corrupt(place, format_args!("held the only copy of chunk {}", chunk.hash))
    }))
}
