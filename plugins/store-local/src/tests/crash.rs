//! Crashes at every change to the file system, with and without the loss of what was not synced, and changes
//! that fail.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    sync::Mutex,
    thread,
};

use modelwatch_sdk::{store::CollectOptions, testing::FaultRow};

use super::{
    tape::{Disk, Done, Recorder, crash_everywhere},
    *,
};
use crate::{beginning, disk::Step};

/// With packs so small that a commit has several.
fn settings() -> Settings {
    Settings { max_pack: 3 * CHUNK as u64, ..super::settings() }
}

fn open_watched(path: &Path, watch: Arc<dyn Watch>) -> Result<Engine> {
    open_with(path, watch, MANNERS, settings())
}

/// Lets one change fail.
struct Machine {
    fail_at: usize,
    error: fn() -> io::Error,
    count: Mutex<usize>,
    /// The files whose sync failed.
    unsynced: Mutex<BTreeSet<PathBuf>>,
}

impl Machine {
    fn new(fail_at: usize, error: fn() -> io::Error) -> Arc<Self> {
        Arc::new(Self { fail_at, error, count: Mutex::new(0), unsynced: Mutex::default() })
    }
}

/// Lets the sync of some files fail, and may drop the bytes that were to be synced.
struct Syncs {
    /// Which of all syncs of files, counted from 0.
    failing: std::ops::Range<usize>,
    drops: bool,
    count: Mutex<usize>,
    unsynced: Mutex<BTreeSet<PathBuf>>,
}

impl Syncs {
    fn new(failing: std::ops::Range<usize>, drops: bool) -> Arc<Self> {
        Arc::new(Self { failing, drops, count: Mutex::new(0), unsynced: Mutex::default() })
    }
}

impl Watch for Syncs {
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        let mut unsynced = self.unsynced.lock().unwrap();
        match step {
            Step::SyncFile(it) => {
                assert!(!unsynced.contains(it), "synced again: {step:?}");
                let mut count = self.count.lock().unwrap();
                *count += 1;
                if self.failing.contains(&(*count - 1)) {
                    unsynced.insert(it.to_owned());
                    if self.drops {
                        let len = fs::metadata(it)?.len() as usize;
                        fs::write(it, vec![0; len])?;
                    }
                    return Err(io::Error::from_raw_os_error(5));
                }
            }
            Step::Link(from, _) => assert!(!unsynced.contains(from), "used although not synced: {step:?}"),
            Step::Rename(from, to) => {
                assert!(!unsynced.contains(from), "used although not synced: {step:?}");
                unsynced.remove(to);
            }
            _ => {}
        }
        Ok(())
    }

    fn syncs(&self) -> bool {
        false
    }
}

/// The bytes are written once more, to another file.
#[test]
fn a_file_that_cannot_be_synced_once_is_written_again() {
    let row = FaultRow::new(6, "EIO by a sync, once: written again", "SIM");
    for at in 0.. {
        let dir = scratch();
        let path = dir.path().join("store");
        let syncs = Syncs::new(at..at + 1, false);
        let watch: Arc<dyn Watch> = Arc::<Syncs>::clone(&syncs);
        let store = open_watched(&path, watch).unwrap();
        OPERATIONS.iter().for_each(|it| it(&store).unwrap());
        check(&path, OPERATIONS.len(), &format!("sync {at}"));
        if *syncs.count.lock().unwrap() <= at {
            end(row, at, 10);
            break;
        }
    }
}

/// Nothing is acknowledged, nothing more is taken by this process, and what was acknowledged is there.
#[test]
fn a_file_that_cannot_be_synced_twice_ends_writing() {
    let row = FaultRow::new(6, "EIO by a sync, twice, or once with the bytes dropped: degraded", "SIM");
    let mut n_states = 0;
    // Both syncs fail, or the first one does and the system forgets the bytes.
    for (n_failing, drops) in [(2, false), (1, true)] {
        for at in 0.. {
            let dir = scratch();
            let path = dir.path().join("store");
            let syncs = Syncs::new(at..at + n_failing, drops);
            let watch: Arc<dyn Watch> = Arc::<Syncs>::clone(&syncs);
            let Ok(store) = open_watched(&path, watch) else {
                n_states += 1;
                check(&path, 0, "not opened");
                continue;
            };
            let failed = OPERATIONS.iter().enumerate().find_map(|(n, it)| Some((n, it(&store).err()?)));
            let Some((n_acked, e)) = failed else {
                assert!(*syncs.count.lock().unwrap() <= at);
                break;
            };
            assert_eq!(e.kind, ErrorKind::Io, "{e}");
            assert!(e.help.contains("check the disk"), "{}", e.help);
            let refused = commit(&store, "digits", 50).unwrap_err();
            assert!(refused.message.contains("takes no more writes in this process"), "{refused}");
            store.history("digits").unwrap();
            check(&path, n_acked, &format!("syncs from {at} on"));
            n_states += 1;
        }
    }
    end(row, n_states, 20);
}

