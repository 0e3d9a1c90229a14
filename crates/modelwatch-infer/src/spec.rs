//! What a model takes and gives.

use std::{collections::BTreeMap, fmt, path::Path};

use crate::error::InferError;

/// The type of one element of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// Boolean.
    Bool,
    /// Signed 8-bit integer.
    I8,
    /// Signed 16-bit integer.
    I16,
    /// Signed 32-bit integer.
    I32,
    /// Signed 64-bit integer.
    I64,
    /// Unsigned 8-bit integer.
    U8,
    /// Unsigned 16-bit integer.
    U16,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 64-bit integer.
    U64,
    /// IEEE half precision. Data passes through as `F32`; only the runtime narrows it.
    F16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// UTF-8 text.
    Utf8,
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Utf8 => "utf8",
        })
    }
}

/// One input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The name in the model file, which is also the name of the column.
    pub name: String,
    /// The element type.
    pub dtype: ElementType,
    /// The dimensions; `None` is dynamic, and `[0]` is the batch axis.
    pub shape: Vec<Option<usize>>,
}

/// The tensors inside of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// Those that are computed from the inputs, each behind those that it is made of; outputs are among them.
    pub tensors: Vec<String>,
    /// What the last linear node before the first output reads: the model's own representation of a row. None where that node reads
    /// an input, or there is no such node.
    pub penultimate: Option<String>,
}

/// How a model is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelFormat {
    /// An ONNX `ModelProto`.
    Onnx,
    /// A TensorFlow `GraphDef` whose variables were frozen into constants.
    TfFrozen,
    /// A TensorFlow SavedModel folder.
    TfSavedModel,
    /// A TensorFlow Lite flat buffer.
    TfLite,
    /// An NNEF folder or archive.
    Nnef,
}

impl fmt::Display for ModelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Onnx => "ONNX",
            Self::TfFrozen => "TensorFlow frozen graph",
            Self::TfSavedModel => "TensorFlow SavedModel",
            Self::TfLite => "TFLite",
            Self::Nnef => "NNEF",
        })
    }
}

/// What is known of a model after loading it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// The format, found by content.
    pub format: ModelFormat,
    /// The inputs, in the model's order.
    pub inputs: Vec<TensorSpec>,
    /// The outputs, in the model's order.
    pub outputs: Vec<TensorSpec>,
    /// How many nodes there are of each operator.
    pub operators: BTreeMap<String, usize>,
    /// How many numbers the model holds: floating point and 8-bit constants, coefficients and tree thresholds.
    /// Shapes, indices and axes are not counted.
    pub n_parameters: u64,
    /// The signature that is run, in formats that name their entry points.
    pub signature: Option<String>,
    /// The names of all signatures, sorted.
    pub signatures: Vec<String>,
    /// Whether all of it is in the one file that it was read from, with no weights beside it.
    pub is_one_file: bool,
}

impl ModelInfo {
    /// Returns the number of rows of a batch if the model at `path`, which this is about, fixes it.
    ///
    /// # Errors
    /// Where the inputs do not have rows, or not as many.
    pub fn fixed_batch(&self, path: &Path) -> Result<Option<usize>, InferError> {
        let interface = |reason: String| InferError::Interface { path: path.to_path_buf(), reason };
        if self.inputs.is_empty() {
            return Err(interface("it has no inputs".to_string()));
        }
        let mut res: Option<(usize, &str)> = None;
        for input in &self.inputs {
            match (input.shape.first(), res) {
                (None, _) => return Err(interface(format!("input `{}` is a scalar", input.name))),
                (Some(Some(0)), _) => {
                    return Err(interface(format!("input `{}` has no rows", input.name)));
                }
                (Some(Some(rows)), Some((other, name))) if *rows != other => {
                    return Err(interface(format!(
                        "input `{name}` has {other} rows and input `{}` has {rows}",
                        input.name
                    )));
                }
                (Some(Some(rows)), _) => res = Some((*rows, &input.name)),
                (Some(None), _) => (),
            }
        }
        Ok(res.map(|(rows, _)| rows))
    }

    /// Returns the shapes of the rows of each input if the model fixes them all.
    pub fn fixed_rows(&self) -> Option<Vec<Vec<usize>>> {
        self.inputs.iter().map(|it| it.shape.iter().skip(1).copied().collect()).collect()
    }

    /// Returns whether the number of rows may be a number in the graph.
    pub fn tells_sizes(&self) -> bool {
        ["Shape", "Size", "SHAPE"].iter().any(|it| self.operators.contains_key(*it))
    }

    /// Returns whether there are convolutions, whatever the format calls them.
    pub(crate) fn has_convolutions(&self) -> bool {
        self.has_any_like(&["conv"])
    }

    /// Returns whether values between input and output may be much larger than both, as far as the names of operators tell: those of
    /// convolutions and recurrent networks, and of embeddings and what looks at pairs of them. Not of what gathers: see
    /// [`gathers`](Self::gathers).
    pub(crate) fn may_widen(&self) -> bool {
        self.has_any_like(&["conv", "embed", "attention", "lstm", "gru", "rnn", "onehot", "einsum"])
    }

    /// Returns whether something is looked up by its place: rows of a table of embeddings, or no more than columns of the input.
    pub(crate) fn gathers(&self) -> bool {
        self.has_any_like(&["gather"])
    }

    fn has_any_like(&self, parts: &[&str]) -> bool {
        let is_like = |it: &String| parts.iter().any(|part| it.to_lowercase().replace('_', "").contains(part));
        self.operators.keys().any(is_like)
    }

    /// Returns whether the rows of every input are fixed and have no more numbers than this.
    pub(crate) fn has_rows_up_to(&self, most: usize) -> bool {
        let n_numbers = |row: &[usize]| row.iter().try_fold(1_usize, |acc, it| acc.checked_mul(*it));
        self.fixed_rows().is_some_and(|it| it.iter().all(|row| n_numbers(row).is_some_and(|it| it <= most)))
    }
}
