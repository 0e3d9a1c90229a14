//! Populations of rows whose metrics are known, because they can be computed of all of their rows.
//!
//! Rows that are drawn from one at random, with replacement, are independent and of one distribution, of which every metric has
//! its true value: that of the population.

use std::sync::Arc;

use modelwatch_sdk::{
    arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray},
    rows::Use,
};
use serde_json::{Value, json};

use crate::common::{Table, normal, random, scored};

/// How many rows a population has, or queries.
const N: usize = 20_000;
/// The documents of a query.
const DOCUMENTS: usize = 6;

/// Rows, and how they are judged.
pub(crate) struct Population {
    pub(crate) name: &'static str,
    pub(crate) options: Value,
    table: Table,
    /// How many rows are drawn together.
    unit: usize,
}

impl Population {
    fn new(name: &'static str, options: Value, table: Table) -> Self {
        Self { name, options, table, unit: 1 }
    }

    /// Returns all rows.
    pub(crate) fn whole(&self) -> Table {
        self.drawn(0..N)
    }

    /// Returns so many rows, or queries, at random.
    pub(crate) fn draw(&self, n: usize, seed: u64) -> Table {
        self.drawn(random(n, seed + 1_000_000).into_iter().map(|it| (it * N as f64) as usize))
    }

    fn drawn(&self, units: impl Iterator<Item = usize>) -> Table {
        let rows: Vec<usize> = units.flat_map(|it| it * self.unit..(it + 1) * self.unit).collect();
        let table = self.table.take(&rows).slice("all", &vec!["a"; rows.len()]);
        if self.unit == 1 {
            return table;
        }
        // A query that is drawn twice is two queries.
        let queries = Int64Array::from_iter_values((0..rows.len()).map(|it| (it / self.unit) as i64));
        table.with("query", &[Use::Feature], Arc::new(queries))
    }
}

/// Returns one population for each task, each with a baseline, and those with sample weights that go with what is measured.
pub(crate) fn all() -> Vec<Population> {
    vec![
        binary("binary", false),
        binary("binary with weights", true),
        multiclass(),
        regression("regression", false),
        regression("regression with weights", true),
        ranking(),
        multi_label(),
        segmentation(),
        detection(),
        sequences(),
    ]
}

