//! Maximum mean discrepancy (Gretton, Borgwardt, Rasch, Schölkopf & Smola 2012) with a Gaussian kernel.

use crate::error::{Reason, Undefined};
use crate::moments::Moments;
use crate::two_sample::{Test, tails::normal_sf};

use super::pairs::{PairSums, pair_sums};
use super::pool::{Dealings, Pool, Strata};
use super::rows::{Rows, alike, squared_distance};

/// The Gaussian kernel `exp(-‖x - y‖² / (2 σ²))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rbf {
    sigma: f64,
}

impl Rbf {
    /// Returns the kernel of that width; undefined unless the width is positive and finite.
    pub fn new(sigma: f64) -> Result<Self, Undefined> {
        if sigma > 0.0 && sigma.is_finite() { Ok(Self { sigma }) } else { Err(Undefined::new(Reason::OutOfRange)) }
    }

    /// Returns the kernel by the median heuristic: `σ² = ½ median ‖x - y‖²` over the pairs of different rows; of an even number of
    /// pairs the lower one of the two in the middle.
    ///
    /// alibi-detect takes it of the reference. For a test by dealings it has to be that of the pool, which does not know
    /// the samples. Undefined for one row, and where more than half of the pairs are alike.
    ///
    /// ```
    /// use modelwatch_stats::multivariate::{Rbf, Rows};
    ///
    /// // Distances 1, 2 and 3.
    /// let kernel = Rbf::median(Rows::new(&[0.0, 1.0, 3.0], 1).unwrap()).unwrap();
    /// assert_eq!(kernel.sigma(), 2f64.sqrt());
    /// ```
    pub fn median(rows: Rows<'_>) -> Result<Self, Undefined> {
        let mut squares = Vec::with_capacity(rows.len() * rows.len().saturating_sub(1) / 2);
        for (idx, row) in rows.iter().enumerate() {
            squares.extend(rows.iter().take(idx).map(|it| squared_distance(row, it)));
        }
        Self::of_squares(squares)
    }

    /// Returns the kernel as [`Rbf::median`] does, over the pairs of rows next to each other, each row used once: in the time of one pass.
    ///
    /// The order of rows must have nothing to do with their values, as that of a [`Pool`].
    ///
    /// ```
    /// use modelwatch_stats::multivariate::{Rbf, Rows};
    ///
    /// // Distances 1, 4 and 2; the last row has no partner.
    /// let kernel = Rbf::median_of_neighbors(Rows::new(&[0.0, 1.0, 3.0, 7.0, 5.0, 3.0, 9.0], 1).unwrap()).unwrap();
    /// assert_eq!(kernel.sigma(), 2f64.sqrt());
    /// ```
    pub fn median_of_neighbors(rows: Rows<'_>) -> Result<Self, Undefined> {
        let pairs = 0..rows.len() / 2;
        Self::of_squares(pairs.map(|it| squared_distance(rows.row(2 * it), rows.row(2 * it + 1))).collect())
    }

    fn of_squares(mut squares: Vec<f64>) -> Result<Self, Undefined> {
        let middle = squares.len().checked_sub(1).ok_or(Undefined::new(Reason::TooFew))? / 2;
        let median = *squares.select_nth_unstable_by(middle, f64::total_cmp).1;
        if median > 0.0 { Self::new((median / 2.0).sqrt()) } else { Err(Undefined::new(Reason::NoSpread)) }
    }

    /// Returns the width σ.
    pub fn sigma(&self) -> f64 {
        self.sigma
    }

    fn of(&self, squared_distance: f64) -> f64 {
        (-squared_distance / (2.0 * self.sigma * self.sigma)).exp()
    }

    /// Returns what two rows of either sample add to the linear-time MMD².
    fn of_pairs(&self, [x, other_x]: [&[f64]; 2], [y, other_y]: [&[f64]; 2]) -> f64 {
        let k = |left: &[f64], right: &[f64]| self.of(squared_distance(left, right));
        k(x, other_x) + k(y, other_y) - k(x, other_y) - k(other_x, y)
    }
}

