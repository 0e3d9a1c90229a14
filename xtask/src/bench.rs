//! The benchmarks, in the profile that everything else is built in: no second build of the dependencies.

use anyhow::Result;

use crate::{
    plugins::{self, Others, Scope},
    workspace,
};

pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    // Those of one package have no samples to take: they report what they cost beside the machine or a peer.
    const OF_PACKAGES: [(&str, &str); 5] = [
        ("store", "store-local"),
        ("drift", "analyze-drift"),
        ("inference", "modelwatch-onnxruntime"),
        ("report", "modelwatch-runtime"),
        ("program", "modelwatch"),
    ];
    if let Some((first, rest)) = arguments.split_first()
        && let Some((_, package)) = OF_PACKAGES.iter().find(|it| it.0 == first)
    {
        // They run the whole program, `drift` beside the analyzer alone.
        if matches!(first.as_str(), "drift" | "program") {
            plugins::plugins(Scope { fixtures: false, others: Others::Usual })?;
        }
        // By its name, so that the tests of the library are not run as well; with the program, so that the dependencies
        // have the features that it gives them, and are not compiled again.
        let packages = ["--package", package, "--package", "modelwatch"];
        let mut command = workspace::cargo(&["bench", "--profile", "dev"]);
        command.args(packages).args(["--bench", first, "--"]);
        return workspace::run(command.args(rest));
    }
    plugins::plugins(Scope { fixtures: true, others: Others::Usual })?;
    let of_runtime = ["bench", "--profile", "dev", "--package", "modelwatch-runtime", "--bench", "overhead", "--"];
    let mut command = workspace::cargo(&of_runtime);
    command.env("MODELWATCH_TEST_FIXTURE_PLUGINS", workspace::built().join("fixture-plugins"));
    workspace::run(command.args(arguments))
}
