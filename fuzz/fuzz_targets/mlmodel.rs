//! The file of an MLflow model.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modelwatch_fuzz::read_mlmodel;

fuzz_target!(|bytes: &[u8]| read_mlmodel(bytes));
