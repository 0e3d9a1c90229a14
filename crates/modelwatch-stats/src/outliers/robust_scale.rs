//! How far a number is from the middle of a sample.

use crate::error::{Reason, Undefined};
use crate::quantile::quantile;
use crate::sample::{Point, total_count};

use super::{NORMAL_MAD, median_absolute_deviation};

/// The mean absolute deviation of a standard normal distribution, `√(2 / π)`.
const NORMAL_MEAN_DEVIATION: f64 = 0.797_884_560_802_865_4;

/// The middle of a sample and its spread, as a normal distribution would have it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RobustScale {
    /// The median.
    pub median: f64,
    /// What corresponds to a standard deviation.
    pub deviation: f64,
}

impl RobustScale {
    /// Returns median and spread of a sample: the median absolute deviation over 0.6745; where more than half of the values are
    /// equal, so that it is 0, the mean absolute deviation over 0.7979 (Iglewicz & Hoaglin 1993).
    ///
    /// ```
    /// use modelwatch_stats::outliers::RobustScale;
    ///
    /// // The median is 3 and the median absolute deviation 1.
    /// let scale = RobustScale::of(&[(1.0, 1), (2.0, 1), (3.0, 1), (4.0, 1), (100.0, 1)]).unwrap();
    /// assert!((scale.z(100.0) - 0.6745 * 97.0).abs() < 0.01);
    /// // Nine of ten are equal; the mean deviation is 1.
    /// let scale = RobustScale::of(&[(0.0, 9), (10.0, 1)]).unwrap();
    /// assert!((scale.z(10.0) - 0.7979 * 10.0).abs() < 0.001);
    /// ```
    ///
    /// # Errors
    /// As [`quantile`], and where all values are equal.
    pub fn of(points: &[Point]) -> Result<Self, Undefined> {
        let median = quantile(points, 0.5)?;
        let deviation = median_absolute_deviation(points)? / NORMAL_MAD;
        if deviation > 0.0 && deviation.is_finite() {
            return Ok(Self { median, deviation });
        }
        let n = total_count(points)? as f64;
        let mean = points.iter().map(|it| (it.0 - median).abs() / n * it.1 as f64).sum::<f64>();
        let deviation = mean / NORMAL_MEAN_DEVIATION;
        if deviation > 0.0 && deviation.is_finite() {
            Ok(Self { median, deviation })
        } else {
            Err(Undefined::new(Reason::NoSpread))
        }
    }

    /// Returns how many deviations a number is above the median.
    pub fn z(self, value: f64) -> f64 {
        (value - self.median) / self.deviation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_no_scale() {
        assert_eq!(RobustScale::of(&[(3.0, 5)]), Err(Undefined::new(Reason::NoSpread)));
        assert!(RobustScale::of(&[]).is_err());
    }
}
