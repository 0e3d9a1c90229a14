//! Ranking: the documents of each query in the order of their scores.
//!
//! Rows are documents. They are kept by query, because the rows of one query may come in any batch; the report joins them
//! to queries, each of which then counts as one row. Beyond the budget whole queries are dropped, those with the greatest
//! hashes, and the rest is a sample of queries.

use std::collections::BTreeMap;

use modelwatch_sdk::{Error, RecordBatch, Result, arrow::array::ArrayRef, report::Gap, rows};
use modelwatch_stats::{
    bootstrap::row_key,
    retrieval::{Document, average_precision, first_relevant, ndcg},
};

use crate::{
    config::{Settings, quoted},
    row::{Layout, Prediction},
    state::State,
    summed::{Judged, Kind, SumLayout, SumMetric, SumOf, Summed},
};

pub(crate) const NAMES: &[&str] = &["ndcg", "map", "mrr", "hit_rate"];

/// The words are score and relevance; there is nothing to sum before documents are joined.
pub(crate) struct Documents;

/// The words are floats: the NDCG at each `k` and over all, whether any document is relevant, and if so the average
/// precision, the reciprocal rank, and for each `k` whether a relevant document is among the first.
pub(crate) struct Queries;

impl Summed for Documents {
    fn n_words(&self, _: &SumLayout) -> usize {
        2
    }

    fn n_sums(&self, _: &SumLayout) -> usize {
        0
    }

    fn metrics(&self, _: &SumLayout) -> Vec<SumMetric> {
        Vec::new()
    }

    fn add(&self, _: &SumLayout, _: &[u64], _: u64, _: f64, _: &mut [f64]) {}

    fn value(&self, _: SumMetric, _: &[f64], _: f64) -> f64 {
        f64::NAN
    }

    fn judge(&self, _: &SumLayout, _: &Settings, label: &ArrayRef, output: &ArrayRef) -> Result<Vec<Judged>> {
        let (labels, scores) = (rows::numbers(label.as_ref())?, rows::numbers(output.as_ref())?);
        for (what, it) in [("label", &labels), ("output", &scores)] {
            if it.width != 1 {
                return Err(Error::input(format!("the {what} has {} values per row, expected one", it.width)));
            }
        }
        let judge = |(&relevance, &score): (&f64, &f64)| {
            if relevance.is_nan() {
                return Ok(Judged::Unlabeled);
            }
            if !(0.0..f64::INFINITY).contains(&relevance) {
                return Err(Error::input(format!("a relevance is {relevance}, expected a finite number from 0 on")));
            }
            // Adding 0 turns -0 into 0.
            let words = vec![(score + 0.0).to_bits(), (relevance + 0.0).to_bits()];
            Ok(if score.is_finite() { Judged::Words(words) } else { Judged::Unusable })
        };
        labels.values.iter().zip(scores.values.iter()).map(judge).collect()
    }
}

impl Summed for Queries {
    fn n_words(&self, layout: &SumLayout) -> usize {
        2 * layout.at_k.len() + 4
    }

    fn n_sums(&self, layout: &SumLayout) -> usize {
        // The last counts the queries with a relevant document, whatever they weigh.
        self.n_words(layout) + 1
    }

    fn metrics(&self, layout: &SumLayout) -> Vec<SumMetric> {
        let at = |name: &'static str| (0..layout.at_k.len()).map(move |it| SumMetric::gain(name, SumOf::At(it)));
        let of = |name: &'static str| SumMetric::gain(name, SumOf::All);
        [of("ndcg")].into_iter().chain(at("ndcg")).chain([of("map"), of("mrr")]).chain(at("hit_rate")).collect()
    }

    fn add(&self, _: &SumLayout, words: &[u64], times: u64, weight: f64, sums: &mut [f64]) {
        let mass = times as f64 * weight;
        sums.iter_mut().zip(words).for_each(|(sum, &word)| *sum += mass * f64::from_bits(word));
        let is_relevant = f64::from_bits(words[(words.len() - 4) / 2 + 1]);
        if let Some(it) = sums.last_mut() {
            *it += times as f64 * is_relevant;
        }
    }

