//! The comparison of categories.

use modelwatch_sdk::report::Interval;
use modelwatch_stats::{
    categories::{AlignedCounts, CategoryCounts, align},
    peers::Categories,
    two_sample::{
        CellDistance, LogBase, PermutedChi2, Shares, Yates, chi2_contingency_with, dealt_test, fisher_exact,
        jensen_shannon, least_category_p, least_dealt_p, psi,
    },
};

use crate::{
    comparison::{Bounds, Cell, Constant, Detail, Part, PartName, Unseen},
    comparison_numeric::ZERO_FILL,
    config::Config,
    further::{Further, undecided},
    method::Method,
    scores::{
        LEAST_SHARE, MIN_EXPECTED, PeerScore, Tables, distance_of, peer_score_of_categories, reaches, score_categories,
    },
    weights::{Counted, Footing, aligned_categories, check_size, unweighted},
};

/// The large table has cells of rare categories if no more of its cells than this share are such, and more rows than that are expected in each.
const MAX_RARE: f64 = 0.2;
const LEAST_EXPECTED: f64 = 1.0;

const MAX_NAMES: usize = 10;

/// Returns the comparison of categories, of which both roles have some.
///
/// # Errors
/// Why the two cannot be compared.
pub(crate) fn compare_categories(
    config: &Config,
    method: Method,
    name: Option<PartName>,
    reference: Counted<'_, CategoryCounts>,
    current: Counted<'_, CategoryCounts>,
) -> Result<Part, String> {
    let Footing { alike: aligned, weighted } = aligned_categories(reference, current);
    let (n, m) = totals(&aligned);
    check_size(config, [n, m])?;
    let others = others(&aligned);
    let pooling = pooling(&aligned, &others);
    let all = with_others(&aligned, &others);
    let further = Further::new((&all.0, &all.1), others.len(), aligned.other_bound);
    let (left, right) = pooled(&pooling, &all);
    // Rows of equal weights are worth as many as there are.
    let is_weighted = weighted.is_some() && {
        let rows = align(reference.rows, current.rows);
        (&rows.reference, &rows.current) != (&aligned.reference, &aligned.current)
    };
    let tables = Tables { large: (&left, &right), all: (&all.0, &all.1), further: &further, is_weighted };
    let mut score = score_categories(method, &config.min_effect, tables)?;
    if let Some(it) = weighted.as_ref().filter(|_| is_weighted) {
        let all = with_others(it, &in_groups(it, others.len()));
        let large = pooled(&pooling, &all);
        let of_weights = Tables { large: (&large.0, &large.1), all: (&all.0, &all.1), further: &further, is_weighted };
        score.describe_categories(method, &config.min_effect, of_weights)?;
    }
    let has_no_frequent =
        !(0..all.0.len()).any(|it| (all.0[it] as f64 + all.1[it] as f64) * smaller_share(&aligned) >= MIN_EXPECTED);
    let is_dealt = tables.dealt(method).is_some();
    let (chi2_statistic, chi2_p_value) = match method {
        Method::Chi2 if is_dealt => (Some(score.statistic), Some(score.p_value)),
        _ if is_dealt => chi2_of_dealt(tables)?,
        _ => chi2(method, tables, has_no_frequent)?,
    };
    let shares_cells = matches!(method, Method::Chi2 | Method::G) && tables.has_rare() && !is_dealt;
    let pooled_names = shares_cells.then(|| sharing(&pooling, &aligned, &all)).filter(|it| !it.is_empty());
    let cells = match &weighted {
        None => cells(&aligned, &others),
        Some(it) => cells(it, &in_groups(it, others.len())),
    };
    let has_one_value = cells.len() == 1 && others.is_empty();
    let (p, q): (Vec<f64>, Vec<f64>) = cells.iter().map(|it| (it.reference, it.current)).unzip();
    let peer = peer(config, method, reference, current, &aligned)?;
    let (psi, jensen_shannon) =
        (psi(&p, &q, ZERO_FILL).unwrap_or(f64::NAN), jensen_shannon(&p, &q, LogBase::Two).unwrap_or(f64::NAN));
    let can_be_large = reaches(further.greatest(distance_of(method), score.effect.value), score.effect.least);
    let undecided =
        if can_be_large && peer.is_none() { undecided(&further, [reference.rows, current.rows]) } else { None };
    // Another tool's rule asks for no significance.
    let is_hopeless = if is_dealt {
        least_dealt_p(tables.all.0, tables.all.1) > config.alpha()
    } else {
        is_hopeless(config, method, tables)
    };
    let is_untested = peer.is_none() && !has_one_value && is_hopeless;
    Ok(Part {
        name,
        method,
        peer,
        psi,
        jensen_shannon,
        bounds: if others.is_empty() { Bounds::default() } else { bounds(&further, psi, jensen_shannon) },
        constant: constant((reference.masses(), n), (current.masses(), m)),
        has_one_value,
        score,
        detail: Detail::Categorical { chi2_statistic, chi2_p_value, is_untested, undecided, pooled: pooled_names },
        cells,
    })
}