impl Watch for Machine {
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        let mut count = self.count.lock().unwrap();
        let at = *count;
        *count += 1;
        match step {
            Step::SyncFile(it) => assert!(!self.unsynced.lock().unwrap().contains(it), "synced again: {step:?}"),
            Step::Link(it, _) => {
                assert!(!self.unsynced.lock().unwrap().contains(it), "used although not synced: {step:?}");
            }
            Step::Rename(it, to) => {
                let mut unsynced = self.unsynced.lock().unwrap();
                assert!(!unsynced.contains(it), "used although not synced: {step:?}");
                unsynced.remove(to);
            }
            _ => {}
        }
        if at != self.fail_at {
            return Ok(());
        }
        match step {
            // Half of a write is done.
            Step::Write(it) => fs::OpenOptions::new().append(true).open(it)?.write_all(b"torn")?,
            Step::SyncFile(it) => drop(self.unsynced.lock().unwrap().insert(it.to_owned())),
            _ => {}
        }
        Err((self.error)())
    }

    fn syncs(&self) -> bool {
        false
    }
}

/// How many different states, a folder and what was said before, a crash is to leave at the least, in each of the tests that crash everywhere: the ordinary run
/// checks ten thousand.
const N_SAVES: usize = 1000;
const N_COLLECTION: usize = 5000;
const N_REPAIR: usize = 250;
const N_TWO_WRITERS: usize = 3750;
const _: () = assert!(N_SAVES + N_COLLECTION + N_REPAIR + N_TWO_WRITERS >= 10_000);

type Operation = fn(&dyn CheckpointStore) -> Result<()>;

fn id_of(step: u64) -> CheckpointId {
    static IDS: Mutex<Vec<(u64, CheckpointId)>> = Mutex::new(Vec::new());
    let mut ids = IDS.lock().unwrap();
    if let Some((_, id)) = ids.iter().find(|it| it.0 == step) {
        return id.clone();
    }
    let dir = scratch();
    let id = commit(&open(dir.path()), "digits", step).unwrap();
    ids.push((step, id.clone()));
    id
}

/// What is done, one acknowledgment each.
const OPERATIONS: [Operation; 6] = [
    |store| commit(store, "digits", 1).map(drop),
    |store| store.set_ref("digits", "good", &id_of(1), None, "first"),
    |store| commit(store, "digits", 2).map(drop),
    |store| store.record_verdict("digits", &id_of(2), &passed("1")),
    |store| store.set_ref("digits", "good", &id_of(2), Some(&id_of(1)), "second"),
    |store| commit(store, "digits", 1).map(drop),
];

/// Checks that the first `n_acked` operations are there whole, and of the next one all or nothing.
fn check(path: &Path, n_acked: usize, case: &str) {
    let store = try_open(path).unwrap_or_else(|e| panic!("{case}: {e}"));
    let history = store.history("digits").unwrap_or_else(|e| panic!("{case}: {e}"));
    // The last operation adds no entry.
    let n_acked = n_acked.min(OPERATIONS.len() - 1) as u64;
    let last = history.last_seq();
    assert!(last == n_acked || last == n_acked + 1, "{case}: {n_acked} acknowledged, {last} there");
    let n_checkpoints = [0, 1, 1, 2, 2, 2][last as usize];
    assert_eq!(history.checkpoints().len(), n_checkpoints, "{case}");
    for (it, step) in history.checkpoints().iter().zip(1..) {
        check_content(&store, &it.id, step).unwrap_or_else(|e| panic!("{case}: {e}"));
    }
    let good = [None, None, Some(1), Some(1), Some(1), Some(2)][last as usize];
    assert_eq!(history.get_ref("good").cloned(), good.map(id_of), "{case}");
    let report = store.scrub(&(), ScrubDepth::Full).unwrap();
    assert_eq!((report.checkpoints as usize, report.damage), (n_checkpoints, vec![]), "{case}");
    for it in &OPERATIONS[last as usize..] {
        it(&store).unwrap_or_else(|e| panic!("{case}: afterwards: {e}"));
    }
    check_content(&store, &id_of(2), 2).unwrap();
}

