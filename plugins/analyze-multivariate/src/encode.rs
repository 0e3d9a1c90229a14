//! Columns as numbers of one scale, those of both samples together.
//!
//! Nothing here knows which sample a row is from, so that rows can be dealt out again. A column that says nothing is left out.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::{
    Result,
    arrow::{array::ArrayRef, schema::DataType},
    rows::{Number, are_rounded, exact_numbers, numbers, texts},
};

use crate::config::{Config, Scale};

/// A column is never stretched to a variance of 1 from less than this: a rare category would be farther from all others than anything else.
const LEAST_VARIANCE: f64 = 0.25;

/// Rows as numbers, with the column that each number is of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Encoded {
    /// Column by column the values of all rows, those of the reference first.
    columns: Vec<Vec<f64>>,
    /// The column of the data that each is of.
    pub(crate) sources: Vec<String>,
    /// Which of them are numbers, in place of categories and whether a value is missing.
    pub(crate) numbers: Vec<usize>,
    /// Columns that are constant over both samples.
    pub(crate) constants: Vec<String>,
    /// Columns of which only the most frequent categories are told apart.
    pub(crate) lumped: Vec<Lumped>,
    /// Columns whose whole numbers are rounded, being no whole numbers of the same size in the other sample.
    pub(crate) rounded: Vec<String>,
}

/// A column with more categories than are told apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lumped {
    /// The column.
    pub(crate) name: String,
    /// How many categories the rows have that are compared.
    pub(crate) n_categories: usize,
    /// How many of them count as one.
    pub(crate) n_lumped: usize,
    /// The share of these rows that have one of those.
    pub(crate) share: f64,
}

impl Encoded {
    /// Adds a column of the data, given as its values in the reference and in the current rows.
    ///
    /// # Errors
    /// When an array is not what its type says.
    pub(crate) fn add(&mut self, config: &Config, name: &str, samples: [&ArrayRef; 2]) -> Result<()> {
        let before = self.columns.len();
        match samples[0].data_type() {
            DataType::Utf8 => {
                let mut words = Vec::new();
                for it in samples {
                    words.extend(texts(it.as_ref())?.into_iter().map(|it| it.map(|it| it.into_owned())));
                }
                self.add_names(config, name, &words);
            }
            _ if samples.iter().all(|it| it.data_type().is_integer()) => {
                self.add_numbers(config, name, &whole_numbers(config.scale, samples)?, true);
            }
            _ => {
                for it in samples {
                    if are_rounded(it.as_ref())? {
                        self.rounded.push(name.to_owned());
                    }
                }
                let [left, right] = [numbers(samples[0].as_ref())?, numbers(samples[1].as_ref())?];
                for element in 0..left.width {
                    let of = |it: &modelwatch_sdk::rows::Numbers<'_>| {
                        it.values.iter().skip(element).step_by(it.width).copied().collect::<Vec<f64>>()
                    };
                    let mut values = of(&left);
                    values.extend(of(&right));
                    self.add_numbers(config, name, &values, element == 0);
                }
            }
        }
        if self.columns.len() == before {
            self.constants.push(name.to_owned());
        }
        Ok(())
    }

    /// Returns how many numbers a row has.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Returns the numbers of the rows from `start` to `end`, row by row, of the columns that are asked for.
    pub(crate) fn rows(&self, columns: &[usize], start: usize, end: usize) -> Vec<f64> {
        (start..end).flat_map(|row| columns.iter().map(move |&it| self.columns[it][row])).collect()
    }

    fn push(&mut self, name: &str, column: Vec<f64>) {
        self.sources.push(name.to_owned());
        self.columns.push(column);
    }

    /// Adds numbers, and whether they are missing; of lists the latter once.
    fn add_numbers(&mut self, config: &Config, name: &str, values: &[f64], says_missing: bool) {
        let is_missing = |it: f64| if config.scale == Scale::Ranks { it.is_nan() } else { !it.is_finite() };
        let present: Vec<f64> = values.iter().copied().filter(|it| !is_missing(*it)).collect();
        let n_missing = values.len() - present.len();
        let scores: BTreeMap<u64, f64> = match config.scale {
            Scale::Ranks => ranks(&present),
            Scale::Standard => BTreeMap::new(),
        };
        let of = |it: f64| if config.scale == Scale::Ranks { scores.get(&key(it)).copied().unwrap_or(0.0) } else { it };
        // Ranks over their number are spread evenly over 0..1, which has a variance of 1/12.
        let least = if config.scale == Scale::Ranks { LEAST_VARIANCE / 12.0 } else { 0.0 };
        let scaled = standardized(&present.iter().map(|it| of(*it)).collect::<Vec<_>>(), least);
        if let Some(scaled) = scaled {
            let mut scaled = scaled.into_iter();
            // What is missing is in the middle, so that it adds to no distance by itself.
            let column = values.iter().map(|it| if is_missing(*it) { 0.0 } else { scaled.next().unwrap_or(0.0) });
            self.numbers.push(self.columns.len());
            let column = column.collect();
            self.push(name, column);
        }
        if says_missing && n_missing > 0 && !present.is_empty() {
            let flags: Vec<Option<String>> = values.iter().map(|it| Some(is_missing(*it).to_string())).collect();
            // Both halves of a flag say the same.
            self.push_levels(name, &flags, &["true".to_owned()]);
        }
    }

    /// Adds one number for each of the most frequent names, one for all others, and one for none.
    fn add_names(&mut self, config: &Config, name: &str, names: &[Option<String>]) {
        let mut counts: BTreeMap<&Option<String>, usize> = BTreeMap::new();
        names.iter().for_each(|it| *counts.entry(it).or_default() += 1);
        if counts.len() < 2 {
            return;
        }
        let mut order: Vec<(&Option<String>, usize)> = counts.into_iter().collect();
        // The sort is stable, so that equally frequent names stay in the order of their text.
        order.sort_by_key(|it| std::cmp::Reverse(it.1));
        let kept: BTreeSet<&Option<String>> = order.iter().take(config.max_categories).map(|it| it.0).collect();
        let lumped = &order[kept.len()..];
        // One alone is told apart by being the other one.
        if lumped.len() > 1 {
            self.lumped.push(Lumped {
                name: name.to_owned(),
                n_categories: order.iter().filter(|it| it.0.is_some()).count(),
                n_lumped: lumped.iter().filter(|it| it.0.is_some()).count(),
                share: lumped.iter().map(|it| it.1).sum::<usize>() as f64 / names.len() as f64,
            });
        }
        // A name that starts with a zero byte is no name of the data's.
        let level = |it: &Option<String>| match it {
            _ if !kept.contains(it) => "\0other".to_owned(),
            None => "\0missing".to_owned(),
            Some(it) => it.clone(),
        };
        let levels: Vec<Option<String>> = names.iter().map(|it| Some(level(it))).collect();
        let distinct: BTreeSet<String> = levels.iter().flatten().cloned().collect();
        let distinct: Vec<String> = distinct.into_iter().collect();
        // The two halves of a pair say the same.
        let said = if distinct.len() == 2 { &distinct[..1] } else { &distinct[..] };
        if distinct.len() > 1 {
            self.push_levels(name, &levels, said);
        }
    }

    /// Adds indicators of levels, scaled so that all levels together have a variance of 1.
    fn push_levels(&mut self, name: &str, values: &[Option<String>], levels: &[String]) {
        let n = values.len() as f64;
        let share = |level: &String| values.iter().flatten().filter(|it| *it == level).count() as f64 / n;
        let variance: f64 = levels.iter().map(share).map(|it| it * (1.0 - it)).sum();
        let scale = 1.0 / variance.max(LEAST_VARIANCE).sqrt();
        for level in levels {
            let mean = share(level);
            let column = values.iter().map(|it| (f64::from(u8::from(it.as_ref() == Some(level))) - mean) * scale);
            let column = column.collect();
            self.push(name, column);
        }
    }
}

