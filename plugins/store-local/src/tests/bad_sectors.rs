//! Files that the device does not give back: each is damaged, and no more than that. What may be over in a moment, or
//! concerns the whole folder, is no damage.

use std::{collections::BTreeSet, io, sync::Mutex};

use modelwatch_config::{Best, Keep, Mode};
use modelwatch_runtime::{checkpoint::CheckpointError, prune};
use modelwatch_sdk::{
    store::{CollectOptions, RepairReport, VerdictRecord},
    testing::FaultRow,
};
use modelwatch_store::Blobs;
use rustix::io::Errno;

use super::*;

/// A disk on which some files cannot be read.
#[derive(Default)]
struct Bad {
    files: BTreeSet<PathBuf>,
    /// How often it fails before it works again; always if there is no number.
    times: Option<Mutex<usize>>,
    error: Option<Errno>,
}

impl Watch for Bad {
    fn syncs(&self) -> bool {
        false
    }

    fn read(&self, path: &Path) -> io::Result<()> {
        if !self.files.contains(path) {
            return Ok(());
        }
        if let Some(times) = &self.times {
            let mut left = times.lock().unwrap();
            match left.checked_sub(1) {
                Some(it) => *left = it,
                None => return Ok(()),
            }
        }
        Err(self.error.unwrap_or(Errno::IO).into())
    }
}

fn bad(files: &[PathBuf]) -> Arc<Bad> {
    Arc::new(Bad { files: files.iter().cloned().collect(), ..Bad::default() })
}

fn open_bad(root: &Path, watch: Arc<Bad>, replica: Option<&Path>) -> Result<Engine> {
    open_later(root, watch, replica, settings())
}

fn open_later(root: &Path, watch: Arc<Bad>, replica: Option<&Path>, mut settings: Settings) -> Result<Engine> {
    if let Some(it) = replica {
        let copy = Folder::open(it, Arc::new(Fast), MANNERS, settings.clock)?;
        settings.replicas.push(Arc::new(copy) as Arc<dyn Blobs>);
    }
    open_with(root, watch, MANNERS, settings)
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// A store with two lineages, and a list of garbage that was swept, or only marked.
fn store(is_swept: bool) -> (tempfile::TempDir, [CheckpointId; 2]) {
    let dir = scratch();
    let ids = {
        let store = open(dir.path());
        [("digits", 1), ("letters", 2)].map(|(lineage, step)| commit(&store, lineage, step).unwrap())
    };
    let settings = Settings { clock: || now() + 2, ..settings() };
    let store = open_with(dir.path(), Arc::new(Fast), MANNERS, settings).unwrap();
    let gone = commit(&store, "digits", 3).unwrap();
    store.remove("digits", &[gone], "").unwrap();
    store.collect(&(), &CollectOptions { grace: u64::from(!is_swept), dry_run: false }).unwrap();
    assert_eq!(files(dir.path(), "/gc/").len(), 1);
    (dir, ids)
}

#[test]
fn a_list_of_garbage_on_a_bad_sector_stops_no_write_and_is_mended_or_done_without() {
    let row = FaultRow::new(6, "EIO by reads of a list of garbage", "SIM");
    for is_swept in [false, true] {
        for has_replica in [false, true] {
            let (dir, ids) = store(is_swept);
            let replica = copy(dir.path());
            let list = files(dir.path(), "/gc/");
            let open = || open_bad(dir.path(), bad(&list), has_replica.then(|| replica.path())).unwrap();
            let id = commit(&open(), "digits", 7).unwrap();
            check_content(&open(), &id, 7).unwrap();
            check_content(&open(), &ids[0], 1).unwrap();
            let report = open().repair(&()).unwrap();
            assert_eq!(report.lost, [""; 0]);
            assert!(report.mended[0].contains(list[0].to_str().unwrap()), "{report:?}");
            assert_eq!(files(dir.path(), "/quarantine/").len(), 1);
            assert_eq!(list[0].exists(), has_replica);
        }
    }
    row.ok(4);
}

#[test]
fn what_was_logged_before_an_entry_on_a_bad_sector_is_served_and_a_replica_mends_it() {
    let row = FaultRow::new(6, "EIO by reads of an entry of a log", "SIM");
    let (dir, ids) = store(true);
    let entries = files(dir.path(), "/log/digits/");
    for (n_before, entry) in entries.iter().enumerate() {
        let dir = copy(dir.path());
        let replica = copy(dir.path());
        let entry = dir.path().join("log/digits").join(entry.file_name().unwrap());
        let open = || open_bad(dir.path(), bad(std::slice::from_ref(&entry)), Some(replica.path())).unwrap();
        let history = open().history("digits").unwrap();
        assert_eq!(history.last_seq(), n_before as u64);
        assert!(history.damage().unwrap().message.contains(entry.to_str().unwrap()));
        assert_eq!(kind(check_content(&open(), &ids[0], 1)), (n_before == 0).then_some(ErrorKind::Unreadable));
        check_content(&open(), &ids[1], 2).unwrap();
        let e = commit(&open(), "digits", 7).unwrap_err();
        assert!(e.kind == ErrorKind::Unreadable && e.help.contains("store repair"), "{e}: {}", e.help);
        // Another lineage's damage is mended in any case.
        let other = files(dir.path(), "/log/letters/").remove(0);
        fs::write(&other, "").unwrap();
        let report = open().repair(&()).unwrap();
        assert!(report.mended.iter().any(|it| it.contains(other.to_str().unwrap())), "{report:?}");
        assert!(report.mended.iter().any(|it| it.contains(entry.to_str().unwrap())), "{report:?}");
        let store = super::open(dir.path());
        assert_eq!(store.scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0]);
        commit(&store, "digits", 7).unwrap();
    }
    row.ok(entries.len());
}

