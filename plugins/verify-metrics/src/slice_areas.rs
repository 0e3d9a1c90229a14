//! The metrics of ranks of each slice: areas under the ROC curve of classes, and of sets of labels those under the precision-recall curve, too.
//!
//! They are of the kept rows: all of them up to the budget, and beyond it a sample, of which `n` and the interval are then.

use modelwatch_sdk::{
    Report,
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

/// Adds them to the report.
pub(crate) fn report(evaluation: &Evaluation<'_>, slice: &Slice, report: &mut Report) {
    let (measures, layout) = (measures(evaluation), evaluation.layout);
    if measures.is_empty() {
        return;
    }
    let rows = evaluation.rows_of(slice);
    let areas = AreaVariances::new(&rows, layout, rows.n());
    let masses = rows.masses();
    let values: Vec<Vec<f64>> = (0..layout.models.len())
        .map(|it| match slice.tally.models[it].unusable {
            0 => rows.ranked_values(&measures, it, &masses),
            _ => vec![f64::NAN; measures.len()],
        })
        .collect();
    let bounds = evaluation.share.map(|it| sampling::bounds(&rows, &measures, &slice.tally, it));
    for (nth, &measure) in measures.iter().enumerate() {
        let bounds = bounds.as_ref().map(|it| &it[nth]);
        let level = evaluation.host.confidence(measure.name());
        let mut labels = measure.labels(layout);
        labels.insert("slice".to_owned(), slice.name.clone());
        let unfit = slice.unfit.clone().or_else(|| without_class(measure, layout, &rows));
        let mut push = |value: f64, role, interval, bounds: Option<Bounds>| {
            let metric = evaluate::metric(measure, value).role(role).n(rows.n()).labels(&labels);
            report.metrics.push(metric.interval(interval).bounds(bounds.map(Bounds::interval)).unfit(unfit.clone()));
        };
        let has = [0, 1].map(|it| evaluation.has(measure, it));
        for (model, role) in
            [MetricRole::Candidate, MetricRole::Baseline].into_iter().enumerate().filter(|it| has[it.0])
        {
            let value = values[model][nth];
            let interval = areas.interval(measure, value, model, level);
            let interval = interval.filter(|it| value.is_finite() && intervals::has_width(it));
            push(value, role, interval, bounds.and_then(|it| it.models[model]));
        }
        if has == [true; 2] {
            let difference = values[0][nth] - values[1][nth];
            let interval = evaluation.of_one_model(&slice.tally, difference, level);
            let bounds = if interval.is_some() { None } else { bounds.and_then(|it| it.difference) };
            push(
                difference,
                MetricRole::Difference,
                interval.or_else(|| areas.difference(measure, [values[0][nth], values[1][nth]], level)),
                bounds,
            );
        }
        if let Some(all) = bounds.filter(|_| slice.unfit.is_none()) {
            let address = gaps::address_of(measure.name(), &labels);
            let n = slice.tally.all.n;
            let why = format!("it is of a sample of {} of {n} rows, and so are its n and its interval", rows.n());
            report.gaps.push(Gap::new(address, gaps::with_error(why, all.models[0], values[0][nth])));
        }
    }
}

/// Returns why there is no such metric of a class where all rows or none are of it.
fn without_class(measure: Measure, layout: &Layout, rows: &Rows<'_>) -> Option<String> {
    let Measure::RocAuc(Areas::Rest(class)) = measure else { return None };
    let n = rows.positives(class);
    let how_many = if n == 0.0 {
        "none"
    } else if n == rows.n() as f64 {
        "all"
    } else {
        return None;
    };
    Some(format!("{how_many} of its rows are of class `{}`", layout.classes[class]))
}
