//! The fault matrix of the store, for as long as one likes: what the tests run for seconds, and a soak.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// The tests that say `ROW …`: where they are, how their names begin, and which rows they are where the names do
/// not tell.
const SUITES: [(&[&str], &str, &[u32]); 4] = [
    (&["--package", "modelwatch-store", "--lib"], "tests::bits", &[8, 16, 27]),
    (&["--package", "store-local", "--lib"], "tests::crash", &[3, 4, 11, 15]),
    (&["--package", "store-object", "--lib"], "tests::sharing", &[12]),
    (&["--package", "modelwatch-tests", "--test", "faults"], "row_", &[]),
];

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
        command.env("MODELWATCH_CRASH_MINUTES", minutes.to_string()).stdout(Stdio::piped());
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
    rows.sort_by_key(number);
    println!("\nrow | fault | harness | states | last result");
    rows.iter().for_each(|it| println!("{it}"));
    ensure!(failed.is_empty(), "the fault matrix has failures, in `cargo {}`", failed.join("`, `cargo "));
    if rows.is_empty() {
        bail!("no row was run; the lines above that begin with SKIPPED say why");
    }
    Ok(())
}