    fn value(&self, metric: SumMetric, sums: &[f64], mass: f64) -> f64 {
        let n = (sums.len() - 5) / 2;
        let relevant = sums[n + 1];
        match (metric.name, metric.of) {
            ("ndcg", SumOf::At(it)) => sums[it] / mass,
            ("ndcg", _) => sums[n] / mass,
            ("map", _) => sums[n + 2] / relevant,
            ("hit_rate", SumOf::At(it)) => sums[n + 4 + it] / relevant,
            _ => sums[n + 3] / relevant,
        }
    }

    fn n(&self, metric: SumMetric, sums: &[f64]) -> Option<u64> {
        (metric.name != "ndcg").then(|| sums.last().map_or(0, |&it| it as u64))
    }

    fn share(&self, metric: SumMetric, sums: &[f64], _: f64) -> Option<(f64, f64)> {
        let n = (sums.len() - 5) / 2;
        match (metric.name, metric.of) {
            ("hit_rate", SumOf::At(it)) => Some((sums[n + 4 + it], sums[n + 1])),
            _ => None,
        }
    }

    fn judge(&self, _: &SumLayout, _: &Settings, _: &ArrayRef, _: &ArrayRef) -> Result<Vec<Judged>> {
        Err(Error::input("queries are joined from documents, not read"))
    }
}

/// Returns the key of the query of each row.
pub(crate) fn keys(batch: &RecordBatch, settings: &Settings) -> Result<Vec<u64>> {
    let name = settings.query.as_deref().unwrap_or_default();
    let column = batch.column_by_name(name).ok_or_else(|| {
        let schema = batch.schema();
        let names: Vec<&str> = schema.fields().iter().map(|it| it.name().as_str()).collect();
        Error::config("/query", format!("the rows have no column `{name}`"))
            .with_help(format!("the columns are {}", quoted(names.iter())))
    })?;
    let key = |it: Option<std::borrow::Cow<'_, str>>| {
        let it = it.ok_or_else(|| Error::input(format!("a row has no query in `{name}`")))?;
        // The greatest number stands for no bound.
        Ok(row_key(it.as_bytes()).min(u64::MAX - 1))
    };
    rows::texts(column.as_ref())?.into_iter().map(key).collect()
}

/// What rankings that know nothing give for the queries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Random {
    /// The mean NDCG of a random order, which is that of equal scores.
    pub(crate) ndcg: f64,
    /// Whether the candidate's scores are equal in every query.
    pub(crate) is_constant: bool,
}

/// Queries, what rankings that know nothing give for them, and what was left out.
pub(crate) struct Joined {
    pub(crate) state: State,
    pub(crate) random: Random,
    pub(crate) gaps: Vec<Gap>,
}

