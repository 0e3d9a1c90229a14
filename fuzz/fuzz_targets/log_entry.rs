//! Entries of a store's log, with a seal.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modelwatch_store::fuzzing::log_entry;

fuzz_target!(|bytes: &[u8]| log_entry(bytes));
