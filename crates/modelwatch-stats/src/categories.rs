//! Counts of categories, bounded in memory and independent of the order of merges.

mod align;
mod cut;

use std::{borrow::Cow, collections::BTreeMap};

use crate::error::StateError;
use crate::hash::{fnv, hash_bytes};
use crate::state::{Reader, Writer};

pub use align::{AlignedCounts, align};

/// The longest name that is kept whole, in bytes.
const MAX_NAME: usize = 256;

/// Into how many groups, by the hash of its name, a category can fall.
const GROUPS: usize = 128;

/// Counts of the categories of one column, exact for at most `cap` of them.
///
/// Beyond the cap, the categories with the smallest hashes are kept and all others go to one remainder ("bottom-k", Cohen & Kaplan 2007).
/// A category among the `cap` smallest hashes of the whole is among them in every part, so its count is exact,
/// and the state depends on the multiset of rows alone.
/// Which categories are kept is a fixed pseudo-random choice, not the most frequent ones: no bounded summary that is the same in any order
/// of merges finds those. So that a frequent category cannot hide in the remainder, the rows of all categories together are counted in
/// 128 groups by the hash of the name as well, exactly and in any order.
/// A category is stored whole, so memory is bounded in categories, not in bytes.
///
/// What is stored can be [cut](CategoryCounts::cut) to the most frequent categories.
/// The counts of what was cut say how often a category that is not kept can have occurred at most ([`CategoryCounts::range_of`]).
/// As long as no cut counts are merged, what is kept is exact and follows from the rows. Cut counts merge in any order to the same
/// state as well, which follows from what each of them kept: beyond the cap, too, it is the categories with the smallest hashes that stay,
/// unless the cap is [lifted](CategoryCounts::lift_cap) for the time of the merges.
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
    /// By hash, then by name; almost every list has one element.
    kept: BTreeMap<u64, Vec<Kept>>,
    n_kept: u64,
    rest: Rest,
}

/// A category and how often it occurred: `count` times, or up to `error` times more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    name: String,
    count: u64,
    error: u64,
}

/// What is known of the categories that are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rest {
    /// There are none.
    None,
    /// Their hashes are greater than those of the kept ones.
    Beyond(Box<Groups>),
    /// They were less frequent where counts were cut, or their hashes are greater.
    Cut(Box<Groups>, Cut),
}

/// The rows of all categories, by the hash of the name.
type Groups = [u64; GROUPS];

