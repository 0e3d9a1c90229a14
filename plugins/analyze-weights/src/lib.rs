//! The analyzer `weights`: looks at a checkpoint's tensors, alone and against a baseline's.
//!
//! It reads every tensor once, keeps a summary of a few hundred bytes to some kilobytes of each, and
//! judges the summaries at the end. At most one tensor of the baseline is held in memory.
//! No data and no inference is needed, so that what it says is about weights, never about accuracy.
// Not `forbid`: `export_plugin!` writes the two exported statics.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod change;
mod codes;
mod config;
mod decode;
mod layer;
mod model;
mod output;
mod permutation;
mod probe;
mod rules;
mod summary;
mod units;

pub use crate::{config::Config, probe::Weights};

use modelwatch_sdk::Registry;

/// Returns what the plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).analyzer::<Weights>()
}

modelwatch_sdk::export_plugin!(registry);
