//! The fuzz target of models, compiled and called with what it starts from: what `cargo xtask fuzz` does for longer.

#![allow(clippy::unwrap_used)]

// What the target calls its crate by.
extern crate self as libfuzzer_sys;

use std::{fs, path::Path};

#[allow(unused_attributes, reason = "it is a program of its own there, and has no `main`")]
#[path = "../../../fuzz/fuzz_targets/model.rs"]
mod model;

// Below the target, which takes it by its path.
/// Takes the place of libFuzzer's: a target is a function here.
#[macro_export]
macro_rules! fuzz_target {
    (|$bytes:ident: &[u8]| $read:expr) => {
        pub(crate) fn target($bytes: &[u8]) {
            $read
        }
    };
}

/// Nothing but a panic that is not caught, or the end of the process, is a failure.
#[test]
fn models_whole_and_cut_off_are_inspected_or_refused() {
    let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures"));
    for it in ["tabular/wine/pca.onnx", "tensorflow/two.tflite", "digits/cnn/cnn_frozen_b1.pb"] {
        let bytes = fs::read(fixtures.join(it)).unwrap();
        // By the name that the target gives it, since that nothing fails says little where nothing is read.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        fs::write(&path, &bytes).unwrap();
        modelwatch_infer::inspect(&path, None).unwrap();
        model::target(&bytes);
        (1..8).for_each(|eighths| model::target(&bytes[..bytes.len() * eighths / 8]));
    }
}
