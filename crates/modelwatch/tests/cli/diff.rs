//! `store diff`: what it says of tensors that are alike in all but one respect.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::Project;

/// Writes a safetensors file of one tensor `w`.
fn weights(project: &Project, name: &str, dtype: &str, shape: &[u64], bytes: &[u8]) -> PathBuf {
    let header = json!({"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, bytes.len()]}}).to_string();
    let path = project.path().join(name);
    let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), bytes].concat();
    std::fs::write(&path, file).unwrap();
    path
}

/// Stores two files and returns what a comparison of the two prints; they differ.
fn diff(project: &Project, files: &[PathBuf; 2], options: &[&str]) -> String {
    let store = |arguments: &[&str]| project.modelwatch(&[&["store", "--store", "store"], arguments].concat());
    let specs = files.each_ref().map(|it| {
        let put = store(&["put", it.to_str().unwrap(), "m"]);
        assert_eq!(put.code, 0, "{}", put.err);
        format!("m@b3:{}", put.out.trim())
    });
    let ended = store(&[&["diff", &specs[0], &specs[1]], options].concat());
    assert_eq!(ended.code, 1, "{}{}", ended.out, ended.err);
    ended.out
}

#[test]
fn wide_integers_differ_by_what_lies_between_them() {
    for dtype in ["I64", "U64"] {
        let project = Project::new();
        let file = |name: &str, it: u64| weights(&project, name, dtype, &[1], &it.to_le_bytes());
        let files = [file("a.safetensors", 1 << 60), file("b.safetensors", (1 << 60) + 1)];
        let told: Value = serde_json::from_str(&diff(&project, &files, &["--json"])).unwrap();
        let it = &told["tensors"][0];
        assert_eq!((&it["max_delta"], &it["relative"]), (&json!(1.0), &json!(2f64.powi(-60))), "{dtype}: {told:#}");
    }
}

#[test]
fn another_type_of_the_same_shape_is_called_so() {
    let project = Project::new();
    let one = |it: f64| weights(&project, "b.safetensors", "F64", &[1], &it.to_le_bytes());
    let files = [weights(&project, "a.safetensors", "F32", &[1], &1f32.to_le_bytes()), one(1.0)];
    let told = diff(&project, &files, &[]);
    assert!(told.contains("f32 → f64, the shape is still [1]"), "{told}");
    let json: Value = serde_json::from_str(&diff(&project, &files, &["--json"])).unwrap();
    let it = &json["tensors"][0];
    assert_eq!((&it["change"], &it["from"], &it["to"]), (&json!("retyped"), &json!("f32"), &json!("f64")), "{json:#}");
}

#[test]
fn norms_of_tiny_and_huge_weights_are_told_with_their_exponents() {
    for (before, after, told) in
        [(1e-30, 2e-30, "1.0000e-30 → 2.0000e-30"), (2.5, 1e9, "2.5000 → 1.0000e9"), (0.0, f64::NAN, "0.0000 → NaN")]
    {
        let project = Project::new();
        let file = |name: &str, it: f64| weights(&project, name, "F64", &[1], &it.to_le_bytes());
        let files = [file("a.safetensors", before), file("b.safetensors", after)];
        let out = diff(&project, &files, &[]);
        assert!(out.contains(told), "{out}");
    }
}
