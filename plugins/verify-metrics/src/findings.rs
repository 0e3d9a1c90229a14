//! What the metrics say about the model, with what to do next.
//!
//! | code | severity | what |
//! |---|---|---|
//! | `MW-M001` | error (baseline: warning) | rows without a usable prediction: NaN, infinite or missing |
//! | `MW-M002` | error, or warning where the data is too small to tell | the predictions carry no information about the labels |
//! | `MW-M003` | error | classes are in the wrong order |
//! | `MW-M004` | warning, or error where the model is also worse than the baseline | overconfident |
//! | `MW-M005` | error; warning where a requirement says how much worse it may be | worse than the baseline |
//! | `MW-M006` | error | the same prediction for nearly every row |
//! | `MW-M007` | warning | a slice is worse than the whole |
//! | `MW-M008` | warning | no better than a trivial model by any measure, though not without information |
//! | `MW-M009` | warning, or error where the model is also worse than the baseline, whose gap is smaller | less accurate on rows that it was not trained on |
//! | `MW-M010` | warning, or error where they are many | detections that are no boxes |
//! | `MW-M011` | error where a threshold is held against them, else warning | scores that are no probabilities |
//!
//! The thresholds are the constants below; they are not tuned per model.

use modelwatch_sdk::{
    Report,
    report::{Finding, Interval, Severity, float},
};

use crate::{
    config::quoted,
    evaluate::{Evaluation, Slice, mcnemar_p},
    intervals,
    measure::{self, Areas, Measure},
    permutation, sum_findings,
    training::Gap,
    trivial,
};

/// The fewest rows for findings other than MW-M001.
const MIN_ROWS: u64 = 30;
/// The level of the intervals that findings rest on, where no requirement asks for one.
pub(crate) const LEVEL: f64 = 0.95;
/// MW-M002: kappa below this is next to no agreement; an upper bound above it leaves the question open.
pub(crate) const SLIGHT_KAPPA: f64 = 0.2;
/// MW-M003: the share of the moved classes' rows that the permutation must make right …
const MOVED_HIGH: f64 = 0.8;
/// … and the share that may be right without it.
const MOVED_LOW: f64 = 0.2;
/// MW-M004: the excess of mean confidence over accuracy that is tolerated.
const EXCESS: f64 = 0.05;
/// MW-M009: by how much the accuracy may be higher on the training rows.
const TOLERATED_GAP: f64 = 0.05;
/// MW-M006: the share of rows with the same prediction …
pub(crate) const CONSTANT_SHARE: f64 = 0.99;
/// … and by how much the share of rows with that label is smaller.
pub(crate) const CONSTANT_MARGIN: f64 = 0.05;

/// Adds the findings.
pub(crate) fn find(evaluation: &Evaluation<'_>, gap: Option<&Gap<'_>>, report: &mut Report) {
    let findings = &mut report.findings;
    unusable(evaluation, findings);
    no_probabilities(evaluation, findings);
    sum_findings::inverted_boxes(evaluation, findings);
    let is_usable = evaluation.tally().models[0].unusable == 0;
    // Rows that all weigh nothing say nothing.
    if !is_usable || evaluation.tally().all.n < MIN_ROWS || evaluation.tally().all.weight == 0.0 {
        return;
    }
    let is_worse = worse_than_baseline(evaluation);
    if evaluation.layout.sums.is_some() {
        findings.extend(sum_findings::constant(evaluation).or_else(|| sum_findings::no_information(evaluation)));
    } else if evaluation.layout.is_regression() {
        let found = constant_number(evaluation).or_else(|| no_better_than_the_mean(evaluation));
        findings.extend(found.or_else(|| no_skill(evaluation)));
    } else {
        let order =
            class_order(evaluation).or_else(|| constant_class(evaluation)).or_else(|| no_information(evaluation));
        findings.extend(order.or_else(|| no_skill(evaluation)));
        findings.extend(overconfident(evaluation, is_worse.is_some()));
    }
    findings.extend(gap.and_then(|it| worse_on_unseen(evaluation, it, is_worse.is_some())));
    findings.extend(is_worse);
    slices(evaluation, findings);
}

