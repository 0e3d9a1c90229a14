//! Manifests of a store, with the id of their content.

#![no_main]

use libfuzzer_sys::fuzz_target;
use modelwatch_store::fuzzing::manifest;

fuzz_target!(|bytes: &[u8]| manifest(bytes));
