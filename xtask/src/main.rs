//! Automation of this repository: `cargo xtask <command>`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // What it does is meant to be seen.

mod bench;
mod ci;
mod codegen;
#[cfg(unix)]
mod crash;
mod dist;
mod fuzz;
mod new_plugin;
mod onnx_conformance;
mod pipeline;
mod plugins;
mod tidy;
mod trial;
mod trial_example;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::plugins::{Others, Scope};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Automation of this repository")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build what is needed and run a pipeline.
    Pipeline {
        /// The pipeline file, `configs/digits.toml` unless said otherwise, and further arguments of `modelwatch run`.
        #[arg(value_name = "CONFIG_AND_ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the program and its plugins, and list the plugins beside it.
    Plugins {
        /// Build the plugins that tests need, too.
        #[arg(long)]
        fixtures: bool,
        /// Build also those that take long and are otherwise built when a pipeline names them.
        #[arg(long)]
        all: bool,
    },
    /// Everything that CI checks. This is the test command.
    Ci,
    /// Check what the compiler does not: edges between crates, module docs, orphaned files, machine paths.
    Tidy,
    /// Write generated files: the JSON Schemas of a pipeline and of a run.
    Codegen {
        /// Only say whether they are up to date.
        #[arg(long)]
        check: bool,
    },
    /// Judge every planted fault of the fixtures and say which signal caught it, also in `docs/planted-faults.md`.
    #[command(args_conflicts_with_subcommands = true)]
    Trial {
        /// Only say whether the document is up to date.
        #[arg(long)]
        check: bool,
        /// Another trial: `drift` counts false alarms and what is found, next to other tests; `intervals` counts how often those of
        /// `metrics` hold the true value.
        #[command(subcommand)]
        other: Option<OtherTrial>,
    },
    /// Run ONNX's backend test cases and write the table of operators; needs Python and the network the first time.
    OnnxConformance {
        /// Only say whether the table is up to date.
        #[arg(long)]
        check: bool,
        /// Only the cases whose path contains this; the table is left alone.
        #[arg(long)]
        only: Option<String>,
    },
    /// Make a new plugin in `plugins/`.
    NewPlugin {
        /// `verifier`, `analyzer` or `store`.
        kind: String,
        /// The component's name.
        name: String,
    },
    /// Run the benchmarks.
    Bench {
        /// Arguments of the benchmarks.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Throw bytes at everything that reads files; needs cargo-fuzz.
    Fuzz {
        /// One target of `fuzz/`; all of them without it.
        target: Option<String>,
        /// How long each runs.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Run the fault matrix of the store: crashes, power cuts, full and failing disks; most of it needs root.
    #[cfg(unix)]
    Crash {
        /// How long processes are killed at random times, at the least. Each test may take 20 minutes more.
        #[arg(long, default_value_t = 1)]
        minutes: u64,
        /// One row of the matrix; all of them without it.
        #[arg(long)]
        only: Option<u32>,
    },
    /// Build what is given to users into `target/dist`, with link-time optimization.
    Dist,
}

#[derive(Subcommand)]
enum OtherTrial {
    /// How often the drift analyzer alarms without drift, and how often it finds a difference; takes minutes.
    Drift {
        /// How often the smallest tables are made.
        #[arg(long, default_value_t = 1_000)]
        runs: u32,
        /// Only that part.
        #[arg(long, value_parser = ["alarms", "power", "power-of-numbers", "power-of-categories"])]
        only: Option<String>,
    },
    /// How often the interval of each metric that `metrics` reports holds the true value; takes half an hour.
    Intervals {
        /// How often the fewest rows are drawn.
        #[arg(long, default_value_t = 2_000)]
        runs: u32,
        /// The seed of the first trial; another one draws other rows.
        #[arg(long, default_value_t = 1)]
        first_seed: u64,
        /// Only populations whose names begin so, such as `binary`.
        #[arg(long)]
        only: Option<String>,
    },
}

fn main() -> ExitCode {
    let res = match Cli::parse().command {
        Command::Pipeline { arguments } => return pipeline::pipeline(&arguments),
        Command::Plugins { fixtures, all } => {
            let others = if all { Others::All } else { Others::Usual };
            plugins::plugins(Scope { fixtures, others }).map(drop)
        }
        Command::Ci => ci::ci(),
        Command::Tidy => tidy::tidy(),
        Command::Codegen { check } => codegen::codegen(check),
        Command::Trial { check, other: None } => trial::trial(check),
        Command::Trial { other: Some(OtherTrial::Drift { runs, only }), .. } => {
            trial_example::run("analyze-drift", "trial", [runs.to_string()].into_iter().chain(only))
        }
        Command::Trial { other: Some(OtherTrial::Intervals { runs, first_seed, only }), .. } => {
            let arguments = [runs.to_string(), first_seed.to_string()];
            trial_example::run("verify-metrics", "intervals", arguments.into_iter().chain(only))
        }
        Command::OnnxConformance { check, only } => onnx_conformance::onnx_conformance(check, only.as_deref()),
        Command::NewPlugin { kind, name } => new_plugin::new_plugin(&kind, &name),
        Command::Bench { arguments } => bench::bench(&arguments),
        Command::Fuzz { target, seconds } => fuzz::fuzz(target.as_deref(), seconds),
        #[cfg(unix)]
        Command::Crash { minutes, only } => crash::crash(minutes, only),
        Command::Dist => dist::dist(),
    };
    match res {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
