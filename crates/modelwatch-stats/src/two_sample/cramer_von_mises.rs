//! The two-sample Cramér–von Mises test.

use std::collections::BTreeMap;

use super::{
    Test,
    levels::Levels,
    tails::cramer_von_mises_sf,
    tied::{TiedSquares, has_ties, tied_p_value},
};
use crate::error::{Reason, Undefined};
use crate::sample::Point;

/// The greatest sample size for which [`cramer_von_mises`] counts orders exactly.
const EXACT_LIMIT: u64 = 20;

/// The greatest number of rows whose squares of ranks are summed exactly.
const MAX_ROWS: u64 = 1 << 31;

/// How the p-value is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CramerVonMises {
    /// Exact for up to 20 rows in the larger sample, else asymptotic.
    Auto,
    /// From the limit distribution, with its mean and variance fitted to the sizes.
    Asymptotic,
}

/// Returns the two-sample Cramér–von Mises test (Anderson 1962), with average ranks for ties.
///
/// `T = U / (mn (m + n)) - (4mn - 1) / (6 (m + n))` with `U = m Σ (rank - i)² + n Σ (rank - j)²`.
/// A single level shared by all rows is statistic 0 and p-value 1: nothing differs.
/// Undefined beyond 2^31 rows.
///
/// ```
/// use modelwatch_stats::two_sample::{CramerVonMises, cramer_von_mises};
///
/// // {1, 2} against {3, 4}: U = 2 (0 + 0) + 2 (4 + 4), T = 16 / 16 - 15 / 24.
/// let test = cramer_von_mises(&[(1.0, 1), (2.0, 1)], &[(3.0, 1), (4.0, 1)], CramerVonMises::Auto).unwrap();
/// assert!((test.statistic - 0.375).abs() < 1e-15);
/// assert!((test.p_value - 1.0 / 3.0).abs() < 1e-15);
/// ```
pub fn cramer_von_mises(reference: &[Point], current: &[Point], method: CramerVonMises) -> Result<Test, Undefined> {
    let ranks = RankSquares::new(reference, current)?;
    if ranks.is_one_level {
        return Ok(Test { statistic: 0.0, p_value: 1.0 });
    }
    let is_exact = method == CramerVonMises::Auto && ranks.m.max(ranks.n) <= EXACT_LIMIT;
    let p_value = if is_exact { ranks.exact_p_value() } else { cramer_von_mises_sf(ranks.standardized()) };
    Ok(Test { statistic: ranks.statistic(), p_value })
}

/// Returns the same test, right also where values come more than once: there the ranks of [`cramer_von_mises`], which are SciPy's, count
/// ties as differences where the samples have different sizes.
///
/// Without ties it is that. With ties the statistic is `mn / N² Σ c D²` over all levels, where c is how many rows of both are at the level
/// and D the difference of the shares of both samples up to its middle, and the p-value is of the limit with the mean and variance that this
/// has. Two values are compared by Fisher's exact test, and where few rows of the smaller sample are beside a value of more than a tenth of
/// all, Kolmogorov-Smirnov answers.
///
/// ```
/// use modelwatch_stats::two_sample::{CramerVonMises, Levels, cramer_von_mises, cramer_von_mises_tied};
///
/// // 5 rows of 2,000 against 4 of 1,500.
/// let (left, right) = ([(0.0, 1995), (1.0, 5)], [(0.0, 1496), (1.0, 4)]);
/// let test = cramer_von_mises_tied(&left, &right, &Levels::new(&left, &right).unwrap()).unwrap();
/// assert_eq!(test.p_value, 1.0);
/// assert!(cramer_von_mises(&left, &right, CramerVonMises::Auto).unwrap().p_value < 1e-50);
/// ```
pub fn cramer_von_mises_tied(reference: &[Point], current: &[Point], levels: &Levels) -> Result<Test, Undefined> {
    if levels.levels.len() < 2 || !has_ties(levels) {
        return cramer_von_mises(reference, current, CramerVonMises::Auto);
    }
    let squares = TiedSquares::new(levels, |share, _| share);
    // Small samples vary as much less with ties as without.
    let variance = squares.variance * 45.0 * limit_variance(levels.m as f64, levels.n as f64);
    let limit = |it: f64| cramer_von_mises_sf(1.0 / 6.0 + it / 45f64.sqrt());
    let p_value = tied_p_value(levels, TiedSquares { variance, ..squares }, limit)?;
    Ok(Test { statistic: squares.statistic, p_value })
}

