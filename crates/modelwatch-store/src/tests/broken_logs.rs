//! Logs with a damaged entry, and a damaged `store.json`: what can be read is read, and nothing is added.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use modelwatch_sdk::Host;

use super::*;
use crate::keys;

const SEGMENT: u64 = 4;

/// With segments of few entries.
fn short(memory: &Memory, replica: Option<&Memory>) -> Engine {
    let replicas = replica.into_iter().map(|it| Arc::new(it.clone()) as Arc<dyn crate::Blobs>).collect();
    Engine::open_with_segments(Arc::new(memory.clone()), Settings { replicas, ..settings() }, SEGMENT).unwrap()
}

/// Checkpoints 1 to 3, then a ref at the first. All but the first `n_segments` segments are taken away.
fn store(n_segments: usize) -> (Memory, [CheckpointId; 3]) {
    let memory = Memory::new(true);
    let store = short(&memory, None);
    let ids = [1, 2, 3].map(|it| commit(&store, "digits", it).unwrap());
    store.set_ref("digits", "good", &ids[0], None, "").unwrap();
    memory.keys(".segment").iter().skip(n_segments).for_each(|it| drop(memory.take(it)));
    (memory, ids)
}

fn flip(memory: &Memory, key: &str) {
    let mut bytes = memory.get(key);
    bytes[60] ^= 1;
    memory.put(key, bytes);
}

#[test]
fn what_was_logged_before_a_damaged_entry_is_served_and_nothing_is_added() {
    for seq in 1..=4 {
        for is_missing in [false, true] {
            let (memory, ids) = store(0);
            let key = keys::entry("digits", seq);
            if is_missing && seq == 4 {
                // That leaves no trace.
                continue;
            }
            if is_missing {
                drop(memory.take(&key))
            } else {
                flip(&memory, &key)
            }
            let store = short(&memory, None);
            let history = store.history("digits").unwrap();
            assert_eq!((history.last_seq(), history.checkpoints().len() as u64), (seq - 1, (seq - 1).min(3)));
            assert!(history.damage().unwrap().message.contains(&key), "{:?}", history.damage());
            for (id, step) in ids.iter().zip(1..) {
                let read = kind(check_content(&store, id, step));
                assert_eq!(read, (step >= seq).then_some(ErrorKind::Corrupt), "{seq}: {step}");
            }
            // Page by page, as it is read from a plugin.
            assert_eq!(store.log("digits", 0, 10).map_or(0, |it| it.len() as u64), seq - 1);
            let refused = [
                store.log("digits", seq - 1, 10).map(drop).unwrap_err(),
                store.get_ref("digits", "latest").map(drop).unwrap_err(),
                store.get_ref("digits", "good").map(drop).unwrap_err(),
                commit(&store, "digits", 9).map(drop).unwrap_err(),
                store.set_ref("digits", "good", &ids[0], Some(&ids[0]), "").unwrap_err(),
                store.remove("digits", &ids[..1], "").unwrap_err(),
                store.collect(&(), &CollectOptions { grace: 0, dry_run: false }).map(drop).unwrap_err(),
            ];
            for e in refused {
                assert_eq!(e.kind, ErrorKind::Corrupt, "{e}");
                assert!(e.message.contains(&key) && e.help.contains("store repair"), "{e}: {}", e.help);
            }
            let report = short(&memory, None).repair(&()).unwrap();
            assert!(report.mended.is_empty() && report.lost[0].contains(&key), "{report:?}");
        }
    }
}

#[test]
fn an_entry_is_put_back_from_a_replica_or_a_segment() {
    for of_replica in [true, false] {
        for n_damaged in 1..=4 {
            let (memory, ids) = store(if of_replica { 0 } else { 1 });
            let replica = memory.copy();
            let damaged: Vec<String> =
                memory.keys("log/digits/").into_iter().filter(|it| it.ends_with(".json")).collect();
            let damaged = &damaged[4 - n_damaged..];
            damaged.iter().for_each(|it| flip(&memory, it));
            // One that has the store open reads on, and writes again once it is mended.
            let open = short(&memory, of_replica.then_some(&replica));
            assert_eq!(open.history("digits").unwrap().damage().is_some(), of_replica);
            assert_ne!(open.scrub(&(), ScrubDepth::Fast).unwrap().damage, [""; 0]);
            let report = short(&memory, of_replica.then_some(&replica)).repair(&()).unwrap();
            assert_eq!((report.mended.len(), report.lost), (n_damaged, vec![]));
            damaged.iter().for_each(|it| assert!(memory.get(it) == replica.get(it)));
            commit(&open, "digits", 4).unwrap();
            assert_eq!(open.history("digits").unwrap().last_seq(), 5);
            is_sound(&short(&memory, None));
            check_content(&open, &ids[2], 3).unwrap();
        }
    }
}

