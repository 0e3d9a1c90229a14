//! Every bit of what describes checkpoints, and many of what they consist of: a changed one is noticed, and what
//! is handed out is right or nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use modelwatch_sdk::testing::FaultRow;

use super::*;
use crate::{
    format::{Digest, canonical, seal},
    keys,
    manifest::{self, Chunk, StoredManifest},
    parallel,
};

/// How many bits of packs are flipped.
const N_PACK_BITS: u64 = 10_000;
/// How many bits a thread flips before it takes the next ones.
const SHARE: usize = 1000;

/// With segments so short that there is one.
fn try_open(memory: &Memory, clock: fn() -> u64) -> Result<Engine> {
    Engine::open_with_segments(Arc::new(memory.clone()), Settings { clock, ..settings() }, 4)
}

/// A store, and what was committed to it and is there.
struct Sample {
    memory: Memory,
    committed: [(CheckpointId, u64, Content); 2],
}

/// The least that has all: a file of two chunks, the first of them the same at every step, one of a chunk, and a tensor.
/// All of it is read once for each bit.
fn little(step: u64) -> Content {
    [
        ("config.json", b"{}".to_vec()),
        ("weights/model.bin", [noise(CHUNK, 0), noise(10, 1 + step)].concat()),
        ("tensor:dense/kernel", noise(60, 1000 + step)),
    ]
}

impl Sample {
    /// A store with everything in it that there can be: refs, segments, garbage that was marked and swept, and garbage
    /// that was only marked.
    fn new(content: fn(u64) -> Content) -> Self {
        let memory = Memory::new(true);
        let store = try_open(&memory, || NOW).unwrap();
        let commit = |step| {
            let content = content(step);
            let id = write_these(&store, "digits", step, &content).unwrap().commit().unwrap();
            (id, step, content)
        };
        let committed = [1, 2].map(commit);
        for (step, grace) in [(3, 0), (4, 1)] {
            let (gone, ..) = commit(step);
            store.remove("digits", &[gone], "").unwrap();
            memory.set_clock(NOW + grace);
            let report = collect(&try_open(&memory, if grace == 0 { || NOW } else { || NOW + 1 }).unwrap(), grace);
            assert_eq!((report.marked.files > 0, report.swept.files > 0), (true, grace == 0));
        }
        store.set_ref("digits", "good", &committed[0].0, None, "ok").unwrap();
        Self { memory, committed }
    }

    /// Flips each of these bits by itself, in several threads that have a copy of the store each.
    fn flip(&self, bits: &[(String, usize)]) -> Count {
        let mut counts = parallel::workers::<Count>();
        parallel::share(&mut counts, bits.chunks(SHARE).collect(), |count, bits| {
            let memory = self.memory.copy();
            for (key, bit) in bits {
                self.flip_one(&memory, key, *bit, count);
            }
        });
        counts.into_iter().fold(Count::default(), Count::and)
    }

    fn flip_one(&self, memory: &Memory, key: &str, bit: usize, count: &mut Count) {
        // A fast scrub reads all metadata.
        let depth = if key.starts_with("packs/") { ScrubDepth::Full } else { ScrubDepth::Fast };
        let bytes = memory.get(key);
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        memory.put(key, changed);
        count.flipped += 1;
        match catch_unwind(AssertUnwindSafe(|| self.is_noticed(memory, depth))) {
            Ok(it) => count.detected += u64::from(it),
            // Other content than was committed, or a panic of the engine.
            Err(_) => count.wrong += 1,
        }
        memory.put(key, bytes);
    }

    /// Reads everything, and whatever can be read must be right. Returns whether anything was said to be damaged, by a
    /// scrub of that depth if nothing else.
    fn is_noticed(&self, memory: &Memory, depth: ScrubDepth) -> bool {
        let Ok(store) = try_open(memory, || NOW) else {
            return true;
        };
        let mut is_noticed = false;
        for (id, step, content) in &self.committed {
            is_noticed |= check_these(&store, id, *step, content).is_err();
        }
        is_noticed || !store.scrub(&(), depth).is_ok_and(|it| it.damage.is_empty())
    }
}

/// What became of changed bits.
#[derive(Default)]
struct Count {
    flipped: u64,
    detected: u64,
    wrong: u64,
}

impl Count {
    fn and(self, other: Self) -> Self {
        Self {
            flipped: self.flipped + other.flipped,
            detected: self.detected + other.detected,
            wrong: self.wrong + other.wrong,
        }
    }

