//! Intervals of replicates.

use modelwatch_sdk::report::Interval;
use modelwatch_stats::{
    bootstrap::{
        bias_corrected_interval, bias_corrected_logit_interval, expanded_percentile_interval, jackknife_interval,
        logit_interval, studentized_interval,
    },
    correlation::pearson,
};

use super::{BUCKETS, Found, MIN_DIFFERING, Replicates};
use crate::{config::Method, measure::Measure};

/// The share of replicates in which a metric must exist for an interval.
const MIN_SHARE: f64 = 0.9;

/// Up to which part of a bound its distance from the other one is rounding.
pub(super) const ROUNDING: f64 = 1e-13;

/// The least replicates that tell how two metrics go together; two of them always do. As many as a jackknife has.
const MIN_CORRELATED: usize = BUCKETS;

/// Which percentiles of replicates an interval is made of.
#[derive(Clone, Copy)]
struct Percentiles {
    level: f64,
    /// Whether they are corrected for a bias.
    is_corrected: bool,
}

impl Replicates {
    /// Returns them for values that are not exactly those of the rows of which they are drawn.
    pub(crate) fn moved(self) -> Self {
        Self { shrink: Some(self.shrink.unwrap_or(1.0)), ..self }
    }

    /// Returns by how much an interval of the `nth` metric that is moved to the value shrinks; none where it is of the rows of which the value
    /// is.
    pub(super) fn shrink(&self, nth: usize) -> Option<f64> {
        self.shrink.filter(|_| !self.measures[nth].is_of_kept_rows())
    }

    /// Returns the interval of a function of the values of the `nth` metric.
    ///
    /// Where not all rows are kept it is the interval of the kept ones, moved to `value` and shrunk by
    /// the root of their share.
    fn of_replicates(
        &self,
        nth: usize,
        value: f64,
        of: impl Fn([f64; 2]) -> f64,
        Percentiles { level, is_corrected }: Percentiles,
    ) -> Option<Interval> {
        let defined = self.defined(nth, &of).filter(|_| value.is_finite())?;
        let found = match self.method {
            Method::Bootstrap if is_corrected => {
                bias_corrected_interval(of(self.centers[nth].values), &defined, self.effective, level)
            }
            Method::Bootstrap => expanded_percentile_interval(&defined, self.effective, level),
            Method::Jackknife => jackknife_interval(of(self.centers[nth].values), &defined, level),
        };
        let found = found.ok()?;
        let is_constant = found.high - found.low <= ROUNDING * found.low.abs().max(found.high.abs());
        let (low, high) = match self.shrink(nth) {
            _ if is_constant => (value, value),
            None => (found.low, found.high),
            Some(shrink) => {
                let center = of(self.centers[nth].values);
                (value + (found.low - center) * shrink, value + (found.high - center) * shrink)
            }
        };
        (low.is_finite() && high.is_finite()).then_some(Interval { low, high, level })
    }

    /// Returns a function of the values of the `nth` metric in the replicates in which it is defined; none where those are too few.
    pub(super) fn defined(&self, nth: usize, of: impl Fn([f64; 2]) -> f64) -> Option<Vec<f64>> {
        let least = if self.method == Method::Jackknife { 1.0 } else { MIN_SHARE };
        let all = &self.values[nth];
        let res: Vec<f64> = all.iter().map(|it| of(it.values)).filter(|it| it.is_finite()).collect();
        (res.len() as f64 >= least * all.len() as f64).then_some(res)
    }

    /// Returns which of the metrics it is.
    pub(crate) fn position(&self, measure: Measure) -> Option<usize> {
        self.measures.iter().position(|&it| it == measure)
    }

    /// Returns whether the `nth` metric differs between the models in rows enough for an interval of a comparison.
    pub(crate) fn is_comparable(&self, nth: usize) -> bool {
        self.differing[nth] >= MIN_DIFFERING
    }

    /// Returns how the `nth` metric of the candidate and that of the baseline go together, where they differ in few rows: the correlation in
    /// replicates, less by as much as one more row that differs would make it. 0 where that is not known: where they differ in no row, and
    /// for few replicates.
    pub(crate) fn correlation(&self, nth: usize) -> f64 {
        let values = self.values[nth].iter().map(|it| it.values).filter(|it| it.iter().all(|it| it.is_finite()));
        let (left, right): (Vec<f64>, Vec<f64>) = values.map(|[left, right]| (left, right)).unzip();
        let n = self.differing[nth] as f64;
        if left.len() < MIN_CORRELATED {
            return 0.0;
        }
        let found = pearson(&left, &right, &vec![1.0; left.len()]).unwrap_or(0.0);
        if n > 0.0 { (1.0 - (1.0 - found) * (n + 1.0) / n).max(0.0) } else { 0.0 }
    }

