//! One test for any difference between two numeric samples, chosen by what the samples are.

use std::f64::consts::PI;

use super::{
    Alternative, MannWhitney, Test,
    cramer_von_mises::cramer_von_mises_of,
    ks::{ks_asymptotic_of, ks_exact_of},
    levels::{Level, Levels},
    ranks::mann_whitney_of,
    scores::score_test,
    shape::Shape,
    tied::share_p_value,
};
use crate::error::Undefined;
use crate::sample::Point;

/// Up to so many pairs of rows, the exact p-value of Kolmogorov and Smirnov is worth its time; it is within a few percent of the
/// other there.
const MAX_EXACT_PAIRS: u64 = 250_000;

/// With fewer rows of the smaller sample beside the most frequent level, ranks are too lumpy for the normal distribution.
pub(super) const MIN_SPREAD_ROWS: f64 = 20.0;

/// With fewer rows of either sample beside a dominant level, they tell nothing among themselves; nor does their scale with fewer beside
/// the most frequent level of theirs.
const MIN_REST: u64 = 5;

/// From this share on, the most frequent level is a matter of its own.
const DOMINANT: f64 = 0.5;

/// Up to this share of the most frequent level, samples are near enough to continuous for Cramér and von Mises.
pub(super) const NEARLY_CONTINUOUS: f64 = 0.1;

/// Where the scores of places would be infinite: the nearer to 1, the more the outermost rows count.
const BEYOND: f64 = 1.6;

/// No p-value is taken for greater, so that one does not outweigh all others.
const GREATEST: f64 = 0.99;

/// The test that speaks for an [`Omnibus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leading {
    /// Mann–Whitney: the values are shifted.
    Shift,
    /// Scores that grow toward the ends: the values are shifted, and most so in the tails.
    Tails,
    /// Scores of the distance from the middle: the values are spread differently.
    Spread,
    /// Cramér–von Mises, or Kolmogorov–Smirnov: any difference.
    Any,
    /// Fisher: the share of the most frequent value differs.
    Share,
    /// Savage: the values on one side of the most frequent one are scaled.
    Scale,
}

/// The outcome of [`omnibus`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Omnibus {
    /// The p-value of all tests together.
    pub p_value: f64,
    /// The test that speaks loudest.
    pub leading: Leading,
    /// The Kolmogorov–Smirnov test alone.
    pub ks: Test,
}

/// A test's p-value, with its weight.
type Vote = (Leading, f64, f64);

/// Returns a test for any difference: Cramér–von Mises, Mann–Whitney, and scores of ranks for tails and for spread, together.
///
/// P-values are combined by Cauchy's distribution (Liu & Xie 2020), with weights 0.3, 0.1, 0.4 and 0.2. The result is right in the limit
/// of small p-values however the tests depend on each other; tests that agree share their weights, so that a shift or a change of
/// spread is seen almost as well as by the best test for it alone. With `w` the place of a row from -1 to 1, tails are seen by
/// `w / (1.6 - w²)`, near to the normal scores of van der Waerden, and spread by `w² / (1.6 - w²)`, between Mood's and Klotz' scores: good
/// for normal and for heavy tails. `cargo xtask trial drift` holds the weights against every single test.
///
/// - Which score sees a shift best depends on the distribution. Both samples together tell of that, and where they do not differ, their
///   values are independent of the ranks: a choice by them costs no false alarm (Hogg, Fisher & Randles 1975). Where both tails are long,
///   the score is `w √(1 - w²)` instead of that of tails: the best one for Student's t with two degrees of freedom.
/// - One level is p-value 1, and two are compared by Fisher's exact test.
/// - A level with half of all rows is compared by its share, with weight 0.5, the other rows among themselves; where they all are on one
///   side, as amounts beside many zeros, first by Savage's exponential scores, with weight 0.3, where at least 5 rows of the smaller sample
///   are beside their own most frequent level.
/// - Where the smaller sample has fewer than 20 rows beside the most frequent level, Kolmogorov–Smirnov, which ties make conservative,
///   answers alone.
/// - With a level of more than a tenth, Kolmogorov–Smirnov takes the place of Cramér–von Mises, whose limit is for continuous samples, and
///   most of its weight goes to the two tests for shifts: 0.1, 0.35, 0.4 and 0.15.
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
    omnibus_of(&Levels::new(reference, current)?)
}

