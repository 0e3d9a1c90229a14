//! The benchmarks, in the profile that everything else is built in: no second build of the dependencies.

use anyhow::Result;

use crate::{
    plugins::{self, OnDemand, Scope},
    workspace,
};

pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    // That of the store has no samples to take: it reports throughputs beside the limits of the machine.
    if let Some((first, rest)) = arguments.split_first()
        && first == "store"
    {
        let mut command = workspace::cargo(&["bench", "--profile", "dev", "--package", "store-local", "--"]);
        return workspace::run(command.args(rest));
    }
    plugins::plugins(Scope { fixtures: true, on_demand: OnDemand::None })?;
    let mut command = workspace::cargo(&["bench", "--profile", "dev", "--package", "modelwatch-runtime", "--"]);
    command.env("MODELWATCH_TEST_FIXTURE_PLUGINS", workspace::built().join("fixture-plugins"));
    workspace::run(command.args(arguments))
}
