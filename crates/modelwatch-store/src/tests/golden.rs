//! A store that an earlier program wrote, kept as a file: with every kind of log entry, a segment, every codec, differences,
//! and lists of garbage. Whatever changes, it is read, each of its files is understood whole, and it is added to.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::{store::VerdictRecord, testing::FaultRow};
use serde::{Serialize, de::DeserializeOwned};

use super::*;
use crate::{
    condemned::List,
    entry::EntryFile,
    format::{Digest, SEGMENT, StoreFile, canonical, seal, unseal},
    keys, log,
    manifest::StoredManifest,
    pack,
};

/// A JSON object, compressed: the files of the store by their keys, those of packs in hexadecimal.
const GOLDEN: &[u8] = include_bytes!("../../../../tests/fixtures/store-v1-whole.json.zst");

fn golden() -> Memory {
    let files: BTreeMap<String, String> = serde_json::from_slice(&zstd::decode_all(GOLDEN).unwrap()).unwrap();
    let res = Memory::new(true);
    for (key, text) in files {
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        let is_pack = key.starts_with("packs/");
        res.put(&key, if is_pack { (0..text.len()).step_by(2).map(byte).collect() } else { text.into_bytes() });
    }
    res
}

/// Weights of which every step changes some bits, a text, and what looks like a tensor.
fn weights(step: u64) -> Content {
    let mut model = noise(3 * CHUNK, 0);
    model.iter_mut().step_by(64).for_each(|it| *it ^= step as u8);
    let kernel = (0..1500).flat_map(|it| ((it * step) as f32 / 1500.0).sin().to_le_bytes());
    let config = format!("{{\"step\": {step}}}\n").repeat(50);
    [("config.json", config.into_bytes()), ("weights/model.bin", model), ("tensor:dense/kernel", kernel.collect())]
}

/// Carries out what the program did that wrote the file.
fn written() -> Memory {
    let memory = Memory::new(true);
    let new = || open_with(&memory, Settings { uses_delta: true, ..settings() });
    let ids = [1, 2, 3].map(|it| write_these(&new(), "digits", it, &weights(it)).unwrap().commit().unwrap());
    let verdict = VerdictRecord {
        verdict: "pass".into(),
        pipeline: "gate".into(),
        run_id: "20260101T000000Z-1".into(),
        metrics: [("accuracy".to_owned(), 0.9375)].into(),
        blessing: None,
    };
    new().record_verdict("digits", &ids[1], &verdict).unwrap();
    new().set_ref("digits", "pinned", &ids[2], None, "by hand").unwrap();
    new().unset_ref("digits", "pinned", &ids[2], "").unwrap();
    // What letters has is in other packs as well, from which it is read once its own is lost.
    commit(&new(), "letters", 1).unwrap();
    let gone = commit(&new(), "letters", 2).unwrap();
    commit(&open_with(&memory, Settings { max_pack: 3 * CHUNK as u64, ..settings() }), "copies", 1).unwrap();
    let manifest = new().shared.log.with("letters", |it| Ok(it.live_manifests().next().unwrap().1)).unwrap();
    let lost = StoredManifest::load(&memory, manifest, CHUNK as u64).unwrap().packs[0];
    memory.take(&keys::pack(lost)).unwrap();
    assert_eq!(new().repair(&()).unwrap().mended.len(), 2);
    // One list is swept, one is lost.
    new().remove("letters", &[gone], "pruned").unwrap();
    collect(&new(), 0);
    let more = commit(&new(), "letters", 3).unwrap();
    new().remove("letters", &[more], "pruned").unwrap();
    let before = memory.keys("gc/");
    memory.set_clock(NOW + 2000);
    collect(&open_with(&memory, Settings { clock: || NOW + 2000, ..settings() }), 1000);
    let list = memory.keys("gc/").into_iter().find(|it| !before.contains(it)).unwrap();
    memory.put(&list, b"{}".to_vec());
    assert_eq!(new().repair(&()).unwrap().mended.len(), 1);
    new().set_ref("digits", "good", &ids[0], None, "").unwrap();
    for at in 0.. {
        if new().history("digits").unwrap().last_seq() > SEGMENT {
            break;
        }
        new().set_ref("digits", "good", &ids[(at + 1) % 2], Some(&ids[at % 2]), "").unwrap();
    }
    memory.keys("quarantine/").iter().for_each(|it| drop(memory.take(it)));
    memory
}