/// Returns where the numbers of all categories lie, given those of the cells.
fn bounds(further: &Further, psi: f64, jensen_shannon: f64) -> Bounds {
    let of_psi = CellDistance::Psi(LEAST_SHARE);
    let most = further.greatest(CellDistance::JensenShannon, jensen_shannon);
    Bounds {
        psi: Some(Interval::certain(further.least_psi(LEAST_SHARE, psi), further.greatest(of_psi, psi))),
        jensen_shannon: Some(Interval::certain(jensen_shannon, most)),
    }
}

/// Returns the chi-squared statistic and its p-value where another statistic is tested by dealing the rows.
fn chi2_of_dealt(tables: Tables<'_>) -> Result<(Option<f64>, Option<f64>), String> {
    let (left, right) = tables.all;
    let test = PermutedChi2::new(left, right).map(|it| dealt_test(&it, left, right)).map_err(|e| e.to_string())?;
    Ok((Some(test.statistic), Some(test.p_value)))
}

/// Returns the chi-squared statistic that is tested, and its p-value, as far as there are such.
fn chi2(method: Method, tables: Tables<'_>, has_no_frequent: bool) -> Result<(Option<f64>, Option<f64>), String> {
    let (left, right) = tables.large;
    if has_no_frequent && tables.is_of_all(method) && tables.n_categories() > 2 {
        // Rows are dealt, and what comes of that is a part of the p-value of the column. The table is that of one category alone.
        if let Ok(dealt) = PermutedChi2::new(tables.all.0, tables.all.1) {
            return Ok((Some(dealt.statistic()), None));
        }
    }
    // A single category is no difference.
    if left.len() < 2 && tables.n_categories() > 1 {
        return Ok((None, None));
    }
    let test = chi2_contingency_with(left, right, Yates::TwoByTwo).map_err(|e| e.to_string())?;
    Ok((Some(test.statistic), Some(test.p_value)))
}

fn peer(
    config: &Config,
    method: Method,
    reference: Counted<'_, CategoryCounts>,
    current: Counted<'_, CategoryCounts>,
    aligned: &AlignedCounts,
) -> Result<Option<PeerScore>, String> {
    if method.rule().is_none() {
        return Ok(None);
    }
    let (reference, current) = unweighted(method, reference, current)?;
    if reference.is_overflowed() || current.is_overflowed() {
        return Err(format!("`{}` needs every category, and there are too many to keep", method.name()));
    }
    let (mut left, mut right) = (aligned.reference.clone(), aligned.current.clone());
    let has_nulls = reference.n_null() > 0 || current.n_null() > 0;
    if method == Method::AlibiFet && has_nulls {
        return Err(format!("`{}` has no answer for a column with missing values", method.name()));
    }
    // alibi-detect was given missing values as one more category.
    if method == Method::AlibiChi2 && has_nulls {
        left.push(reference.n_null());
        right.push(current.n_null());
    }
    let score = peer_score_of_categories(method, Categories { reference: &left, current: &right })?;
    Ok(score.map(|it| it.with_threshold(config, method)))
}

