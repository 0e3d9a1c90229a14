//! The verifier `behavior`: how a model's output answers to changes of its input, and to cases with known answers.
//!
//! After CheckList (Ribeiro et al. 2020): invariance, directional expectation, and minimum functionality. Every test
//! is held against every row by running the model again on changed rows; changes that are random are a function of
//! the row, the test and the seed.
//!
//! Nothing passes by accident: a row on which a change changes nothing does not count, a test without a row that
//! counts fails, and so does every answer that is not finite.
// Not `forbid`: `export_plugin!` writes the two exported statics.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answers;
mod cases;
mod change;
mod codes;
mod config;
mod noise;
mod probe;
mod report;
mod settings;
mod tally;

pub use crate::{
    config::{Case, Change, Channels, Config, Direction, Directional, Flip, Invariance, Known},
    probe::Behavior,
};

use modelwatch_sdk::Registry;

/// Returns what the plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).verifier::<Behavior>()
}

modelwatch_sdk::export_plugin!(registry);
