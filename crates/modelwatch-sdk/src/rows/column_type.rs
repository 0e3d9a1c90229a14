//! What the values of a column are, as options say it.

use schemars::JsonSchema;
use serde::Deserialize;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnType {
    /// Whole numbers.
    Integer,
    /// Numbers of any kind.
    Number,
    /// Texts.
    Text,
    /// True and false.
    Boolean,
    /// Dates and timestamps.
    Time,
    /// Lists, as of embeddings.
    List,
}

impl ColumnType {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Time => "time",
            Self::List => "list",
        }
    }
}
