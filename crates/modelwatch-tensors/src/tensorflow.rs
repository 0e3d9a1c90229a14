//! TensorFlow: checkpoints (tensor bundles), SavedModels and frozen graphs.
//!
//! Layouts follow `tensor_bundle.proto`, `graph.proto` and the table format of LevelDB.

mod bundle;
pub(crate) mod crc32c;
mod graph;
mod proto;
mod table;

pub(crate) use bundle::read as read_bundle;
pub(crate) use graph::{code_of_saved_model, read_frozen, read_saved_model, repeat};
pub(crate) use table::is_table;

use crate::{catalog::Lost, dtype::DType};

/// The number of strings among the element types.
const STRING: i32 = 7;

/// Returns the element type that a number of `tensorflow.DataType` stands for.
///
/// Quantized types are read as the integers they are stored as.
fn dtype(number: i32) -> Option<DType> {
    Some(match number {
        1 => DType::F32,
        2 => DType::F64,
        3 | 13 => DType::I32,
        4 | 12 => DType::U8,
        5 | 15 => DType::I16,
        6 | 11 => DType::I8,
        9 => DType::I64,
        10 => DType::Bool,
        14 => DType::Bf16,
        16 | 17 => DType::U16,
        19 => DType::F16,
        22 => DType::U32,
        23 => DType::U64,
        _ => return None,
    })
}

/// Returns what is lost where a tensor of another type is not read, and why it is not.
fn unsupported_type(number: i32) -> (Lost, String) {
    let reason = match number {
        STRING => "holds strings, not numbers".to_owned(),
        _ => format!("has TensorFlow element type {number}, which is not supported"),
    };
    let lost = match number {
        // Texts, and integers of four bits.
        STRING | 29 | 30 => Lost::Finite,
        // Resources and variants are no arrays.
        20 | 21 => Lost::Nothing,
        _ => Lost::Numbers,
    };
    (lost, reason)
}
