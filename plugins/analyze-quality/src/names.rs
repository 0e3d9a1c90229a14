//! What is kept of a column of texts or booleans.

use std::{borrow::Cow, collections::HashMap};

use modelwatch_sdk::{
    Result,
    arrow::array::Array,
    rows::texts,
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::{
    categories::{CategoryCounts, short_name},
    sample::NumericSample,
};

use crate::settings::{Rule, Settings};

/// How many shapes of texts are counted.
const MAX_SHAPES: u64 = 1000;

/// How many spellings of null words are told apart.
const MAX_NULL_WORDS: u64 = 64;

/// The longest shape, in characters.
const MAX_SHAPE: usize = 64;

/// Texts of a column: categories and shapes up to a cap, and what they are made of.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    categories: CategoryCounts,
    /// What texts look like: `A+-9+` for `AB-123`.
    shapes: CategoryCounts,
    null_words: CategoryCounts,
    /// In characters.
    lengths: NumericSample,
    counts: TextCounts,
}

/// How many texts are something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TextCounts {
    /// Spells a number.
    pub(crate) numeric: u64,
    /// Spells something else, and is no null word.
    pub(crate) words: u64,
    /// Has characters, but neither letter nor digit.
    pub(crate) special: u64,
    /// Has spaces at an end, or is nothing else.
    pub(crate) padded: u64,
    /// Is empty.
    pub(crate) empty: u64,
}

/// How many values are not what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unexpected {
    pub(crate) category: u64,
    pub(crate) pattern: u64,
}

impl Names {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            categories: CategoryCounts::new(settings.config.max_categories),
            shapes: CategoryCounts::new(MAX_SHAPES),
            null_words: CategoryCounts::new(MAX_NULL_WORDS),
            lengths: NumericSample::new(settings.config.budget),
            counts: TextCounts::default(),
        }
    }

    /// Takes in the values of an array; `is_text` says whether they are texts, and not booleans.
    ///
    /// # Errors
    /// When the array is neither.
    pub(crate) fn update(&mut self, settings: &Settings, is_text: bool, array: &dyn Array) -> Result<()> {
        for (text, [count]) in frequencies(array, |_| [1])? {
            self.categories.push(&short_name(&text), count);
            if is_text {
                self.look_at(settings, &text, count);
            }
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.categories.merge(&other.categories);
        self.shapes.merge(&other.shapes);
        self.null_words.merge(&other.null_words);
        self.lengths.merge(&other.lengths);
        self.counts = self.counts.zip(other.counts, u64::saturating_add);
    }

    pub(crate) fn categories(&self) -> &CategoryCounts {
        &self.categories
    }

    pub(crate) fn shapes(&self) -> &CategoryCounts {
        &self.shapes
    }

    pub(crate) fn null_words(&self) -> &CategoryCounts {
        &self.null_words
    }

    pub(crate) fn lengths(&self) -> &NumericSample {
        &self.lengths
    }

    pub(crate) fn counts(&self) -> TextCounts {
        self.counts
    }

    /// Returns how many texts there are.
    pub(crate) fn n(&self) -> u64 {
        self.categories.n()
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        [&self.categories, &self.shapes, &self.null_words].iter().for_each(|it| writer.bytes(&it.to_bytes()));
        writer.bytes(&self.lengths.to_bytes());
        let it = self.counts;
        [it.numeric, it.words, it.special, it.padded, it.empty].into_iter().for_each(|it| writer.u64(it));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut counts = || CategoryCounts::from_bytes(reader.bytes()?).map_err(damaged);
        let (categories, shapes, null_words) = (counts()?, counts()?, counts()?);
        let lengths = NumericSample::from_bytes(reader.bytes()?).map_err(damaged)?;
        let [numeric, words, special, padded, empty] =
            [reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?];
        let counts = TextCounts { numeric, words, special, padded, empty };
        Ok(Self { categories, shapes, null_words, lengths, counts })
    }

    fn look_at(&mut self, settings: &Settings, text: &str, count: u64) {
        let trimmed = text.trim();
        let is_null_word = settings.null_words.contains(&trimmed.to_lowercase());
        let is_numeric = !is_null_word && spells_number(trimmed);
        let is_special = !trimmed.is_empty() && !trimmed.chars().any(char::is_alphanumeric);
        let of = |is: bool| if is { count } else { 0 };
        let more = TextCounts {
            numeric: of(is_numeric),
            words: of(!is_numeric && !is_null_word),
            special: of(is_special),
            padded: of(trimmed.len() < text.len()),
            empty: of(text.is_empty()),
        };
        self.counts = self.counts.zip(more, u64::saturating_add);
        if is_null_word {
            self.null_words.push(trimmed, count);
        }
        self.shapes.push(&shape(text), count);
        let length = text.chars().count() as f64;
        (0..count).for_each(|_| self.lengths.push(length));
    }
}

