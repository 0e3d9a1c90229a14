//! The columns of one role, as rows or as a stored profile of them.

use modelwatch_profile::{Column, Group, Key, Multiples, Profile, Settings, stored};
use modelwatch_sdk::{
    Error, ModelRole, RecordBatch, Result,
    arrow::schema::Field,
    cells::Fold,
    rows::{self, Use, output_name, profiled_rows},
    state::{Reader, Writer, damaged},
};

use crate::{
    config::Config,
    weights::{self, Counted, Weights},
};

/// How many categories of a column are counted.
const MAX_CATEGORIES: u64 = 10_000;

/// What is kept of the rows of one role.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The rows, each of which counts once; those of weight 0 are none.
    pub(crate) rows: Profile,
    /// The same rows by their weights, and by the squares of these; none where they have none.
    pub(crate) weighted: Option<Box<[Profile; 2]>>,
}

impl Kept {
    /// Takes in those columns of a batch that are to be compared.
    ///
    /// # Errors
    /// When an array is not what its type says, or no state that it should be, when some rows have weights and others none, and when
    /// weights are too great to be added up.
    pub(crate) fn update(&mut self, config: &Config, batch: &RecordBatch) -> Result<()> {
        // A stored profile counts each row once, also of a column of weights.
        let weights = if config.weights && profiled(batch).is_none() { Weights::of(batch)? } else { None };
        self.check_weights(weights.is_some(), batch.num_rows() as u64)?;
        let present = weights.as_ref().and_then(|it| it.present.as_deref());
        update(&mut self.rows, config, batch, present.map_or(Multiples::One, Multiples::Each))?;
        if let Some(Weights { masses, squares, .. }) = weights {
            let [by_mass, by_square] = self.weighted.get_or_insert_default().as_mut();
            update(by_mass, config, batch, Multiples::Each(&masses))?;
            update(by_square, config, batch, Multiples::Each(&squares))?;
        }
        self.check_sums()
    }

    /// Adds what `other` has seen.
    ///
    /// # Errors
    /// When the two are of different options, the rows of one have weights and those of the other none, or their weights are too great
    /// to be added up.
    pub(crate) fn merge(&mut self, other: Self) -> Result<()> {
        self.check_weights(other.weighted.is_some(), other.rows.rows())?;
        self.rows.merge(other.rows)?;
        let Some(theirs) = other.weighted else { return Ok(()) };
        let [by_mass, by_square] = self.weighted.get_or_insert_default().as_mut();
        let [mass, square] = *theirs;
        by_mass.merge(mass)?;
        by_square.merge(square)?;
        self.check_sums()
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        self.rows.write(writer);
        writer.u8(u8::from(self.weighted.is_some()));
        self.weighted.iter().flat_map(|it| it.iter()).for_each(|it| it.write(writer));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let rows = Profile::read(reader)?;
        let weighted = if reader.flag()? {
            let both = [Profile::read(reader)?, Profile::read(reader)?];
            if both.iter().any(|it| !it.columns().keys().eq(rows.columns().keys())) {
                return Err(damaged("its rows and their weights have other columns"));
            }
            Some(Box::new(both))
        } else {
            None
        };
        Ok(Self { rows, weighted })
    }

    /// Returns a column by rows and by their weights.
    pub(crate) fn column(&self, key: &Key) -> Option<Counted<'_, Column>> {
        let whole = Counted { rows: &self.rows, weighted: self.weighted.as_ref().map(|it| it.each_ref()) };
        whole.part(|it| it.columns().get(key))
    }

    /// Returns how many rows that count alike all of them are worth, by Kish; none where they have no weights.
    pub(crate) fn effective_rows(&self) -> Option<f64> {
        self.weighted.as_ref().map(|it| weights::size(it[0].rows(), it[1].rows()))
    }

    /// Returns how many units of weight the rows have, and how many rows that are; none where they have no weights.
    pub(crate) fn units(&self) -> Option<(u64, u64)> {
        self.weighted.as_ref().map(|it| (it[0].rows(), self.rows.rows()))
    }

    fn check_weights(&self, is_weighted: bool, n_rows: u64) -> Result<()> {
        if is_weighted == self.weighted.is_some() || n_rows == 0 || self.rows.rows() == 0 {
            return Ok(());
        }
        Err(Error::input("some rows have weights, and others that are put together with them have none")
            .with_help("give all data the weight column, or count each row once with `weights = false`"))
    }

    /// Checks that no sum of weights is at the end of its range, where it would be less than it is.
    fn check_sums(&self) -> Result<()> {
        if self.weighted.iter().flat_map(|it| it.iter()).all(|it| it.rows() < u64::MAX) {
            return Ok(());
        }
        Err(Error::input("the weights of the rows are too great to be added up")
            .with_help("divide all weights by their mean"))
    }
}

impl Fold for Config {
    type State = Kept;

    fn empty(&self) -> Kept {
        Kept::default()
    }

    fn update(&self, state: &mut Kept, batch: &RecordBatch) -> Result<()> {
        state.update(self, batch)
    }

    fn merge(&self, state: &mut Kept, other: Kept) -> Result<()> {
        state.merge(other)
    }

    fn write(&self, state: &Kept, writer: &mut Writer) -> Result<()> {
        state.write(writer);
        Ok(())
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Kept> {
        Kept::read(reader)
    }

    fn rows(&self, state: &Kept) -> u64 {
        state.rows.rows()
    }

    fn n_columns(&self, state: &Kept) -> usize {
        let times = if state.weighted.is_some() { 3 } else { 1 };
        times * state.rows.columns().len()
    }

    fn n_columns_of(&self, batch: &RecordBatch) -> Result<usize> {
        let has_weights = profiled(batch).is_none() && rows::columns(batch, Use::Weight).next().is_some();
        let is_weighted = self.weights && has_weights;
        let times = if is_weighted { 3 } else { 1 };
        Ok(times * batch.schema_ref().fields().iter().filter_map(|it| key_of(self, it)).count())
    }
}

fn update(side: &mut Profile, config: &Config, batch: &RecordBatch, multiples: Multiples<'_>) -> Result<()> {
    let settings = settings(config);
    side.add_rows(profiled(batch).unwrap_or(multiples.total(batch.num_rows())));
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let Some(key) = key_of(config, field) else { continue };
        let is_declared = key.0 == Group::Feature && config.selection().is_declared_categorical(field);
        match stored::column(key.0, field, array)? {
            Some(it) => side.merge_column(key, if is_declared { it.with_names() } else { it })?,
            None => side.update_multiples(&settings, key, is_declared, (array, multiples))?,
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
