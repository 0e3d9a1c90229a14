//! Lists of garbage that are damaged: nothing that is needed goes, and writing goes on.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::*;

/// A store with checkpoint 1, and a list of what checkpoint 2 left behind: marked, and swept too if `is_swept`.
fn store(is_swept: bool) -> (Memory, CheckpointId) {
    let memory = Memory::new(true);
    let store = open(&memory);
    let [kept, gone] = [1, 2].map(|it| commit(&store, "digits", it).unwrap());
    store.remove("digits", &[gone], "no longer needed").unwrap();
    if is_swept {
        assert!(collect(&store, 0).swept.files > 0);
    } else {
        memory.set_clock(NOW + 2);
        assert!(collect(&later(&memory, || NOW + 2), 1).marked.files > 0);
    }
    (memory, kept)
}

fn later(memory: &Memory, clock: fn() -> u64) -> Engine {
    open_with(memory, Settings { clock, ..settings() })
}

fn damage(memory: &Memory, key: &str, is_missing: bool) {
    let mut bytes = memory.take(key).unwrap();
    if !is_missing {
        bytes[30] ^= 1;
        memory.put(key, bytes);
    }
}

#[test]
fn a_damaged_list_stops_no_write_and_is_found_and_done_without() {
    for is_swept in [false, true] {
        for is_missing in [false, true] {
            let (memory, kept) = store(is_swept);
            let [key] = &memory.keys("gc/")[..] else { panic!("there is one list") };
            damage(&memory, key, is_missing);
            let new = || later(&memory, || NOW + 2);
            let third = commit(&new(), "digits", 3).unwrap();
            check_content(&new(), &third, 3).unwrap();
            let damage = new().scrub(&(), ScrubDepth::Fast).unwrap().damage;
            assert!(matches!(&damage[..], [it] if it.contains(key) && it.contains("store repair")), "{damage:?}");
            if !is_swept {
                let e = new().collect(&(), &CollectOptions { grace: 0, dry_run: false }).unwrap_err();
                assert!(e.message.contains("nothing is deleted on doubt") && e.message.contains(key), "{e}");
            }
            let report = new().repair(&()).unwrap();
            assert!(report.lost.is_empty() && report.mended[0].contains(key), "{report:?}");
            assert_eq!(memory.keys("quarantine/").len(), usize::from(!is_missing));
            assert_eq!(new().repair(&()).unwrap(), Default::default());
            is_sound(&new());
            // What was condemned is marked anew, and goes then.
            memory.set_clock(NOW + 2);
            let report = collect(&new(), 0);
            assert_eq!(report.swept.files > 0, !is_swept, "{report:?}");
            assert_eq!(new().stats(&()).unwrap().spare_bytes, 0);
            let again = commit(&new(), "digits", 2).unwrap();
            for (id, step) in [(&kept, 1), (&again, 2), (&third, 3)] {
                check_content(&new(), id, step).unwrap();
            }
            is_sound(&new());
            assert_eq!(collect(&new(), 0), Default::default(), "that was all");
        }
    }
}

#[test]
fn a_replica_mends_a_list() {
    for is_swept in [false, true] {
        let (memory, _) = store(is_swept);
        let [key] = &memory.keys("gc/")[..] else { panic!("there is one list") };
        let replica = memory.copy();
        damage(&memory, key, false);
        let settings = Settings { replicas: vec![Arc::new(replica.clone())], ..settings() };
        let report = open_with(&memory, settings).repair(&()).unwrap();
        assert!(report.lost.is_empty() && report.mended[0].contains("from a replica"), "{report:?}");
        assert!(memory.get(key) == replica.get(key));
        is_sound(&open(&memory));
    }
}

/// Sweeps what can be swept, with the sweeper stopped before it deletes. Returns what it is about to delete.
fn stopped_sweep(memory: &Memory) -> Vec<String> {
    let before = memory.copy();
    assert!(collect(&open(memory), 0).swept.files > 0);
    let going: Vec<String> = before.keys("").into_iter().filter(|it| !memory.keys("").contains(it)).collect();
    going.iter().for_each(|it| memory.put(it, before.get(it)));
    going
}

/// The sweeper read the list before it was damaged, and goes on deleting when it wakes up.
#[test]
fn a_sweeper_that_wakes_up_takes_nothing_from_writers_that_cannot_read_its_list() {
    for is_roomy in [true, false] {
        for uses_delta in [true, false] {
            for lineage in ["digits", "new"] {
                for is_repaired in [true, false] {
                    let memory = Memory::new(is_roomy);
                    let new = || open_with(&memory, Settings { uses_delta, ..settings() });
                    let [kept, gone] = [1, 2].map(|it| commit(&new(), "digits", it).unwrap());
                    new().remove("digits", &[gone], "").unwrap();
                    let going = stopped_sweep(&memory);
                    memory.keys("gc/").iter().for_each(|it| damage(&memory, it, false));
                    if is_repaired {
                        assert_eq!(new().repair(&()).unwrap().lost, [""; 0]);
                    }
                    // The same bytes as the sweeper deletes, under the same names if nobody took care.
                    let ids = [2, 3].map(|it| (it, commit(&new(), lineage, it).unwrap()));
                    going.iter().for_each(|it| drop(memory.take(it)));
                    for (step, id) in ids.iter().chain(&[(1, kept.clone())]) {
                        check_content(&new(), id, *step).unwrap();
                    }
                    let damage = new().scrub(&(), ScrubDepth::Full).unwrap().damage;
                    assert!(damage.iter().all(|it| it.contains("gc/") && !is_repaired), "{damage:?}");
                }
            }
        }
    }
}

