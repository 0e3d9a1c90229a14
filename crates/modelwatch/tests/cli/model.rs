//! What is in a model file.

use std::{fs, path::Path};

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{Ended, Project, digits, fixtures};

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
        let expected = format!("error: cannot read `{path}`: not a regular file; check its path and who may read it\n");
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

#[test]
fn another_signature_is_shown_and_a_misspelled_one_is_told() {
    let shown = |signature| show("tensorflow/signatures.tflite", &["--signature", signature]);
    let ended = shown("squashed");
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_snapshot!(text(&ended), @"
    model        tensorflow/signatures.tflite
    format       tflite, 884 bytes
    signature    squashed (also there: bounded)
    inputs       x: f32 [?, 3]
    outputs      squashed_x: f32 [?, 3]
    parameters   0
    operators    TANH
    runs         yes
    ");
    let ended = shown("squahsed");
    assert_eq!(ended.code, 3);
    let wanted = "has no signature `squahsed`; its signatures are `bounded`, `squashed`; did you mean `squashed`?";
    assert!(ended.err.contains(wanted), "{}", ended.err);
    let ended = show("digits/cnn/cnn.onnx", &["--signature", "squashed"]);
    assert_eq!(ended.code, 3);
    assert!(ended.err.contains("its format, ONNX, has no signatures; leave `signature` out"), "{}", ended.err);
}

#[test]
fn a_run_is_of_the_signature_that_is_named() {
    let project = Project::new();
    let head = digits("e08").replace("cnn_series/e08.onnx', ", "cnn/saved_model', signature = 'serve', ");
    let verify = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\nrequire = { accuracy = '>= 0.9' }\n";
    let (code, record) = project.run(&format!("{head}{verify}"));
    assert_eq!(code, 0, "{:#}", record["checks"]);
    assert_eq!(record["models"][0]["signature"], "serve");
    let (code, record) = project.run(&format!("{}{verify}", head.replace("'serve'", "'srve'")));
    assert_eq!(code, 3, "{record:#}");
    let message = record["checks"][0]["message"].as_str().unwrap();
    assert!(message.contains("has no signature `srve`") && message.contains("did you mean `serve`?"), "{message}");
    let [model, data] = ["digits/cnn/saved_model", "digits/data/test.npz"].map(|it| fixtures().join(it));
    let probe = |signature| {
        let [model, data] = [&model, &data].map(|it| it.to_str().unwrap());
        let options = ["--with", "task=multiclass", "--column", "label=y", "--require", "accuracy=>= 0.9"];
        project.modelwatch(
            &[
                &[
                    "probe",
                    "metrics",
                    "--current",
                    data,
                    "--model",
                    model,
                    "--signature",
                    signature,
                    "--format",
                    "json",
                ][..],
                &options,
            ]
            .concat(),
        )
    };
    let ended = probe("serve");
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let record: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(record["models"][0]["signature"], "serve");
    assert_eq!(probe("srve").code, 3);
}
