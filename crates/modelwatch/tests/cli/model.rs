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
    format       tensorflow-saved-model, 163 kB
    signature    serving_default (also there: serve)
    inputs       x: f32 [?, 8, 8, 1]
    outputs      output_0: f32 [?, 10]
    parameters   9,867
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
    format       tensorflow-frozen-graph, 47 kB
    inputs       x: f32 [1, 8, 8, 1]
    outputs      Identity: f32 [?]
    parameters   9,867
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
    format       tflite, 884 B
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

/// Three scores of a row, and the class with the greatest one, which is below 0 in half of the rows.
const SCORES: &str =
    "a,b,c,y\n-3,-1,-2,1\n-3,-2,-1,2\n-2,-0.5,-1,1\n-1,-2,-0.25,2\n1,0.5,-1,0\n-1,2,1,1\n0.5,-1,3,2\n2,1,0.5,0\n";

/// A pipeline that measures the signature of a model that has `bounded`, which is 0 below 0, and `squashed`, which keeps the order.
fn measured(signature: &str) -> String {
    format!(
        "name = 'x'\n[checkpoint]\nimport = '{}'\nname = 'x'\n{signature}\n[data.current]\npath = 'scores.csv'\n\
         [data.columns]\nlabel = 'y'\ninputs = {{ x = ['a', 'b', 'c'] }}\n\
         [[verify]]\nuses = 'metrics'\nwith = {{ task = 'multiclass', scores = 'logits' }}\nrequire = {{ accuracy = '>= 0.9' }}\n",
        fixtures().join("tensorflow/signatures.tflite").display()
    )
}

#[test]
fn a_run_is_of_the_signature_that_is_named() {
    let project = Project::new();
    project.write("scores.csv", SCORES);
    for (wanted, name, accuracy) in
        [("", "bounded", 0.5), ("signature = 'bounded'", "bounded", 0.5), ("signature = 'squashed'", "squashed", 1.0)]
    {
        let (code, record) = project.run(&measured(wanted));
        assert_eq!(code, i32::from(accuracy < 0.9), "{wanted}: {record:#}");
        assert_eq!(record["models"][0]["signature"], name);
        assert_eq!(record["checks"][0]["observed"], accuracy, "{wanted}: {:#}", record["checks"]);
    }
    let (code, record) = project.run(&measured("signature = 'squahsed'"));
    assert_eq!(code, 3, "{record:#}");
    let message = record["checks"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("has no signature `squahsed`") && message.contains("did you mean `squashed`?"),
        "{message}"
    );
}

#[test]
fn a_signature_that_is_not_there_is_told_where_it_is_named() {
    let project = Project::new();
    project.write("scores.csv", SCORES);
    let folder = fixtures().display().to_string();
    let checked = |pipeline: &str| {
        project.write("pipeline.toml", pipeline);
        let ended = project.modelwatch(&["check", "pipeline.toml"]);
        assert_eq!(ended.code, 2, "{}", ended.err);
        let end = ended.err.find("\n\n").unwrap_or(ended.err.len());
        ended.err[..end].replace(&folder, "…")
    };
    assert_snapshot!(checked(&measured("signature = 'squahsed'")), @r"
    error[E0212]: `…/tensorflow/signatures.tflite` has no signature `squahsed`
     --> pipeline.toml:5:13
      |
    5 | signature = 'squahsed'
      |             ^^^^^^^^^^
      |
      = help: did you mean `squashed`?
    ");
    assert_snapshot!(checked(&measured("signature = 'embed'")), @r"
    error[E0212]: `…/tensorflow/signatures.tflite` has no signature `embed`
     --> pipeline.toml:5:13
      |
    5 | signature = 'embed'
      |             ^^^^^^^
      |
      = help: name one of them, `bounded`, `squashed`
    ");
    let onnx = measured("signature = 'serve'").replace("tensorflow/signatures.tflite", "digits/cnn/cnn.onnx");
    assert_snapshot!(checked(&onnx), @r"
    error[E0212]: cannot choose what to run of `…/digits/cnn/cnn.onnx`: signature `serve` is wanted, and its format, ONNX, has no signatures
     --> pipeline.toml:5:13
      |
    5 | signature = 'serve'
      |             ^^^^^^^
      |
      = help: leave `signature` out
    ");
}

#[test]
fn each_model_of_a_probe_has_its_own_signature() {
    let project = Project::new();
    let probe = |model: &str, options: &[&str]| {
        let [model, data] = [model, "digits/data/test.npz"].map(|it| fixtures().join(it).display().to_string());
        let of_all = ["probe", "metrics", "--current", &data, "--model", &model, "--format", "json"];
        let with = ["--with", "task=multiclass", "--column", "label=y", "--require", "accuracy=>= 0.9"];
        project.modelwatch(&[&of_all[..], &with, options].concat())
    };
    let [saved, onnx] = ["saved_model", "cnn.onnx"].map(|it| fixtures().join("digits/cnn").join(it));
    let [saved, onnx] = [&saved, &onnx].map(|it| it.to_str().unwrap());
    let (model, of_model) = ("digits/cnn/saved_model", ["--signature", "serve"]);
    let signatures = |ended: Ended| {
        assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
        let record: Value = serde_json::from_str(&ended.out).unwrap();
        [0, 1].map(|it| record["models"][it]["signature"].as_str().map(str::to_owned))
    };
    let of_baseline = ["--baseline-signature", "serve"];
    for (baseline, options, wanted) in [
        (onnx, &of_model[..], [Some("serve"), None]),
        (saved, &of_model, [Some("serve"), Some("serving_default")]),
        (saved, &of_baseline, [Some("serving_default"), Some("serve")]),
    ] {
        let ended = probe(model, &[&["--baseline", baseline], options].concat());
        assert_eq!(signatures(ended), wanted.map(|it| it.map(str::to_owned)), "{baseline}, {options:?}");
    }
    assert_eq!(probe(model, &["--signature", "srve"]).code, 3);
    assert_eq!(probe(model, &of_baseline).code, 2);
}

/// Returns a field of a protobuf message that has a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

#[test]
fn a_version_of_onnx_is_nothing_to_warn_of() {
    let dims = [field(1, &field(2, b"n")), field(1, &[1 << 3, 2])].concat();
    let tensor = field(2, &field(1, &[&[1 << 3, 1][..], &field(2, &dims)].concat()));
    let value = |name: &[u8]| [field(1, name), tensor.clone()].concat();
    let node = [field(1, b"x"), field(2, b"y"), field(4, b"Relu")].concat();
    let graph = [field(1, &node), field(2, b"g"), field(11, &value(b"x")), field(12, &value(b"y"))].concat();
    let project = Project::new();
    for version in [8, 20] {
        let bytes = [&[1 << 3, 8][..], &field(7, &graph), &field(8, &[2 << 3, version])].concat();
        fs::write(project.path().join("model.onnx"), bytes).unwrap();
        let ended = call(&project, &["model", "show", "model.onnx"]);
        assert_eq!((ended.code, &*ended.err), (0, ""), "{version}");
    }
}
