//! Counts of numbers by their leading bits: exact while there are few different ones, as fine as fits beyond that.
//!
//! A number's bucket is the leading bits of its 64; beyond the cap, as few are forgotten as leave no more buckets than fit.
//! Buckets of fewer bits are unions of buckets of more bits, and more rows only ever make more buckets. So the bits that the whole
//! forgets follow from the multiset of its values, and cuts into parts and orders of merges do not show: the uniform collapse of
//! UDDSketch (Epicoco et al. 2020), on the logarithm that the bits of a float are.
//!
//! Unlike a histogram with a fixed relative error ([`crate::sample`]) it tells values apart that are close together and far from
//! zero, and its size is bounded whatever the values are.

mod packed;

use self::packed::Form;
use crate::error::{Reason, StateError, Undefined};
use crate::sample::Point;
use crate::state::{Reader, Writer};
use crate::table::KeyCounts;

/// The bits of the fraction of a float.
const FRACTION_BITS: u32 = 52;

/// How many buckets are kept once values are not exact. More would tell more apart, and be beyond the fast part of a processor's memory.
const MAX_COARSE: usize = 2048;

/// With one bit left, there are two buckets, of negative numbers and of others.
const MOST_FORGOTTEN: u32 = 63;

/// Finite numbers of one column: exact up to a cap of different ones, in at most 2048 buckets (or the cap) beyond it; -0 is 0.
///
/// ```
/// use modelwatch_stats::prefix::PrefixCounts;
///
/// let mut left = PrefixCounts::new(3);
/// left.update(&[2.0, 1.0, 2.0]);
/// assert_eq!(left.points(), [(1.0, 1), (2.0, 2)]);
/// let mut right = PrefixCounts::new(3);
/// right.update(&[1.5, 100.0]);
/// left.merge(&right);
/// // Four values do not fit: 1, 1.5, 2 and 100 differ first in the exponent, so that 1 and 1.5 share a bucket.
/// assert!(!left.is_exact());
/// assert_eq!((left.n(), left.n_kept(), left.range()), (5, 3, Ok((1.0, 100.0))));
/// ```
#[derive(Clone, Debug)]
pub struct PrefixCounts {
    cap: usize,
    forgotten_bits: u32,
    counts: Counts,
    n: u64,
    min: f64,
    max: f64,
}

/// Buckets with their counts, all of them in one of the two.
#[derive(Clone, Debug, Default)]
struct Counts {
    /// As they are added to.
    table: KeyCounts,
    /// In ascending order, as they were read: what is only compared with is never put into a table.
    sorted: Vec<(u64, u64)>,
}

