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

/// The most characters of a text that are shown, before they are escaped.
const SHOWN: usize = 80;

/// How many of them stand before the first difference.
const BEFORE: usize = 20;

/// Returns a text as it is shown beside another, in backticks: from shortly before the first difference on where it is long, `…` for what
/// is left out, and characters that do not print escaped. One that is missing is `null`.
pub fn excerpt(text: Option<&str>, beside: Option<&str>) -> String {
    let Some(text) = text else { return "null".to_owned() };
    let beside = beside.unwrap_or_default();
    let is_long = |it: &str| it.chars().nth(SHOWN).is_some();
    let n_same = text.chars().zip(beside.chars()).take_while(|(a, b)| a == b).count();
    let start = if is_long(text) || is_long(beside) { n_same.saturating_sub(BEFORE) } else { 0 };
    let mut rest = text.chars().skip(start);
    let mut res = if start > 0 { "`…".to_owned() } else { "`".to_owned() };
    for it in rest.by_ref().take(SHOWN) {
        match it {
            '\'' | '"' => res.push(it),
            _ => res.extend(it.escape_debug()),
        }
    }
    res.push_str(if rest.next().is_some() { "…`" } else { "`" });
    res
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

    #[test]
    fn an_excerpt_shows_the_difference() {
        assert_eq!(excerpt(Some("it's"), Some("its")), "`it's`");
        assert_eq!(
            (excerpt(None, Some("null")), excerpt(Some("null"), None)),
            ("null".to_owned(), "`null`".to_owned())
        );
        assert_eq!(excerpt(Some("a\u{1b}[2J\n\u{202e}"), None), r"`a\u{1b}[2J\n\u{202e}`");
        let long = |end: &str| format!("{}{end}", "é".repeat(100));
        let shown = format!("`…{}", "é".repeat(BEFORE));
        assert_eq!(excerpt(Some(&long("cat")), Some(&long("dog"))), format!("{shown}cat`"));
        assert_eq!(excerpt(Some(&long("")), Some(&long("dog"))), format!("{shown}`"));
        assert_eq!(excerpt(Some(&long("cat")), None), format!("`{}…`", "é".repeat(SHOWN)));
    }
}
