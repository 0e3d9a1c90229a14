//! Tests for a difference of means.

use super::{Test, tails::student_two_sided};
use crate::error::{Reason, Undefined};
use crate::sample::{Point, total_count};

/// Returns Student's t test with a pooled variance (Student 1908), two-sided.
///
/// Differing constants are an infinite statistic and p-value 0. Undefined for equal constants, for fewer than three rows, and for
/// infinities.
///
/// ```
/// use modelwatch_stats::two_sample::student_t;
///
/// // Means 1 and 3, both variances 2: t = -2 / √(2 (1/2 + 1/2)), two degrees of freedom.
/// let test = student_t(&[(0.0, 1), (2.0, 1)], &[(2.0, 1), (4.0, 1)]).unwrap();
/// assert!((test.statistic + 2f64.sqrt()).abs() < 1e-15);
/// assert!((test.p_value - 0.292_893_218_813_452).abs() < 1e-14);
/// ```
pub fn student_t(reference: &[Point], current: &[Point]) -> Result<Test, Undefined> {
    let (left, right) = summaries(reference, current)?;
    if left.n + right.n < 3.0 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let degrees_of_freedom = left.n + right.n - 2.0;
    let pooled = (left.squares + right.squares) / degrees_of_freedom;
    test(left.difference(&right), pooled * (1.0 / left.n + 1.0 / right.n), degrees_of_freedom)
}

/// Returns Welch's t test (1947), which does not take the variances for equal; two-sided.
///
/// Undefined as [`student_t`], and for a sample of one row.
///
/// ```
/// use modelwatch_stats::two_sample::welch_t;
/// let test = welch_t(&[(0.0, 1), (2.0, 1)], &[(2.0, 1), (4.0, 1)]).unwrap();
/// assert!((test.statistic + 2f64.sqrt()).abs() < 1e-15);
/// ```
pub fn welch_t(reference: &[Point], current: &[Point]) -> Result<Test, Undefined> {
    let (left, right) = summaries(reference, current)?;
    if left.n.min(right.n) < 2.0 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let of_mean = |it: &Summary| it.squares / (it.n - 1.0) / it.n;
    let (a, b) = (of_mean(&left), of_mean(&right));
    // Satterthwaite's degrees of freedom, over the sum first, so that squares do not overflow.
    let (share_a, share_b) = (a / (a + b), b / (a + b));
    let degrees_of_freedom = 1.0 / (share_a * share_a / (left.n - 1.0) + share_b * share_b / (right.n - 1.0));
    test(left.difference(&right), a + b, degrees_of_freedom)
}

/// Returns the skewness that the difference of both means has, where both samples are of the distribution of all rows together: 0 for equal
/// sizes, and near that of the values where one sample is small and the other is not.
///
/// The t tests take the means for normal. Welch's takes the variance of a small sample from itself as well, which is too small where a rare
/// large value is missing, and its mean with it.
///
/// ```
/// use modelwatch_stats::two_sample::skewness_of_difference;
///
/// let (many, few) = ([(0.0, 4500), (1.0, 500)], [(0.0, 90), (1.0, 10)]);
/// // A tenth of ones has a skewness of 8/3, that of a mean of a hundred is a tenth of it.
/// let found = skewness_of_difference(&many, &few).unwrap();
/// assert!((found / 0.267 - 1.0).abs() < 0.05, "{found}");
/// assert_eq!(skewness_of_difference(&few, &few), Ok(0.0));
/// ```
pub fn skewness_of_difference(reference: &[Point], current: &[Point]) -> Result<f64, Undefined> {
    let (left, right) = summaries(reference, current)?;
    let all = left.n + right.n;
    let mean = (left.mean * left.n + right.mean * right.n) / all;
    let scaled = unit(reference, current)?;
    let moment = |power: i32| {
        let rows = reference.iter().chain(current);
        rows.map(|it| (scaled(it.0) - mean).powi(power) * it.1 as f64).sum::<f64>() / all
    };
    let (a, b) = (1.0 / left.n, 1.0 / right.n);
    let res = moment(3) / moment(2).powf(1.5) * (b * b - a * a) / (a + b).powf(1.5);
    if res.is_nan() { Err(Undefined::new(Reason::NoSpread)) } else { Ok(res.abs()) }
}

/// A sample's size, mean and squared deviations, in units of `scale` from `origin`.
struct Summary {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Summary {
    fn difference(&self, other: &Self) -> f64 {
        self.mean - other.mean
    }
}

/// Both samples in common units in which neither large offsets nor large values lose anything.
fn summaries(reference: &[Point], current: &[Point]) -> Result<(Summary, Summary), Undefined> {
    let sizes = (total_count(reference)? as f64, total_count(current)? as f64);
    let scaled = unit(reference, current)?;
    let of = |points: &[Point], n: f64| {
        let mean = points.iter().map(|it| scaled(it.0) * it.1 as f64).sum::<f64>() / n;
        let squares = points.iter().map(|it| (scaled(it.0) - mean).powi(2) * it.1 as f64).sum();
        // A constant has no spread, whatever its mean was rounded to.
        let is_constant = points.iter().filter(|it| it.1 > 0).is_sorted_by(|left, right| left.0 == right.0);
        Summary { n, mean, squares: if is_constant { 0.0 } else { squares } }
    };
    Ok((of(reference, sizes.0), of(current, sizes.1)))
}

/// Returns the place of a value from 0 to 1, the range of both samples.
fn unit(reference: &[Point], current: &[Point]) -> Result<impl Fn(f64) -> f64 + use<>, Undefined> {
    let values = || reference.iter().chain(current).filter(|it| it.1 > 0).map(|it| it.0);
    let (min, max) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    if min.is_infinite() || max.is_infinite() {
        return Err(Undefined::new(Reason::Infinite));
    }
    let half = max / 2.0 - min / 2.0;
    if half == 0.0 {
        return Err(Undefined::new(Reason::NoSpread));
    }
    Ok(move |it: f64| (it / 2.0 - min / 2.0) / half)
}

fn test(difference: f64, variance: f64, degrees_of_freedom: f64) -> Result<Test, Undefined> {
    let statistic = difference / variance.sqrt();
    if statistic.is_nan() {
        return Err(Undefined::new(Reason::NoSpread));
    }
    Ok(Test { statistic, p_value: student_two_sided(statistic, degrees_of_freedom) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_and_extreme_values() {
        for test in [student_t, welch_t] {
            let differing = test(&[(1.0, 5)], &[(2.0, 5)]).unwrap();
            assert_eq!((differing.statistic, differing.p_value), (f64::NEG_INFINITY, 0.0));
            assert_eq!(test(&[(1.0, 5)], &[(1.0, 5)]), Err(Undefined::new(Reason::NoSpread)));
            assert_eq!(test(&[(f64::INFINITY, 5)], &[(1.0, 5)]), Err(Undefined::new(Reason::Infinite)));
            assert_eq!(test(&[], &[(1.0, 5)]), Err(Undefined::new(Reason::Empty)));
            assert_eq!(test(&[(1.0, 1)], &[(2.0, 1)]), Err(Undefined::new(Reason::TooFew)));
            let plain = test(&[(0.0, 1), (1.0, 2)], &[(0.5, 1), (3.0, 2)]).unwrap();
            for scale in [1e300, 1e-300] {
                let scaled = test(&[(0.0, 1), (scale, 2)], &[(0.5 * scale, 1), (3.0 * scale, 2)]).unwrap();
                assert!((scaled.statistic / plain.statistic - 1.0).abs() < 1e-12);
            }
        }
    }
}
