//! Bounds beyond which a number is an outlier, how far whole rows are from others, and the shape of a sample.

mod gower;
mod isolation_forest;
mod local_probability;
mod robust_scale;

use crate::error::{Reason, Undefined, finite};
use crate::quantile::{quantile, quantiles};
use crate::sample::{Point, total_count};

pub use gower::{MixedRow, gower_distance, gower_scaled};
pub use isolation_forest::{FOREST_ROWS, FOREST_TREES, ForestOptions, IsolationForest, average_path};
pub use local_probability::{LOOP_EXTENT, LocalProbabilities, LoopOptions};
pub use robust_scale::RobustScale;

/// The factor of the interquartile range beyond which Tukey (1977) calls a value outside.
pub const TUKEY_FACTOR: f64 = 1.5;

/// The factor of the interquartile range beyond which Tukey (1977) calls a value far out.
pub const FAR_OUT_FACTOR: f64 = 3.0;

/// The modified z-score from which Iglewicz & Hoaglin (1993) call a value an outlier.
pub const ROBUST_Z: f64 = 3.5;

/// The median absolute deviation of a standard normal distribution.
const NORMAL_MAD: f64 = 0.674_489_750_196_081_7;

/// The least and the greatest value that is no outlier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fences {
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

/// Skewness and excess kurtosis of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// The mean.
    pub mean: f64,
    /// The variance over `n - 1`.
    pub variance: f64,
    /// `G1`, the adjusted Fisher-Pearson skewness; none for fewer than 3 values or without spread.
    pub skewness: Option<f64>,
    /// `G2`, the adjusted excess kurtosis; none for fewer than 4 values or without spread.
    pub kurtosis: Option<f64>,
}

/// Returns Tukey's fences: `Q1 - factor (Q3 - Q1)` and `Q3 + factor (Q3 - Q1)`, quartiles by linear interpolation.
///
/// Undefined as [`quantile`], and for points with infinities.
///
/// ```
/// use modelwatch_stats::outliers::{TUKEY_FACTOR, tukey_fences};
///
/// // The quartiles of 1, 2, 3, 4, 100 are 2 and 4.
/// let points = [(1.0, 1), (2.0, 1), (3.0, 1), (4.0, 1), (100.0, 1)];
/// let fences = tukey_fences(&points, TUKEY_FACTOR).unwrap();
/// assert_eq!((fences.low, fences.high), (-1.0, 7.0));
/// ```
///
/// # Errors
/// See above.
pub fn tukey_fences(points: &[Point], factor: f64) -> Result<Fences, Undefined> {
    let quartiles = quantiles(points, &[0.25, 0.75])?;
    let reach = finite(factor * (quartiles[1] - quartiles[0]))?;
    Ok(Fences { low: quartiles[0] - reach, high: quartiles[1] + reach })
}

/// Returns the median absolute deviation: the median of `|x - median|`.
///
/// ```
/// use modelwatch_stats::outliers::median_absolute_deviation;
///
/// // The median of 1, 2, 4, 9 is 3; the deviations are 1, 1, 2, 6.
/// assert_eq!(median_absolute_deviation(&[(1.0, 1), (2.0, 1), (4.0, 1), (9.0, 1)]), Ok(1.5));
/// ```
///
/// # Errors
/// As [`quantile`].
pub fn median_absolute_deviation(points: &[Point]) -> Result<f64, Undefined> {
    let median = quantile(points, 0.5)?;
    let mut deviations: Vec<Point> = points.iter().map(|it| ((it.0 - median).abs(), it.1)).collect();
    if deviations.iter().any(|it| it.0.is_nan()) {
        return Err(Undefined::new(Reason::Infinite));
    }
    deviations.sort_by(|left, right| left.0.total_cmp(&right.0));
    quantile(&deviations, 0.5)
}

