//! A sample of numbers: exact up to a budget, a fixed histogram of float prefixes beyond it.
//!
//! The final state depends on the multiset of values alone, not on the order of rows, the cut into batches or the order of merges.
//!
//! The histogram has one bucket per sign, binary exponent and leading 7 bits of the mantissa: the layout of DDSketch
//! (Masson, Rim & Lee 2019) with its logarithm interpolated linearly inside each octave.
//! Taking the bucket from the bits instead of a logarithm gives the same bucket on every machine.

mod histogram;

use histogram::Histogram;

use crate::error::{Reason, StateError, Undefined};
use crate::state::{Reader, Writer};

/// A value and how often it occurs.
pub type Point = (f64, u64);

/// The greatest relative error of a value that went through the histogram; subnormal values have an absolute error below 2e-308 instead.
pub const SKETCH_RELATIVE_ERROR: f64 = 1.0 / 256.0;

/// Numbers of one column: exact values, or a histogram once there are more than the budget.
///
/// NaN, nulls and infinities are counted apart; -0 is stored as 0.
///
/// ```
/// use modelwatch_stats::sample::NumericSample;
///
/// let mut left = NumericSample::new(3);
/// left.update(&[2.0, 1.0]);
/// let mut right = NumericSample::new(3);
/// right.update(&[2.0, f64::NAN]);
/// left.merge(&right);
/// assert_eq!(left.points(), [(1.0, 1), (2.0, 2)]);
/// left.update(&[100.0]);
/// assert!(!left.is_exact());
/// assert_eq!((left.n(), left.n_nan()), (4, 1));
/// ```
#[derive(Clone, Debug)]
pub struct NumericSample {
    budget: u64,
    n_nan: u64,
    n_null: u64,
    n_positive_infinity: u64,
    n_negative_infinity: u64,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// At most `budget` finite values, in any order, without -0.
    Exact(Vec<f64>),
    /// More than `budget` finite values.
    Histogram(Histogram),
}

impl Default for NumericSample {
    /// Returns an empty sample with [`NumericSample::DEFAULT_BUDGET`].
    fn default() -> Self {
        Self::new(Self::DEFAULT_BUDGET)
    }
}

impl NumericSample {
    /// The budget of `default()`: 1 MiB of values.
    pub const DEFAULT_BUDGET: u64 = 131_072;

    /// Returns an empty sample that keeps up to `budget` finite values exactly.
    pub const fn new(budget: u64) -> Self {
        Self {
            budget,
            n_nan: 0,
            n_null: 0,
            n_positive_infinity: 0,
            n_negative_infinity: 0,
            form: Form::Exact(Vec::new()),
        }
    }

    /// Adds values.
    pub fn update(&mut self, values: &[f64]) {
        for &value in values {
            self.push(value);
        }
    }

    /// Adds one value.
    pub fn push(&mut self, value: f64) {
        if value.is_nan() {
            self.n_nan = self.n_nan.saturating_add(1);
        } else if value == f64::INFINITY {
            self.n_positive_infinity = self.n_positive_infinity.saturating_add(1);
        } else if value == f64::NEG_INFINITY {
            self.n_negative_infinity = self.n_negative_infinity.saturating_add(1);
        } else {
            match &mut self.form {
                Form::Exact(values) => {
                    // Adding 0 turns -0 into 0 and leaves every other value alone.
                    values.push(value + 0.0);
                    self.apply_budget();
                }
                Form::Histogram(histogram) => histogram.add(value, 1),
            }
        }
    }

    /// Counts `count` missing values.
    pub fn push_nulls(&mut self, count: u64) {
        self.n_null = self.n_null.saturating_add(count);
    }

