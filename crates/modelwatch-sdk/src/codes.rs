//! The codes of findings, and what a component says about each of its own.

use serde::{Deserialize, Serialize};

use crate::report::Severity;

/// What a component says about a code that its findings can have, as a constant of its source.
///
/// A code is stable: once released it keeps its meaning, and one that is given up is never used again.
///
/// ```
/// use modelwatch_sdk::{FindingCode, report::Severity};
/// const CODES: &[FindingCode] = &[FindingCode {
///     code: "XX-A001",
///     severity: Severity::Warning,
///     title: "a column has too many missing values",
///     meaning: "The share of missing values in the column is above `max_share`.",
///     advice: "Look at where the column comes from.",
/// }];
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindingCode {
    /// The code: `MW-W003`.
    pub code: &'static str,
    /// How bad it usually is; a single finding may be better or worse.
    pub severity: Severity,
    /// What it is, in a few words: lower case, without a final period.
    pub title: &'static str,
    /// What it means and what it rests on, in whole sentences.
    pub meaning: &'static str,
    /// What to do, in whole sentences.
    pub advice: &'static str,
}

/// The same in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeInfo {
    /// The code: `MW-W003`.
    pub code: String,
    /// How bad it usually is.
    pub severity: Severity,
    /// What it is, in a few words.
    pub title: String,
    /// What it means and what it rests on.
    pub meaning: String,
    /// What to do.
    pub advice: String,
}

impl From<FindingCode> for CodeInfo {
    fn from(it: FindingCode) -> Self {
        Self {
            code: it.code.to_owned(),
            severity: it.severity,
            title: it.title.to_owned(),
            meaning: it.meaning.to_owned(),
            advice: it.advice.to_owned(),
        }
    }
}
