//! The pickle of a PyTorch archive whose other entries are fine, so that no checksum stops it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modelwatch_fuzz::read_pickle;

fuzz_target!(|bytes: &[u8]| read_pickle(bytes));