/// Where the end of a log is damaged, nobody knows what was removed there.
#[test]
fn what_was_removed_behind_a_damaged_entry_is_not_said_to_be_lost() {
    let (memory, ids) = store(0);
    let open = short(&memory, None);
    open.remove("digits", &ids[1..2], "pruned").unwrap();
    open.collect(&(), &CollectOptions { grace: 0, dry_run: false }).unwrap();
    drop(open);
    assert_eq!(memory.keys("manifests/").len(), 2);
    memory.keys(".segment").iter().for_each(|it| drop(memory.take(it)));
    let key = keys::entry("digits", 4);
    flip(&memory, &key);
    let report = short(&memory, None).repair(&()).unwrap();
    let [unclear] = &report.unclear[..] else { panic!("{report:?}") };
    let begins = format!("the checkpoint `{}` of `digits` is not there, since `memory:", ids[1].short());
    assert!(unclear.starts_with(&begins), "{unclear}");
    assert!(unclear.ends_with(" is missing; it may have been removed after entry 3."), "{unclear}");
    assert!(matches!(&report.lost[..], [it] if it.contains(&key)), "{report:?}");
}

/// What no garbage collection deleted was not removed, whatever the end of the log said.
#[test]
fn a_lost_pack_is_said_to_be_lost_behind_a_damaged_entry() {
    for has_sweep in [false, true] {
        let (memory, ids) = store(0);
        let open = short(&memory, None);
        if has_sweep {
            open.remove("digits", &ids[1..2], "pruned").unwrap();
            open.collect(&(), &CollectOptions { grace: 0, dry_run: false }).unwrap();
        }
        let manifest = open.shared.log.with("digits", |it| Ok(it.manifests(&ids[2])[0])).unwrap();
        let stored = crate::manifest::StoredManifest::load(&memory, manifest, CHUNK as u64).unwrap();
        // One that it shares with none of the others.
        let pack = keys::pack(*stored.packs.last().unwrap());
        drop(open);
        memory.keys(".segment").iter().for_each(|it| drop(memory.take(it)));
        flip(&memory, &keys::entry("digits", 4));
        memory.take(&pack).unwrap();
        let report = short(&memory, None).repair(&()).unwrap();
        let lost = format!("the checkpoint `{}` of `digits`: `memory:{pack}` is missing", ids[2].short());
        assert!(report.lost.iter().any(|it| it.starts_with(&lost)), "{has_sweep}: {report:?}");
        assert_eq!(report.unclear.len(), usize::from(has_sweep), "{report:?}");
    }
}

#[test]
fn a_segment_that_is_damaged_is_found_and_written_anew() {
    let (memory, _) = store(1);
    let [key] = &memory.keys("digits/00000000000000000004.segment")[..] else { panic!("there is one") };
    let right = memory.get(key);
    for damaged in [&right[..9], &[&right[..], b"\n{}"].concat(), b""] {
        memory.put(key, damaged.to_vec());
        let damage = short(&memory, None).scrub(&(), ScrubDepth::Fast).unwrap().damage;
        assert!(matches!(&damage[..], [it] if it.contains(key)), "{damage:?}");
        let report = short(&memory, None).repair(&()).unwrap();
        assert!(report.lost.is_empty() && report.mended[0].contains(key), "{report:?}");
        assert!(memory.get(key) == right);
        is_sound(&short(&memory, None));
    }
}