impl TextCounts {
    fn zip(self, other: Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            numeric: with(self.numeric, other.numeric),
            words: with(self.words, other.words),
            special: with(self.special, other.special),
            padded: with(self.padded, other.padded),
            empty: with(self.empty, other.empty),
        }
    }
}

impl Unexpected {
    /// Counts the values of an array that are not what the rule allows, each as often as `multiples` says, or once.
    ///
    /// # Errors
    /// When the values cannot be written as texts.
    pub(crate) fn of(array: &dyn Array, rule: &Rule, multiples: Option<&[u64]>) -> Result<Self> {
        let mut res = Self::default();
        if rule.categories.is_none() && rule.pattern.is_none() {
            return Ok(res);
        }
        for (text, [count]) in frequencies(array, |row| [multiples.map_or(1, |it| it[row])])? {
            if rule.categories.as_ref().is_some_and(|it| !it.contains(text.as_ref())) {
                res.category = res.category.saturating_add(count);
            }
            if rule.pattern.as_ref().is_some_and(|it| !it.is_match(&text)) {
                res.pattern = res.pattern.saturating_add(count);
            }
        }
        Ok(res)
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.category = self.category.saturating_add(other.category);
        self.pattern = self.pattern.saturating_add(other.pattern);
    }

    pub(crate) fn write(self, writer: &mut Writer) {
        writer.u64(self.category);
        writer.u64(self.pattern);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { category: reader.u64()?, pattern: reader.u64()? })
    }
}

/// Returns the different texts of an array, each with the sums of what its rows count, in no particular order.
pub(crate) fn frequencies<const N: usize>(
    array: &dyn Array,
    of_row: impl Fn(usize) -> [u64; N],
) -> Result<HashMap<Cow<'_, str>, [u64; N]>> {
    let mut res = HashMap::new();
    for (row, text) in texts(array)?.into_iter().enumerate() {
        let Some(text) = text else { continue };
        let sums = res.entry(text).or_insert([0_u64; N]);
        sums.iter_mut().zip(of_row(row)).for_each(|(sum, it)| *sum = sum.saturating_add(it));
    }
    Ok(res)
}

/// Returns whether the text is a finite number as people write it.
pub(crate) fn spells_number(text: &str) -> bool {
    text.contains(|it: char| it.is_ascii_digit()) && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Returns what a text looks like: letters as `A` and `a`, digits as `9`, spaces as one space, and `+` where one of them repeats.
fn shape(text: &str) -> String {
    let class = |it: char| match it {
        _ if it.is_numeric() => '9',
        _ if it.is_uppercase() => 'A',
        _ if it.is_alphabetic() => 'a',
        _ if it.is_whitespace() => ' ',
        _ => it,
    };
    let mut res = String::new();
    let mut n = 0;
    let mut last = None;
    for it in text.chars().map(class) {
        if last == Some(it) {
            if !res.ends_with('+') {
                res.push('+');
            }
            continue;
        }
        if n == MAX_SHAPE {
            res.push('…');
            break;
        }
        res.push(it);
        n += 1;
        last = Some(it);
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_tell_texts_by_their_look() {
        let cases = [
            ("AB-123", "A+-9+"),
            ("x", "a"),
            ("Élan 4", "Aa+ 9"),
            ("", ""),
            ("12:30:00", "9+:9+:9+"),
            ("C++", "A+"),
            ("日本", "a+"),
        ];
        for (text, expected) in cases {
            assert_eq!(shape(text), expected, "{text}");
        }
        assert_eq!(shape(&"a1".repeat(100)).chars().count(), MAX_SHAPE + 1);
    }

    #[test]
    fn numbers_are_told_from_words() {
        assert!(["1", "-2.5", "1e5", "+3"].into_iter().all(spells_number));
        assert!(["inf", "nan", "1,5", "0x1", "", "1e999", "v1"].into_iter().all(|it| !spells_number(it)));
    }
}
