//! The codes of its findings, for `modelwatch explain`.

use modelwatch_sdk::{FindingCode, report::Severity};

/// Every code that a finding can have.
pub(crate) const CODES: &[FindingCode] = &[
    FindingCode {
        code: "MW-P001",
        severity: Severity::Warning,
        title: "an estimated metric left its limits",
        meaning: "The estimate of a metric for chunks of the current rows is below or above its limits: those of the option `limits`, or by `rule` a prediction interval from the chunks of the labeled reference, which all metrics and chunks of a run without any change leave together with a chance of at most `alpha`, or NannyML's three standard deviations around their mean; wider for chunks that are smaller than those. The rows changed in such a way that the model is expected to do worse (or better) on them than on any like the reference. The severity is that of the option `severity`.",
        advice: "See with the analyzer `drift` which columns changed. Have a sample of these chunks labeled first, as that is where the model is most likely to fail.",
    },
    FindingCode {
        code: "MW-P002",
        severity: Severity::Warning,
        title: "a realized metric left its limits",
        meaning: "Chunks of the current rows have labels by now, and the metric that these give is below or above the limits that its estimate is held against. The severity is that of the option `severity`.",
        advice: "Compare with the estimate: where both left the limits the rows changed; where the estimate did not, what the rows mean did, and the model is to be trained again.",
    },
    FindingCode {
        code: "MW-P003",
        severity: Severity::Warning,
        title: "the classifier is badly calibrated",
        meaning: "The expected calibration error of the scores on the labeled reference, over ten bins of equal width, is above `max_calibration_error`, or the scores are no chances at all. Estimates are made with scores that are calibrated on the reference, where that makes them better; whoever reads the scores as chances is misled.",
        advice: "Calibrate the model with isotonic regression or Platt scaling on rows that it was not trained on, or do not use its scores as chances.",
    },
    FindingCode {
        code: "MW-P004",
        severity: Severity::Info,
        title: "chunks are too small",
        meaning: "Chunks have fewer usable rows than `min_chunk_rows`. Their estimates are reported, and nothing is concluded from them, as the metrics of so few rows differ by chance alone.",
        advice: "Cut the rows into larger chunks with `chunk`, or lower `min_chunk_rows` if wide error bands are fine.",
    },
    FindingCode {
        code: "MW-P005",
        severity: Severity::Warning,
        title: "labels refute the estimate",
        meaning: "The metric that the labels of chunks give differs from its estimate by more standard errors than it does by accident, in any metric and chunk of a run, with a chance of `alpha`; by the rule `nannyml` more than `deviations` of them. Of a metric that some rows have no error of, as `mape` of labels that are 0, it is judged over the labeled rows that have one, and the finding says how many have none. Estimates assume that the same row has the same label as it had in the reference; here it has not.",
        advice: "Look for a change of what is predicted (a new definition of the label, another kind of customers, a reaction to the model), and train the model again. Until then, do not rely on the estimates of chunks without labels.",
    },
    FindingCode {
        code: "MW-P006",
        severity: Severity::Error,
        title: "scores are none",
        meaning: "Scores or predictions of current rows are infinite, or scores are not between 0 and 1 where those of the reference are. Nothing is estimated for these rows, and no requirement on the estimates of the others is decided, because what is wrong with some scores is seldom so at random.",
        advice: "Look at what writes the scores: a division by zero, percent in place of shares, or logits in place of chances.",
    },
];
