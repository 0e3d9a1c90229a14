//! The hand-off manifest.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modelwatch_fuzz::read_handoff;

fuzz_target!(|bytes: &[u8]| read_handoff(bytes));
