//! The options.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::{
    Error, JsonSchema, Result,
    nodes::{Terms, Tolerance},
    sample::SampleLimits,
};
use serde::Deserialize;

/// The most rows: they are run node by node, which is slow, and more of them say little more.
pub(crate) const MAX_ROWS: usize = 10_000;

/// Compares the candidate with the baseline on the same inputs: the outputs, and node by node where they part.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the inputs come from.
    pub inputs: Inputs,
    /// The number of rows: a sample of the data that depends on its rows alone, or as many random ones.
    #[schemars(range(min = 1, max = 10_000))]
    pub rows: usize,
    /// The most bytes that the sample of the data may have.
    #[schemars(range(min = 1))]
    pub max_bytes: usize,
    /// The seed of the sample, or of random inputs.
    pub seed: u64,
    /// The least and the greatest random input of `inputs = "random"`.
    pub range: [f64; 2],
    /// The baseline's name of each output of the candidate that is called otherwise there, as in
    /// `{ "StatefulPartitionedCall:0" = "probs" }`. All others are held against the output of their own name, and one that has
    /// none in the other model fails.
    pub outputs: BTreeMap<String, String>,
    /// The relative tolerance: |a − b| ≤ atol + rtol · |b|, b being the baseline's value. Not of integers, which are names as often
    /// as amounts: of those, |a − b| ≤ atol, to the last digit.
    #[schemars(range(min = 0.0))]
    pub rtol: f64,
    /// The absolute tolerance.
    #[schemars(range(min = 0.0))]
    pub atol: f64,
    /// The share of an output's elements that may be out of tolerance.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_mismatch_share: f64,
    /// The greatest ‖a − b‖ / ‖b‖ allowed, for outputs and nodes. With it, elements need not be within the tolerances: use it
    /// where a model was quantized (0.03 or so for eight bits).
    #[schemars(range(min = 0.0))]
    pub max_relative_norm: Option<f64>,
    /// Whether NaN in an output of both models is equal. Otherwise it fails: nothing says which of both is wrong.
    pub equal_nan: bool,
    /// Whether an infinity in an output of both models is equal. Otherwise it fails: an output that overflows is no answer.
    pub equal_infinity: bool,
    /// How many nodes the report lists, those with the greatest isolated difference.
    #[schemars(range(max = 1000))]
    pub listed_nodes: usize,
}

/// Where inputs come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Inputs {
    /// A sample of the current data.
    #[default]
    Data,
    /// Numbers drawn evenly from `range`, in the shapes that the model declares.
    Random,
    /// Numbers drawn evenly between the least and the greatest that the data has for the input, in the shapes that the model
    /// declares: further from what the models were made for than rows of the data, and never beyond it.
    DataRange,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            inputs: Inputs::default(),
            rows: 32,
            max_bytes: 64 << 20,
            seed: 0,
            range: [0.0, 1.0],
            outputs: BTreeMap::new(),
            rtol: 1e-4,
            atol: 1e-5,
            max_mismatch_share: 0.0,
            max_relative_norm: None,
            equal_nan: false,
            equal_infinity: false,
            listed_nodes: 40,
        }
    }
}

impl Config {
    pub(crate) fn validated(self) -> Result<Self> {
        if !(1..=MAX_ROWS).contains(&self.rows) {
            return Err(Error::config("/rows", format!("`rows` must be from 1 to {MAX_ROWS}")));
        }
        if self.max_bytes == 0 {
            return Err(Error::config("/max_bytes", "`max_bytes` must be at least 1"));
        }
        let [least, greatest] = self.range;
        if !(least.is_finite() && greatest.is_finite() && least < greatest) {
            return Err(Error::config(
                "/range",
                format!("`range` is from {least} to {greatest}, which holds no number"),
            )
            .with_help("give two finite numbers, the lower one first"));
        }
        for (name, value) in
            [("rtol", Some(self.rtol)), ("atol", Some(self.atol)), ("max_relative_norm", self.max_relative_norm)]
        {
            if value.is_some_and(|it| !(it.is_finite() && it >= 0.0)) {
                return Err(Error::config(format!("/{name}"), format!("`{name}` must be finite and not negative")));
            }
        }
        if !(0.0..1.0).contains(&self.max_mismatch_share) {
            return Err(Error::config("/max_mismatch_share", "`max_mismatch_share` must be at least 0 and below 1"));
        }
        if self.max_relative_norm.is_some() && self.max_mismatch_share > 0.0 {
            let message =
                "`max_mismatch_share` says nothing beside `max_relative_norm`, which takes the place of the tolerances";
            return Err(Error::config("/max_mismatch_share", message).with_help("give one of the two"));
        }
        let mut baselines = BTreeSet::new();
        if let Some((name, other)) = self.outputs.iter().find(|it| !baselines.insert(it.1)) {
            let message = format!("`{other}` is the baseline's name of `{name}`, and of another output");
            return Err(Error::config("/outputs", message).with_help("name each output of the baseline once"));
        }
        Ok(self)
    }

    pub(crate) fn terms(&self) -> Terms {
        let tolerance = Tolerance { absolute: self.atol, relative: self.rtol };
        Terms { tolerance, outputs: self.outputs.clone() }
    }

    pub(crate) fn limits(&self) -> SampleLimits {
        SampleLimits { rows: self.rows, bytes: self.max_bytes, seed: self.seed }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn contradicting_options_are_named() {
        let check = |options: Value, path: &str| {
            let error = serde_json::from_value::<Config>(options).unwrap().validated().unwrap_err();
            assert_eq!(error.path, path, "{}", error.message);
        };
        check(json!({"rows": 0}), "/rows");
        check(json!({"max_bytes": 0}), "/max_bytes");
        check(json!({"range": [1.0, 1.0]}), "/range");
        check(json!({"rtol": -1.0}), "/rtol");
        check(json!({"max_relative_norm": -0.1}), "/max_relative_norm");
        check(json!({"max_mismatch_share": 1.0}), "/max_mismatch_share");
        check(json!({"outputs": {"a": "x", "b": "x"}}), "/outputs");
        check(json!({"max_mismatch_share": 0.1, "max_relative_norm": 0.1}), "/max_mismatch_share");
        assert!(serde_json::from_value::<Config>(json!({"row": 1})).is_err());
    }
}