/// Returns the cells of the rows whose categories are not known one by one.
///
/// Where none of these categories can be frequent they share one cell, as they do where all of them are known. Otherwise a frequent one
/// could change its share and the sum of all stay the same, so that they are compared in groups, by the hash of the name.
fn others(aligned: &AlignedCounts) -> Vec<(u64, u64)> {
    let total = (aligned.reference_other, aligned.current_other);
    if aligned.other_groups.is_empty() {
        return Vec::new();
    }
    let share = smaller_share(aligned);
    if aligned.other_bound as f64 * share < MIN_EXPECTED {
        return vec![total];
    }
    let mut n = aligned.other_groups.len();
    // As many groups as have enough rows each.
    while n > 2 && (total.0 as f64 + total.1 as f64) * share / (n as f64) < 2.0 * MIN_EXPECTED {
        n /= 2;
    }
    in_groups(aligned, n)
}

/// Returns the cells of these rows, so many of them, which is what they were cut into or that halved some times; one is all of them.
fn in_groups(aligned: &AlignedCounts, n: usize) -> Vec<(u64, u64)> {
    if n == 1 {
        return vec![(aligned.reference_other, aligned.current_other)];
    }
    let mut res = aligned.other_groups.clone();
    while res.len() > n.max(1) {
        let upper = res.split_off(res.len() / 2);
        res.iter_mut().zip(upper).for_each(|(it, other)| {
            *it = (it.0.saturating_add(other.0), it.1.saturating_add(other.1));
        });
    }
    res
}

/// The smaller role's share of all rows.
fn smaller_share(aligned: &AlignedCounts) -> f64 {
    let (n, m) = totals(aligned);
    n.min(m) as f64 / (n as f64 + m as f64)
}

/// Returns how many rows both roles have.
fn totals(aligned: &AlignedCounts) -> (u64, u64) {
    let sum = |it: &[u64], other: u64| it.iter().fold(other, |sum, &it| sum.saturating_add(it));
    (sum(&aligned.reference, aligned.reference_other), sum(&aligned.current, aligned.current_other))
}

/// The counts of all categories, then those of the others.
fn with_others(aligned: &AlignedCounts, others: &[(u64, u64)]) -> (Vec<u64>, Vec<u64>) {
    let known = aligned.reference.iter().copied().zip(aligned.current.iter().copied());
    known.chain(others.iter().copied()).unzip()
}

/// Returns which categories share a cell of the large table, by their places and those of the others after them: all by themselves where few
/// are rare (Cochran 1954), otherwise the frequent ones, and all others in one cell.
///
/// Many rare categories would make the statistic far from chi-squared distributed, and call columns drifted that are not.
fn pooling(aligned: &AlignedCounts, others: &[(u64, u64)]) -> Vec<Vec<usize>> {
    let share = smaller_share(aligned);
    let expected = |it: (u64, u64)| (it.0 as f64 + it.1 as f64) * share;
    let known = aligned.reference.iter().copied().zip(aligned.current.iter().copied());
    let n_known = aligned.reference.len();
    let rows: Vec<(u64, u64)> = known.chain(others.iter().copied()).collect();
    let sum = |places: &[usize]| {
        places
            .iter()
            .fold((0u64, 0u64), |sum, at| (sum.0.saturating_add(rows[*at].0), sum.1.saturating_add(rows[*at].1)))
    };
    let both = |it: (u64, u64)| it.0.saturating_add(it.1);
    // One cell of all others is not a frequent category, however large.
    let n_single = if others.len() == 1 { n_known } else { rows.len() };
    let mut rest: Vec<usize> = (n_single..rows.len()).collect();
    let all: Vec<usize> = (0..n_single).filter(|it| rows[*it] != (0, 0)).collect();
    let n_rare = all.iter().filter(|it| expected(rows[**it]) < MIN_EXPECTED).count();
    let has_few =
        n_rare as f64 <= MAX_RARE * all.len() as f64 && all.iter().all(|it| expected(rows[*it]) >= LEAST_EXPECTED);
    if has_few && sum(&rest) == (0, 0) {
        return all.into_iter().map(|it| vec![it]).collect();
    }
    let (frequent, rare): (Vec<usize>, Vec<usize>) = (0..n_single).partition(|it| expected(rows[*it]) >= MIN_EXPECTED);
    rest.extend(rare);
    let mut cells: Vec<Vec<usize>> = frequent.into_iter().map(|it| vec![it]).collect();
    if expected(sum(&rest)) >= MIN_EXPECTED || cells.is_empty() {
        cells.push(rest);
    } else if let Some(least) = cells.iter_mut().min_by_key(|it| both(sum(it))) {
        least.extend(rest);
    }
    if let [all] = &cells[..] {
        // The most frequent category against all others, which Fisher's test can take however few they are.
        let most = (0..n_known).max_by_key(|it| both(rows[*it]));
        if let Some(most) = most.filter(|it| both(sum(all)) > both(rows[*it])) {
            let others = (0..rows.len()).filter(|it| *it != most).collect();
            cells = vec![vec![most], others];
        }
    }
    cells
}

