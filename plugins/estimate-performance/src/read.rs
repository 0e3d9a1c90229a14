//! Turns a batch into rows.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use modelwatch_sdk::{
    Error, ModelRole, RecordBatch, Result,
    arrow::{
        array::{Array, ArrayRef},
        schema::{DataType, Field, Schema},
    },
    chunks,
    rows::{self as batches, Use, has_use},
    slices,
};

use crate::{
    config::{Config, Task},
    rows::{Feature, NO_NAME, Names, Numbers, Rows, Unknown},
};

/// Returns what is kept of a batch. Rows of weight 0 are not there.
pub(crate) fn read(config: &Config, batch: &RecordBatch) -> Result<Rows> {
    let weights = if config.weights { batches::weights(batch)? } else { None };
    let Some(weights) = weights else { return read_all(config, batch) };
    let there: Vec<usize> = (0..weights.len()).filter(|it| weights[*it] > 0.0).collect();
    let rows = read_all(config, &batches::pick(batch, &there)?)?;
    let n_weightless = (weights.len() - there.len()) as u64;
    Ok(Rows { weights: Numbers(there.into_iter().map(|it| weights[it]).collect()), n_weightless, ..rows })
}

fn read_all(config: &Config, batch: &RecordBatch) -> Result<Rows> {
    let slices = slices(config, batch)?;
    let (floats, rounded) = with_floats(batch)?;
    let batch = floats.as_ref().unwrap_or(batch);
    let scores = scores(config, batch)?;
    let classes = match config.task {
        Task::Regression => Vec::new(),
        _ => config.class_names().unwrap_or_else(|| (0..scores.len()).map(|it| it.to_string()).collect()),
    };
    let mut unknown = BTreeMap::new();
    let called = called(config, batch, &classes, &scores, &mut unknown)?;
    let (features, left_out) = match config.task {
        Task::Regression => features(config, batch)?,
        _ => Default::default(),
    };
    Ok(Rows {
        labels: labels(config, batch, &classes, &mut unknown)?,
        called,
        weights: Numbers::default(),
        seconds: seconds(config, batch)?,
        slices,
        features,
        left_out: left_out.into_iter().collect(),
        rounded,
        unknown,
        n_weightless: 0,
        scores: scores.into_iter().map(Numbers).collect(),
    })
}

/// Returns the batch with floats in place of decimals, where it has any, and those columns of them that have more digits than floats keep.
fn with_floats(batch: &RecordBatch) -> Result<(Option<RecordBatch>, BTreeSet<String>)> {
    let (mut fields, mut columns, mut rounded) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut has_any = false;
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let Some((floats, has_rounded)) = batches::decimals(array.as_ref()) else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(array));
            continue;
        };
        has_any = true;
        fields.push(Arc::new(field.as_ref().clone().with_data_type(DataType::Float64)));
        columns.push(Arc::new(floats));
        rounded.extend(has_rounded.then(|| field.name().clone()));
    }
    if !has_any {
        return Ok((None, rounded));
    }
    let floats = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(Error::input)?;
    Ok((Some(floats), rounded))
}

/// Returns the scores, one column per class, or of the positive class alone, or the predicted numbers.
fn scores(config: &Config, batch: &RecordBatch) -> Result<Vec<Vec<f64>>> {
    let mut res = Vec::new();
    for (name, array) in score_arrays(config, batch)? {
        let numbers = batches::numbers(array).map_err(|e| Error::input(format!("scores `{name}`: {e}")))?;
        // A batch without rows has a width all the same.
        res.extend((0..numbers.width).map(|at| (0..array.len()).map(|row| numbers.row(row)[at]).collect::<Vec<_>>()));
    }
    let (is_fine, expected) = match config.task {
        Task::Binary => ((1..=2).contains(&res.len()), "one or two scores".to_owned()),
        Task::Regression => (res.len() == 1, "one number".to_owned()),
        Task::Multiclass => match config.class_names() {
            Some(names) => (res.len() == names.len(), format!("{} scores", names.len())),
            None => (res.len() > 2, "three or more scores".to_owned()),
        },
    };
    if !is_fine {
        return Err(Error::input(format!("a row has {} scores, expected {expected}", res.len()))
            .with_help("name the right column or output, or correct `task` or `classes`"));
    }
    if config.task == Task::Binary && res.len() == 2 {
        res = vec![res.swap_remove(config.positive_class())];
    }
    Ok(res)
}

