//! The rows of both roles side by side, as whole rows are compared: numbers and names of the features.

use std::collections::{BTreeMap, BTreeSet};

use modelwatch_sdk::rows::Use;
use modelwatch_stats::{Point, outliers::RobustScale};

use crate::{
    column::{Body, Column},
    identity::{MISSING, of_boolean, of_text},
    kind::Family,
    profile::Profile,
};

/// The number of a name that the rows that are learned from do not have.
pub(crate) const UNSEEN: u32 = u32::MAX;

/// From this share of different names on they tell rows apart, and nothing else.
const NAMES_OF_ROWS: f64 = 0.5;

/// Different rows: first those that are learned from, then those that are judged, unless they are the same.
pub(crate) struct RowTable<'a> {
    pub(crate) columns: Vec<RowColumn<'a>>,
    pub(crate) rows: Vec<TableRow<'a>>,
    pub(crate) n_training: usize,
    /// Whether the rows that are judged are others than those that are learned from.
    pub(crate) has_reference: bool,
    /// Features that are not looked at, with why.
    pub(crate) left_out: Vec<(&'a str, &'static str)>,
}

/// A row, beside its values.
pub(crate) struct TableRow<'a> {
    /// How often it comes in its role.
    pub(crate) count: u64,
    /// How often it comes among the rows that are learned from.
    pub(crate) training_count: u64,
    /// The identifier of one of them.
    pub(crate) id: Option<&'a str>,
}

/// A column with a value for each row.
pub(crate) struct RowColumn<'a> {
    pub(crate) name: &'a str,
    pub(crate) values: RowValues,
}

/// The values of a column.
pub(crate) enum RowValues {
    Numbers {
        /// NaN where one is missing.
        values: Vec<f64>,
        /// The finite ones in the rows that are learned from, sorted.
        training: Vec<Point>,
        /// How far these are from their median; none where they are all the same.
        scale: Option<RobustScale>,
    },
    Names {
        /// By number; [`UNSEEN`] where the rows that are learned from do not have it.
        codes: Vec<u32>,
        /// Of the rows that are learned from, the share that has a name.
        shares: Vec<f64>,
        /// What is known of them as texts; [`UNSEEN`] ones are not.
        texts: Vec<String>,
    },
}

impl<'a> RowTable<'a> {
    /// Returns the rows that are kept of both roles; of the current ones alone where there is no reference.
    pub(crate) fn new(reference: Option<&'a Profile>, current: &'a Profile) -> Self {
        let training = reference.unwrap_or(current);
        let (mut names, mut left_out) = (Vec::new(), Vec::new());
        for (name, column) in current.columns().iter().filter(|it| it.1.has_use(Use::Feature)) {
            match why_not(name, column, training, current) {
                Some(why) => left_out.push((name.as_str(), why)),
                None => names.push(name.as_str()),
            }
        }
        let mut table =
            Self { columns: Vec::new(), rows: Vec::new(), n_training: 0, has_reference: reference.is_some(), left_out };
        let (mut cells, counts) = table.add(training, &names, &BTreeMap::new());
        table.n_training = table.rows.len();
        if reference.is_some() {
            cells.extend(table.add(current, &names, &counts).0);
        }
        for (at, name) in names.into_iter().enumerate() {
            let cells: Vec<u64> = cells.iter().map(|it| it[at]).collect();
            let column = &current.columns()[name];
            match table.values(column, training.columns().get(name), cells) {
                Ok(values) => table.columns.push(RowColumn { name, values }),
                Err(why) => table.left_out.push((name, why)),
            }
        }
        table
    }

    /// Returns the rows that are judged, by their place.
    pub(crate) fn judged(&self) -> std::ops::Range<usize> {
        if self.has_reference { self.n_training..self.rows.len() } else { 0..self.rows.len() }
    }

    /// Returns how often the rows that are learned from come, all together.
    pub(crate) fn n_training_rows(&self) -> u64 {
        self.rows[..self.n_training].iter().map(|it| it.count).fold(0, u64::saturating_add)
    }

