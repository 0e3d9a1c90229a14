//! What is kept of one numeric column in one role.

use modelwatch_sdk::{Result, arrow::array::Array};
use modelwatch_stats::{
    Point,
    sample::{NumericSample, paired_points},
};

use crate::{
    codec::{Reader, Writer, damaged},
    wide::{Wide, from_least},
};

/// How many distinct values are counted exactly, however many rows there are.
const MAX_LEVELS: usize = 256;

/// Finite numbers: exact where there are few distinct ones or few rows, else a histogram.
///
/// The levels are there because the histogram alone would put the years 2015 to 2024 into two buckets.
#[derive(Clone, Debug)]
pub(crate) struct Numeric {
    sample: NumericSample,
    /// The distinct values in ascending order with their counts, until there are more than [`MAX_LEVELS`].
    levels: Option<Vec<Point>>,
    /// Those whole numbers that are rounded in the sample.
    wide: Wide,
    /// Whether some values were not integers by their type.
    is_real: bool,
}

/// The values of both roles on a common footing.
#[derive(Clone, Debug)]
pub(crate) struct Paired {
    /// The reference's points in ascending order.
    pub(crate) reference: Vec<Point>,
    /// The current points in ascending order.
    pub(crate) current: Vec<Point>,
    /// Whether the points are the values themselves, less the offset.
    pub(crate) is_exact: bool,
    /// Whether whole numbers beyond 2^53 were rounded.
    pub(crate) is_rounded: bool,
    /// What has been subtracted from every value, so that none was rounded.
    pub(crate) offset: i128,
}

impl Numeric {
    pub(crate) fn new(budget: u64) -> Self {
        Self { sample: NumericSample::new(budget), levels: Some(Vec::new()), wide: Wide::default(), is_real: false }
    }

    /// Takes in values; NaN stands for nulls, too, and is counted once for both.
    pub(crate) fn update(&mut self, values: &[f64]) {
        for &value in values {
            self.push(value);
        }
    }

    /// Takes in the array that values came from, for what floats cannot hold of it.
    pub(crate) fn note(&mut self, array: &dyn Array) {
        self.is_real |= !array.data_type().is_integer();
        self.wide.update(array, self.sample.budget());
    }

    #[inline]
    pub(crate) fn push(&mut self, value: f64) {
        if self.levels.is_some() && value.is_finite() {
            self.count_level(value + 0.0, 1);
        }
        self.sample.push(value);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        match &other.levels {
            Some(levels) => levels.iter().for_each(|&(value, count)| self.count_level(value, count)),
            None => self.levels = None,
        }
        self.sample.merge(&other.sample);
        self.wide.merge(&other.wide, self.sample.budget());
        self.is_real |= other.is_real;
    }

    /// Returns whether every row was an integer by its type, none missing.
    pub(crate) fn is_whole(&self) -> bool {
        !self.is_real && self.sample.n_nan() == 0
    }

    /// Returns how many values are kept exactly.
    pub(crate) fn budget(&self) -> u64 {
        self.sample.budget()
    }

    /// Returns the points with infinities at the ends, where every value is kept.
    pub(crate) fn all_points(&self) -> Option<Vec<Point>> {
        let inner = match &self.levels {
            Some(levels) => levels.clone(),
            None if self.sample.is_exact() => self.sample.points(),
            None => return None,
        };
        let end = |value: f64, count: u64| (count > 0).then_some((value, count));
        let first = end(f64::NEG_INFINITY, self.sample.n_negative_infinity());
        let last = end(f64::INFINITY, self.sample.n_positive_infinity());
        Some(first.into_iter().chain(inner).chain(last).collect())
    }

    /// Returns the number of finite values.
    pub(crate) fn n_finite(&self) -> u64 {
        self.sample.n_finite()
    }

    /// Returns the number of values that are NaN or null.
    pub(crate) fn n_nan(&self) -> u64 {
        self.sample.n_nan()
    }

    /// Returns the number of infinities.
    pub(crate) fn n_infinite(&self) -> u64 {
        self.sample.n_positive_infinity().saturating_add(self.sample.n_negative_infinity())
    }

