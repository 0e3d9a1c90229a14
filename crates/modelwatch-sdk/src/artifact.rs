//! Files that a probe hands over with its report: what [`Host::keep`](crate::Host::keep) takes.
//!
//! They cross the boundary as rows, not in the report's JSON, so that their bytes are neither copied nor written as text.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, LargeBinaryArray, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::{DataType, Field, Schema};

use crate::error::{Error, Result};

/// What the service is called that takes them.
pub const KEEP: &str = "keep";
/// What the service is called that tells how many bytes of them are taken.
pub const BUDGET: &str = "artifact_bytes";

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its name, with the ending that says what it is; letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl Artifact {
    /// Returns a file.
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), bytes }
    }
}

/// Returns files as rows.
///
/// # Errors
/// When they are too large for a batch.
pub fn to_rows(artifacts: &[Artifact]) -> Result<RecordBatch> {
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(artifacts.iter().map(|it| &it.name)));
    let bytes: ArrayRef = Arc::new(LargeBinaryArray::from_iter_values(artifacts.iter().map(|it| &it.bytes)));
    let fields = [("name", DataType::Utf8), ("bytes", DataType::LargeBinary)];
    let fields = fields.map(|(name, data_type)| Field::new(name, data_type, false));
    RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), vec![names, bytes]).map_err(Error::input)
}

/// Reads files.
///
/// # Errors
/// When the rows are none.
pub fn from_rows(rows: &RecordBatch) -> Result<Vec<Artifact>> {
    let names = rows.column_by_name("name").and_then(|it| it.as_string_opt::<i32>());
    let bytes = rows.column_by_name("bytes").and_then(|it| it.as_binary_opt::<i64>());
    match (names, bytes) {
        (Some(names), Some(bytes)) if names.null_count() == 0 && bytes.null_count() == 0 => {
            Ok((0..rows.num_rows()).map(|it| Artifact::new(names.value(it), bytes.value(it).to_vec())).collect())
        }
        _ => Err(Error::input("the rows are no files")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer;

    #[test]
    fn files_come_back_as_they_were() {
        let all = [Artifact::new("a.onnx", vec![0, 255, 7]), Artifact::new("empty", vec![])];
        assert_eq!(from_rows(&to_rows(&all).unwrap()).unwrap(), all);
        assert_eq!(from_rows(&to_rows(&[]).unwrap()).unwrap(), []);
        assert!(from_rows(&answer::to_rows(&1).unwrap()).unwrap_err().message.contains("no files"));
    }
}
