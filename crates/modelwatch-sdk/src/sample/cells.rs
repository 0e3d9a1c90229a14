//! Values of columns as bytes, and back.
//!
//! A value is a byte that says whether it is there, and its content: the bytes of a number, the length and bytes
//! of a text, the values of a list. Content is written for missing values too, so that it is as long for every row.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, FixedSizeListArray, StringArray, cast::AsArray, make_array};
use arrow_data::ArrayData;
use arrow_schema::{DataType, FieldRef};

use crate::error::{Error, Result};

/// The values of a column of a batch.
pub(super) enum Cells {
    Fixed { data: ArrayData, width: usize },
    Bools(BooleanArray),
    Texts(Vec<Option<String>>),
    List { list: FixedSizeListArray, items: Box<Cells> },
}

impl Cells {
    pub(super) fn new(array: &dyn Array) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Boolean => Self::Bools(array.as_boolean().clone()),
            DataType::Utf8 => Self::Texts(array.as_string::<i32>().iter().map(|it| it.map(str::to_owned)).collect()),
            DataType::FixedSizeList(..) => {
                let list = array.as_fixed_size_list().clone();
                let items = Box::new(Self::new(list.values().as_ref())?);
                Self::List { list, items }
            }
            it => match it.primitive_width() {
                Some(width) => Self::Fixed { data: array.to_data(), width },
                None => return Err(unsupported(it)),
            },
        })
    }

    pub(super) fn write(&self, row: usize, to: &mut Vec<u8>) {
        let is_valid = match self {
            Self::Fixed { data, .. } => data.is_valid(row),
            Self::Bools(it) => it.is_valid(row),
            Self::Texts(it) => it[row].is_some(),
            Self::List { list, .. } => list.is_valid(row),
        };
        to.push(is_valid.into());
        if is_valid { self.write_content(row, to) } else { self.write_nothing(to) }
    }

    fn write_content(&self, row: usize, to: &mut Vec<u8>) {
        match self {
            Self::Fixed { data, width } => {
                let start = (data.offset() + row) * width;
                to.extend(&data.buffers()[0][start..start + width]);
            }
            Self::Bools(it) => to.push(it.value(row).into()),
            Self::Texts(it) => {
                let text = it[row].as_deref().unwrap_or_default();
                to.extend((text.len() as u64).to_le_bytes());
                to.extend(text.as_bytes());
            }
            Self::List { list, items } => {
                let start = list.value_offset(row) as usize;
                (start..start + list.value_length() as usize).for_each(|it| items.write(it, to));
            }
        }
    }

    /// Zeros: what is in memory where a value is missing is nobody's value.
    fn write_nothing(&self, to: &mut Vec<u8>) {
        match self {
            Self::Fixed { width, .. } => to.resize(to.len() + width, 0),
            Self::Bools(_) => to.push(0),
            Self::Texts(_) => to.extend(0_u64.to_le_bytes()),
            Self::List { list, items } => (0..list.value_length()).for_each(|_| {
                to.push(1);
                items.write_nothing(to);
            }),
        }
    }
}

/// The values of a column that is read back.
pub(super) struct Collector {
    data_type: DataType,
    valid: Vec<bool>,
    content: Content,
}

enum Content {
    Fixed { width: usize, bytes: Vec<u8> },
    Bools(Vec<bool>),
    Texts(Vec<String>),
    List { item: FieldRef, n_items: usize, items: Box<Collector> },
}

impl Collector {
    pub(super) fn new(data_type: &DataType) -> Result<Self> {
        let content = match data_type {
            DataType::Boolean => Content::Bools(Vec::new()),
            DataType::Utf8 => Content::Texts(Vec::new()),
            DataType::FixedSizeList(item, n_items) => Content::List {
                item: Arc::clone(item),
                n_items: usize::try_from(*n_items).map_err(|_| damaged())?,
                items: Box::new(Self::new(item.data_type())?),
            },
            it => match it.primitive_width() {
                Some(width) => Content::Fixed { width, bytes: Vec::new() },
                None => return Err(unsupported(it)),
            },
        };
        Ok(Self { data_type: data_type.clone(), valid: Vec::new(), content })
    }

    /// Reads one value.
    pub(super) fn read(&mut self, rest: &mut &[u8]) -> Result<()> {
        self.valid.push(take(rest, 1)? != [0]);
        match &mut self.content {
            Content::Fixed { width, bytes } => bytes.extend(take(rest, *width)?),
            Content::Bools(it) => it.push(take(rest, 1)? != [0]),
            Content::Texts(it) => {
                let len = take(rest, 8)?.try_into().map(u64::from_le_bytes).map_err(|_| damaged())?;
                let text = take(rest, usize::try_from(len).map_err(|_| damaged())?)?;
                it.push(String::from_utf8(text.to_vec()).map_err(|_| damaged())?);
            }
            Content::List { n_items, items, .. } => (0..*n_items).try_for_each(|_| items.read(rest))?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<ArrayRef> {
        let n = self.valid.len();
        let has_nulls = self.valid.contains(&false);
        let mask = BooleanArray::from(self.valid);
        let nulls = || has_nulls.then(|| mask.values().clone().into());
        Ok(match self.content {
            Content::Fixed { bytes, .. } => {
                let data = ArrayData::builder(self.data_type).len(n).nulls(nulls()).add_buffer(bytes.into());
                make_array(data.align_buffers(true).build().map_err(Error::input)?)
            }
            Content::Bools(it) => Arc::new(BooleanArray::new(it.into(), nulls())),
            Content::Texts(it) => {
                let texts = it.iter().zip(mask.values()).map(|(text, valid)| valid.then_some(text));
                Arc::new(texts.collect::<StringArray>())
            }
            Content::List { item, n_items, items } => {
                let size = i32::try_from(n_items).map_err(|_| damaged())?;
                let list = FixedSizeListArray::try_new_with_length(item, size, items.finish()?, nulls(), n);
                Arc::new(list.map_err(Error::input)?)
            }
        })
    }
}

pub(super) fn damaged() -> Error {
    Error::input("cannot read the sample of rows: its bytes are damaged")
}

fn unsupported(data_type: &DataType) -> Error {
    Error::input(format!("cannot sample a column of {data_type}"))
        .with_help("give it numbers, booleans, text, or fixed-size lists of them")
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8]> {
    let (bytes, after) = rest.split_at_checked(n).ok_or_else(damaged)?;
    *rest = after;
    Ok(bytes)
}
