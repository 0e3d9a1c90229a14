//! What a probe has to say: metrics, checks, findings, figures and gaps.
//!
//! The shapes here are also those of the run's JSON, where each metric, check and finding carries
//! the id of its probe.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod figure;
pub mod float;

pub use figure::{Figure, FigureData, Series};

/// The labels of a metric or check: `{"class": "3", "slice": "writer=b"}`.
pub type Labels = BTreeMap<String, String>;

/// Everything that one probe reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Report {
    /// Named numbers. The host holds the pipeline's requirements against them.
    pub metrics: Vec<Metric>,
    /// What the probe itself decided.
    pub checks: Vec<Check>,
    /// What it noticed.
    pub findings: Vec<Finding>,
    /// Data for pictures.
    pub figures: Vec<Figure>,
    /// What it was to look at and could not.
    pub gaps: Vec<Gap>,
}

/// A named number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// The field's standard name, `snake_case`: `accuracy`, `log_loss`.
    pub name: String,
    /// What it is about; empty for all rows together.
    #[serde(default)]
    pub labels: Labels,
    /// The value; NaN where it is undefined, and NaN never meets a requirement.
    #[serde(with = "float")]
    #[schemars(with = "float::Number")]
    pub value: f64,
    /// The unit, where there is one (`s`, `bit`).
    #[serde(default)]
    pub unit: Option<String>,
    /// A confidence interval.
    #[serde(default)]
    pub interval: Option<Interval>,
    /// Between which numbers it is for these rows, where it is not computed exactly; a requirement without a confidence holds only where it does
    /// at both. Of level 1 where they are certain, as from bins of scores: the interval is as much wider. Of less where it is of a sample of
    /// the rows: the interval covers the sampling. Not in the record of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub bounds: Option<Interval>,
    /// How many rows or elements it is computed from.
    pub n: u64,
    /// The degrees of freedom of the interval where it is one of Student's t; none where it is of another kind. Not in the record of a
    /// run.
    #[serde(default, with = "float::option", skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub degrees_of_freedom: Option<f64>,
    /// Whose it is.
    #[serde(default)]
    pub role: MetricRole,
    /// Which values are better; none where no side is, as of a bias. Not in the record of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub better: Option<Better>,
    /// Why nothing may rest on it, such as too few rows: a requirement of it is then not checked, for this reason.
    /// Not in the record of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub unfit: Option<String>,
}

/// Which values of a metric are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Greater ones, as of an accuracy.
    Higher,
    /// Smaller ones, as of a loss.
    Lower,
}

/// Whose metric it is. `difference` and `ratio` are paired: computed on the same rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MetricRole {
    /// The candidate's.
    #[default]
    Candidate,
    /// The baseline's.
    Baseline,
    /// The candidate's minus the baseline's.
    Difference,
    /// The candidate's over the baseline's.
    Ratio,
}

/// A two-sided confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// The lower bound.
    #[serde(with = "float")]
    #[schemars(with = "float::Number")]
    pub low: f64,
    /// The upper bound.
    #[serde(with = "float")]
    #[schemars(with = "float::Number")]
    pub high: f64,
    /// The two-sided confidence level, as 0.95; 1 where the bounds are certain.
    pub level: f64,
}

impl Interval {
    /// Returns bounds that are certain, as those of a share of things of which some could not be looked at.
    ///
    /// A requirement on such a metric holds or not only where it does at both bounds.
    pub fn certain(low: f64, high: f64) -> Self {
        Self { low, high, level: 1.0 }
    }

    /// Returns whether the bounds are certain.
    pub fn is_certain(&self) -> bool {
        self.level == 1.0
    }
}

/// A decision about one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// The metric or thing that was held against the requirement.
    pub metric: String,
    /// What it is about.
    #[serde(default)]
    pub labels: Labels,
    /// The requirement, as a person would write it.
    pub requirement: String,
    /// What was observed, if there was anything to observe.
    #[serde(default, with = "float::option")]
    #[schemars(with = "Option<float::Number>")]
    pub observed: Option<f64>,
    /// The interval of what was observed.
    #[serde(default)]
    pub interval: Option<Interval>,
    /// How many rows or elements were looked at.
    pub n: u64,
    /// The outcome.
    pub status: Status,
    /// One sentence without a final period.
    pub message: String,
}

impl Check {
    /// Returns the check of something of which there was nothing to look at, and why.
    ///
    /// A probe that could judge nothing says so by one of these, so that it does not pass for want of findings.
    pub fn not_checked(metric: impl Into<String>, requirement: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            metric: metric.into(),
            labels: Labels::new(),
            requirement: requirement.into(),
            observed: None,
            interval: None,
            n: 0,
            status: Status::NotChecked,
            message: why.into(),
        }
    }
}

/// The outcome of a check, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It holds.
    Pass,
    /// There was nothing to check.
    NotChecked,
    /// Too little data for the confidence that was asked for.
    Inconclusive,
    /// It does not hold.
    Fail,
    /// It could not be carried out.
    Error,
}

impl Status {
    /// Returns whether something holds that was looked at `n` times; what was never looked at is not checked.
    pub fn of(n: u64, holds: bool) -> Self {
        match (n, holds) {
            (0, _) => Self::NotChecked,
            (_, true) => Self::Pass,
            (_, false) => Self::Fail,
        }
    }

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::NotChecked => "not-checked",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
            Self::Error => "error",
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth looking at.
    Warning,
    /// The model or data is bad; fails the verdict unless the pipeline says otherwise.
    Error,
}