/// What the log of a lineage comes to.
fn told(memory: &Memory, lineage: &str) -> String {
    let it = open(memory).history(lineage).unwrap();
    let (refs, removed) = (it.refs().collect::<Vec<_>>(), it.removed().iter().collect::<BTreeSet<_>>());
    format!("{:?} {refs:?} {:?} {removed:?}", it.checkpoints(), it.moves())
}

/// Checks that what is understood of a file is all that is in it, and written as it was.
fn understood<T: DeserializeOwned + Serialize>(memory: &Memory, part: &str, is_sealed: bool) -> Vec<T> {
    let understand = |key: &String| {
        let bytes = memory.get(key);
        let it: T = if is_sealed { unseal(key, &bytes).unwrap() } else { serde_json::from_slice(&bytes).unwrap() };
        let again = if is_sealed { seal(&it) } else { canonical(&it) }.unwrap();
        assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8(bytes).unwrap(), "{key}");
        it
    };
    memory.keys(part).iter().filter(|it| it.ends_with(".json")).map(understand).collect()
}

#[test]
fn a_store_that_has_everything_is_read_and_understood_bit_by_bit() {
    let row = FaultRow::new(28, "store of format version 1, with everything that can be in one", "golden");
    let memory = golden();
    let store = open(&memory);
    is_sound(&store);
    for it in ["packs/", "manifests/", "gc/"].into_iter().flat_map(|it| memory.keys(it)) {
        let (_, name) = it.rsplit_once('/').unwrap();
        assert_eq!(name.split_once('.').unwrap().0, Digest::of(&memory.get(&it)).to_string(), "{it}");
    }
    assert_eq!(understood::<StoreFile>(&memory, "store.json", true).len(), 1);
    let manifests = understood::<StoredManifest>(&memory, "manifests/", false);
    assert!(manifests.iter().flat_map(|it| it.chunks()).any(|it| it.base.is_some()), "there are differences");
    assert!(!understood::<List>(&memory, "gc/", false).is_empty());
    let entries = understood::<EntryFile>(&memory, "log/", true);
    let op = |it: &EntryFile| serde_json::to_value(&it.event).unwrap()["op"].as_str().unwrap().to_owned();
    let ops: BTreeSet<String> = entries.iter().map(op).collect();
    let all = "commit lineage mark relocate remove set-ref sweep unset-ref verdict void";
    assert_eq!(ops.iter().map(String::as_str).collect::<Vec<_>>().join(" "), all);
    assert_eq!(memory.keys(".segment"), [keys::segment("digits", SEGMENT)]);
    let segment = log::segment_bytes(&memory, "digits", SEGMENT, SEGMENT).unwrap();
    assert!(memory.get(&keys::segment("digits", SEGMENT)) == segment);
    let mut codecs = BTreeSet::new();
    for key in memory.keys("packs/") {
        let digest = Digest::parse(&key["packs/00/".len()..][..64]).unwrap();
        let (_, frames) = pack::read_index(&memory, digest).unwrap();
        codecs.extend(frames.iter().map(|it| memory.get(&key)[it.span.offset as usize + 5]));
    }
    assert!(codecs.iter().eq(&[0, 1, 2, 3]), "{codecs:?}");

    // It has what it was given, as a store has to which the same is done today.
    let today = written();
    for it in ["digits", "letters", "copies"] {
        assert_eq!(told(&memory, it), told(&today, it));
    }
    let ids: Vec<_> = store.history("digits").unwrap().checkpoints().iter().map(|it| it.id.clone()).collect();
    for (id, step) in ids.iter().zip(1..) {
        check_these(&store, id, step, &weights(step)).unwrap();
    }
    check_content(&store, &store.get_ref("letters", "latest").unwrap().unwrap(), 1).unwrap();
    let before = memory.keys("");
    assert_eq!(write_these(&store, "digits", 3, &weights(3)).unwrap().commit().unwrap(), ids[2]);
    assert_eq!(memory.keys(""), before);
    let id = write_these(&store, "digits", 4, &weights(4)).unwrap().commit().unwrap();
    check_these(&open(&memory), &id, 4, &weights(4)).unwrap();
    is_sound(&open(&memory));
    row.ok(1);
}
