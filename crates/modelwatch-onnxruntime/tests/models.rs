//! Models of the fixtures in ONNX Runtime, beside tract; where `MODELWATCH_TEST_ONNXRUNTIME` names its library.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // A test that is skipped says so.

use std::{
    env, fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{Array, ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, cast::AsArray, types::Float32Type};
use arrow_schema::{DataType, Field, Schema};
use modelwatch_infer::{Comparison, InferError, Model, Runtime, Terms};
use modelwatch_onnxruntime::OnnxRuntime;
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_shape_proto::{Dimension, dimension::Value as DimValue},
    type_proto::{Tensor as TensorType, Value as TypeValue},
};

const LIBRARY: &str = "MODELWATCH_TEST_ONNXRUNTIME";

fn fixture(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(path)
}

/// Returns the runtime, or says that `test` is skipped.
fn runtime(test: &str) -> Option<OnnxRuntime> {
    let Some(library) = env::var_os(LIBRARY) else {
        eprintln!("skipped: {test}, because {LIBRARY} is not set");
        return None;
    };
    Some(OnnxRuntime::open(Path::new(&library), NonZeroUsize::MIN).unwrap())
}

fn refusal(library: &Path) -> String {
    OnnxRuntime::open(library, NonZeroUsize::MIN).err().unwrap().to_string()
}

