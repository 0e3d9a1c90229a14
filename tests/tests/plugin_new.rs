//! What `modelwatch plugin new` writes builds and passes its conformance suite as it is.
#![allow(clippy::unwrap_used)]

use std::{env, fs, path::Path, process::Command};

use modelwatch_tests::{binary, root, target};

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |it: &[u8]| String::from_utf8_lossy(it).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn make(dir: &Path, kind: &str, name: &str) -> String {
    let mut new = Command::new(binary());
    new.args(["plugin", "new", kind, name, "--sdk"]).arg(root().join("crates/modelwatch-sdk")).arg("--dir").arg(dir);
    run(&mut new)
}

/// The versions and the profile are the workspace's, so that its dependencies need not be built again.
fn share_builds(dir: &Path) {
    fs::copy(root().join("Cargo.lock"), dir.join("Cargo.lock")).unwrap();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let profiles = &manifest[manifest.find("[profile.dev]").unwrap()..manifest.find("[profile.release]").unwrap()];
    let own = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
    fs::write(dir.join("Cargo.toml"), format!("{own}\n{profiles}")).unwrap();
}

#[test]
fn a_new_plugin_of_each_kind_passes_its_conformance_suite() {
    let place = tempfile::tempdir().unwrap();
    for (kind, name) in [("analyzer", "my-check"), ("verifier", "my-share"), ("store", "my-store")] {
        let dir = place.path().join(name);
        make(&dir, kind, name);
        share_builds(&dir);
        let mut test = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        test.args(["test", "--offline", "--quiet"]).current_dir(&dir).env("CARGO_TARGET_DIR", target());
        assert!(run(&mut test).contains("1 passed"));
    }
}

/// Whatever the name and the rules of the folder are, the crate's own or those of the workspace.
#[test]
fn what_is_written_is_formatted() {
    let place = tempfile::tempdir().unwrap();
    let rules = root().join("rustfmt.toml");
    for (kind, name) in ["analyzer", "verifier", "store"].into_iter().zip(["a", "my-check", &"long-name-".repeat(5)]) {
        let name = format!("{name}x");
        for of_workspace in [false, true] {
            let dir = place.path().join(format!("{kind}-{of_workspace}"));
            let (crate_dir, options): (_, &[&str]) = match of_workspace {
                false => (dir.clone(), &["--sdk", "crates/modelwatch-sdk"]),
                true => (dir.join("plugins/it"), &["--workspace"]),
            };
            if of_workspace {
                fs::create_dir_all(dir.join("plugins")).unwrap();
                fs::copy(&rules, dir.join("rustfmt.toml")).unwrap();
            }
            let mut new = Command::new(binary());
            new.args(["plugin", "new", kind, &name, "--dir"]).arg(&crate_dir).args(options).current_dir(root());
            run(&mut new);
            let manifest = fs::read_to_string(crate_dir.join("Cargo.toml")).unwrap();
            assert_eq!(manifest.contains("modelwatch-sdk.workspace = true"), of_workspace, "{manifest}");
            let mut check = Command::new("rustfmt");
            check.args(["--check", "--edition", "2024"]).arg(crate_dir.join("src/lib.rs"));
            run(check.arg(crate_dir.join("tests/conformance.rs")));
        }
    }
}

#[test]
fn names_that_are_no_names_are_refused() {
    let place = tempfile::tempdir().unwrap();
    for name in ["My-Check", "-x", "a--b", "1a", "../x"] {
        let mut new = Command::new(binary());
        let output = new.args(["plugin", "new", "analyzer", "--dir"]).arg(place.path().join("x")).arg("--").arg(name);
        assert_eq!(output.output().unwrap().status.code(), Some(2), "{name}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "{name}");
    }
}
