//! From sums and kept rows to the report.

use modelwatch_sdk::{
    Host, Report, Result,
    report::{Better, Check, Gap, Interval, Labels, Metric, MetricRole, Status},
};
use modelwatch_stats::intervals::{McNemar, mcnemar};

use crate::{
    areas::AreaVariances,
    bootstrap::{Replicates, Rows, of_groups},
    config::{Method, Settings},
    curves::{self, Groups},
    figures, findings, intervals,
    magnitudes::RELATIVE_ERROR,
    mass::Mass,
    measure::{self, Areas, Measure, Of},
    residuals,
    row::{Layout, MAX_RANKED_CLASSES},
    slices::MAX_PER_GROUP,
    state::State,
    summed::Kind,
    tally::Tally,
    tasks::queries,
    totals::{SCORE_BINS, Totals},
    trivial,
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
    /// Slices in the data, by key, name and sums.
    pub(crate) slices: Vec<(String, Tally)>,
    measures: Vec<Measure>,
    /// The values of those that are ranked, per model.
    ranked: Vec<(Measure, Vec<f64>)>,
    /// Which of the replicated metrics each one is.
    slots: Vec<Option<usize>>,
    areas: AreaVariances,
    replicates: Replicates,
}

/// Returns the report.
pub(crate) fn evaluate(state: &State, settings: &Settings, host: &dyn Host) -> Result<Report> {
    let mut report = Report::default();
    let n_labeled = state.head.n_rows - state.head.n_unlabeled;
    let layout = state.head.layout.as_ref().filter(|_| n_labeled > 0);
    let Some(layout) = layout else {
        let why = match state.head.n_rows {
            0 => "there are no rows".to_owned(),
            n => format!("none of {n} rows has a usable label"),
        };
        report.gaps.push(Gap::new("all metrics", why));
        missing_slices(settings, state.head.layout.as_ref(), &[], &mut report);
        return Ok(report);
    };
    let joined;
    let (layout, of_rows) = if layout.is_of_documents() {
        let (state, gaps) = queries::join(state, layout)?;
        report.gaps.extend(gaps);
        joined = state;
        (joined.head.layout.as_ref().unwrap_or(layout), &joined)
    } else {
        (layout, state)
    };
    let evaluation = Evaluation::new(layout, of_rows, settings, host)?;
    evaluation.gaps(state, &mut report);
    missing_slices(settings, Some(layout), &evaluation.slices, &mut report);
    evaluation.overall(&mut report);
    evaluation.per_slice(&mut report);
    evaluation.worst_slices(&mut report);
    trivial::compare(&evaluation, &mut report);
    findings::find(&evaluation, &mut report);
    figures::draw(&evaluation, &mut report);
    Ok(report)
}

impl<'a> Evaluation<'a> {
    fn new(layout: &'a Layout, state: &'a State, settings: &'a Settings, host: &'a dyn Host) -> Result<Self> {
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
        let replicates = rows.replicates(&replicated, totals.tally.all.n, settings, host)?;
        let named = state.head.slices.iter();
        let named = named.filter_map(|(key, name)| totals.slices.remove(&key).map(|tally| (name.to_owned(), tally)));
        let slices = named.collect();
        let is_complete = state.head.totals.is_none();
        let ranked = Vec::new();
        let areas = AreaVariances::new(&rows, layout, totals.tally.all.n);
        let mut res = Self {
            layout,
            settings,
            host,
            totals,
            rows,
            is_complete,
            slices,
            measures,
            ranked,
            slots,
            areas,
            replicates,
        };
        res.ranked = res.ranked_values();
        Ok(res)
    }

    /// Returns the tally over all rows.
    pub(crate) fn tally(&self) -> &Tally {
        &self.totals.tally
    }

    /// Returns the value of a metric over all rows.
    pub(crate) fn value(&self, measure: Measure, model: usize) -> f64 {
        if !measure.is_ranked() {
            return measure.value(self.tally(), model);
        }
        self.ranked.iter().find(|it| it.0 == measure).map_or(f64::NAN, |it| it.1[model])
    }

    fn ranked_values(&self) -> Vec<(Measure, Vec<f64>)> {
        let ranked: Vec<Measure> = self.measures.iter().copied().filter(|it| it.is_ranked()).collect();
        let of_model = |model: usize| -> Vec<f64> {
            if self.tally().models[model].unusable > 0 {
                return vec![f64::NAN; ranked.len()];
            }
            let of_rows = self.rows.ranked_values(&ranked, model, &self.rows.masses());
            if self.is_complete {
                return of_rows;
            }
            let groups: Vec<Groups> = self.totals.histograms[model].iter().map(curves::histogram_groups).collect();
            let value = |(measure, of_rows): (&Measure, f64)| match measure {
                it if it.is_of_pairs() || self.layout.sums.is_some() => of_rows,
                it if it.is_of_errors_ranked() => self.totals.errors[model].quantile(it.error_level()),
                it => of_groups(*it, &groups),
            };
            ranked.iter().zip(of_rows).map(value).collect()
        };
        let values: Vec<Vec<f64>> = (0..self.layout.models.len()).map(of_model).collect();
        let of = |nth: usize| values.iter().map(|it| it[nth]).collect();
        ranked.iter().enumerate().map(|(nth, &it)| (it, of(nth))).collect()
    }

