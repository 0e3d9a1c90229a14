//! The trial of the intervals of all metrics; `cargo xtask trial intervals` runs it.
//!
//! It fails where an interval holds the true value less or more often than it promises, by more than chance.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // The table is what it is for.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/intervals/mod.rs"]
mod intervals;

use std::{env, process::ExitCode};

use intervals::populations;

/// Numbers of rows, and how often each is tried, in hundredths of the number that was asked for.
const SIZES: [(usize, u64); 3] = [(50, 100), (500, 50), (5_000, 20)];

fn main() -> ExitCode {
    // How often the smallest number of rows is tried, the first seed, and the beginning of the names of the populations.
    let n_trials: u64 = env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(2_000);
    let first_seed: u64 = env::args().nth(2).and_then(|it| it.parse().ok()).unwrap_or(1);
    let only = env::args().nth(3).unwrap_or_default();
    let mut problems = Vec::new();
    for population in populations::all().iter().filter(|it| it.name.starts_with(&only)) {
        for (rows, part) in SIZES {
            let n_trials = (n_trials * part / 100).max(10);
            problems.extend(intervals::problems(population, rows, first_seed..first_seed + n_trials));
        }
    }
    println!("{} problems", problems.len());
    problems.iter().for_each(|it| println!("{it}"));
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
