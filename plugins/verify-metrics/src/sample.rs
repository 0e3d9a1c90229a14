//! Distinct rows with their counts: all of them up to a budget, then those with the smallest hashes.
//!
//! Which rows are kept depends on the set of distinct rows alone (a bottom-k sample, Cohen & Kaplan
//! 2007), so that neither order nor partitioning matters: a row that was evicted has `limit` smaller
//! ones before it and can never come back, and the count of a row that is kept is complete.

use std::collections::BTreeMap;

use modelwatch_stats::hash::mix;

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

/// Returns how many distinct rows of `width` words are kept where no sums take over beyond them.
pub(crate) fn wide_limit(width: usize) -> usize {
    (MAX_WORDS / width.max(1)).max(1)
}

impl Sample {
    /// Adds a row `count` times. May exceed the budget until [`Sample::shrink`] is called.
    pub(crate) fn add(&mut self, words: &[u64], count: u64) {
        self.add_under(hash(words), words, count);
    }

    /// Adds a row `count` times to a sample that has as many rows as may be kept, unless it would be evicted again.
    ///
    /// Nearly all of many rows are: they cost a hash, not a place.
    pub(crate) fn add_to_full(&mut self, words: &[u64], count: u64) {
        let hash = hash(words);
        let is_beyond = |last: &(u64, Box<[u64]>)| (last.0, &*last.1) < (hash, words);
        if !self.rows.last_key_value().is_some_and(|(last, _)| is_beyond(last)) {
            self.add_under(hash, words, count);
        }
    }

    /// Adds a row `count` times under a key other than its hash, by which it is kept or evicted.
    pub(crate) fn add_under(&mut self, key: u64, words: &[u64], count: u64) {
        *self.rows.entry((key, words.into())).or_default() += count;
    }

    /// Evicts all rows of the greatest keys until at most `limit` rows are left, and returns the least key that was
    /// evicted.
    pub(crate) fn shrink_keys(&mut self, limit: usize) -> Option<u64> {
        let mut res = None;
        while self.rows.len() > limit {
            let ((key, _), _) = self.rows.pop_last()?;
            self.evict_from(key);
            res = Some(key);
        }
        res
    }

    /// Evicts the rows of `key` and of greater ones.
    pub(crate) fn evict_from(&mut self, key: u64) {
        self.rows.split_off(&(key, Box::default()));
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

/// Returns the hash of a row, by which it is kept or evicted.
pub(crate) fn hash(words: &[u64]) -> u64 {
    words.iter().fold(words.len() as u64, |res, &word| mix(res ^ word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_keys_are_evicted_and_do_not_come_back() {
        let rows: Vec<(u64, u64)> = (0..60).map(|it| (it * 7 % 10, it)).collect();
        let of = |rows: &[(u64, u64)]| {
            let (mut res, mut bound) = (Sample::default(), u64::MAX);
            for &(key, word) in rows {
                if key < bound {
                    res.add_under(key, &[word], 1);
                    bound = res.shrink_keys(25).unwrap_or(bound);
                }
            }
            (res, bound)
        };
        let mut reversed = rows.clone();
        reversed.reverse();
        let (kept, bound) = of(&rows);
        assert_eq!((of(&reversed), bound, kept.len()), ((kept.clone(), bound), 4, 24));
    }

    #[test]
    fn what_is_kept_does_not_depend_on_the_order() {
        let rows: Vec<u64> = (0..500).map(|it| it * it % 211).collect();
        let of = |rows: &[u64], limit| {
            let mut res = Sample::default();
            for &row in rows {
                if res.len() < limit {
                    res.add(&[row, 7], 1)
                } else {
                    res.add_to_full(&[row, 7], 1)
                }
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
