//! Tests on ranks: Mann–Whitney for a shift, Mood for a change of spread.

use super::{Test, levels::Levels, tails::normal_sf};
use crate::error::Undefined;
use crate::sample::Point;

/// Up to this size of the smaller sample, and without ties, [`MannWhitney::Auto`] counts orders exactly.
const EXACT_LIMIT: u64 = 8;

/// The greatest product of sizes for which orders are counted.
const MAX_PAIRS: u64 = 100_000;

/// How the p-value is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MannWhitney {
    /// Exact for at most 8 rows in the smaller sample without ties, else asymptotic; what SciPy does.
    Auto,
    /// The normal distribution, corrected for ties and continuity.
    Asymptotic,
}

/// Which differences count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alternative {
    /// Any shift.
    TwoSided,
    /// The reference tends to smaller values.
    Less,
}

/// Returns the Mann–Whitney U test (1947); the statistic is U of the reference, ties counting one half.
///
/// ```
/// use modelwatch_stats::two_sample::{Alternative, MannWhitney, mann_whitney};
///
/// // {1, 2} against {3, 4}: no reference row is greater, and 2 of 6 orders are as extreme.
/// let (left, right) = ([(1.0, 1), (2.0, 1)], [(3.0, 1), (4.0, 1)]);
/// let test = mann_whitney(&left, &right, Alternative::TwoSided, MannWhitney::Auto).unwrap();
/// assert_eq!(test.statistic, 0.0);
/// assert!((test.p_value - 1.0 / 3.0).abs() < 1e-15);
/// ```
pub fn mann_whitney(
    reference: &[Point],
    current: &[Point],
    alternative: Alternative,
    method: MannWhitney,
) -> Result<Test, Undefined> {
    Ok(mann_whitney_of(&Levels::new(reference, current)?, alternative, method))
}

/// [`mann_whitney`] of merged samples.
pub(crate) fn mann_whitney_of(levels: &Levels, alternative: Alternative, method: MannWhitney) -> Test {
    let (m, n) = (levels.m as f64, levels.n as f64);
    let (mut rank_sum, mut ties) = (0.0, 0.0);
    for it in levels.ranked() {
        rank_sum += it.reference * it.rank;
        ties += it.both * (it.both * it.both - 1.0);
    }
    let statistic = rank_sum - m * (m + 1.0) / 2.0;
    let other = m * n - statistic;
    let (u, sides) = match alternative {
        Alternative::TwoSided => (statistic.max(other), 2.0),
        Alternative::Less => (other, 1.0),
    };
    let is_small = levels.m.min(levels.n) <= EXACT_LIMIT && levels.m.saturating_mul(levels.n) <= MAX_PAIRS;
    let tail = if method == MannWhitney::Auto && is_small && !levels.has_ties() {
        exact_tail(levels.m, levels.n, u as u64)
    } else {
        let rows = m + n;
        let deviation = (m * n / 12.0 * (rows + 1.0 - ties / (rows * (rows - 1.0)))).sqrt();
        let excess = u - m * n / 2.0 - 0.5;
        if deviation > 0.0 { normal_sf(excess / deviation) } else { 1.0 }
    };
    Test { statistic, p_value: (tail * sides).min(1.0) }
}

/// Returns Mood's test for a difference of spread (Mood 1954), two-sided; the statistic is standard normal.
///
/// The score of a row is the squared distance of its rank from the middle, averaged over ties; mean and variance are those over
/// all ways of dealing the rows to the samples, so that ties need no further correction.
/// A single level is statistic 0 and p-value 1.
///
/// ```
/// use modelwatch_stats::two_sample::mood;
///
/// let narrow: Vec<_> = (0..40).map(|it| (50.0 + f64::from(it) / 4.0, 1)).collect();
/// let wide: Vec<_> = (0..40).map(|it| (35.0 + f64::from(it), 1)).collect();
/// assert!(mood(&narrow, &wide).unwrap().p_value < 1e-6);
/// ```
pub fn mood(reference: &[Point], current: &[Point]) -> Result<Test, Undefined> {
    let levels = Levels::new(reference, current)?;
    let rows = levels.total() as f64;
    let middle = (rows + 1.0) / 2.0;
    // The average of (rank - middle)² over the ranks of a level, in units of rows².
    let unit = 1.0 / (rows * rows);
    let score = |rank: f64, both: f64| ((rank - middle).powi(2) + (both * both - 1.0) * (1.0 / 12.0)) * unit;
    let mean = levels.ranked().map(|it| score(it.rank, it.both) * it.both).sum::<f64>() / rows;
    let (mut sum, mut squares) = (0.0, 0.0);
    for it in levels.ranked() {
        let deviation = score(it.rank, it.both) - mean;
        sum += deviation * it.reference;
        squares += deviation * deviation * it.both;
    }
    let (m, n) = (levels.m as f64, levels.n as f64);
    let variance = squares / (rows - 1.0) * (m * n / rows);
    if variance.is_nan() || variance <= 0.0 {
        return Ok(Test { statistic: 0.0, p_value: 1.0 });
    }
    let statistic = sum / variance.sqrt();
    Ok(Test { statistic, p_value: (2.0 * normal_sf(statistic.abs())).min(1.0) })
}

/// The share of orders with `U >= u`, by counting partitions into at most `m` parts of at most `n`.
fn exact_tail(m: u64, n: u64, u: u64) -> f64 {
    let pairs = (m * n) as usize;
    // Gauss' binomial coefficient: times (1 - q^(n + i)), over (1 - q^i).
    let mut counts = vec![0.0f64; pairs + 1];
    counts[0] = 1.0;
    for i in 1..=m as usize {
        for at in (n as usize + i..=pairs).rev() {
            counts[at] -= counts[at - n as usize - i];
        }
        for at in i..=pairs {
            counts[at] += counts[at - i];
        }
    }
    let total: f64 = counts.iter().sum();
    // The distribution is symmetric, and the short sum is the accurate one.
    let last = pairs - u as usize;
    counts[..=last].iter().sum::<f64>() / total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reason;

    #[test]
    fn a_shift_is_seen_in_both_directions_and_one_level_is_no_difference() {
        let points = |offset: f64| (0..100).map(|it| (f64::from(it) + offset, 1)).collect::<Vec<_>>();
        let p = |offset, alternative| {
            mann_whitney(&points(0.0), &points(offset), alternative, MannWhitney::Auto).unwrap().p_value
        };
        assert!((p(30.5, Alternative::TwoSided) / p(-30.5, Alternative::TwoSided) - 1.0).abs() < 1e-9);
        assert!(p(30.5, Alternative::Less) < 1e-6 && p(-30.5, Alternative::Less) > 0.999);
        let same = mann_whitney(&[(1.0, 5)], &[(1.0, 7)], Alternative::TwoSided, MannWhitney::Auto).unwrap();
        assert_eq!((same.statistic, same.p_value), (17.5, 1.0));
        assert_eq!(mood(&[(1.0, 5)], &[(1.0, 7)]).unwrap().p_value, 1.0);
        assert_eq!(mood(&[], &[(1.0, 7)]), Err(Undefined::new(Reason::Empty)));
    }

    #[test]
    fn exact_tails_are_those_of_mann_and_whitney() {
        // Mann & Whitney (1947), table I: for n = 5 and m = 4, P(U <= 3) = 0.056 and P(U <= 10) = 0.548.
        assert!((exact_tail(4, 5, 17) - 0.056).abs() < 5e-4);
        assert!((exact_tail(4, 5, 10) - 0.548).abs() < 5e-4);
    }
}
