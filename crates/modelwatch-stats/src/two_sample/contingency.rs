//! The χ² test of homogeneity for two rows of counts.

use statrs::function::gamma::gamma_ur;

use crate::error::{Reason, Undefined};

/// Whether a table of two categories is corrected for continuity (Yates 1934).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yates {
    /// No correction.
    Off,
    /// Each deviation shrinks by up to 1/2 where there is one degree of freedom.
    TwoByTwo,
}

/// The outcome of a χ² test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChiSquared {
    /// Pearson's statistic.
    pub statistic: f64,
    /// The upper tail of the χ² distribution.
    pub p_value: f64,
    /// One less than the number of categories that occur.
    pub degrees_of_freedom: u64,
}

/// Returns Pearson's two-sample χ² test (Pearson 1911), uncorrected: `Σ (observed - expected)² / expected` over both rows.
///
/// Categories that neither side has are left out. A single category gives statistic 0 and p-value 1.
/// Undefined if a side has no rows or the lengths differ.
///
/// ```
/// use modelwatch_stats::two_sample::chi2_contingency;
///
/// // All four expected counts are 15, all deviations 5: 4 * 25 / 15.
/// let test = chi2_contingency(&[10, 20], &[20, 10]).unwrap();
/// assert!((test.statistic - 20.0 / 3.0).abs() < 1e-12);
/// assert_eq!(test.degrees_of_freedom, 1);
/// ```
pub fn chi2_contingency(reference: &[u64], current: &[u64]) -> Result<ChiSquared, Undefined> {
    chi2_contingency_with(reference, current, Yates::Off)
}

/// Returns [`chi2_contingency`] with a choice of correction.
///
/// ```
/// use modelwatch_stats::two_sample::{Yates, chi2_contingency_with};
///
/// let test = chi2_contingency_with(&[10, 20], &[20, 10], Yates::TwoByTwo).unwrap();
/// assert!((test.statistic - 4.0 * 4.5f64.powi(2) / 15.0).abs() < 1e-12);
/// ```
pub fn chi2_contingency_with(reference: &[u64], current: &[u64], yates: Yates) -> Result<ChiSquared, Undefined> {
    if reference.len() != current.len() {
        return Err(Undefined::new(Reason::LengthMismatch));
    }
    let total = |counts: &[u64]| counts.iter().map(|&it| it as f64).sum::<f64>();
    let (n_reference, n_current) = (total(reference), total(current));
    if n_reference == 0.0 || n_current == 0.0 {
        return Err(Undefined::new(Reason::Empty));
    }
    let (share_reference, share_current) =
        (n_reference / (n_reference + n_current), n_current / (n_reference + n_current));
    let rows = reference.iter().zip(current).filter(|it| *it.0 > 0 || *it.1 > 0);
    let degrees_of_freedom = rows.clone().count() as u64 - 1;
    if degrees_of_freedom == 0 {
        return Ok(ChiSquared { statistic: 0.0, p_value: 1.0, degrees_of_freedom });
    }
    let correction = if yates == Yates::TwoByTwo && degrees_of_freedom == 1 { 0.5 } else { 0.0 };
    let mut statistic = 0.0;
    for (&left, &right) in rows {
        let (left, right) = (left as f64, right as f64);
        for (observed, share) in [(left, share_reference), (right, share_current)] {
            let expected = (left + right) * share;
            let deviation = (observed - expected).abs();
            statistic += (deviation - deviation.min(correction)).powi(2) / expected;
        }
    }
    Ok(ChiSquared { statistic, p_value: chi_squared_sf(statistic, degrees_of_freedom as f64), degrees_of_freedom })
}

/// Returns Cramér's V for two rows, `√(χ² / n)` (Cramér 1946), from 0 for equal shares to 1 for no common category.
///
/// Undefined for a single category.
///
/// ```
/// use modelwatch_stats::two_sample::cramers_v;
/// assert!((cramers_v(&[5, 0], &[0, 5]).unwrap() - 1.0).abs() < 1e-12);
/// ```
pub fn cramers_v(reference: &[u64], current: &[u64]) -> Result<f64, Undefined> {
    let test = chi2_contingency(reference, current)?;
    if test.degrees_of_freedom == 0 {
        return Err(Undefined::new(Reason::NoSpread));
    }
    let n: f64 = reference.iter().chain(current).map(|&it| it as f64).sum();
    Ok((test.statistic / n).sqrt())
}

fn chi_squared_sf(statistic: f64, degrees_of_freedom: f64) -> f64 {
    if statistic <= 0.0 { 1.0 } else { gamma_ur(degrees_of_freedom / 2.0, statistic / 2.0).clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_category_and_no_rows() {
        let test = chi2_contingency(&[3, 0], &[4, 0]).unwrap();
        assert_eq!((test.statistic, test.p_value, test.degrees_of_freedom), (0.0, 1.0, 0));
        assert_eq!(cramers_v(&[3], &[4]), Err(Undefined::new(Reason::NoSpread)));
        assert_eq!(chi2_contingency(&[0, 0], &[4, 1]), Err(Undefined::new(Reason::Empty)));
        assert_eq!(chi2_contingency(&[], &[]), Err(Undefined::new(Reason::Empty)));
        assert_eq!(chi2_contingency(&[1], &[4, 1]), Err(Undefined::new(Reason::LengthMismatch)));
    }
}
