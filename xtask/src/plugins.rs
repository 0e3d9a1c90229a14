//! Builds the program and its plugins and lists the plugins beside it.

use std::{env::consts, fs, io, path::Path};

use anyhow::{Context, Result};

use crate::workspace::{self, Plugin};

/// Which plugins are built.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// Those that are there for tests.
    pub(crate) fixtures: bool,
    pub(crate) others: Others<'a>,
}

/// Which of the plugins that are not there for tests.
#[derive(Clone, Copy)]
pub(crate) enum Others<'a> {
    /// All but those whose dependencies are too much for a first build.
    Usual,
    /// Those whose component a text names, such as a pipeline, and those that were built before.
    Named(&'a str),
    All,
}

/// The second runtime for models, which is part of the program where it is asked for.
pub(crate) const ONNX_RUNTIME: &str = "modelwatch/onnxruntime";

/// Builds everything that a pipeline needs. Returns the packages that were built.
pub(crate) fn plugins(scope: Scope<'_>) -> Result<Vec<String>> {
    let mut plugins = workspace::plugins()?;
    plugins.retain(|it| if it.is_fixture() { scope.fixtures } else { is_wanted(it, scope.others) });
    let packages: Vec<String> = plugins.into_iter().map(|it| it.package).collect();
    let mut arguments = vec!["build", "--package", "modelwatch"];
    for it in &packages {
        arguments.extend(["--package", it]);
    }
    if wants_onnx_runtime(scope.others) {
        arguments.extend(["--features", ONNX_RUNTIME]);
    }
    workspace::run(&mut workspace::cargo(&arguments))?;
    let (test, user): (Vec<_>, Vec<_>) = packages.iter().partition(|it| it.starts_with("fixture-"));
    list("plugins", &user, true)?;
    if scope.fixtures {
        list("fixture-plugins", &test, false)?;
    }
    Ok(packages)
}

fn wants_onnx_runtime(others: Others<'_>) -> bool {
    match others {
        Others::Usual => false,
        Others::Named(text) => words(text).any(|it| it == "onnxruntime"),
        Others::All => true,
    }
}

/// A word too many builds a plugin too many, which does no harm.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !(it.is_alphanumeric() || it == '-' || it == '_'))
}

fn is_wanted(plugin: &Plugin, others: Others<'_>) -> bool {
    match others {
        Others::Usual => !plugin.is_on_demand,
        Others::Named(text) => {
            let is_there = || workspace::built().join("plugins").join(file_name(&plugin.package)).is_file();
            words(text).any(|it| it == plugin.component()) || is_there()
        }
        Others::All => true,
    }
}

/// Puts libraries into a folder beside the program, with a listing. A folder of fixtures has none,
/// because some of them are refused.
fn list(folder: &str, packages: &[&String], listed: bool) -> Result<()> {
    let dir = workspace::built().join(folder);
    fs::create_dir_all(&dir)?;
    let files: Vec<_> = packages.iter().map(|it| file_name(it)).collect();
    let mut changed = false;
    for entry in fs::read_dir(&dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(consts::DLL_SUFFIX) && !files.contains(&name) {
            fs::remove_file(&path)?;
            changed = true;
        }
    }
    for it in &files {
        changed |= copy(&workspace::built().join(it), &dir.join(it))?;
    }
    if listed && (changed || !dir.join("plugins.toml").is_file()) {
        let mut index = std::process::Command::new(workspace::program("modelwatch"));
        workspace::run(index.args(["plugin", "index"]).arg(&dir))?;
    }
    Ok(())
}

/// The library of a package: `store-local` is `libstore_local.so`.
pub(crate) fn file_name(package: &str) -> String {
    format!("{}{}{}", consts::DLL_PREFIX, package.replace('-', "_"), consts::DLL_SUFFIX)
}

/// Copies a file whose content differs, by renaming: whoever has the old one mapped keeps it.
fn copy(from: &Path, to: &Path) -> Result<bool> {
    let bytes = fs::read(from).with_context(|| format!("cannot read `{}`", from.display()))?;
    match fs::read(to) {
        Ok(it) if it == bytes => return Ok(false),
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    let staged = to.with_extension(format!("new-{}", std::process::id()));
    fs::write(&staged, bytes)?;
    fs::rename(&staged, to)?;
    Ok(true)
}
