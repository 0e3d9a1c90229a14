//! The command as its users call it: pipelines in, exit codes, records and messages out.
#![allow(clippy::unwrap_used)]

mod blessing;
mod columns;
mod configs;
mod contract;
mod data_files;
mod determinism;
mod differential;
mod errors;
mod excerpts;
mod fail_closed;
mod formats;
mod golden;
mod isolation;
mod keras;
mod layers;
mod looked_at;
mod loop_closes;
mod model;
mod onnxruntime;
mod panics;
mod peers;
mod performance;
mod plugins;
mod policies;
mod profile;
mod readme;
mod recorded;
mod resume;
mod self_tests;
mod shown;
mod store;
mod support;
mod tensors;
mod told;
mod unsupported;
