//! Rows, tensors and catalogs for tests.
#![allow(dead_code, clippy::unwrap_used)]

use std::{fs, path::Path, sync::Arc};

use modelwatch_runtime::plugin::{Catalog, Component, Lookup, SearchPath};
use modelwatch_sdk::{
    Error, Kind, ModelRole, Needs, Probe, RecordBatch, Result, Role, RowNeeds,
    about::{ModelDescription, Port},
    arrow::{
        array::{Array, ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, StringArray},
        schema::{DataType, Field, Schema},
    },
    nodes::{Difference, NodeComparison, OutputDifference, ValueRange},
    numerics::{NodeNumbers, Numerics},
    rows::{self, Use, with_input, with_uses},
    store::CheckpointStore,
    testing::{ModelHost, OwnedTensor, TestModel},
};
use modelwatch_tests::fixture_plugins_dir;
use serde_json::{Value, json};

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

/// Returns whether all that `least` requires is required by `needs`.
pub(crate) fn includes(needs: &Needs, least: &Needs) -> bool {
    let includes_rows = |(needs, least): (&Option<RowNeeds>, &Option<RowNeeds>)| match (needs, least) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(needs), Some(least)) => {
            let models = [ModelRole::Candidate, ModelRole::Baseline];
            (least.optional || !needs.optional)
                && needs.label >= least.label
                && models.into_iter().all(|it| needs.model(it) >= least.model(it))
        }
    };
    let rows = [(&needs.current, &least.current), (&needs.reference, &least.reference)];
    let (tensors, least) = (needs.tensors, least.tensors);
    rows.into_iter().all(includes_rows) && tensors.candidate >= least.candidate && tensors.baseline >= least.baseline
}

/// The plugins that tests alone need, from their libraries.
pub(crate) fn faulty() -> Catalog {
    Catalog::load(&SearchPath::exactly(vec![fixture_plugins_dir()]))
}