    /// Adds what `other` has seen; where the budgets differ, the smaller one holds.
    pub fn merge(&mut self, other: &Self) {
        self.budget = self.budget.min(other.budget);
        self.n_nan = self.n_nan.saturating_add(other.n_nan);
        self.n_null = self.n_null.saturating_add(other.n_null);
        self.n_positive_infinity = self.n_positive_infinity.saturating_add(other.n_positive_infinity);
        self.n_negative_infinity = self.n_negative_infinity.saturating_add(other.n_negative_infinity);
        match (&mut self.form, &other.form) {
            (Form::Exact(left), Form::Exact(right)) => left.extend_from_slice(right),
            (Form::Exact(left), Form::Histogram(right)) => {
                let mut histogram = right.clone();
                left.iter().for_each(|&it| histogram.add(it, 1));
                self.form = Form::Histogram(histogram);
            }
            (Form::Histogram(left), Form::Exact(right)) => right.iter().for_each(|&it| left.add(it, 1)),
            (Form::Histogram(left), Form::Histogram(right)) => left.merge(right),
        }
        self.apply_budget();
    }

    /// Returns the number of values that are neither null nor NaN, infinities included.
    pub fn n(&self) -> u64 {
        self.n_finite().saturating_add(self.n_positive_infinity).saturating_add(self.n_negative_infinity)
    }

    /// Returns the number of finite values.
    pub fn n_finite(&self) -> u64 {
        match &self.form {
            Form::Exact(values) => values.len() as u64,
            Form::Histogram(histogram) => histogram.total(),
        }
    }

    /// Returns the number of NaN values.
    pub const fn n_nan(&self) -> u64 {
        self.n_nan
    }

    /// Returns the number of missing values.
    pub const fn n_null(&self) -> u64 {
        self.n_null
    }

    /// Returns how often +∞ occurred.
    pub const fn n_positive_infinity(&self) -> u64 {
        self.n_positive_infinity
    }

    /// Returns how often -∞ occurred.
    pub const fn n_negative_infinity(&self) -> u64 {
        self.n_negative_infinity
    }

    /// Returns how many finite values the sample keeps exactly.
    pub const fn budget(&self) -> u64 {
        self.budget
    }

    /// Returns whether the finite values are kept exactly.
    pub const fn is_exact(&self) -> bool {
        matches!(self.form, Form::Exact(_))
    }

    /// Returns the greatest relative error of a value: 0 while exact, else [`SKETCH_RELATIVE_ERROR`].
    pub const fn relative_error(&self) -> f64 {
        if self.is_exact() { 0.0 } else { SKETCH_RELATIVE_ERROR }
    }

    /// Returns the smallest finite value, exact in both forms.
    pub fn min(&self) -> Result<f64, Undefined> {
        let min = match &self.form {
            Form::Exact(values) => values.iter().copied().min_by(f64::total_cmp),
            Form::Histogram(histogram) => Some(histogram.min),
        };
        min.ok_or(Undefined::new(Reason::Empty))
    }

    /// Returns the greatest finite value, exact in both forms.
    pub fn max(&self) -> Result<f64, Undefined> {
        let max = match &self.form {
            Form::Exact(values) => values.iter().copied().max_by(f64::total_cmp),
            Form::Histogram(histogram) => Some(histogram.max),
        };
        max.ok_or(Undefined::new(Reason::Empty))
    }

    /// Returns the finite values in ascending order while the sample is exact.
    pub fn values(&self) -> Option<Vec<f64>> {
        match &self.form {
            Form::Exact(values) => Some(sorted(values)),
            Form::Histogram(_) => None,
        }
    }

    /// Returns the distinct finite values in ascending order with their counts; bucket representatives once the sample is not exact.
    pub fn points(&self) -> Vec<Point> {
        match &self.form {
            Form::Exact(values) => count_sorted(&sorted(values)),
            Form::Histogram(histogram) => histogram.points(),
        }
    }

    /// Returns [`NumericSample::points`] with the infinities at the ends; fit for rank statistics, not for distances.
    pub fn points_with_infinities(&self) -> Vec<Point> {
        let mut res = Vec::new();
        if self.n_negative_infinity > 0 {
            res.push((f64::NEG_INFINITY, self.n_negative_infinity));
        }
        res.extend(self.points());
        if self.n_positive_infinity > 0 {
            res.push((f64::INFINITY, self.n_positive_infinity));
        }
        res
    }

