//! Where things are, and how programs are run.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Set where the plugins were built before, to their folder.
pub(crate) const BUILT_PLUGINS: &str = "MODELWATCH_TEST_PLUGINS";

/// Set by a test to a workspace of its own.
const ROOT: &str = "MODELWATCH_XTASK_ROOT";

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    if let Some(it) = env::var_os(ROOT) {
        return it.into();
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Returns the folder of what is built in the profile that pipelines and tests share.
pub(crate) fn built() -> PathBuf {
    target().join("debug")
}

/// Returns the folder of everything that is built.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |it| root().join(it))
}

/// Returns the path of a built program.
pub(crate) fn program(name: &str) -> PathBuf {
    built().join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// Returns the path of a built example.
pub(crate) fn example(name: &str) -> PathBuf {
    built().join("examples").join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// Returns a call of cargo in the repository.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut res = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    res.args(arguments).current_dir(root());
    res
}

/// Runs a command, saying which.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(command));
    let status = command.status().with_context(|| format!("cannot run `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().map(|it| it.to_string_lossy().into_owned());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// A package below `plugins/`.
pub(crate) struct Plugin {
    pub(crate) package: String,
    /// Whether it is built only where it is asked for, because that takes long.
    pub(crate) is_on_demand: bool,
}

impl Plugin {
    /// Whether it is there for tests only.
    pub(crate) fn is_fixture(&self) -> bool {
        self.package.starts_with("fixture-")
    }

    /// Returns what pipelines call its component: that of `store-object` is `object`.
    pub(crate) fn component(&self) -> &str {
        self.package.split_once('-').map_or(&self.package, |it| it.1)
    }
}

/// Returns the packages below `plugins/`, sorted.
pub(crate) fn plugins() -> Result<Vec<Plugin>> {
    let output = cargo(&["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cannot read `cargo metadata`")?;
    let mut res = Vec::new();
    for it in metadata["packages"].as_array().into_iter().flatten() {
        let manifest = Path::new(it["manifest_path"].as_str().unwrap_or_default());
        if manifest.parent().and_then(Path::parent).is_some_and(|it| it.ends_with("plugins")) {
            let package = it["name"].as_str().unwrap_or_default().to_owned();
            let is_on_demand = it["metadata"]["modelwatch"]["on-demand"].as_bool().unwrap_or(false);
            res.push(Plugin { package, is_on_demand });
        }
    }
    res.sort_by(|a, b| a.package.cmp(&b.package));
    Ok(res)
}