/// Returns the fences of the modified z-score (Iglewicz & Hoaglin 1993): `median ± z MAD / 0.6745`.
///
/// ```
/// use modelwatch_stats::outliers::{ROBUST_Z, robust_fences};
///
/// // The median of 1, 2, 3, 4, 100 is 3 and the median absolute deviation 1.
/// let points = [(1.0, 1), (2.0, 1), (3.0, 1), (4.0, 1), (100.0, 1)];
/// let fences = robust_fences(&points, ROBUST_Z).unwrap();
/// assert!((fences.high - (3.0 + 3.5 / 0.6745)).abs() < 1e-3);
/// assert!((fences.high + fences.low - 6.0).abs() < 1e-12);
/// ```
///
/// # Errors
/// As [`quantile`], and when half of the values are equal, so that there is no spread.
pub fn robust_fences(points: &[Point], z: f64) -> Result<Fences, Undefined> {
    let deviation = median_absolute_deviation(points)?;
    if deviation == 0.0 {
        return Err(Undefined::new(Reason::NoSpread));
    }
    let (median, reach) = (quantile(points, 0.5)?, finite(z * deviation / NORMAL_MAD)?);
    Ok(Fences { low: median - reach, high: median + reach })
}

/// Returns how many values are outside of the fences.
///
/// ```
/// use modelwatch_stats::outliers::{Fences, count_outside};
/// assert_eq!(count_outside(&[(1.0, 2), (5.0, 1), (9.0, 3)], Fences { low: 2.0, high: 9.0 }), 2);
/// ```
pub fn count_outside(points: &[Point], fences: Fences) -> u64 {
    let outside = points.iter().filter(|it| it.0 < fences.low || it.0 > fences.high);
    outside.map(|it| it.1).fold(0, u64::saturating_add)
}

/// Returns mean, variance, skewness and kurtosis (Joanes & Gill 1998, the `G1` and `G2` of pandas, SAS and Excel).
///
/// `G1 = √(n (n - 1)) / (n - 2) · m3 / m2^1.5`,
/// `G2 = (n - 1) / ((n - 2) (n - 3)) · ((n + 1) m4 / m2² - 3 (n - 1))`, `mk` being the central moments over `n`.
///
/// ```
/// use modelwatch_stats::outliers::shape;
///
/// let shape = shape(&[(1.0, 2), (2.0, 1), (6.0, 1)]).unwrap();
/// assert_eq!((shape.mean, shape.variance), (2.5, 17.0 / 3.0));
/// assert!((shape.skewness.unwrap() - 1.77918).abs() < 1e-5);
/// ```
///
/// # Errors
/// As [`quantile`], for a single value, and for infinities.
pub fn shape(points: &[Point]) -> Result<Shape, Undefined> {
    let n = total_count(points)? as f64;
    if n < 2.0 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let mean = finite(points.iter().map(|it| it.0 * it.1 as f64).sum::<f64>() / n)?;
    let moment = |power: i32| points.iter().map(|it| (it.0 - mean).powi(power) * it.1 as f64).sum::<f64>() / n;
    let (m2, m3, m4) = (finite(moment(2))?, moment(3), moment(4));
    // What is left of equal values after rounding is no spread.
    let has_spread = points.len() > 1 && m2 > 0.0;
    let skewness = (n * (n - 1.0)).sqrt() / (n - 2.0) * m3 / m2.powf(1.5);
    let kurtosis = (n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * m4 / (m2 * m2) - 3.0 * (n - 1.0));
    Ok(Shape {
        mean,
        variance: if has_spread { m2 * n / (n - 1.0) } else { 0.0 },
        skewness: Some(skewness).filter(|it| has_spread && n > 2.0 && it.is_finite()),
        kurtosis: Some(kurtosis).filter(|it| has_spread && n > 3.0 && it.is_finite()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_without_spread_have_no_robust_fences() {
        let constant = [(7.0, 100), (8.0, 1)];
        assert_eq!(robust_fences(&constant, ROBUST_Z), Err(Undefined::new(Reason::NoSpread)));
        assert_eq!(tukey_fences(&constant, TUKEY_FACTOR), Ok(Fences { low: 7.0, high: 7.0 }));
        assert_eq!(shape(&[(0.1, 30)]).unwrap(), Shape { mean: 0.1, variance: 0.0, skewness: None, kurtosis: None });
    }

    #[test]
    fn what_is_no_sample_is_undefined() {
        assert_eq!(tukey_fences(&[], 1.5), Err(Undefined::new(Reason::Empty)));
        assert_eq!(shape(&[(1.0, 1)]), Err(Undefined::new(Reason::TooFew)));
        assert_eq!(shape(&[(f64::MAX, 3)]).err(), Some(Undefined::new(Reason::Overflow)));
        assert!(median_absolute_deviation(&[(f64::INFINITY, 3)]).is_err());
        assert!(tukey_fences(&[(f64::NAN, 1)], 1.5).is_err());
    }
}
