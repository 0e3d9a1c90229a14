//! Garbage goes, and nothing else, whoever comes between.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use proptest::prelude::*;

use super::*;

const DAY: u64 = 24 * 60 * 60;

/// A store with checkpoints 1 and 2, of which 2 was removed.
fn store() -> (Memory, Engine, [CheckpointId; 2]) {
    let memory = Memory::new(true);
    let store = open(&memory);
    let ids = [1, 2].map(|it| commit(&store, "digits", it).unwrap());
    store.remove("digits", &ids[1..], "no longer needed").unwrap();
    (memory, store, ids)
}

fn at(store: &Memory, clock: fn() -> u64) -> Engine {
    open_with(store, Settings { clock, ..settings() })
}

#[test]
fn what_nothing_leads_to_is_marked_and_swept_a_grace_period_later() {
    let (memory, store, ids) = store();
    let before = memory.keys("");
    // Too young to be marked.
    assert_eq!(collect(&store, DAY).marked.files, 0);
    assert_eq!(memory.keys(""), before);
    memory.set_clock(NOW + 2 * DAY);
    let store = at(&memory, || NOW + 2 * DAY);
    let plan = store.collect(&(), &CollectOptions { grace: DAY, dry_run: true }).unwrap();
    assert_eq!(memory.keys(""), before, "a dry run changes nothing");
    let report = collect(&store, DAY);
    assert_eq!((report.marked, report.swept.files), (plan.marked, 0));
    assert!(report.marked.files >= 2, "a pack and a manifest");
    assert_eq!(collect(&store, DAY).waiting, report.marked);
    memory.set_clock(NOW + 4 * DAY);
    let store = at(&memory, || NOW + 4 * DAY);
    let swept = collect(&store, DAY).swept;
    assert_eq!(swept, report.marked);
    check_content(&store, &ids[0], 1).unwrap();
    is_sound(&store);
    assert_eq!(store.stats(&()).unwrap().spare_bytes, 0);
    // What was swept can come again, under other names.
    assert_eq!(commit(&store, "digits", 2).unwrap(), ids[1]);
    check_content(&store, &ids[1], 2).unwrap();
    is_sound(&store);
    assert_eq!(collect(&store, 0), Default::default());
    check_content(&store, &ids[1], 2).unwrap();
}

#[test]
fn a_reader_learns_that_its_checkpoint_is_gone() {
    let memory = Memory::new(true);
    let store = open(&memory);
    let [_, id] = [1, 2].map(|it| commit(&store, "digits", it).unwrap());
    let reader = store.open(&(), &id).unwrap();
    let packs = memory.keys("packs/");
    store.remove("digits", &[id], "no longer needed").unwrap();
    collect(&open(&memory), 0);
    collect(&open(&memory), 0);
    let e = reader.tensor("dense/kernel").unwrap_err();
    assert_eq!(e.kind, ErrorKind::Gone, "{e}");
    assert!(e.message.contains("log/.store") && e.help.contains("store list"), "{e}");
    // What is there was spared by the sweep, or put back: it is damaged, and not gone.
    packs.iter().for_each(|it| memory.put(it, vec![0; 10]));
    assert_eq!(kind(reader.tensor("dense/kernel")), Some(ErrorKind::Corrupt));
}

#[test]
fn what_is_needed_of_a_pack_that_is_mostly_garbage_is_moved() {
    for is_roomy in [true, false] {
        let memory = Memory::new(is_roomy);
        let store = open(&memory);
        let [first, second] = [1, 2].map(|it| commit(&store, "digits", it).unwrap());
        let reader = store.open(&(), &second).unwrap();
        store.remove("digits", &[first], "no longer needed").unwrap();
        let before = store.stats(&()).unwrap().pack_bytes;
        let keys = memory.keys("");
        let plan = store.collect(&(), &CollectOptions { grace: 0, dry_run: true }).unwrap();
        assert_eq!((plan.repacked.files, memory.keys("")), (1, keys), "two of its five chunks are shared");
        assert_eq!(collect(&store, 0).repacked, plan.repacked);
        let after = store.stats(&()).unwrap();
        assert!(after.pack_bytes + 2 * CHUNK as u64 <= before, "{after:?} {before}");
        check_content(&open(&memory), &second, 2).unwrap();
        is_sound(&open(&memory));
        assert_eq!(collect(&store, 0), Default::default(), "that was all");
        // Who opened it before reads on.
        assert!(read_file(reader.as_ref(), "weights/model.bin").unwrap() == content(2)[1].1);
        assert_eq!(commit(&store, "digits", 2).unwrap(), second);
        check_content(&open(&memory), &second, 2).unwrap();
    }
}

