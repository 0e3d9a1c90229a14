//! The options.

use std::{
    cmp::Ordering::{Equal, Less},
    collections::{BTreeMap, BTreeSet},
};

use modelwatch_sdk::{Error, JsonSchema, Result, sample::SampleLimits};
use serde::Deserialize;

/// The most rows: they are run node by node, which is slow, and more of them say little more.
const MAX_ROWS: usize = 10_000;

/// Looks at the numbers of every node of the candidate, or of its outputs alone, on a sample of the data and on inputs at the edges.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which numbers are looked at. Of a model that cannot be run node by node, as where a runtime runs it as a whole, only the
    /// outputs can be.
    pub scope: Scope,
    /// The number of rows: a sample of the data that depends on its rows alone.
    #[schemars(range(min = 1, max = 10_000))]
    pub rows: usize,
    /// The most bytes that the sample may have.
    #[schemars(range(min = 1))]
    pub max_bytes: usize,
    /// The seed of the sample.
    pub seed: u64,
    /// Inputs beside the data's that the model is run on.
    pub edges: BTreeSet<Edge>,
    /// The greatest size of any number on the data. Without it any finite number will do.
    #[schemars(range(min = 0.0))]
    pub max_abs: Option<f64>,
    /// The least and the greatest number allowed on the data, of single outputs, nodes or inputs by their names, as in
    /// `{ probs = [0, 1] }`. One that is not there, and one with a number that is not finite, fails;
    /// one that was not looked at is not checked.
    pub ranges: BTreeMap<String, [f64; 2]>,
    /// The share of a node's elements that may be at a bound of its operator, where what they stand for no longer shows: at the
    /// ends of a sigmoid or tanh, at a constant that a clip cuts off at, or at the greatest integer of a quantization. The 0 of
    /// a ReLU is none of these bounds. Without it, the shares are only reported.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_saturated_share: Option<f64>,
    /// The share of a node's elements that may be subnormal: they are slow, and flushed to 0 on much hardware.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_subnormal_share: f64,
    /// A precision that no number on the data may overflow, nor any constant of the model, as when the model is to be converted to it.
    pub fits: Option<Precision>,
    /// How many nodes the report lists, those with the greatest numbers.
    #[schemars(range(max = 1000))]
    pub listed_nodes: usize,
}

/// Which numbers are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Those of the inputs and of every node, the outputs among them. Where the nodes cannot be seen, they are not checked.
    #[default]
    Nodes,
    /// Those of the outputs alone, as the model's runtime gives them. What is wrong inside of the model and does not show there
    /// is not found; `fits` and `max_saturated_share`, which are about nodes, have no meaning.
    Outputs,
}

impl Scope {
    /// Returns the word for many of them.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Outputs => "outputs",
        }
    }

    /// Returns the word for one of them.
    pub(crate) fn singular(self) -> &'static str {
        match self {
            Self::Nodes => "node",
            Self::Outputs => "output",
        }
    }
}

/// An input at the edge of what numbers are, the same in every element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// All 0: every number must be finite.
    Zeros,
    /// All subnormal in the type of the input, as 1e-40 is in single precision: every number must be finite.
    Subnormal,
    /// The greatest number of the input's type: what overflows must be infinite or NaN at the outputs too, or stay out of them
    /// because an operator bounds it, as a sigmoid does. It is told, and never fails.
    Greatest,
    /// The least number of the input's type; told as the greatest is.
    Least,
    /// All NaN: every floating-point output must be NaN, as anything else hides missing values.
    Nan,
}

/// A precision that a model may be converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// IEEE half precision, up to 65504.
    F16,
    /// Brain floating point, up to 3.39e38.
    Bf16,
}

impl Precision {
    /// Returns the greatest finite number.
    pub(crate) fn greatest(self) -> f64 {
        match self {
            Self::F16 => 65504.0,
            // 2^127 × (2 − 2^-7).
            Self::Bf16 => 3.389_531_389_251_535_5e38,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scope: Scope::Nodes,
            rows: 64,
            max_bytes: 64 << 20,
            seed: 0,
            edges: BTreeSet::new(),
            max_abs: None,
            ranges: BTreeMap::new(),
            max_saturated_share: None,
            max_subnormal_share: 0.5,
            fits: None,
            listed_nodes: 20,
        }
    }
}

impl Config {
    pub(crate) fn validated(self) -> Result<Self> {
        if !(1..=MAX_ROWS).contains(&self.rows) {
            return Err(Error::config("/rows", format!("`rows` must be from 1 to {MAX_ROWS}")));
        }
        for (name, is_there) in
            [("fits", self.fits.is_some()), ("max_saturated_share", self.max_saturated_share.is_some())]
        {
            if is_there && self.scope == Scope::Outputs {
                let message = format!("`{name}` is about every node, and only outputs are looked at");
                let help = format!("take out `{name}`, or `scope = \"outputs\"`");
                return Err(Error::config(format!("/{name}"), message).with_help(help));
            }
        }
        if self.max_bytes == 0 {
            return Err(Error::config("/max_bytes", "`max_bytes` must be at least 1"));
        }
        if self.max_abs.is_some_and(|it| !(it.is_finite() && it > 0.0)) {
            return Err(Error::config("/max_abs", "`max_abs` must be finite and greater than 0"));
        }
        for (name, share) in
            [("max_subnormal_share", Some(self.max_subnormal_share)), ("max_saturated_share", self.max_saturated_share)]
        {
            if share.is_some_and(|it| !(0.0..=1.0).contains(&it)) {
                return Err(Error::config(format!("/{name}"), format!("`{name}` must be from 0 to 1")));
            }
        }
        if let Some((name, [least, greatest])) =
            self.ranges.iter().find(|it| !matches!(it.1[0].partial_cmp(&it.1[1]), Some(Less | Equal)))
        {
            let message = format!("the range of `{name}` is from {least} to {greatest}, which holds no number");
            return Err(
                Error::config(format!("/ranges/{name}"), message).with_help("give two numbers, the lower one first")
            );
        }
        Ok(self)
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
        check(json!({"max_abs": 0.0}), "/max_abs");
        check(json!({"max_subnormal_share": 1.5}), "/max_subnormal_share");
        check(json!({"max_saturated_share": -0.5}), "/max_saturated_share");
        check(json!({"ranges": {"probs": [1, 0]}}), "/ranges/probs");
        check(json!({"scope": "outputs", "fits": "f16"}), "/fits");
        check(json!({"scope": "outputs", "max_saturated_share": 0.5}), "/max_saturated_share");
        assert!(serde_json::from_value::<Config>(json!({"edges": ["ones"]})).is_err());
    }
}
