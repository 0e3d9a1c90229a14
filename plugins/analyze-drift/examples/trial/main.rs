//! The false-alarm trial of the drift analyzer, and its power; `cargo xtask trial drift` runs it.
//!
//! It fails where a cell without drift raises more alarms than its budget and three standard errors, or where the default loses more
//! than five points of power to the best single test.
#![allow(clippy::print_stdout)] // The tables are what it is for.

mod alarms;
mod data;
mod power;

use std::{env, process::ExitCode};

use crate::data::KINDS;

/// Rows of the reference and current rows, and how often each is tried, in hundredths of the number that was asked for.
const SIZES: [(usize, usize, u32); 6] = [
    (5_000, 100, 100),
    (1_000, 1_000, 100),
    (5_000, 1_000, 50),
    (100_000, 40, 5),
    (100_000, 1_000, 5),
    (100_000, 100_000, 4),
];

/// Evidently's default alarms always or almost never, which few runs show.
const EVIDENTLY_RUNS: u32 = 20;

/// How many points of power the default may lose.
const MAX_LOSS: f64 = 0.05;

fn main() -> ExitCode {
    // How often the smallest cells are tried, and `alarms` or `power` for one of the two.
    let runs: u32 = env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(1_000);
    let only = env::args().nth(2);
    let is_wanted = |part: &str| only.as_deref().is_none_or(|it| it == part);
    let mut problems = 0;
    if is_wanted("alarms") {
        problems += alarms(runs);
    }
    if is_wanted("power") {
        problems += power(runs);
    }
    println!("{problems} problems");
    if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn alarms(runs: u32) -> u32 {
    let (columns, alpha) = (alarms::N_COLUMNS, alarms::ALPHA);
    println!("runs with a false alarm, {columns} columns without drift, at most {alpha} accepted");
    println!(
        "{:<16} {:>16} {:>6} {:>7} {:>9} {:>18} {:>18}",
        "kind", "rows", "runs", "ours", "allowed", "Evidently, any", "Evidently, half"
    );
    let mut problems = 0;
    for (reference, current, part) in SIZES {
        for kind in KINDS {
            let runs = (runs * part / 100).max(10);
            let found = alarms::run(alarms::Cell { kind, reference, current, runs }, EVIDENTLY_RUNS);
            let share = |it: u32, of: u32| f64::from(it) / f64::from(of);
            let is_over = f64::from(found.ours) > alarms::allowed(runs);
            problems += u32::from(is_over);
            println!(
                "{:<16} {:>16} {runs:>6} {:>7.4} {:>9.4} {:>18.3} {:>18.3}{}",
                format!("{kind:?}"),
                format!("{reference}/{current}"),
                share(found.ours, runs),
                alarms::allowed(runs) / f64::from(runs),
                share(found.evidently_any, found.evidently_runs),
                share(found.evidently_half, found.evidently_runs),
                if is_over { "  OVER" } else { "" },
            );
        }
    }
    problems
}

fn power(runs: u32) -> u32 {
    println!("power per column at a false-alarm rate of {}, {runs} runs", power::ALPHA);
    print!("{:<24} {:>10}", "difference", "rows");
    power::TESTS.iter().for_each(|it| print!(" {it:>15}"));
    println!("     loss");
    let mut problems = 0;
    for (size, rows) in [(1_000, 1_000), (5_000, 100)].into_iter().enumerate() {
        for cell in power::CELLS {
            let found = power::run(cell, size, rows, runs);
            let best = found[1..].iter().copied().fold(0.0, f64::max);
            let loss = best - found[0];
            // Two shares of as many runs differ by chance.
            let noise = 2.0 * (0.5 / f64::from(runs)).sqrt();
            let is_over = loss > MAX_LOSS + noise;
            problems += u32::from(is_over);
            print!("{:<24} {:>10}", cell.name, format!("{}/{}", rows.0, rows.1));
            found.iter().for_each(|it| print!(" {it:>15.3}"));
            println!(" {:>8.3}{}", loss, if is_over { "  OVER" } else { "" });
        }
    }
    problems
}
