//! What several writers at once may do to a store.

use std::{path::Path, sync::Barrier, thread};

use super::{
    good,
    store::{Open, clean, commit},
};
use crate::{error::ErrorKind, store::CheckpointStore};

const WRITERS: usize = 4;
const EACH: usize = 4;

fn handles(place: &Path, open: Open<'_>) -> Vec<Box<dyn CheckpointStore>> {
    (0..WRITERS).map(|_| good("opening the store once more", || open(place))).collect()
}

/// Every commit of every writer is there afterwards, under one sequence of numbers.
pub(super) fn committers(place: &Path, open: Open<'_>) {
    let handles = handles(place, open);
    let start = Barrier::new(WRITERS);
    let mut ids: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = handles
            .iter()
            .enumerate()
            .map(|(writer, store)| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    let text = |idx| format!("{writer}.{idx}");
                    (0..EACH).map(|idx| commit(store.as_ref(), "a", &text(idx))).collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|it| it.join().unwrap_or_else(|_| panic!("a concurrent committer failed")))
            .collect()
    });
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), WRITERS * EACH, "different checkpoints have the same id");
    let history = good("history", || handles[0].history("a"));
    assert!(ids.iter().all(|it| history.contains(it)), "a commit that was acknowledged is not in the log");
    let log = good("the log", || handles[0].log("a", 0, 1000));
    let in_order = log.iter().map(|it| it.seq).eq(1..=(WRITERS * EACH) as u64);
    assert!(in_order, "the log of concurrent writers is not numbered 1, 2, 3, …");
    clean(handles[0].as_ref());
}

/// Of several that move a ref from the same place, one wins and the others are told so.
pub(super) fn movers(place: &Path, open: Open<'_>) {
    let handles = handles(place, open);
    let ids: Vec<_> = (0..WRITERS).map(|it| commit(handles[0].as_ref(), "a", &it.to_string())).collect();
    let start = Barrier::new(WRITERS);
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = handles
            .iter()
            .zip(&ids)
            .map(|(store, id)| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    store.set_ref("a", "good", id, None, "race")
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().unwrap_or_else(|_| panic!("a concurrent set_ref panicked"))).collect()
    });
    let winners: Vec<_> = results.iter().zip(&ids).filter(|it| it.0.is_ok()).map(|it| it.1).collect();
    assert_eq!(winners.len(), 1, "{} of {WRITERS} writers won the same compare-and-swap", winners.len());
    for e in results.iter().filter_map(|it| it.as_ref().err()) {
        assert_eq!(e.kind, ErrorKind::Conflict, "the loser of a compare-and-swap is told something else: {e}");
    }
    let at = good("get_ref", || handles[0].get_ref("a", "good"));
    assert_eq!(at.as_ref(), winners.first().copied(), "the ref is not where the winner set it");
}
