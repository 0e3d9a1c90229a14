//! Damage is mended from replicas and from the same bytes elsewhere.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use modelwatch_sdk::{Error, store::RepairReport};

use super::*;
use crate::{frame::FRAME_HEADER, manifest::StoredManifest, soundness::Soundness};

fn damaged(memory: &Memory, part: &str) -> Vec<String> {
    let keys = memory.keys(part);
    for it in &keys {
        let mut bytes = memory.get(it);
        let at = bytes.len() / 2;
        bytes[at] ^= 16;
        memory.put(it, bytes);
    }
    keys
}

#[test]
fn a_replica_mends_every_kind_of_file() {
    for part in ["packs/", "manifests/", "log/digits/", "log/.store/"] {
        for is_missing in [false, true] {
            let memory = Memory::new(true);
            let store = open(&memory);
            let ids = [1, 2].map(|it| commit(&store, "digits", it).unwrap());
            store.set_ref("digits", "good", &ids[0], None, "").unwrap();
            let replica = memory.copy();
            let keys = damaged(&memory, part);
            if is_missing {
                // The last entry of a log can be taken away without a trace.
                keys.iter().rev().skip(1).for_each(|it| drop(memory.take(it)));
            }
            let alone = open(&memory);
            assert!(!alone.repair(&()).unwrap().lost.is_empty(), "{part}");
            let settings = Settings { replicas: vec![Arc::new(replica.clone())], ..settings() };
            let report = open_with(&memory, settings.clone()).repair(&()).unwrap();
            assert_eq!(report.lost, [""; 0], "{part}");
            assert_eq!(report.mended.len(), keys.len(), "{part}: {report:?}");
            for it in &keys {
                assert!(memory.get(it) == replica.get(it), "{it}");
            }
            let store = open_with(&memory, settings);
            is_sound(&store);
            check_content(&store, &ids[0], 1).unwrap();
            check_content(&store, &ids[1], 2).unwrap();
            assert_eq!(store.repair(&()).unwrap(), Default::default());
            if !is_missing {
                assert_eq!(memory.keys("quarantine/").len(), keys.len(), "damaged bytes are kept");
            }
        }
    }
}

#[test]
fn a_damaged_replica_is_not_believed() {
    let memory = Memory::new(true);
    let id = commit(&open(&memory), "digits", 1).unwrap();
    damaged(&memory, "packs/");
    let settings = Settings { replicas: vec![Arc::new(memory.copy())], ..settings() };
    let store = open_with(&memory, settings);
    let packs = memory.keys("packs/");
    let report = store.repair(&()).unwrap();
    assert_eq!(report.mended, [""; 0]);
    assert!(report.lost[0].contains(id.short()) && report.lost[0].contains("only copy"), "{report:?}");
    // A pack stays as long as any of it serves.
    assert_eq!(memory.keys("packs/"), packs);
    assert!(report.lost.iter().any(|it| it.contains(&packs[0]) && it.contains("stays there")), "{report:?}");
    for it in &packs {
        memory.put(it, vec![0; 2000]);
    }
    let report = open(&memory).repair(&()).unwrap();
    for it in &packs {
        assert!(report.lost.iter().any(|line| line.contains(it) && line.contains("`quarantine/`")), "{report:?}");
    }
    assert_eq!((memory.keys("packs/").len(), memory.keys("quarantine/").len()), (0, packs.len()));
    // What is written again is whole.
    assert_eq!(commit(&open(&memory), "digits", 1).unwrap(), id);
    check_content(&open(&memory), &id, 1).unwrap();
    is_sound(&open(&memory));
}

#[test]
fn a_manifest_that_nothing_mends_is_put_aside_and_its_checkpoint_is_named() {
    let memory = Memory::new(true);
    let [first, second] = [1, 2].map(|it| commit(&open(&memory), "digits", it).unwrap());
    let manifest = open(&memory).shared.log.with("digits", |it| Ok(it.manifests(&second)[0])).unwrap();
    let key = crate::keys::manifest(manifest);
    memory.put(&key, b"{}".to_vec());
    let report = open(&memory).repair(&()).unwrap();
    assert!(matches!(&report.lost[..], [it] if it.contains(second.short())), "{report:?}");
    assert_eq!(memory.keys("quarantine/").len(), 1);
    check_content(&open(&memory), &first, 1).unwrap();
    assert_eq!(commit(&open(&memory), "digits", 2).unwrap(), second);
    is_sound(&open(&memory));
}