/// Its list can be read, but what a writer stores again in place of what it shared gets the same name by itself.
#[test]
fn a_sweeper_that_wakes_up_takes_nothing_that_was_stored_again() {
    for is_roomy in [true, false] {
        let memory = Memory::new(is_roomy);
        let store = open(&memory);
        let id = commit(&store, "digits", 1).unwrap();
        let sleeper = write(&store, "digits", 1).unwrap();
        store.remove("digits", &[id], "").unwrap();
        let going = stopped_sweep(&memory);
        let id = sleeper.commit().unwrap();
        going.iter().for_each(|it| drop(memory.take(it)));
        check_content(&open(&memory), &id, 1).unwrap();
        is_sound(&open(&memory));
    }
}

/// Where a list cannot be read, what is stored gets names of its own; a later list can name those as well.
#[test]
fn what_was_published_under_a_name_of_its_own_and_swept_is_not_acknowledged() {
    let (sound, _) = store(true);
    let memory = Memory::new(false);
    sound.keys("").iter().for_each(|it| memory.put(it, sound.get(it)));
    memory.keys("gc/").iter().for_each(|it| damage(&memory, it, false));
    // Its packs are there before it is committed.
    let before = memory.keys("packs/").len();
    let sleeper = write(&open_with(&memory, Settings { max_pack: CHUNK as u64, ..settings() }), "digits", 5).unwrap();
    assert!(memory.keys("packs/").len() > before, "nothing was published early");
    stopped_sweep(&memory).iter().for_each(|it| drop(memory.take(it)));
    match sleeper.commit() {
        Ok(it) => check_content(&open(&memory), &it, 5).unwrap(),
        Err(e) => assert_eq!(e.kind, ErrorKind::Busy, "{e}"),
    }
}

/// What is stored as a difference to something that is about to go is not acknowledged.
#[test]
fn a_difference_to_what_was_swept_meanwhile_is_refused() {
    let memory = Memory::new(true);
    let store = open_with(&memory, Settings { uses_delta: true, ..settings() });
    let save = |step: u64| {
        let mut writer = store.begin(&(), "digits", &metadata(step)).unwrap();
        let mut bytes = noise(CHUNK, 0);
        bytes[0] ^= step as u8;
        writer.tensor(&TensorView { name: "kernel", dtype: DType::U8, shape: &[CHUNK as u64], bytes: &bytes }).unwrap();
        writer
    };
    let first = save(1).commit().unwrap();
    let sleeper = save(2);
    store.remove("digits", &[first], "").unwrap();
    let going = stopped_sweep(&memory);
    let e = sleeper.commit().unwrap_err();
    assert_eq!(e.kind, ErrorKind::Busy, "{e}");
    let second = save(2).commit().unwrap();
    going.iter().for_each(|it| drop(memory.take(it)));
    open(&memory).open(&(), &second).unwrap().tensor("kernel").unwrap();
    is_sound(&open(&memory));
}

#[test]
fn a_repair_moves_nothing_to_where_a_sweeper_deletes() {
    let memory = Memory::new(true);
    let store = open(&memory);
    // The same chunks in other packs, which are garbage.
    let other = open_with(&memory, Settings { max_pack: 3 * CHUNK as u64, ..settings() });
    let gone = commit(&other, "letters", 1).unwrap();
    let id = commit(&store, "digits", 1).unwrap();
    let packs = memory.keys("packs/");
    store.remove("letters", &[gone], "").unwrap();
    let going = stopped_sweep(&memory);
    let needed: Vec<_> = packs.iter().filter(|it| !going.contains(it)).collect();
    memory.take(needed[0]);
    let report = open(&memory).repair(&()).unwrap();
    assert!(report.mended.is_empty() && report.lost[0].contains(id.short()), "{report:?}");
}

