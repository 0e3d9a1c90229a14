//! The verifier `differential`: holds the candidate against the baseline on the same inputs, output by output and node by node.
//!
//! For models that should agree: a quantized one and the one it was made from, two formats of one network, two versions of
//! an exporter. Both run on a sample of the rows, or on random inputs. Where the outputs part, the report names the first node
//! that does something else with the same values, its operator and the ranges that it works in.
//!
//! Nothing passes by accident: no rows, a value that is finite in one model alone and one that is NaN in both never pass. Outputs
//! are compared by their names, never by their positions, and one that only one of the models has fails, also where it is the only
//! one: a name is part of what callers rely on. Where two names are one output, as across formats, `outputs` says so.
//!
//! # What a node's difference is
//! The *cumulative* difference is between what both models have there, the *isolated* one between the baseline's values and
//! what the candidate's node makes of the baseline's inputs. Quantization adds up over nodes; only the isolated difference
//! says which of them adds much. Nodes find their counterparts by name, where their values are used alike; then by structure, from
//! pairs to their neighbors of the same operator and shape; and otherwise by value, so that fused operators do not count as
//! differences.
//!
//! # The smallest failing model
//! Where a node is to blame and the pipeline has a folder for files (`[report] artifacts`), the candidate is cut down to it, and
//! the row at which it differs most is written beside: `part.onnx` with `part.npz` ends at the tensors before it that the
//! baseline has, too, and takes the baseline's values; `prefix.onnx` with `prefix.npz` goes back to the model's inputs. The
//! archives have the inputs under their names, `candidate.<output>` and `baseline.<output>`. Only ONNX models can be cut.
// Not `forbid`: `export_plugin!` writes the two exported statics.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod codes;
mod config;
mod excerpts;
mod figures;
mod judge;
mod outputs;
mod probe;
mod random;
mod ranges;
mod report;
mod uncompared;

pub use crate::{
    config::{Config, Inputs},
    probe::Differential,
};

use modelwatch_sdk::Registry;

/// Returns what the plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).verifier::<Differential>()
}

modelwatch_sdk::export_plugin!(registry);
