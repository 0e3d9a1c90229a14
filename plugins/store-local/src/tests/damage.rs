//! Damage is found, named, and stays where it is.

use std::os::unix::fs::symlink;

use super::*;
use crate::{
    format::{Digest, FORMAT, canonical, seal},
    log::{self, Change},
    manifest::{self, Chunk, StoredFile, StoredManifest},
};
use modelwatch_sdk::store::LogEvent;

/// A store with two checkpoints and a ref, on which each test does its damage.
fn store() -> (tempfile::TempDir, [CheckpointId; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ids = [1, 2].map(|it| commit(&store, "digits", it).unwrap());
    store.set_ref("digits", "good", &ids[0], None, "ok").unwrap();
    (dir, ids)
}

/// Calls `check` with the file changed in every way that `changes` gives, and puts it back.
fn damage(path: &Path, changes: impl IntoIterator<Item = Vec<u8>>, mut check: impl FnMut(&str)) {
    let bytes = fs::read(path).unwrap();
    for it in changes {
        assert_ne!(it, bytes);
        fs::write(path, &it).unwrap();
        check(&format!("{} with {} of {} bytes", path.display(), it.len(), bytes.len()));
    }
    fs::write(path, bytes).unwrap();
}

fn flips_and_cuts(path: &Path, every: usize) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let flip = |at: usize| {
        let mut res = bytes.clone();
        res[at] ^= 1 << (at / every % 8);
        res
    };
    let cut = |at: usize| bytes[..at].to_vec();
    (0..bytes.len()).step_by(every).flat_map(|at| [flip(at), cut(at)]).chain([[&bytes[..], b"x"].concat()]).collect()
}

fn scrub_names(root: &Path, file: &Path) -> bool {
    let report = open(root).scrub(&()).unwrap();
    assert!(report.damage.iter().all(|it| it.contains(": ") && it.ends_with('.')), "{:?}", report.damage);
    report.damage.iter().any(|it| it.contains(file.file_name().unwrap().to_str().unwrap()))
}

#[test]
fn every_change_to_a_log_entry_is_noticed() {
    let (dir, ids) = store();
    for file in files(dir.path(), "/log/") {
        damage(&file, flips_and_cuts(&file, 1), |case| {
            let store = open(dir.path());
            assert_eq!(kind(store.log("digits", 0, 10)), Some(ErrorKind::Corrupt), "{case}");
            assert_eq!(kind(store.open(&(), &ids[0])), Some(ErrorKind::Corrupt), "{case}");
            assert_eq!(kind(commit(&store, "digits", 9)), Some(ErrorKind::Corrupt), "{case}");
            assert!(scrub_names(dir.path(), &file), "{case}");
        });
    }
    assert_eq!(open(dir.path()).scrub(&()).unwrap().damage, [""; 0]);
}

#[test]
fn every_change_to_a_manifest_is_noticed() {
    let (dir, ids) = store();
    for file in files(dir.path(), "/manifests/") {
        damage(&file, flips_and_cuts(&file, 3), |case| {
            let store = open(dir.path());
            let opened = [0, 1].map(|it| check_content(&store, &ids[it], it as u64 + 1));
            assert_eq!(opened.iter().filter(|it| it.is_ok()).count(), 1, "{case}");
            assert!(opened.into_iter().any(|it| kind(it) == Some(ErrorKind::Corrupt)), "{case}");
            assert!(scrub_names(dir.path(), &file), "{case}");
        });
    }
}

#[test]
fn changes_to_packs_are_noticed() {
    let (dir, ids) = store();
    for file in files(dir.path(), "/packs/") {
        damage(&file, flips_and_cuts(&file, 61), |case| {
            let store = open(dir.path());
            for (id, step) in ids.iter().zip(1..) {
                // Reading does not look at a pack's index, so it may succeed; then the content is right.
                let read = kind(check_content(&store, id, step));
                assert!(matches!(read, None | Some(ErrorKind::Corrupt)), "{case}: {read:?}");
            }
            assert!(scrub_names(dir.path(), &file), "{case}");
        });
    }
    for file in files(dir.path(), "/packs/") {
        damage(
            &file,
            [{
                let mut bytes = fs::read(&file).unwrap();
                bytes[8 + 48 + 1] ^= 4;
                bytes
            }],
            |case| {
                let store = open(dir.path());
                assert!(ids.iter().zip(1..).any(|(id, step)| check_content(&store, id, step).is_err()), "{case}");
            },
        );
    }
}

