//! From sums and kept rows to the report.

mod comparison;
mod per_slice;

use modelwatch_sdk::{
    Host, Report, Result,
    report::{Gap, Interval, Labels, Metric, MetricRole},
};

pub(crate) use self::{
    comparison::{mcnemar_p, of_differences},
    per_slice::Slice,
};
use crate::{
    areas::AreaVariances,
    bootstrap::{Replicates, Rows, of_classes, of_groups},
    bounds::{Bounds, OfRanks},
    config::{Method, Settings},
    curves::{self, Groups},
    figures, findings, gaps, intervals,
    magnitudes::RELATIVE_ERROR,
    measure::{self, Areas, MAX_CURVES, Measure, Of},
    residuals,
    row::Layout,
    sample::Sample,
    sampling::{self, OfSample, Share},
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
    /// Per model, in how many rows scores that were taken for probabilities do not add up to 1.
    pub(crate) n_scaled: [u64; 2],
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
        let slices = per_slice::find(state, layout, &mut totals, settings);
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
            n_scaled: state.head.n_scaled,
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
            if self.is_paired(measure) {
                self.compare(measure, &labels, level, report);
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
}

/// Returns a metric of which it is known which values are better.
pub(crate) fn metric(measure: Measure, value: f64) -> Metric {
    Metric::new(measure.name(), value).better(measure.better())
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
