//! The codes of its findings, for `modelwatch explain`.

use modelwatch_sdk::{FindingCode, report::Severity};

/// Every code that a finding can have.
pub(crate) const CODES: &[FindingCode] = &[
    FindingCode {
        code: "MW-D001",
        severity: Severity::Warning,
        title: "a column is distributed differently",
        meaning: "The values of a column differ between reference and current data by more than chance allows: its corrected p-value is at most `alpha`, and the effect is at least `min_effect`. Both are needed, so that neither many rows nor many columns make drift of what does not matter. The severity is that of the option `severity`.",
        advice: "Look for a change of source, unit or encoding of this column. If the change is real, check the metrics on recent labels and train again.",
    },
    FindingCode {
        code: "MW-D002",
        severity: Severity::Warning,
        title: "an output of the model is distributed differently",
        meaning: "The predictions differ between reference and current data by more than chance allows, with an effect that is at least `min_effect`. Either the inputs changed or the model did. The severity is that of the option `severity`.",
        advice: "See which columns drifted. Without one, compare the checkpoint and the preprocessing with those that made the reference.",
    },
    FindingCode {
        code: "MW-D003",
        severity: Severity::Warning,
        title: "a column is missing more or less often",
        meaning: "The share of rows in which the column is null, NaN or infinite differs between reference and current data by more than chance allows and by at least `min_effect.missing`. The severity is that of the option `severity`.",
        advice: "Look for a join, a parser or a source that stopped filling this column, or started to, and for divisions by zero.",
    },
    FindingCode {
        code: "MW-D004",
        severity: Severity::Error,
        title: "a column cannot be compared",
        meaning: "The column is in one of reference and current data alone, or has another type there, so that nothing can be said of its drift.",
        advice: "Give both the same columns with the same types, or leave the column out with `exclude`.",
    },
    FindingCode {
        code: "MW-D005",
        severity: Severity::Warning,
        title: "there are categories that the reference lacks",
        meaning: "The current rows have categories that no reference row has. It is a note only, where the reference has so many categories that occur once that new ones are to be expected.",
        advice: "Check how the model encodes categories that it was not trained on, and look for changed spelling.",
    },
    FindingCode {
        code: "MW-D006",
        severity: Severity::Warning,
        title: "a column is constant on one side alone",
        meaning: "The column has one value in all rows of the one side and varies in the other, which chance does not explain at the level `alpha`. The severity is that of the option `severity`.",
        advice: "Look for a source that fills in a default value. If it is the reference that is constant, the model has never seen the column vary: leave it out, or train on data in which it varies.",
    },
];
