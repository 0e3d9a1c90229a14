//! The codes of its findings, for `modelwatch explain`.

use modelwatch_sdk::{FindingCode, report::Severity};

/// Every code that a finding can have.
pub(crate) const CODES: &[FindingCode] = &[
    FindingCode {
        code: "MW-S001",
        severity: Severity::Warning,
        title: "a stream of values changed",
        meaning: "The detector reported that the values of a column or of an output are no longer what they were before, at the rows that the finding names. A change begins some rows before it is found; where it seems to have begun is told beside it, with the mean and the standard deviation before and after. The severity is that of the option `severity`.",
        advice: "Look at what happened to the source of the column at that time. If the change stays, compare the rows after it with the training data by the analyzer `drift`.",
    },
    FindingCode {
        code: "MW-S002",
        severity: Severity::Warning,
        title: "the errors of the model changed",
        meaning: "The detector reported that the model is wrong more often, or by more, than before. The severity is that of the option `severity` where any of the changes that are listed is a rise; errors that only fell are a note.",
        advice: "Compare the rows before and after the change by the analyzer `drift`. Where no column changed, what is predicted did: train again with labels from after the change.",
    },
    FindingCode {
        code: "MW-S003",
        severity: Severity::Error,
        title: "a stream cannot be watched",
        meaning: "A column that the options name has no numbers, or values that the detector is not made for: `ddm` and `eddm` take 0 and 1 alone, `hddm-a` and `hddm-w` numbers from 0 to 1. Nothing can be said of its changes.",
        advice: "Name another column, or use `adwin`, which takes any numbers.",
    },
    FindingCode {
        code: "MW-S004",
        severity: Severity::Info,
        title: "a stream ends with a warning",
        meaning: "At the newest value the detector warns that something may be about to change, and has not decided yet. `ddm`, `eddm`, `hddm-a` and `hddm-w` can warn.",
        advice: "Look again when there are more rows. Some users keep the rows from the warning on, to train with them if it becomes a change.",
    },
];
