//! A test of categories against any difference.

use super::{PermutedChi2, Shares, Test, fisher_exact, n_rows, one_sided_rows, total};

/// The parts of the level: χ², by dealings or of the large table, categories that the reference or the current rows lack, and each category by
/// itself. A new one is more news than a lost one.
const CHI2: f64 = 0.48;
const NEW: f64 = 0.08;
const LOST: f64 = 0.02;
const SINGLE: f64 = 0.42;
/// The part of χ² that is the large table's where rows are dealt.
const LARGE: f64 = 0.02;

/// Of so many categories the exact p-value is looked at.
const SINGLES: usize = 4;

/// The same counts are dealt in the same way.
const SEED: u64 = 2026;

/// Returns the test of two rows of counts against any difference: of many categories, of one, and new ones.
///
/// It is the least of several p-values, each over its part of the level (Bonferroni's inequality):
/// - χ²: of the table that is given, or, where categories are rare, of the permutation distribution. No p-value of that is less than one over
///   the number of dealings, so that a small part is the table's there, too.
/// - The current rows of categories that the reference lacks, and the reverse.
/// - Each category against all others, by Fisher's exact test; the more rows it has, the greater is its part.
///
/// `large` is the test of the table in which rare categories share a cell, and `has_rare` whether some do. Rows count alike: of weighted
/// ones the large table alone holds, as the rows that they are worth differ by category.
///
/// ```
/// use modelwatch_stats::two_sample::{Test, category_omnibus, homogeneity};
///
/// // A category that the reference lacks, with three of a hundred rows.
/// let (reference, current) = ([3000, 1900, 60, 40, 0], [57, 38, 1, 1, 3]);
/// let large = homogeneity(&[3000, 1900, 100], &[57, 38, 5]).unwrap();
/// let large = Test { statistic: large.statistic, p_value: large.p_value };
/// assert!(large.p_value > 0.05);
/// assert!(category_omnibus(&reference, &current, (large, true)).p_value < 0.01);
/// ```
pub fn category_omnibus(reference: &[u64], current: &[u64], (large, has_rare): (Test, bool)) -> Test {
    let others = of_single(reference, current).min(1.0);
    // There are no dealings of more rows than can be counted exactly.
    let permuted = if has_rare { PermutedChi2::new(reference, current).ok() } else { None };
    let Some(permuted) = permuted else { return Test { p_value: others.min(large.p_value / CHI2), ..large } };
    let statistic = permuted.statistic();
    let others = others.min(large.p_value / LARGE);
    if others <= permuted.resolution() {
        return Test { statistic, p_value: others };
    }
    Test { statistic, p_value: others.min(permuted.p_value(SEED) / (CHI2 - LARGE)) }
}

/// Returns the test of two rows of counts by the dealings of all their rows.
///
/// The p-value is that of the dealings. Where none of these is as extreme as the data, it is as well at most the least p-value of single
/// categories in [`category_omnibus`], over their parts of the level alone: it is valid at any level, as it is the one or the other that decides
/// at levels from [`PermutedChi2::resolution`] on and below.
///
/// ```
/// use modelwatch_stats::two_sample::{PermutedChi2, dealt_test};
///
/// let (reference, current) = ([6000, 4000, 0], [120, 60, 20]);
/// let dealt = PermutedChi2::new(&reference, &current).unwrap();
/// let test = dealt_test(&dealt, &reference, &current);
/// assert!(test.statistic > 600.0 && test.p_value < 1e-12);
/// ```
pub fn dealt_test(dealt: &PermutedChi2, reference: &[u64], current: &[u64]) -> Test {
    let (statistic, p_value) = (dealt.statistic(), dealt.p_value(SEED));
    if p_value > dealt.resolution() {
        return Test { statistic, p_value };
    }
    Test { statistic, p_value: p_value.min(of_single(reference, current) * (SINGLE + NEW + LOST)) }
}

/// Returns the least p-value of single categories: that changed, are new or are lost, each over its part of the level.
fn of_single(reference: &[u64], current: &[u64]) -> f64 {
    let single = most_changed(reference, current) / SINGLE;
    let new = one_sided_rows(reference, current) / NEW;
    let lost = one_sided_rows(current, reference) / LOST;
    single.min(new).min(lost)
}

/// Returns the least p-value of a category against all others, each over its share of all rows.
///
/// Only those are looked at of which a bound says that they are the least ones. It is never too small for that.
fn most_changed(reference: &[u64], current: &[u64]) -> f64 {
    let (reference_rows, current_rows) = (n_rows(reference), n_rows(current));
    let (m, n) = (reference_rows as f64, current_rows as f64);
    // Chernoff's bound, which is the likelihood ratio.
    let ln_bound = |(left, right): (u64, u64)| {
        let (left, right) = (left as f64, right as f64);
        let share = (left + right) / (m + n);
        let term = |observed: f64, expected: f64| {
            if observed > 0.0 { observed * (observed / expected).ln() } else { 0.0 }
        };
        let side = |own: f64, rows: f64| term(own, rows * share) + term(rows - own, rows * (1.0 - share));
        -side(left, m) - side(right, n) - share.ln()
    };
    let rows = reference.iter().copied().zip(current.iter().copied()).filter(|it| *it != (0, 0));
    let mut found: Vec<(f64, (u64, u64))> = rows.map(|it| (ln_bound(it), it)).collect();
    found.sort_by(|left, right| left.0.total_cmp(&right.0));
    let p_values = found.into_iter().take(SINGLES).filter_map(|(_, (reference_hits, current_hits))| {
        let share = (reference_hits as f64 + current_hits as f64) / (m + n);
        let shares = Shares { reference_hits, reference_rows, current_hits, current_rows };
        Some(fisher_exact(shares).ok()? / share)
    });
    p_values.fold(1.0, f64::min)
}

