//! What a writer finds in the store already: the chunks of the lineage's newest checkpoints, and of those that refs are at.
//!
//! Not those of all checkpoints: nothing indexes them, so that a writer reads a manifest for each, which is a few hundred bytes for
//! every MiB, and has them in memory. A training changes what it saved last, and starts again from what a ref is at. What
//! it costs: the bytes of an older checkpoint that no ref is at, or of another lineage, are stored once more.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};

use modelwatch_sdk::Result;

use crate::{
    condemned::Banned,
    engine::Shared,
    format::Digest,
    frame::{self, Located, Scratch, Source},
    manifest::{Chunk, StoredManifest},
    sink::Part,
    soundness::Soundness,
};

/// How many of the lineage's newest checkpoints are looked through for chunks that are there already, and how many of those
/// that refs are at, of which those that were moved last count.
const N_DEDUPLICATE: usize = 8;

/// From how many bytes on a chunk that is stored as it is is read by itself: a pack that is hashed is read in pieces of no
/// more than four times as many.
const LARGE: usize = 256 << 10;

/// The stored chunks that a new checkpoint may share or be a difference to.
pub(crate) struct Known {
    shared: Arc<Shared>,
    chunks: HashMap<Digest, (Located, u64)>,
    packs: Soundness,
    bases: HashMap<String, Vec<(Source, u64)>>,
    /// The digest of what consists of just these chunks.
    wholes: HashMap<Vec<Digest>, Digest>,
    /// The lists of what was swept of which nobody knows what it was.
    pub(crate) unread: BTreeSet<String>,
}

impl Known {
    /// Looks through those checkpoints of the lineage. Damaged ones are left out; reading them reports it. What a
    /// garbage collection has marked is left out too, since it may go at any time.
    pub(crate) fn new(shared: &Arc<Shared>, lineage: &str) -> Result<Self> {
        let mut res = Self {
            shared: Arc::clone(shared),
            chunks: HashMap::new(),
            packs: Soundness::default(),
            bases: HashMap::new(),
            wholes: HashMap::new(),
            unread: BTreeSet::new(),
        };
        let banned = shared.banned(lineage, true)?;
        res.unread.clone_from(banned.unread());
        let mut has_keyframe = !shared.uses_delta;
        for (n_newer, digest) in shared.shareable(lineage)?.into_iter().enumerate() {
            let Ok(stored) = StoredManifest::load(shared.blobs.as_ref(), digest, shared.chunk_size) else {
                continue;
            };
            if !has_keyframe && stored.chunks().all(|it| it.base.is_none()) {
                has_keyframe = true;
                // Every eighth checkpoint stands for itself, so that damage to one never reaches far.
                if n_newer + 1 < N_DEDUPLICATE {
                    res.bases = bases(&stored);
                }
            }
            res.learn(&stored, &banned);
        }
        res.bases.retain(|_, it| it.iter().all(|it| !banned.has_pack(it.0.pack)));
        Ok(res)
    }

    fn learn(&mut self, stored: &StoredManifest, banned: &Banned) {
        for it in stored.chunks() {
            let located = stored.located(it);
            if !banned.has_pack(located.source.pack) && located.base.is_none_or(|it| !banned.has_pack(it.pack)) {
                // The newest comes first and stays.
                if let Entry::Vacant(free) = self.chunks.entry(it.hash) {
                    free.insert((located, it.len));
                    self.packs.expect(&located);
                }
            }
        }
        for it in &stored.tensors {
            self.wholes.insert(it.chunks.iter().map(|it| it.hash).collect(), it.digest);
        }
    }

    /// Returns where the chunk is stored, if it is and its bytes are these. The store's claim to have it is not
    /// enough: a checkpoint must never come to rest on damaged bytes. So the chunk in the pack is compared, unless the
    /// pack has the bytes that were written: to hash those takes less than to decode chunks or to ask for many small ones,
    /// but more than to compare large ones that are stored as they are.
    pub(crate) fn find(
        &self,
        hash: Digest,
        bytes: &[u8],
        found: &mut Vec<u8>,
        scratch: &mut Scratch,
    ) -> Option<Located> {
        let &(located, len) = self.chunks.get(&hash)?;
        if len != bytes.len() as u64 {
            return None;
        }
        let blobs = self.shared.blobs.as_ref();
        let is_raw = frame::is_raw(&located, bytes.len());
        if !(is_raw && bytes.len() >= LARGE) && self.packs.vouches_for(blobs, &located, found) {
            return Some(located);
        }
        if is_raw {
            return frame::holds(scratch, blobs, &located, bytes).then_some(located);
        }
        found.resize(bytes.len(), 0);
        frame::read_unchecked(scratch, blobs, &located, found).ok()?;
        (found == bytes).then_some(located)
    }

    /// Returns the chunk that one at that place may be stored as a difference to, and its bytes.
    pub(crate) fn base(&self, part: Part<'_>, len: usize) -> Option<(Source, Vec<u8>)> {
        let (source, base_len) = *self.bases.get(part.of)?.get(part.at)?;
        if base_len != len as u64 {
            return None;
        }
        let mut bytes = vec![0; len];
        frame::read(self.shared.blobs.as_ref(), &Located { source, base: None }, &mut bytes).ok()?;
        Some((source, bytes))
    }

    /// Returns the digest of a tensor that consists of just these chunks, if one is known.
    pub(crate) fn whole(&self, chunks: &[Digest]) -> Option<Digest> {
        self.wholes.get(chunks).copied()
    }
}

impl Shared {
    /// Returns the manifests of the checkpoints that a new one may share chunks with: the lineage's newest ones, the newest
    /// first, and those that refs are at, the one that was moved last first.
    pub(crate) fn shareable(&self, lineage: &str) -> Result<Vec<Digest>> {
        self.log.with(lineage, |it| {
            let history = it.history();
            let mut ids: Vec<_> = history.checkpoints().iter().rev().take(N_DEDUPLICATE).map(|it| &it.id).collect();
            let at_most = ids.len() + N_DEDUPLICATE;
            for id in history.moves().iter().rev().filter_map(|it| it.to.as_ref()) {
                if ids.len() < at_most && !ids.contains(&id) && history.refs().any(|it| it.1 == id) {
                    ids.push(id);
                }
            }
            Ok(ids.into_iter().filter_map(|id| it.manifests(id).first().copied()).collect())
        })
    }
}

fn bases(stored: &StoredManifest) -> HashMap<String, Vec<(Source, u64)>> {
    let chunks = |of: String, chunks: &[Chunk]| {
        let source = |it: &Chunk| (stored.located(it).source, it.len);
        (of, chunks.iter().map(source).collect())
    };
    let files = stored.files.iter().map(|it| chunks(format!("file:{}", it.name), &it.chunks));
    files.chain(stored.tensors.iter().map(|it| chunks(format!("tensor:{}", it.name), &it.chunks))).collect()
}
