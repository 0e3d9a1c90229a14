//! The fault matrix of the store, rows 11 and 13 to 15, on a server: writers of one step, and those who meet a collection.

use std::{
    any::Any,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use modelwatch_sdk::{
    Error,
    store::{CollectOptions, ScrubDepth},
    testing::FaultRow,
};
use modelwatch_store::{Blobs, Draft, Published, Stage, Stat};

use super::*;
use crate::bucket::Bucket;

const NO_GRACE: CollectOptions = CollectOptions { grace: 0, dry_run: false };

type Before = dyn Fn(usize) -> Result<()> + Send + Sync;

/// A bucket, and what happens before each change of it. An error takes the place of the change.
struct Tapped {
    bucket: Bucket,
    tap: Arc<Tap>,
}

struct Tap {
    before: Box<Before>,
    n_changes: AtomicUsize,
}

impl Tap {
    fn change(&self) -> Result<()> {
        (self.before)(self.n_changes.fetch_add(1, Ordering::Relaxed))
    }
}

/// Opens the store for a process to which that happens.
fn open_tapped(server: &Server, before: impl Fn(usize) -> Result<()> + Send + Sync + 'static) -> (Engine, Arc<Tap>) {
    let tap = Arc::new(Tap { before: Box::new(before), n_changes: AtomicUsize::new(0) });
    let bucket = Tapped { bucket: server.bucket(PATIENCE), tap: Arc::clone(&tap) };
    (Engine::open(Arc::new(bucket), settings()).unwrap(), tap)
}

impl Blobs for Tapped {
    fn locate(&self, key: &str) -> String {
        self.bucket.locate(key)
    }

    fn read(&self, key: &str, cap: u64) -> Result<Option<Vec<u8>>> {
        self.bucket.read(key, cap)
    }

    fn read_at(&self, key: &str, offset: u64, out: &mut [u8]) -> Result<()> {
        self.bucket.read_at(key, offset, out)
    }

    fn stat(&self, key: &str) -> Result<Option<Stat>> {
        self.bucket.stat(key)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        self.bucket.list(folder)
    }

    fn stage(&self) -> Result<Box<dyn Stage>> {
        Ok(Box::new(TappedStage { stage: self.bucket.stage()?, tap: Arc::clone(&self.tap) }))
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.tap.change()?;
        self.bucket.remove(key)
    }

    fn quarantine(&self, key: &str) -> Result<()> {
        self.tap.change()?;
        self.bucket.quarantine(key)
    }

    fn wait_in_line(&self, folder: &str) -> Result<Option<Box<dyn Any>>> {
        self.bucket.wait_in_line(folder)
    }
}

struct TappedStage {
    stage: Box<dyn Stage>,
    tap: Arc<Tap>,
}

impl Stage for TappedStage {
    fn create(&self, name: &str) -> Result<Box<dyn Draft>> {
        self.stage.create(name)
    }

    fn publish(&self, name: &str, key: &str) -> Result<Published> {
        self.tap.change()?;
        self.stage.publish(name, key)
    }

    fn replace(&self, name: &str, key: &str) -> Result<()> {
        self.tap.change()?;
        self.stage.replace(name, key)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.stage.read(name)
    }

    fn is_roomy(&self) -> bool {
        self.stage.is_roomy()
    }
}

fn commit_these(store: &dyn CheckpointStore, step: u64, bytes: &[u8]) -> Result<CheckpointId> {
    let metadata: Map<_, _> = json!({"step": step}).as_object().unwrap().clone();
    let mut writer = store.begin(&(), "digits", &metadata)?;
    writer.append("model.bin", bytes)?;
    writer.commit()
}

/// Returns a server that keeps what the other one keeps.
fn copy(of: &Server) -> Server {
    fn copy_files(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for it in fs::read_dir(from).unwrap().map(|it| it.unwrap()) {
            let (from, to) = (it.path(), to.join(it.file_name()));
            if from.is_dir() { copy_files(&from, &to) } else { fs::copy(from, to).map(drop).unwrap() }
        }
    }
    let res = Server::start(false);
    copy_files(&of.folder(), &res.folder());
    res
}

fn is_sound(store: &dyn CheckpointStore, case: &str) {
    assert_eq!(store.scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0], "{case}");
}

// Row 11.

