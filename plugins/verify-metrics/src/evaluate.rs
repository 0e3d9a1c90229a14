//! From sums and kept rows to the report.

use modelwatch_sdk::{
    Host, Report, Result,
    report::{Better, Gap, Interval, Labels, Metric, MetricRole},
};
use modelwatch_stats::intervals::{McNemar, mcnemar};

use crate::{
    areas::AreaVariances,
    bootstrap::{Replicates, Rows, of_classes, of_groups},
    bounds::{self, Bounds, OfRanks},
    config::{Method, Settings},
    curves::{self, Groups},
    figures, findings, gaps, intervals,
    magnitudes::RELATIVE_ERROR,
    mass::Mass,
    measure::{self, Areas, MAX_CURVES, Measure, Of},
    residuals,
    row::Layout,
    sample::Sample,
    sampling::{self, OfSample, Share},
    slice_areas, slices,
    state::State,
    summed::Kind,
    tally::Tally,
    tasks::{
        queries::{self, Random},
        sequences::Texts,
    },
    totals::Totals,
    training, trivial,
};

/// The most discordant pairs for which McNemar's test is exact.
const EXACT_PAIRS: u64 = 1000;
/// The most classes for which differences per class are bootstrapped.
const MAX_PAIRED_CLASSES: usize = 100;

/// Everything that metrics, findings and figures are made of.
pub(crate) struct Evaluation<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) settings: &'a Settings,
    pub(crate) host: &'a dyn Host,
    pub(crate) totals: Totals,
    pub(crate) rows: Rows<'a>,
    /// Whether all rows are kept.
    pub(crate) is_complete: bool,
    /// Which part of the distinct rows is kept; none where they are all, or counts stand for them.
    pub(crate) share: Option<Share>,
    /// What rankings that know nothing give, of queries.
    pub(crate) random: Option<Random>,
    /// The texts that were seen, of texts.
    pub(crate) texts: Option<Texts>,
    /// Whether the candidate and the baseline are one model.
    is_one_model: bool,
    /// Slices in the data.
    pub(crate) slices: Vec<Slice>,
    pub(crate) measures: Vec<Measure>,
    ranked: Vec<OfRanks>,
    /// What is of the kept rows alone, where those are not all.
    of_sample: Vec<OfSample>,
    /// Which of the replicated metrics each one is.
    slots: Vec<Option<usize>>,
    areas: AreaVariances,
    replicates: Replicates,
    /// How many groups of rows replicates are drawn of, where it is not the rows.
    pub(crate) n_groups: Option<usize>,
}

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
    is_rest: bool,
    /// Of the metrics [whose intervals are of them](Measure::is_replicated_in_slices).
    replicates: Option<Replicates>,
    /// As that of the [evaluation](Evaluation).
    of_sample: Vec<OfSample>,
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

/// A value and how sure it is.
struct Estimate {
    value: f64,
    interval: Option<Interval>,
    /// Between which numbers the value is where it is not exact; the interval is as much wider.
    bounds: Option<Interval>,
    /// Those of the interval, where it is Student's t.
    degrees_of_freedom: Option<f64>,
}

