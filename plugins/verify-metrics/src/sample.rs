//! Distinct rows with their counts: all of them up to a budget, then those with the smallest hashes.
//!
//! Which rows are kept depends on the set of distinct rows alone (a bottom-k sample, Cohen & Kaplan
//! 2007), so that neither order nor partitioning matters: a row that was evicted has `limit` smaller
//! ones before it and can never come back, and the count of a row that is kept is complete.

use std::collections::BTreeMap;

use modelwatch_stats::bootstrap::row_key;

/// The most rows that are kept.
const MAX_ROWS: usize = 100_000;
/// The most words that are kept: 32 MiB.
const MAX_WORDS: usize = 1 << 22;

/// Distinct rows with their counts, in the order of their hashes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    rows: BTreeMap<(u64, Box<[u64]>), u64>,
}

/// Returns how many distinct rows of `width` words are kept.
pub(crate) fn limit(width: usize) -> usize {
    (MAX_WORDS / width.max(1)).clamp(1, MAX_ROWS)
}

impl Sample {
    /// Adds a row `count` times. May exceed the budget until [`Sample::shrink`] is called.
    pub(crate) fn add(&mut self, words: &[u64], count: u64) {
        let bytes: Vec<u8> = words.iter().flat_map(|it| it.to_le_bytes()).collect();
        *self.rows.entry((row_key(&bytes), words.into())).or_default() += count;
    }

    /// Evicts the rows with the greatest hashes beyond `limit`.
    pub(crate) fn shrink(&mut self, limit: usize) {
        while self.rows.len() > limit {
            self.rows.pop_last();
        }
    }

    /// Returns the number of distinct rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns hash, words and count of each distinct row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &[u64], u64)> {
        self.rows.iter().map(|((hash, words), &count)| (*hash, &**words, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_does_not_depend_on_the_order() {
        let rows: Vec<u64> = (0..500).map(|it| it * it % 211).collect();
        let of = |rows: &[u64], limit| {
            let mut res = Sample::default();
            for &row in rows {
                res.add(&[row, 7], 1);
                res.shrink(limit);
            }
            res
        };
        let mut reversed = rows.clone();
        reversed.reverse();
        for limit in [1, 20, 1000] {
            let whole = of(&rows, limit);
            assert_eq!(whole, of(&reversed, limit));
            let (mut left, right) = (of(&rows[..123], limit), of(&rows[123..], limit));
            right.iter().for_each(|(_, words, count)| left.add(words, count));
            left.shrink(limit);
            assert_eq!(left, whole);
        }
        assert_eq!(of(&rows, 1000).iter().map(|it| it.2).sum::<u64>(), 500);
    }
}
