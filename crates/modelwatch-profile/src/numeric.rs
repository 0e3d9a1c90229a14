//! What is kept of numbers.

use modelwatch_sdk::{
    Result,
    arrow::array::Array,
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::{
    Point,
    prefix::{PrefixCounts, paired_points},
};

use crate::{
    multiples::Multiples,
    wide::{FIRST_WIDE, Wide, from_least},
};

/// Numbers of one column: exact while there are few different ones, as fine as fits beyond that.
#[derive(Clone, Debug)]
pub struct Numeric {
    n_nan: u64,
    n_positive_infinity: u64,
    n_negative_infinity: u64,
    counts: PrefixCounts,
    /// Those whole numbers that are rounded in the counts.
    wide: Wide,
    /// Whether some values were not integers by their type.
    is_real: bool,
}

/// The values of two columns on a common footing.
#[derive(Clone, Debug)]
pub struct Paired {
    /// The reference's points in ascending order.
    pub reference: Vec<Point>,
    /// The current points in ascending order.
    pub current: Vec<Point>,
    /// Whether the points are the values themselves, less the offset.
    pub is_exact: bool,
    /// Whether whole numbers beyond 2^53 were rounded.
    pub is_rounded: bool,
    /// What has been subtracted from every value, so that none was rounded.
    pub offset: i128,
}

impl Numeric {
    /// Returns the state of no numbers, which keeps `budget` different ones.
    pub fn new(budget: u64) -> Self {
        Self {
            n_nan: 0,
            n_positive_infinity: 0,
            n_negative_infinity: 0,
            counts: PrefixCounts::new(budget),
            wide: Wide::default(),
            is_real: false,
        }
    }

    /// Takes in values; NaN stands for nulls, too, and is counted once for both.
    pub fn update(&mut self, values: &[f64]) {
        let before = self.counts.n();
        self.counts.update(values);
        if self.counts.n() - before < values.len() as u64 {
            values.iter().filter(|it| !it.is_finite()).for_each(|&it| self.push(it));
        }
    }

    /// Takes in values that count as often as is said, as [`Numeric::update`].
    pub(crate) fn update_multiples(&mut self, values: &[f64], multiples: Multiples<'_>) {
        match multiples {
            Multiples::One => self.update(values),
            Multiples::Each(counts) => values.iter().zip(counts).for_each(|(value, count)| self.add(*value, *count)),
        }
    }

    /// Takes in the array that values came from, for what floats cannot hold of it.
    pub(crate) fn note(&mut self, array: &dyn Array, multiples: Multiples<'_>) {
        self.is_real |= !array.data_type().is_integer();
        self.wide.update(array, multiples, self.counts.cap());
    }

    /// Takes in one value, as [`Numeric::update`].
    #[inline]
    pub fn push(&mut self, value: f64) {
        self.add(value, 1);
    }

    /// Takes in a value that counts so often, as [`Numeric::update`].
    #[inline]
    pub(crate) fn add(&mut self, value: f64, count: u64) {
        if value.is_finite() {
            self.counts.push(value, count);
        } else if value.is_nan() {
            self.n_nan = self.n_nan.saturating_add(count);
        } else if value > 0.0 {
            self.n_positive_infinity = self.n_positive_infinity.saturating_add(count);
        } else {
            self.n_negative_infinity = self.n_negative_infinity.saturating_add(count);
        }
    }

    /// Adds what `other` has seen; where the budgets differ, the smaller one holds.
    pub fn merge(&mut self, other: &Self) {
        self.n_nan = self.n_nan.saturating_add(other.n_nan);
        self.n_positive_infinity = self.n_positive_infinity.saturating_add(other.n_positive_infinity);
        self.n_negative_infinity = self.n_negative_infinity.saturating_add(other.n_negative_infinity);
        self.counts.merge(&other.counts);
        self.wide.merge(&other.wide, self.counts.cap());
        self.is_real |= other.is_real;
    }

    /// Keeps so much less that it is written in at most so many bytes, or as near to it as a bucket or two.
    pub(crate) fn shrink(&mut self, max_bytes: usize) {
        // Both tell the same numbers apart, one of them those that the other rounds.
        let of_wide = if self.wide.is_empty() { 0 } else { max_bytes / 2 };
        self.wide.shrink(of_wide);
        self.counts.shrink(max_bytes - of_wide);
    }

    /// Returns whether every row was an integer by its type, none missing.
    pub fn is_whole(&self) -> bool {
        !self.is_real && self.n_nan == 0
    }

    /// Returns whether every value was an integer by its type.
    pub fn are_integers(&self) -> bool {
        !self.is_real
    }

    /// Returns how many different values are kept exactly.
    pub fn budget(&self) -> u64 {
        self.counts.cap()
    }

    /// Returns the values in ascending order with their counts; the middle of each bucket once they are not exact.
    pub fn points(&self) -> Vec<Point> {
        self.counts.points()
    }

    /// Returns the greatest relative error of a point, and of a number of [`Numeric::whole_points`].
    pub fn relative_error(&self) -> f64 {
        let of_wide = match self.wide.shift() {
            0 => 0.0,
            // Half of a bucket, over the least number that is in one.
            it => 2f64.powi(it as i32 - 1 - 53),
        };
        self.counts.relative_error().max(of_wide)
    }

    /// Returns the whole numbers in ascending order with their counts, where there are some that a float cannot hold and all are whole; the
    /// middle of those that are not kept apart.
    pub fn whole_points(&self) -> Option<Vec<(i128, u64)>> {
        if self.wide.is_empty() || !self.counts.is_exact() {
            return None;
        }
        let all = self.wide.shifted(&self.points(), self.wide.shift())?;
        if self.wide.shift() == 0 {
            return Some(all.into_iter().collect());
        }
        let narrow = self.narrow_points().map(|(value, count)| (value as i128, count));
        let mut res: Vec<(i128, u64)> = narrow.chain(self.wide.values()).collect();
        res.sort_unstable();
        Some(res)
    }

    /// Returns those values that floats hold exactly as whole numbers.
    fn narrow_points(&self) -> impl Iterator<Item = Point> {
        self.points().into_iter().filter(|it| it.0.abs() < FIRST_WIDE as f64)
    }

    /// Returns how many different finite values there are, where each is kept.
    pub fn n_distinct(&self) -> Option<u64> {
        if !self.counts.is_exact() || self.wide.shift() > 0 {
            return None;
        }
        let n = if self.wide.is_empty() { self.points().len() } else { self.whole_points()?.len() };
        Some(n as u64)
    }

    /// Returns the points with infinities at the ends, where every value is kept.
    pub fn all_points(&self) -> Option<Vec<Point>> {
        if !self.counts.is_exact() {
            return None;
        }
        let end = |value: f64, count: u64| (count > 0).then_some((value, count));
        let first = end(f64::NEG_INFINITY, self.n_negative_infinity);
        let last = end(f64::INFINITY, self.n_positive_infinity);
        Some(first.into_iter().chain(self.counts.points()).chain(last).collect())
    }

    /// Returns the number of finite values.
    pub fn n_finite(&self) -> u64 {
        self.counts.n()
    }

    /// Returns the number of values that are NaN or null.
    pub fn n_nan(&self) -> u64 {
        self.n_nan
    }

    /// Returns the number of infinities.
    pub fn n_infinite(&self) -> u64 {
        self.n_positive_infinity.saturating_add(self.n_negative_infinity)
    }

    /// Returns the number of infinities below and above everything.
    pub fn n_infinities(&self) -> [u64; 2] {
        [self.n_negative_infinity, self.n_positive_infinity]
    }

    /// Returns the least and the greatest finite value.
    pub fn range(&self) -> Option<(f64, f64)> {
        self.counts.range().ok()
    }

    /// Returns how often each number occurs, by name, where every value is kept and none was rounded.
    pub(crate) fn names(&self) -> Option<Vec<(String, u64)>> {
        if !self.wide.is_empty() || self.n_infinite() > 0 {
            return None;
        }
        Some(self.all_points()?.into_iter().map(|(value, count)| (value.to_string(), count)).collect())
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.n_nan);
        writer.u64(self.n_positive_infinity);
        writer.u64(self.n_negative_infinity);
        writer.bytes(&self.counts.to_bytes());
        self.wide.write(writer);
        writer.u8(u8::from(self.is_real));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            n_nan: reader.u64()?,
            n_positive_infinity: reader.u64()?,
            n_negative_infinity: reader.u64()?,
            counts: PrefixCounts::from_bytes(reader.bytes()?).map_err(damaged)?,
            wide: Wide::read(reader)?,
            is_real: reader.flag()?,
        })
    }
}