/// Returns the report; `training` are the rows that the candidate was trained on, where they are to be compared.
pub(crate) fn evaluate(
    state: &State,
    training: Option<&State>,
    settings: &Settings,
    host: &dyn Host,
) -> Result<Report> {
    for it in [Some(state), training].into_iter().flatten() {
        it.head.check_readings()?;
    }
    let mut report = Report::default();
    let n_labeled = state.head.n_rows - state.head.n_unlabeled;
    let share = state.head.n_unlabeled as f64 / state.head.n_rows as f64;
    let is_labeled = n_labeled > 0 && share <= settings.max_unlabeled_share;
    let layout = state.head.layout.as_ref().filter(|_| is_labeled);
    let Some(layout) = layout else {
        let why = match state.head.n_rows {
            0 => "there are no rows".to_owned(),
            n if n_labeled == 0 => format!("none of {n} rows has a usable label"),
            n => format!(
                "{} of {n} rows have no label, more than the share of {} that `max_unlabeled_share` allows; give their labels, leave them \
                 out of the data, or raise it",
                state.head.n_unlabeled, settings.max_unlabeled_share
            ),
        };
        report.gaps.push(Gap::new("all metrics", why));
        gaps::missing_slices(settings, state.head.layout.as_ref(), &[], &mut report);
        return Ok(report);
    };
    let joined;
    let mut random = None;
    let (layout, of_rows) = if layout.is_of_documents() {
        let of_queries = queries::join(state, layout)?;
        report.gaps.extend(of_queries.gaps);
        joined = of_queries.state;
        random = Some(of_queries.random);
        (joined.head.layout.as_ref().unwrap_or(layout), &joined)
    } else if let Some(it) = state.of_cells(layout) {
        joined = it;
        (layout, &joined)
    } else {
        (layout, state)
    };
    let groups = state.grid.as_ref().map(|it| it.groups(layout));
    let mut evaluation = Evaluation::new(layout, of_rows, groups.as_ref(), settings, host)?;
    evaluation.share = Share::of(state);
    (evaluation.random, evaluation.texts) = (random, state.head.texts);
    evaluation.bound_samples();
    evaluation.resample_slices()?;
    gaps::find(&evaluation, state, &mut report);
    gaps::missing_slices(settings, Some(layout), &evaluation.slices, &mut report);
    evaluation.overall(&mut report);
    evaluation.per_slice(&mut report)?;
    evaluation.worst_slices(&mut report);
    trivial::compare(&evaluation, &mut report);
    let gap = training.map(|it| training::Gap::of(it, &evaluation));
    match &gap {
        Some(Ok(it)) if evaluation.wants(training::GAP) => {
            report.metrics.extend(it.metric(host.confidence(training::GAP)));
        }
        Some(Err(why)) => report.gaps.push(Gap::new(training::GAP, *why)),
        _ => {}
    }
    findings::find(&evaluation, gap.and_then(|it| it.ok()).as_ref(), &mut report);
    figures::draw(&evaluation, &mut report);
    Ok(report)
}

