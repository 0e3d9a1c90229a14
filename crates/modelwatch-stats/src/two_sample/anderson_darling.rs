//! The Anderson–Darling test for two samples.

use std::f64::consts::PI;

use super::{
    Test,
    levels::Levels,
    tails::anderson_darling_sf,
    tied::{TiedSquares, has_ties, tied_p_value},
};
use crate::error::{Reason, Undefined};
use crate::sample::Point;

/// The greatest number of rows for which the sums over whole numbers are taken term by term; the expansions have all digits beyond it.
const MAX_TERMS: u64 = 200;

/// Returns the two-sample Anderson–Darling test with average ranks for ties (Scholz & Stephens 1987, eq. 7).
///
/// The statistic is standardized by its mean and standard deviation, as SciPy's `anderson_ksamp`.
/// The p-value is that of the limit distribution at the statistic with the limit's mean and standard deviation; unlike
/// SciPy's it is neither cut at 0.001 nor at 0.25. Where values come more than once, it is of the limit with the mean and variance that
/// the statistic then has; two values are compared by Fisher's exact test, and where few rows of the smaller sample are beside the most
/// frequent value, Kolmogorov-Smirnov answers.
/// Undefined for fewer than four rows or a single level.
///
/// ```
/// use modelwatch_stats::two_sample::anderson_darling;
///
/// let same: Vec<_> = (0..50).map(|it| (f64::from(it), 1)).collect();
/// let test = anderson_darling(&same, &same).unwrap();
/// assert!(test.statistic < -1.2 && test.p_value > 0.99);
/// ```
pub fn anderson_darling(reference: &[Point], current: &[Point]) -> Result<Test, Undefined> {
    anderson_darling_of(&Levels::new(reference, current)?)
}

/// [`anderson_darling`] of merged samples.
pub(crate) fn anderson_darling_of(levels: &Levels) -> Result<Test, Undefined> {
    if levels.levels.len() < 2 {
        return Err(Undefined::new(Reason::NoSpread));
    }
    if levels.total() < 4 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let statistic = (squares(levels) - 1.0) / deviation(levels);
    let limit = |it: f64| anderson_darling_sf(1.0 + LIMIT_DEVIATION * it);
    if !has_ties(levels) {
        return Ok(Test { statistic, p_value: limit(statistic) });
    }
    let squares = TiedSquares::new(levels, |share, variance| share / variance);
    // Small samples vary as much less with ties as without.
    let variance = squares.variance * (deviation(levels) / LIMIT_DEVIATION).powi(2);
    Ok(Test { statistic, p_value: tied_p_value(levels, TiedSquares { variance, ..squares }, limit)? })
}

/// The standard deviation of `Σ Z² / (j (j + 1))`: the root of `2 Σ 1 / (j (j + 1))² = 2 (π² / 3 - 3)`.
const LIMIT_DEVIATION: f64 = 0.761_244_457_930_087;

/// `A²` with average ranks.
fn squares(levels: &Levels) -> f64 {
    let (rows, m, n) = (levels.total() as f64, levels.m as f64, levels.n as f64);
    let (mut left, mut right) = (0.0, 0.0);
    let mut res = 0.0;
    for level in &levels.levels {
        let (own_left, own_right) = (level.reference as f64, level.current as f64);
        let both = own_left + own_right;
        let middle = left + right + both / 2.0;
        let weight = both / (rows * (middle * (rows - middle) - rows * both / 4.0));
        // The other sample deviates as much in the other direction: 1/m + 1/n is (m + n) / mn.
        let deviation = rows * (left + own_left / 2.0) - middle * m;
        res += weight * deviation * deviation;
        left += own_left;
        right += own_right;
    }
    res * (rows - 1.0) / (m * n)
}

/// The standard deviation of `A²` for two samples (Scholz & Stephens 1987, eq. 4).
fn deviation(levels: &Levels) -> f64 {
    let rows = levels.total() as f64;
    let inverse_sizes = 1.0 / levels.m as f64 + 1.0 / levels.n as f64;
    let (h, g) = harmonic_sums(levels.total());
    let a = (4.0 * g - 6.0) + (10.0 - 6.0 * g) * inverse_sizes;
    let b = (2.0 * g - 4.0) * 4.0 + 16.0 * h + (2.0 * g - 14.0 * h - 4.0) * inverse_sizes - 8.0 * h + 4.0 * g - 6.0;
    let c =
        (6.0 * h + 2.0 * g - 2.0) * 4.0 + (4.0 * h - 4.0 * g + 6.0) * 2.0 + (2.0 * h - 6.0) * inverse_sizes + 4.0 * h;
    let d = (2.0 * h + 6.0) * 4.0 - 8.0 * h;
    let variance = (((a * rows + b) * rows + c) * rows + d) / ((rows - 1.0) * (rows - 2.0) * (rows - 3.0));
    variance.sqrt()
}

/// `H = Σ 1/i` for `i < rows`, and `Σ_i Σ_{j > i} 1 / ((rows - i) j)`.
///
/// With `Σ 1/i²` over all rows the second is `Σ 1/i² - (2 H + 1/rows) / rows`, since `Σ_{j < n} H_{n - j} / j` is the square of the
/// n-th harmonic number less the sum of inverse squares.
fn harmonic_sums(rows: u64) -> (f64, f64) {
    let n = rows as f64;
    let (harmonic, squares) = if rows > MAX_TERMS {
        let (inverse, square) = (1.0 / n, 1.0 / (n * n));
        let harmonic = n.ln() + 0.577_215_664_901_532_9 - inverse * (0.5 + inverse / 12.0 * (1.0 - square / 10.0));
        let squares = PI * PI / 6.0 - inverse * (1.0 - inverse * (0.5 - inverse / 6.0 * (1.0 - square / 5.0)));
        (harmonic, squares)
    } else {
        let below = (1..rows).map(|it| it as f64);
        let harmonic = below.clone().map(|it| 1.0 / it).sum::<f64>();
        (harmonic, below.map(|it| 1.0 / (it * it)).sum::<f64>() + 1.0 / (n * n))
    };
    (harmonic, squares - (2.0 * harmonic + 1.0 / n) / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_their_terms() {
        for rows in [4, 10, MAX_TERMS, MAX_TERMS + 1, 2000] {
            let inner = |it: u64| (it + 1..rows).map(|j| 1.0 / ((rows - it) * j) as f64).sum::<f64>();
            let expected = ((1..rows).map(|it| 1.0 / it as f64).sum::<f64>(), (1..rows - 1).map(inner).sum::<f64>());
            let (h, g) = harmonic_sums(rows);
            assert!(
                (h - expected.0).abs() < 1e-13 * h && (g - expected.1).abs() < 1e-12,
                "{rows}: {h} {g} {expected:?}"
            );
        }
    }

    #[test]
    fn far_tails_and_bad_input() {
        let points = |offset: f64| (0..500).map(|it| (f64::from(it) + offset, 1)).collect::<Vec<_>>();
        let p_value = anderson_darling(&points(0.0), &points(400.0)).unwrap().p_value;
        assert!(p_value < 1e-100 && p_value > 0.0, "{p_value}");
        assert_eq!(anderson_darling(&[(1.0, 9)], &[(1.0, 9)]), Err(Undefined::new(Reason::NoSpread)));
        assert_eq!(anderson_darling(&[(1.0, 1)], &[(2.0, 1)]), Err(Undefined::new(Reason::TooFew)));
        assert_eq!(anderson_darling(&[], &[(2.0, 1)]), Err(Undefined::new(Reason::Empty)));
    }
}
