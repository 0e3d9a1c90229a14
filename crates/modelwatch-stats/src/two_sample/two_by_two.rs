//! Tests for a difference of two shares.

use super::{Test, Yates, chi2_contingency_with, tails::normal_sf};
use crate::error::{Reason, Undefined};

/// From so many expected rows in every cell on, the χ² distribution is near enough, however far in the tail.
const LARGE: f64 = 100_000.0;

/// Equal probabilities differ by rounding.
const TIE: f64 = 1.0 + 1e-7;

/// Rows of two samples, and how many of them have what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Reference rows that have it.
    pub reference_hits: u64,
    /// Reference rows.
    pub reference_rows: u64,
    /// Current rows that have it.
    pub current_hits: u64,
    /// Current rows.
    pub current_rows: u64,
}

/// Returns the two-sided p-value of Fisher's exact test (Fisher 1935): the probability, given both margins, of all tables at most as
/// likely as this one.
///
/// With more than 100,000 expected rows in every cell it is the χ² test with Yates' correction.
/// Undefined where a side has no rows, or more hits than rows.
///
/// ```
/// use modelwatch_stats::two_sample::{Shares, fisher_exact};
///
/// // Fisher's tea: (1 + 16 + 16 + 1) / 70.
/// let tea = Shares { reference_hits: 3, reference_rows: 4, current_hits: 1, current_rows: 4 };
/// assert!((fisher_exact(tea).unwrap() - 34.0 / 70.0).abs() < 1e-12);
/// ```
pub fn fisher_exact(shares: Shares) -> Result<f64, Undefined> {
    shares.check()?;
    let (m, n) = (shares.reference_rows as f64, shares.current_rows as f64);
    let (hits, rows) = (shares.reference_hits as f64 + shares.current_hits as f64, m + n);
    let rarer = hits.min(rows - hits);
    if rarer <= 0.0 {
        return Ok(1.0);
    }
    if m.min(n) * rarer / rows >= LARGE {
        let side = |hits: u64, rows: u64| [hits, rows - hits];
        let reference = side(shares.reference_hits, shares.reference_rows);
        let current = side(shares.current_hits, shares.current_rows);
        return chi2_contingency_with(&reference, &current, Yates::TwoByTwo).map(|it| it.p_value);
    }
    Ok(hypergeometric(m, n, hits, shares.reference_hits as f64))
}

/// Returns the z test of two shares with the pooled variance, two-sided; the statistic is standard normal.
///
/// Equal shares of 0 or of 1 are statistic 0 and p-value 1. Undefined as [`fisher_exact`].
///
/// ```
/// use modelwatch_stats::two_sample::{Shares, z_test};
///
/// let test = z_test(Shares { reference_hits: 10, reference_rows: 30, current_hits: 20, current_rows: 30 }).unwrap();
/// // The square is Pearson's χ², 20 / 3.
/// assert!((test.statistic * test.statistic - 20.0 / 3.0).abs() < 1e-12);
/// ```
pub fn z_test(shares: Shares) -> Result<Test, Undefined> {
    shares.check()?;
    let (m, n) = (shares.reference_rows as f64, shares.current_rows as f64);
    let (left, right) = (shares.reference_hits as f64 / m, shares.current_hits as f64 / n);
    if left == right {
        return Ok(Test { statistic: 0.0, p_value: 1.0 });
    }
    let pooled = (shares.reference_hits as f64 + shares.current_hits as f64) / (m + n);
    let statistic = (left - right) / (pooled * (1.0 - pooled) * (1.0 / m + 1.0 / n)).sqrt();
    Ok(Test { statistic, p_value: (2.0 * normal_sf(statistic.abs())).min(1.0) })
}

impl Shares {
    fn check(&self) -> Result<(), Undefined> {
        if self.reference_rows == 0 || self.current_rows == 0 {
            return Err(Undefined::new(Reason::Empty));
        }
        if self.reference_hits > self.reference_rows || self.current_hits > self.current_rows {
            return Err(Undefined::new(Reason::OutOfRange));
        }
        Ok(())
    }
}

/// Weighs the tables relative to the most likely one, so that no factorial is needed.
fn hypergeometric(draws: f64, rest: f64, hits: f64, observed: f64) -> f64 {
    let (least, greatest) = ((hits - rest).max(0.0), hits.min(draws));
    let mode = (((draws + 1.0) * (hits + 1.0)) / (draws + rest + 2.0)).floor().clamp(least, greatest);
    // P(k + 1) / P(k) of the hypergeometric distribution.
    let step_up = |k: f64| (hits - k) * (draws - k) / ((k + 1.0) * (rest - hits + k + 1.0));
    let mut weights = vec![(mode, 1.0f64)];
    let (mut k, mut weight) = (mode, 1.0f64);
    while k < greatest && weight > 0.0 {
        weight *= step_up(k);
        k += 1.0;
        weights.push((k, weight));
    }
    (k, weight) = (mode, 1.0);
    while k > least && weight > 0.0 {
        k -= 1.0;
        weight /= step_up(k);
        weights.push((k, weight));
    }
    let own = weights.iter().find(|it| it.0 == observed).map_or(0.0, |it| it.1);
    let all: f64 = weights.iter().map(|it| it.1).sum();
    let extreme: f64 = weights.iter().filter(|it| it.1 <= own * TIE).map(|it| it.1).sum();
    (extreme / all).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(hits: (u64, u64), rows: (u64, u64)) -> Shares {
        Shares { reference_hits: hits.0, reference_rows: rows.0, current_hits: hits.1, current_rows: rows.1 }
    }

    #[test]
    fn p_values_are_those_of_fisher() {
        // 17/35 and 1/51 come from the hypergeometric formula.
        let cases = [
            ((3, 1), (4, 4), 34.0 / 70.0),
            ((4, 0), (4, 4), 2.0 / 70.0),
            ((0, 1), (5000, 100), 100.0 / 5100.0),
            ((0, 0), (10, 10), 1.0),
            ((10, 10), (10, 10), 1.0),
            ((5, 5), (10, 10), 1.0),
        ];
        for (hits, rows, expected) in cases {
            let p_value = fisher_exact(shares(hits, rows)).unwrap();
            assert!((p_value - expected).abs() < 1e-9, "{hits:?} {rows:?}: {p_value}");
        }
    }

    #[test]
    fn large_tables_are_quick_and_extreme_ones_do_not_fail() {
        assert!(fisher_exact(shares((10_000, 20_000), (1_000_000, 1_000_000))).unwrap() < 1e-300);
        assert!(fisher_exact(shares((1_000_000, 1_010_000), (4_000_000, 4_000_000))).unwrap() < 1e-10);
        assert!(fisher_exact(shares((0, 400), (1000, 1000))).unwrap() < 1e-100);
        assert!(fisher_exact(shares((0, 90), (u64::MAX / 4, 100))).unwrap() < 1e-100);
    }

    #[test]
    fn impossible_shares_are_undefined() {
        for test in [fisher_exact, |it| z_test(it).map(|it| it.p_value)] {
            assert_eq!(test(shares((0, 0), (0, 5))), Err(Undefined::new(Reason::Empty)));
            assert_eq!(test(shares((6, 0), (5, 5))), Err(Undefined::new(Reason::OutOfRange)));
            assert_eq!(test(shares((5, 5), (5, 5))), Ok(1.0));
        }
    }
}
