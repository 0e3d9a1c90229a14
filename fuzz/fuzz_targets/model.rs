//! Models of all formats, as far as they are prepared to be run, and what they are tested with is run.

#![no_main]

use std::{fs, panic, sync::Once};

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    static QUIET: Once = Once::new();
    // A panic of the runtime is an error of the model; libFuzzer's hook would end the process before it is one.
    // What is not caught ends it all the same.
    QUIET.call_once(|| panic::set_hook(Box::new(|_| ())));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("model");
    fs::write(&path, bytes).expect("a temporary file can be written");
    let _ = modelwatch_infer::inspect(&path, None);
});
