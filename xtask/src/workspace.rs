//! Where things are, and how programs are run.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
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

/// Returns the names of the packages below `plugins/`, sorted; those of tests start with `fixture-`.
pub(crate) fn plugin_packages() -> Result<Vec<String>> {
    let mut res = Vec::new();
    for entry in fs::read_dir(root().join("plugins"))? {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file()
            && let Some(name) = path.file_name().and_then(|it| it.to_str())
        {
            res.push(name.to_owned());
        }
    }
    res.sort();
    Ok(res)
}
