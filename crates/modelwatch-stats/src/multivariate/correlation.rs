//! Whether columns go together as they did.

use crate::error::{Reason, Undefined};
use crate::multiple::holm;
use crate::two_sample::tails::normal_sf;

use super::lanes::{LANES, Lanes};
use super::pool::{Dealings, Pool};
use super::rows::{Rows, alike};
use super::subsets::Subsets;

/// Beyond this a correlation counts as this one: its transform would grow without end.
const GREATEST: f64 = 1.0 - 1e-6;

/// By how much of a ratio its rounding can hide which one is greater, and more.
const NEAR: f64 = 1e-9;

/// How many dealings are computed together, so that memory is that of so many rows.
const AT_ONCE: usize = 1024;

/// Two columns and how they correlate in either sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairChange {
    /// The column that comes first.
    pub left: usize,
    /// The other one.
    pub right: usize,
    /// Pearson's correlation in the reference; 0 where a column is constant.
    pub reference: f64,
    /// The same in the current sample.
    pub current: f64,
    /// The p-value of the difference by Fisher's z, Holm-adjusted for all pairs. It holds for normal columns.
    pub p_value: f64,
}

/// Returns for each dealing the greatest change of a correlation: `max |atanh r - atanh s|` over pairs of columns.
///
/// Fisher's transform (1915) makes a change count alike wherever it starts. A column that is constant in a sample correlates with nothing
/// there. Undefined for fewer than two columns.
pub fn correlation_change(pool: &Pool, dealings: &Dealings<'_>) -> Result<Vec<f64>, Undefined> {
    let rows = pool.rows();
    dealings.check(rows.len())?;
    if rows.width() < 2 {
        return Err(Undefined::new(Reason::TooFew));
    }
    // Sums around the mean of the pool lose no digits to an offset that all rows have.
    let centered = centered(rows);
    let centered = Rows { values: &centered, width: rows.width() };
    let mut res = Vec::with_capacity(dealings.len());
    for first in (0..dealings.len()).step_by(AT_ONCE) {
        let subsets = Subsets::new(dealings, first..(first + AT_ONCE).min(dealings.len()));
        res.extend(greatest_changes(centered, &subsets)?);
    }
    Ok(res)
}

/// Returns all pairs of columns, the greatest change first, with p-values by Fisher's z: `(atanh r - atanh s) / √(1/(m-3) + 1/(n-3))`.
///
/// Undefined for fewer than two columns or four rows.
///
/// ```
/// use modelwatch_stats::multivariate::{Rows, correlation_changes};
///
/// let left: Vec<f64> = (0..40).flat_map(|it| [f64::from(it), f64::from(it + it % 5)]).collect();
/// let right: Vec<f64> = (0..40).flat_map(|it| [f64::from(it), f64::from(it % 5 - it)]).collect();
/// let found = correlation_changes(Rows::new(&left, 2).unwrap(), Rows::new(&right, 2).unwrap()).unwrap();
/// assert!(found[0].reference > 0.9 && found[0].current < -0.9 && found[0].p_value < 1e-9);
/// ```
pub fn correlation_changes(reference: Rows<'_>, current: Rows<'_>) -> Result<Vec<PairChange>, Undefined> {
    alike(&reference, &current)?;
    if reference.width() < 2 || reference.len().min(current.len()) < 4 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let of = |rows: Rows<'_>| {
        let centered = centered(rows);
        let mut sums = Sums::new(rows.width());
        centered.chunks_exact(rows.width()).for_each(|it| sums.add(it));
        sums.correlations().collect::<Vec<f64>>()
    };
    let error = (1.0 / (reference.len() as f64 - 3.0) + 1.0 / (current.len() as f64 - 3.0)).sqrt();
    let pairs = (0..reference.width()).flat_map(|left| (left + 1..reference.width()).map(move |right| (left, right)));
    let changes = pairs.zip(of(reference).into_iter().zip(of(current)));
    let change = |((left, right), (reference, current)): ((usize, usize), (f64, f64))| {
        let z = (f64::atanh(reference) - f64::atanh(current)).abs() / error;
        PairChange { left, right, reference, current, p_value: (2.0 * normal_sf(z)).min(1.0) }
    };
    let mut res: Vec<PairChange> = changes.map(change).collect();
    let p_values = holm(&res.iter().map(|it| it.p_value).collect::<Vec<_>>())?;
    res.iter_mut().zip(p_values).for_each(|(it, p_value)| it.p_value = p_value);
    let size = |it: &PairChange| (it.reference.atanh() - it.current.atanh()).abs();
    // The sort is stable, so that equal changes stay in the order of the columns.
    res.sort_by(|left, right| size(right).total_cmp(&size(left)));
    Ok(res)
}