/// Returns the values of both columns, exactly where that is known of both.
pub fn pair(reference: &Numeric, current: &Numeric) -> Paired {
    let has_wide = !reference.wide.is_empty() || !current.wide.is_empty();
    if has_wide && let Some(paired) = pair_wide(reference, current) {
        return paired;
    }
    let is_exact = reference.counts.is_exact() && current.counts.is_exact();
    let (left, right) = paired_points(&reference.counts, &current.counts);
    // Beyond the budget, the buckets are wider than what was rounded.
    Paired { reference: left, current: right, is_exact, is_rounded: has_wide && is_exact, offset: 0 }
}

fn pair_wide(reference: &Numeric, current: &Numeric) -> Option<Paired> {
    if !reference.counts.is_exact() || !current.counts.is_exact() {
        return None;
    }
    let shift = reference.wide.shift().max(current.wide.shift());
    // What floats hold exactly loses no bits to what they do not.
    if shift > 0 && [reference, current].into_iter().any(|it| it.narrow_points().next().is_some()) {
        return None;
    }
    let left = reference.wide.shifted(&reference.points(), shift)?;
    let right = current.wide.shifted(&current.points(), shift)?;
    let (reference, current, offset) = from_least(&left, &right, shift)?;
    Some(Paired { reference, current, is_exact: shift == 0, is_rounded: false, offset })
}

