//! The numbers of the report.

use modelwatch_sdk::{
    Host, KnownMetric, Role,
    cells::ReferenceWindow,
    report::{Interval, Metric as Number},
};
use modelwatch_stats::intervals::normal_quantile;

use crate::{
    config::{Config, Limits, Task},
    confusion::Confusion,
    evaluation::{Assessment, Estimate, Evaluation, Part, is_outside},
    metric::Metric,
    rows::Rows,
};

/// The values of the label `bound`.
const BOUNDS: [&str; 2] = ["lower", "upper"];

/// Returns the metrics that there can be with these options.
pub(crate) fn known(config: &Config) -> impl Iterator<Item = KnownMetric> {
    let wanted = Metric::wanted(config);
    let of = |kinds: &[&str]| -> Vec<String> {
        wanted.iter().flat_map(|it| kinds.iter().map(|kind| format!("{kind}_{}", it.name()))).collect()
    };
    // Where windows move, each chunk has limits of its own.
    let of_limits: &[&str] =
        if config.reference_window == ReferenceWindow::Fixed { &["bound"] } else { &["chunk", "bound"] };
    let kinds_of_cells = ["estimated", "sampling_error", "reference", "realized"];
    let of_part = || {
        KnownMetric::all(["chunks", "judged_chunks"], &[])
            .chain(KnownMetric::all(of(&["estimated", "sampling_error", "realized"]), &["chunk"]))
            .chain(KnownMetric::all(
                of(&["estimated", "sampling_error", "realized", "reference", "chunks_outside"]),
                &[],
            ))
            .chain(KnownMetric::all(of(&["limit"]), of_limits).map(|it| it.only("bound", BOUNDS)))
    };
    let slices = (!config.slices.is_empty())
        .then(|| KnownMetric::all(["slices", "judged_slices"], &[]).chain(of_part().map(|it| it.label("slice"))));
    let classes =
        (config.task != Task::Regression).then(|| KnownMetric::all(["calibration_error", "calibrated"], &["class"]));
    let cells = (config.task == Task::Multiclass)
        .then(|| KnownMetric::all(kinds_of_cells.map(|it| format!("{it}_confusion_share")), &["class", "called"]));
    let of_sizes = || {
        let roles = [Role::Reference, Role::Current].map(Role::as_str);
        KnownMetric::all(["effective_rows"], &["data"]).map(move |it| it.only("data", roles))
    };
    let sizes = config.weights.then(of_sizes);
    of_part()
        .chain(sizes.into_iter().flatten())
        .chain(slices.into_iter().flatten())
        .chain(classes.into_iter().flatten())
        .chain(cells.into_iter().flatten())
}

/// Returns the numbers of all rows together, then those of each chunk.
pub(crate) fn metrics(
    config: &Config,
    host: &dyn Host,
    (reference, current): (&Rows, &Rows),
    evaluation: &Evaluation,
) -> Vec<Number> {
    let mut res = Vec::new();
    let n_unknown = current.n_unknown_labels();
    let unlabeled = (n_unknown > 0).then(|| {
        format!("labels of {n_unknown} rows are none of those that there are, and how it is with these is not known")
    });
    let n_unknown = reference.n_unknown_labels();
    let n_unlearned = reference.n_labeled().saturating_sub(evaluation.n_learned);
    let unlearned = (n_unknown > 0 || n_unlearned > 0).then(|| {
        format!(
            "of the reference, labels of {n_unknown} rows are none of those that there are, and scores or predictions of {n_unlearned} labeled \
             rows cannot be used, so that nothing was learned from these"
        )
    });
    let scope = Scope { host, unlabeled, unlearned };
    of_chunks(&evaluation.all, &mut res);
    let n_rows = n_rows(&evaluation.all);
    for (role, size) in &evaluation.effective_rows {
        res.extend(size.map(|it| Number::new("effective_rows", it).n(n_rows).label("data", role.as_str())));
    }
    for it in &evaluation.calibrations {
        let labeled = |name: &str, value: f64| Number::new(name, value).n(n_rows).label("class", it.class.as_str());
        res.push(labeled("calibration_error", it.error.unwrap_or(f64::NAN)));
        res.push(labeled("calibrated", f64::from(u8::from(it.is_calibrated()))));
    }
    evaluation.all.metrics.iter().for_each(|it| scope.of_metric(&evaluation.all, it, &mut res));
    evaluation.confusion.iter().for_each(|it| scope.of_confusion(&evaluation.all, it, &mut res));
    if !config.slices.is_empty() {
        let judged = || evaluation.judged_slices().filter(|it| it.1.is_judged());
        let n = judged().map(|it| self::n_rows(it.1)).sum();
        res.push(Number::new("slices", evaluation.slices.len() as f64).n(n));
        res.push(Number::new("judged_slices", judged().count() as f64).n(n));
    }
    for (slice, part) in evaluation.judged_slices() {
        let mut numbers = Vec::new();
        of_chunks(part, &mut numbers);
        part.metrics.iter().for_each(|it| scope.of_metric(part, it, &mut numbers));
        res.extend(numbers.into_iter().map(|it| it.label("slice", slice)));
    }
    res
}

fn of_chunks(part: &Part, res: &mut Vec<Number>) {
    let n_rows = n_rows(part);
    res.push(Number::new("chunks", (part.chunks.len() + part.n_empty) as f64).n(n_rows));
    res.push(Number::new("judged_chunks", part.n_judged() as f64).n(n_rows));
}

