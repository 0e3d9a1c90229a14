//! The fault matrix of the store, rows 17 to 22, on a server that does what it is told to.

use std::{sync::Mutex, time::Duration};

use hyper::Method;
use modelwatch_sdk::{store::ScrubDepth, testing::FaultRow};
use modelwatch_store::{Blobs, Published};

use super::{server::Fault, *};

/// Soon at its end, but not before a busy machine has answered.
const SHORT: Patience =
    Patience { timeout: Duration::from_secs(3), deadline: Duration::from_millis(200), pause: Duration::from_millis(1) };

fn is_put(part: &'static str) -> impl Fn(&Method, &str) -> bool + Send + Sync + 'static {
    move |method, key| method == Method::PUT && key.contains(part)
}

fn is_get(part: &'static str) -> impl Fn(&Method, &str) -> bool + Send + Sync + 'static {
    move |method, key| method == Method::GET && key.contains(part)
}

/// A commit during which puts of each kind of file fail so is acknowledged, there once, and intact.
fn survives(faults: &[Fault]) {
    for part in ["/packs/", "/manifests/", "/log/digits/"] {
        let server = Server::start(false);
        let store = open(&server);
        commit(&store, 1).unwrap();
        server.spoil(faults.to_vec(), is_put(part));
        let id = commit(&store, 2).unwrap();
        assert_eq!(server.heal(), 0, "{part}");
        let other = open(&server);
        assert_eq!(read(&other, &id).unwrap(), content(2), "{part}");
        assert_eq!(other.history("digits").unwrap().last_seq(), 2, "{part}");
        assert_eq!(other.scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0]);
    }
}

fn publish(bucket: &dyn Blobs, key: &str) -> Result<Published> {
    let stage = bucket.stage().unwrap();
    stage.write("it", b"it").unwrap();
    stage.publish("it", key)
}

// Row 17.

#[test]
fn what_fails_before_it_is_carried_out_is_tried_again() {
    let row = FaultRow::new(17, "500, 503 and 429 before packs, manifests and entries", "S3F");
    survives(&[Fault::Before(500), Fault::Before(503), Fault::Before(429)]);
    row.ok(9);
}

#[test]
fn a_server_that_stays_broken_is_an_error_and_changes_nothing() {
    let row = FaultRow::new(17, "503 without end", "S3F");
    let server = Server::start(false);
    commit(&open(&server), 1).unwrap();
    let store = try_open(&server, SHORT).unwrap();
    server.spoil([Fault::Before(503); 10_000], is_put("/packs/"));
    let error = commit(&store, 2).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Io, "{error}");
    assert!(error.help.contains("nothing was committed"), "{error:?}");
    server.heal();
    assert_eq!(open(&server).history("digits").unwrap().last_seq(), 1);
    commit(&store, 2).unwrap();
    row.ok(1);
}

// Row 18.

#[test]
fn a_reply_that_is_an_error_although_it_was_carried_out_is_seen_through() {
    let row = FaultRow::new(18, "carried out, answered 500", "S3F");
    survives(&[Fault::After(500)]);
    row.ok(3);
}

#[test]
fn a_connection_that_is_closed_after_it_was_carried_out_is_seen_through() {
    let row = FaultRow::new(18, "carried out, connection closed", "S3F");
    survives(&[Fault::AfterClosed]);
    row.ok(3);
}

#[test]
fn a_refusal_after_a_lost_reply_is_not_taken_for_the_whole_truth() {
    let row = FaultRow::new(18, "carried out, answered 500, then 403", "S3F");
    let server = Server::start(false);
    let bucket = server.bucket(PATIENCE);
    server.spoil([Fault::After(500), Fault::Before(403)], is_put("/a/b"));
    assert!(matches!(publish(&bucket, "a/b").unwrap(), Published::Unknown(_)));
    assert_eq!(bucket.read("a/b", 10).unwrap().unwrap(), b"it");
    row.ok(1);
}

