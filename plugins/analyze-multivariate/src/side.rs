//! What is kept of one role.

use modelwatch_sdk::{
    RecordBatch, Result,
    sample::{RowSample, SampleLimits},
    state::{Reader, Writer},
};

use crate::{config::Config, table::prepared};

/// So many times as many different rows are kept as are compared, so that tables with few of them are kept whole.
const KEPT: usize = 8;

/// The most bytes of the rows that are kept.
const SAMPLE_BYTES: usize = 64 << 20;

/// A sample of the rows of one role, and how many there were.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    limits: SampleLimits,
    sample: RowSample,
    rows: u64,
}

impl Side {
    /// Returns the side of no rows.
    pub(crate) fn new(config: &Config) -> Self {
        let limits = SampleLimits { rows: config.rows * KEPT, bytes: SAMPLE_BYTES, seed: config.seed };
        Self { limits, sample: RowSample::new(limits), rows: 0 }
    }

    /// Takes in a batch.
    ///
    /// # Errors
    /// When an array is not what its type says, or the columns are not those of the batches before.
    pub(crate) fn update(&mut self, config: &Config, batch: &RecordBatch) -> Result<()> {
        self.sample.add(&prepared(config, batch)?)?;
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        Ok(())
    }

    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the sample.
    pub(crate) fn sample(&self) -> &RowSample {
        &self.sample
    }

    /// Appends the state: a count, a length and the sample.
    ///
    /// # Errors
    /// When the columns cannot be written.
    pub(crate) fn write(&self, writer: &mut Writer) -> Result<()> {
        writer.u64(self.rows);
        writer.bytes(&self.sample.to_bytes()?);
        Ok(())
    }

    /// Takes in what [`Side::write`] wrote.
    ///
    /// # Errors
    /// When the bytes are damaged, or the columns are others.
    pub(crate) fn merge(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let rows = reader.u64()?;
        self.sample.merge(RowSample::from_bytes(self.limits, reader.bytes()?)?)?;
        self.rows = self.rows.saturating_add(rows);
        Ok(())
    }
}
