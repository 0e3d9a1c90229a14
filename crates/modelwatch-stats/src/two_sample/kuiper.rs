//! The two-sample Kuiper test.

use super::{Test, levels::Levels};
use crate::error::Undefined;
use crate::sample::Point;

/// Returns Kuiper's test (1960): `V = sup (F - G) + sup (G - F)`, as sensitive in the tails as in the middle.
///
/// The p-value is the limit's at `(√N + 0.155 + 0.24 / √N) V`, where `N = mn / (m + n)` (Stephens 1970).
/// Ties make it conservative.
///
/// ```
/// use modelwatch_stats::two_sample::kuiper;
///
/// let test = kuiper(&[(1.0, 1), (4.0, 1)], &[(2.0, 1), (3.0, 1)]).unwrap();
/// assert_eq!(test.statistic, 1.0);
/// assert_eq!(kuiper(&[(1.0, 9)], &[(1.0, 5)]).unwrap().p_value, 1.0);
/// ```
pub fn kuiper(reference: &[Point], current: &[Point]) -> Result<Test, Undefined> {
    let levels = Levels::new(reference, current)?;
    let (m, n) = (u128::from(levels.m), u128::from(levels.n));
    let (mut left, mut right, mut above, mut below) = (0u128, 0u128, 0u128, 0u128);
    for level in &levels.levels {
        left += u128::from(level.reference);
        right += u128::from(level.current);
        above = above.max((left * n).saturating_sub(right * m));
        below = below.max((right * m).saturating_sub(left * n));
    }
    let statistic = (above + below) as f64 / (m * n) as f64;
    let effective = (levels.m as f64 / (levels.m + levels.n) as f64 * levels.n as f64).sqrt();
    Ok(Test { statistic, p_value: limit_sf((effective + 0.155 + 0.24 / effective) * statistic) })
}

/// `2 Σ (4 j² x² - 1) e^(-2 j² x²)`.
fn limit_sf(x: f64) -> f64 {
    // Below, the sum is 1 to eight digits and converges slowly.
    if x < 0.4 {
        return 1.0;
    }
    let term = |j: f64| (4.0 * j * j * x * x - 1.0) * (-2.0 * j * j * x * x).exp();
    (2.0 * (1..=40).map(|it| term(f64::from(it))).sum::<f64>()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_table() {
        // Stephens (1970), table 1: upper percentage points of the modified statistic.
        for (x, p) in [(1.620, 0.10), (1.747, 0.05), (2.001, 0.01)] {
            assert!((limit_sf(x) / p - 1.0).abs() < 5e-3, "{x}: {}", limit_sf(x));
        }
        assert!(limit_sf(0.41) > 0.999_999);
    }
}
