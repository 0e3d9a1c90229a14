//! What goes in comes out.

use std::{
    fs::{self, File},
    time::{Duration, UNIX_EPOCH},
};

use modelwatch_sdk::{Store, store::History};
use modelwatch_store::{
    Compression, Stage,
    format::{Digest, MAX_PACK},
};

use super::{
    tape::{Done, Recorder},
    *,
};
use crate::{
    Config, LocalStore,
    disk::Disk,
    stage::{Staging, sweep},
};

fn config(path: &str) -> Config {
    Config { path: path.to_owned(), create: true, compression: Compression::Adaptive, delta: false, replicas: vec![] }
}

fn open_sized(path: &Path, chunk_size: u64) -> Engine {
    open_with(path, Arc::new(Fast), MANNERS, Settings { chunk_size, max_pack: MAX_PACK, ..settings() }).unwrap()
}

#[test]
fn files_of_every_size_come_back_bit_exact() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/store").to_str().unwrap().to_owned();
    let store = LocalStore::open(config(&path)).unwrap();
    let mib = 1 << 20;
    let sizes = [0, 1, mib - 1, mib, mib + 1, 3 * mib + 17];
    let mut writer = store.begin(&(), "digits", &Map::new()).unwrap();
    for (at, &size) in sizes.iter().enumerate() {
        let name = format!("{at}");
        writer.append(&name, &[]).unwrap();
        for it in noise(size, at as u64).chunks(700_001) {
            writer.append(&name, it).unwrap();
        }
    }
    let id = writer.commit().unwrap();
    for step in [65_537, 2 * mib, 10 * mib] {
        let reader = store.open(&(), &id).unwrap();
        for (at, &size) in sizes.iter().enumerate() {
            let expected = noise(size, at as u64);
            let entry = &reader.manifest().files[at];
            assert_eq!((entry.size, &entry.digest), (size as u64, &Digest::of(&expected).to_string()));
            assert!(read_file(reader.as_ref(), &entry.name, step).unwrap() == expected, "{size} by {step}");
        }
        let mut tail = [0; 8];
        assert_eq!(reader.read("5", 3 * mib as u64 + 14, &mut tail).unwrap(), 3);
        assert_eq!(reader.read("5", u64::MAX, &mut tail).unwrap(), 0);
        assert_eq!(kind(reader.read("6", 0, &mut tail)), Some(ErrorKind::NotFound));
    }
    let report = store.scrub(&(), ScrubDepth::Full).unwrap();
    assert_eq!((report.checkpoints, report.damage), (1, vec![]));
    assert!(report.bytes > 6 * mib as u64);
    assert!(files(Path::new(&path), "/tmp/").is_empty());
}

#[test]
fn a_pack_is_never_larger_than_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_sized(dir.path(), 1 << 20);
    let mut writer = store.begin(&(), "x", &Map::new()).unwrap();
    for it in 0..66 {
        writer.append("f", &noise(1 << 20, it)).unwrap();
    }
    writer.commit().unwrap();
    let sizes: Vec<u64> = files(dir.path(), "/packs/").iter().map(|it| fs::metadata(it).unwrap().len()).collect();
    assert_eq!(sizes.len(), 2);
    assert!(sizes.iter().all(|&it| it <= MAX_PACK), "{sizes:?}");
}

#[test]
fn tensors_of_every_type_come_back_bit_exact() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let cases: [(&str, DType, &[u64]); 5] = [
        ("scalar", DType::F64, &[]),
        ("empty", DType::I64, &[3, 0]),
        ("a/b:0", DType::Bf16, &[7]),
        ("../not a path", DType::Bool, &[2, 2]),
        ("large", DType::F32, &[3, 2048]),
    ];
    let len = |dtype: DType, shape: &[u64]| shape.iter().product::<u64>() as usize * dtype.size();
    let mut writer = store.begin(&(), "digits", &Map::new()).unwrap();
    for (name, dtype, shape) in cases {
        let bytes = noise(len(dtype, shape), 7);
        writer.tensor(&TensorView { name, dtype, shape, bytes: &bytes }).unwrap();
        assert_eq!(kind(writer.tensor(&TensorView { name, dtype, shape, bytes: &bytes })), Some(ErrorKind::Input));
    }
    for (name, shape) in [("x", &[3u64][..]), ("x", &[u64::MAX, 2]), ("", &[1]), ("a\nb", &[1])] {
        let bad = TensorView { name, dtype: DType::F32, shape, bytes: &[0; 4] };
        assert_eq!(kind(writer.tensor(&bad)), Some(ErrorKind::Input), "{name:?} {shape:?}");
    }
    let id = writer.commit().unwrap();
    let reader = store.open(&(), &id).unwrap();
    assert_eq!(reader.manifest().tensors.len(), cases.len());
    for (name, dtype, shape) in cases {
        let tensor = reader.tensor(name).unwrap().unwrap();
        assert_eq!((tensor.name, tensor.dtype, tensor.shape), (name, dtype, shape));
        assert_eq!(tensor.bytes, noise(len(dtype, shape), 7), "{name}");
    }
    assert!(reader.tensor("x").unwrap().is_none());
}

