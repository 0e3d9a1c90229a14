//! alibi-detect 0.13.0, from its documented definitions: SciPy's tests, with results rounded to `f32`.

use super::{Categories, Numbers, scipy, total};
use crate::error::{Reason, Undefined};
use crate::two_sample::{
    CramerVonMises, Shares, Test, Yates, chi2_contingency_with, fisher_exact_greater, ks_asymptotic,
};

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

/// Returns the p-value of `FETDrift` with its default alternative: that the later one of two categories by name, as `1` or `true`, is more
/// frequent in the current rows. Undefined for more than two categories; of one alone nothing can be more frequent.
pub fn fet(categories: Categories<'_>) -> Result<f64, Undefined> {
    let (&[_, reference_hits], &[_, current_hits]) = (categories.reference, categories.current) else {
        let is_one = categories.reference.len() == 1;
        return if is_one { Ok(1.0) } else { Err(Undefined::new(Reason::OutOfRange)) };
    };
    let (reference_rows, current_rows) = (total(categories.reference), total(categories.current));
    let shares = Shares { reference_hits, reference_rows, current_hits, current_rows };
    fisher_exact_greater(shares).map(|it| f64::from(it as f32))
}

fn rounded(test: Test) -> Test {
    let round = |it: f64| f64::from(it as f32);
    Test { statistic: round(test.statistic), p_value: round(test.p_value) }
}
