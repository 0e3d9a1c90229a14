//! Moves what is still needed out of packs that are mostly garbage, so that those can be collected.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use modelwatch_sdk::{Host, Result, store::Collected};

use crate::{
    codec::{Codec, Encoder},
    collect::{cancelled, doubt},
    condemned::Banned,
    engine::Shared,
    errors,
    format::{Digest, MAX_PACK},
    frame::{self, FRAME_HEADER, Frame, Header, Located, Source},
    keys,
    manifest::StoredManifest,
    pace::Effort,
    pack::{self, PackWriter},
    relocate::relocate,
    sink::publish_named,
};

/// The percentage of a pack that must be needed for it to stay as it is.
const MIN_NEEDED: u64 = 50;

/// A frame that some checkpoint needs, and the length of its chunk.
type Frames = BTreeMap<u64, (Located, u64)>;

/// Packs by digest, with what is needed of them.
type Packs = BTreeMap<Digest, Frames>;

/// Moves the rest of what is needed least and counts the packs that it was in. With `dry_run` it only counts.
///
/// The new places count from an entry of each log on. Whatever comes between, be it a crash, only leaves files
/// that nothing leads to.
pub(crate) fn repack(shared: &Shared, host: &dyn Host, dry_run: bool, res: &mut Collected) -> Result<()> {
    let manifests = live(shared)?;
    let mut packs = needed(shared, host, &manifests)?;
    let mut sizes = HashMap::new();
    for &it in packs.keys() {
        if let Some(stat) = shared.blobs.stat(&keys::pack(it))? {
            sizes.insert(it, stat.size);
        }
    }
    let needed =
        |frames: &Frames| pack::size_of(frames.values().map(|it| it.0.source.span.size).chain([pack::SALT_FRAME]));
    packs.retain(|pack, frames| sizes.get(pack).is_some_and(|it| needed(frames) * 100 < it * MIN_NEEDED));
    packs.keys().for_each(|it| res.add(sizes[it]));
    if packs.is_empty() || dry_run {
        return Ok(());
    }
    let lineages: BTreeSet<&str> = manifests.iter().map(|it| it.0.as_str()).collect();
    let banned = lineages.into_iter().map(|it| Ok((it, shared.banned(it, false)?)));
    let banned: HashMap<&str, Banned> = banned.collect::<Result<_>>()?;
    let moved = rewrite(shared, host, &packs)?;
    for (lineage, digest) in &manifests {
        cancelled(host)?;
        let stored = StoredManifest::load(shared.blobs.as_ref(), *digest, shared.chunk_size)?;
        if !stored.packs.iter().any(|it| packs.contains_key(it)) {
            continue;
        }
        let place = |it: Source| moved.get(&(it.pack, it.span.offset)).copied().unwrap_or(it);
        let elsewhere = stored.moved(|_, it| Ok(Located { source: place(it.source), base: it.base.map(place) }))?;
        // Where it comes too late, the next collection tries again.
        relocate(shared, lineage, *digest, &elsewhere, &banned[lineage.as_str()])?;
    }
    Ok(())
}

fn live(shared: &Shared) -> Result<Vec<(String, Digest)>> {
    let mut res = Vec::new();
    for lineage in shared.all_lineages()? {
        let manifests = shared.log.with(&lineage, |it| Ok(it.live_manifests().map(|it| it.1).collect::<Vec<_>>()))?;
        res.extend(manifests.into_iter().map(|it| (lineage.clone(), it)));
    }
    Ok(res)
}

fn needed(shared: &Shared, host: &dyn Host, manifests: &[(String, Digest)]) -> Result<Packs> {
    let mut res = Packs::new();
    for (_, digest) in manifests {
        cancelled(host)?;
        let stored = StoredManifest::load(shared.blobs.as_ref(), *digest, shared.chunk_size).map_err(doubt)?;
        for chunk in stored.chunks() {
            let located = stored.located(chunk);
            let alone = located.base.map(|source| Located { source, base: None });
            for it in [Some(located), alone].into_iter().flatten() {
                res.entry(it.source.pack).or_default().insert(it.source.span.offset, (it, chunk.len));
            }
        }
    }
    Ok(res)
}

/// Copies what is needed into new packs. Returns where each frame is now, by pack and offset.
fn rewrite(shared: &Shared, host: &dyn Host, packs: &Packs) -> Result<HashMap<(Digest, u64), Source>> {
    let mut res = HashMap::new();
    let mut encoder = (shared.pace.unhurried() == Effort::Full).then(Encoder::default);
    let mut frames = packs.values().flat_map(Frames::values).peekable();
    // A new pack at a time, so that none waits in memory where a stage has no room.
    while frames.peek().is_some() {
        let stage = shared.blobs.stage()?;
        // The same frames may have been in a pack that was swept, whose name must not come again.
        let mut writer = PackWriter::salted(u64::MAX, &shared.pace);
        let (mut len, mut placed) = (0, Vec::new());
        while let Some((located, raw_len)) =
            frames.next_if(|it| len == 0 || len + it.0.source.span.size <= shared.max_pack / 2)
        {
            cancelled(host)?;
            let (_, span) =
                writer.add(stage.as_ref(), copy(shared, located, *raw_len, encoder.as_mut()).map_err(doubt)?)?;
            len += span.size;
            placed.push((located.source, span));
        }
        let [pack] = writer.finish()? else { unreachable!("a pack without end is one pack") };
        publish_named(shared, stage.as_ref(), &pack.name, &keys::pack(pack.digest), pack.digest, MAX_PACK)?;
        for (from, span) in placed {
            res.insert((from.pack, from.span.offset), Source { pack: pack.digest, span, ..from });
        }
    }
    Ok(res)
}

/// Reads a frame as it is stored, once it is known to be sound. What is not compressed yet, since a writer waited, is now.
fn copy(shared: &Shared, located: &Located, raw_len: u64, encoder: Option<&mut Encoder>) -> Result<Frame> {
    let Source { hash, pack, span } = located.source;
    let key = keys::pack(pack);
    let mut raw = vec![0; raw_len as usize];
    frame::read(shared.blobs.as_ref(), located, &mut raw)?;
    let mut bytes = vec![0; span.size as usize];
    shared.blobs.read_at(&key, span.offset, &mut bytes)?;
    let corrupt = |what: &str| errors::corrupt(shared.blobs.locate(&key), what);
    let header = bytes.first_chunk::<FRAME_HEADER>().ok_or_else(|| corrupt("has a frame without a header"))?;
    let header = Header::parse(header).map_err(|what| corrupt(&what))?;
    match encoder {
        Some(it) if header.codec == Codec::Raw => {
            Ok(Frame::new(hash, &raw, Vec::new(), |out| it.encode(&raw, 0, None, out)))
        }
        _ => Ok(Frame { header, bytes }),
    }
}
