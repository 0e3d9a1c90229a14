//! Findings of tasks whose metrics are of sums: models that give one answer to everything, and boxes that are none.

use modelwatch_sdk::report::{Finding, Severity};

use crate::{
    evaluate::Evaluation,
    findings::{CONSTANT_ADVICE, CONSTANT_MARGIN, CONSTANT_SHARE},
    summed::{Counts, Kind},
    tasks::{detection, multi_label},
};

/// MW-M010: the share of inverted boxes from which on it is an error.
const INVERTED_SHARE: f64 = 0.01;

/// Adds what detections say that are no boxes.
pub(crate) fn inverted_boxes(evaluation: &Evaluation<'_>, findings: &mut Vec<Finding>) {
    if evaluation.layout.sums.as_ref().is_none_or(|it| it.kind != Kind::Detection) {
        return;
    }
    for (model, role) in ["candidate", "baseline"].into_iter().enumerate().take(evaluation.layout.models.len()) {
        let sums = &evaluation.tally().models[model].sums;
        let (n, inverted) = (sums[detection::N_DETECTIONS], sums[detection::N_INVERTED]);
        if inverted == 0.0 {
            continue;
        }
        let share = inverted / n;
        let severity = if model == 0 && share >= INVERTED_SHARE { Severity::Error } else { Severity::Warning };
        let message = format!(
            "{inverted} of {n} detections of the {role} end before they begin (x2 < x1 or y2 < y1), so that no object is found by them; \
             an error from {:.0} % on",
            100.0 * INVERTED_SHARE
        );
        let advice = "give boxes as `x1, y1, x2, y2`: of `x, y, width, height`, add x and y to width and height; of centers, take half of them off first";
        let place = format!("{role}:{}", evaluation.layout.models[model].output);
        let finding = Finding::new("MW-M010", severity, place, message).advice(advice);
        findings.push(finding.evidence("inverted", inverted).evidence("detections", n));
    }
}

/// Returns the finding of a candidate that gives one answer to everything.
pub(crate) fn constant(evaluation: &Evaluation<'_>) -> Option<Finding> {
    let sums = evaluation.layout.sums.as_ref()?;
    let of = &evaluation.tally().models[0].sums;
    let what = match sums.kind {
        Kind::MultiLabel => labels(&of[multi_label::N_FIRST..], evaluation.tally().all.weight, &sums.classes),
        Kind::Segmentation => pixels(of, &sums.classes),
        Kind::Detection => {
            let (n, objects) = (of[detection::N_DETECTIONS], of[detection::N_OBJECTS]);
            (n == 0.0 && objects > 0.0).then(|| format!("nothing is detected, while there are {objects} objects"))
        }
        _ => None,
    }?;
    let place = format!("candidate:{}", evaluation.layout.models[0].output);
    let message = format!("{what} in {} rows", evaluation.tally().all.n);
    Some(Finding::new("MW-M006", Severity::Error, place, message).advice(CONSTANT_ADVICE))
}

fn classes(counts: &[f64]) -> impl Iterator<Item = Counts> + '_ {
    (0..counts.len() / 3).map(|it| Counts::of(counts, it))
}

/// Says so where every row has the same labels as prediction, or next to none, and the labels are others.
fn labels(counts: &[f64], n: f64, names: &[String]) -> Option<String> {
    let (predicted, truth) = classes(counts)
        .fold((0.0, 0.0), |(predicted, truth), it| (predicted + it.hits + it.alarms, truth + it.hits + it.misses));
    if truth > 0.0 && predicted <= (1.0 - CONSTANT_SHARE) * truth {
        return Some(format!("next to no label is predicted: {predicted}, while there are {truth}"));
    }
    let shares = || classes(counts).map(|it| ((it.hits + it.alarms) / n, (it.hits + it.misses) / n));
    let is_constant = shares().all(|it| it.0 >= CONSTANT_SHARE || it.0 <= 1.0 - CONSTANT_SHARE);
    let (nth, (predicted, truth)) = shares().enumerate().find(|(_, it)| (it.0 - it.1).abs() >= CONSTANT_MARGIN)?;
    is_constant.then(|| {
        let name = &names[nth];
        format!(
            "the same labels are predicted for nearly every row, as `{name}` for {:.1} %, which {:.1} % have,",
            100.0 * predicted,
            100.0 * truth
        )
    })
}

/// Says so where all pixels have one class as prediction, or nearly all have one that clearly fewer have as label.
fn pixels(counts: &[f64], names: &[String]) -> Option<String> {
    let n: f64 = classes(counts).map(|it| it.hits + it.misses).sum();
    let share = |it: Counts| ((it.hits + it.alarms) / n, (it.hits + it.misses) / n);
    let is_constant = |(predicted, truth): (f64, f64)| {
        (predicted >= 1.0 && truth < 1.0) || (predicted >= CONSTANT_SHARE && truth <= predicted - CONSTANT_MARGIN)
    };
    let (nth, (predicted, truth)) = classes(counts).map(share).enumerate().find(|it| is_constant(it.1))?;
    let name = &names[nth];
    Some(format!(
        "class `{name}` is predicted for {:.1} % of the pixels, while it is the label of {:.1} %,",
        100.0 * predicted,
        100.0 * truth
    ))
}