/// Returns the unbiased MMD² of each dealing.
///
/// `Σ k(x, x') / (m (m - 1)) + Σ k(y, y') / (n (n - 1)) - 2 Σ k(x, y) / (m n)` over pairs of different rows; it may be
/// negative. Undefined where a sample has fewer than two rows.
pub fn mmd(pool: &Pool, dealings: &Dealings<'_>, kernel: Rbf) -> Result<Vec<f64>, Undefined> {
    dealings.check(pool.rows().len())?;
    let n = dealings.n_current();
    let m = dealings.n_rows() - n;
    if m < 2 || n < 2 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let (m, n) = (m as f64, n as f64);
    let statistic =
        |it: PairSums| 2.0 * (it.reference / (m * (m - 1.0)) + it.current / (n * (n - 1.0)) - it.across / (m * n));
    Ok(pair_sums(pool.rows(), dealings, |it| kernel.of(it))?.into_iter().map(statistic).collect())
}

/// Returns the unbiased MMD² of two samples; see [`mmd`].
///
/// ```
/// use modelwatch_stats::multivariate::{Rbf, Rows, mmd_squared};
///
/// let (left, right) = ([0.0, 1.0], [5.0, 6.0]);
/// let found = mmd_squared(Rows::new(&left, 1).unwrap(), Rows::new(&right, 1).unwrap(), Rbf::new(1.0).unwrap()).unwrap();
/// let k = |distance: f64| (-distance * distance / 2.0).exp();
/// let expected = k(1.0) + k(1.0) - (2.0 * k(5.0) + k(6.0) + k(4.0)) / 2.0;
/// assert!((found - expected).abs() < 1e-15);
/// ```
pub fn mmd_squared(reference: Rows<'_>, current: Rows<'_>, kernel: Rbf) -> Result<f64, Undefined> {
    let pool = Pool::new(reference, current, 0)?;
    let dealings = Dealings::new(pool.is_current(), Strata::One, 0, 0)?;
    let statistics = mmd(&pool, &dealings, kernel)?;
    Ok(statistics[0])
}

/// Returns the linear-time MMD² with its p-value from the normal distribution (Gretton et al. 2012, section 6).
///
/// The mean of `k(x, x') + k(y, y') - k(x, y') - k(x', y)` over pairs of rows next to each other, each row used once, over its
/// standard error; one-sided. As many rows of either sample count as the smaller one has. It needs the time of one pass and sees
/// less than [`mmd`] in the same rows. The order of rows must have nothing to do with their values.
/// Undefined for fewer than four rows in a sample.
///
/// ```
/// use modelwatch_stats::hash::mix;
/// use modelwatch_stats::multivariate::{Rbf, Rows, linear_mmd};
///
/// let spread = |shift: f64| -> Vec<f64> { (0..400).map(|it| (mix(it) >> 11) as f64 / 2f64.powi(53) + shift).collect() };
/// let (left, near, far) = (spread(0.0), spread(0.0), spread(0.5));
/// let test = |right: &[f64]| {
///     linear_mmd(Rows::new(&left, 1).unwrap(), Rows::new(right, 1).unwrap(), Rbf::new(0.3).unwrap()).unwrap()
/// };
/// assert!(test(&near).p_value > 0.2 && test(&far).p_value < 1e-6);
/// ```
pub fn linear_mmd(reference: Rows<'_>, current: Rows<'_>, kernel: Rbf) -> Result<Test, Undefined> {
    alike(&reference, &current)?;
    let n_pairs = reference.len().min(current.len()) / 2;
    if n_pairs < 2 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let mut moments = Moments::new();
    for pair in 0..n_pairs {
        let at = [2 * pair, 2 * pair + 1];
        moments.push(kernel.of_pairs(at.map(|it| reference.row(it)), at.map(|it| current.row(it))));
    }
    let statistic = moments.mean()?;
    let error = moments.standard_deviation(1)? / (n_pairs as f64).sqrt();
    let p_value = match (error > 0.0, statistic > 0.0) {
        (true, _) => normal_sf(statistic / error),
        (false, true) => 0.0,
        (false, false) => 1.0,
    };
    Ok(Test { statistic, p_value })
}