/// Returns the large table, given the counts of all categories and of the others after them.
fn pooled(pooling: &[Vec<usize>], all: &(Vec<u64>, Vec<u64>)) -> (Vec<u64>, Vec<u64>) {
    let sum = |counts: &[u64], places: &[usize]| places.iter().fold(0u64, |sum, it| sum.saturating_add(counts[*it]));
    pooling.iter().map(|places| (sum(&all.0, places), sum(&all.1, places))).unzip()
}

/// Returns the names of the categories that share a cell of the large table, for each such cell.
fn sharing(pooling: &[Vec<usize>], aligned: &AlignedCounts, all: &(Vec<u64>, Vec<u64>)) -> String {
    let name = |at: usize| aligned.keys.get(at).map_or("further categories".to_owned(), |it| format!("`{it}`"));
    let of = |places: &Vec<usize>| -> Option<String> {
        let mut names: Vec<String> =
            places.iter().filter(|it| all.0[**it] > 0 || all.1[**it] > 0).map(|it| name(*it)).collect();
        names.dedup();
        let n = names.len();
        names.truncate(MAX_NAMES);
        let rest = if n > MAX_NAMES { format!(" and {} more", n - MAX_NAMES) } else { String::new() };
        (n > 1).then(|| format!("{}{rest}", names.join(", ")))
    };
    pooling.iter().filter_map(of).collect::<Vec<_>>().join("; ")
}

/// Returns whether no counts with the same sums could be significant.
fn is_hopeless(config: &Config, method: Method, tables: Tables<'_>) -> bool {
    let (left, right) = tables.large;
    let is_of_all = tables.is_of_all(method) && tables.has_rare();
    if is_of_all && least_category_p(tables.all.0, tables.all.1) <= config.alpha() {
        return false;
    }
    let (&[a, b], &[c, d]) = (left, right) else { return left.len() < 2 };
    let (reference_rows, current_rows) = (a.saturating_add(b), c.saturating_add(d));
    let hits = a.saturating_add(c).min(b.saturating_add(d));
    let p_value = |reference_hits: u64| {
        let current_hits = hits - reference_hits;
        fisher_exact(Shares { reference_hits, reference_rows, current_hits, current_rows })
    };
    let extremes = [hits.min(reference_rows), hits - hits.min(current_rows)];
    extremes.into_iter().filter_map(|it| p_value(it).ok()).all(|it| it > config.alpha())
}

fn cells(aligned: &AlignedCounts, others: &[(u64, u64)]) -> Vec<Cell> {
    let (n, m) = totals(aligned);
    let cell = |name: &str, left: u64, right: u64| Cell {
        name: name.to_owned(),
        reference: left as f64 / n as f64,
        current: right as f64 / m as f64,
    };
    let rows = aligned.keys.iter().zip(aligned.reference.iter().zip(&aligned.current));
    let mut cells: Vec<_> = rows.map(|(name, (&left, &right))| cell(name, left, right)).collect();
    for (at, (left, right)) in others.iter().enumerate() {
        let name = match others.len() {
            1 => "(further categories)".to_owned(),
            n => format!("(further categories, group {} of {n})", at + 1),
        };
        cells.push(cell(&name, *left, *right));
    }
    cells
}