/// A sample finds what it draws, and every pack is drawn sooner or later.
#[test]
fn a_sampled_scrub_finds_damage_by_its_share() {
    let memory = Memory::new(true);
    commit(&open(&memory), "digits", 1).unwrap();
    let pack = memory.keys("packs/").remove(0);
    let mut bytes = memory.get(&pack);
    // In a frame, of which neither the index nor the size says anything.
    bytes[100] ^= 1;
    memory.put(&pack, bytes);
    let finds = |depth| {
        let report = open(&memory).scrub(&(), depth).unwrap();
        assert!(report.damage.iter().all(|it| it.contains(&pack)), "{report:?}");
        !report.damage.is_empty()
    };
    assert!(!finds(ScrubDepth::Fast) && finds(ScrubDepth::Full));
    let found = |share| (0..200).filter(|&seed| finds(ScrubDepth::Sampled { share, seed })).count();
    assert_eq!(found(1.0), 200);
    assert!((70..130).contains(&found(0.5)), "{}", found(0.5));
    assert!((5..40).contains(&found(0.1)), "{}", found(0.1));
}

/// What a pack has is what its index says, not its name: of two that are swapped, neither has what is looked for.
#[test]
fn a_fast_scrub_finds_swapped_packs_and_counts_no_checkpoint_that_needs_one() {
    let memory = Memory::new(true);
    (1..4).for_each(|step| drop(commit(&open(&memory), "digits", step).unwrap()));
    let scrub = || open(&memory).scrub(&(), ScrubDepth::Fast).unwrap();
    let sound = scrub();
    assert_eq!((sound.checkpoints, sound.damage), (3, Vec::new()));
    // Of the same size, so that only what is in them tells them apart.
    let packs = memory.keys("packs/");
    let twin = |a: &String| packs.iter().find(|b| *b != a && memory.get(b).len() == memory.get(a).len());
    let (one, other) = packs.iter().find_map(|it| Some((it, twin(it)?))).unwrap();
    let (of_one, of_other) = (memory.get(one), memory.get(other));
    memory.put(one, of_other.clone());
    memory.put(other, of_one.clone());
    let swapped = scrub();
    assert_eq!(swapped.checkpoints, 1, "{swapped:?}");
    for pack in [one, other] {
        let says = |it: &String| it.contains(pack.as_str()) && it.contains("does not have the chunk");
        assert!(swapped.damage.iter().any(says), "{swapped:?}");
    }
    // An index that fails is one of the checkpoint too.
    memory.put(other, of_other);
    let mut cut = of_one;
    let in_trailer = cut.len() - 20;
    cut[in_trailer] ^= 1;
    memory.put(one, cut);
    let failed = scrub();
    assert_eq!(failed.checkpoints, 2, "{failed:?}");
    assert!(failed.damage.iter().all(|it| it.contains(one.as_str()) && it.contains("has a bad index")), "{failed:?}");
    assert!(failed.damage.iter().any(|it| it.starts_with("the checkpoint `")), "{failed:?}");
}

#[test]
fn what_a_save_replaces_goes_to_quarantine() {
    let memory = Memory::new(true);
    let id = commit(&open(&memory), "digits", 1).unwrap();
    let keys = [damaged(&memory, "packs/"), damaged(&memory, "manifests/")].concat();
    let wrong: Vec<_> = keys.iter().map(|it| memory.get(it)).collect();
    assert_eq!(commit(&open(&memory), "digits", 1).unwrap(), id);
    is_sound(&open(&memory));
    let kept: Vec<_> = memory.keys("quarantine/").iter().map(|it| memory.get(it)).collect();
    assert!(kept.len() == wrong.len() && wrong.iter().all(|it| kept.contains(it)));
}

