//! What can go wrong between a model file and its outputs.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use arrow_schema::ArrowError;

use crate::spec::{ElementType, ModelFormat};

/// Operators that cannot be run, each with the node that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operators(pub Vec<(String, String)>);

fn of_signatures(there: &[String]) -> String {
    if there.is_empty() {
        return "it has none; leave `signature` out".to_owned();
    }
    format!("its signatures are {}", crate::tract::listed(there))
}

impl InferError {
    /// Returns the refusal of the model at `path` for operators, each with its node.
    pub(crate) fn unsupported(path: &Path, operators: Vec<(String, String)>) -> Self {
        Self::Unsupported { path: path.to_path_buf(), operators: Operators(operators) }
    }

    /// Returns the input of the model whose values the error is about.
    pub fn input(&self) -> Option<&str> {
        match self {
            Self::MissingInput { input, .. }
            | Self::ColumnType { input, .. }
            | Self::NullInput { input, .. }
            | Self::Shape { input, .. }
            | Self::Inexact { input, .. } => Some(input),
            _ => None,
        }
    }

    /// Returns the refusal of the model at `path` because what it answers to a row depends on the others.
    pub fn mixed_rows(path: &Path) -> Self {
        Self::MixedRows { path: path.to_path_buf() }
    }
}

impl fmt::Display for Operators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (idx, (operator, node)) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if idx == 0 { "" } else { ", " };
            write!(f, "{separator}{operator} (node `{node}`)")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Why a model could not be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferError {
    /// The file cannot be opened or read.
    #[error("cannot read model `{}`", path.display())]
    Open {
        /// The model.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is another one than when loading began.
    #[error("cannot load `{}`: it was changed while it was loaded; load it again once it is written", path.display())]
    Changed {
        /// The model.
        path: PathBuf,
    },
    /// The file has no bytes.
    #[error("model `{}` is empty; export or download it again", path.display())]
    Empty {
        /// The model.
        path: PathBuf,
    },
    /// The file is over the limit.
    #[error("model `{}` has {bytes} bytes, more than the {limit} that are read; store large weights as external data", path.display())]
    TooLarge {
        /// The model.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The content is none of the formats known here.
    #[error("`{}` is not a model that can be run: {found}; give an ONNX, TensorFlow, TFLite or NNEF model", path.display())]
    UnknownFormat {
        /// The model.
        path: PathBuf,
        /// What it looks like instead.
        found: String,
    },
    /// The content starts like its format but cannot be decoded.
    #[error("cannot decode `{}` as {format}: {reason}; the file is damaged or beyond what tract reads, export it again or to ONNX", path.display())]
    Malformed {
        /// The model.
        path: PathBuf,
        /// The format its first bytes claim.
        format: ModelFormat,
        /// What the decoder said.
        reason: String,
    },
    /// The model is not built as a sound model is, or asks for more than a model for inference needs. Nothing of it was run.
    #[error("cannot load `{}`: {reason}; {remedy}", path.display())]
    Unsound {
        /// The model.
        path: PathBuf,
        /// Which node or tensor, and what about it.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A limit that protects memory is passed.
    #[error("cannot load `{}`: it has {what}, more than the {limit} that are read; export only what inference needs", path.display())]
    Limit {
        /// The model.
        path: PathBuf,
        /// How many of what.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// Which of its signatures is to be run cannot be told, or is not there.
    #[error("cannot choose what to run of `{}`: {reason}", path.display())]
    Signature {
        /// The model.
        path: PathBuf,
        /// What there is instead, and what to do.
        reason: String,
    },
    /// A signature is wanted that the model does not have.
    #[error("`{}` has no signature `{wanted}`; {}", path.display(), of_signatures(there))]
    NoSignature {
        /// The model.
        path: PathBuf,
        /// The name of the signature.
        wanted: String,
        /// The names of those that it has, sorted.
        there: Vec<String>,
    },
    /// A signature is wanted of a model whose format has none.
    #[error(
        "cannot choose what to run of `{}`: signature `{wanted}` is wanted, and its format, {format}, has no signatures; leave `signature` out",
        path.display()
    )]
    NoSignatures {
        /// The model.
        path: PathBuf,
        /// The name of the signature.
        wanted: String,
        /// The format of the model.
        format: ModelFormat,
    },
    /// The weights beside the graph are missing or damaged.
    #[error("cannot load the weights of `{}`: {reason}", path.display())]
    Weights {
        /// The model.
        path: PathBuf,
        /// Which and why.
        reason: String,
    },
    /// The model uses operators that are missing, or that the runtime is known to compute wrongly.
    #[error("cannot run `{}` correctly: {operators}; re-export the model without these operators", path.display())]
    Unsupported {
        /// The model.
        path: PathBuf,
        /// The operators and nodes.
        operators: Operators,
    },
    /// An input or output does not fit "one row in, one row out".
    #[error("cannot run `{}` by rows: {reason}; re-export it with the batch as the first axis of every input and output", path.display())]
    Interface {
        /// The model.
        path: PathBuf,
        /// Which tensor and why.
        reason: String,
    },
    /// What the model answers to a row depends on the others.
    #[error("cannot run `{}` by rows: its rows influence each other; re-export it with the batch as the first axis of every input and output", path.display())]
    MixedRows {
        /// The model.
        path: PathBuf,
    },
    /// The model can be run, but not node by node.
    #[error("cannot run `{}` node by node: {reason}; compare the outputs alone, or re-export it with operators that tract compiles", path.display())]
    Nodes {
        /// The model.
        path: PathBuf,
        /// What the runtime said.
        reason: String,
    },
    /// The model is run by something that shows nothing of its nodes.
    #[error("cannot look into `{}` node by node: {runtime} gives its outputs alone; leave `runtime` out for that", path.display())]
    Opaque {
        /// The model.
        path: PathBuf,
        /// What runs it.
        runtime: &'static str,
    },
    /// What a model computes inside cannot be had.
    #[error("cannot look at a layer of `{}`: {reason}", path.display())]
    Layer {
        /// The model.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// A runtime was asked for that is not here.
    #[error("cannot use {runtime}: {reason}")]
    Unavailable {
        /// The runtime.
        runtime: &'static str,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A runtime was asked to run what it does not read.
    #[error("{runtime} cannot run `{}`, a model in the format {format}; export it to ONNX, or leave `runtime` out", path.display())]
    OtherFormat {
        /// The model.
        path: PathBuf,
        /// Its format.
        format: ModelFormat,
        /// The runtime.
        runtime: &'static str,
    },
    /// Two models cannot be compared node by node.
    #[error("cannot compare `{}` with `{}` node by node: {reason}; give two models of one interface, and rows that both can run", candidate.display(), reference.display())]
    Comparison {
        /// The model that is compared with.
        reference: PathBuf,
        /// The model that is compared.
        candidate: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A part of the model cannot be written as a model of its own.
    #[error("cannot write a part of `{}` as a model: {reason}", path.display())]
    Excerpt {
        /// The model.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The runtime could not turn the graph into a plan.
    #[error("cannot prepare `{}` for batches of {rows}: {reason}; re-export it with fixed shapes or a simpler operator set", path.display())]
    Prepare {
        /// The model.
        path: PathBuf,
        /// The number of rows tried.
        rows: usize,
        /// What the runtime said.
        reason: String,
    },
    /// A model input has no column.
    #[error(
        "no column is named after model input `{input}`; the batch has {columns:?}; rename a column or map it to the input"
    )]
    MissingInput {
        /// The input.
        input: String,
        /// The columns there are.
        columns: Vec<String>,
    },
    /// A column has a type that cannot become a tensor.
    #[error(
        "column `{input}` has type {data_type}, which cannot feed an input of {wanted}; cast it to numbers or fixed-size lists of numbers"
    )]
    ColumnType {
        /// The input and column.
        input: String,
        /// The column's type.
        data_type: String,
        /// The input's type.
        wanted: ElementType,
    },
    /// A column has a null where a model needs a number.
    #[error("column `{input}` has a null in row {row}; fill or drop it before inference")]
    NullInput {
        /// The input and column.
        input: String,
        /// The first row with a null.
        row: usize,
    },
    /// A column's rows have another shape than the input.
    #[error("rows of column `{input}` have shape {got}, but the model wants {wanted}; reshape the column")]
    Shape {
        /// The input and column.
        input: String,
        /// The model's row shape; `?` is dynamic.
        wanted: String,
        /// The column's row shape.
        got: String,
    },
    /// A value does not exist in the input's type.
    #[error(
        "value {value} of column `{input}` (element {element}) does not fit the model's type {wanted}; convert the column explicitly"
    )]
    Inexact {
        /// The input and column.
        input: String,
        /// The position in the flattened column.
        element: usize,
        /// The value.
        value: String,
        /// The input's type.
        wanted: ElementType,
    },
    /// The runtime failed while computing.
    #[error("cannot run `{}`: {reason}", path.display())]
    Run {
        /// The model.
        path: PathBuf,
        /// What the runtime said.
        reason: String,
    },
    /// The runtime panicked, on the model or on what it was given.
    #[error(
        "cannot run `{}`: the runtime panicked: {message}; re-export it with fixed shapes or a simpler operator set",
        path.display()
    )]
    Panicked {
        /// The model.
        path: PathBuf,
        /// The panic's message.
        message: String,
    },
    /// The outputs do not form a record batch.
    #[error("cannot build a record batch from the model's outputs")]
    Outputs(#[source] ArrowError),
}
