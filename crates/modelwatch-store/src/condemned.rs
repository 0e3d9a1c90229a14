//! What garbage collections condemned.
//!
//! A *mark* lists what nothing leads to, a *sweep* repeats the list before anything on it is deleted. The log
//! orders sweeps and commits: a sweep spares what a commit before it needs, and a commit after it uses
//! nothing that is listed. So neither clocks nor locks decide what is safe.
//!
//! A list can be damaged. Where it was only marked, nothing is deleted by it. Where it was swept, whoever read it
//! before may be deleting still, and a commit can no longer tell what: so it uses nothing but what checkpoints that
//! are there lead to, which every sweep spared, and new files under names that never were.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
};

use modelwatch_sdk::{Result, store::LogEvent};
use serde::{Deserialize, Serialize};

use crate::{
    blobs::Blobs,
    engine::Shared,
    errors,
    format::{self, Digest, MAX_MANIFEST},
    keys,
    log::Chain,
    manifest::StoredManifest,
    survey::Folder,
};

const HELP: &str = "run `modelwatch store repair`, which puts it back from a replica or does without it";

/// The content of a list, which is named by its digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct List {
    pub(crate) format: u64,
    pub(crate) packs: Vec<Digest>,
    pub(crate) manifests: Vec<Digest>,
    /// Random, so that the same files on another list give that another name. Early lists have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
    /// The size of the file.
    #[serde(skip)]
    pub(crate) size: u64,
}

impl List {
    pub(crate) fn names(&self, folder: Folder, digest: &Digest) -> bool {
        match folder {
            Folder::Packs => self.packs.contains(digest),
            Folder::Manifests => self.manifests.contains(digest),
            Folder::Lists => false,
        }
    }

    /// Reads a list and checks it.
    pub(crate) fn load(blobs: &dyn Blobs, name: &str) -> Result<Self> {
        let digest = Digest::parse(name)
            .ok_or_else(|| errors::corrupt(blobs.locate("log"), "names a list that is no digest"))?;
        let key = keys::condemned(digest);
        let place = blobs.locate(&key);
        let corrupt = |what: &dyn Display| errors::corrupt(&place, what).with_help(HELP);
        let read = blobs.read(&key, MAX_MANIFEST);
        let Some(bytes) = read.map_err(|e| errors::mendable(e, HELP))? else {
            return Err(corrupt(&"is missing"));
        };
        if Digest::of(&bytes) != digest {
            return Err(corrupt(&"does not verify: its bytes are not what was written"));
        }
        let mut res: Self =
            serde_json::from_slice(&bytes).map_err(|e| corrupt(&format_args!("cannot be understood: {e}")))?;
        format::check_format(&place, res.format, &[], "")?;
        res.size = bytes.len() as u64;
        Ok(res)
    }
}

/// The lists that were read; they never change.
#[derive(Default)]
pub(crate) struct Lists(Mutex<HashMap<String, Arc<List>>>);

impl Lists {
    pub(crate) fn get(&self, blobs: &dyn Blobs, name: &str) -> Result<Arc<List>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(it) = lock().get(name) {
            return Ok(Arc::clone(it));
        }
        let res = Arc::new(List::load(blobs, name)?);
        lock().insert(name.to_owned(), Arc::clone(&res));
        Ok(res)
    }
}

/// What a commit must not use.
#[derive(Default)]
pub(crate) struct Banned {
    lists: HashSet<String>,
    packs: HashSet<Digest>,
    manifests: HashSet<Digest>,
    /// The lists of what was swept that cannot be read.
    unread: BTreeSet<String>,
    /// Where there is one, the packs that are on none all the same.
    spared: Option<HashSet<Digest>>,
}

impl Banned {
    /// Returns whether something was swept of which nobody knows what it was.
    pub(crate) fn is_unsure(&self) -> bool {
        self.spared.is_some()
    }

