//! The codes of its findings, for `modelwatch explain`.

use modelwatch_sdk::{FindingCode, report::Severity};

/// Every code that a finding can have.
pub(crate) const CODES: &[FindingCode] = &[
    FindingCode {
        code: "MW-B001",
        severity: Severity::Error,
        title: "answers change where they should not",
        meaning: "Of the rows of an invariance test, fewer than `share` keep their answer when their input is changed as the test says.",
        advice: "Train with such changes as augmentation, or allow them with `tolerance` or `share`.",
    },
    FindingCode {
        code: "MW-B002",
        severity: Severity::Error,
        title: "answers move in the wrong direction",
        meaning: "Of the rows of a directional test, fewer than `share` move as `expect` says when their input is changed.",
        advice: "Look for confounded columns and for the model's use of this one. Constrain it to be monotonic.",
    },
    FindingCode {
        code: "MW-B003",
        severity: Severity::Error,
        title: "a case is not answered as it should be",
        meaning: "The model answers one of the `cases` with something else than the case expects.",
        advice: "Look at the training data for inputs like this one. If it changed on purpose, change the case.",
    },
    FindingCode {
        code: "MW-B004",
        severity: Severity::Error,
        title: "no row exercises a test",
        meaning: "No row fits `where`, or the change leaves every row as it was. A test that tested nothing must not pass.",
        advice: "Correct `where`, `columns` or `change`, or give data that has such rows.",
    },
    FindingCode {
        code: "MW-B005",
        severity: Severity::Error,
        title: "a changed input has an answer that is not finite",
        meaning: "The model answers a changed row or a case with NaN or an infinity.",
        advice: "Look for operators and weights that turn this input into NaN or infinity.",
    },
];