/// What a cut left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// How often a category that was cut can have occurred at most.
    bound: u64,
    /// How many categories there are; 0 where that is not known.
    n_dropped: u64,
    /// Whether there are others as well, whose hashes are greater than those of the kept ones.
    is_beyond: bool,
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
        Self { cap, n: 0, n_null: 0, kept: BTreeMap::new(), n_kept: 0, rest: Rest::None }
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
        let error = match &mut self.rest {
            Rest::None => 0,
            Rest::Beyond(groups) => {
                add(&mut groups[group_of(hash)], count);
                if !self.could_keep(hash, category) {
                    return;
                }
                0
            }
            Rest::Cut(groups, cut) => {
                add(&mut groups[group_of(hash)], count);
                let (bound, is_beyond) = (cut.bound, cut.is_beyond);
                // Even where nothing is dropped by it: the number of categories that were is not known any longer.
                cut.n_dropped = 0;
                if is_beyond && !self.could_keep(hash, category) {
                    return;
                }
                bound
            }
        };
        let bucket = self.kept.entry(hash).or_default();
        match bucket.binary_search_by(|it| it.name.as_str().cmp(category)) {
            Ok(idx) => add(&mut bucket[idx].count, count),
            Err(idx) => {
                bucket.insert(idx, Kept { name: category.to_owned(), count, error });
                self.n_kept += 1;
                self.evict();
            }
        }
    }

    /// Counts `count` missing values.
    pub fn push_nulls(&mut self, count: u64) {
        self.n_null = self.n_null.saturating_add(count);
    }

    /// Lets merges keep the categories of both sides, however many, until [`CategoryCounts::limit`]: for counts that were stored, which
    /// have few. So it is the next cut that chooses among all of them, by how frequent they are, and not the cap by their hashes.
    ///
    /// Counts that the cap has chosen among already stay as they are.
    pub const fn lift_cap(&mut self) {
        if !self.has_beyond() {
            self.cap = u64::MAX;
        }
    }

    /// Keeps at most `cap` categories from here on.
    pub fn limit(&mut self, cap: u64) {
        self.cap = self.cap.min(cap);
        self.evict();
    }

    /// Adds what `other` has seen; where the caps differ, the smaller one holds.
    pub fn merge(&mut self, other: &Self) {
        self.cap = self.cap.min(other.cap);
        self.n_null = self.n_null.saturating_add(other.n_null);
        self.evict();
        if self.is_cut() || other.is_cut() {
            self.merge_cut(other);
            return;
        }
        let is_whole = matches!((&self.rest, &other.rest), (Rest::None, Rest::None));
        let groups = (!is_whole).then(|| self.groups_with(other));
        let mut n_other_kept = 0u64;
        for it in other.entries() {
            self.push(&it.name, it.count);
            n_other_kept = n_other_kept.saturating_add(it.count);
        }
        self.n = self.n.saturating_add(other.n.saturating_sub(n_other_kept));
        // Only now: while this side still knows all its categories, none of the other's may be turned away.
        if let Some(groups) = groups {
            self.rest = Rest::Beyond(groups);
        }
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
        let kept = self.entries().fold(0u64, |sum, it| sum.saturating_add(it.count));
        self.n.saturating_sub(kept)
    }

    /// Returns the number of kept categories: all distinct ones unless [`CategoryCounts::is_overflowed`].
    pub const fn n_kept(&self) -> u64 {
        self.n_kept
    }

    /// Returns the number of distinct categories, where it is known.
    pub fn n_distinct(&self) -> Option<u64> {
        match &self.rest {
            Rest::None => Some(self.n_kept),
            Rest::Cut(_, Cut { n_dropped: dropped @ 1.., .. }) => Some(self.n_kept + dropped),
            Rest::Beyond(_) | Rest::Cut(..) => None,
        }
    }

    /// Returns whether there are categories that are not kept.
    pub const fn is_overflowed(&self) -> bool {
        !matches!(self.rest, Rest::None)
    }

    /// Returns the kept categories with their counts: exact ones, unless cut counts were merged, of which they are what is certain.
    pub fn counts(&self) -> BTreeMap<&str, u64> {
        self.entries().map(|it| (it.name.as_str(), it.count)).collect()
    }

    /// Returns how often a category occurred, at least and at most.
    ///
    /// ```
    /// use modelwatch_stats::categories::CategoryCounts;
    ///
    /// let mut counts = CategoryCounts::default();
    /// counts.update(["a", "a", "a", "b", "b", "c"]);
    /// counts.cut(1, 1000);
    /// assert_eq!(counts.range_of("a"), (3, 3));
    /// assert_eq!(counts.range_of("b"), (0, 2));
    /// ```
    pub fn range_of(&self, category: &str) -> (u64, u64) {
        self.ranges()(category)
    }

    /// Returns [`CategoryCounts::range_of`] for many categories, which looks at those that are kept once.
    pub fn ranges(&self) -> impl Fn(&str) -> (u64, u64) {
        let (bound, rest) = (self.cut_bound(), self.rest_groups());
        move |category| {
            let hash = hash_bytes(category.as_bytes());
            if let Some(it) = self.find(hash, category) {
                return (it.count, it.count.saturating_add(it.error));
            }
            let bound = if self.has_beyond() && !self.could_keep(hash, category) { u64::MAX } else { bound };
            (0, bound.min(rest[group_of(hash)]))
        }
    }

    /// Returns the state as bytes, equal for equal multisets of rows.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        for count in [self.cap, self.n, self.n_null] {
            writer.u64(count);
        }
        let has_errors = self.entries().any(|it| it.error > 0);
        match &self.rest {
            Rest::None => writer.u8(0),
            Rest::Beyond(groups) => {
                writer.u8(1);
                groups.iter().for_each(|it| writer.varint(*it));
            }
            Rest::Cut(groups, cut) => {
                writer.u8(2 + u8::from(has_errors) + 2 * u8::from(cut.is_beyond));
                groups.iter().for_each(|it| writer.varint(*it));
                writer.varint(cut.bound);
                writer.varint(cut.n_dropped);
            }
        }
        writer.u64(self.n_kept);
        for it in self.entries() {
            writer.bytes(it.name.as_bytes());
            writer.varint(it.count);
            if has_errors {
                writer.varint(it.error);
            }
        }
        writer.finish()
    }

    /// Returns the accumulator that [`CategoryCounts::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new("category counts", bytes)?;
        let mut res = Self::new(reader.u64()?);
        res.n = reader.u64()?;
        res.n_null = reader.u64()?;
        let form = reader.u8()?;
        res.rest = match form {
            0 => Rest::None,
            1 => Rest::Beyond(read_groups(&mut reader)?),
            2..=5 => {
                let groups = read_groups(&mut reader)?;
                let (bound, n_dropped) = (reader.varint()?, reader.varint()?);
                Rest::Cut(groups, Cut { bound, n_dropped, is_beyond: form > 3 })
            }
            _ => return Err(reader.invalid("form")),
        };
        let has_errors = matches!(form, 3 | 5);
        let len = reader.len(2)?;
        if len as u64 > res.cap || (res.has_beyond() && len as u64 != res.cap) {
            return Err(reader.invalid("categories"));
        }
        let (mut total, mut last, mut greatest_error) = (0u64, None, 0);
        let mut groups = [0u64; GROUPS];
        for _ in 0..len {
            let name = std::str::from_utf8(reader.bytes()?).map_err(|_| reader.invalid("category"))?;
            let count = reader.varint()?;
            let error = if has_errors { reader.varint()? } else { 0 };
            let key = (hash_bytes(name.as_bytes()), name);
            if count == 0 || last.is_some_and(|it| it >= key) {
                return Err(reader.invalid("categories"));
            }
            total = total.checked_add(count).ok_or_else(|| reader.invalid("count"))?;
            groups[group_of(key.0)] += count;
            greatest_error = error.max(greatest_error);
            last = Some(key);
            res.kept.entry(key.0).or_default().push(Kept { name: name.to_owned(), count, error });
            res.n_kept += 1;
        }
        if total > res.n || (total < res.n) != res.is_overflowed() || (greatest_error > 0) != has_errors {
            return Err(reader.invalid("n"));
        }
        if let Rest::Cut(_, cut) = &res.rest {
            let rest = res.n - total;
            // Nothing that was cut is known not to have occurred, and all of it is among the rows that are left.
            if cut.bound == 0 || cut.bound > rest || greatest_error > cut.bound {
                return Err(reader.invalid("bound"));
            }
            let can_be = cut.n_dropped <= rest && cut.n_dropped.saturating_mul(cut.bound) >= rest;
            // Of counts that were merged the number is not known.
            if cut.n_dropped > 0 && !(can_be && form == 2) {
                return Err(reader.invalid("n_dropped"));
            }
        }
        if let Rest::Beyond(all) | Rest::Cut(all, _) = &res.rest {
            let sum = all.iter().try_fold(0u64, |sum, it| sum.checked_add(*it));
            if sum != Some(res.n) || all.iter().zip(&groups).any(|(all, kept)| all < kept) {
                return Err(reader.invalid("groups"));
            }
        }
        reader.finish()?;
        Ok(res)
    }

    fn entries(&self) -> impl Iterator<Item = &Kept> {
        self.kept.values().flatten()
    }

    fn find(&self, hash: u64, category: &str) -> Option<&Kept> {
        self.kept.get(&hash)?.iter().find(|it| it.name == category)
    }

    /// Returns the rows by the hash of the name.
    fn groups(&self) -> Cow<'_, Groups> {
        match &self.rest {
            Rest::Beyond(groups) | Rest::Cut(groups, _) => Cow::Borrowed(groups),
            Rest::None => {
                let mut res = [0; GROUPS];
                for (hash, bucket) in &self.kept {
                    bucket.iter().for_each(|it| add(&mut res[group_of(*hash)], it.count));
                }
                Cow::Owned(res)
            }
        }
    }

    fn groups_with(&self, other: &Self) -> Box<Groups> {
        let mut res = Box::new(self.groups().into_owned());
        res.iter_mut().zip(other.groups().iter()).for_each(|(mine, theirs)| add(mine, *theirs));
        res
    }

    /// Returns how often a category that is not kept can have occurred at most.
    fn bound(&self) -> u64 {
        let beyond = if self.has_beyond() { self.rest_groups().into_iter().max().unwrap_or(0) } else { 0 };
        self.cut_bound().max(beyond)
    }

    /// Returns how often a category can have occurred at most that is not kept, though its hash is not beyond those of the kept ones.
    const fn cut_bound(&self) -> u64 {
        match &self.rest {
            Rest::None | Rest::Beyond(_) => 0,
            Rest::Cut(_, cut) => cut.bound,
        }
    }

    /// Whether there are categories that are not kept because of their hashes.
    const fn has_beyond(&self) -> bool {
        matches!(self.rest, Rest::Beyond(_) | Rest::Cut(_, Cut { is_beyond: true, .. }))
    }

    /// Returns the rows whose category is not kept, by the hash of the name.
    fn rest_groups(&self) -> Groups {
        let mut res = self.groups().into_owned();
        for (hash, bucket) in &self.kept {
            let rest = &mut res[group_of(*hash)];
            *rest = bucket.iter().fold(*rest, |rest, it| rest.saturating_sub(it.count));
        }
        res
    }

    /// Whether the category is not beyond the last kept one; only meaningful where others are.
    fn could_keep(&self, hash: u64, category: &str) -> bool {
        self.last().is_some_and(|last| (hash, category) <= last)
    }

    fn last(&self) -> Option<(u64, &str)> {
        let (&hash, bucket) = self.kept.last_key_value()?;
        bucket.last().map(|it| (hash, it.name.as_str()))
    }

    fn evict(&mut self) {
        if self.n_kept <= self.cap {
            return;
        }
        match &mut self.rest {
            Rest::None => self.rest = Rest::Beyond(Box::new(self.groups().into_owned())),
            Rest::Beyond(_) => {}
            Rest::Cut(_, cut) => (cut.is_beyond, cut.n_dropped) = (true, 0),
        }
        while self.n_kept > self.cap {
            let Some(mut last) = self.kept.last_entry() else {
                return;
            };
            last.get_mut().pop();
            if last.get().is_empty() {
                last.remove();
            }
            self.n_kept -= 1;
        }
    }
}

fn group_of(hash: u64) -> usize {
    // The lowest bits, because the order of the hashes decides which categories are kept.
    (hash % GROUPS as u64) as usize
}

fn add(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count);
}

fn read_groups(reader: &mut Reader<'_>) -> Result<Box<Groups>, StateError> {
    let mut res = Box::new([0; GROUPS]);
    for it in res.iter_mut() {
        *it = reader.varint()?;
    }
    Ok(res)
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
