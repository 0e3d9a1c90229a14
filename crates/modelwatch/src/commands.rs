//! One module per command.

mod check;
mod columns;
mod explain;
mod golden;
mod history;
mod model;
mod plugin;
mod plugin_new;
mod probe;
mod profile;
mod run;
mod runtimes;
mod store;
mod worker;

use std::{fs, io, path::Path};

use clap::CommandFactory;
use modelwatch_runtime::data::DataError;

use crate::{
    cli::{Cli, Command},
    output,
};

/// What a command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u8);

impl Code {
    pub(crate) const OK: Self = Self(0);
    pub(crate) const FAILED: Self = Self(1);
    pub(crate) const WRONG: Self = Self(2);
    pub(crate) const NOT_DONE: Self = Self(3);
    pub(crate) const NOTHING: Self = Self(4);
    pub(crate) const INTERRUPTED: Self = Self(130);
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        code.0.into()
    }
}

/// An error of the command line or of a file that it names: exit code 2.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// What is there is not replaced unasked; `what` is a file or a folder.
pub(crate) fn refuse_existing(path: &Path, what: &str) -> Result<(), Wrong> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(Wrong(format!("`{}` exists already; name a new {what}", path.display())));
    }
    Ok(())
}

/// Refuses a path to nothing.
pub(crate) fn must_exist(path: &Path) -> Result<(), Wrong> {
    if path.exists() {
        return Ok(());
    }
    Err(Wrong(format!("there is no file or folder `{}`", path.display())))
}

/// Blames whoever named data that is not there, and nobody for what is wrong with data that is.
pub(crate) fn data_error(error: DataError) -> anyhow::Error {
    let is_there = match &error {
        DataError::NothingMatches { .. }
        | DataError::Folder { .. }
        | DataError::NotAFile { .. }
        | DataError::Pattern { .. } => false,
        DataError::Io { source, .. } => source.kind() != io::ErrorKind::NotFound,
        _ => true,
    };
    if is_there { error.into() } else { Wrong(error.to_string()).into() }
}

/// Returns what a command ends with that ended with an error.
pub(crate) fn code_of(error: &anyhow::Error) -> Code {
    if error.downcast_ref::<Wrong>().is_some() { Code::WRONG } else { Code::NOT_DONE }
}

pub(crate) fn dispatch(cli: Cli) -> anyhow::Result<Code> {
    match cli.command {
        Command::Run(it) => run::run(&it, cli.quiet),
        Command::Check(it) => check::check(&it),
        Command::Probe(it) => probe::probe(&it, cli.quiet),
        Command::Profile(it) => profile::profile(&it, cli.quiet),
        Command::Columns(it) => columns::columns(&it, cli.quiet),
        Command::Golden(it) => golden::golden(&it),
        Command::Model(it) => model::model(&it),
        Command::Store(it) => store::store(&it, cli.quiet),
        Command::Plugin(it) => plugin::plugin(&it),
        Command::History(it) => history::history(&it),
        Command::Report(it) => history::report(&it),
        Command::Schema(it) => {
            let schema = if it.run { modelwatch_runtime::record::schema() } else { modelwatch_config::schema() };
            output::print(&serde_json::to_string_pretty(&schema)?)?;
            Ok(Code::OK)
        }
        Command::Explain(it) => explain::explain(&it),
        Command::Worker => worker::worker(),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "modelwatch", &mut text);
            output::print(&String::from_utf8_lossy(&text))?;
            Ok(Code::OK)
        }
    }
}
