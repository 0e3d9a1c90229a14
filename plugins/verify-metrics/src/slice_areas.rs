//! The metrics of ranks of each slice: areas under the ROC curve of classes, of sets of labels those under the precision-recall curve, too, and
//! those of detections, whose intervals are of replicates of the slice's rows.
//!
//! They are of the kept rows: all of them up to the budget, and beyond it a sample, of which `n` and the interval are then. A gap says for each
//! metric in which slice it can be the furthest off.

use modelwatch_sdk::{
    Report, Result,
    report::{Gap, MetricRole},
};

use crate::{
    areas::AreaVariances,
    bootstrap::Rows,
    bounds::Bounds,
    evaluate::{self, Evaluation, Slice},
    gaps, intervals,
    measure::{self, Areas, Measure},
    row::Layout,
    sampling,
    summed::{Kind, SumMetric, SumOf},
};

/// Returns whether slices have such metrics.
pub(crate) fn is_reported(evaluation: &Evaluation<'_>) -> bool {
    !measures(evaluation).is_empty()
}

/// Returns those of them that are asked for, and of which there are scores.
fn measures(evaluation: &Evaluation<'_>) -> Vec<Measure> {
    let all = measure::per_slice_of_ranks(evaluation.layout).into_iter();
    all.filter(|&it| evaluation.has(it, 0) && evaluation.wants(it.name())).collect()
}

/// How far one of them can be from what all rows of a slice give.
struct OfSample<'s> {
    measure: Measure,
    slice: &'s str,
    value: f64,
    bounds: Option<Bounds>,
    /// How many rows are kept, and how many there are.
    n: [u64; 2],
}

impl OfSample<'_> {
    fn error(&self) -> f64 {
        self.bounds.filter(|_| !self.value.is_nan()).map_or(-1.0, |it| it.error(self.value))
    }
}

/// Adds them to the report, and of each the slice in which it can be the furthest off.
///
/// # Errors
/// When the host asks for an end.
pub(crate) fn report(evaluation: &Evaluation<'_>, report: &mut Report) -> Result<()> {
    let measures = measures(evaluation);
    if measures.is_empty() {
        return Ok(());
    }
    let mut found = Vec::new();
    for slice in &evaluation.slices {
        found.extend(of_slice(evaluation, &measures, slice, report)?);
    }
    for &measure in &measures {
        let of_measure = found.iter().filter(|it| it.measure == measure);
        let Some(it) = of_measure.max_by(|left, right| left.error().total_cmp(&right.error())) else { continue };
        let mut labels = measure.labels(evaluation.layout);
        labels.insert("slice".to_owned(), "*".to_owned());
        let (slice, [kept, n]) = (it.slice, it.n);
        let why = format!(
            "in slices it is of a sample of the rows, and so are its n and its interval; it can be the furthest off in `{slice}`, of {kept} \
             of {n} rows"
        );
        report
            .gaps
            .push(Gap::new(gaps::address_of(measure.name(), &labels), gaps::with_error(why, it.bounds, it.value)));
    }
    Ok(())
}

