//! The verifier `golden`: holds a model's outputs against recorded ones, row by row.
//!
//! Nothing passes by accident: an output that is missing, renamed, unlisted, of another width or
//! not finite fails, and no comparison is `not-checked`.
// Not `forbid`: `export_plugin!` writes the two exported statics.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod codes;
mod compare;
mod config;
mod output;
mod pair;
mod probe;
mod sum;

pub use crate::{
    config::{Config, Tolerance},
    probe::Golden,
};

use modelwatch_sdk::Registry;

/// Returns what the plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).verifier::<Golden>()
}

modelwatch_sdk::export_plugin!(registry);
