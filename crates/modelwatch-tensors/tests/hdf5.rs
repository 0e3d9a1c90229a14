//! HDF5 beyond what Keras writes: every layout and element type, and what is refused.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use modelwatch_tensors::{Format, TensorFile};
use serde_json::json;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/hdf5")).join(name)
}

#[test]
fn every_layout_and_type_is_read() {
    let file = TensorFile::open(&fixture("variety.h5")).unwrap();
    assert_eq!(file.format(), Format::Hdf5);
    let ramp: Vec<f64> = (0..600).map(f64::from).collect();
    for name in ["a/chunked", "a/gzip", "a/lzf", "a/growing"] {
        let tensor = file.get(name).unwrap().unwrap();
        assert_eq!((tensor.info.shape.as_slice(), tensor.values_f64()), ([20, 30].as_slice(), ramp.clone()), "{name}");
    }
    let cases: [(&str, &str, &[f64]); 7] = [
        ("big_endian", "f64", &[1.5, -2.0]),
        ("big_endian_chunked", "i16", &[1.0, 256.0]),
        ("f16", "f16", &[0.5, -2.0]),
        ("bool", "bool", &[1.0, 0.0]),
        ("bf16", "bf16", &[1.5, -3.0]),
        ("scalar", "i64", &[-5.0]),
        ("empty", "f32", &[]),
    ];
    for (name, dtype, want) in cases {
        let tensor = file.get(name).unwrap().unwrap();
        assert_eq!((tensor.info.dtype.name(), tensor.values_f64().as_slice()), (dtype, want), "{name}");
    }
    let skipped: Vec<String> = file.skipped().iter().map(|it| format!("{} {}", it.name, it.reason)).collect();
    assert_eq!(
        skipped,
        [
            "complex holds no numbers of a known type",
            "never_written was never written",
            "text holds no numbers of a known type"
        ]
    );
}

#[test]
fn attributes_of_the_root_are_metadata_and_the_architecture_is_not() {
    let file = TensorFile::open(&fixture("variety.h5")).unwrap();
    let want = json!({"epoch": 7, "framework": "keras 3.0.0", "keras_version": "3.0.0", "loss": 0.25});
    assert_eq!(json!(file.metadata()), want);
}

#[test]
fn hostile_files_are_refused() {
    let cases = [
        ("hostile_virtual.h5", "tensor `w` is a view of datasets elsewhere; write the values into the file itself"),
        ("hostile_external.h5", "tensor `w` has its values in other files; write the values into the file itself"),
        ("hostile_cycle.h5", "is nested deeply, which is past the limit of 64"),
        ("hostile_filter.h5", "is packed with filter 6; write it with gzip"),
        ("hostile_sparse.h5", "claims to unpack 0 bytes to 17179869184"),
    ];
    for (name, want) in cases {
        let error = TensorFile::open(&fixture(name)).unwrap_err().to_string();
        assert!(error.contains(want), "{name}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