impl PrefixCounts {
    /// Returns an accumulator of no values that keeps `cap` different ones exactly; fewer than two would keep nothing.
    pub fn new(cap: u64) -> Self {
        Self {
            cap: usize::try_from(cap).unwrap_or(usize::MAX).max(2),
            forgotten_bits: 0,
            counts: Counts::default(),
            n: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    /// Adds values; NaN and infinities are passed over.
    pub fn update(&mut self, values: &[f64]) {
        let values = if self.n == 0 { self.start(values) } else { values };
        // Not in memory, through which one value would wait for the other.
        let (mut n, mut range) = (0u64, (self.min, self.max));
        for value in values.iter().filter(|it| it.is_finite()).map(|it| it + 0.0) {
            n += 1;
            range = widened(range, value);
            self.add(key_of(value) >> self.forgotten_bits, 1);
        }
        self.n = self.n.saturating_add(n);
        (self.min, self.max) = range;
    }

    /// Adds `count` times a finite value; others are passed over.
    #[inline]
    pub fn push(&mut self, value: f64, count: u64) {
        if !value.is_finite() || count == 0 {
            return;
        }
        // Adding 0 turns -0 into 0 and leaves every other value alone.
        let value = value + 0.0;
        self.n = self.n.saturating_add(count);
        (self.min, self.max) = widened((self.min, self.max), value);
        self.add(key_of(value) >> self.forgotten_bits, count);
    }

    /// Adds what `other` has seen; where the caps differ, the smaller one holds.
    pub fn merge(&mut self, other: &Self) {
        self.cap = self.cap.min(other.cap);
        self.n = self.n.saturating_add(other.n);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.forget(other.forgotten_bits);
        // Keys that come in the order of one table crowd together in a smaller one.
        let room = other.counts.len().min(self.cap.saturating_sub(self.counts.len()));
        self.counts.table().reserve(room);
        // Adding may make it forget more.
        other.counts.for_each(|key, count| self.add(key >> (self.forgotten_bits - other.forgotten_bits), count));
        self.fit();
    }

    /// Returns the number of values.
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// Returns how many buckets are kept: the number of different values while exact.
    pub fn n_kept(&self) -> usize {
        self.counts.len()
    }

    /// Returns how many different values are kept exactly.
    pub const fn cap(&self) -> u64 {
        self.cap as u64
    }

    /// Returns whether every value is kept as it was.
    pub const fn is_exact(&self) -> bool {
        self.forgotten_bits == 0
    }

    /// Returns the greatest relative error of a point; infinite where not even the order of magnitude is kept.
    ///
    /// Subnormal numbers have an absolute error below 2e-308 instead.
    pub fn relative_error(&self) -> f64 {
        match self.forgotten_bits {
            0 => 0.0,
            it if it <= FRACTION_BITS => 2f64.powi(it as i32 - FRACTION_BITS as i32 - 1),
            _ => f64::INFINITY,
        }
    }

    /// Returns the smallest and the greatest value, which are always exact.
    pub const fn range(&self) -> Result<(f64, f64), Undefined> {
        if self.n == 0 { Err(Undefined::new(Reason::Empty)) } else { Ok((self.min, self.max)) }
    }

    /// Returns the values in ascending order with their counts; the middle of each bucket once they are not exact.
    pub fn points(&self) -> Vec<Point> {
        self.points_forgetting(self.forgotten_bits)
    }

    /// Returns the state as bytes, equal for equal multisets of values.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (keys, counts): (Vec<u64>, Vec<u64>) = self.sorted(self.forgotten_bits).into_iter().unzip();
        let (form, keys) =
            if self.is_exact() { Form::shortest(keys) } else { (Form::Plain(self.forgotten_bits), keys) };
        let mut writer = Writer::new();
        writer.u64(self.cap as u64);
        writer.u8(form.code());
        writer.u64(keys.len() as u64);
        if self.n > 0 {
            writer.f64(self.min);
            writer.f64(self.max);
        }
        let mut next = 0;
        for (key, count) in keys.into_iter().zip(counts) {
            writer.varint(key - next);
            writer.varint(count);
            next = key.wrapping_add(1);
        }
        writer.finish()
    }

    /// Forgets as few further bits as it takes for [`PrefixCounts::to_bytes`] to give no more than so many bytes.
    ///
    /// Fewer values never take more bytes, so that parts which were shrunk merge to what the whole is once it is shrunk.
    pub fn shrink(&mut self, max_bytes: usize) {
        while self.forgotten_bits < MOST_FORGOTTEN
            && (self.counts.len() > self.limit() || self.to_bytes().len() > max_bytes)
        {
            self.forget(self.forgotten_bits + 1);
        }
    }

    /// Returns the accumulator that [`PrefixCounts::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new("counts of numbers", bytes)?;
        let cap = reader.u64()?;
        let mut res = Self::new(cap);
        let form = Form::of_code(reader.u8()?).ok_or_else(|| reader.invalid("form"))?;
        res.forgotten_bits = if let Form::Plain(bits) = form { bits } else { 0 };
        let len = reader.len(2)?;
        if cap < 2 || res.forgotten_bits > MOST_FORGOTTEN || len > res.limit() {
            return Err(reader.invalid("buckets"));
        }
        if len > 0 {
            (res.min, res.max) = (reader.f64()?, reader.f64()?);
        }
        let (mut next, mut first, mut last) = (Some(0u64), None, None);
        let mut sorted = Vec::with_capacity(len);
        for _ in 0..len {
            let step = reader.varint()?;
            let packed = next.and_then(|it| it.checked_add(step)).ok_or_else(|| reader.invalid("buckets"))?;
            let key = form.key(packed).filter(|it| last.is_none_or(|last| last < *it));
            let key = key.ok_or_else(|| reader.invalid("buckets"))?;
            let count = reader.varint()?;
            res.n = res.n.checked_add(count).filter(|_| count > 0).ok_or_else(|| reader.invalid("counts"))?;
            sorted.push((key, count));
            (next, last) = (packed.checked_add(1), Some(key));
            first.get_or_insert(key);
        }
        res.counts = Counts { sorted, ..Counts::default() };
        if let (Some(first), Some(last)) = (first, last) {
            let is_end = |value: f64, key: u64| {
                value.is_finite() && !is_negative_zero(value) && key_of(value) >> res.forgotten_bits == key
            };
            if !is_end(res.min, first) || !is_end(res.max, last) || res.min > res.max {
                return Err(reader.invalid("range"));
            }
        }
        reader.finish()?;
        Ok(res)
    }