/// [`omnibus`] of merged samples.
pub fn omnibus_of(levels: &Levels) -> Result<Omnibus, Undefined> {
    let ks = ks_of(levels)?;
    let (p_value, leading) = combined(&votes(levels, ks.p_value)?);
    Ok(Omnibus { p_value, leading, ks })
}

pub(super) fn ks_of(levels: &Levels) -> Result<Test, Undefined> {
    let is_small = levels.m.saturating_mul(levels.n) <= MAX_EXACT_PAIRS;
    if is_small { ks_exact_of(levels) } else { ks_asymptotic_of(levels) }
}

fn votes(levels: &Levels, ks: f64) -> Result<Vec<Vote>, Undefined> {
    if levels.levels.len() < 2 {
        return Ok(vec![(Leading::Any, 1.0, 1.0)]);
    }
    let Some(most) = most_frequent(levels) else {
        return Ok(vec![(Leading::Any, 1.0, 1.0)]);
    };
    let share = share_of(levels, most);
    if levels.levels.len() == 2 {
        return Ok(vec![(Leading::Share, 1.0, share_p_value(levels, most)?)]);
    }
    if share >= DOMINANT
        && let Some(rest) = without(levels, most)
    {
        let mut res = vec![(Leading::Share, 0.5, share_p_value(levels, most)?)];
        if let Some(scale) = scale_p_value(levels, most, &rest) {
            res.push((Leading::Scale, 0.3, scale));
        }
        let left = 1.0 - res.iter().map(|it| it.1).sum::<f64>();
        let ks = ks_of(&rest)?.p_value;
        res.extend(votes(&rest, ks)?.into_iter().map(|it| (it.0, it.1 * left, it.2)));
        return Ok(res);
    }
    if rows_beside(levels, most) < MIN_SPREAD_ROWS {
        return Ok(vec![(Leading::Any, 1.0, ks)]);
    }
    let shift = mann_whitney_of(levels, Alternative::TwoSided, MannWhitney::Asymptotic).p_value;
    let is_long_tailed = Shape::of(levels).is_long_tailed();
    let (score, leading): (fn(f64) -> f64, _) =
        if is_long_tailed { (center_score, Leading::Shift) } else { (tail_score, Leading::Tails) };
    let scored = score_test(levels, |place| score(2.0 * place - 1.0));
    let spread = score_test(levels, |place| spread_score(2.0 * place - 1.0));
    let (any, weights) = if share <= NEARLY_CONTINUOUS {
        (cramer_von_mises_of(levels), [0.3, 0.1, 0.4, 0.2])
    } else {
        (ks, [0.1, 0.35, 0.4, 0.15])
    };
    let [of_any, of_shift, of_score, of_spread] = weights;
    Ok(vec![
        (Leading::Any, of_any, any),
        (Leading::Shift, of_shift, shift),
        (leading, of_score, scored),
        (Leading::Spread, of_spread, spread),
    ])
}

/// The score of a place from -1 to 1 for a shift of normal values.
fn tail_score(place: f64) -> f64 {
    place / (BEYOND - place * place)
}

/// The score of a place from -1 to 1 for a shift of values with long tails.
fn center_score(place: f64) -> f64 {
    place * (1.0 - place * place).sqrt()
}

/// The score of a place from -1 to 1 for a spread of normal and heavier-tailed values.
fn spread_score(place: f64) -> f64 {
    place * place / (BEYOND - place * place)
}

