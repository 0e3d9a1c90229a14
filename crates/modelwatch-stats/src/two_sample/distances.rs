//! Distances between two distributions.

use super::levels::Levels;
use crate::error::{Reason, Undefined, finite};
use crate::sample::{Point, total_count};

/// The logarithm of a divergence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogBase {
    /// Natural logarithm, nats.
    E,
    /// Base 2, bits.
    Two,
}

/// What takes the place of a zero proportion under a logarithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ZeroFill {
    /// The given positive number.
    Floor(f64),
    /// 1e-4, or a millionth of the smallest positive proportion where that is at most 1e-4; what Evidently does.
    BelowSmallest,
    /// Nothing: a zero on one side only makes the divergence undefined.
    Keep,
}

/// Returns the weights divided by their sum; undefined for no weight, a negative one, NaN or infinity.
pub fn proportions(weights: &[f64]) -> Result<Vec<f64>, Undefined> {
    let total = total_weight(weights)?;
    Ok(weights.iter().map(|it| it / total).collect())
}

/// Returns the proportions with the zeros replaced; the result may sum to more than 1.
///
/// ```
/// use modelwatch_stats::two_sample::{ZeroFill, fill_zeros};
///
/// assert_eq!(fill_zeros(&[0.0, 1.0], ZeroFill::Floor(0.001)), [0.001, 1.0]);
/// assert_eq!(fill_zeros(&[0.0, 1.0], ZeroFill::BelowSmallest), [0.0001, 1.0]);
/// ```
pub fn fill_zeros(proportions: &[f64], fill: ZeroFill) -> Vec<f64> {
    let floor = match fill {
        ZeroFill::Floor(floor) => floor,
        ZeroFill::Keep => return proportions.to_vec(),
        ZeroFill::BelowSmallest => {
            let smallest = proportions.iter().copied().filter(|it| *it > 0.0).fold(f64::INFINITY, f64::min);
            if smallest <= 1e-4 { smallest / 1e6 } else { 1e-4 }
        }
    };
    proportions.iter().map(|&it| if it == 0.0 { floor } else { it }).collect()
}

/// Returns the first Wasserstein distance `∫ |F - G| dx` (Vallender 1974), in units of the values.
///
/// Undefined for infinities.
///
/// ```
/// use modelwatch_stats::two_sample::wasserstein;
/// // Half of the mass moves by 2.
/// assert_eq!(wasserstein(&[(0.0, 2)], &[(0.0, 1), (2.0, 1)]), Ok(1.0));
/// ```
pub fn wasserstein(reference: &[Point], current: &[Point]) -> Result<f64, Undefined> {
    wasserstein_of(&Levels::new(reference, current)?)
}

/// [`wasserstein`] of merged samples.
pub fn wasserstein_of(levels: &Levels) -> Result<f64, Undefined> {
    finite(area(levels.refuse_infinities()?, |gap| gap))
}

/// Returns the energy distance `√(2 ∫ (F - G)² dx)` (Székely 2003), in units of the square root of the values.
///
/// Undefined for infinities. It is a number for all finite values: the root of what is beyond all numbers is none of those.
///
/// ```
/// use modelwatch_stats::two_sample::energy;
/// // 2 E|X - Y| - E|X - X'| - E|Y - Y'| = 2 * 1 - 0 - 1.
/// assert_eq!(energy(&[(0.0, 2)], &[(0.0, 1), (2.0, 1)]), Ok(1.0));
/// // √(2 * 3e308)
/// assert!((energy(&[(-1.5e308, 1)], &[(1.5e308, 1)]).unwrap() / 6f64.sqrt() / 1e154 - 1.0).abs() < 1e-15);
/// ```
pub fn energy(reference: &[Point], current: &[Point]) -> Result<f64, Undefined> {
    let levels = Levels::new(reference, current)?;
    let squares = 2.0 * area(levels.refuse_infinities()?, |gap| gap * gap);
    if squares.is_finite() {
        return Ok(squares.sqrt());
    }
    // Of values a quarter as large, which have half of the distance, and lose no digit by that.
    let smaller = |points: &[Point]| points.iter().map(|it| (it.0 / 4.0, it.1)).collect::<Vec<_>>();
    finite(2.0 * (2.0 * area(&Levels::new(&smaller(reference), &smaller(current))?, |gap| gap * gap)).sqrt())
}

