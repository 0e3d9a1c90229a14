//! The values of a stream, in as many bytes as they need.

use modelwatch_sdk::{
    Error, Result,
    arrow::schema::DataType,
    state::{Reader, Writer, damaged},
};

/// Values in the order of the rows, NaN where one is missing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// Of types that an `f32` holds exactly.
    Narrow(Vec<f32>),
    /// All others; whole numbers beyond 2^53 are rounded.
    Wide(Vec<f64>),
}

impl Values {
    /// Returns values that come from an array of that type.
    pub(crate) fn of(data_type: &DataType, values: impl Iterator<Item = f64>) -> Self {
        match data_type {
            DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::UInt8
            | DataType::UInt16
            | DataType::Float16
            | DataType::Float32 => Self::narrow(values),
            DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item) => {
                Self::of(item.data_type(), values)
            }
            _ => Self::Wide(values.collect()),
        }
    }

    /// Returns values that an `f32` holds exactly, as 0 and 1.
    pub(crate) fn narrow(values: impl Iterator<Item = f64>) -> Self {
        Self::Narrow(values.map(|it| it as f32).collect())
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Narrow(it) => it.len(),
            Self::Wide(it) => it.len(),
        }
    }

    /// Returns the bytes of a value.
    pub(crate) fn width(&self) -> u64 {
        match self {
            Self::Narrow(_) => 4,
            Self::Wide(_) => 8,
        }
    }

    /// Returns the value of a row; NaN beyond the end.
    pub(crate) fn get(&self, row: usize) -> f64 {
        match self {
            Self::Narrow(it) => it.get(row).map_or(f64::NAN, |it| f64::from(*it)),
            Self::Wide(it) => it.get(row).copied().unwrap_or(f64::NAN),
        }
    }

    /// Returns no values of the same width.
    pub(crate) fn none(&self) -> Self {
        match self {
            Self::Narrow(_) => Self::Narrow(Vec::new()),
            Self::Wide(_) => Self::Wide(Vec::new()),
        }
    }

    /// Appends some of the values of other rows.
    ///
    /// # Errors
    /// When they are of another width.
    pub(crate) fn extend(&mut self, other: &Self, rows: &[usize]) -> Result<()> {
        match (self, other) {
            (Self::Narrow(ours), Self::Narrow(theirs)) => ours.extend(rows.iter().map(|it| theirs[*it])),
            (Self::Wide(ours), Self::Wide(theirs)) => ours.extend(rows.iter().map(|it| theirs[*it])),
            _ => return Err(Error::input("a column does not have the same type in all rows")),
        }
        Ok(())
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Narrow(it) => {
                writer.u8(4);
                writer.bytes(&it.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>());
            }
            Self::Wide(it) => {
                writer.u8(8);
                writer.bytes(&it.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>());
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        match reader.u8()? {
            4 => chunks(reader.bytes()?).map(|it| Self::Narrow(it.map(f32::from_le_bytes).collect())),
            8 => chunks(reader.bytes()?).map(|it| Self::Wide(it.map(f64::from_le_bytes).collect())),
            _ => Err(damaged("values are neither 4 nor 8 bytes wide")),
        }
    }
}

/// Returns bytes in groups of `N`.
///
/// # Errors
/// When some are left over.
pub(crate) fn chunks<const N: usize>(bytes: &[u8]) -> Result<impl Iterator<Item = [u8; N]> + '_> {
    match bytes.as_chunks::<N>() {
        (chunks, []) => Ok(chunks.iter().copied()),
        _ => Err(damaged("a list of numbers ends within a number")),
    }
}
