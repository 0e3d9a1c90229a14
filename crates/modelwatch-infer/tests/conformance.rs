//! Every fixture model equals its recorded outputs, or is refused for a stated reason.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Npy, assert_close, batch, fixture, npz, numbers, run};
use modelwatch_infer::{ExactModel, ExactValue, HostTensor, Model, Values as Elements, Way};

/// Models that cannot be run correctly, and what the error says after the path.
const REFUSED: [(&str, &str); 4] = [
    ("digits/cnn/cnn.h5", "an HDF5 file"),
    ("digits/cnn/cnn.keras", "a zip archive"),
    ("digits/cnn/cnn.npz", "a zip archive"),
    ("digits/cnn/cnn.safetensors", "a safetensors file"),
];

#[test]
fn refused_models_say_why() {
    for (path, reason) in REFUSED {
        let error = Model::load(&fixture(path)).err().unwrap_or_else(|| panic!("{path} was loaded"));
        assert!(error.to_string().contains(reason), "{path}: {error}");
    }
}

#[test]
fn every_onnx_fixture_is_covered() {
    let mut models = Vec::new();
    let mut folders = vec![fixture("digits"), fixture("tabular"), fixture("traps")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "onnx") {
                models.push(path.strip_prefix(fixture("")).unwrap().to_str().unwrap().to_string());
            }
        }
    }
    let is_covered = |it: &String| {
        it.contains("_series/")
            || REFUSED.iter().any(|(path, _)| path == it)
            || DIGITS.iter().any(|(path, ..)| path == it)
            || TABULAR.iter().any(|(path, ..)| path == it)
            || TRAPS.iter().chain(&REVERSED).any(|path| it == &format!("traps/{path}/model.onnx"))
    };
    let missing: Vec<_> = models.iter().filter(|it| !is_covered(it)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(models.len() > 40, "{}", models.len());
}

#[test]
fn training_series_equals_onnxruntime() {
    let test = npz("digits/data/test.npz")["x"].head(64);
    let mut n = 0;
    for series in ["cnn_series", "mlp_series"] {
        for entry in std::fs::read_dir(fixture(&format!("digits/{series}"))).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|it| it == "onnx") {
                let stem = path.file_stem().unwrap().to_str().unwrap();
                let reference = npz(&format!("digits/{series}/{stem}.ref.npz"));
                let outputs = run(&Model::load(&path).unwrap(), &[&test]);
                assert_close(&format!("{series}/{stem}"), &numbers(outputs.column(0)), &reference["ort"].values);
                n += 1;
            }
        }
    }
    assert_eq!(n, 30);
}

#[derive(Clone, Copy, PartialEq)]
enum Agreement {
    Values,
    /// Integer kernels may differ by a step of the output's own scale, if it has one, and in no class.
    Quantized {
        step: f64,
    },
    /// The scale is taken from all rows.
    AtOnce,
}
use Agreement::{AtOnce, Quantized, Values};

const DIGITS: [(&str, &str, Agreement); 11] = [
    ("digits/cnn/cnn.onnx", "ort", Values),
    ("digits/cnn/cnn_keras_export.onnx", "ort", Values),
    ("digits/cnn/external/model.onnx", "ort", Values),
    ("digits/cnn/cnn_frozen.pb", "tf", Values),
    ("digits/cnn/cnn_frozen_b1.pb", "tf", Values),
    ("digits/cnn/saved_model", "tf", Values),
    ("digits/cnn/cnn.tflite", "tf", Values),
    ("digits/cnn/cnn_int8_qdq.onnx", "cnn_int8_qdq", Quantized { step: 1.0 / 255.0 }),
    ("digits/cnn/cnn_int8_qop.onnx", "cnn_int8_qop", Quantized { step: 1.0 / 256.0 }),
    ("digits/cnn/mlp_int8_dynamic.onnx", "mlp_int8_dynamic", AtOnce),
    ("digits/cnn/cnn.onnx", "tf", Values),
];

#[test]
fn one_network_in_every_format_equals_its_reference() {
    let test = &npz("digits/data/test.npz")["x"];
    let reference = npz("digits/cnn/ref_outputs.npz");
    for (path, key, agreement) in DIGITS {
        let model = Model::load(&fixture(path)).unwrap_or_else(|it| panic!("{it}"));
        let outputs = match agreement {
            AtOnce => model.run_at_once(&batch(&[(&model.info().inputs[0].name, test)])).unwrap(),
            Values | Quantized { .. } => run(&model, &[test]),
        };
        let (got, wanted) = (numbers(outputs.column(0)), &reference[key].values);
        match agreement {
            Values | AtOnce => assert_close(path, &got, wanted),
            Quantized { step } => {
                let top = |it: &[f64]| (0..10).max_by(|&a, &b| it[a].total_cmp(&it[b])).unwrap();
                let differ = got.chunks(10).zip(wanted.chunks(10)).filter(|(a, b)| top(a) != top(b)).count();
                assert_eq!(differ, 0, "{path}: classes differ");
                let furthest = got.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(furthest <= step + 1e-6, "{path}: off by {furthest}");
            }
        }
    }
}