    /// Returns the interval of a metric of a model over all rows.
    pub(crate) fn interval(&self, measure: Measure, model: usize, level: f64) -> Option<Interval> {
        let closed = || {
            intervals::closed_form(measure, self.tally(), model, level).or_else(|| {
                let scale = area_scale(measure)?;
                self.areas.interval(self.value(Measure::RocAuc(Areas::One), model), model, level, scale)
            })
        };
        let replicated = || {
            let nth = self.slot(measure)?;
            let found = self.replicates.interval(nth, self.value(measure, model), |it| it[model], level);
            found.filter(intervals::has_width)
        };
        if self.prefers_replicates() { replicated().or_else(closed) } else { closed().or_else(replicated) }
    }

    /// Closed forms are for rows of equal weight.
    fn prefers_replicates(&self) -> bool {
        self.layout.has_weights || self.settings.intervals.method == Method::Jackknife
    }

    /// Returns the paired interval of a difference over all rows; none where it has no width, save between models whose
    /// predictions are all the same.
    pub(crate) fn difference_interval(&self, measure: Measure, level: f64) -> Option<Interval> {
        self.paired_interval(measure, level, intervals::has_width)
    }

    /// Returns as [`Self::difference_interval`], but also an interval without width: a candidate that loses as much in every
    /// replicate is a finding, though no proof of a requirement.
    pub(crate) fn loss_interval(&self, measure: Measure, level: f64) -> Option<Interval> {
        self.paired_interval(measure, level, |_| true)
    }