#[test]
fn the_same_bytes_elsewhere_mend_a_checkpoint_and_its_verdicts_stay() {
    let memory = Memory::new(true);
    let store = open(&memory);
    let id = commit(&store, "digits", 1).unwrap();
    let verdict = modelwatch_sdk::store::VerdictRecord {
        verdict: "pass".into(),
        pipeline: "gate".into(),
        run_id: "1".into(),
        metrics: Default::default(),
        blessing: None,
    };
    store.record_verdict("digits", &id, &verdict).unwrap();
    // Other packs with the same chunks, since the settings differ.
    let other = open_with(&memory, Settings { max_pack: 3 * CHUNK as u64, ..settings() });
    assert_eq!(commit(&other, "letters", 1).unwrap(), id);
    let manifest = store.shared.log.with("digits", |it| Ok(it.manifests(&id)[0])).unwrap();
    let stored = StoredManifest::load(&memory, manifest, CHUNK as u64).unwrap();
    memory.take(&crate::keys::pack(stored.packs[0]));
    let store = open(&memory);
    let report = store.repair(&()).unwrap();
    assert_eq!((report.mended.len(), report.lost), (1, vec![]));
    let store = open(&memory);
    check_content(&store, &id, 1).unwrap();
    let history = store.history("digits").unwrap();
    assert_eq!(history.checkpoints().len(), 1);
    assert_eq!(history.known_good().collect::<Vec<_>>(), [&id]);
    is_sound(&store);
}

/// From whichever read on a sound pack cannot be reached, another pack is what is damaged.
#[test]
fn what_cannot_be_read_for_the_moment_is_neither_called_lost_nor_moved() {
    let memory = Memory::new(true);
    let store = open_with(&memory, Settings { max_pack: 3 * CHUNK as u64, ..settings() });
    let id = commit(&store, "digits", 1).unwrap();
    let manifest = store.shared.log.with("digits", |it| Ok(it.manifests(&id)[0])).unwrap();
    let packs = StoredManifest::load(&memory, manifest, CHUNK as u64).unwrap().packs;
    let [sound, bad] = [packs[0], packs[packs.len() - 1]].map(crate::keys::pack);
    assert_eq!(damaged(&memory, &bad), [&bad[..]]);
    let repair = |fails: usize| {
        let memory = memory.copy();
        let (n_reads, key) = (Arc::new(AtomicUsize::new(0)), sound.clone());
        let counted = Arc::clone(&n_reads);
        memory.on_read_at(move |it| match it == key && counted.fetch_add(1, Relaxed) >= fails {
            true => Err(Error::io("the network is down")),
            false => Ok(()),
        });
        (open(&memory).repair(&()).unwrap(), memory, n_reads.load(Relaxed))
    };
    let (RepairReport { lost, .. }, _, n_reads) = repair(usize::MAX);
    assert!(n_reads > 8 && lost[0].contains(&bad) && lost[0].contains("only copy"), "{n_reads}: {lost:?}");
    for fails in 0..n_reads {
        let (report, after, _) = repair(fails);
        assert!(report.mended.is_empty() && !report.lost.is_empty());
        assert!(report.lost.iter().all(|it| !it.contains(&sound)), "read {fails}: {report:?}");
        assert_eq!(after.keys("packs/"), memory.keys("packs/"));
    }
}

#[test]
fn no_pack_is_put_aside_while_a_log_is_damaged() {
    let memory = Memory::new(true);
    let store = open(&memory);
    commit(&store, "digits", 1).unwrap();
    commit(&store, "letters", 2).unwrap();
    let packs = memory.keys("packs/");
    for it in &packs {
        memory.put(it, vec![0; 2000]);
    }
    let entry = &damaged(&memory, "log/letters/")[0];
    let report = open(&memory).repair(&()).unwrap();
    assert_eq!(memory.keys("packs/"), packs);
    for what in [&entry[..], "damaged packs stay where they are: the log of `letters` is damaged"] {
        assert!(report.lost.iter().any(|it| it.contains(what)), "{what}: {report:?}");
    }
    // Once nothing may need it any more, what nobody can read is put aside.
    memory.take(entry);
    open(&memory).repair(&()).unwrap();
    assert!(memory.keys("packs/").len() < packs.len());
}