/// Returns the categories that the reference lacks, if it may lack any.
pub(crate) fn unseen(reference: &CategoryCounts, current: &CategoryCounts) -> Option<Unseen> {
    if reference.n() == 0 {
        return None;
    }
    // Of a reference with too many categories it is known of some only that it lacks them.
    let range_of = reference.ranges();
    let ranges = current.counts().into_iter().map(|(name, count)| (name, count, range_of(name)));
    let (mut new, seen): (Vec<_>, Vec<_>) = ranges.partition(|it| it.2 == (0, 0));
    let sum = |rows: &[(&str, u64, (u64, u64))]| rows.iter().fold(0u64, |sum, it| sum.saturating_add(it.1));
    let n_rows = sum(&new);
    let n_seen = seen.iter().filter(|it| it.2.0 > 0).fold(0u64, |sum, it| sum.saturating_add(it.1));
    // All categories of a whole reference are known, and so is that it has no others.
    let most = if current.is_overflowed() || reference.is_overflowed() { current.n() - n_seen } else { n_rows };
    if most == 0 {
        return None;
    }
    new.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(right.0)));
    // Good and Turing: the unseen mass is about the share of categories seen once; three deviations on top.
    let (n, m) = (reference.n() as f64, current.n() as f64);
    // As many of those that are not kept may have been seen once as there are rows of them.
    let once = reference.counts().values().filter(|it| **it == 1).count() as f64 + reference.n_other() as f64;
    let expected = ((once + 3.0 * once.sqrt()) / n + 3.0 * (once / n / m).sqrt()).min(1.0);
    Some(Unseen {
        names: new.iter().take(MAX_NAMES).map(|it| it.0.to_owned()).collect(),
        count: new.len() as u64,
        share: n_rows as f64 / m,
        most: most as f64 / m,
        expected,
    })
}

/// Given the counts and of how many rows that count alike they are.
fn constant(reference: (&CategoryCounts, u64), current: (&CategoryCounts, u64)) -> Option<Constant> {
    let only = |it: &CategoryCounts| {
        (it.n_kept() == 1 && !it.is_overflowed())
            .then(|| it.counts().keys().next().map(|it| (*it).to_owned()))
            .flatten()
    };
    let (is_current, value, own, other) = match (only(reference.0), only(current.0)) {
        (Some(it), None) => (false, it, reference, current),
        (None, Some(it)) => (true, it, current, reference),
        _ => return None,
    };
    let share = other.0.counts().get(value.as_str()).copied().unwrap_or(0) as f64 / other.0.n() as f64;
    Some(Constant { is_current, value, chance: share.powf(own.1 as f64) })
}

#[cfg(test)]
mod tests {
    use modelwatch_stats::two_sample::homogeneity;

    use super::*;

    fn of(counts: &[(&str, u64)]) -> CategoryCounts {
        let mut res = CategoryCounts::default();
        counts.iter().for_each(|(name, count)| res.push(name, *count));
        res
    }

    fn compare(reference: &[(&str, u64)], current: &[(&str, u64)]) -> Part {
        compare_counts(&of(reference), &of(current))
    }

    fn compare_counts(reference: &CategoryCounts, current: &CategoryCounts) -> Part {
        let [reference, current] = [reference, current].map(|rows| Counted { rows, weighted: None });
        compare_categories(&Config::default(), Method::Auto, None, reference, current).unwrap()
    }

    fn large(aligned: &AlignedCounts) -> (Vec<u64>, Vec<u64>) {
        let others = others(aligned);
        pooled(&pooling(aligned, &others), &with_others(aligned, &others))
    }