fn unusable(evaluation: &Evaluation<'_>, findings: &mut Vec<Finding>) {
    let n = evaluation.tally().all.n;
    for (model, role) in ["candidate", "baseline"].into_iter().enumerate().take(evaluation.layout.models.len()) {
        let bad = evaluation.tally().models[model].unusable;
        if bad > 0 {
            let severity = if model == 0 { Severity::Error } else { Severity::Warning };
            let message =
                format!("{bad} of {n} rows have no usable {role} prediction: NaN, infinite or missing (allowed: 0)");
            let place = format!("{role}:{}", evaluation.layout.models[model].output);
            let advice = "look for NaN or infinite weights (the `weights` analyzer names the tensor), then for inputs out of range; \
                          a training run that diverged needs an earlier checkpoint";
            findings.push(
                Finding::new("MW-M001", severity, place, message).advice(advice).evidence("rows", bad).evidence("n", n),
            );
        }
    }
}

fn no_probabilities(evaluation: &Evaluation<'_>, findings: &mut Vec<Finding>) {
    let (layout, n, threshold) = (evaluation.layout, evaluation.tally().all.n, evaluation.settings.threshold);
    // Who asks for metrics of ranks alone needs no threshold.
    let is_asked = |it: &Measure| it.is_of_classes_alone() && evaluation.wants(it.name());
    let is_cut = layout.positive.is_some() && evaluation.measures.iter().any(is_asked);
    for (model, role) in ["candidate", "baseline"].into_iter().enumerate().take(layout.models.len()) {
        let (improper, scaled) = (evaluation.tally().models[model].classes.improper, evaluation.n_scaled[model]);
        let (bad, is_cut) = (improper.max(scaled), is_cut && improper > 0);
        if bad == 0 {
            continue;
        }
        let what = match (improper, is_cut) {
            (0, _) => "do not add up to 1, and were scaled to".to_owned(),
            (_, true) => format!("are no probabilities, and the threshold of {threshold} was held against them"),
            (_, false) => "are no probabilities, so that `log_loss`, `brier` and `ece` are not a number".to_owned(),
        };
        let advice = match improper {
            0 => {
                "set `scores = \"logits\"` if they are logits; end the model with a softmax where each row has one class, and take the task \
                  `multi-label` where it can have several"
            }
            _ => {
                "set `scores = \"logits\"` if they are logits, or end the model with a sigmoid or softmax; of scores on another scale ask for \
                  `metrics` of ranks alone, such as `roc_auc`"
            }
        };
        let severity = if is_cut && model == 0 { Severity::Error } else { Severity::Warning };
        let message = format!("in {bad} of {n} rows the scores of the {role} {what}");
        let place = format!("{role}:{}", layout.models[model].output);
        findings.push(
            Finding::new("MW-M011", severity, place, message).advice(advice).evidence("rows", bad).evidence("n", n),
        );
    }
}

fn no_information(evaluation: &Evaluation<'_>) -> Option<Finding> {
    let tally = evaluation.tally();
    let n = tally.all.weight;
    let majority = tally.truth.iter().map(|it| it.weight).max_by(f64::total_cmp)?;
    if majority == n {
        return None;
    }
    let classes = &tally.models[0].classes;
    let by_chance =
        tally.truth.iter().zip(&classes.predicted).map(|(it, predicted)| it.weight * predicted.weight).sum::<f64>()
            / (n * n);
    let accuracy = intervals::share(classes.right(), tally.all, LEVEL)?;
    // Kappa with the shares of labels and predictions taken as given.
    let kappa = |it: f64| (it - by_chance) / (1.0 - by_chance);
    let (low, high) = (kappa(accuracy.low), kappa(accuracy.high));
    // Scores that rank well carry information, whatever the threshold makes of it.
    let ranks_well = roc_auc(evaluation).is_some_and(|it| it.low > 0.5);
    if low > 0.0 || ranks_well {
        return None;
    }
    let (value, share) = (evaluation.value(Measure::Accuracy, 0), majority / n);
    // Of few rows, a model that sees the rarer class may well score below the most frequent one.
    let is_sure = high < SLIGHT_KAPPA || accuracy.high <= share;
    let message = if is_sure {
        format!(
            "the predictions carry no information about the labels: Cohen's kappa is {:.3} [{low:.3}, {high:.3}] (wanted above 0), \
             accuracy {value:.3} where the most frequent class is {share:.3} of the rows",
            kappa(value)
        )
    } else {
        format!(
            "{} rows are too few to tell the predictions from chance: Cohen's kappa is {:.3} [{low:.3}, {high:.3}]",
            tally.all.n,
            kappa(value)
        )
    };
    let advice = if is_sure {
        "check that the labels belong to the rows (shuffled labels), that the model was trained, that its units are not dead, and \
         that inputs are scaled as in training"
    } else {
        "judge the model on more rows"
    };
    let severity = if is_sure { Severity::Error } else { Severity::Warning };
    let finding = Finding::new("MW-M002", severity, place(evaluation), message).advice(advice);
    Some(
        finding
            .evidence("kappa", float::to_value(kappa(value)))
            .evidence("accuracy", value)
            .evidence("majority", share),
    )
}

