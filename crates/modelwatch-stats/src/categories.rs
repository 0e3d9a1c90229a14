//! Counts of categories, bounded in memory and independent of the order of merges.

use std::{borrow::Cow, collections::BTreeMap};

use crate::error::StateError;
use crate::hash::{fnv, hash_bytes};
use crate::state::{Reader, Writer};

/// The longest name that is kept whole, in bytes.
const MAX_NAME: usize = 256;

/// Exact counts of the categories of one column, for at most `cap` of them.
///
/// Beyond the cap, the categories with the smallest hashes are kept and all others go to one remainder ("bottom-k", Cohen & Kaplan 2007).
/// A category among the `cap` smallest hashes of the whole is among them in every part, so its count is exact,
/// and the state depends on the multiset of rows alone.
/// Which categories are kept is a fixed pseudo-random choice, not the most frequent ones: no bounded summary finds those exactly.
/// A category is stored whole, so memory is bounded in categories, not in bytes.
///
/// ```
/// use modelwatch_stats::categories::CategoryCounts;
///
/// let mut counts = CategoryCounts::new(10);
/// counts.update(["a", "b", "a"]);
/// counts.push_nulls(1);
/// assert_eq!(counts.counts().into_iter().collect::<Vec<_>>(), [("a", 2), ("b", 1)]);
/// assert_eq!((counts.n(), counts.n_null(), counts.n_other()), (3, 1, 0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryCounts {
    cap: u64,
    n: u64,
    n_null: u64,
    is_overflowed: bool,
    /// By hash, then by name; almost every list has one element.
    kept: BTreeMap<u64, Vec<(String, u64)>>,
    n_kept: u64,
}

/// Counts of two columns over the same categories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlignedCounts {
    /// Categories in ascending order of name that both sides would have kept.
    pub keys: Vec<String>,
    /// Reference counts, one per key.
    pub reference: Vec<u64>,
    /// Current counts, one per key.
    pub current: Vec<u64>,
    /// Reference rows in no key.
    pub reference_other: u64,
    /// Current rows in no key.
    pub current_other: u64,
}

impl Default for CategoryCounts {
    /// Returns an empty accumulator with [`CategoryCounts::DEFAULT_CAP`].
    fn default() -> Self {
        Self::new(Self::DEFAULT_CAP)
    }
}

impl CategoryCounts {
    /// The cap of `default()`.
    pub const DEFAULT_CAP: u64 = 10_000;

    /// Returns an empty accumulator for up to `cap` distinct categories.
    pub const fn new(cap: u64) -> Self {
        Self { cap, n: 0, n_null: 0, is_overflowed: false, kept: BTreeMap::new(), n_kept: 0 }
    }

