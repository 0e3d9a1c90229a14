//! What a pipeline writes about a column.

use modelwatch_sdk::{JsonSchema, rows::ColumnType};
use serde::Deserialize;

/// What a column has to be: every part that is written is checked, and what is broken is an error. Where all values are missing, or are of a type
/// that a part is not for, that part is not checked, and the run does not pass for it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnRule {
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: Option<ColumnType>,
    /// The least value; a text such as `2026-11-01T00:00:00Z` for times. Values that are neither numbers nor times break it.
    pub min: Option<Bound>,
    /// The greatest value; a text such as `2026-11-01T00:00:00Z` for times. Values that are neither numbers nor times break it.
    pub max: Option<Bound>,
    /// Every value that may occur, as text.
    pub categories: Option<Vec<String>>,
    /// A regular expression that every value matches as a whole; values that are no texts are written as such first.
    pub pattern: Option<String>,
    /// Whether the column has to be there; `true` unless the name has a `*`.
    pub required: Option<bool>,
    /// The greatest share of missing values, in place of that for all columns.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_missing: Option<f64>,
    /// Whether no value may occur twice.
    pub unique: bool,
}

/// A bound of values.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Bound {
    /// A whole number, which is exact.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A time.
    Time(String),
}
