//! Conformance suites: what the host relies on, as tests that any author can run.
//!
//! [`probe`](fn@probe) takes verifiers and analyzers ([`probe_on`] with a host that has models, as [`ModelHost`]), [`store`](fn@store) takes checkpoint stores. Both see only
//! the ordinary traits, so that they judge a component that is linked in and one that was loaded
//! from a library alike. This is test support: a violation panics, with a message that says which
//! promise was broken. What a component computes is not judged here; its own tests know that.

mod fault_row;
mod hygiene;
mod models;
mod probe;
mod rows;
mod store;
mod store_races;
#[cfg(test)]
mod wrong_stores;

pub use fault_row::FaultRow;
pub use models::{ModelHost, TestModel};
pub use probe::{OwnedTensor, ProbeCase, probe, probe_on};
pub use rows::batch;
pub use store::store;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Map, Value};

use crate::error::{ErrorKind, Result};

/// Returns the options of a pipeline that gives none: `{}`.
pub fn no_options() -> Value {
    Value::Object(Map::new())
}

/// Runs a call that may fail but not panic; a panic of a loaded library is an error of its own kind.
#[track_caller]
fn calm<T>(what: &str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Err(e)) if e.kind == ErrorKind::Panicked => panic!("{what}: {e}"),
        Ok(it) => it,
        Err(_) => panic!("{what}: it panicked"),
    }
}

/// Runs a call that must succeed.
#[track_caller]
fn good<T>(what: &str, call: impl FnOnce() -> Result<T>) -> T {
    calm(what, call).unwrap_or_else(|e| panic!("{what}: {:?} error: {e}", e.kind))
}

/// Runs a call that must fail as `kind`.
#[track_caller]
fn refused<T>(what: &str, kind: ErrorKind, call: impl FnOnce() -> Result<T>) {
    match calm(what, call) {
        Ok(_) => panic!("{what}: it was accepted, expected a {kind:?} error"),
        Err(e) => assert_eq!(e.kind, kind, "{what}: {e}"),
    }
}
