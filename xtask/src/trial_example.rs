//! Trials that are examples of the plugin that they are of.

use anyhow::Result;

use crate::workspace;

pub(crate) fn run(package: &str, example: &str, runs: u32, only: Option<&str>) -> Result<()> {
    let arguments = ["run", "--quiet", "--package", package, "--example", example, "--"];
    workspace::run(workspace::cargo(&arguments).arg(runs.to_string()).args(only))
}
