//! Tallies of hashed keys: how many different ones there are, how often each occurs, and which ones two sets share.

use std::collections::BTreeMap;

use crate::error::StateError;
use crate::state::{Reader, Writer};

/// What is known of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How often the key occurred.
    pub count: u64,
    /// The least and the greatest value that came with it; two where they were not all equal, none where there was none.
    pub values: Option<(u64, u64)>,
}

/// How it is written that no value came with a key: no two values are in that order.
const NO_VALUES: (u64, u64) = (u64::MAX, 0);

/// How much of one set of keys is in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Rows that were looked at: all of them, unless a side overflowed.
    pub n: u64,
    /// Those whose key the other side has too.
    pub n_shared: u64,
}

/// Exact tallies of 64-bit keys, for at most `cap` different ones; each may come with a value.
///
/// Beyond the cap, the smallest keys are kept ("bottom-k", Cohen & Kaplan 2007), whose tallies stay exact, so that the state depends on
/// the multiset of rows alone. As keys are hashes, the kept ones are a uniform sample of all different keys. So the number of
/// different keys is estimated (Bar-Yossef et al. 2002), with a relative standard error of `1 / √(cap - 2)`, and so is every share of
/// rows; two sides that overflowed have sampled the same keys, so that what they share is estimated as well.
///
/// ```
/// use modelwatch_stats::{hash::mix, keys::KeyTallies};
///
/// let mut left = KeyTallies::new(10);
/// // Three rows have one key, of which one has another value.
/// [(1, 7), (1, 7), (1, 8), (2, 7)].iter().for_each(|it| left.push(mix(it.0), Some(it.1)));
/// assert_eq!((left.n(), left.distinct()), (4, 2.0));
/// assert_eq!(left.repeated_share(), 0.5);
/// assert_eq!(left.recurring_share(), 0.75);
/// assert_eq!(left.conflicting_share(), 0.75);
/// let mut right = KeyTallies::new(10);
/// right.push(mix(2), None);
/// assert_eq!(left.overlap(&right).n_shared, 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTallies {
    cap: u64,
    n: u64,
    is_overflowed: bool,
    kept: BTreeMap<u64, Tally>,
}

impl KeyTallies {
    /// Returns an empty accumulator for up to `cap` different keys, of which there are at least two.
    pub fn new(cap: u64) -> Self {
        Self { cap: cap.max(2), n: 0, is_overflowed: false, kept: BTreeMap::new() }
    }

    /// Adds one row with that key, a hash, and its value, if it has one.
    pub fn push(&mut self, key: u64, value: Option<u64>) {
        self.n = self.n.saturating_add(1);
        self.add(key, Tally { count: 1, values: value.map(|it| (it, it)) });
    }

    /// Adds what `other` has seen; where the caps differ, the smaller one holds.
    pub fn merge(&mut self, other: &Self) {
        self.cap = self.cap.min(other.cap);
        self.n = self.n.saturating_add(other.n);
        self.evict();
        other.kept.iter().for_each(|(key, tally)| self.add(*key, *tally));
        // Only now: while this side still knows all its keys, none of the other's may be turned away.
        self.is_overflowed |= other.is_overflowed;
    }

    /// Returns the number of rows.
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// Returns whether there were more different keys than the cap, so that numbers are estimates.
    pub const fn is_overflowed(&self) -> bool {
        self.is_overflowed
    }

    /// Returns the number of different keys, or its estimate: `(k - 1) / u`, where `u` is the greatest of the `k` kept ones as a share
    /// of all possible keys.
    pub fn distinct(&self) -> f64 {
        let k = self.kept.len() as f64;
        match self.kept.keys().next_back() {
            Some(&last) if self.is_overflowed => (k - 1.0) * (u64::MAX as f64) / (last.max(1) as f64),
            _ => k,
        }
    }

    /// Returns the relative standard error of the estimates: 0 where they are exact.
    pub fn relative_error(&self) -> f64 {
        if self.is_overflowed { 1.0 / (self.kept.len().max(3) as f64 - 2.0).sqrt() } else { 0.0 }
    }

