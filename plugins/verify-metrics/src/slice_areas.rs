//! The area under the ROC curve of each slice, of binary models.
//!
//! It is of the kept rows: all of them up to the budget, and beyond it a sample, of which `n` and the interval are then.

use modelwatch_sdk::{
    Report,
    report::{Gap, Labels, MetricRole},
};

use crate::{
    areas::AreaVariances,
    curves,
    evaluate::{self, Evaluation, Slice},
    intervals,
    measure::{Areas, Measure},
    slices,
};

/// What is reported of a slice.
pub(crate) const AREA: Measure = Measure::RocAuc(Areas::One);

/// Returns whether slices have areas: those of scores of a binary model.
pub(crate) fn is_reported(evaluation: &Evaluation<'_>) -> bool {
    evaluation.layout.positive.is_some() && evaluation.has(AREA, 0) && evaluation.wants(AREA.name())
}

/// Adds the areas of a slice to the report.
pub(crate) fn report(evaluation: &Evaluation<'_>, slice: &Slice, unfit: Option<&String>, report: &mut Report) {
    let layout = evaluation.layout;
    if layout.positive.is_none() || !evaluation.wants(AREA.name()) {
        return;
    }
    let is_in = |words: &[u64]| slices::has(slice.key, layout.slices(words), |key| evaluation.is_kept(key));
    let rows: Vec<(&[u64], u64)> = evaluation.rows.iter().filter(|it| is_in(it.0)).collect();
    let n: u64 = rows.iter().map(|it| it.1).sum();
    let mut masses = evaluation.rows.masses();
    masses.iter_mut().zip(evaluation.rows.iter()).filter(|it| !is_in(it.1.0)).for_each(|it| *it.0 = 0.0);
    let areas = AreaVariances::new(&rows, layout, n);
    let level = evaluation.host.confidence(AREA.name());
    let labels = Labels::from([("slice".to_owned(), slice.name.clone())]);
    let value = |model: usize| match slice.tally.models[model].unusable {
        0 => curves::roc_auc(&evaluation.rows.groups(model, 0, &masses)),
        _ => f64::NAN,
    };
    let mut push = |value: f64, role, interval| {
        let metric = evaluate::metric(AREA, value).role(role).n(n).labels(&labels);
        report.metrics.push(metric.interval(interval).unfit(unfit.cloned()));
    };
    let values = [0, 1].map(|model| evaluation.has(AREA, model).then(|| value(model)));
    for (model, role) in [MetricRole::Candidate, MetricRole::Baseline].into_iter().enumerate() {
        if let Some(value) = values[model] {
            let found = areas.interval(value, model, level, 1.0);
            push(value, role, found.filter(|it| value.is_finite() && intervals::has_width(it)));
        }
    }
    if let [Some(candidate), Some(baseline)] = values {
        let difference = candidate - baseline;
        let interval = evaluation.of_one_model(&slice.tally, difference, level);
        let interval = interval.or_else(|| areas.difference(difference, level, 1.0));
        push(difference, MetricRole::Difference, interval);
    }
    if !evaluation.is_complete {
        let why = format!("it is of a sample of {n} of {} rows, and so are its n and its interval", slice.tally.all.n);
        report.gaps.push(Gap::new(format!("roc_auc of the slice `{}`", slice.name), why));
    }
}