    /// Adds one row per category.
    pub fn update<'a>(&mut self, categories: impl IntoIterator<Item = &'a str>) {
        for category in categories {
            self.push(category, 1);
        }
    }

    /// Adds `count` rows of one category.
    pub fn push(&mut self, category: &str, count: u64) {
        if count == 0 {
            return;
        }
        self.n = self.n.saturating_add(count);
        let hash = hash_bytes(category.as_bytes());
        if self.is_overflowed && !self.could_keep(hash, category) {
            return;
        }
        let bucket = self.kept.entry(hash).or_default();
        match bucket.binary_search_by(|it| it.0.as_str().cmp(category)) {
            Ok(idx) => bucket[idx].1 = bucket[idx].1.saturating_add(count),
            Err(idx) => {
                bucket.insert(idx, (category.to_owned(), count));
                self.n_kept += 1;
                self.evict();
            }
        }
    }

    /// Counts `count` missing values.
    pub fn push_nulls(&mut self, count: u64) {
        self.n_null = self.n_null.saturating_add(count);
    }

    /// Adds what `other` has seen; where the caps differ, the smaller one holds.
    pub fn merge(&mut self, other: &Self) {
        self.cap = self.cap.min(other.cap);
        self.n_null = self.n_null.saturating_add(other.n_null);
        self.evict();
        let mut n_other_kept = 0u64;
        for (name, count) in other.kept.values().flatten() {
            self.push(name, *count);
            n_other_kept = n_other_kept.saturating_add(*count);
        }
        self.n = self.n.saturating_add(other.n.saturating_sub(n_other_kept));
        // Only now: while this side still knows all its categories, none of the other's may be turned away.
        self.is_overflowed |= other.is_overflowed;
    }

    /// Returns the number of rows that are not null.
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// Returns the number of missing values.
    pub const fn n_null(&self) -> u64 {
        self.n_null
    }

    /// Returns the number of rows whose category is not kept.
    pub fn n_other(&self) -> u64 {
        let kept = self.kept.values().flatten().fold(0u64, |sum, it| sum.saturating_add(it.1));
        self.n.saturating_sub(kept)
    }

    /// Returns the number of kept categories: all distinct ones unless [`CategoryCounts::is_overflowed`].
    pub const fn n_kept(&self) -> u64 {
        self.n_kept
    }

    /// Returns whether there were more distinct categories than the cap.
    pub const fn is_overflowed(&self) -> bool {
        self.is_overflowed
    }

    /// Returns the kept categories with their exact counts.
    pub fn counts(&self) -> BTreeMap<&str, u64> {
        self.kept.values().flatten().map(|(name, count)| (name.as_str(), *count)).collect()
    }

    /// Returns the state as bytes, equal for equal multisets of rows.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        for count in [self.cap, self.n, self.n_null] {
            writer.u64(count);
        }
        writer.u8(u8::from(self.is_overflowed));
        writer.u64(self.n_kept);
        for (name, count) in self.kept.values().flatten() {
            writer.bytes(name.as_bytes());
            writer.varint(*count);
        }
        writer.finish()
    }

    /// Returns the accumulator that [`CategoryCounts::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new("category counts", bytes)?;
        let mut res = Self::new(reader.u64()?);
        res.n = reader.u64()?;
        res.n_null = reader.u64()?;
        res.is_overflowed = reader.flag("is_overflowed")?;
        let len = reader.len(2)?;
        if len as u64 > res.cap || (res.is_overflowed && len as u64 != res.cap) {
            return Err(reader.invalid("categories"));
        }
        let (mut total, mut last) = (0u64, None);
        for _ in 0..len {
            let name = std::str::from_utf8(reader.bytes()?).map_err(|_| reader.invalid("category"))?;
            let count = reader.varint()?;
            let key = (hash_bytes(name.as_bytes()), name);
            if count == 0 || last.is_some_and(|it| it >= key) {
                return Err(reader.invalid("categories"));
            }
            total = total.checked_add(count).ok_or_else(|| reader.invalid("count"))?;
            last = Some(key);
            res.kept.entry(key.0).or_default().push((name.to_owned(), count));
            res.n_kept += 1;
        }
        let has_other = total < res.n;
        if total > res.n || has_other != res.is_overflowed {
            return Err(reader.invalid("n"));
        }
        reader.finish()?;
        Ok(res)
    }

    /// Whether the category is not beyond the last kept one; only meaningful once overflowed.
    fn could_keep(&self, hash: u64, category: &str) -> bool {
        self.last().is_some_and(|last| (hash, category) <= last)
    }

    fn last(&self) -> Option<(u64, &str)> {
        let (&hash, bucket) = self.kept.last_key_value()?;
        bucket.last().map(|it| (hash, it.0.as_str()))
    }

    fn evict(&mut self) {
        while self.n_kept > self.cap {
            let Some(mut last) = self.kept.last_entry() else {
                return;
            };
            last.get_mut().pop();
            if last.get().is_empty() {
                last.remove();
            }
            self.n_kept -= 1;
            self.is_overflowed = true;
        }
    }

    /// Whether this side's count of the category is exact, zero included.
    fn knows(&self, hash: u64, category: &str) -> bool {
        !self.is_overflowed || self.could_keep(hash, category)
    }
}