#[test]
fn what_cannot_be_looked_at_is_uncertain() {
    let row = FaultRow::new(18, "carried out, and nobody can look", "S3F");
    let server = Server::start(false);
    commit(&open(&server), 1).unwrap();
    let store = try_open(&server, SHORT).unwrap();
    let is_entry = "/log/digits/00000000000000000002.json";
    // The entry is written without a reply, and from then on nobody is told about it.
    let is_out = std::sync::atomic::AtomicBool::new(false);
    server.spoil(std::iter::once(Fault::After(500)).chain([Fault::Before(500); 10_000]), move |method, key| {
        let it = key.contains(is_entry);
        if it && method == Method::PUT {
            is_out.store(true, std::sync::atomic::Ordering::SeqCst);
        }
        it && is_out.load(std::sync::atomic::Ordering::SeqCst)
    });
    let error = commit(&store, 2).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Uncertain, "{error}");
    assert!(error.help.contains("op_id"), "{error:?}");
    assert!(!format!("{error:?}").contains("secret-signature"), "{error:?}");
    server.heal();
    // It was there all the time, and committing again finds it.
    let id = commit(&store, 2).unwrap();
    assert_eq!(store.history("digits").unwrap().last_seq(), 2);
    assert_eq!(read(&store, &id).unwrap(), content(2));
    row.ok(1);
}

#[test]
fn a_refusal_is_an_error_with_a_remedy_and_without_a_secret() {
    let server = Server::start(false);
    let bucket = server.bucket(PATIENCE);
    for (status, help) in
        [(403, "the right to"), (401, "the right to"), (501, "puts that succeed only"), (400, "`options`")]
    {
        server.spoil([Fault::Before(status)], is_put("/a/b"));
        let error = publish(&bucket, "a/b").unwrap_err();
        assert_eq!(
            error.message,
            format!("cannot write `s3://bucket/stores/digits/a/b`: the server answered {status} (Planted)")
        );
        assert!(error.help.contains(help), "{error:?}");
    }
}

// Row 19.

#[test]
fn a_conflict_without_a_winner_is_tried_again() {
    let row = FaultRow::new(19, "409 without a winner", "S3F");
    survives(&[Fault::Before(409), Fault::Before(409)]);
    row.ok(6);
}

#[test]
fn a_conflict_with_a_winner_is_a_key_that_is_taken() {
    let row = FaultRow::new(19, "409 with a winner", "S3F");
    let server = Server::start(false);
    let bucket = server.bucket(PATIENCE);
    assert!(matches!(publish(&bucket, "a/b").unwrap(), Published::Created));
    server.spoil([Fault::Before(409)], is_put("/a/b"));
    assert!(matches!(publish(&bucket, "a/b").unwrap(), Published::Taken));
    row.ok(1);
}

// Row 20.

#[test]
fn a_body_that_breaks_off_is_asked_for_again() {
    let row = FaultRow::new(20, "bodies cut off or shortened", "S3F");
    for part in ["/packs/", "/manifests/", "/log/digits/"] {
        for fault in [Fault::CutOff, Fault::Shortened] {
            let server = Server::start(false);
            let id = commit(&open(&server), 1).unwrap();
            let store = open(&server);
            server.spoil([fault], is_get(part));
            let found = read(&store, &id);
            // A whole file that is shorter, and says so, is refused by its digest.
            match found {
                Ok(it) => assert_eq!(it, content(1)),
                Err(e) => assert_eq!((e.kind, fault), (ErrorKind::Corrupt, Fault::Shortened), "{part}: {e}"),
            }
            assert_eq!(server.heal(), 0, "{part} {fault:?}");
            assert_eq!(read(&store, &id).unwrap(), content(1));
        }
    }
    row.ok(6);
}

