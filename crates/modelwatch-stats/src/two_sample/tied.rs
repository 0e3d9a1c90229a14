//! Tests by squared differences of average ranks, where values come more than once.
//!
//! Limits of such statistics are for continuous samples. Ties change their mean and their variance: with two values, a tenth of all samples
//! that do not differ would be beyond the twentieth of Anderson and Darling's limit.

use super::{
    Shares, fisher_exact,
    levels::{Level, Levels},
    omnibus::{MIN_SPREAD_ROWS, NEARLY_CONTINUOUS, ks_of, most_frequent, rows_beside, share_of},
    tails::chi_squared_sf,
};
use crate::error::Undefined;

/// Whether a value comes more than once.
pub(super) fn has_ties(levels: &Levels) -> bool {
    (levels.levels.len() as u64) < levels.total()
}

/// `Σ w D²` over all levels, where D is the difference of the shares of both samples up to the middle of the level, with what is expected of
/// it where all rows are dealt at random.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TiedSquares {
    /// Times `mn (N - 1) / N²`, by which its mean is the limit's.
    pub(super) statistic: f64,
    pub(super) mean: f64,
    /// Of the limit, a sum of weighted χ².
    pub(super) variance: f64,
}

impl TiedSquares {
    /// Given what a level weighs by its share of all rows and by the variance of D at it.
    pub(super) fn new(levels: &Levels, weight: impl Fn(f64, f64) -> f64) -> Self {
        let (m, n, rows) = (levels.m as f64, levels.n as f64, levels.total() as f64);
        let (mut left, mut right) = (0u64, 0u64);
        let (mut sum, mut mean, mut squares, mut products) = (0.0, 0.0, 0.0, 0.0);
        // Of the levels below: Σ w c², as the covariance of two levels is c (1 - c'), with the places c of their middles.
        let mut below = 0.0;
        for level in &levels.levels {
            let share = level.both() as f64 / rows;
            let middle = ((left + right) as f64 + level.both() as f64 / 2.0) / rows;
            let variance = middle * (1.0 - middle) - share / 4.0;
            let weight = weight(share, variance);
            let difference =
                (left as f64 + level.reference as f64 / 2.0) / m - (right as f64 + level.current as f64 / 2.0) / n;
            sum += weight * difference * difference;
            mean += weight * variance;
            squares += (weight * variance) * (weight * variance);
            products += weight * (1.0 - middle) * (1.0 - middle) * below;
            below += weight * middle * middle;
            left += level.reference;
            right += level.current;
        }
        let statistic = m / rows * n / rows * (rows - 1.0) * sum;
        Self { statistic, mean, variance: 2.0 * (squares + 2.0 * products) }
    }

    fn standardized(self) -> f64 {
        (self.statistic - self.mean) / self.variance.sqrt()
    }
}

/// Returns the p-value of the squares, given that of a standardized statistic of continuous samples.
///
/// With many levels the limit has the shape of that, and with few that of a single χ², so that the greater of both p-values is taken:
/// near 0.05 they are the same, and at 1e-4 they differ by a tenth. Two values are compared by Fisher's exact test. Where few rows of the
/// smaller sample are beside a value of more than a tenth of all, no limit holds, and Kolmogorov-Smirnov answers.
pub(super) fn tied_p_value(
    levels: &Levels,
    squares: TiedSquares,
    continuous: impl Fn(f64) -> f64,
) -> Result<f64, Undefined> {
    if let &[one, _] = levels.levels.as_slice() {
        return share_p_value(levels, one);
    }
    let has_few = |it: Level| share_of(levels, it) > NEARLY_CONTINUOUS && rows_beside(levels, it) < MIN_SPREAD_ROWS;
    if most_frequent(levels).is_none_or(has_few) {
        return Ok(ks_of(levels)?.p_value);
    }
    let standardized = squares.standardized();
    let of_one = chi_squared_sf(1.0 + std::f64::consts::SQRT_2 * standardized, 1.0);
    Ok(continuous(standardized).max(of_one))
}

/// Returns Fisher's p-value for the share of rows at a level.
pub(super) fn share_p_value(levels: &Levels, level: Level) -> Result<f64, Undefined> {
    fisher_exact(Shares {
        reference_hits: level.reference,
        reference_rows: levels.m,
        current_hits: level.current,
        current_rows: levels.n,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All dealings of so many rows to the reference.
    fn dealings(levels: &[u64], rows: u64) -> Vec<(Vec<u64>, f64)> {
        let Some((first, rest)) = levels.split_first() else {
            return if rows == 0 { vec![(Vec::new(), 1.0)] } else { Vec::new() };
        };
        let choose = |n: u64, k: u64| (0..k).fold(1.0, |it, at| it * (n - at) as f64 / (at + 1) as f64);
        let of = |own: u64| {
            let more = dealings(rest, rows - own);
            more.into_iter().map(move |(it, ways)| ([&[own], it.as_slice()].concat(), ways * choose(*first, own)))
        };
        (0..=(*first).min(rows)).flat_map(of).collect()
    }

    #[test]
    fn mean_and_variance_are_those_of_all_dealings() {
        let weights: [fn(f64, f64) -> f64; 2] = [|share, _| share, |share, variance| share / variance];
        for (both, m) in [(vec![30, 20, 10], 30), (vec![60, 20], 40), (vec![12, 12, 12, 12], 24)] {
            let all = dealings(&both, m);
            for weight in weights {
                let found = |own: &[u64]| {
                    let level =
                        |(at, it): (usize, &u64)| Level { value: at as f64, reference: *it, current: both[at] - it };
                    let n = both.iter().sum::<u64>() - m;
                    let levels = Levels { levels: own.iter().enumerate().map(level).collect(), m, n };
                    TiedSquares::new(&levels, weight)
                };
                let ways: f64 = all.iter().map(|it| it.1).sum();
                let mean = all.iter().map(|(own, it)| found(own).statistic * it / ways).sum::<f64>();
                let squares = all.iter().map(|(own, it)| found(own).statistic.powi(2) * it / ways).sum::<f64>();
                let expected = found(&all[0].0);
                assert!((mean / expected.mean - 1.0).abs() < 1e-9, "{both:?}: {mean} {expected:?}");
                // The variance is that of the limit.
                let variance = squares - mean * mean;
                assert!((variance / expected.variance - 1.0).abs() < 0.1, "{both:?}: {variance} {expected:?}");
            }
        }
    }

    #[test]
    fn without_ties_they_are_those_of_the_limits() {
        let levels = (0..20_000).map(|it| Level { value: f64::from(it), reference: 1, current: 0 }).collect();
        let levels = Levels { levels, m: 10_000, n: 10_000 };
        let found = TiedSquares::new(&levels, |share, _| share);
        assert!((found.mean * 6.0 - 1.0).abs() < 1e-3 && (found.variance * 45.0 - 1.0).abs() < 1e-3, "{found:?}");
        let found = TiedSquares::new(&levels, |share, variance| share / variance);
        let expected = 2.0 * (std::f64::consts::PI.powi(2) / 3.0 - 3.0);
        assert!((found.mean - 1.0).abs() < 1e-9 && (found.variance / expected - 1.0).abs() < 1e-2, "{found:?}");
    }
}
