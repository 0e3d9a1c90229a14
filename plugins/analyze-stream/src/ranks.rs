//! Values by their place among the first ones of their stream, as numbers of a standard normal distribution (van der Waerden 1952).
//!
//! Whatever the values are distributed as, those that follow have the same places as long as nothing changes. A sum of deviations, which heavy
//! tails and skewed values drive to its threshold, so comes there as often as with normal ones.

use modelwatch_sdk::{
    Result,
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::{Point, intervals::normal_quantile};

/// From so many values on, the numbers of as many places have a standard deviation of about 1.
const MANY: u64 = 1000;

/// How often the range of what numbers may be multiplied by is halved.
const HALVINGS: u32 = 30;

/// The first values, and the numbers of their places and of those between.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ranks {
    /// In ascending order, each with how often it came.
    points: Vec<Point>,
    /// What is below all points, at the first one, between that and the second one, and so on.
    scores: Vec<f64>,
}

impl Ranks {
    /// Returns those of values in ascending order, for sums of what is beyond that slack.
    ///
    /// Where many of them are the same, their places say less than as many others do: they are then spread wider, up to where they vary as much
    /// as those of values that all differ, as long as [few](is_tame) that are seldom do not make up a sum alone.
    pub(crate) fn of(values: &[Point], slack: f64) -> Self {
        let mut points: Vec<Point> = Vec::new();
        // Adding 0 turns -0 into 0.
        for (value, n) in values.iter().filter(|it| it.1 > 0).map(|it| (it.0 + 0.0, it.1)) {
            match points.last_mut().filter(|it| it.0 == value) {
                Some(it) => it.1 += n,
                None => points.push((value, n)),
            }
        }
        let all = points.iter().map(|it| it.1).sum::<u64>() as f64;
        let number = |share: f64| normal_quantile(share).unwrap_or(0.0);
        let mut scores = Vec::with_capacity(2 * points.len() + 1);
        let mut below = 0.0;
        for (_, n) in &points {
            let n = *n as f64;
            scores.push(number((below + 0.5) / (all + 1.0)));
            scores.push(number((below + (n + 1.0) / 2.0) / (all + 1.0)));
            below += n;
        }
        scores.push(most(all));
        let of_points = || points.iter().zip(scores.iter().skip(1).step_by(2)).map(|(it, score)| (*score, it.1 as f64));
        let (mean, deviation) = spread(of_points);
        // Of no values.
        let mean = if mean.is_nan() { 0.0 } else { mean };
        let n_distinct = (all as u64).min(MANY);
        let (_, usual) = spread(|| (1..=n_distinct).map(|it| (number(it as f64 / (n_distinct as f64 + 1.0)), 1.0)));
        let wider = Some(usual / deviation).filter(|it| it.is_finite() && *it > 0.0).unwrap_or(1.0);
        let centered: Vec<_> = of_points().map(|(score, n)| (score - mean, n / all)).collect();
        let wider = widest(&centered, wider, slack);
        scores.iter_mut().for_each(|it| *it = (*it - mean) * wider);
        Self { points, scores }
    }

    /// Returns the number of a value's place.
    pub(crate) fn score(&self, value: f64) -> f64 {
        let place = match self.points.binary_search_by(|it| it.0.total_cmp(&(value + 0.0))) {
            Ok(at) => 2 * at + 1,
            Err(at) => 2 * at,
        };
        self.scores[place]
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.points.len() as u64);
        for (value, n) in &self.points {
            writer.f64(*value);
            writer.u64(*n);
        }
    }

    /// Reads those of at most so many of all values, for sums of what is beyond that slack.
    pub(crate) fn read(reader: &mut Reader<'_>, [n_first, n_all]: [u64; 2], slack: f64) -> Result<Self> {
        let n = reader.u64()?;
        // One more may have ended a warm-up in which all were the same.
        if n > n_first.saturating_add(1) {
            return Err(damaged("more values make a scale than are needed for it"));
        }
        let points: Vec<Point> = (0..n).map(|_| Ok((reader.f64()?, reader.u64()?))).collect::<Result<_>>()?;
        let is_fine = points.iter().all(|it| it.0.is_finite() && (1..=n_all).contains(&it.1))
            && points.is_sorted_by(|left, right| left.0 < right.0)
            && points.iter().try_fold(0u64, |sum, it| sum.checked_add(it.1)).is_some_and(|it| it <= n_all);
        if is_fine { Ok(Self::of(&points, slack)) } else { Err(damaged("the values that make a scale are none")) }
    }
}

