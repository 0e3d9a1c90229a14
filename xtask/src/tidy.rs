//! What the compiler does not check.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace;

mod finding_codes;

/// Which crates may depend on which: DESIGN says why. Development dependencies are not looked at,
/// and these may be used by all.
const EVERYWHERE: &[&str] = &["thiserror", "tracing", "serde", "serde_json"];

const EDGES: &[(&str, &[&str])] = &[
    ("modelwatch-abi", &["abi_stable"]),
    (
        "modelwatch-sdk",
        &["abi_stable", "arrow-array", "arrow-buffer", "arrow-data", "arrow-schema", "modelwatch-abi", "schemars"],
    ),
    ("modelwatch-stats", &["statrs", "faer"]),
    ("modelwatch-profile", &["blake3", "foldhash", "modelwatch-sdk", "modelwatch-stats"]),
    ("modelwatch-store", &["blake3", "memmap2", "modelwatch-sdk", "schemars", "zstd"]),
    (
        "modelwatch-tensors",
        &[
            "crc32fast",
            "hdf5-pure",
            "libc",
            "memmap2",
            "npyz",
            "prost",
            "rustix",
            "safetensors",
            "serde-saphyr",
            "sha2",
            "zip",
        ],
    ),
    ("modelwatch-config", &["annotate-snippets", "jsonschema", "schemars", "strsim", "toml"]),
    (
        "modelwatch-infer",
        &[
            "arrow-array",
            "arrow-buffer",
            "arrow-schema",
            "blake3",
            "flate2",
            "libm",
            "modelwatch-tensors",
            "prost",
            "pulp",
            "tar",
            "tract-nnef",
            "tract-onnx",
            "tract-tensorflow",
            "tract-tflite",
        ],
    ),
    ("modelwatch-onnxruntime", &["half", "modelwatch-infer", "ort"]),
    (
        "modelwatch-runtime",
        &[
            "abi_stable",
            "arrow-array",
            "arrow-cast",
            "arrow-csv",
            "arrow-ipc",
            "arrow-schema",
            "arrow-select",
            "blake3",
            "glob",
            "jiff",
            "libc",
            "libloading",
            "modelwatch-abi",
            "modelwatch-config",
            "modelwatch-infer",
            "modelwatch-profile",
            "modelwatch-sdk",
            "modelwatch-stats",
            "modelwatch-tensors",
            "npyz",
            "object",
            "parquet",
            "regex",
            "rusqlite",
            "rustix",
            "schemars",
            "tempfile",
            "toml",
            "zip",
        ],
    ),
    (
        "modelwatch",
        &[
            "anstream",
            "anstyle",
            "anyhow",
            "arrayvec",
            "askama",
            "chrono",
            "clap",
            "clap_complete",
            "comfy-table",
            "digest",
            "indicatif",
            "jiff",
            "libc",
            "modelwatch-config",
            "modelwatch-onnxruntime",
            "modelwatch-runtime",
            "modelwatch-sdk",
            "quick-junit",
            "quick-xml",
            "rustix",
            "sha2",
            "signal-hook",
            "simdutf8",
            "smallvec",
            "tempfile",
            "toml",
            "tracing-subscriber",
            "unicode-width",
            "uuid",
        ],
    ),
    ("analyze-quality", &["jiff", "modelwatch-profile", "modelwatch-sdk", "modelwatch-stats", "regex", "schemars"]),
    ("analyze-stream", &["jiff", "modelwatch-sdk", "modelwatch-stats", "schemars"]),
    ("fixture-faulty", &["modelwatch-sdk", "schemars", "store-local"]),
    ("store-local", &["modelwatch-sdk", "modelwatch-store", "rustix", "schemars"]),
    (
        "store-object",
        &["futures-util", "modelwatch-sdk", "modelwatch-store", "object_store", "schemars", "tokio", "url"],
    ),
    ("xtask", &["anyhow", "clap", "modelwatch-config", "rustix", "signal-hook"]),
];

/// What a plugin may depend on: never the runtime, the configuration, inference or tract.
const PLUGIN_EDGES: &[&str] = &[
    "blake3",
    "modelwatch-profile",
    "modelwatch-sdk",
    "modelwatch-stats",
    "modelwatch-store",
    "modelwatch-tensors",
    "schemars",
];

/// Parts of paths that name one person's machine.
const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/Users/", "/work/", "C:\\Users"];

/// A text file of the repository.
struct Source {
    /// Below the repository's root.
    file: PathBuf,
    text: String,
}