#[test]
fn a_store_file_on_a_bad_sector_is_taken_from_a_replica() {
    let row = FaultRow::new(6, "EIO by reads of `store.json`", "SIM");
    let (dir, ids) = store(true);
    let replica = copy(dir.path());
    let file = dir.path().join("store.json");
    let open = |replica| open_bad(dir.path(), bad(std::slice::from_ref(&file)), replica);
    assert_eq!(kind(open(None)), Some(ErrorKind::Unreadable));
    let store = open(Some(replica.path())).unwrap();
    check_content(&store, &ids[0], 1).unwrap();
    assert_eq!(kind(commit(&store, "digits", 7)), Some(ErrorKind::Unreadable));
    let report = store.repair(&()).unwrap();
    assert!(report.lost.is_empty() && report.mended[0].contains("store.json"), "{report:?}");
    commit(&super::open(dir.path()), "digits", 7).unwrap();
    row.ok(1);
}

#[test]
fn packs_and_manifests_on_bad_sectors_are_mended_or_stay() {
    for part in ["/packs/", "/manifests/"] {
        for has_replica in [false, true] {
            let (dir, ids) = store(true);
            let replica = copy(dir.path());
            let damaged = files(dir.path(), part);
            let open = || open_bad(dir.path(), bad(&damaged), has_replica.then(|| replica.path())).unwrap();
            assert_eq!(kind(check_content(&open(), &ids[0], 1)), Some(ErrorKind::Unreadable), "{part}");
            let report = open().repair(&()).unwrap();
            // Where the file is put back it is on the same path, which this disk never reads.
            let n_aside = if has_replica { damaged.len() } else { 0 };
            assert_eq!(files(dir.path(), "/quarantine/").len(), n_aside, "{part}: {report:?}");
            assert!(has_replica || !report.lost.is_empty(), "{part}");
            // Without a replica, another day.
            let store = super::open(dir.path());
            check_content(&store, &ids[0], 1).unwrap();
            check_content(&store, &ids[1], 2).unwrap();
            assert_eq!(store.repair(&()).unwrap(), RepairReport::default());
        }
    }
}

/// A device that is away for a moment, a folder that may not be read, too many open files: nothing is known about the
/// file then, and nothing is done to it.
#[test]
fn what_is_no_fault_of_a_file_changes_nothing() {
    let row = FaultRow::new(6, "reads that fail for a moment, or for want of a right or of descriptors", "SIM");
    let (dir, ids) = store(false);
    let all: Vec<_> = contents(dir.path()).into_keys().filter(|it| !it.ends_with("lock")).collect();
    let mut n_faults = 0;
    for file in &all {
        for has_replica in [false, true] {
            let replica = copy(dir.path());
            let replica = has_replica.then(|| replica.path());
            let before = contents(dir.path());
            let once =
                Arc::new(Bad { times: Some(Mutex::new(1)), ..Bad { files: [file.clone()].into(), ..Bad::default() } });
            let store = open_bad(dir.path(), once, replica).unwrap();
            assert_eq!(store.repair(&()).unwrap(), RepairReport::default());
            for error in [Errno::ACCESS, Errno::MFILE, Errno::TIMEDOUT] {
                n_faults += 1;
                let bad = Bad { files: [file.clone()].into(), error: Some(error), ..Bad::default() };
                let report = open_bad(dir.path(), Arc::new(bad), replica).and_then(|it| it.repair(&()));
                if let Ok(report) = report {
                    assert_eq!(report.mended, [""; 0], "{}", file.display());
                }
                assert!(contents(dir.path()) == before, "{} is not as it was", file.display());
            }
        }
    }
    check_content(&open(dir.path()), &ids[0], 1).unwrap();
    row.ok(n_faults);
}