    fn end(&self, row: FaultRow) {
        let Self { flipped, detected, wrong } = self;
        let row = row.noting(format_args!("{detected} detected, {wrong} wrong values"));
        assert_eq!((*detected, *wrong), (*flipped, 0));
        row.ok(flipped);
    }
}

#[test]
fn every_changed_bit_of_metadata_is_noticed() {
    let row = FaultRow::new(8, "every bit of every metadata object", "SIM");
    let sample = Sample::new(little);
    let memory = &sample.memory;
    let keys: Vec<String> = memory.keys("").into_iter().filter(|it| !it.starts_with("packs/")).collect();
    for (part, n) in
        [("store.json", 1), ("log/.store/", 4), ("log/digits/", 9), (".segment", 3), ("manifests/", 2), ("gc/", 2)]
    {
        assert!(keys.iter().filter(|it| it.contains(part)).count() >= n, "{part}: {keys:?}");
    }
    assert!(!sample.is_noticed(memory, ScrubDepth::Full), "something is wrong before a bit is flipped");
    let bits_of = |key: &String| (0..memory.get(key).len() * 8).map(|bit| (key.clone(), bit)).collect::<Vec<_>>();
    let bits: Vec<_> = keys.iter().flat_map(bits_of).collect();
    let count = sample.flip(&bits);
    assert_eq!(count.flipped, bits.len() as u64);
    count.end(row);
}

#[test]
fn changed_bits_of_packs_are_noticed() {
    let row = FaultRow::new(8, "random bits of packs", "SIM");
    let sample = Sample::new(content);
    let sizes = sample.memory.keys("packs/").into_iter().map(|it| (sample.memory.get(&it).len() * 8, it));
    let sizes: Vec<_> = sizes.collect();
    let total: usize = sizes.iter().map(|it| it.0).sum();
    let drawn = |seed| {
        let draw = u64::from_le_bytes(noise(8, seed).try_into().unwrap());
        let mut bit = (draw % total as u64) as usize;
        for (n_bits, key) in &sizes {
            if bit < *n_bits {
                return (key.clone(), bit);
            }
            bit -= n_bits;
        }
        unreachable!("less than the sum was drawn")
    };
    let bits: Vec<_> = (0..N_PACK_BITS).map(drawn).collect();
    sample.flip(&bits).end(row);
}

/// Order is that of the log, whatever clocks say.
#[test]
fn clocks_order_nothing() {
    let row = FaultRow::new(16, "writers with clocks years apart, one jumps back", "SIM");
    const YEARS: u64 = 5 * 365 * 24 * 60 * 60;
    let memory = Memory::new(true);
    // Three writers that disagree; the last one's clock jumped back.
    let clocks: [fn() -> u64; 4] = [|| NOW, || NOW + YEARS, || NOW - YEARS, || 0];
    let ids: Vec<_> = clocks
        .iter()
        .zip(1..)
        .map(|(&clock, step)| commit(&open_with(&memory, Settings { clock, ..settings() }), "digits", step).unwrap())
        .collect();
    for clock in clocks {
        let store = open_with(&memory, Settings { clock, ..settings() });
        let found: Vec<_> = store.history("digits").unwrap().checkpoints().iter().map(|it| it.id.clone()).collect();
        assert_eq!(found, ids);
        assert_eq!(store.get_ref("digits", "latest").unwrap().as_ref(), ids.last());
        // Nothing recent goes: whoever measures ages by another clock than the store's is refused or finds nothing.
        let removed = memory.copy();
        let store = open_with(&removed, Settings { clock, ..settings() });
        store.remove("digits", &ids[3..], "").unwrap();
        let before = removed.keys("packs/");
        let _ = store.collect(&(), &CollectOptions { grace: 24 * 60 * 60, dry_run: false });
        assert_eq!(removed.keys("packs/"), before);
    }
    row.ok(clocks.len());
}

/// Whoever may write to the place can put every digest right, but not the one that the next entry has of this one.
/// Of the newest entry nothing can tell: to write that is what every writer may do.
#[test]
fn an_edit_with_its_digests_put_right_breaks_the_chain() {
    let row = FaultRow::new(27, "manifest and entry edited, their digests put right", "SIM");
    let memory = Memory::new(true);
    let ids = [1, 2, 3].map(|it| commit(&open(&memory), "digits", it).unwrap());
    let entries = memory.keys("log/digits/");
    for (at, key) in entries[..2].iter().enumerate() {
        let edited = memory.copy();
        edit_manifest(&edited, key, |it| {
            it.metadata = metadata(99);
            it.id = manifest::content_id(&it.metadata, &it.files, &it.tensors).unwrap();
        });
        for id in &ids[at..] {
            let e = open(&edited).open(&(), id).map(drop).unwrap_err();
            assert_eq!(e.kind, ErrorKind::Corrupt, "{e}");
            assert!(e.message.contains("does not follow from the entry before it"), "entry {at}: {e}");
        }
        // What was logged before the edit is what it was.
        for (id, step) in ids[..at].iter().zip(1..) {
            check_content(&open(&edited), id, step).unwrap();
        }
        let damage = open(&edited).scrub(&(), ScrubDepth::Fast).unwrap().damage;
        assert!(damage.iter().any(|it| it.contains("does not follow")), "{damage:?}");
    }
    row.ok(2);
}

