//! Outages of the whole place: a server or a device that does not answer, a file system that is not mounted. None of it is
//! damage: nothing is called so, and nothing is changed.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use modelwatch_sdk::{
    store::{CollectOptions, RepairReport},
    testing::FaultRow,
};
use modelwatch_store::Blobs;
use rustix::io::Errno;

use super::*;

/// A disk that gives nothing back while it is away, although its folders are still known.
#[derive(Default)]
struct Away(AtomicBool);

impl Watch for Away {
    fn syncs(&self) -> bool {
        false
    }

    fn read(&self, _: &Path) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Errno::IO.into()) } else { Ok(()) }
    }
}

/// A store with a checkpoint that is there and one that was removed, and a copy of it.
fn store(root: &Path) -> (CheckpointId, tempfile::TempDir) {
    let store = open(root);
    let id = commit(&store, "digits", 1).unwrap();
    let gone = commit(&store, "digits", 2).unwrap();
    store.remove("digits", &[gone], "").unwrap();
    (id, copy(root))
}

fn open_with_replica(root: &Path, replica: &Path, watch: Arc<dyn Watch>) -> Engine {
    let mut settings = settings();
    let copy = Folder::open(replica, Arc::new(Fast), MANNERS, settings.clock).unwrap();
    settings.replicas.push(Arc::new(copy) as Arc<dyn Blobs>);
    open_with(root, watch, MANNERS, settings).unwrap()
}

/// Checks that an open store, whose files are out of reach, says so whatever is asked of it. Where a copy `stands_in`, there
/// are files to read, and none is missed.
fn check_refusals(store: &Engine, id: &CheckpointId, stands_in: bool) {
    let at_once = CollectOptions { grace: 0, dry_run: false };
    for (what, res) in [
        ("open", store.open(&(), id).map(drop)),
        ("commit", commit(store, "digits", 7).map(drop)),
        ("scrub", store.scrub(&(), ScrubDepth::Full).map(drop)),
        ("collect", store.collect(&(), &at_once).map(drop)),
    ] {
        let e = res.expect_err(what);
        assert!(e.kind == ErrorKind::Io && e.help.contains("is mounted"), "{what}: {:?}: {e}: {}", e.kind, e.help);
    }
    match store.repair(&()) {
        Err(e) => assert_eq!(e.kind, ErrorKind::Io, "{e}"),
        Ok(report) => {
            assert!(stands_in && report.mended.is_empty(), "{report:?}");
            assert!(report.lost.iter().all(|it| it.contains("is not there")), "{report:?}");
        }
    }
}

#[test]
fn a_device_that_does_not_answer_damages_nothing() {
    let row = FaultRow::new(22, "EIO by all reads of a store that was open", "SIM");
    let dir = scratch();
    let (id, replica) = store(dir.path());
    let before = contents(dir.path());
    let watch = Arc::new(Away::default());
    let open = || open_with_replica(dir.path(), replica.path(), Arc::clone(&watch) as Arc<dyn Watch>);
    // One that has read the log before, and one that has not.
    let (used, fresh) = (open(), open());
    check_content(&used, &id, 1).unwrap();
    watch.0.store(true, Ordering::Relaxed);
    check_refusals(&used, &id, false);
    check_refusals(&fresh, &id, false);
    assert_eq!(kind(fresh.history("digits")), Some(ErrorKind::Io));
    let anew = open_with(dir.path(), Arc::clone(&watch) as Arc<dyn Watch>, MANNERS, settings());
    assert_eq!(kind(anew), Some(ErrorKind::Io));
    assert!(contents(dir.path()) == before);
    watch.0.store(false, Ordering::Relaxed);
    check_content(&used, &id, 1).unwrap();
    assert_eq!(fresh.repair(&()).unwrap(), RepairReport::default());
    row.ok(2);
}