#[test]
fn what_cannot_be_read_for_the_moment_is_not_called_damaged_for_the_sake_of_another_lineage() {
    let (dir, ids) = store(false);
    fs::write(files(dir.path(), "/log/letters/").remove(0), "").unwrap();
    let entry = files(dir.path(), "/log/digits/").remove(0);
    let bad = Bad { files: [entry].into(), error: Some(Errno::MFILE), ..Bad::default() };
    let busy = open_bad(dir.path(), Arc::new(bad), None).unwrap();
    assert_eq!(kind(busy.open(&(), &ids[0])), Some(ErrorKind::Io));
    check_content(&open(dir.path()), &ids[0], 1).unwrap();
    assert_eq!(kind(open(dir.path()).open(&(), &ids[1])), Some(ErrorKind::Corrupt));
}

/// A disk that does not tell of some files what they are.
struct Unclean(Vec<PathBuf>, Errno);

impl Watch for Unclean {
    fn syncs(&self) -> bool {
        false
    }

    fn look(&self, path: &Path) -> io::Result<()> {
        if self.0.iter().any(|it| it == path) { Err(self.1.into()) } else { Ok(()) }
    }
}

/// A file system finds by its own checksums that the inode of a file is not what it was.
#[test]
fn what_the_file_system_cannot_tell_of_a_file_is_damage_of_it() {
    let row = FaultRow::new(6, "EUCLEAN, EBADMSG or EIO by lstat or open of a file", "SIM");
    let errors = [Errno::UCLEAN, Errno::BADMSG, Errno::IO];
    for (error, part) in errors.into_iter().flat_map(|it| ["/packs/", "/manifests/", "/gc/"].map(|part| (it, part))) {
        let (dir, ids) = store(true);
        let replica = copy(dir.path());
        let damaged = files(dir.path(), part);
        let open = |replicas: &[&Path]| {
            let mut settings = settings();
            for it in replicas {
                let copy = Folder::open(it, Arc::new(Fast), MANNERS, settings.clock).unwrap();
                settings.replicas.push(Arc::new(copy) as Arc<dyn Blobs>);
            }
            open_with(dir.path(), Arc::new(Unclean(damaged.clone(), error)), MANNERS, settings).unwrap()
        };
        let read = kind(check_content(&open(&[]), &ids[0], 1));
        assert_eq!(read, (part != "/gc/").then_some(ErrorKind::Unreadable), "{error}: {part}");
        let damage = open(&[]).scrub(&(), ScrubDepth::Fast).unwrap().damage;
        for it in &damaged {
            assert!(damage.iter().any(|line| line.contains(it.to_str().unwrap())), "{error}: {damage:?}");
        }
        let report = open(&[replica.path()]).repair(&()).unwrap();
        for it in &damaged {
            assert!(report.mended.iter().any(|line| line.contains(it.to_str().unwrap())), "{error}: {report:?}");
        }
        let store = super::open(dir.path());
        check_content(&store, &ids[0], 1).unwrap();
        assert_eq!(store.scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0]);
        // A folder of which that is so may hold what is sound.
        let logs = Unclean(vec![dir.path().join("log/digits")], error);
        let store = open_with(dir.path(), Arc::new(logs), MANNERS, settings()).unwrap();
        assert_eq!(kind(store.history("digits")), Some(ErrorKind::Io), "{error}");
        check_content(&store, &ids[1], 2).unwrap();
        let before = contents(dir.path());
        let folders = files(dir.path(), part).iter().map(|it| it.parent().unwrap().to_owned()).collect();
        let store = open_with(dir.path(), Arc::new(Unclean(folders, error)), MANNERS, settings()).unwrap();
        let read = kind(check_content(&store, &ids[0], 1));
        assert_eq!(read, (part != "/gc/").then_some(ErrorKind::Io), "{error}: {part}");
        let report = store.repair(&()).unwrap();
        assert_eq!(report.mended, [""; 0], "{error}: {part}");
        assert!(contents(dir.path()) == before, "{error}: {part}");
    }
    row.ok(errors.len() * 3);
}

