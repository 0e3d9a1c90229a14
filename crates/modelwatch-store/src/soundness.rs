//! Which stored packs are what their names, which are digests, say: found out where most of a pack is asked for.
//!
//! To hash a pack once takes a third of the time of decoding all of its chunks and comparing them. It is worth
//! that only where many of them are needed, which shows only on the way: so the first are compared one by one.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_root};

use crate::{
    blobs::Blobs,
    format::{Digest, MAX_PACK},
    frame::{Located, Source},
    keys,
};

/// Of how many bytes of a pack one is asked for before the pack is read whole.
const SHARE: u64 = 8;
/// How much is read at a time.
const PIECE: u64 = 1 << 20;

/// The packs that chunks may be asked for in.
#[derive(Default)]
pub(crate) struct Soundness {
    packs: HashMap<Digest, Pack>,
}

#[derive(Default)]
struct Pack {
    /// The bytes of all frames in it that may be asked for.
    n_known: u64,
    n_asked: AtomicU64,
    /// Whether a thread reads it, or did. The others do not wait for it.
    is_taken: AtomicBool,
    is_sound: OnceLock<bool>,
}

impl Soundness {
    /// Learns of a frame that may be asked for.
    pub(crate) fn expect(&mut self, located: &Located) {
        for it in sources(located) {
            self.packs.entry(it.pack).or_default().n_known += it.span.size;
        }
    }

    /// Returns whether the frame, and its base if it has one, are known to be in packs that are whole. Nothing is known
    /// until many frames of a pack were asked for; then one of those who ask reads it, with `buffer`.
    pub(crate) fn vouches_for(&self, blobs: &dyn Blobs, located: &Located, buffer: &mut Vec<u8>) -> bool {
        sources(located).all(|it| self.packs.get(&it.pack).is_some_and(|pack| pack.is_sound(blobs, it, buffer)))
    }
}

impl Pack {
    fn is_sound(&self, blobs: &dyn Blobs, source: &Source, buffer: &mut Vec<u8>) -> bool {
        if let Some(it) = self.is_sound.get() {
            return *it;
        }
        let n_asked = self.n_asked.fetch_add(source.span.size, Ordering::Relaxed);
        if n_asked < self.n_known / SHARE || self.is_taken.swap(true, Ordering::Relaxed) {
            return false;
        }
        *self.is_sound.get_or_init(|| digest(blobs, source.pack, buffer) == Some(source.pack))
    }
}

fn sources(located: &Located) -> impl Iterator<Item = &Source> {
    [Some(&located.source), located.base.as_ref()].into_iter().flatten()
}

/// Returns the digest that the bytes of a pack have now; none if they cannot be read.
fn digest(blobs: &dyn Blobs, pack: Digest, buffer: &mut Vec<u8>) -> Option<Digest> {
    let key = keys::pack(pack);
    let size = blobs.stat(&key).ok()??.size;
    if size > MAX_PACK {
        return None;
    }
    if size <= PIECE {
        buffer.resize(size as usize, 0);
        blobs.read_at(&key, 0, buffer).ok()?;
        return Some(Digest::of(buffer));
    }
    // The digest is that of two subtrees, so that two threads can make it.
    let middle = left_subtree_len(size);
    let (left, right) = thread::scope(|scope| {
        let right = scope.spawn(|| subtree(blobs, &key, middle..size, &mut Vec::new()));
        (subtree(blobs, &key, 0..middle, buffer), right.join().ok().flatten())
    });
    Some(merge_subtrees_root(&left?, &right?, Mode::Hash).into())
}

/// Returns the chaining value of a part of a file.
fn subtree(blobs: &dyn Blobs, key: &str, part: Range<u64>, buffer: &mut Vec<u8>) -> Option<ChainingValue> {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(part.start);
    for at in part.clone().step_by(PIECE as usize) {
        buffer.resize(PIECE.min(part.end - at) as usize, 0);
        blobs.read_at(key, at, buffer).ok()?;
        hasher.update(buffer);
    }
    Some(hasher.finalize_non_root())
}
