//! Gets the cases: a virtual environment with `onnx`, what it generates, and those with extreme values that are written with it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// The release whose cases the table is about.
pub(super) const VERSION: &str = "1.23.2";

const SCRIPT: &str = include_str!("cases.py");

/// The set of cases that are written here.
pub(super) const EXTREME: &str = "extreme";

const EXTREME_SCRIPT: &str = include_str!("extreme.py");

const VERSIONS_SCRIPT: &str = include_str!("versions.py");

fn here() -> PathBuf {
    workspace::target().join("onnx").join(VERSION)
}

/// Returns whether they were made before.
pub(super) fn are_there() -> bool {
    here().join("cases").is_dir() && is_written(&here())
}

/// Whether the cases with extreme values are those that the script writes.
fn is_written(here: &Path) -> bool {
    fs::read_to_string(here.join("cases").join(EXTREME).join("written_by.py")).is_ok_and(|it| it == EXTREME_SCRIPT)
}

/// Returns the folder of each case, making them if they are not there.
pub(super) fn folders() -> Result<Vec<PathBuf>> {
    let here = here();
    let cases = here.join("cases");
    if !cases.is_dir() {
        generate(&here, &cases)?;
    }
    if !is_written(&here) {
        write_extreme(&here, &cases)?;
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
    let python = python(here)?;
    run(here, &python, "cases.py", SCRIPT, cases)
}

fn write_extreme(here: &Path, cases: &Path) -> Result<()> {
    let python = python(here)?;
    let set = cases.join(EXTREME);
    if set.exists() {
        fs::remove_dir_all(&set)?;
    }
    run(here, &python, "extreme.py", EXTREME_SCRIPT, &set)?;
    fs::write(set.join("written_by.py"), EXTREME_SCRIPT)?;
    Ok(())
}

/// Returns the table of the versions of operators that the Python with `onnx` makes, if there is one.
pub(super) fn versions() -> Result<Option<String>> {
    let python = interpreter(&here().join("venv"));
    if !python.is_file() {
        return Ok(None);
    }
    let output = Command::new(&python).args(["-c", VERSIONS_SCRIPT]).output();
    let output = output.with_context(|| format!("cannot run `{}`", python.display()))?;
    ensure!(output.status.success(), "versions.py failed: {}", String::from_utf8_lossy(&output.stderr));
    // As the file has them that is compared with it.
    Ok(Some(String::from_utf8(output.stdout)?.replace("\r\n", "\n")))
}

fn interpreter(venv: &Path) -> PathBuf {
    venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

/// Returns a Python that has `onnx`.
fn python(here: &Path) -> Result<PathBuf> {
    fs::create_dir_all(here)?;
    let venv = here.join("venv");
    let python = interpreter(&venv);
    if !python.is_file() {
        workspace::run(Command::new("python3").args(["-m", "venv"]).arg(&venv))
            .context("the cases are made by Python; install it, or put them into the target folder")?;
    }
    let package = format!("onnx=={VERSION}");
    workspace::run(Command::new(&python).args(["-m", "pip", "install", "--quiet", &package]))?;
    Ok(python)
}

/// Has a script write its cases below a folder.
fn run(here: &Path, python: &Path, name: &str, text: &str, folder: &Path) -> Result<()> {
    let script = here.join(name);
    fs::write(&script, text)?;
    // Moved when they are complete, so that an interrupted run leaves no part of them.
    let partial = here.join("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    workspace::run(Command::new(python).arg(&script).arg(&partial))?;
    fs::rename(&partial, folder)?;
    Ok(())
}
