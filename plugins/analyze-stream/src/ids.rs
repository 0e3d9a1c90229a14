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
    /// Where the name of a row ends in the text.
    ends: Vec<usize>,
    text: String,
}

impl Ids {
    /// The bytes of a name with all that finds it, as most have at most.
    pub(crate) const WIDTH: u64 = 32;

    /// Reads a column of plain values.
    ///
    /// # Errors
    /// When the array has none.
    pub(crate) fn read_array(array: &ArrayRef) -> Result<Self> {
        let mut res = Self::default();
        rows::texts(array.as_ref())?.iter().for_each(|it| res.push(it.as_deref()));
        Ok(res)
    }

    pub(crate) fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Returns the name of a row; none where it has none.
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        let length = *self.lengths.get(row).filter(|it| **it != NO_NAME)?;
        let end = *self.ends.get(row)?;
        self.text.get(end - letters(length)..end)
    }

    pub(crate) fn push(&mut self, name: Option<&str>) {
        let name = name.filter(|it| it.len() < NO_NAME as usize);
        self.lengths.push(name.map_or(NO_NAME, |it| it.len() as u32));
        self.text.push_str(name.unwrap_or_default());
        self.ends.push(self.text.len());
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.lengths.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>());
        writer.bytes(self.text.as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let lengths: Vec<u32> = chunks(reader.bytes()?)?.map(u32::from_le_bytes).collect();
        let text = reader.text()?.to_owned();
        let ends: Vec<usize> = lengths
            .iter()
            .scan(0, |end, it| {
                *end += letters(*it);
                Some(*end)
            })
            .collect();
        match ends.last().copied().unwrap_or(0) == text.len() {
            true => Ok(Self { lengths, ends, text }),
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
        let ids = of(vec![Some("é1"), None, Some(""), Some("last")]);
        let names: Vec<_> = (0..5).map(|it| ids.get(it)).collect();
        assert_eq!(names, [Some("é1"), None, Some(""), Some("last"), None]);
        let mut writer = Writer::default();
        ids.write(&mut writer);
        assert_eq!(Ids::read(&mut Reader(&writer.0)).unwrap(), ids);
    }
}