fn roc_auc(evaluation: &Evaluation<'_>) -> Option<Interval> {
    let areas = if evaluation.layout.positive.is_some() { Areas::One } else { Areas::RestMacro };
    evaluation.interval(Measure::RocAuc(areas), 0, LEVEL)
}

fn no_better_than_the_mean(evaluation: &Evaluation<'_>) -> Option<Finding> {
    let level = evaluation.interval(Measure::R2, 0, LEVEL)?;
    if level.high > 0.0 || evaluation.tally().labels.m2() == 0.0 {
        return None;
    }
    let value = evaluation.value(Measure::R2, 0);
    let message = format!(
        "the predictions are no better than the mean of the labels: R² is {value:.3} {} (wanted above 0)",
        shown(level)
    );
    let advice = "check that the labels belong to the rows, that labels and predictions have one unit and scale, and that inputs are \
                  scaled as in training";
    Some(Finding::new("MW-M002", Severity::Error, place(evaluation), message).advice(advice).evidence("r2", value))
}

fn no_skill(evaluation: &Evaluation<'_>) -> Option<Finding> {
    let skills: Vec<_> = trivial::skills(evaluation).into_iter().filter(|it| it.skill().is_finite()).collect();
    // Scores that rank well are of use at another threshold.
    let ranks_well = roc_auc(evaluation).is_some_and(|it| it.low > 0.5);
    if skills.is_empty() || ranks_well || skills.iter().any(|it| it.skill() > 0.0) {
        return None;
    }
    let parts = skills.iter().map(|it| format!("{} {:.4} against {:.4}", it.measure.name(), it.value, it.trivial));
    let parts: Vec<String> = parts.collect();
    let message = format!(
        "a model that knows only how often each label occurs would do as well: {} (wanted better in one of them)",
        parts.join(", ")
    );
    let advice = "compare with the baseline and look at more rows; where one label is frequent choose another threshold, or weigh the \
                  rare labels in training";
    let mut finding = Finding::new("MW-M008", Severity::Warning, place(evaluation), message).advice(advice);
    for it in &skills {
        finding = finding.evidence(it.measure.name(), it.skill());
    }
    Some(finding)
}

fn class_order(evaluation: &Evaluation<'_>) -> Option<Finding> {
    let (layout, tally) = (evaluation.layout, evaluation.tally());
    let n_classes = layout.classes.len();
    if n_classes > permutation::MAX_CLASSES {
        return None;
    }
    let permutation = permutation::best(&evaluation.totals.confusion, n_classes);
    let cell = |label: usize, class: usize| {
        evaluation.totals.confusion.get(&((label * n_classes + class) as u64)).map_or(0, |it| it.n)
    };
    let moved: Vec<usize> = (0..n_classes).filter(|&it| permutation[it] != it).collect();
    let n: u64 = moved.iter().map(|&it| tally.truth[it].n).sum();
    let hits: u64 = moved.iter().map(|&it| cell(it, it)).sum();
    let moved_hits: u64 = moved.iter().map(|&it| cell(it, permutation[it])).sum();
    let share = |it: u64| it as f64 / n as f64;
    if n < MIN_ROWS || share(moved_hits) < MOVED_HIGH || share(hits) > MOVED_LOW {
        return None;
    }
    let pairs = moved.iter().map(|&it| format!("{}→{}", layout.classes[it], layout.classes[permutation[it]]));
    let pairs: Vec<String> = pairs.collect();
    let how = match permutation::rotation(&permutation) {
        Some(step) => format!("all classes are rotated by {step}"),
        None => format!("{} of {n_classes} classes change places", moved.len()),
    };
    let accuracy = evaluation.value(Measure::Accuracy, 0);
    let renamed = (0..n_classes).map(|it| cell(it, permutation[it])).sum::<u64>() as f64 / tally.all.n as f64;
    let message = format!(
        "the classes are in the wrong order: {how} (label→prediction: {}); renaming them would raise accuracy from {accuracy:.3} to \
         {renamed:.3}",
        quoted(pairs.iter())
    );
    let advice = "compare the order of the classes in training with `classes` and with the label encoding of this data; correct the one \
                  that is wrong rather than retrain";
    let finding = Finding::new("MW-M003", Severity::Error, place(evaluation), message).advice(advice);
    Some(finding.evidence("accuracy", accuracy).evidence("renamed_accuracy", renamed).evidence("permutation", pairs))
}

