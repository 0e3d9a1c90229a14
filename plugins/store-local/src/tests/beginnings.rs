//! Where a store begins, and where it takes one that is there for lost.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use modelwatch_sdk::{Store, testing::FaultRow};

use super::*;
use crate::{LocalStore, disk::Step};

fn begin(path: &Path, create: bool) -> Result<Box<dyn CheckpointStore>> {
    LocalStore::open(serde_json::from_value(json!({"path": path, "create": create})).unwrap())
}

#[test]
fn no_store_begins_where_one_is_not_mounted() {
    let row = FaultRow::new(22, "a store whose file system is not mounted when it is opened", "SIM");
    let dir = scratch();
    let mount = dir.path().join("mnt");
    // The store is all of the file system, a folder in it, and further down.
    let places = ["", "store", "team/store"];
    for place in places {
        fs::create_dir(&mount).unwrap();
        let path = mount.join(place);
        let e = begin(&path, false).err().unwrap();
        assert!(e.kind == ErrorKind::Io && e.message.contains("is not mounted"), "{place}: {e}");
        assert!(e.help.contains("`modelwatch store init --store"), "{place}: {}", e.help);
        assert_eq!(fs::read_dir(&mount).unwrap().count(), 0, "{place}: something was changed");
        // Said once, it holds.
        let id = commit(begin(&path, true).unwrap().as_ref(), "digits", 1).unwrap();
        check_content(begin(&path, false).unwrap().as_ref(), &id, 1).unwrap();
        fs::remove_dir_all(&mount).unwrap();
    }
    row.ok(places.len());
}

#[test]
fn a_store_begins_by_itself_in_a_folder_that_is_to_be_made() {
    let dir = scratch();
    fs::write(dir.path().join("pipeline.toml"), "").unwrap();
    let path = dir.path().join(".modelwatch/store");
    let id = commit(begin(&path, false).unwrap().as_ref(), "digits", 1).unwrap();
    check_content(begin(&path, false).unwrap().as_ref(), &id, 1).unwrap();
    // One that a process began that died before it could say what kind of store it is.
    let begun = dir.path().join("begun");
    fs::create_dir_all(begun.join("tmp")).unwrap();
    begin(&begun, false).unwrap();
    // What is in a folder is no reason to make it a store.
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("notes.txt"), "").unwrap();
    assert_eq!(kind(begin(&other, false)), Some(ErrorKind::Io));
    // Not even if there is what a store may have as well, and none of it is taken for a store's.
    let file = other.join("tmp/mine/notes.txt");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "").unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::open(file.parent().unwrap()).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(kind(begin(&other, false)), Some(ErrorKind::Io));
    begin(&other, true).unwrap();
    assert!(file.exists());
}

/// Lets somebody else open the store, and commit to it, before one of the changes.
struct Overtaken {
    path: PathBuf,
    at: usize,
    n_steps: AtomicUsize,
}

impl Watch for Overtaken {
    fn before(&self, _: Step<'_>) -> io::Result<()> {
        if self.n_steps.fetch_add(1, Ordering::Relaxed) == self.at {
            commit(begin(&self.path, false).unwrap().as_ref(), "digits", 1).unwrap();
        }
        Ok(())
    }

    fn syncs(&self) -> bool {
        false
    }
}

#[test]
fn two_begin_the_same_store_at_once() {
    let mut at = 0;
    loop {
        let dir = scratch();
        fs::write(dir.path().join("pipeline.toml"), "").unwrap();
        let path = dir.path().join("above/store");
        let watch = Arc::new(Overtaken { path: path.clone(), at, n_steps: AtomicUsize::new(0) });
        let store = open_watched(&path, Arc::<Overtaken>::clone(&watch)).unwrap_or_else(|e| panic!("step {at}: {e}"));
        if watch.n_steps.load(Ordering::Relaxed) <= at {
            break;
        }
        commit(&store, "digits", 2).unwrap_or_else(|e| panic!("step {at}: {e}"));
        assert_eq!(open(&path).history("digits").unwrap().checkpoints().len(), 2, "step {at}");
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["above", "pipeline.toml"], "step {at}");
        at += 1;
    }
    assert!(at > 10, "only {at} steps");
}
