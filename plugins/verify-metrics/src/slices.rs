//! The names of slices, bounded per column and cross.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_stats::bootstrap::row_key;
use serde::{Deserialize, Serialize};

/// The most slices of a column or cross; of more, those whose names come first in byte order are kept.
pub(crate) const MAX_PER_GROUP: usize = 100;
/// What stands for the values that are not kept.
pub(crate) const OTHERS: &str = "(others)";

/// The value of a slice of rows without one.
pub(crate) const MISSING: &str = "(missing)";

/// Returns the name of the slice of rows without a value.
pub(crate) fn name_of_missing(column: &str) -> String {
    format!("{column}={MISSING}")
}

/// Returns the key of the slice of all rows whose value of the `nth` column or cross is not among those that are kept.
pub(crate) fn rest(nth: usize) -> u64 {
    nth as u64 + 1
}

/// Returns the name of that slice.
pub(crate) fn name_of_rest(column: &str) -> String {
    format!("{column}={OTHERS}")
}

/// Returns whether a row with these keys, one of each column or cross and 0 where it is in none, is in a slice; `is_kept` says which keys
/// have a slice of their own.
pub(crate) fn has(slice: u64, keys: &[u64], is_kept: impl Fn(u64) -> bool) -> bool {
    keys.contains(&slice) || (0..keys.len()).any(|nth| slice == rest(nth) && keys[nth] != 0 && !is_kept(keys[nth]))
}

/// The slices that were seen. What is kept depends on the set of names alone, not on their order:
/// a name that was dropped has [`MAX_PER_GROUP`] names before it and can never come back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slices {
    /// Per column or cross, the key of each name.
    groups: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Slices {
    /// Takes in a name, and returns its key and the keys that were dropped for it.
    pub(crate) fn see(&mut self, group: &str, name: &str, expected: &BTreeSet<String>) -> (u64, Vec<u64>) {
        // The least numbers stand for no slice and for the rests.
        let key = row_key(name.as_bytes()).max(1 << 32);
        self.groups.entry(group.to_owned()).or_default().insert(name.to_owned(), key);
        (key, self.shrink(group, expected))
    }

    /// Takes in the slices of `other`, and returns the keys that were dropped, per column or cross.
    pub(crate) fn merge(&mut self, other: Self, expected: &BTreeSet<String>) -> Vec<(String, Vec<u64>)> {
        let mut dropped = Vec::new();
        for (group, names) in other.groups {
            self.groups.entry(group.clone()).or_default().extend(names);
            let keys = self.shrink(&group, expected);
            dropped.push((group, keys));
        }
        dropped
    }

    /// Returns key and name of each slice, by group and name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &str)> {
        self.groups.values().flat_map(|names| names.iter().map(|(name, &key)| (key, name.as_str())))
    }

    /// Returns the keys of slices of rows without a value, in columns in which no row has one, with the columns.
    pub(crate) fn without_values(&self) -> BTreeMap<u64, &str> {
        let alone = self.groups.iter().filter(|it| it.1.len() == 1);
        alone.filter_map(|(group, names)| Some((*names.get(&name_of_missing(group))?, group.as_str()))).collect()
    }

    fn shrink(&mut self, group: &str, expected: &BTreeSet<String>) -> Vec<u64> {
        let mut dropped = Vec::new();
        let Some(names) = self.groups.get_mut(group) else { return dropped };
        let n_expected = expected.iter().filter(|it| names.contains_key(*it)).count();
        while names.len() - n_expected > MAX_PER_GROUP {
            let Some(last) = names.keys().rev().find(|it| !expected.contains(*it)).cloned() else { break };
            dropped.extend(names.remove(&last));
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_values_and_the_expected_ones_are_kept() {
        let expected = BTreeSet::from(["user=u998".to_owned()]);
        let of = |values: &[u32]| {
            let mut res = Slices::default();
            for it in values {
                res.see("user", &format!("user=u{it:03}"), &expected);
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
        assert_eq!(whole.iter().count(), MAX_PER_GROUP + 1);
        assert_eq!(whole.iter().last().unwrap().1, "user=u998");
    }
}
