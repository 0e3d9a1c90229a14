//! One test for any difference between two numeric samples, chosen by what the samples are.

use super::{
    Alternative, MannWhitney, Shares, Test, fisher_exact, ks, ks_asymptotic, levels::Levels, mann_whitney, mood,
};
use crate::error::Undefined;
use crate::sample::Point;

/// Up to so many pairs of rows, the exact p-value of Kolmogorov and Smirnov is worth its time; it is within a few percent of the
/// other there.
const MAX_EXACT_PAIRS: u64 = 4_000_000;

/// With fewer rows of the smaller sample beside the most frequent level, ranks are too lumpy for the normal distribution.
const MIN_SPREAD_ROWS: f64 = 20.0;

/// How the error rate is shared among the tests.
const SHARES: [(Leading, f64); 3] = [(Leading::Shift, 0.65), (Leading::Spread, 0.25), (Leading::Any, 0.1)];

/// The test that speaks for an [`Omnibus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leading {
    /// Mann–Whitney: the values are shifted.
    Shift,
    /// Mood: the values are spread differently.
    Spread,
    /// Kolmogorov–Smirnov: any difference.
    Any,
    /// Fisher: there are two values, and their shares differ.
    Share,
}

/// The outcome of [`omnibus`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Omnibus {
    /// The probability, under no difference, of one of the tests being at least as extreme.
    pub p_value: f64,
    /// Which of them was.
    pub leading: Leading,
    /// The Kolmogorov–Smirnov test alone.
    pub ks: Test,
}

/// Returns a test for any difference: the least p-value of Mann–Whitney over 0.65, Mood over 0.25 and Kolmogorov–Smirnov over 0.1.
///
/// A weighted Bonferroni bound (Genovese, Roeder & Wasserman 2006) holds whatever the tests have to do with each other, and gives up
/// little: a shift or a change of spread is seen almost as well as by the test for it alone.
/// Two levels are compared by Fisher's exact test. Where the smaller sample has fewer than 20 rows beside the most frequent level,
/// Kolmogorov–Smirnov, which ties make conservative, answers alone. A single level is p-value 1.
///
/// ```
/// use modelwatch_stats::two_sample::{Leading, omnibus};
///
/// let narrow: Vec<_> = (0..40).map(|it| (50.0 + f64::from(it) / 4.0, 1)).collect();
/// let wide: Vec<_> = (0..40).map(|it| (35.0 + f64::from(it), 1)).collect();
/// let test = omnibus(&narrow, &wide).unwrap();
/// assert_eq!(test.leading, Leading::Spread);
/// assert!(test.p_value < 1e-5 && test.p_value < test.ks.p_value);
/// ```
pub fn omnibus(reference: &[Point], current: &[Point]) -> Result<Omnibus, Undefined> {
    let levels = Levels::new(reference, current)?;
    let is_small = levels.m.saturating_mul(levels.n) <= MAX_EXACT_PAIRS;
    let ks = if is_small { ks(reference, current)? } else { ks_asymptotic(reference, current)? };
    let alone = |p_value: f64, leading: Leading| Ok(Omnibus { p_value, leading, ks });
    let [first, rest @ ..] = levels.levels.as_slice() else { return alone(1.0, Leading::Any) };
    match rest {
        [] => return alone(1.0, Leading::Any),
        [_] => {
            let shares = Shares {
                reference_hits: first.reference,
                reference_rows: levels.m,
                current_hits: first.current,
                current_rows: levels.n,
            };
            return alone(fisher_exact(shares)?, Leading::Share);
        }
        _ => {}
    }
    let most = levels.levels.iter().map(|it| it.both()).fold(0, u64::max) as f64;
    if levels.m.min(levels.n) as f64 * (1.0 - most / levels.total() as f64) < MIN_SPREAD_ROWS {
        return alone(ks.p_value, Leading::Any);
    }
    let shift = mann_whitney(reference, current, Alternative::TwoSided, MannWhitney::Asymptotic)?.p_value;
    let spread = mood(reference, current)?.p_value;
    let p_value_of = |leading: Leading| match leading {
        Leading::Shift => shift,
        Leading::Spread => spread,
        Leading::Any | Leading::Share => ks.p_value,
    };
    let (leading, p_value) = SHARES
        .map(|(leading, share)| (leading, (p_value_of(leading) / share).min(1.0)))
        .into_iter()
        .min_by(|left, right| left.1.total_cmp(&right.1))
        .unwrap_or((Leading::Any, 1.0));
    Ok(Omnibus { p_value, leading, ks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reason;

    fn points(values: impl Iterator<Item = i32>) -> Vec<Point> {
        values.map(|it| (f64::from(it), 1)).collect()
    }

    #[test]
    fn each_difference_is_told_by_its_own_test() {
        let base = points(0..200);
        let check = |other: Vec<Point>, expected: Leading| {
            let test = omnibus(&base, &other).unwrap();
            assert_eq!(test.leading, expected);
            assert!(test.p_value < 1e-3, "{expected:?} {}", test.p_value);
        };
        check(points(40..240), Leading::Shift);
        check(
            points((0..200).map(|it| 50 + it / 2))
                .chunk_by(|l, r| l.0 == r.0)
                .map(|it| (it[0].0, it.len() as u64))
                .collect(),
            Leading::Spread,
        );
        assert_eq!(omnibus(&[(0.0, 50), (1.0, 50)], &[(0.0, 20), (1.0, 80)]).unwrap().leading, Leading::Share);
        // One row in a hundred that differs is no ground for a normal distribution.
        assert_eq!(omnibus(&[(0.0, 990), (1.0, 5), (2.0, 5)], &[(0.0, 100)]).unwrap().leading, Leading::Any);
    }

    #[test]
    fn degenerate_samples_are_answered_or_undefined() {
        assert_eq!(omnibus(&[(1.0, 5)], &[(1.0, 9)]).unwrap().p_value, 1.0);
        assert_eq!(omnibus(&[(1.0, 5)], &[]), Err(Undefined::new(Reason::Empty)));
        assert_eq!(omnibus(&[(f64::NAN, 5)], &[(1.0, 1)]), Err(Undefined::new(Reason::NotANumber)));
    }
}