pub(super) fn most_frequent(levels: &Levels) -> Option<Level> {
    levels.levels.iter().copied().max_by_key(Level::both)
}

pub(super) fn share_of(levels: &Levels, level: Level) -> f64 {
    level.both() as f64 / levels.total() as f64
}

/// Returns how many rows of the smaller sample are expected beside a level.
pub(super) fn rows_beside(levels: &Levels, level: Level) -> f64 {
    levels.m.min(levels.n) as f64 * (1.0 - share_of(levels, level))
}

/// Savage's test (1956) of the rows beside a level, if they all are on one side of it and differ enough among themselves.
fn scale_p_value(levels: &Levels, level: Level, rest: &Levels) -> Option<f64> {
    if rows_beside(rest, most_frequent(rest)?) < MIN_REST as f64 {
        return None;
    }
    let is_end = |it: Option<&Level>| it.is_some_and(|it| it.value == level.value);
    if is_end(levels.levels.first()) {
        Some(score_test(rest, |place| -(-place).ln_1p()))
    } else if is_end(levels.levels.last()) {
        Some(score_test(rest, f64::ln))
    } else {
        None
    }
}

/// The samples without one level, if enough is left of both.
fn without(levels: &Levels, level: Level) -> Option<Levels> {
    let (m, n) = (levels.m - level.reference, levels.n - level.current);
    let rest = levels.levels.iter().copied().filter(|it| it.value != level.value).collect();
    (m.min(n) >= MIN_REST).then_some(Levels { levels: rest, m, n })
}

