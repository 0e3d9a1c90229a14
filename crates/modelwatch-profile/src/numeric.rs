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
    wide::{Wide, from_least},
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

    /// Returns whether every row was an integer by its type, none missing.
    pub fn is_whole(&self) -> bool {
        !self.is_real && self.n_nan == 0
    }

    /// Returns how many different values are kept exactly.
    pub fn budget(&self) -> u64 {
        self.counts.cap()
    }

    /// Returns the values in ascending order with their counts; the middle of each bucket once they are not exact.
    pub fn points(&self) -> Vec<Point> {
        self.counts.points()
    }

    /// Returns the greatest relative error of a point.
    pub fn relative_error(&self) -> f64 {
        self.counts.relative_error()
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
    let (left, right) = (reference.wide.exact(&reference.points())?, current.wide.exact(&current.points())?);
    let (reference, current, offset) = from_least(&left, &right)?;
    Some(Paired { reference, current, is_exact: true, is_rounded: false, offset })
}

#[cfg(test)]
mod tests {
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
