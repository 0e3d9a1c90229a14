//! Write a modelwatch plugin in safe Rust.
//!
//! A plugin is a library crate (`crate-type = ["cdylib", "rlib"]`) with one or more components: a
//! [`Verifier`], an [`Analyzer`] or a [`Store`]. Each has a typed configuration, whose doc comments
//! become its documentation and whose JSON Schema the host checks before the component is opened.
//!
//! ```
//! use modelwatch_sdk::{
//!     Analyzer, Host, JsonSchema, Needs, Probe, RecordBatch, Registry, Report, Result, Role, RowNeeds, report::Metric,
//! };
//! use serde::Deserialize;
//!
//! /// Counts rows.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! pub struct Config {}
//!
//! pub struct Count(u64);
//!
//! impl Analyzer for Count {
//!     const NAME: &'static str = "count";
//!     type Config = Config;
//!     fn open(_: Config) -> Result<Self> {
//!         Ok(Self(0))
//!     }
//! }
//!
//! impl Probe for Count {
//!     fn needs(&self) -> Needs {
//!         Needs { current: Some(RowNeeds::default()), ..Needs::default() }
//!     }
//!     fn update(&mut self, _: &dyn Host, _: Role, batch: &RecordBatch) -> Result<()> {
//!         self.0 += batch.num_rows() as u64;
//!         Ok(())
//!     }
//!     fn state(&mut self) -> Result<Vec<u8>> {
//!         modelwatch_sdk::state::encode(1, &self.0)
//!     }
//!     fn merge(&mut self, state: &[u8]) -> Result<()> {
//!         self.0 += modelwatch_sdk::state::decode::<u64>(1, state)?;
//!         Ok(())
//!     }
//!     fn evaluate(&mut self, _: &dyn Host) -> Result<Report> {
//!         Ok(Report { metrics: vec![Metric::new("rows", self.0 as f64).n(self.0)], ..Report::default() })
//!     }
//! }
//!
//! pub fn registry() -> Registry {
//!     Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).analyzer::<Count>()
//! }
//! modelwatch_sdk::export_plugin!(registry);
//! # fn main() {}
//! ```
//!
//! The binary interface stays out of sight: `export` alone names it. Its mirror image, which
//! implements the same traits over a loaded library, is in the host.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod about;
pub mod answer;
pub mod artifact;
pub mod cells;
pub mod chunks;
mod codes;
mod error;
mod host;
pub mod inputs;
pub mod memory;
pub mod nodes;
pub mod numerics;
mod probe;
mod registry;
pub mod report;
pub mod reproduction;
pub mod rows;
pub mod sample;
pub mod slices;
pub mod state;
pub mod store;
mod tensor;
pub mod testing;

#[doc(hidden)]
pub mod batch;
#[doc(hidden)]
pub mod export;
mod guard;
mod log_bridge;

pub use arrow_array::RecordBatch;
pub use schemars::JsonSchema;

pub use crate::{
    codes::{CodeInfo, FindingCode},
    error::{Error, ErrorKind, Result, pointer},
    host::{AT_ONCE, Host, IS_ONE_MODEL, LOAD, MAX_THREADS, ModelRole, threads_of},
    probe::{Analyzer, KnownMetric, Need, Needs, PENULTIMATE, Probe, Role, RowNeeds, TensorNeeds, Verifier},
    registry::{ComponentInfo, Kind, Manifest, Registry},
    report::Report,
    store::Store,
    tensor::{DType, TensorView},
};

/// The Arrow types that batches are made of.
pub mod arrow {
    pub use arrow_array as array;
    pub use arrow_schema as schema;
}
