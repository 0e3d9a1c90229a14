//! What is wrong with the errors of a regression: tests of bias, normality and equal spread.
//!
//! Residuals come with the prediction they belong to and how often the pair occurs.

use statrs::function::beta::beta_reg;
use statrs::function::gamma::gamma_ur;

use crate::error::{Reason, Undefined, finite};
use crate::two_sample::Test;

/// A prediction, its residual, and how many rows have both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residual {
    /// The predicted value.
    pub predicted: f64,
    /// How far it is from the truth.
    pub error: f64,
    /// How many rows there are of it.
    pub count: u64,
}

/// Returns Student's t-test (1908) of a mean error of zero.
///
/// Undefined for fewer than two rows, for equal errors, and for a NaN or infinity.
///
/// ```
/// use modelwatch_stats::residuals::{Residual, bias_test};
///
/// // SciPy: ttest_1samp([1, 2, 3], 0) is t = 3.4641016, p = 0.0741799.
/// let residuals = [1.0, 2.0, 3.0].map(|error| Residual { predicted: 0.0, error, count: 1 });
/// let test = bias_test(&residuals).unwrap();
/// assert!((test.statistic - 3.4641016151).abs() < 1e-9 && (test.p_value - 0.0741799002).abs() < 1e-9);
/// ```
pub fn bias_test(residuals: &[Residual]) -> Result<Test, Undefined> {
    let n = count(residuals, 2)?;
    let [mean, square, ..] = moments(residuals, n)?;
    let statistic = mean / (square / (n - 1.0)).sqrt();
    let degrees = n - 1.0;
    let p_value = beta_reg(degrees / 2.0, 0.5, degrees / (degrees + statistic * statistic));
    Ok(Test { statistic, p_value })
}

/// Returns the test of normal errors of Jarque & Bera (1980): `n/6 (skewness² + (kurtosis - 3)² / 4)` against χ² with two
/// degrees of freedom.
///
/// The distribution is that of many rows: below some hundreds the test rejects too seldom. Undefined for fewer than
/// eight rows, for equal errors, and for a NaN or infinity.
///
/// ```
/// use modelwatch_stats::residuals::{Residual, normality_test};
///
/// // SciPy: jarque_bera([1, 1, 1, 2, 2, 3, 4, 9]) is 4.2991, p = 0.1165.
/// let residuals = [(1.0, 3), (2.0, 2), (3.0, 1), (4.0, 1), (9.0, 1)].map(|(error, count)| Residual { predicted: 0.0, error, count });
/// let test = normality_test(&residuals).unwrap();
/// assert!((test.statistic - 4.2991).abs() < 1e-4 && (test.p_value - 0.1165).abs() < 1e-4);
/// ```
pub fn normality_test(residuals: &[Residual]) -> Result<Test, Undefined> {
    let n = count(residuals, 8)?;
    let [_, square, cube, fourth] = moments(residuals, n)?;
    let (skewness, kurtosis) = (cube / square.powf(1.5), fourth / (square * square));
    let statistic = n / 6.0 * (skewness * skewness + (kurtosis - 3.0).powi(2) / 4.0);
    Ok(Test { statistic: finite(statistic)?, p_value: (-statistic / 2.0).exp() })
}

/// Returns the test of equal spread of Breusch & Pagan (1979) in the form of Koenker (1981), which needs no normal errors:
/// `n R²` of the regression of the squared errors on the predictions, against χ² with one degree of freedom.
///
/// Undefined for fewer than eight rows, for equal predictions or squared errors, and for a NaN or infinity.
///
/// ```
/// use modelwatch_stats::residuals::{Residual, equal_spread_test};
///
/// // Errors that grow with the prediction: the squares 1, 4, … correlate with 1, 2, … at 0.9762.
/// let residuals: Vec<Residual> = (1..=8)
///     .map(|it| Residual { predicted: f64::from(it), error: f64::from(it) * if it % 2 == 0 { 1.0 } else { -1.0 }, count: 1 })
///     .collect();
/// let test = equal_spread_test(&residuals).unwrap();
/// assert!((test.statistic - 8.0 * 0.97618706_f64.powi(2)).abs() < 1e-6 && test.p_value < 0.01);
/// ```
pub fn equal_spread_test(residuals: &[Residual]) -> Result<Test, Undefined> {
    let n = count(residuals, 8)?;
    moments(residuals, n)?;
    let mean = |of: fn(&Residual) -> f64| residuals.iter().map(|it| it.count as f64 * of(it)).sum::<f64>() / n;
    let (predicted, squared) = (mean(|it| it.predicted), mean(|it| it.error * it.error));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for it in residuals {
        let (x, y, count) = (it.predicted - predicted, it.error * it.error - squared, it.count as f64);
        xx += count * x * x;
        yy += count * y * y;
        xy += count * x * y;
    }
    if xx == 0.0 || yy == 0.0 {
        return Err(Undefined::new(Reason::NoSpread));
    }
    let statistic = finite(n * (xy / xx) * (xy / yy))?;
    let p_value = if statistic == 0.0 { 1.0 } else { gamma_ur(0.5, statistic / 2.0) };
    Ok(Test { statistic, p_value })
}

fn count(residuals: &[Residual], least: u64) -> Result<f64, Undefined> {
    let n: u64 = residuals.iter().map(|it| it.count).sum();
    if residuals.iter().any(|it| it.error.is_nan() || it.predicted.is_nan()) {
        Err(Undefined::new(Reason::NotANumber))
    } else if residuals.iter().any(|it| it.error.is_infinite() || it.predicted.is_infinite()) {
        Err(Undefined::new(Reason::Infinite))
    } else if n < least {
        Err(Undefined::new(Reason::TooFew))
    } else {
        Ok(n as f64)
    }
}

/// Returns the mean error and the second to fourth central moments.
fn moments(residuals: &[Residual], n: f64) -> Result<[f64; 4], Undefined> {
    let mean = residuals.iter().map(|it| it.count as f64 * it.error).sum::<f64>() / n;
    let central =
        |power: i32| residuals.iter().map(|it| it.count as f64 * (it.error - mean).powi(power)).sum::<f64>() / n;
    let res = [finite(mean)?, finite(central(2))?, finite(central(3))?, finite(central(4))?];
    if res[1] == 0.0 { Err(Undefined::new(Reason::NoSpread)) } else { Ok(res) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(f64, f64)]) -> Vec<Residual> {
        rows.iter().map(|&(predicted, error)| Residual { predicted, error, count: 1 }).collect()
    }

    #[test]
    fn too_little_and_bad_input_is_undefined() {
        assert_eq!(bias_test(&of(&[(0.0, 1.0)])), Err(Undefined::new(Reason::TooFew)));
        assert_eq!(bias_test(&of(&[(0.0, 1.0), (0.0, 1.0)])), Err(Undefined::new(Reason::NoSpread)));
        assert_eq!(normality_test(&of(&[(0.0, 1.0); 3])), Err(Undefined::new(Reason::TooFew)));
        let mut rows: Vec<(f64, f64)> = (0..9).map(|it| (1.0, f64::from(it))).collect();
        assert_eq!(equal_spread_test(&of(&rows)), Err(Undefined::new(Reason::NoSpread)));
        rows[2].1 = f64::NAN;
        assert_eq!(normality_test(&of(&rows)), Err(Undefined::new(Reason::NotANumber)));
    }

    #[test]
    fn an_error_of_both_signs_has_no_bias() {
        let test = bias_test(&of(&[(0.0, -1.0), (0.0, 1.0)])).unwrap();
        assert_eq!((test.statistic, test.p_value), (0.0, 1.0));
    }
}