#[test]
fn a_body_that_never_ends_is_an_error_in_time() {
    let row = FaultRow::new(20, "a body that never ends", "S3F");
    let server = Server::start(false);
    let id = commit(&open(&server), 1).unwrap();
    let store = try_open(&server, SHORT).unwrap();
    server.spoil([Fault::Endless; 100], is_get("/packs/"));
    let error = read(&store, &id).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Io, "{error}");
    server.heal();
    assert_eq!(read(&store, &id).unwrap(), content(1));
    row.ok(1);
}

#[test]
fn a_listing_without_the_newest_entry_misses_nothing() {
    let row = FaultRow::new(20, "listings without the newest entry", "S3F");
    let server = Server::start(false);
    let ids = [1, 2, 3].map(|it| commit(&open(&server), it).unwrap());
    let store = open(&server);
    server.spoil([Fault::Stale; 100], |method, key| {
        method == Method::GET && key.contains("list-type=2") && key.contains("log%2Fdigits%2F")
    });
    assert_eq!(store.history("digits").unwrap().last_seq(), 3);
    assert!(server.heal() < 100, "no listing was asked for");
    assert_eq!(read(&store, &ids[2]).unwrap(), content(3));
    server.spoil([Fault::Stale; 100], |_, key| key.contains("list-type=2") && key.contains("log%2Fdigits%2F"));
    commit(&store, 4).unwrap();
    server.heal();
    assert_eq!(open(&server).history("digits").unwrap().last_seq(), 4);
    row.ok(2);
}

#[test]
fn files_are_held_against_what_they_may_be() {
    let row = FaultRow::new(20, "ranges past the end, sizes past the cap", "S3F");
    let server = Server::start(false);
    let bucket = server.bucket(PATIENCE);
    let _ = publish(&bucket, "a/b").unwrap();
    let mut out = [0; 2];
    bucket.read_at("a/b", 0, &mut out).unwrap();
    assert_eq!(&out, b"it");
    for (key, offset) in [("a/b", 1), ("a/b", 2), ("a/b", 900), ("a/b", u64::MAX), ("a/c", 0)] {
        assert_eq!(kind(bucket.read_at(key, offset, &mut out)), Some(ErrorKind::Corrupt), "{key} {offset}");
    }
    assert_eq!(kind(bucket.read("a/b", 1)), Some(ErrorKind::Corrupt));
    assert_eq!(bucket.read("a/c", 1).unwrap(), None);
    assert_eq!(bucket.stat("a/b").unwrap().unwrap().size, 2);
    assert_eq!(bucket.stat("a/c").unwrap(), None);
    assert_eq!(bucket.list("").unwrap(), ["a"]);
    bucket.quarantine("a/b").unwrap();
    assert_eq!((bucket.read("a/b", 10).unwrap(), bucket.list("quarantine").unwrap().len()), (None, 1));
    bucket.remove("a/b").unwrap();
    assert_eq!(bucket.list("../..").unwrap(), [""; 0]);
    row.ok(6);
}

// Row 22.

#[test]
fn a_server_that_is_gone_is_an_error_in_time() {
    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let row = FaultRow::new(22, "a server that is gone", "S3F");
    let server = Server::start(false);
    let id = commit(&open(&server), 1).unwrap();
    let store = try_open(&server, SHORT).unwrap();
    let bucket = server.bucket(SHORT).telling(|it| TOLD.lock().unwrap().push(it.to_owned()));
    drop(server);
    assert!(matches!(publish(&bucket, "a/b").unwrap(), Published::Unknown(_)));
    assert_eq!(kind(commit(&store, 2)), Some(ErrorKind::Io));
    let error = read(&store, &id).unwrap_err();
    assert!(error.kind == ErrorKind::Io && error.message.contains("no connection was made"), "{error}");
    // That it is tried again is said when it begins, and once.
    assert!(bucket.stat("a/b").is_err());
    let told = TOLD.lock().unwrap();
    let says = ["cannot reach `s3://", "no connection was made", "; trying for "];
    assert!(matches!(&told[..], [it] if says.iter().all(|part| it.contains(part))), "{told:?}");
    row.ok(3);
}