    /// Returns how often the most frequent of the kept keys occurs: of all, unless they overflowed.
    pub fn greatest_count(&self) -> u64 {
        self.kept.values().map(|it| it.count).max().unwrap_or(0)
    }

    /// Returns the share of rows that repeat a key, all but one row of each; 0 without rows.
    pub fn repeated_share(&self) -> f64 {
        let rows = self.n_kept_rows();
        if rows == 0 { 0.0 } else { rows.saturating_sub(self.kept.len() as u64) as f64 / rows as f64 }
    }

    /// Returns the share of rows whose key another row has, too: what a further row of the same kind is expected to find. 0 without rows.
    pub fn recurring_share(&self) -> f64 {
        self.share_of(|it| it.count > 1)
    }

    /// Returns the share of rows whose key came with different values; 0 without rows.
    pub fn conflicting_share(&self) -> f64 {
        self.share_of(|it| it.values.is_some_and(|it| it.0 < it.1))
    }

    /// Returns how many rows have a key that `other` has too, among the keys that both would have kept.
    pub fn overlap(&self, other: &Self) -> Overlap {
        let known = self.kept.iter().filter(|(key, _)| other.knows(**key));
        known.fold(Overlap { n: 0, n_shared: 0 }, |sum, (key, tally)| Overlap {
            n: sum.n.saturating_add(tally.count),
            n_shared: sum.n_shared.saturating_add(if other.kept.contains_key(key) { tally.count } else { 0 }),
        })
    }

