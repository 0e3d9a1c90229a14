//! Whether rows have their neighbors in their own sample (Schilling 1986; Henze 1988).

use crate::error::{Reason, Undefined};

use super::pool::{Dealings, Pool};
use super::rows::squared_distance;

/// Returns for each dealing the share of the `n_neighbors` nearest neighbors of every row that are of the same sample as the row.
///
/// Neighbors at one distance are taken in the order of the pool, which does not know the samples. As many neighbors as there are
/// other rows are enough. Undefined for no neighbor.
///
/// ```
/// use modelwatch_stats::multivariate::{Dealings, Pool, Rows, Strata, neighbors};
///
/// // The nearest one of 0.0 is 0.1 and the other way round, that of 0.9 is 1.1 and the other way round, that of 5.0 is 1.1.
/// let (left, right) = ([0.0, 0.1, 0.9], [1.1, 5.0]);
/// let pool = Pool::new(Rows::new(&left, 1).unwrap(), Rows::new(&right, 1).unwrap(), 1).unwrap();
/// let dealings = Dealings::new(pool.is_current(), Strata::One, 9, 1).unwrap();
/// assert_eq!(neighbors(&pool, &dealings, 1).unwrap()[0], 0.6);
/// ```
pub fn neighbors(pool: &Pool, dealings: &Dealings<'_>, n_neighbors: usize) -> Result<Vec<f64>, Undefined> {
    let rows = pool.rows();
    dealings.check(rows.len())?;
    let n_neighbors = n_neighbors.min(rows.len() - 1);
    if n_neighbors == 0 {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    let mut same = vec![0.0; dealings.len()];
    let mut nearest = Vec::with_capacity(rows.len());
    for (idx, row) in rows.iter().enumerate() {
        dealings.go_on()?;
        nearest.clear();
        let others = rows.iter().enumerate().filter(|it| it.0 != idx);
        nearest.extend(others.map(|(other, it)| (squared_distance(row, it), other)));
        nearest.select_nth_unstable_by(n_neighbors - 1, |left, right| {
            left.0.total_cmp(&right.0).then(left.1.cmp(&right.1))
        });
        for (_, other) in &nearest[..n_neighbors] {
            let labels = dealings.of_row(idx).iter().zip(dealings.of_row(*other));
            for (sum, (left, right)) in same.iter_mut().zip(labels) {
                *sum += f64::from(u8::from(left == right));
            }
        }
    }
    let n = (rows.len() * n_neighbors) as f64;
    same.iter_mut().for_each(|it| *it /= n);
    Ok(same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multivariate::{Rows, Strata, permutation_p_value};

    #[test]
    fn ties_do_not_favor_the_sample_that_came_first() {
        // Two values only: every row has far more neighbors at distance 0 than are asked for.
        let values: Vec<f64> = (0..120).map(|it| f64::from(it % 2)).collect();
        let rows = Rows::new(&values, 1).unwrap();
        let mut small = 0;
        for seed in 0..60 {
            let pool = Pool::new(rows, rows, seed).unwrap();
            let dealings = Dealings::new(pool.is_current(), Strata::One, 99, seed).unwrap();
            small += u32::from(permutation_p_value(&neighbors(&pool, &dealings, 3).unwrap()) <= 0.05);
        }
        assert!(small <= 8, "{small} of 60");
    }

    #[test]
    fn separated_samples_have_their_own_neighbors() {
        let values: Vec<f64> = (0..30).map(f64::from).collect();
        let far: Vec<f64> = values.iter().map(|it| it + 1000.0).collect();
        let pool = Pool::new(Rows::new(&values, 1).unwrap(), Rows::new(&far, 1).unwrap(), 1).unwrap();
        let dealings = Dealings::new(pool.is_current(), Strata::One, 199, 1).unwrap();
        let statistics = neighbors(&pool, &dealings, 5).unwrap();
        assert_eq!((statistics[0], permutation_p_value(&statistics)), (1.0, 0.005));
        assert!(neighbors(&pool, &dealings, 0).is_err());
    }
}
