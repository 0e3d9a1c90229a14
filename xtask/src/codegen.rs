//! Generated files, all of them made by the program itself.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    plugins::{self, Others, Scope},
    workspace,
};

/// Each file and the arguments of `modelwatch` that print it.
const FILES: [(&str, &[&str]); 2] =
    [("configs/schema.json", &["schema"]), ("configs/run.schema.json", &["schema", "--run"])];

pub(crate) fn codegen(check: bool) -> Result<()> {
    if !check {
        plugins::plugins(Scope { fixtures: false, others: Others::Usual })?;
    }
    for (file, arguments) in FILES {
        let program = workspace::program("modelwatch");
        let output = Command::new(&program).args(arguments).output().context("cannot run modelwatch")?;
        if !output.status.success() {
            bail!("`modelwatch {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        let path = workspace::root().join(file);
        if !check {
            fs::write(&path, &output.stdout)?;
            println!("wrote {file}");
        } else if fs::read(&path).unwrap_or_default() != output.stdout {
            bail!("`{file}` is not up to date; run `cargo xtask codegen`");
        }
    }
    Ok(())
}