#[test]
fn the_id_is_that_of_the_content_alone() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let small = open(dirs[0].path());
    let large = open_sized(dirs[1].path(), 1 << 20);
    let id = commit(&small, "digits", 1).unwrap();
    assert_eq!(commit(&large, "other", 1).unwrap(), id);
    let entries = small.log("digits", 0, 10).unwrap();
    assert_eq!(commit(&small, "digits", 1).unwrap(), id);
    assert_eq!(small.log("digits", 0, 10).unwrap(), entries);
    assert_eq!(entries.len(), 1);

    // Pinned, because every release must come to the same.
    let pinned = |metadata: Value| {
        let mut writer = small.begin(&(), "pinned", metadata.as_object().unwrap()).unwrap();
        writer.append("b", b"2").unwrap();
        writer.append("a", b"1").unwrap();
        writer.append("b", b"3").unwrap();
        writer.commit().unwrap().to_string()
    };
    let content = format!(
        r#"{{"files":[{{"digest":"{}","name":"a","size":1}},{{"digest":"{}","name":"b","size":2}}],"format":1,"metadata":{{"x":1,"y":[0.5]}},"tensors":[]}}"#,
        Digest::of(b"1"),
        Digest::of(b"23"),
    );
    assert_eq!(pinned(json!({"y": [0.5], "x": 1})), Digest::of(content.as_bytes()).to_string());
    assert_ne!(pinned(json!({"y": [0.5], "x": 2})), Digest::of(content.as_bytes()).to_string());
}

#[test]
fn bytes_that_are_there_already_are_not_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let size = || files(dir.path(), "/packs/").iter().map(|it| fs::metadata(it).unwrap().len()).sum::<u64>();
    let store = open(dir.path());
    let id = commit(&store, "digits", 1).unwrap();
    let first = size();
    let second = commit(&open(dir.path()), "digits", 2).unwrap();
    assert!(size() - first < first - 2 * CHUNK as u64 + 200, "{first} then {}", size());
    check_content(&store, &id, 1).unwrap();
    check_content(&store, &second, 2).unwrap();
}

#[test]
fn interleaved_files_with_bounded_buffers_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_sized(dir.path(), 16 << 20);
    let mut writer = store.begin(&(), "x", &Map::new()).unwrap();
    for round in 0..3 {
        for file in 0..8u64 {
            writer.append(&format!("{file}"), &noise(5 << 20, file * 10 + round)).unwrap();
        }
    }
    let id = writer.commit().unwrap();
    let reader = store.open(&(), &id).unwrap();
    for file in 0..8u64 {
        let expected = (0..3).flat_map(|round| noise(5 << 20, file * 10 + round)).collect::<Vec<_>>();
        assert!(read_file(reader.as_ref(), &format!("{file}"), 1 << 20).unwrap() == expected, "{file}");
    }
}

#[test]
fn dropping_a_writer_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut writer = store.begin(&(), "digits", &Map::new()).unwrap();
    writer.append("a", &noise(10 * CHUNK, 1)).unwrap();
    assert!(!files(dir.path(), "/tmp/").is_empty());
    drop(writer);
    assert_eq!(files(dir.path(), ""), [dir.path().join("store.json")]);
    assert_eq!(store.lineages().unwrap(), [""; 0]);
    assert_eq!(store.log("digits", 0, 10).unwrap(), []);
}

