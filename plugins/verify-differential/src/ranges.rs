//! What numbers the data has for each input.

use std::{cmp::Ordering, collections::BTreeMap};

use modelwatch_sdk::{Error, ModelRole, RecordBatch, Result, rows, state};
use serde::{Deserialize, Serialize};

/// The least and the greatest finite number of each input of the candidate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ranges(BTreeMap<String, [f64; 2]>);

impl Ranges {
    /// Takes in rows.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let inputs = rows::inputs_of(field, ModelRole::Candidate);
            if inputs.is_empty() || !rows::is_numeric(field.data_type()) {
                continue;
            }
            let numbers = rows::numbers(array.as_ref())?;
            let finite = || numbers.values.iter().copied().filter(|it| it.is_finite());
            let [least, greatest] =
                [finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max)];
            // Not where there is no finite number. Adding 0 turns -0 into 0, so that no order shows.
            for input in inputs.into_iter().filter(|_| least <= greatest) {
                self.include(input, [least + 0.0, greatest + 0.0]);
            }
        }
        Ok(())
    }

    /// Returns the range of an input.
    ///
    /// # Errors
    /// When the data has no finite number for it.
    pub(crate) fn of(&self, input: &str) -> Result<[f64; 2]> {
        self.0.get(input).copied().ok_or_else(|| {
            Error::input(format!("the data has no finite number for input `{input}`"))
                .with_help("use `inputs = \"random\"` with a `range`, or `inputs = \"data\"`")
        })
    }

    /// Returns whether it has seen nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn to_state(&self, version: u8) -> Result<Vec<u8>> {
        state::encode(version, self)
    }

    pub(crate) fn merge_state(&mut self, version: u8, bytes: &[u8]) -> Result<()> {
        let other: Self = state::decode(version, bytes)?;
        if other.0.values().any(|[least, greatest]| least.partial_cmp(greatest).is_none_or(Ordering::is_gt)) {
            return Err(Error::input("cannot read the state: a range ends before it begins"));
        }
        other.0.into_iter().for_each(|(input, it)| self.include(input, it));
        Ok(())
    }

    fn include(&mut self, input: String, [least, greatest]: [f64; 2]) {
        let it = self.0.entry(input).or_insert([least, greatest]);
        *it = [it[0].min(least), it[1].max(greatest)];
    }
}
