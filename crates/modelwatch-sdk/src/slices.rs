//! Rows cut into slices by the values of a column.

use std::collections::BTreeMap;

use arrow_array::{Array, ArrayRef, RecordBatch};

use crate::{
    error::{Error, Result},
    rows::{self, Use, name_matches},
};

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

/// Returns the cuts of a batch by those of its slice columns that the option `slices` names, `*` standing for any text.
///
/// # Errors
/// When the data has no such slice column, or its values cannot be read as text.
pub fn by_columns(names: &[String], batch: &RecordBatch) -> Result<Vec<Cut>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<(&str, &ArrayRef)> = rows::columns(batch, Use::Slice).collect();
    for (at, pattern) in names.iter().enumerate() {
        if !found.iter().any(|it| name_matches(pattern, it.0)) {
            let known = found.iter().map(|it| format!("`{}`", it.0)).collect::<Vec<_>>().join(", ");
            let help = if known.is_empty() {
                "the data has no slice columns; list some in `data.columns.slices`".to_owned()
            } else {
                format!("the slice columns are {known}")
            };
            let message = format!("`{pattern}` is not a slice column of the data");
            return Err(Error::config(format!("/slices/{at}"), message).with_help(help));
        }
    }
    let wanted: Vec<_> =
        found.into_iter().filter(|it| names.iter().any(|pattern| name_matches(pattern, it.0))).collect();
    let is_start = |of: &str, it: &str| of.strip_prefix(it).is_some_and(|rest| rest.starts_with('='));
    for (name, _) in &wanted {
        if let Some((other, _)) = wanted.iter().find(|it| is_start(it.0, name)) {
            let message = format!("slices of `{name}` and of `{other}` can have the same name");
            return Err(Error::input(message).with_help("rename one of the columns, or leave one out of `slices`"));
        }
    }
    wanted
        .into_iter()
        .map(|(name, array)| {
            by_value(name, array.as_ref()).map_err(|e| Error::input(format!("slice column `{name}`: {e}")))
        })
        .collect()
}
