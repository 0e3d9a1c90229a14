//! What happens where the answer to a write never comes: it is looked at, never guessed.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::*;

/// Gives every publication a fate that depends on its number.
fn unreliable(memory: &Memory, seed: u64) {
    let count = AtomicU64::new(0);
    memory.on_publish(move |_| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        // At most two in a row are lost, so that three tries are enough.
        match noise(1, seed * 1000 + n)[0] % 4 {
            _ if n % 3 == 2 => Fate::Answered,
            0 => Fate::LostAfter,
            1 => Fate::LostBefore,
            2 => Fate::Late,
            _ => Fate::Answered,
        }
    });
}

#[test]
fn lost_replies_change_nothing_about_the_log() {
    for seed in 0..200 {
        let memory = Memory::new(seed % 2 == 0);
        let store = open(&memory);
        unreliable(&memory, seed);
        let first = commit(&store, "digits", 1).unwrap();
        store.set_ref("digits", "good", &first, None, "").unwrap();
        let second = commit(&store, "digits", 2).unwrap();
        store.set_ref("digits", "good", &second, Some(&first), "").unwrap();
        store.unset_ref("digits", "good", &second, "").unwrap();
        memory.answer_truly();
        let store = open(&memory);
        let log = store.log("digits", 0, 100).unwrap();
        assert_eq!(log.len(), 5, "seed {seed}: {log:?}");
        check_content(&store, &first, 1).unwrap();
        check_content(&store, &second, 2).unwrap();
        is_sound(&store);
    }
}

#[test]
fn an_outcome_that_nobody_can_tell_is_said_to_be_uncertain() {
    for fate in [Fate::LostAfter, Fate::LostBefore] {
        let memory = Memory::new(true);
        let store = open(&memory);
        let id = commit(&store, "digits", 1).unwrap();
        let n_packs = memory.keys("packs/").len();
        let inner = memory.clone();
        memory.on_publish(move |key| {
            let is_entry = key.starts_with("log/digits/");
            inner.set_unreachable(is_entry);
            if is_entry { fate } else { Fate::Answered }
        });
        let error = commit(&store, "digits", 2).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Uncertain);
        assert!(error.message.contains("log/digits/00000000000000000002.json"), "{error}");
        assert!(error.help.contains("op_id"), "{}", error.help);
        memory.answer_truly();
        memory.set_unreachable(false);
        assert!(memory.keys("packs/").len() > n_packs, "nothing is cleaned up on an uncertain outcome");
        let store = open(&memory);
        assert_eq!(store.history("digits").unwrap().checkpoints().len(), if fate == Fate::LostAfter { 2 } else { 1 });
        commit(&store, "digits", 2).unwrap();
        assert_eq!(store.history("digits").unwrap().checkpoints().len(), 2);
        check_content(&store, &id, 1).unwrap();
        is_sound(&store);
    }
}

#[test]
fn an_entry_that_was_tried_to_the_end_may_yet_come_to_be() {
    let memory = Memory::new(true);
    let store = open(&memory);
    let id = commit(&store, "digits", 1).unwrap();
    memory.on_publish(|_| Fate::LostBefore);
    let error = store.set_ref("digits", "good", &id, None, "").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Uncertain, "{error}");
    assert!(error.message.contains("log/digits/00000000000000000002.json") && error.help.contains("op_id"), "{error}");
}

#[test]
fn a_place_that_hands_out_keys_twice_is_refused_by_the_doctor() {
    let memory = Memory::new(false);
    let report = open(&memory).doctor(&()).unwrap();
    assert_eq!((report.unsound, report.sound.len()), (vec![], 6));
    assert_eq!(memory.keys("doctor/"), [""; 0], "it cleans up");
    // The key of another is taken away just before, as a server that checks first and writes later would.
    let inner = memory.clone();
    memory.on_publish(move |key| {
        inner.take(key);
        Fate::Answered
    });
    let report = open(&memory).doctor(&()).unwrap();
    assert!(report.unsound[0].contains("no real put-if-absent"), "{report:?}");
}

/// The first attempt may have been carried out, and its answer lost on the way.
#[test]
fn an_entry_that_is_there_and_cannot_be_read_may_be_ours() {
    let memory = Memory::new(true);
    let store = open(&memory);
    commit(&store, "digits", 1).unwrap();
    let inner = memory.clone();
    memory.on_publish(move |key| {
        if key.starts_with("log/digits/") {
            inner.put(key, Vec::new());
            inner.set_unreachable(true);
        }
        Fate::Answered
    });
    assert_eq!(kind(commit(&store, "digits", 2)), Some(ErrorKind::Uncertain));
}

#[test]
fn a_store_that_another_one_begins_meanwhile_is_opened() {
    let place = Memory::new(true);
    commit(&open(&place), "digits", 1).unwrap();
    let file = place.take("store.json").unwrap();
    let (there, n_looked) = (place.clone(), AtomicUsize::new(0));
    place.on_read(move |key| {
        // After the first look.
        if key == "store.json" && n_looked.fetch_add(1, Ordering::Relaxed) == 1 {
            there.put(key, file.clone());
        }
    });
    assert_eq!(open(&place).lineages().unwrap(), ["digits"]);
}
