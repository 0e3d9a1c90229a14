//! Logs that are read in segments.

use super::*;
use crate::format::SEGMENT;

fn long_log(n: u64) -> (Memory, CheckpointId) {
    let memory = Memory::new(true);
    let store = open(&memory);
    let id = commit(&store, "digits", 1).unwrap();
    let mut at = None;
    for it in 1..n {
        store.set_ref("digits", "good", &id, at, &format!("move {it}")).unwrap();
        at = Some(&id);
    }
    (memory, id)
}

#[test]
fn a_long_log_is_read_in_segments_that_are_believed_only_where_the_chain_holds() {
    let n = 2 * SEGMENT + 40;
    let (memory, _) = long_log(n);
    let segments = memory.keys(".segment");
    assert_eq!(segments.len(), 2);
    let reads = |memory: &Memory| {
        let before = memory.n_reads();
        let log = open(memory).log("digits", 0, u32::MAX).unwrap();
        assert!(log.iter().zip(1..).all(|(it, seq)| it.seq == seq));
        assert_eq!(log.len() as u64, n);
        (memory.n_reads() - before) as u64
    };
    let few = reads(&memory);
    assert!(few < 40 + 10, "{few}");
    let whole = memory.get(&segments[0]);
    type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);
    let damages: [Damage<'_>; 5] =
        [&|it| it[1000] ^= 1, &|it| it.truncate(5000), &|it| it.clear(), &|it| it.extend_from_slice(b"\n{}"), &|it| {
            *it = memory.get(&segments[1])
        }];
    for damage in damages {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        memory.put(&segments[0], bytes);
        // The entries themselves are read instead.
        assert!(reads(&memory) > SEGMENT);
    }
    memory.take(&segments[0]);
    assert!(reads(&memory) > SEGMENT);
}

#[test]
fn a_checkpoint_is_found_without_listing_a_log_that_is_known() {
    let (memory, id) = long_log(100);
    let store = open(&memory);
    store.open(&(), &id).unwrap();
    let before = memory.n_listed();
    store.open(&(), &id).unwrap();
    // The names of the lineages, not of their entries.
    assert!(memory.n_listed() - before < 10, "{}", memory.n_listed() - before);
}

#[test]
fn a_segment_does_not_hide_that_entries_are_gone() {
    let (memory, id) = long_log(SEGMENT + 3);
    memory.take(&crate::keys::entry("digits", SEGMENT + 2));
    let history = open(&memory).history("digits").unwrap();
    assert_eq!(history.last_seq(), SEGMENT + 1);
    assert!(history.damage().unwrap().message.contains("is missing"), "{:?}", history.damage());
    assert_ne!(open(&memory).scrub(&(), ScrubDepth::Fast).unwrap().damage, [""; 0]);
    // It was logged before.
    open(&memory).open(&(), &id).unwrap();
    assert_eq!(kind(commit(&open(&memory), "digits", 2)), Some(ErrorKind::Corrupt));
}