/// Returns the linear-time MMD² of each dealing; see [`linear_mmd`]. The rows of a sample are paired in the order of the pool.
///
/// Undefined where a sample has fewer than two rows.
///
/// ```
/// use modelwatch_stats::multivariate::{Dealings, Pool, Rbf, Rows, Strata, linear_mmds, mmd};
///
/// let (left, right) = ([0.0, 1.0], [5.0, 6.0]);
/// let pool = Pool::new(Rows::new(&left, 1).unwrap(), Rows::new(&right, 1).unwrap(), 1).unwrap();
/// let dealings = Dealings::new(pool.is_current(), Strata::One, 9, 1).unwrap();
/// let k = |distance: f64| (-distance * distance / 2.0).exp();
/// let found = linear_mmds(&pool, &dealings, Rbf::new(1.0).unwrap()).unwrap();
/// // Of two rows in a sample there is one pair, whichever of them comes first.
/// let crossed = [2.0 * k(5.0), k(4.0) + k(6.0)].map(|it| 2.0 * k(1.0) - it);
/// assert!(found.len() == 10 && crossed.iter().any(|it| (it - found[0]).abs() < 1e-15));
/// ```
pub fn linear_mmds(pool: &Pool, dealings: &Dealings<'_>, kernel: Rbf) -> Result<Vec<f64>, Undefined> {
    let rows = pool.rows();
    dealings.check(rows.len())?;
    let n = dealings.n_current();
    let n_pairs = n.min(dealings.n_rows() - n) / 2;
    if n_pairs == 0 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let statistic = |dealing| {
        dealings.go_on()?;
        let (current, reference): (Vec<_>, Vec<_>) = (0..).zip(dealings.dealing(dealing)).partition(|it| it.1 > 0.0);
        let pairs = reference.chunks_exact(2).zip(current.chunks_exact(2));
        let of = |it: &[(usize, f64)]| [rows.row(it[0].0), rows.row(it[1].0)];
        Ok(pairs.map(|(x, y)| kernel.of_pairs(of(x), of(y))).sum::<f64>() / n_pairs as f64)
    };
    (0..dealings.len()).map(statistic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    #[test]
    fn too_few_rows_and_no_spread_are_undefined() {
        let (one, two) = ([1.0], [1.0, 1.0]);
        let (one, two) = (Rows::new(&one, 1).unwrap(), Rows::new(&two, 1).unwrap());
        assert_eq!(Rbf::median(one).unwrap_err().reason, Reason::TooFew);
        assert_eq!(Rbf::median(two).unwrap_err().reason, Reason::NoSpread);
        let kernel = Rbf::new(1.0).unwrap();
        assert_eq!(mmd_squared(one, two, kernel).unwrap_err().reason, Reason::TooFew);
        assert_eq!(linear_mmd(two, two, kernel).unwrap_err().reason, Reason::TooFew);
        assert_eq!(mmd_squared(two, two, kernel), Ok(0.0));
        assert!(Rbf::new(0.0).is_err() && Rbf::new(f64::NAN).is_err());
    }

    #[test]
    fn the_mean_over_all_pairings_is_that_of_all_pairs() {
        let sample = |seed: u64, shift: f64| -> Vec<f64> {
            (0..30).map(|it| (mix(seed << 20 | it) >> 11) as f64 / 2f64.powi(53) + shift).collect()
        };
        let (left, right) = (sample(1, 0.0), sample(2, 0.4));
        let (left, right) = (Rows::new(&left, 1).unwrap(), Rows::new(&right, 1).unwrap());
        let kernel = Rbf::new(0.3).unwrap();
        let mut moments = Moments::new();
        for seed in 0..2000 {
            let pool = Pool::new(left, right, seed).unwrap();
            let dealings = Dealings::new(pool.is_current(), Strata::One, 0, 0).unwrap();
            moments.push(linear_mmds(&pool, &dealings, kernel).unwrap()[0]);
        }
        let off = moments.mean().unwrap() - mmd_squared(left, right, kernel).unwrap();
        let error = moments.standard_deviation(1).unwrap() / 2000f64.sqrt();
        assert!(error > 0.0 && off.abs() < 4.0 * error, "{off} {error}");
    }

    #[test]
    fn constants_differ_surely_or_not_at_all() {
        let (zeros, ones) = ([0.0; 8], [1.0; 8]);
        let (zeros, ones) = (Rows::new(&zeros, 1).unwrap(), Rows::new(&ones, 1).unwrap());
        let kernel = Rbf::new(1.0).unwrap();
        assert_eq!(linear_mmd(zeros, zeros, kernel).unwrap(), Test { statistic: 0.0, p_value: 1.0 });
        assert_eq!(linear_mmd(zeros, ones, kernel).unwrap().p_value, 0.0);
    }
}