/// Returns whole numbers with the digits in which they differ, which `f64` does not hold beyond 2^53: their places in order, and for the
/// standard scale how far they are from the median. NaN where one is missing.
fn whole_numbers(scale: Scale, samples: [&ArrayRef; 2]) -> Result<Vec<f64>> {
    let whole = |it| match it {
        Number::Integer(it) => Some(it),
        Number::Float(_) => None,
    };
    let mut values: Vec<Option<i128>> = Vec::new();
    for it in samples {
        values.extend(exact_numbers(it.as_ref())?.iter().map(whole));
    }
    let mut sorted: Vec<i128> = values.iter().copied().flatten().collect();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    sorted.dedup();
    let told_apart = |it: i128| match scale {
        Scale::Ranks => sorted.partition_point(|other| *other < it) as f64,
        Scale::Standard => (it - median) as f64,
    };
    Ok(values.into_iter().map(|it| it.map_or(f64::NAN, told_apart)).collect())
}

/// Returns the values with mean 0 and variance 1, or less where it was below `least`; none where all are equal.
fn standardized(values: &[f64], least: f64) -> Option<Vec<f64>> {
    let first = values.first()?;
    if values.iter().all(|it| it == first) {
        return None;
    }
    // Halves of the greatest floats do not overflow.
    let greatest = values.iter().map(|it| it.abs()).fold(0.0, f64::max);
    let values: Vec<f64> = values.iter().map(|it| it / greatest).collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / n;
    (variance > 0.0).then(|| values.iter().map(|it| (it - mean) / variance.max(least).sqrt()).collect())
}

/// Returns the average rank of each value over their number, by its bits.
fn ranks(values: &[f64]) -> BTreeMap<u64, f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut res = BTreeMap::new();
    let mut below = 0;
    for run in sorted.chunk_by(|left, right| left == right) {
        let rank = below as f64 + (run.len() as f64 + 1.0) / 2.0;
        res.insert(key(run[0]), rank / values.len() as f64);
        below += run.len();
    }
    res
}

/// Returns the bits of a number, the same for both zeros.
fn key(value: f64) -> u64 {
    (value + 0.0).to_bits()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modelwatch_sdk::arrow::array::Int64Array;

    use super::*;

    #[test]
    fn whole_numbers_are_told_apart_whatever_comes_first() {
        const ID: i64 = 1 << 60;
        let ids = || (0..70).map(|it| ID + it);
        let of = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        for first in [-1, 0, i64::MIN, ID] {
            let samples = [of([first].into_iter().chain(ids()).collect()), of(ids().rev().collect())];
            let mut encoded = Encoded::default();
            encoded.add(&Config::default(), "id", samples.each_ref()).unwrap();
            let from_median = whole_numbers(Scale::Standard, samples.each_ref()).unwrap();
            for column in [encoded.rows(&[0], 0, 141), from_median] {
                assert!(column[1..71].is_sorted_by(|left, right| left < right), "{first}: {column:?}");
                assert!(column[1..71].iter().eq(column[71..].iter().rev()), "{first}: {column:?}");
            }
        }
    }
}
