//! The two-sample Kolmogorov–Smirnov test.

use super::{Test, kolmogorov_sf, levels::Levels};
use crate::error::{Reason, Undefined};
use crate::sample::Point;

/// The greatest sample size for which [`ks`] counts paths exactly.
pub const EXACT_LIMIT: u64 = 10_000;

/// Returns the two-sided Kolmogorov–Smirnov test `sup |F - G|`.
///
/// Up to [`EXACT_LIMIT`] rows in the larger sample the p-value is exact for continuous data (Hodges 1957): the share of lattice paths
/// from (0, 0) to (m, n) that leave the band of the statistic. Beyond it is [`ks_asymptotic`]. Ties make both conservative.
/// P-values below about 1e-310 become 0.
///
/// ```
/// use modelwatch_stats::two_sample::ks;
///
/// // {1, 2} against {3, 4}: the statistic is 1, and 2 of the C(4, 2) = 6 orders are as extreme.
/// let test = ks(&[(1.0, 1), (2.0, 1)], &[(3.0, 1), (4.0, 1)]).unwrap();
/// assert_eq!(test.statistic, 1.0);
/// assert!((test.p_value - 1.0 / 3.0).abs() < 1e-15);
/// ```
pub fn ks(reference: &[Point], current: &[Point]) -> Result<Test, Undefined> {
    ks_exact_of(&Levels::new(reference, current)?)
}

/// [`ks`] of merged samples.
pub(crate) fn ks_exact_of(levels: &Levels) -> Result<Test, Undefined> {
    let (m, n) = (levels.m, levels.n);
    if m.max(n) > EXACT_LIMIT {
        return ks_asymptotic_of(levels);
    }
    let gap = greatest_gap(levels);
    let statistic = gap as f64 / (m * n) as f64;
    Ok(Test { statistic, p_value: exact_p_value(m, n, gap as u64) })
}

/// Returns the test with the p-value of the one-sample statistic at `round(m n / (m + n))` rows; undefined where that is none.
///
/// ```
/// use modelwatch_stats::two_sample::ks_asymptotic;
///
/// let same = [(1.0, 500), (2.0, 500)];
/// assert_eq!(ks_asymptotic(&same, &same).unwrap().p_value, 1.0);
/// ```
pub fn ks_asymptotic(reference: &[Point], current: &[Point]) -> Result<Test, Undefined> {
    ks_asymptotic_of(&Levels::new(reference, current)?)
}

/// [`ks_asymptotic`] of merged samples.
pub(crate) fn ks_asymptotic_of(levels: &Levels) -> Result<Test, Undefined> {
    let statistic = statistic_of(levels);
    let (m, n) = (levels.m as f64, levels.n as f64);
    // Half to even, as NumPy rounds; m / (m + n) first, so that nothing overflows.
    let effective = (m.max(n) * (m.min(n) / (m + n))).round_ties_even();
    if effective < 1.0 {
        return Err(Undefined::new(Reason::TooFew));
    }
    Ok(Test { statistic, p_value: kolmogorov_sf(effective as u64, statistic) })
}

/// Returns `sup |F - G|` alone.
///
/// ```
/// use modelwatch_stats::two_sample::ks_statistic;
/// assert_eq!(ks_statistic(&[(0.0, 1), (1.0, 1)], &[(1.0, 4)]), Ok(0.5));
/// ```
pub fn ks_statistic(reference: &[Point], current: &[Point]) -> Result<f64, Undefined> {
    Ok(statistic_of(&Levels::new(reference, current)?))
}

fn statistic_of(levels: &Levels) -> f64 {
    greatest_gap(levels) as f64 / (u128::from(levels.m) * u128::from(levels.n)) as f64
}

/// `m n sup |F - G|`, in whole numbers so that equal distributions give exactly 0.
fn greatest_gap(levels: &Levels) -> u128 {
    let (m, n) = (u128::from(levels.m), u128::from(levels.n));
    let (mut left, mut right) = (0u128, 0u128);
    let gaps = levels.levels.iter().map(|it| {
        left += u128::from(it.reference);
        right += u128::from(it.current);
        (left * n).abs_diff(right * m)
    });
    gaps.max().unwrap_or(0)
}

