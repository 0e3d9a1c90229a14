//! Saving in the background.

use std::sync::mpsc::channel;

use super::*;
use crate::saver::{OwnedTensor, Saver, Snapshot};

fn snapshot(step: u64) -> Snapshot {
    let mut res = Snapshot { lineage: "digits".into(), metadata: metadata(step), ..Snapshot::default() };
    for (name, bytes) in content(step) {
        match name.strip_prefix("tensor:") {
            Some(name) => {
                res.tensors.push(OwnedTensor { name: name.into(), dtype: DType::F32, shape: vec![5, 300], bytes });
            }
            None => res.files.push((name.into(), bytes)),
        }
    }
    res
}

#[test]
fn what_was_handed_over_is_durable_when_the_saver_has_finished() {
    let memory = Memory::new(true);
    let mut saver = Saver::new(Arc::new(open(&memory)), 2);
    let mut saved = Vec::new();
    for it in 0..10 {
        saved.extend(saver.save(snapshot(it)).unwrap());
    }
    saved.extend(saver.finish().unwrap());
    let store = open(&memory);
    let ids: Vec<_> = store.history("digits").unwrap().checkpoints().iter().map(|it| it.id.clone()).collect();
    assert_eq!(saved, ids);
    for (id, step) in ids.iter().zip(0..) {
        check_content(&store, id, step).unwrap();
    }
    // Dropping one saves the rest too.
    let mut saver = Saver::new(Arc::new(open(&memory)), 2);
    saver.save(snapshot(77)).unwrap();
    drop(saver);
    assert_eq!(open(&memory).history("digits").unwrap().checkpoints().len(), 11);
}

#[test]
fn a_failed_or_panicked_save_surfaces_on_the_next_call_and_is_never_the_latest() {
    for panics in [false, true] {
        let memory = Memory::new(true);
        let (entered, is_entered) = channel();
        let inner = memory.clone();
        memory.on_publish(move |key| {
            if key.starts_with("log/digits/") {
                inner.answer_truly();
                entered.send(()).unwrap();
                assert!(!panics, "the disk is on fire");
                inner.set_unreachable(true);
                return Fate::LostBefore;
            }
            Fate::Answered
        });
        let mut saver = Saver::new(Arc::new(open(&memory)), 2);
        saver.save(snapshot(1)).unwrap();
        is_entered.recv().unwrap();
        // The failure is there as soon as the save has ended; until then there is room in the queue.
        let error = std::iter::repeat_with(|| saver.save(snapshot(2))).find_map(std::result::Result::err).unwrap();
        if panics {
            assert!(error.kind == ErrorKind::Panicked && error.message.contains("the disk is on fire"), "{error}");
        } else {
            assert_eq!(error.kind, ErrorKind::Uncertain);
        }
        memory.set_unreachable(false);
        // It is reported once; then the saver goes on.
        let _ = saver.save(snapshot(3));
        let _ = saver.finish();
        let store = open(&memory);
        assert!(store.history("digits").unwrap().checkpoints().iter().all(|it| {
            let step = store.open(&(), &it.id).unwrap().manifest().metadata["step"].as_u64().unwrap();
            check_content(&store, &it.id, step).unwrap();
            step != 1
        }));
        is_sound(&store);
    }
}