impl Severity {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that a probe noticed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// A stable code: `MW-W003`.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// Where: a tensor, column, slice or output.
    #[serde(rename = "where")]
    pub place: String,
    /// One sentence without a final period, with the measured value and its threshold.
    pub message: String,
    /// What to do next.
    pub advice: String,
    /// The numbers behind it.
    #[serde(default)]
    pub evidence: Map<String, Value>,
}

/// Something that was to be looked at and was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// What was not covered.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Interval {
    /// Returns the interval of the difference of two independent estimates, `left - right`, each with its interval of one
    /// level: the method of variance estimates recovery (Zou & Donner 2008).
    ///
    /// For estimates that move together, as of a slice and of all rows, it is too wide rather than too narrow.
    ///
    /// ```
    /// use modelwatch_sdk::report::Interval;
    /// let left = Interval { low: 0.7, high: 0.9, level: 0.95 };
    /// let right = Interval { low: 0.4, high: 0.6, level: 0.95 };
    /// let it = Interval::of_difference((0.8, left), (0.5, right));
    /// // √(0.1² + 0.1²) on either side of 0.3.
    /// assert!((it.low - 0.158_578_644).abs() < 1e-9 && (it.high - 0.441_421_356).abs() < 1e-9);
    /// ```
    #[must_use]
    pub fn of_difference(left: (f64, Self), right: (f64, Self)) -> Self {
        let ((left, of_left), (right, of_right)) = (left, right);
        Self {
            low: left - right - (left - of_left.low).hypot(of_right.high - right),
            high: left - right + (of_left.high - left).hypot(right - of_right.low),
            level: of_left.level,
        }
    }
}

impl Metric {
    /// Returns a candidate's metric over no rows and without labels; chain the rest.
    pub fn new(name: impl Into<String>, value: f64) -> Self {
        Self {
            name: name.into(),
            labels: Labels::new(),
            value,
            unit: None,
            interval: None,
            bounds: None,
            n: 0,
            degrees_of_freedom: None,
            role: MetricRole::Candidate,
            better: None,
            unfit: None,
        }
    }

    /// Sets the number of rows or elements.
    #[must_use]
    pub fn n(mut self, n: u64) -> Self {
        self.n = n;
        self
    }

    /// Sets the degrees of freedom of an interval of Student's t.
    #[must_use]
    pub fn degrees_of_freedom(mut self, n: Option<f64>) -> Self {
        self.degrees_of_freedom = n;
        self
    }

    /// Sets whose it is.
    #[must_use]
    pub fn role(mut self, role: MetricRole) -> Self {
        self.role = role;
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Adds labels.
    #[must_use]
    pub fn labels(mut self, labels: &Labels) -> Self {
        self.labels.extend(labels.clone());
        self
    }

    /// Sets the interval.
    #[must_use]
    pub fn interval(mut self, interval: Option<Interval>) -> Self {
        self.interval = interval;
        self
    }

    /// Sets between which numbers it is for these rows, where it is not computed exactly.
    #[must_use]
    pub fn bounds(mut self, bounds: Option<Interval>) -> Self {
        self.bounds = bounds;
        self
    }

    /// Sets which values are better.
    #[must_use]
    pub fn better(mut self, better: Option<Better>) -> Self {
        self.better = better;
        self
    }

    /// Sets why nothing may rest on it.
    #[must_use]
    pub fn unfit(mut self, why: Option<String>) -> Self {
        self.unfit = why;
        self
    }

    /// Sets the unit.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into());
        self
    }
}

impl Finding {
    /// Returns a finding without advice and evidence; chain them.
    pub fn new(
        code: impl Into<String>,
        severity: Severity,
        place: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: code.into(),
            severity,
            place: place.into(),
            message: message.into(),
            advice: String::new(),
            evidence: Map::new(),
        }
    }

    /// Sets what to do next.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// Adds a number or text behind it; a number that is not finite is written as a string.
    #[must_use]
    pub fn evidence(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.evidence.insert(key.into(), value.into());
        self
    }
}

/// The key of the evidence under which a finding names files.
pub const FILES: &str = "files";

impl Finding {
    /// Names files that show it, which the host has taken ([`Host::keep`](crate::Host::keep)).
    #[must_use]
    pub fn files(self, paths: Vec<String>) -> Self {
        if paths.is_empty() { self } else { self.evidence(FILES, paths) }
    }

    /// Lets it name only the files that `is_kept` knows.
    pub fn retain_files(&mut self, is_kept: impl Fn(&str) -> bool) {
        let Some(Value::Array(files)) = self.evidence.get_mut(FILES) else { return };
        files.retain(|it| it.as_str().is_some_and(&is_kept));
        if files.is_empty() {
            self.evidence.remove(FILES);
        }
    }

    /// Returns the files that it names.
    pub fn file_paths(&self) -> impl Iterator<Item = &str> {
        self.evidence.get(FILES).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

impl Gap {
    /// Returns a gap.
    pub fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_not_finite_survive_json() {
        for value in [0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324] {
            let json = serde_json::to_string(&Metric::new("x", value)).unwrap();
            let back: Metric = serde_json::from_str(&json).unwrap();
            assert!(back.value.to_bits() == value.to_bits() || (back.value.is_nan() && value.is_nan()), "{json}");
        }
    }

    #[test]
    fn worse_statuses_are_greater() {
        assert!(
            Status::Pass < Status::NotChecked && Status::Inconclusive < Status::Fail && Status::Fail < Status::Error
        );
    }
}
