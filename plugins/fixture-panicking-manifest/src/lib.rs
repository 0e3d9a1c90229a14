//! A plugin for tests, which panics when it is asked what it offers.
#![deny(unsafe_code)]

use modelwatch_sdk::Registry;

/// Panics.
///
/// # Panics
/// Always.
pub fn registry() -> Registry {
    panic!("no registry today");
}

modelwatch_sdk::export_plugin!(registry);
