//! Several processes on one store.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::Child,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use modelwatch_sdk::testing::FaultRow;

use crate::{
    calls::{CALLS, inject},
    harness::{Ground, ended, minutes, signal, traced, wait_until, why_not_traced},
};

const N_PROCESSES: usize = 8;
/// How many frozen writers there are at a time, which mostly wait.
const N_AT_ONCE: usize = 6;

/// Runs processes that commit at once. Returns how often each commit was tried, where processes can be traced.
fn race(ground: &Ground, traced: bool, arguments: impl Fn(usize) -> Vec<String>) -> Vec<usize> {
    let log = |at: usize| ground.dir.path().join(format!("links-{at}"));
    let start = |at: usize| -> Child {
        let log = log(at);
        // Only links, which are what a commit is; the rest runs at its own speed.
        let strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=?link,?linkat", "-o"];
        let before: Vec<&str> = if traced { [&strace[..], &[log.to_str().unwrap()]].concat() } else { Vec::new() };
        let arguments = arguments(at);
        ground.command(&before, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).spawn().unwrap()
    };
    let children: Vec<_> = (0..N_PROCESSES).map(start).collect();
    for it in children {
        let outcome = ended(it);
        assert!(outcome.status.success(), "{}", outcome.error);
    }
    (0..N_PROCESSES).flat_map(|at| tries(&fs::read_to_string(log(at)).unwrap_or_default())).collect()
}

/// Returns how many links into the log each commit took: some whose name was taken, and one that was not.
fn tries(calls: &str) -> Vec<usize> {
    let mut res = Vec::new();
    let mut n_taken = 0;
    // Threads whose link into the log was told in two halves, the first without its result.
    let mut halves = BTreeSet::new();
    // Not the segments, which are kept beside the entries, nor the log of the store itself.
    let is_entry = |call: &str| call.contains("/log/digits/") && call.contains(".json\"");
    for call in calls.lines() {
        let thread = call.split(' ').next().unwrap_or_default();
        if call.contains("<unfinished") {
            if is_entry(call) {
                halves.insert(thread);
            }
            continue;
        }
        let is_link = if call.contains("resumed>") { halves.remove(thread) } else { is_entry(call) };
        if is_link && call.contains("EEXIST") {
            n_taken += 1;
        } else if is_link && call.ends_with("= 0") {
            res.push(n_taken + 1);
            n_taken = 0;
        }
    }
    res
}

#[test]
fn tries_are_told_in_one_line_or_in_two() {
    let calls = "7 link(\"a\", \"s/packs/1\") = 0\n7 link(\"a\", \"s/log/digits/1.json\") = -1 EEXIST (File exists)\n\
                 8 link(\"b\", \"s/log/digits/2.json\" <unfinished ...>\n9 link(\"c\", \"s/packs/2\" <unfinished ...>\n\
                 9 <... link resumed>) = 0\n8 <... link resumed>) = 0\n7 link(\"d\", \"s/log/digits/3.json\") = 0\n\
                 7 link(\"e\", \"s/log/digits/0.segment\") = 0\n";
    assert_eq!(tries(calls), [2, 1]);
}

#[test]
fn row_12_many_writers_of_different_steps() {
    const N_COMMITS: usize = 200;
    let row = FaultRow::new(12, "8 processes, 200 commits each", "processes");
    let ground = Ground::in_memory();
    let traced = why_not_traced().is_none();
    let mut tries = race(&ground, traced, |at| {
        let step = (at * 1000 + 1).to_string();
        ["commit", "--size", "2000", "--count", &N_COMMITS.to_string(), "--step", &step].map(str::to_owned).to_vec()
    });
    assert_eq!(ground.n_said("acked"), N_PROCESSES * N_COMMITS);
    let entries = fs::read_dir(ground.store.join("log/digits")).unwrap();
    let is_entry = |it: &PathBuf| it.extension().is_some_and(|it| it == "json");
    let n_entries = entries.map(|it| it.unwrap().path()).filter(is_entry).count();
    assert_eq!(n_entries, N_PROCESSES * N_COMMITS, "each commit is one entry");
    ground.check("8 writers");
    tries.sort_unstable();
    let row = match tries.len() {
        0 => row.noting("how often each was tried is not seen without `strace`"),
        n => {
            assert_eq!(n, N_PROCESSES * N_COMMITS, "each commit is seen");
            let (p99, most) = (tries[n * 99 / 100], tries[n - 1]);
            assert!(p99 < 16, "one commit in a hundred takes {p99} tries");
            row.noting(format_args!("99 % of them within {p99} tries, all within {most}"))
        }
    };
    row.ok(N_PROCESSES * N_COMMITS);
}