/// Returns the Wasserstein distance in standard deviations (of the whole, not of a sample) of the reference, or in units of
/// `least_deviation` where that is greater.
///
/// Undefined for infinities, and for a distance from a constant with a `least_deviation` of 0.
///
/// ```
/// use modelwatch_stats::two_sample::wasserstein_normed;
/// assert_eq!(wasserstein_normed(&[(0.0, 1), (2.0, 1)], &[(2.0, 1), (4.0, 1)], 0.0), Ok(2.0));
/// ```
pub fn wasserstein_normed(reference: &[Point], current: &[Point], least_deviation: f64) -> Result<f64, Undefined> {
    let distance = wasserstein(reference, current)?;
    if distance == 0.0 {
        return Ok(0.0);
    }
    let deviation = standard_deviation(reference)?.max(least_deviation);
    if deviation > 0.0 { finite(distance / deviation) } else { Err(Undefined::new(Reason::NoSpread)) }
}

/// Returns the standard deviation (of the whole, not of a sample), scaled so that squares neither overflow nor vanish.
///
/// ```
/// use modelwatch_stats::two_sample::standard_deviation;
/// assert_eq!(standard_deviation(&[(-1e300, 1), (1e300, 1)]), Ok(1e300));
/// ```
pub fn standard_deviation(points: &[Point]) -> Result<f64, Undefined> {
    let n = total_count(points)? as f64;
    let occurring = || points.iter().filter(|it| it.1 > 0).map(|it| it.0);
    let (min, max) = (occurring().fold(f64::INFINITY, f64::min), occurring().fold(f64::NEG_INFINITY, f64::max));
    let scale = max / 2.0 - min / 2.0;
    if scale.is_infinite() || scale.is_nan() {
        return Err(Undefined::new(Reason::Infinite));
    }
    if scale == 0.0 {
        return Ok(0.0);
    }
    let scaled = |it: &Point| ((it.0 / 2.0 - min / 2.0) / scale, it.1 as f64);
    let mean = points.iter().map(scaled).map(|(value, count)| value * count).sum::<f64>() / n;
    let squares = points.iter().map(scaled).map(|(value, count)| (value - mean).powi(2) * count).sum::<f64>();
    // Twice, because both bounds were halved.
    finite(2.0 * (squares / n).sqrt() * scale)
}

/// `∫ weigh(|F - G|) dx`.
fn area(levels: &Levels, weigh: impl Fn(f64) -> f64) -> f64 {
    let (m, n) = (levels.m as f64, levels.n as f64);
    let (mut left, mut right, mut res) = (0u64, 0u64, 0.0);
    for pair in levels.levels.windows(2) {
        left += pair[0].reference;
        right += pair[0].current;
        res += weigh((left as f64 / m - right as f64 / n).abs()) * (pair[1].value - pair[0].value);
    }
    res
}

/// Returns the Jensen–Shannon distance, the square root of the divergence (Endres & Schindelin 2003): 0 to 1 in base 2.
///
/// `√(½ Σ p ln(p/m) + ½ Σ q ln(q/m))` with `m = (p + q) / 2`; zeros need no replacement.
///
/// ```
/// use modelwatch_stats::two_sample::{LogBase, jensen_shannon};
/// assert_eq!(jensen_shannon(&[1.0, 0.0], &[0.0, 1.0], LogBase::Two), Ok(1.0));
/// ```
pub fn jensen_shannon(reference: &[f64], current: &[f64], base: LogBase) -> Result<f64, Undefined> {
    let divergence = sum_pairs(reference, current, |p, q| {
        let middle = (p + q) / 2.0;
        (relative_entropy(p, middle) + relative_entropy(q, middle)) / 2.0
    })?;
    let divergence = match base {
        LogBase::E => divergence,
        LogBase::Two => divergence / std::f64::consts::LN_2,
    };
    // Rounding may leave a tiny negative number for equal inputs.
    Ok(divergence.max(0.0).sqrt())
}

