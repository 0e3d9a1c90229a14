//! Sequences: predicted text against the text that should have been predicted.
//!
//! The edit distance is Levenshtein's (1966). The character and word error rates are the edits of all rows over the
//! characters or words of all labels, as NIST's `sclite` and `jiwer` count them; they can exceed 1. Characters are Unicode
//! scalar values, words what white space separates; nothing is normalized.

use std::borrow::Cow;

use modelwatch_sdk::{Error, Result, arrow::array::ArrayRef};
use modelwatch_stats::{bootstrap::row_key, sequences::edit_distance};

use crate::{
    config::Settings,
    outputs,
    summed::{Judged, SumLayout, SumMetric, SumOf, Summed},
};

pub(crate) const NAMES: &[&str] = &["exact_match", "edit_distance", "cer", "wer"];

/// The most characters of a text; the distance takes their square in time.
const MAX_LENGTH: usize = 20_000;

/// The words are: whether the text is right, edits and number of characters, edits and number of words.
pub(crate) struct Sequences;

/// The least and the greatest hash of the labels and of the predictions: whether they vary, in any order of the rows.
pub(crate) type Texts = [[u64; 2]; 2];

/// Returns the texts of judged rows; none where none is usable.
pub(crate) fn texts(label: &ArrayRef, output: &ArrayRef, judged: &[Judged]) -> Result<Option<Texts>> {
    let (labels, outputs) = (outputs::labels(label.as_ref())?, outputs::labels(output.as_ref())?);
    let key = |it: &Option<Cow<'_, str>>| row_key(it.as_deref().unwrap_or_default().as_bytes());
    let rows = labels.iter().zip(&outputs).zip(judged).filter(|it| matches!(it.1, Judged::Words(_)));
    let of_rows = rows.map(|((label, output), _)| [key(label), key(output)].map(|it| [it, it]));
    Ok(of_rows.reduce(together))
}

/// Returns the texts of rows and of others.
pub(crate) fn together(left: Texts, right: Texts) -> Texts {
    [0, 1].map(|it| [left[it][0].min(right[it][0]), left[it][1].max(right[it][1])])
}

impl Summed for Sequences {
    fn n_words(&self, _: &SumLayout) -> usize {
        5
    }

    fn n_sums(&self, _: &SumLayout) -> usize {
        5
    }

    fn metrics(&self, _: &SumLayout) -> Vec<SumMetric> {
        vec![
            SumMetric::gain("exact_match", SumOf::All),
            SumMetric::loss("edit_distance", SumOf::All),
            SumMetric::loss("cer", SumOf::All),
            SumMetric::loss("wer", SumOf::All),
        ]
    }

    fn add(&self, _: &SumLayout, words: &[u64], times: u64, weight: f64, sums: &mut [f64]) {
        let mass = times as f64 * weight;
        sums.iter_mut().zip(words).for_each(|(sum, &word)| *sum += mass * word as f64);
    }

    fn value(&self, metric: SumMetric, sums: &[f64], mass: f64) -> f64 {
        match metric.name {
            "exact_match" => sums[0] / mass,
            "edit_distance" => sums[1] / mass,
            "cer" => sums[1] / sums[2],
            _ => sums[3] / sums[4],
        }
    }

    fn share(&self, metric: SumMetric, sums: &[f64], mass: f64) -> Option<(f64, f64)> {
        (metric.name == "exact_match").then_some((sums[0], mass))
    }

    fn judge(&self, _: &SumLayout, _: &Settings, label: &ArrayRef, output: &ArrayRef) -> Result<Vec<Judged>> {
        let (labels, texts) = (outputs::labels(label.as_ref())?, outputs::labels(output.as_ref())?);
        let judge = |(label, output): (&Option<Cow<'_, str>>, &Option<Cow<'_, str>>)| {
            let (label, output): (&str, &str) = match (label, output) {
                (None, _) => return Ok(Judged::Unlabeled),
                (_, None) => return Ok(Judged::Unusable),
                (Some(label), Some(output)) => (&**label, &**output),
            };
            let characters = [label, output].map(|it| it.chars().collect::<Vec<char>>());
            if let Some(long) = characters.iter().map(Vec::len).find(|it| *it > MAX_LENGTH) {
                return Err(Error::input(format!("a text has {long} characters, more than {MAX_LENGTH}")));
            }
            let words = [label, output].map(|it| it.split_whitespace().collect::<Vec<&str>>());
            Ok(Judged::Words(vec![
                u64::from(label == output),
                edit_distance(&characters[0], &characters[1]) as u64,
                characters[0].len() as u64,
                edit_distance(&words[0], &words[1]) as u64,
                words[0].len() as u64,
            ]))
        };
        labels.iter().zip(&texts).map(judge).collect()
    }
}