    /// Takes in the first values, and returns the others: to sort them is faster than a table, and often there are no others.
    fn start<'v>(&mut self, values: &'v [f64]) -> &'v [f64] {
        // With one more than fit whatever they are, it shows whether they are kept exactly, before there is a table of them.
        let (first, rest) = values.split_at(values.len().min(self.cap.saturating_add(1)));
        let finite = first.iter().filter(|it| it.is_finite()).map(|it| it + 0.0);
        let mut keys: Vec<u64> = finite.clone().map(|it| key_of(it) >> self.forgotten_bits).collect();
        keys.sort_unstable();
        self.n = keys.len() as u64;
        (self.min, self.max) = finite.fold((self.min, self.max), widened);
        let sorted = keys.chunk_by(|left, right| left == right).map(|it| (it[0], it.len() as u64)).collect();
        self.counts = Counts { sorted, ..Counts::default() };
        self.fit();
        rest
    }

    #[inline]
    fn add(&mut self, key: u64, count: u64) {
        if self.counts.table().add(key, count) {
            self.fit();
        }
    }

    /// Forgets as few further bits as it takes to fit.
    fn fit(&mut self) {
        if self.counts.len() <= self.limit() {
            return;
        }
        let mut keys = Vec::with_capacity(self.counts.len());
        self.counts.for_each(|key, _| keys.push(key));
        keys.sort_unstable();
        // Neighbours come into one bucket when the highest bit in which they differ is forgotten.
        let mut n_differing = [0; 64];
        for pair in keys.windows(2) {
            n_differing[(pair[0] ^ pair[1]).ilog2() as usize] += 1;
        }
        let limit = self.cap.min(MAX_COARSE);
        let mut n_buckets = self.counts.len();
        for (further, n) in (1..=MOST_FORGOTTEN - self.forgotten_bits).zip(n_differing) {
            n_buckets -= n;
            if n_buckets <= limit {
                return self.forget(self.forgotten_bits + further);
            }
        }
    }

    /// How many buckets fit.
    fn limit(&self) -> usize {
        if self.is_exact() { self.cap } else { self.cap.min(MAX_COARSE) }
    }

    fn forget(&mut self, bits: u32) {
        let Some(further) = bits.checked_sub(self.forgotten_bits).filter(|it| *it > 0) else { return };
        let mut table = KeyCounts::with_room(self.counts.len().min(MAX_COARSE));
        self.counts.for_each(|key, count| _ = table.add(key >> further, count));
        self.counts = Counts { table, ..Counts::default() };
        self.forgotten_bits = bits;
    }

    /// The buckets in ascending order, as they are with so many bits forgotten, which are no fewer than are.
    fn sorted(&self, forgotten_bits: u32) -> Vec<(u64, u64)> {
        let further = forgotten_bits - self.forgotten_bits;
        let mut res = Vec::with_capacity(self.counts.len());
        self.counts.for_each(|key, count| res.push((key >> further, count)));
        if !self.counts.table.is_empty() {
            res.sort_unstable_by_key(|it| it.0);
        }
        if further > 0 {
            res.dedup_by(|next, kept| {
                let is_same = next.0 == kept.0;
                if is_same {
                    kept.1 = kept.1.saturating_add(next.1);
                }
                is_same
            });
        }
        res
    }

    fn points_forgetting(&self, bits: u32) -> Vec<Point> {
        let buckets = self.sorted(bits);
        buckets.into_iter().map(|(key, count)| (middle(key, bits), count)).collect()
    }
}

