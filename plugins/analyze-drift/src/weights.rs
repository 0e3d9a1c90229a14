//! Rows that count by their weights: what is kept of them, and the rows that count alike which they are worth.
//!
//! Weights are rounded to whole units, so that their sums are the same in any order. Tests are made for rows that count alike: each column
//! of weighted rows is tested as the sample of as many rows as it is worth ([`modelwatch_stats::weights`]) that has its weighted
//! shares, to half a row. What describes a difference is of the weighted shares themselves.

use modelwatch_profile::{Column, Numeric, Paired, pair};
use modelwatch_sdk::{
    RecordBatch,
    rows::{self, WEIGHT_UNIT, weight_units},
};
use modelwatch_stats::{
    Point,
    categories::{AlignedCounts, CategoryCounts, align},
    weights::{Mass, size_of_categories, size_of_numbers, thinned, whole_rows},
};

use crate::{config::Config, method::Method};

/// A weight of 1 in units of what is added up. Squares of them have room for 2^40 squared weights of 1.
const UNIT: f64 = 1.0 / WEIGHT_UNIT;

/// The weights of the rows of a batch.
pub(crate) struct Weights {
    pub(crate) masses: Vec<u64>,
    pub(crate) squares: Vec<u64>,
    /// 1 for each row that is there, however light, and 0 for those of weight 0; none where all are there.
    pub(crate) present: Option<Vec<u64>>,
}

impl Weights {
    /// Returns the weights of the rows; none where there are none.
    ///
    /// # Errors
    /// When one is no weight, or cannot be added up with the others.
    pub(crate) fn of(batch: &RecordBatch) -> modelwatch_sdk::Result<Option<Self>> {
        let Some(weights) = rows::weights(batch)? else { return Ok(None) };
        let present = weights.contains(&0.0).then(|| weights.iter().map(|it| u64::from(*it > 0.0)).collect());
        let masses: Vec<u64> = weights.into_iter().map(weight_units).collect();
        // Of the rounded weights, so that rows of equal weights are worth as many as there are.
        let squares = masses.iter().map(|it| it * it).collect();
        Ok(Some(Self { masses, squares, present }))
    }
}

/// Something that counts rows, and the same by their weights, if they have some.
#[derive(Debug)]
pub(crate) struct Counted<'a, T> {
    /// Each row counts once.
    pub(crate) rows: &'a T,
    /// Each row counts by its weight, and by the square of it.
    pub(crate) weighted: Option<[&'a T; 2]>,
}

impl<T> Clone for Counted<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Counted<'_, T> {}

impl<'a, T> Counted<'a, T> {
    /// Returns a part of it; none where that is not in all of them.
    pub(crate) fn part<U>(self, of: impl Fn(&'a T) -> Option<&'a U>) -> Option<Counted<'a, U>> {
        let weighted = match self.weighted {
            Some([masses, squares]) => Some([of(masses)?, of(squares)?]),
            None => None,
        };
        Some(Counted { rows: of(self.rows)?, weighted })
    }

    /// Returns what counts rows by their weights, if they have some.
    pub(crate) fn masses(self) -> &'a T {
        self.weighted.map_or(self.rows, |it| it[0])
    }

    fn squares(self) -> &'a T {
        self.weighted.map_or(self.rows, |it| it[1])
    }
}

/// Returns what counts each row once, for a method that knows no weights.
///
/// # Errors
/// Where there are weights.
pub(crate) fn unweighted<'a, T>(
    method: Method,
    reference: Counted<'a, T>,
    current: Counted<'a, T>,
) -> Result<(&'a T, &'a T), String> {
    if reference.weighted.is_none() && current.weighted.is_none() {
        return Ok((reference.rows, current.rows));
    }
    let name = method.name();
    Err(format!("`{name}` knows no weights; use a method without `:`, or count each row once with `weights = false`"))
}

/// Checks that there are enough rows, once they count alike.
///
/// # Errors
/// Where there are not.
pub(crate) fn check_size(config: &Config, sizes: [u64; 2]) -> Result<(), String> {
    let least = config.min_rows;
    match ["reference", "current"].into_iter().zip(sizes).find(|it| it.1 < least) {
        Some((role, n)) => {
            Err(format!("by their weights the {role} rows are worth {n} that count alike, and {least} are needed"))
        }
        None => Ok(()),
    }
}

/// Two columns on a common footing.
pub(crate) struct Footing<T> {
    /// As rows that count alike, which are tested.
    pub(crate) alike: T,
    /// By their weights, which describe them; none where there are none.
    pub(crate) weighted: Option<T>,
}

