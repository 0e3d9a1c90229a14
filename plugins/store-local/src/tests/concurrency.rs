//! Several writers on one store.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::*;
use crate::disk::Step;

const N_THREADS: u64 = 8;
const N_COMMITS: u64 = 3;

/// Every thread commits, and moves one ref of its own and one that all share.
fn race(path: &Path, stores: &[Engine]) {
    thread::scope(|scope| {
        for thread in 0..N_THREADS {
            let store = &stores[thread as usize % stores.len()];
            scope.spawn(move || {
                let mut before = None;
                for it in 0..N_COMMITS {
                    let id = commit(store, "digits", thread * 100 + it).unwrap();
                    store.set_ref("digits", &format!("own-{thread}"), &id, before.as_ref(), "").unwrap();
                    loop {
                        let at = store.get_ref("digits", "shared").unwrap();
                        match kind(store.set_ref("digits", "shared", &id, at.as_ref(), "")) {
                            None => break,
                            Some(it) => assert!(matches!(it, ErrorKind::Conflict | ErrorKind::Busy), "{it:?}"),
                        }
                    }
                    before = Some(id);
                }
            });
        }
    });
    let store = open(path);
    let entries = store.log("digits", 0, 1000).unwrap();
    assert_eq!(entries.len() as u64, N_THREADS * N_COMMITS * 3);
    assert!(entries.iter().zip(1..).all(|(it, seq)| it.seq == seq));
    let history = store.history("digits").unwrap();
    assert_eq!(history.checkpoints().len() as u64, N_THREADS * N_COMMITS);
    let shared: Vec<_> = history.moves().iter().filter(|it| it.name == "shared").collect();
    assert!(shared.windows(2).all(|it| it[1].from == it[0].to), "a move was lost");
    for thread in 0..N_THREADS {
        let id = store.get_ref("digits", &format!("own-{thread}")).unwrap().unwrap();
        check_content(&store, &id, thread * 100 + N_COMMITS - 1).unwrap();
    }
    let report = store.scrub(&(), ScrubDepth::Full).unwrap();
    assert_eq!((report.checkpoints, report.damage), (N_THREADS * N_COMMITS, vec![]));
    assert!(files(path, "/tmp/").is_empty());
}

#[test]
fn threads_on_one_store_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    race(dir.path(), &[open_watched(dir.path(), Arc::new(())).unwrap()]);
}

#[test]
fn writers_on_separate_stores_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let stores: Vec<_> = (0..N_THREADS).map(|_| open_watched(dir.path(), Arc::new(())).unwrap()).collect();
    race(dir.path(), &stores);
}

#[test]
fn stores_that_are_created_at_once_are_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = &dir.path().join("a/b");
    thread::scope(|scope| {
        for it in 0..N_THREADS {
            scope.spawn(move || commit(&open(path), "digits", it).unwrap());
        }
    });
    assert_eq!(open(path).history("digits").unwrap().checkpoints().len() as u64, N_THREADS);
}

/// Lets another writer be faster, just before a log entry gets its name.
struct Overtake {
    path: PathBuf,
    always: bool,
    done: AtomicBool,
}

impl Watch for Overtake {
    fn before(&self, step: Step<'_>) -> std::io::Result<()> {
        if let Step::Link(_, to) = step
            && to.parent().is_some_and(|it| it.ends_with("log/digits"))
            && (self.always || !self.done.swap(true, Ordering::Relaxed))
        {
            let manners = Manners { courtesy: Duration::ZERO, ..MANNERS };
            let other = open_with(&self.path, Arc::new(Fast), manners, settings()).unwrap();
            let id = other.history("digits").unwrap().checkpoints()[0].id.clone();
            let at = other.get_ref("digits", "good").unwrap();
            other.set_ref("digits", "good", &id, at.as_ref(), "overtaken").unwrap();
        }
        Ok(())
    }

    fn syncs(&self) -> bool {
        false
    }
}

#[test]
fn whoever_is_overtaken_looks_again_before_the_next_try() {
    let dir = tempfile::tempdir().unwrap();
    let id = commit(&open(dir.path()), "digits", 0).unwrap();
    let overtaken = |always| {
        let watch = Overtake { path: dir.path().to_owned(), always, done: AtomicBool::new(false) };
        open_watched(dir.path(), Arc::new(watch)).unwrap()
    };
    // A commit fits wherever it comes.
    let second = commit(&overtaken(false), "digits", 1).unwrap();
    let seqs: Vec<u64> = open(dir.path()).history("digits").unwrap().checkpoints().iter().map(|it| it.seq).collect();
    assert_eq!(seqs, [1, 3]);
    // A move of the ref that moved meanwhile does not.
    let moved = overtaken(false).set_ref("digits", "good", &second, Some(&id), "late");
    assert_eq!(kind(moved), None, "it moved to where it was, which is still as expected");
    let moved = overtaken(false).set_ref("digits", "good", &second, Some(&second), "late");
    assert_eq!(kind(moved), Some(ErrorKind::Conflict));
    // Nobody tries forever.
    let before = open(dir.path()).history("digits").unwrap().last_seq();
    let tried = overtaken(true).remove("digits", std::slice::from_ref(&second), "");
    let e = tried.unwrap_err();
    assert!(e.kind == ErrorKind::Busy && e.message.contains("16 times"), "{e:?}");
    assert_eq!(open(dir.path()).history("digits").unwrap().last_seq(), before + 16);
}
