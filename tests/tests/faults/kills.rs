//! Signals at random times.

use std::{
    process,
    time::{Duration, Instant},
};

use modelwatch_sdk::testing::FaultRow;

use crate::{
    harness::{Draws, Ground, as_root_with, ended, minutes, signal, wait_until},
    mounts::Mount,
};

/// How many processes are killed in a store before a new one is begun.
const KILLS_PER_STORE: usize = 40;

/// Lets a worker run and sends it a signal after a random number of further lines and microseconds. Returns how
/// it ended.
fn interrupted(ground: &Ground, draws: &mut Draws, name: &str, arguments: &[&str]) -> crate::harness::Outcome {
    let n_before = ground.said().len();
    let n_lines = draws.below(4) as usize;
    let mut child = ground.command(&[], arguments).spawn().unwrap();
    wait_until("the worker says something", || {
        ground.said().len() >= n_before + n_lines || child.try_wait().unwrap().is_some()
    });
    std::thread::sleep(Duration::from_micros(draws.below(30_000)));
    signal(name, child.id());
    ended(child)
}

#[test]
fn row_01_killed_at_random_times() {
    let row = FaultRow::new(1, "SIGKILL of a saving and collecting process at random times", "KILL");
    // The processes are many, so that the seed is printed.
    let seed = u64::from(process::id());
    println!("seed {seed}");
    let mut draws = Draws(seed);
    let (n_kills, until) = match minutes() {
        None => (60, Instant::now()),
        Some(it) => (1000, Instant::now() + Duration::from_secs(60 * it)),
    };
    let mut ground = Ground::new();
    let mut n_done = 0;
    while n_done < n_kills || Instant::now() < until {
        // A store grows old with its kills, but not so old that checking it is all that is done.
        if n_done % KILLS_PER_STORE == 0 {
            ground = Ground::new();
        }
        let step = (n_done as u64 * 1000 + 1).to_string();
        let outcome = interrupted(&ground, &mut draws, "KILL", &["loop", "--step", &step]);
        assert!(outcome.was_killed(), "seed {seed}: {outcome:?}");
        ground.check(&format!("seed {seed}, kill {n_done}"));
        n_done += 1;
    }
    row.ok(n_done);
}

#[test]
fn row_01_terminated_at_random_times() {
    let row = FaultRow::new(1, "SIGTERM of a process that does not listen, at random times", "KILL");
    let mut draws = Draws(u64::from(process::id()));
    let ground = Ground::new();
    let n_signals = if minutes().is_some() { 200 } else { 15 };
    for at in 0..n_signals {
        let step = (at as u64 * 1000 + 1).to_string();
        let outcome = interrupted(&ground, &mut draws, "TERM", &["loop", "--step", &step]);
        assert!(!outcome.status.success(), "how it ended must tell: {outcome:?}");
        ground.check(&format!("signal {at}"));
    }
    row.ok(n_signals);
}

/// A training with saves in the background finishes them when it is told to end: what it handed over is there.
#[test]
fn row_25_told_to_end_while_saves_are_queued() {
    let row = FaultRow::new(25, "SIGTERM while saves in the background are queued, at random times", "KILL");
    let mut draws = Draws(u64::from(process::id()));
    let ground = Ground::new();
    let n_signals = if minutes().is_some() { 200 } else { 15 };
    for at in 0..n_signals {
        let step = (at as u64 * 1000 + 1).to_string();
        let n_before = ground.said().len();
        let mut child = ground.command(&[], &["train", "--step", &step]).spawn().unwrap();
        // It listens from before it says anything.
        wait_until("the training queues something", || {
            ground.said().len() > n_before || child.try_wait().unwrap().is_some()
        });
        std::thread::sleep(Duration::from_micros(draws.below(60_000)));
        signal("TERM", child.id());
        let outcome = ended(child);
        assert!(outcome.status.success(), "signal {at}: {outcome:?}");
        assert_eq!(ground.n_said("queued"), ground.n_said("acked"), "signal {at}: {:?}", ground.said());
        ground.check(&format!("signal {at}"));
    }
    let n_saved = ground.n_said("acked");
    row.noting(format_args!("{n_saved} were queued, and all of them saved")).ok(n_signals);
}

/// Where they cannot be finished, that is said and shows in how the process ends; what was acknowledged is there.
#[test]
fn row_25_told_to_end_while_saves_fail() {
    let row = FaultRow::new(25, "SIGTERM while saves in the background fail for lack of space", "tmpfs");
    let Some(row) = as_root_with(row, &["mount", "umount"]) else { return };
    let ground = Ground::new();
    let mount = Mount::tmpfs("size=400k", &ground.store);
    let child = ground.command(&[], &["train", "--step", "1"]).spawn().unwrap();
    wait_until("a save fails", || ground.n_said("failed") > 0);
    signal("TERM", child.id());
    let outcome = ended(child);
    assert!(!outcome.is_success_or_error("full"));
    assert_eq!(ground.n_said("queued"), ground.n_said("acked") + ground.n_said("failed"), "{:?}", ground.said());
    mount.remount("size=100m");
    ground.check("full");
    row.ok(1);
}
