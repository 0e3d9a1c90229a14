//! The same files in other places: replicas, and stores that `store-local` wrote or is to read.

use std::{fs, path::Path as FilePath};

use futures_util::StreamExt;
use modelwatch_sdk::{Store, store::ScrubDepth};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path};
use tempfile::TempDir;

use super::*;
use crate::place::{self, Place};

fn place(config: &Config) -> Place {
    place::find(config, PATIENCE).unwrap()
}

fn wait<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
}

/// Returns all files below an address, by key.
fn read_all(config: &Config) -> BTreeMap<String, Vec<u8>> {
    let Place { store, prefix, .. } = place(config);
    wait(async {
        let mut res = BTreeMap::new();
        let mut found = store.list(Some(&prefix));
        while let Some(it) = found.next().await {
            let at = it.unwrap().location;
            let key: Vec<_> = at.prefix_match(&prefix).unwrap().map(|it| it.as_ref().to_owned()).collect();
            res.insert(key.join("/"), store.get(&at).await.unwrap().bytes().await.unwrap().to_vec());
        }
        res
    })
}

fn write_all(config: &Config, files: &BTreeMap<String, Vec<u8>>) {
    let Place { store, prefix, .. } = place(config);
    wait(async {
        for (key, bytes) in files {
            let path: Path = key.split('/').fold(prefix.clone(), |path, it| path.join(it));
            store.put(&path, PutPayload::from(bytes.clone())).await.unwrap();
        }
    });
}

fn walk(root: &FilePath, dir: &FilePath, res: &mut BTreeMap<String, Vec<u8>>) {
    for it in fs::read_dir(dir).unwrap() {
        let path = it.unwrap().path();
        if path.is_dir() {
            walk(root, &path, res);
        } else {
            let key = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            res.insert(key, fs::read(&path).unwrap());
        }
    }
}

fn local(dir: &TempDir) -> Box<dyn CheckpointStore> {
    let config = json!({ "path": dir.path().join("store"), "create": true });
    store_local::LocalStore::open(serde_json::from_value(config).unwrap()).unwrap()
}

fn check(store: &dyn CheckpointStore, ids: &[CheckpointId]) {
    for (id, step) in ids.iter().zip(1..) {
        assert!(read(store, id).unwrap() == content(step));
    }
    let found: Vec<_> = store.history("digits").unwrap().checkpoints().iter().map(|it| it.id.clone()).collect();
    assert_eq!(found, ids);
    assert_eq!(store.scrub(&(), ScrubDepth::Full).unwrap().damage, [""; 0]);
}

#[test]
fn what_one_plugin_wrote_the_other_reads_and_goes_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let mut ids = [1, 2].map(|it| commit(local(&dir).as_ref(), it).unwrap()).to_vec();
    local(&dir).set_ref("digits", "good", &ids[0], None, "").unwrap();
    let mut files = BTreeMap::new();
    walk(&dir.path().join("store"), &dir.path().join("store"), &mut files);
    let config = config("memory:///from-a-folder", []);
    write_all(&config, &files);
    let object = open_with(&config, PATIENCE, settings()).unwrap();
    check(&object, &ids);
    assert_eq!(object.get_ref("digits", "good").unwrap().as_ref(), Some(&ids[0]));
    ids.push(commit(&object, 3).unwrap());
    check(&object, &ids);

    let back = tempfile::tempdir().unwrap();
    for (key, bytes) in read_all(&config) {
        let path = back.path().join("store").join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    check(local(&back).as_ref(), &ids);
    ids.push(commit(local(&back).as_ref(), 4).unwrap());
    check(local(&back).as_ref(), &ids);
}

#[test]
fn a_replica_mends_a_bucket() {
    a_replica_mends(|name| config(&format!("memory:///mended-{name}"), []));
}

/// Lets a replica mend a store of which every file is damaged; `at` says where a store of that name is.
pub(super) fn a_replica_mends(at: impl Fn(&str) -> Config) {
    let ids = [1, 2].map(|it| commit(&open_with(&at("a"), PATIENCE, settings()).unwrap(), it).unwrap());
    let whole = read_all(&at("a"));
    let with_replica = Config { replicas: vec![at("b").url], ..at("a") };
    let e = open_with(&with_replica, PATIENCE, settings()).map(drop).unwrap_err();
    assert!(e.path == "/replicas/0" && e.message.contains("no store"), "{}: {e}", e.path);
    write_all(&at("b"), &whole);
    let damaged = whole.iter().map(|(key, bytes)| {
        let mut bytes = bytes.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 16;
        (key.clone(), bytes)
    });
    write_all(&at("a"), &damaged.collect());
    let store = open_with(&with_replica, PATIENCE, settings()).unwrap();
    let report = store.repair(&()).unwrap();
    assert_eq!((report.mended.len(), report.lost), (whole.len(), vec![]));
    check(&open_with(&at("a"), PATIENCE, settings()).unwrap(), &ids);
    let now = read_all(&at("a"));
    assert!(whole.iter().all(|(key, bytes)| now[key] == *bytes));
    assert_eq!(now.keys().filter(|it| it.starts_with("quarantine/")).count(), whole.len());
}
