//! ONNX: weights, also beside the model, and summary.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modelwatch_fuzz::read_onnx;

fuzz_target!(|bytes: &[u8]| read_onnx(bytes));
