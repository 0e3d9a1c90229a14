//! Distances between two distributions.

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
    let (m, n) = (total_count(reference)? as f64, total_count(current)? as f64);
    if reference.iter().chain(current).any(|it| it.0.is_infinite()) {
        return Err(Undefined::new(Reason::Infinite));
    }
    let (mut left, mut right) = (reference, current);
    let (mut seen_left, mut seen_right, mut res) = (0u64, 0u64, 0.0);
    let mut last = None;
    loop {
        let value = match (left.first(), right.first()) {
            (None, None) => return finite(res),
            (Some(it), None) | (None, Some(it)) => it.0,
            (Some(l), Some(r)) => l.0.min(r.0),
        };
        if let Some(last) = last {
            res += (seen_left as f64 / m - seen_right as f64 / n).abs() * (value - last);
        }
        while let Some((it, rest)) = left.split_first().filter(|it| it.0.0 <= value) {
            (seen_left, left) = (seen_left + it.1, rest);
        }
        while let Some((it, rest)) = right.split_first().filter(|it| it.0.0 <= value) {
            (seen_right, right) = (seen_right + it.1, rest);
        }
        last = Some(value);
    }
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
