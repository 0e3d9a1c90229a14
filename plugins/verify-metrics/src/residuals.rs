//! The tests of a regression's errors.
//!
//! They look at the kept rows, each as often as it was seen and whatever it weighs.

use modelwatch_stats::residuals::{Residual, bias_test, equal_spread_test, normality_test};

use crate::{bootstrap::Rows, row::Layout, row::Prediction};

/// Returns name and p-value of each test for a model; NaN where it is undefined.
pub(crate) fn tests(layout: &Layout, rows: &Rows<'_>, model: usize) -> [(&'static str, f64); 3] {
    let mut residuals = Vec::new();
    for (words, count) in rows.iter() {
        let label = Layout::label_number(words);
        let (predicted, error) = match layout.prediction(words, model) {
            Prediction::Number(value) => (value, value - label),
            _ => (f64::NAN, f64::NAN),
        };
        residuals.push(Residual { predicted, error, count });
    }
    [
        ("residual_bias_p", bias_test(&residuals)),
        ("residual_normality_p", normality_test(&residuals)),
        ("residual_heteroscedasticity_p", equal_spread_test(&residuals)),
    ]
    .map(|(name, test)| (name, test.map_or(f64::NAN, |it| it.p_value)))
}
