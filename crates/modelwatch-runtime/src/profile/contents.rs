//! What a profile says of its columns, for people and programs.

use std::{collections::BTreeMap, ops::Not, path::Path};

use jiff::Timestamp;
use modelwatch_profile::{Body, Column, Description, Group, Key, Numeric, file::Stored};
use modelwatch_stats::{categories::CategoryCounts, distinct::DISTINCT_RELATIVE_ERROR, quantile::quantiles};
use serde::Serialize;

/// How many categories and patterns are named.
const MOST_NAMED: usize = 10;

/// What a profile holds.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ProfileContents {
    /// The file.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// The rows that it is of.
    pub rows: u64,
    /// How many different numbers of a column are kept exactly.
    pub budget: u64,
    /// How many categories of a column are kept at most.
    pub max_categories: u64,
    /// The model whose outputs are among the columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelContents>,
    /// The columns by name, outputs last.
    pub columns: Vec<ColumnContents>,
}

/// A model whose outputs a profile has.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ModelContents {
    /// Its digest.
    pub digest: String,
    /// Which of its signatures was run, in formats that have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// What ran it.
    pub runtime: String,
    /// The columns that each of its inputs was made of.
    pub inputs: BTreeMap<String, Vec<String>>,
}

/// What a profile says of a column.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ColumnContents {
    /// Its name.
    pub name: String,
    /// Whether it is an output of the model.
    #[serde(skip_serializing_if = "Not::not")]
    pub is_output: bool,
    /// What it is made of, in words; several where the types are mixed.
    pub kind: String,
    /// All rows.
    pub rows: u64,
    /// Those that are null.
    pub missing: u64,
    /// Those that are NaN.
    pub not_a_number: u64,
    /// Those that are infinite.
    pub infinite: u64,
    /// How many different values there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinct: Option<Distinct>,
    /// The mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// The standard deviation, of a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard_deviation: Option<f64>,
    /// Minimum, quartiles and maximum of the finite numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quartiles: Option<[Quantity; 5]>,
    /// The greatest relative error of the inner quartiles, and of every number that is kept; of minimum and maximum, too, where there are whole
    /// numbers that a float cannot hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_error: Option<f64>,
    /// The most frequent categories that are kept, with their counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<(String, u64)>,
    /// The rows whose category is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_categories: Option<u64>,
    /// The least and the greatest length of a text, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lengths: Option<[f64; 2]>,
    /// What texts look like, with counts: `a` for letters, `9` for digits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<(String, u64)>,
    /// The first and the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<[String; 2]>,
}

/// A number of a column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Quantity {
    /// A whole one, which a float may not hold.
    Whole(i128),
    /// Any other.
    Real(f64),
}

/// A number of different values.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Distinct {
    /// The number.
    pub value: u64,
    /// Its standard error, relative to it; 0 where it was counted.
    pub relative_error: f64,
}

/// Returns what a profile of so many bytes says.
pub fn describe(file: &Path, bytes: u64, stored: &Stored) -> ProfileContents {
    ProfileContents {
        file: file.display().to_string(),
        bytes,
        rows: stored.profile.rows(),
        budget: stored.settings.budget,
        max_categories: stored.settings.stored_categories,
        model: stored.predictor.as_ref().map(|it| ModelContents {
            digest: it.model.clone(),
            signature: it.signature.clone(),
            runtime: it.runtime.clone(),
            inputs: it.inputs.iter().cloned().collect(),
        }),
        columns: stored.profile.columns().iter().map(|(key, column)| contents(key, column)).collect(),
    }
}

fn contents((group, name): &Key, column: &Column) -> ColumnContents {
    let mut res = ColumnContents {
        name: name.to_owned(),
        is_output: *group == Group::Output,
        kind: column.kind(),
        rows: column.rows(),
        missing: column.nulls(),
        ..ColumnContents::default()
    };
    match column.body() {
        Body::Numeric(it) => numbers(&mut res, it, column.description()),
        Body::Categorical(it) => categories(&mut res, it, column.description()),
        Body::Tensor(_) | Body::Empty => {}
    }
    if let Some(it) = column.description().and_then(|it| it.times) {
        res.times = Some([it.0, it.1].map(|it| time(it, &res.kind)));
    }
    res
}

