//! What is kept of one role.

use modelwatch_sdk::{
    Error, RecordBatch, Result,
    sample::{RowSample, SampleLimits},
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
    pub(crate) fn write(&self, to: &mut Vec<u8>) -> Result<()> {
        let sample = self.sample.to_bytes()?;
        to.extend(self.rows.to_le_bytes());
        to.extend((sample.len() as u64).to_le_bytes());
        to.extend(sample);
        Ok(())
    }

    /// Takes in what [`Side::write`] wrote, and moves `bytes` behind it.
    ///
    /// # Errors
    /// When the bytes are damaged, or the columns are others.
    pub(crate) fn merge(&mut self, bytes: &mut &[u8]) -> Result<()> {
        let rows = number(bytes)?;
        let len = usize::try_from(number(bytes)?).map_err(|_| damaged())?;
        let (sample, rest) = bytes.split_at_checked(len).ok_or_else(damaged)?;
        *bytes = rest;
        self.sample.merge(RowSample::from_bytes(self.limits, sample)?)?;
        self.rows = self.rows.saturating_add(rows);
        Ok(())
    }
}

fn number(bytes: &mut &[u8]) -> Result<u64> {
    let (head, tail) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
    *bytes = tail;
    Ok(u64::from_le_bytes(*head))
}

/// Returns the error for bytes that are no state.
pub(crate) fn damaged() -> Error {
    Error::input("cannot read the state of the multivariate analyzer: it is damaged")
        .with_help("compute it again from the rows")
}