/// Returns what opens one `faulty` store in a folder, with a fault.
pub(crate) fn opening<'a>(catalog: &'a Catalog, dir: &'a Path) -> impl Fn(&str) -> Box<dyn CheckpointStore> + 'a {
    // A store does not begin in an empty folder, where a file system may not be mounted.
    fs::write(dir.join("pipeline.toml"), "").unwrap();
    move |fault| {
        let config = json!({ "fault": fault, "path": dir.join("store") });
        component(catalog, Kind::Store, "faulty").open_store(&config).unwrap()
    }
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

/// A model of three numbers: their shares.
fn shares() -> TestModel {
    TestModel::new(|rows| {
        let column = rows.column_by_name("numbers").ok_or_else(|| Error::input("there is no column `numbers`"))?;
        let numbers = rows::numbers(column.as_ref())?;
        let share = |row: usize| {
            let sum: f64 = numbers.row(row).iter().map(|it| it.exp()).sum();
            numbers.row(row).iter().map(move |it| (it.exp() / sum) as f32)
        };
        let probs: Float32Array = (0..rows.num_rows()).flat_map(share).map(Some).collect();
        let item = Arc::new(Field::new("item", DataType::Float32, true));
        let probs = FixedSizeListArray::try_new(item, 3, Arc::new(probs), None).map_err(Error::input)?;
        RecordBatch::try_from_iter([("probs", Arc::new(probs) as ArrayRef)]).map_err(Error::input)
    })
}

/// A host whose candidate and baseline are the same model, which takes the column `numbers` as its input `x`.
pub(crate) fn models() -> ModelHost {
    let described = || {
        let mut res = shares();
        res.description = ModelDescription {
            format: "onnx".to_owned(),
            inputs: vec![Port { name: "x".to_owned(), dtype: "f32".to_owned(), shape: vec![None, Some(3)] }],
            outputs: vec![Port { name: "probs".to_owned(), dtype: "f32".to_owned(), shape: vec![None, Some(3)] }],
            operators: [("Softmax".to_owned(), 1)].into(),
            ..ModelDescription::default()
        };
        res
    };
    let host = ModelHost::new(described()).with_baseline(described()).with_comparison(|rows, terms| {
        let difference = Difference {
            n: rows.num_rows() as u64,
            n_beyond: 1,
            n_both_nan: 0,
            n_both_infinite: 0,
            max_absolute: 2.0 * terms.tolerance.absolute,
            relative_norm: 0.01,
        };
        let output = OutputDifference { name: "probs".to_owned(), baseline: "probs".to_owned(), difference };
        Ok(NodeComparison { rows: rows.num_rows() as u64, outputs: vec![output], ..NodeComparison::default() })
    });
    host.with_numerics(|rows| {
        let node = NodeNumbers {
            name: "probs".to_owned(),
            operator: "Softmax".to_owned(),
            outputs: vec!["probs".to_owned()],
            is_float: true,
            n: 3 * rows.num_rows() as u64,
            range: Some(ValueRange { least: 0.0, greatest: 1.0 }),
            mean_square: 0.2,
            ..NodeNumbers::default()
        };
        Ok(Numerics { rows: rows.num_rows() as u64, nodes: vec![node], constants: Vec::new(), nested: Vec::new() })
    })
}

/// Sixty rows for that model, with its outputs.
pub(crate) fn model_rows() -> RecordBatch {
    let numbers: Float32Array = (0..180).map(|it| Some((it * 37 % 60) as f32 / 60.0)).collect();
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let numbers = FixedSizeListArray::new(item, 3, Arc::new(numbers), None);
    let field = with_uses(Field::new("numbers", numbers.data_type().clone(), true), &[Use::Feature]);
    let field = with_input(with_input(field, ModelRole::Candidate, "x"), ModelRole::Baseline, "x");
    let inputs = batch(vec![(field.clone(), Arc::new(numbers.clone()))]);
    let probs = Arc::clone((shares().run)(&inputs).unwrap().column(0));
    batch(vec![
        (
            with_uses(Field::new("row", DataType::Int64, true), &[Use::Id]),
            Arc::new(Int64Array::from_iter_values(0..60)),
        ),
        (field, Arc::new(numbers)),
        (with_uses(Field::new("candidate:probs", probs.data_type().clone(), true), &[Use::Candidate]), probs),
    ])
}

/// Options of `behavior` with a test of each kind.
pub(crate) fn behavior() -> Value {
    json!({
        "invariance": [{ "name": "noise", "change": { "noise": 0.1 }, "tolerance": 0.05, "share": 0.5 }],
        "directional": [
            { "name": "all", "change": { "scale": 2 }, "columns": ["numbers"], "expect": "not-lower", "element": 2 },
        ],
        "cases": [{ "name": "last", "inputs": { "numbers": [0, 0, 1] }, "class": 2 }],
    })
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

/// A built-in probe with something to look at.
pub(crate) struct BuiltIn {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    pub(crate) config: Value,
    pub(crate) rows: Vec<(Role, RecordBatch)>,
    pub(crate) tensors: Vec<(ModelRole, OwnedTensor)>,
    /// What it may ask; of no use to those that ask nothing.
    pub(crate) host: ModelHost,
}

/// Returns a probe by name, for the conformance suite.
pub(crate) fn built_in(name: &'static str) -> BuiltIn {
    let labeled = |config| (Kind::Verifier, config, vec![(Role::Current, matrix_rows())], ModelHost::default());
    let running = |config| (Kind::Verifier, config, vec![(Role::Current, model_rows())], models());
    let limit = || json!({"batch_size": 1, "p50_ms": 5, "p50_of_baseline": 1});
    let (kind, config, rows, host) = match name {
        "metrics" => labeled(json!({"task": "multiclass"})),
        "golden" => labeled(json!({"outputs": {"probs": "expected"}})),
        "behavior" => running(behavior()),
        "contract" => running(json!({"mode": "baseline"})),
        "differential" => running(json!({"rows": 20})),
        "numerics" => running(json!({"edges": ["zeros"]})),
        "latency" => running(json!({"budget_seconds": 0.5, "limits": [limit()]})),
        "drift" | "multivariate" | "quality" => {
            let rows = vec![(Role::Reference, features(0.0)), (Role::Current, features(0.5))];
            // Enough for the suite, which evaluates the probe many times.
            let config = if name == "multivariate" { json!({"permutations": 199}) } else { json!({}) };
            (Kind::Analyzer, config, rows, ModelHost::default())
        }
        "performance" => {
            let config = json!({"task": "multiclass", "chunk": {"count": 3}, "min_chunk_rows": 5});
            let rows = vec![(Role::Reference, matrix_rows()), (Role::Current, matrix_rows())];
            (Kind::Analyzer, config, rows, ModelHost::default())
        }
        "stream" => {
            let config = json!({"watch": ["predictions", "errors"], "adwin": {"clock": 1}});
            (Kind::Analyzer, config, vec![(Role::Current, matrix_rows())], ModelHost::default())
        }
        "weights" => (Kind::Analyzer, json!({}), Vec::new(), ModelHost::default()),
        other => panic!("there is no probe `{other}`"),
    };
    let tensors = if name == "weights" { weights() } else { Vec::new() };
    BuiltIn { kind, name, config, rows, tensors, host }
}
