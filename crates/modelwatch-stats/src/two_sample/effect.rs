//! How large a difference is, with an interval around it.

use super::{levels::Levels, total, variation::variation_interval};
use crate::error::{Reason, Undefined, finite};
use crate::intervals::{Interval, normal_quantile};
use crate::sample::Point;

/// A distance and its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// The distance between the samples.
    pub value: f64,
    /// Where the distance between the distributions lies.
    pub interval: Interval,
}

/// A distance between two rows of shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CellDistance {
    /// `½ Σ |p - q|`.
    TotalVariation,
    /// `max |p - q|`.
    Chebyshev,
    /// `√(1 - Σ √(p q))`.
    Hellinger,
    /// The Jensen–Shannon distance in base 2.
    JensenShannon,
    /// `Σ (p - q) ln(p / q)`, with shares below the number taken for that number.
    Psi(f64),
    /// `Σ p ln(p / q)`, with shares below the number taken for that number.
    Kl(f64),
}

/// Returns `sup |F - G|` with an interval from the normal limit at the place of the greatest gap (Raghavachari 1973).
///
/// It is exact in the limit where the distributions differ; where they are equal, the limit is not normal, and the interval holds
/// more than it says.
///
/// ```
/// use modelwatch_stats::two_sample::ks_effect;
///
/// let effect = ks_effect(&[(0.0, 50), (1.0, 50)], &[(0.0, 20), (1.0, 80)], 0.95).unwrap();
/// // 0.3 ± 1.96 √(0.25 / 100 + 0.16 / 100)
/// assert!((effect.value - 0.3).abs() < 1e-15 && (effect.interval.low - 0.174_501_3).abs() < 1e-6);
/// ```
pub fn ks_effect(reference: &[Point], current: &[Point], level: f64) -> Result<Effect, Undefined> {
    ks_effect_of(&Levels::new(reference, current)?, level)
}

/// [`ks_effect`] of merged samples.
pub fn ks_effect_of(levels: &Levels, level: f64) -> Result<Effect, Undefined> {
    let (m, n) = (levels.m as f64, levels.n as f64);
    let (mut left, mut right, mut best) = (0u64, 0u64, (0.0f64, 0.0f64, 0.0f64));
    for it in &levels.levels {
        left += it.reference;
        right += it.current;
        let (f, g) = (left as f64 / m, right as f64 / n);
        if (f - g).abs() > best.0 {
            best = ((f - g).abs(), f, g);
        }
    }
    let (value, f, g) = best;
    around(value, f * (1.0 - f) / m + g * (1.0 - g) / n, level, 1.0)
}