    /// Returns the lists of what was swept that cannot be read.
    pub(crate) fn unread(&self) -> &BTreeSet<String> {
        &self.unread
    }

    /// Takes in packs that a checkpoint that is there leads to.
    pub(crate) fn spare(&mut self, packs: impl IntoIterator<Item = Digest>) {
        if let Some(it) = &mut self.spared {
            it.extend(packs);
        }
    }

    /// Returns whether that list is taken into account.
    pub(crate) fn knows(&self, list: &str) -> bool {
        self.lists.contains(list)
    }

    pub(crate) fn has_pack(&self, digest: Digest) -> bool {
        self.lists_pack(digest) || self.spared.as_ref().is_some_and(|it| !it.contains(&digest))
    }

    /// Returns whether a list that can be read has the pack.
    pub(crate) fn lists_pack(&self, digest: Digest) -> bool {
        self.packs.contains(&digest)
    }

    pub(crate) fn has_manifest(&self, digest: Digest) -> bool {
        self.manifests.contains(&digest) || self.is_unsure()
    }

    fn add(&mut self, name: String, list: &List) {
        self.packs.extend(&list.packs);
        self.manifests.extend(&list.manifests);
        self.lists.insert(name);
    }
}

impl Shared {
    /// Returns what was swept, and also what is merely marked if `with_marks`. A sweep is in the store's own log
    /// before it is in that of any lineage.
    pub(crate) fn banned(&self, lineage: &str, with_marks: bool) -> Result<Banned> {
        let mut names = BTreeMap::new();
        for log in [keys::STORE_LOG, lineage] {
            self.log.with(log, |it| {
                for entry in it.entries_after(0, u32::MAX) {
                    match &entry.event {
                        LogEvent::Sweep { list } => drop(names.insert(list.clone(), true)),
                        LogEvent::Mark { list } if with_marks => drop(names.entry(list.clone()).or_insert(false)),
                        _ => {}
                    }
                }
                Ok(())
            })?;
        }
        let mut res = Banned::default();
        for (name, is_swept) in names {
            match self.lists.get(self.blobs.as_ref(), &name) {
                Ok(it) => res.add(name, &it),
                Err(e) if e.is_damage() && is_swept => {
                    res.lists.insert(name.clone());
                    res.unread.insert(name);
                    res.spared.get_or_insert_default();
                }
                // What is merely marked stays until it is swept, and by this list it never is.
                Err(e) if e.is_damage() => {}
                Err(e) => return Err(e),
            }
        }
        if res.is_unsure() {
            for digest in self.shareable(lineage)? {
                let stored = StoredManifest::load(self.blobs.as_ref(), digest, self.chunk_size);
                res.spare(stored.into_iter().flat_map(|it| it.packs));
            }
        }
        Ok(res)
    }

    /// Returns the entry of the store's own log with the sweep of any such files, if there is one.
    pub(crate) fn swept_at(&self, is_it: impl Fn(&List) -> bool) -> Result<Option<u64>> {
        let sweeps = self.log.readable(keys::STORE_LOG, |it| {
            Ok(it.sweeps().map(|(seq, list)| (seq, list.to_owned())).collect::<Vec<_>>())
        })?;
        for (seq, list) in sweeps.iter().rev() {
            if self.lists.get(self.blobs.as_ref(), list).is_ok_and(|it| is_it(&it)) {
                return Ok(Some(*seq));
            }
        }
        Ok(None)
    }

    /// Makes the lineage known to the store's own log, so that no sweep can overlook it.
    pub(crate) fn register(&self, lineage: &str) -> Result<()> {
        let is_known = |chain: &Chain| chain.lineages().any(|it| it == lineage);
        if self.log.with(keys::STORE_LOG, |it| Ok(is_known(it)))? {
            return Ok(());
        }
        let event = || LogEvent::Lineage { name: lineage.to_owned() }.into();
        self.log.append(keys::STORE_LOG, |it| Ok((!is_known(it)).then(event))).map(drop)
    }
}