/// The share of lattice paths from (0, 0) to (m, n) that reach a point with `|i n - j m| >= gap`.
///
/// A uniformly random path to (i, j) came from (i-1, j) with probability i / (i + j), which gives the recursion
/// `P(i, j) = i/(i+j) P(i-1, j) + j/(i+j) P(i, j-1)` with P = 1 outside the band.
/// All terms are positive, so that small probabilities keep their relative accuracy.
fn exact_p_value(m: u64, n: u64, gap: u64) -> f64 {
    let (m, n) = (m.max(n), m.min(n));
    if gap == 0 {
        return 1.0;
    }
    let statistic = gap as f64 / (m * n) as f64;
    let effective = m as f64 * n as f64 / (m + n) as f64;
    if 2.0 * statistic * statistic * effective > 720.0 {
        return 0.0;
    }
    let reciprocals: Vec<f64> = (0..=m + n).map(|it| 1.0 / it.max(1) as f64).collect();
    // Row i holds P(i, j) for the j inside the band; everything else is outside.
    let mut row = vec![1.0f64; n as usize + 1];
    for i in 0..=m {
        // Inside: i n - gap < j m < i n + gap.
        let first = if i * n >= gap { (i * n - gap) / m + 1 } else { 0 };
        let last = ((i * n + gap - 1) / m).min(n);
        if first > last {
            return 1.0;
        }
        let mut before = if first == 0 { 0.0 } else { 1.0 };
        let weight_up = i as f64;
        for j in first..=last {
            let reciprocal = reciprocals[(i + j) as usize];
            let slot = &mut row[j as usize];
            let value = if i + j == 0 { 0.0 } else { (weight_up * *slot + j as f64 * before) * reciprocal };
            *slot = value;
            before = value;
        }
        // Columns that the band has left are outside from now on and are not read again.
    }
    row[n as usize].clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[i32]) -> Vec<Point> {
        values.iter().map(|&it| (f64::from(it), 1)).collect()
    }

    /// Counts arrangements by enumerating all of them.
    fn brute_force(m: usize, n: usize, gap: u64) -> f64 {
        let (mut total, mut extreme) = (0u32, 0u32);
        for mask in 0u32..1 << (m + n) {
            if mask.count_ones() as usize != m {
                continue;
            }
            total += 1;
            let (mut i, mut j, mut worst) = (0u64, 0u64, 0u64);
            for bit in 0..m + n {
                if mask >> bit & 1 == 1 {
                    i += 1
                } else {
                    j += 1
                }
                worst = worst.max((i * n as u64).abs_diff(j * m as u64));
            }
            extreme += u32::from(worst >= gap);
        }
        f64::from(extreme) / f64::from(total)
    }

    #[test]
    fn exact_p_values_equal_enumeration() {
        for m in 1..=7u64 {
            for n in 1..=6u64 {
                for gap in 0..=m * n {
                    let expected = brute_force(m as usize, n as usize, gap);
                    let found = exact_p_value(m, n, gap);
                    assert!((found - expected).abs() < 1e-13, "{m} {n} {gap}: {found} against {expected}");
                }
            }
        }
    }

    #[test]
    fn infinities_rank_and_bad_input_is_undefined() {
        let test = ks(&[(f64::NEG_INFINITY, 1), (1.0, 1)], &[(1.0, 1), (f64::INFINITY, 1)]).unwrap();
        assert_eq!(test.statistic, 0.5);
        assert_eq!(ks(&[], &points(&[1])), Err(Undefined::new(Reason::Empty)));
        assert_eq!(ks(&[(f64::NAN, 1)], &points(&[1])), Err(Undefined::new(Reason::NotANumber)));
        assert_eq!(ks(&points(&[2, 1]), &points(&[1])), Err(Undefined::new(Reason::NotSorted)));
        assert_eq!(ks(&[(1.0, u64::MAX), (2.0, 1)], &points(&[1])), Err(Undefined::new(Reason::Overflow)));
    }

    #[test]
    fn huge_weighted_samples_are_answered() {
        let test = ks(&[(0.0, 1 << 40), (1.0, 1 << 40)], &[(0.0, 1 << 40), (1.0, (1 << 40) + 1_000_000)]).unwrap();
        assert!(test.p_value > 0.5 && test.p_value <= 1.0, "{test:?}");
    }
}
