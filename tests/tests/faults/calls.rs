//! System calls that are the last ones of a process, or fail (SYS).

use std::fs;

use modelwatch_sdk::testing::FaultRow;

use crate::harness::{Ground, traced};

/// The calls that change a file system, by the names that they have on different machines.
pub(crate) const CALLS: [&str; 7] = [
    "?write",
    "?fsync,?fdatasync",
    "?link,?linkat",
    "?rename,?renameat,?renameat2",
    "?mkdir,?mkdirat",
    "?unlink,?unlinkat",
    "?rmdir",
];

/// Returns the call of `strace` that does something at the `at`th call of each thread.
pub(crate) fn inject(log: &str, calls: &str, what: &str, at: usize) -> Vec<String> {
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{what}:when={at}"));
    ["strace", "-f", "-qq", "-o", log, "-e", &trace, "-e", &inject].map(str::to_owned).to_vec()
}

/// A store with two checkpoints, and one of which a collection will find something.
fn base() -> Ground {
    let ground = Ground::new();
    ground.must(&["commit", "--step", "1", "--count", "2"]);
    ground
}

/// Runs a worker on a copy of `base` for every call that it makes, and checks what is left.
fn at_every_call(base: &Ground, what: &str, arguments: &[&str], may_end: fn(&crate::harness::Outcome, &str)) -> usize {
    let mut n_points = 0;
    for calls in CALLS {
        for at in 1.. {
            let ground = base.copy();
            let log = ground.dir.path().join("calls");
            let strace = inject(log.to_str().unwrap(), calls, what, at);
            let before: Vec<&str> = strace.iter().map(String::as_str).collect();
            let outcome = ground.work(&before, arguments);
            let case = format!("{what} at call {at} of {calls}, {arguments:?}");
            let happened = outcome.was_killed() || fs::read_to_string(&log).unwrap().contains("INJECTED");
            if !happened {
                assert!(outcome.status.success(), "{case}: {}", outcome.error);
                break;
            }
            may_end(&outcome, &case);
            ground.check(&case);
            n_points += 1;
        }
    }
    n_points
}

fn killed(outcome: &crate::harness::Outcome, case: &str) {
    assert!(outcome.was_killed(), "{case}: {outcome:?}");
}

fn succeeds_or_says_why(outcome: &crate::harness::Outcome, case: &str) {
    let _ = outcome.is_success_or_error(case);
}

#[test]
fn row_01_killed_at_every_call_of_a_save() {
    let Some(row) = traced(FaultRow::new(1, "kill at every system call of a save", "SYS")) else { return };
    let mut n_points = at_every_call(&Ground::new(), "signal=KILL", &["commit", "--step", "1"], killed);
    n_points += at_every_call(&base(), "signal=KILL", &["commit", "--step", "3"], killed);
    assert!(n_points > 50, "only {n_points} points");
    row.ok(n_points);
}

#[test]
fn row_04_disk_full_at_every_call_of_a_save() {
    let Some(row) = traced(FaultRow::new(4, "ENOSPC at every system call of a save", "SYS")) else { return };
    let arguments = ["commit", "--step", "3"];
    let mut n_points = at_every_call(&base(), "error=ENOSPC", &arguments, succeeds_or_says_why);
    n_points += at_every_call(&Ground::new(), "error=ENOSPC", &arguments, succeeds_or_says_why);
    row.ok(n_points);
}

#[test]
fn row_06_input_output_errors_at_every_call_of_a_save() {
    let Some(row) = traced(FaultRow::new(6, "EIO at every system call of a save", "SYS")) else { return };
    let arguments = ["commit", "--step", "3", "--count", "2"];
    let n_points = at_every_call(&base(), "error=EIO", &arguments, succeeds_or_says_why);
    row.ok(n_points);
}

#[test]
fn row_15_killed_at_every_call_of_a_collection() {
    let Some(row) = traced(FaultRow::new(15, "kill at every system call of a collection", "SYS")) else { return };
    // A commit that was killed after its packs had their names leaves something to collect.
    let ground = base();
    let log = ground.dir.path().join("calls");
    let strace = inject(log.to_str().unwrap(), CALLS[2], "signal=KILL", 2);
    let before: Vec<&str> = strace.iter().map(String::as_str).collect();
    assert!(ground.work(&before, &["commit", "--step", "3"]).was_killed());
    let n_points = at_every_call(&ground, "signal=KILL", &["gc"], killed);
    ground.must(&["gc"]);
    assert!(ground.said().iter().any(|it| it.starts_with("swept") && !it.ends_with(" 0")), "nothing was collected");
    row.ok(n_points);
}
