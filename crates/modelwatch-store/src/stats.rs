//! How much is stored and how much space that takes.

use std::collections::HashSet;

use modelwatch_sdk::{Host, Result, store::StoreStats};

use crate::{
    collect::cancelled,
    engine::Shared,
    keys,
    log::Listed,
    manifest::StoredManifest,
    survey::{self, Folder},
};

pub(crate) fn stats(shared: &Shared, host: &dyn Host) -> Result<StoreStats> {
    let blobs = shared.blobs.as_ref();
    let mut res = StoreStats::default();
    let (mut chunks, mut needed, mut loaded) = (HashSet::new(), HashSet::new(), HashSet::new());
    for lineage in shared.log.lineages()? {
        res.lineages += 1;
        for seq in Listed::read(blobs, &lineage)?.entries {
            res.metadata_bytes += blobs.stat(&keys::entry(&lineage, seq))?.map_or(0, |it| it.size);
        }
        for (_, manifests) in shared.log.with(&lineage, |it| Ok(survey::checkpoints(it)))? {
            cancelled(host)?;
            res.checkpoints += 1;
            // The others are garbage.
            let Some(&it) = manifests.first() else { continue };
            let stored = StoredManifest::load(blobs, it, shared.chunk_size)?;
            res.logical_bytes += stored.chunks().map(|it| it.len).sum::<u64>();
            if loaded.insert(it) {
                needed.extend(stored.packs.iter().copied());
                for it in stored.chunks().filter(|it| chunks.insert(it.hash)) {
                    res.unique_bytes += it.len;
                }
            }
        }
    }
    for it in shared.named(Folder::Packs, survey::pass_over)? {
        let size = blobs.stat(&keys::pack(it))?.map_or(0, |it| it.size);
        res.pack_bytes += size;
        if !needed.contains(&it) {
            res.spare_bytes += size;
        }
    }
    for it in shared.named(Folder::Manifests, survey::pass_over)? {
        res.metadata_bytes += blobs.stat(&keys::manifest(it))?.map_or(0, |it| it.size);
    }
    Ok(res)
}