    /// Adds the different rows of a role, and returns their cells and how often each comes.
    fn add(
        &mut self,
        profile: &'a Profile,
        names: &[&str],
        training: &BTreeMap<Vec<u64>, u64>,
    ) -> (Vec<Vec<u64>>, BTreeMap<Vec<u64>, u64>) {
        let sample = profile.sample();
        let places: Vec<_> = names.iter().map(|it| sample.place(it)).collect();
        let mut known: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
        let mut cells = Vec::new();
        for (_, row) in sample.rows() {
            let of = |it: &Option<usize>| it.and_then(|it| row.cells.get(it)).copied().unwrap_or(MISSING);
            let own: Vec<u64> = places.iter().map(of).collect();
            match known.get(&own) {
                Some(at) => {
                    let row_before: &mut TableRow<'_> = &mut self.rows[*at];
                    row_before.count = row_before.count.saturating_add(row.count);
                }
                None => {
                    known.insert(own.clone(), self.rows.len());
                    let training_count = training.get(&own).copied().unwrap_or(0);
                    self.rows.push(TableRow { count: row.count, training_count, id: row.id.as_deref() });
                    cells.push(own);
                }
            }
        }
        let counts: BTreeMap<_, _> = known.into_iter().map(|(own, at)| (own, (at, self.rows[at].count))).collect();
        if training.is_empty() {
            counts.values().for_each(|(at, count)| self.rows[*at].training_count = *count);
        }
        (cells, counts.into_iter().map(|(own, (_, count))| (own, count)).collect())
    }

    /// Returns the values of a column, or why they are not looked at.
    fn values(&self, column: &Column, known: Option<&Column>, cells: Vec<u64>) -> Result<RowValues, &'static str> {
        let is_number = matches!(column.body(), Body::Numbers(_));
        if is_number && !column.has_use(Use::Categorical) {
            let values: Vec<f64> = cells.into_iter().map(f64::from_bits).collect();
            let rows = values.iter().zip(&self.rows).take(self.n_training);
            let mut training: Vec<Point> = rows.map(|it| (*it.0, it.1.count)).filter(|it| it.0.is_finite()).collect();
            training.sort_by(|left, right| left.0.total_cmp(&right.0));
            let scale = RobustScale::of(&training).ok();
            return Ok(RowValues::Numbers { values, training, scale });
        }
        let cell = |it: u64| if is_number && f64::from_bits(it).is_nan() { MISSING } else { it };
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        for (it, row) in cells.iter().zip(&self.rows).take(self.n_training) {
            let count = counts.entry(cell(*it)).or_default();
            *count = count.saturating_add(row.count);
        }
        if counts.len() as f64 > NAMES_OF_ROWS * self.n_training as f64 {
            return Err("nearly every row has another value");
        }
        let n = self.n_training_rows().max(1) as f64;
        let words = words(known.unwrap_or(column));
        let text = |it: &u64| match words.get(it) {
            Some(it) => it.clone(),
            None if is_number => f64::from_bits(*it).to_string(),
            None => String::new(),
        };
        let codes: BTreeMap<u64, u32> = counts.keys().copied().zip(0..UNSEEN).collect();
        Ok(RowValues::Names {
            codes: cells.iter().map(|it| codes.get(&cell(*it)).copied().unwrap_or(UNSEEN)).collect(),
            shares: counts.values().map(|it| *it as f64 / n).collect(),
            texts: counts.keys().map(text).collect(),
        })
    }
}

/// Returns why a feature is not looked at.
fn why_not(name: &str, column: &Column, training: &Profile, current: &Profile) -> Option<&'static str> {
    let family = |it: &Column| it.kind().and_then(|it| it.family()).filter(|_| !it.is_mixed());
    let Some(known) = training.columns().get(name) else { return Some("the reference rows do not have it") };
    let is_kept = |it: &Profile| it.sample().place(name).is_some();
    match (family(column), family(known)) {
        (None, _) | (_, None) => Some("it has no values, or values of several types"),
        (left, right) if left != right => Some("it is of another type in the reference rows"),
        (Some(Family::Times | Family::Others), _) => Some("it has neither numbers nor names"),
        _ if !is_kept(training) || !is_kept(current) => Some("its values are not kept"),
        _ => None,
    }
}

/// Returns the names of a column by their identities.
fn words(column: &Column) -> BTreeMap<u64, String> {
    let mut res = BTreeMap::from([(MISSING, "missing".to_owned())]);
    if let Body::Names(it) = column.body() {
        let is_text = column.kind().and_then(|it| it.family()) == Some(Family::Texts);
        let identity = |it: &str| if is_text { of_text(it) } else { of_boolean(it) };
        let counts: BTreeSet<&str> = it.categories().counts().into_keys().collect();
        res.extend(counts.into_iter().map(|it| (identity(it), it.to_owned())));
    }
    res
}
