//! The suite for checkpoint stores.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process, slice,
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::{Map, Value};

use super::{good, refused, store_races};
use crate::{
    error::{ErrorKind, Result},
    store::{self, CheckpointId, CheckpointManifest, CheckpointStore, LogEvent, ScrubDepth, VerdictRecord},
    tensor::{DType, TensorView},
};

/// The content of one checkpoint, with digests of BLAKE3, which this crate does without.
const CONTENT: &str = concat!(
    r#"{"files":[{"digest":"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262","name":"empty","size":0},"#,
    r#"{"digest":"d33fb48ab5adff269ae172b29a6913ff04f6f266207a7a8e976f2ecd571d4492","name":"model.bin","size":3}],"#,
    r#""format":1,"metadata":{"loss":0.1,"step":1200},"tensors":["#,
    r#"{"digest":"292e960b4456e16092d5aed318ea5227a3e6a5090f134fad396307116550fb5a","dtype":"f32","name":"bias","shape":[1]}]}"#,
);

/// Its id.
const ID_OF_CONTENT: &str = "dc19538419700391a13db4324a91cc1ad0941610e629b56f4784c40a647e43da";

/// Opens a store in a folder that exists.
pub(super) type Open<'a> = &'a dyn Fn(&Path) -> Result<Box<dyn CheckpointStore>>;

/// Checks that a checkpoint store keeps its promises.
///
/// `open` opens a store in the folder it is given, which is empty at first; it is called again with
/// the same folder to reopen the store, and must then find everything. The folders are made in the
/// system's folder for temporary files and removed at the end. A store that keeps nothing on disk
/// can take the folder's path for a name.
///
/// That files, tensors and metadata come back as they were written, whole and in pieces; that ids are the BLAKE3 digests of
/// [`content`](store::content), and the digests in it those of BLAKE3; that committing is idempotent and a writer that
/// is dropped leaves nothing; that hostile names are refused; that refs move by compare-and-swap, also between
/// threads; that the log is ordered, without gaps, and can be paged; that a checkpoint with a ref is not removed; that a
/// scrub of an undamaged store finds no damage.
///
/// # Panics
/// When a promise is broken; that is how a test fails.
pub fn store(open: Open<'_>) {
    for case in [empty, contents, commits, identity, names, refs, log, removal, reopening] {
        let place = Place::new();
        case(&place, open);
    }
    for case in [store_races::committers, store_races::movers] {
        let place = Place::new();
        case(place.path(), open);
    }
}