/// Returns the population stability index `Σ (p - q) ln(p / q)` (Jeffreys 1946), in nats.
///
/// Zeros are replaced side by side after scaling, as `fill` says; with [`ZeroFill::Keep`] a one-sided zero is undefined.
///
/// ```
/// use modelwatch_stats::two_sample::{ZeroFill, psi};
/// // (0.5 - 0.25) ln 2 + (0.5 - 0.75) ln(2/3)
/// let expected = 0.25 * 2f64.ln() - 0.25 * (2.0f64 / 3.0).ln();
/// assert!((psi(&[2.0, 2.0], &[1.0, 3.0], ZeroFill::Keep).unwrap() - expected).abs() < 1e-15);
/// ```
pub fn psi(reference: &[f64], current: &[f64], fill: ZeroFill) -> Result<f64, Undefined> {
    let (p, q) = filled(reference, current, fill)?;
    finite(p.iter().zip(&q).map(|(&p, &q)| if p == q { 0.0 } else { (p - q) * (p / q).ln() }).sum())
}

/// Returns the relative entropy `Σ p ln(p / q)` of the reference p against the current q (Kullback & Leibler 1951), in nats.
///
/// Zeros are replaced as `fill` says, then both sides are scaled to 1 again.
///
/// ```
/// use modelwatch_stats::two_sample::{ZeroFill, kl};
/// let expected = 0.5 * 2f64.ln() + 0.5 * (2.0f64 / 3.0).ln();
/// assert!((kl(&[2.0, 2.0], &[1.0, 3.0], ZeroFill::Keep).unwrap() - expected).abs() < 1e-15);
/// ```
pub fn kl(reference: &[f64], current: &[f64], fill: ZeroFill) -> Result<f64, Undefined> {
    let (p, q) = filled(reference, current, fill)?;
    finite(sum_pairs(&p, &q, relative_entropy)?).map(|it| it.max(0.0))
}

/// Returns the Hellinger distance `√(½ Σ (√p - √q)²)` (Hellinger 1909): 0 to 1.
///
/// ```
/// use modelwatch_stats::two_sample::hellinger;
/// assert_eq!(hellinger(&[1.0, 0.0], &[0.0, 3.0]), Ok(1.0));
/// ```
pub fn hellinger(reference: &[f64], current: &[f64]) -> Result<f64, Undefined> {
    // This form, unlike √(1 - Σ√pq), does not cancel for nearly equal distributions.
    sum_pairs(reference, current, |p, q| (p.sqrt() - q.sqrt()).powi(2)).map(|it| (it / 2.0).sqrt())
}

/// Returns the total variation distance `½ Σ |p - q|`: 0 to 1.
///
/// ```
/// use modelwatch_stats::two_sample::total_variation;
/// assert_eq!(total_variation(&[1.0, 1.0], &[1.0, 3.0]), Ok(0.25));
/// ```
pub fn total_variation(reference: &[f64], current: &[f64]) -> Result<f64, Undefined> {
    sum_pairs(reference, current, |p, q| (p - q).abs()).map(|it| it / 2.0)
}

/// Returns the Chebyshev distance `max |p - q|`: 0 to 1.
///
/// ```
/// use modelwatch_stats::two_sample::linf;
/// assert_eq!(linf(&[1.0, 1.0], &[1.0, 3.0]), Ok(0.25));
/// ```
pub fn linf(reference: &[f64], current: &[f64]) -> Result<f64, Undefined> {
    let (left, right) = totals(reference, current)?;
    Ok(reference.iter().zip(current).fold(0.0, |res: f64, (p, q)| res.max((p / left - q / right).abs())))
}

/// `p ln(p / q)` with `0 ln 0 = 0`; infinite where only q is 0.
fn relative_entropy(p: f64, q: f64) -> f64 {
    if p == 0.0 { 0.0 } else { p * (p / q).ln() }
}

