//! A hand-off is held against its manifest, file by file.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use modelwatch_tensors::{FileDigest, HANDOFF_FILE, Handoff};
use serde_json::json;

/// SHA-256 of `abc` and of nothing, from FIPS 180-4.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn publish(folder: &Path) {
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("model.keras"), "abc").unwrap();
    fs::write(folder.join("sub/empty"), "").unwrap();
    let manifest = json!({
        "version": 1, "step": 3, "time": 1.5, "framework": "keras 3.15.1", "metrics": {"loss": 0.25},
        "files": [
            {"path": "sub/empty", "bytes": 0, "sha256": EMPTY},
            {"path": "model.keras", "bytes": 3, "sha256": ABC.to_uppercase()},
        ],
    });
    fs::write(folder.join(HANDOFF_FILE), manifest.to_string()).unwrap();
}

fn problems(folder: &Path) -> Vec<String> {
    let handoff = Handoff::open(folder).unwrap();
    handoff.verify(folder).iter().map(|it| it.to_string().replace(&*folder.to_string_lossy(), "F")).collect()
}

#[test]
fn whole_handoff_has_no_problems() {
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path());
    fs::write(folder.path().join("verdict.json"), "{}").unwrap();
    let handoff = Handoff::open(folder.path()).unwrap();
    assert_eq!((handoff.step, handoff.time, handoff.framework.as_str()), (3, 1.5, "keras 3.15.1"));
    assert_eq!(handoff.metrics["loss"], 0.25);
    assert_eq!(handoff.files[0].sha256, ABC);
    let digest = |pieces: &[&[u8]]| {
        let mut res = FileDigest::default();
        pieces.iter().for_each(|it| res.update(it));
        res.finish()
    };
    assert_eq!(digest(&[b"a", b"bc"]), ABC);
    assert_eq!(handoff.sha256, digest(&[&fs::read(folder.path().join(HANDOFF_FILE)).unwrap()]));
    assert_eq!(problems(folder.path()), [""; 0]);
}

#[test]
fn every_difference_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    publish(folder);
    fs::write(folder.join("model.keras"), "abd").unwrap();
    fs::write(folder.join("sub/extra"), "x").unwrap();
    fs::remove_file(folder.join("sub/empty")).unwrap();
    let changed = problems(folder);
    assert_eq!(changed.len(), 3, "{changed:?}");
    assert!(changed[0].starts_with("`model.keras` in `F` has SHA-256 a52d159f"), "{changed:?}");
    assert_eq!(
        changed[1..],
        [
            "cannot find `sub/empty`, which `checkpoint.json` in `F` lists; publish the folder again",
            "`sub/extra` in `F` is not listed in `checkpoint.json`; remove it or publish the folder again",
        ]
    );
    fs::write(folder.join("model.keras"), "abcd").unwrap();
    assert_eq!(
        problems(folder)[0],
        "`model.keras` in `F` has 4 bytes where `checkpoint.json` says 3; publish the folder again"
    );
}

#[test]
fn symbolic_links_are_neither_followed_nor_listed() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("step");
    publish(&folder);
    fs::write(outer.path().join("abc"), "abc").unwrap();
    fs::remove_file(folder.join("model.keras")).unwrap();
    std::os::unix::fs::symlink("../abc", folder.join("model.keras")).unwrap();
    std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
    let found = problems(&folder);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("cannot find `model.keras`"), "{found:?}");
    assert!(found[1].starts_with("`up` in `F` is not listed"), "{found:?}");
}

#[test]
fn python_writes_a_loss_that_json_does_not_have() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"version": 1, "step": 3, "framework": "NaN \" Infinity", "files": [],
        "metrics": {"loss": NaN, "high": Infinity, "low": -Infinity, "fine": -1e3}}"#;
    fs::write(folder.path().join(HANDOFF_FILE), text).unwrap();
    let handoff = Handoff::open(folder.path()).unwrap();
    assert_eq!(handoff.framework, "NaN \" Infinity");
    assert!(handoff.metrics["loss"].is_nan());
    assert_eq!(handoff.metrics["high"], f64::INFINITY);
    assert_eq!(handoff.metrics["low"], f64::NEG_INFINITY);
    assert_eq!(handoff.metrics["fine"], -1000.0);
}

#[test]
fn epoch_and_seeds_are_read_under_every_name() {
    let folder = tempfile::tempdir().unwrap();
    let read = |more: serde_json::Value| {
        let mut manifest = json!({"version": 1, "step": 3, "files": []});
        manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fs::write(folder.path().join(HANDOFF_FILE), manifest.to_string()).unwrap();
        let read = Handoff::open(folder.path()).unwrap();
        (read.epoch, read.seeds)
    };
    assert_eq!(read(json!({})), (None, None));
    assert_eq!(read(json!({"epoch": 2, "seeds": {"numpy": 7}})), (Some(2), Some(json!({"numpy": 7}))));
    assert_eq!(read(json!({"seed": 1, "rng_seed": 2})), (None, Some(json!(1))));
    assert_eq!(read(json!({"rng_seed": [1, 2]})), (None, Some(json!([1, 2]))));
    // What is no epoch is no reason to lose the hand-off.
    assert_eq!(read(json!({"epoch": "2 of 3", "seed": null})), (None, None));
}

#[test]
fn malformed_manifests_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |path: &str| json!({"path": path, "bytes": 0, "sha256": EMPTY});
    let manifest = |files: serde_json::Value| json!({"version": 1, "step": 1, "files": files}).to_string();
    let cases = [
        (String::new(), "EOF while parsing"),
        (json!({"version": 2, "step": 1, "files": []}).to_string(), "it has version 2, and only 1 is known"),
        (json!({"version": 1, "files": []}).to_string(), "missing field `step`"),
        (
            json!({"version": 1, "step": 1, "files": [], "metrics": {"a": "low"}}).to_string(),
            r#"the metric `a` is "low", not a number"#,
        ),
        (
            json!({"version": 1, "step": 1, "files": [], "metrics": {"val_loss": null}}).to_string(),
            "the metric `val_loss` is null, not a number",
        ),
        (
            json!({"version": 1, "step": 1, "files": [], "metrics": {"loss": 1.0, "a": {"b": 0.5}}}).to_string(),
            "the metric `a` is {",
        ),
        (manifest(json!([file("../x")])), "`../x`, which is no plain path"),
        (manifest(json!([file("/etc/passwd")])), "which is no plain path"),
        (manifest(json!([file("a//b")])), "which is no plain path"),
        (manifest(json!([file("./a")])), "which is no plain path"),
        (manifest(json!([file("a\\b")])), "which is no plain path"),
        (manifest(json!([file("")])), "which is no plain path"),
        (manifest(json!([file("a"), file("a")])), "it lists `a` twice"),
        (manifest(json!([file(HANDOFF_FILE)])), "it lists itself"),
        (manifest(json!([{"path": "a", "bytes": 0, "sha256": "ab"}])), "no SHA-256 of 64 digits for `a`"),
        (manifest(json!([{"path": "a", "bytes": -1, "sha256": EMPTY}])), "invalid value"),
        ("[".repeat(100_000), "invalid type"),
    ];
    for (text, want) in cases {
        fs::write(folder.path().join(HANDOFF_FILE), text).unwrap();
        let error = Handoff::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    fs::remove_file(folder.path().join(HANDOFF_FILE)).unwrap();
    assert!(Handoff::open(folder.path()).unwrap_err().to_string().starts_with("cannot read"));
}
