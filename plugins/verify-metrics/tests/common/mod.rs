//! Batches and runs for the tests of this plugin.
#![allow(dead_code, clippy::unwrap_used)]

use std::{fs::File, io::Read, path::PathBuf, sync::Arc};

use modelwatch_sdk::{
    Error, ErrorKind, Host, IS_ONE_MODEL, Kind, Probe, RecordBatch, Report, Result, Role,
    arrow::{
        array::{ArrayRef, FixedSizeListArray, Float64Array, Int64Array, StringArray},
        schema::{DataType, Field, Schema},
    },
    report::{Metric, MetricRole},
    rows::{Use, numbers, with_uses},
};
use serde_json::Value;

/// Columns of a batch.
#[derive(Clone, Default)]
pub(crate) struct Table(Vec<(Field, ArrayRef)>);

impl Table {
    pub(crate) fn with(mut self, name: &str, uses: &[Use], array: ArrayRef) -> Self {
        self.0.push((with_uses(Field::new(name, array.data_type().clone(), true), uses), array));
        self
    }

    pub(crate) fn labels<T: Copy + Into<i64>>(self, labels: &[T]) -> Self {
        let values: Vec<i64> = labels.iter().map(|&it| it.into()).collect();
        self.with("label", &[Use::Label], Arc::new(Int64Array::from(values)))
    }

    pub(crate) fn numbers(self, labels: &[f64]) -> Self {
        self.with("label", &[Use::Label], Arc::new(Float64Array::from(labels.to_vec())))
    }

    pub(crate) fn slice(self, name: &str, values: &[&str]) -> Self {
        self.with(name, &[Use::Slice], Arc::new(StringArray::from(values.to_vec())))
    }

    pub(crate) fn candidate(self, scores: &[f64], width: usize) -> Self {
        self.with("candidate:out", &[Use::Candidate], scored(scores, width))
    }

    pub(crate) fn baseline(self, scores: &[f64], width: usize) -> Self {
        self.with("baseline:out", &[Use::Baseline], scored(scores, width))
    }

    /// Returns the rows at these places.
    pub(crate) fn take(&self, rows: &[usize]) -> Self {
        let taken = |array: &ArrayRef| -> ArrayRef {
            if let Some(it) = array.as_any().downcast_ref::<Int64Array>() {
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|&row| it.value(row))))
            } else if let Some(it) = array.as_any().downcast_ref::<StringArray>() {
                Arc::new(StringArray::from_iter_values(rows.iter().map(|&row| it.value(row))))
            } else {
                let numbers = numbers(array.as_ref()).unwrap();
                let values: Vec<f64> = rows.iter().flat_map(|&row| numbers.row(row)).copied().collect();
                scored(&values, numbers.width)
            }
        };
        Self(self.0.iter().map(|(field, array)| (field.clone(), taken(array))).collect())
    }

    pub(crate) fn batch(&self) -> RecordBatch {
        let (fields, arrays): (Vec<_>, Vec<_>) = self.0.iter().cloned().unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }
}

pub(crate) fn scored(scores: &[f64], width: usize) -> ArrayRef {
    let values: ArrayRef = Arc::new(Float64Array::from(scores.to_vec()));
    if width == 1 {
        return values;
    }
    let field = Arc::new(Field::new("item", DataType::Float64, true));
    Arc::new(FixedSizeListArray::new(field, width as i32, values, None))
}

pub(crate) fn open(options: &Value) -> Box<dyn Probe> {
    verify_metrics::registry().open_probe(Kind::Verifier, "metrics", options).unwrap()
}

/// Returns the report on one batch.
pub(crate) fn run(options: &Value, table: &Table) -> Report {
    try_run(options, table).unwrap()
}

/// The host of a run whose candidate and baseline are one model.
pub(crate) struct OneModel;

impl Host for OneModel {
    fn call(&self, service: &str, _: &Value) -> Result<Value> {
        match service {
            IS_ONE_MODEL => Ok(true.into()),
            other => Err(Error::new(ErrorKind::NotFound, format!("the host offers no service `{other}`"))),
        }
    }
}

