//! The χ² and G tests of two rows of counts by their permutation distributions, which hold however rare the categories are.

use super::n_rows;
use crate::{
    error::{Reason, Undefined},
    random::{Random, hypergeometric},
};

/// After so many dealings that are at least as extreme as the data, no more are made.
const ENOUGH: u64 = 20;
/// No more dealings than that.
const MOST: u64 = 10_000;
/// No more steps than that in all dealings together: one for each count that is drawn, and one for each standard deviation of it.
const MOST_STEPS: f64 = 1e7;
/// Of more rows than that, the probabilities are not exact enough.
const MOST_ROWS: u64 = 1 << 33;
/// Equal statistics differ by rounding.
const TIE: f64 = 1.0 - 1e-10;
/// So much of each row, too, where terms cancel.
const LOST_DIGITS: f64 = 1e-14;

/// Pearson's χ² of two rows of counts, or G, and how it is distributed where all rows are dealt at random to two sides of the same sizes.
///
/// ```
/// use modelwatch_stats::two_sample::PermutedChi2;
///
/// // Ten categories of one row each: every dealing is as extreme as any other.
/// let ids = PermutedChi2::new(&[1, 1, 1, 1, 1, 0, 0, 0, 0, 0], &[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]).unwrap();
/// assert_eq!(ids.p_value(7), 1.0);
/// ```
#[derive(Clone, Debug)]
pub struct PermutedChi2 {
    /// The rows of both sides of each category that has some, after the sum of those before.
    places: Vec<u64>,
    /// The rows of the smaller side.
    dealt: u64,
    /// What they add up to.
    statistic: Statistic,
    /// The terms of the data.
    terms: f64,
}

/// What is added up over the categories.
#[derive(Clone, Copy, Debug)]
enum Statistic {
    /// The squared deviations of the smaller side, over the rows.
    Pearson,
    /// Half of G.
    LikelihoodRatio,
}

impl PermutedChi2 {
    /// Takes the counts of the same categories of both sides.
    ///
    /// Undefined if a side has no rows, the lengths differ, or there are more than 2³³ rows.
    pub fn new(reference: &[u64], current: &[u64]) -> Result<Self, Undefined> {
        Self::of(Statistic::Pearson, reference, current)
    }

    /// Takes the counts for the likelihood ratio, G, in the place of Pearson's statistic.
    ///
    /// Undefined as [`PermutedChi2::new`].
    ///
    /// ```
    /// use modelwatch_stats::two_sample::{PermutedChi2, Yates, g_test};
    ///
    /// let (reference, current) = ([600, 399, 1], [12, 5, 3]);
    /// let dealt = PermutedChi2::likelihood_ratio(&reference, &current).unwrap();
    /// let test = g_test(&reference, &current, Yates::Off).unwrap();
    /// assert!((dealt.statistic() - test.statistic).abs() < 1e-9);
    /// ```
    pub fn likelihood_ratio(reference: &[u64], current: &[u64]) -> Result<Self, Undefined> {
        Self::of(Statistic::LikelihoodRatio, reference, current)
    }