/// Ends a row that is to have had so many states.
fn end(row: FaultRow, n_states: usize, at_least: usize) {
    assert!(n_states >= at_least, "only {n_states} states");
    row.ok(n_states);
}

/// A folder in which a store is to be made, under the path that the record of changes has.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = scratch();
    let before = fs::canonicalize(dir.path()).unwrap();
    (dir, before)
}

/// Returns how many files get their names below a folder at the most before a folder is synced.
fn most_links_before_a_sync(tape: &[Done<()>], folder: &Path) -> usize {
    let runs = tape.split(|it| matches!(it, Done::SyncDir(_)));
    let is_link = |it: &&Done<()>| matches!(it, Done::Link(_, to) if to.starts_with(folder));
    runs.map(|it| it.iter().filter(is_link).count()).max().unwrap_or(0)
}

#[test]
fn a_crash_at_any_step_loses_nothing_acknowledged() {
    let row = FaultRow::new(3, "power cut, blocks reordered or partly written", "SIM");
    let (_dir, before) = place();
    fs::write(before.join("pipeline.toml"), "").unwrap();
    let disk = Disk::of(&before);
    let path = before.join("above/store");
    let recorder = Recorder::new();
    let watch: Arc<dyn Watch> = Arc::<Recorder<()>>::clone(&recorder);
    let store = open_watched(&path, watch).unwrap();
    for it in &OPERATIONS {
        it(&store).unwrap();
        recorder.say(());
    }
    assert!(most_links_before_a_sync(&recorder.tape(), &path.join("packs")) > 1, "no commit has several packs");
    let n_states = crash_everywhere(disk, &before, &recorder.tape(), 10, |root, acked, case| {
        let path = root.join("above/store");
        // Nobody has to say once more that the store is to begin there.
        beginning::check(&path).unwrap_or_else(|e| panic!("{case}: {e}"));
        check(&path, acked.len(), case);
    });
    end(row, n_states, N_SAVES);
}

/// What is said of a checkpoint.
#[derive(Clone, Copy, Debug)]
enum Said {
    Committing(u64),
    Committed(u64),
    Removing(u64),
}

/// Commits, and says so.
fn commit_aloud(store: &Engine, recorder: &Recorder<Said>, step: u64) {
    recorder.say(Said::Committing(step));
    commit(store, "digits", step).unwrap();
    recorder.say(Said::Committed(step));
}

fn remove_aloud(store: &Engine, recorder: &Recorder<Said>, step: u64) {
    recorder.say(Said::Removing(step));
    store.remove("digits", &[id_of(step)], "").unwrap();
}

/// Checks what is said: what was acknowledged and not removed is whole, and of the rest all or nothing.
/// If it `goes_on`, also that the store can be cleaned up and written.
fn check_said(path: &Path, base: &[u64], said: &[Said], goes_on: bool, case: &str) {
    let ok = |it: Result<()>| it.unwrap_or_else(|e| panic!("{case}: {e}"));
    let store = open_now(path, Arc::new(Fast)).unwrap_or_else(|e| panic!("{case}: {e}"));
    let (mut sure, mut possible): (BTreeSet<u64>, BTreeSet<u64>) =
        (base.iter().copied().collect(), base.iter().copied().collect());
    for it in said {
        match *it {
            Said::Committing(step) => drop(possible.insert(step)),
            Said::Committed(step) => drop(sure.insert(step)),
            Said::Removing(step) => drop(sure.remove(&step)),
        }
    }
    let history = store.history("digits").unwrap_or_else(|e| panic!("{case}: {e}"));
    for &step in &sure {
        assert!(history.contains(&id_of(step)), "{case}: {step} was acknowledged");
    }
    let there = |store: &Engine| -> Vec<u64> {
        let history = store.history("digits").unwrap();
        possible.iter().copied().filter(|it| history.contains(&id_of(*it))).collect()
    };
    let found = there(&store);
    assert_eq!(found.len(), history.checkpoints().len(), "{case}: something else is there");
    found.iter().for_each(|it| ok(check_content(&store, &id_of(*it), *it)));
    // What follows takes ten times as long.
    if !goes_on {
        return;
    }
    assert_eq!(store.scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0], "{case}");
    // A collection finishes what was begun, and everything can be had again.
    ok(store.collect(&(), &NO_GRACE).map(drop));
    assert_eq!(there(&store), found, "{case}");
    ok(commit(&store, "digits", 2).map(drop));
    ok(store.collect(&(), &NO_GRACE).map(drop));
    found.iter().chain(&[2]).for_each(|it| ok(check_content(&store, &id_of(*it), *it)));
    let stats = store.stats(&()).unwrap();
    assert_eq!((stats.spare_bytes, store.scrub(&(), ScrubDepth::Full).unwrap().damage), (0, vec![]), "{case}");
}

