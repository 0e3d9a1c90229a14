//! What the host tells about the models of a run and the machine that it is on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is known of a model, from its file and from loading it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelDescription {
    /// The format: `onnx`, `tensorflow-saved-model`, …
    pub format: String,
    /// The file or folder, relative to the checkpoint.
    pub file: String,
    /// The bytes of the file, or of all files of the folder.
    pub bytes: u64,
    /// How many numbers it has learned.
    pub parameters: u64,
    /// What it takes, in the model's order.
    pub inputs: Vec<Port>,
    /// What it gives, in the model's order.
    pub outputs: Vec<Port>,
    /// What an ONNX file says of its outputs, which its graph may give otherwise: an element type that is not known is empty, and so is a
    /// shape. None in other formats.
    #[serde(default)]
    pub declared_outputs: Vec<Port>,
    /// How many nodes there are of each operator. An ONNX operator that is not of `ai.onnx` has its domain before it:
    /// `com.microsoft::Gelu`.
    pub operators: BTreeMap<String, u64>,
    /// The first node of each operator of an ONNX model, by the same names; empty in other formats.
    pub first_nodes: BTreeMap<String, String>,
    /// The operator sets of an ONNX model: version by domain; none in other formats.
    pub opsets: Option<BTreeMap<String, i64>>,
    /// The signature that is run, in formats that have them.
    pub signature: Option<String>,
    /// What the checkpoint's `MLmodel` file promises, if there is one.
    pub mlflow: Option<MlflowSignature>,
    /// How long it took to load in this run, in seconds.
    pub load_seconds: f64,
    /// Why it cannot be run; nothing of a model that can.
    pub refusal: Option<String>,
}

impl ModelDescription {
    /// Returns how many rows the model takes in a call, where that is part of it: more of them are several calls.
    pub fn fixed_batch(&self) -> Option<u64> {
        self.inputs.iter().find_map(|it| it.shape.first().copied().flatten())
    }
}

/// An input or output of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The type of its elements: `f32`, `i64`, `utf8`, …
    pub dtype: String,
    /// Its dimensions, the first of which is the batch; nothing stands for one that the data decides.
    pub shape: Vec<Option<u64>>,
}

/// The signature in an `MLmodel` file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MlflowSignature {
    /// The inputs; empty without a signature.
    pub inputs: Vec<MlflowField>,
    /// The outputs; empty without a signature.
    pub outputs: Vec<MlflowField>,
}

/// A column or tensor of a signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MlflowField {
    /// The name; a single tensor may have none.
    pub name: Option<String>,
    /// The type, in MLflow's words for columns (`double`) and in NumPy's for tensors (`float32`).
    pub dtype: String,
    /// The shape of a tensor, with -1 where any size will do; none for a column.
    pub shape: Option<Vec<i64>>,
    /// Whether it may be left out.
    pub optional: bool,
}

/// What is known of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineDescription {
    /// The operating system: `linux`.
    pub os: String,
    /// The instruction set: `x86_64`.
    pub arch: String,
    /// The processor as it calls itself; empty where it cannot be told.
    pub cpu: String,
    /// How many threads can run at once.
    pub threads: u64,
    /// What runs the models.
    pub runtime: String,
}
