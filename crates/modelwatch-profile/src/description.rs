//! What describes a column beyond what comparisons need.

use std::collections::HashMap;

use modelwatch_sdk::{
    Result,
    arrow::array::Array,
    rows::texts,
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::{categories::CategoryCounts, distinct::Distinct, moments::ExactMoments, prefix::PrefixCounts};

use crate::{
    pattern::pattern,
    times,
    wide::{each_wide, is_wide},
};

/// How many different lengths of texts are counted exactly.
const MAX_LENGTHS: u64 = 64;

/// How many patterns of texts are counted.
const MAX_PATTERNS: u64 = 64;

/// How many bytes of a file patterns take.
const STORED_PATTERN_BYTES: usize = 700;

/// Moments and different values of numbers; lengths, patterns and different values of texts; the range of times.
#[derive(Clone, Debug)]
pub struct Description {
    /// The different values.
    pub distinct: Distinct,
    /// The moments of the finite numbers.
    pub moments: ExactMoments,
    /// The lengths of texts, in characters.
    pub lengths: PrefixCounts,
    /// What texts look like: `a` for letters, `9` for digits.
    pub patterns: CategoryCounts,
    /// The first and the last time, in nanoseconds, of dates and instants since 1970.
    pub times: Option<(i128, i128)>,
}

impl Default for Description {
    fn default() -> Self {
        Self {
            distinct: Distinct::default(),
            moments: ExactMoments::default(),
            lengths: PrefixCounts::new(MAX_LENGTHS),
            patterns: CategoryCounts::new(MAX_PATTERNS),
            times: None,
        }
    }
}

impl Description {
    /// Takes in the numbers of an array, as floats, too; those that are not finite are passed over.
    pub(crate) fn add_numbers(&mut self, values: &[f64], array: &dyn Array) {
        self.moments.update(values);
        let is_counted = |it: &&f64| it.is_finite() && !is_wide(array, **it);
        values.iter().filter(is_counted).for_each(|&it| self.distinct.add_number(it));
        each_wide(array, |_, it| self.distinct.add_whole(it));
    }

    /// Takes in names, whatever their type.
    pub(crate) fn add_texts(&mut self, array: &dyn Array) -> Result<()> {
        let texts = texts(array)?;
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for text in texts.iter().flatten() {
            *counts.entry(text).or_default() += 1;
        }
        // In any order: each of the three states depends on the multiset of texts alone.
        for (text, count) in counts {
            self.distinct.add_text(text);
            self.lengths.push(text.chars().count() as f64, count);
            self.patterns.push(&pattern(text), count);
        }
        Ok(())
    }

    /// Takes in dates, times or durations.
    pub(crate) fn add_times(&mut self, array: &dyn Array) {
        self.times = hull(self.times, times::range(array));
    }

    /// Cuts the patterns to what a file keeps.
    pub(crate) fn cut(&mut self) {
        self.patterns.cut(MAX_PATTERNS, STORED_PATTERN_BYTES);
        self.patterns.limit(MAX_PATTERNS);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.distinct.merge(&other.distinct);
        self.moments.merge(&other.moments);
        self.lengths.merge(&other.lengths);
        self.patterns.merge(&other.patterns);
        self.times = hull(self.times, other.times);
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.distinct.to_bytes());
        writer.bytes(&self.moments.to_bytes());
        writer.bytes(&self.lengths.to_bytes());
        writer.bytes(&self.patterns.to_bytes());
        writer.u8(u8::from(self.times.is_some()));
        for it in self.times.into_iter().flat_map(|it| [it.0, it.1]) {
            writer.i128(it);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut res = Self {
            distinct: Distinct::from_bytes(reader.bytes()?).map_err(damaged)?,
            moments: ExactMoments::from_bytes(reader.bytes()?).map_err(damaged)?,
            lengths: PrefixCounts::from_bytes(reader.bytes()?).map_err(damaged)?,
            patterns: CategoryCounts::from_bytes(reader.bytes()?).map_err(damaged)?,
            times: None,
        };
        if reader.flag()? {
            res.times = Some((reader.i128()?, reader.i128()?));
        }
        Ok(res)
    }
}

fn hull(left: Option<(i128, i128)>, right: Option<(i128, i128)>) -> Option<(i128, i128)> {
    match (left, right) {
        (Some(left), Some(right)) => Some((left.0.min(right.0), left.1.max(right.1))),
        (one, other) => one.or(other),
    }
}
