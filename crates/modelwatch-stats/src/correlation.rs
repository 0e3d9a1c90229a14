//! How two columns go together: numbers with numbers, names with names, numbers with names.
//!
//! Rows may have weights, as of rows that occur more than once. A row of which a side is NaN is left out ("pairwise deletion").

use crate::error::{Reason, Undefined, finite};

mod phik;

pub use phik::{PHIK_BINS, equal_bins, phik};

/// How often each pair of names occurs: one row of the table after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Contingency {
    n_rows: usize,
    n_columns: usize,
    counts: Vec<f64>,
}

/// Returns Pearson's correlation: `Σ w (x - x̄) (y - ȳ) / √(Σ w (x - x̄)² Σ w (y - ȳ)²)`.
///
/// ```
/// use modelwatch_stats::correlation::pearson;
///
/// // Deviations -1, 0, 1 and -1, 1, 0: 1 / √(2 · 2).
/// assert_eq!(pearson(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0], &[1.0; 3]), Ok(0.5));
/// ```
///
/// # Errors
/// When the lengths differ, fewer than two rows are left, a value is infinite, or a side does not vary.
pub fn pearson(left: &[f64], right: &[f64], weights: &[f64]) -> Result<f64, Undefined> {
    if left.len() != right.len() || left.len() != weights.len() {
        return Err(Undefined::new(Reason::LengthMismatch));
    }
    let rows = || left.iter().zip(right).zip(weights).filter(|((x, y), _)| !x.is_nan() && !y.is_nan());
    let (mut n, mut total, mut x_sum, mut y_sum) = (0_usize, 0.0, 0.0, 0.0);
    for ((x, y), weight) in rows() {
        n += 1;
        total += weight;
        x_sum += weight * x;
        y_sum += weight * y;
    }
    if n < 2 || total <= 0.0 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let (x_mean, y_mean) = (finite(x_sum / total)?, finite(y_sum / total)?);
    let (mut both, mut x_squares, mut y_squares) = (0.0, 0.0, 0.0);
    for ((x, y), weight) in rows() {
        let (x, y) = (x - x_mean, y - y_mean);
        both += weight * x * y;
        x_squares += weight * x * x;
        y_squares += weight * y * y;
    }
    // A mean of equal values may be rounded, which is no spread.
    if is_constant(rows().map(|it| *it.0.0)) || is_constant(rows().map(|it| *it.0.1)) {
        return Err(Undefined::new(Reason::NoSpread));
    }
    // One root rounds less than two, but its argument may leave the range of floats.
    let product = x_squares * y_squares;
    let spread = if product.is_normal() { product.sqrt() } else { x_squares.sqrt() * y_squares.sqrt() };
    Ok((finite(both)? / finite(spread)?).clamp(-1.0, 1.0))
}

fn is_constant(mut values: impl Iterator<Item = f64>) -> bool {
    let first = values.next();
    values.all(|it| Some(it) == first)
}

/// Returns the rank of each value among all, from 1; equal values share the mean of their ranks, and NaN has none.
///
/// A row of weight `w` counts as `w` equal rows.
///
/// ```
/// use modelwatch_stats::correlation::ranks;
/// assert_eq!(ranks(&[5.0, 1.0, 5.0], &[1.0; 3]), [2.5, 1.0, 2.5]);
/// ```
pub fn ranks(values: &[f64], weights: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len().min(weights.len())).filter(|&it| !values[it].is_nan()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut res = vec![f64::NAN; values.len()];
    let mut before = 0.0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let weight: f64 = tied.iter().map(|&it| weights[it]).sum();
        tied.iter().for_each(|&it| res[it] = before + (weight + 1.0) / 2.0);
        before += weight;
    }
    res
}

/// Returns Spearman's rank correlation: [`pearson`] of the [`ranks`] of the rows that both sides have.
///
/// ```
/// use modelwatch_stats::correlation::spearman;
/// assert_eq!(spearman(&[1.0, 2.0, 3.0], &[1.0, 8.0, 1e9], &[1.0; 3]), Ok(1.0));
/// ```
///
/// # Errors
/// As [`pearson`]; infinities have ranks like all others.
pub fn spearman(left: &[f64], right: &[f64], weights: &[f64]) -> Result<f64, Undefined> {
    let only = |values: &[f64], other: &[f64]| -> Vec<f64> {
        values.iter().zip(other).map(|(it, other)| if other.is_nan() { f64::NAN } else { *it }).collect()
    };
    pearson(&ranks(&only(left, right), weights), &ranks(&only(right, left), weights), weights)
}

