//! A new plugin in `plugins/`: built, tested and listed, with no other file edited by hand.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    plugins::{self, Others, Scope},
    workspace,
};

pub(crate) fn new_plugin(kind: &str, name: &str) -> Result<()> {
    let verb = match kind {
        "verifier" => "verify",
        "analyzer" => "analyze",
        "store" => "store",
        other => bail!("`{other}` is no kind of plugin; say verifier, analyzer or store"),
    };
    let package = format!("{verb}-{name}");
    let dir = workspace::root().join("plugins").join(&package);
    workspace::run(&mut workspace::cargo(&["build", "--package", "modelwatch"]))?;
    let mut make = Command::new(workspace::program("modelwatch"));
    workspace::run(make.args(["plugin", "new", kind, name, "--workspace", "--dir"]).arg(&dir))?;
    // The longer its name, the longer its lines.
    workspace::run(&mut workspace::cargo(&["fmt", "--package", &package]))?;
    plugins::plugins(Scope { fixtures: false, others: Others::Usual })?;
    workspace::run(&mut workspace::cargo(&["test", "--package", &package]))?;
    let mut list = Command::new(workspace::program("modelwatch"));
    workspace::run(list.args(["plugin", "list"]))
}
