//! What the values of a column are, as options say it.

use arrow_schema::DataType;
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
    const ALL: [Self; 6] = [Self::Integer, Self::Number, Self::Text, Self::Boolean, Self::Time, Self::List];

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

    /// Returns the type of that word.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// Returns whether arrays of that type have such values.
    pub fn includes(self, data_type: &DataType) -> bool {
        if let DataType::Dictionary(_, values) = data_type {
            // Dictionaries of numbers are rare, and their values are told apart like others.
            return matches!(self, Self::Text | Self::Boolean) && self.includes(values);
        }
        match self {
            Self::Integer => data_type.is_integer(),
            Self::Number => data_type.is_integer() || data_type.is_floating() || data_type.is_decimal(),
            Self::Text => matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
            Self::Boolean => data_type == &DataType::Boolean,
            Self::Time => matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64),
            Self::List => {
                matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
            }
        }
    }
}
