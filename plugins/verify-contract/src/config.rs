//! The options.

use modelwatch_sdk::{Error, JsonSchema, MAX_THREADS, Result};
use serde::Deserialize;

use crate::dtype;

/// Holds the model's inputs, outputs, operators and sizes against a contract, the baseline and the data, and sees to it
/// that neither batches nor order nor repetition nor threads change its answers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the interface is held against besides what is declared here.
    pub mode: Mode,
    /// All inputs of the model, each as `{ name = "x", dtype = "float32", shape = ["batch", 8, 8, 1] }`.
    pub inputs: Option<Vec<PortContract>>,
    /// The outputs that callers rely on, written in the same way; another one is a warning.
    pub outputs: Option<Vec<PortContract>>,
    /// The formats that are allowed: `onnx`, `tensorflow-saved-model`, `tensorflow-frozen-graph`, `tflite`, `nnef`.
    pub formats: Option<Vec<Format>>,
    /// The versions of ONNX's operator set that are allowed: `{ min = 13, max = 21 }`.
    pub opset: Option<Opset>,
    /// Which operators are allowed: `{ allow = ["Conv", "Relu"], deny = ["Loop*"], custom = false }`.
    pub operators: Operators,
    /// The most bytes of the model's file or folder.
    pub max_bytes: Option<u64>,
    /// The most numbers that the model has learned.
    pub max_parameters: Option<u64>,
    /// Whether an `MLmodel` file of the checkpoint must agree with the model and the data.
    pub mlflow: bool,
    /// How many rows of the data the model is run on; 0 leaves these tests out.
    pub rows: usize,
    /// The sizes of the batches that must make no difference. Of a model whose batch is part of it, no size but that one can be run:
    /// one that is written here is then not checked, and those that stand here by default are a gap.
    pub batch_sizes: Vec<usize>,
    /// How often the model is run on the same rows.
    pub repeats: usize,
    /// On how many threads at once the model is run on the same rows, which must make no difference to a bit; 0 leaves that out.
    /// How many the machine has does not matter: what threads share they share on one processor, too.
    #[schemars(range(max = 64))]
    pub threads: usize,
    /// The relative tolerance between batches and orders: |a − b| ≤ atol + rtol · |b|. Not of integers, which are names as often as
    /// amounts: of those, |a − b| ≤ atol, to the last digit. Repetitions and threads must be equal.
    pub rtol: f64,
    /// The absolute tolerance.
    pub atol: f64,
    /// Another seed chooses other rows and another order.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Declared,
            inputs: None,
            outputs: None,
            formats: None,
            opset: None,
            operators: Operators::default(),
            max_bytes: None,
            max_parameters: None,
            mlflow: true,
            rows: 64,
            batch_sizes: vec![1, 7, 32],
            repeats: 3,
            threads: 4,
            rtol: 1e-4,
            atol: 1e-5,
            seed: 0,
        }
    }
}

/// The format of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// An ONNX file.
    Onnx,
    /// A folder that TensorFlow saved.
    TensorflowSavedModel,
    /// A frozen graph of TensorFlow.
    TensorflowFrozenGraph,
    /// A TensorFlow Lite file.
    Tflite,
    /// A folder or archive of the Neural Network Exchange Format.
    Nnef,
}

impl Format {
    /// Returns what a model's description calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            Self::TensorflowSavedModel => "tensorflow-saved-model",
            Self::TensorflowFrozenGraph => "tensorflow-frozen-graph",
            Self::Tflite => "tflite",
            Self::Nnef => "nnef",
        }
    }
}

/// What the interface is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// What the pipeline declares.
    Declared,
    /// That too, and the baseline's interface: what its callers rely on must stay.
    Baseline,
}

/// An input or output that callers rely on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortContract {
    /// Its name.
    pub name: String,
    /// The type of its elements: `f32` or `float32`, `i64` or `int64`, `utf8` or `string`, …
    pub dtype: Option<String>,
    /// Its dimensions, the batch first: a number for a size that is fixed, a word for one that the data decides.
    pub shape: Option<Vec<Axis>>,
}

/// A dimension.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Axis {
    /// Fixed.
    Size(u64),
    /// Decided by the data; what the word is does not matter.
    Dynamic(String),
}

/// Versions of ONNX's operator set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Opset {
    /// The lowest.
    pub min: Option<i64>,
    /// The highest.
    pub max: Option<i64>,
}

/// Which operators are allowed. A word ending in `*` stands for all that begin so.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Operators {
    /// No others than these.
    pub allow: Option<Vec<String>>,
    /// None of these.
    pub deny: Vec<String>,
    /// Whether operators outside of the standard sets (`ai.onnx`, `ai.onnx.ml`) are allowed.
    pub custom: Option<bool>,
}

impl Config {
    /// Returns whether the sizes of batches are others than where nobody says any.
    pub(crate) fn has_own_sizes(&self) -> bool {
        self.batch_sizes != Self::default().batch_sizes
    }

    pub(crate) fn validated(self) -> Result<Self> {
        for (key, ports) in [("inputs", &self.inputs), ("outputs", &self.outputs)] {
            for (at, it) in ports.iter().flatten().enumerate() {
                let path = format!("/{key}/{at}");
                if ports.iter().flatten().take(at).any(|other| other.name == it.name) {
                    return Err(Error::config(format!("{path}/name"), format!("`{key}` names `{}` twice", it.name)));
                }
                if let Some(unknown) = it.dtype.as_deref().filter(|it| dtype::normal(it).is_none()) {
                    return Err(Error::config(format!("{path}/dtype"), format!("there is no type `{unknown}`"))
                        .with_help(format!("it is one of {}", dtype::NAMES.join(", "))));
                }
            }
        }
        if self.outputs.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::config("/outputs", "`outputs` must name at least one output, or be left out"));
        }
        if let Some(Opset { min: Some(min), max: Some(max) }) = self.opset
            && min > max
        {
            return Err(Error::config("/opset", format!("no version is at least {min} and at most {max}")));
        }
        if self.operators.allow.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::config("/operators/allow", "`allow` must name at least one operator, or be left out"));
        }
        if self.rows > 0 && self.repeats < 2 {
            return Err(Error::config("/repeats", "`repeats` must be at least 2")
                .with_help("to leave the tests on rows out, set `rows = 0`"));
        }
        if self.threads == 1 || self.threads > MAX_THREADS.get() {
            return Err(Error::config("/threads", format!("`threads` must be from 2 to {MAX_THREADS}, or 0")));
        }
        if self.batch_sizes.contains(&0) {
            return Err(Error::config("/batch_sizes", "`batch_sizes` must be at least 1"));
        }
        for (name, value) in [("rtol", self.rtol), ("atol", self.atol)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::config(
                    format!("/{name}"),
                    format!("`{name}` is {value}, expected a finite number that is not negative"),
                ));
            }
        }
        Ok(self)
    }
}