/// Checkpoints 1, 2 and 3, of which 3 shares one chunk with each of the others, next to four that are theirs alone.
fn sharing(store: &Engine) -> ([CheckpointId; 3], Content) {
    let content_of = |parts: &[(usize, u64)]| {
        let model = parts.iter().flat_map(|&(n, seed)| noise(n * CHUNK, seed)).collect();
        [("config.json", b"{}".to_vec()), ("weights/model.bin", model), ("tensor:dense/kernel", noise(20, 0))]
    };
    let contents = [&[(1, 1), (4, 11)][..], &[(1, 2), (4, 12)], &[(1, 1), (1, 2), (1, 3)]].map(content_of);
    let steps = [1, 2, 3].map(|it| (it as u64, &contents[it - 1]));
    let ids = steps.map(|(step, it)| write_these(store, "digits", step, it).unwrap().commit().unwrap());
    let [.., last] = contents;
    (ids, last)
}

/// Removes a checkpoint and all that only it needs, and moves what others need of its pack.
fn remove(store: &Engine, id: &CheckpointId) {
    store.remove("digits", std::slice::from_ref(id), "").unwrap();
    for _ in 0..3 {
        collect(store, 0);
    }
}

#[test]
fn who_reads_on_finds_what_was_moved_again_and_again() {
    let memory = Memory::new(true);
    let store = open(&memory);
    let ([first, second, last], content) = sharing(&store);
    let model = &content[1].1;
    let reader = store.open(&(), &last).unwrap();
    let mut chunk = vec![0; CHUNK];
    for (at, id) in [first, second].iter().enumerate() {
        let packs = memory.keys("packs/");
        remove(&open(&memory), id);
        assert!(packs.iter().any(|it| !memory.keys("packs/").contains(it)), "nothing was swept");
        reader.read("weights/model.bin", (at * CHUNK) as u64, &mut chunk).unwrap();
        assert!(chunk == model[at * CHUNK..][..CHUNK]);
    }
    assert!(read_file(reader.as_ref(), "weights/model.bin").unwrap() == *model);
}

#[test]
fn what_is_moved_again_and_again_while_it_is_opened_is_found() {
    let memory = Memory::new(true);
    let store = open(&memory);
    let ([first, second, last], content) = sharing(&store);
    let place = memory.clone();
    let (to_remove, is_collecting) = (Mutex::new(vec![second, first]), AtomicBool::new(false));
    memory.on_read(move |key| {
        if key.starts_with("manifests/") && !is_collecting.swap(true, Relaxed) {
            if let Some(id) = to_remove.lock().unwrap().pop() {
                remove(&open(&place), &id);
            }
            is_collecting.store(false, Relaxed);
        }
    });
    let reader = store.open(&(), &last).unwrap();
    assert_eq!(store.history("digits").unwrap().checkpoints().len(), 1, "both were removed meanwhile");
    assert!(read_file(reader.as_ref(), "weights/model.bin").unwrap() == content[1].1);
}

#[test]
fn a_writer_that_slept_through_mark_and_sweep_loses_nothing() {
    for is_roomy in [true, false] {
        for lineage in ["digits", "new"] {
            let memory = Memory::new(is_roomy);
            let store = open(&memory);
            let id = commit(&store, "digits", 1).unwrap();
            // It shares chunks with checkpoint 1, and has packs of its own in place or staged.
            let sleeper = write(&store, lineage, 2).unwrap();
            store.remove("digits", std::slice::from_ref(&id), "").unwrap();
            collect(&open(&memory), 0);
            collect(&open(&memory), 0);
            match sleeper.commit() {
                Ok(id) => check_content(&store, &id, 2).unwrap(),
                // What it shared is gone, and it says so instead of acknowledging.
                Err(e) => {
                    assert_eq!(e.kind, ErrorKind::Busy);
                    let id = commit(&store, lineage, 2).unwrap();
                    check_content(&store, &id, 2).unwrap();
                }
            }
            is_sound(&store);
        }
    }
}

/// Garbage is collected by another process once, before a file gets a key that contains `part`.
fn collecting_before(memory: &Memory, part: &'static str) {
    let inner = memory.clone();
    memory.on_publish(move |key| {
        if key.contains(part) {
            // The collection itself is not interrupted, and what follows neither.
            inner.answer_truly();
            collect(&open(&inner), 0);
        }
        Fate::Answered
    });
}