#[cfg(test)]
mod tests {
    use modelwatch_sdk::arrow::array::UInt64Array;
    use modelwatch_stats::two_sample::ks_statistic;

    use super::*;

    fn of(budget: u64, values: impl IntoIterator<Item = f64>) -> Numeric {
        let mut res = Numeric::new(budget);
        values.into_iter().for_each(|it| res.push(it));
        res
    }

    #[test]
    fn few_distinct_values_stay_exact_however_many_rows_there_are() {
        let years = of(100, (0..10_000).map(|it| f64::from(2015 + it % 10)));
        let paired = pair(&years, &years);
        assert!(paired.is_exact);
        assert_eq!(paired.reference.len(), 10);
        assert_eq!(paired.reference[0], (2015.0, 1000));
    }

    #[test]
    fn the_coarser_column_puts_the_other_into_its_buckets() {
        let many = of(100, (0..5_000).map(|it| f64::from(it) / 7.0));
        let few = of(100, (0..50).map(|it| f64::from(it * 100) / 7.0));
        let paired = pair(&many, &few);
        assert!(!paired.is_exact);
        assert!(paired.current.iter().all(|point| paired.reference.iter().any(|it| it.0 == point.0)));
    }

    fn of_integers(budget: u64, values: &[u64]) -> Numeric {
        let mut res = Numeric::new(budget);
        res.update(&values.iter().map(|it| *it as f64).collect::<Vec<_>>());
        res.note(&UInt64Array::from(values.to_vec()), Multiples::One);
        res
    }

    #[test]
    fn great_whole_numbers_are_held_against_floats_as_such() {
        let base = 1u64 << 60;
        let values: Vec<u64> = (0..40).map(|it| base + it * 1024 + 1).collect();
        let integers = of_integers(100, &values);
        let floats = of(100, values.iter().map(|it| *it as f64));
        for (left, right) in [(&integers, &floats), (&floats, &integers)] {
            let paired = pair(left, right);
            assert!(paired.is_rounded && paired.offset == 0);
            assert_eq!(paired.reference.iter().map(|it| it.1).sum::<u64>(), 40);
            assert_eq!(paired.reference, paired.current);
        }
        // A column that is both has no whole numbers that are known.
        let mut mixed = integers.clone();
        mixed.merge(&floats);
        assert_eq!((mixed.whole_points(), mixed.n_finite()), (None, 80));
        assert_eq!(integers.whole_points().unwrap().len(), 40);
    }

    #[test]
    fn neighbors_that_are_more_than_the_budget_stay_apart_by_their_first_bits() {
        let base = 1u64 << 63;
        let values: Vec<u64> = (0..2000).map(|it| base + it).collect();
        let (few, many) = (of_integers(500, &values), of_integers(10_000, &values));
        assert_eq!((few.n_distinct(), many.n_distinct()), (None, Some(2000)));
        assert!(few.relative_error() > 0.0 && few.relative_error() < 1e-15 && many.relative_error() == 0.0);
        // They are two floats, and 500 buckets of four.
        assert_eq!((few.points().len(), few.whole_points().unwrap().len()), (2, 500));
        let shifted: Vec<u64> = values.iter().map(|it| it + 500).collect();
        for other in [of_integers(500, &shifted), of_integers(10_000, &shifted)] {
            let paired = pair(&few, &other);
            assert!(!paired.is_exact && !paired.is_rounded);
            let gap = ks_statistic(&paired.reference, &paired.current).unwrap();
            assert!((gap - 0.25).abs() < 0.002, "{gap}");
            assert_eq!(paired.offset, i128::from(base) + 2);
        }
        // Numbers that a float holds stay what they are beside them.
        let mixed: Vec<u64> = values.iter().map(|it| if it % 2 == 0 { it % 100 } else { *it }).collect();
        let mixed = of_integers(500, &mixed).whole_points().unwrap();
        assert_eq!(mixed[..2], [(0, 20), (2, 20)]);
    }

    #[test]
    fn bytes_do_not_depend_on_the_order_and_are_read_back() {
        let values: Vec<f64> =
            (0..400).map(|it| f64::from((it * 37) % 251)).chain([f64::NAN, -0.0, f64::INFINITY]).collect();
        let bytes = |it: &Numeric| {
            let mut writer = Writer::default();
            it.write(&mut writer);
            writer.0
        };
        let whole = of(100, values.iter().copied());
        let mut halves = of(100, values[200..].iter().copied());
        halves.merge(&of(100, values[..200].iter().copied()));
        assert_eq!(bytes(&whole), bytes(&halves));
        assert_eq!(bytes(&Numeric::read(&mut Reader(&bytes(&whole))).unwrap()), bytes(&whole));
        for len in 0..bytes(&whole).len() {
            assert!(Numeric::read(&mut Reader(&bytes(&whole)[..len])).is_err());
        }
    }
}
