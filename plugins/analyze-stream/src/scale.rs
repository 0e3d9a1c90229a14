//! Streams in units of their own standard deviation.

use modelwatch_sdk::state::{Reader, Writer, damaged};
use modelwatch_stats::{Point, Reason, Undefined, moments::Moments, quantile::quantile};

/// How many deviations a value counts for at most, so that no outlier hides what the others do; for more where most are the same.
pub(crate) const MOST: f64 = 10.0;

/// The median absolute deviation of a standard normal distribution.
const NORMAL_DEVIATION: f64 = 0.674_489_750_196_081_7;

/// What is taken off a value, and by what the rest is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
    /// How many deviations a value counts for at most.
    pub(crate) most: f64,
}

impl Scale {
    /// Returns the mean and standard deviation of values, of which those that are far from the median count for no more than [`MOST`]
    /// median absolute deviations, as a normal distribution has them. Where none varies, the deviation is 1.
    ///
    /// Where more than half of the values are the same, the deviation says how seldom the others are, and not how far they are from it:
    /// in a column of which 99 % are 0 each other value is ten deviations off. There a value counts for as many as are as far as [`MOST`] of
    /// the deviations of the others.
    ///
    /// The values come in ascending order.
    ///
    /// # Errors
    /// When the values are too great to be squared.
    pub(crate) fn of(values: &[Point]) -> Result<Self, Undefined> {
        if values.is_empty() {
            return Ok(Self { mean: 0.0, deviation: 1.0, most: MOST });
        }
        let Far { low, high, is_of_others } = limits(values)?;
        let mut moments = Moments::new();
        for (value, n) in values {
            (0..*n).for_each(|_| moments.push(value.clamp(low, high)));
        }
        let deviation = if moments.n() < 2 { 0.0 } else { moments.standard_deviation(1)? };
        // Values whose difference vanishes when it is squared have no scale either.
        let deviation = if deviation > 0.0 { deviation } else { 1.0 };
        let reach = (high - low) / 2.0 / deviation;
        let most = if is_of_others && reach.is_finite() { reach.max(MOST) } else { MOST };
        Ok(Self { mean: moments.mean()?, deviation, most })
    }

    /// Returns the value in that scale.
    pub(crate) fn apply(&self, value: f64) -> f64 {
        ((value - self.mean) / self.deviation).clamp(-self.most, self.most)
    }

    /// Returns the value, or the one nearest to it that is not cut off.
    pub(crate) fn clipped(&self, value: f64) -> f64 {
        value.clamp(self.mean - self.most * self.deviation, self.mean + self.most * self.deviation)
    }

    /// Returns whether the values lie so near to where they would be cut off that they cannot be seen to rise.
    pub(crate) fn is_at_end(&self, mean: f64) -> bool {
        self.apply(mean).abs() > self.most / 2.0
    }

