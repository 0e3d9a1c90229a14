//! One network in every format gives the same weights, value for value.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use modelwatch_tensors::{Dimension, Format, OnnxModel, TensorFile};
use serde_json::json;

struct Weight {
    name: String,
    shape: Vec<u64>,
    bytes: Vec<u8>,
}

fn digits(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/digits")).join(path)
}

fn weights(path: &str) -> Vec<Weight> {
    let file = TensorFile::open(&digits(path)).unwrap();
    let read = |it: Result<modelwatch_tensors::Tensor<'_>, _>| {
        let tensor = it.unwrap();
        Weight { name: tensor.info.name.clone(), shape: tensor.info.shape.clone(), bytes: tensor.bytes.into_owned() }
    };
    file.iter().map(read).collect()
}

fn assert_holds(path: &str, weight: &Weight, among: &[Weight]) {
    let is_there = among.iter().any(|it| it.shape == weight.shape && it.bytes == weight.bytes);
    assert!(is_there, "{path} does not hold {} {:?}", weight.name, weight.shape);
}

/// Converts a kernel of shape height, width, in, out to out, in, height, width.
fn to_onnx_layout(weight: &Weight) -> Weight {
    let &[h, w, i, o] = &weight.shape[..] else {
        return Weight { name: weight.name.clone(), shape: weight.shape.clone(), bytes: weight.bytes.clone() };
    };
    let mut bytes = vec![];
    for out in 0..o {
        for input in 0..i {
            for y in 0..h {
                for x in 0..w {
                    let start = usize::try_from((((y * w + x) * i + input) * o + out) * 4).unwrap();
                    bytes.extend_from_slice(&weight.bytes[start..start + 4]);
                }
            }
        }
    }
    Weight { name: weight.name.clone(), shape: vec![o, i, h, w], bytes }
}

#[test]
fn npz_and_pytorch_equal_safetensors() {
    let npz = ["cnn/cnn", "cnn_series/e01", "cnn_series/e04", "cnn_series/e08"].map(|it| (it, format!("{it}.npz")));
    for (pair, path) in npz.into_iter().chain([("cnn/cnn", "../torch/cnn.pt".to_owned())]) {
        let expected = weights(&format!("{pair}.safetensors"));
        let found = weights(&path);
        assert_eq!(expected.len(), 12);
        assert_eq!(found.len(), expected.len(), "{pair}");
        for (a, b) in expected.iter().zip(&found) {
            assert_eq!((&a.name, &a.shape, &a.bytes), (&b.name, &b.shape, &b.bytes), "{pair}");
        }
    }
}

#[test]
fn files_that_name_others_hold_the_weights_of_one_file() {
    let whole = TensorFile::open(&digits("cnn/cnn.safetensors")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut weight_map = serde_json::Map::new();
    for (at, half) in [&whole.infos()[..5], &whole.infos()[5..]].into_iter().enumerate() {
        let shard = format!("model-{at}.safetensors");
        let tensors: Vec<_> = half.iter().map(|it| whole.get(&it.name).unwrap().unwrap()).collect();
        let (mut header, mut at) = (serde_json::Map::new(), 0);
        for it in &tensors {
            let end = at + it.bytes.len();
            header.insert(
                it.info.name.clone(),
                json!({"dtype": "F32", "shape": it.info.shape, "data_offsets": [at, end]}),
            );
            weight_map.insert(it.info.name.clone(), json!(shard));
            at = end;
        }
        let header = json!(header).to_string();
        let mut bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
        tensors.iter().for_each(|it| bytes.extend_from_slice(&it.bytes));
        std::fs::write(folder.path().join(shard), bytes).unwrap();
    }
    let index = json!({"metadata": {}, "weight_map": weight_map}).to_string();
    std::fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    let sharded = folder.path().to_str().unwrap();
    let cases = [
        ("cnn/cnn.safetensors", sharded, Format::ShardedSafetensors, 12),
        ("cnn/cnn.onnx", "cnn/external", Format::Onnx, 15),
    ];
    for (single, path, format, n_tensors) in cases {
        let file = TensorFile::open(&digits(path)).unwrap();
        assert!(file.format() == format && file.sibling().is_some(), "{path}");
        assert_eq!(TensorFile::open(&digits(single)).unwrap().sibling(), None);
        let (expected, found) = (weights(single), weights(path));
        assert_eq!((expected.len(), found.len()), (n_tensors, n_tensors), "{path}");
        for (a, b) in expected.iter().zip(&found) {
            assert_eq!((&a.name, &a.shape, &a.bytes), (&b.name, &b.shape, &b.bytes), "{path}");
        }
    }
    for path in ["cnn/tf_checkpoint", "cnn/saved_model"] {
        assert!(
            TensorFile::open(&digits(path)).unwrap().sibling().unwrap().ends_with(".data-00000-of-00001"),
            "{path}"
        );
    }
}

/// The arrays of an NPZ are NPY files.
#[test]
fn npy_files_hold_the_safetensors_weights() {
    let npz = std::fs::File::open(digits("cnn/cnn.npz")).unwrap();
    let mut archive = zip::ZipArchive::new(npz).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for weight in weights("cnn/cnn.safetensors") {
        let path = folder.path().join(format!("{}.npy", weight.name));
        let mut array = archive.by_name(&format!("{}.npy", weight.name)).unwrap();
        std::io::copy(&mut array, &mut std::fs::File::create(&path).unwrap()).unwrap();
        let found = weights(path.to_str().unwrap());
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].name, &found[0].shape, &found[0].bytes), (&weight.name, &weight.shape, &weight.bytes));
    }
}

