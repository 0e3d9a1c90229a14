//! Which file of a checkpoint folder is the model, and which holds the weights.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use modelwatch_tensors::{Format, TensorFile, find_model, find_weights, is_tensor_file};

fn digits(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/digits")).join(path)
}

/// A folder with copies of fixtures under other names.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let res = tempfile::tempdir().unwrap();
    for (from, to) in files {
        let to = res.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(digits(from), to).unwrap();
    }
    res
}

fn relative(folder: &Path, found: Result<PathBuf, modelwatch_tensors::TensorError>) -> Result<String, String> {
    let found = found.map_err(|it| it.to_string())?;
    Ok(found.strip_prefix(folder).unwrap().to_string_lossy().into_owned())
}

/// A fixture and its name in the folder.
type Copy = (&'static str, &'static str);
/// The path that is found, or a part of the error.
type Want = Result<&'static str, &'static str>;

const ONNX: Copy = ("cnn/cnn.onnx", "model.onnx");
const SAFETENSORS: Copy = ("cnn/cnn.safetensors", "weights.safetensors");
const NPZ: Copy = ("cnn/cnn.npz", "weights.npz");
const INDEX: Copy = ("cnn/tf_checkpoint/ckpt.index", "ckpt.index");
const KERAS: Copy = ("cnn/cnn.keras", "model.keras");
const H5: Copy = ("cnn/cnn.weights.h5", "model.weights.h5");
const TORCH: Copy = ("../torch/cnn.pt", "model.pt");
const SAVED: Copy = ("cnn/saved_model/saved_model.pb", "saved/saved_model.pb");
const FROZEN: Copy = ("cnn/cnn_frozen.pb", "frozen.pb");

#[test]
fn model_is_found_or_the_error_says_what_to_do() {
    let cases: [(&[Copy], Option<&str>, Want); 12] = [
        (&[ONNX, SAFETENSORS, NPZ], None, Ok("model.onnx")),
        (&[SAVED], None, Ok("saved")),
        (&[FROZEN], None, Ok("frozen.pb")),
        (&[("cnn/cnn.tflite", "a.tflite")], None, Ok("a.tflite")),
        (&[ONNX, SAVED], Some("saved"), Ok("saved")),
        (&[ONNX, SAVED], Some("saved/saved_model.pb"), Ok("saved")),
        (&[ONNX, SAVED, FROZEN], None, Err("among `frozen.pb`, `model.onnx`, `saved` in")),
        (&[ONNX, FROZEN], None, Err("set `model = \"…\"`")),
        (&[SAFETENSORS], None, Err("cannot find a model in")),
        (&[ONNX], Some("absent.onnx"), Err("set `model` to a file of the checkpoint")),
        (&[ONNX], Some("../model.onnx"), Err("without `..`")),
        (&[ONNX, NPZ], Some("weights.npz"), Err("cannot find a model in")),
    ];
    for (files, wanted, want) in cases {
        let folder = folder(files);
        match (relative(folder.path(), find_model(folder.path(), wanted)), want) {
            (Ok(found), Ok(want)) => assert_eq!(found, want),
            (Err(error), Err(want)) => assert!(error.contains(want), "{error}"),
            (found, want) => panic!("{found:?} instead of {want:?}"),
        }
    }
}

#[test]
fn file_is_its_own_model() {
    assert_eq!(find_model(&digits("cnn/cnn.onnx"), None).unwrap(), digits("cnn/cnn.onnx"));
    assert_eq!(find_model(&digits("cnn/cnn.onnx"), Some("cnn.onnx")).unwrap(), digits("cnn/cnn.onnx"));
    assert_eq!(find_model(&digits("cnn/saved_model"), None).unwrap(), digits("cnn/saved_model"));
    assert!(find_model(&digits("cnn/cnn.onnx"), Some("other.onnx")).is_err());
    assert!(find_model(&digits("cnn/cnn.npz"), None).is_err());
    assert!(find_model(&digits("cnn/absent.onnx"), None).is_err());
}