/// Cauchy's combination, and the test that adds most to it.
fn combined(votes: &[Vote]) -> (f64, Leading) {
    let loudest = votes.iter().min_by(|left, right| (left.2 / left.1).total_cmp(&(right.2 / right.1)));
    let leading = loudest.map_or(Leading::Any, |it| it.0);
    if let [(_, _, p_value)] = votes {
        return (*p_value, leading);
    }
    if votes.iter().any(|it| it.2 <= 0.0) {
        return (0.0, leading);
    }
    // For small p, cot(π p) is 1 / (π p) without the digits that tan(π (1/2 - p)) loses.
    let sum: f64 = votes.iter().map(|(_, weight, p)| weight / (PI * p.min(GREATEST)).tan()).sum();
    let p_value = if sum > 0.0 { (1.0 / sum).atan() / PI } else { 0.5 - sum.atan() / PI };
    (p_value.clamp(0.0, 1.0), leading)
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
        check(points(40..240), Leading::Tails);
        // With ties of a tenth and more.
        assert_eq!(
            omnibus(&[(0.0, 90), (1.0, 70), (2.0, 40)], &[(0.0, 40), (1.0, 70), (2.0, 90)]).unwrap().leading,
            Leading::Tails
        );
        check(
            points((0..200).map(|it| 50 + it / 2))
                .chunk_by(|l, r| l.0 == r.0)
                .map(|it| (it[0].0, it.len() as u64))
                .collect(),
            Leading::Spread,
        );
        assert_eq!(omnibus(&[(0.0, 50), (1.0, 50)], &[(0.0, 20), (1.0, 80)]).unwrap().leading, Leading::Share);
        // Nine of ten rows are 0, and the others are doubled.
        let doubled = |by: i32| [(0.0, 900)].into_iter().chain(points((1..=100).map(|it| it * by))).collect::<Vec<_>>();
        let test = omnibus(&doubled(1), &doubled(2)).unwrap();
        assert!(test.p_value < 1e-5 && test.leading == Leading::Scale, "{test:?}");
        // The same on the other side.
        let mirrored =
            |by: i32| points((1..=100).rev().map(|it| -it * by)).into_iter().chain([(0.0, 900)]).collect::<Vec<_>>();
        let other = omnibus(&mirrored(1), &mirrored(2)).unwrap();
        assert!((other.p_value / test.p_value - 1.0).abs() < 1e-6 && other.leading == Leading::Scale, "{other:?}");
        // One row in a hundred that differs is no ground for a normal distribution.
        assert_eq!(omnibus(&[(0.0, 990), (1.0, 5), (2.0, 5)], &[(0.0, 100)]).unwrap().leading, Leading::Any);
    }

    #[test]
    fn a_shift_of_long_tailed_samples_is_told_by_their_middle() {
        let sample = |by: f64| -> Vec<Point> {
            let quantile = |p: f64| (2.0 * p - 1.0) / (2.0 * p * (1.0 - p)).sqrt();
            (1..400).map(|it| (quantile(f64::from(it) / 400.0) + by, 1)).collect()
        };
        let levels = Levels::new(&sample(0.0), &sample(0.5)).unwrap();
        let test = omnibus_of(&levels).unwrap();
        assert_eq!(test.leading, Leading::Shift);
        let of_tails = score_test(&levels, |place| tail_score(2.0 * place - 1.0));
        assert!(test.p_value < of_tails / 10.0, "{test:?}, {of_tails}");
    }

    #[test]
    fn a_stray_value_beside_flags_does_not_alarm() {
        // Not having the one row in 100,000 is what 40 rows nearly always do.
        for reference in [[55_000, 44_999, 1], [49_995, 49_995, 10]] {
            let reference = [0.0, 1.0, 2.0].into_iter().zip(reference).collect::<Vec<_>>();
            let test = omnibus(&reference, &[(0.0, 20), (1.0, 20)]).unwrap();
            assert!(test.p_value > 0.3, "{reference:?} {test:?}");
        }
        // What the flags themselves tell is still seen.
        let test = omnibus(&[(0.0, 55_000), (1.0, 44_999), (2.0, 1)], &[(0.0, 5), (1.0, 35)]).unwrap();
        assert!(test.p_value < 1e-5, "{test:?}");
    }

    #[test]
    fn a_combination_lies_between_the_least_p_value_and_bonferroni() {
        let votes = |p: [f64; 2]| [(Leading::Shift, 0.5, p[0]), (Leading::Any, 0.5, p[1])];
        for (p, expected) in [([1e-9, 1e-9], 1e-9), ([1e-9, 0.5], 2e-9), ([0.3, 0.3], 0.3), ([1e-200, 1.0], 2e-200)] {
            let (found, _) = combined(&votes(p));
            assert!((found / expected - 1.0).abs() < 1e-6, "{p:?}: {found}");
        }
        assert_eq!(combined(&votes([0.0, 1.0])).0, 0.0);
    }

    #[test]
    fn buckets_of_a_sketch_do_not_alarm() {
        let mut state = 5u64;
        let mut uniform = || {
            state = crate::hash::mix(state);
            ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        // Sums of uniform numbers, positive and negative, in a few hundred buckets.
        let mut sketch = |rows: u32| {
            let mut res = crate::sample::NumericSample::new(0);
            (0..rows).for_each(|_| res.push(uniform() + uniform() + uniform() - 1.5));
            res
        };
        let mut alarms = 0;
        for rows in [2_000, 300].repeat(200) {
            let (left, right) = crate::sample::paired_points(&sketch(2_000), &sketch(rows));
            alarms += u32::from(omnibus(&left, &right).unwrap().p_value <= 0.05);
        }
        // 5 % of 400, and three standard errors.
        assert!(alarms <= 33, "{alarms} of 400");
    }

    #[test]
    fn degenerate_samples_are_answered_or_undefined() {
        assert_eq!(omnibus(&[(1.0, 5)], &[(1.0, 9)]).unwrap().p_value, 1.0);
        assert_eq!(omnibus(&[(1.0, 5)], &[]), Err(Undefined::new(Reason::Empty)));
        assert_eq!(omnibus(&[(f64::NAN, 5)], &[(1.0, 1)]), Err(Undefined::new(Reason::NotANumber)));
    }
}
