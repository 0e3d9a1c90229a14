//! The Anderson–Darling test for two samples.

use super::{Test, levels::Levels, tails::anderson_darling_sf};
use crate::error::{Reason, Undefined};
use crate::sample::Point;

/// The greatest number of rows for which the sums over whole numbers are taken term by term.
const MAX_TERMS: u64 = 100_000;

/// Returns the two-sample Anderson–Darling test with average ranks for ties (Scholz & Stephens 1987, eq. 7).
///
/// The statistic is standardized by its mean and standard deviation, as SciPy's `anderson_ksamp`.
/// The p-value is that of the limit distribution at the statistic with the limit's mean and standard deviation; unlike
/// SciPy's it is neither cut at 0.001 nor at 0.25.
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
    Ok(Test { statistic, p_value: anderson_darling_sf(1.0 + LIMIT_DEVIATION * statistic) })
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

/// `Σ 1/i` for `i < rows`, and `Σ_i Σ_{j > i} 1 / ((rows - i) j)`.
fn harmonic_sums(rows: u64) -> (f64, f64) {
    if rows > MAX_TERMS {
        // Euler's constant and π²/6, with the first terms of their expansions.
        let n = rows as f64;
        let h = n.ln() + 0.577_215_664_901_532_9 - 1.0 / (2.0 * n);
        return (h, std::f64::consts::PI.powi(2) / 6.0 - (2.0 * h + 1.0) / n);
    }
    let (mut harmonic, mut g) = (0.0, 0.0);
    for it in 2..rows {
        // SciPy's order: 1/(rows-1), 1/(rows-2), …, 1/2, each partial sum over 2, 3, ….
        harmonic += 1.0 / (rows + 1 - it) as f64;
        g += harmonic / it as f64;
    }
    (harmonic + 1.0, g)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_for_many_rows_continue_those_for_few() {
        let (h, g) = harmonic_sums(MAX_TERMS);
        let (h_next, g_next) = harmonic_sums(MAX_TERMS + 1);
        assert!((h - h_next).abs() < 2e-5 && (g - g_next).abs() < 1e-6, "{h} {h_next} {g} {g_next}");
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
