//! What `modelwatch plugin new` and `cargo xtask new-plugin` write builds, passes its conformance suite and is listed as it is.
#![allow(clippy::unwrap_used)]

use std::{env, fs, path::Path, process::Command};

use modelwatch_tests::{PLUGINS_VARIABLE, binary, library, root, target};

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
        let cargo = |command: &str| {
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args([command, "--offline", "--quiet"]).current_dir(&dir).env("CARGO_TARGET_DIR", target());
            run(&mut cargo)
        };
        assert!(cargo("test").contains("1 passed"));
        cargo("build");
        let built = place.path().join("built").join(name);
        fs::create_dir_all(&built).unwrap();
        let package = package(kind, name);
        fs::copy(library(&target().join("debug"), &package), library(&built, &package)).unwrap();
        let mut list = Command::new(binary());
        list.args(["plugin", "list", "--plugin-dir"]).arg(&built).current_dir(place.path());
        is_listed(&run(&mut list), kind, name);
    }
}

/// A workspace as this one, with the SDK of this one and a program that hands on to that of this one.
fn workspace(dir: &Path) {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, shared) = manifest.split_once("[workspace.package]").unwrap();
    let crates = format!("path = \"{}/crates/", root().display());
    let shared = shared.replace("path = \"crates/", &crates);
    let members = "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\", \"plugins/*\"]\n\n[workspace.package]";
    fs::write(dir.join("Cargo.toml"), format!("{members}{shared}")).unwrap();
    fs::copy(root().join("Cargo.lock"), dir.join("Cargo.lock")).unwrap();
    // A pattern of members has to mean one.
    let one = Path::new("plugins/fixture-panicking-manifest");
    fs::create_dir_all(dir.join(one).join("src")).unwrap();
    for it in ["Cargo.toml", "src/lib.rs"] {
        fs::copy(root().join(one).join(it), dir.join(one).join(it)).unwrap();
    }
    let program = dir.join("crates/modelwatch");
    fs::create_dir_all(program.join("src")).unwrap();
    let manifest = "[package]\nname = \"modelwatch\"\nversion.workspace = true\nedition.workspace = true\n";
    fs::write(program.join("Cargo.toml"), manifest).unwrap();
    let source = format!(
        "fn main() {{\n\
         let plugins = std::env::current_exe().unwrap().with_file_name(\"plugins\");\n\
         let mut program = std::process::Command::new({:?});\n\
         program.args(std::env::args_os().skip(1)).env(\"MODELWATCH_PLUGIN_PATH\", plugins);\n\
         std::process::exit(program.status().unwrap().code().unwrap());\n}}\n",
        binary()
    );
    fs::write(program.join("src/main.rs"), source).unwrap();
}

#[test]
fn a_new_plugin_of_the_workspace_is_built_tested_and_listed_with_no_other_file_edited() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().canonicalize().unwrap();
    workspace(&dir);
    let manifest = fs::read(dir.join("Cargo.toml")).unwrap();
    let mut said = String::new();
    for (kind, name) in [("analyzer", "new-check"), ("verifier", "new-share"), ("store", "new-store")] {
        let mut new = Command::new(binary().with_file_name(format!("xtask{}", env::consts::EXE_SUFFIX)));
        new.args(["new-plugin", kind, name]).env("MODELWATCH_XTASK_ROOT", &dir).env("CARGO_NET_OFFLINE", "true");
        // What is built goes where it is built for others, and what is to be used does not.
        new.env("CARGO_BUILD_BUILD_DIR", target()).env("CARGO_TARGET_DIR", dir.join("target"));
        new.env_remove(PLUGINS_VARIABLE);
        said = run(&mut new);
        assert!(said.contains("1 passed"), "{said}");
        is_listed(&said, kind, name);
    }
    // The last listing has all three.
    is_listed(&said, "analyzer", "new-check");
    is_listed(&said, "verifier", "new-share");
    assert_eq!(fs::read(dir.join("Cargo.toml")).unwrap(), manifest);
    let mut made: Vec<_> = fs::read_dir(dir.join("plugins")).unwrap().map(|it| it.unwrap().file_name()).collect();
    made.sort();
    assert_eq!(made, ["analyze-new-check", "fixture-panicking-manifest", "store-new-store", "verify-new-share"]);
}

fn package(kind: &str, name: &str) -> String {
    let verb = match kind {
        "analyzer" => "analyze",
        "verifier" => "verify",
        other => other,
    };
    format!("{verb}-{name}")
}

#[track_caller]
fn is_listed(list: &str, kind: &str, name: &str) {
    let mut lines = list.lines();
    assert!(
        lines.any(|it| it.contains(kind) && it.split_whitespace().any(|word| word == name)),
        "{kind} {name}: {list}"
    );
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