    /// Returns how much farther values reach than where none counts for more than [`MOST`].
    pub(crate) fn reach(&self) -> f64 {
        self.most / MOST
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        [self.mean, self.deviation, self.most].into_iter().for_each(|it| writer.f64(it));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> modelwatch_sdk::Result<Self> {
        let res = Self { mean: reader.f64()?, deviation: reader.f64()?, most: reader.f64()? };
        let is_one = res.mean.is_finite() && res.deviation.is_finite() && res.deviation > 0.0;
        let is_one = is_one && res.most.is_finite() && res.most >= MOST;
        is_one.then_some(res).ok_or_else(|| damaged("a scale is none"))
    }

    /// Returns whether it is of values most of which are the same, so that their mean says little of where the others lie.
    pub(crate) fn is_of_few(&self) -> bool {
        self.most > MOST
    }
}

/// What values of a scale lie between.
struct Far {
    low: f64,
    high: f64,
    /// Whether more than half of the values are the same, and the others say how far is far.
    is_of_others: bool,
}

fn limits(values: &[Point]) -> Result<Far, Undefined> {
    let median = quantile(values, 0.5)?;
    let mut distances: Vec<Point> = values.iter().map(|it| ((it.0 - median).abs(), it.1)).collect();
    distances.sort_unstable_by(|left, right| left.0.total_cmp(&right.0));
    let first_other = distances.partition_point(|it| it.0 == 0.0);
    let (deviation, is_of_others) = match quantile(&distances, 0.5)? {
        it if it > 0.0 => (it, false),
        _ if first_other < distances.len() => (quantile(&distances[first_other..], 0.5)?, true),
        _ => (0.0, false),
    };
    let reach = MOST * deviation / NORMAL_DEVIATION;
    let (low, high) = (median - reach, median + reach);
    let is_fine = low.is_finite() && high.is_finite();
    is_fine.then_some(Far { low, high, is_of_others }).ok_or(Undefined::new(Reason::Overflow))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Result<Scale, Undefined> {
        let mut points: Vec<Point> = values.iter().map(|it| (*it, 1)).collect();
        points.sort_unstable_by(|left, right| left.0.total_cmp(&right.0));
        Scale::of(&points)
    }

    fn scale(mean: f64, deviation: f64) -> Scale {
        Scale { mean, deviation, most: MOST }
    }

    #[test]
    fn values_that_do_not_vary_have_a_deviation_of_one() {
        assert_eq!(of(&[1.0, 2.0, 3.0]), Ok(scale(2.0, 1.0)));
        assert_eq!(of(&[5.0; 9]), Ok(scale(5.0, 1.0)));
        assert_eq!((of(&[]), of(&[7.0])), (Ok(scale(0.0, 1.0)), Ok(scale(7.0, 1.0))));
        assert!(of(&[1e300, -1e300]).is_err());
        assert!(of(&[-1.7e308, -1.7e308, 1.7e308, 1.7e308]).is_err());
    }

    #[test]
    fn an_outlier_makes_no_scale() {
        let values: Vec<f64> = (0..99).map(|it| f64::from(it % 11) - 5.0).collect();
        let plain = of(&values).unwrap();
        let with = of(&[values.as_slice(), &[1e9]].concat()).unwrap();
        assert!((plain.mean, plain.deviation).0.abs() < 0.1 && (with.mean - plain.mean).abs() < 0.6, "{with:?}");
        assert!(with.deviation < 2.0 * plain.deviation, "{with:?}");
        // Of flags, of which most are the same, it is the one that is no flag.
        let flags: Vec<f64> = (0..99).map(|it| f64::from(u8::from(it % 10 == 0))).collect();
        let (plain, with) = (of(&flags).unwrap(), of(&[flags.as_slice(), &[1e9]].concat()).unwrap());
        assert!((plain.deviation - 0.303).abs() < 0.01 && with.deviation < 2.0, "{plain:?} {with:?}");
    }

    #[test]
    fn great_values_count_for_ten_deviations() {
        let tiny = scale(0.0, 1e-300);
        assert_eq!((tiny.apply(1e300), tiny.apply(-1e300)), (MOST, -MOST));
        let scale = scale(3.0, 2.0);
        assert_eq!((scale.clipped(1e300), scale.clipped(-1e300), scale.clipped(4.0)), (23.0, -17.0, 4.0));
    }

    #[test]
    fn values_that_are_seldom_are_not_cut_off() {
        // Of these, 7 is ten deviations off, and 30 more.
        let values: Vec<f64> = (0..200).map(|it| if it % 100 == 0 { 7.0 } else { 0.0 }).collect();
        let rare = of(&values).unwrap();
        assert!(
            (rare.mean, rare.deviation) == (0.07, rare.deviation) && (rare.deviation - 0.7).abs() < 0.01,
            "{rare:?}"
        );
        let near = |value: f64, expected: f64| (rare.apply(value) - expected).abs() < 0.01 * expected;
        assert!(near(7.0, 6.93 / rare.deviation) && near(30.0, 29.93 / rare.deviation), "{rare:?}");
        assert!(rare.is_of_few() && !rare.is_at_end(30.0) && rare.is_at_end(90.0), "{rare:?}");
        // What is ten times as far as the others are is far.
        let reach = 70.0 / NORMAL_DEVIATION;
        assert!((rare.clipped(1e9) - reach).abs() < 0.1 && near(1e9, reach / rare.deviation), "{rare:?}");
    }
}