/// Returns the report on one batch of a model and itself.
pub(crate) fn run_one_model(options: &Value, table: &Table) -> Report {
    run_on(&OneModel, options, table)
}

/// Returns the report that a host gets on one batch.
pub(crate) fn run_on(host: &dyn Host, options: &Value, table: &Table) -> Report {
    let mut probe = open(options);
    probe.update(host, Role::Current, &table.batch()).unwrap();
    probe.evaluate(host).unwrap()
}

pub(crate) fn try_run(options: &Value, table: &Table) -> Result<Report> {
    let mut probe = open(options);
    probe.update(&(), Role::Current, &table.batch())?;
    probe.evaluate(&())
}

/// Returns the report on partitions, each of which comes in batches of `step` rows.
pub(crate) fn run_cut(options: &Value, batch: &RecordBatch, partitions: usize, step: usize) -> Report {
    let mut whole = open(options);
    let per = batch.num_rows().div_ceil(partitions);
    for start in (0..batch.num_rows()).step_by(per) {
        let part = batch.slice(start, per.min(batch.num_rows() - start));
        let mut probe = open(options);
        for start in (0..part.num_rows()).step_by(step) {
            probe.update(&(), Role::Current, &part.slice(start, step.min(part.num_rows() - start))).unwrap();
        }
        whole.merge(&probe.state().unwrap()).unwrap();
    }
    whole.evaluate(&()).unwrap()
}

/// Returns the metric with exactly these labels.
pub(crate) fn find<'a>(
    report: &'a Report,
    role: MetricRole,
    name: &str,
    labels: &[(&str, &str)],
) -> Option<&'a Metric> {
    report.metrics.iter().find(|it| {
        it.role == role
            && it.name == name
            && it.labels.len() == labels.len()
            && labels.iter().all(|(key, value)| it.labels.get(*key).is_some_and(|it| it == value))
    })
}

pub(crate) fn value(report: &Report, name: &str, labels: &[(&str, &str)]) -> f64 {
    find(report, MetricRole::Candidate, name, labels).unwrap_or_else(|| panic!("no {name} {labels:?}")).value
}

pub(crate) fn codes(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|it| it.code.as_str()).collect()
}

pub(crate) fn fixture(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(path)
}

/// Returns the numbers of an array in an npz archive: little-endian `f4` or `i8`.
pub(crate) fn npz(path: &str, name: &str) -> Vec<f64> {
    let mut archive = zip::ZipArchive::new(File::open(fixture(path)).unwrap()).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let body = &bytes[start..];
    if String::from_utf8_lossy(&bytes[10..start]).contains("<f4") {
        body.chunks_exact(4).map(|it| f64::from(f32::from_le_bytes(it.try_into().unwrap()))).collect()
    } else {
        body.chunks_exact(8).map(|it| i64::from_le_bytes(it.try_into().unwrap()) as f64).collect()
    }
}

/// The labels of the first 64 test digits, and a checkpoint's outputs for them.
pub(crate) fn digits(kind: &str, candidate: &str, baseline: Option<&str>) -> Table {
    let labels: Vec<i64> = npz("digits/data/test.npz", "y")[..64].iter().map(|&it| it as i64).collect();
    let outputs = |tag: &str| npz(&format!("digits/{kind}_series/{tag}.ref.npz"), "ort");
    let table = Table::default().labels(&labels).candidate(&outputs(candidate), 10);
    baseline.map_or(table.clone(), |it| table.baseline(&outputs(it), 10))
}

/// Returns independent numbers of the standard normal distribution (Box & Muller 1958).
pub(crate) fn normal(n: usize, seed: u64) -> Vec<f64> {
    let (left, right) = (random(n, 2 * seed + 1), random(n, 2 * seed + 2));
    let one = |(u, v): (&f64, &f64)| (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos();
    left.iter().zip(&right).map(one).collect()
}

/// A small generator of numbers in 0..1, for synthetic rows.
pub(crate) fn random(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    for _ in 0..20 {
        next();
    }
    (0..n).map(|_| next()).collect()
}
