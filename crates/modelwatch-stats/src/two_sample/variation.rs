//! The total variation distance of two rows of counts: what chance makes of it, and where that of the distributions lies.

use super::total;
use crate::bootstrap::ln_factorial;
use crate::error::{Reason, Undefined, finite};
use crate::intervals::{Interval, normal_quantile, normal_tail};

/// The fewest rows that are expected of a category on either side for its difference to be taken for normal.
const NORMAL_ROWS: f64 = 5.0;

/// Returns the total variation distance that is to be expected where all rows are dealt at random to sides of the same sizes.
///
/// Of many categories with few rows each it is far from 0. It is the mean deviation of binomial counts (de Moivre 1730).
///
/// ```
/// use modelwatch_stats::two_sample::chance_variation;
///
/// // Of two rows each in five categories: (1, 1) in half of the dealings, and 0 or 2 otherwise.
/// assert!((chance_variation(&[1; 5], &[1; 5]) - 0.5).abs() < 1e-12);
/// assert!(chance_variation(&[10_000; 2], &[10_000; 2]) < 0.01);
/// ```
pub fn chance_variation(reference: &[u64], current: &[u64]) -> f64 {
    let (m, n) = (total(reference), total(current));
    let share = m / (m + n);
    let rows = reference.iter().zip(current).map(|(&left, &right)| left as f64 + right as f64);
    rows.map(|it| mean_deviation(it, share)).sum::<f64>() * (m + n) / (m * n) / 2.0
}

/// The mean absolute deviation of the number of so many rows that each are on a side with that probability.
fn mean_deviation(rows: f64, share: f64) -> f64 {
    let expected = rows * share;
    if rows * share * (1.0 - share) > 1e4 {
        return (rows * share * (1.0 - share) * std::f64::consts::FRAC_2_PI).sqrt();
    }
    if rows == 0.0 {
        return 0.0;
    }
    let above = expected.floor() + 1.0;
    let ln_choose = ln_factorial(rows) - ln_factorial(above) - ln_factorial(rows - above);
    2.0 * above * (1.0 - share) * (ln_choose + above * share.ln() + (rows - above) * (1.0 - share).ln()).exp()
}

