//! Adjusted p-values for several tests at once.
//!
//! Each function answers in the order of its input; a test is rejected at level α where its adjusted p-value is ≤ α.

use crate::error::{Reason, Undefined};

/// Returns Bonferroni-adjusted p-values, `min(1, m p)` (Dunn 1961); controls the family-wise error rate.
///
/// ```
/// use modelwatch_stats::multiple::bonferroni;
/// assert_eq!(bonferroni(&[0.01, 0.5]), Ok(vec![0.02, 1.0]));
/// ```
pub fn bonferroni(p_values: &[f64]) -> Result<Vec<f64>, Undefined> {
    check(p_values)?;
    let m = p_values.len() as f64;
    Ok(p_values.iter().map(|p| (p * m).min(1.0)).collect())
}

/// Returns Holm-adjusted p-values (Holm 1979): `max over j ≤ i of min(1, (m - j + 1) p_(j))`.
///
/// ```
/// use modelwatch_stats::multiple::holm;
/// // Sorted 0.01, 0.02, 0.9 times 3, 2, 1, then made monotone.
/// assert_eq!(holm(&[0.02, 0.01, 0.9]), Ok(vec![0.04, 0.03, 0.9]));
/// ```
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, Undefined> {
    check(p_values)?;
    let order = ascending(p_values);
    let mut res = vec![0.0; p_values.len()];
    let mut running = 0.0f64;
    for (rank, &idx) in order.iter().enumerate() {
        let factor = (p_values.len() - rank) as f64;
        running = running.max((factor * p_values[idx]).min(1.0));
        res[idx] = running;
    }
    Ok(res)
}

/// Returns Benjamini–Hochberg-adjusted p-values (1995): `min over j ≥ i of min(1, m p_(j) / j)`.
///
/// ```
/// use modelwatch_stats::multiple::benjamini_hochberg;
/// // Sorted 0.01, 0.02, 0.04 times 3/1, 3/2, 3/3, then made monotone from the top.
/// assert_eq!(benjamini_hochberg(&[0.02, 0.01, 0.04]), Ok(vec![0.03, 0.03, 0.04]));
/// ```
pub fn benjamini_hochberg(p_values: &[f64]) -> Result<Vec<f64>, Undefined> {
    check(p_values)?;
    let order = ascending(p_values);
    let m = p_values.len() as f64;
    let mut res = vec![0.0; p_values.len()];
    let mut running = 1.0f64;
    for (rank, &idx) in order.iter().enumerate().rev() {
        running = running.min(m / (rank + 1) as f64 * p_values[idx]);
        res[idx] = running;
    }
    Ok(res)
}

fn check(p_values: &[f64]) -> Result<(), Undefined> {
    if p_values.iter().any(|it| it.is_nan()) {
        Err(Undefined::new(Reason::NotANumber))
    } else if p_values.iter().all(|it| (0.0..=1.0).contains(it)) {
        Ok(())
    } else {
        Err(Undefined::new(Reason::OutOfRange))
    }
}

fn ascending(p_values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&left, &right| p_values[left].total_cmp(&p_values[right]));
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn empty_families_are_fine_and_bad_values_are_not() {
        for adjust in [bonferroni, holm, benjamini_hochberg] {
            assert_eq!(adjust(&[]), Ok(vec![]));
            assert_eq!(adjust(&[f64::NAN]), Err(Undefined::new(Reason::NotANumber)));
            assert_eq!(adjust(&[1.1]), Err(Undefined::new(Reason::OutOfRange)));
        }
    }

    proptest! {
        #[test]
        fn adjusted_values_are_ordered_as_theory_says(p_values in prop::collection::vec(0.0..=1.0f64, 1..30)) {
            let (b, h, bh) = (bonferroni(&p_values).unwrap(), holm(&p_values).unwrap(), benjamini_hochberg(&p_values).unwrap());
            for idx in 0..p_values.len() {
                prop_assert!(p_values[idx] <= bh[idx] * (1.0 + 1e-12));
                prop_assert!(bh[idx] <= h[idx] * (1.0 + 1e-12));
                prop_assert!(h[idx] <= b[idx] * (1.0 + 1e-12));
            }
        }
    }
}
