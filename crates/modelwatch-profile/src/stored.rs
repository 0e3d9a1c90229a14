//! A profile in place of rows: how it reaches a probe.
//!
//! It is a batch of one row like those of rows, but that a cell has the state of its whole column, as its field's metadata says
//! ([`modelwatch_sdk::rows::profiled_rows`]). So it crosses to a plugin as rows do, every probe sees the columns that it asked
//! for with their uses, and the interface stays as it is.

use std::sync::Arc;

use modelwatch_sdk::{
    Error, RecordBatch, Result,
    arrow::{
        array::{Array, ArrayRef, BinaryArray, RecordBatchOptions, cast::AsArray},
        schema::{DataType, Field, Schema},
    },
    rows::{profiled_rows, with_profile},
    state::{Reader, Writer, damaged},
};

use crate::{
    column::Column,
    profile::{Group, Profile},
};

/// Returns the columns of the data as one row of states.
///
/// # Errors
/// When the profile contradicts itself.
pub fn batch(profile: &Profile) -> Result<RecordBatch> {
    states(profile, Group::Feature)
}

/// Returns the outputs as one row of states.
///
/// # Errors
/// When the profile contradicts itself.
pub fn outputs(profile: &Profile) -> Result<RecordBatch> {
    states(profile, Group::Output)
}

fn states(profile: &Profile, group: Group) -> Result<RecordBatch> {
    let columns = profile.columns().iter().filter(|it| it.0.0 == group);
    let (fields, cells): (Vec<Field>, Vec<ArrayRef>) = columns
        .map(|((_, name), column)| {
            let mut writer = Writer::default();
            column.write(&mut writer);
            let cell: ArrayRef = Arc::new(BinaryArray::from(vec![writer.0.as_slice()]));
            (with_profile(Field::new(name, DataType::Binary, false), profile.rows()), cell)
        })
        .unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), cells, &options).map_err(Error::input)
}

/// Returns the state of a column of that group, without what describes it, where its only cell is a state and no value.
///
/// # Errors
/// When the state cannot be read.
pub fn column(group: Group, field: &Field, array: &dyn Array) -> Result<Option<Column>> {
    read(field, array, |reader| Ok(Column::read_plain(group, reader)?.0))
}

/// Returns the same with what describes the column.
///
/// # Errors
/// When the state cannot be read.
pub fn described(group: Group, field: &Field, array: &dyn Array) -> Result<Option<Column>> {
    read(field, array, |reader| Column::read(group, reader))
}

fn read(
    field: &Field,
    array: &dyn Array,
    column: impl FnOnce(&mut Reader<'_>) -> Result<Column>,
) -> Result<Option<Column>> {
    if profiled_rows(field).is_none() {
        return Ok(None);
    }
    let cell = array.as_binary_opt::<i32>().filter(|it| it.len() == 1);
    let cell = cell.ok_or_else(|| damaged("its cell is no state"))?;
    let mut reader = Reader(cell.value(0));
    let res = column(&mut reader)?;
    reader.finish()?;
    Ok(Some(res))
}
