//! What is in a model file.

use std::{fs, path::Path};

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{Ended, Project, fixtures};

/// Runs the command without plugins, which it does not need.
fn call(project: &Project, arguments: &[&str]) -> Ended {
    project.call(Path::new(env!("CARGO_BIN_EXE_modelwatch")), Path::new("none"), arguments)
}

fn show(model: &str, options: &[&str]) -> Ended {
    let path = fixtures().join(model);
    call(&Project::new(), &[&["model", "show", path.to_str().unwrap()], options].concat())
}

/// What is printed, without the folder of the fixtures.
fn text(ended: &Ended) -> String {
    ended.out.replace(&format!("{}/", fixtures().display()), "")
}

#[test]
fn a_saved_model_shows_its_signature_and_fits_a_terminal() {
    let ended = show("digits/cnn/saved_model", &[]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_snapshot!(text(&ended), @"
    model        digits/cnn/saved_model
    format       tensorflow-saved-model, 159.4 KiB
    signature    serving_default (also there: serve)
    inputs       x: f32 [?, 8, 8, 1]
    outputs      output_0: f32 [?, 10]
    parameters   9 867
    operators    Const ×19, BiasAdd ×4, Mul ×3, Relu ×3, Reshape ×3, AddV2 ×2,
                 Conv2D ×2, MatMul ×2, Squeeze ×2, Identity, MaxPool, Pack,
                 Placeholder, Rsqrt, Shape, Softmax, StridedSlice, Sub
    runs         yes
    ");
}

#[test]
fn a_model_that_cannot_be_run_shows_which_nodes_and_why() {
    let project = Project::new();
    let bytes = fs::read(fixtures().join("digits/cnn/cnn_frozen_b1.pb")).unwrap();
    let operator = b"\x12\x07Softmax";
    let at = bytes.windows(operator.len()).position(|it| it == operator).unwrap();
    let unheard = [&bytes[..at], b"\x12\x07Unheard", &bytes[at + operator.len()..]].concat();
    fs::write(project.path().join("model.pb"), unheard).unwrap();
    let ended = call(&project, &["model", "show", "model.pb"]);
    assert_eq!(ended.code, 3, "{}", ended.err);
    assert_snapshot!(ended.out, @"
    model        model.pb
    format       tensorflow-frozen-graph, 45.9 KiB
    inputs       x: f32 [1, 8, 8, 1]
    outputs      Identity: f32 [?]
    parameters   9 867
    operators    Const ×16, Identity ×13, BiasAdd ×4, Mul ×3, Relu ×3, Reshape ×3,
                 AddV2 ×2, Conv2D ×2, MatMul ×2, Squeeze ×2, MaxPool, NoOp,
                 Placeholder, Rsqrt, Sub, Unheard
    runs         no: 1 node cannot be run correctly
      Unheard
        in digits_cnn_1/probs_1/Softmax
    ");
}

#[test]
fn what_is_no_file_is_refused_as_that() {
    let project = Project::new();
    project.pipe("model.onnx");
    for path in ["model.onnx", "/dev/null"] {
        let ended = call(&project, &["model", "show", path]);
        assert_eq!(ended.code, 2, "{}", ended.err);
        let expected =
            format!("error: cannot read `{path}`: not a regular file; check that it is a file that may be read\n");
        assert_eq!(ended.err, expected);
    }
}

#[test]
fn everything_is_there_as_json() {
    let ended = show("digits/cnn/cnn.tflite", &["--format", "json"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let shown: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(shown["format"], "tflite");
    assert_eq!(shown["signature"], "serving_default");
    assert_eq!(shown["inputs"][0]["name"], "x");
    assert_eq!(shown["inputs"][0]["dtype"], "f32");
    assert_eq!(shown["inputs"][0]["shape"], serde_json::json!([null, 8, 8, 1]));
    assert_eq!(shown["operators"]["CONV_2D"], 2);
    assert_eq!(shown["bytes"], 43_548);
    assert_eq!(shown["refusal"], Value::Null);
}

#[test]
fn what_is_no_model_is_a_mistake_in_the_command() {
    for path in ["digits/data/test.npz", "nothing.onnx"] {
        let ended = show(path, &[]);
        assert_eq!((ended.code, &*ended.out), (2, ""), "{}", ended.err);
        assert!(ended.err.contains(path), "{}", ended.err);
    }
}
