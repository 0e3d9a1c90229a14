//! Row 30 in short: what `cargo xtask fuzz` does for longer, from the files of a store and with changes that are drawn.

use modelwatch_sdk::testing::FaultRow;

use super::*;
use crate::codec::Encoder;

/// The targets of `fuzz/` that read what a store keeps.
#[allow(unused_attributes, reason = "each is a program of its own there, and has no `main`")]
#[path = "../../../../fuzz/fuzz_targets"]
mod targets {
    pub(super) mod fold;
    pub(super) mod footer;
    pub(super) mod frame;
    pub(super) mod log_entry;
    pub(super) mod manifest;
}

// Below the targets, which take it by its path.
/// Takes the place of libFuzzer's: a target is a function here.
macro_rules! fuzz_target {
    (|$bytes:ident: &[u8]| $read:expr) => {
        pub(crate) fn target($bytes: &[u8]) {
            $read
        }
    };
}
pub(crate) use fuzz_target;

const N_CHANGES: u64 = 2_000;

/// Calls `read` with bytes that are changed in a few places, cut off, or made of two.
fn throw(seeds: &[Vec<u8>], read: fn(&[u8])) -> u64 {
    seeds.iter().for_each(|it| read(it));
    for seed in 0..N_CHANGES {
        let drawn: Vec<u64> =
            noise(8 * 16, seed).chunks(8).map(|it| u64::from_le_bytes(it.try_into().unwrap())).collect();
        let pick = |draw: u64| &seeds[(draw % seeds.len() as u64) as usize];
        let mut bytes = pick(drawn[0]).clone();
        if drawn[1].is_multiple_of(4) {
            let other = pick(drawn[2]);
            let at = drawn[3] as usize % (bytes.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[drawn[4] as usize % (other.len() + 1)..]);
        }
        for it in drawn[5..].chunks_exact(2).take(1 + seed as usize % 5) {
            let len = bytes.len();
            if let Some(byte) = bytes.get_mut(it[0] as usize % len.max(1)) {
                // A number, a sign or a bit: what lengths and JSON are made of.
                *byte = match it[1] % 4 {
                    0 => b'0' + (it[1] >> 8) as u8 % 10,
                    1 => b"{}[],:\"-e\n"[(it[1] >> 8) as usize % 10],
                    2 => 0xff,
                    _ => *byte ^ 1 << (it[1] >> 8 & 7),
                };
            }
        }
        read(&bytes);
    }
    N_CHANGES + seeds.len() as u64
}

#[test]
fn no_bytes_make_the_readers_panic_or_take_much() {
    let row = FaultRow::new(30, "frames, footers, manifests, entries and folds of drawn bytes", "SIM");
    let memory = Memory::new(true);
    let store = open(&memory);
    let ids = [1, 2, 3].map(|it| commit(&store, "digits", it).unwrap());
    store.set_ref("digits", "good", &ids[0], None, "ok").unwrap();
    store.set_ref("digits", "good", &ids[1], Some(&ids[0]), "ok").unwrap();
    store.remove("digits", &[ids[2].clone()], "").unwrap();
    let all = |part: &str| -> Vec<Vec<u8>> { memory.keys(part).iter().map(|it| memory.get(it)).collect() };
    let entries = all("log/digits/");
    let events: Vec<String> =
        entries.iter().map(|it| serde_json::from_slice::<Value>(it).unwrap()["event"].to_string()).collect();
    let text = |len: u16, payload: &[u8]| [&len.to_le_bytes()[..], payload].concat();
    let mut encoded = Vec::new();
    Encoder::default().encode(&[3; 4000], 4, None, &mut encoded);
    let n_states = throw(&[text(4000, &encoded), text(9, b"123456789"), text(0, &[])], targets::frame::target)
        + throw(&all("packs/"), targets::footer::target)
        + throw(&all("manifests/"), targets::manifest::target)
        + throw(&entries, targets::log_entry::target)
        + throw(&[events.join("\n").into_bytes()], targets::fold::target);
    row.ok(n_states);
}
