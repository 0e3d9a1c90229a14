//! No bytes make the readers panic.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use modelwatch_tensors::{OnnxModel, TensorFile};
use proptest::prelude::*;

/// Small files of every format that is read, by extension.
const SEEDS: [(&str, &str); 17] = [
    ("digits/cnn/cnn.safetensors", "safetensors"),
    ("conformance/checkpoints/ok.safetensors", "safetensors"),
    ("digits/cnn/cnn.npz", "npz"),
    ("tabular/wine/pca.onnx", "onnx"),
    ("traps/softmax_qdq/model.onnx", "onnx"),
    ("digits/cnn/mlp_int8_dynamic.onnx", "onnx"),
    ("digits/cnn/cnn_frozen_b1.pb", "pb"),
    ("digits/cnn/tf_checkpoint/ckpt.index", "index"),
    ("digits/cnn/saved_model/saved_model.pb", "pb"),
    ("digits/cnn/cnn.h5", "h5"),
    ("digits/cnn/cnn.weights.h5", "h5"),
    ("digits/cnn/cnn.keras", "keras"),
    ("hdf5/variety.h5", "h5"),
    ("digits/cnn/cnn.tflite", "tflite"),
    ("torch/training.pt", "pt"),
    ("torch/variety.pt", "pt"),
    ("torch/variety_protocol4.pt", "pt"),
];

#[derive(Clone, Debug)]
enum Edit {
    Set(usize, u8),
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
}

fn edit() -> impl Strategy<Value = Edit> {
    // Headers lie at the start and, for archives and tables, at the end.
    let position = prop_oneof![
        0..300_usize,
        Just(0).prop_flat_map(|_| (0..2000_usize).prop_map(|it| usize::MAX - it)),
        any::<u32>().prop_map(|it| it as usize)
    ];
    let interesting = prop_oneof![Just(0), Just(0xff), Just(0x7f), Just(0x80), any::<u8>()];
    (position, interesting, 0..8_u32, prop::collection::vec(any::<u8>(), 1..12), 0..10_u8).prop_map(
        |(position, byte, bit, bytes, kind)| match kind {
            0 => Edit::Cut(position),
            1 => Edit::Insert(position, bytes),
            2..=5 => Edit::Flip(position, 1 << bit),
            _ => Edit::Set(position, byte),
        },
    )
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    let at = |position: usize, n: usize| {
        if position > usize::MAX / 2 { n.saturating_sub(usize::MAX - position + 1) } else { position % n.max(1) }
    };
    let n = bytes.len();
    if n == 0 {
        return;
    }
    match edit {
        Edit::Set(position, byte) => bytes[at(*position, n)] = *byte,
        Edit::Flip(position, mask) => bytes[at(*position, n)] ^= mask,
        Edit::Cut(position) => bytes.truncate(at(*position, n)),
        Edit::Insert(position, new) => {
            let at = at(*position, n);
            bytes.splice(at..at, new.iter().copied());
        }
    }
}

fn read_all(path: &Path) {
    if let Ok(file) = TensorFile::open(path) {
        for tensor in file.iter().flatten() {
            let values = tensor.values_f64();
            assert_eq!(values.len() as u64, tensor.info.n_elements());
        }
    }
    let _ = OnnxModel::open(path);
}

fn fixture(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(path)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_fixtures_are_read_or_refused(seed in 0..SEEDS.len(), edits in prop::collection::vec(edit(), 1..6)) {
        let (source, extension) = SEEDS[seed];
        let mut bytes = fs::read(fixture(source)).unwrap();
        for edit in &edits {
            apply(&mut bytes, edit);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ckpt").with_extension(extension);
        fs::write(&path, bytes).unwrap();
        if extension == "index" {
            let data = "ckpt.data-00000-of-00001";
            fs::copy(fixture("digits/cnn/tf_checkpoint").join(data), folder.path().join(data)).unwrap();
        }
        read_all(&path);
    }

    #[test]
    fn random_bytes_are_read_or_refused(
        extension in prop::sample::select(vec!["safetensors", "npz", "npy", "onnx", "pb", "index", "safetensors.index.json", "h5", "keras", "pt", "tflite"]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("it.{extension}"));
        fs::write(&path, bytes).unwrap();
        read_all(&path);
    }
}
