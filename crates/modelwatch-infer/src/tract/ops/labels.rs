//! The names of classes.

use tract_onnx::{
    pb::NodeProto,
    prelude::{DatumType, Tensor, tensor1},
};

use crate::tract::attributes::{ints, texts};

/// The names of the classes.
#[derive(Clone, Debug)]
pub(super) enum Labels {
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

impl Labels {
    /// Reads the attributes with these names, of which one is given.
    pub(super) fn parse(node: &NodeProto, numbers: &str, names: &str) -> Self {
        match ints(node, numbers) {
            [] => Self::Texts(texts(node, names)),
            it => Self::Ints(it.to_vec()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ints(it) => it.len(),
            Self::Texts(it) => it.len(),
        }
    }

    pub(super) fn datum_type(&self) -> DatumType {
        match self {
            Self::Ints(_) => DatumType::I64,
            Self::Texts(_) => DatumType::String,
        }
    }

    /// Returns the names of classes given by their positions.
    pub(super) fn named(&self, classes: &[usize]) -> Tensor {
        match self {
            Self::Ints(names) => tensor1(&classes.iter().map(|&it| names[it]).collect::<Vec<_>>()),
            Self::Texts(names) => tensor1(&classes.iter().map(|&it| names[it].clone()).collect::<Vec<_>>()),
        }
    }
}