fn constant_class(evaluation: &Evaluation<'_>) -> Option<Finding> {
    let tally = evaluation.tally();
    let predicted = &tally.models[0].classes.predicted;
    let class = (0..predicted.len()).max_by_key(|&it| (predicted[it].n, std::cmp::Reverse(it)))?;
    let (share, truth) = (predicted[class].share_of(tally.all), tally.truth[class].share_of(tally.all));
    let is_constant = share >= CONSTANT_SHARE && truth <= share - CONSTANT_MARGIN;
    if !is_constant {
        return None;
    }
    let name = &evaluation.layout.classes[class];
    let message = format!(
        "class `{name}` is predicted for {:.1} % of {} rows (at most {:.0} %), while it is the label of {:.1} %",
        100.0 * share,
        tally.all.n,
        100.0 * CONSTANT_SHARE,
        100.0 * truth
    );
    let finding = Finding::new("MW-M006", Severity::Error, place(evaluation), message).advice(CONSTANT_ADVICE);
    Some(finding.evidence("class", name.as_str()).evidence("share", share).evidence("label_share", truth))
}

pub(crate) const CONSTANT_ADVICE: &str = "look for dead units (a bias far below zero, the `weights` analyzer), inputs that are constant or not scaled as in \
     training, and a threshold that no score reaches";

fn constant_number(evaluation: &Evaluation<'_>) -> Option<Finding> {
    let tally = evaluation.tally();
    let predicted = &tally.models[0].numbers.predicted;
    if predicted.m2() > 0.0 || tally.labels.m2() == 0.0 {
        return None;
    }
    let message = format!("{} is predicted for all of {} rows, while the labels vary", predicted.mean(), tally.all.n);
    let finding = Finding::new("MW-M006", Severity::Error, place(evaluation), message).advice(CONSTANT_ADVICE);
    Some(finding.evidence("value", predicted.mean()))
}

fn overconfident(evaluation: &Evaluation<'_>, is_worse: bool) -> Option<Finding> {
    let classes = &evaluation.tally().models[0].classes;
    let interval = intervals::mean(&classes.excess, LEVEL)?;
    if classes.improper > 0 || interval.low <= EXCESS {
        return None;
    }
    let severity = if is_worse { Severity::Error } else { Severity::Warning };
    let accuracy = evaluation.value(Measure::Accuracy, 0);
    let message = format!(
        "mean confidence {:.3} exceeds accuracy {accuracy:.3} by {:.3} {} (tolerated: {EXCESS})",
        accuracy + classes.excess.mean(),
        classes.excess.mean(),
        shown(interval)
    );
    let advice = if is_worse {
        "the model is also worse than the baseline, as after overfitting: stop earlier, or train on more data"
    } else {
        "calibrate the scores (temperature scaling on held-out rows), and compare the loss on training and test rows for overfitting"
    };
    let finding = Finding::new("MW-M004", severity, place(evaluation), message).advice(advice);
    Some(finding.evidence("excess", classes.excess.mean()).evidence("accuracy", accuracy))
}

fn worse_on_unseen(evaluation: &Evaluation<'_>, gap: &Gap<'_>, is_worse: bool) -> Option<Finding> {
    let it = gap.accuracies(0, LEVEL)?;
    if gap.n_training() < MIN_ROWS || it.interval.low <= TOLERATED_GAP {
        return None;
    }
    let mut message = format!(
        "accuracy is {:.3} on {} training rows and {:.3} on {} others, {:.3} {} less (tolerated: {TOLERATED_GAP})",
        it.seen,
        gap.n_training(),
        it.unseen,
        evaluation.tally().all.n,
        it.gap(),
        shown(it.interval)
    );
    let baseline = gap.accuracies(1, LEVEL);
    if let Some(baseline) = &baseline {
        message += &format!(", where the baseline loses {:.3} {}", baseline.gap(), shown(baseline.interval));
    }
    message += ": the model is over-fitted, or these rows differ from those";
    let (severity, advice) = if is_worse && baseline.is_some_and(|baseline| it.exceeds(&baseline)) {
        (
            Severity::Error,
            "the baseline loses less on the same rows, so that over-fitting is likelier: train on more data, stop earlier, or \
             regularize more (weight decay, dropout, a smaller model); else look for drift that this model alone suffers from",
        )
    } else {
        (
            Severity::Warning,
            "judge it on held-out rows that were drawn as the training rows were: where the gap stays, train on more data, stop \
             earlier or regularize more; where it goes, these rows have drifted (the `drift` analyzer says how)",
        )
    };
    let finding = Finding::new("MW-M009", severity, place(evaluation), message).advice(advice);
    Some(finding.evidence("training", it.seen).evidence("unseen", it.unseen).evidence("gap", it.gap()))
}