/// Returns the greatest change of each dealing, of rows around the mean of the pool.
fn greatest_changes(rows: Rows<'_>, subsets: &Subsets<'_>) -> Result<Vec<f64>, Undefined> {
    let width = rows.width();
    let rows = filled_up(rows);
    let rows = Rows { values: &rows, width: width + LANES };
    let spreads = spreads(rows, width, subsets)?;
    let mut res = vec![0.0; subsets.len()];
    // `(1 + r) (1 - s) / ((1 - r) (1 + s))` is the change before its logarithm is taken, which few pairs need.
    let mut greatest_ratios = vec![0.0; subsets.len()];
    for left in 0..width {
        for right in (left + 1..width).step_by(LANES) {
            let (current, total) =
                subsets.sums(|row| lanes(rows.row(row), right).map(|it| rows.row(row)[left] * it))?;
            for (dealing, current) in current.iter().enumerate() {
                let at = dealing * rows.width;
                let r = spreads[0].correlations(at, left, right, &std::array::from_fn(|it| total[it] - current[it]));
                let s = spreads[1].correlations(at, left, right, current);
                let ratios: Lanes = std::array::from_fn(|it| {
                    let (up, down) = ((1.0 + r[it]) * (1.0 - s[it]), (1.0 - r[it]) * (1.0 + s[it]));
                    if up > down { up / down } else { down / up }
                });
                let greatest_ratio = &mut greatest_ratios[dealing];
                let least = *greatest_ratio * (1.0 - NEAR);
                if !ratios.iter().any(|it| *it >= least) {
                    continue;
                }
                for it in (0..LANES).filter(|it| ratios[*it] >= least) {
                    *greatest_ratio = ratios[it].max(*greatest_ratio);
                    res[dealing] = (r[it].atanh() - s[it].atanh()).abs().max(res[dealing]);
                }
            }
        }
    }
    Ok(res)
}

/// Sums of columns in one sample, and of their squares around their mean, dealing by dealing.
struct Spread {
    n: f64,
    sums: Vec<f64>,
    /// Infinite for constant columns, so that they correlate with nothing.
    squares: Vec<f64>,
}

impl Spread {
    /// Returns the correlations of a column with those from another on, given what begins the dealing and the sums of their products.
    fn correlations(&self, at: usize, left: usize, right: usize, products: &Lanes) -> Lanes {
        let (sum, square) = (self.sums[at + left], self.squares[at + left]);
        let (sums, squares) = (lanes(&self.sums[at..], right), lanes(&self.squares[at..], right));
        std::array::from_fn(|it| {
            let product = products[it] - sum * sums[it] / self.n;
            (product / (square * squares[it]).sqrt()).clamp(-GREATEST, GREATEST)
        })
    }
}

/// Returns the spreads in the reference and in the current sample.
fn spreads(rows: Rows<'_>, width: usize, subsets: &Subsets<'_>) -> Result<[Spread; 2], Undefined> {
    let spread = |n: usize| {
        let n_numbers = subsets.len() * rows.width;
        Spread { n: n as f64, sums: vec![0.0; n_numbers], squares: vec![f64::INFINITY; n_numbers] }
    };
    let mut res = subsets.sizes().map(spread);
    for first in (0..width).step_by(LANES) {
        let (sums, total) = subsets.sums(|row| lanes(rows.row(row), first))?;
        let (squares, total_squares) = subsets.sums(|row| lanes(rows.row(row), first).map(|it| it * it))?;
        for (dealing, (sums, squares)) in sums.iter().zip(&squares).enumerate() {
            let of_reference = |total: &Lanes, current: &Lanes| std::array::from_fn(|it| total[it] - current[it]);
            let of_samples = [(of_reference(&total, sums), of_reference(&total_squares, squares)), (*sums, *squares)];
            for (spread, (sums, squares)) in res.iter_mut().zip(of_samples) {
                for (it, column) in (first..width.min(first + LANES)).enumerate() {
                    let place = dealing * rows.width + column;
                    let around_mean = squares[it] - sums[it] * sums[it] / spread.n;
                    spread.sums[place] = sums[it];
                    if !is_constant(around_mean, squares[it]) {
                        spread.squares[place] = around_mean;
                    }
                }
            }
        }
    }
    Ok(res)
}