/// Returns where the total variation distance of the distributions lies, given the variance of that of the samples by the delta method.
///
/// The distance of the samples is greater on average than that of the distributions, since `|p - q|` is convex (Jensen's inequality), and far
/// greater for many categories. So the interval ends above it by its standard deviations, and begins below by these and by the most that
/// chance can have added: of a category with the difference δ and the standard deviation σ that is `E|N(δ, σ²)| - |δ|` (the folded normal
/// distribution, Leone, Nelson & Nottingham 1961), which is greatest at δ = 0 and vanishes for categories that differ for sure. δ is taken from the lower end
/// of its own interval; of categories with few rows it is 0, and the mean deviation of the binomial takes the place of the normal one,
/// as in [`chance_variation`]. The standard deviation is at least that of equal distributions.
/// It holds at least what it says, for many rare categories much more.
///
/// ```
/// use modelwatch_stats::two_sample::{CellDistance, cell_effect};
///
/// // A hundred equal shares on both sides: the samples differ by chance.
/// let counts = |shift: usize| (0..100).map(|it| 20 + ((it * 7 + shift) % 9) as u64).collect::<Vec<_>>();
/// let effect = cell_effect(CellDistance::TotalVariation, &counts(0), &counts(4), 0.95).unwrap();
/// assert!(effect.value > 0.05 && effect.interval.low == 0.0);
/// ```
pub fn variation_interval(
    reference: &[u64],
    current: &[u64],
    variance: f64,
    level: f64,
) -> Result<Interval, Undefined> {
    if !(level > 0.0 && level < 1.0) {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    let (m, n) = (total(reference), total(current));
    let share = m / (m + n);
    // At 95 %, 2.5 standard deviations.
    let certain = normal_quantile(1.0 - (1.0 - level) / 8.0)?;
    let (mut distance, mut chance, mut of_chance) = (0.0, 0.0, 0.0);
    for (&left, &right) in reference.iter().zip(current) {
        let (rows, difference) = (left as f64 + right as f64, (left as f64 / m - right as f64 / n).abs());
        let deviation = (rows / (m * n)).sqrt();
        let greatest = mean_deviation(rows, share) * (m + n) / (m * n);
        distance += difference / 2.0;
        of_chance += (deviation.powi(2) - greatest.powi(2)).max(0.0) / 4.0;
        let is_normal = rows * share.min(1.0 - share) >= NORMAL_ROWS;
        let least = if is_normal { difference / deviation - certain } else { 0.0 };
        chance += if least > 0.0 { greatest.min(deviation * excess(least)) / 2.0 } else { greatest / 2.0 };
    }
    let reach = finite(normal_quantile((1.0 + level) / 2.0)? * variance.max(of_chance).max(0.0).sqrt())?;
    Ok(Interval { low: (distance - chance - reach).max(0.0), high: (distance + reach).min(1.0), level })
}

/// `E|Z + mean| - mean` of a standard normal Z, for a mean that is not negative.
fn excess(mean: f64) -> f64 {
    let density = (-mean * mean / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    2.0 * (density - mean * normal_tail(mean))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::two_sample::{CellDistance, cell_effect};

    /// Counts of so many rows over `k` categories, of which those with an even place have `1 + shift` times the share of an even split, and
    /// the others `1 - shift` times.
    fn counts(random: &mut Random, k: usize, rows: u64, shift: f64) -> Vec<u64> {
        let mut res = vec![0; k];
        for _ in 0..rows {
            let pair = 2 * random.below(k as u64 / 2) as usize;
            res[pair + usize::from(random.unit() >= (1.0 + shift) / 2.0)] += 1;
        }
        res
    }

    /// Shares that fall as those of words do (Zipf 1949), in the order of places or the reverse.
    fn falling(random: &mut Random, sums: &[f64], rows: u64, is_reverse: bool) -> Vec<u64> {
        let mut res = vec![0; sums.len()];
        for _ in 0..rows {
            let place = random.positive_unit() * sums[sums.len() - 1];
            let at = sums.partition_point(|it| *it < place);
            let at = at.min(sums.len() - 1);
            res[if is_reverse { sums.len() - 1 - at } else { at }] += 1;
        }
        res
    }

    fn coverage(runs: u32, truth: f64, mut draw: impl FnMut() -> [Vec<u64>; 2]) -> (f64, f64) {
        let (mut n_covered, mut low) = (0, 0.0);
        for _ in 0..runs {
            let [left, right] = draw();
            let it = cell_effect(CellDistance::TotalVariation, &left, &right, 0.95).unwrap();
            assert!(it.interval.low <= it.value && it.value <= it.interval.high, "{it:?}");
            n_covered += u32::from(it.interval.low <= truth && truth <= it.interval.high);
            low += it.interval.low / f64::from(runs);
        }
        (f64::from(n_covered) / f64::from(runs), low)
    }

    #[test]
    fn intervals_of_many_categories_cover_the_true_distance() {
        let mut random = Random::new(11);
        let sizes = [(200, 200), (2000, 2000), (50_000, 50_000), (2000, 200), (50_000, 200), (200, 50_000)];
        for k in [4, 20, 100, 1000] {
            for (m, n) in sizes {
                for shift in [0.0, 0.2, 0.8] {
                    let mut draw = || [counts(&mut random, k, m, 0.0), counts(&mut random, k, n, shift)];
                    let (covered, low) = coverage(600, shift / 2.0, &mut draw);
                    assert!(covered >= 0.93, "{k} categories, {m} and {n} rows, {shift}: {covered}");
                    // It is of use where there are enough rows for the categories.
                    let is_enough = k as u64 * 20 <= m.min(n) && shift > 0.5;
                    assert!(!is_enough || low > 0.6 * shift / 2.0, "{k} categories, {m} and {n} rows: from {low}");
                }
            }
        }
    }

    #[test]
    fn intervals_of_uneven_categories_cover_the_true_distance() {
        let mut random = Random::new(5);
        for k in [5usize, 20, 100, 1000] {
            let mut sum = 0.0;
            let sums: Vec<f64> = (1..=k)
                .map(|it| {
                    sum += 1.0 / it as f64;
                    sum
                })
                .collect();
            let share = |it: usize| 1.0 / (it + 1) as f64 / sum;
            let reversed = (0..k).map(|it| (share(it) - share(k - 1 - it)).abs()).sum::<f64>() / 2.0;
            for (m, n) in [(200, 200), (2000, 2000), (20_000, 20_000), (20_000, 200)] {
                for (is_reverse, truth) in [(false, 0.0), (true, reversed)] {
                    let mut draw =
                        || [falling(&mut random, &sums, m, false), falling(&mut random, &sums, n, is_reverse)];
                    let (covered, _) = coverage(400, truth, &mut draw);
                    assert!(covered >= 0.93, "{k} categories, {m} and {n} rows, {truth}: {covered}");
                }
            }
        }
    }

    #[test]
    fn the_most_that_chance_adds_is_that_of_a_folded_normal() {
        assert!((excess(0.0) - (2.0 / std::f64::consts::PI).sqrt()).abs() < 1e-12);
        // E|Z + 1| - 1 = 2 φ(1) - 2 (1 - Φ(1)).
        assert!((excess(1.0) - 0.166_630_9).abs() < 1e-6);
        assert!(excess(6.0) < 1e-8);
    }

    #[test]
    fn categories_that_nobody_has_change_nothing() {
        let plain = variation_interval(&[30, 70], &[50, 50], 1e-3, 0.95).unwrap();
        assert_eq!(variation_interval(&[30, 0, 70], &[50, 0, 50], 1e-3, 0.95).unwrap(), plain);
        assert_eq!(variation_interval(&[1], &[1], 0.0, 1.0), Err(Undefined::new(Reason::OutOfRange)));
    }
}
