//! The codes of its findings, for `modelwatch explain`.

use modelwatch_sdk::{FindingCode, report::Severity};

/// Every code that a finding can have.
pub(crate) const CODES: &[FindingCode] = &[
    FindingCode {
        code: "MW-G001",
        severity: Severity::Error,
        title: "outputs differ from the recorded ones",
        meaning: "More elements than `max_mismatch_share` allows differ from the recorded column by more than `atol` + `rtol` × |recorded|, integers by more than `atol`, texts at all. The message has the worst row.",
        advice: "Find the layer where the outputs part. If the change was meant, record the outputs again.",
    },
    FindingCode {
        code: "MW-G002",
        severity: Severity::Error,
        title: "elements are not finite",
        meaning: "The output or the recorded column has NaN, an infinity or a null. What both have is equal only where `equal_nan` or `equal_infinity` says so.",
        advice: "Look for NaN in weights and inputs, for sums that overflow, or nulls in the recorded column. Where the model is to give them, set the option.",
    },
    FindingCode {
        code: "MW-G003",
        severity: Severity::Error,
        title: "the outputs are not the listed ones",
        meaning: "An output that `outputs` lists is missing or has another width than its column, or the model produces one that is not listed. What is not compared must not pass.",
        advice: "Check the names of the model's outputs against `outputs`. Record a new one and list it, or name it in `ignore_extra`.",
    },
];