impl Counts {
    fn len(&self) -> usize {
        self.table.len() + self.sorted.len()
    }

    fn for_each(&self, mut call: impl FnMut(u64, u64)) {
        self.sorted.iter().for_each(|&(key, count)| call(key, count));
        self.table.iter().for_each(|(key, count)| call(key, count));
    }

    #[inline]
    fn table(&mut self) -> &mut KeyCounts {
        if !self.sorted.is_empty() {
            self.table.reserve(self.sorted.len());
            std::mem::take(&mut self.sorted).into_iter().for_each(|(key, count)| _ = self.table.add(key, count));
        }
        &mut self.table
    }
}

/// Returns the range that reaches to a value.
#[inline]
fn widened((min, max): (f64, f64), value: f64) -> (f64, f64) {
    // None of them is NaN, which `f64::min` would look for.
    (if value < min { value } else { min }, if value > max { value } else { max })
}

/// Returns the points of both on a common footing: in the coarser buckets of the two.
///
/// Comparing exact values with middles of buckets would see a difference inside every bucket.
pub fn paired_points(left: &PrefixCounts, right: &PrefixCounts) -> (Vec<Point>, Vec<Point>) {
    let bits = left.forgotten_bits.max(right.forgotten_bits);
    (left.points_forgetting(bits), right.points_forgetting(bits))
}

/// Returns the bits as an integer that is ordered as the numbers are.
pub(crate) fn key_of(value: f64) -> u64 {
    let bits = value.to_bits();
    // The sign over all bits, without a branch: no processor foretells signs.
    let sign = (bits as i64 >> 63) as u64;
    bits ^ (sign | 1 << 63)
}

/// Returns the middle of a bucket, which is the same up to the sign for buckets of opposite sign; with no bits forgotten, it is the number
/// of the key.
pub(crate) fn middle(key: u64, forgotten_bits: u32) -> f64 {
    let key = key << forgotten_bits;
    let is_negative = key >> 63 == 0;
    let magnitude = if is_negative { !key & !(1 << 63) } else { key & !(1 << 63) };
    let prefix = magnitude >> forgotten_bits << forgotten_bits;
    // The bucket of 0 stands for 0, whatever tiny numbers it has.
    if forgotten_bits == 0 || prefix == 0 {
        let value = f64::from_bits(prefix);
        return if is_negative && prefix > 0 { -value } else { value };
    }
    let value = f64::from_bits(prefix | 1 << (forgotten_bits - 1));
    let value = if value.is_finite() { value } else { f64::MAX };
    if is_negative { -value } else { value }
}

