//! φ_K: the correlation of two normal variables whose table would deviate from independence as much as this one does.

use std::f64::consts::{FRAC_PI_2, TAU};

use super::Contingency;
use crate::error::{Reason, Undefined};
use crate::two_sample::tails::normal_sf;

/// The range of the normal variables, in standard deviations.
const RANGE: f64 = 5.0;

/// How many equal bins numbers are put into before they are names.
pub const PHIK_BINS: u32 = 10;

/// How many parts the integrals over the angle have; even.
const N_PARTS: u32 = 200;

/// The most cells of a table: each costs some ten thousand exponentials.
const MAX_CELLS: usize = 2_000;

/// How often the interval of correlations is halved.
const N_HALVINGS: u32 = 40;

/// The weight of a node of an integral over the angle, and the sine and cosine there.
type Node = (f64, f64, f64);

/// Returns φ_K (Baak, Koopman, Snoek & Klous 2020), from 0 to 1.
///
/// `χ²` of the table is compared with that of a bivariate normal distribution in as many equal bins from -5 to 5, as a function of its
/// correlation: `pedestal + (χ²max - pedestal) · d(ρ) / d(1)`, where `d(ρ) = Σ (P_ρ - P_0)² / P_0` over the cells, `χ²max = n min(r - 1, c - 1)`
/// and the pedestal is what chance gives, the degrees of freedom. `χ²` is not corrected for continuity, which the package `phik`
/// does for tables of two by two.
///
/// ```
/// use modelwatch_stats::correlation::{Contingency, phik};
///
/// let names: Vec<_> = (0..200).map(|it| Some(it % 4)).collect();
/// let table = |other: &[Option<u32>]| Contingency::new(&names, other, &[1.0; 200]).unwrap();
/// assert_eq!(phik(&table(&names)), Ok(1.0));
/// // Every pair equally often: no more than chance.
/// let other: Vec<_> = (0..200).map(|it| Some(it / 4 % 2)).collect();
/// assert_eq!(phik(&table(&other)), Ok(0.0));
/// ```
///
/// # Errors
/// When there are fewer than two rows, one side has fewer than two names, or the table has more than 2,000 cells.
pub fn phik(table: &Contingency) -> Result<f64, Undefined> {
    let (statistic, rows, columns, n) = table.chi_squared()?;
    if rows * columns > MAX_CELLS {
        return Err(Undefined::new(Reason::TooManyBins));
    }
    let pedestal = ((rows - 1) * (columns - 1)) as f64;
    let greatest = n * (rows.min(columns) - 1) as f64;
    if pedestal >= greatest {
        return Err(Undefined::new(Reason::TooFew));
    }
    // The greatest value is a sum of many rounded terms.
    if statistic >= greatest * (1.0 - 1e-12) {
        return Ok(1.0);
    }
    if statistic <= pedestal {
        return Ok(0.0);
    }
    let (left, right) = (edges(rows), edges(columns));
    let wanted = (statistic - pedestal) / (greatest - pedestal) * deviation(FRAC_PI_2, &left, &right);
    // The deviation grows with the angle whose sine is the correlation.
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    for _ in 0..N_HALVINGS {
        let middle = f64::midpoint(low, high);
        if deviation(middle, &left, &right) < wanted { low = middle } else { high = middle }
    }
    Ok(f64::midpoint(low, high).sin())
}

