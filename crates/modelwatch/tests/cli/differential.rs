//! The holes through which other tools let a wrong model pass: `differential` fails closed in each.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{Project, check, fixtures};

/// A pipeline that holds a model against another one, on data that both take as `input`.
fn pipeline(candidate: &Path, baseline: &Path, data: &str, columns: &str, with: &str) -> String {
    let fixtures = fixtures();
    let (fixtures, candidate, baseline) = (fixtures.display(), candidate.display(), baseline.display());
    format!(
        "name = 'test'\ncheckpoint = {{ import = '{candidate}', name = 'm' }}\nbaseline = {{ import = '{baseline}' }}\n\
         [data.current]\npath = '{fixtures}/{data}'\n[data.columns]\n{columns}\n\
         [[verify]]\nuses = 'differential'\nwith = {{ {with} }}\n"
    )
}

fn digits(candidate: &Path, baseline: &Path, with: &str) -> String {
    pipeline(candidate, baseline, "digits/data/test.npz", "label = 'y'\ninputs = { x = 'x' }", with)
}

fn codes(record: &Value) -> Vec<&str> {
    let errors = record["findings"].as_array().unwrap().iter().filter(|it| it["severity"] == "error");
    errors.map(|it| it["code"].as_str().unwrap()).collect()
}

/// Writes a fixture with every occurrence of some bytes, which are there, changed to as many others.
fn patched(project: &Project, fixture: &str, old: &[u8], new: &[u8]) -> PathBuf {
    assert_eq!(old.len(), new.len());
    let mut model = fs::read(fixtures().join(fixture)).unwrap();
    let places: Vec<_> = (0..=model.len() - old.len()).filter(|&it| model[it..].starts_with(old)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|it| model[it..it + old.len()].copy_from_slice(new));
    let path = project.path().join("patched.onnx");
    fs::write(&path, model).unwrap();
    path
}

#[test]
fn inputs_of_other_names_are_named_for_the_baseline() {
    let project = Project::new();
    let original = fixtures().join("digits/cnn/cnn.onnx");
    // The field, the length, the name.
    let renamed = patched(&project, "digits/cnn/cnn.onnx", b"\x0a\x01x", b"\x0a\x01z");
    let run = |candidate: &Path, baseline: &Path, inputs: &str| {
        let columns = format!("label = 'y'\n{inputs}");
        project.run(&pipeline(candidate, baseline, "digits/data/test.npz", &columns, ""))
    };
    for (candidate, baseline, inputs) in [
        (&original, &renamed, "inputs = { x = 'x' }\nbaseline_inputs = { z = 'x' }"),
        (&renamed, &original, "inputs = { z = ['x'] }\nbaseline_inputs = { x = ['x'] }"),
        // What is named alike holds for both.
        (&original, &original, "inputs = { x = 'x' }"),
    ] {
        let (code, record) = run(candidate, baseline, inputs);
        assert_eq!((code, codes(&record)), (0, vec![]), "{inputs} {record:#}");
        check(&record, "mismatch_share", "pass");
    }
    // An input that the baseline does not have is told of where it is named, and nothing is compared.
    let (code, record) = run(&original, &renamed, "inputs = { x = 'x' }\nbaseline_inputs = { y = 'x' }");
    assert_ne!(code, 0, "{record:#}");
    let why = record.to_string();
    assert!(why.contains("has no input `y`"), "{record:#}");
}

/// Polygraphy matches a renamed output by its position.
#[test]
fn a_renamed_output_does_not_pass_by_its_position() {
    let project = Project::new();
    let original = fixtures().join("digits/cnn/cnn.onnx");
    // Strings stand behind their length.
    let renamed = patched(&project, "digits/cnn/cnn.onnx", b"\x05probs", b"\x05score");
    let (code, record) = project.run(&digits(&renamed, &original, ""));
    assert_eq!((code, codes(&record)), (1, vec!["MW-N005", "MW-N005"]), "{record:#}");
    let message = check(&record, "unmatched_outputs", "fail")["message"].as_str().unwrap();
    assert_eq!(message, "the candidate lacks `probs`, the baseline `score`");
    // It is the same one only where somebody says so.
    let (code, record) = project.run(&digits(&renamed, &original, "outputs = { score = 'probs' }"));
    assert_eq!((code, codes(&record)), (0, vec![]), "{record:#}");
    check(&record, "mismatch_share", "pass");
    // And a name that is not there is no reason to pass either.
    let (code, record) = project.run(&digits(&renamed, &original, "outputs = { scores = 'probs' }"));
    assert_eq!(code, 3, "{record:#}");
    let message = check(&record, "differential", "error")["message"].as_str().unwrap();
    assert!(message.contains("the candidate has no output `scores`, only `score`"), "{message}");
}

/// Polygraphy skips an output that the second runner lacks, and never looks at one that it has more.
#[test]
fn an_output_in_one_model_alone_does_not_pass() {
    let project = Project::new();
    let model = "tabular/breast_cancer/logreg.onnx";
    // What was the field of an output is one that no reader knows.
    let without_label = patched(&project, model, b"\x62\x11\x0a\x05label", b"\x22\x11\x0a\x05label");
    let original = fixtures().join(model);
    for (candidate, baseline, words) in [
        (&without_label, &original, "the candidate lacks `label`"),
        (&original, &without_label, "the baseline lacks `label`"),
    ] {
        let columns = "label = 'label'\ninputs = { X = ['mean_*', '*_error', 'worst_*'] }";
        let (code, record) = project.run(&pipeline(candidate, baseline, "tabular/breast_cancer/test.csv", columns, ""));
        assert_eq!((code, codes(&record)), (1, vec!["MW-N005"]), "{record:#}");
        assert_eq!(check(&record, "unmatched_outputs", "fail")["message"], words);
        // What both have agrees.
        check(&record, "mismatch_share", "pass");
    }
}

/// Two models that answer NaN do not differ, and neither is right.
#[test]
fn nan_in_both_models_does_not_pass() {
    let project = Project::new();
    let diverged = fixtures().join("digits/cnn_series/bad_diverged.onnx");
    let (code, record) = project.run(&digits(&diverged, &diverged, ""));
    assert_eq!((code, codes(&record)), (1, vec!["MW-N006"]), "{record:#}");
    check(&record, "nan_in_both", "fail");
    assert_eq!(project.run(&digits(&diverged, &diverged, "equal_nan = true")).0, 0);
}