    fn of(statistic: Statistic, reference: &[u64], current: &[u64]) -> Result<Self, Undefined> {
        if reference.len() != current.len() {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        let (left, right) = (n_rows(reference), n_rows(current));
        if left == 0 || right == 0 {
            return Err(Undefined::new(Reason::Empty));
        }
        if left.saturating_add(right) > MOST_ROWS {
            return Err(Undefined::new(Reason::OutOfRange));
        }
        let (smaller, larger) = if left < right { (reference, current) } else { (current, reference) };
        let counts: Vec<(u64, u64)> =
            smaller.iter().copied().zip(larger.iter().copied()).filter(|it| *it != (0, 0)).collect();
        let mut places = vec![0];
        for (own, others) in &counts {
            places.push(places[places.len() - 1] + own + others);
        }
        let mut res = Self { places, dealt: left.min(right), statistic, terms: 0.0 };
        res.terms = counts.iter().enumerate().map(|(at, it)| res.term(at, it.0)).sum();
        Ok(res)
    }

    /// Returns the least p-value that there can be.
    pub fn resolution(&self) -> f64 {
        1.0 / (self.most() + 1) as f64
    }

    /// Returns the statistic, uncorrected.
    pub fn statistic(&self) -> f64 {
        match self.statistic {
            // The terms of both sides have the same ratio everywhere.
            Statistic::Pearson => self.terms / (self.share() * (1.0 - self.share())),
            Statistic::LikelihoodRatio => 2.0 * self.terms.max(0.0),
        }
    }

    /// Returns the share of the dealings that are at least as extreme as the data.
    ///
    /// They end as soon as 20 are (Besag & Clifford 1991), so that the p-value has a relative error of about a fifth; there are at most 10,000
    /// of them, and fewer of many categories. Where they do not end early, the data counts as one more, so that the p-value is
    /// valid at any level. The seed decides which dealings these are.
    pub fn p_value(&self, seed: u64) -> f64 {
        let mut random = Random::new(seed);
        let least = self.least_extreme();
        let mut extreme = 0;
        for dealings in 1..=self.most() {
            let terms = self.deal(&mut random, (0, self.categories()), self.dealt);
            extreme += u64::from(terms >= least);
            if extreme == ENOUGH {
                return extreme as f64 / dealings as f64;
            }
        }
        (extreme + 1) as f64 / (self.most() + 1) as f64
    }

    /// Returns from which sum of terms on a dealing is as extreme as the data.
    fn least_extreme(&self) -> f64 {
        match self.statistic {
            Statistic::Pearson => self.terms * TIE,
            // Terms of either sign cancel in each category.
            Statistic::LikelihoodRatio => self.terms * TIE - self.places[self.categories()] as f64 * LOST_DIGITS,
        }
    }

    fn most(&self) -> u64 {
        let (rows, categories) = (self.dealt as f64, self.categories() as f64);
        // The standard deviations of the counts come to less than that root.
        let steps = rows.min(categories) + (rows * categories).sqrt();
        ((MOST_STEPS / steps) as u64).clamp(ENOUGH, MOST)
    }

    fn categories(&self) -> usize {
        self.places.len() - 1
    }

    /// Deals so many of the rows of a range of categories to the smaller side, and returns the sum of their terms.
    ///
    /// Halves are dealt first, so that nothing is drawn for the categories of a half that gets no rows.
    fn deal(&self, random: &mut Random, (start, end): (usize, usize), rows: u64) -> f64 {
        let of = |start: usize, end: usize| self.places[end] - self.places[start];
        if rows == 0 {
            let rows = of(start, end) as f64;
            return match self.statistic {
                // The sum of `e² / c`.
                Statistic::Pearson => self.share().powi(2) * rows,
                // All of them are on the other side.
                Statistic::LikelihoodRatio => -rows * (-self.share()).ln_1p(),
            };
        }
        if end - start == 1 {
            return self.term(start, rows);
        }
        let middle = start.midpoint(end);
        let first = hypergeometric(random, of(start, middle), of(middle, end), rows);
        self.deal(random, (start, middle), first) + self.deal(random, (middle, end), rows - first)
    }

    /// `(a - e)² / c`, where `c` rows are in the category, of which the smaller side has `a` and is expected to have `e`; or the sum of
    /// `a ln(a / e)` over both sides.
    fn term(&self, category: usize, count: u64) -> f64 {
        let rows = (self.places[category + 1] - self.places[category]) as f64;
        let (own, share) = (count as f64, self.share());
        let side = |own: f64, expected: f64| if own > 0.0 { own * (own / expected).ln() } else { 0.0 };
        match self.statistic {
            Statistic::Pearson => (own - rows * share).powi(2) / rows,
            Statistic::LikelihoodRatio => side(own, rows * share) + side(rows - own, rows * (1.0 - share)),
        }
    }

    /// The smaller side's share of all rows.
    fn share(&self) -> f64 {
        self.dealt as f64 / self.places[self.categories()] as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::two_sample::{Shares, Yates, chi2_contingency, fisher_exact, g_test};

    fn p_value(reference: &[u64], current: &[u64]) -> f64 {
        PermutedChi2::new(reference, current).unwrap().p_value(1)
    }

    #[test]
    fn of_two_categories_of_equal_sides_it_is_the_exact_test() {
        for (left, right) in [([40, 3], [30, 13]), ([25, 18], [20, 23]), ([41, 2], [36, 7])] {
            let [a, b] = [left, right].map(|it| (it[0], it[0] + it[1]));
            let shares = Shares { reference_hits: a.0, reference_rows: a.1, current_hits: b.0, current_rows: b.1 };
            let (found, exact) = (p_value(&left, &right), fisher_exact(shares).unwrap());
            // Three standard errors of what ends with the twentieth.
            assert!((found / exact - 1.0).abs() < 3.0 / 20.0f64.sqrt(), "{left:?} {right:?}: {found}, exactly {exact}");
        }
    }

    #[test]
    fn the_statistic_is_that_of_pearson_and_so_is_the_distribution_of_large_counts() {
        for (left, right) in
            [([4000, 2500, 900, 120], [390, 260, 95, 21]), ([500, 400, 300, 200], [450, 410, 330, 250])]
        {
            let expected = chi2_contingency(&left, &right).unwrap();
            let found = PermutedChi2::new(&left, &right).unwrap();
            assert!((found.statistic() / expected.statistic - 1.0).abs() < 1e-12, "{found:?}, expected {expected:?}");
            let ratio = found.p_value(3) / expected.p_value;
            assert!((0.4..2.5).contains(&ratio), "{ratio} of {expected:?}");
        }
    }

    #[test]
    fn rare_categories_do_not_alarm_more_often_than_they_should() {
        // Three hundred categories of about one row each, where χ² is far from its limit.
        let mut random = Random::new(11);
        let mut few = [0u32; 3];
        const RUNS: u32 = 2_000;
        for run in 0..RUNS {
            let mut side = |rows: u32, spread: u64| {
                let mut counts = vec![0u64; 300];
                (0..rows).for_each(|_| counts[(random.below(spread) * random.below(300) / spread) as usize] += 1);
                counts
            };
            let (left, right) = (side(400, 60), side(40, 60));
            let p = PermutedChi2::new(&left, &right).unwrap().p_value(u64::from(run));
            for (count, level) in few.iter_mut().zip([0.01, 0.05, 0.2]) {
                *count += u32::from(p <= level);
            }
        }
        for (count, level) in few.into_iter().zip([0.01, 0.05, 0.2]) {
            let (expected, n) = (f64::from(RUNS) * level, f64::from(RUNS));
            let allowed = expected + 3.0 * (n * level * (1.0 - level)).sqrt();
            assert!(f64::from(count) <= allowed && f64::from(count) > 0.7 * expected, "{count} of {n} at {level}");
        }
    }

    #[test]
    fn the_likelihood_ratio_of_large_counts_is_distributed_as_g() {
        for (left, right) in
            [([4000, 2500, 900, 120], [390, 260, 95, 21]), ([500, 400, 300, 200], [450, 410, 330, 250])]
        {
            let expected = g_test(&left, &right, Yates::Off).unwrap();
            let found = PermutedChi2::likelihood_ratio(&left, &right).unwrap();
            assert!((found.statistic() / expected.statistic - 1.0).abs() < 1e-9, "{found:?}, expected {expected:?}");
            let ratio = found.p_value(3) / expected.p_value;
            assert!((0.4..2.5).contains(&ratio), "{ratio} of {expected:?}");
        }
        let ids = [[1; 60].to_vec(), [0; 60].to_vec()];
        let (left, right) = ([&ids[0][..], &ids[1]].concat(), [&ids[1][..], &ids[0]].concat());
        assert_eq!(PermutedChi2::likelihood_ratio(&left, &right).unwrap().p_value(1), 1.0);
    }

    #[test]
    fn bad_counts_are_undefined() {
        let new = |left: &[u64], right: &[u64]| PermutedChi2::new(left, right).map(|_| ()).map_err(|e| e.reason);
        assert_eq!(new(&[1], &[1, 2]), Err(Reason::LengthMismatch));
        assert_eq!(new(&[0, 0], &[1, 2]), Err(Reason::Empty));
        assert_eq!(new(&[u64::MAX, 1], &[1, 2]), Err(Reason::OutOfRange));
        assert_eq!(new(&[1, 0], &[0, 2]), Ok(()));
    }
}
