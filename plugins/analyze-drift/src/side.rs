//! The columns of one role, as rows or as a stored profile of them.

use modelwatch_profile::{Group, Key, Profile, Settings, stored};
use modelwatch_sdk::{
    ModelRole, RecordBatch, Result,
    arrow::schema::Field,
    cells::Fold,
    rows::{output_name, profiled_rows},
    state::{Reader, Writer},
};

use crate::config::Config;

/// How many categories of a column are counted.
const MAX_CATEGORIES: u64 = 10_000;

impl Fold for Config {
    type State = Profile;

    fn empty(&self) -> Profile {
        Profile::default()
    }

    fn update(&self, state: &mut Profile, batch: &RecordBatch) -> Result<()> {
        update(state, self, batch)
    }

    fn merge(&self, state: &mut Profile, other: Profile) -> Result<()> {
        state.merge(other)
    }

    fn write(&self, state: &Profile, writer: &mut Writer) -> Result<()> {
        state.write(writer);
        Ok(())
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Profile> {
        Profile::read(reader)
    }

    fn rows(&self, state: &Profile) -> u64 {
        state.rows()
    }

    fn n_columns(&self, state: &Profile) -> usize {
        state.columns().len()
    }

    fn n_columns_of(&self, batch: &RecordBatch) -> Result<usize> {
        Ok(batch.schema_ref().fields().iter().filter_map(|it| key_of(self, it)).count())
    }
}

/// Takes in those columns of a batch that are to be compared.
///
/// # Errors
/// When an array is not what its type says, or no state that it should be.
pub(crate) fn update(side: &mut Profile, config: &Config, batch: &RecordBatch) -> Result<()> {
    let settings = settings(config);
    side.add_rows(profiled(batch).unwrap_or(batch.num_rows() as u64));
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let Some(key) = key_of(config, field) else { continue };
        let is_declared = key.0 == Group::Feature && config.selection().is_declared_categorical(field);
        match stored::column(key.0, field, array)? {
            Some(it) => side.merge_column(key, if is_declared { it.with_names() } else { it })?,
            None => side.update(&settings, key, is_declared, array)?,
        }
    }
    Ok(())
}

/// Returns of how many rows the batch is a stored profile; none where it has rows.
fn profiled(batch: &RecordBatch) -> Option<u64> {
    batch.schema_ref().fields().iter().find_map(|it| profiled_rows(it))
}

/// Returns what the column is compared as; none where it is not.
fn key_of(config: &Config, field: &Field) -> Option<Key> {
    if config.selection().selects(field) {
        return Some((Group::Feature, field.name().clone()));
    }
    let name = output_name(field, ModelRole::Candidate).filter(|_| config.predictions)?;
    Some((Group::Output, name.to_owned()))
}

fn settings(config: &Config) -> Settings {
    Settings {
        budget: config.budget,
        max_categories: MAX_CATEGORIES,
        max_elements: config.max_elements,
        describe: false,
        ..Settings::STORED
    }
}
