//! Rows that count differently: how many rows that count alike they are worth, and which.
//!
//! A share that is estimated from weighted rows varies as one of fewer rows that count alike. By Kish (1965, *Survey Sampling*, §11.7)
//! these are (Σw)² / Σw², which is right where weights have nothing to do with the values. Where they have, the linearized variance of a
//! share p of rows A, [(1 − p)² Σ_A w² + p² Σ_not A w²] / (Σw)² (Särndal, Swensson & Wretman 1992, §5.7), says how many rows
//! that share is worth. The sizes here are the lesser of both, so that a test of so many rows raises no more false alarms than it says, and may
//! have less power than it could.

/// What some rows weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mass {
    /// The sum of their weights.
    pub weight: f64,
    /// The sum of their squared weights.
    pub square: f64,
}

impl FromIterator<f64> for Mass {
    /// Returns what rows of these weights weigh.
    fn from_iter<I: IntoIterator<Item = f64>>(weights: I) -> Self {
        weights.into_iter().map(|it| Self { weight: it, square: it * it }).fold(Self::default(), Self::plus)
    }
}

impl Mass {
    /// Returns how many rows that count alike they are worth, by Kish; 0 where nothing weighs anything.
    ///
    /// ```
    /// use modelwatch_stats::weights::Mass;
    ///
    /// // Weights of 1, 1 and 2.
    /// assert_eq!(Mass { weight: 4.0, square: 6.0 }.size(), 16.0 / 6.0);
    /// ```
    pub fn size(self) -> f64 {
        if self.square > 0.0 { self.weight * self.weight / self.square } else { 0.0 }
    }

    /// Returns how many whole rows that is.
    pub fn whole_size(self) -> u64 {
        whole_rows(self.size())
    }

    fn plus(self, other: Self) -> Self {
        Self { weight: self.weight + other.weight, square: self.square + other.square }
    }

    fn minus(self, other: Self) -> Self {
        Self { weight: self.weight - other.weight, square: (self.square - other.square).max(0.0) }
    }

    /// Returns the linearized variance of the share that these rows have of all.
    pub(crate) fn variance_of_share(self, all: Self) -> f64 {
        let share = self.weight / all.weight;
        let rest = all.minus(self);
        let deviations = (1.0 - share).powi(2) * self.square + share.powi(2) * rest.square;
        deviations / (all.weight * all.weight)
    }
}

/// Returns how many whole rows a size is; 1 of 0.999 999 999, which is what equal weights add up to.
///
/// ```
/// use modelwatch_stats::weights::whole_rows;
///
/// assert_eq!([0.999_999_999_9, 1.9].map(whole_rows), [1, 1]);
/// ```
pub fn whole_rows(size: f64) -> u64 {
    (size * (1.0 + 1e-9)) as u64
}

/// Returns how many rows that count alike numbers are worth, given the mass of each in ascending order: the least of what all of them are
/// worth by Kish, and of what the shares up to each tenth are.
pub fn size_of_numbers(masses: &[Mass]) -> f64 {
    let all = masses.iter().copied().fold(Mass::default(), Mass::plus);
    let mut res = all.size();
    let (mut up_to, mut next_tenth) = (Mass::default(), 1.0);
    for it in masses {
        up_to = up_to.plus(*it);
        let share = up_to.weight / all.weight;
        if share * 10.0 < next_tenth || share >= 1.0 {
            continue;
        }
        next_tenth = (share * 10.0).floor() + 1.0;
        res = res.min(share * (1.0 - share) / up_to.variance_of_share(all));
    }
    res
}

/// Returns how many rows that count alike categories are worth, given the mass of each: the lesser of what all of them are worth by
/// Kish, and tr D / tr D², where D is the linearized covariance of the shares, each divided by the root of its share: the correction of the
/// second order by Rao & Scott (1981), as a size.
///
/// That is n / (δ (1 + a²)) for n rows, where the design effects have the mean δ and the coefficient of variation a. The correction of
/// the first order, which is without a, makes the mean of chi-squared right, but where one category is much heavier than others not its tail:
/// at a level of 0.001 it rejects ten times as often.
pub fn size_of_categories(masses: &[Mass]) -> f64 {
    let all = masses.iter().copied().fold(Mass::default(), Mass::plus);
    let there: Vec<Mass> = masses.iter().copied().filter(|it| it.weight > 0.0).collect();
    if there.len() < 2 {
        return all.size();
    }
    // Of shares p and sums of squares s the covariance is [diag(s) − s pᵀ − p sᵀ + p pᵀ Σs] / (Σw)²; traces need no matrix of it.
    let sum = |of: fn(f64, f64) -> f64| there.iter().map(|it| of(it.square, it.weight / all.weight)).sum::<f64>();
    let trace = sum(|s, p| s / p) - all.square;
    let trace_of_square = sum(|s, p| (s / p).powi(2)) - 2.0 * sum(|s, p| s * s / p) + all.square.powi(2);
    all.size().min(trace * all.weight.powi(2) / trace_of_square)
}

