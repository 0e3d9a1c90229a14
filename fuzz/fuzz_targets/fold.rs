//! Whole logs, one event a line, sealed and chained.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modelwatch_store::fuzzing::fold;

fuzz_target!(|bytes: &[u8]| fold(bytes));
