//! Collects checks with the findings behind them.

use modelwatch_sdk::{
    Report,
    report::{Check, Finding, Gap, Labels, Severity, Status},
};

/// A report on its way.
#[derive(Default)]
pub(crate) struct Sheet {
    pub(crate) report: Report,
}

/// What is held against something.
pub(crate) struct Clause<'a> {
    /// The name of the check.
    pub(crate) name: &'a str,
    pub(crate) labels: Labels,
    /// The requirement in words.
    pub(crate) requirement: String,
    /// How many things were looked at.
    pub(crate) n: u64,
    pub(crate) observed: Option<f64>,
}

impl<'a> Clause<'a> {
    pub(crate) fn new(name: &'a str, requirement: impl Into<String>, n: usize) -> Self {
        Self { name, labels: Labels::new(), requirement: requirement.into(), n: n as u64, observed: None }
    }

    pub(crate) fn observed(mut self, value: f64) -> Self {
        self.observed = Some(value);
        self
    }

    pub(crate) fn label(mut self, key: &str, value: impl Into<String>) -> Self {
        self.labels.insert(key.to_owned(), value.into());
        self
    }
}

impl Sheet {
    /// Adds a clause and what was found against it: it holds without a finding of severity error.
    pub(crate) fn judge(&mut self, clause: Clause<'_>, findings: Vec<Finding>) {
        let bad: Vec<_> = findings.iter().filter(|it| it.severity == Severity::Error).collect();
        let (status, message) = match &bad[..] {
            [] if clause.n == 0 => (Status::NotChecked, "there was nothing to look at".to_owned()),
            [] => (Status::Pass, "it holds".to_owned()),
            [only] => (Status::Fail, only.message.clone()),
            [first, rest @ ..] => (Status::Fail, format!("{}, and {} more", first.message, rest.len())),
        };
        self.add(clause, status, message);
        self.report.findings.extend(findings);
    }

    /// Adds a clause that could not be looked at.
    pub(crate) fn not_checked(&mut self, clause: Clause<'_>, why: &str) {
        self.report.gaps.push(Gap::new(clause.name.replace('_', " "), why));
        self.add(Clause { n: 0, ..clause }, Status::NotChecked, why.to_owned());
    }

    /// Adds a clause at which something went wrong.
    pub(crate) fn failed(&mut self, clause: Clause<'_>, why: String) {
        self.add(Clause { n: 0, ..clause }, Status::Error, why);
    }

    fn add(&mut self, clause: Clause<'_>, status: Status, message: String) {
        self.report.checks.push(Check {
            metric: clause.name.to_owned(),
            labels: clause.labels,
            requirement: clause.requirement,
            observed: clause.observed,
            interval: None,
            n: clause.n,
            status,
            message,
        });
    }
}

/// Returns a finding of severity error.
pub(crate) fn error(code: &str, place: &str, message: String, advice: &str) -> Finding {
    let place = if place.is_empty() { "model" } else { place };
    Finding::new(code, Severity::Error, place, message).advice(advice)
}

/// Returns a finding of severity warning.
pub(crate) fn warning(code: &str, place: &str, message: String, advice: &str) -> Finding {
    Finding { severity: Severity::Warning, ..error(code, place, message, advice) }
}
