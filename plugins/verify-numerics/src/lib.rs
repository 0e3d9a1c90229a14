//! The verifier `numerics`: looks at the numbers that a model computes with, node by node.
//!
//! A NaN that is born in the middle of a network can be gone at its end: a maximum, a comparison or a clip makes a plausible
//! number of it. This looks at every node, on a sample of the data and on inputs at the edges of what numbers are: all 0, all
//! subnormal, the greatest, the least, and NaN. It also says which nodes and
//! weights would overflow in half precision, which are out of the range that was given for them, and which are saturated.
//!
//! Nothing passes by accident: without rows nothing is checked. Of a model that cannot be run node by node the outputs are looked at:
//! they can break a limit on all nodes, but not keep it, and the report says so. The same holds of a model with nodes in the branches of
//! an `If` or the body of a `Scan`, of which only the ends are seen. Who wants no more than that asks for outputs alone.
// Not `forbid`: `export_plugin!` writes the two exported statics.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod codes;
mod config;
mod edges;
mod limits;
mod numbers;
mod probe;
mod report;

pub use crate::{
    config::{Config, Edge, Precision, Scope},
    probe::Numerics,
};

use modelwatch_sdk::Registry;

/// Returns what the plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).verifier::<Numerics>()
}

modelwatch_sdk::export_plugin!(registry);
