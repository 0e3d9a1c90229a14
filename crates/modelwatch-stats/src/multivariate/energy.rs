//! The energy distance of rows (Székely & Rizzo 2004).

use crate::error::Undefined;

use super::pairs::{PairSums, pair_sums};
use super::pool::{Dealings, Pool};

/// Returns the energy distance of each dealing: `2 mean ‖x - y‖ - mean ‖x - x'‖ - mean ‖y - y'‖`, a row with itself included.
///
/// It is 0 for equal distributions alone, and at least 0 for any two samples. Unlike MMD it has no width to choose.
///
/// ```
/// use modelwatch_stats::multivariate::{Dealings, Pool, Rows, Strata, energy, permutation_p_value};
///
/// let (left, right) = ([0.0, 0.0, 1.0, 0.0], [3.0, 4.0, 3.0, 5.0]);
/// let pool = Pool::new(Rows::new(&left, 2).unwrap(), Rows::new(&right, 2).unwrap(), 1).unwrap();
/// let dealings = Dealings::new(pool.is_current(), Strata::One, 19, 1).unwrap();
/// let statistics = energy(&pool, &dealings).unwrap();
/// let across = (5.0 + 34f64.sqrt() + 20f64.sqrt() + 29f64.sqrt()) / 4.0;
/// assert!((statistics[0] - (2.0 * across - 0.5 - 0.5)).abs() < 1e-12);
/// ```
pub fn energy(pool: &Pool, dealings: &Dealings<'_>) -> Result<Vec<f64>, Undefined> {
    dealings.check(pool.rows().len())?;
    let n = dealings.n_current() as f64;
    let m = dealings.n_rows() as f64 - n;
    let statistic = |it: PairSums| 2.0 * (it.across / (m * n) - it.reference / (m * m) - it.current / (n * n));
    Ok(pair_sums(pool.rows(), dealings, f64::sqrt)?.into_iter().map(statistic).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multivariate::{Rows, Strata};
    use crate::{sample::Point, two_sample};

    #[test]
    fn of_one_column_it_is_the_energy_distance_squared() {
        let (left, right) = ([0.0, 1.0, 5.0], [2.0, 3.5, 3.5, 9.0]);
        let pool = Pool::new(Rows::new(&left, 1).unwrap(), Rows::new(&right, 1).unwrap(), 1).unwrap();
        let dealings = Dealings::new(pool.is_current(), Strata::One, 0, 1).unwrap();
        let points = |it: &[f64]| it.iter().map(|&it| (it, 1)).collect::<Vec<Point>>();
        let root = two_sample::energy(&points(&left), &[(2.0, 1), (3.5, 2), (9.0, 1)]).unwrap();
        assert!((energy(&pool, &dealings).unwrap()[0] - root * root).abs() < 1e-12);
    }

    #[test]
    fn rows_of_one_value_do_not_differ() {
        let same = [2.0; 6];
        let rows = Rows::new(&same, 2).unwrap();
        let pool = Pool::new(rows, rows, 1).unwrap();
        let dealings = Dealings::new(pool.is_current(), Strata::One, 9, 1).unwrap();
        assert!(energy(&pool, &dealings).unwrap().iter().all(|it| *it == 0.0));
    }
}