#[test]
fn a_chunk_is_not_lost_while_a_folder_of_packs_cannot_be_listed() {
    let dir = scratch();
    let id = commit(&open(dir.path()), "digits", 1).unwrap();
    let own = files(dir.path(), "/packs/");
    let settings = Settings { max_pack: 3 * CHUNK as u64, ..settings() };
    // Other packs with the same chunks, since the settings differ.
    let other = open_with(dir.path(), Arc::new(Fast), MANNERS, settings).unwrap();
    assert_eq!(commit(&other, "letters", 1).unwrap(), id);
    fs::write(&own[0], "").unwrap();
    let folder = |it: &PathBuf| it.parent().unwrap().to_owned();
    let owns: Vec<_> = own.iter().map(folder).collect();
    let closed = files(dir.path(), "/packs/").iter().map(folder).filter(|it| !owns.contains(it)).collect();
    let store = open_watched(dir.path(), Arc::new(Unclean(closed, Errno::ACCESS))).unwrap();
    let report = store.repair(&()).unwrap();
    assert_eq!(report.mended, [""; 0]);
    let of_digits = report.lost.iter().find(|it| it.contains("of `digits`")).unwrap();
    assert!(of_digits.contains("could not be looked through"), "{report:?}");
    let report = open(dir.path()).repair(&()).unwrap();
    assert!(report.mended.iter().any(|it| it.contains("of `digits` is read from other packs")), "{report:?}");
}

/// Nothing is known of it, and all the rest is looked through.
#[test]
fn a_scrub_goes_on_past_a_file_that_it_may_not_read() {
    let (dir, _) = store(true);
    for part in ["/packs/", "/manifests/", "/gc/", "/log/digits/"] {
        let dir = copy(dir.path());
        let closed = files(dir.path(), part).remove(0);
        let damaged = files(dir.path(), "/log/letters/").remove(0);
        let others = files(dir.path(), "/packs/").split_off(1);
        [&damaged].into_iter().chain(&others).for_each(|it| fs::write(it, "").unwrap());
        let bad = Bad { files: [closed.clone()].into(), error: Some(Errno::ACCESS), ..Bad::default() };
        let damage = open_bad(dir.path(), Arc::new(bad), None).unwrap().scrub(&(), ScrubDepth::Full).unwrap().damage;
        let about = |it: &PathBuf| damage.iter().filter(|line| line.contains(it.to_str().unwrap())).collect::<Vec<_>>();
        assert!(about(&closed).iter().any(|it| it.contains("was not examined")), "{part}: {damage:?}");
        for it in others.iter().chain([&damaged]) {
            assert!(!about(it).is_empty(), "{part}: {}: {damage:?}", it.display());
        }
    }
}

/// A server of files may say for a moment that there is no such file.
#[test]
fn what_is_missing_only_when_it_is_first_asked_for_is_there() {
    struct Late(PathBuf, Mutex<bool>);
    impl Watch for Late {
        fn syncs(&self) -> bool {
            false
        }

        fn look(&self, path: &Path) -> io::Result<()> {
            let is_late = path == self.0 && !std::mem::replace(&mut self.1.lock().unwrap(), true);
            if is_late { Err(Errno::NOENT.into()) } else { Ok(()) }
        }
    }
    let (dir, ids) = store(true);
    for it in files(dir.path(), "/packs/").into_iter().chain(files(dir.path(), "/manifests/")) {
        let store = open_watched(dir.path(), Arc::new(Late(it, Mutex::default()))).unwrap();
        check_content(&store, &ids[0], 1).unwrap();
        check_content(&store, &ids[1], 2).unwrap();
    }
}

