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
    pack::{self, Indexed},
    reader::Reader,
    scrub_log::scrub_logs,
    survey::Folder,
};

const SPARE: &str = "no checkpoint needs it: move it out of the store";

pub(crate) fn scrub(shared: &Arc<Shared>, host: &dyn Host, depth: ScrubDepth) -> Result<ScrubReport> {
    let mut res = ScrubReport::default();
    match look_through(shared, host, depth, &mut res) {
        // What was found before is told in any case.
        Err(e) if e.kind != ErrorKind::Cancelled && !res.damage.is_empty() => {
            res.damage.push(format!("the rest could not be looked through: {}.", e.message));
            Ok(res)
        }
        looked => looked.map(|()| res),
    }
}

fn look_through(shared: &Arc<Shared>, host: &dyn Host, depth: ScrubDepth, res: &mut ScrubReport) -> Result<()> {
    scrub_store_file(shared, res)?;
    let checkpoints = scrub_logs(shared, host, res)?;
    scrub_lists(shared, host, res)?;
    let packs = digests(shared, Folder::Packs, res)?;
    let manifests = digests(shared, Folder::Manifests, res)?;
    let total = (checkpoints.len() + packs.len() + manifests.len()) as u64;
    let mut done = 0;
    let mut step = || {
        done += 1;
        host.progress(done, total);
        cancelled(host)
    };

    let mut needed: BTreeSet<Digest> = BTreeSet::new();
    let mut whole = BTreeSet::new();
    let mut indexes = Indexes::default();
    for (lineage, id, manifest) in &checkpoints {
        step()?;
        let bytes = &mut res.bytes;
        let mut on_bytes = |n| {
            *bytes += n;
            cancelled(host)
        };
        let read = Reader::load(shared, id, *manifest).and_then(|it| {
            needed.extend(&it.stored().packs);
            if depth == ScrubDepth::Full { it.verify(&mut on_bytes) } else { indexes.fit(shared, it.stored()) }
        });
        match read {
            Ok(()) => drop(whole.insert(id)),
            Err(e) if e.kind == ErrorKind::Cancelled => return Err(e),
            Err(e) => {
                let e = Error {
                    message: format!("the checkpoint `{}` of `{lineage}` cannot be read: {}", id.short(), e.message),
                    ..e
                };
                report(shared, res, e)?;
            }
        }
    }
    res.checkpoints = whole.len() as u64;

    for digest in packs {
        step()?;
        if let Err(e) = scrub_pack(shared, digest, depth, &mut indexes, &mut res.bytes) {
            report(shared, res, if needed.contains(&digest) { e } else { helped(e, SPARE) })?;
        }
    }
    for digest in manifests {
        step()?;
        res.bytes +=
            shared.blobs.read(&keys::manifest(digest), MAX_MANIFEST).ok().flatten().map_or(0, |it| it.len() as u64);
        if let Err(e) = StoredManifest::load(shared.blobs.as_ref(), digest, shared.chunk_size)
            && !checkpoints.iter().any(|it| it.2 == digest)
        {
            report(shared, res, helped(e, SPARE))?;
        }
    }
    Ok(())
}

/// Returns the digests that name the files of a folder, and reports those with other names.
fn digests(shared: &Shared, folder: Folder, res: &mut ScrubReport) -> Result<Vec<Digest>> {
    shared.named(folder, |e| report(shared, res, e))
}

fn scrub_store_file(shared: &Shared, res: &mut ScrubReport) -> Result<()> {
    let place = shared.blobs.locate(keys::STORE_FILE);
    let read = shared.blobs.read(keys::STORE_FILE, MAX_STORE_FILE);
    let checked = read.and_then(|it| {
        let bytes = it.ok_or_else(|| errors::corrupt(&place, "is missing"))?;
        res.bytes += bytes.len() as u64;
        StoreFile::parse(&place, &bytes)
    });
    let help = "run `modelwatch store repair`, which puts it back from a replica";
    checked.map_or_else(|e| report(shared, res, helped(e, help)), |_| Ok(()))
}

/// Reads what garbage collections condemned: the lists that logs name, and those that nothing names.
fn scrub_lists(shared: &Shared, host: &dyn Host, res: &mut ScrubReport) -> Result<()> {
    let named = match shared.condemned() {
        Ok(it) => it,
        Err(e) => {
            let e = Error { message: format!("cannot tell what was condemned: {}", e.message), ..e };
            return report(shared, res, e);
        }
    };
    let there = digests(shared, Folder::Lists, res)?;
    let spare = there.iter().map(Digest::to_string).filter(|it| !named.contains(it)).collect::<Vec<_>>();
    for name in named.iter().chain(&spare) {
        cancelled(host)?;
        match List::load(shared.blobs.as_ref(), name) {
            Ok(it) => res.bytes += it.size,
            Err(e) if named.contains(name) => report(shared, res, e)?,
            Err(e) => report(shared, res, helped(e, "no log names it: move it out of the store"))?,
        }
    }
    Ok(())
}

fn scrub_pack(
    shared: &Shared,
    digest: Digest,
    depth: ScrubDepth,
    indexes: &mut Indexes,
    bytes: &mut u64,
) -> Result<()> {
    let reads_all = match depth {
        ScrubDepth::Fast => false,
        ScrubDepth::Sampled { share, seed } => is_sampled(digest, share, seed),
        ScrubDepth::Full => true,
    };
    if !reads_all {
        return indexes.of(shared, digest).map(drop);
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

/// The frames that packs say they have, each read once.
#[derive(Default)]
struct Indexes(BTreeMap<Digest, Result<Vec<Indexed>>>);

impl Indexes {
    fn of(&mut self, shared: &Shared, pack: Digest) -> Result<&[Indexed]> {
        let read = || pack::read_index(shared.blobs.as_ref(), pack).map(|it| it.1);
        self.0.entry(pack).or_insert_with(read).as_deref().map_err(|e| e.clone())
    }

    /// Checks that the packs of a checkpoint are there, and that each says it has the chunks where they are looked for, without
    /// reading those.
    fn fit(&mut self, shared: &Shared, stored: &StoredManifest) -> Result<()> {
        for it in stored.chunks() {
            let located = stored.located(it);
            for source in [Some(located.source), located.base].into_iter().flatten() {
                let frames = self.of(shared, source.pack)?;
                let found = frames.binary_search_by_key(&source.span.offset, |it| it.span.offset);
                if !found.is_ok_and(|at| frames[at].span == source.span && frames[at].hash == source.hash) {
                    let place = shared.blobs.locate(&keys::pack(source.pack));
                    return Err(errors::corrupt(place, format_args!("does not have the chunk {}", source.hash)));
                }
            }
        }
        Ok(())
    }
}

/// Takes down what is wrong, or what could not be looked at.
///
/// # Errors
/// Where the place of the store fails, or does not answer, so that nothing is known of any file.
pub(crate) fn report(shared: &Shared, res: &mut ScrubReport, e: Error) -> Result<()> {
    let mut message = e.message.clone();
    if e.kind == ErrorKind::Io {
        let answer = shared.blobs.read(keys::STORE_FILE, MAX_STORE_FILE).and(shared.blobs.stat(keys::NEVER));
        if answer.is_err_and(|e| !e.is_damage()) {
            return Err(e);
        }
        message.push_str(", so that it was not examined");
    }
    let sentence = format!("{message}: {}.", e.help);
    if !res.damage.contains(&sentence) {
        res.damage.push(sentence);
    }
    Ok(())
}

fn helped(e: Error, help: &str) -> Error {
    if e.kind == ErrorKind::Io { e } else { e.with_help(help) }
}