    #[test]
    fn the_statistic_is_that_which_was_tested() {
        // Each of 40 categories has two rows of one role; none is frequent.
        let names: Vec<String> = (0..40).map(|it| format!("n{it}")).collect();
        let half = |from: usize| names.iter().skip(from).step_by(2).map(|it| (it.as_str(), 2)).collect::<Vec<_>>();
        let chi2 = |part: &Part| match part.detail {
            Detail::Categorical { chi2_statistic, chi2_p_value, .. } => (chi2_statistic, chi2_p_value),
            Detail::Numeric { .. } => panic!("they are categories"),
        };
        // Every cell has 2 rows where 1 is expected, or none.
        assert_eq!(chi2(&compare(&half(0), &half(1))), (Some(80.0), None));
        assert_eq!(chi2(&compare(&[("a", 50)], &[("a", 40)])), (Some(0.0), Some(1.0)));
        let (statistic, p_value) = chi2(&compare(&[("a", 50), ("b", 50)], &[("a", 40), ("b", 60)]));
        assert!((statistic.unwrap() - 1.636_363).abs() < 1e-6 && p_value.unwrap() > 0.2);
    }

    #[test]
    fn rare_categories_share_a_cell() {
        let aligned = align(&of(&[("a", 90), ("b", 7), ("c", 3)]), &of(&[("a", 80), ("d", 20)]));
        assert_eq!(large(&aligned), (vec![90, 0, 10], vec![80, 20, 0]));
        let aligned = align(&of(&[("a", 990), ("b", 7), ("c", 3)]), &of(&[("a", 95), ("b", 5)]));
        assert_eq!(large(&aligned), (vec![990, 10], vec![95, 5]));
    }

    #[test]
    fn new_categories_are_news_unless_rare_ones_are_common() {
        let found = unseen(&of(&[("a", 990), ("b", 10)]), &of(&[("a", 97), ("z", 3)])).unwrap();
        assert_eq!((found.names, found.count, found.expected), (vec!["z".to_owned()], 1, 0.0));
        let names: Vec<String> = (0..100).map(|it| format!("id{it}")).collect();
        let ids: Vec<(&str, u64)> = names.iter().map(|it| (it.as_str(), 1)).collect();
        let found = unseen(&of(&ids[..50]), &of(&ids[50..])).unwrap();
        assert!(found.expected >= found.share);
        assert_eq!(unseen(&of(&ids[..1]), &of(&ids[1..])).unwrap().expected, 1.0, "no more than all");
        let part = compare(&ids[..50], &ids[50..]);
        assert!(matches!(part.detail, Detail::Categorical { is_untested: true, .. }));
    }

    #[test]
    fn a_reference_that_was_cut_bounds_what_is_new() {
        let names: Vec<String> = (0..300).map(|it| format!("id{it}")).collect();
        let mut rows: Vec<(&str, u64)> = names.iter().map(|it| (it.as_str(), 2)).collect();
        rows.push(("often", 600));
        let mut reference = of(&rows);
        reference.cut(50, usize::MAX);
        let found = unseen(&reference, &of(&[("often", 90), ("id1", 8), ("new", 2)])).unwrap();
        assert!(found.share <= 0.02 && found.most >= 0.02 && found.most <= 0.1, "{found:?}");
    }

    #[test]
    fn a_frequent_category_that_is_not_known_by_name_cannot_hide() {
        let names: Vec<String> = (0..400).map(|it| format!("id{it}")).collect();
        let all = |first: u64| -> Vec<(&str, u64)> {
            names.iter().enumerate().map(|(at, it)| (it.as_str(), if at == 0 { first } else { 30 })).collect()
        };
        // With room for some of the categories only, whichever they are.
        let few = |rows: &[(&str, u64)]| {
            let mut res = CategoryCounts::new(20);
            rows.iter().for_each(|(name, count)| res.push(name, *count));
            res
        };
        let part = |first: u64| {
            let (left, right) = (few(&all(6000)), few(&all(first)));
            compare_counts(&left, &right)
        };
        assert!(part(6000).score.p_value > 0.99);
        assert!(part(2000).score.p_value < 1e-9 && part(2000).is_large());
    }

