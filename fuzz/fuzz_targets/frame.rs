//! Payloads of frames, in every codec.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modelwatch_store::fuzzing::frame;

fuzz_target!(|bytes: &[u8]| frame(bytes));
