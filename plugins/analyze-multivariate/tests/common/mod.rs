//! Batches and reports for the tests.
#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;

use analyze_multivariate::registry;
use modelwatch_sdk::{
    Kind, Probe, RecordBatch, Report, Role,
    arrow::{
        array::{ArrayRef, FixedSizeListArray, Float64Array, Int64Array, StringArray},
        schema::{DataType, Field},
    },
    rows::Use,
    testing,
};
use serde_json::Value;

/// Opens the analyzer as a host does.
pub fn open(config: &Value) -> Box<dyn Probe> {
    registry().open_probe(Kind::Analyzer, "multivariate", config).unwrap()
}

/// Returns the report on one batch per role.
pub fn run(config: &Value, reference: &RecordBatch, current: &RecordBatch) -> Report {
    let mut probe = open(config);
    probe.update(&(), Role::Reference, reference).unwrap();
    probe.update(&(), Role::Current, current).unwrap();
    probe.evaluate(&()).unwrap()
}

/// Returns a batch of columns with their uses.
pub fn batch_of(columns: Vec<(&str, Use, ArrayRef)>) -> RecordBatch {
    testing::batch(columns.into_iter().map(|(name, what, array)| (name, [what], array)))
}

/// Returns a batch of features.
pub fn features(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    batch_of(columns.into_iter().map(|(name, array)| (name, Use::Feature, array)).collect())
}

pub fn floats(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

pub fn integers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

pub fn names<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub fn lists(width: usize, values: Vec<f64>) -> ArrayRef {
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    Arc::new(FixedSizeListArray::new(item, i32::try_from(width).unwrap(), floats(values), None))
}

/// Returns the codes and places of the findings.
pub fn codes(report: &Report) -> Vec<(&str, &str)> {
    report.findings.iter().map(|it| (it.code.as_str(), it.place.as_str())).collect()
}

/// Returns a metric of one question.
pub fn of_question(report: &Report, name: &str, question: &str) -> Option<f64> {
    let is_it = |it: &&modelwatch_sdk::report::Metric| {
        it.name == name && it.labels.get("question").is_some_and(|it| it == question) && it.labels.len() == 1
    };
    report.metrics.iter().find(is_it).map(|it| it.value)
}

/// Returns an overall metric.
pub fn overall(report: &Report, name: &str) -> f64 {
    report.metrics.iter().find(|it| it.name == name && it.labels.is_empty()).unwrap().value
}

/// Returns why something was not compared.
pub fn gap<'a>(report: &'a Report, what: &str) -> &'a str {
    let found = report.gaps.iter().find(|it| it.what == what);
    &found.unwrap_or_else(|| panic!("no gap `{what}` in {:?}", report.gaps)).why
}

/// Random numbers, the same on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(1);
        (modelwatch_stats::hash::mix(self.0) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = ((-2.0 * (1.0 - self.uniform()).ln()).sqrt(), std::f64::consts::TAU * self.uniform());
        radius * angle.cos()
    }
}