    /// Returns the state as bytes, equal for equal multisets of rows.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(self.cap);
        writer.u64(self.n);
        writer.u8(u8::from(self.is_overflowed));
        // Most tallies come without values.
        let has_values = self.kept.values().any(|it| it.values.is_some());
        writer.u8(u8::from(has_values));
        writer.u64(self.kept.len() as u64);
        for (key, tally) in &self.kept {
            writer.u64(*key);
            writer.u64(tally.count);
            if has_values {
                let (least, greatest) = tally.values.unwrap_or(NO_VALUES);
                writer.u64(least);
                writer.u64(greatest);
            }
        }
        writer.finish()
    }

    /// Returns the accumulator that [`KeyTallies::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are not such a state.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new("key tallies", bytes)?;
        let cap = reader.u64()?;
        let mut res = Self::new(cap);
        res.n = reader.u64()?;
        res.is_overflowed = reader.flag("is_overflowed")?;
        let has_values = reader.flag("has_values")?;
        let len = reader.len(if has_values { 32 } else { 16 })?;
        if cap != res.cap || len as u64 > cap || (res.is_overflowed && len as u64 != cap) {
            return Err(reader.invalid("cap"));
        }
        let (mut total, mut is_any) = (0u64, false);
        for _ in 0..len {
            let (key, count) = (reader.u64()?, reader.u64()?);
            let values = if has_values { (reader.u64()?, reader.u64()?) } else { NO_VALUES };
            let is_ascending = res.kept.keys().next_back().is_none_or(|it| *it < key);
            if !is_ascending || count == 0 || (values.0 > values.1 && values != NO_VALUES) {
                return Err(reader.invalid("keys"));
            }
            total = total.checked_add(count).ok_or_else(|| reader.invalid("count"))?;
            is_any |= values != NO_VALUES;
            res.kept.insert(key, Tally { count, values: Some(values).filter(|it| *it != NO_VALUES) });
        }
        if total > res.n || (total < res.n) != res.is_overflowed || is_any != has_values {
            return Err(reader.invalid("n"));
        }
        reader.finish()?;
        Ok(res)
    }

    fn n_kept_rows(&self) -> u64 {
        self.kept.values().map(|it| it.count).fold(0, u64::saturating_add)
    }

    fn share_of(&self, is_wanted: impl Fn(&Tally) -> bool) -> f64 {
        let wanted = self.kept.values().filter(|it| is_wanted(it)).map(|it| it.count).fold(0, u64::saturating_add);
        match self.n_kept_rows() {
            0 => 0.0,
            rows => wanted as f64 / rows as f64,
        }
    }

    /// Whether this side's tally of the key is exact, none included.
    fn knows(&self, key: u64) -> bool {
        !self.is_overflowed || self.kept.keys().next_back().is_some_and(|last| key <= *last)
    }

    fn add(&mut self, key: u64, tally: Tally) {
        if self.is_overflowed && !self.knows(key) {
            return;
        }
        let merged = self.kept.entry(key).or_insert(Tally { count: 0, ..tally });
        merged.count = merged.count.saturating_add(tally.count);
        merged.values = match (merged.values, tally.values) {
            (Some(left), Some(right)) => Some((left.0.min(right.0), left.1.max(right.1))),
            (one, other) => one.or(other),
        };
        self.evict();
    }

    fn evict(&mut self) {
        while self.kept.len() as u64 > self.cap {
            self.kept.pop_last();
            self.is_overflowed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::mix;

    fn of(cap: u64, rows: &[(u8, u8)]) -> KeyTallies {
        let mut res = KeyTallies::new(cap);
        rows.iter().for_each(|it| res.push(mix(u64::from(it.0)), (it.1 > 0).then(|| u64::from(it.1) - 1)));
        res
    }

    #[test]
    fn estimates_are_near_the_truth() {
        let mut half = KeyTallies::new(1024);
        let mut whole = KeyTallies::new(1024);
        for key in 0..100_000u64 {
            whole.push(mix(key), Some(0));
            whole.push(mix(key), Some(key % 10 / 9));
            if key % 2 == 0 {
                half.push(mix(key), None);
            }
        }
        assert!((whole.distinct() / 100_000.0 - 1.0).abs() < 3.0 * whole.relative_error(), "{}", whole.distinct());
        assert!((whole.repeated_share() - 0.5).abs() < 1e-12);
        assert!((whole.conflicting_share() - 0.1).abs() < 0.03);
        let overlap = whole.overlap(&half);
        assert!((overlap.n_shared as f64 / overlap.n as f64 - 0.5).abs() < 0.06, "{overlap:?}");
        let overlap = half.overlap(&whole);
        assert_eq!(overlap.n, overlap.n_shared);
    }

    #[test]
    fn nothing_is_shared_and_nothing_repeats_where_there_is_nothing() {
        let none = KeyTallies::new(0);
        assert_eq!((none.distinct(), none.repeated_share(), none.conflicting_share()), (0.0, 0.0, 0.0));
        assert_eq!(none.overlap(&none), Overlap { n: 0, n_shared: 0 });
        assert_eq!(KeyTallies::from_bytes(&none.to_bytes()).unwrap(), none);
    }

    proptest! {
        #[test]
        fn state_depends_on_the_multiset_alone(
            rows in prop::collection::vec((0u8..30, 0u8..3), 0..80), cap in 2u64..40, at in 0usize..80, then in 0usize..80,
        ) {
            let at = at.min(rows.len());
            let then = then.clamp(at, rows.len());
            let whole = of(cap, &rows);
            let (a, b, c) = (of(cap, &rows[..at]), of(cap, &rows[at..then]), of(cap, &rows[then..]));
            let (mut left, mut right) = (a.clone(), c.clone());
            left.merge(&b);
            left.merge(&c);
            right.merge(&a);
            right.merge(&b);
            prop_assert_eq!(&left.to_bytes(), &whole.to_bytes());
            prop_assert_eq!(&right.to_bytes(), &whole.to_bytes());
            prop_assert_eq!(&KeyTallies::from_bytes(&whole.to_bytes()).unwrap(), &whole);
        }

        #[test]
        fn damaged_bytes_never_panic(rows in prop::collection::vec((0u8..30, 0u8..3), 1..20), idx in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = of(10, &rows).to_bytes();
            let idx = idx.index(bytes.len());
            bytes[idx] = byte;
            if let Ok(read) = KeyTallies::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes.clone());
            }
            prop_assert!(KeyTallies::from_bytes(&bytes[..idx]).is_err());
        }
    }
}
