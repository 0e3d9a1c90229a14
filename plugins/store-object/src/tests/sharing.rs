//! Several writers on one bucket, and places that do not keep them apart.

use std::{
    collections::BTreeSet,
    env, fs,
    net::SocketAddr,
    process::{Command, Stdio},
};

use modelwatch_sdk::{
    store::{CollectOptions, ScrubDepth},
    testing::FaultRow,
};
use serde_json::Value;

use super::*;

const N_WRITERS: u64 = 8;
/// Says to a process that it is one of the writers: the server's address and the number of the writer.
const WRITER: &str = "MODELWATCH_TEST_WRITER";

/// How many commits each of the writers makes: more in `cargo xtask crash`.
fn n_commits() -> u64 {
    if env::var_os("MODELWATCH_CRASH_MINUTES").is_some() { 200 } else { 25 }
}

/// Each writer is this test once more, in a process of its own.
#[test]
fn writers_lose_nothing() {
    if let Ok(it) = env::var(WRITER) {
        let (address, writer) = it.split_once(' ').unwrap();
        return write(address.parse().unwrap(), writer.parse().unwrap());
    }
    let n_commits = n_commits();
    let fault = format_args!("{N_WRITERS} processes, {n_commits} commits each, on S3");
    let row = FaultRow::new(12, fault, "S3F");
    let server = Server::start(false);
    let start = |writer: u64| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["tests::sharing::writers_lose_nothing", "--exact", "--nocapture"]);
        command.env(WRITER, format!("{} {writer}", server.address())).stdout(Stdio::null()).spawn().unwrap()
    };
    let processes: Vec<_> = (0..N_WRITERS).map(start).collect();
    // All are waited for before one of them may fail the test, which would leave the others without a server.
    let ends: Vec<_> = processes.into_iter().map(|mut it| it.wait().unwrap()).collect();
    assert!(ends.iter().all(|it| it.success()), "{ends:?}");
    let store = open(&server);
    let entries = store.log("digits", 0, 10_000).unwrap();
    assert_eq!(entries.len() as u64, N_WRITERS * n_commits);
    assert!(entries.iter().zip(1..).all(|(it, seq)| it.seq == seq));
    assert_eq!(store.history("digits").unwrap().checkpoints().len() as u64, N_WRITERS * n_commits);
    let report = store.scrub(&(), ScrubDepth::Full).unwrap();
    assert_eq!((report.checkpoints, report.damage), (N_WRITERS * n_commits, vec![]));
    assert_eq!(writers(&server).len() as u64, N_WRITERS, "each is a process");
    row.ok(N_WRITERS * n_commits);
}

fn write(address: SocketAddr, writer: u64) {
    let store = open_with(&server::config_of(address), PATIENCE, settings()).unwrap();
    for it in 0..n_commits() {
        let step = writer * 1000 + it;
        // Whoever is overtaken too often is told so, and that nothing was changed.
        while let Err(e) = commit(&store, step) {
            assert_eq!(e.kind, ErrorKind::Busy, "{e}");
        }
    }
}

/// Returns the writers that the log's entries name, each with its process.
fn writers(server: &Server) -> BTreeSet<String> {
    let entries = fs::read_dir(server.folder().join("log/digits")).unwrap().map(|it| it.unwrap().path());
    let writer = |path| -> String {
        let entry: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        entry["writer"].as_str().unwrap().to_owned()
    };
    entries.filter(|it| it.extension().is_some_and(|it| it == "json")).map(writer).collect()
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
