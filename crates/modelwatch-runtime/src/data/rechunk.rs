//! Cuts a stream of batches of any size into partitions and batches of fixed sizes.

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;

use super::{Batches, DataError};

/// An iterator over partitions of a fixed number of rows, each held in memory.
pub(super) struct Rechunk<I> {
    batches: I,
    rows: usize,
    batch_rows: usize,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
    done: bool,
}

impl<I: Iterator<Item = Result<RecordBatch, DataError>>> Rechunk<I> {
    pub(super) fn new(batches: I, rows: usize, batch_rows: usize) -> Self {
        Self { batches, rows, batch_rows, pending: Vec::new(), pending_rows: 0, done: false }
    }

    fn fill(&mut self) -> Result<(), DataError> {
        while !self.done && self.pending_rows < self.rows {
            match self.batches.next().transpose()? {
                Some(it) => {
                    self.pending_rows += it.num_rows();
                    self.pending.push(it);
                }
                None => self.done = true,
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Option<RecordBatch>, DataError> {
        let Some(first) = self.pending.first() else { return Ok(None) };
        let whole = concat_batches(&first.schema(), &self.pending).map_err(|e| DataError::broken("", "", e))?;
        let rows = whole.num_rows().min(self.rows);
        let rest = whole.slice(rows, whole.num_rows() - rows);
        self.pending_rows = rest.num_rows();
        self.pending = if self.pending_rows == 0 { Vec::new() } else { vec![rest] };
        Ok(Some(whole.slice(0, rows)).filter(|it| it.num_rows() > 0))
    }
}

impl<I: Iterator<Item = Result<RecordBatch, DataError>>> Iterator for Rechunk<I> {
    type Item = Result<Batches, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(e) = self.fill() {
            self.done = true;
            self.pending.clear();
            self.pending_rows = 0;
            return Some(Err(e));
        }
        let partition = match self.take() {
            Ok(it) => it?,
            Err(e) => return Some(Err(e)),
        };
        Some(Ok(Box::new(cut(partition, self.batch_rows))))
    }
}

/// Cuts a batch into batches of `rows`, the last one with the rest.
fn cut(batch: RecordBatch, rows: usize) -> impl Iterator<Item = Result<RecordBatch, DataError>> + Send {
    (0..batch.num_rows()).step_by(rows).map(move |start| Ok(batch.slice(start, rows.min(batch.num_rows() - start))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int32Array, cast::AsArray, types::Int32Type};

    use super::{super::PARTITION_ROWS, *};

    #[test]
    fn partitions_do_not_depend_on_how_rows_arrive() {
        let total = 2 * PARTITION_ROWS + 300;
        for arriving in [1_000, 65_536, 100_000, 140_000] {
            let batches = (0..total).step_by(arriving).map(|start| {
                let rows = Int32Array::from_iter_values(start as i32..(start + arriving).min(total) as i32);
                Ok(RecordBatch::try_from_iter([("x", Arc::new(rows) as ArrayRef)]).unwrap())
            });
            let mut next = 0;
            let mut sizes = Vec::new();
            for partition in Rechunk::new(batches, PARTITION_ROWS, 4096) {
                let mut rows = 0;
                for batch in partition.unwrap() {
                    let batch = batch.unwrap();
                    for &it in batch.column(0).as_primitive::<Int32Type>().values() {
                        assert_eq!(it, next);
                        next += 1;
                    }
                    rows += batch.num_rows();
                    assert!(batch.num_rows() <= 4096);
                }
                sizes.push(rows);
            }
            assert_eq!(sizes, [PARTITION_ROWS, PARTITION_ROWS, 300], "{arriving}");
        }
    }
}
