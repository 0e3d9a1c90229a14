//! The plugin keeps the promises that the host relies on.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use modelwatch_sdk::{
    Kind, RecordBatch, Role,
    arrow::{
        array::{ArrayRef, Float32Array, Int64Array},
        schema::{DataType, Field, Schema},
    },
    rows::{Use, with_uses},
    testing::{self, ProbeCase},
};

/// Rows as the host hands them over: the fields' metadata say what the columns are for.
fn rows() -> RecordBatch {
    let fields = vec![
        with_uses(Field::new("age", DataType::Float32, true), &[Use::Feature]),
        with_uses(Field::new("label", DataType::Int64, true), &[Use::Label]),
        with_uses(Field::new("candidate:class", DataType::Int64, true), &[Use::Candidate]),
    ];
    let ages: Float32Array = (0..50).map(|it| (it % 7 != 0).then_some(it as f32)).collect();
    let labels = Int64Array::from_iter_values((0..50).map(|it| it % 3));
    let classes = Int64Array::from_iter_values((0..50).map(|it| it % 3 + i64::from(it % 10 == 0)));
    let columns: Vec<ArrayRef> = vec![Arc::new(ages), Arc::new(labels), Arc::new(classes)];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[test]
fn conforms() {
    let registry = {{crate}}::registry();
    testing::probe(&ProbeCase {
        open: &|| registry.open_probe(Kind::{{Kind}}, "{{name}}", &testing::no_options()),
        rows: vec![(Role::Current, rows())],
        tensors: Vec::new(),
        codes: registry.manifest().codes(Kind::{{Kind}}, "{{name}}"),
    });
}