fn integers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn numbers(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

/// Two of five rows are positive, and their scores are a normal deviate and a half higher.
fn binary(name: &'static str, has_weights: bool) -> Population {
    let labels: Vec<bool> = random(N, 1).iter().map(|it| *it < 0.4).collect();
    let shift = |label: bool| if label { 0.8 } else { -0.7 };
    let candidate: Vec<f64> = labels.iter().zip(normal(N, 2)).map(|(&label, it)| it + shift(label)).collect();
    let baseline: Vec<f64> = candidate.iter().zip(normal(N, 3)).map(|(score, it)| 0.9 * score + 0.6 * it).collect();
    let mut table = Table::default().with("y", &[Use::Label], integers(labels.iter().map(|it| i64::from(*it))));
    table = table.candidate(&candidate, 1).baseline(&baseline, 1);
    if has_weights {
        let is_wrong = |row: usize| (candidate[row] > 0.0) != labels[row];
        let spread = random(N, 4);
        let weights = (0..N).map(|it| if is_wrong(it) { 2.0 } else { 1.0 } * (0.5 + spread[it]));
        table = table.with("w", &[Use::Weight], numbers(weights));
    }
    let options = json!({
        "task": "binary", "scores": "logits", "beta": 0.5, "at_recall": [0.8], "at_precision": [0.7], "lift_share": 0.2,
    });
    Population::new(name, options, table)
}

/// Classes of half, three and two tenths of the rows, whose scores are higher by as much as they are spread.
fn multiclass() -> Population {
    let class = |it: &f64| if *it < 0.5 { 0 } else { 1 + usize::from(*it >= 0.8) };
    let labels: Vec<usize> = random(N, 11).iter().map(class).collect();
    let shift = |at: usize| if at % 3 == labels[at / 3] { 1.5 } else { 0.0 };
    let candidate: Vec<f64> = normal(3 * N, 12).iter().enumerate().map(|(at, it)| it + shift(at)).collect();
    let baseline: Vec<f64> = candidate.iter().zip(normal(3 * N, 13)).map(|(score, it)| score + 0.7 * it).collect();
    let table = Table::default().with("y", &[Use::Label], integers(labels.iter().map(|it| *it as i64)));
    let options = json!({"task": "multiclass", "scores": "logits", "beta": 2.0, "top_k": [2], "lift_share": 0.2});
    Population::new("multiclass", options, table.candidate(&candidate, 3).baseline(&baseline, 3))
}

/// Labels are skewed and above 0, errors are normal.
fn regression(name: &'static str, has_weights: bool) -> Population {
    let labels: Vec<f64> = normal(N, 21).iter().map(|it| (2.0 + 0.3 * it.clamp(-3.0, 3.0)).exp()).collect();
    let errors: Vec<f64> = normal(N, 22).iter().map(|it| it.clamp(-3.0, 3.0)).collect();
    let candidate: Vec<f64> = labels.iter().zip(&errors).map(|(label, it)| label + it).collect();
    let other: Vec<f64> = normal(N, 23).iter().map(|it| 0.2 * it.clamp(-3.0, 3.0)).collect();
    let baseline: Vec<f64> = candidate.iter().zip(&other).map(|(it, other)| it + other).collect();
    let mut table = Table::default().numbers(&labels).candidate(&candidate, 1).baseline(&baseline, 1);
    if has_weights {
        table = table.with("w", &[Use::Weight], numbers(errors.iter().map(|it| 1.0 + 3.0 * it.abs())));
    }
    let options = json!({"task": "regression", "error_quantiles": [0.8], "pinball_quantiles": [0.9]});
    Population::new(name, options, table)
}

/// Each query has six documents, of which one in four is relevant.
fn ranking() -> Population {
    let n = DOCUMENTS * N;
    let relevance: Vec<i64> = random(n, 31).iter().map(|it| ((it * 8.0 - 5.0) as i64).max(0)).collect();
    let candidate: Vec<f64> = relevance.iter().zip(normal(n, 32)).map(|(&label, it)| label as f64 + 1.5 * it).collect();
    let baseline: Vec<f64> = candidate.iter().zip(normal(n, 33)).map(|(score, it)| score + it).collect();
    let table = Table::default().labels(&relevance).candidate(&candidate, 1).baseline(&baseline, 1);
    let options = json!({"task": "ranking", "query": "query", "at_k": [1, 3]});
    Population { unit: DOCUMENTS, ..Population::new("ranking", options, table) }
}

fn multi_label() -> Population {
    const SHARES: [f64; 4] = [0.5, 0.4, 0.3, 0.3];
    let labels: Vec<f64> =
        random(4 * N, 41).iter().enumerate().map(|(at, it)| f64::from(u8::from(*it < SHARES[at % 4]))).collect();
    let candidate: Vec<f64> =
        labels.iter().zip(normal(4 * N, 42)).map(|(label, it)| 2.0 * label - 1.0 + 0.8 * it).collect();
    let baseline: Vec<f64> = candidate.iter().zip(normal(4 * N, 43)).map(|(score, it)| score + 0.5 * it).collect();
    let table = Table::default().with("y", &[Use::Label], scored(&labels, 4));
    let table = table.candidate(&candidate, 4).baseline(&baseline, 4);
    Population::new("multi-label", json!({"task": "multi-label", "scores": "logits"}), table)
}

/// Images of 16 pixels, some of which are harder than others.
fn segmentation() -> Population {
    const PIXELS: usize = 16;
    let n = PIXELS * N;
    let class = |it: &f64| if *it < 0.5 { 0.0 } else { 1.0 + f64::from(u8::from(*it >= 0.8)) };
    let labels: Vec<f64> = random(n, 51).iter().map(class).collect();
    let (hardness, draws, other) = (random(N, 52), random(n, 53), random(n, 54));
    let candidate: Vec<f64> = (0..n)
        .map(|at| if draws[at] < 0.95 - 0.4 * hardness[at / PIXELS] { labels[at] } else { (labels[at] + 1.0) % 3.0 })
        .collect();
    let baseline: Vec<f64> =
        (0..n).map(|at| if other[at] < 0.9 { candidate[at] } else { (labels[at] + 2.0) % 3.0 }).collect();
    let table = Table::default().with("y", &[Use::Label], scored(&labels, PIXELS));
    let options = json!({"task": "segmentation", "classes": ["a", "b", "c"]});
    Population::new("segmentation", options, table.candidate(&candidate, PIXELS).baseline(&baseline, PIXELS))
}

/// Images with up to three objects of two classes, most of which are found, some not quite where they are.
fn detection() -> Population {
    const OBJECTS: usize = 3;
    let n = OBJECTS * N;
    let (is_there, classes, shifts, other, scores) =
        (random(n, 61), random(n, 62), normal(n, 63), normal(n, 64), random(n, 65));
    let is_there = |at: usize| at.is_multiple_of(OBJECTS) || is_there[at] < 0.5;
    let class = |at: usize| if classes[at] < 0.6 { 0.0 } else { 1.0 };
    let left = |at: usize| 20.0 * (at % OBJECTS) as f64;
    let object = |at: usize| {
        let class = if is_there(at) { class(at) } else { -1.0 };
        [left(at), 0.0, left(at) + 10.0, 10.0, class]
    };
    let found = |shift: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let one = |at: usize| {
            let shift = shift(at);
            let class = if is_there(at) || scores[at] < 0.4 { class(at) } else { -1.0 };
            [left(at) + shift, 0.0, left(at) + shift + 10.0, 10.0, 0.3 + 0.7 * scores[at] - 0.1 * shift.abs(), class]
        };
        (0..n).flat_map(one).collect()
    };
    let objects: Vec<f64> = (0..n).flat_map(object).collect();
    let candidate = found(&|at| 1.5 * shifts[at]);
    let baseline = found(&|at| 1.5 * shifts[at] + other[at]);
    let table = Table::default().with("objects", &[Use::Label], scored(&objects, 5 * OBJECTS));
    let table = table.candidate(&candidate, 6 * OBJECTS).baseline(&baseline, 6 * OBJECTS);
    Population::new("detection", json!({"task": "detection", "classes": ["a", "b"]}), table)
}

