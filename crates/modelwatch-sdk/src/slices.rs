//! Rows cut into slices by the values of a column.

use std::collections::BTreeMap;

use arrow_array::Array;

use crate::{error::Result, rows};

/// One way to cut the rows of a batch into slices.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// The column, or what else the slices are made of.
    pub group: String,
    /// The names of the slices that occur: `column=value`.
    pub names: Vec<String>,
    /// Which of them each row is in; none where a value is missing.
    pub rows: Vec<Option<usize>>,
}

/// Returns the cut of a batch by the values of one of its columns, in the order in which they come.
///
/// # Errors
/// When the values cannot be read as text; see [`rows::texts`].
///
/// ```
/// use modelwatch_sdk::{arrow::array::StringArray, slices::by_value};
///
/// let cut = by_value("region", &StringArray::from(vec![Some("west"), None, Some("east"), Some("west")]));
/// let cut = cut.map_err(|e| e.to_string())?;
/// assert_eq!(cut.names, ["region=west", "region=east"]);
/// assert_eq!(cut.rows, [Some(0), None, Some(1), Some(0)]);
/// # Ok::<(), String>(())
/// ```
pub fn by_value(column: &str, array: &dyn Array) -> Result<Cut> {
    let values = rows::texts(array)?;
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut names = Vec::new();
    let mut rows = Vec::with_capacity(values.len());
    for value in &values {
        rows.push(value.as_deref().map(|it| {
            let next = seen.len();
            *seen.entry(it).or_insert_with(|| {
                names.push(format!("{column}={it}"));
                next
            })
        }));
    }
    Ok(Cut { group: column.to_owned(), names, rows })
}