#[test]
fn a_commit_that_a_sweep_overtakes_gets_packs_of_other_names() {
    for part in ["packs/", "manifests/", "log/digits/", "log/new/"] {
        for lineage in ["digits", "new"] {
            let memory = Memory::new(true);
            let store = open(&memory);
            commit(&store, "digits", 1).unwrap();
            collecting_before(&memory, part);
            let id = commit(&store, lineage, 2).unwrap();
            memory.answer_truly();
            let again = open(&memory);
            check_content(&again, &id, 2).unwrap();
            collect(&again, 0);
            check_content(&again, &id, 2).unwrap();
            is_sound(&again);
        }
    }
}

#[test]
fn a_sweep_spares_what_a_commit_before_it_needs() {
    let memory = Memory::new(true);
    let store = open(&memory);
    // The packs of a commit are in place for days, and marked, before it gets any further.
    let inner = memory.clone();
    memory.on_publish(move |key| {
        if key.starts_with("manifests/") {
            inner.answer_truly();
            inner.set_clock(NOW + 2 * DAY);
            assert!(collect(&at(&inner, || NOW + 2 * DAY), DAY).marked.files > 0);
        }
        Fate::Answered
    });
    let id = commit(&store, "digits", 1).unwrap();
    memory.set_clock(NOW + 4 * DAY);
    let report = collect(&at(&memory, || NOW + 4 * DAY), DAY);
    assert!(report.spared.files > 0 && report.swept.files == 0, "{report:?}");
    check_content(&open(&memory), &id, 1).unwrap();
    is_sound(&open(&memory));
}

#[test]
fn nothing_is_deleted_on_doubt() {
    let (memory, store, ids) = store();
    let before = memory.keys("packs/");
    // A manifest that cannot be read could lead to everything.
    let manifest = store.shared.log.with("digits", |it| Ok(it.manifests(&ids[0])[0])).unwrap();
    let key = crate::keys::manifest(manifest);
    let mut bytes = memory.get(&key);
    bytes[10] ^= 1;
    memory.put(&key, bytes.clone());
    let error = open(&memory).collect(&(), &CollectOptions { grace: 0, dry_run: false }).unwrap_err();
    assert!(error.message.contains("nothing is deleted on doubt"), "{error}");
    bytes[10] ^= 1;
    memory.put(&key, bytes);
    // So could one that was written while clocks disagreed.
    memory.set_clock(NOW + 301);
    let error = open(&memory).collect(&(), &CollectOptions { grace: 0, dry_run: false }).unwrap_err();
    assert!(error.message.contains("301 s apart"), "{error}");
    assert_eq!(memory.keys("packs/"), before);
    memory.set_clock(NOW);
    assert!(collect(&open(&memory), 0).swept.files > 0);
}

/// A checkpoint that others are differences to may go: what they need of it is kept as theirs.
#[test]
fn what_others_are_differences_to_survives_its_checkpoint() {
    let memory = Memory::new(true);
    let new = || open_with(&memory, Settings { uses_delta: true, ..settings() });
    let bytes = |step: u8| {
        let mut res = noise(4 * CHUNK, 0);
        res.iter_mut().step_by(64).for_each(|it| *it ^= step);
        res
    };
    let ids = [1, 2, 3].map(|step| {
        let mut writer = new().begin(&(), "digits", &metadata(step.into())).unwrap();
        writer.append("model.bin", &bytes(step)).unwrap();
        writer.commit().unwrap()
    });
    let manifest = new().shared.log.with("digits", |it| Ok(it.manifests(&ids[2])[0])).unwrap();
    let stored = crate::manifest::StoredManifest::load(&memory, manifest, CHUNK as u64).unwrap();
    assert!(stored.chunks().all(|it| it.base.is_some()), "it is a difference");
    new().remove("digits", &ids[..2], "").unwrap();
    for _ in 0..2 {
        collect(&new(), 0);
        let reader = new().open(&(), &ids[2]).unwrap();
        assert!(read_file(reader.as_ref(), "model.bin").unwrap() == bytes(3));
        is_sound(&new());
    }
    assert_eq!(new().stats(&()).unwrap().spare_bytes, 0);
}

/// A clock that jumps between a mark and its sweep makes nothing old.
#[test]
fn a_fast_clock_sweeps_nothing() {
    const YEARS: u64 = 5 * 365 * DAY;
    let (memory, _, _) = store();
    memory.set_clock(NOW + 2 * DAY);
    assert!(collect(&at(&memory, || NOW + 2 * DAY), DAY).marked.files > 0);
    let before = memory.keys("");
    for clock in [|| NOW + 2 * DAY + YEARS, || NOW + 3 * DAY] as [fn() -> u64; 2] {
        let fast = at(&memory, clock);
        let e = fast.collect(&(), &CollectOptions { grace: DAY, dry_run: false }).unwrap_err();
        assert!(e.message.contains("s apart"), "{e}");
        assert_eq!(fast.check_clock(&()).unwrap_err().message, e.message);
        assert_eq!(memory.keys(""), before);
    }
    // A slow one finds that nothing is due.
    let slow = at(&memory, || NOW - YEARS);
    assert_eq!(collect(&slow, DAY).swept.files, 0);
    assert!(slow.check_clock(&()).is_err());
    memory.set_clock(NOW + 3 * DAY);
    let right = at(&memory, || NOW + 3 * DAY + 300);
    right.check_clock(&()).unwrap();
    assert!(collect(&right, DAY).swept.files > 0);
}