/// Returns the least p-value that [`category_omnibus`] can give of counts with the same sums, by those dealings in which each category is
/// whole on one side, as if they were dealt independently.
pub fn least_category_p(reference: &[u64], current: &[u64]) -> f64 {
    (least_dealt_p(reference, current) / (CHI2 - LARGE)).min(1.0)
}

/// Returns the least p-value that [`dealt_test`] can give of counts with the same sums, as [`least_category_p`].
pub fn least_dealt_p(reference: &[u64], current: &[u64]) -> f64 {
    let (m, n) = (total(reference), total(current));
    let whole = |(left, right): (&u64, &u64)| {
        let rows = *left as f64 + *right as f64;
        if rows > 0.0 { (m / (m + n)).powf(rows) + (n / (m + n)).powf(rows) } else { 1.0 }
    };
    reference.iter().zip(current).map(whole).product::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const NOTHING: Test = Test { statistic: 0.0, p_value: 1.0 };

    fn p_value(reference: &[u64], current: &[u64]) -> f64 {
        category_omnibus(reference, current, (NOTHING, true)).p_value
    }

    #[test]
    fn a_new_category_is_found_however_few_rows_it_has() {
        assert!(p_value(&[4000, 900, 100, 0], &[78, 18, 2, 2]) < 0.02);
        assert!(p_value(&[4000, 900, 100, 0], &[70, 16, 2, 12]) < 1e-12, "beyond the dealings");
        assert!(p_value(&[70, 16, 2, 12], &[4000, 900, 100, 0]) < 1e-12, "whichever side is smaller");
        assert!(p_value(&[4000, 900, 100, 1], &[80, 17, 2, 1]) > 0.05);
        assert!(p_value(&[400, 300, 200, 0, 100], &[400, 300, 180, 12, 108]) < 0.01, "of sides of the same size");
    }

    #[test]
    fn one_of_many_categories_that_grows_is_found_without_dealing() {
        let mut reference = vec![100; 50];
        reference[3] = 1000;
        let mut current = reference.clone();
        current[3] += 300;
        assert!(category_omnibus(&reference, &current, (NOTHING, false)).p_value < 1e-3);
        assert!(category_omnibus(&reference, &reference, (NOTHING, false)).p_value == 1.0);
    }

    #[test]
    fn what_the_large_table_finds_is_found_beyond_the_dealings() {
        let large = Test { statistic: 0.0, p_value: 1e-12 };
        assert_eq!(category_omnibus(&[500, 500, 3], &[480, 520, 3], (large, true)).p_value, 1e-12 / LARGE);
    }

    #[test]
    fn more_rows_than_can_be_dealt_are_tested_without_dealing() {
        let most = 1 << 34;
        let found = category_omnibus(&[most, most, 0], &[most, most, 3], (NOTHING, true));
        assert_eq!((found.statistic, found.p_value), (0.0, 1.0));
    }

    #[test]
    fn what_is_dealt_alarms_no_more_often_than_it_should() {
        let mut random = Random::new(5);
        let mut few = [[0u32; 3]; 2];
        const RUNS: u32 = 1_000;
        for _ in 0..RUNS {
            // Two frequent categories and twenty rare ones.
            let mut side = |rows: u32| {
                let mut counts = vec![0u64; 22];
                (0..rows).for_each(|_| {
                    let it = random.below(1000);
                    counts[if it < 20 { 2 + it } else { it % 2 } as usize] += 1;
                });
                counts
            };
            let (left, right) = (side(1000), side(60));
            let dealt = [PermutedChi2::new(&left, &right), PermutedChi2::likelihood_ratio(&left, &right)];
            for (few, dealt) in few.iter_mut().zip(dealt) {
                let p = dealt_test(&dealt.unwrap(), &left, &right).p_value;
                few.iter_mut().zip([0.01, 0.05, 0.2]).for_each(|(it, level)| *it += u32::from(p <= level));
            }
        }
        for (count, level) in few.into_iter().flat_map(|it| it.into_iter().zip([0.01, 0.05, 0.2])) {
            let n = f64::from(RUNS);
            let allowed = n * level + 3.0 * (n * level * (1.0 - level)).sqrt();
            assert!(f64::from(count) <= allowed && f64::from(count) > 0.4 * n * level, "{count} of {n} at {level}");
        }
    }

    #[test]
    fn what_no_dealing_reaches_is_as_rare_as_its_category() {
        let p_value = |reference: &[u64], current: &[u64]| {
            dealt_test(&PermutedChi2::new(reference, current).unwrap(), reference, current).p_value
        };
        assert!(p_value(&[600, 399, 1], &[12, 5, 3]) < 1e-3);
        assert!(p_value(&[6000, 4000, 0], &[120, 60, 20]) < 1e-20);
        assert!(p_value(&[600, 399, 1], &[12, 8, 0]) > 0.5);
    }

    #[test]
    fn names_that_hardly_repeat_cannot_differ() {
        let ids = [[1; 60].to_vec(), [0; 60].to_vec()];
        assert_eq!(least_category_p(&ids[0], &ids[1]), 1.0);
        // A pair is together in one of two dealings.
        let (left, right) = ([&ids[0][..], &[2]].concat(), [&ids[1][..], &[0]].concat());
        assert_eq!(least_category_p(&left, &right), 1.0);
        assert!(least_category_p(&[20, 0], &[0, 20]) < 1e-9);
    }
}