#[test]
fn a_file_system_that_is_not_mounted_has_lost_nothing() {
    let row = FaultRow::new(22, "a store that was open and whose file system is no longer mounted", "SIM");
    let parent = scratch();
    let (root, mounted) = (parent.path().join("store"), parent.path().join("elsewhere"));
    let (id, replica) = store(&root);
    let before = contents(&root);
    let open = || open_with_replica(&root, replica.path(), Arc::new(Fast));
    let (used, fresh) = (open(), open());
    check_content(&used, &id, 1).unwrap();
    let reader = used.open(&(), &id).unwrap();
    // Nothing but the folder to mount it on, another one in its place, and none at all.
    for stand_in in [None, Some(copy(&root)), Some(scratch())] {
        fs::rename(&root, &mounted).unwrap();
        if let Some(it) = &stand_in {
            fs::rename(it.path(), &root).unwrap();
        }
        let standing_in = if root.exists() { contents(&root) } else { BTreeMap::new() };
        check_refusals(&used, &id, !standing_in.is_empty());
        check_refusals(&fresh, &id, !standing_in.is_empty());
        for it in [&used, &fresh] {
            let e = it.history("digits").unwrap_err();
            assert_eq!(e.kind, ErrorKind::Io);
            // What was mounted anew is another folder.
            assert_eq!(e.help.contains("start the process again"), stand_in.is_some(), "{e}: {}", e.help);
        }
        if stand_in.is_none() {
            assert_eq!(kind(read_file(reader.as_ref(), "weights/model.bin", 1000)), Some(ErrorKind::Io));
        }
        if root.exists() {
            assert!(contents(&root) == standing_in);
            fs::remove_dir_all(&root).unwrap();
        }
        fs::rename(&mounted, &root).unwrap();
        assert!(contents(&root) == before);
    }
    check_content(&used, &id, 1).unwrap();
    assert_eq!(fresh.repair(&()).unwrap(), RepairReport::default());
    row.ok(3);
}

/// Two disks that are mounted in turn may have the same device and inode: the folder stays, and what is in it is another.
#[test]
fn another_disk_at_the_same_place_is_not_written_to() {
    let row = FaultRow::new(22, "another disk, or an older copy, in the place of a store that is open", "SIM");
    let root = scratch();
    let store = open(root.path());
    commit(&store, "digits", 1).unwrap();
    let older = copy(root.path());
    for step in 2..=5 {
        commit(&store, "digits", step).unwrap();
    }
    let right = copy(root.path());
    let other = scratch();
    commit(&open(other.path()), "digits", 1).unwrap();
    for stand_in in [&other, &older] {
        fill(root.path(), stand_in.path());
        let before = files(root.path(), "/log/");
        let e = commit(&store, "digits", 7).unwrap_err();
        assert!(e.kind == ErrorKind::Io && e.help.contains("mounted"), "{e}: {}", e.help);
        assert_eq!(files(root.path(), "/log/"), before);
    }
    fill(root.path(), right.path());
    let store = open(root.path());
    commit(&store, "digits", 7).unwrap();
    assert_eq!(store.scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0]);
    row.ok(2);
}

/// Lets a folder have what another one has.
fn fill(root: &Path, from: &Path) {
    for it in fs::read_dir(root).unwrap() {
        let path = it.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    for it in fs::read_dir(copy(from).path()).unwrap() {
        let it = it.unwrap();
        fs::rename(it.path(), root.join(it.file_name())).unwrap();
    }
    fs::create_dir_all(root.join("tmp")).unwrap();
}

#[cfg(unix)]
#[test]
fn a_replica_that_cannot_be_looked_at_keeps_nobody_from_the_store() {
    use modelwatch_sdk::Store;

    let dir = scratch();
    let root = dir.path().join("store");
    let (id, _) = store(&root);
    let replica = dir.path().join("replica");
    std::os::unix::fs::symlink(&replica, &replica).unwrap();
    let open = |replica: &Path| {
        let config = json!({"path": root, "replicas": [replica]});
        crate::LocalStore::open(serde_json::from_value(config).unwrap())
    };
    let store = open(&replica).unwrap();
    check_content(store.as_ref(), &id, 1).unwrap();
    let report = store.repair(&()).unwrap();
    assert!(matches!(&report.lost[..], [it] if it.contains("replica could not be asked")), "{report:?}");
    assert_eq!(kind(open(&dir.path().join("nowhere"))), Some(ErrorKind::Config));
}
