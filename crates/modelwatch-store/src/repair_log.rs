//! Mends what the checkpoints are found by: `store.json`, logs with their segments, and the lists of garbage.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Error, Host, Result,
    store::{LogEvent, RepairReport},
};

use crate::{
    blobs::Blobs,
    collect::cancelled,
    condemned::List,
    engine::Shared,
    entry::parse_entry,
    format::{Digest, MAX_ENTRY, MAX_SEGMENT, MAX_STORE_FILE, StoreFile},
    keys,
    log::{self, Listed},
    repair::{of_replica, put, put_back, put_new},
    survey::Folder,
};

/// Puts `store.json` back from a replica, if it is damaged and one has it.
pub(crate) fn mend_store_file(shared: &Shared, res: &mut RepairReport) -> Result<()> {
    let place = shared.blobs.locate(keys::STORE_FILE);
    let read = shared.blobs.read(keys::STORE_FILE, MAX_STORE_FILE);
    match read.and_then(|it| it.map(|it| StoreFile::parse(&place, &it)).transpose()) {
        Ok(Some(_)) => return Ok(()),
        Err(e) if !e.is_damage() => return Err(e),
        _ => {}
    }
    match of_replica(shared, keys::STORE_FILE, MAX_STORE_FILE, &|it| StoreFile::parse(&place, it).is_ok())? {
        Some(bytes) => {
            put(shared, keys::STORE_FILE, &bytes)?;
            res.mended.push(format!("`{place}` was put back from a replica."));
            shared.log.refuse(None);
        }
        None => res.lost.push(format!("`{place}` does not verify; no replica has it.")),
    }
    Ok(())
}

/// Puts entries back that a segment or a replica has and that fit into the chain on both sides, and those that only a
/// replica has at the end. Then writes segments anew that do not repeat their entries.
pub(crate) fn mend_log(shared: &Shared, host: &dyn Host, lineage: &str, res: &mut RepairReport) -> Result<()> {
    let blobs = shared.blobs.as_ref();
    let listed = Listed::read(blobs, lineage)?;
    let (mut before, mut is_whole) = (Some(Digest::ZERO), true);
    let mut seq = 0;
    while seq < listed.last() {
        seq += 1;
        cancelled(host)?;
        let key = keys::entry(lineage, seq);
        let damage = match log::read_entry(blobs, lineage, seq) {
            Ok(Some(link)) if before.is_none_or(|it| it == link.prev_hash) => {
                before = Some(link.hash);
                continue;
            }
            Ok(Some(_)) => "does not follow from the entry before it".to_owned(),
            Ok(None) => "is missing".to_owned(),
            Err(e) if e.is_damage() => e.message,
            Err(e) => return Err(e),
        };
        let next = match log::read_entry(blobs, lineage, seq + 1) {
            Ok(it) => it.map(|it| it.prev_hash),
            Err(e) if e.is_damage() => None,
            Err(e) => return Err(e),
        };
        let fits = |bytes: &[u8]| {
            parse_entry(&key, lineage, seq, bytes).is_ok_and(|it| {
                before.is_none_or(|before| before == it.prev_hash) && next.is_none_or(|next| next == it.hash)
            })
        };
        if let Some((bytes, source)) = find_entry(shared, lineage, seq, &fits, res)? {
            put(shared, &key, &bytes)?;
            res.mended.push(format!("`{}` was put back from a {source}.", blobs.locate(&key)));
            before = Some(Digest::of(&bytes));
        } else {
            let what = "no segment has it, and no replica that could be asked";
            res.lost.push(format!("`{}`: {damage}; {what}.", blobs.locate(&key)));
            (before, is_whole) = (None, false);
            seq = listed.next(seq, shared.log.segment).saturating_sub(1);
        }
    }
    if let Some(before) = before {
        mend_end(shared, host, lineage, listed.last(), before, res)?;
    }
    if is_whole {
        mend_segments(shared, lineage, &listed, res)?;
    }
    Ok(())
}

/// Returns an entry from where it is whole, and what that is.
fn find_entry(
    shared: &Shared,
    lineage: &str,
    seq: u64,
    fits: &dyn Fn(&[u8]) -> bool,
    res: &mut RepairReport,
) -> Result<Option<(Vec<u8>, &'static str)>> {
    let mut unclear = match of_replica(shared, &keys::entry(lineage, seq), MAX_ENTRY, fits) {
        Ok(Some(it)) => return Ok(Some((it, "replica"))),
        Ok(None) => None,
        Err(e) => Some(e),
    };
    let n = shared.log.segment;
    let Some(last) = seq.div_ceil(n).checked_mul(n) else { return Ok(None) };
    let key = keys::segment(lineage, last);
    let right_line = |segment: &[u8]| {
        let line = segment.split(|it| *it == b'\n').nth((seq - (last - n) - 1) as usize);
        line.filter(|it| fits(it)).map(<[u8]>::to_vec)
    };
    let of_segment = match shared.blobs.read(&key, MAX_SEGMENT) {
        Err(e) if !e.is_damage() => return Err(e),
        read => read.ok().flatten().and_then(|it| right_line(&it)),
    };
    let of_segment = of_segment.or_else(|| {
        shared.replicas.iter().find_map(|it| match it.read(&key, MAX_SEGMENT) {
            Ok(found) => right_line(&found?),
            Err(e) => {
                unclear = Some(e).filter(|it| !it.is_damage()).or(unclear.take());
                None
            }
        })
    });
    if let (None, Some(e)) = (&of_segment, unclear) {
        unasked(&e, res);
    }
    Ok(of_segment.map(|it| (it, "segment of the log")))
}