/// Changes a byte of a pack in what only its checkpoint has.
fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 8 * 7;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// What a device does not give back today, or gives back wrong, is no reason to let go of it, nor of what stands in for it.
#[test]
fn neither_a_bad_sector_nor_wrong_bytes_let_a_checkpoint_go() {
    let dir = scratch();
    let store = open(dir.path());
    let verdict = passed("1");
    let [mut before, mut own] = [Vec::new(), Vec::new()];
    let ids = [1, 2, 3].map(|step| {
        let id = commit(&store, "digits", step).unwrap();
        let packs = files(dir.path(), "/packs/");
        own.push(packs.iter().find(|it| !before.contains(*it)).unwrap().clone());
        before = packs;
        store.record_verdict("digits", &id, &verdict).unwrap();
        id
    });
    let failed = VerdictRecord { verdict: "fail".into(), ..verdict };
    store.record_verdict("digits", &ids[2], &failed).unwrap();
    let policy =
        Keep { last: None, best: Vec::new(), every_steps: None, within: None, grace: Duration::ZERO, prune: false };
    let plan = |store: &Engine| {
        let history = store.history("digits").unwrap();
        prune::plan(store, &(), &history, &policy, now(), &|_, _| true)
    };
    let stay = |store: &Engine| -> Vec<CheckpointId> {
        plan(store).unwrap().into_iter().filter(|it| it.stays()).map(|it| it.id).collect()
    };
    assert_eq!(stay(&store), ids[1..]);
    assert_eq!(stay(&open_bad(dir.path(), bad(&own[1..2]), None).unwrap()), ids);
    let closed = Bad { files: own[1..2].iter().cloned().collect(), error: Some(Errno::ACCESS), ..Bad::default() };
    let e = plan(&open_bad(dir.path(), Arc::new(closed), None).unwrap()).unwrap_err();
    assert!(matches!(&e, CheckpointError::Store(e) if e.kind == ErrorKind::Io), "{e}");
    spoil(&own[1]);
    assert_eq!(stay(&open(dir.path())), ids);
}

/// Without verdicts too, the last checkpoints that can be read stay, whatever the rule that damaged ones would fill.
#[test]
fn damaged_checkpoints_let_no_sound_one_go() {
    let keep = |rule: &str| -> Keep {
        let nothing =
            Keep { last: None, best: Vec::new(), every_steps: None, within: None, grace: Duration::ZERO, prune: false };
        match rule {
            "last" => Keep { last: Some(2), ..nothing },
            "best" => Keep { best: vec![Best { metric: "accuracy".into(), mode: Mode::Max, n: 1 }], ..nothing },
            "steps" => Keep { every_steps: Some(100), ..nothing },
            _ => nothing,
        }
    };
    // Of five, the newer are the better, and those of these places are damaged.
    for (rule, damaged, stays) in [
        ("last", &[4][..], &[2, 3, 4][..]),
        ("last", &[3, 4], &[1, 2, 3, 4]),
        ("last", &[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4]),
        ("best", &[3, 4], &[2, 3, 4]),
        ("steps", &[0, 4], &[0, 1, 3, 4]),
        ("newest", &[3, 4], &[2, 3, 4]),
        ("newest", &[], &[4]),
    ] {
        let dir = scratch();
        let store = open(dir.path());
        let [mut before, mut own] = [Vec::new(), Vec::new()];
        let ids: Vec<_> = (0..5)
            .map(|step| {
                let id = commit(&store, "digits", step).unwrap();
                let packs = files(dir.path(), "/packs/");
                own.push(packs.iter().find(|it| !before.contains(*it)).unwrap().clone());
                before = packs;
                if rule == "best" {
                    let verdict = VerdictRecord {
                        verdict: "fail".into(),
                        metrics: [("accuracy".to_owned(), step as f64)].into(),
                        ..passed("1")
                    };
                    store.record_verdict("digits", &id, &verdict).unwrap();
                }
                id
            })
            .collect();
        drop(store);
        damaged.iter().for_each(|&at| spoil(&own[at]));
        // Nothing is removed by a clock that is not the store's.
        let settings = Settings { clock: now, ..settings() };
        let store = open_with(dir.path(), Arc::new(Fast), MANNERS, settings).unwrap();
        let history = store.history("digits").unwrap();
        let plan = prune::plan(&store, &(), &history, &keep(rule), now(), &|_, _| true).unwrap();
        let found: Vec<_> = (0..5).filter(|&at| plan[at].stays()).collect();
        assert_eq!(found, stays, "{rule}: {damaged:?}");
        prune::remove(&store, &(), "digits", &plan, "").unwrap();
        store.collect(&(), &CollectOptions { grace: 0, dry_run: false }).unwrap();
        for &at in stays.iter().filter(|at| !damaged.contains(at)) {
            check_content(&store, &ids[at], at as u64).unwrap();
        }
    }
}
