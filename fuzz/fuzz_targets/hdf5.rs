//! HDF5, as Keras writes it and otherwise.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modelwatch_fuzz::read_file;

fuzz_target!(|bytes: &[u8]| read_file("it.h5", bytes));