fn worse_than_baseline(evaluation: &Evaluation<'_>) -> Option<Finding> {
    let (layout, tally) = (evaluation.layout, evaluation.tally());
    if !layout.has_baseline() || tally.models[1].unusable > 0 {
        return None;
    }
    let measure = measure::primary(layout);
    let level = evaluation.host.confidence(measure.name());
    let interval = match measure {
        Measure::Mae => intervals::mean(&tally.pair.loss, level)?,
        _ => evaluation.loss_interval(measure, level)?,
    };
    let is_worse = if measure.is_loss() == Some(true) { interval.low > 0.0 } else { interval.high < 0.0 };
    if !is_worse {
        return None;
    }
    let [candidate, baseline] = [0, 1].map(|it| evaluation.value(measure, it));
    let mut message = format!(
        "{} is worse than the baseline's: {candidate:.4} against {baseline:.4}, a difference of {:.4} {} (which excludes 0)",
        measure.name(),
        candidate - baseline,
        shown(interval)
    );
    let advice = "keep the baseline; compare what changed since (data, epochs, conversion, quantization), beginning with the slices and \
                  classes that lost most";
    let severity = if evaluation.host.may_be_worse(measure.name()) { Severity::Warning } else { Severity::Error };
    let finding = |message: String| Finding::new("MW-M005", severity, place(evaluation), message).advice(advice);
    if measure != Measure::Accuracy {
        return Some(finding(message).evidence("candidate", candidate).evidence("baseline", baseline));
    }
    let pair = &tally.pair;
    message += &format!(
        "; {} rows went from right to wrong, {} from wrong to right",
        pair.baseline_only.n, pair.candidate_only.n
    );
    Some(
        finding(message)
            .evidence("candidate", candidate)
            .evidence("baseline", baseline)
            .evidence("right_to_wrong", pair.baseline_only.n)
            .evidence("wrong_to_right", pair.candidate_only.n)
            .evidence("mcnemar_p", mcnemar_p(tally)),
    )
}

fn slices(evaluation: &Evaluation<'_>, findings: &mut Vec<Finding>) {
    let measure = measure::primary(evaluation.layout);
    let whole = evaluation.value(measure, 0);
    let is_tried = |it: &&Slice| it.tally.all.n >= 2 && it.unfit.is_none();
    let tried: Vec<_> = evaluation.slices.iter().filter(is_tried).collect();
    // Bonferroni: one slice of many is always the worst.
    let level = 1.0 - (1.0 - LEVEL) / tried.len().max(1) as f64;
    for Slice { name, tally, .. } in tried.iter().copied() {
        let Some(interval) = intervals::of_slice(measure, tally, 0, level) else { continue };
        let is_worse = if measure.is_loss() == Some(true) { interval.low > whole } else { interval.high < whole };
        if is_worse {
            let value = measure.value(tally, 0);
            let message = format!(
                "{} of the slice is {value:.3} {} over {} rows, significantly worse than {whole:.3} over all rows",
                measure.name(),
                shown(interval),
                tally.all.n
            );
            let advice =
                "look at rows of this slice that are wrong; give it more training rows, or a requirement of its own";
            let finding = Finding::new("MW-M007", Severity::Warning, format!("slice {name}"), message).advice(advice);
            findings.push(finding.evidence("value", value).evidence("whole", whole).evidence("n", tally.all.n));
        }
    }
}

fn place(evaluation: &Evaluation<'_>) -> String {
    format!("candidate:{}", evaluation.layout.models[0].output)
}

/// Shows an interval in thousandths, or in as many digits as its bounds need not to be 0.
fn shown(it: Interval) -> String {
    let least = [it.low, it.high].into_iter().map(f64::abs).filter(|it| *it > 0.0).fold(1.0, f64::min);
    let digits = (1.0 - least.log10().floor()).clamp(3.0, 12.0) as usize;
    format!("[{:.digits$}, {:.digits$}]", it.low, it.high)
}
