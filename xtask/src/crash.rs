//! The fault matrix of the store, for as long as one likes: what the tests run for seconds, and a soak.
//!
//! Every test is a process of its own, with a time limit: one that hangs keeps no other from its turn. Where SIGINT,
//! SIGTERM, or SIGHUP of a terminal that is closed ends the command, it ends what runs, and tells what became of each
//! row. SIGKILL leaves tests running without a limit, and their folders to the next such command.

mod leftovers;
mod process;
mod table;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use self::{
    process::{Ended, How, Terms, Test},
    table::Table,
};
use crate::{plugins, workspace};

/// The tests that say `ROW …`, those that take least first: the target they are in, how their names begin, and which
/// rows they are where the names do not tell.
const SUITES: [(&str, &[&str], &[u32]); 5] = [
    ("modelwatch_runtime", &["load::tests::", "saver::tests::"], &[10, 26]),
    ("store_object", &["tests::"], &[12, 17, 18, 19, 20, 21, 22]),
    ("store_local", &["tests::"], &[3, 4, 6, 7, 9, 11, 15, 22, 29]),
    ("modelwatch_store", &["tests::"], &[8, 11, 16, 27, 28, 29, 30]),
    (FAULTS, &[], &[]),
];
/// The target of which all tests are meant that are called `row_NUMBER_…`.
const FAULTS: &str = "faults";
/// What is built for them. The program is for its features: with it, dependencies are those of the whole workspace, and
/// need not be compiled again.
const PACKAGES: [&str; 6] =
    ["modelwatch", "modelwatch-store", "modelwatch-runtime", "store-local", "store-object", "modelwatch-tests"];

/// Tells the tests how many minutes the soak lasts, and that rows may take their time.
const MINUTES: &str = "MODELWATCH_CRASH_MINUTES";
/// How long a test may take beside the soak, on a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Runs all rows, or one, with a soak of some minutes, and prints a table.
pub(crate) fn crash(minutes: u64, only: Option<u32>) -> Result<()> {
    leftovers::clear_abandoned();
    let tests = tests(only)?;
    let n_tests = tests.len();
    let is_interrupted = Arc::new(AtomicBool::new(false));
    // Under `nohup`, a command is to outlive its terminal.
    let is_to_stay = is_ignored(SIGHUP, &fs::read_to_string("/proc/self/status").unwrap_or_default());
    for signal in [SIGINT, SIGTERM].into_iter().chain((!is_to_stay).then_some(SIGHUP)) {
        signal_hook::flag::register(signal, Arc::clone(&is_interrupted)).context("cannot listen for signals")?;
    }
    let terms = Terms {
        n_at_once: thread::available_parallelism().map_or(1, usize::from),
        limit: LIMIT + Duration::from_secs(60 * minutes),
        variables: &[(MINUTES, minutes.to_string())],
        is_interrupted: &is_interrupted,
    };
    let mut table = Table::default();
    let (mut n_ended, mut failed) = (0, Vec::new());
    let untried = process::run(tests, &terms, |Ended { name, said, how, took }| {
        n_ended += 1;
        println!("{n_ended}/{n_tests} {name}: {how} ({:.1} s)", took.as_secs_f64());
        table.take(&said);
        if !matches!(how, How::Passed) {
            println!("{said}");
            table.take_failure(number(&name), &name, &how.to_string());
            failed.push(name);
        }
    });
    let (shown, missing) = table.shown(only);
    println!("\n{shown}");
    untried.iter().for_each(|it| println!("interrupted before {it}"));
    ensure!(failed.is_empty(), "the fault matrix has failures: {}", failed.join(", "));
    ensure!(untried.is_empty(), "{} tests were not tried", untried.len());
    missing
}

