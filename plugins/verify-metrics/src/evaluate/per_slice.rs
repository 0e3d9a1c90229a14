//! The metrics of slices, and the worst of them.

use modelwatch_sdk::{
    Report, Result,
    report::{Gap, Interval, MetricRole},
};

use super::{Estimate, Evaluation, MAX_PAIRED_CLASSES, metric, of_differences};
use crate::{
    bootstrap::{Replicates, Rows},
    bounds::Bounds,
    config::{Method, Settings},
    gaps, intervals,
    measure::{self, Measure},
    row::Layout,
    sampling::OfSample,
    slice_areas, slices,
    state::State,
    tally::Tally,
    totals::Totals,
};

/// A slice that is in the data.
pub(crate) struct Slice {
    /// By which rows name it.
    pub(crate) key: u64,
    pub(crate) name: String,
    /// The sums over its rows.
    pub(crate) tally: Tally,
    /// Why nothing may rest on its metrics.
    pub(crate) unfit: Option<String>,
    /// Whether it is of all values of a column or cross that have no slice of their own.
    pub(super) is_rest: bool,
    /// Of the metrics [whose intervals are of them](Measure::is_replicated_in_slices).
    replicates: Option<Replicates>,
    /// As that of the [evaluation](Evaluation).
    pub(super) of_sample: Vec<OfSample>,
}

/// Returns the slices that are in the data, with their sums.
pub(super) fn find(state: &State, layout: &Layout, totals: &mut Totals, settings: &Settings) -> Vec<Slice> {
    let mut res: Vec<Slice> = Vec::new();
    let without_values = state.head.slices.without_values();
    for (key, name) in state.head.slices.iter() {
        res.extend(totals.slices.remove(&key).map(|tally| {
            let unfit = without_values.get(&key).map(|column| gaps::without_values(column));
            let unfit = unfit.or_else(|| gaps::too_small(&tally, settings));
            Slice { key, name: name.to_owned(), tally, unfit, is_rest: false, replicates: None, of_sample: Vec::new() }
        }));
    }
    for (nth, column) in layout.slice_columns.iter().enumerate() {
        let key = slices::rest(nth);
        res.extend(totals.slices.remove(&key).map(|tally| {
            let unfit = Some(gaps::crowded(&tally, column));
            Slice {
                key,
                name: slices::name_of_rest(column),
                tally,
                unfit,
                is_rest: true,
                replicates: None,
                of_sample: Vec::new(),
            }
        }));
    }
    res
}

impl Slice {
    /// Returns the bounds of a metric of its [tally](Self::tally); none where it is exact.
    fn bounds(&self, measure: Measure, model: usize) -> Option<Bounds> {
        self.of_sample(measure)?.models[model].bounds
    }

    fn of_sample(&self, measure: Measure) -> Option<&OfSample> {
        self.of_sample.iter().find(|it| it.measure == measure)
    }

    /// Returns the interval of a metric.
    fn interval(&self, measure: Measure, model: usize, level: f64) -> Option<Interval> {
        let replicated = || {
            let (nth, replicates) = self.replicated(measure)?;
            let value = measure.value(&self.tally, model);
            let found = replicates.of_model(nth, model, value, level).filter(intervals::has_width);
            found.filter(|it| it.low <= value && value <= it.high)
        };
        let found = intervals::of_slice(measure, &self.tally, model, level).or_else(replicated)?;
        self.covering(measure, model, found)
    }

    fn replicated_difference(&self, measure: Measure, values: [f64; 2], level: f64) -> Option<Interval> {
        let (nth, replicates) = self.replicated(measure)?;
        replicates.difference(nth, values[0] - values[1], level).filter(intervals::has_width)
    }

    fn replicated(&self, measure: Measure) -> Option<(usize, &Replicates)> {
        let replicates = self.replicates.as_ref()?;
        Some((replicates.position(measure)?, replicates))
    }

    /// Returns the interval of a metric, with what is not kept of its rows, where it is of a sample; none where that is not known.
    fn covering(&self, measure: Measure, model: usize, it: Interval) -> Option<Interval> {
        self.of_sample(measure).map_or(Some(it), |of| of.models[model].cover(it, measure.range()))
    }
}

