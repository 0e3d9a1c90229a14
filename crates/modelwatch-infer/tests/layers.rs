//! Tensors inside of a model, beside its outputs.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use arrow_array::{cast::AsArray, types::Float32Type};
use common::{
    Npy, batch, fixture, npz,
    proto::{int, ints, model, node, value},
    threads,
};
use modelwatch_infer::{Model, layers};
use prost::Message;
use tract_onnx::pb::GraphProto;

const CNN: &str = "digits/cnn/cnn.onnx";
const LAST: &str = "digits_cnn_1/fc1_1/Relu:0";

#[test]
fn a_layer_is_given_beside_the_outputs() {
    let path = fixture(CNN);
    let plain = Model::load(&path).unwrap();
    let inner = "digits_cnn_1/pool_1/MaxPool2d:0".to_owned();
    let given = [LAST.to_owned(), "probs".to_owned(), inner.clone()];
    let layered_model = plain.with_layers(&given).unwrap();
    // Whole micro-batches, and what is left of one.
    let rows = batch(&[("x", &npz("digits/data/test.npz")["x"].head(75))]);
    let (plain, layered) = (plain.run(&rows, threads(2)).unwrap(), layered_model.run(&rows, threads(2)).unwrap());
    let names: Vec<_> = layered.schema_ref().fields().iter().map(|it| it.name().clone()).collect();
    let elements = layered_model.info().outputs[1..].iter().map(|it| it.shape[1..].iter().flatten().product::<usize>());
    assert_eq!(elements.collect::<Vec<_>>(), [32, 16 * 4 * 4], "how wide they are is known before they are run");
    assert_eq!(names, ["probs", LAST, &inner], "an output is not given twice");
    assert_eq!(plain.column(0), layered.column(0), "no computation is cut apart");
    let width = |it: usize| match layered.column(it).data_type() {
        arrow_schema::DataType::FixedSizeList(_, n) => *n,
        other => panic!("{other}"),
    };
    assert_eq!((width(1), width(2)), (32, 16 * 4 * 4));
}

#[test]
fn a_layer_inside_of_what_is_computed_at_once_changes_outputs_by_rounding_alone() {
    let path = fixture(CNN);
    let rows = batch(&[("x", &npz("digits/data/test.npz")["x"].head(75))]);
    let outputs = |model: Model| {
        let outputs = model.run(&rows, threads(1)).unwrap();
        let probs = outputs.column(0).as_fixed_size_list().values().clone();
        probs.as_primitive::<Float32Type>().values().to_vec()
    };
    let model = Model::load(&path).unwrap();
    let plain = outputs(model.clone());
    for layer in ["digits_cnn_1/fc1_1/MatMul:0", "digits_cnn_1/probs_1/MatMul:0"] {
        let layered = outputs(model.with_layers(&[layer.to_owned()]).unwrap());
        let greatest = plain.iter().zip(&layered).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(plain.len() == layered.len() && greatest < 1e-5, "{layer}: {greatest}");
    }
}

#[test]
fn layers_are_named_and_the_last_before_the_head_is_found() {
    let found = layers(&fixture(CNN)).unwrap();
    assert_eq!(found.penultimate.as_deref(), Some(LAST));
    assert!(found.tensors.contains(&LAST.to_owned()) && found.tensors.contains(&"probs".to_owned()));
    assert!(!found.tensors.iter().any(|it| it == "x"), "an input is no layer");
    let of = |it: &str| layers(&fixture(it)).unwrap().penultimate;
    assert_eq!(of("tabular/breast_cancer/mlp.onnx").as_deref(), Some("next_activations"));
    // A linear model reads its input as it is scaled, and trees read nothing of the kind.
    assert_eq!(of("tabular/breast_cancer/logreg.onnx").as_deref(), Some("variable"));
    assert_eq!(of("tabular/breast_cancer/gboost.onnx"), None);
    // Quantized anew for the rows of each run: what was quantized is the layer.
    assert_eq!(of("digits/cnn/mlp_int8_dynamic.onnx").as_deref(), Some("digits_mlp_1/fc2_1/Relu:0"));
}

#[test]
fn what_is_no_layer_is_told() {
    let refusal = |model: &str, layer: &str| {
        let found = Model::load(&fixture(model)).unwrap().with_layers(&[layer.to_owned()]);
        found.unwrap_err().to_string()
    };
    let unknown = refusal(CNN, "fc1");
    assert!(
        unknown.ends_with("none of its nodes gives a tensor `fc1`; `modelwatch model show` lists those that there are"),
        "{unknown}"
    );
    assert!(refusal(CNN, "x").contains("none of its nodes gives a tensor `x`"), "an input is no layer");
    let other = refusal("digits/cnn/cnn.tflite", "x");
    assert!(
        other.ends_with("layers are read of ONNX models alone, and its format is TFLite; export it to ONNX"),
        "{other}"
    );
}

/// What is one number for all rows of a batch, or mixes them, has in a batch of one the shape of a row's own.
#[test]
fn a_layer_that_is_of_the_batch_is_not_given_by_running_single_rows() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str, row: i64, last: &str| {
        let all = vec![ints("axes", &[0, 1]), int("keepdims", 1)];
        let nodes = vec![
            node("Relu", "", &["x"], "hidden", vec![]),
            node("ReduceMax", "", &["hidden"], "scale", all),
            node("Softmax", "", &["hidden"], "mixed", vec![int("axis", 0)]),
            node("Neg", "", &[last], "y", vec![]),
        ];
        let (input, output) = (vec![value("x", &[-1, row])], vec![value("y", &[-1, row])]);
        let graph = GraphProto { name: "g".into(), node: nodes, input, output, ..Default::default() };
        let path = folder.path().join(name);
        fs::write(&path, model(13, graph).encode_to_vec()).unwrap();
        Model::load(&path).unwrap()
    };
    let rows = batch(&[("x", &Npy { shape: vec![40, 3], values: (0..120).map(f64::from).collect() })]);
    let give = |model: &Model, layer: &str| {
        let it = model.with_layers(&[layer.to_owned()])?;
        it.prepare(&rows)?;
        Ok::<_, modelwatch_infer::InferError>(it)
    };
    for (name, row) in [("fixed.onnx", 3), ("dynamic.onnx", -1)] {
        let model = load(name, row, "hidden");
        let scale = give(&model, "scale").unwrap_err().to_string();
        assert!(scale.contains("output `scale` has shape [1, 1] for "), "{name}: {scale}");
        let mixed = give(&model, "mixed").unwrap_err().to_string();
        assert!(mixed.contains("rows influence each other"), "{name}: {mixed}");
        let hidden = give(&model, "hidden").unwrap();
        assert_eq!(hidden.run(&rows, threads(1)).unwrap().num_columns(), 2, "{name}");
    }
    // The outputs themselves come of single rows, and so does the layer.
    for (name, row) in [("fixed_alone.onnx", 3), ("dynamic_alone.onnx", -1)] {
        let given = give(&load(name, row, "mixed"), "hidden").unwrap();
        assert_eq!(given.run(&rows, threads(1)).unwrap().num_columns(), 2, "{name}");
    }
}
