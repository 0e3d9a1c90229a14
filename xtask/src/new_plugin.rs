//! A new plugin in `plugins/`: built, tested and listed, with no other file edited by hand.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    plugins::{self, Others, Scope},
    workspace,
};

pub(crate) fn new_plugin(kind: &str, name: &str) -> Result<()> {
    let package = package(kind, name)?;
    let dir = workspace::root().join("plugins").join(&package);
    workspace::run(&mut workspace::cargo(&["build", "--package", "modelwatch"]))?;
    let mut make = Command::new(workspace::program("modelwatch"));
    workspace::run(make.args(["plugin", "new", kind, name, "--workspace", "--dir"]).arg(&dir))?;
    plugins::plugins(Scope { fixtures: false, others: Others::Usual })?;
    workspace::run(&mut workspace::cargo(&["test", "--package", &package]))?;
    let mut list = Command::new(workspace::program("modelwatch"));
    workspace::run(list.args(["plugin", "list"]))
}

fn package(kind: &str, name: &str) -> Result<String> {
    let verb = match kind {
        "verifier" => "verify",
        "analyzer" => "analyze",
        "store" => "store",
        other => bail!("`{other}` is no kind of plugin; say verifier, analyzer or store"),
    };
    Ok(format!("{verb}-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_by_what_they_do() {
        let of = |kind: &str| package(kind, "my-check").map_err(|e| e.to_string());
        assert_eq!(of("analyzer"), Ok("analyze-my-check".to_owned()));
        assert_eq!(of("verifier"), Ok("verify-my-check".to_owned()));
        assert_eq!(of("store"), Ok("store-my-check".to_owned()));
        let refused = "`probe` is no kind of plugin; say verifier, analyzer or store";
        assert_eq!(of("probe"), Err(refused.to_owned()));
    }
}
