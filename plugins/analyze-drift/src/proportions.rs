//! The test for a difference of two shares.

use modelwatch_stats::two_sample::{Yates, chi2_contingency_with};

/// From so many expected rows in every cell on, the chi-squared distribution is near enough.
const LARGE: f64 = 100.0;

/// Returns the two-sided p-value for `hits.0` of `rows.0` against `hits.1` of `rows.1`; `None` where a side has no rows.
///
/// Fisher's exact test (Fisher 1935): the probability, given both margins, of all tables at most as likely as this one.
/// Where every expected count is large it is the chi-squared test with Yates' correction. Nulls are often so rare
/// that the latter alone would call one missing value in a hundred rows an alarm.
pub(crate) fn two_proportions(hits: (u64, u64), rows: (u64, u64)) -> Option<f64> {
    if rows.0 == 0 || rows.1 == 0 {
        return None;
    }
    let (hit_total, total) = (hits.0 as f64 + hits.1 as f64, rows.0 as f64 + rows.1 as f64);
    let (smaller_side, rarer) = (rows.0.min(rows.1) as f64, hit_total.min(total - hit_total));
    if rarer <= 0.0 {
        return Some(1.0);
    }
    if smaller_side * rarer / total >= LARGE {
        let reference = [hits.0, rows.0.saturating_sub(hits.0)];
        let current = [hits.1, rows.1.saturating_sub(hits.1)];
        return chi2_contingency_with(&reference, &current, Yates::TwoByTwo).ok().map(|it| it.p_value);
    }
    Some(fisher(hits, rows))
}

/// Weighs the tables relative to the most likely one, so that no factorial is needed.
fn fisher(hits: (u64, u64), rows: (u64, u64)) -> f64 {
    let (draws, rest, hit_total) = (rows.0 as f64, rows.1 as f64, (hits.0 + hits.1) as f64);
    let least = (hit_total - rest).max(0.0);
    let greatest = hit_total.min(draws);
    let mode = (((draws + 1.0) * (hit_total + 1.0)) / (draws + rest + 2.0)).floor().clamp(least, greatest);
    // P(k + 1) / P(k) of the hypergeometric distribution.
    let step_up = |k: f64| (hit_total - k) * (draws - k) / ((k + 1.0) * (rest - hit_total + k + 1.0));
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
    let observed = hits.0 as f64;
    let own = weights.iter().find(|it| it.0 == observed).map_or(0.0, |it| it.1);
    let all: f64 = weights.iter().map(|it| it.1).sum();
    // Equal probabilities differ by rounding.
    let extreme: f64 = weights.iter().filter(|it| it.1 <= own * (1.0 + 1e-7)).map(|it| it.1).sum();
    (extreme / all).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_those_of_fisher() {
        // The first is Fisher's tea: (1 + 16 + 16 + 1) / 70; the others are 17/35 and 1/51 from the hypergeometric formula.
        let cases = [
            ((3, 1), (4, 4), 34.0 / 70.0),
            ((4, 0), (4, 4), 2.0 / 70.0),
            ((0, 1), (5000, 100), 100.0 / 5100.0),
            ((0, 0), (10, 10), 1.0),
            ((10, 10), (10, 10), 1.0),
            ((5, 5), (10, 10), 1.0),
        ];
        for (hits, rows, expected) in cases {
            let p_value = two_proportions(hits, rows).unwrap();
            assert!((p_value - expected).abs() < 1e-9, "{hits:?} {rows:?}: {p_value}");
        }
        assert_eq!(two_proportions((0, 0), (0, 5)), None);
    }

    #[test]
    fn large_tables_are_quick_and_extreme_ones_do_not_fail() {
        assert!(two_proportions((10_000, 20_000), (1_000_000, 1_000_000)).unwrap() < 1e-300);
        assert!(two_proportions((0, 400), (1000, 1000)).unwrap() < 1e-100);
        assert!(two_proportions((0, 90), (u64::MAX / 4, 100)).unwrap() < 1e-100);
    }
}