#[test]
fn writers_of_the_same_steps_store_each_once() {
    const N_WRITERS: usize = 8;
    const N_STEPS: u64 = 10;
    let row = FaultRow::new(11, "8 writers, the same 10 commits each, on S3", "S3F");
    let server = Server::start(false);
    drop(open(&server));
    let all: Vec<Vec<CheckpointId>> = thread::scope(|scope| {
        let write = || {
            let store = open(&server);
            let committed = |step| loop {
                match commit(&store, step) {
                    Ok(it) => return it,
                    // Whoever is overtaken too often is told so, and that nothing was changed.
                    Err(e) => assert_eq!(e.kind, ErrorKind::Busy, "{e}"),
                }
            };
            (0..N_STEPS).map(committed).collect()
        };
        let writers: Vec<_> = (0..N_WRITERS).map(|_| scope.spawn(write)).collect();
        writers.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(all.iter().all(|it| *it == all[0]), "everybody is told the truth");
    let store = open(&server);
    let history = store.history("digits").unwrap();
    assert_eq!((history.last_seq(), history.checkpoints().len() as u64), (N_STEPS, N_STEPS));
    for (id, step) in all[0].iter().zip(0..) {
        assert_eq!(read(&store, id).unwrap(), content(step));
    }
    is_sound(&store, "written by 8");
    row.ok(N_WRITERS * all[0].len());
}

#[test]
fn of_two_writers_of_one_step_the_first_wins() {
    let row = FaultRow::new(11, "two writers at once, one step, different content, on S3", "S3F");
    let server = Server::start(false);
    let first = open(&server);
    // The entry is the last thing that is published.
    let (second, _) = open_tapped(&server, {
        let is_over = AtomicBool::new(false);
        move |_| {
            if !is_over.swap(true, Ordering::Relaxed) {
                commit_these(&first, 1, b"first").unwrap();
            }
            Ok(())
        }
    });
    let e = commit_these(&second, 1, b"second").unwrap_err();
    assert_eq!(e.kind, ErrorKind::Conflict, "{e}");
    let store = open(&server);
    let newest = store.get_ref("digits", "latest").unwrap().unwrap();
    assert_eq!(read(&store, &newest).unwrap(), b"first");
    is_sound(&store, "two writers");
    row.ok(1);
}

// Row 13.

#[test]
fn a_writer_that_sleeps_through_a_collection_loses_nothing() {
    let row = FaultRow::new(13, "writer frozen through mark and sweep, at each change, on S3", "S3F");
    let base = Server::start(false);
    let store = open(&base);
    let [kept, old] = [1, 2].map(|it| commit(&store, it).unwrap());
    let mut n_points = 0;
    for at in 0.. {
        let server = copy(&base);
        let other = open(&server);
        let of_old = old.clone();
        let (writer, tap) = open_tapped(&server, move |n| {
            if n == at {
                other.remove("digits", std::slice::from_ref(&of_old), "")?;
                assert!(other.collect(&(), &NO_GRACE)?.swept.files > 0);
                other.collect(&(), &NO_GRACE)?;
            }
            Ok(())
        });
        // All of it is in packs that only the other checkpoint needs.
        let written = commit_these(&writer, 3, &content(2));
        let case = format!("frozen at change {at}");
        if tap.n_changes.load(Ordering::Relaxed) <= at {
            break;
        }
        n_points += 1;
        let store = open(&server);
        // Whose bytes are gone is told so before anything is acknowledged, and writes them again.
        let written = written.or_else(|e| {
            assert_eq!(e.kind, ErrorKind::Busy, "{case}: {e}");
            commit_these(&writer, 3, &content(2))
        });
        assert_eq!(read(&store, &written.unwrap()).unwrap(), content(2), "{case}");
        assert_eq!(read(&store, &kept).unwrap(), content(1), "{case}");
        is_sound(&store, &case);
        assert_eq!(store.history("digits").unwrap().checkpoints().len(), 2, "{case}");
    }
    assert!(n_points >= 2, "only {n_points} changes: the manifest and the entry");
    row.ok(n_points);
}

// Row 14.

#[test]
fn readers_beside_a_collection_get_all_or_learn_that_it_is_gone() {
    const N_TURNS: u64 = 12;
    let row = FaultRow::new(14, "readers while garbage is collected, on S3", "S3F");
    let server = Server::start(false);
    let writer = open(&server);
    commit(&writer, 0).unwrap();
    let is_over = AtomicBool::new(false);
    let read_all = || {
        let store = open(&server);
        let (mut n_read, mut n_gone) = (0, 0);
        // Once more after the end, so that something is read in any case.
        for is_last in [false, true] {
            while is_last || !is_over.load(Ordering::Relaxed) {
                for it in store.history("digits").unwrap().checkpoints() {
                    let found = store.open(&(), &it.id).and_then(|reader| {
                        let step = reader.manifest().metadata["step"].as_u64().unwrap();
                        read(&store, &it.id).map(|bytes| (step, bytes))
                    });
                    match found {
                        Ok((step, bytes)) => {
                            assert_eq!(bytes, content(step));
                            n_read += 1;
                        }
                        Err(e) => {
                            assert!(matches!(e.kind, ErrorKind::Gone | ErrorKind::NotFound), "{e}");
                            n_gone += 1;
                        }
                    }
                }
                if is_last {
                    break;
                }
            }
        }
        (n_read, n_gone)
    };
    let counts: Vec<(usize, usize)> = thread::scope(|scope| {
        let readers = [0, 1].map(|_| scope.spawn(read_all));
        let turns = || -> Result<u64> {
            let mut n_swept = 0;
            for step in 1..=N_TURNS {
                commit(&writer, step)?;
                let history = writer.history("digits")?;
                let old = &history.checkpoints()[..history.checkpoints().len() - 1];
                writer.remove("digits", &old.iter().map(|it| it.id.clone()).collect::<Vec<_>>(), "old")?;
                n_swept += writer.collect(&(), &NO_GRACE)?.swept.files;
            }
            Ok(n_swept)
        };
        let swept = turns();
        // Before anything here may fail, which would leave them reading.
        is_over.store(true, Ordering::Relaxed);
        let counts = readers.map(|it| it.join().unwrap()).into();
        assert!(swept.unwrap() > N_TURNS, "little was collected");
        counts
    });
    is_sound(&open(&server), "readers");
    let n_read: usize = counts.iter().map(|it| it.0).sum();
    assert!(counts.iter().all(|it| it.0 > 0), "{counts:?}");
    row.noting(format_args!("{} told that it is gone", counts.iter().map(|it| it.1).sum::<usize>())).ok(n_read);
}

// Row 15.

#[test]
fn a_collection_that_ends_at_any_change_is_finished_by_the_next_one() {
    let row = FaultRow::new(15, "crash during mark, sweep or repack, on S3", "S3F");
    let base = Server::start(false);
    let store = open(&base);
    // Of the first pack a quarter is needed.
    let (own, shared) = (noise(3 * CHUNK, 1), noise(CHUNK, 2));
    let old = commit_these(&store, 1, &[&shared[..], &own].concat()).unwrap();
    let kept = commit_these(&store, 2, &shared).unwrap();
    store.remove("digits", &[old], "").unwrap();
    let plan = store.collect(&(), &CollectOptions { grace: 0, dry_run: true }).unwrap();
    assert!(plan.repacked.files > 0 && plan.marked.files > 0, "{plan:?}");
    for at in 0.. {
        let server = copy(&base);
        let gone = || Error::io("it ended here").with_help("start again");
        let (store, tap) = open_tapped(&server, move |n| if n >= at { Err(gone()) } else { Ok(()) });
        let res = store.collect(&(), &NO_GRACE);
        let is_over = tap.n_changes.load(Ordering::Relaxed) <= at;
        assert_eq!(res.is_ok(), is_over, "{at}: {res:?}");
        let (case, store) = (format!("ended at change {at}"), open(&server));
        assert_eq!(read(&store, &kept).unwrap(), shared, "{case}");
        is_sound(&store, &case);
        // The first may still have to move things, whose old place the second one sweeps.
        for _ in 0..2 {
            store.collect(&(), &NO_GRACE).unwrap();
        }
        assert_eq!(read(&store, &kept).unwrap(), shared, "{case}");
        is_sound(&store, &case);
        assert_eq!(store.stats(&()).unwrap().spare_bytes, 0, "{case}");
        if is_over {
            assert!(at > 8, "only {at} changes");
            row.ok(at);
            break;
        }
    }
}