    /// Returns the sample with all finite values in the histogram, as if the budget had been 0.
    pub fn to_sketch(&self) -> Self {
        let mut res = self.clone();
        res.budget = 0;
        res.apply_budget();
        res
    }

    /// Returns the state as bytes, equal for equal multisets of values.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    /// Returns the sample that [`NumericSample::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new("a numeric sample", bytes)?;
        let res = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(res)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        for count in [self.budget, self.n_nan, self.n_null, self.n_positive_infinity, self.n_negative_infinity] {
            writer.u64(count);
        }
        match &self.form {
            Form::Exact(values) => {
                writer.u8(0);
                writer.u64(values.len() as u64);
                sorted(values).into_iter().for_each(|it| writer.f64(it));
            }
            Form::Histogram(histogram) => {
                writer.u8(1);
                histogram.write(writer);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut res = Self::new(reader.u64()?);
        res.n_nan = reader.u64()?;
        res.n_null = reader.u64()?;
        res.n_positive_infinity = reader.u64()?;
        res.n_negative_infinity = reader.u64()?;
        match reader.u8()? {
            0 => {
                let len = reader.len(8)?;
                if len as u64 > res.budget {
                    return Err(reader.invalid("values"));
                }
                let mut values: Vec<f64> = Vec::with_capacity(len);
                for _ in 0..len {
                    let value = reader.f64()?;
                    let is_negative_zero = value == 0.0 && value.is_sign_negative();
                    if !value.is_finite() || is_negative_zero || values.last().is_some_and(|&last| last > value) {
                        return Err(reader.invalid("values"));
                    }
                    values.push(value);
                }
                res.form = Form::Exact(values);
            }
            1 => {
                let histogram = Histogram::read(reader)?;
                if histogram.total() <= res.budget {
                    return Err(reader.invalid("counts"));
                }
                res.form = Form::Histogram(histogram);
            }
            _ => return Err(reader.invalid("form")),
        }
        Ok(res)
    }

    fn apply_budget(&mut self) {
        if let Form::Exact(values) = &self.form
            && values.len() as u64 > self.budget
        {
            let mut histogram = Histogram::new();
            values.iter().for_each(|&it| histogram.add(it, 1));
            self.form = Form::Histogram(histogram);
        }
    }
}

/// Returns the points of both samples on a common footing: where either is a histogram, both are put into its buckets.
///
/// Comparing exact values with bucket representatives would see a difference inside every bucket.
pub fn paired_points(left: &NumericSample, right: &NumericSample) -> (Vec<Point>, Vec<Point>) {
    match (left.is_exact(), right.is_exact()) {
        (true, false) => (left.to_sketch().bucket_points(), right.bucket_points()),
        (false, true) => (left.bucket_points(), right.to_sketch().bucket_points()),
        (false, false) => (left.bucket_points(), right.bucket_points()),
        (true, true) => (left.points(), right.points()),
    }
}

/// Returns the total count of points, or why they are no sample: empty, NaN, or out of order.
pub(crate) fn total_count(points: &[Point]) -> Result<u64, Undefined> {
    if points.iter().any(|it| it.0.is_nan()) {
        return Err(Undefined::new(Reason::NotANumber));
    }
    if points.windows(2).any(|it| it[0].0 > it[1].0) {
        return Err(Undefined::new(Reason::NotSorted));
    }
    let total =
        points.iter().try_fold(0u64, |sum, it| sum.checked_add(it.1)).ok_or(Undefined::new(Reason::Overflow))?;
    if total == 0 { Err(Undefined::new(Reason::Empty)) } else { Ok(total) }
}

impl NumericSample {
    /// Points without clamping to the range, so that two samples give one value for one bucket.
    fn bucket_points(&self) -> Vec<Point> {
        match &self.form {
            Form::Exact(_) => self.points(),
            Form::Histogram(histogram) => histogram.bucket_points().collect(),
        }
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut res = values.to_vec();
    res.sort_unstable_by(f64::total_cmp);
    res
}

fn count_sorted(values: &[f64]) -> Vec<Point> {
    values.chunk_by(|left, right| left == right).map(|it| (it[0], it.len() as u64)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(budget: u64, values: &[f64]) -> NumericSample {
        let mut res = NumericSample::new(budget);
        res.update(values);
        res
    }

    #[test]
    fn special_values_are_counted_apart() {
        let mut sample = of(10, &[0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN]);
        sample.push_nulls(2);
        assert_eq!(sample.points(), [(0.0, 2)]);
        assert_eq!((sample.n(), sample.n_finite(), sample.n_nan(), sample.n_null()), (4, 2, 1, 2));
        assert_eq!(sample.points_with_infinities().len(), 3);
        assert_eq!(of(10, &[]).min(), Err(Undefined::new(Reason::Empty)));
    }

    #[test]
    fn histogram_keeps_its_promise_over_the_whole_range() {
        let mut value = f64::MIN_POSITIVE;
        while value < f64::MAX / 1.3 {
            let point = of(0, &[value, value * 1.2]).bucket_points()[0].0;
            assert!((point - value).abs() <= SKETCH_RELATIVE_ERROR * value, "{value} became {point}");
            value *= 1.237;
        }
        assert_eq!(of(0, &[f64::MAX]).points(), [(f64::MAX, 1)]);
        assert_eq!(of(0, &[5e-324]).points(), [(5e-324, 1)]);
    }

    #[test]
    fn an_exact_and_a_sketched_copy_of_the_same_values_pair_to_equal_points() {
        let values: Vec<f64> = (0..100).map(|it| f64::from(it) * 1.7 - 30.0).collect();
        let (left, right) = paired_points(&of(1000, &values), &of(10, &values));
        assert_eq!(left, right);
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![-100.0..100.0f64, any::<f64>(), Just(0.0), Just(-0.0), Just(1.0)]
    }

    proptest! {
        #[test]
        fn state_depends_on_the_multiset_alone(
            values in prop::collection::vec(any_value(), 0..40), budget in 0u64..40, at in 0usize..40, then in 0usize..40,
        ) {
            let at = at.min(values.len());
            let then = then.clamp(at, values.len().max(at));
            let whole = of(budget, &values).to_bytes();
            let (a, b, c) = (of(budget, &values[..at]), of(budget, &values[at..then]), of(budget, &values[then..]));
            let (mut left, mut right) = (a.clone(), c.clone());
            left.merge(&b);
            left.merge(&c);
            right.merge(&a);
            right.merge(&b);
            prop_assert_eq!(&left.to_bytes(), &whole);
            prop_assert_eq!(&right.to_bytes(), &whole);
            let mut reversed = values.clone();
            reversed.reverse();
            prop_assert_eq!(&of(budget, &reversed).to_bytes(), &whole);
            prop_assert_eq!(&NumericSample::from_bytes(&whole).unwrap().to_bytes(), &whole);
            prop_assert_eq!(left.points().iter().map(|it| it.1).sum::<u64>(), left.n_finite());
            prop_assert!(left.points().windows(2).all(|it| it[0].0 < it[1].0));
        }

        #[test]
        fn damaged_bytes_never_panic(mut values in prop::collection::vec(any_value(), 0..10), idx in any::<prop::sample::Index>(), byte: u8) {
            values.push(1.0);
            for budget in [0, 100] {
                let mut bytes = of(budget, &values).to_bytes();
                let idx = idx.index(bytes.len());
                bytes[idx] = byte;
                if let Ok(read) = NumericSample::from_bytes(&bytes) {
                    prop_assert_eq!(read.to_bytes(), bytes.clone());
                }
                prop_assert!(NumericSample::from_bytes(&bytes[..idx]).is_err());
            }
        }
    }
}