#[test]
fn missing_and_swapped_files_are_noticed() {
    for part in ["/packs/", "/manifests/", "/log/"] {
        let (dir, ids) = store();
        let found = files(dir.path(), part);
        let is_broken = |what: &str| {
            let store = open(dir.path());
            let read = ids.iter().zip(1..).map(|(id, step)| kind(check_content(&store, id, step)));
            assert!(read.into_iter().any(|it| it == Some(ErrorKind::Corrupt)), "{part}: {what}");
            assert_ne!(store.scrub(&()).unwrap().damage, [""; 0], "{part}: {what}");
        };
        let [a, b] = [&found[0], &found[1]];
        let aside = dir.path().join("aside");
        fs::rename(a, &aside).unwrap();
        is_broken("missing");
        fs::rename(b, a).unwrap();
        fs::rename(&aside, b).unwrap();
        is_broken("swapped");
        fs::rename(a, &aside).unwrap();
        fs::rename(b, a).unwrap();
        fs::rename(&aside, b).unwrap();
        assert_eq!(open(dir.path()).scrub(&()).unwrap().damage, [""; 0]);
        fs::rename(a, &aside).unwrap();
        symlink(&aside, a).unwrap();
        is_broken("a link");
        fs::remove_file(a).unwrap();
        fs::create_dir(a).unwrap();
        is_broken("a folder");
    }
}

