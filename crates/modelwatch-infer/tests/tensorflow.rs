//! TensorFlow models as they are exported.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{Npy, assert_close, batch, fixture, npz, numbers, run, threads};
use modelwatch_infer::{ElementType, InferError, Model, ModelFormat, TractRuntime, inspect};
use tract_tflite::tflite::{self, SignatureDef, root_as_model};

const SAVED_MODEL: &str = "digits/cnn/saved_model";
const SHARD: &str = "variables/variables.data-00000-of-00001";

#[test]
fn one_network_in_every_exported_form_gives_the_same_outputs_for_any_batch() {
    let test = &npz("digits/data/test.npz")["x"];
    let reference = &npz("digits/cnn/ref_outputs.npz")["tf"];
    for form in ["saved_model", "cnn.tflite", "cnn_frozen.pb", "cnn_frozen_b1.pb", "cnn.onnx", "cnn_keras_export.onnx"]
    {
        let model = Model::load(&fixture(&format!("digits/cnn/{form}"))).unwrap_or_else(|it| panic!("{it}"));
        for n in [1, 3, 32] {
            let outputs = run(&model, &[&test.head(n)]);
            let furthest = |(a, b): (f64, f64)| (a - b).abs();
            let pairs = numbers(outputs.column(0)).into_iter().zip(reference.head(n).values);
            let furthest = pairs.map(furthest).fold(0.0, f64::max);
            assert_eq!(outputs.num_rows(), n, "{form}");
            assert!(furthest < 1e-5, "{form} is off by {furthest} for {n} rows");
        }
    }
}

#[test]
fn inputs_and_outputs_have_the_names_of_the_signature() {
    for (form, format) in [("saved_model", ModelFormat::TfSavedModel), ("cnn.tflite", ModelFormat::TfLite)] {
        let model = Model::load(&fixture(&format!("digits/cnn/{form}"))).unwrap();
        let info = model.info();
        assert_eq!(info.format, format);
        assert_eq!((&*info.inputs[0].name, info.inputs[0].dtype), ("x", ElementType::F32), "{form}");
        assert_eq!(info.inputs[0].shape, [None, Some(8), Some(8), Some(1)], "{form}");
        assert_eq!((&*info.outputs[0].name, info.outputs[0].dtype), ("output_0", ElementType::F32), "{form}");
        assert_eq!(info.outputs[0].shape, [None, Some(10)], "{form}");
        assert_eq!(info.signature.as_deref(), Some("serving_default"), "{form}");
        assert!((9_700..10_200).contains(&info.n_parameters), "{form}: {}", info.n_parameters);
    }
    let model = Model::load(&fixture("digits/cnn/saved_model/saved_model.pb")).unwrap();
    assert_eq!(model.info().signatures, ["serve", "serving_default"]);
    assert!(!model.info().operators.contains_key("ReadVariableOp"), "{:?}", model.info().operators);
}

/// It has a graph for each of `bounded` and `squashed`.
const TWO: &str = "tensorflow/signatures.tflite";

fn load_signature(path: &str, signature: &str) -> Result<Model, InferError> {
    let runtime = TractRuntime::default().of_signature(Some(signature.to_owned()));
    Model::load_with(&runtime, &fixture(path))
}

#[test]
fn the_signature_that_is_wanted_is_run() {
    let x = Npy { shape: vec![2, 3], values: vec![-1.0, 0.5, 2.0, -0.25, 3.0, 0.0] };
    let squashed: Vec<f64> = x.values.iter().map(|it| it.tanh()).collect();
    let bounded: Vec<f64> = x.values.iter().map(|it| it.max(0.0)).collect();
    for (model, name, wanted) in [
        (Model::load(&fixture(TWO)), "bounded", &bounded),
        (load_signature(TWO, "bounded"), "bounded", &bounded),
        (load_signature(TWO, "squashed"), "squashed", &squashed),
    ] {
        let model = model.unwrap();
        let info = model.info();
        assert_eq!((info.signature.as_deref(), &*info.signatures.join(", ")), (Some(name), "bounded, squashed"));
        assert_eq!((&*info.inputs[0].name, &*info.outputs[0].name), ("x", &*format!("{name}_x")));
        assert_close(name, &numbers(run(&model, &[&x]).column(0)), wanted);
        let found = inspect(&fixture(TWO), Some(name)).unwrap();
        assert!(found.refusal.is_none() && found.info.signature.as_deref() == Some(name));
    }
    let model = load_signature("digits/cnn/saved_model", "serve").unwrap();
    assert_eq!(model.info().signature.as_deref(), Some("serve"));
}

