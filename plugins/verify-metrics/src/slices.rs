//! The names of slices, bounded per column.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_stats::bootstrap::row_key;
use serde::{Deserialize, Serialize};

/// The most slices of a column; of more, those whose values come first in byte order are kept.
pub(crate) const MAX_PER_COLUMN: usize = 100;

/// The slices that were seen. What is kept depends on the set of values alone, not on their order:
/// a value that was dropped has [`MAX_PER_COLUMN`] values before it and can never come back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slices {
    /// Per column, the key of each value.
    columns: BTreeMap<String, BTreeMap<String, u64>>,
    /// The columns with more values than are kept.
    crowded: BTreeSet<String>,
}

impl Slices {
    /// Takes in a value, and returns its key and the keys that were dropped for it.
    pub(crate) fn see(&mut self, column: &str, value: &str, expected: &BTreeSet<(String, String)>) -> (u64, Vec<u64>) {
        let key = row_key(format!("{column}={value}").as_bytes()).max(1);
        let values = self.columns.entry(column.to_owned()).or_default();
        values.insert(value.to_owned(), key);
        (key, self.shrink(column, expected))
    }

    /// Takes in the slices of `other`, and returns the keys that were dropped.
    pub(crate) fn merge(&mut self, other: Self, expected: &BTreeSet<(String, String)>) -> Vec<u64> {
        self.crowded.extend(other.crowded);
        let mut dropped = Vec::new();
        for (column, values) in other.columns {
            self.columns.entry(column.clone()).or_default().extend(values);
            dropped.extend(self.shrink(&column, expected));
        }
        dropped
    }

    /// Returns key, column and value of each slice, by column and value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &str, &str)> {
        self.columns
            .iter()
            .flat_map(|(column, values)| values.iter().map(|(value, &key)| (key, column.as_str(), value.as_str())))
    }

    /// Returns the columns with more values than are kept.
    pub(crate) fn crowded(&self) -> impl Iterator<Item = &str> {
        self.crowded.iter().map(String::as_str)
    }

    fn shrink(&mut self, column: &str, expected: &BTreeSet<(String, String)>) -> Vec<u64> {
        let mut dropped = Vec::new();
        let Some(values) = self.columns.get_mut(column) else { return dropped };
        let is_expected = |value: &String| expected.contains(&(column.to_owned(), value.clone()));
        let n_expected = expected.iter().filter(|it| it.0 == column && values.contains_key(&it.1)).count();
        while values.len() - n_expected > MAX_PER_COLUMN {
            let Some(last) = values.keys().rev().find(|it| !is_expected(it)).cloned() else { break };
            dropped.extend(values.remove(&last));
            self.crowded.insert(column.to_owned());
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_values_and_the_expected_ones_are_kept() {
        let expected = BTreeSet::from([("user".to_owned(), "u998".to_owned())]);
        let of = |values: &[u32]| {
            let mut res = Slices::default();
            for it in values {
                res.see("user", &format!("u{it:03}"), &expected);
            }
            res
        };
        let mut values: Vec<u32> = (0..999).collect();
        let whole = of(&values);
        values.reverse();
        assert_eq!(of(&values), whole);
        let (mut left, right) = (of(&values[..300]), of(&values[300..]));
        left.merge(right, &expected);
        assert_eq!(left, whole);
        assert_eq!(whole.iter().count(), MAX_PER_COLUMN + 1);
        assert_eq!(whole.iter().last().unwrap().2, "u998");
        assert_eq!(whole.crowded().collect::<Vec<_>>(), ["user"]);
    }
}