    #[test]
    fn a_constant_is_weighed_by_its_share_in_the_other_role() {
        let part = compare(&[("a", 50), ("b", 50)], &[("a", 30)]);
        assert_eq!(
            part.constant,
            Some(Constant { is_current: true, value: "a".to_owned(), chance: 0.5f64.powf(30.0) })
        );
        assert_eq!(compare(&[("a", 50)], &[("a", 30)]).constant, None);
    }

    #[test]
    fn what_is_found_among_rare_categories_is_large_enough_to_tell() {
        let names: Vec<String> = (0..40).map(|it| format!("c{it}")).collect();
        let reference: Vec<(&str, u64)> = names.iter().map(|it| (it.as_str(), 125)).collect();
        let current: Vec<(&str, u64)> = names[..16].iter().map(|it| (it.as_str(), 6)).collect();
        let part = compare(&reference, &current);
        assert!(part.score.p_value < 1e-3 && part.is_large() && part.score.effect.value > 0.3, "{:?}", part.score);
        // By chance alone the distance is a quarter.
        let alike: Vec<(&str, u64)> =
            names.iter().enumerate().map(|it| (it.1.as_str(), [1, 2, 3, 4][it.0 % 4])).collect();
        let part = compare(&reference, &alike);
        assert!(part.score.p_value > 0.05 && !part.is_large(), "{:?}", part.score);
    }

    #[test]
    fn names_that_hardly_repeat_are_untested() {
        let names: Vec<String> = (0..121).map(|it| format!("id{it}")).collect();
        let ids: Vec<(&str, u64)> = names.iter().map(|it| (it.as_str(), 1)).collect();
        let mut reference = ids[..60].to_vec();
        reference.push(("again", 2));
        let part = compare(&reference, &ids[60..]);
        assert!(matches!(part.detail, Detail::Categorical { is_untested: true, .. }));
        // The large table is all that this test looks at, and it cannot differ.
        let [reference, current] = [of(&ids[..4]), of(&ids[4..8])];
        let [left, right] = [&reference, &current].map(|rows| Counted { rows, weighted: None });
        let part = compare_categories(&Config { min_rows: 1, ..Config::default() }, Method::Chi2, None, left, right);
        assert!(matches!(part.unwrap().detail, Detail::Categorical { is_untested: true, .. }));
    }

    #[test]
    fn what_many_categories_share_is_found_beyond_the_dealings() {
        let names: Vec<String> = (0..60).map(|it| format!("c{it}")).collect();
        let rows = |of_even: u64, of_odd: u64| -> Vec<(&str, u64)> {
            let count = |at: usize| if at.is_multiple_of(2) { of_even } else { of_odd };
            let common = names.iter().enumerate().map(|(at, it)| (it.as_str(), count(at)));
            common.chain([("rare", 1)]).collect()
        };
        let [reference, current] = [of(&rows(60, 40)), of(&rows(40, 60))];
        for method in [Method::Chi2, Method::G] {
            let [left, right] = [&reference, &current].map(|rows| Counted { rows, weighted: None });
            let part = compare_categories(&Config::default(), method, None, left, right).unwrap();
            assert!(part.score.p_value < 1e-20, "{method:?}: {:?}", part.score);
        }
    }

    #[test]
    fn of_weighted_rows_the_large_table_speaks() {
        let all: ([u64; 4], [u64; 4]) = ([4000, 900, 100, 0], [75, 17, 2, 6]);
        let large: ([u64; 3], [u64; 3]) = ([4000, 900, 100], [75, 17, 8]);
        let p_value = |is_weighted: bool| {
            let tables = Tables {
                large: (&large.0, &large.1),
                all: (&all.0, &all.1),
                further: &Further::default(),
                is_weighted,
            };
            score_categories(Method::Auto, &Config::default().min_effect, tables).unwrap().p_value
        };
        assert!(p_value(false) < 1e-4);
        assert_eq!(p_value(true), homogeneity(&large.0, &large.1).unwrap().p_value);
    }
}
