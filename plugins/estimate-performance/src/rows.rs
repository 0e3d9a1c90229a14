//! What is kept of the rows of one role, in the order in which they came.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use modelwatch_sdk::{Error, Result, report::float, rows::WEIGHT_RANGE};
use serde::{Deserialize, Serialize};

use crate::config::{Config, Task};

/// The most slices of the rows of a role.
const MAX_SLICES: usize = 1000;

/// The code of a missing name.
pub(crate) const NO_NAME: u32 = u32::MAX;

/// Numbers, NaN where one is missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Numbers(#[serde(with = "float::list")] pub(crate) Vec<f64>);

/// A feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Feature {
    Numbers(Numbers),
    Names(Names),
}

/// Names, of which rows have the same ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Names {
    /// The names in the order in which they came.
    pub(crate) names: Vec<String>,
    /// The index of each row's name; [`NO_NAME`] where one is missing.
    pub(crate) codes: Vec<u32>,
}

/// Rows, column by column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rows {
    /// The scores of each class, of the positive class alone where there are two; the predicted number of a regression.
    pub(crate) scores: Vec<Numbers>,
    /// The index of the class that was called; nothing for a regression.
    pub(crate) called: Numbers,
    /// The index of the right class, or the right number; all missing where the data has no labels.
    pub(crate) labels: Numbers,
    /// How much each row counts; nothing where all count alike.
    pub(crate) weights: Numbers,
    /// Seconds since 1970; nothing where chunks are not by time.
    pub(crate) seconds: Numbers,
    /// The slices that rows are in, by the columns that cut them.
    pub(crate) slices: BTreeMap<String, Names>,
    /// What the errors of a regression are learned from.
    pub(crate) features: BTreeMap<String, Feature>,
    /// Features that nothing can be learned from here.
    pub(crate) left_out: BTreeSet<String>,
    /// Columns whose decimals have more digits than floats keep.
    pub(crate) rounded: BTreeSet<String>,
    /// Labels, and predictions, that are nothing that there is, by their columns.
    pub(crate) unknown: BTreeMap<String, Unknown>,
    /// How many rows are not there, as their weight is 0.
    pub(crate) n_weightless: u64,
}

/// Values of a column that are no class, or no number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unknown {
    pub(crate) n_rows: u64,
    /// The first of them.
    pub(crate) example: String,
    /// Whether it is the column of the labels.
    pub(crate) is_label: bool,
}