#[test]
fn a_store_without_its_store_file_is_not_made_anew() {
    let (dir, _) = store();
    let path = dir.path().join("store.json");
    for it in flips_and_cuts(&path, 1) {
        fs::write(&path, it).unwrap();
        assert!(try_open(dir.path()).is_err());
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(kind(try_open(dir.path())), Some(ErrorKind::Corrupt));
    fs::write(&path, r#"{"format_version":2}"#).unwrap();
    assert!(kind_and_message(try_open(dir.path())).contains("format version 2"));
}

#[test]
fn committing_again_mends_what_is_damaged() {
    for part in ["/packs/", "/manifests/"] {
        let (dir, ids) = store();
        for file in files(dir.path(), part) {
            let mut bytes = fs::read(&file).unwrap();
            bytes[100] ^= 1;
            fs::write(&file, bytes).unwrap();
        }
        let store = open(dir.path());
        for (id, step) in ids.iter().zip(1..) {
            assert_eq!(kind(check_content(&store, id, step)), Some(ErrorKind::Corrupt), "{part}");
            assert_eq!(commit(&store, "digits", step).unwrap(), *id);
            check_content(&store, id, step).unwrap();
        }
        assert_eq!(store.get_ref("digits", "good").unwrap().as_ref(), Some(&ids[0]));
        assert_eq!(store.scrub(&()).unwrap().checkpoints, 2);
    }
}

#[test]
fn damage_to_one_lineage_leaves_the_others_usable() {
    let (dir, _) = store();
    let id = commit(&open(dir.path()), "letters", 7).unwrap();
    fs::write(&files(dir.path(), "/log/digits/")[0], "").unwrap();
    let store = open(dir.path());
    check_content(&store, &id, 7).unwrap();
    commit(&store, "letters", 8).unwrap();
    assert_eq!(store.lineages().unwrap(), ["digits", "letters"]);
}

fn kind_and_message<T>(res: Result<T>) -> String {
    res.err().map(|it| format!("{:?}: {}", it.kind, it.message)).unwrap_or_default()
}

fn add_entry(root: &Path, change: impl FnOnce(&mut Value)) {
    let last = files(root, "/log/digits/").pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    let mut entry: Value = serde_json::from_slice(&bytes).unwrap();
    entry.as_object_mut().unwrap().remove("digest");
    entry["seq"] = Value::from(entry["seq"].as_u64().unwrap() + 1);
    entry["prev_hash"] = Value::from(Digest::of(&bytes).to_string());
    change(&mut entry);
    fs::write(log::entry_path(&open(root).shared.disk, "digits", 4), seal(&entry).unwrap()).unwrap();
}

#[test]
fn later_additions_are_ignored_unless_they_are_required() {
    let add = |change: fn(&mut Value)| {
        let (dir, ids) = store();
        add_entry(dir.path(), change);
        let store = open(dir.path());
        let logged = store.log("digits", 0, 10);
        let opened = check_content(&store, &ids[0], 1);
        assert_eq!(logged.is_ok(), opened.is_ok());
        (kind_and_message(logged.clone()), logged.unwrap_or_default().pop().map(|it| it.event))
    };
    let (message, event) = add(|it| {
        it["event"] = json!({"op": "gc-mark", "packs": ["x"]});
        it["hint"] = json!({"a": 1});
    });
    assert_eq!((message.as_str(), event), ("", Some(LogEvent::Unknown)));
    let (message, _) = add(|it| {
        it["event"] = json!({"op": "gc-sweep"});
        it["requires"] = json!(["gc"]);
        it["writer"] = json!("store-local/9.1.0");
    });
    assert!(
        message.starts_with("Input") && message.contains("`gc`") && message.contains("store-local/9.1.0"),
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
}

/// A part of the message, and the change that leads to it.
type Case<T> = (&'static str, fn(&mut T));

#[test]
fn hostile_manifests_are_refused() {
    let good = StoredManifest {
        format: FORMAT,
        id: CheckpointId::parse(&"0".repeat(64)).unwrap(),
        metadata: Map::new(),
        packs: vec![Digest::ZERO],
        files: vec![StoredFile {
            name: "a".into(),
            size: 10,
            digest: Digest::of(b"x"),
            chunks: vec![Chunk { hash: Digest::of(b"x"), pack: 0, offset: 8, size: 58, len: 10 }],
        }],
        tensors: vec![],
        requires: vec![],
    };
    let check = |change: fn(&mut StoredManifest), after: fn(&mut Value)| {
        let mut it = good.clone();
        change(&mut it);
        it.id = manifest::content_id(&it.metadata, &it.files, &it.tensors).unwrap();
        let mut value = serde_json::to_value(&it).unwrap();
        after(&mut value);
        let bytes = canonical(&value).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let path = manifest::path(&store.shared.disk, Digest::of(&bytes));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &bytes).unwrap();
        let change =
            || Ok(Some(Change { event: LogEvent::Commit { id: it.id.clone() }, manifest: Some(Digest::of(&bytes)) }));
        store.shared.log.append("digits", |_| change()).unwrap();
        let report = store.scrub(&()).unwrap();
        assert_ne!(report.damage, [""; 0]);
        kind_and_message(store.open(&(), &it.id).map(drop))
    };
    let same = |_: &mut Value| {};
    assert_eq!(check(|_| {}, same), "");
    let cases: [Case<StoredManifest>; 11] = [
        ("`../../x`", |it| it.files[0].name = "../../x".into()),
        ("`/etc/x`", |it| it.files[0].name = "/etc/x".into()),
        ("twice", |it| it.files.push(it.files[0].clone())),
        ("add up", |it| it.files[0].size = u64::MAX),
        ("cannot be", |it| it.files[0].chunks[0].pack = usize::MAX),
        ("cannot be", |it| it.files[0].chunks[0].offset = u64::MAX),
        ("cannot be", |it| it.files[0].chunks[0].size = u64::MAX),
        ("cannot be", |it| it.files[0].chunks[0].len = u64::MAX),
        ("cannot be", |it| it.files[0].chunks[0].len = 0),
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
}

#[test]
fn a_commit_leads_only_to_the_checkpoint_it_names() {
    let (dir, ids) = store();
    let store = open(dir.path());
    let other = store.shared.log.with("digits", |it| Ok(it.manifests(&ids[1])[0])).unwrap();
    let change = || Change { event: LogEvent::Commit { id: ids[0].clone() }, manifest: Some(other) };
    store.shared.log.append("digits", |_| Ok(Some(change()))).unwrap();
    // The older manifest of the id still serves.
    check_content(&open(dir.path()), &ids[0], 1).unwrap();
    assert_ne!(store.scrub(&()).unwrap().damage, [""; 0]);
}