/// Returns the columns that have the scores: those that the options name, or an output of the candidate.
fn score_arrays<'a>(config: &'a Config, batch: &'a RecordBatch) -> Result<Vec<(&'a str, &'a ArrayRef)>> {
    let named = config.score_columns();
    if !named.is_empty() {
        return named.into_iter().map(|it| Ok((it, column(batch, it)?))).collect();
    }
    let all: Vec<_> = batches::outputs(batch, ModelRole::Candidate).collect();
    let names = || all.iter().map(|it| format!("`{}`", it.0)).collect::<Vec<_>>().join(", ");
    match (&config.output, &all[..]) {
        (Some(wanted), _) => {
            let found = all.iter().find(|it| it.0 == wanted).copied().map(|it| vec![it]);
            let message = format!("the candidate model has no output `{wanted}`");
            found.ok_or_else(|| Error::config("/output", message).with_help(format!("its outputs are {}", names())))
        }
        (None, [only]) => Ok(vec![*only]),
        (None, []) => Err(Error::input("the rows have no outputs of the candidate model")),
        (None, _) => Err(Error::config("/output", format!("the candidate model has several outputs: {}", names()))
            .with_help("name one of them in `output`")),
    }
}

/// Returns the class that was called, by its index.
fn called(
    config: &Config,
    batch: &RecordBatch,
    classes: &[String],
    scores: &[Vec<f64>],
    unknown: &mut BTreeMap<String, Unknown>,
) -> Result<Numbers> {
    if config.task == Task::Regression {
        return Ok(Numbers::default());
    }
    if let Some(name) = config.called_column() {
        let (indices, others) = class_indices(column(batch, name)?, classes, name)?;
        note(unknown, name, others, false);
        return Ok(indices);
    }
    let positive = config.positive_class() as f64;
    let index = |row: usize| match scores {
        [only] if only[row].is_nan() => f64::NAN,
        [only] if only[row] >= config.threshold => positive,
        [_] => 1.0 - positive,
        all if all.iter().any(|it| it[row].is_nan()) => f64::NAN,
        // The first of equal ones.
        all => (1..all.len()).fold(0, |best, it| if all[it][row] > all[best][row] { it } else { best }) as f64,
    };
    Ok(Numbers((0..batch.num_rows()).map(index).collect()))
}

fn labels(
    config: &Config,
    batch: &RecordBatch,
    classes: &[String],
    unknown: &mut BTreeMap<String, Unknown>,
) -> Result<Numbers> {
    let Some((name, array)) = batches::columns(batch, Use::Label).next() else {
        return Ok(Numbers(vec![f64::NAN; batch.num_rows()]));
    };
    let (labels, others) = match config.task {
        Task::Regression => {
            let numbers = plain_numbers(name, array)?;
            let infinite: Vec<String> =
                numbers.0.iter().filter(|it| it.is_infinite()).map(ToString::to_string).collect();
            (numbers, infinite)
        }
        _ => class_indices(array, classes, name)?,
    };
    note(unknown, name, others, true);
    Ok(labels)
}

fn note(unknown: &mut BTreeMap<String, Unknown>, column: &str, values: Vec<String>, is_label: bool) {
    let n_rows = values.len() as u64;
    if let Some(example) = values.into_iter().next() {
        unknown.insert(column.to_owned(), Unknown { n_rows, example, is_label });
    }
}

