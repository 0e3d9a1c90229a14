//! Builds what is needed, says so, and runs a pipeline.

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use crate::{
    plugins::{self, Others, Scope},
    workspace,
};

const DEFAULT: &str = "configs/digits.toml";

/// Returns what `modelwatch run` ended with; the first argument is the pipeline unless it is an option.
pub(crate) fn pipeline(arguments: &[String]) -> ExitCode {
    let (config, arguments) = match arguments {
        [first, rest @ ..] if !first.starts_with('-') => (first.as_str(), rest),
        _ => (DEFAULT, arguments),
    };
    let config = Path::new(config);
    // A file that cannot be read is what `modelwatch run` tells about. Its options may name a component, too.
    let text = format!("{} {}", fs::read_to_string(config).unwrap_or_default(), arguments.join(" "));
    match plugins::plugins(Scope { fixtures: false, others: Others::Named(&text) }) {
        Ok(it) => eprintln!("built modelwatch and the plugins {}", it.join(", ")),
        Err(e) => {
            eprintln!("error: {e:#}");
            return ExitCode::from(3);
        }
    }
    let mut command = Command::new(workspace::program("modelwatch"));
    command.arg("run").arg(config).args(arguments);
    // Relative paths are the caller's, except for the default, which is the repository's.
    if config == Path::new(DEFAULT) && !config.exists() {
        command.current_dir(workspace::root());
    }
    match command.status() {
        Ok(it) => ExitCode::from(it.code().and_then(|it| u8::try_from(it).ok()).unwrap_or(3)),
        Err(e) => {
            eprintln!("error: cannot run modelwatch: {e}");
            ExitCode::from(3)
        }
    }
}