/// Returns the Wasserstein distance over `unit` with an interval from its influence function.
///
/// The derivative of `∫ |F - G|` with respect to a row at x is the integral of the sign of `G - F` up to x (Sommerfeld & Munk 2018).
/// The unit is taken as known. Undefined for infinities and a unit that is not positive.
///
/// ```
/// use modelwatch_stats::two_sample::wasserstein_effect;
///
/// let effect = wasserstein_effect(&[(0.0, 50), (1.0, 50)], &[(3.0, 50), (4.0, 50)], 1.0, 0.95).unwrap();
/// // The difference of the means: 3 ± 1.96 √(2 * 0.25 / 100).
/// assert!((effect.value - 3.0).abs() < 1e-12 && (effect.interval.low - 2.861_409_6).abs() < 1e-6);
/// ```
pub fn wasserstein_effect(reference: &[Point], current: &[Point], unit: f64, level: f64) -> Result<Effect, Undefined> {
    if unit.is_nan() || unit <= 0.0 {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    let levels = Levels::new(reference, current)?;
    levels.refuse_infinities()?;
    let (m, n) = (levels.m as f64, levels.n as f64);
    let (mut left, mut right, mut value, mut potential) = (0u64, 0u64, 0.0, 0.0);
    let (mut sums, mut squares) = ([0.0; 2], [0.0; 2]);
    let mut last = None;
    for it in &levels.levels {
        if let Some(last) = last {
            let gap = left as f64 / m - right as f64 / n;
            let step = (it.value - last) / unit;
            value += gap.abs() * step;
            potential += if gap == 0.0 { 0.0 } else { gap.signum() * step };
        }
        for (side, share) in [it.reference as f64 / m, it.current as f64 / n].into_iter().enumerate() {
            sums[side] += share * potential;
            squares[side] += share * potential * potential;
        }
        left += it.reference;
        right += it.current;
        last = Some(it.value);
    }
    let variance = |side: usize| (squares[side] - sums[side] * sums[side]).max(0.0);
    around(finite(value)?, variance(0) / m + variance(1) / n, level, f64::INFINITY)
}

/// Returns a distance of the shares of two rows of counts, with an interval by the delta method; that of the total variation distance is
/// [`variation_interval`].
///
/// Like every estimate of a distance it is a little too great in small samples, as are the intervals of the others.
/// Undefined for a side without rows and for different lengths.
///
/// ```
/// use modelwatch_stats::two_sample::{CellDistance, cell_effect};
///
/// let effect = cell_effect(CellDistance::Chebyshev, &[50, 50], &[20, 80], 0.95).unwrap();
/// assert!((effect.value - 0.3).abs() < 1e-15 && (effect.interval.low - 0.174_501_3).abs() < 1e-6);
/// ```
pub fn cell_effect(
    distance: CellDistance,
    reference: &[u64],
    current: &[u64],
    level: f64,
) -> Result<Effect, Undefined> {
    if reference.len() != current.len() {
        return Err(Undefined::new(Reason::LengthMismatch));
    }
    let (m, n) = (total(reference), total(current));
    if m == 0.0 || n == 0.0 {
        return Err(Undefined::new(Reason::Empty));
    }
    let shares: Vec<(f64, f64)> =
        reference.iter().zip(current).map(|(&left, &right)| (left as f64 / m, right as f64 / n)).collect();
    let value = distance.value(&shares);
    let slopes = distance.slopes(&shares, value);
    let variance = |share: fn(&(f64, f64)) -> f64| {
        let weighted = || shares.iter().zip(&slopes).map(|(it, slope)| (share(it), share(slope)));
        let mean = weighted().filter(|it| it.0 > 0.0).map(|(share, slope)| share * slope).sum::<f64>();
        weighted().filter(|it| it.0 > 0.0).map(|(share, slope)| share * (slope - mean).powi(2)).sum::<f64>()
    };
    let (value, variance) = (finite(value)?, variance(|it| it.0) / m + variance(|it| it.1) / n);
    if distance == CellDistance::TotalVariation {
        return Ok(Effect { value, interval: variation_interval(reference, current, variance, level)? });
    }
    around(value, variance, level, distance.greatest())
}

impl CellDistance {
    fn value(self, shares: &[(f64, f64)]) -> f64 {
        let sum = |term: &dyn Fn(f64, f64) -> f64| shares.iter().map(|it| term(it.0, it.1)).sum::<f64>();
        match self {
            Self::TotalVariation => sum(&|p, q| (p - q).abs()) / 2.0,
            Self::Chebyshev => shares.iter().fold(0.0, |res: f64, (p, q)| res.max((p - q).abs())),
            Self::Hellinger => (sum(&|p, q| (p.sqrt() - q.sqrt()).powi(2)) / 2.0).sqrt(),
            Self::JensenShannon => {
                let half = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (2.0 * p / (p + q)).log2() / 2.0 };
                sum(&|p, q| half(p, q) + half(q, p)).max(0.0).sqrt()
            }
            Self::Psi(floor) => sum(&|p, q| (p.max(floor) - q.max(floor)) * (p.max(floor) / q.max(floor)).ln()),
            Self::Kl(floor) => sum(&|p, q| p.max(floor) * (p.max(floor) / q.max(floor)).ln()).max(0.0),
        }
    }

    /// The derivatives with respect to each p and q.
    fn slopes(self, shares: &[(f64, f64)], value: f64) -> Vec<(f64, f64)> {
        let greatest = shares.iter().map(|(p, q)| (p - q).abs()).position(|it| it == value);
        let slope = |(idx, &(p, q)): (usize, &(f64, f64))| match self {
            _ if p == 0.0 && q == 0.0 => (0.0, 0.0),
            Self::TotalVariation => ((p - q).signum() / 2.0, (q - p).signum() / 2.0),
            Self::Chebyshev if Some(idx) == greatest => ((p - q).signum(), (q - p).signum()),
            Self::Chebyshev => (0.0, 0.0),
            Self::Hellinger | Self::JensenShannon if value == 0.0 => (0.0, 0.0),
            Self::Hellinger => (-(q / p).sqrt() / (4.0 * value), -(p / q).sqrt() / (4.0 * value)),
            Self::JensenShannon => {
                let of = |p: f64, q: f64| (2.0 * p / (p + q)).log2() / (4.0 * value);
                (of(p, q), of(q, p))
            }
            Self::Psi(floor) => {
                let (p, q) = (p.max(floor), q.max(floor));
                ((p / q).ln() + (p - q) / p, (q / p).ln() + (q - p) / q)
            }
            Self::Kl(floor) => {
                let (p, q) = (p.max(floor), q.max(floor));
                ((p / q).ln() + 1.0, -p / q)
            }
        };
        shares.iter().enumerate().map(slope).collect()
    }

    fn greatest(self) -> f64 {
        match self {
            Self::Psi(_) | Self::Kl(_) => f64::INFINITY,
            _ => 1.0,
        }
    }
}