/// Returns whether a process ignores a signal, as its `/proc/PID/status` says.
fn is_ignored(signal: i32, status: &str) -> bool {
    let ignored = status.lines().find_map(|it| u64::from_str_radix(it.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|it| (it >> (signal - 1)) & 1 == 1)
}

/// Builds the tests, and returns those of all rows or of one.
fn tests(only: Option<u32>) -> Result<Vec<Test>> {
    let built = build()?;
    let mut res = Vec::new();
    for (target, filters, rows) in SUITES {
        if only.is_some_and(|it| target != FAULTS && !rows.contains(&it)) {
            continue;
        }
        let it = built.iter().find(|it| it.target == target);
        let it = it.with_context(|| format!("cargo built no tests of `{target}`"))?;
        let mut names = it.tests()?;
        names.retain(|name| match number(name) {
            Some(number) => only.is_none_or(|it| it == number),
            None => filters.iter().any(|it| name.starts_with(it)),
        });
        ensure!(!names.is_empty() || only.is_some(), "`{target}` has no tests of the fault matrix");
        names.sort_by_key(|it| number(it));
        res.extend(names.into_iter().map(|name| Test {
            arguments: [name.as_str(), "--exact", "--nocapture"].map(str::to_owned).to_vec(),
            name: format!("{target} {name}"),
            program: it.program.clone(),
            folder: it.folder.clone(),
        }));
    }
    Ok(res)
}

/// Returns the row of a test whose name has it: that of `limits::row_04_…` is 4.
fn number(test: &str) -> Option<u32> {
    test.rsplit([':', ' ']).next()?.strip_prefix("row_")?.split('_').next()?.parse().ok()
}

/// Tests as cargo built them.
struct Built {
    target: String,
    program: PathBuf,
    /// The folder of their package.
    folder: PathBuf,
}

impl Built {
    /// Returns the names of all tests in it.
    fn tests(&self) -> Result<Vec<String>> {
        let mut command = std::process::Command::new(&self.program);
        command.args(["--list", "--format", "terse"]).stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("cannot run `{}`", self.program.display()))?;
        // One that dies half way has listed some of them.
        ensure!(output.status.success(), "`{}` cannot list its tests: {}", self.program.display(), output.status);
        let listed = String::from_utf8_lossy(&output.stdout);
        Ok(listed.lines().filter_map(|it| it.strip_suffix(": test")).map(str::to_owned).collect())
    }
}

fn build() -> Result<Vec<Built>> {
    let arguments = ["test", "--no-run", "--message-format", "json-render-diagnostics", "--lib", "--test", FAULTS];
    let packages = PACKAGES.iter().flat_map(|it| ["--package", it]).chain(["--features", plugins::ONNX_RUNTIME]);
    let mut command = workspace::cargo(&arguments.into_iter().chain(packages).collect::<Vec<_>>());
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut res = Vec::new();
    for line in BufReader::new(output).lines() {
        res.extend(serde_json::from_str(&line?).ok().and_then(|it| built(&it)));
    }
    ensure!(child.wait()?.success(), "the tests of the fault matrix cannot be built");
    Ok(res)
}

/// Returns what a message of cargo says was built, if it is tests.
fn built(message: &Value) -> Option<Built> {
    if message["profile"]["test"] != true {
        return None;
    }
    Some(Built {
        target: message["target"]["name"].as_str()?.to_owned(),
        program: message["executable"].as_str()?.into(),
        folder: Path::new(message["manifest_path"].as_str()?).parent()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_tests_that_breaks_off_is_refused() {
        let built = Built { target: "broken".into(), program: "false".into(), folder: "/".into() };
        let message = built.tests().unwrap_err().to_string();
        assert!(message.starts_with("`false` cannot list its tests: exit"), "{message}");
    }

    #[test]
    fn a_status_tells_which_signals_are_ignored() {
        let status = "SigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert_eq!([SIGHUP, SIGINT, SIGTERM].map(|it| is_ignored(it, status)), [true, false, false]);
        assert!(!is_ignored(SIGHUP, ""));
    }

    #[test]
    fn names_tell_rows() {
        assert_eq!(number("limits::row_04_disk_full_at_every_page"), Some(4));
        assert_eq!(number("faults writers::row_13_writer"), Some(13));
        assert_eq!(number("store_local tests::crash::a_crash_at_any_step_loses_nothing_acknowledged"), None);
    }
}
