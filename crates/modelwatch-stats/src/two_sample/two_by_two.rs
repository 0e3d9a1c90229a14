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
    let cell = Cell::new(shares)?;
    if cell.expected() >= LARGE {
        let side = |hits: u64, rows: u64| [hits, rows - hits];
        let reference = side(shares.reference_hits, shares.reference_rows);
        let current = side(shares.current_hits, shares.current_rows);
        return chi2_contingency_with(&reference, &current, Yates::TwoByTwo).map(|it| it.p_value);
    }
    let weights = cell.hypergeometric();
    let own = weights.iter().find(|it| it.0 == cell.count).map_or(0.0, |it| it.1);
    Ok(share_of(&weights, |it| it.1 <= own * TIE))
}

/// Returns the p-value of Fisher's exact test against the alternative that hits are more frequent in the current rows: the probability, given
/// both margins, of at least as many current hits.
///
/// With more than 100,000 expected rows in every cell it is the tail of the normal distribution, corrected for continuity.
/// Undefined as [`fisher_exact`].
///
/// ```
/// use modelwatch_stats::two_sample::{Shares, fisher_exact_greater};
///
/// // Fisher's tea: (16 + 1) / 70.
/// let tea = Shares { reference_hits: 1, reference_rows: 4, current_hits: 3, current_rows: 4 };
/// assert!((fisher_exact_greater(tea).unwrap() - 17.0 / 70.0).abs() < 1e-12);
/// ```
pub fn fisher_exact_greater(shares: Shares) -> Result<f64, Undefined> {
    let cell = Cell::new(shares)?;
    if cell.expected() >= LARGE {
        return Ok(cell.normal_tail());
    }
    Ok(share_of(&cell.hypergeometric(), |it| if cell.is_opposite { it.0 <= cell.count } else { it.0 >= cell.count }))
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

/// The rows of the smaller sample with what fewer rows of both have: the cell of which fewest are expected, so that its counts are exact
/// however many rows there are.
struct Cell {
    count: f64,
    /// Rows of the smaller sample, and of the other one.
    draws: f64,
    rest: f64,
    /// Rows of both that have it.
    hits: f64,
    /// Whether it has fewer rows where the current sample has more hits.
    is_opposite: bool,
}

impl Cell {
    fn new(shares: Shares) -> Result<Self, Undefined> {
        shares.check()?;
        let Shares { reference_hits, reference_rows, current_hits, current_rows } = shares;
        let is_of_reference = reference_rows < current_rows;
        let (own_hits, draws, rest) = if is_of_reference {
            (reference_hits, reference_rows, current_rows)
        } else {
            (current_hits, current_rows, reference_rows)
        };
        let hits = u128::from(reference_hits) + u128::from(current_hits);
        let misses = u128::from(reference_rows) + u128::from(current_rows) - hits;
        let is_of_misses = misses < hits;
        Ok(Self {
            count: if is_of_misses { draws - own_hits } else { own_hits } as f64,
            draws: draws as f64,
            rest: rest as f64,
            hits: misses.min(hits) as f64,
            is_opposite: is_of_reference != is_of_misses,
        })
    }

    fn rows(&self) -> f64 {
        self.draws + self.rest
    }

    fn expected(&self) -> f64 {
        self.draws * (self.hits / self.rows())
    }

    /// The probability of at least as many current hits, of a normal distribution.
    fn normal_tail(&self) -> f64 {
        let rows = self.rows();
        let variance = self.expected() * (1.0 - self.hits / rows) * (self.rest / (rows - 1.0));
        let more = self.count - self.expected();
        normal_sf((if self.is_opposite { -more } else { more } - 0.5) / variance.sqrt())
    }

    /// Weighs the tables, by the rows in the cell, relative to the most likely one, so that no factorial is needed.
    fn hypergeometric(&self) -> Vec<(f64, f64)> {
        let Self { draws, rest, hits, .. } = *self;
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
        weights
    }
}

/// The share of the tables that are meant, by their weights.
fn share_of(weights: &[(f64, f64)], is_meant: impl Fn(&(f64, f64)) -> bool) -> f64 {
    let sum = |weights: &mut dyn Iterator<Item = &(f64, f64)>| weights.map(|it| it.1).sum::<f64>();
    let all = sum(&mut weights.iter());
    (sum(&mut weights.iter().filter(|it| is_meant(it))) / all).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(hits: (u64, u64), rows: (u64, u64)) -> Shares {
        Shares { reference_hits: hits.0, reference_rows: rows.0, current_hits: hits.1, current_rows: rows.1 }
    }

    #[test]
    fn one_sided_p_values_are_those_of_scipy() {
        for (hits, rows, expected) in [
            ((10, 20), (100, 90), 0.017264843639225296),
            ((0, 3), (5, 5), 0.08333333333333333),
            ((300, 280), (1000, 900), 0.3172276153864255),
            ((50, 10), (80, 90), 0.9999999999999286),
            ((0, 0), (5, 5), 1.0),
        ] {
            let found = fisher_exact_greater(shares(hits, rows)).unwrap();
            assert!((found / expected - 1.0).abs() < 1e-12, "{found}, expected {expected}");
        }
    }

    #[test]
    fn the_normal_tail_continues_the_exact_one() {
        for hits in [(200_000, 200_000), (200_000, 200_700), (200_700, 200_000), (320_000, 320_500)] {
            for rows in [(400_000, 400_000), (400_000, 500_000), (500_000, 400_000)] {
                let cell = Cell::new(shares(hits, rows)).unwrap();
                let is_meant = |it: &(f64, f64)| if cell.is_opposite { it.0 <= cell.count } else { it.0 >= cell.count };
                let exact = share_of(&cell.hypergeometric(), is_meant);
                let error = (cell.normal_tail() - exact).abs();
                assert!(error < 1e-5, "{hits:?} {rows:?}: {error} of {exact}");
            }
        }
    }

    #[test]
    fn counts_beyond_all_data_have_a_one_sided_p_value() {
        let half = u64::MAX / 2;
        let even = fisher_exact_greater(shares((half / 2, half / 2), (half, half))).unwrap();
        assert!((even - 0.5).abs() < 1e-6, "{even}");
        assert_eq!(fisher_exact_greater(shares((half / 2, half / 4), (half, half))).unwrap(), 1.0);
        assert_eq!(fisher_exact_greater(shares((half / 4, half / 2), (half, half))).unwrap(), 0.0);
        // Nearly all are hits, and what is counted exactly are the others.
        let few = fisher_exact_greater(shares((half - 10, 1000), (half, 1000))).unwrap();
        assert!(few > 0.99, "{few}");
        assert!(fisher_exact(shares((half - 10, 990), (half, 1000))).unwrap() < 1e-100);
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