#[test]
fn a_replica_that_cannot_be_reached_is_said_once_and_the_rest_is_mended() {
    let (memory, _) = store(1);
    commit(&short(&memory, None), "letters", 1).unwrap();
    let replica = memory.copy();
    let [segment] = &memory.keys("digits/00000000000000000004.segment")[..] else { panic!("there is one") };
    memory.put(segment, b"".to_vec());
    let open = || short(&memory, Some(&replica));
    replica.set_unreachable(true);
    let report = open().repair(&()).unwrap();
    assert!(matches!(&report.mended[..], [it] if it.contains(segment)), "{report:?}");
    assert!(matches!(&report.lost[..], [it] if it.contains("no answer") && it.contains("replica")), "{report:?}");
    // An entry that a segment has is put back, and one that may be in the replica is named.
    let [of_segment, elsewhere] = [keys::entry("digits", 2), keys::entry("letters", 1)];
    [&of_segment, &elsewhere].into_iter().for_each(|it| flip(&memory, it));
    let report = open().repair(&()).unwrap();
    assert!(matches!(&report.mended[..], [it] if it.contains(&of_segment)), "{report:?}");
    assert_eq!(report.lost.iter().filter(|it| it.contains(&elsewhere)).count(), 1, "{report:?}");
    assert_eq!(report.lost.iter().filter(|it| it.contains("no answer")).count(), 1, "{report:?}");
    replica.set_unreachable(false);
    let report = open().repair(&()).unwrap();
    assert!(matches!(&report.mended[..], [it] if it.contains(&elsewhere)), "{report:?}");
    is_sound(&open());
}

#[test]
fn the_end_of_a_log_that_went_without_a_trace_is_missed_where_a_replica_has_it() {
    for n_gone in 1..=4 {
        for part in ["log/digits/", "log/.store/"] {
            let (memory, ids) = store(0);
            commit(&short(&memory, None), "letters", 5).unwrap();
            let replica = memory.copy();
            let gone: Vec<_> = memory.keys(part).into_iter().rev().take(n_gone).collect();
            gone.iter().for_each(|it| drop(memory.take(it)));
            is_sound(&short(&memory, None));
            let store = short(&memory, Some(&replica));
            let damage = store.scrub(&(), ScrubDepth::Fast).unwrap().damage;
            assert!(damage.iter().any(|it| it.contains(gone.last().unwrap()) && it.contains("replica")), "{damage:?}");
            let report = store.repair(&()).unwrap();
            assert_eq!((report.mended.len(), report.lost), (gone.len(), vec![]));
            gone.iter().for_each(|it| assert!(memory.get(it) == replica.get(it)));
            is_sound(&short(&memory, Some(&replica)));
            check_content(&store, &ids[2], 3).unwrap();
            assert_eq!(store.repair(&()).unwrap(), Default::default());
        }
    }
}

#[test]
fn what_was_added_after_the_end_was_lost_is_not_replaced() {
    let (memory, _) = store(0);
    let replica = memory.copy();
    memory.take(&keys::entry("digits", 4));
    let new = commit(&short(&memory, None), "digits", 7).unwrap();
    let store = short(&memory, Some(&replica));
    assert_eq!(store.repair(&()).unwrap(), Default::default());
    check_content(&store, &new, 7).unwrap();
}

/// A host that lets another writer add an entry, if it is not there yet, when it is asked for the `at`th time.
struct Meanwhile {
    memory: Memory,
    key: String,
    entry: Vec<u8>,
    at: usize,
    n_asked: AtomicUsize,
    is_added: AtomicBool,
}

impl Host for Meanwhile {
    fn is_cancelled(&self) -> bool {
        if self.n_asked.fetch_add(1, Relaxed) == self.at && !self.memory.keys("").contains(&self.key) {
            self.memory.put(&self.key, self.entry.clone());
            self.is_added.store(true, Relaxed);
        }
        false
    }
}

#[test]
fn what_is_added_while_a_repair_looks_is_not_replaced() {
    let (memory, _) = store(0);
    let replica = memory.copy();
    let key = keys::entry("digits", 4);
    memory.take(&key);
    let writer = memory.copy();
    commit(&short(&writer, None), "digits", 7).unwrap();
    let mut n_added = 0;
    for at in 0.. {
        let memory = memory.copy();
        let (entry, is_added) = (writer.get(&key), AtomicBool::new(false));
        let host = Meanwhile { memory: memory.clone(), key: key.clone(), entry, at, n_asked: 0.into(), is_added };
        short(&memory, Some(&replica)).repair(&host).unwrap();
        if host.n_asked.into_inner() <= at {
            break;
        }
        if host.is_added.into_inner() {
            n_added += 1;
            assert!(memory.get(&key) == writer.get(&key), "another entry took its place, asked {at} times before");
        }
    }
    assert!(n_added > 3, "{n_added}");
}

#[test]
fn a_segment_tells_that_the_entries_in_it_are_gone() {
    let (memory, ids) = store(1);
    [3, 4].iter().for_each(|it| drop(memory.take(&keys::entry("digits", *it))));
    let store = short(&memory, None);
    check_content(&store, &ids[2], 3).unwrap();
    assert_eq!(store.scrub(&(), ScrubDepth::Fast).unwrap().damage.len(), 2);
    assert_eq!(store.repair(&()).unwrap().mended.len(), 2);
    is_sound(&short(&memory, None));
}