/// Returns the place that the offset at a place leads to.
fn target(bytes: &[u8], at: usize) -> usize {
    at + u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn point(bytes: &mut [u8], at: usize, target: usize) {
    let offset = u32::try_from(target - at).unwrap();
    bytes[at..at + 4].copy_from_slice(&offset.to_le_bytes());
}

/// Returns which signature of the file is run where none is wanted.
fn chosen(bytes: &[u8]) -> Option<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let info = Model::load(file.path()).unwrap().info().clone();
    let operator = if info.signature.as_deref() == Some("bounded") { "RELU" } else { "TANH" };
    assert!(info.operators.contains_key(operator), "{info:?}");
    info.signature
}

/// Changes the signatures of the fixture: `bounded` is of the first graph, `squashed` of the second one.
fn changed(change: impl Fn(&mut Vec<u8>, tflite::Model<'_>)) -> Vec<u8> {
    let bytes = fs::read(fixture(TWO)).unwrap();
    let mut res = bytes.clone();
    change(&mut res, root_as_model(&bytes).unwrap());
    res
}

#[test]
fn the_signature_that_serves_is_run_else_the_only_one_else_that_of_the_first_graph() {
    assert_eq!(chosen(&fs::read(fixture(TWO)).unwrap()).as_deref(), Some("bounded"));
    let serving = changed(|bytes, model| {
        let name = b"serving_default";
        let second = model.signature_defs().unwrap().get(1);
        let key = second._tab.loc() + usize::from(second._tab.vtable().get(SignatureDef::VT_SIGNATURE_KEY));
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let end = bytes.len();
        point(bytes, key, end);
        bytes.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend(name);
        bytes.push(0);
    });
    assert_eq!(chosen(&serving).as_deref(), Some("serving_default"));
    let only = changed(|bytes, model| {
        let field = model._tab.vtable().get(tflite::Model::VT_SIGNATURE_DEFS);
        let list = target(bytes, model._tab.loc() + usize::from(field));
        let second = target(bytes, list + 8);
        bytes[list..list + 4].copy_from_slice(&1u32.to_le_bytes());
        point(bytes, list + 4, second);
    });
    assert_eq!(chosen(&only).as_deref(), Some("squashed"));
}

#[test]
fn a_signature_that_is_not_there_is_an_error() {
    for (path, wanted) in [
        ("tensorflow/signatures.tflite", "has no signature `squished`; its signatures are `bounded`, `squashed`"),
        ("digits/cnn/saved_model", "has no signature `squished`; its signatures are `serve`, `serving_default`"),
        (
            "digits/cnn/cnn.onnx",
            "signature `squished` is wanted, and its format, ONNX, has no signatures; leave `signature` out",
        ),
        (
            "digits/cnn/cnn_frozen.pb",
            "signature `squished` is wanted, and its format, TensorFlow frozen graph, has no signatures",
        ),
    ] {
        let error = load_signature(path, "squished").unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
        assert_eq!(inspect(&fixture(path), Some("squished")).unwrap_err().to_string(), error);
    }
}

/// Copies the fixture, so that it can be damaged.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("variables")).unwrap();
    for file in ["saved_model.pb", "variables/variables.index", SHARD] {
        fs::copy(fixture(SAVED_MODEL).join(file), folder.path().join(file)).unwrap();
    }
    folder
}