    /// Returns the interval of the difference of the models by the `nth` metric; none where they differ in too few rows.
    pub(crate) fn difference(&self, nth: usize, value: f64, level: f64) -> Option<Interval> {
        if self.measures[nth].is_biased() {
            return self.biased_difference(nth, value, level);
        }
        self.compared(nth, value, |it| it[0] - it[1], level)
    }

    /// Returns the interval of the ratio of the models by the `nth` metric; none where they differ in too few rows, and of what is biased.
    pub(crate) fn ratio(&self, nth: usize, value: f64, level: f64) -> Option<Interval> {
        if self.measures[nth].is_biased() { None } else { self.compared(nth, value, |it| it[0] / it[1], level) }
    }

    /// Returns the interval of a comparison of the models by the `nth` metric; none where they differ in too few rows.
    pub(crate) fn compared(
        &self,
        nth: usize,
        value: f64,
        of: impl Fn([f64; 2]) -> f64,
        level: f64,
    ) -> Option<Interval> {
        // What both models' values lean by is gone from their difference.
        let found = || self.of_replicates(nth, value, of, Percentiles { level, is_corrected: false });
        if self.is_comparable(nth) { found() } else { None }
    }

    /// Returns the interval of the `nth` metric of a model, within what it can be: bounds that are moved, or a jackknife's, may lie
    /// beyond that.
    pub(crate) fn of_model(&self, nth: usize, model: usize, value: f64, level: f64) -> Option<Interval> {
        if self.measures[nth].is_biased() {
            return self.biased(nth, model, value, level);
        }
        let found = self.studentized(nth, model, value, level);
        let percentiles = Percentiles { level, is_corrected: self.measures[nth].leans() };
        let found = found.or_else(|| self.of_logits(nth, model, value, level));
        let found = found.or_else(|| self.of_replicates(nth, value, |it| it[model], percentiles))?;
        let [least, most] = self.measures[nth].range();
        Some(Interval { low: found.low.clamp(least, most), high: found.high.clamp(least, most), level })
    }

    /// Returns the studentized interval of the `nth` metric of a model; none where it is no mean over rows, for the
    /// jackknife, and where the values hardly vary.
    ///
    /// Losses are skewed, and percentiles of their means are too low for few rows. That of a root is the root of that
    /// of the mean square.
    fn studentized(&self, nth: usize, model: usize, value: f64, level: f64) -> Option<Interval> {
        let (measure, center) = (self.measures[nth], self.centers[nth]);
        let error = center.errors[model];
        if self.method == Method::Jackknife || !value.is_finite() || !(error > 0.0 && error.is_finite()) {
            return None;
        }
        let of_mean = |it: f64| if measure.is_root() { it * it } else { it };
        let all = &self.values[nth];
        let pivot = |it: &Found| (of_mean(it.values[model]) - of_mean(center.values[model])) / it.errors[model];
        // Infinite ones are of replicates without a spread, which are as far off as can be.
        let pivots: Vec<f64> = all.iter().map(pivot).filter(|it| !it.is_nan()).collect();
        if (pivots.len() as f64) < MIN_SHARE * all.len() as f64 {
            return None;
        }
        let error = error * self.shrink(nth).unwrap_or(1.0);
        let found = studentized_interval(of_mean(value), error, &pivots, level).ok()?;
        let back = |it: f64| match measure {
            Measure::Bias => it,
            _ if measure.is_root() => it.max(0.0).sqrt(),
            _ => it.max(0.0),
        };
        Some(Interval { low: back(found.low), high: back(found.high), level })
    }

    /// Returns the interval of the `nth` metric of a model on the scale of its logit, between its bounds; none of a metric [without such a
    /// scale](Measure::is_on_logits), where it is at a bound or does not vary, and for the jackknife.
    fn of_logits(&self, nth: usize, model: usize, value: f64, level: f64) -> Option<Interval> {
        let measure = self.measures[nth];
        if self.method == Method::Jackknife || !measure.is_on_logits() {
            return None;
        }
        let [least, most] = measure.range();
        let share = |it: f64| (it - least) / (most - least);
        let (share_of_value, center) = (share(value), share(self.centers[nth].values[model]));
        let replicates = self.defined(nth, |it| share(it[model]))?;
        let found = if measure.leans() { bias_corrected_logit_interval } else { logit_interval };
        let found = found(center, &replicates, self.effective, level).ok()?;
        if !(share_of_value > 0.0 && share_of_value < 1.0) || found.high - found.low <= ROUNDING * found.high {
            return None;
        }
        let odds = |it: f64| it / (1.0 - it);
        let bound = |it: f64| match self.shrink(nth) {
            None => it,
            Some(shrink) => {
                let odds = odds(share_of_value) * (odds(it) / odds(center)).powf(shrink);
                if odds.is_finite() { odds / (1.0 + odds) } else { 1.0 }
            }
        };
        let [low, high] = [found.low, found.high].map(|it| least + (most - least) * bound(it));
        Some(Interval { low, high, level })
    }
}
