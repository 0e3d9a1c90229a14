//! The report: metrics, findings, figures, and what could not be estimated.

use modelwatch_sdk::{
    Host, Report,
    report::{Check, Gap},
};

use crate::{
    config::Config,
    confusion::MAX_CLASSES,
    evaluation::Evaluation,
    report_figures::figures,
    report_findings::findings,
    report_metrics::metrics,
    rows::{Feature, Rows},
};

/// What all gaps are about.
const SUBJECT: &str = "performance without labels";

/// Returns the report where there is nothing to estimate from.
pub(crate) fn nothing(why: String) -> Report {
    Report { gaps: vec![Gap::new(SUBJECT, why)], ..Report::default() }
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
        metrics: metrics(host, evaluation),
        checks: nothing_judged(evaluation).into_iter().collect(),
        findings: findings(config, evaluation),
        figures: figures(evaluation),
        gaps: gaps(config, reference, current, evaluation),
    }
}

/// Returns the check that some chunk was judged, where none was: what was not looked at has not passed.
fn nothing_judged(evaluation: &Evaluation) -> Option<Check> {
    let is_any = evaluation.chunks.iter().any(|it| !it.is_small) && !evaluation.metrics.is_empty();
    (!is_any).then(|| Check::not_checked("judged_chunks", "> 0", "no chunk could be judged: see the gaps"))
}

fn gaps(config: &Config, reference: &Rows, current: &Rows, evaluation: &Evaluation) -> Vec<Gap> {
    let mut res = Vec::new();
    if evaluation.n_unusable > 0 {
        let why = format!(
            "scores or predictions of {} of {} current rows are missing, not finite or no chances",
            evaluation.n_unusable,
            current.len()
        );
        res.push(Gap::new(format!("{SUBJECT}, in part"), why));
    }
    if let Some(period) = config.period() {
        for (role, rows) in [("reference", reference), ("current", current)] {
            let n = rows.seconds.0.iter().filter(|it| period.start(**it).is_none()).count();
            if n > 0 {
                res.push(Gap::new(format!("chunks of {role} rows"), format!("{n} rows have no time")));
            }
        }
    }
    let n_classes = evaluation.calibrations.len();
    if n_classes > MAX_CLASSES {
        let why = format!("there are {n_classes} classes, more than {MAX_CLASSES}");
        res.push(Gap::new("confusion matrix", why));
    }
    for it in &evaluation.metrics {
        let name = it.metric.name();
        if it.overall.value.is_none() {
            res.push(Gap::new(format!("metric `{name}`"), "it does not exist for the current rows"));
        }
        if !config.limits.contains_key(&it.metric) && it.limits.lower.is_none() {
            let why = format!(
                "fewer than two chunks of the reference have {} labeled rows and the metric",
                config.min_chunk_rows
            );
            res.push(Gap::new(format!("limits of `{name}`"), why));
        }
    }
    for name in reference.left_out.union(&current.left_out) {
        let why = "errors are learned from numbers and names alone";
        res.push(Gap::new(format!("column `{name}`"), why));
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
