//! The χ² and G tests of homogeneity for two rows of counts.

use super::{tails::chi_squared_sf, total};
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
    power_divergence(reference, current, yates, |observed, expected| (observed - expected).powi(2) / expected)
}

/// Returns the two-sample G test, the likelihood ratio (Wilks 1938): `2 Σ observed ln(observed / expected)` over both rows.
///
/// Undefined as [`chi2_contingency`].
///
/// ```
/// use modelwatch_stats::two_sample::{Yates, g_test};
///
/// let test = g_test(&[10, 20], &[20, 10], Yates::Off).unwrap();
/// let expected = 4.0 * (10.0 * (10.0f64 / 15.0).ln() + 20.0 * (20.0f64 / 15.0).ln());
/// assert!((test.statistic - expected).abs() < 1e-12);
/// ```
pub fn g_test(reference: &[u64], current: &[u64], yates: Yates) -> Result<ChiSquared, Undefined> {
    power_divergence(reference, current, yates, |observed, expected| {
        if observed > 0.0 { 2.0 * observed * (observed / expected).ln() } else { 0.0 }
    })
}

/// Returns the test for large tables: the greater p-value of Pearson's statistic and of G over Williams' factor (1976).
///
/// Pearson's is too small far in the tail where counts are low, G's in the middle; neither is trusted alone. The statistic is
/// Pearson's, uncorrected.
///
/// ```
/// use modelwatch_stats::two_sample::{chi2_contingency, homogeneity};
///
/// let (left, right) = ([90, 5, 5], [70, 20, 10]);
/// assert!(homogeneity(&left, &right).unwrap().p_value >= chi2_contingency(&left, &right).unwrap().p_value);
/// ```
pub fn homogeneity(reference: &[u64], current: &[u64]) -> Result<ChiSquared, Undefined> {
    let pearson = chi2_contingency(reference, current)?;
    let ratio = g_test(reference, current, Yates::Off)?;
    if pearson.degrees_of_freedom == 0 {
        return Ok(pearson);
    }
    let (m, n) = (total(reference), total(current));
    let rows = m + n;
    let inverse = |counts: f64| rows / counts - 1.0;
    let columns: f64 = reference
        .iter()
        .zip(current)
        .filter(|it| *it.0 > 0 || *it.1 > 0)
        .map(|it| rows / (*it.0 as f64 + *it.1 as f64))
        .sum();
    let of_sides = inverse(m) + inverse(n) + 1.0;
    let degrees_of_freedom = pearson.degrees_of_freedom as f64;
    let factor = 1.0 + of_sides * (columns - 1.0) / (6.0 * rows * degrees_of_freedom);
    let p_value = chi_squared_sf(ratio.statistic / factor, degrees_of_freedom);
    Ok(ChiSquared { p_value: pearson.p_value.max(p_value), ..pearson })
}

fn power_divergence(
    reference: &[u64],
    current: &[u64],
    yates: Yates,
    term: impl Fn(f64, f64) -> f64,
) -> Result<ChiSquared, Undefined> {
    if reference.len() != current.len() {
        return Err(Undefined::new(Reason::LengthMismatch));
    }
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
            let deviation = expected - observed;
            statistic += term(observed + deviation.signum() * deviation.abs().min(correction), expected);
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