/// Opens the store with the clock by which the files are dated, without which nothing is collected.
fn open_now(path: &Path, watch: Arc<dyn Watch>) -> Result<Engine> {
    open_with(path, watch, MANNERS, Settings { clock: Settings::of("").clock, ..settings() })
}

const NO_GRACE: CollectOptions = CollectOptions { grace: 0, dry_run: false };

/// Every state is opened and its checkpoints are read. One in twelve is also scrubbed, collected twice and written:
/// that takes ten times as long.
#[test]
fn a_crash_during_a_collection_loses_nothing_and_the_next_one_finishes() {
    let row = FaultRow::new(15, "crash during mark, sweep or repack", "SIM");
    let (_dir, before) = place();
    let path = before.join("store");
    let store = open(&path);
    for step in [1, 2, 3] {
        commit(&store, "digits", step).unwrap();
    }
    store.remove("digits", &[id_of(2)], "").unwrap();
    let disk = Disk::of(&before);
    let recorder = Recorder::new();
    let watch: Arc<dyn Watch> = Arc::<Recorder<Said>>::clone(&recorder);
    let store = open_now(&path, watch).unwrap();
    assert!(store.collect(&(), &NO_GRACE).unwrap().swept.files > 0);
    commit_aloud(&store, &recorder, 2);
    remove_aloud(&store, &recorder, 1);
    let report = store.collect(&(), &NO_GRACE).unwrap();
    assert!(report.swept.files > 0 && report.repacked.files > 0, "{report:?}");
    let mut n_checked = 0;
    let n_states = crash_everywhere(disk, &before, &recorder.tape(), 29, |root, said, case| {
        n_checked += 1;
        check_said(&root.join("store"), &[1, 3], said, n_checked % 12 == 0, case);
    });
    end(row, n_states, N_COLLECTION);
}

#[test]
fn a_crash_during_a_repair_loses_nothing_and_the_next_one_finishes() {
    let row = FaultRow::new(15, "crash during repair", "SIM");
    let (_dir, before) = place();
    let path = before.join("store");
    let store = open(&path);
    for step in [1, 2] {
        commit(&store, "digits", step).unwrap();
    }
    let replica = scratch();
    copy(&path, replica.path());
    let damaged: Vec<PathBuf> = [files(&path, "/packs/"), files(&path, "/manifests/"), files(&path, "/log/digits/")]
        .iter()
        .map(|it| it[0].clone())
        .collect();
    for it in &damaged {
        let mut bytes = fs::read(it).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 16;
        fs::write(it, bytes).unwrap();
    }
    let mending = |path: &Path, watch: Arc<dyn Watch>| {
        let mut settings = settings();
        let replica = Folder::open(replica.path(), Arc::new(Fast), MANNERS, settings.clock).unwrap();
        settings.replicas.push(Arc::new(replica));
        open_with(path, watch, MANNERS, settings).unwrap()
    };
    let disk = Disk::of(&before);
    let recorder = Recorder::<()>::new();
    let watch: Arc<dyn Watch> = Arc::<Recorder<()>>::clone(&recorder);
    assert_eq!(mending(&path, watch).repair(&()).unwrap().mended.len(), damaged.len());
    recorder.say(());
    let n_states = crash_everywhere(disk, &before, &recorder.tape(), 60, |root, said, case| {
        let path = root.join("store");
        if !said.is_empty() {
            assert_eq!(open(&path).scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0], "{case}");
        }
        let report = mending(&path, Arc::new(Fast)).repair(&()).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!(report.lost, [""; 0], "{case}");
        let store = open(&path);
        for step in [1, 2] {
            check_content(&store, &id_of(step), step).unwrap_or_else(|e| panic!("{case}: {e}"));
        }
        assert_eq!(store.scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0], "{case}");
    });
    end(row, n_states, N_REPAIR);
}