/// Returns the p-value of the limit distribution where values come more than once: the difference of the shares grows evenly through
/// the rows of a level, as if ties were broken so, and the result is a little too great. The ranks of [`cramer_von_mises`], which are
/// SciPy's, count ties as differences where one sample is larger.
pub(crate) fn cramer_von_mises_of(levels: &Levels) -> f64 {
    let (m, n, rows) = (levels.m as f64, levels.n as f64, levels.total() as f64);
    let (mut sum, mut before) = (0.0, 0.0);
    let (mut left, mut right) = (0u64, 0u64);
    for level in &levels.levels {
        left += level.reference;
        right += level.current;
        let after = left as f64 / m - right as f64 / n;
        let both = level.both();
        let square = if both == 1 { after * after } else { (before * before + before * after + after * after) / 3.0 };
        sum += square * both as f64;
        before = after;
    }
    cramer_von_mises_sf(standardized(m * n / (rows * rows) * sum, m, n))
}

/// Returns the statistic with the mean and variance of its limit.
fn standardized(statistic: f64, m: f64, n: f64) -> f64 {
    let mean = (1.0 + 1.0 / (m + n)) / 6.0;
    1.0 / 6.0 + (statistic - mean) / (45.0 * limit_variance(m, n)).sqrt()
}

/// The variance of the statistic of continuous samples of these sizes; 1/45 in the limit.
fn limit_variance(m: f64, n: f64) -> f64 {
    let (k, rows) = (m * n, m + n);
    (rows + 1.0) * (4.0 * k * rows - 3.0 * (m * m + n * n) - 2.0 * k) / (45.0 * rows * rows * 4.0 * k)
}

/// The squared differences of ranks behind the statistic.
pub(crate) struct RankSquares {
    pub(crate) m: u64,
    pub(crate) n: u64,
    pub(crate) is_one_level: bool,
    /// Four times `U`, a whole number.
    u4: i128,
}

impl RankSquares {
    pub(crate) fn new(reference: &[Point], current: &[Point]) -> Result<Self, Undefined> {
        let levels = Levels::new(reference, current)?;
        if levels.total() > MAX_ROWS {
            return Err(Undefined::new(Reason::Overflow));
        }
        let (mut u4, mut before_left, mut before_right) = (0i128, 0i128, 0i128);
        for level in &levels.levels {
            let (left, right) = (i128::from(level.reference), i128::from(level.current));
            // Σ over i = 1..=count of (2 shift - 2i)², where the average rank minus the place is `shift - i`.
            let squares = |count: i128, others_before: i128| {
                let shift2 = 2 * others_before + left + right + 1;
                count * shift2 * shift2 - 2 * shift2 * count * (count + 1)
                    + 2 * count * (count + 1) * (2 * count + 1) / 3
            };
            u4 += i128::from(levels.m) * squares(left, before_right);
            u4 += i128::from(levels.n) * squares(right, before_left);
            before_left += left;
            before_right += right;
        }
        Ok(Self { m: levels.m, n: levels.n, is_one_level: levels.levels.len() == 1, u4 })
    }

    pub(crate) fn statistic(&self) -> f64 {
        let (k, rows) = (i128::from(self.m) * i128::from(self.n), i128::from(self.m + self.n));
        // One subtraction of whole numbers, so that nothing cancels.
        (6 * self.u4 - 4 * k * (4 * k - 1)) as f64 / (24 * k * rows) as f64
    }

