//! What is kept of one role.

use std::collections::BTreeSet;

use modelwatch_sdk::{
    RecordBatch, Result,
    arrow::schema::{DataType, Field},
    cells::Fold,
    rows::{Use, has_use},
    sample::{RowSample, SampleLimits},
    state::{Reader, Writer},
};

use crate::{
    config::Config,
    table::{prepared, rounded_lists},
};

/// So many times as many different rows are kept as are compared, so that tables with few of them are kept whole.
const KEPT: usize = 8;

/// The most bytes of the rows that are kept of a role.
const SAMPLE_BYTES: usize = 64 << 20;

/// The most bytes of the rows that are kept of all chunks and slices of a role, of which each has as much as there may be cells.
const CUT_BYTES: u64 = 1 << 30;

/// A sample of the rows of one role, and how many there were.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    limits: SampleLimits,
    sample: RowSample,
    rows: u64,
    /// Columns of lists whose whole numbers were rounded.
    rounded_lists: BTreeSet<String>,
}

/// Of the rows of a chunk or slice a sample is kept.
pub(crate) struct Sampling<'a>(pub(crate) &'a Config);

impl Fold for Sampling<'_> {
    type State = Side;

    fn empty(&self) -> Side {
        Side::new(self.0)
    }

    fn update(&self, state: &mut Side, batch: &RecordBatch) -> Result<()> {
        state.update(self.0, batch)
    }

    fn merge(&self, state: &mut Side, other: Side) -> Result<()> {
        state.merge(other)
    }

    fn write(&self, state: &Side, writer: &mut Writer) -> Result<()> {
        state.write(writer)
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Side> {
        Side::read(self.0, reader)
    }

    fn rows(&self, state: &Side) -> u64 {
        state.rows
    }

    fn n_columns(&self, state: &Side) -> usize {
        state.sample.schema().map_or(0, |it| it.fields().iter().map(|it| width(it)).sum())
    }

    fn n_columns_of(&self, batch: &RecordBatch) -> Result<usize> {
        // Which columns are kept follows from the schema alone.
        let kept = prepared(self.0, &batch.slice(0, 0))?;
        Ok(kept.schema_ref().fields().iter().map(|it| width(it)).sum())
    }
}

/// Returns how many numbers a row has in a column.
fn width(field: &Field) -> usize {
    match field.data_type() {
        DataType::FixedSizeList(_, width) => usize::try_from(*width).unwrap_or_default(),
        _ => 1,
    }
}

impl Side {
    /// Returns the side of no rows.
    pub(crate) fn new(config: &Config) -> Self {
        let is_cut = config.chunk.is_some() || !config.slices.is_empty();
        // It depends on the options alone, so that samples of any parts of the rows can be merged.
        let share = usize::try_from(CUT_BYTES / config.max_cells.max(1)).unwrap_or(SAMPLE_BYTES);
        let bytes = if is_cut { share.min(SAMPLE_BYTES) } else { SAMPLE_BYTES };
        let limits = SampleLimits { rows: config.rows * KEPT, bytes, seed: config.seed };
        Self { limits, sample: RowSample::new(limits), rows: 0, rounded_lists: BTreeSet::new() }
    }

    /// Takes in a batch.
    ///
    /// # Errors
    /// When an array is not what its type says, or the columns are not those of the batches before.
    fn update(&mut self, config: &Config, batch: &RecordBatch) -> Result<()> {
        self.sample.add(&prepared(config, batch)?)?;
        self.rounded_lists.extend(rounded_lists(config, batch)?);
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        Ok(())
    }

    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns whether the rows have weights.
    pub(crate) fn is_weighted(&self) -> bool {
        self.sample.schema().is_some_and(|it| it.fields().iter().any(|it| has_use(it, Use::Weight)))
    }

    /// Returns the columns of lists whose whole numbers were rounded.
    pub(crate) fn rounded_lists(&self) -> &BTreeSet<String> {
        &self.rounded_lists
    }

    /// Returns the sample.
    pub(crate) fn sample(&self) -> &RowSample {
        &self.sample
    }

    /// Appends the state: a count, a length and the sample, and the names of columns behind their number.
    ///
    /// # Errors
    /// When the columns cannot be written.
    fn write(&self, writer: &mut Writer) -> Result<()> {
        writer.u64(self.rows);
        writer.bytes(&self.sample.to_bytes()?);
        writer.u64(self.rounded_lists.len() as u64);
        self.rounded_lists.iter().for_each(|it| writer.bytes(it.as_bytes()));
        Ok(())
    }

    /// Returns what [`Side::write`] wrote.
    ///
    /// # Errors
    /// When the bytes are damaged.
    fn read(config: &Config, reader: &mut Reader<'_>) -> Result<Self> {
        let limits = Self::new(config).limits;
        let rows = reader.u64()?;
        let sample = RowSample::from_bytes(limits, reader.bytes()?)?;
        let rounded_lists = (0..reader.u64()?).map(|_| reader.text().map(str::to_owned)).collect::<Result<_>>()?;
        Ok(Self { limits, sample, rows, rounded_lists })
    }

    /// Adds what `other` has seen.
    ///
    /// # Errors
    /// When the columns are others.
    fn merge(&mut self, other: Self) -> Result<()> {
        self.sample.merge(other.sample)?;
        self.rounded_lists.extend(other.rounded_lists);
        self.rows = self.rows.saturating_add(other.rows);
        Ok(())
    }
}