fn numbers(res: &mut ColumnContents, numbers: &Numeric, description: Option<&Description>) {
    res.not_a_number = numbers.n_nan().saturating_sub(res.missing);
    res.infinite = numbers.n_infinite();
    res.distinct = distinct(numbers.n_distinct(), description);
    res.quartiles = quartiles(numbers);
    if res.quartiles.is_some() {
        res.relative_error = Some(numbers.relative_error()).filter(|it| it.is_finite());
    }
    if let Some(it) = description {
        res.mean = it.moments.mean().ok();
        // Neighbors that a float cannot tell apart do not differ by its moments.
        res.standard_deviation = match numbers.whole_points() {
            Some(whole) => deviation(&whole),
            None => it.moments.standard_deviation(1).ok(),
        };
    }
}

fn quartiles(numbers: &Numeric) -> Option<[Quantity; 5]> {
    const LEVELS: [f64; 3] = [0.25, 0.5, 0.75];
    let (min, max) = numbers.range()?;
    let Some(whole) = numbers.whole_points() else {
        let inner = quantiles(&numbers.points(), &LEVELS).ok()?;
        let inner = |at: usize| inner[at].clamp(min, max);
        return Some([min, inner(0), inner(1), inner(2), max].map(Quantity::Real));
    };
    // As distances from the least, so that a float holds them where it can.
    let (first, last) = (whole.first()?.0, whole.last()?.0);
    let distances: Vec<_> = whole.iter().map(|it| ((it.0 - first) as f64, it.1)).collect();
    let inner = quantiles(&distances, &LEVELS).ok()?;
    let inner = |at: usize| first + inner[at].round() as i128;
    Some([first, inner(0), inner(1), inner(2), last].map(Quantity::Whole))
}

/// Returns the standard deviation of whole numbers, of a sample.
fn deviation(whole: &[(i128, u64)]) -> Option<f64> {
    let first = whole.first()?.0;
    let distances = || whole.iter().map(|it| ((it.0 - first) as f64, it.1 as f64));
    let n: f64 = distances().map(|it| it.1).sum();
    let mean = distances().map(|(value, count)| value * count).sum::<f64>() / n;
    let squares: f64 = distances().map(|(value, count)| (value - mean).powi(2) * count).sum();
    (n > 1.0).then(|| (squares / (n - 1.0)).sqrt())
}

fn categories(res: &mut ColumnContents, counts: &CategoryCounts, description: Option<&Description>) {
    // NaN is nobody's name.
    res.not_a_number = counts.n_null().saturating_sub(res.missing);
    res.distinct = distinct(counts.n_distinct(), description);
    res.categories = most_frequent(counts);
    res.other_categories = counts.is_overflowed().then(|| counts.n_other());
    if let Some(it) = description {
        res.lengths = it.lengths.range().ok().map(|(least, greatest)| [least, greatest]);
        res.patterns = most_frequent(&it.patterns);
    }
}

fn distinct(exact: Option<u64>, description: Option<&Description>) -> Option<Distinct> {
    match exact {
        Some(value) => Some(Distinct { value, relative_error: 0.0 }),
        None => {
            let value = description?.distinct.estimate().round() as u64;
            Some(Distinct { value, relative_error: DISTINCT_RELATIVE_ERROR })
        }
    }
}

fn most_frequent(counts: &CategoryCounts) -> Vec<(String, u64)> {
    let mut res: Vec<_> = counts.counts().into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    // The sort is stable, so that equal counts keep the order of their names.
    res.sort_by_key(|it| std::cmp::Reverse(it.1));
    res.truncate(MOST_NAMED);
    res
}

/// Dates and instants as such; times of day and durations as seconds.
fn time(nanoseconds: i128, kind: &str) -> String {
    let is_instant = kind.contains("Date") || kind.contains("Timestamp");
    match Timestamp::from_nanosecond(nanoseconds).ok().filter(|_| is_instant) {
        Some(it) => it.to_string(),
        None => format!("{} s", nanoseconds as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_by_their_kind() {
        assert_eq!(time(1_700_000_000_000_000_000, "times of type Timestamp(s)"), "2023-11-14T22:13:20Z");
        assert_eq!(time(1_500_000_000, "times of type Duration(ms)"), "1.5 s");
    }
}
