//! What changes while it is imported is not stored, whenever that is.
#![allow(clippy::unwrap_used)]

use std::{
    fs::{self, File},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use modelwatch_runtime::{
    arrival::{self, Arrival},
    checkpoint::{self, CheckpointError},
};
use modelwatch_sdk::{
    Host,
    store::{CheckpointId, CheckpointStore},
};
use serde_json::json;

/// What somebody does to a file or a folder.
type Change = fn(&Path);

/// When every file was changed last before it is imported: long ago, so that each change shows.
fn long_ago() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    File::options().append(true).open(path).unwrap().set_modified(long_ago()).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Other bytes in the place of a file, as many.
fn replace(path: &Path) {
    let other = path.with_extension("other");
    fs::copy(path, &other).unwrap();
    flip(&other);
    fs::rename(other, path).unwrap();
}

fn truncate(path: &Path) {
    File::options().write(true).open(path).unwrap().set_len(1000).unwrap();
}

/// Does something when it is asked for so many times whether to end, which an import does before each piece that it reads.
struct Meddling<'a>(AtomicUsize, usize, &'a (dyn Fn() + Sync));

impl Host for Meddling<'_> {
    fn is_cancelled(&self) -> bool {
        if self.0.fetch_add(1, Relaxed) == self.1 {
            (self.2)();
        }
        false
    }
}

struct Import {
    dir: tempfile::TempDir,
    store: Box<dyn CheckpointStore>,
}

impl Import {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("store");
        let store = store_local::registry().open_store("local", &json!({ "path": place, "create": true })).unwrap();
        Self { dir, store }
    }

    fn import(&self, host: &dyn Host, path: &Path, arrival: &Arrival) -> Result<CheckpointId, CheckpointError> {
        checkpoint::import(self.store.as_ref(), host, "m", path, arrival)
    }

    fn is_refused(&self, found: Result<CheckpointId, CheckpointError>, file: &str, case: &str) {
        let e = found.unwrap_err();
        assert!(matches!(&e, CheckpointError::Changed { path } if path.ends_with(file)), "{case}: {e}");
        let said = e.to_string();
        assert!(said.contains("changed while it was read, so that nothing was stored; store it when"), "{said}");
        assert!(said.ends_with("leave a file that is still written, such as a log, out of the folder"), "{said}");
        assert_eq!(self.store.history("m").unwrap().last_seq(), 0, "{case}");
    }
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)).unwrap()
}

#[test]
fn a_file_that_changes_after_it_was_examined_is_not_stored() {
    let it = Import::new();
    let path = it.dir.path().join("m.safetensors");
    let weights = fixture("digits/cnn/cnn.safetensors");
    let changes: [(&str, Change); 3] = [("flipped", flip), ("replaced", replace), ("truncated", truncate)];
    for (case, change) in changes {
        write(&path, &weights);
        let arrival = arrival::examine(&path, &()).unwrap();
        change(&path);
        it.is_refused(it.import(&(), &path, &arrival), "m.safetensors", case);
        // While it is read, at each piece.
        let nothing = || {};
        let count = Meddling(AtomicUsize::new(0), usize::MAX, &nothing);
        write(&path, &weights);
        let arrival = arrival::examine(&path, &()).unwrap();
        let other = Import::new();
        other.import(&count, &path, &arrival).unwrap();
        let n = count.0.load(Relaxed);
        assert!(n > 1);
        for at in 0..n {
            fs::remove_file(&path).unwrap();
            write(&path, &weights);
            let arrival = arrival::examine(&path, &()).unwrap();
            let meddle = || change(&path);
            let host = Meddling(AtomicUsize::new(0), at, &meddle);
            it.is_refused(it.import(&host, &path, &arrival), "m.safetensors", &format!("{case} at {at} of {n}"));
        }
    }
    write(&path, &weights);
    let arrival = arrival::examine(&path, &()).unwrap();
    it.import(&(), &path, &arrival).unwrap();
}

#[test]
fn a_folder_to_which_something_comes_or_goes_is_not_stored() {
    let it = Import::new();
    let folder = it.dir.path().join("m");
    let changes: [(&str, Change); 3] = [
        ("b.txt", |folder| write(&folder.join("b.txt"), b"new")),
        ("a.txt", |folder| fs::remove_file(folder.join("a.txt")).unwrap()),
        // It was read before the last one.
        ("a.txt", |folder| flip(&folder.join("a.txt"))),
    ];
    for (file, change) in changes {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        write(&folder.join("a.txt"), b"notes");
        write(&folder.join("m.safetensors"), &fixture("digits/cnn/cnn.safetensors"));
        let arrival = arrival::examine(&folder, &()).unwrap();
        let meddle = || change(&folder);
        let host = Meddling(AtomicUsize::new(0), 3, &meddle);
        it.is_refused(it.import(&host, &folder, &arrival), file, file);
    }
}

#[test]
fn a_hand_off_is_stored_only_as_its_manifest_has_it() {
    let it = Import::new();
    let folder = it.dir.path().join("step-1");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/keras_handoff/step-00000001");
    for file in ["model.keras", "checkpoint.json"] {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        for name in ["model.keras", "checkpoint.json"] {
            write(&folder.join(name), &fs::read(from.join(name)).unwrap());
        }
        let arrival = arrival::examine(&folder, &()).unwrap();
        // Of the same size and time, so that the digest alone shows it.
        let path = folder.join(file);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        let mut there = File::options().write(true).open(&path).unwrap();
        std::io::Write::write_all(&mut there, &bytes).unwrap();
        there.set_modified(long_ago()).unwrap();
        drop(there);
        it.is_refused(it.import(&(), &folder, &arrival), file, file);
    }
}