/// Texts of three to eight words, some of which are hard to read.
fn sequences() -> Population {
    const WORDS: [&str; 6] = ["so", "the", "fox", "jumps", "over", "fences"];
    let (lengths, hardness, words) = (random(N, 71), random(N, 72), random(8 * N, 73));
    let draws = [random(8 * N, 74), random(8 * N, 75)];
    let text = |row: usize, errors: &[&[f64]]| -> String {
        let n = 3 + (lengths[row] * 6.0) as usize;
        let word = |at: usize| {
            let place = (words[at] * 6.0) as usize;
            let is_wrong = errors.iter().any(|it| it[at] < 0.25 * hardness[row]);
            WORDS[if is_wrong { (place + 1) % 6 } else { place }]
        };
        (8 * row..8 * row + n).map(word).collect::<Vec<_>>().join(" ")
    };
    let texts = |errors: &[&[f64]]| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..N).map(|row| text(row, errors))))
    };
    let table = Table::default().with("y", &[Use::Label], texts(&[]));
    let table = table.with("candidate:text", &[Use::Candidate], texts(&[&draws[0]]));
    let table = table.with("baseline:text", &[Use::Baseline], texts(&[&draws[0], &draws[1]]));
    Population::new("sequences", json!({"task": "sequences"}), table)
}