/// Returns rows of numbers for all inputs of a model, no two alike.
fn rows(model: &Model, n_rows: usize) -> RecordBatch {
    let column = |spec: &modelwatch_infer::TensorSpec| {
        let width: usize = spec.shape[1..].iter().map(|it| it.unwrap_or(3)).product();
        let value = |it: usize| (it as f64 * 0.618_033_988_749_895).fract() as f32;
        let values = Float32Array::from_iter_values((0..n_rows * width).map(value));
        let item = Arc::new(Field::new("item", DataType::Float32, true));
        let list = FixedSizeListArray::new(item, width as i32, Arc::new(values), None);
        (Field::new(&spec.name, list.data_type().clone(), true), Arc::new(list) as ArrayRef)
    };
    let (fields, columns): (Vec<_>, Vec<_>) = model.info().inputs.iter().map(column).unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn threads(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

/// Returns the scores of an output; none of one that has labels.
fn scores(column: &ArrayRef) -> Option<Vec<f32>> {
    let values = column.as_fixed_size_list_opt().map_or(column, |it| it.values());
    Some(values.as_primitive_opt::<Float32Type>()?.values().to_vec())
}

fn assert_close(what: &str, got: &RecordBatch, wanted: &RecordBatch) {
    assert_eq!(got.schema(), wanted.schema(), "{what}");
    for (field, (got, wanted)) in got.schema().fields().iter().zip(got.columns().iter().zip(wanted.columns())) {
        let (Some(scores), Some(expected)) = (scores(got), scores(wanted)) else {
            assert_eq!(got, wanted, "{what}: {}", field.name());
            continue;
        };
        assert_eq!(scores.len(), expected.len(), "{what}");
        for (got, wanted) in scores.iter().zip(&expected) {
            assert!((got - wanted).abs() <= 1e-5 + 1e-4 * wanted.abs(), "{what}: {got}, not {wanted}");
        }
    }
}

#[test]
fn models_answer_as_in_tract() {
    let Some(runtime) = runtime("models_answer_as_in_tract") else { return };
    assert!(runtime.name().starts_with("onnxruntime "), "{}", runtime.name());
    for name in [
        "digits/mlp_series/e08.onnx",
        "digits/cnn/cnn.onnx",
        "digits/cnn/cnn_keras_export.onnx",
        "tabular/wine/gboost.onnx",
        "tabular/wine/logreg.onnx",
        "tabular/wine/mlp.onnx",
        "tabular/wine/pca.onnx",
        "tabular/wine/rforest.onnx",
        "tabular/wine/svc.onnx",
        "tabular/breast_cancer/rforest.onnx",
    ] {
        let path = fixture(name);
        let (tract, referee) = (Model::load(&path).unwrap(), Model::load_with(&runtime, &path).unwrap());
        assert_eq!(referee.info().inputs, tract.info().inputs, "{name}");
        assert_eq!(referee.info().outputs, tract.info().outputs, "{name}");
        let rows = rows(&tract, 77);
        let wanted = tract.run(&rows, threads(1)).unwrap();
        assert_close(name, &referee.run(&rows, threads(1)).unwrap(), &wanted);
        assert_close(name, &referee.run_at_once(&rows).unwrap(), &tract.run_at_once(&rows).unwrap());
    }
}

#[test]
fn neither_threads_nor_cuts_show_in_a_result() {
    let Some(runtime) = runtime("neither_threads_nor_cuts_show_in_a_result") else { return };
    let model = Model::load_with(&runtime, &fixture("digits/cnn/cnn.onnx")).unwrap();
    let all = rows(&model, 5 * model.micro_batch() + 1);
    let wanted = model.run(&all, threads(1)).unwrap();
    assert_eq!(model.run(&all, threads(4)).unwrap(), wanted);
    let cut = 2 * model.micro_batch();
    let rest = model.run(&all.slice(cut, all.num_rows() - cut), threads(2)).unwrap();
    assert_eq!(rest, wanted.slice(cut, all.num_rows() - cut));
    assert_eq!(model.run(&all.slice(0, 0), threads(1)).unwrap().schema(), wanted.schema());
    // It takes a scale from all rows that it sees, so they are run alone. Beside tract it is off by a step of its eight bits.
    let dynamic = Model::load_with(&runtime, &fixture("digits/cnn/mlp_int8_dynamic.onnx")).unwrap();
    assert_eq!(dynamic.micro_batch(), 1);
}

fn node(op_type: &str, input: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: op_type.to_owned(),
        input: input.iter().map(ToString::to_string).collect(),
        output: vec![output.to_owned()],
        attribute,
        ..Default::default()
    }
}

/// Writes a model from `x` to `y`, both rows of so much; a name is any length.
fn write_model(path: &Path, width: DimValue, node: Vec<NodeProto>) {
    let value = |name: &str| {
        let dim = [DimValue::DimParam("batch".to_owned()), width.clone()];
        let dim = dim.map(|it| Dimension { value: Some(it), ..Default::default() }).to_vec();
        let tensor = TensorType { elem_type: 1, shape: Some(TensorShapeProto { dim }) };
        let r#type = Some(TypeProto { value: Some(TypeValue::TensorType(tensor)), ..Default::default() });
        ValueInfoProto { name: name.to_owned(), r#type, ..Default::default() }
    };
    let (input, output) = (vec![value("x")], vec![value("y")]);
    let graph = GraphProto { name: "rows".to_owned(), node, input, output, ..Default::default() };
    let opset_import = vec![OperatorSetIdProto { version: 15, ..Default::default() }];
    let model = ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() };
    fs::write(path, model.encode_to_vec()).unwrap();
}

#[test]
fn rows_whose_number_matters_are_run_alone() {
    let Some(runtime) = runtime("rows_whose_number_matters_are_run_alone") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    // Each row is divided by the number of rows.
    let int = |name: &str, i| AttributeProto { name: name.to_owned(), r#type: 2, i, ..Default::default() };
    let nodes = vec![
        node("Shape", &["x"], "n", vec![int("end", 1)]),
        node("Cast", &["n"], "divisor", vec![int("to", 1)]),
        node("Div", &["x", "divisor"], "y", vec![]),
    ];
    write_model(&path, DimValue::DimValue(2), nodes);
    let model = Model::load_with(&runtime, &path).unwrap();
    assert!(model.micro_batch() == 1 && model.rows_are_mixed());
    let rows = rows(&model, 4);
    let alone = scores(model.run(&rows, threads(1)).unwrap().column(0)).unwrap();
    let shares = scores(model.run_at_once(&rows).unwrap().column(0)).unwrap();
    assert_eq!(shares, alone.iter().map(|it| it / 4.0).collect::<Vec<_>>());
}

#[test]
fn what_rows_have_to_do_with_each_other_is_asked_once() {
    let folder = tempfile::tempdir().unwrap();
    let (path, kept) = (folder.path().join("model.onnx"), folder.path().join("kept"));
    // Rows of any width, less their mean.
    let axes = AttributeProto { name: "axes".to_owned(), r#type: 7, ints: vec![0], ..Default::default() };
    let nodes = vec![node("ReduceMean", &["x"], "mean", vec![axes]), node("Sub", &["x", "mean"], "y", vec![])];
    write_model(&path, DimValue::DimParam("width".to_owned()), nodes);
    let load = || {
        let runtime = runtime("what_rows_have_to_do_with_each_other_is_asked_once")?.keeping_self_tests(kept.clone());
        Some(Model::load_with(&runtime, &path).unwrap())
    };
    let run = |model: &Model| {
        scores(model.run(&rows(model, 40), threads(1)).unwrap().column(0)).unwrap();
        model.rows_are_mixed()
    };
    let files = || -> Vec<PathBuf> { fs::read_dir(&kept).unwrap().map(|it| it.unwrap().path()).collect() };
    let Some(first) = load() else { return };
    assert!(run(&first));
    let file = files().pop().unwrap();
    let text = fs::read_to_string(&file).unwrap();
    // What was asked would be kept again.
    fs::remove_file(&file).unwrap();
    assert!(run(&first) && files().is_empty());
    fs::write(&file, &text).unwrap();
    assert!(run(&load().unwrap()));
    assert!(text.contains(r#""rows_are_independent":false"#), "{text}");
    fs::write(&file, text.replace(r#""rows_are_independent":false"#, r#""rows_are_independent":true"#)).unwrap();
    assert!(!run(&load().unwrap()));
    assert_eq!(files(), [file]);
}

#[test]
fn a_model_is_compared_across_runtimes_by_its_outputs() {
    let Some(runtime) = runtime("a_model_is_compared_across_runtimes_by_its_outputs") else { return };
    let path = fixture("digits/cnn/cnn.onnx");
    let (candidate, reference) = (Model::load(&path).unwrap(), Model::load_with(&runtime, &path).unwrap());
    let rows = rows(&candidate, 40);
    let mut comparison = Comparison::new(&reference, &candidate, &Terms::default()).unwrap();
    comparison.run(&rows, &rows).unwrap();
    let obstacle = comparison.obstacle().unwrap().to_string();
    assert!(obstacle.contains("ONNX Runtime gives its outputs alone; leave `runtime` out"), "{obstacle}");
    assert_eq!(comparison.nodes().len(), 0);
    let outputs = comparison.outputs();
    assert_eq!((outputs.len(), outputs[0].difference.n, outputs[0].difference.n_beyond), (1, 400, 0));
    assert!(matches!(reference.numerics(&rows, &|| false), Err(InferError::Opaque { .. })));
}

#[test]
fn what_cannot_be_run_is_refused_by_name() {
    let Some(runtime) = runtime("what_cannot_be_run_is_refused_by_name") else { return };
    let refused = |path: &Path| Model::load_with(&runtime, path).unwrap_err().to_string();
    let other = refused(&fixture("digits/cnn/cnn.tflite"));
    assert!(other.contains("ONNX Runtime cannot run") && other.contains("format TFLite; export it to ONNX"), "{other}");
    let maps = refused(&fixture("tabular/wine/logreg_zipmap.onnx"));
    assert!(maps.contains("output `output_probability` is no tensor"), "{maps}");
    // An operator that there is not.
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(fixture("digits/mlp_series/e08.onnx")).unwrap();
    // Operators are the fourth field of a node.
    let operator = b"\x22\x04Relu";
    let at = bytes.windows(operator.len()).position(|it| it == operator).unwrap();
    let path = folder.path().join("model.onnx");
    fs::write(&path, [&bytes[..at], b"\x22\x04Rule", &bytes[at + operator.len()..]].concat()).unwrap();
    let unheard = refused(&path);
    assert!(unheard.contains("ONNX Runtime refuses it (") && unheard.contains("Rule"), "{unheard}");
}

#[test]
fn a_process_has_one_library() {
    let Some(_) = runtime("a_process_has_one_library") else { return };
    let said = refusal(&fixture("README.md"));
    assert!(said.contains("cannot be loaded beside `") && said.contains("; name one of them only"), "{said}");
}
