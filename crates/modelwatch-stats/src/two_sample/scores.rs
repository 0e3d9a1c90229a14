//! Tests by scores of ranks: what a rank counts says which difference is seen best.

use super::{levels::Levels, tails::normal_sf};

/// With less skewness the correction for it is smaller than its rounding errors.
const NO_SKEWNESS: f64 = 1e-6;

/// With more skewness no smooth distribution is near that of the sum: it hangs on a score of which a quarter of a row
/// is expected in the smaller sample.
const MAX_SKEWNESS: f64 = 2.0;

/// Returns the two-sided p-value of the sum of the scores of either sample, given the score of a place among all rows, from 0 to 1.
///
/// Mean, variance and skewness of the sum are those over all ways of dealing the rows to the samples, so that ties, which have the score
/// of their middle, need no further correction. The tail is that of a gamma distribution with these three (Pearson's type III), in the
/// normal form of Wilson & Hilferty (1931): scores that grow fast toward an end are skewed where one sample is small.
/// A single score is p-value 1, and so is a skewness beyond 2, where neither distribution holds and a sum at its mean would look rare.
pub(crate) fn score_test(levels: &Levels, score: impl Fn(f64) -> f64) -> f64 {
    let rows = levels.total() as f64;
    let scored = || levels.ranked().map(|it| (score(it.rank / (rows + 1.0)), it.reference, it.both));
    let mean = scored().map(|it| it.0 * it.2).sum::<f64>() / rows;
    let (mut sum, mut squares, mut cubes) = (0.0, 0.0, 0.0);
    for (score, reference, both) in scored() {
        let deviation = score - mean;
        sum += deviation * reference;
        squares += deviation * deviation * both;
        cubes += deviation * deviation * deviation * both;
    }
    let (m, n) = (levels.m as f64, levels.n as f64);
    let variance = squares / (rows - 1.0) * (m * n / rows);
    if variance.is_nan() || variance <= 0.0 {
        return 1.0;
    }
    let of_scores = cubes / rows / (squares / rows).powf(1.5);
    let of_dealing = (n - m) * (rows - 1.0).sqrt() / ((rows - 2.0) * (m * n).sqrt());
    let skewness = if of_dealing == 0.0 { 0.0 } else { of_scores * of_dealing };
    if skewness.abs() > MAX_SKEWNESS {
        return 1.0;
    }
    let z = normal_form(sum / variance.sqrt(), skewness);
    (2.0 * normal_sf(z.abs())).min(1.0)
}

/// Returns a number of that skewness, mean 0 and variance 1 as one that is normal.
fn normal_form(it: f64, skewness: f64) -> f64 {
    if skewness.abs() < NO_SKEWNESS {
        return it;
    }
    let root = (1.0 + skewness * it / 2.0).max(0.0).cbrt();
    (root - (1.0 - skewness * skewness / 36.0)) * 6.0 / skewness
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skewed_sum_keeps_its_tails() {
        // A gamma distribution with 8 degrees of freedom, of skewness 1: P(χ² > 20.09) = 0.01 and P(χ² > 26.12) = 0.001.
        for (chi_squared, tail) in [(20.090, 0.01), (26.124, 0.001)] {
            let found = normal_sf(normal_form((chi_squared - 8.0) / 4.0, 1.0));
            assert!((found / tail - 1.0).abs() < 0.1, "{found} {tail}");
            let mirrored = normal_sf(-normal_form((8.0 - chi_squared) / 4.0, -1.0));
            assert_eq!(found, mirrored);
        }
        // What lies beyond the end of the distribution is as unlikely as can be.
        assert!(normal_sf(-normal_form(-9.0, 1.0)) < 1e-8);
        assert!((normal_form(2.0, 2e-6) - 2.0).abs() < 1e-5);
    }

    #[test]
    fn a_rare_score_that_a_small_sample_has_not_is_no_difference() {
        let levels = |counts: &[(u64, u64)]| {
            let of = |it: fn(&(u64, u64)) -> u64| (1..).map(f64::from).zip(counts.iter().map(it)).collect::<Vec<_>>();
            Levels::new(&of(|it| it.0), &of(|it| it.1)).unwrap()
        };
        let savage = |place: f64| -(-place).ln_1p();
        for counts in [[(50_000, 50), (1, 0)], [(50_000, 20), (1, 0)], [(50, 50_000), (0, 1)]] {
            assert_eq!(score_test(&levels(&counts), savage), 1.0, "{counts:?}");
        }
        let spread = |place: f64| (2.0 * place - 1.0).powi(2);
        assert_eq!(score_test(&levels(&[(49_999, 50), (50_000, 50), (1, 0)]), spread), 1.0);
    }

    #[test]
    fn one_score_is_no_difference() {
        let levels = Levels::new(&[(1.0, 5)], &[(1.0, 7)]).unwrap();
        assert_eq!(score_test(&levels, |place| place), 1.0);
        let levels = Levels::new(&[(1.0, 5), (2.0, 3)], &[(1.0, 7)]).unwrap();
        assert_eq!(score_test(&levels, |_| 1.0), 1.0);
    }

    #[test]
    fn the_score_of_the_rank_itself_is_a_test_for_a_shift() {
        let points = |offset: f64| (0..100).map(|it| (f64::from(it) + offset, 1)).collect::<Vec<_>>();
        let levels = Levels::new(&points(0.0), &points(20.5)).unwrap();
        let whitney = crate::two_sample::mann_whitney(
            &points(0.0),
            &points(20.5),
            crate::two_sample::Alternative::TwoSided,
            crate::two_sample::MannWhitney::Asymptotic,
        );
        // The other one is corrected for continuity.
        let ratio = score_test(&levels, |place| place) / whitney.unwrap().p_value;
        assert!((0.98..1.0).contains(&ratio), "{ratio}");
    }
}