/// Returns the index of each row's class, and those that are none.
fn class_indices(array: &ArrayRef, classes: &[String], column: &str) -> Result<(Numbers, Vec<String>)> {
    let indices: BTreeMap<&str, usize> = classes.iter().enumerate().map(|(at, it)| (it.as_str(), at)).collect();
    let find = |name: &str| {
        // Booleans are read as words; a model's classes are more often 0 and 1.
        let number = match name {
            "true" => "1",
            "false" => "0",
            other => other,
        };
        indices.get(name).or_else(|| indices.get(number)).copied()
    };
    let texts = batches::texts(array.as_ref()).map_err(|e| Error::input(format!("column `{column}`: {e}")))?;
    let mut others = Vec::new();
    let mut index = |it: &Option<Cow<'_, str>>| match it.as_deref() {
        None => f64::NAN,
        Some(name) => find(name).map_or_else(
            || {
                others.push(name.to_owned());
                f64::NAN
            },
            |it| it as f64,
        ),
    };
    let numbers = texts.iter().map(&mut index).collect();
    Ok((Numbers(numbers), others))
}

fn seconds(config: &Config, batch: &RecordBatch) -> Result<Numbers> {
    if config.period().is_none() {
        return Ok(Numbers::default());
    }
    chunks::seconds(batch).map(Numbers)
}

/// Returns the slices that rows are in, by the columns that cut them.
fn slices(config: &Config, batch: &RecordBatch) -> Result<BTreeMap<String, Names>> {
    let cuts = slices::by_columns(&config.slices, batch)?.into_iter();
    // There are as many slices as there are rows at most, and these are fewer than `NO_NAME`.
    let code = |it: Option<usize>| it.map_or(NO_NAME, |it| it as u32);
    Ok(cuts.map(|it| (it.group, Names { names: it.names, codes: it.rows.into_iter().map(code).collect() })).collect())
}

/// Returns the features that errors can be learned from, and the names of those that cannot be used.
fn features(config: &Config, batch: &RecordBatch) -> Result<(BTreeMap<String, Feature>, Vec<String>)> {
    let mut found = BTreeMap::new();
    let mut left_out = Vec::new();
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let name = field.name();
        let is_prediction = config.prediction.as_ref() == Some(name);
        if has_use(field, Use::Label) || is_prediction || !config.selection().selects(field) {
            continue;
        }
        match feature(field, array)? {
            Some(it) => drop(found.insert(name.clone(), it)),
            None => left_out.push(name.clone()),
        }
    }
    Ok((found, left_out))
}

fn feature(field: &Field, array: &ArrayRef) -> Result<Option<Feature>> {
    let is_plain = !matches!(field.data_type(), DataType::FixedSizeList(..));
    if is_plain && batches::is_numeric(field.data_type()) && !has_use(field, Use::Categorical) {
        return plain_numbers(field.name(), array).map(|it| Some(Feature::Numbers(it)));
    }
    let Ok(texts) = batches::texts(array.as_ref()) else { return Ok(None) };
    let mut names: Vec<String> = Vec::new();
    let mut known: BTreeMap<String, u32> = BTreeMap::new();
    let mut codes = Vec::with_capacity(texts.len());
    for text in &texts {
        let Some(text) = text.as_deref() else {
            codes.push(NO_NAME);
            continue;
        };
        let code = known.get(text).copied().unwrap_or_else(|| {
            names.push(text.to_owned());
            let code = names.len() as u32 - 1;
            known.insert(text.to_owned(), code);
            code
        });
        codes.push(code);
    }
    Ok(Some(Feature::Names(Names { names, codes })))
}

fn plain_numbers(name: &str, array: &ArrayRef) -> Result<Numbers> {
    let numbers = batches::numbers(array.as_ref()).map_err(|e| Error::input(format!("column `{name}`: {e}")))?;
    if numbers.width != 1 {
        return Err(Error::input(format!("column `{name}` has {} numbers a row, expected one", numbers.width)));
    }
    Ok(Numbers(numbers.values.into_owned()))
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::input(format!("the rows have no column `{name}`")))
}
