//! Gets the cases: a virtual environment with `onnx`, and what it generates.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::workspace;

/// The release whose cases the table is about.
pub(super) const VERSION: &str = "1.23.2";

const SCRIPT: &str = include_str!("cases.py");

fn here() -> PathBuf {
    workspace::target().join("onnx").join(VERSION)
}

/// Returns whether they were made before.
pub(super) fn are_there() -> bool {
    here().join("cases").is_dir()
}

/// Returns the folder of each case, making them if they are not there.
pub(super) fn folders() -> Result<Vec<PathBuf>> {
    let here = here();
    let cases = here.join("cases");
    if !cases.is_dir() {
        generate(&here, &cases)?;
    }
    let mut res = Vec::new();
    for set in fs::read_dir(&cases)? {
        for case in fs::read_dir(set?.path())? {
            let case = case?.path();
            if case.join("model.onnx").is_file() {
                res.push(case);
            }
        }
    }
    res.sort();
    Ok(res)
}

fn generate(here: &Path, cases: &Path) -> Result<()> {
    fs::create_dir_all(here)?;
    let venv = here.join("venv");
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !python.is_file() {
        workspace::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))
            .context("the cases are made by Python; install it, or put them into the target folder")?;
    }
    let package = format!("onnx=={VERSION}");
    workspace::run(Command::new(&python).args(["-m", "pip", "install", "--quiet", &package]))?;
    let script = here.join("cases.py");
    fs::write(&script, SCRIPT)?;
    // Moved when they are complete, so that an interrupted run leaves no part of them.
    let partial = here.join("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    workspace::run(Command::new(&python).arg(&script).arg(&partial))?;
    fs::rename(&partial, cases)?;
    Ok(())
}
