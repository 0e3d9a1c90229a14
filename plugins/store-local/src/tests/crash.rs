//! Crashes at every change to the file system, with and without the loss of what was not synced.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    sync::Mutex,
};

use modelwatch_sdk::store::VerdictRecord;

use super::*;
use crate::disk::Step;

#[derive(Clone, Debug)]
enum Done {
    /// A name came to be.
    Name(PathBuf),
    /// A name came to be for a file that had one.
    Link(PathBuf, PathBuf),
    Write(PathBuf),
    SyncFile(PathBuf),
    SyncDir(PathBuf),
    Remove(PathBuf),
}

/// Fails at one step, and at all later ones if the process is to die there.
struct Machine {
    fail_at: usize,
    dies: bool,
    error: fn() -> io::Error,
    count: Mutex<usize>,
    done: Mutex<Vec<Done>>,
}

impl Machine {
    fn new(fail_at: usize, dies: bool, error: fn() -> io::Error) -> Arc<Self> {
        Arc::new(Self { fail_at, dies, error, count: Mutex::new(0), done: Mutex::default() })
    }
}

impl Watch for Machine {
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        let mut count = self.count.lock().unwrap();
        let at = *count;
        *count += 1;
        if at < self.fail_at || (at > self.fail_at && !self.dies) {
            return Ok(());
        }
        if let Step::Write(path) = step
            && at == self.fail_at
        {
            // Half of a write is done.
            fs::OpenOptions::new().append(true).open(path)?.write_all(b"torn")?;
        }
        Err((self.error)())
    }

    fn after(&self, step: Step<'_>) {
        self.done.lock().unwrap().push(match step {
            Step::CreateDir(it) | Step::CreateFile(it) => Done::Name(it.to_owned()),
            Step::Write(it) => Done::Write(it.to_owned()),
            Step::SyncFile(it) => Done::SyncFile(it.to_owned()),
            Step::Link(from, to) | Step::Rename(from, to) => Done::Link(from.to_owned(), to.to_owned()),
            Step::SyncDir(it) => Done::SyncDir(it.to_owned()),
            Step::Remove(it) => Done::Remove(it.to_owned()),
        });
    }

    fn syncs(&self) -> bool {
        false
    }
}

/// Does to `root`, a copy of `from`, what a power cut may do: bytes and names that were not synced are gone
/// where `is_lost` says so.
fn cut_power(from: &Path, root: &Path, done: &[Done], mut is_lost: impl FnMut() -> bool) {
    let moved = |path: &Path| path.strip_prefix(from).ok().map(|it| root.join(it));
    let mut unsynced: BTreeSet<&Path> = BTreeSet::new();
    let mut unnamed: BTreeSet<&Path> = BTreeSet::new();
    for it in done {
        match it {
            Done::Name(it) => drop(unnamed.insert(it)),
            Done::Link(from, to) => {
                unnamed.insert(to);
                if unsynced.contains(from.as_path()) {
                    unsynced.insert(to);
                }
            }
            Done::Write(it) => drop(unsynced.insert(it)),
            Done::SyncFile(it) => drop(unsynced.remove(it.as_path())),
            Done::SyncDir(dir) => unnamed.retain(|it| it.parent() != Some(dir)),
            Done::Remove(it) => {
                unnamed.remove(it.as_path());
                unsynced.remove(it.as_path());
            }
        }
    }
    for path in unsynced.into_iter().filter_map(moved).filter(|it| it.is_file()) {
        if is_lost() {
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
        }
    }
    for path in unnamed.into_iter().filter_map(moved) {
        if is_lost() {
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for it in fs::read_dir(from).into_iter().flatten() {
        let it = it.unwrap();
        if it.path().is_dir() {
            copy(&it.path(), &to.join(it.file_name()));
        } else {
            fs::copy(it.path(), to.join(it.file_name())).unwrap();
        }
    }
}

type Operation = fn(&dyn CheckpointStore) -> Result<()>;

fn id_of(step: u64) -> CheckpointId {
    static IDS: Mutex<Vec<(u64, CheckpointId)>> = Mutex::new(Vec::new());
    let mut ids = IDS.lock().unwrap();
    if let Some((_, id)) = ids.iter().find(|it| it.0 == step) {
        return id.clone();
    }
    let dir = tempfile::tempdir().unwrap();
    let id = commit(&open(dir.path()), "digits", step).unwrap();
    ids.push((step, id.clone()));
    id
}

/// What is done, one acknowledgment each.
const OPERATIONS: [Operation; 6] = [
    |store| commit(store, "digits", 1).map(drop),
    |store| store.set_ref("digits", "good", &id_of(1), None, "first"),
    |store| commit(store, "digits", 2).map(drop),
    |store| {
        let verdict = VerdictRecord {
            verdict: "pass".into(),
            pipeline: "gate".into(),
            run_id: "1".into(),
            metrics: Default::default(),
        };
        store.record_verdict("digits", &id_of(2), &verdict)
    },
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

fn run(path: &Path, machine: &Arc<Machine>) -> usize {
    let watch: Arc<dyn Watch> = Arc::<Machine>::clone(machine);
    let Ok(store) = open_watched(path, watch) else {
        return 0;
    };
    OPERATIONS.iter().take_while(|it| it(&store).is_ok()).count()
}

#[test]
fn a_crash_at_any_step_loses_nothing_acknowledged() {
    for fail_at in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("before/above/store");
        let before = dir.path().join("before");
        fs::create_dir(&before).unwrap();
        let machine = Machine::new(fail_at, true, || io::Error::other("the process died"));
        let n_acked = run(&path, &machine);
        let done = machine.done.lock().unwrap().clone();
        for mode in 0..5u64 {
            let after = dir.path().join(format!("after-{mode}"));
            copy(&before, &after);
            let mut draws = noise(4096, fail_at as u64 * 8 + mode).into_iter();
            let is_lost = || match mode {
                0 => false,
                1 => true,
                _ => draws.next().unwrap() < 128,
            };
            // The root is canonical in the record of steps.
            cut_power(&fs::canonicalize(&before).unwrap(), &after, &done, is_lost);
            check(&after.join("above/store"), n_acked, &format!("step {fail_at}, mode {mode}"));
        }
        if n_acked == OPERATIONS.len() && *machine.count.lock().unwrap() <= fail_at {
            assert!(fail_at > 100, "only {fail_at} steps");
            break;
        }
    }
}

#[test]
fn a_single_failure_is_an_error_with_a_remedy_and_what_follows_works() {
    for fail_at in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let machine = Machine::new(fail_at, false, || io::ErrorKind::StorageFull.into());
        let watch: Arc<dyn Watch> = Arc::<Machine>::clone(&machine);
        let mut store = open_watched(&path, Arc::clone(&watch));
        if let Err(e) = &store {
            assert_eq!((e.kind, e.help.is_empty()), (ErrorKind::Io, false), "{e}");
            store = open_watched(&path, Arc::clone(&watch));
        }
        let mut store = store.unwrap();
        for (at, it) in OPERATIONS.iter().enumerate() {
            let Err(e) = it(&store) else { continue };
            assert_eq!((e.kind, e.help.is_empty()), (ErrorKind::Io, false), "{e}");
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
            break;
        }
    }
}