/// Returns the values of two columns.
pub(crate) fn paired_numbers(reference: Counted<'_, Numeric>, current: Counted<'_, Numeric>) -> Footing<Paired> {
    let weighted = pair(reference.masses(), current.masses());
    if reference.weighted.is_none() && current.weighted.is_none() {
        return Footing { alike: weighted, weighted: None };
    }
    let mut res = weighted.clone();
    // Of the same values, so that these are the same points.
    let squares = pair(reference.squares(), current.squares());
    if reference.weighted.is_some() {
        res.reference = alike(&res.reference, &squares.reference);
    }
    if current.weighted.is_some() {
        res.current = alike(&res.current, &squares.current);
    }
    Footing { alike: res, weighted: Some(weighted) }
}

fn alike(points: &[Point], squares: &[Point]) -> Vec<Point> {
    let (values, weights): (Vec<f64>, Vec<u64>) = points.iter().copied().unzip();
    let masses: Vec<Mass> = weights.iter().zip(squares).map(|(weight, square)| mass(*weight, square.1)).collect();
    let counts = thinned(&weights, whole_rows(size_of_numbers(&masses)));
    values.into_iter().zip(counts).filter(|it| it.1 > 0).collect()
}

/// Returns the categories of two columns.
pub(crate) fn aligned_categories(
    reference: Counted<'_, CategoryCounts>,
    current: Counted<'_, CategoryCounts>,
) -> Footing<AlignedCounts> {
    let weighted = align(reference.masses(), current.masses());
    if reference.weighted.is_none() && current.weighted.is_none() {
        return Footing { alike: weighted, weighted: None };
    }
    let mut res = weighted.clone();
    let squares = align(reference.squares(), current.squares());
    if reference.weighted.is_some() {
        let groups = res.other_groups.iter_mut().zip(&squares.other_groups).map(|it| (&mut it.0.0, it.1.0));
        res.reference_other = thin(&mut res.reference, &squares.reference, groups);
    }
    if current.weighted.is_some() {
        let groups = res.other_groups.iter_mut().zip(&squares.other_groups).map(|it| (&mut it.0.1, it.1.1));
        res.current_other = thin(&mut res.current, &squares.current, groups);
    }
    // It counts units of weight here, so that nothing follows from it.
    res.other_bound = if res.other_groups.is_empty() { 0 } else { u64::MAX };
    Footing { alike: res, weighted: Some(weighted) }
}

/// Puts rows that count alike in the place of the weights of categories, and of groups of others, of which it returns the sum.
fn thin<'a>(weights: &mut [u64], squares: &[u64], groups: impl Iterator<Item = (&'a mut u64, u64)>) -> u64 {
    let (groups, squares_of_groups): (Vec<&mut u64>, Vec<u64>) = groups.unzip();
    let all: Vec<u64> = weights.iter().chain(groups.iter().map(|it| &**it)).copied().collect();
    let squares = squares.iter().chain(&squares_of_groups);
    let masses: Vec<Mass> = all.iter().zip(squares).map(|(weight, square)| mass(*weight, *square)).collect();
    let counts = thinned(&all, whole_rows(size_of_categories(&masses)));
    let (of_categories, of_groups) = counts.split_at(weights.len());
    weights.copy_from_slice(of_categories);
    groups.into_iter().zip(of_groups).for_each(|(group, count)| *group = *count);
    of_groups.iter().sum()
}

/// Returns how many rows of a column are of that kind and how many there are, as rows that count alike.
pub(crate) fn rows_alike(column: Counted<'_, Column>, of: impl Fn(&Column) -> u64) -> (u64, u64) {
    if column.weighted.is_none() {
        return (of(column.rows), column.rows.rows());
    }
    let (masses, squares) = (column.masses(), column.squares());
    let others = |it: &Column| it.rows().saturating_sub(of(it));
    let mut counts = [of(masses), others(masses)];
    thin(&mut counts, &[of(squares), others(squares)], std::iter::empty());
    (counts[0], counts[0] + counts[1])
}

/// Returns how many rows that count alike so many units of weights and squared weights are worth, by Kish.
pub(crate) fn size(masses: u64, squares: u64) -> f64 {
    mass(masses, squares).size()
}

fn mass(weight: u64, square: u64) -> Mass {
    Mass { weight: weight as f64 / UNIT, square: square as f64 / (UNIT * UNIT) }
}
