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
use modelwatch_runtime::plugin::Unfinished;

const ENDED_BY_PLUGIN: &str = "error: a plugin ended the program before it was done; with `isolation = \"process\"`, a probe that does so is named, and the others go on\n";

fn main() -> ExitCode {
    modelwatch_runtime::memory::keep_freed();
    let cli = cli::Cli::parse();
    // A worker sends what its plugin logs to the run, and ends without a word.
    let is_worker = matches!(cli.command, cli::Command::Worker);
    if !is_worker {
        output::keep_results_apart();
        output::init_logs(cli.verbose, cli.quiet);
    }
    let _unfinished = (!is_worker).then(|| Unfinished::new(ENDED_BY_PLUGIN, commands::Code::NOT_DONE.0));
    match commands::dispatch(cli) {
        Ok(code) => code.into(),
        Err(e) => {
            output::error(&output::said(&e));
            commands::code_of(&e).into()
        }
    }
}