/// Also where a grace period follows: what nothing was deleted of is on the same list again.
#[test]
fn a_sweep_that_deleted_nothing_is_repeated_after_the_grace_period() {
    let (memory, _, _) = store();
    let whole = memory.copy();
    collect(&open(&memory), 0);
    for it in whole.keys("") {
        memory.put(&it, whole.get(&it));
    }
    memory.set_clock(NOW + 2 * DAY);
    assert!(collect(&at(&memory, || NOW + 2 * DAY), DAY).marked.files > 0);
    memory.set_clock(NOW + 4 * DAY);
    assert!(collect(&at(&memory, || NOW + 4 * DAY), DAY).swept.files > 0);
    assert_eq!(collect(&at(&memory, || NOW + 4 * DAY), DAY), Default::default());
    assert_eq!(open(&memory).stats(&()).unwrap().spare_bytes, 0);
}

#[test]
fn an_interrupted_sweep_is_finished_by_a_later_collection() {
    let (memory, _, ids) = store();
    let whole = memory.copy();
    collect(&open(&whole), 0);
    // The sweep was announced everywhere, and then the process died.
    let deleted: Vec<String> = memory.keys("").into_iter().filter(|it| !whole.keys("").contains(it)).collect();
    for it in &deleted {
        whole.put(it, memory.get(it));
    }
    let store = open(&whole);
    is_sound(&store);
    assert_eq!(collect(&store, 0).swept.files, deleted.len() as u64);
    check_content(&store, &ids[0], 1).unwrap();
}

/// One thing that someone does to the store.
#[derive(Clone, Debug)]
enum Action {
    Commit(u8, u8),
    /// A writer starts and commits later.
    Begin(u8, u8),
    End,
    Remove(u8),
    Collect,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => (0..2u8, 0..6u8).prop_map(|(lineage, step)| Action::Commit(lineage, step)),
        2 => (0..3u8, 0..6u8).prop_map(|(lineage, step)| Action::Begin(lineage, step)),
        2 => Just(Action::End),
        3 => any::<u8>().prop_map(Action::Remove),
        2 => Just(Action::Collect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_is_done_what_was_acknowledged_and_not_removed_is_whole(
        actions in proptest::collection::vec(action(), 1..25),
        is_roomy in any::<bool>(),
    ) {
        const LINEAGES: [&str; 3] = ["a", "b", "c"];
        let memory = Memory::new(is_roomy);
        let store = open(&memory);
        let mut writers = Vec::new();
        let mut alive: Vec<(&str, u64, CheckpointId)> = Vec::new();
        for it in actions {
            match it {
                Action::Commit(lineage, step) => {
                    let lineage = LINEAGES[lineage as usize];
                    let id = commit(&store, lineage, step.into()).unwrap();
                    alive.retain(|it| (it.0, &it.2) != (lineage, &id));
                    alive.push((lineage, step.into(), id));
                }
                Action::Begin(lineage, step) => {
                    let lineage = LINEAGES[lineage as usize];
                    writers.push((lineage, step, write(&store, lineage, step.into()).unwrap()));
                }
                Action::End => {
                    let Some((lineage, step, writer)) = writers.pop() else { continue };
                    match writer.commit() {
                        Ok(id) => {
                            alive.retain(|it| (it.0, &it.2) != (lineage, &id));
                            alive.push((lineage, step.into(), id));
                        }
                        Err(e) => prop_assert_eq!(e.kind, ErrorKind::Busy),
                    }
                }
                Action::Remove(which) => {
                    if alive.is_empty() {
                        continue;
                    }
                    let (lineage, _, id) = alive.remove(which as usize % alive.len());
                    store.remove(lineage, &[id], "").unwrap();
                }
                // Another process, which has nothing in memory.
                Action::Collect => drop(collect(&open(&memory), 0)),
            }
            let fresh = open(&memory);
            for (lineage, step, id) in &alive {
                prop_assert!(fresh.history(lineage).unwrap().contains(id));
                check_content(&fresh, id, *step).unwrap();
            }
        }
        prop_assert_eq!(open(&memory).scrub(&(), ScrubDepth::Full).unwrap().damage, Vec::<String>::new());
    }
}
