//! The same content elsewhere: a manifest that leads to other packs, and the log entry that makes it count.

use modelwatch_sdk::{Result, store::LogEvent};

use crate::{
    condemned::Banned,
    engine::Shared,
    format::{self, Digest, MAX_MANIFEST},
    frame::Located,
    keys,
    log::Change,
    manifest::{Base, Chunk, StoredManifest},
    random,
    sink::publish_named,
};

impl StoredManifest {
    /// Returns a manifest of the same content whose chunks are where `place` says.
    pub(crate) fn moved(&self, mut place: impl FnMut(&Chunk, Located) -> Result<Located>) -> Result<Self> {
        let mut res = Self { packs: Vec::new(), nonce: Some(random::id()), ..self.clone() };
        let mut position = |pack: Digest| {
            res.packs.iter().position(|it| *it == pack).unwrap_or_else(|| {
                res.packs.push(pack);
                res.packs.len() - 1
            })
        };
        let files = res.files.iter_mut().flat_map(|it| &mut it.chunks);
        for chunk in files.chain(res.tensors.iter_mut().flat_map(|it| &mut it.chunks)) {
            let Located { source, base } = place(chunk, self.located(chunk))?;
            (chunk.offset, chunk.size) = (source.span.offset, source.span.size);
            chunk.pack = position(source.pack);
            chunk.base = base.map(|it| Base::new(&it, position(it.pack)));
        }
        Ok(res)
    }
}

/// Publishes a manifest that takes the place of the one named `before`. Returns whether it does: the checkpoint may
/// have been removed or moved meanwhile, or something been swept that is not among `banned`.
pub(crate) fn relocate(
    shared: &Shared,
    lineage: &str,
    before: Digest,
    moved: &StoredManifest,
    banned: &Banned,
) -> Result<bool> {
    let bytes = format::canonical(moved)?;
    let digest = Digest::of(&bytes);
    let stage = shared.blobs.stage()?;
    stage.write("manifest", &bytes)?;
    publish_named(shared, stage.as_ref(), "manifest", &keys::manifest(digest), digest, MAX_MANIFEST)?;
    let id = &moved.id;
    let entry = shared.log.append(lineage, |it| {
        let is_overtaken = it.sweeps().any(|(_, list)| !banned.knows(list));
        let counts = it.history().contains(id) && it.manifests(id).first() == Some(&before);
        let change = || Change { event: LogEvent::Relocate { id: id.clone() }, manifest: Some(digest) };
        Ok((counts && !is_overtaken).then(change))
    })?;
    Ok(entry.is_some())
}
