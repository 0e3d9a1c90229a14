//! The codes of its findings, for `modelwatch explain`.

use modelwatch_sdk::{FindingCode, report::Severity};

/// Every code that a finding can have.
pub(crate) const CODES: &[FindingCode] = &[
    FindingCode {
        code: "MW-J001",
        severity: Severity::Warning,
        title: "the features are distributed differently, taken together",
        meaning: "The rows of the features, of one column of lists, or of a layer of the model differ between reference and current data by more than chance allows: the corrected p-value is at most `alpha`. Each column may still be distributed as it was, as where columns no longer go together. The severity is that of the option `severity`.",
        advice: "See which columns and pairs of columns contribute most, or look at rows of both that the model sees differently. If the change is real, check the metrics on recent labels and train again.",
    },
    FindingCode {
        code: "MW-J002",
        severity: Severity::Warning,
        title: "the outputs of the model are distributed differently, taken together",
        meaning: "The predictions differ between reference and current data by more than chance allows. Either the inputs changed or the model did. The severity is that of the option `severity`.",
        advice: "See whether the features drifted. If they did not, compare the checkpoint and the preprocessing with those that made the reference.",
    },
    FindingCode {
        code: "MW-J003",
        severity: Severity::Warning,
        title: "the labels are distributed differently",
        meaning: "The labels differ between reference and current data by more than chance allows. The severity is that of the option `severity`.",
        advice: "Look for a change of what is labeled and how. If the shares of the classes changed for real, probabilities and thresholds that were fitted to the old ones are off.",
    },
    FindingCode {
        code: "MW-J004",
        severity: Severity::Warning,
        title: "probabilities come true more or less often than they did",
        meaning: "At the same predicted probability the share of rows in which it comes true differs between reference and current data by more than chance allows. That is a change of what the features mean, not of which rows there are. The severity is that of the option `severity`.",
        advice: "Calibrate the model again on recent labels, or train it again.",
    },
    FindingCode {
        code: "MW-J005",
        severity: Severity::Error,
        title: "a feature is in one role alone, or of two types",
        meaning: "The column is in one of reference and current data alone, or has another type there, so that the rows are compared without it.",
        advice: "Give both the same columns with the same types, or leave the column out with `exclude`.",
    },
];
