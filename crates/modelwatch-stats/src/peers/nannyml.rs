//! NannyML 0.13.1: its univariate drift methods for one chunk, and when it calibrates.
//!
//! It takes its thresholds from the spread of the metric over chunks of the reference; only `chi2` has a fixed one, p < 0.05.

mod calibration;

pub use calibration::{CalibrationTrial, calibration_trial};

use super::{Categories, Numbers, weights};
use crate::error::{Reason, Undefined, finite};
use crate::sample::{Point, total_count};
use crate::two_sample::{
    self, BinRule, ChiSquared, LogBase, Values, Yates, bin_edges, chi2_contingency_with, count_into, ks_statistic,
};

/// From so many reference rows on, `kolmogorov_smirnov` and `wasserstein` are estimated from bins.
const ESTIMATED_FROM: u64 = 10_000;

/// How many bins that are, of equal width over the range of the reference.
const N_BINS: u32 = 10_000;

/// Returns `jensen_shannon` of numbers: the distance in bits over Doane's bins of the reference, what lies outside in one more.
pub fn jensen_shannon(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (p, q) = bins(numbers)?;
    two_sample::jensen_shannon(&p, &q, LogBase::Two)
}

/// Returns `hellinger` of numbers, over the same bins.
pub fn hellinger(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (p, q) = bins(numbers)?;
    two_sample::hellinger(&p, &q)
}

/// Returns `kolmogorov_smirnov`: exact below 10,000 reference rows, else over 10,000 bins of equal width, so that one outlier hides a
/// shift.
///
/// ```
/// use modelwatch_stats::peers::{Numbers, nannyml::kolmogorov_smirnov};
/// use modelwatch_stats::two_sample::Values;
///
/// let reference: Vec<_> = (0..10_000).map(|it| (f64::from(it), 1)).chain([(1e9, 1)]).collect();
/// let current: Vec<_> = (5_000..10_000).map(|it| (f64::from(it), 1)).collect();
/// let numbers = Numbers { reference: &reference, current: &current, values: Values::Real };
/// assert!(kolmogorov_smirnov(numbers).unwrap() < 0.001);
/// ```
pub fn kolmogorov_smirnov(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    if total_count(numbers.reference)? < ESTIMATED_FROM {
        return ks_statistic(numbers.reference, numbers.current);
    }
    let gaps = Gaps::new(numbers)?;
    Ok(gaps.gaps.iter().copied().fold(0.0, f64::max))
}

/// Returns `wasserstein`, in units of the column: exact below 10,000 reference rows, else over the same bins as
/// [`kolmogorov_smirnov`], with what lies outside added at its distance from the range.
pub fn wasserstein(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    if total_count(numbers.reference)? < ESTIMATED_FROM {
        return two_sample::wasserstein(numbers.reference, numbers.current);
    }
    let gaps = Gaps::new(numbers)?;
    let n = total_count(numbers.current)? as f64;
    let outside = |it: &Point| (gaps.low - it.0).max(it.0 - gaps.high).max(0.0) * it.1 as f64;
    let tails = numbers.current.iter().map(outside).sum::<f64>() / n;
    finite(gaps.gaps.iter().sum::<f64>() * gaps.width + tails)
}

/// Returns `chi2`: SciPy's `chi2_contingency`, corrected by Yates for two categories.
pub fn chi2(categories: Categories<'_>) -> Result<ChiSquared, Undefined> {
    chi2_contingency_with(categories.reference, categories.current, Yates::TwoByTwo)
}

/// Returns `jensen_shannon` of categories: the distance in bits.
pub fn jensen_shannon_of_categories(categories: Categories<'_>) -> Result<f64, Undefined> {
    two_sample::jensen_shannon(&weights(categories.reference), &weights(categories.current), LogBase::Two)
}

/// Returns `hellinger` of categories.
pub fn hellinger_of_categories(categories: Categories<'_>) -> Result<f64, Undefined> {
    two_sample::hellinger(&weights(categories.reference), &weights(categories.current))
}

/// Returns `l_infinity`.
pub fn l_infinity(categories: Categories<'_>) -> Result<f64, Undefined> {
    two_sample::linf(&weights(categories.reference), &weights(categories.current))
}

/// The gaps between the two distribution functions at the right edges of the bins.
struct Gaps {
    gaps: Vec<f64>,
    width: f64,
    low: f64,
    high: f64,
}

impl Gaps {
    fn new(numbers: Numbers<'_>) -> Result<Self, Undefined> {
        let edges = bin_edges(numbers.reference, BinRule::EqualWidth(N_BINS), Values::Real)?;
        let (Some(&low), Some(&high)) = (edges.first(), edges.last()) else {
            return Err(Undefined::new(Reason::Empty));
        };
        let (left, right) = (count_into(numbers.reference, &edges)?, count_into(numbers.current, &edges)?);
        let (m, n) = (total_count(numbers.reference)? as f64, total_count(numbers.current)? as f64);
        let (mut seen_left, mut seen_right) = (0, right.underflow);
        let gap = |(own_left, own_right): (&u64, &u64)| {
            seen_left += own_left;
            seen_right += own_right;
            (seen_left as f64 / m - seen_right as f64 / n).abs()
        };
        let gaps: Vec<f64> = left.counts.iter().zip(&right.counts).map(gap).collect();
        Ok(Self { width: (high - low) / gaps.len() as f64, gaps, low, high })
    }
}

fn bins(numbers: Numbers<'_>) -> Result<(Vec<f64>, Vec<f64>), Undefined> {
    let edges = bin_edges(numbers.reference, BinRule::Doane, Values::Real)?;
    let side = |points: &[Point]| {
        let counts = count_into(points, &edges)?;
        let mut res = weights(&counts.counts);
        res.push((counts.underflow + counts.overflow) as f64);
        Ok(res)
    };
    Ok((side(numbers.reference)?, side(numbers.current)?))
}
