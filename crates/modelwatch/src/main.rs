//! The `modelwatch` command.
//!
//! Standard output carries the result, standard error progress and logs. What a command ends with is
//! its exit code: 0 pass, 1 a check failed or was inconclusive, 2 the command or the pipeline is wrong,
//! 3 it could not be carried out, 4 something that is required was not checked, 130 interrupted.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;
mod commands;
mod output;
mod progress;
mod report;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    modelwatch_runtime::memory::keep_freed();
    let cli = cli::Cli::parse();
    // A worker sends what its plugin logs to the run.
    if !matches!(cli.command, cli::Command::Worker) {
        output::init_logs(cli.verbose, cli.quiet);
    }
    match commands::dispatch(cli) {
        Ok(code) => code.into(),
        Err(e) => {
            output::error(&output::said(&e));
            commands::code_of(&e).into()
        }
    }
}
