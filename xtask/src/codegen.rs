//! Generated files: those that the program prints, and a page of what its code lists.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    plugins::{self, Others, Scope},
    workspace,
};

/// Each file and the arguments of `modelwatch` that print it.
const FILES: [(&str, &[&str]); 2] =
    [("configs/schema.json", &["schema"]), ("configs/run.schema.json", &["schema", "--run"])];

/// A page, and the example that prints it.
const PAGE: (&str, &str) = ("docs/tensorflow-operators.md", "tensorflow_operators");

pub(crate) fn codegen(check: bool) -> Result<()> {
    if !check {
        plugins::plugins(Scope { fixtures: false, others: Others::Usual })?;
    }
    for (file, arguments) in FILES {
        let mut program = Command::new(workspace::program("modelwatch"));
        put(file, program.args(arguments), check)?;
    }
    let (file, example) = PAGE;
    // With the features of all else, lest what it needs be built twice.
    let build = ["build", "--workspace", "--features", plugins::ONNX_RUNTIME, "--example", example];
    workspace::run(&mut workspace::cargo(&build))?;
    put(file, &mut Command::new(workspace::example(example)), check)
}

/// Writes what a program prints, or compares it.
fn put(file: &str, program: &mut Command, check: bool) -> Result<()> {
    let output = program.output().with_context(|| format!("cannot run {program:?}"))?;
    if !output.status.success() {
        bail!("{program:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let path = workspace::root().join(file);
    if !check {
        fs::write(&path, &output.stdout)?;
        println!("wrote {file}");
    } else if fs::read(&path).unwrap_or_default() != output.stdout {
        bail!("`{file}` is not up to date; run `cargo xtask codegen`");
    }
    Ok(())
}
