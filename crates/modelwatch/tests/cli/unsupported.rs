//! Models that cannot be run, in each format.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Project, check, digits, fixtures};

/// Copies a model of the fixtures, with some bytes in place of others.
fn changed(from: &str, to: &Path, [before, after]: [&[u8]; 2]) {
    let mut bytes = fs::read(fixtures().join(from)).unwrap();
    let found: Vec<_> = (0..bytes.len() - before.len()).filter(|&at| bytes[at..].starts_with(before)).collect();
    assert!(!found.is_empty(), "{from}");
    found.iter().for_each(|&at| bytes[at..at + after.len()].copy_from_slice(after));
    fs::write(to, bytes).unwrap();
}

type Make = fn(&Path) -> PathBuf;

fn onnx(dir: &Path) -> PathBuf {
    let to = dir.join("model.onnx");
    changed("digits/cnn_series/e08.onnx", &to, [b"\x22\x07Softmax", b"\x22\x07Softmix"]);
    to
}

fn frozen(dir: &Path) -> PathBuf {
    let to = dir.join("model.pb");
    changed("digits/cnn/cnn_frozen.pb", &to, [b"\x12\x07Softmax", b"\x12\x07Softmix"]);
    to
}

fn saved_model(dir: &Path) -> PathBuf {
    let to = dir.join("saved");
    fs::create_dir_all(to.join("variables")).unwrap();
    let from = fixtures().join("digits/cnn/saved_model");
    for entry in fs::read_dir(from.join("variables")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join("variables").join(entry.file_name())).unwrap();
    }
    changed("digits/cnn/saved_model/saved_model.pb", &to.join("saved_model.pb"), [b"\x12\x04Pack", b"\x12\x04Puck"]);
    to
}

fn tflite(dir: &Path) -> PathBuf {
    let to = dir.join("model.tflite");
    // The code of SOFTMAX, as it is written and as it was in earlier versions, in place of which that of WHERE comes.
    changed("digits/cnn/cnn.tflite", &to, [b"\x19\0\0\0\0\0\0\x19", b"\x6d\0\0\0\0\0\0\x6d"]);
    to
}

fn nnef(dir: &Path) -> PathBuf {
    let graph = "version 1.0;\n\
                 graph g(x) -> (y) { x = external<scalar>(shape = [1, 64]); z = mystery(x); y = relu(z); }";
    fs::write(dir.join("graph.nnef"), graph).unwrap();
    let to = dir.join("model.nnef.tgz");
    let tar = Command::new("tar").arg("-czf").arg(&to).arg("-C").arg(dir).arg("graph.nnef").status().unwrap();
    assert!(tar.success());
    to
}

#[test]
fn a_model_that_cannot_be_run_is_an_error_that_names_operator_and_node() {
    let formats: [(Make, &str); 5] = [
        (onnx, "Softmix (node `digits_cnn_1/probs_1/Softmax`)"),
        (frozen, "Softmix (node `digits_cnn_1/probs_1/Softmax`)"),
        (
            saved_model,
            "Puck (node `StatefulPartitionedCall_1/StatefulPartitionedCall/digits_cnn_1/flat_1/Reshape/shape`)",
        ),
        (tflite, "WHERE (node `StatefulPartitionedCall_1:0`)"),
        (nnef, "mystery (node `z`)"),
    ];
    let sound = fixtures().join("digits/cnn_series/e08.onnx");
    for (make, named) in formats {
        let project = Project::new();
        let model = make(project.path());
        let pipeline = digits("e08").replace(sound.to_str().unwrap(), model.to_str().unwrap());
        let metrics = "[[verify]]\nuses = 'metrics'\nwith = { task = 'multiclass' }\n";
        let (code, record) = project.run(&format!("{pipeline}{metrics}"));
        assert_eq!(code, 3, "{}: {record:#}", model.display());
        let message = check(&record, "metrics", "error")["message"].as_str().unwrap().to_owned();
        assert!(message.contains(named) && !message.contains('\n'), "{}: {message}", model.display());
    }
}