    /// Returns the least and the greatest finite value.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        Some((self.sample.min().ok()?, self.sample.max().ok()?))
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        match &self.levels {
            Some(levels) => {
                writer.u8(1);
                writer.u64(levels.len() as u64);
                for &(value, count) in levels {
                    writer.f64(value);
                    writer.u64(count);
                }
            }
            None => writer.u8(0),
        }
        writer.bytes(&self.sample.to_bytes());
        self.wide.write(writer);
        writer.u8(u8::from(self.is_real));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let levels = match reader.u8()? {
            0 => None,
            1 => Some(read_levels(reader)?),
            _ => return Err(damaged("a column has an unknown form")),
        };
        let sample = NumericSample::from_bytes(reader.bytes()?).map_err(damaged)?;
        if levels.as_ref().is_some_and(|it| it.iter().map(|it| it.1).fold(0, u64::saturating_add) != sample.n_finite())
        {
            return Err(damaged("a column's counts contradict each other"));
        }
        let (wide, is_real) = (Wide::read(reader)?, reader.u8()? != 0);
        Ok(Self { sample, levels, wide, is_real })
    }

    fn count_level(&mut self, value: f64, count: u64) {
        let Some(levels) = &mut self.levels else { return };
        match levels.binary_search_by(|it| it.0.total_cmp(&value)) {
            Ok(idx) => levels[idx].1 = levels[idx].1.saturating_add(count),
            Err(_) if levels.len() == MAX_LEVELS => self.levels = None,
            Err(idx) => levels.insert(idx, (value, count)),
        }
    }
}

/// Returns the values of both roles, exactly where that is known of both.
pub(crate) fn pair(reference: &Numeric, current: &Numeric) -> Paired {
    let has_wide = !reference.wide.is_empty() || !current.wide.is_empty();
    if has_wide && let Some(paired) = pair_wide(reference, current) {
        return paired;
    }
    let plain = |reference: Vec<Point>, current: Vec<Point>, is_exact: bool| {
        // Beyond the budget, the buckets are wider than what was rounded.
        Paired { reference, current, is_exact, is_rounded: has_wide && is_exact, offset: 0 }
    };
    if let (Some(left), Some(right)) = (&reference.levels, &current.levels) {
        return plain(left.clone(), right.clone(), true);
    }
    let is_exact = reference.sample.is_exact() && current.sample.is_exact();
    let (reference, current) = paired_points(&reference.sample, &current.sample);
    plain(reference, current, is_exact)
}

fn pair_wide(reference: &Numeric, current: &Numeric) -> Option<Paired> {
    if !reference.sample.is_exact() || !current.sample.is_exact() {
        return None;
    }
    let (left, right) =
        (reference.wide.exact(&reference.sample.points())?, current.wide.exact(&current.sample.points())?);
    let (reference, current, offset) = from_least(&left, &right)?;
    Some(Paired { reference, current, is_exact: true, is_rounded: false, offset })
}

fn read_levels(reader: &mut Reader<'_>) -> Result<Vec<Point>> {
    let len = usize::try_from(reader.u64()?).ok().filter(|&it| it <= MAX_LEVELS);
    let len = len.ok_or_else(|| damaged("a column has too many levels"))?;
    let mut levels: Vec<Point> = Vec::with_capacity(len);
    for _ in 0..len {
        let point = (reader.f64()?, reader.u64()?);
        let is_ascending = levels.last().is_none_or(|it| it.0 < point.0);
        if !point.0.is_finite() || !is_ascending || point.1 == 0 {
            return Err(damaged("a column's levels are out of order"));
        }
        levels.push(point);
    }
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = f64>) -> Numeric {
        let mut res = Numeric::new(100);
        values.into_iter().for_each(|it| res.push(it));
        res
    }

    #[test]
    fn few_distinct_values_stay_exact_beyond_the_budget() {
        let years = of((0..10_000).map(|it| f64::from(2015 + it % 10)));
        let paired = pair(&years, &years);
        assert!(paired.is_exact);
        assert_eq!(paired.reference.len(), 10);
        assert_eq!(paired.reference[0], (2015.0, 1000));
    }

    #[test]
    fn one_sketched_role_puts_the_other_into_the_same_buckets() {
        let many = of((0..5_000).map(|it| f64::from(it) / 7.0));
        let few = of((0..50).map(|it| f64::from(it * 100) / 7.0));
        let paired = pair(&many, &few);
        assert!(!paired.is_exact);
        assert!(paired.current.iter().all(|point| paired.reference.iter().any(|it| it.0 == point.0)));
    }

    #[test]
    fn bytes_do_not_depend_on_the_order_and_are_read_back() {
        let values: Vec<f64> =
            (0..400).map(|it| f64::from((it * 37) % 251)).chain([f64::NAN, -0.0, f64::INFINITY]).collect();
        let bytes = |it: &Numeric| {
            let mut writer = Writer(Vec::new());
            it.write(&mut writer);
            writer.0
        };
        let whole = of(values.iter().copied());
        let mut halves = of(values[200..].iter().copied());
        halves.merge(&of(values[..200].iter().copied()));
        assert_eq!(bytes(&whole), bytes(&halves));
        assert_eq!(bytes(&Numeric::read(&mut Reader(&bytes(&whole))).unwrap()), bytes(&whole));
        for len in 0..bytes(&whole).len() {
            assert!(Numeric::read(&mut Reader(&bytes(&whole)[..len])).is_err());
        }
    }
}
