//! The false-alarm trial of the drift analyzer, and its power; `cargo xtask trial drift` runs it.
//!
//! It fails where a cell without drift raises more alarms than its budget and three standard errors, or where the default loses more
//! than five points of power to the best single test. No more than the five are allowed for chance: all tests see the same rows, and there
//! are so many runs that the loss has an error of one or two points, which stands beside it.
#![allow(clippy::print_stdout)] // The tables are what it is for.

mod alarms;
mod categories;
mod data;
mod loss;
mod power;

use std::{
    env,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

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

/// How many times more runs there are of power than of alarms.
const POWER_RUNS: u32 = 4;

fn main() -> ExitCode {
    // How often the smallest cells are tried, and `alarms`, `power`, `power-of-numbers` or `power-of-categories` for that part alone.
    let runs: u32 = env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(1_000);
    let only = env::args().nth(2);
    let is_wanted = |part: &str| only.as_deref().is_none_or(|it| part.starts_with(it));
    let mut problems = 0;
    if is_wanted("alarms") {
        problems += alarms(runs);
    }
    let power_runs = runs * POWER_RUNS;
    if is_wanted("power-of-numbers") {
        problems += power_of(power_runs, &power::TESTS, &power::CELLS, power::run);
    }
    if is_wanted("power-of-categories") {
        problems += power_of(power_runs, &categories::TESTS, &categories::CELLS, categories::run);
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
    let cells = SIZES.iter().flat_map(|size| KINDS.map(|kind| (*size, kind)));
    let cells: Vec<_> = cells
        .map(|((reference, current, part), kind)| {
            let runs = (runs * part / 100).max(10);
            alarms::Cell { kind, reference, current, runs }
        })
        .collect();
    let mut problems = 0;
    let all = each(cells.len(), |at| alarms::run(cells[at], EVIDENTLY_RUNS));
    for (alarms::Cell { kind, reference, current, runs }, found) in cells.into_iter().zip(all) {
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
    problems
}

/// Tries a cell: which, which of its sizes, so many rows of each role, so often.
type Try = fn(power::Cell, usize, (usize, usize), u32) -> loss::Found;

fn power_of(runs: u32, tests: &[&str], cells: &[power::Cell], run: Try) -> u32 {
    println!("power per column at a false-alarm rate of {}, {runs} runs", loss::ALPHA);
    print!("{:<24} {:>10}", "difference", "rows");
    tests.iter().for_each(|it| print!(" {it:>15}"));
    println!("     loss   error");
    let sizes = [(1_000, 1_000), (5_000, 100)];
    let places: Vec<_> = (0..sizes.len()).flat_map(|size| cells.iter().map(move |it| (size, *it))).collect();
    let all = each(places.len(), |at| run(places[at].1, places[at].0, sizes[places[at].0], runs));
    let mut problems = 0;
    for ((size, cell), found) in places.into_iter().zip(all) {
        let is_over = found.loss > MAX_LOSS;
        problems += u32::from(is_over);
        print!("{:<24} {:>10}", cell.name, format!("{}/{}", sizes[size].0, sizes[size].1));
        found.power.iter().for_each(|it| print!(" {it:>15.3}"));
        println!(" {:>8.3} {:>7.3}{}", found.loss, found.error, if is_over { "  OVER" } else { "" });
    }
    problems
}

/// Returns what `work` gives for each place below `n`, on as many threads as there are.
fn each<T: Send>(n: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let take = || {
        let mut found = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= n {
                return found;
            }
            found.push((at, work(at)));
        }
    };
    let n_threads = thread::available_parallelism().map_or(1, usize::from);
    let mut all: Vec<(usize, T)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(take)).collect();
        threads.into_iter().flat_map(|it| it.join().expect("a trial does not panic")).collect()
    });
    all.sort_by_key(|it| it.0);
    all.into_iter().map(|it| it.1).collect()
}