impl<'a> Evaluation<'a> {
    /// Returns the evaluation of rows; `groups` are fewer ones that stand for them in replicates.
    fn new(
        layout: &'a Layout,
        state: &'a State,
        groups: Option<&Sample>,
        settings: &'a Settings,
        host: &'a dyn Host,
    ) -> Result<Self> {
        let mut totals = state.totals(layout);
        let rows = Rows::new(layout, &state.sample);
        let measures = measure::overall(layout, settings);
        let is_usable = totals.tally.models[0].unusable == 0;
        let mut replicated = Vec::new();
        let slots = measures.iter().map(|&it| {
            (is_usable && is_replicated(it, layout, settings) && is_needed(it, layout, settings)).then(|| {
                replicated.push(it);
                replicated.len() - 1
            })
        });
        let slots = slots.collect();
        let n = totals.tally.all.n;
        let groups = groups.filter(|_| !replicated.iter().any(|it| it.is_at_threshold()));
        let replicates = match groups {
            Some(it) => Rows::new(layout, it).replicates(&replicated, n, settings, host)?.moved(),
            None => rows.replicates(&replicated, n, settings, host)?,
        };
        let mut slices: Vec<Slice> = Vec::new();
        let without_values = state.head.slices.without_values();
        for (key, name) in state.head.slices.iter() {
            slices.extend(totals.slices.remove(&key).map(|tally| {
                let unfit = without_values.get(&key).map(|column| gaps::without_values(column));
                let unfit = unfit.or_else(|| gaps::too_small(&tally, settings));
                Slice {
                    key,
                    name: name.to_owned(),
                    tally,
                    unfit,
                    is_rest: false,
                    replicates: None,
                    of_sample: Vec::new(),
                }
            }));
        }
        for (nth, column) in layout.slice_columns.iter().enumerate() {
            let key = slices::rest(nth);
            slices.extend(totals.slices.remove(&key).map(|tally| {
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
        let is_complete = state.head.totals.is_none();
        // Both are read for it, which is needless where they answered differently.
        let is_of_equals = totals.tally.is_of_equals() || slices.iter().any(|it| it.tally.is_of_equals());
        let is_one_model = layout.has_baseline() && is_of_equals && host.is_one_model();
        let ranked = Vec::new();
        // Those of sets of labels are of the kept rows.
        let n_of_areas = if layout.sums.is_some() { rows.n() } else { n };
        let has_areas = layout.positive.is_some() || settings.metrics.as_ref().is_none_or(|it| it.contains("roc_auc"));
        let areas = if has_areas { AreaVariances::new(&rows, layout, n_of_areas) } else { AreaVariances::default() };
        let mut res = Self {
            layout,
            settings,
            host,
            totals,
            rows,
            is_complete,
            share: None,
            random: None,
            texts: None,
            is_one_model,
            slices,
            measures,
            ranked,
            of_sample: Vec::new(),
            slots,
            areas,
            replicates,
            n_groups: groups.map(Sample::len),
        };
        res.ranked = res.ranked_values();
        Ok(res)
    }

    /// Bounds what is of the kept rows alone.
    fn bound_samples(&mut self) {
        let Some(share) = self.share else { return };
        let is_of_queries = self.layout.sums.as_ref().is_some_and(|it| it.kind == Kind::Queries);
        let is_of_sample = |it: &Measure| is_of_queries || it.is_of_kept_rows();
        let of_all: Vec<Measure> = self.measures.iter().copied().filter(is_of_sample).collect();
        self.of_sample = sampling::bounds(&self.rows, &of_all, self.tally(), share);
        if is_of_queries {
            let measures = measure::per_slice(self.layout, self.settings);
            let of = |it: &Slice| sampling::bounds(&self.rows_of(it), &measures, &it.tally, share);
            let found: Vec<Vec<OfSample>> = self.slices.iter().map(of).collect();
            self.slices.iter_mut().zip(found).for_each(|(slice, found)| slice.of_sample = found);
        }
    }

    /// Resamples the rows of each slice, for the intervals of what has no closed form.
    ///
    /// # Errors
    /// When the host asks for an end.
    fn resample_slices(&mut self) -> Result<()> {
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

    /// Returns what a metric over all rows has of the kept rows alone; none where it is of all.
    pub(crate) fn of_sample(&self, measure: Measure) -> Option<&OfSample> {
        self.of_sample.iter().find(|it| it.measure == measure)
    }

    /// Returns whether the values of that key have a slice of their own.
    pub(crate) fn is_kept(&self, key: u64) -> bool {
        self.slices.iter().any(|it| it.key == key)
    }

    /// Returns the tally over all rows.
    pub(crate) fn tally(&self) -> &Tally {
        &self.totals.tally
    }

    /// Returns whether its rows stand for all, one by one or by their scores.
    pub(crate) fn is_of_all_rows(&self) -> bool {
        self.rows.n() == self.tally().all.n
    }

    /// Returns the groups of a model's scores of its `nth` ranked class; empty where there are none.
    pub(crate) fn groups(&self, model: usize, nth: usize) -> Groups {
        if self.is_of_all_rows() {
            return self.rows.groups(model, nth, &self.rows.masses());
        }
        self.totals.histograms[model].get(nth).map_or_else(Vec::new, curves::histogram_groups)
    }

    /// Returns the value of a metric over all rows.
    pub(crate) fn value(&self, measure: Measure, model: usize) -> f64 {
        if !measure.is_ranked() {
            return measure.value(self.tally(), model);
        }
        self.ranked.iter().find(|it| it.measure == measure).map_or(f64::NAN, |it| it.values[model])
    }

    /// Returns the bounds of a metric over all rows; none where it is exact, or has none.
    pub(crate) fn bounds(&self, measure: Measure, model: usize) -> Option<Bounds> {
        if let Some(it) = self.of_sample(measure) {
            return it.models.get(model)?.bounds;
        }
        self.ranked.iter().find(|it| it.measure == measure)?.bounds.get(model).copied().flatten()
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

    fn ranked_values(&self) -> Vec<OfRanks> {
        let ranked: Vec<Measure> = self.measures.iter().copied().filter(|it| it.is_ranked()).collect();
        let of_model = |model: usize| -> Vec<(f64, Option<Bounds>)> {
            if self.tally().models[model].unusable > 0 {
                return vec![(f64::NAN, None); ranked.len()];
            }
            let of_rows = self.rows.ranked_values(&ranked, model, &self.rows.masses());
            if self.is_complete {
                return of_rows.into_iter().map(|it| (it, None)).collect();
            }
            let is_scored = self.layout.models[model].is_scored && self.layout.sums.is_none();
            let n_ranked = if is_scored { self.layout.ranked_classes().len() } else { 0 };
            let groups: Vec<Groups> = (0..n_ranked).map(|it| self.groups(model, it)).collect();
            let (worst, best): (Vec<Groups>, Vec<Groups>) =
                groups.iter().map(|it| curves::extremes(it)).map(|[worst, best]| (worst, best)).unzip();
            let value = |(&measure, of_rows): (&Measure, f64)| match measure {
                it if it.is_of_kept_rows() => (of_rows, None),
                it if it.is_of_errors_ranked() => {
                    let value = self.totals.errors[model].quantile(it.error_level());
                    (value, Bounds::around(&[-1.0, 1.0].map(|it| value + it * RELATIVE_ERROR * value)))
                }
                it => {
                    let value = if self.is_of_all_rows() { of_rows } else { of_groups(it, &groups) };
                    let mut found = vec![value, of_groups(it, &worst), of_groups(it, &best)];
                    if matches!(it, Measure::AveragePrecision(_) | Measure::PrAuc) {
                        found.extend([&worst, &best].map(|groups| of_classes(it, groups, curves::integral)));
                    }
                    (value, Bounds::around(&found))
                }
            };
            ranked.iter().zip(of_rows).map(value).collect()
        };
        let found: Vec<Vec<(f64, Option<Bounds>)>> = (0..self.layout.models.len()).map(of_model).collect();
        let of = |(nth, &measure): (usize, &Measure)| {
            let (values, bounds) = found.iter().map(|it| it[nth]).unzip();
            OfRanks { measure, values, bounds }
        };
        ranked.iter().enumerate().map(of).collect()
    }

    /// Returns the interval of a metric of a model over all rows.
    pub(crate) fn interval(&self, measure: Measure, model: usize, level: f64) -> Option<Interval> {
        if intervals::is_of_too_few(measure, self.tally()) {
            return None;
        }
        let closed = || {
            let found = intervals::closed_form(measure, self.tally(), model, level);
            found.or_else(|| self.areas.interval(measure, self.value(measure, model), model, level))
        };
        let replicated = || {
            let nth = self.slot(measure)?;
            self.replicates.of_model(nth, model, self.value(measure, model), level).filter(intervals::has_width)
        };
        // The variance of a share follows the weights, and replicates of few rows that are counted have too few values.
        let is_closed =
            || measure.share(self.tally(), model).is_some() && self.settings.intervals.method == Method::Bootstrap;
        let prefers_closed = !self.prefers_replicates() || is_closed();
        let found = if prefers_closed { closed().or_else(replicated) } else { replicated().or_else(closed) };
        // What replicates are biased by, as a lift of few rows, is more than they vary: such an interval says nothing.
        let value = self.value(measure, model);
        let found = found.filter(|it| !(value < it.low || value > it.high))?;
        if let Some(it) = self.of_sample(measure) {
            return it.models.get(model)?.cover(found, measure.range());
        }
        Some(self.bounds(measure, model).map_or(found, |it| it.widen(value, found, measure.range())))
    }

    /// Closed forms are for rows of equal weight, save those of shares.
    fn prefers_replicates(&self) -> bool {
        self.layout.has_weights || self.settings.intervals.method == Method::Jackknife
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

    /// Returns as [`Self::difference_interval`], but also an interval without width: a candidate that loses as much in every
    /// replicate is a finding, though no proof of a requirement.
    pub(crate) fn loss_interval(&self, measure: Measure, level: f64) -> Option<Interval> {
        self.paired_interval(measure, level, |_| true)
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

    fn slot(&self, measure: Measure) -> Option<usize> {
        // Asked first, because there can be many measures of classes, none of them replicated.
        if !is_replicated(measure, self.layout, self.settings) {
            return None;
        }
        self.measures.iter().position(|&it| it == measure).and_then(|it| self.slots[it])
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.settings.metrics.as_ref().is_none_or(|it| it.contains(name))
    }

    fn overall(&self, report: &mut Report) {
        for &measure in self.measures.iter().filter(|&&it| self.wants(it.name())) {
            let level = self.host.confidence(measure.name());
            let labels = measure.labels(self.layout);
            let of_model = |it: usize| Estimate {
                value: self.value(measure, it),
                interval: self.interval(measure, it, level),
                bounds: self.bounds(measure, it).map(Bounds::interval),
                degrees_of_freedom: None,
            };
            self.roles(measure, self.tally(), &labels, of_model, None, report);
            if !self.is_paired(measure) {
                continue;
            }
            let [left, right] = [0, 1].map(|it| self.value(measure, it));
            let n = self.tally().all.n;
            let difference = metric(measure, left - right).role(MetricRole::Difference).n(n).labels(&labels);
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
                let ratio = metric(measure, value).role(MetricRole::Ratio).n(n).labels(&labels);
                report.metrics.push(ratio.interval(interval).bounds(within.map(Bounds::interval)));
            }
        }
        if self.layout.is_regression() {
            self.residual_tests(report);
        } else if self.layout.has_baseline() && self.layout.sums.is_none() {
            self.flips(report);
        }
    }

    fn residual_tests(&self, report: &mut Report) {
        for (model, role) in [MetricRole::Candidate, MetricRole::Baseline].into_iter().enumerate() {
            if model < self.layout.models.len() {
                for (name, p_value) in residuals::tests(self.layout, &self.rows, model) {
                    if self.wants(name) {
                        // One row more can make any p-value of a sample another one.
                        let is_of_sample = !self.is_of_all_rows() && !p_value.is_nan();
                        let bounds = is_of_sample.then(|| Interval::certain(0.0, 1.0));
                        let metric = Metric::new(name, p_value).role(role).n(self.rows.n());
                        report.metrics.push(metric.bounds(bounds));
                    }
                }
            }
        }
    }

    fn flips(&self, report: &mut Report) {
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

    fn per_slice(&self, report: &mut Report) -> Result<()> {
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
    fn worst_slices(&self, report: &mut Report) {
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

    fn roles(
        &self,
        measure: Measure,
        tally: &Tally,
        labels: &Labels,
        of_model: impl Fn(usize) -> Estimate,
        unfit: Option<&String>,
        report: &mut Report,
    ) {
        for (model, role) in [MetricRole::Candidate, MetricRole::Baseline].into_iter().enumerate() {
            if self.has(measure, model) {
                let Estimate { value, interval, bounds, degrees_of_freedom } = of_model(model);
                let interval = interval.filter(|it| value.is_finite() && intervals::has_width(it));
                let metric = metric(measure, value).role(role).n(measure.n(tally, model)).labels(labels);
                let metric = metric.interval(interval).bounds(bounds).degrees_of_freedom(degrees_of_freedom);
                report.metrics.push(metric.unfit(unfit.cloned()));
            }
        }
    }

    /// Returns whether there is such a model, and it gives what the metric needs.
    pub(crate) fn has(&self, measure: Measure, model: usize) -> bool {
        self.layout.models.get(model).is_some_and(|it| it.is_scored || !measure.needs_scores())
    }

    fn is_paired(&self, measure: Measure) -> bool {
        self.has(measure, 0) && self.has(measure, 1)
    }
}

/// Returns between which numbers differences of a metric are.
pub(crate) fn of_differences(measure: Measure) -> [f64; 2] {
    let [least, most] = measure.range();
    [least - most, most - least]
}

/// Returns a metric of which it is known which values are better.
pub(crate) fn metric(measure: Measure, value: f64) -> Metric {
    Metric::new(measure.name(), value).better(measure.better())
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

/// Returns whether a metric is computed in the replicates. The bootstrap of a maximum is not valid.
fn is_replicated(measure: Measure, layout: &Layout, settings: &Settings) -> bool {
    let is_all = layout.has_baseline() || layout.has_weights || settings.intervals.method == Method::Jackknife;
    let is_closed = matches!(
        measure,
        Measure::Accuracy
            | Measure::TopK(_)
            | Measure::Specificity(Of::Positive(_))
            | Measure::Npv(Of::Positive(_))
            | Measure::Fpr(Of::Positive(_))
            | Measure::Fnr(Of::Positive(_))
            | Measure::Precision(Of::Micro)
            | Measure::Recall(Of::Micro)
            | Measure::F1(Of::Micro)
            | Measure::FBeta(Of::Micro | Of::Positive(_), _)
            | Measure::Precision(Of::Positive(_))
            | Measure::Recall(Of::Positive(_))
            | Measure::F1(Of::Positive(_))
            | Measure::RocAuc(Areas::One)
            | Measure::Gini
    );
    match measure {
        Measure::MaxError => false,
        Measure::Summed(Kind::MultiLabel, _) if measure.is_ranked() => {
            layout.sums.as_ref().is_some_and(|it| it.classes.len() <= MAX_CURVES)
        }
        Measure::RocAuc(Areas::Rest(_)) => layout.has_weights || settings.intervals.method == Method::Jackknife,
        it if it.needs_bootstrap() && settings.intervals.method == Method::Jackknife => false,
        // Curves of many classes, each of them again in each replicate, would take longer than all else.
        it if it.of_first_class().is_some() => layout.classes.len() <= MAX_CURVES,
        it if it.is_of_class() => is_all && layout.classes.len() <= MAX_PAIRED_CLASSES,
        _ => is_all || !is_closed,
    }
}

/// Returns whether a metric is reported, or findings and skills rest on it.
fn is_needed(measure: Measure, layout: &Layout, settings: &Settings) -> bool {
    let is_for_findings = matches!(measure, Measure::R2 | Measure::RocAuc(Areas::One | Areas::RestMacro));
    let is_for_skill =
        matches!(measure, Measure::Accuracy | Measure::LogLoss | Measure::Brier | Measure::Mse | Measure::Mae);
    match &settings.metrics {
        None => true,
        Some(names) => {
            names.contains(measure.name())
                || is_for_findings
                || measure == measure::primary(layout)
                || (is_for_skill && names.contains("skill"))
        }
    }
}
