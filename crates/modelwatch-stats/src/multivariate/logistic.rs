//! Logistic regression with a penalty on the squares of its weights.

use crate::boosting::logistic;
use crate::error::{Reason, Undefined};

use super::design::{Design, Stop};
use super::lanes::{LANES, Lanes};
use super::rows::Rows;

/// How much a squared weight costs in units of log-likelihood, times ½; scikit-learn's `1 / C`. The intercept costs nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalty(pub f64);

/// The probability of the second class as `1 / (1 + exp(-(a + b · x)))`.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    /// `a`.
    pub intercept: f64,
    /// `b`.
    pub weights: Vec<f64>,
}

impl Logistic {
    /// Returns the model that makes `Σ log-likelihood - ½ penalty ‖b‖²` greatest.
    ///
    /// Newton's steps with the bound `¼ XᵀX + penalty I` of the Hessian (Böhning & Lindsay 1988): never a step too far, and the matrix
    /// is factored once. Undefined for labels of one class or another length, and for a penalty that is not positive.
    ///
    /// ```
    /// use modelwatch_stats::multivariate::{Logistic, Penalty, Rows};
    ///
    /// let x = [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0];
    /// let labels = [false, false, true, false, true, true];
    /// let model = Logistic::fit(Rows::new(&x, 1).unwrap(), &labels, Penalty(1.0)).unwrap();
    /// // Where the function is greatest its slope is 0.
    /// let off: f64 = x.iter().zip(labels).map(|(x, label)| (f64::from(u8::from(label)) - model.probability(&[*x])) * x).sum();
    /// assert!((off - model.weights[0]).abs() < 1e-8 && model.weights[0] > 0.5);
    /// ```
    pub fn fit(rows: Rows<'_>, labels: &[bool], penalty: Penalty) -> Result<Self, Undefined> {
        if labels.len() != rows.len() {
            return Err(Undefined::new(Reason::LengthMismatch));
        }
        if labels.iter().all(|it| *it) || !labels.contains(&true) {
            return Err(Undefined::new(Reason::OneClass));
        }
        let labels: Vec<Lanes> = labels.iter().map(|&it| [f64::from(u8::from(it)); LANES]).collect();
        let design = Design::new(&rows.iter().collect::<Vec<_>>(), penalty)?;
        Ok(design.fit(&labels, Stop { steps: 1000, moved: 1e-10 }).first())
    }

    /// Returns the probability of the second class.
    pub fn probability(&self, row: &[f64]) -> f64 {
        logistic(self.score(row))
    }

    /// Returns the log-odds of the second class.
    pub fn score(&self, row: &[f64]) -> f64 {
        self.intercept + self.weights.iter().zip(row).map(|(weight, it)| weight * it).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_zero_in_every_direction() {
        let values: Vec<f64> = (0..60).map(|it| f64::from(it * 7919 % 101) / 25.0 - 2.0).collect();
        let rows = Rows::new(&values, 3).unwrap();
        let labels: Vec<bool> = rows.iter().enumerate().map(|(idx, it)| it[0] - it[1] > 0.0 || idx % 7 == 0).collect();
        let model = Logistic::fit(rows, &labels, Penalty(0.5)).unwrap();
        let mut slope = [0.0; 4];
        for (row, label) in rows.iter().zip(&labels) {
            let residual = f64::from(u8::from(*label)) - model.probability(row);
            slope[0] += residual;
            (0..3).for_each(|it| slope[it + 1] += residual * row[it]);
        }
        (0..3).for_each(|it| slope[it + 1] -= 0.5 * model.weights[it]);
        assert!(slope.iter().all(|it| it.abs() < 1e-7), "{slope:?}");
    }

    #[test]
    fn what_cannot_be_learned_is_undefined() {
        let rows = Rows::new(&[1.0, 2.0], 1).unwrap();
        let reason = |labels: &[bool], penalty| Logistic::fit(rows, labels, Penalty(penalty)).unwrap_err().reason;
        assert_eq!(reason(&[true, true], 1.0), Reason::OneClass);
        assert_eq!(reason(&[true], 1.0), Reason::LengthMismatch);
        assert_eq!(reason(&[true, false], 0.0), Reason::OutOfRange);
        // Rows that a plane separates have a model all the same, and so has a constant column.
        assert!(Logistic::fit(rows, &[true, false], Penalty(1.0)).unwrap().weights[0] < 0.0);
        let constant = Rows::new(&[4.0, 4.0], 1).unwrap();
        let weight = Logistic::fit(constant, &[true, false], Penalty(1.0)).unwrap().weights[0];
        assert!(weight.abs() < 1e-9);
    }
}
