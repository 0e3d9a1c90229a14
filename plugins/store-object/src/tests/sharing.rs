//! Several writers on one bucket, and places that do not keep them apart.

use std::thread;

use modelwatch_sdk::{
    store::{CollectOptions, ScrubDepth},
    testing::FaultRow,
};

use super::*;

const N_WRITERS: u64 = 8;
/// How many commits each of the writers makes: more in `cargo xtask crash`.
fn n_commits() -> u64 {
    if std::env::var_os("MODELWATCH_CRASH_MINUTES").is_some() { 200 } else { 25 }
}

/// Each writer has a connection of its own, as in a process of its own.
#[test]
fn writers_lose_nothing() {
    let n_commits = n_commits();
    let row = FaultRow::new(12, format_args!("{N_WRITERS} writers, {n_commits} commits each, on S3"), "S3F");
    let server = Server::start(false);
    thread::scope(|scope| {
        for writer in 0..N_WRITERS {
            let server = &server;
            scope.spawn(move || {
                let store = open(server);
                for it in 0..n_commits {
                    let step = writer * 1000 + it;
                    // Whoever is overtaken too often is told so, and that nothing was changed.
                    while let Err(e) = commit(&store, step) {
                        assert_eq!(e.kind, ErrorKind::Busy, "{e}");
                    }
                }
            });
        }
    });
    let store = open(&server);
    let entries = store.log("digits", 0, 10_000).unwrap();
    assert_eq!(entries.len() as u64, N_WRITERS * n_commits);
    assert!(entries.iter().zip(1..).all(|(it, seq)| it.seq == seq));
    assert_eq!(store.history("digits").unwrap().checkpoints().len() as u64, N_WRITERS * n_commits);
    let report = store.scrub(&(), ScrubDepth::Full).unwrap();
    assert_eq!((report.checkpoints, report.damage), (N_WRITERS * n_commits, vec![]));
    row.ok(N_WRITERS * n_commits);
}

/// F4: s3s-fs looks whether the key is free, and writes later.
#[test]
fn a_server_that_looks_first_and_writes_later_is_refused() {
    let row = FaultRow::new(21, "a server that looks first and writes later is refused", "S3F");
    let server = Server::start(true);
    let error = try_open(&server, PATIENCE).err().unwrap();
    assert!(error.message.contains("no place for a store"), "{error}");
    assert!(error.message.contains("went to more than one of 8 writers"), "{error}");
    assert!(error.help.contains("conditional puts"), "{error:?}");
    row.ok(1);
}

#[test]
fn a_server_that_keeps_writers_apart_is_sound() {
    let row = FaultRow::new(21, "a server that keeps writers apart is accepted", "S3F");
    let server = Server::start(false);
    let report = open(&server).doctor(&()).unwrap();
    assert_eq!(report.unsound, [""; 0]);
    assert_eq!(report.sound.len(), 6);
    row.ok(1);
}

#[test]
fn what_is_removed_is_collected_and_what_is_damaged_set_aside() {
    let server = Server::start(false);
    let store = open(&server);
    let (gone, kept) = (commit(&store, 1).unwrap(), commit(&store, 2).unwrap());
    store.remove("digits", std::slice::from_ref(&gone), "").unwrap();
    let report = store.collect(&(), &CollectOptions { grace: 0, dry_run: false }).unwrap();
    assert!(report.swept.files > 0, "{report:?}");
    assert_eq!(read(&store, &kept).unwrap(), content(2));
    assert_eq!(kind(read(&store, &gone)), Some(ErrorKind::NotFound));
}