/// Joins documents to queries, each of which is a row of the state.
///
/// # Errors
/// When the documents of a query differ in their weight.
pub(crate) fn join(state: &State, layout: &Layout) -> Result<Joined> {
    let documents = layout.sums.clone().unwrap_or_else(|| unreachable!("rankings have sums"));
    let sums = SumLayout { kind: Kind::Queries, ..documents };
    let joined = Layout { sums: Some(sums.clone()), ..layout.clone() };
    let mut queries: BTreeMap<u64, Vec<(&[u64], u64)>> = BTreeMap::new();
    for (_, words, count) in state.sample.iter() {
        queries.entry(words[0]).or_default().push((words, count));
    }
    let mut res = State::default();
    res.head.slices = state.head.slices.clone();
    let (mut n_single, mut n_irrelevant) = (0u64, 0u64);
    let (mut is_constant, mut random, mut mass) = (true, 0.0, 0.0);
    for rows in queries.into_values() {
        if rows.iter().map(|it| it.1).sum::<u64>() < 2 {
            n_single += 1;
            continue;
        }
        let (first, _) = rows[0];
        if rows.iter().any(|it| layout.weight(it.0) != layout.weight(first)) {
            return Err(Error::input("the rows of a query have different weights")
                .with_help("give all rows of a query its weight"));
        }
        if let Some(documents) = documents_of(layout, &rows, 0) {
            is_constant &= documents.windows(2).all(|it| it[0].score == it[1].score);
            let tied: Vec<Document> = documents.iter().map(|it| Document { score: 0.0, ..*it }).collect();
            random += layout.weight(rows[0].0) * ndcg(&tied, usize::MAX).unwrap_or(0.0);
            mass += layout.weight(rows[0].0);
        }
        let mut words = vec![0];
        words.extend(layout.has_weights.then(|| layout.weight(first).to_bits()));
        // A query is in a slice if all of its rows are.
        words.extend(
            layout
                .slices(first)
                .iter()
                .enumerate()
                .map(|(nth, &key)| if rows.iter().all(|it| layout.slices(it.0)[nth] == key) { key } else { 0 }),
        );
        for model in 0..layout.models.len() {
            let judged = judge(layout, &sums, &rows, model);
            n_irrelevant += u64::from(model == 0 && judged.as_ref().is_some_and(|it| it[sums.at_k.len() + 1] == 0));
            joined.push_judged(&mut words, judged.as_deref());
        }
        res.sample.add(&words, 1);
        res.head.n_rows += 1;
    }
    res.sample.settle();
    res.head.layout = Some(joined);
    let mut gaps = Vec::new();
    let queries = |n: u64| if n == 1 { "1 query".to_owned() } else { format!("{n} queries") };
    match n_single {
        0 => {}
        1 => gaps.push(Gap::new(queries(1), "it has one document, of which there is no order")),
        n => gaps.push(Gap::new(queries(n), "they have one document each, of which there is no order")),
    }
    if n_irrelevant > 0 {
        let why = format!("none of {} documents is relevant", if n_irrelevant == 1 { "its" } else { "their" });
        gaps.push(Gap::new(format!("map, mrr and hit_rate of {}", queries(n_irrelevant)), why));
    }
    if state.head.bound.is_some() {
        let why = format!("all metrics are of a sample of {} queries, whose rows fit into the budget", res.head.n_rows);
        gaps.push(Gap::new("rows beyond the budget", why));
    }
    Ok(Joined { state: res, random: Random { ndcg: random / mass, is_constant }, gaps })
}

/// Returns the words of a query; none where a document has no usable score.
fn judge(layout: &Layout, sums: &SumLayout, rows: &[(&[u64], u64)], model: usize) -> Option<Vec<u64>> {
    let documents = documents_of(layout, rows, model)?;
    let mut res = Vec::with_capacity(sums.n_words());
    for &k in &sums.at_k {
        res.push(ndcg(&documents, usize::try_from(k).unwrap_or(usize::MAX)).ok()?);
    }
    res.push(ndcg(&documents, usize::MAX).ok()?);
    let (precision, rank) = (average_precision(&documents), first_relevant(&documents));
    res.push(f64::from(u8::from(rank.is_ok())));
    res.push(precision.unwrap_or(0.0));
    res.push(rank.map_or(0.0, |it| 1.0 / it as f64));
    res.extend(sums.at_k.iter().map(|&k| f64::from(u8::from(rank.is_ok_and(|it| it as u64 <= k)))));
    Some(res.into_iter().map(f64::to_bits).collect())
}

/// Returns the documents of a query; none where one has no usable score.
fn documents_of(layout: &Layout, rows: &[(&[u64], u64)], model: usize) -> Option<Vec<Document>> {
    let mut res = Vec::new();
    for &(words, count) in rows {
        let Prediction::Summed(found) = layout.prediction(words, model) else { return None };
        let document = Document { score: f64::from_bits(found[0]), relevance: f64::from_bits(found[1]) };
        res.extend((0..count).map(|_| document));
    }
    Some(res)
}
