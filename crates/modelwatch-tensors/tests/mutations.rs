//! No bytes make the readers panic: what `cargo xtask fuzz` does for longer.

#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf};

use proptest::prelude::*;

#[expect(unreachable_pub, reason = "the fuzz targets have it as a crate")]
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

/// What reads the bytes of a file, as the fuzz target does.
type Target = fn(&[u8]);

const SAFETENSORS: Target = |it| targets::read_file("it.safetensors", it);
const NPZ: Target = |it| targets::read_file("it.npz", it);
const NPY: Target = |it| targets::read_file("it.npy", it);
const GRAPH: Target = |it| targets::read_file("it.pb", it);
const HDF5: Target = |it| targets::read_file("it.h5", it);
const KERAS: Target = |it| targets::read_file("it.keras", it);
const TFLITE: Target = |it| targets::read_file("it.tflite", it);
const PYTORCH: Target = |it| targets::read_file("it.pt", it);

/// Small files of every format that is read.
const SEEDS: [(&str, Target); 23] = [
    ("digits/cnn/cnn.safetensors", SAFETENSORS),
    ("conformance/checkpoints/ok.safetensors", SAFETENSORS),
    ("fuzz/model.safetensors.index.json", targets::read_sharded),
    ("digits/cnn/cnn.npz", NPZ),
    ("fuzz/kernel.npy", NPY),
    ("tabular/wine/pca.onnx", targets::read_onnx),
    ("traps/softmax_qdq/model.onnx", targets::read_onnx),
    ("digits/cnn/mlp_int8_dynamic.onnx", targets::read_onnx),
    ("digits/cnn/external/model.onnx", targets::read_onnx),
    ("digits/cnn/cnn_frozen_b1.pb", GRAPH),
    ("digits/cnn/saved_model/saved_model.pb", GRAPH),
    ("digits/cnn/tf_checkpoint/ckpt.index", targets::read_bundle),
    ("digits/cnn/cnn.h5", HDF5),
    ("digits/cnn/cnn.weights.h5", HDF5),
    ("hdf5/variety.h5", HDF5),
    ("digits/cnn/cnn.keras", KERAS),
    ("digits/cnn/cnn.tflite", TFLITE),
    ("torch/training.pt", PYTORCH),
    ("torch/variety.pt", PYTORCH),
    ("torch/training.pkl", targets::read_pickle),
    ("torch/variety_protocol4.pkl", targets::read_pickle),
    ("handoff/checkpoint.json", targets::read_handoff),
    ("mlflow/MLmodel", targets::read_mlmodel),
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

fn fixture(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")).join(path)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_fixtures_are_read_or_refused(seed in 0..SEEDS.len(), edits in prop::collection::vec(edit(), 1..6)) {
        let (source, read) = SEEDS[seed];
        let mut bytes = fs::read(fixture(source)).unwrap();
        for edit in &edits {
            apply(&mut bytes, edit);
        }
        read(&bytes);
    }

    #[test]
    fn random_bytes_are_read_or_refused(seed in 0..SEEDS.len(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        (SEEDS[seed].1)(&bytes);
    }
}
