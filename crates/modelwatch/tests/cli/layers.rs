//! Layers of a model, which probes ask the run for.

use std::fs;

use serde_json::Value;

use crate::support::{Ended, Project, fixtures};

const LAST: &str = "digits_cnn_1/fc1_1/Relu:0";

/// A pipeline that compares digits with others of their kind in a layer of the network, at which `from` is.
fn pipeline(from: &str, layer: &str, more: &str) -> String {
    let fixtures = fixtures();
    let fixtures = fixtures.display();
    format!(
        "name = 'test'\n\
         checkpoint = {{ {from} }}\n\
         [data.current]\npath = '{fixtures}/digits/data/test.npz'\n\
         [data.reference]\npath = '{fixtures}/digits/data/train_head60.npz'\n\
         [data.columns]\nlabel = 'y'\ninputs = {{ x = 'x' }}\n\
         [[analyze]]\nuses = 'multivariate'\nwith = {{ layer = '{layer}' }}\n{more}"
    )
}

fn imported() -> String {
    format!("import = '{}/digits/cnn/cnn.onnx', name = 'digits'", fixtures().display())
}

fn check(pipeline: &str) -> Ended {
    let project = Project::new();
    project.write("pipeline.toml", pipeline);
    project.modelwatch(&["check", "pipeline.toml"])
}

#[test]
fn a_layer_that_is_not_there_is_told_before_the_run_with_the_one_that_was_meant() {
    let ended = check(&pipeline(&imported(), "digits_cnn_1/fc1_1/Rellu:0", ""));
    assert_eq!(ended.code, 2, "{}", ended.err);
    for it in ["E0210", "no layer `digits_cnn_1/fc1_1/Rellu:0`", "did you mean `digits_cnn_1/fc1_1/Relu:0`?"] {
        assert!(ended.err.contains(it), "{}", ended.err);
    }
    let other = check(&pipeline(&imported(), "embedding", ""));
    assert!(other.err.contains("its layers are digits_cnn_1/conv1_1/BiasAdd"), "{}", other.err);
    let tflite = check(&pipeline(&imported().replace(".onnx", ".tflite"), "penultimate", ""));
    assert!(tflite.code == 2 && tflite.err.contains("layers are read of ONNX models alone"), "{}", tflite.err);
    // It is there, and has no row for each row.
    let shape = check(&pipeline(&imported(), "Shape__867:0", ""));
    assert!(shape.code == 2 && shape.err.contains("has shape [4] for "), "{}", shape.err);
    assert_eq!(check(&pipeline(&imported(), "penultimate", "")).code, 0);
}

#[test]
fn a_probe_whose_layer_is_not_there_has_no_say_and_the_others_have() {
    let others = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\nrequire = { accuracy = '>= 0.5' }\n";
    let (code, record) = Project::new().run(&pipeline(&imported(), "fc9", others));
    assert_eq!((code, &record["verdict"]), (3, &"error".into()), "{:#}", record["checks"]);
    let of = |probe: &str| -> Vec<&Value> {
        record["checks"].as_array().unwrap().iter().filter(|it| it["probe"] == probe).collect()
    };
    let why = of("multivariate")[0]["message"].as_str().unwrap();
    assert!(
        why.contains("the layer `fc9` of the candidate model cannot be given: the model has no layer `fc9`"),
        "{why}"
    );
    assert!(of("metrics").iter().all(|it| it["status"] == "pass"), "{:#}", record["checks"]);
}

/// How many places of a layer are above zero, the rows say: the run alone meets it.
#[test]
fn a_layer_of_as_many_rows_as_the_values_say_takes_no_other_with_it() {
    let project = Project::new();
    let model = fs::read(fixtures().join("digits/cnn/cnn.onnx")).unwrap();
    // Messages that follow each other are one.
    let to_boolean = [&field(1, b"to")[..], b"\x18\x09\xa0\x01\x02"].concat();
    let nodes = [
        [node("Cast", LAST, "positive"), field(5, &to_boolean)].concat(),
        node("NonZero", "positive", "places"),
        node("Transpose", "places", "picked"),
    ];
    let further = nodes.into_iter().flat_map(|it| field(7, &field(1, &it)));
    fs::write(project.path().join("model.onnx"), model.into_iter().chain(further).collect::<Vec<_>>()).unwrap();
    let from = "import = 'model.onnx', name = 'digits'";
    let other = format!(
        "[[analyze]]\nuses = 'multivariate'\nid = 'other'\nwith = {{ layer = '{LAST}' }}\n\
         require = {{ 'p_value[question=layer]' = '>= 0' }}\n"
    );
    let (code, record) = project.run(&pipeline(from, "picked", &other));
    assert_eq!((code, &record["verdict"]), (3, &"error".into()), "{:#}", record["checks"]);
    let check = |probe: &str| record["checks"].as_array().unwrap().iter().find(|it| it["probe"] == probe).unwrap();
    let why = check("multivariate")["message"].as_str().unwrap();
    assert!(why.starts_with("the layer `picked` of the candidate model cannot be given: "), "{why}");
    assert_eq!(check("other")["status"], "pass", "{:#}", record["checks"]);
}

/// Returns a node of an ONNX model.
fn node(operator: &str, input: &str, output: &str) -> Vec<u8> {
    [field(1, input.as_bytes()), field(2, output.as_bytes()), field(4, operator.as_bytes())].concat()
}

/// Returns a field of a protocol buffer, of fewer than 128 bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

#[test]
fn the_outputs_of_other_probes_are_the_same_beside_a_layer() {
    let metrics = |record: &Value| -> Vec<Value> {
        let all = record["metrics"].as_array().unwrap().iter();
        all.filter(|it| it["probe"] == "metrics").cloned().collect()
    };
    let others = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\nrequire = { accuracy = '>= 0.5' }\n";
    let with = Project::new().run(&pipeline(&imported(), "penultimate", others)).1;
    let without =
        Project::new().run(&pipeline(&imported(), "penultimate", others).replace("layer = 'penultimate'", "")).1;
    assert!(!metrics(&with).is_empty());
    assert_eq!(metrics(&with), metrics(&without));
    let questions = |record: &Value| {
        let all = record["metrics"].as_array().unwrap().iter();
        all.filter(|it| it["name"] == "p_value" && it["labels"]["question"] == "layer").count()
    };
    assert_eq!((questions(&with), questions(&without)), (1, 0));
}

#[test]
fn a_model_shows_its_layers() {
    let model = fixtures().join("digits/cnn/cnn.onnx");
    let ended = Project::new().modelwatch(&["model", "show", model.to_str().unwrap()]);
    let lines: Vec<_> = ended.out.lines().collect();
    assert!(lines.contains(&"layers       (10 before)"), "{}", ended.out);
    assert!(lines.contains(&"             digits_cnn_1/fc1_1/Relu:0"), "{}", ended.out);
    assert!(lines.contains(&"penultimate  digits_cnn_1/fc1_1/Relu:0"), "{}", ended.out);
}

#[test]
fn a_profile_has_no_layers() {
    let project = Project::new();
    let data = fixtures().join("digits/data/train_head60.npz");
    let ended = project.modelwatch(&["profile", data.to_str().unwrap(), "-o", "train.mwp", "--quiet"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let text = pipeline(&imported(), "penultimate", "").replace(data.to_str().unwrap(), "train.mwp");
    project.write("pipeline.toml", &text);
    let ended = project.modelwatch(&["check", "pipeline.toml"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    for it in ["E0208", "`multivariate` needs the rows of the reference", "it runs the model on them"] {
        assert!(ended.err.contains(it), "{}", ended.err);
    }
}
