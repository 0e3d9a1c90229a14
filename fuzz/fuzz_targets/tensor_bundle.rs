//! The index of a TensorFlow checkpoint, beside data that are fine.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modelwatch_fuzz::read_bundle;

fuzz_target!(|bytes: &[u8]| read_bundle(bytes));