fn change(path: PathBuf, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn refusal(path: &Path) -> String {
    Model::load(path).unwrap_err().to_string()
}

#[test]
fn a_damaged_variable_is_named() {
    let folder = copy();
    // Half of the variables are copies that the graph does not read.
    change(folder.path().join(SHARD), |bytes| bytes.iter_mut().step_by(500).for_each(|it| *it ^= 1));
    let error = refusal(folder.path());
    assert!(error.contains("cannot load the weights") && error.contains("variable `digits_cnn/"), "{error}");
    assert!(error.contains("has checksum"), "{error}");
}

#[test]
fn a_missing_shard_or_index_is_named() {
    let folder = copy();
    fs::remove_file(folder.path().join(SHARD)).unwrap();
    let error = refusal(folder.path());
    assert!(error.contains("variables.data-00000-of-00001"), "{error}");
    fs::remove_file(folder.path().join("variables/variables.index")).unwrap();
    let error = refusal(folder.path());
    assert!(error.contains("there is no `variables/variables.index`"), "{error}");
}

#[test]
fn a_truncated_graph_says_where_it_ends() {
    let folder = copy();
    let whole = fs::read(folder.path().join("saved_model.pb")).unwrap();
    for part in 1..20 {
        fs::write(folder.path().join("saved_model.pb"), &whole[..whole.len() * part / 20]).unwrap();
        let error = refusal(folder.path());
        assert!(error.contains("the content ends inside the field at byte"), "{part}/20: {error}");
    }
}

#[test]
fn a_function_that_is_not_in_the_file_is_named() {
    const NAME: &[u8] = b"__inference___call___45832";
    let folder = copy();
    change(folder.path().join("saved_model.pb"), |bytes| {
        let places: Vec<_> =
            bytes.windows(NAME.len()).enumerate().filter(|(_, it)| *it == NAME).map(|it| it.0).collect();
        // A call has the name in an attribute, after the length of that.
        let definitions: Vec<_> = places.into_iter().filter(|it| !bytes[..*it].ends_with(b"R\x1c\n\x1a")).collect();
        assert!(!definitions.is_empty());
        definitions.into_iter().for_each(|it| bytes[it] = b'x');
    });
    let error = refusal(folder.path());
    assert!(error.contains("calls function `__inference___call___45832`, which is not in the file"), "{error}");
}

#[test]
fn any_flipped_byte_is_an_error_or_a_model() {
    let folder = copy();
    let path = folder.path().join("saved_model.pb");
    let whole = fs::read(&path).unwrap();
    let input = batch(&[("x", &npz("digits/data/test.npz")["x"].head(2))]);
    for at in (0..whole.len()).step_by(whole.len() / 150) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, bytes).unwrap();
        if let Ok(model) = Model::load(folder.path()) {
            let _ = model.run(&input, threads(1));
        }
    }
}

#[test]
fn an_inspection_does_not_stop_at_what_cannot_be_run() {
    let found = inspect(&fixture(SAVED_MODEL), None).unwrap();
    assert!(found.refusal.is_none() && found.obstacles.0.is_empty());
    assert!(found.bytes > 160_000, "{}", found.bytes);

    let folder = copy();
    fs::remove_file(folder.path().join(SHARD)).unwrap();
    let found = inspect(folder.path(), None).unwrap();
    assert_eq!((&*found.info.inputs[0].name, &*found.info.outputs[0].name), ("x", "output_0"));
    assert!(found.refusal.unwrap().to_string().contains("variables.data"));

    let folder = copy();
    change(folder.path().join("saved_model.pb"), |bytes| {
        const OPERATORS: [(&[u8], &[u8]); 2] =
            [(b"\x12\x07Softmax", b"\x12\x07Softmux"), (b"\x12\x04Pack", b"\x12\x04Puck")];
        for (from, to) in OPERATORS {
            while let Some(at) = bytes.windows(from.len()).position(|it| it == from) {
                bytes[at..at + to.len()].copy_from_slice(to);
            }
        }
    });
    let found = inspect(folder.path(), None).unwrap();
    let operators: Vec<_> = found.obstacles.0.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(operators, ["Puck", "Softmux"]);
    assert!(found.refusal.is_some() && found.info.operators["Conv2D"] == 2);
}

#[test]
fn tflite_rows_do_not_depend_on_the_batch_they_come_in() {
    let model = Model::load(&fixture("digits/cnn/cnn.tflite")).unwrap();
    let test = npz("digits/data/test.npz")["x"].head(7);
    let whole = numbers(run(&model, &[&test]).column(0));
    let last = Npy { shape: vec![1, 8, 8, 1], values: test.values[6 * 64..].to_vec() };
    assert_close("the last row alone", &numbers(run(&model, &[&last]).column(0)), &whole[60..]);
}

#[test]
fn exported_models_equal_tensorflow() {
    // Names, in the order of the signature.
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("convolutions", &["image"], &["probs"]),
        ("convolutions.tflite", &["image"], &["probs"]),
        ("attention", &["tokens"], &["scores"]),
        ("two", &["left", "right"], &["both", "product"]),
        ("two.tflite", &["left", "right"], &["both", "product"]),
    ];
    for (file, inputs, outputs) in cases {
        let reference = npz(&format!("tensorflow/{}.npz", file.trim_end_matches(".tflite")));
        let model = Model::load(&fixture(&format!("tensorflow/{file}"))).unwrap_or_else(|it| panic!("{it}"));
        let mut names: Vec<_> = model.info().inputs.iter().map(|it| it.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, inputs, "{file}");
        let columns: Vec<_> = inputs.iter().map(|it| (*it, &reference[*it])).collect();
        let result = model.run(&batch(&columns), threads(1)).unwrap();
        for output in outputs {
            let column = result.column_by_name(output).unwrap_or_else(|| panic!("{file} has no {output}"));
            assert_close(&format!("{file} {output}"), &numbers(column), &reference[*output].values);
        }
    }
}
