//! Trials that are examples of the plugin that they are of.

use anyhow::Result;

use crate::workspace;

pub(crate) fn run(package: &str, example: &str, arguments: impl IntoIterator<Item = String>) -> Result<()> {
    let cargo = ["run", "--quiet", "--package", package, "--example", example, "--"];
    workspace::run(workspace::cargo(&cargo).args(arguments))
}
