//! Refs, their history, and compare-and-swap.

use modelwatch_sdk::store::{LogEvent, VerdictRecord};

use super::*;

#[test]
fn refs_move_by_compare_and_swap_and_keep_their_history() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (open(dir.path()), open(dir.path()));
    let [a, b] = [1, 2].map(|it| commit(&store, "digits", it).unwrap());
    let unknown = CheckpointId::parse(&"0".repeat(64)).unwrap();

    store.set_ref("digits", "good", &a, None, "first").unwrap();
    assert_eq!(kind(other.set_ref("digits", "good", &b, None, "")), Some(ErrorKind::Conflict));
    assert_eq!(kind(other.set_ref("digits", "good", &b, Some(&b), "")), Some(ErrorKind::Conflict));
    assert_eq!(kind(other.set_ref("digits", "good", &unknown, Some(&a), "")), Some(ErrorKind::NotFound));
    assert_eq!(kind(other.set_ref("letters", "good", &a, None, "")), Some(ErrorKind::NotFound));
    assert_eq!(kind(other.set_ref("digits", "no/name", &a, None, "")), Some(ErrorKind::Input));
    assert_eq!(kind(other.set_ref("digits", "bad", &a, Some(&b), "")), Some(ErrorKind::Conflict));
    other.set_ref("digits", "good", &b, Some(&a), "better").unwrap();
    store.set_ref("digits", "good", &a, Some(&b), "rolled back").unwrap();

    assert_eq!(other.get_ref("digits", "good").unwrap(), Some(a.clone()));
    let history = open(dir.path()).history("digits").unwrap();
    let moves: Vec<_> = history.moves().iter().map(|it| (it.from.clone(), it.to.clone(), it.reason.as_str())).collect();
    assert_eq!(
        moves,
        [
            (None, Some(a.clone()), "first"),
            (Some(a.clone()), Some(b.clone()), "better"),
            (Some(b.clone()), Some(a.clone()), "rolled back")
        ]
    );
    assert_eq!(store.get_ref("digits", "latest").unwrap(), Some(b.clone()));
    for expected in [None, Some(&b)] {
        assert_eq!(kind(store.set_ref("digits", "latest", &a, expected, "pinned")), Some(ErrorKind::Input));
    }
    let c = commit(&store, "digits", 3).unwrap();
    assert_eq!(store.get_ref("digits", "latest").unwrap(), Some(c));
}

#[test]
fn a_checkpoint_with_a_ref_is_not_removed_and_a_removed_one_can_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let [a, b] = [1, 2].map(|it| commit(&store, "digits", it).unwrap());
    store.set_ref("digits", "good", &a, None, "").unwrap();
    assert_eq!(kind(store.remove("digits", std::slice::from_ref(&a), "")), Some(ErrorKind::Conflict));
    store.set_ref("digits", "good", &b, Some(&a), "").unwrap();
    store.remove("digits", std::slice::from_ref(&a), "").unwrap();
    assert_eq!(kind(store.remove("digits", std::slice::from_ref(&a), "")), Some(ErrorKind::NotFound));
    assert_eq!(kind(store.open(&(), &a)), Some(ErrorKind::NotFound));
    assert_eq!(kind(store.set_ref("digits", "old", &a, None, "")), Some(ErrorKind::NotFound));
    assert_eq!(commit(&store, "digits", 1).unwrap(), a);
    check_content(&store, &a, 1).unwrap();
    assert_eq!(store.scrub(&(), ScrubDepth::Full).unwrap().checkpoints, 2);
}

#[test]
fn the_log_is_read_in_pages_and_keeps_verdicts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let a = commit(&store, "digits", 1).unwrap();
    let verdict = passed("r1");
    store.record_verdict("digits", &a, &verdict).unwrap();
    let unknown = CheckpointId::parse(&"0".repeat(64)).unwrap();
    assert_eq!(kind(store.record_verdict("digits", &unknown, &verdict)), Some(ErrorKind::NotFound));
    let long = VerdictRecord { run_id: "x".repeat(2 << 20), ..verdict.clone() };
    assert_eq!(kind(store.record_verdict("digits", &a, &long)), Some(ErrorKind::Input));

    let all = open(dir.path()).log("digits", 0, 10).unwrap();
    assert_eq!(all.iter().map(|it| (it.seq, it.time)).collect::<Vec<_>>(), [(1, 1_700_000_000), (2, 1_700_000_000)]);
    assert_eq!(all[0].event, LogEvent::Commit { id: a.clone() });
    assert_eq!(all[1].event, LogEvent::Verdict { id: a, verdict });
    assert_eq!(store.log("digits", 0, 1).unwrap(), all[..1]);
    assert_eq!(store.log("digits", 1, 9).unwrap(), all[1..]);
    assert_eq!(store.log("digits", 2, 9).unwrap(), []);
    assert_eq!(store.log("digits", u64::MAX, 9).unwrap(), []);
    assert_eq!(store.lineages().unwrap(), ["digits"]);
}
