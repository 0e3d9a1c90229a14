//! The benchmarks, in the profile that everything else is built in: no second build of the dependencies.

use anyhow::Result;

use crate::{plugins, workspace};

pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    plugins::plugins(true)?;
    let mut command = workspace::cargo(&["bench", "--profile", "dev", "--package", "modelwatch-runtime", "--"]);
    command.env("MODELWATCH_TEST_FIXTURE_PLUGINS", workspace::built().join("fixture-plugins"));
    workspace::run(command.args(arguments))
}
