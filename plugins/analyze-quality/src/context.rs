//! What everything is judged with, and how it is said.

use modelwatch_sdk::{
    Host, Report,
    report::{Finding, Labels, Metric, Severity, float},
};

use crate::{codes::CODES, profile::Profile, settings::Settings};

/// How many standard errors chance is allowed.
const CHANCE: f64 = 3.0;

/// How many names a message has at most.
const MAX_NAMES: usize = 5;

/// Both roles, and what is expected of them.
pub(crate) struct Context<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) settings: &'a Settings,
    /// None without reference rows.
    pub(crate) reference: Option<&'a Profile>,
    pub(crate) current: &'a Profile,
}

impl Context<'_> {
    /// Returns the severity of what is held against limits or the reference.
    pub(crate) fn severity(&self) -> Severity {
        self.settings.config.severity
    }
}

/// Returns the labels that name a column.
pub(crate) fn labels(column: &str) -> Labels {
    let name = if column.is_empty() { "(no name)" } else { column };
    Labels::from([("column".to_owned(), name.to_owned())])
}

/// Adds a number about all rows.
pub(crate) fn measure(report: &mut Report, name: &str, value: f64, n: u64) {
    report.metrics.push(Metric::new(name, value).n(n));
}

/// Adds a number about a column.
pub(crate) fn measure_column(report: &mut Report, column: &str, name: &str, value: f64, n: u64) {
    report.metrics.push(Metric::new(name, value).n(n).labels(&labels(column)));
}

/// Returns a finding with the advice of its code.
pub(crate) fn finding(code: &'static str, severity: Severity, place: &str, message: String) -> Finding {
    let advice = CODES.iter().find(|it| it.code == code).map_or("", |it| it.advice);
    let place = if place.is_empty() { "(no name)" } else { place };
    Finding::new(code, severity, place, message).advice(advice)
}

/// Adds a number behind a finding.
pub(crate) fn number(finding: Finding, key: &str, value: f64) -> Finding {
    finding.evidence(key, float::to_value(value))
}

/// Adds a share of `n` rows that is above its limit behind a finding.
pub(crate) fn above(finding: Finding, share: f64, limit: f64, n: u64) -> Finding {
    number(number(finding, "share", share), "limit", limit).evidence("n", n)
}

/// Returns what chance adds to a share that is measured on `n` rows.
pub(crate) fn chance(share: f64, n: u64) -> f64 {
    CHANCE * (share * (1.0 - share) / n.max(1) as f64).max(0.0).sqrt()
}

/// Returns a share in words.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent >= 0.1 {
        let text = format!("{percent:.1}");
        format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
    } else {
        format!("{percent:.1e} %")
    }
}

/// Returns the first few names, quoted, and that there are more.
pub(crate) fn some<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<_> = names.iter().take(MAX_NAMES).map(|it| format!("`{}`", it.as_ref())).collect();
    let rest = if names.len() > shown.len() { ", …" } else { "" };
    format!("{}{rest}", shown.join(", "))
}
