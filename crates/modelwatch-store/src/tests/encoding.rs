//! Chunks are stored smaller where that is worth it, and come back bit by bit.

use std::time::Duration;

use super::*;
use crate::{frame::FRAME_HEADER, manifest::StoredManifest, pace::Compression};

/// Weights of a training run: numbers around one, of which every step changes the low bits of some.
fn weights(step: u64) -> Vec<u8> {
    let random = noise(8 * CHUNK, 7);
    let changed = noise(8 * CHUNK / 4, 100 + step);
    let number = |(it, changed): (&[u8], &u8)| {
        let it = f32::from_bits((0.5 + f32::from(it[0]) / 512.0 + f32::from(it[1]) / 131_072.0).to_bits());
        f32::from_bits(it.to_bits() ^ u32::from(changed & 1 & changed >> 3))
    };
    random.chunks_exact(4).zip(&changed).flat_map(|it| number(it).to_le_bytes()).collect()
}

fn save(store: &Engine, step: u64) -> CheckpointId {
    let mut writer = store.begin(&(), "run", &metadata(step)).unwrap();
    let bytes = weights(step);
    let shape = [bytes.len() as u64 / 4];
    writer.tensor(&TensorView { name: "w", dtype: DType::F32, shape: &shape, bytes: &bytes }).unwrap();
    writer.append("model.bin", &weights(step + 1000)).unwrap();
    writer.commit().unwrap()
}

fn saved(store: &Engine, id: &CheckpointId, step: u64) {
    let reader = store.open(&(), id).unwrap();
    assert!(reader.tensor("w").unwrap().unwrap().bytes == weights(step));
    assert!(read_file(reader.as_ref(), "model.bin").unwrap() == weights(step + 1000));
}

fn size_of_ten_steps(change: impl Fn(&mut Settings)) -> (Memory, Engine, Vec<CheckpointId>) {
    let memory = Memory::new(true);
    let mut settings = settings();
    change(&mut settings);
    let store = open_with(&memory, settings);
    let ids: Vec<_> = (0..10).map(|it| save(&store, it)).collect();
    // A reader needs no settings.
    let fresh = open(&memory);
    for (id, step) in ids.iter().zip(0..) {
        saved(&fresh, id, step);
    }
    is_sound(&fresh);
    (memory, fresh, ids)
}

#[test]
fn compression_and_differences_save_space_and_lose_no_bit() {
    let raw = size_of_ten_steps(|it| it.compression = Compression::Never).0.size("packs/");
    let shuffled = size_of_ten_steps(|_| ()).0.size("packs/");
    let (memory, store, ids) = size_of_ten_steps(|it| it.uses_delta = true);
    let delta = memory.size("packs/");
    assert!(shuffled < raw * 9 / 10, "{shuffled} of {raw}");
    assert!(delta < shuffled * 6 / 10, "{delta} of {shuffled}");
    // Differences are to one keyframe, never to a difference, and every eighth checkpoint is a keyframe.
    let mut keyframes = Vec::new();
    for id in &ids {
        let manifest = store.shared.log.with("run", |it| Ok(it.manifests(id)[0])).unwrap();
        let stored = StoredManifest::load(&memory, manifest, CHUNK as u64).unwrap();
        keyframes.push(stored.chunks().all(|it| it.base.is_none()));
    }
    assert_eq!(keyframes.iter().filter(|it| **it).count(), 2, "{keyframes:?}");
    assert!(keyframes[0]);
    // The base of what is kept is kept.
    store.remove("run", &ids[..7], "").unwrap();
    collect(&store, 0);
    saved(&open(&memory), &ids[7], 7);
    saved(&open(&memory), &ids[9], 9);
    is_sound(&open(&memory));
}

#[test]
fn every_flipped_bit_of_an_encoded_pack_is_noticed() {
    let (memory, _, ids) = size_of_ten_steps(|it| it.uses_delta = true);
    for key in memory.keys("packs/").into_iter().take(4) {
        let bytes = memory.get(&key);
        for at in (0..bytes.len()).step_by(97) {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            memory.put(&key, bad);
            let store = open(&memory);
            for (id, step) in ids.iter().zip(0..) {
                let read = store.open(&(), id).and_then(|it| {
                    let tensor = it.tensor("w")?.unwrap().bytes.to_vec();
                    Ok((tensor, read_file(it.as_ref(), "model.bin")?))
                });
                match read {
                    Ok(it) => assert!(it == (weights(step), weights(step + 1000)), "{key} {at}"),
                    Err(e) => assert_eq!(e.kind, ErrorKind::Corrupt, "{key} {at}"),
                }
            }
            let report = store.scrub(&(), ScrubDepth::Sampled { share: 1.0, seed: 1 }).unwrap();
            assert!(report.damage.iter().any(|it| it.contains(&key)), "{key} {at}: {report:?}");
        }
        memory.put(&key, bytes);
    }
}

#[test]
fn an_unchanged_checkpoint_adds_nothing_and_a_changed_one_what_changed() {
    let memory = Memory::new(true);
    let store = open(&memory);
    let id = commit(&store, "digits", 1).unwrap();
    let before = (memory.keys(""), memory.size("packs/"));
    assert_eq!(commit(&open(&memory), "digits", 1).unwrap(), id);
    assert_eq!((memory.keys(""), memory.size("packs/")), before);
    commit(&store, "digits", 2).unwrap();
    let stats = store.stats(&()).unwrap();
    assert_eq!((stats.lineages, stats.checkpoints, stats.spare_bytes), (1, 2, 0));
    assert_eq!(stats.logical_bytes, 2 * (2 + 3 * CHUNK as u64 + 10 + 6000));
    assert_eq!(stats.unique_bytes, stats.logical_bytes - 2 * CHUNK as u64 - 2);
    assert_eq!(stats.pack_bytes, memory.size("packs/"));
    assert!(stats.ratio() > 1.2 && stats.ratio() < 1.7, "{}", stats.ratio());
}