/// Says once that a replica could not be asked. What only it has is mended another time; the rest is mended now.
fn unasked(e: &Error, res: &mut RepairReport) {
    const WHAT: &str = "a replica could not be asked, so that what only it has is not mended";
    if !res.lost.iter().any(|it| it.starts_with(WHAT)) {
        res.lost.push(format!("{WHAT}: {}.", e.message));
    }
}

/// Adds the entries that a replica has after the last one.
fn mend_end(
    shared: &Shared,
    host: &dyn Host,
    lineage: &str,
    mut last: u64,
    mut before: Digest,
    res: &mut RepairReport,
) -> Result<()> {
    loop {
        cancelled(host)?;
        let key = keys::entry(lineage, last + 1);
        let fits = |bytes: &[u8]| parse_entry(&key, lineage, last + 1, bytes).is_ok_and(|it| it.prev_hash == before);
        let bytes = match of_replica(shared, &key, MAX_ENTRY, &fits) {
            Ok(Some(it)) => it,
            Ok(None) => return Ok(()),
            Err(e) => {
                unasked(&e, res);
                return Ok(());
            }
        };
        // What is there by now another has written: it counts, and nothing takes its place.
        if !put_new(shared, &key, &bytes)? {
            return Ok(());
        }
        let place = shared.blobs.locate(&key);
        res.mended.push(format!("`{place}`, the end of the log, was put back from a replica."));
        (last, before) = (last + 1, Digest::of(&bytes));
    }
}

fn mend_segments(shared: &Shared, lineage: &str, listed: &Listed, res: &mut RepairReport) -> Result<()> {
    let (blobs, n) = (shared.blobs.as_ref(), shared.log.segment);
    for &last in listed.segments.iter().filter(|it| it.is_multiple_of(n)) {
        let key = keys::segment(lineage, last);
        let right = log::segment_bytes(blobs, lineage, last, n)?;
        match blobs.read(&key, MAX_SEGMENT) {
            Ok(Some(it)) if it == right => continue,
            Err(e) if !e.is_damage() => return Err(e),
            _ => {}
        }
        put(shared, &key, &right)?;
        res.mended.push(format!("`{}` was written anew from its entries.", blobs.locate(&key)));
    }
    Ok(())
}

/// Puts lists of garbage back from a replica, or does without them: what is on them is then kept until it is marked
/// anew, and what was deleted by them stays out of use ([`crate::condemned`]).
pub(crate) fn mend_lists(shared: &Shared, host: &dyn Host, res: &mut RepairReport) -> Result<()> {
    let blobs = shared.blobs.as_ref();
    let mut damaged = BTreeMap::new();
    for name in shared.condemned()? {
        cancelled(host)?;
        if let Err(e) = List::load(blobs, &name) {
            damaged.insert(name, e);
        }
    }
    for (name, e) in damaged {
        let Some(digest) = Digest::parse(&name).filter(|_| e.is_damage()) else {
            res.lost.push(format!("{}.", e.message));
            continue;
        };
        let key = Folder::Lists.key(digest);
        let place = blobs.locate(&key);
        let done_without = || give_up(shared, &name).and_then(|()| set_aside(blobs, &key)).map(|_| false);
        match put_back(shared, Folder::Lists, digest, res).and_then(|it| if it { Ok(true) } else { done_without() }) {
            Ok(true) => {}
            Ok(false) => res.mended.push(format!("`{place}`, a list of garbage, is done without: nothing goes by it.")),
            Err(e) => res.lost.push(format!("`{place}`, a list of garbage: {}.", e.message)),
        }
    }
    Ok(())
}

/// Says in the store's own log that nothing goes by a list any more.
fn give_up(shared: &Shared, name: &str) -> Result<()> {
    let event = || LogEvent::Void { list: name.to_owned() }.into();
    shared.log.append(keys::STORE_LOG, |it| Ok((!it.lists().1.contains(name)).then(event))).map(drop)
}

/// Puts a file into quarantine. Returns whether there was one.
pub(crate) fn set_aside(blobs: &dyn Blobs, key: &str) -> Result<bool> {
    match blobs.stat(key) {
        Ok(None) => Ok(false),
        Err(e) if !e.is_damage() => Err(e),
        _ => blobs.quarantine(key).map(|()| true),
    }
}
