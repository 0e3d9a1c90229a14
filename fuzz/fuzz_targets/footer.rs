//! Packs: their headers, indexes and trailers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modelwatch_store::fuzzing::footer;

fuzz_target!(|bytes: &[u8]| footer(bytes));