/// Returns numbers as names of equal bins between the least and the greatest, as for [`phik`]; NaN has none.
///
/// ```
/// use modelwatch_stats::correlation::equal_bins;
/// assert_eq!(equal_bins(&[0.0, 0.4, f64::NAN, 0.6, 1.0], 2), [Some(0), Some(0), None, Some(1), Some(1)]);
/// ```
pub fn equal_bins(values: &[f64], n_bins: u32) -> Vec<Option<u32>> {
    let finite = || values.iter().copied().filter(|it| it.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let bin = |it: &f64| {
        let place = (it - low) / (high - low) * f64::from(n_bins);
        // A range that is no float has no bins, and neither has an infinity.
        (it.is_finite() && !place.is_nan()).then(|| (place as u32).min(n_bins.saturating_sub(1)))
    };
    values.iter().map(bin).collect()
}

fn edges(n_bins: usize) -> Vec<f64> {
    (0..=n_bins).map(|it| 2.0 * RANGE * it as f64 / n_bins as f64 - RANGE).collect()
}

/// `d(sin angle)`: how much a normal table of that correlation deviates from one of independence.
fn deviation(angle: f64, left: &[f64], right: &[f64]) -> f64 {
    let nodes = nodes(angle);
    let corners = |x: &f64| -> Vec<f64> { right.iter().map(|y| excess(&nodes, angle, *x, *y)).collect() };
    let corner: Vec<Vec<f64>> = left.iter().map(corners).collect();
    let mass = |it: &[f64]| normal_sf(it[0]) - normal_sf(it[1]);
    let mut res = 0.0;
    for (row, x) in left.windows(2).enumerate() {
        for (column, y) in right.windows(2).enumerate() {
            let more =
                corner[row + 1][column + 1] - corner[row][column + 1] - corner[row + 1][column] + corner[row][column];
            res += more * more / (mass(x) * mass(y));
        }
    }
    res
}

/// `P(X < x, Y < y)` less that of independence (Plackett 1954): `1/2π ∫ exp(-(x² + y² - 2xy sin θ) / 2cos² θ) dθ` from 0 to the angle,
/// by Simpson's rule at the [`nodes`] of the angle.
fn excess(nodes: &[Node], angle: f64, x: f64, y: f64) -> f64 {
    let term = |&(weight, sine, cosine): &Node| {
        // With x = y the fraction is x² / (1 + sin θ), also where the cosine is 0.
        let apart = if x == y { 0.0 } else { ((x - y) / cosine).powi(2) / 2.0 };
        weight * (-apart - x * y / (1.0 + sine)).exp()
    };
    let sum: f64 = nodes.iter().map(term).sum();
    sum * step(angle) / 3.0 / TAU
}

/// Returns the nodes of the integrals from 0 to the angle, which are the same for every corner.
fn nodes(angle: f64) -> Vec<Node> {
    let step = step(angle);
    let node = |it: u32| {
        let weight = if it == 0 || it == N_PARTS { 1.0 } else { f64::from(2 + it % 2 * 2) };
        let (sine, cosine) = (step * f64::from(it)).sin_cos();
        (weight, sine, cosine)
    };
    (0..=N_PARTS).map(node).collect()
}

fn step(angle: f64) -> f64 {
    angle / f64::from(N_PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_of_the_normal_distribution_are_those_of_the_closed_form() {
        // P(X < 0, Y < 0) = 1/4 + asin(ρ) / 2π.
        for angle in [0.1f64, 0.7, 1.5, FRAC_PI_2] {
            assert!((excess(&nodes(angle), angle, 0.0, 0.0) - angle / TAU).abs() < 1e-12, "{angle}");
        }
        // With a correlation of 1 it is the smaller of the two.
        for (x, y) in [(0.5, 0.5), (-1.0, 2.0), (1.0, 1.5)] {
            let (p, q) = (1.0 - normal_sf(x), 1.0 - normal_sf(y));
            assert!((excess(&nodes(FRAC_PI_2), FRAC_PI_2, x, y) - (p.min(q) - p * q)).abs() < 1e-9, "{x} {y}");
        }
    }

    #[test]
    fn the_correlation_of_a_normal_table_comes_back() {
        for correlation in [0.3f64, 0.6, 0.9] {
            let bins = edges(PHIK_BINS as usize);
            let (mut left, mut right, mut weights) = (Vec::new(), Vec::new(), Vec::new());
            let angle = correlation.asin();
            let nodes = nodes(angle);
            let below = |x: f64, y: f64| (1.0 - normal_sf(x)) * (1.0 - normal_sf(y)) + excess(&nodes, angle, x, y);
            for (row, x) in bins.windows(2).enumerate() {
                for (column, y) in bins.windows(2).enumerate() {
                    left.push(Some(row as u32));
                    right.push(Some(column as u32));
                    let mass = below(x[1], y[1]) - below(x[0], y[1]) - below(x[1], y[0]) + below(x[0], y[0]);
                    weights.push(1e12 * mass.max(0.0));
                }
            }
            let table = Contingency::new(&left, &right, &weights).unwrap();
            // The largest statistic is taken to be that of perfect correlation, which finite ranges miss a little.
            let got = phik(&table).unwrap();
            assert!((got - correlation).abs() < 0.01, "{correlation}: {got}");
        }
    }

    #[test]
    fn tables_that_say_nothing_are_undefined() {
        let one = Contingency::new(&[Some(0); 9], &[Some(0); 9], &[1.0; 9]).unwrap();
        assert_eq!(phik(&one), Err(Undefined::new(Reason::NoSpread)));
        // As many names as rows on both sides: what chance gives is all there can be.
        let names: Vec<_> = (0..5).map(Some).collect();
        let table = Contingency::new(&names, &names, &[1.0; 5]).unwrap();
        assert!(phik(&table).is_ok());
        assert_eq!(equal_bins(&[3.0, 3.0, f64::INFINITY], 4), [None; 3]);
    }
}
