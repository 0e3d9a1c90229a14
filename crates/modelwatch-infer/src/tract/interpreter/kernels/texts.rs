//! Operators on texts and tokens.

use std::collections::HashMap;

use tract_onnx::{
    prelude::{DatumType, IntoTensor, TractResult, tract_ndarray::ArrayD},
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::arrays::{elements, full, zip};
use crate::tract::interpreter::{
    call::{Call, array},
    value::Value,
};

fn texts(call: &Call<'_>, idx: usize) -> TractResult<ArrayD<String>> {
    let tensor = call.tensor(idx)?;
    Ok(ArrayD::from_shape_vec(tensor.shape(), elements::<String>(tensor)?)?)
}

/// Bytes of all texts of a tensor that is made here.
const MAX_TEXT_BYTES: usize = 1 << 28;

pub(super) fn concatenate(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let (a, b) = (texts(call, 0)?, texts(call, 1)?);
    // Each text of one side meets each of the other at most.
    let n_bytes = |of: &ArrayD<String>, n: usize| of.iter().map(String::len).sum::<usize>().saturating_mul(n.max(1));
    ensure!(
        n_bytes(&a, if a.len() < b.len() { b.len() } else { 1 }) <= MAX_TEXT_BYTES
            && n_bytes(&b, if b.len() < a.len() { a.len() } else { 1 }) <= MAX_TEXT_BYTES,
        "its texts have more than {MAX_TEXT_BYTES} bytes"
    );
    Ok(vec![zip(&a, &b, |a, b| format!("{a}{b}"))?.into()])
}

pub(super) fn split(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = texts(call, 0)?;
    let delimiter = call.text("delimiter", "").to_string();
    let limit = match call.has_attribute("maxsplit").then(|| call.int("maxsplit", 0)) {
        Some(it) => usize::try_from(it).ok(),
        None => None,
    };
    let parts: Vec<Vec<String>> = input.iter().map(|it| cut(it, &delimiter, limit)).collect();
    let width = parts.iter().map(Vec::len).max().unwrap_or(0);
    let mut res = full(&[parts.len(), width], String::new())?;
    for (row, parts) in parts.iter().enumerate() {
        for (idx, part) in parts.iter().enumerate() {
            res[[row, idx]].clone_from(part);
        }
    }
    let shape = [input.shape(), &[width]].concat();
    let counts: Vec<i64> = parts.iter().map(|it| it.len() as i64).collect();
    let counts = ArrayD::from_shape_vec(input.shape(), counts)?;
    Ok(vec![super::arrays::reshape(res, &shape)?.into(), counts.into()])
}

/// Returns the parts of a text; without a delimiter it is cut at runs of white space.
fn cut(text: &str, delimiter: &str, limit: Option<usize>) -> Vec<String> {
    let limit = limit.unwrap_or(usize::MAX - 1);
    if !delimiter.is_empty() {
        if text.is_empty() {
            return vec![];
        }
        return text.splitn(limit + 1, delimiter).map(str::to_string).collect();
    }
    let mut res = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = if res.len() < limit { rest.find(char::is_whitespace) } else { None };
        let (part, next) = end.map_or((rest, ""), |it| rest.split_at(it));
        res.push(if end.is_none() { part.trim_end().to_string() } else { part.to_string() });
        rest = next.trim_start();
    }
    res
}

pub(super) fn normalize(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = texts(call, 0)?;
    ensure!(input.ndim() == 1 || (input.ndim() == 2 && input.shape()[0] == 1), "texts of shape {:?}", input.shape());
    let is_case_sensitive = call.flag("is_case_sensitive");
    let fold = |it: &str| if is_case_sensitive { it.to_string() } else { it.to_lowercase() };
    let stopwords: Vec<String> = call.texts("stopwords").iter().map(|it| fold(it)).collect();
    let action = call.text("case_change_action", "NONE");
    let mut res = Vec::new();
    for text in input.iter().filter(|it| !stopwords.contains(&fold(it))) {
        res.push(match action {
            "LOWER" => text.to_lowercase(),
            "UPPER" => text.to_uppercase(),
            "NONE" => text.clone(),
            other => bail!("case_change_action {other:?} is not known"),
        });
    }
    if res.is_empty() {
        res.push(String::new());
    }
    let shape = if input.ndim() == 1 { vec![res.len()] } else { vec![1, res.len()] };
    Ok(vec![ArrayD::from_shape_vec(shape, res)?.into()])
}