#[test]
fn row_11_many_writers_of_the_same_steps() {
    const N_COMMITS: usize = 40;
    let row = FaultRow::new(11, "8 processes, the same 40 commits each", "processes");
    let ground = Ground::in_memory();
    race(&ground, false, |_| {
        ["commit", "--size", "2000", "--count", &N_COMMITS.to_string(), "--step", "1"].map(str::to_owned).to_vec()
    });
    // Everybody is told the truth: the checkpoint is there, once.
    assert_eq!(ground.n_said("acked"), N_PROCESSES * N_COMMITS);
    let is_entry = |it: &fs::DirEntry| it.path().extension().is_some_and(|it| it == "json");
    let entries = fs::read_dir(ground.store.join("log/digits")).unwrap();
    assert_eq!(entries.filter(|it| is_entry(it.as_ref().unwrap())).count(), N_COMMITS);
    ground.check("8 writers of the same");
    row.ok(N_PROCESSES * N_COMMITS);
}

/// Returns the thread that stopped last. Those before it may be over, and then no signal to them reaches the process.
fn thread_stopped(calls: &str) -> Option<u32> {
    let line = calls.lines().rfind(|it| it.contains("--- stopped by SIGSTOP ---"))?;
    line.split(' ').next()?.parse().ok()
}

#[test]
fn the_thread_that_stopped_last_is_told() {
    let calls = "7 write(3, \"a\", 1) = 1 (INJECTED)\n7 --- stopped by SIGSTOP ---\n8 --- stopped by SIGSTOP ---\n\
                 8 +++ exited with 0 +++\n7 write(3, \"b\", 1) = 1\n";
    assert_eq!(thread_stopped(calls), Some(8));
    assert_eq!(thread_stopped("7 write(3, \"a\", 1) = 1\n"), None);
}

/// Lets a writer stop after a system call, collects what it may need, and lets it go on.
fn frozen(base: &Ground, calls: &str, at: usize) -> bool {
    let ground = base.copy();
    let case = format!("stopped at call {at} of {calls}");
    let log = ground.dir.path().join("calls");
    let strace = inject(log.to_str().unwrap(), calls, "signal=STOP", at);
    let before: Vec<&str> = strace.iter().map(String::as_str).collect();
    let mut child = ground.command(&before, &["commit", "--step", "3"]).spawn().unwrap();
    let stopped = || thread_stopped(&fs::read_to_string(&log).unwrap_or_default());
    let mut is_over = false;
    wait_until(&case, || {
        is_over = child.try_wait().unwrap().is_some();
        is_over || stopped().is_some()
    });
    if stopped().is_none() {
        assert!(ended(child).status.success(), "{case}");
        return false;
    }
    ground.must(&["gc", "--count", "2"]);
    // The tracer may not have taken note of the stop when the first one comes, which then wakes nobody. And each thread
    // stops the process at a call of its own.
    wait_until(&case, || {
        stopped().into_iter().for_each(|it| signal("CONT", it));
        child.try_wait().unwrap().is_some()
    });
    let outcome = ended(child);
    // Whatever became of it, it is the truth: what it shared may be gone, and then it says so.
    if !outcome.is_success_or_error(&case) {
        assert!(outcome.error.contains("Busy"), "{case}: {}", outcome.error);
    }
    ground.check(&case);
    true
}

#[test]
fn row_13_writer_that_is_frozen_while_garbage_is_collected() {
    let row = FaultRow::new(13, "writer frozen through mark and sweep", "SIGSTOP");
    let Some(row) = traced(row) else { return };
    let base = Ground::new();
    base.must(&["commit", "--step", "1", "--count", "2"]);
    // Links are the phases: packs, manifest, entry. Where it has its turn at a log, others wait for ten seconds
    // before they go on without it, so that the phases are tried at once.
    let points: Vec<(&str, usize)> = if minutes().is_some() {
        CALLS.iter().flat_map(|it| (1..=12).map(|at| (*it, at))).collect()
    } else {
        [(CALLS[2], 1), (CALLS[2], 2), (CALLS[2], 3), (CALLS[1], 2), (CALLS[1], 6), (CALLS[4], 2)].into()
    };
    let next = AtomicUsize::new(0);
    let try_next = || {
        let mut n_points = 0;
        while let Some((calls, at)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
            n_points += usize::from(frozen(&base, calls, *at));
        }
        n_points
    };
    let n_points: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..N_AT_ONCE).map(|_| scope.spawn(try_next)).collect();
        threads.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert!(n_points > 3, "only {n_points} points");
    row.ok(n_points);
}

#[test]
fn row_14_reader_while_garbage_is_collected() {
    let row = FaultRow::new(14, "readers while garbage is collected", "processes");
    let ground = Ground::in_memory();
    ground.must(&["commit", "--step", "1", "--count", "3"]);
    let writer = ground.command(&[], &["loop", "--step", "100"]).spawn().unwrap();
    let count = if minutes().is_some() { "2000" } else { "150" };
    let readers = [0, 1].map(|_| ground.command(&[], &["read", "--count", count]).spawn().unwrap());
    let outcomes = readers.map(ended);
    signal("KILL", writer.id());
    ended(writer);
    for it in outcomes {
        assert!(it.status.success(), "{}", it.error);
    }
    assert!(ground.said().iter().any(|it| it.starts_with("swept") && !it.ends_with(" 0")), "nothing was collected");
    let (n_read, n_gone) = (ground.n_said("read"), ground.n_said("gone"));
    ground.check("readers");
    row.noting(format_args!("{n_gone} told that it is gone")).ok(n_read);
}
