//! What the host offers to a component during a call.

use arrow_array::RecordBatch;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// The services of the host, lent for the length of one call.
///
/// The defaults do nothing, so that a test can pass `&()`.
pub trait Host: Send + Sync {
    /// Reports that `done` of `total` units are done (`total` 0: unknown).
    fn progress(&self, done: u64, total: u64) {
        let _ = (done, total);
    }

    /// Returns whether the run is to end; a long loop asks and returns [`Host::cancelled`].
    fn is_cancelled(&self) -> bool {
        false
    }

    /// Runs a model on a batch of its inputs, one column per input, and returns one column per output.
    ///
    /// # Errors
    /// When the model is not part of the run, or cannot run the batch.
    fn infer(&self, model: ModelRole, input: &RecordBatch) -> Result<RecordBatch> {
        let _ = input;
        Err(Error::new(ErrorKind::NotFound, format!("there is no {} model in this run", model.as_str())))
    }

    /// Calls a named service of the host with a JSON value.
    ///
    /// # Errors
    /// When the host does not offer the service, or the service fails.
    fn call(&self, service: &str, argument: &Value) -> Result<Value> {
        let _ = argument;
        Err(Error::new(ErrorKind::NotFound, format!("the host offers no service `{service}`")))
    }

    /// Returns the confidence level at which intervals of `metric` are wanted: the level that a
    /// requirement on it names (`with confidence 99%`), else 0.95.
    fn confidence(&self, metric: &str) -> f64 {
        self.call("confidence", &Value::from(metric)).ok().and_then(|it| it.as_f64()).unwrap_or(0.95)
    }

    /// Returns the error with which a component ends a call that was cancelled.
    fn cancelled(&self) -> Error {
        Error::new(ErrorKind::Cancelled, "cancelled")
    }
}

impl Host for () {}

/// Which of the two models of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelRole {
    /// The model that is judged.
    Candidate,
    /// The model that it must not be worse than.
    Baseline,
}

impl ModelRole {
    /// Returns the word that names it in messages, columns and across the boundary.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Baseline => "baseline",
        }
    }

    /// Returns the role of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "candidate" => Some(Self::Candidate),
            "baseline" => Some(Self::Baseline),
            _ => None,
        }
    }
}
