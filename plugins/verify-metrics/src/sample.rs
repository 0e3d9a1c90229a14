//! Distinct rows with their counts: all of them up to a budget, then those with the smallest hashes.
//!
//! Which rows are kept depends on the set of distinct rows alone (a bottom-k sample, Cohen & Kaplan
//! 2007), so that neither order nor partitioning matters: a row that was evicted has `limit` smaller
//! ones before it and can never come back, and the count of a row that is kept is complete.

use modelwatch_stats::hash::mix;

/// The most rows that are kept.
const MAX_ROWS: usize = 100_000;
/// The most words that are kept: 32 MiB.
const MAX_WORDS: usize = 1 << 22;

/// Distinct rows with their counts, in the order of their hashes.
///
/// Rows are appended, and put in order once there are many of them or somebody asks: whoever reads has [settled](Sample::settle) it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    rows: Vec<Row>,
    /// How many rows come first that are in order and distinct.
    n_settled: usize,
    /// The words of the rows, each of `width`.
    words: Vec<u64>,
    width: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    /// By which it is kept or evicted.
    key: u64,
    count: u64,
    /// Where its words start.
    at: usize,
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
    /// Adds a row `count` times.
    pub(crate) fn add(&mut self, words: &[u64], count: u64) {
        self.add_under(hash(words), words, count);
    }

    /// Adds a row `count` times, unless it would be evicted again from a sample of `limit` rows that has no place.
    ///
    /// Nearly all of many rows are: they cost a hash, not a place.
    pub(crate) fn add_to_full(&mut self, words: &[u64], count: u64, limit: usize) {
        let hash = hash(words);
        if limit > self.n_settled || hash <= self.rows[limit - 1].key {
            self.add_under(hash, words, count);
        }
    }

    /// Adds a row `count` times under a key other than its hash, by which it is kept or evicted.
    pub(crate) fn add_under(&mut self, key: u64, words: &[u64], count: u64) {
        self.width = words.len();
        self.rows.push(Row { key, count, at: self.words.len() });
        self.words.extend_from_slice(words);
    }

    /// Returns whether it is time to settle, so that at most `limit` rows and half as many are held.
    pub(crate) fn is_due(&self, limit: usize) -> bool {
        self.rows.len() > limit + self.n_settled / 2
    }

    /// Puts the rows in order, and adds up the counts of equal ones.
    pub(crate) fn settle(&mut self) {
        if self.n_settled == self.rows.len() {
            return;
        }
        let words = std::mem::take(&mut self.words);
        let of = |row: &Row| &words[row.at..row.at + self.width];
        self.rows.sort_unstable_by(|left, right| left.key.cmp(&right.key).then_with(|| of(left).cmp(of(right))));
        self.rows.dedup_by(|row, before| {
            let is_equal = row.key == before.key && of(row) == of(before);
            before.count += if is_equal { row.count } else { 0 };
            is_equal
        });
        self.words.reserve_exact(self.rows.len() * self.width);
        for row in &mut self.rows {
            let at = std::mem::replace(&mut row.at, self.words.len());
            self.words.extend_from_slice(&words[at..at + self.width]);
        }
        self.n_settled = self.rows.len();
    }

    /// Evicts all rows of the greatest keys until at most `limit` rows are left, and returns the least key that was
    /// evicted.
    pub(crate) fn shrink_keys(&mut self, limit: usize) -> Option<u64> {
        self.settle();
        let key = self.rows.get(limit)?.key;
        self.evict_from(key);
        Some(key)
    }

    /// Evicts the rows of `key` and of greater ones.
    pub(crate) fn evict_from(&mut self, key: u64) {
        self.settle();
        self.shrink(self.rows.partition_point(|it| it.key < key));
    }

    /// Evicts the rows with the greatest hashes beyond `limit`.
    pub(crate) fn shrink(&mut self, limit: usize) {
        self.settle();
        self.rows.truncate(limit);
        self.words.truncate(self.rows.len() * self.width);
        self.n_settled = self.rows.len();
    }

    /// Returns the number of distinct rows.
    pub(crate) fn len(&self) -> usize {
        debug_assert_eq!(self.n_settled, self.rows.len(), "it was read before it was settled");
        self.rows.len()
    }

    /// Returns hash, words and count of each distinct row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &[u64], u64)> {
        debug_assert_eq!(self.n_settled, self.rows.len(), "it was read before it was settled");
        self.rows.iter().map(|it| (it.key, &self.words[it.at..it.at + self.width], it.count))
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
                    if res.is_due(25) {
                        bound = res.shrink_keys(25).unwrap_or(bound);
                    }
                }
            }
            bound = res.shrink_keys(25).unwrap_or(bound);
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
                res.add_to_full(&[row, 7], 1, limit);
                if res.is_due(limit) {
                    res.shrink(limit);
                }
            }
            res.shrink(limit);
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
