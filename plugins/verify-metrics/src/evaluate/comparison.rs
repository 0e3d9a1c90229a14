//! The candidate beside the baseline: differences and ratios with their paired intervals, and rows on which their predictions flip.

use modelwatch_sdk::{
    Report,
    report::{Better, Interval, Labels, Metric, MetricRole},
};
use modelwatch_stats::intervals::{McNemar, mcnemar};

use super::{Evaluation, metric};
use crate::{
    bounds::{self, Bounds},
    intervals,
    mass::Mass,
    measure::Measure,
    row::Layout,
    tally::Tally,
};

/// The most discordant pairs for which McNemar's test is exact.
const EXACT_PAIRS: u64 = 1000;

impl Evaluation<'_> {
    /// Reports the difference of the models by a metric, and for metrics over all rows that are not of one class their ratio.
    pub(super) fn compare(&self, measure: Measure, labels: &Labels, level: f64, report: &mut Report) {
        let [left, right] = [0, 1].map(|it| self.value(measure, it));
        let n = self.tally().all.n;
        let difference = metric(measure, left - right).role(MetricRole::Difference).n(n).labels(labels);
        let bounds = self.difference_bounds(measure).map(Bounds::interval);
        report.metrics.push(difference.interval(self.difference_interval(measure, level)).bounds(bounds));
        if !measure.is_of_class() {
            let value = if right == 0.0 { f64::NAN } else { left / right };
            let slot = self.slot(measure).filter(|_| !intervals::is_of_too_few(measure, self.tally()));
            let replicated = || slot.and_then(|it| self.replicates.ratio(it, value, level));
            let within = self.ratio_bounds(measure, value);
            let of_two = |found: Interval| match self.of_sample(measure) {
                Some(it) => it.ratio.cover(found, bounds::ANY),
                None => Some(within.map_or(found, |it| it.widen(value, found, bounds::ANY))),
            };
            let interval = self.of_one_model(self.tally(), value, level);
            let interval = interval.or_else(|| replicated().filter(intervals::has_width).and_then(of_two));
            let interval = interval.or_else(|| self.ratio_of_few(measure, level));
            let ratio = metric(measure, value).role(MetricRole::Ratio).n(n).labels(labels);
            report.metrics.push(ratio.interval(interval).bounds(within.map(Bounds::interval)));
        }
    }

    pub(super) fn flips(&self, report: &mut Report) {
        let (tally, pair) = (self.tally(), &self.tally().pair);
        let is_usable = tally.models.iter().all(|it| it.unusable == 0);
        let value = |it: f64| if is_usable { it } else { f64::NAN };
        let counts = [
            ("flips_right_to_wrong", pair.baseline_only.n as f64, Some(Better::Lower)),
            ("flips_wrong_to_right", pair.candidate_only.n as f64, Some(Better::Higher)),
            ("mcnemar_p", mcnemar_p(tally), None),
        ];
        // Of the candidate, although they are of both: a requirement addresses the candidate's metrics.
        let wanted = counts.into_iter().filter(|it| self.wants(it.0));
        report
            .metrics
            .extend(wanted.map(|(name, it, better)| Metric::new(name, value(it)).n(tally.all.n).better(better)));
        for (name, part, all) in flip_rates(self.layout, tally).into_iter().filter(|it| self.wants(it.0)) {
            let interval = intervals::share(part, all, self.host.confidence(name)).filter(|_| is_usable);
            report.metrics.push(Metric::new(name, value(part.share_of(all))).n(all.n).interval(interval));
        }
    }

    pub(super) fn is_paired(&self, measure: Measure) -> bool {
        self.has(measure, 0) && self.has(measure, 1)
    }

    /// Returns the interval of a comparison of a model with itself: as it is 0 or 1 for these rows, so it is for any. None between two
    /// models: that they answer alike so far does not show that they always do.
    pub(crate) fn of_one_model(&self, tally: &Tally, value: f64, level: f64) -> Option<Interval> {
        let is_certain = self.is_one_model && tally.is_of_equals() && value.is_finite();
        is_certain.then_some(Interval { low: value, high: value, level })
    }

    /// Returns the paired interval of a difference over all rows; none where it has no width, save of a model with itself.
    pub(crate) fn difference_interval(&self, measure: Measure, level: f64) -> Option<Interval> {
        self.paired_interval(measure, level, intervals::has_width)
    }

    /// Returns as [`Self::difference_interval`], but also an interval without width: a candidate that loses as much in every
    /// replicate is a finding, though no proof of a requirement.
    pub(crate) fn loss_interval(&self, measure: Measure, level: f64) -> Option<Interval> {
        self.paired_interval(measure, level, |_| true)
    }

    /// Returns the bounds of the difference over all rows, as [`Self::bounds`].
    fn difference_bounds(&self, measure: Measure) -> Option<Bounds> {
        let values = [0, 1].map(|it| self.value(measure, it));
        let bounds = [0, 1].map(|it| self.bounds(measure, it));
        match self.of_one_model(self.tally(), values[0] - values[1], 1.0) {
            // The scores are the same, whatever they are within the bins.
            Some(it) => bounds[0].and_then(|_| Bounds::around(&[it.low])),
            None => match self.of_sample(measure) {
                Some(it) => it.difference.bounds,
                None => Bounds::of_difference(bounds, values),
            },
        }
    }

    /// Returns the bounds of the ratio over all rows, as [`Self::bounds`].
    fn ratio_bounds(&self, measure: Measure, ratio: f64) -> Option<Bounds> {
        let bounds = [0, 1].map(|it| self.bounds(measure, it));
        match self.of_one_model(self.tally(), ratio, 1.0) {
            Some(it) => bounds[0].and_then(|_| Bounds::around(&[it.low])),
            None => Bounds::of_ratio(bounds, [0, 1].map(|it| self.value(measure, it))),
        }
    }

    /// Returns the interval of a ratio of which the replicates say nothing, as where the models differ in few rows: `1 + d / b` for the
    /// difference `d` and the baseline's value `b` in theirs, which both hold together with the confidence that is asked for (Bonferroni).
    fn ratio_of_few(&self, measure: Measure, level: f64) -> Option<Interval> {
        let each = 1.0 - (1.0 - level) / 2.0;
        let difference = self.difference_interval(measure, each)?;
        let baseline = self.interval(measure, 1, each).filter(|it| it.low > 0.0)?;
        let low = (difference.low / baseline.low).min(difference.low / baseline.high);
        let high = (difference.high / baseline.low).max(difference.high / baseline.high);
        Some(Interval { low: 1.0 + low, high: 1.0 + high, level })
    }

    fn paired_interval(&self, measure: Measure, level: f64, is_kept: fn(&Interval) -> bool) -> Option<Interval> {
        let found = self.interval_of_pairs(measure, level, is_kept)?;
        let value = self.value(measure, 0) - self.value(measure, 1);
        if let Some(it) = self.of_sample(measure) {
            let is_certain = self.of_one_model(self.tally(), value, level).is_some();
            return if is_certain { Some(found) } else { it.difference.cover(found, of_differences(measure)) };
        }
        Some(self.difference_bounds(measure).map_or(found, |it| it.widen(value, found, bounds::ANY)))
    }

    fn interval_of_pairs(&self, measure: Measure, level: f64, is_kept: fn(&Interval) -> bool) -> Option<Interval> {
        let tally = self.tally();
        let values = [self.value(measure, 0), self.value(measure, 1)];
        if let Some(found) = self.of_one_model(tally, values[0] - values[1], level) {
            return Some(found);
        }
        if intervals::is_of_too_few(measure, tally) {
            return None;
        }
        let closed = || {
            let found = intervals::paired(measure, self.layout, tally, level);
            found.or_else(|| self.areas.difference(measure, values, level))
        };
        match self.slot(measure) {
            Some(nth) => {
                let replicated = || self.replicates.difference(nth, values[0] - values[1], level).filter(is_kept);
                let of_both = |together: f64| {
                    let [left, right] = [0, 1].map(|it| self.interval(measure, it, level));
                    Some(intervals::of_correlated([(values[0], left?), (values[1], right?)], together))
                };
                // Replicates near a bound are all on one side of it, and their differences, too.
                if measure.is_skewed_in_pairs() {
                    return of_both(self.replicates.correlation(nth));
                }
                // Of few rows that differ replicates tell how the models go together, but not how far they are apart.
                let of_few = || {
                    if self.replicates.is_comparable(nth) || tally.pair.differing == 0 {
                        return None;
                    }
                    // With weights, heavier rows than those may come to differ.
                    of_both(if self.layout.has_weights { 0.0 } else { self.replicates.correlation(nth) })
                };
                let paired =
                    if self.prefers_replicates() { replicated().or_else(closed) } else { closed().or_else(replicated) };
                paired.or_else(of_few)
            }
            None => closed().or_else(|| {
                let of = [0, 1].map(|it| intervals::closed_form(measure, tally, it, level));
                intervals::slice_difference(measure, self.layout, tally, values, of, level)
            }),
        }
    }
}

