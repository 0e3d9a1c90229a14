//! Answers of the host's services that take rows: one value, as rows.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::{DataType, Field, Schema};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

/// The column in which an answer comes back.
const COLUMN: &str = "answer";

/// Returns an answer as rows.
///
/// # Errors
/// When it cannot be written.
pub fn to_rows<T: Serialize>(answer: &T) -> Result<RecordBatch> {
    let text: ArrayRef = Arc::new(StringArray::from(vec![serde_json::to_string(answer).map_err(Error::input)?]));
    let schema = Schema::new(vec![Field::new(COLUMN, DataType::Utf8, false)]);
    RecordBatch::try_new(Arc::new(schema), vec![text]).map_err(Error::input)
}

/// Reads an answer.
pub(crate) fn from_rows<T: DeserializeOwned>(rows: &RecordBatch) -> Result<T> {
    let text = rows.column_by_name(COLUMN).and_then(|it| it.as_string_opt::<i32>()).filter(|it| it.len() == 1);
    let text = text.ok_or_else(|| Error::input("the host's rows are no answer"))?;
    serde_json::from_str(text.value(0)).map_err(|e| Error::input(format!("cannot read the host's answer: {e}")))
}