/// Returns the rows with zeros behind them, so that as many columns as there are lanes can be read from any.
fn filled_up(rows: Rows<'_>) -> Vec<f64> {
    rows.iter().flat_map(|row| row.iter().copied().chain([0.0; LANES])).collect()
}

fn lanes(values: &[f64], first: usize) -> Lanes {
    std::array::from_fn(|it| values[first + it])
}

/// Sums and sums of products of columns.
struct Sums {
    n: f64,
    sums: Vec<f64>,
    /// Of each column with itself and those behind it.
    products: Vec<f64>,
}

impl Sums {
    fn new(width: usize) -> Self {
        Self { n: 0.0, sums: vec![0.0; width], products: vec![0.0; width * (width + 1) / 2] }
    }

    fn add(&mut self, row: &[f64]) {
        self.n += 1.0;
        self.sums.iter_mut().zip(row).for_each(|(sum, it)| *sum += it);
        let mut products = &mut self.products[..];
        for (idx, value) in row.iter().enumerate() {
            let (own, rest) = products.split_at_mut(row.len() - idx);
            own.iter_mut().zip(&row[idx..]).for_each(|(sum, it)| *sum += value * it);
            products = rest;
        }
    }

    /// Returns the correlations of the columns, in the order of pairs.
    fn correlations(&self) -> impl Iterator<Item = f64> {
        let width = self.sums.len();
        let place = move |left: usize, right: usize| left * width - left * left.saturating_sub(1) / 2 + right - left;
        let product = move |left: usize, right: usize| {
            self.products[place(left, right)] - self.sums[left] * self.sums[right] / self.n
        };
        let is_constant = move |it: usize| is_constant(product(it, it), self.products[place(it, it)]);
        let pairs = (0..width).flat_map(move |left| (left + 1..width).map(move |right| (left, right)));
        pairs.map(move |(left, right)| {
            if is_constant(left) || is_constant(right) {
                return 0.0;
            }
            let scale = (product(left, left) * product(right, right)).sqrt();
            (product(left, right) / scale).clamp(-GREATEST, GREATEST)
        })
    }
}

/// Returns whether a column is constant, by its squares around its mean and around 0: what is left of a constant one is rounding.
fn is_constant(around_mean: f64, around_zero: f64) -> bool {
    around_mean <= 1e-12 * around_zero.abs()
}

fn centered(rows: Rows<'_>) -> Vec<f64> {
    let means = rows.means();
    rows.iter().flat_map(|row| row.iter().zip(&means).map(|(it, mean)| it - mean)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multivariate::{Strata, permutation_p_value};

    /// Three columns, of which the second follows the first by `sign`.
    fn rows(n: i32, sign: f64) -> Vec<f64> {
        let noise = |it: i32| f64::from(it * 7919 % 101) / 101.0;
        (0..n).flat_map(|it| [noise(it), sign * noise(it) + noise(3 * it + 50), noise(5 * it + 9)]).collect()
    }

    #[test]
    fn the_greatest_change_is_found_by_both_tests() {
        let (left, right) = (rows(150, 1.0), rows(90, -1.0));
        let (left, right) = (Rows::new(&left, 3).unwrap(), Rows::new(&right, 3).unwrap());
        let pool = Pool::new(left, right, 2).unwrap();
        let dealings = Dealings::new(pool.is_current(), Strata::One, 99, 2).unwrap();
        let statistics = correlation_change(&pool, &dealings).unwrap();
        let pairs = correlation_changes(left, right).unwrap();
        assert_eq!(permutation_p_value(&statistics), 0.01);
        assert_eq!((pairs.len(), pairs[0].left, pairs[0].right), (3, 0, 1));
        assert!((statistics[0] - (pairs[0].reference.atanh() - pairs[0].current.atanh()).abs()).abs() < 1e-9);
        assert!(pairs[0].p_value < 1e-9 && pairs.iter().all(|it| it.p_value <= 1.0));
    }

    #[test]
    fn constants_and_copies_are_no_change() {
        let (same, other): (Vec<f64>, Vec<f64>) = (
            (0..20).flat_map(|it| [f64::from(it), 3.0, f64::from(it)]).collect(),
            (0..30).flat_map(|it| [f64::from(it % 7), 3.0, f64::from(it % 7)]).collect(),
        );
        let found = correlation_changes(Rows::new(&same, 3).unwrap(), Rows::new(&other, 3).unwrap()).unwrap();
        assert!(found.iter().all(|it| it.reference == it.current && it.p_value == 1.0), "{found:?}");
        let one = Rows::new(&same, 1).unwrap();
        assert_eq!(correlation_changes(one, one).unwrap_err().reason, Reason::TooFew);
    }
}
