//! Runs ONNX's backend test cases, and cases with extreme values, through `modelwatch-infer` and writes what passes, by operator.
//!
//! The cases come from the Python package `onnx`, at development time only. They run in processes that are given one case at a time, so
//! that a case that hangs or crashes is one failed case.

mod cases;
mod runners;
mod table;

use std::fs;

use anyhow::{Result, bail};

use crate::{plugins, workspace};

/// The table, relative to the root.
const TABLE: &str = "docs/onnx-operators.md";

/// In which versions each operator changed, relative to the root.
const VERSIONS: &str = "crates/modelwatch-infer/src/tract/versions/table.rs";

/// How often each result occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    pass: usize,
    refused: usize,
    failed: usize,
    wrong: usize,
}

/// What became of one case.
struct Outcome {
    /// Its folder's name below that of its set.
    name: String,
    /// The operator of a model with one node.
    operator: String,
    result: String,
    reason: String,
    /// What the case says of what it expects.
    note: String,
}

impl Outcome {
    /// Returns whether this is one of ONNX's cases.
    fn is_of_onnx(&self) -> bool {
        !self.name.starts_with(&format!("{}/", cases::EXTREME))
    }
}

/// Compares the table where the cases are there; Python and the package index are not for every machine that tests.
pub(crate) fn check_if_there() -> Result<()> {
    if cases::are_there() {
        return onnx_conformance(true, None);
    }
    println!("ONNX's test cases are not there and left out; `cargo xtask onnx-conformance` gets them");
    Ok(())
}

/// Runs all cases, or those whose names contain `only`, and writes the table or compares it.
pub(crate) fn onnx_conformance(check: bool, only: Option<&str>) -> Result<()> {
    let mut folders = cases::folders()?;
    if only.is_none() {
        put_versions(check)?;
    }
    // With the features of all else, lest what it needs be built twice.
    let build = ["build", "--workspace", "--features", plugins::ONNX_RUNTIME, "--example", "onnx_conformance"];
    workspace::run(&mut workspace::cargo(&build))?;
    folders.retain(|it| only.is_none_or(|only| it.to_string_lossy().contains(only)));
    let mut outcomes = runners::run_all(folders)?;
    outcomes.sort_by(|a, b| a.name.cmp(&b.name));
    let counts = table::count(&outcomes);
    for it in outcomes.iter().filter(|it| it.result != "pass") {
        println!("{:8} {}: {}", it.result, it.name, it.reason);
    }
    println!(
        "{} cases: {} pass, {} refused, {} failed, {} wrong",
        outcomes.len(),
        counts.pass,
        counts.refused,
        counts.failed,
        counts.wrong
    );
    if only.is_none() {
        let text = table::render(&outcomes, &runners::audited()?);
        let path = workspace::root().join(TABLE);
        if !check {
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            fs::write(&path, text)?;
            println!("wrote {TABLE}");
        } else if fs::read_to_string(&path).unwrap_or_default() != text {
            bail!("`{TABLE}` is not up to date; run `cargo xtask onnx-conformance`");
        }
    }
    if counts.wrong > 0 {
        bail!("{} cases are computed wrongly; compute them another way or refuse them by name", counts.wrong);
    }
    Ok(())
}

/// Writes the versions in which operators changed, or compares them, if there is a Python to ask.
fn put_versions(check: bool) -> Result<()> {
    let Some(text) = cases::versions()? else {
        println!("`{VERSIONS}` is left out: the Python with onnx {} is not there", cases::VERSION);
        return Ok(());
    };
    let path = workspace::root().join(VERSIONS);
    if fs::read_to_string(&path).unwrap_or_default() == text {
        return Ok(());
    }
    if check {
        bail!("`{VERSIONS}` is not up to date; run `cargo xtask onnx-conformance`");
    }
    fs::write(&path, text)?;
    println!("wrote {VERSIONS}");
    Ok(())
}
