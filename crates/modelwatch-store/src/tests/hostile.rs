//! Logs and manifests that someone wrote to do harm, or a later version wrote.

use modelwatch_sdk::{store::LogEvent, testing::FaultRow};

use super::*;
use crate::{
    format::{Digest, FORMAT, canonical, seal},
    keys,
    log::Change,
    manifest::{self, Base, Chunk, StoredFile, StoredManifest},
};

/// A store with two checkpoints and a ref.
fn store() -> (Memory, [CheckpointId; 2]) {
    let memory = Memory::new(true);
    let store = open(&memory);
    let ids = [1, 2].map(|it| commit(&store, "digits", it).unwrap());
    store.set_ref("digits", "good", &ids[0], None, "ok").unwrap();
    (memory, ids)
}

fn kind_and_message<T>(res: Result<T>) -> String {
    res.err().map(|it| format!("{:?}: {}", it.kind, it.message)).unwrap_or_default()
}

fn add_entry(memory: &Memory, change: impl FnOnce(&mut Value)) {
    let bytes = memory.get(&memory.keys("log/digits/").pop().unwrap());
    let mut entry: Value = serde_json::from_slice(&bytes).unwrap();
    entry.as_object_mut().unwrap().remove("digest");
    entry["seq"] = Value::from(entry["seq"].as_u64().unwrap() + 1);
    entry["prev_hash"] = Value::from(Digest::of(&bytes).to_string());
    change(&mut entry);
    memory.put(&keys::entry("digits", 4), seal(&entry).unwrap());
}

#[test]
fn later_additions_are_ignored_unless_they_are_required() {
    let row = FaultRow::new(28, "entries of a later version, and such that are none", "SIM");
    let add = |change: fn(&mut Value)| {
        let (memory, ids) = store();
        add_entry(&memory, change);
        let store = open(&memory);
        let logged = store.log("digits", 3, 10);
        // What was damaged can be read around; what a newer version wrote cannot.
        let is_newer = logged.as_ref().is_err_and(|it| it.kind != ErrorKind::Corrupt);
        assert_eq!(is_newer, check_content(&store, &ids[0], 1).is_err());
        (kind_and_message(logged.clone()), logged.unwrap_or_default().pop().map(|it| it.event))
    };
    let (message, event) = add(|it| {
        it["event"] = json!({"op": "erasure-code", "packs": ["x"]});
        it["hint"] = json!({"a": 1});
    });
    assert_eq!((message.as_str(), event), ("", Some(LogEvent::Unknown)));
    let (message, _) = add(|it| {
        it["event"] = json!({"op": "erasure-code"});
        it["requires"] = json!(["erasure"]);
        it["writer"] = json!("store-local/9.1.0");
    });
    assert!(
        message.starts_with("Input") && message.contains("`erasure`") && message.contains("store-local/9.1.0"),
        "{message}"
    );
    let (message, _) = add(|it| *it = json!({"format": 2, "anything": 1}));
    assert!(message.starts_with("Input") && message.contains("format version 2"), "{message}");
    for bad in [
        (|it: &mut Value| it["prev_hash"] = json!("0".repeat(64))) as fn(&mut Value),
        |it| it["seq"] = json!(9),
        |it| it["lineage"] = json!("letters"),
        |it| it["event"] = json!({"op": "commit"}),
        |it| it["event"] = json!({"op": "commit", "id": "0".repeat(64)}),
        |it| it["event"] = json!([[[]]]),
    ] {
        let (message, _) = add(bad);
        assert!(message.starts_with("Corrupt"), "{message}");
    }
    row.ok(9);
}

const BASE: Base = Base { hash: Digest::ZERO, pack: 0, offset: 8, size: 58 };