fn is_negative_zero(value: f64) -> bool {
    value == 0.0 && value.is_sign_negative()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(cap: u64, values: &[f64]) -> PrefixCounts {
        let mut res = PrefixCounts::new(cap);
        res.update(values);
        res
    }

    #[test]
    fn the_plain_form_of_former_versions_is_read() {
        let mut plain = vec![1];
        plain.extend(100u64.to_le_bytes());
        plain.push(0);
        plain.extend(2u64.to_le_bytes());
        plain.extend([1.0f64, 2.0].map(f64::to_le_bytes).concat());
        // The key of 1, and how far it is to that of 2, seven bits a byte.
        plain.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0xf8, 0xbf, 0x01, 3]);
        plain.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x07, 4]);
        let read = PrefixCounts::from_bytes(&plain).unwrap();
        assert_eq!(read.points(), [(1.0, 3), (2.0, 4)]);
        assert!(read.to_bytes().len() < plain.len());
    }

    #[test]
    fn values_far_from_zero_are_told_apart_beyond_the_cap() {
        let kelvin: Vec<f64> = (0..10_000).map(|it| 290.0 + f64::from(it) / 1000.0).collect();
        let counts = of(1000, &kelvin);
        assert!((500..=1000).contains(&counts.n_kept()));
        assert!(counts.relative_error() < 1e-4, "{}", counts.relative_error());
        for (value, _) in counts.points() {
            assert!((290.0..300.1).contains(&value), "{value}");
        }
    }

    #[test]
    fn the_error_is_kept_on_both_sides_of_zero_and_over_all_magnitudes() {
        let mut values = vec![0.0, 5e-324, -5e-324];
        let mut value = 1e-30;
        while value < 1e30 {
            values.extend([value, -value]);
            value *= 1.01;
        }
        let counts = of(5000, &values);
        let error = counts.relative_error();
        assert!(error > 0.0 && error < 0.2);
        let points = counts.points();
        for value in values.into_iter().filter(|it| it.abs() > 1e-300) {
            let nearest = points.iter().map(|it| (it.0 - value).abs()).fold(f64::INFINITY, f64::min);
            assert!(nearest <= error * value.abs(), "{value}");
        }
        // The extremes of a cap that keeps next to nothing.
        let coarse = of(2, &[-f64::MAX, -1.0, 0.0, 1.0, f64::MAX]);
        assert_eq!((coarse.n_kept(), coarse.range()), (2, Ok((-f64::MAX, f64::MAX))));
        assert!(coarse.points().iter().all(|it| it.0.is_finite()));
    }

    #[test]
    fn batches_of_any_size_give_the_same_bytes_beyond_the_cap() {
        let values: Vec<f64> = (0..30_000).map(|it| f64::from(it * 7919 % 30_011) / 3.0 - 2000.0).collect();
        let mut one_by_one = PrefixCounts::new(10_000);
        values.iter().for_each(|it| one_by_one.push(*it, 1));
        assert!(one_by_one.n_kept() <= MAX_COARSE && !one_by_one.is_exact());
        for size in [997, 9_999, 10_000, 10_001, 30_000] {
            let mut whole = PrefixCounts::new(10_000);
            values.chunks(size).for_each(|it| whole.update(it));
            assert_eq!(whole.to_bytes(), one_by_one.to_bytes(), "{size}");
            let mut merged = PrefixCounts::new(10_000);
            values.rchunks(size).for_each(|it| merged.merge(&of(10_000, it)));
            assert_eq!(merged.to_bytes(), one_by_one.to_bytes(), "{size}");
        }
    }

    #[test]
    fn buckets_of_two_caps_pair() {
        let values: Vec<f64> = (0..3000).map(|it| f64::from(it) * 0.37 - 400.0).collect();
        let (left, right) = paired_points(&of(5000, &values), &of(300, &values));
        assert_eq!(left, right);
        assert_eq!(of(5000, &values).range(), of(300, &values).range());
        assert_eq!(of(5, &[]).range(), Err(Undefined::new(Reason::Empty)));
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![-100.0..100.0f64, any::<f64>(), Just(0.0), Just(-0.0), Just(1.0), 1.0..1.001f64]
    }

    proptest! {
        #[test]
        fn state_depends_on_the_multiset_alone(
            values in prop::collection::vec(any_value(), 0..60), cap in 2u64..50, at in 0usize..60, then in 0usize..60,
        ) {
            let at = at.min(values.len());
            let then = then.clamp(at, values.len());
            let whole = of(cap, &values);
            let (a, b, c) = (of(cap, &values[..at]), of(cap, &values[at..then]), of(cap, &values[then..]));
            let (mut left, mut right) = (a.clone(), c.clone());
            left.merge(&b);
            left.merge(&c);
            right.merge(&a);
            right.merge(&b);
            prop_assert_eq!(left.to_bytes(), whole.to_bytes());
            prop_assert_eq!(right.to_bytes(), whole.to_bytes());
            prop_assert_eq!(PrefixCounts::from_bytes(&whole.to_bytes()).unwrap().to_bytes(), whole.to_bytes());
            prop_assert!(whole.n_kept() as u64 <= cap);
            prop_assert!(whole.points().is_sorted_by(|left, right| left.0 <= right.0));
        }

        #[test]
        fn no_more_bits_are_forgotten_than_it_takes_to_fit(
            values in prop::collection::vec(any_value(), 0..60), cap in 2u64..50,
        ) {
            let counts = of(cap, &values);
            let n_buckets = |forgotten_bits: u32| {
                let finite = values.iter().filter(|it| it.is_finite());
                finite.map(|it| key_of(it + 0.0) >> forgotten_bits).collect::<BTreeSet<_>>().len()
            };
            prop_assert_eq!(counts.n_kept(), n_buckets(counts.forgotten_bits));
            prop_assert!(counts.is_exact() || n_buckets(counts.forgotten_bits - 1) as u64 > cap);
        }

        #[test]
        fn a_smaller_cap_forgets_as_if_it_had_been_there_from_the_start(
            values in prop::collection::vec(any_value(), 0..60), cap in 2u64..50,
        ) {
            let mut narrowed = of(1000, &values);
            narrowed.merge(&PrefixCounts::new(cap));
            prop_assert_eq!(narrowed.to_bytes(), of(cap, &values).to_bytes());
        }

        #[test]
        fn shrunk_parts_merge_to_the_shrunk_whole(
            values in prop::collection::vec(any_value(), 0..60), whole in any::<bool>(), room in 30usize..300, at in 0usize..60,
        ) {
            let values: Vec<f64> = values.iter().map(|it| if whole { (it % 1e6).round() } else { *it }).collect();
            let at = at.min(values.len());
            let shrunk = |mut it: PrefixCounts| {
                it.shrink(room);
                it
            };
            let whole = shrunk(of(50, &values));
            prop_assert!(whole.to_bytes().len() <= room || whole.n_kept() <= 2, "{}", whole.to_bytes().len());
            let (mut left, right) = (shrunk(of(50, &values[..at])), shrunk(of(50, &values[at..])));
            left.merge(&right);
            prop_assert_eq!(shrunk(left).to_bytes(), whole.to_bytes());
        }

        #[test]
        fn damaged_bytes_never_panic(
            values in prop::collection::vec(any_value(), 1..20), cap in 2u64..30, idx in any::<prop::sample::Index>(), byte: u8,
        ) {
            let mut bytes = of(cap, &values).to_bytes();
            let idx = idx.index(bytes.len());
            bytes[idx] = byte;
            // A form that is not the shortest one is read as well, as those of former versions are.
            if let Ok(read) = PrefixCounts::from_bytes(&bytes) {
                let again = read.to_bytes();
                prop_assert!(again.len() <= bytes.len());
                prop_assert_eq!(PrefixCounts::from_bytes(&again).unwrap().to_bytes(), again);
            }
            prop_assert!(PrefixCounts::from_bytes(&bytes[..idx]).is_err());
        }
    }
}
