//! What came of the tests of a model when it was loaded is kept for the next time.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{
    assert_close, fixture, npz, numbers,
    proto::{float_tensor, ints, model, node, value},
    run,
};
use modelwatch_infer::{InferError, Model, TractRuntime};
use prost::Message;
use tract_onnx::pb::GraphProto;

/// A folder with what is kept, and a model beside it.
struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new(model: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(fixture(model), folder.path().join("model.onnx")).unwrap();
        Self { folder }
    }

    fn kept(&self) -> PathBuf {
        self.folder.path().join("kept")
    }

    fn load(&self) -> Result<Model, InferError> {
        Model::load_with(&TractRuntime::keeping_self_tests(self.kept()), &self.folder.path().join("model.onnx"))
    }

    /// The only file that is kept.
    fn file(&self) -> PathBuf {
        let files: Vec<_> = fs::read_dir(self.kept()).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

fn replace(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn a_form_that_was_found_to_differ_is_not_run_again() {
    let project = Project::new("digits/cnn/cnn.onnx");
    let rows = npz("digits/data/test.npz")["x"].head(40);
    let first = project.load().unwrap();
    assert_eq!(first.warnings(), Vec::<String>::new());
    let wanted = numbers(run(&first, &[&rows]).column(0));
    replace(&project.file(), r#""fallback":null"#, r#""fallback":{"node":["middle","Conv"]}"#);
    let second = project.load().unwrap();
    let warning =
        "the runtime's optimizer changes what the model answers at node `middle` (Conv); it is run as written";
    assert_eq!(second.warnings(), [warning]);
    assert_close("as written", &numbers(run(&second, &[&rows]).column(0)), &wanted);
    // What real data says does not change what is kept.
    assert!(fs::read_to_string(project.file()).unwrap().contains("middle"));
    assert_eq!(second.warnings(), [warning]);
}

#[test]
fn rows_that_were_found_to_influence_each_other_are_run_alone() {
    let project = Project::new("digits/mlp_series/e08.onnx");
    assert_eq!(project.load().unwrap().micro_batch(), 256);
    replace(&project.file(), r#""rows_are_independent":true"#, r#""rows_are_independent":false"#);
    assert_eq!(project.load().unwrap().micro_batch(), 1);
}

#[test]
fn what_is_kept_of_another_model_or_is_damaged_is_not_used() {
    let project = Project::new("digits/cnn/cnn.onnx");
    project.load().unwrap();
    replace(&project.file(), r#""fallback":null"#, r#""fallback":{"node":null}"#);
    assert_eq!(project.load().unwrap().warnings().len(), 1);
    let model = project.folder.path().join("model.onnx");
    let kept = fs::read(&model).unwrap();
    fs::copy(fixture("digits/cnn/cnn_keras_export.onnx"), &model).unwrap();
    assert_eq!(project.load().unwrap().warnings().len(), 0);
    fs::write(&model, kept).unwrap();
    for entry in fs::read_dir(project.kept()).unwrap() {
        fs::write(entry.unwrap().path(), "{").unwrap();
    }
    assert_eq!(project.load().unwrap().warnings().len(), 0);
}

#[test]
fn what_rows_have_to_do_with_each_other_is_asked_once() {
    let project = Project::new("digits/cnn/cnn.onnx");
    let kernel = float_tensor("kernel", &[1, 1, 1, 1], &[2.0]);
    let nodes = vec![
        node("ConvTranspose", "", &["x", "kernel"], "maps", vec![]),
        node("ReduceMean", "", &["maps"], "mean", vec![ints("axes", &[0])]),
        node("Sub", "", &["maps", "mean"], "y", vec![]),
    ];
    let graph = GraphProto {
        node: nodes,
        initializer: vec![kernel],
        input: vec![value("x", &[-1, 1, 2, 2])],
        output: vec![value("y", &[])],
        ..Default::default()
    };
    fs::write(project.folder.path().join("model.onnx"), model(13, graph).encode_to_vec()).unwrap();
    assert!(project.load().unwrap().rows_are_mixed());
    assert!(project.load().unwrap().rows_are_mixed());
    replace(&project.file(), r#""rows_are_independent":false"#, r#""rows_are_independent":true"#);
    assert!(!project.load().unwrap().rows_are_mixed());
}
