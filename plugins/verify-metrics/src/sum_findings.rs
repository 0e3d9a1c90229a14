//! Findings of tasks whose metrics are of sums: models that give one answer to everything or one that tells nothing, and boxes that are
//! none.

use modelwatch_sdk::report::{Finding, Severity};

use modelwatch_stats::intervals::normal_quantile;

use crate::{
    evaluate::Evaluation,
    findings::{CONSTANT_ADVICE, CONSTANT_MARGIN, CONSTANT_SHARE, LEVEL, SLIGHT_KAPPA as SLIGHT},
    mass::Mass,
    measure,
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
        Kind::Sequences => evaluation.texts.and_then(|[labels, predictions]| {
            let is_constant = predictions[0] == predictions[1] && labels[0] != labels[1];
            is_constant.then(|| "one text is predicted, while the labels vary,".to_owned())
        }),
        Kind::Queries => {
            let is_constant = evaluation.random.is_some_and(|it| it.is_constant && it.ndcg < 1.0);
            is_constant.then(|| "the documents of each query have equal scores, so that nothing is ranked,".to_owned())
        }
        Kind::Documents => None,
    }?;
    let place = format!("candidate:{}", evaluation.layout.models[0].output);
    let rows = if sums.kind == Kind::Queries { "queries" } else { "rows" };
    let message = format!("{what} in {} {rows}", evaluation.tally().all.n);
    Some(Finding::new("MW-M006", Severity::Error, place, message).advice(CONSTANT_ADVICE))
}

/// Returns the finding of a candidate whose answers tell nothing of the labels.
pub(crate) fn no_information(evaluation: &Evaluation<'_>) -> Option<Finding> {
    let sums = evaluation.layout.sums.as_ref()?;
    let (name, value, trivial, low, high) = match sums.kind {
        Kind::Queries => {
            let measure = measure::primary(evaluation.layout);
            let random = evaluation.random.filter(|it| it.ndcg < 1.0)?.ndcg;
            let value = evaluation.value(measure, 0);
            let [low, high] = evaluation.interval(measure, 0, LEVEL).map_or([value; 2], |it| [it.low, it.high]);
            ("ndcg", value, random, low, high)
        }
        Kind::MultiLabel => {
            let counts = &evaluation.tally().models[0].sums[multi_label::N_FIRST..];
            let (kappa, half) = kappa(counts, evaluation.tally().all)?;
            ("kappa of all labels", kappa, 0.0, kappa - half, kappa + half)
        }
        _ => return None,
    };
    // Not known to be better than what knows nothing.
    if low > trivial {
        return None;
    }
    // Of many labels in a row, a slight agreement may be far beyond chance.
    let is_slight = sums.kind == Kind::Queries && high < trivial + SLIGHT * (1.0 - trivial);
    let is_sure = value <= trivial || is_slight;
    let of_trivial = if sums.kind == Kind::Queries { "a random order has" } else { "chance gives" };
    let found = format!("{name} is {value:.3} [{low:.3}, {high:.3}], where {of_trivial} {trivial:.3}");
    let n = evaluation.tally().all.n;
    let (severity, message, advice) = if is_sure {
        (
            Severity::Error,
            format!("the predictions carry no information about the labels: {found}"),
            "check that the labels belong to the rows (shuffled labels), that higher scores are for what is more relevant, that the model \
             was trained, and that inputs are scaled as in training",
        )
    } else {
        let rows = if sums.kind == Kind::Queries { "queries" } else { "rows" };
        let message = format!("{n} {rows} are too few to tell the predictions from chance: {found}");
        (Severity::Warning, message, "judge the model on more rows")
    };
    let place = format!("candidate:{}", evaluation.layout.models[0].output);
    let finding = Finding::new("MW-M002", severity, place, message).advice(advice);
    Some(finding.evidence("value", value).evidence("trivial", trivial))
}

/// Returns Cohen's kappa of the labels of all classes, each of which agrees by chance as often as its own shares say, and half of its
/// interval as if the labels of a row went together; none where nothing varies.
fn kappa(counts: &[f64], all: Mass) -> Option<(f64, f64)> {
    let (n, n_classes) = (all.weight, (counts.len() / 3) as f64);
    let wrong: f64 = classes(counts).map(|it| it.alarms + it.misses).sum();
    let by_chance = |it: Counts| {
        let (truth, predicted) = ((it.hits + it.misses) / n, (it.hits + it.alarms) / n);
        truth * predicted + (1.0 - truth) * (1.0 - predicted)
    };
    let observed = 1.0 - wrong / (n * n_classes);
    let expected = classes(counts).map(by_chance).sum::<f64>() / n_classes;
    let spread = (observed * (1.0 - observed) / all.effective()).max(0.0).sqrt();
    let quantile = normal_quantile((1.0 + LEVEL) / 2.0).ok()?;
    (expected < 1.0).then(|| ((observed - expected) / (1.0 - expected), quantile * spread / (1.0 - expected)))
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