#[test]
fn tensorflow_formats_hold_the_safetensors_weights() {
    let cases = [
        ("cnn/cnn", "cnn/tf_checkpoint", 14),
        ("cnn/cnn", "cnn/tf_checkpoint/ckpt.index", 14),
        ("cnn/cnn", "cnn/saved_model", 24),
        ("cnn/cnn", "cnn/saved_model/saved_model.pb", 24),
        ("cnn/cnn", "cnn/cnn_frozen.pb", 19),
        ("cnn/cnn", "cnn/cnn_frozen_b1.pb", 16),
        ("cnn_series/e01", "cnn_series/e01.tfckpt.index", 34),
        ("cnn_series/e04", "cnn_series/e04.tfckpt.index", 34),
        ("cnn_series/e08", "cnn_series/e08.tfckpt.index", 34),
    ];
    for (reference, path, n_tensors) in cases {
        let found = weights(path);
        assert_eq!(found.len(), n_tensors, "{path}");
        for weight in weights(&format!("{reference}.safetensors")) {
            assert_holds(path, &weight, &found);
        }
    }
}

#[test]
fn onnx_holds_the_safetensors_weights_of_every_step() {
    let steps = ["e01", "e02", "e03", "e04", "e05", "e06", "e07", "e08"];
    let bad = ["bitflip", "class_order", "dead_relu", "diverged", "noise_first_layer", "overfit", "shuffled_labels"];
    let mut names = vec!["cnn/cnn".to_owned()];
    for series in ["cnn_series", "mlp_series"] {
        names.extend(steps.iter().map(|it| format!("{series}/{it}")));
        names.extend(bad.iter().map(|it| format!("{series}/bad_{it}")));
    }
    for name in names {
        let path = format!("{name}.onnx");
        let found = weights(&path);
        // The exporter folds batch normalization into two other tensors.
        let kept = weights(&format!("{name}.safetensors"));
        let kept: Vec<&Weight> = kept.iter().filter(|it| !it.name.contains(".bn.")).collect();
        assert!(kept.len() >= 4, "{path}");
        for weight in kept {
            assert_holds(&path, &to_onnx_layout(weight), &found);
        }
    }
}

#[test]
fn onnx_scale_is_the_folded_batch_normalization() {
    let file = TensorFile::open(&digits("cnn/cnn.safetensors")).unwrap();
    let read = |name: &str| file.get(name).unwrap().unwrap().values_f64();
    let (gamma, variance) = (read("digits_cnn.bn.gamma"), read("digits_cnn.bn.moving_variance"));
    let onnx = TensorFile::open(&digits("cnn/cnn.onnx")).unwrap();
    let found = onnx.get("digits_cnn_1/bn_1/batchnorm/mul:0").unwrap().unwrap().values_f64();
    assert_eq!(found.len(), gamma.len());
    for ((gamma, variance), found) in gamma.iter().zip(variance).zip(found) {
        let expected = gamma / (variance + 0.001).sqrt();
        assert!((expected - found).abs() < 1e-5 * expected.abs(), "{expected} {found}");
    }
}

#[test]
fn bit_flip_in_the_head_is_visible() {
    for path in ["cnn_series/bad_bitflip.safetensors", "cnn_series/bad_bitflip.onnx"] {
        let file = TensorFile::open(&digits(path)).unwrap();
        let largest = file.iter().flat_map(|it| it.unwrap().values_f64()).fold(0.0, f64::max);
        assert!(largest > 6e37, "{path}: {largest}");
    }
}

