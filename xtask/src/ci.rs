//! Everything that CI checks. The tests come last, so that the log ends with their summary.

use anyhow::{Context, Result};

use crate::{
    codegen, onnx_conformance,
    plugins::{self, Others, Scope},
    tidy, workspace,
};

pub(crate) fn ci() -> Result<()> {
    let cargo = workspace::cargo;
    // It comes last, and should not be missed then.
    workspace::run(&mut cargo(&["nextest", "--version"]))
        .context("the tests need `cargo install --locked cargo-nextest`, which `.ci/run` does")?;
    workspace::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    tidy::tidy()?;
    plugins::plugins(Scope { fixtures: true, others: Others::All })?;
    codegen::codegen(true)?;
    let all = ["--workspace", "--features", plugins::ONNX_RUNTIME];
    let cargo_all = |before: &[&str], after: &[&str]| cargo(&[before, &all, after].concat());
    workspace::run(&mut cargo_all(&["clippy"], &["--all-targets", "--", "--deny", "warnings"]))?;
    workspace::run(cargo_all(&["doc"], &["--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings"))?;
    workspace::run(&mut cargo_all(&["test"], &["--doc"]))?;
    onnx_conformance::check_if_there()?;
    let built = workspace::built();
    workspace::run(
        cargo_all(&["nextest", "run"], &[])
            .env(workspace::BUILT_PLUGINS, built.join("plugins"))
            .env("MODELWATCH_TEST_FIXTURE_PLUGINS", built.join("fixture-plugins")),
    )
}
