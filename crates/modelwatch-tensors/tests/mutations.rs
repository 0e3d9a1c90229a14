//! No bytes make the readers panic: what `cargo xtask fuzz` does for longer.

#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf};

use proptest::prelude::*;

// What the targets call their crates by.
extern crate self as libfuzzer_sys;
extern crate self as modelwatch_fuzz;

#[path = "../../../fuzz/src/lib.rs"]
mod shared;

pub use shared::*;

/// The targets of `fuzz/` that read these formats.
#[allow(unused_attributes, reason = "each is a program of its own there, and has no `main`")]
#[path = "../../../fuzz/fuzz_targets"]
mod targets {
    pub(crate) mod handoff;
    pub(crate) mod hdf5;
    pub(crate) mod keras;
    pub(crate) mod mlmodel;
    pub(crate) mod npy;
    pub(crate) mod npz;
    pub(crate) mod onnx;
    pub(crate) mod pickle;
    pub(crate) mod pytorch;
    pub(crate) mod safetensors;
    pub(crate) mod sharded;
    pub(crate) mod tensor_bundle;
    pub(crate) mod tensorflow_graph;
    pub(crate) mod tflite;
}

// Below the targets, which take it by its path.
/// Takes the place of libFuzzer's: a target is a function here.
#[macro_export]
macro_rules! fuzz_target {
    (|$bytes:ident: &[u8]| $read:expr) => {
        pub(crate) fn target($bytes: &[u8]) {
            $read
        }
    };
}

use targets::{
    handoff, hdf5, keras, mlmodel, npy, npz, onnx, pickle, pytorch, safetensors, sharded, tensor_bundle,
    tensorflow_graph, tflite,
};

/// What reads the bytes of a file.
type Target = fn(&[u8]);

/// Small files of every format that is read.
const SEEDS: [(&str, Target); 23] = [
    ("digits/cnn/cnn.safetensors", safetensors::target),
    ("conformance/checkpoints/ok.safetensors", safetensors::target),
    ("fuzz/model.safetensors.index.json", sharded::target),
    ("digits/cnn/cnn.npz", npz::target),
    ("fuzz/kernel.npy", npy::target),
    ("tabular/wine/pca.onnx", onnx::target),
    ("traps/softmax_qdq/model.onnx", onnx::target),
    ("digits/cnn/mlp_int8_dynamic.onnx", onnx::target),
    ("digits/cnn/external/model.onnx", onnx::target),
    ("digits/cnn/cnn_frozen_b1.pb", tensorflow_graph::target),
    ("digits/cnn/saved_model/saved_model.pb", tensorflow_graph::target),
    ("digits/cnn/tf_checkpoint/ckpt.index", tensor_bundle::target),
    ("digits/cnn/cnn.h5", hdf5::target),
    ("digits/cnn/cnn.weights.h5", hdf5::target),
    ("hdf5/variety.h5", hdf5::target),
    ("digits/cnn/cnn.keras", keras::target),
    ("digits/cnn/cnn.tflite", tflite::target),
    ("torch/training.pt", pytorch::target),
    ("torch/variety.pt", pytorch::target),
    ("torch/training.pkl", pickle::target),
    ("torch/variety_protocol4.pkl", pickle::target),
    ("handoff/checkpoint.json", handoff::target),
    ("mlflow/MLmodel", mlmodel::target),
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
