//! The options.

use std::collections::BTreeMap;

use modelwatch_sdk::{Error, JsonSchema, Result, pointer};
use serde::Deserialize;

/// Compares a model's outputs with recorded ones, which are columns of the current data: numbers by tolerances, texts exactly.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The column with the recorded values of each output.
    pub outputs: BTreeMap<String, String>,
    /// The relative tolerance: |a − b| ≤ atol + rtol · |b|, b being the recorded value. Not of integers, which are names as often as
    /// amounts: of those, |a − b| ≤ atol, to the last digit.
    #[serde(default = "default_rtol")]
    pub rtol: f64,
    /// The absolute tolerance.
    #[serde(default = "default_atol")]
    pub atol: f64,
    /// Tolerances of single outputs.
    #[serde(default)]
    pub tolerances: BTreeMap<String, Tolerance>,
    /// The greatest distance allowed, in representable `f32` numbers.
    pub max_ulp: Option<u64>,
    /// The least cosine allowed between a row's output and the recorded one, of outputs with more than one value a row.
    pub min_cosine: Option<f64>,
    /// Requires that every row has the same k highest values, of outputs with more than k values a row: of fewer it would always hold.
    pub top_k: Option<usize>,
    /// The share of elements that may be out of tolerance.
    #[serde(default)]
    pub max_mismatch_share: f64,
    /// Whether NaN equals a recorded NaN, and a missing text a recorded one.
    #[serde(default)]
    pub equal_nan: bool,
    /// Whether an infinity equals a recorded one of the same sign. Otherwise it fails: an output that overflows is no answer.
    #[serde(default)]
    pub equal_infinity: bool,
    /// Outputs that need not be listed.
    #[serde(default)]
    pub ignore_extra: Vec<String>,
}

/// The tolerance of one output.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tolerance {
    /// The relative tolerance.
    pub rtol: Option<f64>,
    /// The absolute tolerance.
    pub atol: Option<f64>,
}

fn default_rtol() -> f64 {
    1e-5
}

fn default_atol() -> f64 {
    1e-6
}

impl Config {
    pub(crate) fn validated(self) -> Result<Self> {
        if self.outputs.is_empty() {
            return Err(Error::config("/outputs", "`outputs` must name at least one output and its recorded column"));
        }
        let own = self.tolerances.iter().flat_map(|(output, it)| {
            let at = pointer("/tolerances", output);
            [(pointer(&at, "rtol"), it.rtol), (pointer(&at, "atol"), it.atol)]
        });
        let all = [("/rtol".to_owned(), Some(self.rtol)), ("/atol".to_owned(), Some(self.atol))];
        for (pointer, value) in all.into_iter().chain(own) {
            if value.is_some_and(|it| !it.is_finite() || it < 0.0) {
                return Err(Error::config(&pointer, "tolerances must be finite and not negative"));
            }
        }
        if let Some(name) = self.tolerances.keys().find(|it| !self.outputs.contains_key(*it)) {
            return Err(Error::config("/tolerances", format!("there is no output `{name}` in `outputs`")));
        }
        if !(0.0..1.0).contains(&self.max_mismatch_share) {
            return Err(Error::config("/max_mismatch_share", "`max_mismatch_share` must be at least 0 and below 1"));
        }
        if self.min_cosine.is_some_and(|it| !(-1.0..=1.0).contains(&it)) {
            return Err(Error::config("/min_cosine", "`min_cosine` must lie between -1 and 1"));
        }
        if self.top_k == Some(0) {
            return Err(Error::config("/top_k", "`top_k` must be at least 1"));
        }
        Ok(self)
    }

    /// Returns the relative and the absolute tolerance of an output.
    pub(crate) fn tolerance(&self, output: &str) -> (f64, f64) {
        let own = self.tolerances.get(output).copied().unwrap_or_default();
        (own.rtol.unwrap_or(self.rtol), own.atol.unwrap_or(self.atol))
    }
}