/// A part of the message, and the change that leads to it.
type Case<T> = (&'static str, fn(&mut T));

#[test]
fn hostile_manifests_are_refused() {
    let names = FaultRow::new(29, "names in a manifest that leave the folder, come twice, or are paths", "SIM");
    let numbers = FaultRow::new(30, "numbers of a manifest that cannot be, and depths", "SIM");
    let good = StoredManifest {
        format: FORMAT,
        id: CheckpointId::parse(&"0".repeat(64)).unwrap(),
        metadata: Map::new(),
        packs: vec![Digest::ZERO],
        files: vec![StoredFile {
            name: "a".into(),
            size: 10,
            digest: Digest::of(b"x"),
            chunks: vec![Chunk { hash: Digest::of(b"x"), pack: 0, offset: 8, size: 58, len: 10, base: None }],
        }],
        tensors: vec![],
        requires: vec![],
        nonce: None,
    };
    let check = |change: fn(&mut StoredManifest), after: fn(&mut Value)| {
        let mut it = good.clone();
        change(&mut it);
        it.id = manifest::content_id(&it.metadata, &it.files, &it.tensors).unwrap();
        let mut value = serde_json::to_value(&it).unwrap();
        after(&mut value);
        let bytes = canonical(&value).unwrap();
        let memory = Memory::new(true);
        let store = open(&memory);
        memory.put(&keys::manifest(Digest::of(&bytes)), bytes.clone());
        let change =
            || Ok(Some(Change { event: LogEvent::Commit { id: it.id.clone() }, manifest: Some(Digest::of(&bytes)) }));
        store.shared.log.append("digits", |_| change()).unwrap();
        let report = store.scrub(&(), ScrubDepth::Full).unwrap();
        assert_ne!(report.damage, [""; 0]);
        kind_and_message(store.open(&(), &it.id).map(drop))
    };
    let same = |_: &mut Value| {};
    assert_eq!(check(|_| {}, same), "");
    let cases: [Case<StoredManifest>; 13] = [
        ("`../../x`", |it| it.files[0].name = "../../x".into()),
        ("`/etc/x`", |it| it.files[0].name = "/etc/x".into()),
        ("twice", |it| it.files.push(it.files[0].clone())),
        ("add up", |it| it.files[0].size = u64::MAX),
        ("cannot be", |it| it.files[0].chunks[0].pack = usize::MAX),
        ("cannot be", |it| it.files[0].chunks[0].offset = u64::MAX),
        ("cannot be", |it| it.files[0].chunks[0].size = u64::MAX),
        ("cannot be", |it| it.files[0].chunks[0].len = u64::MAX),
        ("cannot be", |it| it.files[0].chunks[0].len = 0),
        ("cannot be", |it| it.files[0].chunks[0].base = Some(Base { pack: 1, ..BASE })),
        ("cannot be", |it| it.files[0].chunks[0].base = Some(Base { offset: u64::MAX, ..BASE })),
        ("version 3", |it| it.format = 3),
        ("`parity`", |it| it.requires.push("parity".into())),
    ];
    for (part, change) in cases {
        let message = check(change, same);
        assert!(message.contains(part), "{message:?} has no {part:?}");
    }
    let cases: [Case<Value>; 5] = [
        ("not that of its content", |it| it["metadata"] = json!({"step": 9})),
        ("understood", |it| it["files"] = json!({})),
        ("understood", |it| it["packs"] = json!(["../x"])),
        ("understood", |it| it["files"][0]["chunks"][0]["pack"] = json!(-1)),
        ("add up", |it| {
            let shape = json!([u64::MAX, u64::MAX]);
            it["tensors"] =
                json!([{"name": "t", "dtype": "f32", "shape": shape, "digest": "0".repeat(64), "chunks": []}]);
        }),
    ];
    for (part, change) in cases {
        let message = check(|_| {}, change);
        assert!(message.starts_with("Corrupt") && message.contains(part), "{message:?} has no {part:?}");
    }
    assert_eq!(check(|_| {}, |it| it["hint"] = json!([1])), "", "unknown members are ignored");
    names.ok(3);
    numbers.ok(13);
}

#[test]
fn a_commit_leads_only_to_the_checkpoint_it_names() {
    let (memory, ids) = store();
    let store = open(&memory);
    let other = store.shared.log.with("digits", |it| Ok(it.manifests(&ids[1])[0])).unwrap();
    let change = || Change { event: LogEvent::Commit { id: ids[0].clone() }, manifest: Some(other) };
    store.shared.log.append("digits", |_| Ok(Some(change()))).unwrap();
    // The older manifest of the id still serves.
    check_content(&open(&memory), &ids[0], 1).unwrap();
    assert_ne!(store.scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0]);
}
