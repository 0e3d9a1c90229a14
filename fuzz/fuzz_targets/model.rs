//! Models of all formats, as far as they are prepared to be run.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modelwatch_fuzz::load_model;

fuzz_target!(|bytes: &[u8]| load_model(bytes));
