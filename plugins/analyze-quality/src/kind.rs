//! What the values of a column are, whatever its Arrow type.

use modelwatch_sdk::{arrow::schema::DataType, rows::ColumnType};

/// What the values of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Nothing: an array of nulls without a type.
    Untyped,
    Integer,
    Float,
    Decimal,
    Boolean,
    Text,
    /// Dates and timestamps.
    Time,
    List,
    /// Structs, maps, bytes, times of day, spans of time.
    Other,
    /// Numbers that are names of categories by their type.
    Category,
}

/// Which values can be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    Numbers,
    Booleans,
    Texts,
    Times,
    Others,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Untyped,
        Self::Integer,
        Self::Float,
        Self::Decimal,
        Self::Boolean,
        Self::Text,
        Self::Time,
        Self::List,
        Self::Other,
        Self::Category,
    ];

    /// Returns the kind of arrays of that type.
    pub(crate) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Null => Self::Untyped,
            DataType::Boolean => Self::Boolean,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Dictionary(_, values) => match Self::of(values) {
                it @ (Self::Text | Self::Boolean | Self::Untyped) => it,
                Self::Integer | Self::Float => Self::Category,
                _ => Self::Other,
            },
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Self::Time,
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Self::List,
            it if it.is_integer() => Self::Integer,
            it if it.is_floating() => Self::Float,
            it if it.is_decimal() => Self::Decimal,
            _ => Self::Other,
        }
    }

    /// Returns the kind of that code.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Returns whether its values are written as texts, which are held against categories and patterns.
    pub(crate) fn is_written(self) -> bool {
        !matches!(self, Self::Untyped | Self::Time | Self::Decimal | Self::List | Self::Other)
    }

    /// Returns which values it can be put together with; none for arrays without a type, which fit everywhere.
    pub(crate) fn family(self) -> Option<Family> {
        match self {
            Self::Untyped => None,
            Self::Integer | Self::Float | Self::Decimal => Some(Family::Numbers),
            Self::Boolean => Some(Family::Booleans),
            Self::Text | Self::Category => Some(Family::Texts),
            Self::Time => Some(Family::Times),
            Self::List | Self::Other => Some(Family::Others),
        }
    }

    /// Returns the word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Untyped => "nothing but nulls",
            Self::Integer => "whole numbers",
            Self::Float => "floats",
            Self::Decimal => "decimals",
            Self::Boolean => "booleans",
            Self::Text => "texts",
            Self::Time => "times",
            Self::List => "lists",
            Self::Other => "other values",
            Self::Category => "categories",
        }
    }

    /// Returns whether such values are what a rule wants.
    pub(crate) fn fits(self, wanted: ColumnType) -> bool {
        match wanted {
            ColumnType::Integer => self == Self::Integer,
            ColumnType::Number => self.family() == Some(Family::Numbers),
            ColumnType::Text => self == Self::Text,
            ColumnType::Boolean => self == Self::Boolean,
            ColumnType::Time => self == Self::Time,
            ColumnType::List => self == Self::List,
        }
    }
}
