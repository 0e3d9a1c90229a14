//! Tensors for tests: made here, or read from safetensors files.
#![allow(dead_code, clippy::unwrap_used)]

use std::{collections::BTreeMap, path::Path};

use analyze_weights::{Config, Weights};
use modelwatch_sdk::{
    Analyzer, DType, ModelRole, Probe, Report, TensorView,
    report::{Finding, Severity},
};
use serde_json::Value;

/// A tensor that owns its bytes.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<u64>,
    pub(crate) bytes: Vec<u8>,
}

/// A checkpoint: tensors by name.
pub(crate) type Checkpoint = BTreeMap<String, Tensor>;

pub(crate) fn f32s(shape: &[u64], values: &[f32]) -> Tensor {
    let bytes = values.iter().flat_map(|it| it.to_le_bytes()).collect();
    Tensor { dtype: DType::F32, shape: shape.into(), bytes }
}

/// Numbers that look like trained weights: in ±scale, without zeros, the same in every run.
pub(crate) fn noise(seed: u64, n: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..n).map(|_| scale * (2.0 * next() - 1.0)).map(|it| if it == 0.0 { scale } else { it }).collect()
}

pub(crate) fn checkpoint(tensors: impl IntoIterator<Item = (&'static str, Tensor)>) -> Checkpoint {
    tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect()
}

/// A healthy model of three layers.
pub(crate) fn healthy() -> Checkpoint {
    checkpoint([
        ("fc1.bias", f32s(&[16], &noise(1, 16, 0.1))),
        ("fc1.kernel", f32s(&[20, 16], &noise(2, 320, 0.5))),
        ("fc2.bias", f32s(&[8], &noise(3, 8, 0.1))),
        ("fc2.kernel", f32s(&[16, 8], &noise(4, 128, 0.5))),
        ("out.bias", f32s(&[5], &noise(5, 5, 0.1))),
        ("out.kernel", f32s(&[8, 5], &noise(6, 40, 0.5))),
    ])
}

/// Changes the values of a tensor of `f32`.
pub(crate) fn edit(checkpoint: &mut Checkpoint, name: &str, edit: impl Fn(usize, f32) -> f32) {
    let tensor = checkpoint.get_mut(name).unwrap();
    let values: Vec<f32> = tensor.bytes.as_chunks().0.iter().map(|&it| f32::from_le_bytes(it)).collect();
    tensor.bytes = values.iter().enumerate().flat_map(|(idx, &it)| edit(idx, it).to_le_bytes()).collect();
}

/// A small step of training: every weight moves by 2 % or so.
pub(crate) fn trained(checkpoint: &Checkpoint) -> Checkpoint {
    let mut res = checkpoint.clone();
    for (seed, name) in checkpoint.keys().enumerate() {
        let n = checkpoint[name].bytes.len() / 4;
        let moves = noise(seed as u64 + 100, n, 0.01);
        edit(&mut res, name, |idx, it| it * 1.01 + moves[idx]);
    }
    res
}

pub(crate) fn fixture(name: &str) -> Checkpoint {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/digits");
    let bytes = std::fs::read(Path::new(path).join(name)).unwrap();
    let (length, rest) = bytes.split_at(8);
    let (header, data) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let header: BTreeMap<String, Value> = serde_json::from_slice(header).unwrap();
    let tensor = |(name, it): (String, Value)| {
        let offset = |idx: usize| it["data_offsets"][idx].as_u64().unwrap() as usize;
        let shape = it["shape"].as_array().unwrap().iter().map(|it| it.as_u64().unwrap()).collect();
        let dtype = DType::parse(&it["dtype"].as_str().unwrap().to_lowercase()).unwrap();
        (name, Tensor { dtype, shape, bytes: data[offset(0)..offset(1)].to_vec() })
    };
    header.into_iter().filter(|it| it.0 != "__metadata__").map(tensor).collect()
}

pub(crate) fn open(config: Value) -> Weights {
    Weights::open(serde_json::from_value::<Config>(config).unwrap()).unwrap()
}

/// Feeds tensors as the host does: by name, the baseline's first.
pub(crate) fn feed(probe: &mut Weights, baseline: &Checkpoint, candidate: &Checkpoint, wanted: impl Fn(&str) -> bool) {
    let names: std::collections::BTreeSet<_> = baseline.keys().chain(candidate.keys()).collect();
    for name in names.into_iter().filter(|it| wanted(it)) {
        for (role, checkpoint) in [(ModelRole::Baseline, baseline), (ModelRole::Candidate, candidate)] {
            let Some(it) = checkpoint.get(name) else {
                continue;
            };
            let view = TensorView { name, dtype: it.dtype, shape: &it.shape, bytes: &it.bytes };
            probe.update_tensor(&(), role, &view).unwrap();
        }
    }
}

pub(crate) fn run_with(config: Value, baseline: &Checkpoint, candidate: &Checkpoint) -> Report {
    let mut probe = open(config);
    feed(&mut probe, baseline, candidate, |_| true);
    probe.evaluate(&()).unwrap()
}

pub(crate) fn run(baseline: &Checkpoint, candidate: &Checkpoint) -> Report {
    run_with(serde_json::json!({}), baseline, candidate)
}

/// `MW-W001 error fc1.kernel`, one per finding.
pub(crate) fn lines(report: &Report) -> Vec<String> {
    report.findings.iter().map(|it| format!("{} {} {}", it.code, it.severity.as_str(), it.place)).collect()
}

pub(crate) fn with_severity(report: &Report, severity: Severity) -> Vec<&Finding> {
    report.findings.iter().filter(|it| it.severity == severity).collect()
}

pub(crate) fn metric(report: &Report, name: &str, tensor: Option<&str>) -> Option<f64> {
    let labels = |it: &BTreeMap<String, String>| it.get("tensor").map(String::as_str) == tensor;
    report.metrics.iter().find(|it| it.name == name && labels(&it.labels)).map(|it| it.value)
}
