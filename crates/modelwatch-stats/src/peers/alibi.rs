//! alibi-detect 0.13.0, from its documented definitions: SciPy's tests, with results rounded to `f32`.

use super::{Categories, Numbers, scipy};
use crate::error::Undefined;
use crate::two_sample::{CramerVonMises, Test, Yates, chi2_contingency_with, ks_asymptotic};

/// Returns `KSDrift`: the asymptotic p-value.
pub fn ks(numbers: Numbers<'_>) -> Result<Test, Undefined> {
    ks_asymptotic(numbers.reference, numbers.current).map(rounded)
}

/// Returns `CVMDrift`: SciPy's p-value, by which equal constants are drift.
pub fn cvm(numbers: Numbers<'_>) -> Result<Test, Undefined> {
    scipy::cramervonmises_2samp(numbers.reference, numbers.current, CramerVonMises::Auto).map(rounded)
}

/// Returns `ChiSquareDrift`: corrected by Yates for two categories.
pub fn chi2(categories: Categories<'_>) -> Result<Test, Undefined> {
    let test = chi2_contingency_with(categories.reference, categories.current, Yates::TwoByTwo)?;
    Ok(rounded(Test { statistic: test.statistic, p_value: test.p_value }))
}

fn rounded(test: Test) -> Test {
    let round = |it: f64| f64::from(it as f32);
    Test { statistic: round(test.statistic), p_value: round(test.p_value) }
}
