//! The index of a safetensors checkpoint in several files, beside two shards that are fine.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modelwatch_fuzz::read_sharded;

fuzz_target!(|bytes: &[u8]| read_sharded(bytes));