fn n_rows(part: &Part) -> u64 {
    part.chunks.iter().map(|it| it.n_rows).sum()
}

/// What the numbers of all parts have in common.
struct Scope<'a> {
    host: &'a dyn Host,
    /// Why nothing is decided about what labels gave, where it is so.
    unlabeled: Option<String>,
    /// Why nothing is decided about what was learned from the reference, where it is so.
    unlearned: Option<String>,
}

impl Scope<'_> {
    /// Returns why nothing is decided about what is estimated, given why it is so for the rows alone.
    fn unfit(&self, of_rows: Option<String>) -> Option<String> {
        of_rows.or_else(|| self.unlearned.clone())
    }

    fn of_confusion(&self, part: &Part, confusion: &Confusion, res: &mut Vec<Number>) {
        let level = self.host.confidence("estimated_confusion_share");
        let width = normal_quantile(0.5 + level / 2.0).unwrap_or(f64::NAN);
        for (class, cells) in confusion.classes.iter().zip(&confusion.cells) {
            for (called, cell) in confusion.classes.iter().zip(cells) {
                let n_rows = confusion.n_rows;
                let number = |name: &str, value: f64| {
                    let number = Number::new(name, value).label("class", class.as_str());
                    number.label("called", called.as_str()).unfit(self.unfit(part.unfit()))
                };
                let bound = |sign: f64| (cell.value + sign * width * cell.error).clamp(0.0, 1.0);
                let interval = Interval { low: bound(-1.0), high: bound(1.0), level };
                res.push(number("estimated_confusion_share", cell.value).n(n_rows).interval(Some(interval)));
                res.push(number("sampling_error_confusion_share", cell.error).n(n_rows));
                res.push(number("reference_confusion_share", cell.reference).n(n_rows));
                if let Some(realized) = cell.realized {
                    let unfit = part.unfit().or_else(|| self.unlabeled.clone());
                    res.push(number("realized_confusion_share", realized).n(confusion.n_labeled).unfit(unfit));
                }
            }
        }
    }

    fn of_metric(&self, part: &Part, it: &Assessment, res: &mut Vec<Number>) {
        let name = it.metric.name();
        let estimated = format!("estimated_{name}");
        let level = self.host.confidence(&estimated);
        // Half the width of an interval in standard errors.
        let width = normal_quantile(0.5 + level / 2.0).unwrap_or(f64::NAN);
        let interval = |estimate: &Estimate| interval(it.metric, estimate, width, level);
        let overall = &it.overall;
        let value = |of: Option<f64>| of.unwrap_or(f64::NAN);
        // No requirement on what does not hold for the slice is met.
        let n_of = |estimate: &Estimate| if it.bias.is_some() { 0 } else { estimate.n_rows };
        let realized = |estimate: &Estimate, unfit: Option<String>| {
            (estimate.n_labeled > 0).then(|| {
                Number::new(format!("realized_{name}"), value(estimate.realized))
                    .n(estimate.n_labeled)
                    .unfit(unfit.or_else(|| self.unlabeled.clone()))
            })
        };
        let all = Number::new(&estimated, value(overall.value)).n(n_of(overall)).interval(interval(overall));
        res.push(all.unfit(self.unfit(part.unfit())));
        res.push(Number::new(format!("sampling_error_{name}"), overall.error).n(overall.n_rows));
        res.extend(realized(overall, part.unfit()));
        if let Some(reference) = it.reference {
            res.push(Number::new(format!("reference_{name}"), reference).n(overall.n_rows));
        }
        res.extend(it.limits.into_iter().flat_map(|it| limits(name, it, overall.n_rows)));
        let n_outside = part.judged(it).filter(|(estimate, _)| is_outside(estimate.limits, estimate.value)).count();
        let n_judged: u64 = part.judged(it).map(|(estimate, _)| estimate.n_rows).sum();
        let outside = Number::new(format!("chunks_outside_{name}"), n_outside as f64).n(n_judged);
        res.push(outside.unfit(self.unfit(part.unfit())));
        for (estimate, chunk) in it.chunks.iter().zip(&part.chunks) {
            let in_chunk = |number: Number| number.label("chunk", chunk.name.as_str());
            let found = Number::new(&estimated, value(estimate.value)).n(n_of(estimate)).interval(interval(estimate));
            res.push(in_chunk(found.unfit(self.unfit(chunk.unfit()))));
            res.push(in_chunk(Number::new(format!("sampling_error_{name}"), estimate.error).n(estimate.n_rows)));
            res.extend(realized(estimate, chunk.unfit()).map(in_chunk));
            if it.limits.is_none() {
                res.extend(limits(name, estimate.limits, estimate.n_rows).map(in_chunk));
            }
        }
    }
}

fn limits(name: &str, limits: Limits, n_rows: u64) -> impl Iterator<Item = Number> {
    let bounds = BOUNDS.into_iter().zip([limits.lower, limits.upper]);
    let number = move |(bound, limit): (&str, Option<f64>)| {
        Some(Number::new(format!("limit_{name}"), limit?).n(n_rows).label("bound", bound))
    };
    bounds.filter_map(number)
}

fn interval(metric: Metric, estimate: &Estimate, width: f64, level: f64) -> Option<Interval> {
    let (value, error) = (estimate.value?, Some(estimate.error).filter(|it| it.is_finite())?);
    let (low, high) = (metric.clamped(value - width * error), metric.clamped(value + width * error));
    Some(Interval { low, high, level })
}
