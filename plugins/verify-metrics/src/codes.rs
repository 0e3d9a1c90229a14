//! The codes of its findings, for `modelwatch explain`.

use modelwatch_sdk::{FindingCode, report::Severity};

/// Every code that a finding can have.
pub(crate) const CODES: &[FindingCode] = &[
    FindingCode {
        code: "MW-M001",
        severity: Severity::Error,
        title: "rows have no usable prediction",
        meaning: "Predictions are NaN, infinite or missing. None is allowed; all metrics of the model are then NaN and meet no requirement. Those of the baseline are a warning.",
        advice: "Look for NaN or infinite weights (the analyzer `weights` names the tensor), then for inputs out of range. A training run that diverged needs an earlier checkpoint.",
    },
    FindingCode {
        code: "MW-M002",
        severity: Severity::Error,
        title: "the predictions carry no information about the labels",
        meaning: "The interval of Cohen's kappa reaches to zero, or that of R² does not get above it: the model does no better than chance or the mean. Of a ranking, NDCG is no better than that of a random order; of a multi-label model, the kappa of all labels is not above zero. It is a warning where the rows are too few to tell.",
        advice: "Check that the labels belong to the rows, that the model was trained, that its units are not dead, and that inputs are scaled as in training. Where the rows are too few, judge the model on more.",
    },
    FindingCode {
        code: "MW-M003",
        severity: Severity::Error,
        title: "classes are in the wrong order",
        meaning: "Nearly all rows of some classes are predicted as another class each, so that renaming the classes would make most of them right. The message has the pairs and the accuracy that renaming would give.",
        advice: "Compare the order of the classes in training with `classes` and with the label encoding of this data. Correct the one that is wrong rather than retrain.",
    },
    FindingCode {
        code: "MW-M004",
        severity: Severity::Warning,
        title: "the model is overconfident",
        meaning: "Mean confidence exceeds accuracy by more than is tolerated, even at the lower end of its interval. It is an error where the model is also worse than the baseline, as after overfitting.",
        advice: "Calibrate the scores (temperature scaling on held-out rows), and compare the loss on training and test rows. If it is also worse than the baseline, stop training earlier or train on more data.",
    },
    FindingCode {
        code: "MW-M005",
        severity: Severity::Error,
        title: "the model is worse than the baseline",
        meaning: "On the same rows, the paired interval of the difference in accuracy, or in the mean absolute error of a regression, excludes zero on the bad side. A warning where a requirement says by how much the metric may be worse, as `accuracy = \">= baseline - 0.02\"` does.",
        advice: "Keep the baseline. Compare what changed since (data, epochs, conversion, quantization), beginning with the slices and classes that lost most.",
    },
    FindingCode {
        code: "MW-M006",
        severity: Severity::Error,
        title: "nearly all rows have the same prediction",
        meaning: "One class is predicted for nearly every row although clearly fewer have that label, or a regression predicts one number while the labels vary. Of a multi-label model, that it predicts the same labels for nearly every row or next to none; of a segmentation, one class for all pixels; of a detection, nothing at all; of texts, one text while the labels vary; of a ranking, equal scores for all documents of each query.",
        advice: "Look for dead units (a bias far below zero; see the analyzer `weights`), for inputs that are constant or not scaled as in training, and for a threshold that no score reaches.",
    },
    FindingCode {
        code: "MW-M007",
        severity: Severity::Warning,
        title: "a slice is worse than the whole",
        meaning: "The accuracy or mean absolute error of a slice is worse than over all rows, at a level that is corrected for the number of slices.",
        advice: "Look at rows of this slice that are wrong. Give it more training rows, or a requirement of its own.",
    },
    FindingCode {
        code: "MW-M008",
        severity: Severity::Warning,
        title: "the model is no better than a trivial one",
        meaning: "By no measure does it beat a model that always gives the most frequent class, the share of the classes, or the mean or median of the labels, though its scores are not without information.",
        advice: "Look at the threshold, at how the scores are read, and at the balance of the classes; then at the training.",
    },
    FindingCode {
        code: "MW-M009",
        severity: Severity::Warning,
        title: "the model is less accurate on rows that it was not trained on",
        meaning: "With `training`, where the reference data are the rows that it was trained on: its accuracy is higher there by more than is tolerated, even at the lower end of the interval of the difference. The model is over-fitted, or the current rows differ from those that it was trained on. It is an error where the model is also worse than the baseline, which surely loses less on the same rows.",
        advice: "Judge the model on held-out rows that were drawn as the training rows were. A gap that stays is over-fitting: more data, fewer epochs or more regularization help. One that goes is drift.",
    },
    FindingCode {
        code: "MW-M010",
        severity: Severity::Error,
        title: "detections are no boxes",
        meaning: "Detections end before they begin: x2 is less than x1, or y2 less than y1. No object is found by them. It is an error where they are one in a hundred or more, and a warning below and of a baseline.",
        advice: "Give boxes as `x1, y1, x2, y2`. Of `x, y, width, height`, add x and y to width and height; of centers, take half of them off first.",
    },
    FindingCode {
        code: "MW-M011",
        severity: Severity::Error,
        title: "scores are no probabilities",
        meaning: "Scores that were taken for probabilities are not between 0 and 1, or those of a row do not add up to 1. Of a binary model it is an error where metrics need the threshold, which was held against numbers of another scale: logits are cut at 0. Else, and of the baseline, it is a warning: scores that do not add up to 1 were divided by their sum, which changes `log_loss`, `brier` and `ece`.",
        advice: "Set `scores = \"logits\"` if they are logits, or end the model with a sigmoid or softmax. Where a row can have several classes, the task is `multi-label`. Of scores on another scale ask for `metrics` of ranks alone, such as `roc_auc`.",
    },
];
