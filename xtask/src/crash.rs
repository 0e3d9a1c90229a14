//! The fault matrix of the store, for as long as one likes: what the tests run for seconds, and a soak.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// The tests that say `ROW …`: where they are, how their names begin, and which rows they are where the names do
/// not tell.
const SUITES: [(&[&str], &str, &[u32]); 6] = [
    (&["--package", "modelwatch-store", "--lib"], "tests::", &[8, 11, 16, 27, 28, 29, 30]),
    (&["--package", "modelwatch-runtime", "--lib"], "load::tests", &[10]),
    (&["--package", "modelwatch-runtime", "--lib"], "saver::tests", &[26]),
    (&["--package", "store-local", "--lib"], "tests::", &[3, 4, 6, 7, 9, 11, 15, 22, 29]),
    (&["--package", "store-object", "--lib"], "tests::", &[12, 17, 18, 19, 20, 21, 22]),
    (&["--package", "modelwatch-tests", "--test", "faults"], "row_", &[]),
];
/// The rows that concern the store; those after them are others' business.
const ROWS: std::ops::RangeInclusive<u32> = 1..=30;

/// The rows whose states are what a crash leaves: a kill, a power cut, lost or reordered blocks.
const CRASHES: [u32; 4] = [1, 2, 3, 15];
/// How many such states are to be checked at the least.
const MIN_CRASHES: u64 = 10_000;

/// Tells the tests how many minutes the soak lasts, and that rows may take their time.
const MINUTES: &str = "MODELWATCH_CRASH_MINUTES";

/// Runs all rows, or one, with a soak of some minutes, and prints a table.
pub(crate) fn crash(minutes: u64, only: Option<u32>) -> Result<()> {
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for (package, filter, its_rows) in SUITES {
        if only.is_some_and(|it| !its_rows.is_empty() && !its_rows.contains(&it)) {
            continue;
        }
        let filter = match only {
            Some(it) if its_rows.is_empty() => format!("row_{it:02}_"),
            _ => filter.to_owned(),
        };
        let arguments = [&["test"], package, &["--", "--nocapture", &filter]].concat();
        let mut command = workspace::cargo(&arguments);
        command.env(MINUTES, minutes.to_string()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot run cargo")?;
        let output = child.stdout.take().context("cargo has no output")?;
        for line in BufReader::new(output).lines() {
            let line = line?;
            println!("{line}");
            // A test's name may stand before it on the line.
            if let Some((_, row)) = line.split_once("ROW ") {
                rows.push(row.to_owned());
            }
        }
        if !child.wait()?.success() {
            failed.push(arguments.join(" "));
        }
    }
    let number = |row: &String| row.split(' ').next().and_then(|it| it.parse::<u32>().ok()).unwrap_or(u32::MAX);
    rows.retain(|it| only.is_none_or(|only| number(it) == only));
    // A row that nobody tried is in the table as well.
    let untold = ROWS.filter(|row| only.is_none_or(|it| it == *row) && !rows.iter().any(|it| number(it) == *row));
    let untold: Vec<_> = untold.map(|it| format!("{it} | | | - | NOT TRIED")).collect();
    let n_untold = untold.len();
    rows.extend(untold);
    rows.sort_by_key(number);
    println!("\nrow | fault | harness | states | last result");
    rows.iter().for_each(|it| println!("{it}"));
    let n_crashes: u64 = rows.iter().filter(|it| CRASHES.contains(&number(it))).map(|it| n_states(it)).sum();
    println!(
        "\n{n_crashes} crash states (rows {CRASHES:?}), {} failed",
        if failed.is_empty() { "none" } else { "some" }
    );
    ensure!(failed.is_empty(), "the fault matrix has failures, in `cargo {}`", failed.join("`, `cargo "));
    ensure!(n_untold == 0, "{n_untold} rows were not tried");
    ensure!(
        only.is_some() || n_crashes >= MIN_CRASHES,
        "only {n_crashes} crash states were checked, of at least {MIN_CRASHES}"
    );
    Ok(())
}

/// Returns in how many states a row held, as its line says.
fn n_states(row: &str) -> u64 {
    match row.rsplit(" | ").collect::<Vec<_>>()[..] {
        ["ok", n, ..] => n.trim().parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::n_states;

    #[test]
    fn only_what_held_counts() {
        assert_eq!(n_states("3 | power cut, blocks reordered | SIM | 4321 | ok"), 4321);
        assert_eq!(n_states("2 | power cut | PWR | 0 | skipped: no `xfs_io`"), 0);
        assert_eq!(n_states("15 | crash during repair | SIM | - | FAILED"), 0);
        assert_eq!(n_states("26 | | | - | NOT TRIED"), 0);
    }
}
