//! Batches and reports for the tests.
#![allow(dead_code, unreachable_pub)]

use std::{fs::File, path::PathBuf, sync::Arc};

use analyze_drift::registry;
use modelwatch_sdk::{
    Kind, Probe, RecordBatch, Report, Role, arrow::array::ArrayRef, report::Finding, rows::Use, testing,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// Opens the analyzer as a host does.
pub fn open(config: Value) -> Box<dyn Probe> {
    registry().open_probe(Kind::Analyzer, "drift", &config).unwrap()
}

/// Returns the report on one batch per role.
pub fn run(config: Value, reference: &RecordBatch, current: &RecordBatch) -> Report {
    let mut probe = open(config);
    probe.update(&(), Role::Reference, reference).unwrap();
    probe.update(&(), Role::Current, current).unwrap();
    probe.evaluate(&()).unwrap()
}

/// Returns a batch of columns with their uses.
pub fn batch_of(columns: Vec<(&str, &[Use], ArrayRef)>) -> RecordBatch {
    testing::batch(columns)
}

/// Returns a batch of features.
pub fn features(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    batch_of(columns.into_iter().map(|(name, array)| (name, [Use::Feature].as_slice(), array)).collect())
}

/// Returns the rows of a Parquet file below `tests/fixtures`; every column but `label` is a feature.
pub fn fixture(path: &str) -> Vec<RecordBatch> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(root.join(path)).unwrap()).unwrap();
    let schema = Arc::clone(reader.schema());
    let mut batches: Vec<_> = reader.build().unwrap().map(|it| it.unwrap()).collect();
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    batches.iter().map(as_features).collect()
}

fn as_features(batch: &RecordBatch) -> RecordBatch {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, array)| {
        let uses: &[Use] = if field.name() == "label" { &[Use::Label] } else { &[Use::Feature] };
        (field.name().as_str(), uses, Arc::clone(array))
    });
    batch_of(columns.collect())
}

/// Returns a metric of all columns together.
pub fn overall(report: &Report, name: &str) -> f64 {
    report.metrics.iter().find(|it| it.name == name && it.labels.is_empty()).unwrap().value
}

/// Returns a metric of one column or output as a whole.
pub fn of_column(report: &Report, name: &str, column: &str) -> Option<f64> {
    let is_it = |labels: &modelwatch_sdk::report::Labels| labels.len() == 1 && labels.values().any(|it| it == column);
    report.metrics.iter().find(|it| it.name == name && is_it(&it.labels)).map(|it| it.value)
}

/// Returns the codes and places of the findings.
pub fn codes(report: &Report) -> Vec<(&str, &str)> {
    report.findings.iter().map(|it| (it.code.as_str(), it.place.as_str())).collect()
}

/// Returns the finding of that code.
pub fn finding<'a>(report: &'a Report, code: &str) -> &'a Finding {
    report.findings.iter().find(|it| it.code == code).unwrap_or_else(|| panic!("no {code} in {:?}", report.findings))
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