#[test]
fn names_that_could_escape_or_clash_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for lineage in ["", "..", "a/b", ".x"] {
        assert_eq!(kind(store.begin(&(), lineage, &Map::new())), Some(ErrorKind::Input), "{lineage:?}");
        assert_eq!(kind(store.log(lineage, 0, 1)), Some(ErrorKind::Input), "{lineage:?}");
    }
    let mut writer = store.begin(&(), "digits", &Map::new()).unwrap();
    writer.append("a/b", b"1").unwrap();
    for name in ["../x", "/etc/passwd", "a", "a/b/c", "a//c", "x\\y", ""] {
        assert_eq!(kind(writer.append(name, b"2")), Some(ErrorKind::Input), "{name:?}");
    }
    writer.append("a-b", b"3").unwrap();
    let id = writer.commit().unwrap();
    let names: Vec<_> = store.open(&(), &id).unwrap().manifest().files.iter().map(|it| it.name.clone()).collect();
    assert_eq!(names, ["a-b", "a/b"]);

    let mut deep = Value::from(1);
    for _ in 0..64 {
        deep = json!([deep]);
    }
    let deep = json!({"deep": deep}).as_object().unwrap().clone();
    assert_eq!(kind(store.begin(&(), "digits", &deep)), Some(ErrorKind::Input));
}

#[test]
fn abandoned_staged_files_are_swept_and_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::open(dir.path(), Arc::new(Fast)).unwrap());
    let running = Staging::new(&disk).unwrap();
    running.write("a", b"1").unwrap();
    let abandoned = dir.path().join("tmp/gone");
    fs::create_dir(&abandoned).unwrap();
    for it in ["lock", "0.pack"] {
        fs::write(abandoned.join(it), it).unwrap();
    }
    File::open(&abandoned).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(1000)).unwrap();
    sweep(&disk, 4599, Duration::from_secs(3600));
    assert!(abandoned.exists());
    sweep(&disk, u64::MAX / 4, Duration::from_secs(3600));
    assert!(!abandoned.exists());
    assert_eq!(files(dir.path(), "/tmp/").len(), 2, "the running writer's");
}

#[test]
fn a_path_that_is_no_folder_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    assert_eq!(kind(try_open(&file)), Some(ErrorKind::Input));
    assert_eq!(kind(try_open(&file.join("below"))), Some(ErrorKind::Io));
    assert_eq!(kind(LocalStore::open(config(""))), Some(ErrorKind::Config));
    let registry = crate::registry();
    let options = json!({"path": dir.path().join("s"), "color": 1});
    assert_eq!(kind(registry.open_store("local", &options)), Some(ErrorKind::Config));
    registry.open_store("local", &json!({"path": dir.path().join("s"), "create": true})).unwrap();
    let history: History = open(&dir.path().join("s")).history("nobody").unwrap();
    assert_eq!(history.last_seq(), 0);
}

/// Each sync that has something to do makes a journal wait for the disk.
#[test]
fn all_packs_get_their_names_before_a_folder_is_synced() {
    let dir = scratch();
    let recorder = Recorder::<()>::new();
    let watch: Arc<dyn Watch> = Arc::<Recorder<()>>::clone(&recorder);
    let store = open_watched(&dir.path().join("store"), watch).unwrap();
    let mut writer = store.begin(&(), "digits", &Map::new()).unwrap();
    writer.append("model.bin", &noise(20 * CHUNK, 1)).unwrap();
    writer.commit().unwrap();
    let packs = dir.path().canonicalize().unwrap().join("store/packs");
    let tape = recorder.tape();
    let at = |is: &dyn Fn(&Done<()>) -> bool| -> Vec<usize> {
        tape.iter().enumerate().filter(|it| is(it.1)).map(|it| it.0).collect()
    };
    let links = at(&|it| matches!(it, Done::Link(_, to) if to.starts_with(&packs)));
    let made = at(&|it| matches!(it, Done::CreateDir(it) if it.starts_with(&packs) && *it != packs));
    let synced = at(&|it| matches!(it, Done::SyncDir(it) if *it == packs));
    let settled = at(&|it| matches!(it, Done::SyncDir(it) if it.parent() == Some(&packs)));
    assert!(links.len() > 3, "{tape:?}");
    assert!(synced.len() == 1 && made.last() < synced.first() && synced.last() < links.first(), "{tape:?}");
    assert!(settled.len() == made.len() && links.last() < settled.first(), "{tape:?}");
}