/// An empty folder that is removed with this value.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("modelwatch-conformance-{}-{n}", process::id()));
        // One of an earlier process with the same id may have been left behind.
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("cannot create `{}`: {e}", path.display()));
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn open(&self, open: Open<'_>) -> Box<dyn CheckpointStore> {
        good("opening the store", || open(&self.0))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Commits a checkpoint with one file.
pub(super) fn commit(store: &dyn CheckpointStore, lineage: &str, text: &str) -> CheckpointId {
    let mut writer = good("beginning a checkpoint", || store.begin(&(), lineage, &Map::new()));
    good("appending to a file", || writer.append("model.bin", text.as_bytes()));
    good("committing", || writer.commit())
}

fn absent() -> CheckpointId {
    CheckpointId::parse(&"0123456789abcdef".repeat(4)).expect("64 hexadecimal digits")
}

fn verdict(word: &str) -> VerdictRecord {
    VerdictRecord {
        verdict: word.to_owned(),
        pipeline: "p".to_owned(),
        run_id: "r".to_owned(),
        metrics: BTreeMap::new(),
        blessing: None,
    }
}

fn empty(place: &Place, open: Open<'_>) {
    let store = place.open(open);
    assert!(good("lineages of an empty store", || store.lineages()).is_empty(), "an empty store has lineages");
    assert!(good("the log of an unknown lineage", || store.log("a", 0, 10)).is_empty(), "an empty store has a log");
    assert_eq!(good("a ref of an unknown lineage", || store.get_ref("a", "good")), None);
    let id = absent();
    refused("opening a checkpoint that is not there", ErrorKind::NotFound, || store.open(&(), &id).map(drop));
    refused("moving a ref to what is not there", ErrorKind::NotFound, || store.set_ref("a", "good", &id, None, ""));
    refused("a verdict on what is not there", ErrorKind::NotFound, || store.record_verdict("a", &id, &verdict("pass")));
    assert!(store.remove("a", slice::from_ref(&id), "").is_err(), "a checkpoint that is not there can be removed");
    let report = good("scrubbing an empty store", || store.scrub(&(), ScrubDepth::Full));
    assert!(report.damage.is_empty() && report.checkpoints == 0, "an empty store is damaged: {report:?}");
}

fn contents(place: &Place, open: Open<'_>) {
    let store = place.open(open);
    let files = [
        ("empty", 0),
        ("one", 1),
        ("nested/deep/er.bin", 4096),
        ("übung/模型.onnx", 65_537),
        ("with space and-dash_.x", 100),
        ("large", 3 << 20),
    ];
    let metadata = metadata();
    let mut writer = good("beginning a checkpoint", || store.begin(&(), "a", &metadata));
    for (name, size) in files {
        let bytes = content(name, size);
        good("appending nothing", || writer.append(name, &[]));
        for piece in bytes.chunks(100_003) {
            good(&format!("appending to `{name}`"), || writer.append(name, piece));
        }
    }
    let tensors = tensors();
    for (name, dtype, shape, bytes) in &tensors {
        good(&format!("adding the tensor `{name}`"), || {
            writer.tensor(&TensorView { name, dtype: *dtype, shape, bytes })
        });
    }
    let (name, dtype, shape, bytes) = &tensors[0];
    let again = TensorView { name, dtype: *dtype, shape, bytes };
    assert!(writer.tensor(&again).is_err(), "a second tensor of the name `{name}` is accepted");
    let id = good("committing", || writer.commit());
    let reader = good("opening what was committed", || store.open(&(), &id));
    let manifest = reader.manifest();
    assert_eq!(manifest.id, id, "the manifest has another id");
    assert_eq!(manifest.metadata, metadata, "the metadata changed");
    assert!(manifest.files.is_sorted_by(|a, b| a.name < b.name), "the manifest's files are not sorted by name");
    assert!(manifest.tensors.is_sorted_by(|a, b| a.name < b.name), "the manifest's tensors are not sorted by name");
    let mut listed: Vec<_> = manifest.files.iter().map(|it| (it.name.as_str(), it.size)).collect();
    let mut wanted: Vec<_> = files.iter().map(|&(name, size)| (name, size as u64)).collect();
    listed.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(listed, wanted, "the manifest lists other files");
    assert_eq!(manifest.tensors.len(), tensors.len(), "the manifest lists another number of tensors");
    for (name, size) in files {
        let same = read_all(name, 70_001, |offset, out| reader.read(name, offset, out)) == content(name, size);
        assert!(same, "the file `{name}` is not what was written");
        let mut out = [0; 8];
        let n = good("reading past the end", || reader.read(name, size as u64, &mut out));
        assert_eq!(n, 0, "`{name}` has bytes past its end");
    }
    refused("reading a file that is not there", ErrorKind::NotFound, || reader.read("none", 0, &mut [0]));
    for (name, dtype, shape, bytes) in &tensors {
        let got = good(&format!("reading the tensor `{name}`"), || reader.tensor(name));
        let got = got.unwrap_or_else(|| panic!("the tensor `{name}` is gone"));
        let same = (got.name, got.dtype, got.shape, got.bytes) == (name.as_str(), *dtype, shape, bytes);
        assert!(same, "the tensor `{name}` is not what was written");
        let pieces = read_all(name, 5, |offset, out| reader.read_tensor(name, offset, out));
        assert_eq!(&pieces, bytes, "the tensor `{name}` is another one in pieces");
        let entry = manifest.tensors.iter().find(|it| it.name == *name);
        let entry = entry.unwrap_or_else(|| panic!("the manifest does not list the tensor `{name}`"));
        assert_eq!((&entry.dtype, &entry.shape), (&dtype.to_string(), shape), "the manifest's entry of `{name}`");
    }
    assert!(good("a tensor that is not there", || reader.tensor("none")).is_none());
    refused("reading a tensor that is not there", ErrorKind::NotFound, || reader.read_tensor("none", 0, &mut [0]));
    clean(store.as_ref());
}

fn metadata() -> Map<String, Value> {
    [("step".to_owned(), Value::from(1200)), ("loss".to_owned(), Value::from(0.1))].into_iter().collect()
}

fn content(name: &str, size: usize) -> Vec<u8> {
    let mut state = name.len() as u32 | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

fn tensors() -> Vec<(String, DType, Vec<u64>, Vec<u8>)> {
    let names = ["f16", "bf16", "f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "bool"];
    let mut res: Vec<_> = names
        .into_iter()
        .filter_map(|it| Some((it, DType::parse(it)?)))
        .map(|(it, dtype)| (format!("layer.0/{it}:0"), dtype, vec![2, 3], vec![1; 6 * dtype.size()]))
        .collect();
    res.push(("scalar".to_owned(), DType::F32, Vec::new(), 1.5f32.to_le_bytes().to_vec()));
    res.push(("no elements".to_owned(), DType::F64, vec![0, 3], Vec::new()));
    res
}

fn read_all(name: &str, step: usize, read: impl Fn(u64, &mut [u8]) -> Result<usize>) -> Vec<u8> {
    let (mut res, mut out) = (Vec::new(), vec![0; step]);
    loop {
        match good(&format!("reading `{name}`"), || read(res.len() as u64, &mut out)) {
            0 => return res,
            n => res.extend_from_slice(&out[..n]),
        }
    }
}

#[track_caller]
pub(super) fn clean(store: &dyn CheckpointStore) {
    let report = good("scrubbing", || store.scrub(&(), ScrubDepth::Full));
    assert!(report.damage.is_empty(), "an undamaged store is reported as damaged: {:?}", report.damage);
    assert!(report.checkpoints > 0, "the scrub of a store with checkpoints read none");
}

fn commits(place: &Place, open: Open<'_>) {
    let store = place.open(open);
    let mut dropped = good("beginning a checkpoint", || store.begin(&(), "a", &Map::new()));
    good("appending", || dropped.append("model.bin", b"never"));
    drop(dropped);
    assert!(good("the log", || store.log("a", 0, 10)).is_empty(), "a writer that was dropped left an entry");
    assert!(good("lineages", || store.lineages()).is_empty(), "a writer that was dropped left a lineage");
    let first = commit(store.as_ref(), "a", "one");
    assert_eq!(commit(store.as_ref(), "a", "one"), first, "the same content has another id");
    let entries = good("the log", || store.log("a", 0, 10));
    assert_eq!(entries.len(), 1, "committing the same content again changed the log");
    let second = commit(store.as_ref(), "a", "two");
    assert_ne!(second, first, "different files have the same id");
    let metadata = [("step".to_owned(), Value::from(1))].into_iter().collect();
    let mut writer = good("beginning a checkpoint", || store.begin(&(), "a", &metadata));
    good("appending", || writer.append("model.bin", b"one"));
    assert_ne!(good("committing", || writer.commit()), first, "different metadata has the same id");
    assert_eq!(good("get_ref", || store.get_ref("b", "latest")), None, "a lineage sees another's checkpoints");
    let other = commit(store.as_ref(), "b", "only here");
    refused("moving a ref to another lineage's checkpoint", ErrorKind::NotFound, || {
        store.set_ref("a", "good", &other, None, "")
    });
    assert_eq!(good("lineages", || store.lineages()), ["a", "b"], "the lineages are not complete and sorted");
    clean(store.as_ref());
}

fn identity(place: &Place, open: Open<'_>) {
    let store = place.open(open);
    let mut writer = good("beginning a checkpoint", || store.begin(&(), "a", &metadata()));
    for (name, bytes) in [("model.bin", &b"one"[..]), ("empty", b"")] {
        good("appending", || writer.append(name, bytes));
    }
    let tensor = TensorView { name: "bias", dtype: DType::F32, shape: &[1], bytes: &1.5f32.to_le_bytes() };
    good("adding a tensor", || writer.tensor(&tensor));
    let id = good("committing", || writer.commit());
    let reader = good("opening what was committed", || store.open(&(), &id));
    let CheckpointManifest { metadata, files, tensors, .. } = reader.manifest();
    let listed = store::content(metadata, files, tensors);
    assert_eq!(listed, CONTENT, "the manifest lists digests that are not those of BLAKE3");
    assert_eq!(id.as_str(), ID_OF_CONTENT, "an id is not the BLAKE3 digest of `store::content`");
}

fn names(place: &Place, open: Open<'_>) {
    let store = place.open(open);
    let id = commit(store.as_ref(), "a", "one");
    for name in
        ["", ".", "..", "../x", "a/../b", "/etc/x", "a//b", "a/", "a\\b", "a\0b", "C:x", "a\nb", &"x".repeat(513)]
    {
        let mut writer = good("beginning a checkpoint", || store.begin(&(), "a", &Map::new()));
        refused(&format!("a file named {name:?}"), ErrorKind::Input, || writer.append(name, b"x"));
    }
    for name in ["", ".", "..", ".x", "a/b", "../a", "a b", "a\0", "ü", &"x".repeat(129)] {
        refused(&format!("a lineage named {name:?}"), ErrorKind::Input, || {
            store.begin(&(), name, &Map::new()).map(drop)
        });
        refused(&format!("a ref named {name:?}"), ErrorKind::Input, || store.set_ref("a", name, &id, None, ""));
    }
}

fn refs(place: &Place, open: Open<'_>) {
    let store = place.open(open);
    let (a, b) = (commit(store.as_ref(), "a", "one"), commit(store.as_ref(), "a", "two"));
    let set = |id, expected, reason| store.set_ref("a", "good", id, expected, reason);
    let at = || good("get_ref", || store.get_ref("a", "good"));
    assert_eq!(good("get_ref", || store.get_ref("a", "latest")).as_ref(), Some(&b), "`latest` is not the newest");
    refused("moving a ref that is not there from somewhere", ErrorKind::Conflict, || set(&a, Some(&b), ""));
    good("setting a new ref", || set(&a, None, "first"));
    assert_eq!(at().as_ref(), Some(&a), "the ref is not where it was set");
    refused("setting a ref as new that is there", ErrorKind::Conflict, || set(&b, None, ""));
    refused("moving a ref from where it is not", ErrorKind::Conflict, || set(&b, Some(&b), ""));
    assert_eq!(at().as_ref(), Some(&a), "a move that was refused moved the ref");
    good("moving a ref", || set(&b, Some(&a), "second"));
    assert_eq!(at().as_ref(), Some(&b), "the ref is not where it was moved");
    let history = good("history", || store.history("a"));
    let moves: Vec<_> =
        history.moves().iter().map(|it| (it.from.as_ref(), it.to.as_ref(), it.reason.as_str())).collect();
    let wanted = [(None, Some(&a), "first"), (Some(&a), Some(&b), "second")];
    assert_eq!(moves, wanted, "the moves are not in the log as they were");
    let unset = |expected, reason| store.unset_ref("a", "good", expected, reason);
    refused("taking a ref away from where it is not", ErrorKind::Conflict, || unset(&a, ""));
    good("taking a ref away", || unset(&b, "third"));
    assert_eq!(at(), None, "a ref that was taken away is still there");
    refused("taking a ref away twice", ErrorKind::NotFound, || unset(&b, ""));
    good("setting a ref that was taken away", || set(&a, None, "fourth"));
    assert_eq!(at().as_ref(), Some(&a), "a ref that was taken away cannot come again");
}

fn log(place: &Place, open: Open<'_>) {
    let store = place.open(open);
    let (a, b) = (commit(store.as_ref(), "a", "one"), commit(store.as_ref(), "a", "two"));
    for (id, word) in [(&a, "pass"), (&b, "pass"), (&b, "fail")] {
        good("recording a verdict", || store.record_verdict("a", id, &verdict(word)));
    }
    let all = good("the whole log", || store.log("a", 0, 1000));
    let ops: Vec<_> = all.iter().map(|it| matches!(it.event, LogEvent::Commit { .. })).collect();
    assert_eq!(ops, [true, true, false, false, false], "the log is not in the order of what happened");
    assert!(all.iter().map(|it| it.seq).eq(1..=5), "the log's numbers are not 1, 2, 3, …");
    let mut paged = Vec::new();
    while let [entry] = good("a page of one entry", || store.log("a", paged.len() as u64, 1)).as_slice() {
        paged.push(entry.clone());
        assert!(paged.len() <= all.len(), "the log has no end when it is read in pages");
    }
    assert_eq!(paged, all, "the log in pages is not the log");
    assert!(good("the log after its end", || store.log("a", u64::MAX, 10)).is_empty(), "there is a log after its end");
    let history = good("history", || store.history("a"));
    assert!(history.known_good().eq([&a]), "the verdicts do not tell the known good checkpoints");
}

fn removal(place: &Place, open: Open<'_>) {
    let store = place.open(open);
    let (a, b) = (commit(store.as_ref(), "a", "one"), commit(store.as_ref(), "a", "two"));
    good("setting a ref", || store.set_ref("a", "good", &a, None, ""));
    refused("removing what a ref points at", ErrorKind::Conflict, || store.remove("a", slice::from_ref(&a), ""));
    assert!(good("history", || store.history("a")).contains(&a), "a removal that was refused removed");
    good("moving the ref", || store.set_ref("a", "good", &b, Some(&a), ""));
    good("removing", || store.remove("a", slice::from_ref(&a), ""));
    assert!(!good("history", || store.history("a")).contains(&a), "what was removed is still there");
    let third = commit(store.as_ref(), "a", "three");
    let pair = [third.clone(), absent()];
    refused("removing one that is there and one that is not", ErrorKind::NotFound, || store.remove("a", &pair, ""));
    assert!(good("history", || store.history("a")).contains(&third), "a removal that failed removed a part");
    refused("moving a ref to what was removed", ErrorKind::NotFound, || store.set_ref("a", "good", &a, Some(&b), ""));
    assert_eq!(commit(store.as_ref(), "a", "one"), a, "what was removed has another id when it comes again");
    assert!(good("history", || store.history("a")).contains(&a), "what was removed cannot come again");
    clean(store.as_ref());
}

fn reopening(place: &Place, open: Open<'_>) {
    let store = place.open(open);
    let id = commit(store.as_ref(), "a", "one");
    good("setting a ref", || store.set_ref("a", "good", &id, None, ""));
    let before = good("the log", || store.log("a", 0, 10));
    let beside = place.open(open);
    let second = commit(beside.as_ref(), "a", "two");
    assert!(good("history", || store.history("a")).contains(&second), "one handle does not see what another wrote");
    drop((store, beside));
    let again = place.open(open);
    assert_eq!(good("the log", || again.log("a", 0, 2)), before, "the log of a reopened store is another");
    assert_eq!(good("get_ref", || again.get_ref("a", "good")).as_ref(), Some(&id), "a ref is gone after reopening");
    let reader = good("opening a checkpoint after reopening", || again.open(&(), &id));
    let bytes = read_all("model.bin", 100, |offset, out| reader.read("model.bin", offset, out));
    assert_eq!(bytes, b"one", "a file changed with reopening");
}
