//! The digest of a whole from its parts, each of which the thread hashes that has it at hand.
//!
//! BLAKE3 hashes a tree: a part that starts at a multiple of its length, a power of two, is a subtree of the whole, and so
//! is a shorter one at the end. The digests by which chunks are named say nothing of it, since the leaves of a tree are
//! numbered from its start: the same bytes are another subtree at every other place.

use blake3::{
    CHUNK_LEN, Hasher,
    hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};

use crate::format::Digest;

/// Returns whether parts of these lengths, none of them empty, are subtrees of what they make up one after the other, and
/// at least two.
pub(crate) fn are_subtrees(lens: impl IntoIterator<Item = u64>) -> bool {
    let lens: Vec<u64> = lens.into_iter().collect();
    let Some(([first, rest @ ..], last)) = lens.split_last().map(|(last, front)| (front, last)) else {
        return false;
    };
    *first >= CHUNK_LEN as u64 && first.is_power_of_two() && rest.iter().all(|it| it == first) && last <= first
}

/// Returns what the part that starts at `offset` adds to the whole.
pub(crate) fn subtree(offset: u64, bytes: &[u8]) -> ChainingValue {
    Hasher::new().set_input_offset(offset).update(bytes).finalize_non_root()
}

/// Returns the digest of the whole that has these subtrees, at least two.
pub(crate) fn root(subtrees: &[ChainingValue]) -> Digest {
    let (left, right) = halves(subtrees);
    merge_subtrees_root(&merged(left), &merged(right), Mode::Hash).into()
}

fn merged(subtrees: &[ChainingValue]) -> ChainingValue {
    if let [one] = subtrees {
        return *one;
    }
    let (left, right) = halves(subtrees);
    merge_subtrees_non_root(&merged(left), &merged(right), Mode::Hash)
}

/// On the left is as much as makes a full tree and leaves something to the right.
fn halves(subtrees: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    subtrees.split_at(subtrees.len().next_power_of_two() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_come_to_the_digest_of_the_whole() {
        let bytes: Vec<u8> = (0..40 * CHUNK_LEN).map(|it| (it * it / 251) as u8).collect();
        for part in [CHUNK_LEN, 4 * CHUNK_LEN] {
            for n_whole in 1..9 {
                for rest in [1, CHUNK_LEN - 1, part - 1, part] {
                    let whole = &bytes[..n_whole * part + rest];
                    assert!(are_subtrees(whole.chunks(part).map(|it| it.len() as u64)));
                    let parts = whole.chunks(part).enumerate();
                    let parts: Vec<_> = parts.map(|(at, it)| subtree((at * part) as u64, it)).collect();
                    assert_eq!(root(&parts), Digest::of(whole), "{n_whole} × {part} + {rest}");
                }
            }
        }
    }

    #[test]
    fn other_parts_are_no_subtrees() {
        for lens in [&[][..], &[4096], &[512, 512], &[3072, 3072], &[4096, 2048, 4096], &[2048, 4096], &[4096, 4097]] {
            assert!(!are_subtrees(lens.iter().copied()), "{lens:?}");
        }
    }
}
