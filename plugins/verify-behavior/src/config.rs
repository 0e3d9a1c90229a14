//! The options, as they are written.

use std::collections::BTreeMap;

use modelwatch_sdk::JsonSchema;
use serde::Deserialize;

/// Tests how the model's output answers to changes of its input, and on cases with known answers. Every test runs the
/// model once more on every row.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The output that is looked at. May be left out where the model has one.
    pub output: Option<String>,
    /// Another seed gives other noise.
    #[serde(default)]
    pub seed: u64,
    /// From which value on a single score says class 1.
    #[serde(default = "half")]
    pub threshold: f64,
    /// Changes that must not matter, each as
    /// `{ name = "noise", change = { noise = 0.05, clip = [0, 1] }, same_class = true, share = 0.97 }`; `columns` and
    /// `where` choose what is changed, `tolerance` says by how much the output may move.
    #[serde(default)]
    pub invariance: Vec<Invariance>,
    /// Changes that must not move the output in one direction, each as
    /// `{ name = "income", change = { add = 1000 }, columns = ["income"], expect = "not-higher", element = 1 }`.
    #[serde(default)]
    pub directional: Vec<Directional>,
    /// Inputs whose answer is known, each as `{ name = "zero", inputs = { age = 30, income = 0 }, class = 0 }`, or with
    /// `output = [0.9, 0.1], tolerance = 0.05` in place of `class`.
    #[serde(default)]
    pub cases: Vec<Case>,
}

/// A change that must not matter.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invariance {
    /// What the test is called in the report.
    pub name: String,
    /// What is done to the input.
    pub change: Change,
    /// The columns that are changed. Without them every numeric column that is a part of the model's input.
    pub columns: Option<Vec<String>>,
    /// Only rows whose columns have these values, as text.
    #[serde(default)]
    pub r#where: BTreeMap<String, String>,
    /// By how much any element of the output may change.
    pub tolerance: Option<f64>,
    /// Whether the predicted class must stay: that of the highest score, of a single score whether it reaches
    /// `threshold`, of an integer or text output the value itself.
    #[serde(default)]
    pub same_class: bool,
    /// The share of rows for which it has to hold.
    #[serde(default = "one")]
    pub share: f64,
}

/// A change that must not move the output in one direction.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directional {
    /// What the test is called in the report.
    pub name: String,
    /// What is done to the input.
    pub change: Change,
    /// The columns that are changed.
    pub columns: Vec<String>,
    /// Only rows whose columns have these values, as text.
    #[serde(default)]
    pub r#where: BTreeMap<String, String>,
    /// Which way the output must not go.
    pub expect: Direction,
    /// Which element of the output, counted from 0. May be left out where it has one.
    pub element: Option<usize>,
    /// How far it may go that way all the same; rounding is not a fall.
    #[serde(default = "slack")]
    pub slack: f64,
    /// The share of rows for which it has to hold.
    #[serde(default = "one")]
    pub share: f64,
}

/// What a directional test expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The output stays or rises.
    NotLower,
    /// The output stays or falls.
    NotHigher,
}

/// What is done to the input: exactly one of `noise`, `shift`, `flip`, `scale`, `add`, `set` and `missing`.
/// In integer columns the result is rounded.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// Adds normal noise of this standard deviation.
    pub noise: Option<f64>,
    /// Moves an image by so many pixels down and to the right; negative ones are up and to the left.
    pub shift: Option<[i64; 2]>,
    /// Mirrors an image.
    pub flip: Option<Flip>,
    /// Multiplies.
    pub scale: Option<f64>,
    /// Adds.
    pub add: Option<f64>,
    /// Sets to a constant, a number or a text.
    pub set: Option<Known>,
    /// Makes the value missing, which for a model is NaN: an input that takes whole numbers has none, and is `set` to what stands for it.
    pub missing: Option<bool>,
    /// Keeps the changed values between these two.
    pub clip: Option<[f64; 2]>,
    /// What comes in from outside of a shifted image.
    pub fill: f64,
    /// The height and width of an image, and its channels if there are several, where the data does not say.
    pub shape: Option<Vec<usize>>,
    /// Where the channels of an image are, where that cannot be told from its shape.
    pub channels: Option<Channels>,
}

/// How an image is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flip {
    /// Left becomes right.
    Horizontal,
    /// Up becomes down.
    Vertical,
}

/// Where the channels of an image are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// Before height and width.
    First,
    /// After height and width.
    Last,
}

/// A number, a text, or numbers.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Known {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// The numbers of a list or image, in the order of memory.
    Numbers(Vec<f64>),
}

/// An input whose answer is known.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What the case is called in the report.
    pub name: String,
    /// The value of every column that the model's input is made of; without data, of every input.
    pub inputs: BTreeMap<String, Known>,
    /// The class that is to be predicted.
    pub class: Option<Known>,
    /// The output, element by element.
    pub output: Option<Known>,
    /// By how much an element may differ from `output`.
    #[serde(default = "slack")]
    pub tolerance: f64,
}

fn half() -> f64 {
    0.5
}

fn one() -> f64 {
    1.0
}

fn slack() -> f64 {
    1e-6
}
