//! Texts of which a row may have several.

use std::borrow::Cow;

use arrow_array::{Array, cast::AsArray};

use super::texts;
use crate::error::Result;

/// The texts of a column, a row having `width` of them.
#[derive(Clone, Debug)]
pub struct Texts<'a> {
    /// `rows * width` texts, row by row; nothing where a value is missing.
    pub values: Vec<Option<Cow<'a, str>>>,
    /// How many texts a row has: 1 for a plain column.
    pub width: usize,
}

impl Texts<'_> {
    /// Returns the texts of a row.
    pub fn row(&self, row: usize) -> &[Option<Cow<'_, str>>] {
        &self.values[row * self.width..(row + 1) * self.width]
    }
}

/// Reads what [`texts`] reads, and fixed-size lists of it, nested or not.
///
/// # Errors
/// When the array is of another type.
pub fn texts_of_rows(array: &dyn Array) -> Result<Texts<'_>> {
    let Some(list) = array.as_fixed_size_list_opt() else {
        return Ok(Texts { values: texts(array)?, width: 1 });
    };
    let inner = texts_of_rows(list.values().as_ref())?;
    let width = list.value_length() as usize * inner.width;
    let start = list.value_offset(0) as usize * inner.width;
    let mut values = inner.values[start..start + list.len() * width].to_vec();
    for row in (0..list.len()).filter(|&it| list.is_null(it)) {
        values[row * width..(row + 1) * width].fill(None);
    }
    Ok(Texts { values, width })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{FixedSizeListArray, Int64Array, StringArray};
    use arrow_schema::{DataType, Field};

    use super::*;

    #[test]
    fn rows_of_texts_start_at_their_own_offset() {
        let item = Arc::new(Field::new("item", DataType::Utf8, true));
        let words = StringArray::from_iter(["a", "b", "c", "d", "e", "f"].map(Some));
        let list = FixedSizeListArray::new(item, 2, Arc::new(words), Some(vec![true, true, false].into())).slice(1, 2);
        let read = texts_of_rows(&list).unwrap();
        assert_eq!((read.row(0), read.row(1)), (&[Some("c".into()), Some("d".into())][..], &[None, None][..]));
        let plain = Int64Array::from(vec![7]);
        assert_eq!(texts_of_rows(&plain).unwrap().row(0), [Some("7".into())]);
    }
}
