//! The findings of the report.

use modelwatch_sdk::report::{Finding, Severity, float};
use serde_json::json;

use crate::{
    config::{Config, Limits},
    estimator::Strange,
    evaluation::{Assessment, ChunkSize, Estimate, Evaluation, Part, is_outside},
};

/// The most chunks that a finding names.
const MAX_CHUNKS: usize = 20;

/// Returns the findings about calibration and chunks, then those of each metric of all rows and of each slice.
pub(crate) fn findings(config: &Config, evaluation: &Evaluation) -> Vec<Finding> {
    let mut res = badly_calibrated(config, evaluation);
    res.extend(strange_scores(evaluation));
    res.extend(small_chunks(config, &evaluation.all));
    let of_metrics = |part: &Part| of_metrics(config, part, evaluation.factor);
    res.extend(of_metrics(&evaluation.all));
    for (slice, part) in evaluation.judged_slices() {
        res.extend(of_metrics(part).into_iter().map(|it| of_slice(slice, it)));
    }
    res
}

fn of_slice(slice: &str, mut finding: Finding) -> Finding {
    finding.place = format!("{}[{slice}]", finding.place);
    finding.message = format!("of slice `{slice}`, {}", finding.message);
    finding.evidence("slice", slice)
}

fn of_metrics(config: &Config, part: &Part, factor: f64) -> Vec<Finding> {
    let mut res = Vec::new();
    for it in &part.metrics {
        let judged: Vec<_> = it.chunks.iter().zip(&part.chunks).filter(|(_, chunk)| !chunk.is_small).collect();
        let labeled = |estimate: &Estimate| estimate.n_labeled >= config.min_chunk_rows;
        let held: Vec<_> = part.judged(it).collect();
        let estimated = pick(&held, |estimate| is_outside(estimate.limits, estimate.value));
        let is_realized_outside = |it: &Estimate| is_outside(it.realized_limits, it.realized);
        let realized = pick(&judged, |estimate| labeled(estimate) && is_realized_outside(estimate));
        let refuted = pick(&judged, |estimate| labeled(estimate) && estimate.is_refuted);
        res.extend(estimated.map(|chunks| outside(config, it, Side::Estimated, held.len(), &chunks)));
        res.extend(realized.map(|chunks| outside(config, it, Side::Realized, judged.len(), &chunks)));
        res.extend(refuted.map(|chunks| disagreement(it, factor, &chunks)));
    }
    res
}

type Judged<'a> = (&'a Estimate, &'a ChunkSize);

/// Returns the chunks that are meant; none where there is none.
fn pick<'a>(judged: &[Judged<'a>], is_meant: impl Fn(&Estimate) -> bool) -> Option<Vec<Judged<'a>>> {
    let found: Vec<_> = judged.iter().copied().filter(|it| is_meant(it.0)).collect();
    (!found.is_empty()).then_some(found)
}

/// Which number of a chunk is meant.
#[derive(Clone, Copy)]
enum Side {
    Estimated,
    Realized,
}

impl Side {
    fn of(self, estimate: &Estimate) -> f64 {
        match self {
            Self::Estimated => estimate.value,
            Self::Realized => estimate.realized,
        }
        .unwrap_or(f64::NAN)
    }

    fn limits(self, estimate: &Estimate) -> Limits {
        match self {
            Self::Estimated => estimate.limits,
            Self::Realized => estimate.realized_limits,
        }
    }
}

