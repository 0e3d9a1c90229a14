//! Rows, tensors and catalogs for tests.
#![allow(dead_code, clippy::unwrap_used)]

use std::sync::Arc;

use modelwatch_runtime::plugin::{Catalog, Component, Lookup, SearchPath};
use modelwatch_sdk::{
    Kind, ModelRole, Probe, RecordBatch, Result,
    arrow::{
        array::{ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, StringArray},
        schema::{DataType, Field, Schema},
    },
    rows::{Use, with_uses},
    testing::OwnedTensor,
};
use modelwatch_tests::fixture_plugins_dir;
use serde_json::Value;

/// A component that must be there.
pub(crate) fn component<'a>(catalog: &'a Catalog, kind: Kind, name: &str) -> Component<'a> {
    match catalog.find(kind, name) {
        Lookup::Found(it) => it,
        Lookup::Refused(it) => panic!("{kind} `{name}`: {it}"),
        Lookup::Unknown(others) => panic!("there is no {kind} `{name}` among {others:?}"),
    }
}

pub(crate) fn probe_of(catalog: &Catalog, kind: Kind, name: &str, config: &Value) -> Result<Box<dyn Probe>> {
    component(catalog, kind, name).open_probe(config)
}

/// The plugins that tests alone need, from their libraries.
pub(crate) fn faulty() -> Catalog {
    Catalog::load(&SearchPath::exactly(vec![fixture_plugins_dir()]))
}

pub(crate) fn object<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn batch(columns: Vec<(Field, ArrayRef)>) -> RecordBatch {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// Sixty rows of two columns, moved by `shift`.
pub(crate) fn features(shift: f64) -> RecordBatch {
    let field = |name, data_type| with_uses(Field::new(name, data_type, true), &[Use::Feature]);
    let size = Float64Array::from_iter_values((0..60).map(|it| f64::from(it * 37 % 60) / 60.0 + shift));
    let color = StringArray::from_iter_values((0..60).map(|it| ["red", "green", "blue"][it * 7 % 3]));
    batch(vec![(field("size", DataType::Float64), Arc::new(size)), (field("color", DataType::Utf8), Arc::new(color))])
}

/// Ninety rows with labels, slices, outputs of three classes and recorded outputs.
pub(crate) fn matrix_rows() -> RecordBatch {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let list = || DataType::FixedSizeList(Arc::clone(&item), 3);
    let scores = |error: f32| -> ArrayRef {
        let row = |it: i32| {
            let best = if it % 10 == 0 { (it + 1) % 3 } else { it % 3 };
            (0..3).map(move |class| if class == best { 0.5 + error } else { 0.25 - error / 2.0 })
        };
        let values: Float32Array = (0..90).flat_map(row).map(Some).collect();
        Arc::new(FixedSizeListArray::new(Arc::clone(&item), 3, Arc::new(values), None))
    };
    let writers = StringArray::from_iter_values((0..90).map(|it| ["a", "b"][it % 2]));
    batch(vec![
        (
            with_uses(Field::new("label", DataType::Int64, true), &[Use::Label]),
            Arc::new(Int64Array::from_iter_values((0..90).map(|it| it % 3))),
        ),
        (with_uses(Field::new("writer", DataType::Utf8, true), &[Use::Slice]), Arc::new(writers)),
        (Field::new("expected", list(), true), scores(0.0)),
        (with_uses(Field::new("candidate:probs", list(), true), &[Use::Candidate]), scores(1e-8)),
    ])
}

/// Two layers, of a candidate and of its baseline.
pub(crate) fn weights() -> Vec<(ModelRole, OwnedTensor)> {
    let values = |n: u32, scale: f32| -> Vec<f32> {
        (0..n).map(|it| scale * ((it.wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 23) as f32 - 1.0)).collect()
    };
    let mut res = Vec::new();
    for (name, shape) in [("fc1.kernel", [20, 16]), ("out.kernel", [16, 5])] {
        for (role, scale) in [(ModelRole::Baseline, 0.5), (ModelRole::Candidate, 0.51)] {
            let n = u32::try_from(shape[0] * shape[1]).unwrap();
            res.push((role, OwnedTensor::f32(name, &shape, &values(n, scale))));
        }
    }
    res
}
