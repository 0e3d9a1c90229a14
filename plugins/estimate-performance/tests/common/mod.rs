//! Batches and reports for the tests.
#![allow(dead_code, unreachable_pub)]

use std::{fs::File, path::PathBuf, sync::Arc};

use estimate_performance::registry;
use modelwatch_sdk::{
    Kind, Probe, RecordBatch, Report, Role,
    arrow::array::{ArrayRef, Float64Array},
    report::{Finding, Metric},
    rows::Use,
    testing,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// Opens the analyzer as a host does.
pub fn open(config: &Value) -> Box<dyn Probe> {
    registry().open_probe(Kind::Analyzer, "performance", config).unwrap()
}

/// Returns the report on one batch per role.
pub fn run(config: &Value, reference: &RecordBatch, current: &RecordBatch) -> Report {
    let mut probe = open(config);
    probe.update(&(), Role::Reference, reference).unwrap();
    probe.update(&(), Role::Current, current).unwrap();
    probe.evaluate(&()).unwrap()
}

/// Returns a batch of columns with what they are for.
pub fn batch(columns: Vec<(&str, Use, ArrayRef)>) -> RecordBatch {
    testing::batch(columns.into_iter().map(|(name, what, array)| (name, [what], array)))
}

/// Returns a column of numbers; NaN is a missing one.
pub fn numbers(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(values.into_iter().map(|it| (!it.is_nan()).then_some(it)).collect::<Float64Array>())
}

/// Returns the rows of a Parquet file below `tests/fixtures`, of which one column may be the label.
pub fn fixture(path: &str, label: &str) -> RecordBatch {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(root.join(path)).unwrap()).unwrap();
    let reader = reader.with_batch_size(1 << 20).build().unwrap();
    let rows = reader.map(|it| it.unwrap()).next().unwrap();
    let use_of = |name: &str| if name == label { Use::Label } else { Use::Feature };
    let schema = rows.schema();
    let fields = schema.fields().iter().zip(rows.columns());
    batch(fields.map(|(field, it)| (field.name().as_str(), use_of(field.name()), Arc::clone(it))).collect())
}

/// Returns the metric of all rows.
pub fn overall<'a>(report: &'a Report, name: &str) -> &'a Metric {
    let found = report.metrics.iter().find(|it| it.name == name && it.labels.is_empty());
    found.unwrap_or_else(|| panic!("no {name} in {:?}", report.metrics))
}

/// Returns the metric with that label.
pub fn labeled(report: &Report, name: &str, key: &str, value: &str) -> Option<f64> {
    let is_it = |it: &&Metric| it.name == name && it.labels.get(key).is_some_and(|it| it == value);
    report.metrics.iter().find(is_it).map(|it| it.value)
}

/// Returns the values of a metric chunk by chunk.
pub fn by_chunk(report: &Report, name: &str) -> Vec<f64> {
    let of = report.metrics.iter().filter(|it| it.name == name && it.labels.contains_key("chunk"));
    of.map(|it| it.value).collect()
}

/// Returns the codes and places of the findings.
pub fn codes(report: &Report) -> Vec<(&str, &str)> {
    report.findings.iter().map(|it| (it.code.as_str(), it.place.as_str())).collect()
}

/// Returns the finding of that code and place.
pub fn finding<'a>(report: &'a Report, code: &str, place: &str) -> &'a Finding {
    let found = report.findings.iter().find(|it| it.code == code && it.place == place);
    found.unwrap_or_else(|| panic!("no {code} at {place} in {:?}", codes(report)))
}

/// Uniform and normal numbers from a seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    /// Returns a number between 0 and 1.
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a standard normal number.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