#[test]
fn an_unpacked_nnef_model_is_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    let graph = "version 1.0;\ngraph g(x) -> (y) { x = external(shape = [1, 4]); y = tanh(x); }";
    fs::write(model.join("graph.nnef"), graph).unwrap();
    fs::write(model.join("w.dat"), [0; 8]).unwrap();
    for path in [folder.path(), &model, &model.join("graph.nnef")] {
        assert_eq!(find_model(path, None).unwrap(), model, "{}", path.display());
        let error = TensorFile::open(path).unwrap_err().to_string();
        assert!(error.contains("NNEF is only executed here"), "{error}");
    }
    assert_eq!(Format::detect(&model).unwrap(), Format::Nnef);
}

#[test]
fn weights_come_from_the_best_format() {
    let cases: [(&[Copy], Want); 11] = [
        (&[ONNX, SAFETENSORS, NPZ, INDEX], Ok("weights.safetensors")),
        (&[ONNX, NPZ, INDEX], Ok("weights.npz")),
        (&[ONNX, INDEX], Ok("ckpt.index")),
        (&[ONNX, INDEX, TORCH, H5, KERAS], Ok("model.keras")),
        (&[ONNX, INDEX, TORCH, H5], Ok("model.weights.h5")),
        (&[ONNX, INDEX, TORCH], Ok("model.pt")),
        (&[ONNX], Ok("model.onnx")),
        (&[SAVED], Ok("saved")),
        (&[NPZ, ("cnn/ref_outputs.npz", "other.npz")], Err("among `other.npz`, `weights.npz`")),
        (&[ONNX, FROZEN], Err("name the file itself")),
        (&[], Err("cannot find weights in")),
    ];
    for (files, want) in cases {
        let folder = folder(files);
        match (relative(folder.path(), find_weights(folder.path())), want) {
            (Ok(found), Ok(want)) => assert_eq!(found, want),
            (Err(error), Err(want)) => assert!(error.contains(want), "{error}"),
            (found, want) => panic!("{found:?} instead of {want:?}"),
        }
    }
}

#[test]
fn a_lone_array_is_weights_only_where_nothing_else_is() {
    let write = |files: &[Copy]| {
        let folder = folder(files);
        let header = format!("{:<117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }");
        let bytes = [b"\x93NUMPY\x01\x00v\x00", header.as_bytes(), &[0; 8]].concat();
        fs::write(folder.path().join("kernel.npy"), bytes).unwrap();
        folder
    };
    let lone = write(&[]);
    let file = TensorFile::open(lone.path()).unwrap();
    assert_eq!((file.format(), file.len()), (Format::Npy, 1));
    let beside = write(&[ONNX]);
    assert_eq!(relative(beside.path(), find_weights(beside.path())).unwrap(), "model.onnx");
}

#[test]
fn folder_opens_as_its_weights() {
    let folder = folder(&[ONNX, SAFETENSORS]);
    let file = TensorFile::open(folder.path()).unwrap();
    assert_eq!((file.format(), file.len()), (Format::Safetensors, 12));
    assert_eq!(file.path(), folder.path().join("weights.safetensors"));
}

#[test]
fn what_others_call_so_too_is_told_by_its_content() {
    let torch = |name: &str| fs::read(digits("../torch").join(name)).unwrap();
    for (name, bytes, is_found) in [
        ("last.ckpt", torch("cnn.pt"), true),
        ("last.ckpt", torch("legacy.pt"), true),
        ("last.ckpt", b"anything".to_vec(), false),
        ("model.bin", torch("cnn.pt"), true),
        ("weights.bin", b"\x80\x02anything".to_vec(), false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), &bytes).unwrap();
        let found = find_weights(folder.path());
        assert_eq!(found.is_ok_and(|it| it.ends_with(name)), is_found, "{name}");
        assert_eq!(is_tensor_file(&folder.path().join(name)), is_found, "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, is_read) in [
        // Whoever loads it does not look at its name.
        ("notes.dat", torch("hostile_system.pt"), true),
        ("optimizer.pt", b"cos\nsystem\n.".to_vec(), true),
        ("site.pth", b"/usr/lib/python3".to_vec(), false),
        ("._model.safetensors", b"\0\x05\x16\x07".to_vec(), false),
        ("python_model.pkl", b"\x80\x04N.".to_vec(), false),
        ("a.bin", b"\x80\x04N.".to_vec(), true),
        ("a.bin", b"\x80\x04numbers".to_vec(), false),
        ("tokens.index", b"of something else".to_vec(), false),
        ("fingerprint.pb", Vec::new(), false),
        ("config.json", b"{}".to_vec(), false),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(is_tensor_file(&path), is_read, "{name}");
    }
}
