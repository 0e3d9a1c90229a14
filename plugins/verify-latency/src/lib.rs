//! The verifier `latency`: how long a model takes for batches of a size, against budgets and the baseline.
//!
//! Candidate and baseline run in turns, so that what the machine does besides hits both. Percentiles are of all runs:
//! a slow run is what a percentile is about, so outliers are counted, not dropped. A budget is missed where the whole
//! confidence interval is beyond it, kept where none of it is, and else inconclusive.
//!
//! The memory is what the process had at most while the model ran once more: the weights, the rest of the run, and what the
//! allocator has kept are part of it, since whoever serves the model has to have that too. Of the baseline it is measured in the same
//! process, next to it.
//!
//! Numbers are those of one thread of one machine at one time: two runs do not agree to the bit. What rows are used
//! and how numbers become a verdict is reproducible; time itself comes from the host.
// Not `forbid`: `export_plugin!` writes the two exported statics.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod budget;
mod codes;
mod config;
mod load;
mod measure;
mod memory;
mod probe;
mod report;
mod series;

pub use crate::{
    config::{Config, Limits},
    probe::Latency,
};

use modelwatch_sdk::Registry;

/// Returns what the plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).verifier::<Latency>()
}

modelwatch_sdk::export_plugin!(registry);