/// The id of a checkpoint stands for its tensors, and not for the chunks that a manifest lists for them.
#[test]
fn chunks_in_another_order_are_not_the_tensor() {
    let row = FaultRow::new(27, "a manifest of the same id with the chunks of a tensor in another order", "SIM");
    let memory = Memory::new(true);
    let bytes = noise(5 * CHUNK, 1);
    let tensor = |memory: &Memory, id: &CheckpointId| -> Result<bool> {
        let reader = open(memory).open(&(), id)?;
        Ok(reader.tensor("dense/kernel")?.unwrap().bytes == bytes)
    };
    let id = write_these(
        &open(&memory),
        "digits",
        1,
        &[("a", vec![]), ("b", vec![]), ("tensor:dense/kernel", bytes.clone())],
    );
    let id = id.unwrap().commit().unwrap();
    assert!(tensor(&memory, &id).unwrap());

    let damaged = memory.copy();
    let key = &memory.keys("packs/")[0];
    let mut pack = memory.get(key);
    pack[CHUNK / 2] ^= 1;
    damaged.put(key, pack);
    let e = tensor(&damaged, &id).unwrap_err();
    assert!(e.kind == ErrorKind::Corrupt && e.message.contains("in the frame of chunk"), "{e}");

    edit_manifest(&memory, &keys::entry("digits", 1), |it| it.tensors[0].chunks.swap(1, 2));
    let e = tensor(&memory, &id).unwrap_err();
    assert!(e.kind == ErrorKind::Corrupt && e.message.contains("chunks that are not the tensor"), "{e}");
    row.ok(2);
}

/// Whether something is in the cache does not change what is read.
#[test]
fn chunks_of_one_hash_and_several_lengths_are_refused() {
    let row = FaultRow::new(30, "a manifest that lists a chunk again as a shorter or longer one", "SIM");
    const FILE: &str = "weights/model.bin";
    let memory = Memory::new(true);
    let id = commit(&open(&memory), "digits", 1).unwrap();
    let edited = |change: fn(&mut Vec<Chunk>)| {
        let memory = memory.copy();
        edit_manifest(&memory, &keys::entry("digits", 1), |it| change(&mut it.files[1].chunks));
        open(&memory).open(&(), &id).unwrap()
    };
    let shorter = edited(|it| {
        it[1] = Chunk { len: 10, ..it[0] };
        it[3].len = CHUNK as u64;
    });
    for offset in [0, CHUNK as u64] {
        let e = shorter.read(FILE, offset, &mut vec![0; 2 * CHUNK]).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Corrupt, "{e}");
    }
    let longer = edited(|it| {
        let last = it.remove(3);
        it[0] = Chunk { len: CHUNK as u64, ..last };
        it.insert(0, last);
    });
    assert_eq!(longer.read(FILE, 0, &mut [0; 10]).unwrap(), 10);
    let e = longer.read(FILE, 30, &mut [0; 10]).unwrap_err();
    assert_eq!(e.kind, ErrorKind::Corrupt, "{e}");
    row.ok(3);
}

/// Puts another manifest in the place of the one that an entry names, with the entry and its digest put right.
fn edit_manifest(memory: &Memory, entry: &str, change: impl FnOnce(&mut StoredManifest)) {
    let mut edited: Value = serde_json::from_slice(&memory.get(entry)).unwrap();
    let digest = Digest::parse(edited["manifest"].as_str().unwrap()).unwrap();
    let mut stored = StoredManifest::load(memory, digest, CHUNK as u64).unwrap();
    change(&mut stored);
    let bytes = canonical(&stored).unwrap();
    edited["manifest"] = Value::from(Digest::of(&bytes).to_string());
    edited["event"]["id"] = Value::from(stored.id.to_string());
    edited.as_object_mut().unwrap().remove("digest");
    memory.put(&keys::manifest(Digest::of(&bytes)), bytes);
    memory.put(entry, seal(&edited).unwrap());
}