/// Counts of n-grams, with tokens skipped between their members.
pub(super) fn tf_idf(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let tensor = call.tensor(0)?;
    let tokens: Vec<String> = if tensor.datum_type() == DatumType::String {
        elements(tensor)?
    } else {
        array::<i64>(tensor)?.iter().map(ToString::to_string).collect()
    };
    let (rows, width) = match *tensor.shape() {
        [width] => (1, width),
        [rows, width] => (rows, width),
        _ => bail!("tokens of shape {:?}", tensor.shape()),
    };
    let strings = call.texts("pool_strings");
    let pool: Vec<String> = if strings.is_empty() {
        call.int_list("pool_int64s").unwrap_or_default().iter().map(ToString::to_string).collect()
    } else {
        strings
    };
    let size = |name: &str| usize::try_from(call.int(name, 0));
    let (shortest, longest, skips) = (size("min_gram_length")?, size("max_gram_length")?, size("max_skip_count")?);
    let starts: Vec<usize> = call
        .int_list("ngram_counts")
        .unwrap_or_default()
        .iter()
        .map(|&it| usize::try_from(it))
        .collect::<Result<_, _>>()?;
    let columns: Vec<usize> = call
        .int_list("ngram_indexes")
        .unwrap_or_default()
        .iter()
        .map(|&it| usize::try_from(it))
        .collect::<Result<_, _>>()?;
    let weights = call.float_list("weights");
    ensure!(
        weights.is_empty() || weights.len() == columns.len(),
        "{} weights for {} n-grams",
        weights.len(),
        columns.len()
    );
    let mut known: HashMap<&[String], usize> = HashMap::new();
    let mut number = 0;
    for (idx, &start) in starts.iter().enumerate() {
        let end = starts.get(idx + 1).copied().unwrap_or(pool.len());
        let grams = pool.get(start..end).context("`ngram_counts` does not fit the pool")?;
        for gram in grams.chunks_exact(idx + 1) {
            known.insert(gram, number);
            number += 1;
        }
    }
    ensure!(number <= columns.len(), "{number} n-grams have {} columns", columns.len());
    let n_columns = columns.iter().max().map_or(0, |it| it.saturating_add(1));
    let mut res = full(&[rows, n_columns], 0f32)?;
    for row in 0..rows {
        let tokens = &tokens[row * width..(row + 1) * width];
        for length in shortest.max(1)..=longest.min(width) {
            // A single token has nothing to skip.
            for step in 1..=if length == 1 { 1 } else { skips.min(width) + 1 } {
                let reach = (length - 1) * step;
                for start in 0..width.saturating_sub(reach) {
                    let gram: Vec<String> = (0..length).map(|it| tokens[start + it * step].clone()).collect();
                    if let Some(&number) = known.get(&*gram) {
                        res[[row, columns[number]]] += 1.0;
                    }
                }
            }
        }
    }
    let weigh = |res: &mut ArrayD<f32>, is_capped: bool| {
        for row in 0..rows {
            for (number, &column) in columns.iter().enumerate() {
                let count = res[[row, column]];
                res[[row, column]] =
                    if is_capped { count.min(1.0) } else { count } * weights.get(number).copied().unwrap_or(1.0);
            }
        }
    };
    match call.text("mode", "TF") {
        "TF" => (),
        "IDF" => weigh(&mut res, true),
        "TFIDF" => weigh(&mut res, false),
        other => bail!("mode {other:?} is not known"),
    }
    let res = if tensor.rank() == 1 { super::arrays::reshape(res, &[n_columns])? } else { res };
    Ok(vec![res.into_tensor().into()])
}