/// Returns `size` rows in the place of weighted ones: how many of each, so that the share of every row and all before it is right to
/// half a row.
///
/// ```
/// use modelwatch_stats::weights::thinned;
///
/// assert_eq!(thinned(&[10, 5, 5], 4), [2, 1, 1]);
/// assert_eq!(thinned(&[1, 1, 1, 1], 2), [1, 0, 1, 0]);
/// ```
pub fn thinned(weights: &[u64], size: u64) -> Vec<u64> {
    let all: u128 = weights.iter().map(|it| u128::from(*it)).sum();
    let (mut up_to, mut taken) = (0, 0);
    let mut take = |weight: &u64| {
        up_to += u128::from(*weight);
        // Half a row is a whole one. 2^64 rows of a weight of 2^64 would not fit: there are never as many rows as units of weight.
        let rows = (up_to * u128::from(size)).saturating_mul(2).saturating_add(all) / (2 * all).max(1);
        let res = rows - taken;
        taken = rows;
        // No more than `size`.
        res as u64
    };
    weights.iter().map(&mut take).collect()
}

#[cfg(test)]
mod tests {
    use crate::{random::Random, two_sample::chi2_contingency};

    use super::*;

    fn masses(weights: &[&[f64]]) -> Vec<Mass> {
        let of = |it: &&[f64]| Mass { weight: it.iter().sum(), square: it.iter().map(|it| it * it).sum() };
        weights.iter().map(of).collect()
    }

    #[test]
    fn rows_that_count_alike_are_worth_what_they_are() {
        let alike = masses(&[&[3.0; 40], &[3.0; 10], &[3.0; 50]]);
        assert!((size_of_numbers(&alike) - 100.0).abs() < 1e-9);
        assert!((size_of_categories(&alike) - 100.0).abs() < 1e-9);
        assert_eq!(thinned(&[40, 10, 50], 100), [40, 10, 50]);
        assert_eq!((size_of_numbers(&[]), size_of_categories(&[])), (0.0, 0.0));
        assert_eq!(thinned(&[0, 0], 0), [0, 0]);
    }

    #[test]
    fn heavy_rows_of_one_value_are_worth_fewer_than_kish_says() {
        // One of a hundred rows stands for ten times as many: most of what varies is how many of these there are.
        let rare = masses(&[&[10.0; 10], &[1.0; 990]]);
        let kish = rare[0].plus(rare[1]).size();
        let share = 100.0 / 1090.0;
        let variance = ((1.0f64 - share).powi(2) * 1000.0 + share.powi(2) * 990.0) / 1090.0f64.powi(2);
        let expected = share * (1.0 - share) / variance;
        assert!(expected < kish / 4.0);
        // The first tenth is all of it for numbers, too, whichever end is heavy.
        for (found, by) in
            [(size_of_categories(&rare), "categories"), (size_of_numbers(&[rare[1], rare[0]]), "numbers")]
        {
            assert!((found - expected).abs() < 1e-9 * expected, "{by}: {found} {expected}");
        }
    }

    #[test]
    fn categories_of_which_one_is_heavy_keep_a_small_budget() {
        const RUNS: usize = 10_000;
        const ROWS: u64 = 1000;
        let alpha = 0.001;
        // Three of 32.7 % each, and one of 2 % whose rows weigh ten times as much.
        let weights = [1.0, 1.0, 1.0, 10.0];
        let mut random = Random::new(11);
        let mut side = || {
            let mut counts = [0u64; 4];
            (0..ROWS).for_each(|_| counts[random.below(1000).min(980) as usize * 3 / 980] += 1);
            let of =
                |(n, weight): (&u64, &f64)| Mass { weight: *n as f64 * weight, square: *n as f64 * weight * weight };
            let masses: Vec<Mass> = counts.iter().zip(&weights).map(of).collect();
            let units: Vec<u64> = masses.iter().map(|it| it.weight as u64).collect();
            thinned(&units, size_of_categories(&masses) as u64)
        };
        let is_alarm = |left: &[u64], right: &[u64]| chi2_contingency(left, right).is_ok_and(|it| it.p_value <= alpha);
        let alarms = (0..RUNS).filter(|_| is_alarm(&side(), &side())).count() as f64;
        let expected = alpha * RUNS as f64;
        assert!(alarms <= expected + 3.0 * expected.sqrt(), "{alarms} of {RUNS}");
    }
}