fn around(value: f64, variance: f64, level: f64, greatest: f64) -> Result<Effect, Undefined> {
    if !(level > 0.0 && level < 1.0) {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    let reach = finite(normal_quantile((1.0 + level) / 2.0)? * variance.max(0.0).sqrt())?;
    Ok(Effect {
        value,
        interval: Interval { low: (value - reach).max(0.0), high: (value + reach).min(greatest), level },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::two_sample::{
        LogBase, ZeroFill, hellinger, jensen_shannon, kl, linf, psi, total_variation, wasserstein,
    };

    const ALL: [CellDistance; 6] = [
        CellDistance::TotalVariation,
        CellDistance::Chebyshev,
        CellDistance::Hellinger,
        CellDistance::JensenShannon,
        CellDistance::Psi(1e-4),
        CellDistance::Kl(1e-4),
    ];

    #[test]
    fn values_are_those_of_the_distances() {
        let (left, right) = ([10u64, 30, 60], [30u64, 30, 40]);
        let (p, q) = ([10.0, 30.0, 60.0], [30.0, 30.0, 40.0]);
        let fill = ZeroFill::Floor(1e-4);
        let expected = [
            total_variation(&p, &q),
            linf(&p, &q),
            hellinger(&p, &q),
            jensen_shannon(&p, &q, LogBase::Two),
            psi(&p, &q, fill),
            kl(&p, &q, fill),
        ];
        for (distance, expected) in ALL.into_iter().zip(expected) {
            let effect = cell_effect(distance, &left, &right, 0.95).unwrap();
            assert!((effect.value - expected.unwrap()).abs() < 1e-12, "{distance:?}");
            assert!(effect.interval.low < effect.value && effect.value < effect.interval.high, "{distance:?}");
        }
        let points = |counts: [u64; 3]| [(0.0, counts[0]), (1.0, counts[1]), (5.0, counts[2])];
        let effect = wasserstein_effect(&points(left), &points(right), 2.0, 0.9).unwrap();
        assert!((effect.value - wasserstein(&points(left), &points(right)).unwrap() / 2.0).abs() < 1e-12);
    }

    #[test]
    fn slopes_are_those_of_small_changes() {
        let shares = [(0.1, 0.3), (0.3, 0.25), (0.6, 0.45)];
        for distance in ALL {
            let slopes = distance.slopes(&shares, distance.value(&shares));
            // The shares sum to 1, so that only differences of slopes mean anything.
            let moved = |step: f64| {
                let mut it = shares;
                it[0].0 += step;
                it[2].0 -= step;
                distance.value(&it)
            };
            let numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((slopes[0].0 - slopes[2].0 - numeric).abs() < 1e-5, "{distance:?}");
        }
    }

    #[test]
    fn intervals_cover_the_true_distance() {
        // Two shares, 0.4 and 0.6, sampled by a fixed generator: the true distances are known.
        let mut state = 7u64;
        let mut hits = |share: f64, rows: u64| {
            (0..rows)
                .filter(|_| {
                    state = crate::hash::mix(state);
                    (state >> 11) as f64 / (1u64 << 53) as f64 <= share
                })
                .count() as u64
        };
        let mut covered = [0u32; ALL.len()];
        let truth: Vec<f64> = ALL.iter().map(|it| it.value(&[(0.4, 0.6), (0.6, 0.4)])).collect();
        for _ in 0..400 {
            let (left, right) = (hits(0.4, 300), hits(0.6, 200));
            for (idx, distance) in ALL.into_iter().enumerate() {
                let interval =
                    cell_effect(distance, &[left, 300 - left], &[right, 200 - right], 0.95).unwrap().interval;
                covered[idx] += u32::from(interval.low <= truth[idx] && truth[idx] <= interval.high);
            }
        }
        assert!(covered.iter().all(|it| (365..=398).contains(it)), "{covered:?} of 400");
    }

    #[test]
    fn bad_input_is_undefined() {
        for distance in ALL {
            assert_eq!(cell_effect(distance, &[1], &[1, 2], 0.95), Err(Undefined::new(Reason::LengthMismatch)));
            assert_eq!(cell_effect(distance, &[0], &[1], 0.95), Err(Undefined::new(Reason::Empty)));
            assert_eq!(cell_effect(distance, &[1], &[1], 1.0), Err(Undefined::new(Reason::OutOfRange)));
            assert_eq!(cell_effect(distance, &[3, 0], &[1, 0], 0.95).unwrap().value, 0.0);
        }
        assert_eq!(wasserstein_effect(&[(1.0, 1)], &[(1.0, 1)], 0.0, 0.95), Err(Undefined::new(Reason::OutOfRange)));
        assert_eq!(ks_effect(&[], &[(1.0, 1)], 0.95), Err(Undefined::new(Reason::Empty)));
    }
}
