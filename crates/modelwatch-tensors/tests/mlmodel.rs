//! MLflow models are found by their `MLmodel` file, and nothing pickled is opened.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use modelwatch_tensors::{MlModel, TensorFile, find_model, find_weights};

fn digits(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/digits")).join(path)
}

/// By hand, in the layout that MLflow 3.17 writes.
const ONNX: &str = include_str!("../../../tests/fixtures/mlflow/MLmodel");

fn folder(mlmodel: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let res = tempfile::tempdir().unwrap();
    fs::write(res.path().join("MLmodel"), mlmodel).unwrap();
    for (from, to) in files {
        let to = res.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(digits(from), to).unwrap();
    }
    res
}

fn flavor(text: &str) -> String {
    format!("flavors:\n  {text}\n")
}

#[test]
fn model_and_signature_are_what_the_file_says() {
    let folder = folder(ONNX, &[("cnn/cnn.onnx", "model.onnx"), ("cnn/cnn_frozen.pb", "other.pb")]);
    let model = MlModel::open(folder.path()).unwrap();
    assert_eq!(model.flavors, ["onnx", "python_function"]);
    assert_eq!(model.path.as_deref(), Some("model.onnx"));
    assert_eq!((model.mlflow_version.as_str(), model.run_id.as_str()), ("3.17.2", "7c2f"));
    assert_eq!(model.model_uuid, "3f0e2b6f3a5a4b6f8a1c9f7a5d9d0e11");
    let (x, a) = (&model.inputs[0], &model.inputs[1]);
    assert_eq!((x.name.as_deref(), x.dtype.as_str(), x.is_required), (Some("x"), "float32", true));
    assert_eq!(x.shape.as_deref(), Some(&[-1, 8, 8, 1][..]));
    assert_eq!((a.name.as_deref(), a.dtype.as_str(), a.is_required), (Some("a"), "double", false));
    assert_eq!((model.outputs.len(), &model.outputs[0].name), (1, &None));
    // Without the file, two models would be a question.
    assert_eq!(find_model(folder.path(), None).unwrap(), folder.path().join("model.onnx"));
    assert_eq!(find_model(folder.path(), Some("other.pb")).unwrap(), folder.path().join("other.pb"));
    assert_eq!(find_weights(folder.path()).unwrap(), folder.path().join("model.onnx"));
}

#[test]
fn folders_of_other_flavors_are_looked_into() {
    let found = |it: Result<PathBuf, _>, root: &Path| {
        it.map(|it: PathBuf| it.strip_prefix(root).unwrap().to_string_lossy().into_owned())
            .map_err(|it: modelwatch_tensors::TensorError| it.to_string())
    };
    let cases = [
        ("keras: {data: data}", "cnn/cnn.keras", "data/model.keras"),
        ("pytorch: {model_data: data}", "../torch/cnn.pt", "data/model.pth"),
        ("transformers: {model_binary: model}", "cnn/cnn.safetensors", "model/model.safetensors"),
        ("tensorflow: {data: data, model_type: keras}", "cnn/cnn.keras", "data/model.keras"),
    ];
    for (text, from, to) in cases {
        let folder = folder(&flavor(text), &[(from, to)]);
        assert_eq!(found(find_weights(folder.path()), folder.path()).unwrap(), to, "{text}");
        assert_eq!(TensorFile::open(folder.path()).unwrap().len() / 2, if from.ends_with("keras") { 7 } else { 6 });
    }
    let saved = folder(
        &flavor("tensorflow: {data: data}"),
        &[
            ("cnn/saved_model/saved_model.pb", "data/model/saved_model.pb"),
            ("cnn/saved_model/variables/variables.index", "data/model/variables/variables.index"),
            (
                "cnn/saved_model/variables/variables.data-00000-of-00001",
                "data/model/variables/variables.data-00000-of-00001",
            ),
        ],
    );
    assert_eq!(found(find_model(saved.path(), None), saved.path()).unwrap(), "data/model");
    assert_eq!(TensorFile::open(saved.path()).unwrap().len(), 24);
}

#[test]
fn pickled_models_are_never_opened() {
    let text = "flavors: {python_function: {data: model.pkl, python_model: python_model.pkl}, sklearn: {pickled_model: model.pkl}}";
    let folder = folder(text, &[]);
    fs::write(folder.path().join("python_model.pkl"), b"\x80\x04cos\nsystem\n.").unwrap();
    let model = MlModel::open(folder.path()).unwrap();
    assert_eq!((model.path, model.flavors.len()), (None, 2));
    let error = find_weights(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cannot find weights"), "{error}");
}

#[test]
fn hostile_files_are_refused() {
    let bomb = format!(
        "a: &a [x,x,x,x,x,x,x,x,x]\n{}flavors: {{onnx: {{data: *j}}}}\n",
        ('a'..'j')
            .map(|it| {
                let next = char::from(it as u8 + 1);
                format!("{next}: &{next} [*{it},*{it},*{it},*{it},*{it},*{it},*{it},*{it},*{it}]\n")
            })
            .collect::<String>()
    );
    let cases = [
        (flavor("onnx: {data: ../model.onnx}"), "names `../model.onnx`, which is not inside the folder"),
        (flavor("onnx: {data: /etc/passwd}"), "not inside the folder"),
        (flavor("onnx: {data: .}"), "not inside the folder"),
        (flavor("onnx: {data: link}"), "goes through a symbolic link"),
        (flavor("onnx: {data: absent}"), "which is not there"),
        (flavor("onnx: 3"), "cannot read the MLflow model"),
        ("flavors: {}\nsignature: {inputs: '[{}]'}".to_owned(), "the inputs of its signature are wrong"),
        ("mlflow_version: 1".to_owned(), "missing field"),
        ("[".repeat(100_000), "cannot read the MLflow model"),
        (bomb, "cannot read the MLflow model"),
        (format!("flavors: {{}}\nx: {}", "x".repeat(1 << 20)), "it has more than 1048576 bytes"),
    ];
    for (text, want) in cases {
        let folder = folder(&text, &[]);
        std::os::unix::fs::symlink("/etc", folder.path().join("link")).unwrap();
        let error = MlModel::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(want) && !error.contains('\n'), "{error}");
        let error = find_model(folder.path(), None).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}
