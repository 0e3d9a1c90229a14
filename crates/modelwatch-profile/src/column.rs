//! What is kept of one column.

use std::collections::BTreeSet;

use modelwatch_sdk::{
    Result,
    arrow::{array::Array, schema::DataType},
    rows::{NumberLists, Numbers, decimals, is_numeric, number_lists, numbers, spans},
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::categories::CategoryCounts;

use crate::{
    categories::{self, can_be_categorical, is_categorical},
    description::Description,
    multiples::Multiples,
    numeric::Numeric,
    profile::Group,
    settings::Settings,
    tensor::Tensor,
};

/// The most kinds that are told apart in one column.
const MAX_KINDS: usize = 8;

/// The word for names.
const CATEGORIES: &str = "categories";

/// The word for numbers.
const NUMBERS: &str = "numbers";

/// What the kinds of lists of numbers begin with.
const LISTS: &str = "lists of ";

/// What the kinds of times of day and spans of time begin with.
const SPANS: &str = "seconds";

/// The word for dates and times.
const TIMES: &str = "times";

/// What kinds began with before times of day and durations were taken for numbers.
const OUTDATED_TIMES: [&str; 3] = ["times of type Time32(", "times of type Time64(", "times of type Duration("];

/// What kinds began with before lists of any length were taken for numbers, where these are of numbers.
const OUTDATED_LISTS: [&str; 2] = ["values of type List(", "values of type LargeList("];

/// One column's rows and values.
#[derive(Clone, Debug, Default)]
pub struct Column {
    rows: u64,
    nulls: u64,
    has_rounded: bool,
    /// What the column is made of, in words. More than one means that the values cannot be put together.
    kinds: BTreeSet<String>,
    body: Body,
    description: Option<Box<Description>>,
}

/// The values of a column, by kind.
#[derive(Clone, Debug, Default)]
pub enum Body {
    /// No values that could be used.
    #[default]
    Empty,
    /// Plain numbers.
    Numeric(Numeric),
    /// Names.
    Categorical(CategoryCounts),
    /// Lists of numbers.
    Tensor(Tensor),
}

impl Column {
    /// Takes in the values of a batch.
    ///
    /// # Errors
    /// When an array is not what its type says.
    pub(crate) fn update(
        &mut self,
        settings: &Settings,
        group: Group,
        is_declared: bool,
        (array, multiples): (&dyn Array, Multiples<'_>),
    ) -> Result<()> {
        self.rows = self.rows.saturating_add(multiples.total(array.len()));
        self.nulls = self.nulls.saturating_add(nulls(array, multiples));
        if settings.describe && matches!(multiples, Multiples::One) {
            self.description.get_or_insert_default();
        }
        let data_type = array.data_type();
        if matches!(data_type, DataType::Null) {
            return Ok(());
        }
        if is_categorical(data_type) || (is_declared && can_be_categorical(data_type)) {
            self.add_kind(CATEGORIES, || Body::Categorical(CategoryCounts::new(settings.max_categories)));
            if let Body::Categorical(counts) = &mut self.body {
                categories::count(counts, array, multiples)?;
            }
            return self.described().map_or(Ok(()), |it| it.add_texts(array));
        }
        if let Some((floats, has_rounded)) = decimals(array) {
            self.has_rounded |= has_rounded;
            self.update_numbers(settings, group, NUMBERS, (&floats, numbers(&floats)?, multiples));
            return Ok(());
        }
        if let Some(seconds) = spans(array) {
            let kind = if matches!(data_type, DataType::Duration(_)) { "seconds" } else { "seconds of the day" };
            self.update_numbers(settings, group, kind, (&seconds, numbers(&seconds)?, multiples));
            return Ok(());
        }
        match number_lists(array)? {
            Some(NumberLists::Alike(it)) => {
                self.update_numbers(settings, group, NUMBERS, (array, it, multiples));
                return Ok(());
            }
            Some(NumberLists::Ragged(lengths)) => {
                lengths.into_iter().for_each(|it| self.add_kind(&kind_of_width(NUMBERS, it), || Body::Empty));
                return Ok(());
            }
            None => {}
        }
        if !is_numeric(data_type) {
            let what = if data_type.is_temporal() { TIMES } else { "values" };
            self.add_kind(&format!("{what} of type {data_type}"), || Body::Empty);
            if let Some(it) = self.described() {
                it.add_times(array);
            }
            return Ok(());
        }
        self.update_numbers(settings, group, NUMBERS, (array, numbers(array)?, multiples));
        Ok(())
    }

    /// Takes in numbers, which are called by that word where a row has one, and the array that they are of.
    fn update_numbers(
        &mut self,
        settings: &Settings,
        group: Group,
        word: &str,
        (array, numbers, multiples): (&dyn Array, Numbers<'_>, Multiples<'_>),
    ) {
        self.add_kind(&kind_of_width(word, numbers.width), || match numbers.width {
            0 => Body::Empty,
            1 => Body::Numeric(Numeric::new(settings.budget)),
            width => Body::Tensor(Tensor::new(group, width, settings)),
        });
        match &mut self.body {
            Body::Numeric(it) => {
                it.update_multiples(&numbers.values, multiples);
                it.note(array, multiples);
                if let Some(it) = self.described() {
                    it.add_numbers(&numbers.values, array);
                }
            }
            Body::Tensor(it) => it.update(&numbers, multiples),
            Body::Empty | Body::Categorical(_) => {}
        }
    }

    /// Adds what `other` has seen.
    ///
    /// # Errors
    /// When the two are of different configurations.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        match (&mut self.description, &other.description) {
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            (mine @ None, theirs) if self.rows == 0 => mine.clone_from(theirs),
            // Half of a description describes nothing.
            (mine, _) => *mine = None,
        }
        self.rows = self.rows.saturating_add(other.rows);
        self.nulls = self.nulls.saturating_add(other.nulls);
        self.has_rounded |= other.has_rounded;
        let was_new = self.kinds.is_empty();
        for kind in &other.kinds {
            self.add_kind(kind, || Body::Empty);
        }
        match (&mut self.body, &other.body) {
            (Body::Numeric(mine), Body::Numeric(theirs)) => mine.merge(theirs),
            (Body::Categorical(mine), Body::Categorical(theirs)) => mine.merge(theirs),
            (Body::Tensor(mine), Body::Tensor(theirs)) => mine.merge(theirs)?,
            (mine @ Body::Empty, theirs) if was_new => *mine = theirs.clone(),
            _ => {}
        }
        Ok(())
    }

    /// Lets merges keep all categories, until they are cut.
    pub(crate) fn lift_caps(&mut self) {
        if let Some(it) = &mut self.description {
            it.patterns.lift_cap();
        }
        match &mut self.body {
            Body::Categorical(it) => it.lift_cap(),
            Body::Tensor(it) => it.argmax_mut().lift_cap(),
            Body::Numeric(_) | Body::Empty => {}
        }
    }

    /// Cuts categories, and numbers if they take more than so many bytes, to what a file keeps.
    pub(crate) fn cut(&mut self, settings: &Settings, room_of_numbers: usize) {
        let mut described = Writer::default();
        if let Some(it) = &mut self.description {
            it.cut();
            it.write(&mut described);
        }
        let bytes = settings.stored_bytes.saturating_sub(described.0.len());
        match &mut self.body {
            Body::Categorical(it) => cut(it, settings, bytes),
            Body::Tensor(it) => cut(it.argmax_mut(), settings, bytes),
            Body::Numeric(it) => it.shrink(room_of_numbers),
            Body::Empty => {}
        }
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the number of null rows.
    pub fn nulls(&self) -> u64 {
        self.nulls
    }

    /// Returns the number of rows that are null, NaN or infinite, or have an element that is.
    pub fn n_unusable(&self) -> u64 {
        match &self.body {
            Body::Empty => self.nulls,
            Body::Numeric(it) => it.n_nan().saturating_add(it.n_infinite()),
            Body::Categorical(it) => it.n_null(),
            Body::Tensor(it) => it.n_unusable(),
        }
    }

    /// Returns the number of rows that are infinite.
    pub fn n_infinite(&self) -> u64 {
        let [negative, positive] = self.n_infinities();
        negative.saturating_add(positive)
    }

    /// Returns the number of rows that are infinite, below and above everything.
    pub fn n_infinities(&self) -> [u64; 2] {
        match &self.body {
            Body::Numeric(it) => it.n_infinities(),
            _ => [0, 0],
        }
    }

    /// Returns the number of rows that can be compared.
    pub fn n_usable(&self) -> u64 {
        match &self.body {
            Body::Empty => 0,
            Body::Numeric(it) => it.n_finite(),
            Body::Categorical(it) => it.n(),
            Body::Tensor(it) => it.n_usable(),
        }
    }

    /// Returns what is in the values but is not looked at one by one, if anything.
    pub fn left_out(&self) -> Option<String> {
        match &self.body {
            Body::Tensor(it) if it.n_left_out() > 0 => {
                Some(format!("{} elements are compared in summaries only; raise `max_elements`", it.n_left_out()))
            }
            Body::Categorical(it) if it.is_overflowed() => {
                Some(format!("of its categories {} are kept, and all others share cells", it.n_kept()))
            }
            _ => None,
        }
    }

    /// Returns whether decimals have more digits than are kept.
    pub fn has_rounded(&self) -> bool {
        self.has_rounded
    }

    /// Returns what the column is made of, in words.
    pub fn kind(&self) -> String {
        if self.is_ragged() { self.widths() } else { self.kinds.iter().cloned().collect::<Vec<_>>().join(" and ") }
    }

    /// Returns what the column is made of, each in words.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().map(String::as_str)
    }

    /// Returns the lengths of lists, in words. A list of one number is kept as that number is.
    fn widths(&self) -> String {
        let mut widths: Vec<u64> =
            self.kinds.iter().filter_map(|it| it.strip_prefix(LISTS)?.split(' ').next()?.parse().ok()).collect();
        widths.sort_unstable();
        let mut words: Vec<String> = widths.iter().map(u64::to_string).collect();
        let last = words.pop().unwrap_or_default();
        let lists = if words.is_empty() { last } else { format!("{} and {last}", words.join(", ")) };
        let single = if self.kinds.contains(NUMBERS) { ", and single ones" } else { "" };
        format!("{LISTS}{lists} numbers{single}")
    }

    /// Returns whether the values are dates or times.
    pub fn is_temporal(&self) -> bool {
        self.kinds.iter().any(|it| it.starts_with(TIMES))
    }

    /// Returns whether the values are times of day or spans of time, in seconds.
    pub fn has_spans(&self) -> bool {
        self.kinds.iter().any(|it| it.starts_with(SPANS))
    }

    /// Returns whether batches of different kinds came, so that there are no values.
    pub fn is_mixed(&self) -> bool {
        self.kinds.len() > 1
    }

    /// Returns whether the values are lists of numbers of several lengths, so that there are none.
    pub fn is_ragged(&self) -> bool {
        let is_list = |it: &String| it == NUMBERS || it.starts_with(LISTS);
        self.is_mixed() && self.kinds.iter().all(is_list)
    }

    /// Returns whether a former version made this, which kept nothing of such values.
    pub fn is_outdated(&self) -> bool {
        self.kinds.iter().any(|it| {
            let is_of_numbers = |start: &&str| it.strip_prefix(*start).is_some_and(has_numbers);
            OUTDATED_TIMES.iter().any(|start| it.starts_with(start)) || OUTDATED_LISTS.iter().any(is_of_numbers)
        })
    }

    /// Returns what describes the column, where that was asked for.
    pub fn description(&self) -> Option<&Description> {
        self.description.as_deref()
    }

    /// Returns the column with its numbers taken for names of categories, where all of them are kept.
    pub fn with_names(mut self) -> Self {
        let Body::Numeric(numbers) = &self.body else { return self };
        let Some(names) = numbers.names() else { return self };
        let mut counts = CategoryCounts::new(numbers.budget());
        names.iter().for_each(|(name, count)| counts.push(name, *count));
        counts.push_nulls(numbers.n_nan());
        self.kinds = BTreeSet::from([CATEGORIES.to_owned()]);
        self.body = Body::Categorical(counts);
        self
    }

    /// Returns the values.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Returns whether every row is null.
    pub fn is_all_null(&self) -> bool {
        self.nulls == self.rows
    }

    /// Appends the column; equal rows give equal bytes.
    pub fn write(&self, writer: &mut Writer) {
        writer.u64(self.rows);
        writer.u64(self.nulls);
        writer.u8(u8::from(self.has_rounded));
        writer.u64(self.kinds.len() as u64);
        self.kinds.iter().for_each(|it| writer.bytes(it.as_bytes()));
        match &self.body {
            Body::Empty => writer.u8(0),
            Body::Numeric(it) => {
                writer.u8(1);
                it.write(writer);
            }
            Body::Categorical(it) => {
                writer.u8(2);
                writer.bytes(&it.to_bytes());
            }
            Body::Tensor(it) => {
                writer.u8(3);
                it.write(writer);
            }
        }
        // By its length, so that who does not need it need not read it.
        let mut description = Writer::default();
        self.description.iter().for_each(|it| it.write(&mut description));
        writer.bytes(&description.0);
    }

    /// Takes a column of that group, and leaves what follows.
    ///
    /// # Errors
    /// When the bytes are no column.
    pub fn read(group: Group, reader: &mut Reader<'_>) -> Result<Self> {
        let (mut res, description) = Self::read_plain(group, reader)?;
        if !description.is_empty() {
            let mut reader = Reader(description);
            res.description = Some(Box::new(Description::read(&mut reader)?));
            reader.finish()?;
        }
        Ok(res)
    }

    /// Reads a column, and leaves what describes it as bytes.
    pub(crate) fn read_plain<'a>(group: Group, reader: &mut Reader<'a>) -> Result<(Self, &'a [u8])> {
        let (rows, nulls) = (reader.u64()?, reader.u64()?);
        let has_rounded = reader.flag()?;
        let mut kinds = BTreeSet::new();
        for _ in 0..reader.u64()? {
            kinds.insert(reader.text()?.to_owned());
            if kinds.len() > MAX_KINDS {
                return Err(damaged("a column has too many kinds"));
            }
        }
        let body = match reader.u8()? {
            0 => Body::Empty,
            1 => Body::Numeric(Numeric::read(reader)?),
            2 => Body::Categorical(CategoryCounts::from_bytes(reader.bytes()?).map_err(damaged)?),
            3 => Body::Tensor(Tensor::read(group, reader)?),
            _ => return Err(damaged("a column has an unknown form")),
        };
        Ok((Self { rows, nulls, has_rounded, kinds, body, description: None }, reader.bytes()?))
    }

    /// What describes the values, unless those that came before were of another kind, so that the order does not matter.
    fn described(&mut self) -> Option<&mut Description> {
        self.description.as_deref_mut().filter(|_| self.kinds.len() == 1)
    }

    /// Notes the kind; the first one decides the body, a second one ends it, so that the order does not matter.
    fn add_kind(&mut self, kind: &str, body: impl FnOnce() -> Body) {
        if self.kinds.contains(kind) {
            return;
        }
        self.body = if self.kinds.is_empty() { body() } else { Body::Empty };
        self.kinds.insert(kind.to_owned());
        if self.kinds.len() > 1
            && let Some(it) = &mut self.description
        {
            **it = Description::default();
        }
        if self.kinds.len() > MAX_KINDS {
            self.kinds.pop_last();
        }
    }
}

