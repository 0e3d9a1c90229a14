//! Turns a batch into rows.

use std::{borrow::Cow, sync::Arc};

use modelwatch_sdk::{
    Error, ModelRole, RecordBatch, Result,
    arrow::{
        array::{Array, ArrayRef},
        schema::DataType,
    },
    rows::{self as batches, NumberLists, Use, are_number_lists},
    slices::by_columns,
};

use crate::{
    called::{Column, errors, losses},
    config::{Config, Order, Watch},
    ids::Ids,
    names::Names,
    rows::{Key, Rows, Subject},
    select::{Choice, MAX_ELEMENTS, choose},
    times::Times,
    values::Values,
};

/// Returns the rows of a batch, the first of which is that row of the data.
///
/// # Errors
/// When a column that is needed is not there, or not what it should be.
pub(crate) fn read(config: &Config, batch: &RecordBatch, first_row: u64) -> Result<Rows> {
    let mut res = Rows { numbers: (first_row..).take(batch.num_rows()).collect(), ..Rows::default() };
    if config.order != Order::Rows {
        res.times = first_of(batch, Use::Timestamp).map(|it| about(it, Times::read_array(it.array))).transpose()?;
    }
    if config.ids {
        let ids = first_of(batch, Use::Id).map(|it| about(it, Ids::read_array(it.array))).transpose();
        res.ids = ids.map_err(|e| e.with_help("set `ids = false`"))?;
    }
    for cut in by_columns(&config.slices, batch)? {
        let mut names = Names::default();
        cut.rows.iter().for_each(|it| names.push(it.map(|it| cut.names[it].as_str())));
        res.slices.insert(cut.group, names);
    }
    if config.watches(Watch::Columns) {
        columns(config, batch, &mut res)?;
    }
    if config.watches(Watch::Predictions) {
        for (name, array) in outputs(config, batch)? {
            let column = Column { name, array };
            if let Err(why) = add(&mut res, Subject::Output, column) {
                res.left_out.insert(format!("output `{name}`"), why);
            }
        }
    }
    if config.needs_labels() {
        let label = first_of(batch, Use::Label).ok_or_else(|| Error::input("the rows have no label"))?;
        let prediction = prediction(config, batch)?;
        let floats = [prediction, label].map(|it| floats(it.array));
        let (prediction, label) = (prediction.or(floats[0].as_ref()), label.or(floats[1].as_ref()));
        let name = prediction.name.to_owned();
        if config.watches(Watch::Errors) {
            let found = errors(config, prediction, label)?;
            note(&mut res, label, found.unknown);
            let key = Key::new(Subject::Errors, name.as_str());
            res.streams.insert(key, Values::narrow(found.values.into_iter()));
        }
        if config.watches(Watch::Loss) {
            let found = losses(config, prediction, label)?;
            note(&mut res, label, found.unknown);
            res.streams.insert(Key::new(Subject::Loss, name), Values::Wide(found.values));
        }
    }
    Ok(res)
}

fn columns(config: &Config, batch: &RecordBatch, res: &mut Rows) -> Result<()> {
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let name = field.name();
        let why = match choose(config, field) {
            Choice::Other => continue,
            Choice::Unusable(why) => Err(why),
            Choice::Watched if are_number_lists(field.data_type()) => {
                check_lengths(name, array)?;
                add(res, Subject::Column, Column { name, array })
            }
            Choice::Watched => add(res, Subject::Column, Column { name, array }),
        };
        if let Err(why) = why {
            res.left_out.insert(format!("column `{name}`"), why);
        }
    }
    Ok(())
}

/// Checks that all lists have one length, which their type does not say.
///
/// # Errors
/// When they have not, and when none is there, so that it is not known.
fn check_lengths(name: &str, array: &ArrayRef) -> Result<()> {
    let lengths = match batches::number_lists(array.as_ref())? {
        Some(NumberLists::Alike(it)) if it.width > 0 => return Ok(()),
        Some(NumberLists::Ragged(it)) => {
            format!(
                "lists of {} lengths, as {}",
                it.len(),
                it.iter().take(5).map(usize::to_string).collect::<Vec<_>>().join(", ")
            )
        }
        _ => "no list of numbers in rows that come together".to_owned(),
    };
    let message = format!("column `{name}` has {lengths}, and lists are watched that have one length");
    Err(Error::input(message).with_help("give all rows lists of one length, or leave the column out of `columns`"))
}

