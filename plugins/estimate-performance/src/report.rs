//! The report: metrics, findings, figures, and what could not be estimated.

use modelwatch_sdk::{
    Host, Report,
    cells::ReferenceWindow,
    report::{Check, Gap},
};

use crate::{
    config::{Calibration, Config},
    confusion::MAX_CLASSES,
    encoding::MIN_NAMED,
    evaluation::{Evaluation, Part},
    report_figures::figures,
    report_findings::findings,
    report_metrics::metrics,
    rows::{Feature, NO_NAME, Rows},
};

/// What all gaps are about.
const SUBJECT: &str = "performance without labels";

/// Returns the report where there is nothing to estimate from.
pub(crate) fn nothing(why: String, more: Vec<Gap>) -> Report {
    let gaps = std::iter::once(Gap::new(SUBJECT, why)).chain(more).collect();
    Report { gaps, ..Report::default() }
}

/// Returns everything that is to be said.
pub(crate) fn write(
    config: &Config,
    host: &dyn Host,
    reference: &Rows,
    current: &Rows,
    evaluation: &Evaluation,
) -> Report {
    Report {
        metrics: metrics(config, host, (reference, current), evaluation),
        checks: nothing_judged(config, evaluation),
        findings: findings(config, evaluation),
        figures: figures(evaluation),
        gaps: gaps(config, reference, current, evaluation),
    }
}

/// Returns the checks that some chunk and some slice were judged, where none was: what was not looked at has not passed.
fn nothing_judged(config: &Config, evaluation: &Evaluation) -> Vec<Check> {
    let mut res = Vec::new();
    if !evaluation.all.is_judged() {
        res.push(Check::not_checked("judged_chunks", "> 0", "no chunk could be judged: see the gaps"));
    }
    if !config.slices.is_empty() && !evaluation.judged_slices().any(|it| it.1.is_judged()) {
        res.push(Check::not_checked("judged_slices", "> 0", "no slice could be judged: see the gaps"));
    }
    res
}

fn gaps(config: &Config, reference: &Rows, current: &Rows, evaluation: &Evaluation) -> Vec<Gap> {
    let mut res = unknown_gaps(reference, current);
    let n_unlearned = reference.n_labeled() - evaluation.n_learned;
    let unusable = [
        ("current", evaluation.all.n_unusable, current.len() as u64),
        ("labeled reference", n_unlearned, reference.n_labeled()),
    ];
    for (rows, n, all) in unusable.into_iter().filter(|it| it.1 > 0) {
        let why = format!("scores or predictions of {n} of {all} {rows} rows are missing, not finite or no chances");
        res.push(Gap::new(format!("{SUBJECT}, in part"), why));
    }
    for name in reference.rounded.union(&current.rounded) {
        let why = "decimals with more than 15 digits were rounded";
        res.push(Gap::new(format!("column `{name}`, last digits"), why));
    }
    if let Some(period) = config.period() {
        for (role, rows) in [("reference", reference), ("current", current)] {
            let n = rows.seconds.0.iter().filter(|it| period.start(**it).is_none()).count();
            if n > 0 {
                res.push(Gap::new(format!("chunks of {role} rows"), format!("{n} rows have no time")));
            }
        }
    }
    for (role, rows, other) in [("reference", reference, current), ("current", current, reference)] {
        if other.is_weighted() && !rows.is_weighted() {
            let why = "there are none, and each row counts once";
            res.push(Gap::new(format!("row weights of the {role} rows"), why));
        }
    }
    for it in evaluation.calibrations.iter().filter(|it| it.is_untried() && config.calibration != Calibration::Never) {
        let why = "the labeled reference rows are all of it or all of others, so that its scores are taken for chances as they are; give reference rows of both";
        res.push(Gap::new(format!("calibration of class `{}`", it.class), why));
    }
    let n_classes = evaluation.calibrations.len();
    if n_classes > MAX_CLASSES {
        let why = format!("there are {n_classes} classes, more than {MAX_CLASSES}");
        res.push(Gap::new("confusion matrix", why));
    }
    res.extend(metric_gaps(config, &evaluation.all));
    res.extend(slice_gaps(config, reference, current, evaluation));
    for name in reference.left_out.union(&current.left_out) {
        let why = "errors are learned from numbers and names alone";
        res.push(Gap::new(format!("column `{name}`"), why));
    }
    for (name, n) in &evaluation.rare {
        let why = format!(
            "{n} of {} labeled reference rows have a value that fewer than {MIN_NAMED} have, which says nothing of the errors of others and stands for their mean",
            evaluation.n_learned
        );
        res.push(Gap::new(format!("column `{name}`, in part"), why));
    }
    for (name, n) in &evaluation.unknown {
        let why = format!(
            "{n} of {} current rows have a value that no reference row has, and which stands for the mean error of all of these",
            current.len()
        );
        res.push(Gap::new(format!("column `{name}`, in part"), why));
    }
    for (name, feature) in &reference.features {
        let is_same_kind = |other: &Feature| std::mem::discriminant(other) == std::mem::discriminant(feature);
        if !current.features.get(name).is_some_and(is_same_kind) {
            let why = "the current rows lack it, or have it with another type; it counts as missing there";
            res.push(Gap::new(format!("column `{name}`"), why));
        }
    }
    res
}

