//! Reads what is stored and says what does not verify. Changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use modelwatch_sdk::{
    Error, ErrorKind, Host, Result,
    store::{ScrubDepth, ScrubReport},
};

use crate::{
    collect::cancelled,
    condemned::List,
    engine::Shared,
    errors,
    format::{Digest, MAX_MANIFEST, MAX_PACK, MAX_STORE_FILE, StoreFile},
    keys,
    manifest::StoredManifest,
    pack,
    reader::Reader,
    scrub_log::scrub_logs,
    survey::Folder,
};

const SPARE: &str = "no checkpoint needs it: move it out of the store";

pub(crate) fn scrub(shared: &Arc<Shared>, host: &dyn Host, depth: ScrubDepth) -> Result<ScrubReport> {
    let mut res = ScrubReport::default();
    scrub_store_file(shared, &mut res);
    let checkpoints = scrub_logs(shared, host, &mut res)?;
    scrub_lists(shared, host, &mut res)?;
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
            report(&mut res, &if needed.contains(&digest) { e } else { e.with_help(SPARE) });
        }
    }
    for digest in manifests {
        step()?;
        res.bytes +=
            shared.blobs.read(&keys::manifest(digest), MAX_MANIFEST).ok().flatten().map_or(0, |it| it.len() as u64);
        if let Err(e) = StoredManifest::load(shared.blobs.as_ref(), digest, shared.chunk_size)
            && !checkpoints.iter().any(|it| it.2 == digest)
        {
            report(&mut res, &e.with_help(SPARE));
        }
    }
    Ok(res)
}

fn scrub_store_file(shared: &Shared, res: &mut ScrubReport) {
    let place = shared.blobs.locate(keys::STORE_FILE);
    let read = shared.blobs.read(keys::STORE_FILE, MAX_STORE_FILE);
    let checked = read.and_then(|it| {
        let bytes = it.ok_or_else(|| errors::corrupt(&place, "is missing"))?;
        res.bytes += bytes.len() as u64;
        StoreFile::parse(&place, &bytes)
    });
    if let Err(e) = checked {
        report(res, &e.with_help("run `modelwatch store repair`, which puts it back from a replica"));
    }
}

/// Reads what garbage collections condemned: the lists that logs name, and those that nothing names.
fn scrub_lists(shared: &Shared, host: &dyn Host, res: &mut ScrubReport) -> Result<()> {
    let named = shared.condemned()?;
    let there = shared.named(Folder::Lists, |e| report(res, &e))?;
    let spare = there.iter().map(Digest::to_string).filter(|it| !named.contains(it)).collect::<Vec<_>>();
    for name in named.iter().chain(&spare) {
        cancelled(host)?;
        match List::load(shared.blobs.as_ref(), name) {
            Ok(it) => res.bytes += it.size,
            Err(e) if named.contains(name) => report(res, &e),
            Err(e) => report(res, &e.with_help("no log names it: move it out of the store")),
        }
    }
    Ok(())
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

pub(crate) fn report(res: &mut ScrubReport, e: &Error) {
    let sentence = format!("{}: {}.", e.message, e.help);
    if !res.damage.contains(&sentence) {
        res.damage.push(sentence);
    }
}