impl Rows {
    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.labels.0.len()
    }

    /// Returns how many labels are nothing that there is.
    pub(crate) fn n_unknown_labels(&self) -> u64 {
        self.unknown.values().filter(|it| it.is_label).map(|it| it.n_rows).sum()
    }

    /// Returns how many rows have a label.
    pub(crate) fn n_labeled(&self) -> u64 {
        self.labels.0.iter().filter(|it| it.is_finite()).count() as u64
    }

    /// Returns whether they count by weights.
    pub(crate) fn is_weighted(&self) -> bool {
        !self.weights.0.is_empty()
    }

    /// Returns how much each row counts.
    pub(crate) fn weights(&self) -> Vec<f64> {
        if self.is_weighted() { self.weights.0.clone() } else { vec![1.0; self.len()] }
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When they have other columns, or are too many.
    pub(crate) fn append(&mut self, other: Self, max_rows: u64) -> Result<()> {
        self.n_weightless = self.n_weightless.saturating_add(other.n_weightless);
        if other.len() == 0 {
            return Ok(());
        }
        if (self.len() + other.len()) as u64 > max_rows {
            return Err(Error::input(format!(
                "there are more than {max_rows} rows of one role, all of which are kept"
            ))
            .with_help("give fewer rows at once, or raise `max_rows`"));
        }
        if self.len() == 0 {
            *self = Self { n_weightless: self.n_weightless, ..other };
            return self.check_slices();
        }
        let has_same_features = self.features.keys().eq(other.features.keys());
        let has_same_slices = self.slices.keys().eq(other.slices.keys());
        let is_alike = self.scores.len() == other.scores.len()
            && self.called.0.is_empty() == other.called.0.is_empty()
            && self.seconds.0.is_empty() == other.seconds.0.is_empty();
        if self.is_weighted() != other.is_weighted() {
            return Err(Error::input("some rows have weights, and others that are put together with them have none")
                .with_help("give all data the weight column, or count each row once with `weights = false`"));
        }
        if !has_same_features || !has_same_slices || !is_alike {
            return Err(Error::input("the rows of one role do not all have the same columns"));
        }
        for (ours, theirs) in self.scores.iter_mut().zip(other.scores) {
            ours.0.extend(theirs.0);
        }
        self.called.0.extend(other.called.0);
        self.labels.0.extend(other.labels.0);
        self.weights.0.extend(other.weights.0);
        self.seconds.0.extend(other.seconds.0);
        self.left_out.extend(other.left_out);
        self.rounded.extend(other.rounded);
        for (column, theirs) in other.unknown {
            match self.unknown.entry(column) {
                Entry::Occupied(ours) => ours.into_mut().n_rows += theirs.n_rows,
                Entry::Vacant(it) => drop(it.insert(theirs)),
            }
        }
        for (ours, theirs) in self.slices.values_mut().zip(other.slices.into_values()) {
            ours.append(theirs);
        }
        for ((name, ours), theirs) in self.features.iter_mut().zip(other.features.into_values()) {
            ours.append(name, theirs)?;
        }
        self.check_slices()
    }

    fn check_slices(&self) -> Result<()> {
        if self.slices.values().map(|it| it.names.len()).sum::<usize>() <= MAX_SLICES {
            return Ok(());
        }
        let message = format!("the rows of one role have more than {MAX_SLICES} slices");
        Err(Error::config("/slices", message).with_help("name slice columns with fewer values"))
    }

    /// Returns whether the columns fit each other and the options, for rows that come from stored bytes.
    pub(crate) fn is_valid(&self, config: &Config) -> bool {
        let n_rows = self.len();
        let is_full = |it: &Numbers| it.0.len() == n_rows;
        let n_scores = self.scores.len();
        let has_scores = match (config.task, config.class_names()) {
            (Task::Binary | Task::Regression, _) => n_scores == 1,
            (Task::Multiclass, Some(names)) => n_scores == names.len(),
            (Task::Multiclass, None) => n_scores > 2,
        };
        (n_rows == 0 || has_scores)
            && self.scores.iter().all(is_full)
            && (is_full(&self.called) || config.task == Task::Regression && self.called.0.is_empty())
            && (is_full(&self.seconds) || self.seconds.0.is_empty())
            && (is_full(&self.weights) || !self.is_weighted())
            && self.weights.0.iter().all(|it| WEIGHT_RANGE.contains(it))
            && self.slices.values().all(|it| it.is_valid(n_rows))
            && self.features.values().all(|it| it.is_valid(n_rows))
    }

    /// Returns the places of the rows of each slice, by its name.
    pub(crate) fn by_slice(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut res: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for Names { names, codes } in self.slices.values() {
            for (row, code) in codes.iter().enumerate().filter(|it| *it.1 != NO_NAME) {
                res.entry(&names[*code as usize]).or_default().push(row);
            }
        }
        res
    }
}

impl Feature {
    fn append(&mut self, column: &str, other: Self) -> Result<()> {
        match (self, other) {
            (Self::Numbers(ours), Self::Numbers(theirs)) => ours.0.extend(theirs.0),
            (Self::Names(ours), Self::Names(theirs)) => ours.append(theirs),
            _ => return Err(Error::input(format!("column `{column}` has numbers in some rows and names in others"))),
        }
        Ok(())
    }

    fn is_valid(&self, n_rows: usize) -> bool {
        match self {
            Self::Numbers(it) => it.0.len() == n_rows,
            Self::Names(it) => it.is_valid(n_rows),
        }
    }
}

impl Names {
    fn append(&mut self, other: Self) {
        let known: BTreeMap<String, u32> = self.names.iter().cloned().zip(0..).collect();
        let translated: Vec<u32> = other
            .names
            .into_iter()
            .map(|it| {
                known.get(&it).copied().unwrap_or_else(|| {
                    self.names.push(it);
                    self.names.len() as u32 - 1
                })
            })
            .collect();
        self.codes.extend(other.codes.iter().map(|it| translated.get(*it as usize).copied().unwrap_or(NO_NAME)));
    }

    fn is_valid(&self, n_rows: usize) -> bool {
        let is_known = |it: &u32| *it == NO_NAME || (*it as usize) < self.names.len();
        self.codes.len() == n_rows && self.codes.iter().all(is_known)
    }
}
