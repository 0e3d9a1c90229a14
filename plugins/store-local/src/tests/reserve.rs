//! What is kept free for what frees space.

use std::{io, sync::Arc};

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

#[test]
fn nothing_is_kept_where_there_is_little_room() {
    let dir = scratch();
    let free = crate::errors::free(dir.path()).unwrap();
    let manners = Manners { reserve: free / 2, ..MANNERS };
    let store = open_with(dir.path(), Arc::new(Fast), manners, settings()).unwrap();
    commit(&store, "digits", 1).unwrap();
    assert!(!dir.path().join("reserve").exists());
}
