//! How well principal components of the reference restore a row: NannyML's data reconstruction.

use crate::error::{Reason, Undefined};

use super::pool::{Dealings, Pool};
use super::rows::{Rows, alike, squared_distance};
use super::symmetric::eigen;

/// Principal components of reference rows, whose columns were brought to mean 0 and standard deviation 1.
///
/// NannyML 0.13.1, from its documented definition: columns scaled by the reference (`ddof = 0`, a constant one is only centered), the least
/// number of components whose share of the variance is greater than `share`, and of each row the length of what they do not restore.
#[derive(Clone, Debug)]
pub struct Reconstruction {
    means: Vec<f64>,
    deviations: Vec<f64>,
    components: Vec<Vec<f64>>,
}

impl Reconstruction {
    /// Returns the components of the reference; NannyML's `share` is 0.65.
    ///
    /// Undefined for a share outside the open (0, 1), and where every column is constant.
    ///
    /// ```
    /// use modelwatch_stats::multivariate::{Reconstruction, Rows};
    ///
    /// // Both columns go together, so that one component has it all, and a row that breaks the rule is not restored.
    /// let reference = [0.0, 0.0, 1.0, 1.0, 2.0, 2.0];
    /// let components = Reconstruction::fit(Rows::new(&reference, 2).unwrap(), 0.65).unwrap();
    /// let errors = components.errors(Rows::new(&[3.0, 3.0, 2.0, 0.0], 2).unwrap()).unwrap();
    /// assert!(errors[0] < 1e-12 && (errors[1] - 2f64.sqrt() / (2f64 / 3.0).sqrt()).abs() < 1e-12);
    /// ```
    pub fn fit(reference: Rows<'_>, share: f64) -> Result<Self, Undefined> {
        if !(share > 0.0 && share < 1.0) {
            return Err(Undefined::new(Reason::OutOfRange));
        }
        let (n, width) = (reference.len() as f64, reference.width());
        let means = reference.means();
        let mut deviations = vec![0.0; width];
        for row in reference.iter() {
            deviations.iter_mut().zip(row).zip(&means).for_each(|((sum, it), mean)| *sum += (it - mean).powi(2));
        }
        for (deviation, mean) in deviations.iter_mut().zip(&means) {
            *deviation = (*deviation / n).sqrt();
            // What is left of a constant column is rounding.
            if *deviation <= 1e-12 * mean.abs() {
                *deviation = 1.0;
            }
        }
        let mut res = Self { means, deviations, components: Vec::new() };
        let mut covariance = vec![0.0; width * width];
        for row in reference.iter() {
            let row = res.scaled(row);
            for (left, sums) in row.iter().zip(covariance.chunks_exact_mut(width)) {
                sums.iter_mut().zip(&row).for_each(|(sum, right)| *sum += left * right);
            }
        }
        let components = eigen(width, covariance);
        let total: f64 = components.iter().map(|it| it.0.max(0.0)).sum();
        if total <= 1e-12 {
            return Err(Undefined::new(Reason::NoSpread));
        }
        let mut seen = 0.0;
        for (variance, component) in components {
            seen += variance / total;
            res.components.push(component);
            if seen > share {
                break;
            }
        }
        Ok(res)
    }

    /// Returns the number of components.
    pub fn n_components(&self) -> usize {
        self.components.len()
    }

    /// Returns of each row the length of what is not restored, in the scaled columns.
    ///
    /// Undefined for rows of another width.
    pub fn errors(&self, rows: Rows<'_>) -> Result<Vec<f64>, Undefined> {
        alike(&rows, &Rows { values: &self.means, width: self.means.len() })?;
        let error = |row: &[f64]| {
            let row = self.scaled(row);
            let mut restored = vec![0.0; row.len()];
            for component in &self.components {
                let along: f64 = row.iter().zip(component).map(|(a, b)| a * b).sum();
                restored.iter_mut().zip(component).for_each(|(sum, it)| *sum += along * it);
            }
            squared_distance(&row, &restored).sqrt()
        };
        Ok(rows.iter().map(error).collect())
    }

    fn scaled(&self, row: &[f64]) -> Vec<f64> {
        let columns = row.iter().zip(&self.means).zip(&self.deviations);
        columns.map(|((it, mean), deviation)| (it - mean) / deviation).collect()
    }
}

/// Returns for each dealing how far the mean reconstruction error of the current sample is from that of the reference, which the components
/// are of.
///
/// NannyML holds a mean error against its spread over chunks of the reference. The components fit the rows that they are made of
/// better than any others, so that such a limit is too narrow for few rows; a dealing has its own components, and the bias with them.
/// Undefined as [`Reconstruction::fit`].
///
/// ```
/// use modelwatch_stats::multivariate::{Dealings, Pool, Rows, Strata, permutation_p_value, reconstruction_change};
///
/// // Two columns that go together, and that no longer do.
/// let left: Vec<f64> = (0..60).flat_map(|it| [f64::from(it), f64::from(it + it % 3)]).collect();
/// let right: Vec<f64> = (0..60).flat_map(|it| [f64::from(it), f64::from(it * 37 % 60)]).collect();
/// let pool = Pool::new(Rows::new(&left, 2).unwrap(), Rows::new(&right, 2).unwrap(), 1).unwrap();
/// let dealings = Dealings::new(pool.is_current(), Strata::One, 99, 1).unwrap();
/// assert_eq!(permutation_p_value(&reconstruction_change(&pool, &dealings, 0.65).unwrap()), 0.01);
/// ```
pub fn reconstruction_change(pool: &Pool, dealings: &Dealings<'_>, share: f64) -> Result<Vec<f64>, Undefined> {
    let rows = pool.rows();
    dealings.check(rows.len())?;
    let statistic = |dealing: usize| {
        dealings.go_on()?;
        let mut samples = [Vec::new(), Vec::new()];
        for (row, is_current) in rows.iter().zip(dealings.dealing(dealing)) {
            samples[usize::from(is_current > 0.0)].extend_from_slice(row);
        }
        let [reference, current] = samples.each_ref().map(|it| Rows { values: it, width: rows.width() });
        let components = Reconstruction::fit(reference, share)?;
        let mean = |rows: Rows<'_>| Ok(components.errors(rows)?.iter().sum::<f64>() / rows.len() as f64);
        Ok((mean(current)? - mean(reference)?).abs())
    };
    (0..dealings.len()).map(statistic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_column_is_only_centered() {
        let rows = [1.0, 7.0, 2.0, 7.0, 3.0, 7.0];
        let components = Reconstruction::fit(Rows::new(&rows, 2).unwrap(), 0.65).unwrap();
        assert_eq!(components.n_components(), 1);
        let errors = components.errors(Rows::new(&[2.0, 9.0], 2).unwrap()).unwrap();
        assert!((errors[0] - 2.0).abs() < 1e-12, "{errors:?}");
        assert!(components.errors(Rows::new(&rows, 3).unwrap()).is_err());
    }

    #[test]
    fn constants_alone_and_shares_of_everything_are_undefined() {
        let rows = Rows::new(&[7.0, 7.0], 1).unwrap();
        assert_eq!(Reconstruction::fit(rows, 0.65).unwrap_err().reason, Reason::NoSpread);
        assert_eq!(Reconstruction::fit(rows, 1.0).unwrap_err().reason, Reason::OutOfRange);
    }
}