#[test]
fn content_tells_the_format_whatever_the_name() {
    let cases = [
        ("cnn/cnn.onnx", Format::Onnx),
        ("cnn/cnn.safetensors", Format::Safetensors),
        ("cnn/cnn.npz", Format::Npz),
        ("cnn/tf_checkpoint/ckpt.index", Format::TensorBundle),
        ("cnn/saved_model/saved_model.pb", Format::SavedModel),
        ("cnn/cnn_frozen.pb", Format::FrozenGraph),
        ("cnn/cnn.tflite", Format::TfLite),
        ("cnn/cnn.h5", Format::Hdf5),
        ("cnn/cnn.keras", Format::KerasZip),
        ("../torch/cnn.pt", Format::PyTorch),
        ("../torch/legacy.pt", Format::Pickle),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (path, want) in cases {
        let renamed = folder.path().join("it.onnx");
        std::fs::copy(digits(path), &renamed).unwrap();
        assert_eq!(Format::detect(&renamed).unwrap(), want, "{path}");
    }
    assert_eq!(Format::detect(&digits("cnn/saved_model")).unwrap(), Format::SavedModel);
    assert!(Format::detect(&digits("cnn/ref_ort.parquet")).unwrap_err().to_string().contains("cannot tell"));
}

#[test]
fn keras_files_hold_the_safetensors_weights() {
    // With the optimizer's state: its counters, and after training its moments too.
    let cases = [
        ("cnn/cnn", "cnn/cnn.h5", 14),
        ("cnn/cnn", "cnn/cnn.weights.h5", 14),
        ("cnn/cnn", "cnn/cnn.keras", 14),
        ("cnn_series/e01", "cnn_series/e01.weights.h5", 34),
        ("cnn_series/e04", "cnn_series/e04.weights.h5", 34),
        ("cnn_series/e08", "cnn_series/e08.weights.h5", 34),
    ];
    for (reference, path, n_tensors) in cases {
        let found = weights(path);
        assert_eq!(found.len(), n_tensors, "{path}");
        for weight in weights(&format!("{reference}.safetensors")) {
            assert_holds(path, &weight, &found);
        }
    }
}

#[test]
fn tflite_holds_the_safetensors_weights() {
    let found = weights("cnn/cnn.tflite");
    // The converter turns matrices around, and folds batch normalization into the convolution before it.
    for weight in weights("cnn/cnn.safetensors") {
        let weight = match weight.shape[..] {
            [.., _, _, _, _] => to_tflite_layout(&weight),
            [rows, columns] => transposed(&weight, rows, columns),
            _ => weight,
        };
        if !weight.name.contains(".bn.") && !weight.name.contains(".conv2.") {
            assert_holds("cnn/cnn.tflite", &weight, &found);
        }
    }
}

/// Converts a kernel of shape height, width, in, out to out, height, width, in.
fn to_tflite_layout(weight: &Weight) -> Weight {
    let &[h, w, i, o] = &weight.shape[..] else { panic!("{:?}", weight.shape) };
    let turned = transposed(weight, h * w * i, o);
    Weight { shape: vec![o, h, w, i], ..turned }
}

fn transposed(weight: &Weight, rows: u64, columns: u64) -> Weight {
    let mut bytes = vec![];
    for column in 0..columns {
        for row in 0..rows {
            let start = usize::try_from((row * columns + column) * 4).unwrap();
            bytes.extend_from_slice(&weight.bytes[start..start + 4]);
        }
    }
    Weight { name: weight.name.clone(), shape: vec![columns, rows], bytes }
}

#[test]
fn metadata_is_what_each_file_says_of_itself() {
    let cases = [
        (
            "cnn/cnn.keras",
            json!({"date_saved": "2026-11-23@08:19:02", "framework": "keras 3.15.1", "keras_version": "3.15.1"}),
        ),
        ("cnn/cnn.h5", json!({"backend": "tensorflow", "framework": "keras 3.15.1", "keras_version": "3.15.1"})),
        ("cnn/cnn.onnx", json!({"framework": "tf2onnx 1.17.0 None", "ir_version": 8})),
        ("cnn/cnn.npz", json!({})),
    ];
    for (path, want) in cases {
        assert_eq!(json!(TensorFile::open(&digits(path)).unwrap().metadata()), want, "{path}");
    }
}

#[test]
fn summary_describes_the_model() {
    let model = OnnxModel::open(&digits("cnn/cnn.onnx")).unwrap();
    assert_eq!((model.ir_version, model.producer_name.as_str()), (8, "tf2onnx"));
    assert!(model.opset_imports[""] >= 13);
    assert_eq!(model.op_counts["Conv"], 2);
    assert_eq!(model.first_nodes["Conv"], "digits_cnn_1/conv1_1/BiasAdd");
    assert!(model.first_nodes.keys().eq(model.op_counts.keys()));
    assert_eq!((model.inputs.len(), model.outputs.len()), (1, 1));
    assert_eq!(model.outputs[0].name, "probs");
    let shape = model.inputs[0].shape.as_ref().unwrap();
    assert_eq!(shape[1..], [Dimension::Fixed(8), Dimension::Fixed(8), Dimension::Fixed(1)]);
    assert!(!matches!(shape[0], Dimension::Fixed(_)));
}

#[test]
fn every_onnx_fixture_opens() {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures"));
    let (mut folders, mut n_models) = (vec![root], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "onnx") {
                let file = TensorFile::open(&path).unwrap();
                assert_eq!(file.format(), Format::Onnx);
                assert_eq!(file.iter().filter_map(Result::ok).count(), file.len(), "{}", path.display());
                assert!(!OnnxModel::open(&path).unwrap().op_counts.is_empty());
                n_models += 1;
            }
        }
    }
    assert!(n_models > 40, "{n_models}");
}