/// Saves a checkpoint of one tensor, all of it in one pack.
/// How large a chunk is that is read by itself to compare it.
const LARGE: usize = 256 << 10;

fn in_chunks(chunk: usize) -> Settings {
    Settings { max_pack: 8 << 20, chunk_size: chunk as u64, ..settings() }
}

fn save(memory: &Memory, bytes: &[u8]) -> CheckpointId {
    save_in_chunks(memory, bytes, CHUNK)
}

fn save_in_chunks(memory: &Memory, bytes: &[u8], chunk: usize) -> CheckpointId {
    let store = open_with(memory, in_chunks(chunk));
    let mut writer = store.begin(&(), "digits", &Map::new()).unwrap();
    writer.tensor(&TensorView { name: "kernel", dtype: DType::U8, shape: &[bytes.len() as u64], bytes }).unwrap();
    writer.commit().unwrap()
}

#[test]
fn a_save_never_comes_to_rest_on_a_damaged_pack() {
    check_damaged_packs(24, CHUNK);
    check_damaged_packs(4, LARGE);
}

/// Saves a tensor of so many chunks again where a bit of its pack is another, in each half of each chunk, their headers and
/// what is around them.
fn check_damaged_packs(n_chunks: usize, chunk: usize) {
    let memory = Memory::new(true);
    let tensor = noise(n_chunks * chunk, 9);
    let id = save_in_chunks(&memory, &tensor, chunk);
    let [pack] = &memory.keys("packs/")[..] else { panic!("one pack holds it") };
    let whole = memory.get(pack);
    // The first header and the last byte, too.
    let places = (0..whole.len()).step_by(chunk / 2).chain((8..8 + FRAME_HEADER).step_by(4)).chain([whole.len() - 1]);
    for at in places {
        let memory = memory.copy();
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        memory.put(pack, bytes);
        assert_eq!(save_in_chunks(&memory, &tensor, chunk), id);
        let reader = open_with(&memory, in_chunks(chunk)).open(&(), &id).unwrap();
        assert!(reader.tensor("kernel").unwrap().unwrap().bytes == tensor, "{at}");
    }
}

#[test]
fn large_chunks_that_are_saved_again_are_read_once_each() {
    const N: usize = 12;
    let memory = Memory::new(true);
    let tensor = noise(N * LARGE, 9);
    let id = save_in_chunks(&memory, &tensor, LARGE);
    let before = memory.n_bytes_read();
    assert_eq!(save_in_chunks(&memory, &tensor, LARGE), id);
    assert_eq!(memory.n_bytes_read() - before, N * (FRAME_HEADER + LARGE));
}

#[test]
fn a_pack_is_read_whole_once_an_eighth_of_it_was_asked_for() {
    for n_chunks in [64, 640, 1000] {
        check_vouching(n_chunks);
    }
}

/// One that is read in a piece, and ones of which two threads read parts.
fn check_vouching(n_chunks: usize) {
    let memory = Memory::new(true);
    let id = save(&memory, &noise(n_chunks * CHUNK, 9));
    let store = open(&memory);
    let manifest = store.shared.log.with("digits", |it| Ok(it.manifests(&id)[0])).unwrap();
    let stored = StoredManifest::load(&memory, manifest, CHUNK as u64).unwrap();
    let vouched = |memory: &Memory| -> Vec<bool> {
        let mut packs = Soundness::default();
        let located: Vec<_> = stored.chunks().map(|it| stored.located(it)).collect();
        located.iter().for_each(|it| packs.expect(it));
        located.iter().map(|it| packs.vouches_for(memory, it, &mut Vec::new())).collect()
    };
    let whole = vouched(&memory);
    assert_eq!((whole.len(), whole.iter().position(|it| *it)), (n_chunks, Some(n_chunks / 8)));
    assert!(whole[n_chunks / 8..].iter().all(|it| *it));
    damaged(&memory, "packs/");
    assert_eq!(vouched(&memory), vec![false; n_chunks]);
}