/// Model, data, name in the reference, outputs.
const TABULAR: [(&str, &str, &str, [&str; 2]); 14] = [
    ("tabular/breast_cancer/logreg.onnx", "breast_cancer", "logreg", ["label", "probabilities"]),
    ("tabular/breast_cancer/logreg_zipmap.onnx", "breast_cancer", "logreg", ["label", "probabilities"]),
    ("tabular/breast_cancer/gboost.onnx", "breast_cancer", "gboost", ["label", "probabilities"]),
    ("tabular/breast_cancer/rforest.onnx", "breast_cancer", "rforest", ["label", "probabilities"]),
    ("tabular/breast_cancer/mlp.onnx", "breast_cancer", "mlp", ["label", "probabilities"]),
    ("tabular/wine/logreg.onnx", "wine", "logreg", ["label", "probabilities"]),
    ("tabular/wine/logreg_zipmap.onnx", "wine", "logreg", ["label", "probabilities"]),
    ("tabular/wine/gboost.onnx", "wine", "gboost", ["label", "probabilities"]),
    ("tabular/wine/rforest.onnx", "wine", "rforest", ["label", "probabilities"]),
    ("tabular/wine/mlp.onnx", "wine", "mlp", ["label", "probabilities"]),
    ("tabular/wine/svc.onnx", "wine", "svc", ["label", "probabilities"]),
    ("tabular/wine/iforest.onnx", "wine", "iforest", ["label", "scores"]),
    ("tabular/wine/kmeans.onnx", "wine", "kmeans", ["label", "scores"]),
    ("tabular/wine/pca.onnx", "wine", "pca", ["variable", ""]),
];

#[test]
fn classical_models_equal_onnxruntime() {
    for (path, data, name, outputs) in TABULAR {
        let reference = npz(&format!("tabular/{data}/ref_ort.npz"));
        let result = run(&Model::load(&fixture(path)).unwrap_or_else(|it| panic!("{it}")), &[&reference["x"]]);
        for (idx, output) in outputs.iter().filter(|it| !it.is_empty()).enumerate() {
            let wanted = &reference[&format!("{name}/{output}")].values;
            assert_close(&format!("{path} {output}"), &numbers(result.column(idx)), wanted);
        }
    }
}

/// Models on which plain tract and onnxruntime disagree.
const TRAPS: [&str; 7] =
    ["nan_relu", "nan_sigmoid", "nan_tanh", "nan_clip", "nan_maxpool", "nan_weight_first_layer", "softmax_qdq"];

#[test]
fn traps_are_computed_right() {
    for name in TRAPS {
        let input: Npy = npz(&format!("traps/{name}/inputs.npz")).remove("x").unwrap();
        let reference = npz(&format!("traps/{name}/ref_ort.npz")).remove("out0").unwrap();
        let path = fixture(&format!("traps/{name}/model.onnx"));
        let outputs = run(&Model::load(&path).unwrap_or_else(|it| panic!("{it}")), &[&input]);
        let mut wanted = reference.values;
        if name == "nan_maxpool" {
            // onnxruntime drops a NaN at the start of a window; TensorFlow and NumPy do not, and neither do we.
            (wanted[1], wanted[3]) = (f64::NAN, f64::NAN);
        }
        assert_close(name, &numbers(outputs.column(0)), &wanted);
    }
}

/// Recurrences from the last step to the first, whose outputs have no rows.
const REVERSED: [&str; 3] = ["gru_reverse", "lstm_reverse", "simple_rnn_reverse"];

#[test]
fn reversed_recurrences_equal_onnxruntime() {
    for name in REVERSED {
        let inputs = npz(&format!("traps/{name}/inputs.npz"));
        let reference = npz(&format!("traps/{name}/ref_ort.npz"));
        let given: Vec<ExactValue> = ["X", "W", "R"].iter().map(|it| exact(&inputs[*it])).collect();
        let model = ExactModel::load(&fixture(&format!("traps/{name}/model.onnx"))).unwrap();
        let outputs = model.run(&given, Way::Interpreted).unwrap();
        assert_eq!(outputs.len(), reference.len(), "{name}");
        for (idx, output) in outputs.iter().enumerate() {
            let ExactValue::Tensor { tensor: HostTensor { shape, values: Elements::F32(values) }, .. } = output else {
                panic!("{output:?}");
            };
            let wanted = &reference[&format!("out{idx}")];
            assert_eq!(shape, &wanted.shape, "{name}");
            let got: Vec<f64> = values.iter().map(|&it| f64::from(it)).collect();
            assert_close(name, &got, &wanted.values);
        }
    }
}

fn exact(npy: &Npy) -> ExactValue {
    const FLOAT: i32 = 1;
    let values = Elements::F32(npy.values.iter().map(|&it| it as f32).collect());
    ExactValue::Tensor { data_type: FLOAT, tensor: HostTensor { shape: npy.shape.clone(), values } }
}

#[test]
fn the_page_of_operators_has_what_is_known_to_be_wrong() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/onnx-operators.md")).unwrap();
    let table = modelwatch_infer::audited_operators();
    assert!(page.contains(&table), "run `cargo xtask onnx-conformance`");
    // Of every way to deal with one.
    for line in [
        "| DepthToSpace | `mode` is CRD | all | mode CRD is taken for DCR | own operator |",
        "| ConstantOfShape | without `value` | f32 | zeros in double precision | rewritten |",
        "| RandomNormal | always | f16, f32, f64 | random outputs cannot be compared | refused by name |",
    ] {
        assert!(table.contains(line), "{line}");
    }
    assert!(table.lines().all(|it| it.matches(" | ").count() == 4 || it.starts_with("|---")), "{table}");
}