/// Returns which labels and predictions are nothing that there is.
pub(crate) fn unknown_gaps(reference: &Rows, current: &Rows) -> Vec<Gap> {
    let mut res = Vec::new();
    for (role, rows) in [("reference", reference), ("current", current)] {
        for (column, it) in &rows.unknown {
            let (what, then) =
                if it.is_label { ("label", "count as unlabeled") } else { ("called class", "are not estimated") };
            let why = format!(
                "{} of {} {role} rows have a {what} that is none of those that there are, such as `{}`, and {then}; list every class in `classes`, in the order of the scores",
                it.n_rows,
                rows.len(),
                it.example,
            );
            res.push(Gap::new(format!("column `{column}` of {role} rows, in part"), why));
        }
    }
    res
}

fn metric_gaps(config: &Config, part: &Part) -> Vec<Gap> {
    let mut res = Vec::new();
    for it in &part.metrics {
        let name = it.metric.name();
        if it.overall.value.is_none() {
            res.push(Gap::new(format!("metric `{name}`"), "it does not exist for the current rows"));
        }
        for (rows, n, n_known) in
            [("current", it.overall.n_left_out, it.overall.n_rows), ("labeled reference", it.n_unlearned, 0)]
        {
            let (Some(why), true) = (it.metric.missing_errors(), n > 0) else { continue };
            let of = if n_known > 0 { format!("{n} of {}", n + n_known) } else { n.to_string() };
            let why = format!("{of} {rows} rows have no such error, as {why}, and are left out of it");
            res.push(Gap::new(format!("metric `{name}`, in part"), why));
        }
        if let Some(bias) = it.bias {
            let why = format!(
                "on the reference it is estimated as {:.4} where labels give {:.4}, which is more than samples differ by: what was learned from all rows does not hold here, and estimates are not judged",
                bias.estimated, bias.realized,
            );
            res.push(Gap::new(format!("metric `{name}`"), why));
        }
        if !config.limits.contains_key(&it.metric) && config.reference_window != ReferenceWindow::Fixed {
            let (n, all) = (it.chunks.iter().filter(|it| it.limits.lower.is_none()).count(), it.chunks.len());
            if n > 0 {
                let why = format!(
                    "{n} of {all} chunks have fewer than two chunks of {} labeled rows and the metric in their window, or its sampling error is not known",
                    config.min_chunk_rows
                );
                res.push(Gap::new(format!("limits of `{name}`"), why));
            }
        } else if !config.limits.contains_key(&it.metric) && it.limits.is_none_or(|it| it.lower.is_none()) {
            let why = format!(
                "fewer than two chunks of the reference have {} labeled rows and the metric, or its sampling error is not known",
                config.min_chunk_rows
            );
            res.push(Gap::new(format!("limits of `{name}`"), why));
        }
    }
    res
}

/// Returns which rows are in no slice, which slices were not looked at, and what is missing of the others.
fn slice_gaps(config: &Config, reference: &Rows, current: &Rows, evaluation: &Evaluation) -> Vec<Gap> {
    let mut res = Vec::new();
    for (role, rows) in [("reference", reference), ("current", current)] {
        for (column, slices) in &rows.slices {
            let n = slices.codes.iter().filter(|it| **it == NO_NAME).count();
            if n > 0 {
                let why = format!("{n} of {} {role} rows have no value, and are in no slice", rows.len());
                res.push(Gap::new(format!("slices of {role} rows by `{column}`"), why));
            }
        }
    }
    for slice in &evaluation.slices {
        let subject = format!("slice `{}`", slice.name);
        match &slice.outcome {
            Err(why) => res.push(Gap::new(subject, format!("it was not judged: {why}"))),
            Ok(part) => {
                let (n, n_small) = (part.chunks.len(), part.chunks.iter().filter(|it| it.is_small).count());
                if n_small > 0 {
                    let least = config.min_chunk_rows;
                    let why = format!(
                        "{n_small} of {n} chunks were not judged: they have fewer rows than `min_chunk_rows`, {least}, or are worth fewer by their weights"
                    );
                    res.push(Gap::new(subject.clone(), why));
                }
                if part.n_empty > 0 {
                    let why = format!("{} of {} chunks have no row of it", part.n_empty, n + part.n_empty);
                    res.push(Gap::new(subject.clone(), why));
                }
                let gaps = metric_gaps(config, part).into_iter();
                res.extend(gaps.map(|it| Gap::new(format!("{}, {subject}", it.what), it.why)));
            }
        }
    }
    res
}
