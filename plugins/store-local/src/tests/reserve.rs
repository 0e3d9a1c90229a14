//! What is kept free for what frees space.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use modelwatch_sdk::store::CollectOptions;

use super::*;
use crate::disk::Step;

const SIZE: u64 = 1 << 16;

/// A disk that is full as long as the file is there, or whatever is removed.
struct Full {
    reserve: PathBuf,
    is_for_good: bool,
}

impl Watch for Full {
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        let takes = matches!(step, Step::CreateDir(_) | Step::CreateFile(_) | Step::Write(_) | Step::Link(..));
        if takes && (self.is_for_good || self.reserve.exists()) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn syncs(&self) -> bool {
        false
    }
}

fn open_keeping(path: &Path, watch: Arc<dyn Watch>) -> Engine {
    // By the clock by which files are dated.
    let settings = Settings { clock: Settings::of("").clock, ..settings() };
    open_with(path, watch, Manners { reserve: SIZE, ..MANNERS }, settings).unwrap()
}

#[test]
fn a_full_disk_takes_what_frees_space() {
    let collect = CollectOptions { grace: 0, dry_run: false };
    for is_for_good in [false, true] {
        let dir = scratch();
        let reserve = dir.path().join("reserve");
        let store = open_keeping(dir.path(), Arc::new(Fast));
        let ids = [1, 2, 3].map(|it| commit(&store, "digits", it).unwrap());
        assert_eq!(fs::metadata(&reserve).unwrap().len(), SIZE);
        let full = open_keeping(dir.path(), Arc::new(Full { reserve: reserve.clone(), is_for_good }));
        assert_eq!(kind(commit(&full, "digits", 4)), Some(ErrorKind::NoSpace));
        assert!(reserve.exists(), "a save is not what it is for");
        let removed = full.remove("digits", &ids[1..2], "");
        assert!(!reserve.exists());
        let n_packs = files(dir.path(), "/packs/").len();
        if is_for_good {
            assert_eq!(kind(removed), Some(ErrorKind::NoSpace));
            assert_eq!(full.history("digits").unwrap().checkpoints().len(), 3);
        } else {
            removed.unwrap();
            full.collect(&(), &collect).unwrap();
            assert!(files(dir.path(), "/packs/").len() < n_packs);
        }
        for (id, step) in [(&ids[0], 1), (&ids[2], 3)] {
            check_content(&open(dir.path()), id, step).unwrap();
        }
        // Whoever has room makes it anew, also where only a part of it was made.
        fs::write(&reserve, "part").unwrap();
        commit(&open_keeping(dir.path(), Arc::new(Fast)), "digits", 5).unwrap();
        assert_eq!(fs::metadata(&reserve).unwrap().len(), SIZE);
    }
}

/// To collect without having removed anything: the first entry that there is no space for is one of the collection.
#[test]
fn a_collection_alone_frees_a_full_disk() {
    let dir = scratch();
    let reserve = dir.path().join("reserve");
    let store = open_keeping(dir.path(), Arc::new(Fast));
    let ids = [1, 2].map(|it| commit(&store, "digits", it).unwrap());
    store.remove("digits", &ids[1..], "").unwrap();
    let full = open_keeping(dir.path(), Arc::new(Full { reserve: reserve.clone(), is_for_good: false }));
    let report = full.collect(&(), &CollectOptions { grace: 0, dry_run: false }).unwrap();
    assert!(report.swept.files > 0 && !reserve.exists(), "{report:?}");
    assert_eq!(report.repacked.files, 0, "what is moved takes room first");
    check_content(&full, &ids[0], 1).unwrap();
}

/// Whoever removes checkpoints asks for the clock first.
#[test]
fn a_full_disk_takes_what_tells_its_clock() {
    let dir = scratch();
    let reserve = dir.path().join("reserve");
    commit(&open_keeping(dir.path(), Arc::new(Fast)), "digits", 1).unwrap();
    let full = open_keeping(dir.path(), Arc::new(Full { reserve: reserve.clone(), is_for_good: false }));
    assert!(reserve.exists());
    full.check_clock(&()).unwrap();
    assert!(!reserve.exists());
}

/// Has no room to make a name durable that is there by then, as long as the reserve is.
struct Late(PathBuf);

impl Watch for Late {
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        match step {
            Step::SyncDir(dir) if dir.ends_with("log/digits") && self.0.exists() => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn syncs(&self) -> bool {
        false
    }
}

#[test]
fn a_removal_that_was_recorded_is_done_once_there_is_room() {
    let dir = scratch();
    let store = open_keeping(dir.path(), Arc::new(Fast));
    let ids = [1, 2].map(|it| commit(&store, "digits", it).unwrap());
    let full = open_keeping(dir.path(), Arc::new(Late(dir.path().join("reserve"))));
    full.remove("digits", &ids[..1], "").unwrap();
    let history = open(dir.path()).history("digits").unwrap();
    assert_eq!((history.checkpoints().len(), history.last_seq()), (1, 3));
}

#[test]
fn it_is_made_anew_after_another_process_gave_it_up() {
    let dir = scratch();
    let reserve = dir.path().join("reserve");
    let store = open_keeping(dir.path(), Arc::new(Fast));
    assert!(!reserve.exists(), "whoever dies before there is a store leaves none of it behind");
    for step in [1, 2] {
        commit(&store, "digits", step).unwrap();
        assert_eq!(fs::metadata(&reserve).unwrap().len(), SIZE);
        fs::remove_file(&reserve).unwrap();
    }
}

/// Takes everything but the reserve, and counts how often that is tried.
struct Refusing(AtomicUsize);

impl Watch for Refusing {
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        match step {
            Step::CreateFile(path) if path.ends_with("reserve") => {
                self.0.fetch_add(1, Ordering::Relaxed);
                Err(io::ErrorKind::QuotaExceeded.into())
            }
            _ => Ok(()),
        }
    }

    fn syncs(&self) -> bool {
        false
    }
}

#[test]
fn what_cannot_be_kept_is_not_tried_at_every_write() {
    let dir = scratch();
    let watch = Arc::new(Refusing(AtomicUsize::new(0)));
    let store = open_keeping(dir.path(), Arc::<Refusing>::clone(&watch));
    for step in 1..=5 {
        commit(&store, "digits", step).unwrap();
    }
    assert_eq!(watch.0.load(Ordering::Relaxed), 1);
}

#[test]
fn nothing_is_kept_where_there_is_little_room() {
    let dir = scratch();
    let free = crate::errors::free(dir.path()).unwrap();
    let manners = Manners { reserve: free / 2, ..MANNERS };
    let store = open_with(dir.path(), Arc::new(Fast), manners, settings()).unwrap();
    commit(&store, "digits", 1).unwrap();
    assert!(!dir.path().join("reserve").exists());
}