impl<'a> Evaluation<'a> {
    pub(super) fn per_slice(&self, report: &mut Report) -> Result<()> {
        for slice in &self.slices {
            let Slice { name, tally, unfit, .. } = slice;
            if let Some(why) = unfit {
                report.gaps.push(Gap::new(format!("findings and requirements of the slice `{name}`"), why));
            }
            for measure in
                measure::per_slice(self.layout, self.settings).into_iter().filter(|&it| self.wants(it.name()))
            {
                let mut labels = measure.labels(self.layout);
                labels.insert("slice".to_owned(), name.clone());
                let level = self.host.confidence(measure.name());
                let of_model = |it: usize| Estimate {
                    value: measure.value(tally, it),
                    interval: slice.interval(measure, it, level),
                    bounds: slice.bounds(measure, it).map(Bounds::interval),
                    degrees_of_freedom: intervals::degrees_of_freedom(measure, tally, it),
                };
                self.roles(measure, tally, &labels, of_model, unfit.as_ref(), report);
                if self.is_paired(measure) {
                    let [left, right] = [of_model(0), of_model(1)];
                    let values = [left.value, right.value];
                    let of = [left.interval, right.interval];
                    let of_sample = slice.of_sample(measure);
                    let certain = self.of_one_model(tally, values[0] - values[1], level);
                    let estimated = || {
                        let replicated = || slice.replicated_difference(measure, values, level);
                        let found = replicated()
                            .or_else(|| intervals::slice_difference(measure, self.layout, tally, values, of, level))?;
                        of_sample.map_or(Some(found), |it| it.difference.cover(found, of_differences(measure)))
                    };
                    let interval = certain.or_else(estimated);
                    let bounds = of_sample.and_then(|it| it.difference.bounds).filter(|_| certain.is_none());
                    let bounds = bounds.map(Bounds::interval);
                    let metric = metric(measure, values[0] - values[1]).role(MetricRole::Difference).n(tally.all.n);
                    let metric = metric.bounds(bounds);
                    // The rows are the same, and so are their numbers.
                    let metric = metric.degrees_of_freedom(left.degrees_of_freedom);
                    report.metrics.push(metric.labels(&labels).interval(interval).unfit(unfit.clone()));
                }
            }
        }
        slice_areas::report(self, report)
    }

    /// Reports the worst slice of each metric, among those with enough rows, under the label `worst_slice`. Its
    /// interval holds for all slices at once (Bonferroni), because the worst of many looks worse than it is.
    pub(super) fn worst_slices(&self, report: &mut Report) {
        let tried: Vec<_> = self.slices.iter().filter(|it| it.unfit.is_none()).collect();
        // Any of those that were not looked at one by one may be worse.
        let unfit = self.slices.iter().find(|it| it.is_rest).and_then(|it| it.unfit.clone());
        for measure in measure::per_slice(self.layout, self.settings)
            .into_iter()
            .filter(|&it| self.wants(it.name()) && self.has(it, 0))
        {
            let Some(is_loss) = measure.is_loss() else { continue };
            // A metric that is undefined is worse than any number.
            let badness = |tally: &Tally| match measure.value(tally, 0) {
                it if it.is_nan() => f64::INFINITY,
                it if is_loss => it,
                it => -it,
            };
            let worst = tried.iter().rev().max_by(|left, right| badness(&left.tally).total_cmp(&badness(&right.tally)));
            let Some(slice) = worst else { continue };
            let Slice { name, tally, .. } = slice;
            let level = self.host.confidence(measure.name());
            let joint = 1.0 - (1.0 - level) / tried.len() as f64;
            let interval = slice.interval(measure, 0, joint).map(|it| Interval { level, ..it });
            let value = measure.value(tally, 0);
            let mut labels = measure.labels(self.layout);
            labels.insert("worst_slice".to_owned(), name.clone());
            let is_of_sample = tried.iter().any(|it| it.bounds(measure, 0).is_some());
            let of = |it: &Slice| it.bounds(measure, 0).unwrap_or(Bounds::exact(measure.value(&it.tally, 0)));
            let all: Vec<Bounds> = tried.iter().filter(|_| is_of_sample).map(|it| of(it)).collect();
            let bounds = Bounds::of_worst(&all, is_loss).map(Bounds::interval);
            let metric = metric(measure, value).n(measure.n(tally, 0)).labels(&labels).bounds(bounds);
            let metric = metric.degrees_of_freedom(intervals::degrees_of_freedom(measure, tally, 0));
            let interval = interval.filter(|it| value.is_finite() && intervals::has_width(it));
            report.metrics.push(metric.interval(interval).unfit(unfit.clone()));
        }
    }

    /// Resamples the rows of each slice, for the intervals of what has no closed form.
    ///
    /// # Errors
    /// When the host asks for an end.
    pub(super) fn resample_slices(&mut self) -> Result<()> {
        let is_wanted = |it: &Measure| it.is_replicated_in_slices() && self.wants(it.name()) && self.has(*it, 0);
        let all = measure::per_slice(self.layout, self.settings);
        let measures: Vec<Measure> = all.into_iter().filter(is_wanted).collect();
        if measures.is_empty() || self.layout.classes.len() > MAX_PAIRED_CLASSES {
            return Ok(());
        }
        let mut settings = self.settings.clone();
        settings.intervals.method = Method::Bootstrap;
        let of = |slice: &Slice| {
            let is_usable = slice.tally.models.iter().all(|it| it.unusable == 0);
            let is_in = |words: &[u64]| slices::has(slice.key, self.layout.slices(words), |key| self.is_kept(key));
            let rows = is_usable.then(|| self.rows.only_unranked(is_in));
            rows.map(|it| it.replicates(&measures, slice.tally.all.n, &settings, self.host)).transpose()
        };
        let found: Vec<Option<Replicates>> = self.slices.iter().map(of).collect::<Result<_>>()?;
        self.slices.iter_mut().zip(found).for_each(|(slice, found)| slice.replicates = found);
        Ok(())
    }

    /// Returns the kept rows of a slice.
    pub(crate) fn rows_of(&self, slice: &Slice) -> Rows<'a> {
        self.rows.only(|words| slices::has(slice.key, self.layout.slices(words), |key| self.is_kept(key)))
    }
}
