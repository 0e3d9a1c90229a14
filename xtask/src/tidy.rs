//! What the compiler does not check.

use std::{
    fs,
    path::{Path, PathBuf},
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
    ("modelwatch-sdk", &["abi_stable", "arrow-array", "arrow-data", "arrow-schema", "modelwatch-abi", "schemars"]),
    ("modelwatch-stats", &["statrs", "faer"]),
    ("modelwatch-profile", &["blake3", "foldhash", "modelwatch-sdk", "modelwatch-stats"]),
    ("modelwatch-store", &["blake3", "modelwatch-sdk", "zstd"]),
    (
        "modelwatch-tensors",
        &["crc32fast", "hdf5-pure", "memmap2", "npyz", "prost", "safetensors", "serde-saphyr", "sha2", "zip"],
    ),
    ("modelwatch-config", &["annotate-snippets", "jsonschema", "schemars", "strsim", "toml"]),
    (
        "modelwatch-infer",
        &[
            "arrow-array",
            "arrow-schema",
            "blake3",
            "flate2",
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
            "libloading",
            "modelwatch-abi",
            "modelwatch-config",
            "modelwatch-infer",
            "modelwatch-profile",
            "modelwatch-sdk",
            "modelwatch-stats",
            "modelwatch-tensors",
            "npyz",
            "parquet",
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
            "sha2",
            "signal-hook",
            "simdutf8",
            "smallvec",
            "tempfile",
            "toml",
            "tracing-subscriber",
            "uuid",
        ],
    ),
    ("analyze-quality", &["jiff", "modelwatch-sdk", "modelwatch-stats", "regex", "schemars"]),
    ("analyze-stream", &["jiff", "modelwatch-sdk", "modelwatch-stats", "schemars"]),
    ("store-local", &["modelwatch-sdk", "modelwatch-store", "rustix", "schemars"]),
    (
        "store-object",
        &["futures-util", "modelwatch-sdk", "modelwatch-store", "object_store", "schemars", "tokio", "url"],
    ),
    ("xtask", &["anyhow", "clap", "modelwatch-config"]),
];

/// What a plugin may depend on: never the runtime, the configuration, inference or tract.
const PLUGIN_EDGES: &[&str] =
    &["modelwatch-profile", "modelwatch-sdk", "modelwatch-stats", "modelwatch-store", "modelwatch-tensors", "schemars"];

/// Parts of paths that name one person's machine.
const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/Users/", "/work/", "C:\\Users"];

pub(crate) fn tidy() -> Result<()> {
    let mut problems = edges()?;
    for file in tracked()? {
        problems.extend(check_file(&file)?);
    }
    problems.extend(orphans()?);
    problems.extend(finding_codes::problems(&tracked()?)?);
    if problems.is_empty() {
        println!("tidy: fine");
        return Ok(());
    }
    bail!("{} things are not tidy:\n{}", problems.len(), problems.join("\n"))
}

fn edges() -> Result<Vec<String>> {
    let output = workspace::cargo(&["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cannot read `cargo metadata`")?;
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
    Ok(problems)
}

/// The files that git knows or would add.
fn tracked() -> Result<Vec<PathBuf>> {
    let mut command = std::process::Command::new("git");
    let output = command
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(workspace::root())
        .output()
        .context("cannot run git")?;
    let names = String::from_utf8(output.stdout)?;
    Ok(names.split('\0').filter(|it| !it.is_empty()).map(PathBuf::from).collect())
}

fn check_file(file: &Path) -> Result<Vec<String>> {
    let shown = file.display();
    let mut problems = Vec::new();
    let path = workspace::root().join(file);
    let extension = file.extension().and_then(|it| it.to_str()).unwrap_or_default();
    if extension == "new" || file.to_string_lossy().ends_with(".snap.new") {
        problems.push(format!("{shown}: a snapshot that nobody accepted"));
    }
    if !matches!(extension, "rs" | "toml" | "md" | "html" | "yml" | "sh") || file.starts_with("tests/fixtures") {
        return Ok(problems);
    }
    // A file that was deleted but is still in the index.
    let Ok(text) = fs::read_to_string(&path) else { return Ok(problems) };
    if extension == "rs" && !file.starts_with("crates/modelwatch/templates") && !text.starts_with("//!") {
        problems.push(format!("{shown}:1: no module documentation (`//!`)"));
    }
    // This file has to name what it looks for.
    let is_here = file == Path::new("xtask/src/tidy.rs");
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        if line.ends_with([' ', '\t']) && extension != "md" {
            problems.push(format!("{shown}:{at}: space at the end of the line"));
        }
        if !is_here && MACHINE_PATHS.iter().any(|it| line.contains(it)) {
            problems.push(format!("{shown}:{at}: a path of one machine"));
        }
        if extension == "rs" && !is_here && (line.contains("#[ignore") || line.contains("#[should_panic")) {
            problems.push(format!("{shown}:{at}: tests are not ignored, and check what an error says"));
        }
    }
    Ok(problems)
}

/// Source files that no `mod` line beside or above them reaches.
fn orphans() -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for file in tracked()? {
        if file.extension().is_none_or(|it| it != "rs") || file.starts_with("tests/fixtures") {
            continue;
        }
        let Some((name, dirs)) = module(&file) else { continue };
        let mut reached = false;
        for dir in dirs {
            reached |= declares(&workspace::root().join(dir), &name)?;
        }
        if !reached {
            problems.push(format!("{}: no `mod {name};` reaches it", file.display()));
        }
    }
    Ok(problems)
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

fn declares(dir: &Path, name: &str) -> Result<bool> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|it| it != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let reaches = text.lines().any(|line| {
            let line = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            line == format!("mod {name};")
        });
        if reaches {
            return Ok(true);
        }
    }
    Ok(false)
}
