//! Writers that commit the same step.

use modelwatch_sdk::testing::FaultRow;

use super::*;

/// Begins a checkpoint of a step whose content is the writer's own.
fn begin(store: &dyn CheckpointStore, step: u64, content: &[u8]) -> Box<dyn modelwatch_sdk::store::CheckpointWriter> {
    let mut res = store.begin(&(), "digits", &metadata(step)).unwrap();
    res.append("weights.bin", content).unwrap();
    res
}

#[test]
fn of_two_writers_of_one_step_the_first_wins() {
    let row = FaultRow::new(11, "two writers at once, one step, different content", "SIM");
    let memory = Memory::new(true);
    let [one, other] = [open(&memory), open(&memory)];
    for step in 0..5 {
        let (first, second) = (begin(&one, step, b"first"), begin(&other, step, b"second"));
        // What lies between them is no matter.
        commit(&one, "digits", 100 + step).unwrap();
        let id = first.commit().unwrap();
        let error = second.commit().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
        let told = format!("step {step} of `digits` was stored meanwhile by another writer, with other content");
        assert_eq!(error.message, format!("{told} ({})", id.short()));
        assert_eq!(one.get_ref("digits", "latest").unwrap(), Some(id));
    }
    assert_eq!(open(&memory).history("digits").unwrap().checkpoints().len(), 10);
    is_sound(&one);
    row.ok(5);
}

#[test]
fn what_is_no_race_is_no_conflict() {
    let memory = Memory::new(true);
    let store = open(&memory);
    // The same content is the same checkpoint.
    let (first, second) = (begin(&store, 1, b"same"), begin(&store, 1, b"same"));
    assert_eq!(first.commit().unwrap(), second.commit().unwrap());
    // Other steps, and none.
    let (first, second) = (begin(&store, 2, b"x"), begin(&store, 3, b"y"));
    assert!(first.commit().is_ok() && second.commit().is_ok());
    let unnamed = |content: &[u8]| {
        let mut it = store.begin(&(), "digits", &Map::new()).unwrap();
        it.append("weights.bin", content).unwrap();
        it
    };
    let (first, second) = (unnamed(b"v"), unnamed(b"w"));
    assert!(first.commit().is_ok() && second.commit().is_ok());
    // A training that goes back, and comes to a step again.
    begin(&store, 2, b"after a restart").commit().unwrap();
    // What was removed meanwhile is nobody's.
    let late = begin(&store, 9, b"late");
    let gone = begin(&store, 9, b"gone").commit().unwrap();
    store.remove("digits", &[gone], "").unwrap();
    late.commit().unwrap();
}
