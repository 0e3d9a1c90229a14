//! What a large store is asked for: counted, since how long that takes is no matter for a test.

use modelwatch_sdk::store::History;

use super::*;
use crate::format::SEGMENT;

const N: u64 = 10_000;

fn counted<T>(memory: &Memory, act: impl FnOnce() -> T) -> (T, u64) {
    let before = memory.n_requests();
    let res = act();
    (res, (memory.n_requests() - before) as u64)
}

fn save(store: &dyn CheckpointStore, step: u64) -> CheckpointId {
    let mut writer = store.begin(&(), "digits", &metadata(step)).unwrap();
    writer.append("weights.bin", &step.to_le_bytes()).unwrap();
    writer.commit().unwrap()
}

#[test]
fn what_is_asked_of_ten_thousand_checkpoints_is_bounded() {
    let memory = Memory::new(true);
    let writer = open(&memory);
    let ids: Vec<_> = (0..N).map(|it| save(&writer, it)).collect();
    // Of a log its segments, and the entries after the last one.
    let (store, _) = counted(&memory, || open(&memory));
    let (history, n) = counted(&memory, || store.history("digits").unwrap());
    assert_eq!(history.checkpoints().len() as u64, N);
    assert!(n <= N / SEGMENT + N % SEGMENT + 10, "{n} to open");
    // Of a checkpoint its manifest and what it is read from, however many there are.
    let (_, n) = counted(&memory, || store.open(&(), &ids[0]).unwrap());
    assert!(n <= 10, "{n} to find one");
    let (_, n) = counted(&memory, || save(&store, N));
    assert!(n <= 100, "{n} to save one more");
    // The newest ones alone stay.
    let old = &ids[..ids.len() - 10];
    let ((), n) = counted(&memory, || store.remove("digits", old, "old").unwrap());
    assert!(n <= 20, "{n} to remove {}", old.len());
    let (report, n) = counted(&memory, || store.collect(&(), &CollectOptions { grace: 0, dry_run: false }).unwrap());
    let n_files = 2 * old.len() as u64;
    assert_eq!(report.swept.files, n_files, "a pack and a manifest each");
    // Each file is looked at twice and removed; the rest are the 512 folders that they are in, and what stays.
    assert!((3 * n_files..3 * n_files + 1000).contains(&n), "{n} to delete {n_files} files");
    assert_eq!(store.history("digits").map(|it: History| it.checkpoints().len()).unwrap(), 11);
    is_sound(&store);
}
