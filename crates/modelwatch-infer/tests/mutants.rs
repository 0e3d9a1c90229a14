//! Thousands of damaged models: each is a model or an error, never a panic, an abort or a wait without end.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, panic, sync::Mutex};

use common::fixture;
use modelwatch_infer::inspect;

/// Small models of all kinds, so that much of what is changed means something.
const SEEDS: [(&str, usize); 8] = [
    ("traps/nan_relu/model.onnx", 400),
    ("traps/lstm_reverse/model.onnx", 200),
    ("traps/softmax_qdq/model.onnx", 200),
    ("traps/nan_maxpool/model.onnx", 200),
    ("tabular/wine/pca.onnx", 200),
    ("tabular/wine/svc.onnx", 50),
    ("tensorflow/two.tflite", 100),
    ("digits/cnn/cnn_frozen_b1.pb", 40),
];

/// The generator of Knuth's MMIX.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

/// Changes, doubles, moves or cuts a few bytes, once to three times.
fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    const INTERESTING: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
    let mut res = seed.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(res.len());
        let n = (1 + random.below(8)).min(res.len() - at);
        match random.below(6) {
            0 => res[at] ^= 1 << random.below(8),
            1 => res[at] = INTERESTING[random.below(INTERESTING.len())],
            2 => _ = res.drain(at..at + n),
            3 => res.extend_from_within(at..at + n),
            4 => {
                let part = res[at..at + n].to_vec();
                let to = random.below(res.len());
                res.splice(to..to, part);
            }
            _ => (0..n).for_each(|it| res[at + it] = INTERESTING[random.below(INTERESTING.len())]),
        }
    }
    res
}

/// What panicked last, and where.
static LAST: Mutex<String> = Mutex::new(String::new());

#[test]
fn damaged_models_are_models_or_errors() {
    // What panics inside is an error; only of what comes out somebody wants to read the place.
    panic::set_hook(Box::new(|it| *LAST.lock().unwrap() = it.to_string()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutant");
    let mut random = Random(1);
    let (mut n_models, mut n_errors, mut faults) = (0, 0, Vec::new());
    for (seed, n) in SEEDS {
        let bytes = fs::read(fixture(seed)).unwrap();
        for _ in 0..n {
            let mutant = mutate(&bytes, &mut random);
            fs::write(&path, &mutant).unwrap();
            match panic::catch_unwind(|| inspect(&path, None)) {
                Ok(Ok(it)) if it.refusal.is_none() => n_models += 1,
                Ok(_) => n_errors += 1,
                Err(_) => faults.push(format!("{seed}: {} of {mutant:?}", LAST.lock().unwrap())),
            }
        }
    }
    let _ = panic::take_hook();
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(n_models > 20 && n_errors > 20, "{n_models} models, {n_errors} errors");
}