/// A repair that moves a checkpoint just after its lineage learned of the sweep leads to what the sweep is about to
/// delete, since the checkpoint may stay where it is.
#[test]
fn a_sweep_spares_what_a_checkpoint_needs_that_is_moved_meanwhile() {
    let memory = Memory::new(true);
    let store = open_with(&memory, Settings { max_pack: 2 * CHUNK as u64, ..settings() });
    let id = commit(&store, "digits", 1).unwrap();
    // What mends it is in other packs.
    commit(&open_with(&memory, Settings { max_pack: 3 * CHUNK as u64, ..settings() }), "letters", 1).unwrap();
    let sleeper = write(&store, "digits", 1).unwrap();
    store.remove("digits", std::slice::from_ref(&id), "").unwrap();
    memory.set_clock(NOW + 2);
    assert!(collect(&later(&memory, || NOW + 2), 1).marked.files > 0);
    // It leads to what is marked, and so the sweep has to spare that.
    assert_eq!(sleeper.commit().unwrap(), id);
    let manifest = store.shared.log.with("digits", |it| Ok(it.manifests(&id)[0])).unwrap();
    let packs = crate::manifest::StoredManifest::load(&memory, manifest, CHUNK as u64).unwrap().packs;
    assert!(packs.len() > 1);
    memory.take(&crate::keys::pack(packs[0])).unwrap();
    let last = memory.keys("log/digits/").len() as u64;
    let (at, is_moved) = (crate::keys::entry("digits", last + 2), AtomicBool::new(false));
    let place = memory.clone();
    memory.on_read(move |key| {
        // The sweeper looks for what came after its own entry.
        let is_announced = || place.keys("log/digits/").len() as u64 == last + 1;
        if key == at && is_announced() && !is_moved.swap(true, Relaxed) {
            assert_eq!(later(&place, || NOW + 2).repair(&()).unwrap().mended.len(), 1);
        }
    });
    memory.set_clock(NOW + 4);
    collect(&later(&memory, || NOW + 4), 1);
    assert_eq!(memory.keys("log/digits/").len() as u64, last + 2, "it was moved");
    check_content(&open(&memory), &id, 1).unwrap();
}

/// Where a list was damaged, the same files are condemned by one of another name: who knows the first does not know the second.
#[test]
fn the_name_of_a_list_never_comes_again() {
    let memory = Memory::new(true);
    let store = open(&memory);
    commit(&store, "digits", 1).unwrap();
    let second = commit(&store, "digits", 2).unwrap();
    let sleeper = write(&store, "digits", 2).unwrap();
    store.remove("digits", std::slice::from_ref(&second), "").unwrap();
    memory.set_clock(NOW + 2);
    assert!(collect(&later(&memory, || NOW + 2), 1).marked.files > 0);
    sleeper.commit().unwrap();
    memory.set_clock(NOW + 4);
    assert!(collect(&later(&memory, || NOW + 4), 1).spared.files > 0);
    let [list] = &memory.keys("gc/")[..] else { panic!("there is one list") };
    damage(&memory, list, false);
    // A writer that shares with the second checkpoint, and an entire collection just before it adds its entry.
    let mut writer = later(&memory, || NOW + 4).begin(&(), "digits", &metadata(9)).unwrap();
    writer.append("model.bin", &content(2)[1].1).unwrap();
    let place = memory.clone();
    let is_done = AtomicBool::new(false);
    memory.on_publish(move |key| {
        if key.starts_with("manifests/") && !is_done.swap(true, Relaxed) {
            let store = later(&place, || NOW + 4);
            store.remove("digits", std::slice::from_ref(&second), "").unwrap();
            assert!(collect(&store, 0).swept.files > 0);
        }
        Fate::Answered
    });
    match writer.commit() {
        Ok(it) => {
            let reader = open(&memory).open(&(), &it).unwrap();
            assert!(read_file(reader.as_ref(), "model.bin").unwrap() == content(2)[1].1);
        }
        Err(e) => assert_eq!(e.kind, ErrorKind::Busy, "{e}"),
    }
    assert!(memory.keys("gc/").iter().any(|it| it != list), "the second list has a name of its own");
}

/// What is published early under a name that never was can be condemned by then, by a list that nobody can read.
#[test]
fn what_a_list_swept_that_was_damaged_since_is_not_acknowledged() {
    let (sound, _) = store(true);
    let memory = Memory::new(false);
    sound.keys("").iter().for_each(|it| memory.put(it, sound.get(it)));
    memory.keys("gc/").iter().for_each(|it| damage(&memory, it, false));
    let before = [memory.keys("packs/"), memory.keys("gc/")];
    let sleeper = write(&open_with(&memory, Settings { max_pack: CHUNK as u64, ..settings() }), "digits", 5).unwrap();
    assert!(memory.keys("packs/").len() > before[0].len(), "nothing was published early");
    stopped_sweep(&memory).iter().for_each(|it| drop(memory.take(it)));
    memory.keys("gc/").iter().filter(|it| !before[1].contains(it)).for_each(|it| damage(&memory, it, false));
    match sleeper.commit() {
        Ok(it) => check_content(&open(&memory), &it, 5).unwrap(),
        Err(e) => assert_eq!(e.kind, ErrorKind::Busy, "{e}"),
    }
}