impl Contingency {
    /// Returns the table of pairs of names, which are numbers from 0; a row without a name on one side is left out.
    ///
    /// # Errors
    /// When the lengths differ, or the table would have more than a million cells.
    pub fn new(left: &[Option<u32>], right: &[Option<u32>], weights: &[f64]) -> Result<Self, Undefined> {
        if left.len() != right.len() || left.len() != weights.len() {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        let size = |it: &[Option<u32>]| it.iter().flatten().max().map_or(0, |it| *it as usize + 1);
        let (n_rows, n_columns) = (size(left), size(right));
        let n_cells = n_rows.checked_mul(n_columns).filter(|&it| it <= 1_000_000);
        let mut counts = vec![0.0; n_cells.ok_or(Undefined::new(Reason::TooManyBins))?];
        for ((x, y), weight) in left.iter().zip(right).zip(weights) {
            if let (Some(x), Some(y)) = (x, y) {
                counts[*x as usize * n_columns + *y as usize] += weight;
            }
        }
        Ok(Self { n_rows, n_columns, counts })
    }

    /// Returns Pearson's statistic of independence, how many names occur on each side, and the weight of all.
    fn chi_squared(&self) -> Result<(f64, usize, usize, f64), Undefined> {
        let (rows, columns, n) = self.margins();
        let occur = |it: &[f64]| it.iter().filter(|it| **it > 0.0).count();
        let (r, c) = (occur(&rows), occur(&columns));
        if n < 2.0 {
            return Err(Undefined::new(Reason::TooFew));
        }
        if r < 2 || c < 2 {
            return Err(Undefined::new(Reason::NoSpread));
        }
        let mut statistic = 0.0;
        for (at, count) in self.counts.iter().enumerate() {
            let expected = rows[at / self.n_columns] * columns[at % self.n_columns] / n;
            if expected > 0.0 {
                statistic += (count - expected).powi(2) / expected;
            }
        }
        Ok((statistic, r, c, n))
    }

    /// Returns the weight of each name of the left side, of each of the right side, and of all.
    fn margins(&self) -> (Vec<f64>, Vec<f64>, f64) {
        let (mut rows, mut columns) = (vec![0.0; self.n_rows], vec![0.0; self.n_columns]);
        for (at, count) in self.counts.iter().enumerate() {
            rows[at / self.n_columns] += count;
            columns[at % self.n_columns] += count;
        }
        let total = rows.iter().sum();
        (rows, columns, total)
    }
}

/// Returns Cramér's V with the bias correction of Bergsma (2013).
///
/// `φ² = max(0, χ²/n - (r - 1)(c - 1)/(n - 1))`, `r' = r - (r - 1)²/(n - 1)`, `c'` likewise, and `V = √(φ² / min(r' - 1, c' - 1))`.
/// Names that do not occur do not count.
///
/// ```
/// use modelwatch_stats::correlation::{Contingency, cramers_v};
///
/// let names: Vec<_> = (0..100).map(|it| Some(it % 2)).collect();
/// let table = Contingency::new(&names, &names, &[1.0; 100]).unwrap();
/// assert!((cramers_v(&table).unwrap() - 1.0).abs() < 1e-12);
/// ```
///
/// # Errors
/// When there are fewer than two rows, or one side has fewer than two names.
pub fn cramers_v(table: &Contingency) -> Result<f64, Undefined> {
    let (statistic, rows, columns, n) = table.chi_squared()?;
    let (r, c) = (rows as f64, columns as f64);
    let phi = (statistic / n - (r - 1.0) * (c - 1.0) / (n - 1.0)).max(0.0);
    let corrected = |it: f64| it - (it - 1.0).powi(2) / (n - 1.0);
    let degrees = corrected(r).min(corrected(c)) - 1.0;
    if degrees <= 0.0 { Err(Undefined::new(Reason::TooFew)) } else { Ok((phi / degrees).sqrt().min(1.0)) }
}

/// Returns the correlation ratio `η` (Fisher 1925): the root of the share of the variance of numbers that their names explain.
///
/// ```
/// use modelwatch_stats::correlation::correlation_ratio;
///
/// // The means of the two names are 2 and 4: 4 of 8 of the squares are between them.
/// let names = [Some(0), Some(0), Some(1), Some(1)];
/// let eta = correlation_ratio(&names, &[1.0, 3.0, 3.0, 5.0], &[1.0; 4]).unwrap();
/// assert!((eta * eta - 0.5).abs() < 1e-12);
/// ```
///
/// # Errors
/// As [`pearson`].
pub fn correlation_ratio(names: &[Option<u32>], values: &[f64], weights: &[f64]) -> Result<f64, Undefined> {
    if names.len() != values.len() || names.len() != weights.len() {
        return Err(Undefined::new(Reason::LengthMismatch));
    }
    // The mean of the name in place of the name: its correlation with the values is η.
    let n_names = names.iter().flatten().max().map_or(0, |it| *it as usize + 1);
    let mut sums = vec![(0.0, 0.0); n_names];
    for ((name, value), weight) in names.iter().zip(values).zip(weights) {
        if let (Some(name), false) = (name, value.is_nan()) {
            let sum = &mut sums[*name as usize];
            *sum = (sum.0 + weight * value, sum.1 + weight);
        }
    }
    let mean = |it: &Option<u32>| it.map_or(f64::NAN, |it| sums[it as usize].0 / sums[it as usize].1);
    let means: Vec<f64> = names.iter().map(mean).collect();
    pearson(&means, values, weights).map(|it| it.max(0.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_not_vary_does_not_correlate() {
        let ones = [1.0; 3];
        assert_eq!(pearson(&[0.1; 3], &[1.0, 2.0, 3.0], &ones), Err(Undefined::new(Reason::NoSpread)));
        assert_eq!(pearson(&[1.0], &[1.0], &[1.0]), Err(Undefined::new(Reason::TooFew)));
        assert_eq!(pearson(&[1.0], &[], &[]), Err(Undefined::new(Reason::LengthMismatch)));
        assert!(pearson(&[f64::INFINITY, 1.0, 2.0], &[1.0, 2.0, 4.0], &ones).is_err());
        let one = Contingency::new(&[Some(0); 5], &[Some(0); 5], &[1.0; 5]).unwrap();
        assert_eq!(cramers_v(&one), Err(Undefined::new(Reason::NoSpread)));
        let none = Contingency::new(&[None; 5], &[None; 5], &[1.0; 5]).unwrap();
        assert_eq!(cramers_v(&none), Err(Undefined::new(Reason::TooFew)));
        assert!(correlation_ratio(&[None; 3], &ones, &ones).is_err());
    }

    #[test]
    fn missing_rows_are_left_out_in_pairs() {
        let (left, right) = ([1.0, 2.0, f64::NAN, 4.0, 9.0], [2.0, 1.0, 7.0, 5.0, f64::NAN]);
        let short = ([1.0, 2.0, 4.0], [2.0, 1.0, 5.0]);
        assert_eq!(pearson(&left, &right, &[1.0; 5]), pearson(&short.0, &short.1, &[1.0; 3]));
        assert_eq!(spearman(&left, &right, &[1.0; 5]), spearman(&short.0, &short.1, &[1.0; 3]));
    }

    #[test]
    fn independent_names_have_no_association_left_after_the_correction() {
        // Every pair equally often: χ² is 0.
        let left: Vec<_> = (0..100).map(|it| Some(it / 10)).collect();
        let right: Vec<_> = (0..100).map(|it| Some(it % 10)).collect();
        assert_eq!(cramers_v(&Contingency::new(&left, &right, &[1.0; 100]).unwrap()), Ok(0.0));
    }

    proptest! {
        #[test]
        fn a_weight_is_a_number_of_equal_rows(rows in prop::collection::vec((0i32..9, 0i32..9, 1u8..4), 2..30)) {
            let column = |side: fn(&(i32, i32, u8)) -> f64| rows.iter().map(side).collect::<Vec<_>>();
            let (left, right, weights) = (column(|it| it.0.into()), column(|it| it.1.into()), column(|it| it.2.into()));
            let repeated = |of: &[f64]| -> Vec<f64> {
                of.iter().zip(&rows).flat_map(|(it, row)| std::iter::repeat_n(*it, row.2.into())).collect()
            };
            let (long_left, long_right) = (repeated(&left), repeated(&right));
            let ones = vec![1.0; long_left.len()];
            for of in [pearson, spearman] {
                match (of(&left, &right, &weights), of(&long_left, &long_right, &ones)) {
                    (Ok(short), Ok(long)) => prop_assert!((short - long).abs() < 1e-12),
                    (short, long) => prop_assert_eq!(short, long),
                }
            }
        }
    }
}