#[test]
fn what_is_stored_again_shares_with_the_newest_and_with_what_a_ref_is_at() {
    // Of many refs, those count that were moved last.
    for (has_ref, n_between, n_tags) in [(false, 7, 0), (false, 8, 0), (true, 8, 0), (true, 20, 0), (true, 30, 20)] {
        let memory = Memory::new(true);
        let store = open(&memory);
        let first = commit(&store, "digits", 1000).unwrap();
        for step in 0..n_between {
            let other = [("a", noise(100, step)), ("b", noise(100, 50 + step)), ("tensor:c", noise(100, 70 + step))];
            let id = write_these(&store, "digits", step, &other).unwrap().commit().unwrap();
            if step < n_tags {
                store.set_ref("digits", &format!("tag-{step}"), &id, None, "").unwrap();
            }
        }
        if has_ref {
            store.set_ref("digits", "good", &first, None, "").unwrap();
        }
        let before = memory.size("packs/");
        // The same bytes but for a small file, so that it is not the same pack.
        let mut content = content(1000);
        content[0].1 = b"{\"again\": 1}".to_vec();
        let again = write_these(&open(&memory), "digits", 2000, &content).unwrap().commit().unwrap();
        check_these(&store, &again, 2000, &content).unwrap();
        let added = memory.size("packs/") - before;
        assert_eq!(added < CHUNK as u64, has_ref || n_between < 8, "{has_ref} {n_between} {n_tags}: {added}");
    }
}

/// Numbers between a half and one, of which all bits but those of the exponent are random.
fn halves(len: usize, seed: u64) -> Vec<u8> {
    noise(len, seed).chunks_exact(4).flat_map(|it| [it[0], it[1], it[2] & 0x7f, 0x3f]).collect()
}

/// Saves twelve MiB of weights and one of zeros where the place took so many bytes in a second before. Returns the checkpoint
/// and for each MiB whether it was compressed.
fn save_at(compression: Compression, is_roomy: bool, place: u64) -> (CheckpointId, Vec<bool>) {
    const MIB: u64 = 1 << 20;
    let memory = Memory::new(is_roomy);
    let settings = Settings { compression, chunk_size: MIB, max_pack: 64 * MIB, ..settings() };
    let store = open_with(&memory, settings);
    store.shared.pace.wrote(place, Duration::from_secs(1));
    let mut writer = store.begin(&(), "run", &metadata(1)).unwrap();
    for at in 0..13 {
        let bytes = if at == 12 { vec![0; MIB as usize] } else { halves(MIB as usize, at) };
        let name = format!("layer.{at:02}");
        writer.tensor(&TensorView { name: &name, dtype: DType::F32, shape: &[MIB / 4], bytes: &bytes }).unwrap();
    }
    let id = writer.commit().unwrap();
    is_sound(&store);
    let manifest = store.shared.log.with("run", |it| Ok(it.manifests(&id)[0])).unwrap();
    let stored = StoredManifest::load(&memory, manifest, MIB).unwrap();
    (id, stored.chunks().map(|it| it.size < it.len + FRAME_HEADER as u64).collect())
}

#[test]
fn on_a_fast_place_only_what_costs_no_time_is_compressed() {
    const FAST: u64 = 1 << 60;
    const SLOW: u64 = 32 << 20;
    let (id, compressed) = save_at(Compression::Adaptive, true, FAST);
    let first_and_zeros: Vec<bool> = (0..13).map(|it| it < 8 || it == 12).collect();
    assert_eq!(compressed, first_and_zeros);
    // A place of which nothing is known is treated as a fast one; one where packs do not wait is a network.
    for (compression, is_roomy, place, expected) in [
        (Compression::Adaptive, true, 1, &first_and_zeros[..]),
        (Compression::Adaptive, true, SLOW, &[true; 13]),
        (Compression::Adaptive, false, FAST, &[true; 13]),
        (Compression::Always, true, FAST, &[true; 13]),
        (Compression::Never, true, SLOW, &[false; 13]),
        (Compression::Never, false, SLOW, &[false; 13]),
    ] {
        let (other, compressed) = save_at(compression, is_roomy, place);
        assert_eq!(compressed, expected, "{compression:?} {is_roomy} {place}");
        assert_eq!(other, id, "what is stored how is no part of a checkpoint");
    }
}

#[test]
fn what_is_moved_out_of_a_mostly_unneeded_pack_is_compressed() {
    for (compression, is_smaller) in [(Compression::Adaptive, true), (Compression::Never, false)] {
        let memory = Memory::new(true);
        let write = |step: u64, n_chunks: usize| {
            let store = open_with(&memory, Settings { compression: Compression::Never, ..settings() });
            let mut writer = store.begin(&(), "run", &metadata(step)).unwrap();
            writer.append("model.bin", &weights(0)[..n_chunks * CHUNK]).unwrap();
            writer.commit().unwrap()
        };
        let [gone, kept] = [write(1, 4), write(2, 1)];
        let store = open_with(&memory, Settings { compression, ..settings() });
        store.remove("run", &[gone], "").unwrap();
        collect(&store, 0);
        collect(&store, 0);
        assert!(
            read_file(open(&memory).open(&(), &kept).unwrap().as_ref(), "model.bin").unwrap() == weights(0)[..CHUNK]
        );
        is_sound(&open(&memory));
        let size = memory.size("packs/");
        assert!(size < 2 * CHUNK as u64, "the pack was not moved: {size}");
        assert_eq!(size < CHUNK as u64, is_smaller, "{compression:?}: {size}");
    }
}
