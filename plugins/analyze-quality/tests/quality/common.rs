//! Batches and reports for the tests.

use std::{fs::File, path::PathBuf, sync::Arc};

use analyze_quality::registry;
use modelwatch_sdk::{
    Kind, Probe, RecordBatch, Report, Role,
    arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray},
    report::{Finding, Severity},
    rows::Use,
    testing,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// Opens the analyzer as a host does.
pub(crate) fn open(config: &Value) -> Box<dyn Probe> {
    registry().open_probe(Kind::Analyzer, "quality", config).unwrap()
}

/// Returns the report on current rows alone.
pub(crate) fn alone(config: Value, current: &RecordBatch) -> Report {
    let mut probe = open(&config);
    probe.update(&(), Role::Current, current).unwrap();
    probe.evaluate(&()).unwrap()
}

/// Returns the report on one batch per role.
pub(crate) fn run(config: Value, reference: &RecordBatch, current: &RecordBatch) -> Report {
    let mut probe = open(&config);
    probe.update(&(), Role::Reference, reference).unwrap();
    probe.update(&(), Role::Current, current).unwrap();
    probe.evaluate(&()).unwrap()
}

/// Returns a batch of columns with their uses.
pub(crate) fn batch_of(columns: Vec<(&str, &[Use], ArrayRef)>) -> RecordBatch {
    testing::batch(columns)
}

/// Returns a batch of features.
pub(crate) fn features(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    batch_of(columns.into_iter().map(|(name, array)| (name, [Use::Feature].as_slice(), array)).collect())
}

/// Returns a batch of one feature, `x`.
pub(crate) fn x(array: ArrayRef) -> RecordBatch {
    features(vec![("x", array)])
}

pub(crate) fn floats(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

pub(crate) fn integers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

pub(crate) fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> ArrayRef {
    // The builder wants to know how many there are.
    Arc::new(StringArray::from_iter_values(values.into_iter().collect::<Vec<_>>()))
}

/// Returns the rows of a Parquet file below `tests/fixtures`, all of them features.
pub(crate) fn fixture(path: &str) -> Vec<RecordBatch> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(root.join(path)).unwrap()).unwrap();
    reader.build().unwrap().map(|it| as_features(&it.unwrap())).collect()
}

fn as_features(batch: &RecordBatch) -> RecordBatch {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    features(columns.map(|(field, array)| (field.name().as_str(), Arc::clone(array))).collect())
}

/// Returns a metric of all rows.
pub(crate) fn overall(report: &Report, name: &str) -> Option<f64> {
    report.metrics.iter().find(|it| it.name == name && it.labels.is_empty()).map(|it| it.value)
}

/// Returns a metric of a column.
pub(crate) fn of_column(report: &Report, name: &str, column: &str) -> Option<f64> {
    let is_it = |labels: &modelwatch_sdk::report::Labels| labels.get("column").is_some_and(|it| it == column);
    report.metrics.iter().find(|it| it.name == name && is_it(&it.labels)).map(|it| it.value)
}

/// Returns options for columns of few values, whose rows repeat.
pub(crate) fn quiet() -> Value {
    serde_json::json!({ "limits": { "duplicates": 1.0, "samples_mix": 1.0 } })
}

/// Returns the codes and places of the findings that are worse than notes.
pub(crate) fn codes(report: &Report) -> Vec<(&str, &str)> {
    let worse = report.findings.iter().filter(|it| it.severity > Severity::Info);
    worse.map(|it| (it.code.as_str(), it.place.as_str())).collect()
}

/// Returns why something was not looked at.
pub(crate) fn gap<'a>(report: &'a Report, what: &str) -> &'a str {
    let found = report.gaps.iter().find(|it| it.what == what);
    &found.unwrap_or_else(|| panic!("no gap about {what} in {:?}", report.gaps)).why
}

/// Returns the finding of that code.
#[track_caller]
pub(crate) fn finding<'a>(report: &'a Report, code: &str) -> &'a Finding {
    report.findings.iter().find(|it| it.code == code).unwrap_or_else(|| panic!("no {code} in {:#?}", report.findings))
}

/// Uniform and normal numbers from a seed (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Returns a number between 0 and 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a standard normal number.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
