//! Streams in units of their own standard deviation.

use modelwatch_stats::{Point, Reason, Undefined, moments::Moments, quantile::quantile};

/// How many deviations a value counts for at most, so that no outlier hides what the others do.
pub(crate) const MOST: f64 = 10.0;

/// The median absolute deviation of a standard normal distribution.
const NORMAL_DEVIATION: f64 = 0.674_489_750_196_081_7;

/// What is taken off a value, and by what the rest is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

impl Scale {
    /// Returns the mean and standard deviation of values, of which those that are far from the median count for no more than [`MOST`]
    /// median absolute deviations, as a normal distribution has them. Where none varies, the deviation is 1.
    ///
    /// The values come in ascending order.
    ///
    /// # Errors
    /// When the values are too great to be squared.
    pub(crate) fn of(values: &[Point]) -> Result<Self, Undefined> {
        if values.is_empty() {
            return Ok(Self { mean: 0.0, deviation: 1.0 });
        }
        let (low, high) = limits(values)?;
        let mut moments = Moments::new();
        for (value, n) in values {
            (0..*n).for_each(|_| moments.push(value.clamp(low, high)));
        }
        let deviation = if moments.n() < 2 { 0.0 } else { moments.standard_deviation(1)? };
        // Values whose difference vanishes when it is squared have no scale either.
        Ok(Self { mean: moments.mean()?, deviation: if deviation > 0.0 { deviation } else { 1.0 } })
    }

    /// Returns the value in that scale.
    pub(crate) fn apply(&self, value: f64) -> f64 {
        ((value - self.mean) / self.deviation).clamp(-MOST, MOST)
    }

    /// Returns the value, or the one nearest to it that is not cut off.
    pub(crate) fn clipped(&self, value: f64) -> f64 {
        value.clamp(self.mean - MOST * self.deviation, self.mean + MOST * self.deviation)
    }
}

/// Returns what values of a scale lie between. Where more than half of them are the same, the others say how far is far.
fn limits(values: &[Point]) -> Result<(f64, f64), Undefined> {
    let median = quantile(values, 0.5)?;
    let mut distances: Vec<Point> = values.iter().map(|it| ((it.0 - median).abs(), it.1)).collect();
    distances.sort_unstable_by(|left, right| left.0.total_cmp(&right.0));
    let first_other = distances.partition_point(|it| it.0 == 0.0);
    let deviation = match quantile(&distances, 0.5)? {
        it if it > 0.0 => it,
        _ if first_other < distances.len() => quantile(&distances[first_other..], 0.5)?,
        _ => 0.0,
    };
    let reach = MOST * deviation / NORMAL_DEVIATION;
    let (low, high) = (median - reach, median + reach);
    if low.is_finite() && high.is_finite() { Ok((low, high)) } else { Err(Undefined::new(Reason::Overflow)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Result<Scale, Undefined> {
        let mut points: Vec<Point> = values.iter().map(|it| (*it, 1)).collect();
        points.sort_unstable_by(|left, right| left.0.total_cmp(&right.0));
        Scale::of(&points)
    }

    #[test]
    fn values_that_do_not_vary_have_a_deviation_of_one() {
        assert_eq!(of(&[1.0, 2.0, 3.0]), Ok(Scale { mean: 2.0, deviation: 1.0 }));
        assert_eq!(of(&[5.0; 9]), Ok(Scale { mean: 5.0, deviation: 1.0 }));
        let none = Scale { mean: 0.0, deviation: 1.0 };
        assert_eq!((of(&[]), of(&[7.0])), (Ok(none), Ok(Scale { mean: 7.0, deviation: 1.0 })));
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
        let scale = Scale { mean: 0.0, deviation: 1e-300 };
        assert_eq!((scale.apply(1e300), scale.apply(-1e300)), (MOST, -MOST));
        let scale = Scale { mean: 3.0, deviation: 2.0 };
        assert_eq!((scale.clipped(1e300), scale.clipped(-1e300), scale.clipped(4.0)), (23.0, -17.0, 4.0));
    }
}
