//! Batches and reports for the tests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::sync::Arc;

use analyze_stream::registry;
use modelwatch_sdk::{
    Kind, Probe, RecordBatch, Report, Role,
    arrow::array::{ArrayRef, Float64Array},
    report::{Finding, Metric},
    rows::Use,
    testing,
};
use serde_json::Value;

/// Opens the analyzer as a host does.
pub fn open(config: &Value) -> Box<dyn Probe> {
    registry().open_probe(Kind::Analyzer, "stream", config).unwrap()
}

/// Returns the report on one batch.
pub fn run(config: &Value, rows: &RecordBatch) -> Report {
    let mut probe = open(config);
    probe.update(&(), Role::Current, rows).unwrap();
    probe.evaluate(&()).unwrap()
}

/// Returns a batch of columns with what they are for.
pub fn batch(columns: Vec<(&str, Use, ArrayRef)>) -> RecordBatch {
    testing::batch(columns.into_iter().map(|(name, what, array)| (name, [what], array)))
}

/// Returns a batch of one feature `x`.
pub fn of(values: Vec<f64>) -> RecordBatch {
    batch(vec![("x", Use::Feature, numbers(values))])
}

/// Returns a column of numbers.
pub fn numbers(values: Vec<f64>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}

/// Returns the metric of the stream with that name.
pub fn metric<'a>(report: &'a Report, name: &str, stream: &str) -> Option<&'a Metric> {
    report.metrics.iter().find(|it| it.name == name && it.labels.values().eq([stream]))
}

/// Returns the value of a metric of all streams together.
pub fn overall(report: &Report, name: &str) -> f64 {
    report.metrics.iter().find(|it| it.name == name && it.labels.is_empty()).unwrap().value
}

/// Returns the finding of that code and place.
pub fn finding<'a>(report: &'a Report, code: &str, place: &str) -> &'a Finding {
    let found = report.findings.iter().find(|it| it.code == code && it.place == place);
    found.unwrap_or_else(|| panic!("no {code} at {place} in {:?}", report.findings))
}

/// Returns a list of the evidence of the finding of that code.
pub fn listed(report: &Report, code: &str, key: &str) -> Vec<Value> {
    let found = report.findings.iter().find(|it| it.code == code);
    found.and_then(|it| it.evidence[key].as_array().cloned()).unwrap_or_default()
}

/// Returns the rows at which changes were found, of a report on one stream.
pub fn rows_of_changes(report: &Report) -> Vec<usize> {
    let lists = ["MW-S001", "MW-S002"].into_iter().flat_map(|it| listed(report, it, "rows"));
    lists.map(|it| it.as_u64().unwrap() as usize).collect()
}

/// Returns the gap about that.
pub fn gap<'a>(report: &'a Report, what: &str) -> &'a str {
    let found = report.gaps.iter().find(|it| it.what == what);
    &found.unwrap_or_else(|| panic!("no gap `{what}` in {:?}", report.gaps)).why
}

/// Normal numbers rounded to six digits, the streams for which river's answers are recorded: a linear congruential generator, then Box and
/// Muller.
pub fn normals(seed: u64, n: usize, mean: f64) -> Vec<f64> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    let mut res = Vec::new();
    while res.len() < n {
        let (u, v) = (uniform(), uniform());
        let (radius, angle) = ((-2.0 * u.ln()).sqrt(), std::f64::consts::TAU * v);
        res.extend([angle.cos(), angle.sin()].map(|it| ((mean + radius * it) * 1e6).round() / 1e6));
    }
    res
}

/// Numbers whose mean rises from 0 to 0.8 at row 1000.
pub fn shifted() -> Vec<f64> {
    [normals(31, 1000, 0.0), normals(32, 1000, 0.8)].concat()
}