pub(crate) fn tidy() -> Result<()> {
    let output = workspace::cargo(&["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata = serde_json::from_slice(&output.stdout).context("cannot read `cargo metadata`")?;
    let files = tracked()?;
    let sources: Vec<Source> =
        files.iter().filter(|it| is_text(it)).filter_map(|it| read(it).transpose()).collect::<Result<_>>()?;
    let mut problems = edges(&metadata);
    problems.extend(files.iter().filter_map(|it| unaccepted(it)));
    problems.extend(sources.iter().flat_map(lines));
    problems.extend(orphans(&sources));
    problems.extend(finding_codes::problems(&sources));
    if problems.is_empty() {
        println!("tidy: fine");
        return Ok(());
    }
    bail!("{} things are not tidy:\n{}", problems.len(), problems.join("\n"))
}

/// The files that git knows or would add.
fn tracked() -> Result<Vec<PathBuf>> {
    let mut command = Command::new("git");
    let output = command
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(workspace::root())
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        bail!("git cannot list the files: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let names = String::from_utf8(output.stdout)?;
    Ok(names.split('\0').filter(|it| !it.is_empty()).map(PathBuf::from).collect())
}

fn is_text(file: &Path) -> bool {
    let extension = file.extension().and_then(|it| it.to_str()).unwrap_or_default();
    matches!(extension, "rs" | "toml" | "md" | "html" | "yml" | "sh") && !file.starts_with("tests/fixtures")
}

/// Returns nothing for a file that was deleted but is still in the index.
fn read(file: &Path) -> Result<Option<Source>> {
    match fs::read_to_string(workspace::root().join(file)) {
        Ok(text) => Ok(Some(Source { file: file.to_owned(), text })),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Dependencies that DESIGN does not allow, in what `cargo metadata` says.
fn edges(metadata: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let is_plugin = Path::new(manifest).parent().and_then(Path::parent).is_some_and(|it| it.ends_with("plugins"));
        let allowed = match EDGES.iter().find(|it| it.0 == name) {
            Some(it) => it.1,
            None if is_plugin => PLUGIN_EDGES,
            None if name == "modelwatch-tests" => continue,
            None => {
                problems.push(format!("{manifest}: the crate `{name}` has no line in xtask/src/tidy.rs"));
                continue;
            }
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            let normal = dependency["kind"].is_null();
            if normal && !allowed.contains(&to) && !EVERYWHERE.contains(&to) {
                problems.push(format!("{name} must not depend on {to}"));
            }
        }
    }
    problems
}

fn unaccepted(file: &Path) -> Option<String> {
    let is_new = file.extension().is_some_and(|it| it == "new");
    is_new.then(|| format!("{}: a snapshot that nobody accepted", file.display()))
}

/// What the lines of one file have that they must not have.
fn lines(source: &Source) -> Vec<String> {
    let Source { file, text } = source;
    let shown = file.display();
    let is = |extension: &str| file.extension().is_some_and(|it| it == extension);
    let mut problems = Vec::new();
    if is("rs") && !file.starts_with("crates/modelwatch/templates") && !text.starts_with("//!") {
        problems.push(format!("{shown}:1: no module documentation (`//!`)"));
    }
    // This file has to name what it looks for.
    let is_here = file == Path::new("xtask/src/tidy.rs");
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        if line.ends_with([' ', '\t']) && !is("md") {
            problems.push(format!("{shown}:{at}: space at the end of the line"));
        }
        if !is_here && MACHINE_PATHS.iter().any(|it| line.contains(it)) {
            problems.push(format!("{shown}:{at}: a path of one machine"));
        }
        if is("rs") && !is_here && (line.contains("#[ignore") || line.contains("#[should_panic")) {
            problems.push(format!("{shown}:{at}: tests are not ignored, and check what an error says"));
        }
    }
    problems
}

/// Source files, of tests too, that no `mod` line beside or above them reaches.
fn orphans(sources: &[Source]) -> Vec<String> {
    let is_rust = |it: &&Source| it.file.extension().is_some_and(|it| it == "rs");
    let unreached = sources.iter().filter(is_rust).filter_map(|it| {
        let (name, dirs) = module(&it.file)?;
        let declaring = |it: &&Source| it.file.parent().is_some_and(|it| dirs.contains(&it));
        let is_reached = sources.iter().filter(is_rust).filter(declaring).any(|it| declares(&it.text, &name));
        (!is_reached).then(|| format!("{}: no `mod {name};` reaches it", it.file.display()))
    });
    unreached.collect()
}

/// The module's name and the folders of files that may declare it; `None` for roots of crates,
/// tests and benchmarks, which cargo finds by itself.
fn module(file: &Path) -> Option<(String, Vec<&Path>)> {
    let dir = file.parent()?;
    let stem = file.file_stem()?.to_str()?;
    let dir_name = dir.file_name()?.to_str()?;
    let is_root = matches!(
        (dir_name, stem),
        ("src", "lib" | "main") | ("tests" | "benches" | "examples" | "bin" | "fuzz_targets", _)
    );
    let is_template = dir.ends_with("templates/plugin");
    // `tests/cli/main.rs` is a root too.
    if (is_root && !file.to_string_lossy().contains("/src/tests/")) || is_template || stem == "main" || stem == "build"
    {
        return None;
    }
    let name = if stem == "mod" { dir_name } else { stem };
    Some((name.to_owned(), vec![dir, dir.parent()?]))
}

fn declares(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        line == format!("mod {name};")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(folder: &str, name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependency = |(name, kind): &(&str, Option<&str>)| json!({ "name": name, "kind": kind });
        let dependencies: Vec<_> = dependencies.iter().map(dependency).collect();
        json!({ "name": name, "manifest_path": format!("/r/{folder}/{name}/Cargo.toml"), "dependencies": dependencies })
    }

    fn source(file: &str, text: &str) -> Source {
        Source { file: file.into(), text: text.to_owned() }
    }

    #[test]
    fn an_edge_that_nobody_allowed_is_found() {
        let found = edges(&json!({ "packages": [
            package("crates", "modelwatch-abi", &[("abi_stable", None), ("serde", None), ("tract-onnx", None)]),
            package("crates", "modelwatch-sdk", &[("modelwatch-abi", None), ("modelwatch-runtime", Some("dev"))]),
            package("plugins", "verify-new", &[("modelwatch-sdk", None), ("modelwatch-runtime", None)]),
            package("crates", "modelwatch-utils", &[]),
            package(".", "modelwatch-tests", &[("modelwatch-runtime", None)]),
        ] }));
        let expected = [
            "modelwatch-abi must not depend on tract-onnx",
            "verify-new must not depend on modelwatch-runtime",
            "/r/crates/modelwatch-utils/Cargo.toml: the crate `modelwatch-utils` has no line in xtask/src/tidy.rs",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_file_without_module_documentation_is_found() {
        let found = |file: &str, text: &str| lines(&source(file, text));
        assert_eq!(
            found("crates/a/src/b.rs", "use std::fs;\n"),
            ["crates/a/src/b.rs:1: no module documentation (`//!`)"]
        );
        assert_eq!(found("crates/a/src/b.rs", "//! What it is.\n"), [""; 0]);
        assert_eq!(found("crates/modelwatch/templates/plugin/a.rs", "use std::fs;\n"), [""; 0]);
        assert_eq!(found("README.md", "# A\n"), [""; 0]);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for path in ["/home/me/x", "/root/x", "/Users/me/x", "/work/x", "C:\\Users\\me"] {
            let found = lines(&source("configs/a.toml", &format!("a = 1\npath = '{path}'\n")));
            assert_eq!(found, ["configs/a.toml:2: a path of one machine"], "{path}");
        }
        assert_eq!(lines(&source("configs/a.toml", "path = '../homework/x'\n")), [""; 0]);
    }

    #[test]
    fn ignored_tests_and_stray_spaces_are_found() {
        let text = "//! Tests.\n#[ignore]\n#[should_panic(expected = \"x\")]\nfn a() {}\x20\n";
        let found = lines(&source("tests/tests/a.rs", text));
        let expected = [
            "tests/tests/a.rs:2: tests are not ignored, and check what an error says",
            "tests/tests/a.rs:3: tests are not ignored, and check what an error says",
            "tests/tests/a.rs:4: space at the end of the line",
        ];
        assert_eq!(found, expected);
        // Two spaces are a line break there.
        assert_eq!(lines(&source("a.md", "#[ignore] is not used\x20\x20\n")), [""; 0]);
    }

    #[test]
    fn a_forgotten_file_is_found() {
        let found = orphans(&[
            source("crates/a/src/lib.rs", "mod b;\npub(crate) mod c;\n// mod lost;\n"),
            source("crates/a/src/b.rs", "#[cfg(test)]\nmod tests;\n"),
            source("crates/a/src/b/tests.rs", ""),
            source("crates/a/src/c/mod.rs", ""),
            source("crates/a/src/lost.rs", ""),
            source("crates/a/tests/whole.rs", "mod common;\n"),
            source("crates/a/tests/common/mod.rs", ""),
            source("crates/a/tests/cli/main.rs", "mod seen;\n"),
            source("crates/a/tests/cli/seen.rs", ""),
            source("crates/a/tests/cli/forgotten.rs", ""),
            source("crates/a/README.md", "mod lost;\nmod forgotten;\n"),
        ]);
        let expected = [
            "crates/a/src/lost.rs: no `mod lost;` reaches it",
            "crates/a/tests/cli/forgotten.rs: no `mod forgotten;` reaches it",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_snapshot_that_nobody_accepted_is_found() {
        let found = unaccepted(Path::new("crates/a/src/snapshots/b.snap.new"));
        assert_eq!(found.unwrap(), "crates/a/src/snapshots/b.snap.new: a snapshot that nobody accepted");
        assert_eq!(unaccepted(Path::new("crates/a/src/snapshots/b.snap")), None);
    }
}