/// Adds those of a slice to the report, and returns which of them are of a sample.
fn of_slice<'s>(
    evaluation: &Evaluation<'_>,
    measures: &[Measure],
    slice: &'s Slice,
    report: &mut Report,
) -> Result<Vec<OfSample<'s>>> {
    let layout = evaluation.layout;
    let mut res = Vec::new();
    let rows = evaluation.rows_of(slice);
    let areas = AreaVariances::new(&rows, layout, rows.n());
    let masses = rows.masses();
    let is_of_boxes = layout.sums.as_ref().is_some_and(|it| it.kind == Kind::Detection);
    let replicated: &[Measure] = if is_of_boxes { measures } else { &[] };
    let replicates = rows.replicates(replicated, slice.tally.all.n, evaluation.settings, evaluation.host)?;
    let values: Vec<Vec<f64>> = (0..layout.models.len())
        .map(|it| match slice.tally.models[it].unusable {
            0 => rows.ranked_values(measures, it, &masses),
            _ => vec![f64::NAN; measures.len()],
        })
        .collect();
    let bounds = evaluation.share.map(|it| sampling::bounds(&rows, measures, &slice.tally, it));
    for (nth, &measure) in measures.iter().enumerate() {
        let bounds = bounds.as_ref().map(|it| &it[nth]);
        let level = evaluation.host.confidence(measure.name());
        let mut labels = measure.labels(layout);
        labels.insert("slice".to_owned(), slice.name.clone());
        let unfit = slice.unfit.clone().or_else(|| without_class(measure, layout, slice, &rows));
        let mut push = |value: f64, role, interval, bounds: Option<Bounds>| {
            let metric = evaluate::metric(measure, value).role(role).n(rows.n()).labels(&labels);
            report.metrics.push(metric.interval(interval).bounds(bounds.map(Bounds::interval)).unfit(unfit.clone()));
        };
        let has = [0, 1].map(|it| evaluation.has(measure, it));
        for (model, role) in
            [MetricRole::Candidate, MetricRole::Baseline].into_iter().enumerate().filter(|it| has[it.0])
        {
            let value = values[model][nth];
            let interval = match is_of_boxes {
                true => replicates.of_model(nth, model, value, level).filter(|it| it.low <= value && value <= it.high),
                false => areas.interval(measure, value, model, level),
            };
            let interval = interval.filter(|it| value.is_finite() && intervals::has_width(it));
            let sampled = bounds.map(|it| it.models[model]);
            let interval = interval.and_then(|it| sampled.map_or(Some(it), |of| of.cover(it, measure.range())));
            push(value, role, interval, sampled.and_then(|it| it.bounds));
        }
        if has == [true; 2] {
            let difference = values[0][nth] - values[1][nth];
            let certain = evaluation.of_one_model(&slice.tally, difference, level);
            let sampled = bounds.map(|it| it.difference).filter(|_| certain.is_none());
            let estimated = || {
                let found = match is_of_boxes {
                    true => replicates.compared(nth, difference, |it| it[0] - it[1], level),
                    false => areas.difference(measure, [values[0][nth], values[1][nth]], level),
                };
                let found = found.filter(intervals::has_width)?;
                sampled.map_or(Some(found), |it| it.cover(found, evaluate::of_differences(measure)))
            };
            let interval = certain.or_else(estimated);
            push(difference, MetricRole::Difference, interval, sampled.and_then(|it| it.bounds));
        }
        if let Some(all) = bounds.filter(|_| slice.unfit.is_none()) {
            let (bounds, n) = (all.models[0].bounds, [rows.n(), slice.tally.all.n]);
            res.push(OfSample { measure, slice: &slice.name, value: values[0][nth], bounds, n });
        }
    }
    Ok(res)
}

/// Returns why there is no such metric of a class where all rows or none are of it.
fn without_class(measure: Measure, layout: &Layout, slice: &Slice, rows: &Rows<'_>) -> Option<String> {
    let class = match measure {
        Measure::RocAuc(Areas::Rest(class)) => class,
        Measure::Summed(Kind::Detection, SumMetric { of: SumOf::Class(class), .. }) => {
            // What a model gave may be unusable; the objects are the same beside each.
            let mut models = 0..layout.models.len();
            let has_object = models.any(|model| rows.iter().any(|(words, _)| rows.sides(words, class, model)[0] > 0.0));
            let name = &layout.sums.as_ref()?.classes[class];
            let of = if rows.n() < slice.tally.all.n {
                "the objects in the rows that are kept of it"
            } else {
                "its objects"
            };
            return (!has_object).then(|| format!("none of {of} is of class `{name}`"));
        }
        _ => return None,
    };
    let (n, n_all, n_kept) = (slice.tally.truth[class].n, slice.tally.all.n, rows.positives(class));
    let which = if n == 0 {
        "none of its rows"
    } else if n == n_all {
        "all of its rows"
    } else if n_kept == 0.0 {
        "none of the rows that are kept of it"
    } else if n_kept == rows.n() as f64 {
        "all of the rows that are kept of it"
    } else {
        return None;
    };
    Some(format!("{which} are of class `{}`", layout.classes[class]))
}