/// Returns the number of a value beyond all of so many.
pub(crate) fn most(n: f64) -> f64 {
    normal_quantile((n + 0.5) / (n + 1.0)).unwrap_or(0.0)
}

/// Returns by how much numbers with the mean 0 and these shares may be multiplied, from 1 up to `wider`.
fn widest(numbers: &[(f64, f64)], wider: f64, slack: f64) -> f64 {
    if wider <= 1.0 || is_tame(numbers, wider, slack) {
        return wider;
    }
    let (mut low, mut high) = (1.0, wider);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        *if is_tame(numbers, middle, slack) { &mut low } else { &mut high } = middle;
    }
    low
}

/// Returns whether sums of what is beyond the slack grow large as seldom as with normal numbers.
///
/// The chance that such a sum ever comes to `h` is at most `exp(-θ h)` where the mean of `exp(θ (x - slack))` is at most 1 (Wald 1944), as it is
/// for normal numbers with `θ` twice the slack.
fn is_tame(numbers: &[(f64, f64)], wider: f64, slack: f64) -> bool {
    let mean = |rate: f64| numbers.iter().map(|(it, share)| share * (rate * wider * it).exp()).sum::<f64>();
    let normal = (2.0 * slack * slack).exp();
    mean(2.0 * slack).max(mean(-2.0 * slack)) <= normal
}

/// Returns the mean and the standard deviation of numbers, each as often as it came.
fn spread<I: Iterator<Item = (f64, f64)>>(numbers: impl Fn() -> I) -> (f64, f64) {
    let n: f64 = numbers().map(|it| it.1).sum();
    let mean = numbers().map(|it| it.0 * it.1).sum::<f64>() / n;
    let squares: f64 = numbers().map(|it| it.1 * (it.0 - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl Iterator<Item = f64>) -> Ranks {
        let mut points: Vec<Point> = values.map(|it| (it, 1)).collect();
        points.sort_by(|left, right| left.0.total_cmp(&right.0));
        Ranks::of(&points, 0.5)
    }

    #[test]
    fn places_are_the_same_whatever_the_values_are() {
        let (plain, skewed) = (of((0..99).map(f64::from)), of((0..99).map(|it| f64::from(it).exp())));
        for it in [-1.0, 0.0, 7.0, 49.0, 98.0, 98.5, 1e300] {
            let other = if it < 0.0 { 0.5 } else { f64::exp(it) };
            assert_eq!(plain.score(it), skewed.score(other), "{it}");
        }
        // 49 of 99 are less, and none of those that are seen is beyond the first of 200.
        assert!(plain.score(49.0).abs() < 1e-12 && plain.score(-0.0) == plain.score(0.0));
        assert!((plain.score(1e300) - normal_quantile(0.995).unwrap()).abs() < 1e-12);
        assert_eq!(plain.score(-1e300), -plain.score(1e300));
    }

    #[test]
    fn values_of_which_many_are_the_same_are_spread_as_far_as_sums_stay_tame() {
        let of_flags = |every: u32| of((0..100).map(|it| f64::from(u8::from(it % every == 0))));
        let even = of_flags(2);
        assert!((even.score(0.0).powi(2) - 0.95).abs() < 0.03 && even.score(0.0) == -even.score(1.0));
        let flags = of_flags(10);
        let (zero, one) = (flags.score(0.0), flags.score(1.0));
        assert!((0.9 * zero + 0.1 * one).abs() < 1e-12);
        // Spread wider than their places, and as far as the mean of their exponentials is that of normal numbers.
        assert!(one - zero > 1.78 && (0.9 * zero.exp() + 0.1 * one.exp() - 0.5f64.exp()).abs() < 1e-6, "{flags:?}");
        assert_eq!(of([5.0; 9].into_iter()).score(5.0), 0.0);
        assert_eq!(Ranks::of(&[], 0.5).score(3.0), 0.0);
        let mut writer = Writer::default();
        flags.write(&mut writer);
        assert_eq!(Ranks::read(&mut Reader(&writer.0), [100, 100], 0.5).unwrap(), flags);
        for (n_first, n_all) in [(0, 100), (100, 99)] {
            assert!(Ranks::read(&mut Reader(&writer.0), [n_first, n_all], 0.5).is_err());
        }
    }
}