#[test]
fn a_damaged_store_file_is_put_back_from_a_replica() {
    for is_missing in [false, true] {
        let (memory, ids) = store(0);
        let replica = memory.copy();
        if is_missing {
            drop(memory.take("store.json"))
        } else {
            flip(&memory, "store.json")
        }
        let alone = Engine::open(Arc::new(memory.clone()), settings());
        assert_eq!(alone.err().map(|it| it.kind), Some(ErrorKind::Corrupt));
        let store = short(&memory, Some(&replica));
        check_content(&store, &ids[2], 3).unwrap();
        let e = commit(&store, "digits", 4).unwrap_err();
        assert!(e.kind == ErrorKind::Corrupt && e.help.contains("store repair"), "{e}: {}", e.help);
        let e = store.set_ref("digits", "good", &ids[1], Some(&ids[0]), "").unwrap_err();
        assert!(e.message.contains("store.json"), "{e}");
        let damage = store.scrub(&(), ScrubDepth::Fast).unwrap().damage;
        assert!(matches!(&damage[..], [it] if it.contains("store.json")), "{damage:?}");
        replica.set_unreachable(true);
        let lost = store.repair(&()).unwrap().lost;
        assert!(lost.iter().any(|it| it.contains("no answer")), "{lost:?}");
        assert!(lost.iter().all(|it| !it.contains("no replica has it")), "{lost:?}");
        replica.set_unreachable(false);
        let report = store.repair(&()).unwrap();
        assert!(report.lost.is_empty() && report.mended[0].contains("store.json"), "{report:?}");
        commit(&store, "digits", 4).unwrap();
        is_sound(&short(&memory, None));
    }
}

#[test]
fn a_copy_of_another_store_mends_nothing() {
    let row = |memory: &Memory, other: &Memory| {
        let before: Vec<_> = memory.keys("").iter().map(|it| (it.clone(), memory.get(it))).collect();
        let e = short(memory, Some(other)).repair(&()).unwrap_err();
        assert!(e.message.contains("is a copy of another store") && e.help.contains("`replicas`"), "{e}: {}", e.help);
        let after: Vec<_> = memory.keys("").iter().map(|it| (it.clone(), memory.get(it))).collect();
        assert!(before == after, "something was changed");
    };
    let ((memory, _), (other, _)) = (store(0), store(0));
    row(&memory, &other);
    // Of which store it is nobody can read any more, but its logs began otherwise.
    flip(&memory, "store.json");
    row(&memory, &other);
    drop(memory.take("store.json"));
    row(&memory, &other);
}

/// It lacks the lineages that were begun since it was made, and that is no reason to do without it.
#[test]
fn a_stale_copy_mends_what_it_has() {
    let (memory, ids) = store(0);
    let replica = memory.copy();
    let new = commit(&short(&memory, None), "letters", 9).unwrap();
    // All that says which store it is, but for the beginning of the new lineage.
    flip(&memory, "store.json");
    for lineage in [crate::keys::STORE_LOG, "digits"] {
        flip(&memory, &crate::keys::entry(lineage, 1));
    }
    let report = short(&memory, Some(&replica)).repair(&()).unwrap();
    assert_eq!((report.lost.len(), report.mended.len()), (0, 3), "{report:?}");
    let store = short(&memory, None);
    is_sound(&store);
    check_content(&store, &ids[2], 3).unwrap();
    check_content(&store, &new, 9).unwrap();
}

#[test]
fn the_help_for_the_log_of_the_store_itself_is_true() {
    let (memory, ids) = store(0);
    let key = memory.keys("").into_iter().find(|it| it.starts_with("log/.store/") && it.ends_with("1.json")).unwrap();
    flip(&memory, &key);
    let store = short(&memory, None);
    for lineage in ["digits", "another"] {
        let e = commit(&store, lineage, 9).map(drop).unwrap_err();
        assert!(e.message.contains(&key), "{e}");
        assert!(e.help.contains("any lineage") && e.help.contains("into another store"), "{}", e.help);
        assert!(!e.help.contains("another name"), "{}", e.help);
    }
    check_content(&store, &ids[2], 3).unwrap();
    // What it says to do can be done: what is taken out is put into another store.
    let elsewhere = short(&Memory::new(true), None);
    commit(&elsewhere, "digits", 3).unwrap();
}
