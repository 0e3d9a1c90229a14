//! What is in a store: its lineages, the files that are named by digests, and what checkpoints need of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use modelwatch_sdk::{
    Error, Result,
    store::{CheckpointId, check_name},
};

use crate::{
    engine::Shared,
    errors,
    format::{Digest, MAX_MANIFEST, MAX_PACK},
    keys,
    log::Chain,
    manifest::StoredManifest,
};

/// A folder of files that are named by digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    Packs,
    Manifests,
    /// What garbage collections condemned.
    Lists,
}

impl Folder {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Packs => "packs",
            Self::Manifests => "manifests",
            Self::Lists => "gc",
        }
    }

    pub(crate) fn key(self, digest: Digest) -> String {
        match self {
            Self::Packs => keys::pack(digest),
            Self::Manifests => keys::manifest(digest),
            Self::Lists => keys::condemned(digest),
        }
    }

    /// Returns the greatest size of a file in it.
    pub(crate) fn cap(self) -> u64 {
        match self {
            Self::Packs => MAX_PACK,
            Self::Manifests | Self::Lists => MAX_MANIFEST,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Packs => ".pack",
            Self::Manifests | Self::Lists => ".json",
        }
    }
}

impl Shared {
    /// Returns the lineages that have a log or are about to get one.
    pub(crate) fn all_lineages(&self) -> Result<BTreeSet<String>> {
        let mut res = self.log.with(keys::STORE_LOG, |it| {
            Ok(it.lineages().map(str::to_owned).filter(|it| check_name("lineage", it).is_ok()).collect::<BTreeSet<_>>())
        })?;
        res.extend(self.log.lineages()?);
        Ok(res)
    }

    /// Returns the lists that logs name, as far as those can be read, but for those that were given up.
    pub(crate) fn condemned(&self) -> Result<BTreeSet<String>> {
        let owned = |it: BTreeSet<&str>| it.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
        let (mut res, given_up) = self.log.readable(keys::STORE_LOG, |it| {
            let (all, void) = it.lists();
            Ok((owned(all), owned(void)))
        })?;
        for lineage in self.log.lineages()? {
            self.log.readable(&lineage, |it| {
                res.extend(it.sweeps().map(|it| it.1.to_owned()));
                Ok(())
            })?;
        }
        res.retain(|it| !given_up.contains(it));
        Ok(res)
    }

    /// Returns the digests that name the files of a folder. `on_failure` learns of files with other names and of folders
    /// that cannot be listed, and says whether to go on.
    pub(crate) fn named(&self, folder: Folder, mut on_failure: impl FnMut(Error) -> Result<()>) -> Result<Vec<Digest>> {
        let mut res = Vec::new();
        for shard in self.blobs.list(folder.name())? {
            let dir = format!("{}/{shard}", folder.name());
            // A plain file beside the folders is nobody's.
            let names = match self.blobs.list(&dir) {
                Ok(it) => it,
                Err(e) => {
                    on_failure(e)?;
                    continue;
                }
            };
            for name in names {
                let Some(stem) = name.strip_suffix(folder.extension()) else {
                    continue;
                };
                match Digest::parse(stem).filter(|_| stem.starts_with(&shard) && shard.len() == 2) {
                    Some(it) => res.push(it),
                    None => {
                        let place = self.blobs.locate(&format!("{dir}/{name}"));
                        let e = errors::corrupt(place, "has a name that is not the digest of anything");
                        on_failure(e.with_help("move it out of the store"))?;
                    }
                }
            }
        }
        Ok(res)
    }
}

/// Passes over what is damaged. What cannot be told for the moment is no reason to go on.
pub(crate) fn pass_over(e: Error) -> Result<()> {
    if e.is_damage() { Ok(()) } else { Err(e) }
}

/// What the checkpoints that are there need.
#[derive(Default)]
pub(crate) struct Needed {
    pub(crate) packs: HashSet<Digest>,
    pub(crate) manifests: HashSet<Digest>,
}

impl Needed {
    /// Adds what a manifest needs, which is read and checked.
    pub(crate) fn add(&mut self, shared: &Shared, manifest: Digest) -> Result<()> {
        if self.manifests.insert(manifest) {
            let stored = StoredManifest::load(shared.blobs.as_ref(), manifest, shared.chunk_size)?;
            self.packs.extend(&stored.packs);
        }
        Ok(())
    }
}

/// Returns the checkpoints of a lineage with the manifests under which they can be found, the one that counts first.
pub(crate) fn checkpoints(chain: &Chain) -> BTreeMap<CheckpointId, Vec<Digest>> {
    let ids = chain.history().checkpoints().iter().map(|it| it.id.clone());
    ids.map(|id| (id.clone(), chain.manifests(&id))).collect()
}

/// Returns the manifests of all checkpoints that are there, but for those whose failure `is_passed_over`.
pub(crate) fn manifests(shared: &Shared, is_passed_over: impl Fn(&Error) -> bool) -> Result<Vec<StoredManifest>> {
    let mut live = Vec::new();
    for lineage in shared.log.lineages()? {
        shared.log.readable(&lineage, |it| {
            live.extend(it.live_manifests().map(|it| it.1));
            Ok(())
        })?;
    }
    let mut res = Vec::new();
    for it in live {
        match StoredManifest::load(shared.blobs.as_ref(), it, shared.chunk_size) {
            Ok(it) => res.push(it),
            Err(e) if is_passed_over(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(res)
}

/// Returns the packs that checkpoints that are there lead to.
pub(crate) fn packs(shared: &Shared) -> Result<HashSet<Digest>> {
    Ok(manifests(shared, Error::is_damage)?.into_iter().flat_map(|it| it.packs).collect())
}