    fn paired_interval(&self, measure: Measure, level: f64, is_kept: fn(&Interval) -> bool) -> Option<Interval> {
        let tally = self.tally();
        let values = [self.value(measure, 0), self.value(measure, 1)];
        if tally.is_of_equals() {
            return intervals::of_equals(values[0] - values[1], level);
        }
        let closed = || {
            intervals::paired(measure, self.layout, tally, level).or_else(|| {
                let scale = area_scale(measure)?;
                self.areas.difference(values[0] - values[1], level, scale)
            })
        };
        match self.slot(measure) {
            Some(nth) => {
                let found = || self.replicates.interval(nth, values[0] - values[1], |it| it[0] - it[1], level);
                let replicated = || found().filter(is_kept);
                if self.prefers_replicates() { replicated().or_else(closed) } else { closed().or_else(replicated) }
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
            let of_model = |it: usize| (self.value(measure, it), self.interval(measure, it, level));
            self.roles(measure, self.tally(), &labels, of_model, None, report);
            if !self.is_paired(measure) {
                continue;
            }
            let [left, right] = [0, 1].map(|it| self.value(measure, it));
            let n = self.tally().all.n;
            let difference = metric(measure, left - right).role(MetricRole::Difference).n(n).labels(&labels);
            report.metrics.push(difference.interval(self.difference_interval(measure, level)));
            if !measure.is_of_class() {
                let value = if right == 0.0 { f64::NAN } else { left / right };
                let slot = self.slot(measure);
                let replicated = || slot.and_then(|it| self.replicates.interval(it, value, |it| it[0] / it[1], level));
                let interval = match self.tally().is_of_equals() {
                    true => intervals::of_equals(value, level),
                    false => replicated().filter(intervals::has_width),
                };
                report
                    .metrics
                    .push(metric(measure, value).role(MetricRole::Ratio).n(n).labels(&labels).interval(interval));
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
                        report.metrics.push(Metric::new(name, p_value).role(role).n(self.rows.n()));
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

    fn per_slice(&self, report: &mut Report) {
        for (name, tally) in &self.slices {
            let unfit = too_small(tally, self.settings);
            if let Some(why) = &unfit {
                report.gaps.push(Gap::new(format!("findings and requirements of the slice `{name}`"), why));
            }
            for measure in measure::per_slice(self.layout).into_iter().filter(|&it| self.wants(it.name())) {
                let mut labels = measure.labels(self.layout);
                labels.insert("slice".to_owned(), name.clone());
                let level = self.host.confidence(measure.name());
                let of_model = |it: usize| (measure.value(tally, it), intervals::of_slice(measure, tally, it, level));
                self.roles(measure, tally, &labels, of_model, unfit.as_ref(), report);
                if self.is_paired(measure) {
                    let [left, right] = [of_model(0), of_model(1)];
                    let values = [left.0, right.0];
                    let of = [left.1, right.1];
                    let interval = intervals::slice_difference(measure, self.layout, tally, values, of, level);
                    let metric = metric(measure, left.0 - right.0).role(MetricRole::Difference).n(tally.all.n);
                    report.metrics.push(metric.labels(&labels).interval(interval).unfit(unfit.clone()));
                }
            }
        }
    }

    /// Reports the worst slice of each metric, among those with enough rows, under the label `worst_slice`. Its
    /// interval holds for all slices at once (Bonferroni), because the worst of many looks worse than it is.
    fn worst_slices(&self, report: &mut Report) {
        let tried: Vec<_> = self.slices.iter().filter(|it| it.1.all.n >= self.settings.min_slice_size).collect();
        for measure in
            measure::per_slice(self.layout).into_iter().filter(|&it| self.wants(it.name()) && self.has(it, 0))
        {
            let Some(is_loss) = measure.is_loss() else { continue };
            // A metric that is undefined is worse than any number.
            let badness = |tally: &Tally| match measure.value(tally, 0) {
                it if it.is_nan() => f64::INFINITY,
                it if is_loss => it,
                it => -it,
            };
            let worst = tried.iter().rev().max_by(|left, right| badness(&left.1).total_cmp(&badness(&right.1)));
            let Some((name, tally)) = worst else { continue };
            let level = self.host.confidence(measure.name());
            let joint = 1.0 - (1.0 - level) / tried.len() as f64;
            let interval = intervals::of_slice(measure, tally, 0, joint).map(|it| Interval { level, ..it });
            let value = measure.value(tally, 0);
            let mut labels = measure.labels(self.layout);
            labels.insert("worst_slice".to_owned(), name.clone());
            let metric = metric(measure, value).n(measure.n(tally, 0)).labels(&labels);
            report.metrics.push(metric.interval(interval.filter(|it| value.is_finite() && intervals::has_width(it))));
        }
    }

    fn roles(
        &self,
        measure: Measure,
        tally: &Tally,
        labels: &Labels,
        of_model: impl Fn(usize) -> (f64, Option<Interval>),
        unfit: Option<&String>,
        report: &mut Report,
    ) {
        for (model, role) in [MetricRole::Candidate, MetricRole::Baseline].into_iter().enumerate() {
            if self.has(measure, model) {
                let (value, interval) = of_model(model);
                let interval = interval.filter(|it| value.is_finite() && intervals::has_width(it));
                let metric = metric(measure, value).role(role).n(measure.n(tally, model)).labels(labels);
                report.metrics.push(metric.interval(interval).unfit(unfit.cloned()));
            }
        }
    }

    fn has(&self, measure: Measure, model: usize) -> bool {
        self.layout.models.get(model).is_some_and(|it| it.is_scored || !measure.needs_scores())
    }

    fn is_paired(&self, measure: Measure) -> bool {
        self.has(measure, 0) && self.has(measure, 1)
    }

    fn gaps(&self, state: &State, report: &mut Report) {
        let mut gap = |what: String, why: String| report.gaps.push(Gap::new(what, why));
        let head = &state.head;
        if head.n_unlabeled > 0 {
            let what = format!("{} of {} rows", head.n_unlabeled, head.n_rows);
            gap(what, "their label is missing or not finite".to_owned());
        }
        if self.tally().all.weight == 0.0 {
            gap("all metrics".to_owned(), format!("the weights of {} rows are all 0", self.tally().all.n));
        }
        for (column, n) in &head.n_without_slice {
            gap(format!("{n} rows in the slices of `{column}`"), "they have no value there".to_owned());
        }
        for column in head.slices.crowded() {
            let why =
                format!("it has more than {MAX_PER_GROUP} values; those that come first in byte order are covered");
            gap(format!("some slices of `{column}`"), why);
        }
        if let Some(sums) = &self.layout.sums {
            let is_detection = sums.kind == Kind::Detection;
            if !self.is_complete {
                let what = if is_detection { "all metrics and intervals" } else { "intervals" };
                gap("rows beyond the budget".to_owned(), self.of_a_sample(what));
            }
            if is_detection && !self.slices.is_empty() {
                gap("the slices".to_owned(), "detections have no metrics of slices".to_owned());
            }
            return;
        }
        if self.layout.is_regression() {
            if !self.is_complete {
                gap(
                    "rows beyond the budget".to_owned(),
                    self.of_a_sample("intervals and tests of residuals")
                        + &format!("; quantiles of errors are within {RELATIVE_ERROR:.2e} of theirs, relatively"),
                );
            }
            return;
        }
        for (model, layout) in self.layout.models.iter().enumerate() {
            let output = &layout.output;
            if !layout.is_scored {
                let why = format!("output `{output}` has labels, no scores");
                gap("metrics of scores".to_owned(), why);
            }
            let improper = self.tally().models[model].classes.improper;
            if improper > 0 {
                let why = format!(
                    "{improper} rows of output `{output}` are no probabilities; set `scores = \"logits\"` if they are logits"
                );
                gap("log_loss, brier and ece".to_owned(), why);
            }
        }
        if self.layout.ranked_classes().is_empty() {
            gap("roc_auc".to_owned(), format!("there are more than {MAX_RANKED_CLASSES} classes"));
        }
        if !self.is_complete {
            let binned = self.curve_errors();
            gap("rows beyond the budget".to_owned(), self.of_a_sample("intervals without a closed form") + &binned);
        }
    }

    /// Returns how far each metric of the candidate's ranks can be from that of the scores, as a text.
    fn curve_errors(&self) -> String {
        let groups: Vec<Groups> = self.totals.histograms[0].iter().map(curves::histogram_groups).collect();
        let mut res = format!("; metrics of ranks are of {SCORE_BINS} score bins");
        for &measure in self.measures.iter().filter(|it| it.is_ranked() && self.wants(it.name())) {
            if measure.is_of_pairs() {
                res += ", roc_auc[multi_class=ovo] of the sample";
                continue;
            }
            // A mean over classes is as close as the one that is farthest off.
            let error = groups.iter().map(|it| curves::error(it, |it| of_groups(measure, &[it.to_vec()])));
            let error = match measure {
                Measure::RocAuc(_) => groups.iter().map(|it| curves::error(it, curves::roc_auc)).fold(0.0, f64::max),
                _ => error.fold(0.0, f64::max),
            };
            res += &format!(", {} within {error:.2e}", measure.name());
        }
        res
    }

    fn of_a_sample(&self, what: &str) -> String {
        let n_kept = self.rows.n();
        format!("{what} are of a sample of {n_kept} of {} rows", self.tally().all.n)
    }
}

/// Returns a metric of which it is known which values are better.
fn metric(measure: Measure, value: f64) -> Metric {
    Metric::new(measure.name(), value).better(measure.better())
}

/// Returns why nothing may rest on the metrics of a slice, where it is too small.
fn too_small(tally: &Tally, settings: &Settings) -> Option<String> {
    let (n, least) = (tally.all.n, settings.min_slice_size);
    let rows = if n == 1 { "row" } else { "rows" };
    (n < least).then(|| format!("it has {n} {rows}, fewer than `min_slice_size`, {least}"))
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
            | Measure::Specificity(_)
            | Measure::Npv(_)
            | Measure::Fpr(_)
            | Measure::Fnr(_)
            | Measure::Precision(Of::Micro)
            | Measure::Recall(Of::Micro)
            | Measure::F1(Of::Micro)
            | Measure::Precision(Of::Positive(_))
            | Measure::Recall(Of::Positive(_))
            | Measure::F1(Of::Positive(_))
            | Measure::RocAuc(Areas::One)
            | Measure::Gini
    );
    match measure {
        Measure::MaxError => false,
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

/// Returns by how much a metric moves with the area under the ROC curve, if it is a linear function of it.
fn area_scale(measure: Measure) -> Option<f64> {
    match measure {
        Measure::RocAuc(Areas::One) => Some(1.0),
        Measure::Gini => Some(2.0),
        _ => None,
    }
}

fn missing_slices(settings: &Settings, layout: Option<&Layout>, found: &[(String, Tally)], report: &mut Report) {
    let primary = layout.map_or(Measure::Accuracy, measure::primary);
    for name in &settings.expected {
        let seen = found.iter().find(|it| it.0 == *name).map(|it| &it.1);
        let column = name.split('=').next().unwrap_or(name).to_owned();
        let why = match (seen, layout) {
            (Some(it), _) => match too_small(it, settings) {
                Some(why) => why,
                None => continue,
            },
            (None, Some(it)) if !it.slice_columns.contains(&column) => {
                format!("`{column}` is not a slice column of the data")
            }
            (None, _) => "no labeled row is in it".to_owned(),
        };
        report.gaps.push(Gap::new(format!("the expected slice `{name}`"), why.clone()));
        report.checks.push(Check {
            metric: primary.name().to_owned(),
            labels: Labels::from([("slice".to_owned(), name.clone())]),
            requirement: "the slice is in the data".to_owned(),
            observed: None,
            interval: None,
            n: seen.map_or(0, |it| it.all.n),
            status: Status::NotChecked,
            message: why,
        });
    }
}