/// Returns between which numbers differences of a metric are.
pub(crate) fn of_differences(measure: Measure) -> [f64; 2] {
    let [least, most] = measure.range();
    [least - most, most - least]
}

/// Returns McNemar's p-value of the two models' errors: 1 where they are right on the same rows. It counts rows, whatever they weigh.
pub(crate) fn mcnemar_p(tally: &Tally) -> f64 {
    let (left, right) = (tally.pair.baseline_only.n, tally.pair.candidate_only.n);
    let method = if left + right <= EXACT_PAIRS { McNemar::Exact } else { McNemar::Corrected };
    mcnemar(left, right, method).map_or(1.0, |it| it.p_value)
}

/// Returns name, numerator and denominator of the rates at which predictions flip between the models.
fn flip_rates(layout: &Layout, tally: &Tally) -> Vec<(&'static str, Mass, Mass)> {
    let pair = &tally.pair;
    let mut res = vec![
        ("symmetric_flip_rate", pair.changed, tally.all),
        ("negative_flip_rate", pair.baseline_only, tally.all),
        ("positive_flip_rate", pair.candidate_only, tally.all),
    ];
    if let Some(positive) = layout.positive {
        let before = &tally.models[1].classes.predicted;
        res.push(("neg_to_pos_flip_rate", pair.to_positive, before[1 - positive]));
        res.push(("pos_to_neg_flip_rate", pair.changed - pair.to_positive, before[positive]));
    }
    res
}
