//! The verifier `contract`: what a model promises to those who call it, and whether it keeps that.
//!
//! Names, types and shapes of inputs and outputs, operators, sizes and an MLflow signature are held against what the
//! pipeline declares, against the baseline, and against the data. Then the model is run on a sample of rows: repeated, on threads,
//! in batches of other sizes and in another order, which must make no difference.
//!
//! Nothing passes by accident: what the host does not tell is an error, what no row could show is `not-checked`, and
//! answers that are not finite compare to nothing.
// Not `forbid`: `export_plugin!` writes the two exported statics.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod codes;
mod config;
mod data;
mod dtype;
mod interface;
mod limits;
mod outputs;
mod probe;
mod runs;
mod sheet;

pub use crate::{
    config::{Axis, Config, Mode, Operators, Opset, PortContract},
    probe::Contract,
};

use modelwatch_sdk::Registry;

/// Returns what the plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).verifier::<Contract>()
}

modelwatch_sdk::export_plugin!(registry);