fn filled(reference: &[f64], current: &[f64], fill: ZeroFill) -> Result<(Vec<f64>, Vec<f64>), Undefined> {
    if matches!(fill, ZeroFill::Floor(floor) if !(floor > 0.0 && floor <= 1.0)) {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    totals(reference, current)?;
    Ok((fill_zeros(&proportions(reference)?, fill), fill_zeros(&proportions(current)?, fill)))
}

fn sum_pairs(reference: &[f64], current: &[f64], term: impl Fn(f64, f64) -> f64) -> Result<f64, Undefined> {
    let (left, right) = totals(reference, current)?;
    Ok(reference.iter().zip(current).map(|(p, q)| term(p / left, q / right)).sum())
}

fn totals(reference: &[f64], current: &[f64]) -> Result<(f64, f64), Undefined> {
    if reference.len() != current.len() {
        return Err(Undefined::new(Reason::LengthMismatch));
    }
    Ok((total_weight(reference)?, total_weight(current)?))
}

fn total_weight(weights: &[f64]) -> Result<f64, Undefined> {
    let mut res = 0.0;
    for &weight in weights {
        if weight.is_nan() {
            return Err(Undefined::new(Reason::NotANumber));
        }
        if weight < 0.0 {
            return Err(Undefined::new(Reason::OutOfRange));
        }
        res += weight;
    }
    if res == 0.0 { Err(Undefined::new(Reason::Empty)) } else { finite(res) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Distance = fn(&[f64], &[f64]) -> Result<f64, Undefined>;

    #[test]
    fn bad_weights_are_undefined() {
        let distances: [Distance; 6] = [
            hellinger,
            total_variation,
            linf,
            |p, q| jensen_shannon(p, q, LogBase::E),
            |p, q| psi(p, q, ZeroFill::Floor(1e-4)),
            |p, q| kl(p, q, ZeroFill::BelowSmallest),
        ];
        for distance in distances {
            for (weights, reason) in [
                (&[0.0, 0.0][..], Reason::Empty),
                (&[f64::NAN, 1.0], Reason::NotANumber),
                (&[-1.0, 1.0], Reason::OutOfRange),
                (&[f64::INFINITY, 1.0], Reason::Overflow),
                (&[1.0], Reason::LengthMismatch),
            ] {
                assert_eq!(distance(weights, &[1.0, 1.0]), Err(Undefined::new(reason)));
                assert_eq!(distance(&[1.0, 1.0], weights), Err(Undefined::new(reason)));
            }
            assert_eq!(distance(&[1.0, 3.0], &[2.0, 6.0]), Ok(0.0));
        }
        assert_eq!(psi(&[1.0, 1.0], &[0.0, 1.0], ZeroFill::Keep), Err(Undefined::new(Reason::Overflow)));
        assert_eq!(kl(&[1.0, 1.0], &[0.0, 1.0], ZeroFill::Keep), Err(Undefined::new(Reason::Overflow)));
        assert_eq!(psi(&[1.0], &[1.0], ZeroFill::Floor(0.0)), Err(Undefined::new(Reason::OutOfRange)));
        assert_eq!(wasserstein(&[(f64::INFINITY, 1)], &[(0.0, 1)]), Err(Undefined::new(Reason::Infinite)));
        assert_eq!(wasserstein(&[(f64::MAX, 1)], &[(-f64::MAX, 1)]), Err(Undefined::new(Reason::Overflow)));
        assert_eq!(wasserstein(&[], &[(0.0, 1)]), Err(Undefined::new(Reason::Empty)));
    }

    proptest! {
        #[test]
        fn distances_are_symmetric_and_bounded(pairs in prop::collection::vec((0.0..10.0f64, 0.0..10.0f64), 1..20)) {
            let (p, q): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            prop_assume!(p.iter().sum::<f64>() > 0.0 && q.iter().sum::<f64>() > 0.0);
            let tv = total_variation(&p, &q).unwrap();
            let h = hellinger(&p, &q).unwrap();
            let js = jensen_shannon(&p, &q, LogBase::Two).unwrap();
            prop_assert!((tv - total_variation(&q, &p).unwrap()).abs() < 1e-12);
            prop_assert!((js - jensen_shannon(&q, &p, LogBase::Two).unwrap()).abs() < 1e-9);
            prop_assert!(linf(&p, &q).unwrap() <= tv + 1e-12);
            prop_assert!(h * h <= tv + 1e-12 && tv <= h * 2f64.sqrt() + 1e-12);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&js));
        }
    }
}