    /// Returns the statistic with the mean and variance of its limit.
    pub(crate) fn standardized(&self) -> f64 {
        standardized(self.statistic(), self.m as f64, self.n as f64)
    }

    /// Returns the share of all orders whose statistic is at least as great (Xiao, Gordon & Yakovlev 2006).
    pub(crate) fn exact_p_value(&self) -> f64 {
        let (m, n) = (i128::from(self.m), i128::from(self.n));
        let lcm = m / gcd(m, n) * n;
        let (step_left, step_right, k) = (lcm / m, lcm / n, m * n);
        let least = (lcm * lcm * (m + n) * (6 * self.u4 - 4 * k * (4 * k - 1))).div_euclid(24 * k * k);
        // Per number of reference rows so far: how many paths have which sum of squared differences.
        let mut columns: Vec<BTreeMap<i128, f64>> = vec![BTreeMap::new(); m as usize + 1];
        for right in 0..=n {
            let mut below: BTreeMap<i128, f64> = BTreeMap::new();
            for (left, column) in columns.iter_mut().enumerate() {
                if right == 0 && left == 0 {
                    column.insert(0, 1.0);
                }
                for (sum, count) in below {
                    *column.entry(sum).or_insert(0.0) += count;
                }
                let square = (step_left * left as i128 - step_right * right).pow(2);
                *column = column.iter().map(|(sum, count)| (sum + square, *count)).collect();
                below = column.clone();
            }
        }
        let last = &columns[m as usize];
        last.range(least..).map(|it| it.1).sum::<f64>() / last.values().sum::<f64>()
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degenerate_samples_are_answered_or_undefined() {
        let test = |left: &[Point], right: &[Point]| cramer_von_mises(left, right, CramerVonMises::Auto);
        assert_eq!(test(&[(2.0, 500)], &[(2.0, 400)]), Ok(Test { statistic: 0.0, p_value: 1.0 }));
        assert_eq!(test(&[], &[(2.0, 1)]), Err(Undefined::new(Reason::Empty)));
        assert_eq!(test(&[(f64::NAN, 1)], &[(2.0, 1)]), Err(Undefined::new(Reason::NotANumber)));
        assert_eq!(test(&[(1.0, 1 << 32)], &[(2.0, 1)]), Err(Undefined::new(Reason::Overflow)));
        assert!(test(&[(1.0, 1 << 29)], &[(2.0, 1 << 29)]).unwrap().p_value < 1e-300);
    }

    #[test]
    fn ties_are_no_difference_where_samples_have_different_sizes() {
        let tied = |rows: u64| (0..13).map(|it| (f64::from(it), rows)).collect::<Vec<_>>();
        let levels = Levels::new(&tied(400), &tied(8)).unwrap();
        assert_eq!(cramer_von_mises_of(&levels), 1.0);
        // Without ties it is the same.
        let points = |offset: f64| (0..300).map(|it| (f64::from(it) + offset, 1)).collect::<Vec<_>>();
        let levels = Levels::new(&points(0.0), &points(30.5)).unwrap();
        let other = cramer_von_mises(&points(0.0), &points(30.5), CramerVonMises::Asymptotic).unwrap().p_value;
        assert!((cramer_von_mises_of(&levels) / other - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_limit_is_near_the_exact_distribution() {
        let points = |offset: f64| (0..20).map(|it| (f64::from(it) + offset, 1)).collect::<Vec<_>>();
        let exact = cramer_von_mises(&points(0.0), &points(5.5), CramerVonMises::Auto).unwrap().p_value;
        let limit = cramer_von_mises(&points(0.0), &points(5.5), CramerVonMises::Asymptotic).unwrap().p_value;
        assert!((exact / limit - 1.0).abs() < 0.1, "{exact} {limit}");
    }
}