/// Returns the counts of two columns over the categories that both know exactly; all else is in the remainders.
///
/// Without overflow that is every category of either side, with 0 where a side lacks it.
///
/// ```
/// use modelwatch_stats::categories::{CategoryCounts, align};
///
/// let (mut reference, mut current) = (CategoryCounts::default(), CategoryCounts::default());
/// reference.update(["a", "b"]);
/// current.update(["b", "c"]);
/// let aligned = align(&reference, &current);
/// assert_eq!(aligned.keys, ["a", "b", "c"]);
/// assert_eq!((aligned.reference, aligned.current), (vec![1, 1, 0], vec![0, 1, 1]));
/// ```
pub fn align(reference: &CategoryCounts, current: &CategoryCounts) -> AlignedCounts {
    let mut rows: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (hash, bucket) in &reference.kept {
        for (name, count) in bucket.iter().filter(|it| current.knows(*hash, &it.0)) {
            rows.entry(name).or_default().0 = *count;
        }
    }
    for (hash, bucket) in &current.kept {
        for (name, count) in bucket.iter().filter(|it| reference.knows(*hash, &it.0)) {
            rows.entry(name).or_default().1 = *count;
        }
    }
    let sum = |side: fn(&(u64, u64)) -> u64| rows.values().map(side).fold(0u64, u64::saturating_add);
    AlignedCounts {
        keys: rows.keys().map(|&it| it.to_owned()).collect(),
        reference: rows.values().map(|it| it.0).collect(),
        current: rows.values().map(|it| it.1).collect(),
        reference_other: reference.n.saturating_sub(sum(|it| it.0)),
        current_other: current.n.saturating_sub(sum(|it| it.1)),
    }
}

/// Returns a name that is at most some 256 bytes long: itself, or its beginning and a digest.
///
/// ```
/// use modelwatch_stats::categories::short_name;
/// assert_eq!(short_name("red"), "red");
/// assert!(short_name(&"a".repeat(10_000)).len() < 256);
/// ```
pub fn short_name(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_NAME {
        return Cow::Borrowed(name);
    }
    let beginning = &name[..name.floor_char_boundary(MAX_NAME / 2)];
    // Not mixed, so that names in states that were written before stay what they are.
    Cow::Owned(format!("{beginning}… ({} bytes, {:016x})", name.len(), fnv(name.as_bytes())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(cap: u64, rows: &[u8]) -> CategoryCounts {
        let mut res = CategoryCounts::new(cap);
        for row in rows {
            res.push(&format!("c{row}"), 1);
        }
        res
    }

    #[test]
    fn look_alike_strings_stay_apart() {
        let mut counts = CategoryCounts::default();
        counts.update(["é", "e\u{301}", "", " ", "nan", "NaN"]);
        assert_eq!(counts.n_kept(), 6);
    }

    #[test]
    fn overflowed_sides_align_on_what_both_know() {
        let rows: Vec<u8> = (0..200).collect();
        let (reference, current) = (of(50, &rows), of(20, &rows));
        let aligned = align(&reference, &current);
        assert_eq!(aligned.keys.len(), 20);
        assert!(aligned.reference.iter().chain(&aligned.current).all(|&it| it == 1));
        assert_eq!((aligned.reference_other, aligned.current_other), (180, 180));
    }

    #[test]
    fn a_cap_of_zero_counts_rows_only() {
        let counts = of(0, &[1, 2]);
        assert_eq!((counts.n(), counts.n_other(), counts.is_overflowed()), (2, 2, true));
        assert_eq!(CategoryCounts::from_bytes(&counts.to_bytes()).unwrap(), counts);
    }

    proptest! {
        #[test]
        fn state_depends_on_the_multiset_alone(rows in prop::collection::vec(0u8..30, 0..80), cap in 0u64..40, at in 0usize..80, then in 0usize..80) {
            let at = at.min(rows.len());
            let then = then.clamp(at, rows.len());
            let whole = of(cap, &rows);
            let (a, b, c) = (of(cap, &rows[..at]), of(cap, &rows[at..then]), of(cap, &rows[then..]));
            let (mut left, mut right) = (a.clone(), c.clone());
            left.merge(&b);
            left.merge(&c);
            right.merge(&b);
            right.merge(&a);
            prop_assert_eq!(&left, &whole);
            prop_assert_eq!(&right, &whole);
            prop_assert_eq!(&CategoryCounts::from_bytes(&whole.to_bytes()).unwrap(), &whole);
            for (name, count) in whole.counts() {
                let exact = rows.iter().filter(|it| format!("c{it}") == name).count() as u64;
                prop_assert_eq!(count, exact);
            }
        }

        #[test]
        fn damaged_bytes_never_panic(rows in prop::collection::vec(0u8..30, 1..20), idx in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = of(10, &rows).to_bytes();
            let idx = idx.index(bytes.len());
            bytes[idx] = byte;
            if let Ok(read) = CategoryCounts::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes.clone());
            }
            prop_assert!(CategoryCounts::from_bytes(&bytes[..idx]).is_err());
        }
    }
}
