//! What garbage collections condemned.
//!
//! A *mark* lists what nothing leads to, a *sweep* repeats the list before anything on it is deleted. The log
//! orders sweeps and commits: a sweep spares what a commit before it needs, and a commit after it uses
//! nothing that is listed. So neither clocks nor locks decide what is safe.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use modelwatch_sdk::{
    Result,
    store::{LogEntry, LogEvent},
};
use serde::{Deserialize, Serialize};

use crate::{
    blobs::Blobs,
    engine::Shared,
    errors,
    format::{self, Digest, MAX_MANIFEST},
    keys,
    log::Chain,
};

/// The content of a list, which is named by its digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct List {
    pub(crate) format: u64,
    pub(crate) packs: Vec<Digest>,
    pub(crate) manifests: Vec<Digest>,
}

impl List {
    fn load(blobs: &dyn Blobs, name: &str) -> Result<Self> {
        let digest = Digest::parse(name)
            .ok_or_else(|| errors::corrupt(blobs.locate("log"), "names a list that is no digest"))?;
        let key = keys::condemned(digest);
        let place = blobs.locate(&key);
        let Some(bytes) = blobs.read(&key, MAX_MANIFEST)? else {
            return Err(errors::corrupt(place, "is missing"));
        };
        if Digest::of(&bytes) != digest {
            return Err(errors::corrupt(place, "does not verify: its bytes are not what was written"));
        }
        let res: Self = serde_json::from_slice(&bytes)
            .map_err(|e| errors::corrupt(&place, format_args!("cannot be understood: {e}")))?;
        format::check_format(&place, res.format, &[], "")?;
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
}

impl Banned {
    /// Returns whether that list is taken into account.
    pub(crate) fn knows(&self, list: &str) -> bool {
        self.lists.contains(list)
    }

    pub(crate) fn has_pack(&self, digest: Digest) -> bool {
        self.packs.contains(&digest)
    }

    pub(crate) fn has_manifest(&self, digest: Digest) -> bool {
        self.manifests.contains(&digest)
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
        let mut names = HashSet::new();
        for log in [keys::STORE_LOG, lineage] {
            self.log.with(log, |it| {
                for entry in it.entries_after(0, u32::MAX) {
                    match &entry.event {
                        LogEvent::Sweep { list } => drop(names.insert(list.clone())),
                        LogEvent::Mark { list } if with_marks => drop(names.insert(list.clone())),
                        _ => {}
                    }
                }
                Ok(())
            })?;
        }
        let mut res = Banned::default();
        for name in names {
            let list = self.lists.get(self.blobs.as_ref(), &name)?;
            res.add(name, &list);
        }
        Ok(res)
    }

    /// Returns the entry of the store's own log with the sweep of any such files, if there is one.
    pub(crate) fn swept_at(&self, is_it: impl Fn(&List) -> bool) -> Result<Option<u64>> {
        let sweeps = self.log.with(keys::STORE_LOG, |it| {
            let entries = it.entries_after(0, u32::MAX).iter();
            let sweep = |it: &LogEntry| match &it.event {
                LogEvent::Sweep { list } => Some((it.seq, list.clone())),
                _ => None,
            };
            Ok(entries.filter_map(sweep).collect::<Vec<_>>())
        })?;
        for (seq, list) in sweeps.iter().rev() {
            if is_it(&*self.lists.get(self.blobs.as_ref(), list)?) {
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