fn outside(config: &Config, it: &Assessment, side: Side, n_judged: usize, chunks: &[Judged<'_>]) -> Finding {
    let (code, word, advice) = match side {
        Side::Estimated => (
            "MW-P001",
            "estimated",
            "see with the analyzer `drift` which columns changed, and have rows of these chunks labeled first",
        ),
        Side::Realized => (
            "MW-P002",
            "realized",
            "compare with the estimate: where that stayed within its limits, what the rows mean has changed",
        ),
    };
    // The one that is furthest from what is fine.
    let distance = |chunk: &Judged<'_>| excess(side.limits(chunk.0), side.of(chunk.0));
    let worst = chunks.iter().copied().max_by(|left, right| distance(left).total_cmp(&distance(right)));
    let (value, place) = worst.map_or((f64::NAN, ""), |worst| (side.of(worst.0), worst.1.name.as_str()));
    // Where each chunk has limits of its own, those of that one.
    let limits = it.limits.or(worst.map(|it| side.limits(it.0))).unwrap_or_default();
    let (of_all, of_worst) = match it.limits {
        Some(it) => (words(it), String::new()),
        None => ("its limits".to_owned(), format!(", whose limits are {}", words(limits))),
    };
    let message = format!(
        "{word} `{}` is outside of {of_all} in {} of {n_judged} chunks, furthest with {} in chunk {place}{of_worst}",
        it.metric.name(),
        chunks.len(),
        short(value),
    );
    let limit = |it: Option<f64>| it.map_or(serde_json::Value::Null, float::to_value);
    Finding::new(code, config.severity, it.metric.name(), message)
        .advice(advice)
        .evidence("chunks", names(chunks))
        .evidence("values", chunks.iter().take(MAX_CHUNKS).map(|it| float::to_value(side.of(it.0))).collect::<Vec<_>>())
        .evidence("n_chunks", chunks.len() as u64)
        .evidence("lower", limit(limits.lower))
        .evidence("upper", limit(limits.upper))
        .evidence("reference", limit(worst.and_then(|it| it.0.usual)))
}

fn disagreement(it: &Assessment, factor: f64, chunks: &[Judged<'_>]) -> Finding {
    let error = |chunk: &Judged<'_>| chunk.0.difference_error;
    let compared = |chunk: &Judged<'_>| chunk.0.compared.unwrap_or(f64::NAN);
    let difference = |chunk: &Judged<'_>| Side::Realized.of(chunk.0) - compared(chunk);
    let distance = |chunk: &Judged<'_>| (difference(chunk) / error(chunk)).abs();
    let worst = chunks.iter().copied().max_by(|left, right| distance(left).total_cmp(&distance(right)));
    let example = worst.map_or_else(String::new, |worst| {
        let (realized, estimated) = (Side::Realized.of(worst.0), compared(&worst));
        format!(": {} and {} in chunk {}", short(realized), short(estimated), worst.1.name)
    });
    let n_left_out: u64 = chunks.iter().map(|it| it.0.n_left_out).sum();
    let left_out = match n_left_out {
        0 => String::new(),
        n => format!("; of these chunks, {n} rows without such an error are left out"),
    };
    let message = format!(
        "realized and estimated `{}` differ by more than {factor:.1} standard errors in {} chunks{example}{left_out}",
        it.metric.name(),
        chunks.len(),
    );
    let finding = Finding::new("MW-P005", Severity::Warning, it.metric.name(), message)
        .advice("look for a change of what the labels mean, and do not rely on the estimates of chunks without labels")
        .evidence("chunks", names(chunks))
        .evidence("n_chunks", chunks.len() as u64)
        .evidence(
            "differences",
            chunks.iter().take(MAX_CHUNKS).map(|it| float::to_value(difference(it))).collect::<Vec<_>>(),
        )
        .evidence(
            "standard_errors",
            chunks.iter().take(MAX_CHUNKS).map(|it| float::to_value(error(it))).collect::<Vec<_>>(),
        );
    if n_left_out > 0 { finding.evidence("n_left_out", n_left_out) } else { finding }
}

fn badly_calibrated(config: &Config, evaluation: &Evaluation) -> Vec<Finding> {
    let bad = evaluation.calibrations.iter().filter(|it| it.error.is_none_or(|it| it > config.max_calibration_error));
    bad.map(|it| {
        let message = match it.error {
            Some(error) => format!(
                "scores of class `{}` have a calibration error of {} on the reference, above {}",
                it.class,
                short(error),
                config.max_calibration_error
            ),
            None => format!("scores of class `{}` are not between 0 and 1", it.class),
        };
        Finding::new("MW-P003", Severity::Warning, format!("class `{}`", it.class), message)
            .advice("calibrate the model on rows that it was not trained on, or do not use its scores as chances")
            .evidence("calibration_error", it.error.map_or(serde_json::Value::Null, float::to_value))
            .evidence("max_calibration_error", config.max_calibration_error)
            .evidence("is_calibrated_here", it.is_calibrated())
    })
    .collect()
}

fn strange_scores(evaluation: &Evaluation) -> Option<Finding> {
    let Strange { n_rows, example } = evaluation.strange;
    let message = format!(
        "scores or predictions of {n_rows} current rows are infinite or not between 0 and 1 as those of the reference, such as {example}"
    );
    let advice =
        "look at what writes the scores: a division by zero, percent in place of shares, or logits in place of chances";
    (n_rows > 0).then(|| {
        Finding::new("MW-P006", Severity::Error, "scores", message)
            .advice(advice)
            .evidence("rows", n_rows)
            .evidence("example", float::to_value(example))
    })
}

fn small_chunks(config: &Config, part: &Part) -> Option<Finding> {
    let small: Vec<_> = part.chunks.iter().filter(|it| it.is_small).collect();
    let least = small.iter().min_by_key(|it| it.worth)?;
    let how = if least.worth < least.n_rows { " by their weights" } else { "" };
    let message = format!(
        "{} of {} chunks have fewer than {} usable rows, chunk {} only {}{how}",
        small.len(),
        part.chunks.len(),
        config.min_chunk_rows,
        least.name,
        least.worth
    );
    let finding = Finding::new("MW-P004", Severity::Info, "chunks", message)
        .advice("cut the rows into larger chunks with `chunk`, or lower `min_chunk_rows`")
        .evidence("min_chunk_rows", config.min_chunk_rows)
        .evidence("n_chunks", small.len() as u64);
    Some(finding.evidence("chunks", json!(small.iter().take(MAX_CHUNKS).map(|it| &it.name).collect::<Vec<_>>())))
}

fn names(chunks: &[Judged<'_>]) -> Vec<String> {
    chunks.iter().take(MAX_CHUNKS).map(|it| it.1.name.clone()).collect()
}

/// Returns by how much a value is beyond its limits.
fn excess(limits: Limits, value: f64) -> f64 {
    let below = limits.lower.map_or(0.0, |it| it - value);
    let above = limits.upper.map_or(0.0, |it| value - it);
    below.max(above)
}

fn words(limits: Limits) -> String {
    match (limits.lower, limits.upper) {
        (Some(lower), Some(upper)) => format!("{} to {}", short(lower), short(upper)),
        (Some(lower), None) => format!("{} and more", short(lower)),
        (None, Some(upper)) => format!("{} and less", short(upper)),
        (None, None) => "no limits".to_owned(),
    }
}

/// Returns a number with four digits behind the point, or in powers of ten where these would not do.
fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e6).contains(&size) { format!("{value:.4}") } else { format!("{value:.3e}") }
}