/// As above, with one in sixteen states that are also scrubbed, collected and written.
#[test]
fn a_crash_while_two_write_loses_nothing_acknowledged() {
    let row = FaultRow::new(3, "crash while two write, in four interleavings", "SIM");
    let (mut n_states, mut n_checked) = (0, 0);
    // The threads take turns in another way each time.
    for round in 0..4 {
        let (_dir, before) = place();
        let path = before.join("store");
        let store = open(&path);
        commit(&store, "digits", 1).unwrap();
        let disk = Disk::of(&before);
        let recorder = Recorder::new();
        thread::scope(|scope| {
            for steps in [[10, 11], [20, 21]] {
                let watch: Arc<dyn Watch> = Arc::<Recorder<Said>>::clone(&recorder);
                let (recorder, path) = (&recorder, &path);
                steps.iter().for_each(|it| drop(id_of(*it)));
                scope.spawn(move || {
                    let store = open_watched(path, watch).unwrap();
                    steps.iter().for_each(|it| commit_aloud(&store, recorder, *it));
                    recorder.leave();
                });
            }
        });
        n_states += crash_everywhere(disk, &before, &recorder.tape(), 8, |root, said, case| {
            n_checked += 1;
            check_said(&root.join("store"), &[1], said, n_checked % 16 == 0, &format!("round {round}, {case}"));
        });
    }
    end(row, n_states, N_TWO_WRITERS);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for it in fs::read_dir(from).unwrap() {
        let it = it.unwrap();
        if it.path().is_dir() {
            copy(&it.path(), &to.join(it.file_name()));
        } else {
            fs::copy(it.path(), to.join(it.file_name())).unwrap();
        }
    }
}

#[test]
fn a_single_failure_is_an_error_with_a_remedy_and_what_follows_works() {
    let row = FaultRow::new(4, "disk full, or a failing sync, at each change", "SIM");
    let mut n_with_sizes = 0;
    for fail_at in 0.. {
        let dir = scratch();
        let path = dir.path().join("store");
        let machine = Machine::new(fail_at, || io::ErrorKind::StorageFull.into());
        let watch: Arc<dyn Watch> = Arc::<Machine>::clone(&machine);
        let mut store = open_watched(&path, Arc::clone(&watch));
        if let Err(e) = &store {
            assert_eq!((e.kind, e.help.is_empty()), (ErrorKind::NoSpace, false), "{e}");
            store = open_watched(&path, Arc::clone(&watch));
        }
        let mut store = store.unwrap();
        for (at, it) in OPERATIONS.iter().enumerate() {
            let Err(e) = it(&store) else { continue };
            assert_eq!((e.kind, e.help.is_empty()), (ErrorKind::NoSpace, false), "{e}");
            if e.message.contains("were to be written") {
                let free = e.message.split(", ").find_map(|it| it.strip_suffix(" are free)")).map(str::parse::<u64>);
                assert!(matches!(free, Some(Ok(_))), "{e}");
                n_with_sizes += 1;
            }
            let was_sync = e.message.contains("sync the folder");
            if was_sync {
                // No more is believed to this process; what it did may have come through.
                assert_eq!(kind(commit(&store, "digits", 50)), Some(ErrorKind::Io));
                store = open_watched(&path, Arc::clone(&watch)).unwrap();
            } else {
                assert!(e.help.contains("free space"), "{e}: {}", e.help);
            }
            if store.history("digits").unwrap().last_seq() <= at as u64 {
                it(&store).unwrap_or_else(|e| panic!("step {fail_at}: {e}"));
            } else {
                assert!(was_sync);
            }
        }
        check(&path, OPERATIONS.len(), &format!("step {fail_at}"));
        if *machine.count.lock().unwrap() <= fail_at {
            assert!(n_with_sizes > 10, "only {n_with_sizes} say how much was needed and how much is free");
            end(row, fail_at, 100);
            break;
        }
    }
}