/// Returns whether the items of lists are plain numbers, given what is written of them; lists of texts are still what they were.
fn has_numbers(items: &str) -> bool {
    let item = items.strip_prefix("nullable ").unwrap_or(items);
    let item = item.split([',', ')']).next().unwrap_or(item);
    let bits = ["UInt", "Int", "Float"].iter().find_map(|it| item.strip_prefix(*it));
    bits.is_some_and(|it| !it.is_empty() && it.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Returns what numbers of that word are called where a row has so many.
fn kind_of_width(word: &str, width: usize) -> String {
    if width == 1 { word.to_owned() } else { format!("{LISTS}{width} numbers") }
}

fn nulls(array: &dyn Array, multiples: Multiples<'_>) -> u64 {
    match (multiples, array.logical_nulls()) {
        (Multiples::One, _) => array.logical_null_count() as u64,
        (Multiples::Each(_), None) => 0,
        (Multiples::Each(counts), Some(nulls)) => {
            let of_nulls = counts.iter().zip(nulls.iter()).filter(|it| !it.1);
            of_nulls.fold(0, |sum, it| sum.saturating_add(*it.0))
        }
    }
}

fn cut(counts: &mut CategoryCounts, settings: &Settings, max_bytes: usize) {
    counts.cut(settings.stored_categories.min(settings.max_categories), max_bytes);
    counts.limit(settings.max_categories);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_tell_what_former_versions_kept_nothing_of() {
        let of =
            |kinds: &[&str]| Column { kinds: kinds.iter().map(|&it| it.to_owned()).collect(), ..Column::default() };
        for (kind, expected) in [
            ("times of type Time64(ns)", true),
            ("times of type Duration(s)", true),
            ("values of type List(Float64)", true),
            ("values of type LargeList(nullable Int8)", true),
            ("values of type List(UInt16, field: 'x')", true),
            ("values of type List(Utf8)", false),
            ("values of type List(Boolean)", false),
            ("values of type List(Dictionary(Int32, Utf8))", false),
            ("values of type List(nullable Dictionary(Int32, Utf8))", false),
            ("times of type Time32(s)", true),
            ("times of type Timestamp(ns, \"UTC\")", false),
            ("times of type Timestamp(ns)", false),
            ("lists of 8 numbers", false),
        ] {
            assert_eq!(of(&[kind]).is_outdated(), expected, "{kind}");
        }
        assert!(of(&["lists of 8 numbers", "numbers"]).is_ragged());
        for (kinds, expected) in [
            (
                ["lists of 0 numbers", "lists of 2 numbers", "lists of 10 numbers", "numbers"].as_slice(),
                "lists of 0, 2 and 10 numbers, and single ones",
            ),
            (&["lists of 8 numbers", "numbers"], "lists of 8 numbers, and single ones"),
            (&["lists of 8 numbers", "lists of 6 numbers"], "lists of 6 and 8 numbers"),
            (&["lists of 8 numbers"], "lists of 8 numbers"),
            (&["lists of 8 numbers", "categories"], "categories and lists of 8 numbers"),
        ] {
            assert_eq!(of(kinds).kind(), expected);
        }
        assert!(!of(&["lists of 8 numbers"]).is_ragged() && !of(&["lists of 8 numbers", "categories"]).is_ragged());
    }
}
