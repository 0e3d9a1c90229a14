//! Percentiles of measured times, with intervals that assume nothing of their distribution.

use modelwatch_sdk::report::Interval;
use modelwatch_stats::intervals::quantile_ranks;

/// Below so many runs nothing is said of them.
pub(crate) const MIN_RUNS: usize = 10;

/// How many scaled median absolute deviations from the median a run is an outlier.
const OUTLIER: f64 = 10.0;

/// A value with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) interval: Interval,
}

/// Times of runs, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn new(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        Self(seconds)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns a percentile, by linear interpolation (type 7 of Hyndman & Fan 1996), between order statistics that
    /// enclose it. Where there are too few runs for a bound it is 0 or infinite. None without runs.
    pub(crate) fn percentile(&self, quantile: f64, level: f64) -> Option<Estimate> {
        let ranks = quantile_ranks(self.0.len() as u64, quantile, level).ok()?;
        let at = |rank: u64| self.0[rank as usize - 1];
        let interval = Interval { low: ranks.low.map_or(0.0, at), high: ranks.high.map_or(f64::INFINITY, at), level };
        Some(Estimate { value: self.value_at(quantile), interval })
    }

    fn value_at(&self, quantile: f64) -> f64 {
        let position = quantile * (self.0.len() - 1) as f64;
        let (low, high) = (position.floor() as usize, position.ceil() as usize);
        self.0[low] + (self.0[high] - self.0[low]) * position.fract()
    }

    /// Returns how many runs took far longer or shorter than the others: their distance from the median is above ten
    /// times the median absolute deviation, scaled to a normal distribution's standard deviation.
    pub(crate) fn outliers(&self) -> usize {
        if self.0.is_empty() {
            return 0;
        }
        let median = self.value_at(0.5);
        let deviations = Self::new(self.0.iter().map(|it| (it - median).abs()).collect());
        let scale = 1.4826 * deviations.value_at(0.5);
        deviations.0.iter().filter(|&&it| it > OUTLIER * scale && it > 0.0).count()
    }
}

/// Returns how many times the baseline's percentile the candidate's is. `pairs` are runs one after the other.
///
/// For the median it is that of the pairs' ratios, in which what slows both down cancels out. For others it is the
/// ratio of the percentiles, between the bounds of intervals that hold together (Bonferroni).
pub(crate) fn ratio(pairs: &[(f64, f64)], quantile: f64, level: f64) -> Option<Estimate> {
    if quantile == 0.5 {
        return Series::new(pairs.iter().map(|(a, b)| a / b).collect()).percentile(quantile, level);
    }
    let (candidate, baseline): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    let each = 1.0 - (1.0 - level) / 2.0;
    let a = Series::new(candidate).percentile(quantile, each)?;
    let b = Series::new(baseline).percentile(quantile, each)?;
    let interval = Interval { low: a.interval.low / b.interval.high, high: a.interval.high / b.interval.low, level };
    Some(Estimate { value: a.value / b.value, interval })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_definition() {
        let series = Series::new((1..=10).rev().map(f64::from).collect());
        let median = series.percentile(0.5, 0.95).unwrap();
        assert_eq!((median.value, median.interval.low, median.interval.high), (5.5, 2.0, 9.0));
        let tail = series.percentile(0.95, 0.95).unwrap();
        assert!((tail.value - 9.55).abs() < 1e-12 && tail.interval.high == f64::INFINITY);
        assert!(Series::default().percentile(0.5, 0.95).is_none());
    }

    #[test]
    fn outliers_are_far_from_the_others() {
        let mut values: Vec<f64> = (0..100).map(|it| 1.0 + f64::from(it) / 1000.0).collect();
        assert_eq!(Series::new(values.clone()).outliers(), 0);
        values.extend([2.0, 30.0]);
        assert_eq!(Series::new(values).outliers(), 2);
        assert_eq!(Series::new(vec![1.0; 50]).outliers(), 0);
        assert_eq!(Series::default().outliers(), 0);
    }

    /// Of seeded samples, the share of which the interval has the true percentile, and of which a ratio of 1 is in it.
    #[test]
    fn intervals_cover_what_they_say() {
        let mut state = 7_u64;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        for (quantile, truth) in [(0.5, 2f64.ln()), (0.95, 20f64.ln())] {
            let (mut covered, mut equal) = (0, 0);
            for _ in 0..1000 {
                // Exponential times.
                let mut draw = || -(1.0 - uniform()).ln();
                let pairs: Vec<(f64, f64)> = (0..120).map(|_| (draw(), draw())).collect();
                let one = Series::new(pairs.iter().map(|it| it.0).collect()).percentile(quantile, 0.95).unwrap();
                covered += u32::from((one.interval.low..=one.interval.high).contains(&truth));
                let ratio = ratio(&pairs, quantile, 0.95).unwrap();
                equal += u32::from((ratio.interval.low..=ratio.interval.high).contains(&1.0));
            }
            assert!(covered >= 945 && equal >= 945, "{quantile}: {covered} and {equal} of 1000");
        }
    }
}