/// Adds the streams of a column: one, or one for each element.
///
/// # Errors
/// When it is no stream of numbers; the reason.
fn add(res: &mut Rows, subject: Subject, column: Column<'_>) -> std::result::Result<(), String> {
    let Column { name, array } = column;
    if let Some((floats, _)) = batches::decimals(array.as_ref()) {
        let values = floats.iter().map(|it| it.unwrap_or(f64::NAN)).collect();
        res.streams.insert(Key::new(subject, name), Values::Wide(values));
        return Ok(());
    }
    let numbers = batches::numbers(array.as_ref()).map_err(|e| e.message)?;
    if numbers.width > MAX_ELEMENTS {
        return Err(format!("a row has {} numbers, more than {MAX_ELEMENTS}", numbers.width));
    }
    if batches::are_rounded(array.as_ref()).map_err(|e| e.message)? {
        let place = Key::new(subject, name).place();
        let why = "whole numbers from 2^53 on are rounded, so that small changes of them do not show; subtract a constant before";
        res.left_out.insert(format!("{place}, in part"), why.to_owned());
    }
    let is_list = matches!(array.data_type(), DataType::FixedSizeList(..)) || are_number_lists(array.data_type());
    for element in 0..numbers.width {
        let name = if is_list { Cow::Owned(format!("{name}[{element}]")) } else { Cow::Borrowed(name) };
        let values = (0..array.len()).map(|row| numbers.row(row)[element]);
        let key = Key::new(subject, name);
        res.streams.insert(key, Values::of(array.data_type(), values));
    }
    Ok(())
}

/// Returns decimals as floats; none for other types.
fn floats(array: &ArrayRef) -> Option<ArrayRef> {
    batches::decimals(array.as_ref()).map(|it| Arc::new(it.0) as ArrayRef)
}

/// Notes why some labels count as missing.
fn note(res: &mut Rows, label: Column<'_>, why: Option<String>) {
    res.left_out.extend(why.map(|it| (format!("labels of column `{}`, in part", label.name), it)));
}

/// Returns what is held against the label.
fn prediction<'a>(config: &Config, batch: &'a RecordBatch) -> Result<Column<'a>> {
    if let Some(name) = &config.prediction {
        let schema = batch.schema_ref();
        let found = schema.fields().iter().zip(batch.columns()).find(|it| it.0.name() == name);
        let column = found.map(|(field, array)| Column { name: field.name(), array });
        return column.ok_or_else(|| Error::input(format!("the rows have no column `{name}`")));
    }
    match outputs(config, batch)?[..] {
        [(name, array)] => Ok(Column { name, array }),
        [] => Err(Error::input("the rows have no outputs of the candidate model")),
        ref all => {
            let names: Vec<_> = all.iter().map(|it| format!("`{}`", it.0)).collect();
            let message = format!("the candidate model has several outputs: {}", names.join(", "));
            Err(Error::config("/output", message).with_help("name one of them in `output`"))
        }
    }
}

/// Returns the outputs of the candidate that are looked at.
fn outputs<'a>(config: &Config, batch: &'a RecordBatch) -> Result<Vec<(&'a str, &'a ArrayRef)>> {
    let mut all: Vec<_> = batches::outputs(batch, ModelRole::Candidate).collect();
    if let Some(wanted) = &config.output {
        let names: Vec<_> = all.iter().map(|it| format!("`{}`", it.0)).collect();
        all.retain(|it| it.0 == wanted);
        if all.is_empty() {
            return Err(Error::config("/output", format!("the candidate model has no output `{wanted}`"))
                .with_help(format!("its outputs are {}", names.join(", "))));
        }
    }
    Ok(all)
}

fn first_of(batch: &RecordBatch, wanted: Use) -> Option<Column<'_>> {
    batches::columns(batch, wanted).next().map(|(name, array)| Column { name, array })
}

/// Says of an error which column it is about.
fn about<T>(column: Column<'_>, res: Result<T>) -> Result<T> {
    res.map_err(|e| Error::input(format!("column `{}`: {e}", column.name)))
}
