//! The names of rows, by which people find them.

use modelwatch_sdk::{
    Result,
    arrow::array::ArrayRef,
    rows,
    state::{Reader, Writer, damaged},
};

use crate::values::chunks;

/// The length of a name that is missing.
const NO_NAME: u32 = u32::MAX;

/// A name for each row, all in one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ids {
    lengths: Vec<u32>,
    text: String,
}

impl Ids {
    /// Reads a column of plain values.
    ///
    /// # Errors
    /// When the array has none.
    pub(crate) fn read_array(array: &ArrayRef) -> Result<Self> {
        let mut res = Self::default();
        for it in rows::texts(array.as_ref())? {
            let text = it.as_deref().filter(|it| it.len() < NO_NAME as usize);
            res.lengths.push(text.map_or(NO_NAME, |it| it.len() as u32));
            res.text.push_str(text.unwrap_or_default());
        }
        Ok(res)
    }

    pub(crate) fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Returns the bytes of all names.
    pub(crate) fn bytes(&self) -> u64 {
        4 * self.lengths.len() as u64 + self.text.len() as u64
    }

    /// Returns the names of rows that come in ascending order; none where a row has none.
    pub(crate) fn find(&self, rows: impl IntoIterator<Item = usize>) -> Vec<Option<&str>> {
        let (mut row, mut start) = (0, 0);
        let found = rows.into_iter().map(|wanted| {
            while row < wanted.min(self.lengths.len()) {
                start += letters(self.lengths[row]);
                row += 1;
            }
            let length = *self.lengths.get(wanted).filter(|it| **it != NO_NAME)?;
            self.text.get(start..start + letters(length))
        });
        found.collect()
    }

    pub(crate) fn append(&mut self, other: &Self) {
        self.lengths.extend(&other.lengths);
        self.text.push_str(&other.text);
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.lengths.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>());
        writer.bytes(self.text.as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let lengths: Vec<u32> = chunks(reader.bytes()?)?.map(u32::from_le_bytes).collect();
        let text = reader.text()?.to_owned();
        match lengths.iter().map(|it| letters(*it)).sum::<usize>() == text.len() {
            true => Ok(Self { lengths, text }),
            false => Err(damaged("the names of rows are longer or shorter than their text")),
        }
    }
}

fn letters(length: u32) -> usize {
    if length == NO_NAME { 0 } else { length as usize }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modelwatch_sdk::arrow::array::StringArray;

    use super::*;

    #[test]
    fn names_are_found_by_row() {
        let of = |names: Vec<Option<&str>>| Ids::read_array(&(Arc::new(StringArray::from(names)) as ArrayRef)).unwrap();
        let mut ids = of(vec![Some("é1"), None, Some("")]);
        ids.append(&of(vec![Some("last")]));
        assert_eq!(ids.find(0..5), [Some("é1"), None, Some(""), Some("last"), None]);
        assert_eq!((ids.find([3, 3]), ids.bytes()), (vec![Some("last"); 2], 4 * 4 + 7));
        let mut writer = Writer::default();
        ids.write(&mut writer);
        assert_eq!(Ids::read(&mut Reader(&writer.0)).unwrap(), ids);
    }
}
