//! Streaming Poisson bootstrap.
//!
//! Each replicate weighs each row by an independent Poisson(1) draw (Hanley & MacGibbon 2006; Chamandy et al. 2012).
//! The draw is a pure function of seed, replicate and row key: rows may arrive in any order, on any number of machines.

use statrs::function::gamma::ln_gamma;

use crate::boosting::logistic;
use crate::error::{Reason, Undefined};
use crate::hash::{hash_bytes, mix};
use crate::intervals::{Interval, normal_quantile, normal_tail, student_t_quantile};
use crate::moments::Moments;
use crate::quantile::quantile_of;
use crate::random::Random;

/// The count up to which [`PoissonCounts`] add up the draws of single rows; the other way is made for means from 10 on.
const FEW: u64 = 10;

/// A replicate, of which all draws are functions.
#[derive(Clone, Copy, Debug)]
pub struct Replicate(u64);

impl Replicate {
    /// Returns the replicate of that number.
    pub fn new(seed: u64, number: u32) -> Self {
        Self(mix(mix(seed) ^ u64::from(number).wrapping_mul(0xd6e8_feb8_6659_fd93)))
    }

    /// Returns how often the row counts: a Poisson(1) draw by inversion of the cumulative distribution.
    ///
    /// The uniform number behind it has 53 bits, so that weights above 18 do not occur.
    ///
    /// ```
    /// use modelwatch_stats::bootstrap::Replicate;
    ///
    /// assert_eq!(Replicate::new(7, 0).weight(42), Replicate::new(7, 0).weight(42));
    /// let total: u32 = (0..10_000).map(|row| Replicate::new(7, 3).weight(row)).sum();
    /// assert!((9_600..10_400).contains(&total));
    /// ```
    #[inline]
    pub fn weight(self, row_key: u64) -> u32 {
        let uniform = Random::new(self.0 ^ mix(row_key)).unit();
        let (mut weight, mut term) = (0, (-1.0f64).exp());
        let mut cumulative = term;
        while uniform >= cumulative && weight < 18 {
            weight += 1;
            term /= f64::from(weight);
            cumulative += term;
        }
        weight
    }
}

/// Rows of one kind, to be counted in many replicates: what does not depend on the replicate is computed once.
///
/// How often `count` rows count together is a Poisson(`count`) draw. That is exactly the distribution of the sum of their Poisson(1)
/// draws, so that a metric that only depends on how many rows of each kind there are can be replicated by kinds instead of rows. Few rows
/// are drawn one by one, many by Hörmann's transformed rejection (1993, algorithm PTRS), whose uniform numbers are a pure function of
/// seed, replicate, key and count too.
///
/// ```
/// use modelwatch_stats::bootstrap::{PoissonCounts, Replicate};
///
/// assert_eq!(PoissonCounts::new(42, 1).draw(Replicate::new(7, 0)), u64::from(Replicate::new(7, 0).weight(42)));
/// let rows = PoissonCounts::new(42, 1_000_000);
/// let draws: Vec<f64> = (0..2_000).map(|it| rows.draw(Replicate::new(7, it)) as f64).collect();
/// let mean = draws.iter().sum::<f64>() / 2_000.0;
/// // The standard error of the mean is 1000 / √2000, which is 22.4.
/// assert!((mean - 1_000_000.0).abs() < 90.0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PoissonCounts {
    key: u64,
    count: u64,
    /// What the key and the count add to the stream of uniform numbers.
    mixed: u64,
    mean: f64,
    log_mean: f64,
    a: f64,
    b: f64,
    inverse_alpha: f64,
    v_r: f64,
}

impl PoissonCounts {
    /// Returns `count` rows of the kind with that key.
    pub fn new(key: u64, count: u64) -> Self {
        let mean = count as f64;
        let b = 0.931 + 2.53 * mean.sqrt();
        Self {
            key,
            count,
            mixed: mix(key) ^ count.wrapping_mul(0xa24b_aed4_963e_e407),
            mean,
            log_mean: mean.ln(),
            a: -0.059 + 0.02483 * b,
            b,
            inverse_alpha: 1.1239 + 1.1328 / (b - 3.4),
            v_r: 0.9277 - 3.6224 / (b - 2.0),
        }
    }

    /// Returns how often they count in the replicate.
    #[inline]
    pub fn draw(&self, replicate: Replicate) -> u64 {
        if self.count <= FEW {
            // Odd, so that the keys of one kind are distinct.
            let row = |nth: u64| self.key.wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            return (0..self.count).map(|it| u64::from(replicate.weight(row(it)))).sum();
        }
        let &Self { mean, a, b, v_r, .. } = self;
        let mut random = Random::new(mix(replicate.0 ^ self.mixed));
        loop {
            let (u, v) = (random.unit() - 0.5, random.unit());
            let us = 0.5 - u.abs();
            let drawn = (2.0 * a / us + b) * u + mean + 0.43;
            if (us >= 0.07 && v <= v_r) || self.accepts(drawn.floor(), us, v) {
                return drawn as u64;
            }
        }
    }

    /// Returns whether `k` is drawn, where that takes the density: of about one in seven.
    fn accepts(&self, k: f64, us: f64, v: f64) -> bool {
        if !(k >= 0.0 && k.is_finite()) || (us < 0.013 && v > us) {
            return false;
        }
        let density = k * self.log_mean - self.mean - ln_factorial(k);
        (v * self.inverse_alpha / (self.a / (us * us) + self.b)).ln() <= density
    }
}

/// Returns ln k! of a whole number, by Stirling's series where what follows its third term is below 10⁻¹³.
pub(crate) fn ln_factorial(k: f64) -> f64 {
    const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;
    if k < 32.0 {
        return ln_gamma(k + 1.0);
    }
    let inverse = k.recip();
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0));
    (k + 0.5) * k.ln() - k + HALF_LN_TAU + series
}

/// Returns a row key for a row that is named by bytes, such as an id column.
pub fn row_key(bytes: &[u8]) -> u64 {
    hash_bytes(bytes)
}

/// Returns the percentile interval (Efron 1981): the `(1 ± level) / 2` quantiles of the replicates.
///
/// Undefined for fewer than two replicates, for a NaN or infinity among them, and for a level outside the open (0, 1).
///
/// ```
/// use modelwatch_stats::bootstrap::percentile_interval;
///
/// let replicates: Vec<f64> = (0..=100).map(f64::from).collect();
/// let interval = percentile_interval(&replicates, 0.9).unwrap();
/// assert!((interval.low - 5.0).abs() < 1e-9 && (interval.high - 95.0).abs() < 1e-9);
/// ```
pub fn percentile_interval(replicates: &[f64], level: f64) -> Result<Interval, Undefined> {
    check(replicates)?;
    if !(level > 0.0 && level < 1.0) {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    let low = quantile_of(replicates, (1.0 - level) / 2.0)?;
    let high = quantile_of(replicates, (1.0 + level) / 2.0)?;
    Ok(Interval { low, high, level })
}

/// Returns the expanded percentile interval (Hesterberg 2015): percentiles farther out, by as much as makes the interval of
/// a mean of `n` rows as wide as Student's.
///
/// The percentiles are the order statistics `(b + 1) p` of b replicates (Davison & Hinkley 1997, section 5.2.1), so that few
/// replicates make it wider. The plain one is too narrow for few rows, by a factor of about `√((n - 1) / n)` and for taking the normal
/// distribution. Undefined as [`percentile_interval`], and for `n` of at most 1.
///
/// ```
/// use modelwatch_stats::bootstrap::{expanded_percentile_interval, percentile_interval};
///
/// let replicates: Vec<f64> = (0..=1000).map(f64::from).collect();
/// let plain = percentile_interval(&replicates, 0.95).unwrap();
/// let expanded = expanded_percentile_interval(&replicates, 20.0, 0.95).unwrap();
/// // For 20 rows 2.5 % become 1.6 %.
/// assert!((expanded.low - 15.0).abs() < 0.5 && (plain.low - 25.0).abs() < 1e-9);
/// ```
pub fn expanded_percentile_interval(replicates: &[f64], n: f64, level: f64) -> Result<Interval, Undefined> {
    let tail = normal_tail(expanded_quantile(replicates, n, level)?);
    let (low, high) = tails(replicates, tail)?;
    Ok(Interval { low, high, level })
}

/// Returns the bias-corrected percentile interval (Efron 1981; Efron & Tibshirani 1993, section 14.3, without acceleration) of an
/// estimate, expanded as [`expanded_percentile_interval`].
///
/// Where more than half of the replicates are above the estimate, it is above the truth as seldom as they are below it, and as far: with
/// `z₀ = Φ⁻¹(share of replicates below the estimate)`, ties counting half, the percentiles are `Φ(2 z₀ ± z)`. Undefined as
/// [`expanded_percentile_interval`], and for an estimate that is NaN.
///
/// ```
/// use modelwatch_stats::bootstrap::{bias_corrected_interval, expanded_percentile_interval};
///
/// let replicates: Vec<f64> = (0..=1000).map(f64::from).collect();
/// let plain = expanded_percentile_interval(&replicates, 200.0, 0.95).unwrap();
/// let same = bias_corrected_interval(500.0, &replicates, 200.0, 0.95).unwrap();
/// assert!((same.low - plain.low).abs() < 1e-6 && (same.high - plain.high).abs() < 1e-6);
/// // The replicates lean upwards, and so does the estimate.
/// let moved = bias_corrected_interval(400.0, &replicates, 200.0, 0.95).unwrap();
/// assert!(moved.low < plain.low && moved.high < plain.high);
/// ```
pub fn bias_corrected_interval(value: f64, replicates: &[f64], n: f64, level: f64) -> Result<Interval, Undefined> {
    let quantile = expanded_quantile(replicates, n, level)?;
    if value.is_nan() {
        return Err(Undefined::new(Reason::NotANumber));
    }
    let count = |is: fn(&f64, &f64) -> bool| replicates.iter().filter(|it| is(it, &value)).count() as f64;
    let below = count(|it, value| it < value) + count(|it, value| it == value) / 2.0;
    let b = replicates.len() as f64;
    // Where all of them are on one side, it may be any smaller share.
    let bias = normal_quantile(below.clamp(0.5, b - 0.5) / b)?;
    let percentile = |z: f64| order_statistic(replicates, normal_tail(-(2.0 * bias + z)));
    Ok(Interval { low: percentile(-quantile)?, high: percentile(quantile)?, level })
}

/// Returns the interval of an estimate strictly between 0 and 1 that is symmetric on the scale of its logit, `logit θ ± t s / (θ (1 - θ))`: by the
/// delta method, with the standard deviation `s` of the replicates and the quantile t of [`expanded_percentile_interval`], of as many rows as
/// there are replicates where these are fewer, which tell the deviation no better.
///
/// Near a bound such an estimate is skewed towards the other one, and its replicates again: percentiles repeat the skew in place of
/// correcting it. On the logit it is nearly normal (of shares among those that Korn & Graubard 1998 compare, of areas Qin & Hotilovac
/// 2008). Undefined as [`expanded_percentile_interval`], and for an estimate that is not inside.
///
/// ```
/// use modelwatch_stats::bootstrap::logit_interval;
///
/// let replicates: Vec<f64> = (0..=100).map(|it| 0.85 + f64::from(it) / 1000.0).collect();
/// let interval = logit_interval(0.9, &replicates, 500.0, 0.95).unwrap();
/// // The standard deviation is 0.0293, that of the logit 0.326: of 101 replicates ln 9 ± 1.994 × 0.326.
/// assert!((interval.low - 0.8246).abs() < 1e-4 && (interval.high - 0.9451).abs() < 1e-4);
/// ```
pub fn logit_interval(value: f64, replicates: &[f64], n: f64, level: f64) -> Result<Interval, Undefined> {
    let center = logit_of(value)?;
    check(replicates)?;
    let quantile = expanded_quantile(replicates, n.min(replicates.len() as f64), level)?;
    let half = quantile * standard_error(replicates)? / (value * (1.0 - value));
    Ok(Interval { low: logistic(center - half), high: logistic(center + half), level })
}

/// Returns the normal interval, by bias and standard deviation of the replicates (Davison & Hinkley 1997, section 5.2), on the scale of
/// the logit (on which Boyd, Eng & Page 2013 make those of average precision), of an estimate strictly between 0 and 1 from `n` rows.
///
/// It is for estimates that are off for few rows, and the less sure the nearer to a bound: the logits of the replicates tell both. Their
/// number is that of the degrees of freedom, plus one. A replicate at a bound counts as half a row from it, or as half as far as the nearest
/// that is inside where that is nearer: else the mean of the replicates would be below an estimate that is nearer to 1 than they can be,
/// and the correction push it further. Undefined as [`logit_interval`].
///
/// ```
/// use modelwatch_stats::bootstrap::{bias_corrected_logit_interval, logit_interval};
///
/// // Logits of -0.5 to 1.5, half above the estimate: so is the estimate above the truth.
/// let replicates: Vec<f64> = (-50..=150).map(|it| 1.0 / (1.0 + (-f64::from(it) / 100.0).exp())).collect();
/// let interval = bias_corrected_logit_interval(0.5, &replicates, 500.0, 0.95).unwrap();
/// let logit = |it: f64| (it / (1.0 - it)).ln();
/// assert!(((logit(interval.low) + logit(interval.high)) / 2.0 + 0.5).abs() < 1e-9);
/// ```
pub fn bias_corrected_logit_interval(
    value: f64,
    replicates: &[f64],
    n: f64,
    level: f64,
) -> Result<Interval, Undefined> {
    check(replicates)?;
    let (center, degrees) = (logit_of(value)?, replicates.len() as f64 - 1.0);
    if !(level > 0.0 && level < 1.0 && n > 1.0 && n.is_finite()) {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    let distances = replicates.iter().chain([&value]).map(|it| it.min(1.0 - it));
    let step = distances.filter(|it| *it > 0.0).fold(1.0 / n, f64::min) / 2.0;
    let logits: Vec<f64> =
        replicates.iter().map(|it| logit_of(it.clamp(step, 1.0 - step))).collect::<Result<_, _>>()?;
    let mean = logits.iter().sum::<f64>() / logits.len() as f64;
    let (middle, quantile) = (2.0 * center - mean, student_t_quantile((1.0 + level) / 2.0, degrees)?);
    let half = quantile * standard_error(&logits)?;
    Ok(Interval { low: logistic(middle - half), high: logistic(middle + half), level })
}

/// Returns the logit of a number strictly between 0 and 1.
fn logit_of(value: f64) -> Result<f64, Undefined> {
    if value > 0.0 && value < 1.0 { Ok((value / (1.0 - value)).ln()) } else { Err(Undefined::new(Reason::OutOfRange)) }
}

/// Returns how many standard deviations the percentiles of an expanded interval are from the median of a normal distribution.
fn expanded_quantile(replicates: &[f64], n: f64, level: f64) -> Result<f64, Undefined> {
    check(replicates)?;
    if !(level > 0.0 && level < 1.0 && n > 1.0) {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    Ok((n / (n - 1.0)).sqrt() * student_t_quantile((1.0 + level) / 2.0, n - 1.0)?)
}

/// Returns the studentized interval, or bootstrap-t (Efron & Tibshirani 1993, section 12.5), of an estimate with its standard
/// error: `value - error × t`, for the `(1 ± level) / 2` quantiles t of `pivots`.
///
/// A pivot is what a replicate is off by in standard errors of its own, `(θ* - θ) / s*`. So the interval follows the skew of the
/// estimate, and covers the mean of skewed values where percentiles fall short (Hall 1988). The quantiles are order
/// statistics as in [`expanded_percentile_interval`]. A replicate without a spread of its own is infinitely far off, and counts as
/// such: where there are many, a bound is infinite. Undefined as [`percentile_interval`] else.
///
/// ```
/// use modelwatch_stats::bootstrap::studentized_interval;
///
/// // Of 999 pivots the 25th from either end: -2 and 3.
/// let pivots: Vec<f64> = (1..1000).map(|it| if it < 500 { -2.0 } else { 3.0 }).collect();
/// let interval = studentized_interval(10.0, 0.5, &pivots, 0.95).unwrap();
/// assert_eq!((interval.low, interval.high), (8.5, 11.0));
/// ```
pub fn studentized_interval(value: f64, error: f64, pivots: &[f64], level: f64) -> Result<Interval, Undefined> {
    // Finite numbers in their place, so that no quantile is between infinities.
    let held: Vec<f64> = pivots.iter().map(|it| it.clamp(-f64::MAX / 4.0, f64::MAX / 4.0)).collect();
    check(&held)?;
    if !(level > 0.0 && level < 1.0) {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    let unbounded = |it: f64| if it.abs() > BEYOND { it.signum() * f64::INFINITY } else { it };
    let (low, high) = tails(&held, (1.0 - level) / 2.0)?;
    let (low, high) = (unbounded(low), unbounded(high));
    Ok(Interval { low: value - error * high, high: value - error * low, level })
}

/// What no pivot reaches that is a number of standard errors; a mean of one with an infinite one does.
const BEYOND: f64 = 1e200;

/// Returns the [order statistics](order_statistic) of a probability from either end.
fn tails(replicates: &[f64], probability: f64) -> Result<(f64, f64), Undefined> {
    Ok((order_statistic(replicates, probability)?, order_statistic(replicates, 1.0 - probability)?))
}

/// Returns the order statistic `(b + 1) p`, below which a further replicate falls with that probability; quantiles of type 7 would be too
/// far inside by about one replicate a side.
fn order_statistic(replicates: &[f64], probability: f64) -> Result<f64, Undefined> {
    let b = replicates.len() as f64;
    quantile_of(replicates, ((probability * (b + 1.0) - 1.0) / (b - 1.0)).clamp(0.0, 1.0))
}

/// Returns the jackknife interval of TensorFlow Model Analysis: the rows are dealt into k buckets, `left_out` are the values
/// without each of them, and `whole` the value of all.
///
/// Pseudo-values `k θ - (k - 1) θ₍₋ᵢ₎` are taken for k independent values (Tukey 1958): their mean ± Student's t of k - 1
/// degrees of freedom times their standard error.
///
/// ```
/// use modelwatch_stats::bootstrap::jackknife_interval;
///
/// // Of a mean the pseudo-values are the means of the buckets: 1, 2, 3.
/// let interval = jackknife_interval(2.0, &[2.5, 2.0, 1.5], 0.95).unwrap();
/// assert!((interval.high - 2.0 - 4.302652730 / 3f64.sqrt()).abs() < 1e-8);
/// ```
pub fn jackknife_interval(whole: f64, left_out: &[f64], level: f64) -> Result<Interval, Undefined> {
    let k = left_out.len() as f64;
    let pseudo: Vec<f64> = left_out.iter().map(|it| k * whole - (k - 1.0) * it).collect();
    let error = standard_error(&pseudo)? / k.sqrt();
    let half = student_t_quantile((1.0 + level) / 2.0, k - 1.0)? * error;
    let mean = pseudo.iter().sum::<f64>() / k;
    Ok(Interval { low: mean - half, high: mean + half, level })
}

/// Returns the standard error: the standard deviation of the replicates with `ddof = 1`.
///
/// ```
/// use modelwatch_stats::bootstrap::standard_error;
/// assert_eq!(standard_error(&[1.0, 2.0, 3.0]), Ok(1.0));
/// ```
pub fn standard_error(replicates: &[f64]) -> Result<f64, Undefined> {
    check(replicates)?;
    let mut moments = Moments::new();
    moments.update(replicates);
    moments.standard_deviation(1)
}

fn check(replicates: &[f64]) -> Result<(), Undefined> {
    if replicates.iter().any(|it| it.is_nan()) {
        Err(Undefined::new(Reason::NotANumber))
    } else if replicates.iter().any(|it| it.is_infinite()) {
        Err(Undefined::new(Reason::Infinite))
    } else if replicates.len() < 2 {
        Err(Undefined::new(Reason::TooFew))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poisson_weight(seed: u64, replicate: u32, row_key: u64) -> u32 {
        Replicate::new(seed, replicate).weight(row_key)
    }

    fn poisson_count(seed: u64, replicate: u32, key: u64, count: u64) -> u64 {
        PoissonCounts::new(key, count).draw(Replicate::new(seed, replicate))
    }

    #[test]
    fn weights_follow_the_poisson_distribution() {
        let n = 200_000;
        let mut observed = [0u32; 6];
        for row in 0..n {
            let weight = poisson_weight(1, (row % 20) as u32, row / 20);
            observed[(weight as usize).min(5)] += 1;
        }
        let mut expected = (-1.0f64).exp() * n as f64;
        let mut rest = n as f64;
        for (weight, &count) in observed.iter().enumerate().take(5) {
            let sd = (expected * (1.0 - expected / n as f64)).sqrt();
            assert!((f64::from(count) - expected).abs() < 4.0 * sd, "weight {weight}: {count} against {expected}");
            rest -= expected;
            expected /= (weight + 1) as f64;
        }
        assert!((f64::from(observed[5]) - rest).abs() < 4.0 * rest.sqrt());
    }

    /// Compares draws with the distribution function of Poisson, at its deciles.
    #[test]
    fn counts_follow_the_poisson_distribution() {
        for count in [11, 30, 200, 5_000, 1_000_000, 10_000_000_000] {
            let n = 40_000;
            let mean = count as f64;
            let draws: Vec<f64> = (0..n).map(|it| poisson_count(3, it, 99, count) as f64).collect();
            let average = draws.iter().sum::<f64>() / f64::from(n);
            let variance = draws.iter().map(|it| (it - average).powi(2)).sum::<f64>() / f64::from(n - 1);
            let skewness =
                draws.iter().map(|it| (it - average).powi(3)).sum::<f64>() / f64::from(n) / variance.powf(1.5);
            let root = f64::from(n).sqrt();
            assert!((average - mean).abs() < 4.0 * mean.sqrt() / root, "{count}: mean {average}");
            // Var(s²) ≈ 2 σ⁴ / n, and the standard error of skewness is √(6 / n).
            assert!((variance / mean - 1.0).abs() < 4.0 * 2f64.sqrt() / root, "{count}: variance {variance}");
            assert!((skewness - mean.sqrt().recip()).abs() < 4.0 * 6f64.sqrt() / root, "{count}: skewness {skewness}");
            let below = draws.iter().filter(|&&it| it <= mean).count() as f64 / f64::from(n);
            // P(X ≤ λ) = ½ + 2 / (3 √(2πλ)) + O(λ^-1) for whole λ.
            let expected = 0.5 + 2.0 / (3.0 * (2.0 * std::f64::consts::PI * mean).sqrt());
            assert!((below - expected).abs() < 4.0 * 0.5 / root, "{count}: {below} against {expected}");
        }
    }

    #[test]
    fn kinds_of_rows_are_drawn_for_themselves() {
        assert_eq!(poisson_count(1, 0, 5, 0), 0);
        assert_eq!(poisson_count(1, 7, 5, 1000), poisson_count(1, 7, 5, 1000));
        let n = 20_000;
        let centered = |key: u64, it: u32| (poisson_count(9, it, key, 400) as f64 - 400.0) / 20.0;
        let product = (0..n).map(|it| centered(1, it) * centered(2, it)).sum::<f64>() / f64::from(n);
        assert!(product.abs() < 4.0 / f64::from(n).sqrt(), "{product}");
    }

    #[test]
    fn replicates_are_uncorrelated() {
        let n = 50_000;
        let products: Vec<f64> = (0..n)
            .map(|row| (f64::from(poisson_weight(9, 0, row)) - 1.0) * (f64::from(poisson_weight(9, 1, row)) - 1.0))
            .collect();
        let mean = products.iter().sum::<f64>() / n as f64;
        assert!(mean.abs() < 4.0 / (n as f64).sqrt(), "{mean}");
    }

    #[test]
    fn weights_are_pinned() {
        let weights: Vec<u32> = (0..16).map(|row| poisson_weight(2026, 5, row)).collect();
        assert_eq!(weights, PINNED);
    }

    const PINNED: [u32; 16] = [1, 0, 4, 2, 2, 2, 1, 2, 3, 0, 0, 1, 0, 2, 1, 1];

    #[test]
    fn counts_are_pinned() {
        let draws = |count: u64| [0, 1, 199].map(|it| poisson_count(2026, it, 42, count));
        assert_eq!([3, 11, 1000, 1_000_000].map(draws), PINNED_COUNTS);
    }

    #[test]
    fn the_logarithms_of_factorials_are_those_of_the_gamma_function() {
        for k in (0..400).chain([1_000, 50_000, 10_000_000]) {
            let k = f64::from(k);
            let (found, expected) = (ln_factorial(k), ln_gamma(k + 1.0));
            assert!((found - expected).abs() <= 1e-13 * expected.max(10.0), "{k}: {found} {expected}");
        }
    }

    const PINNED_COUNTS: [[u64; 3]; 4] = [[3, 3, 6], [6, 7, 12], [1086, 1003, 972], [1_001_697, 999_457, 999_553]];

    #[test]
    fn few_or_bad_replicates_are_undefined() {
        assert_eq!(standard_error(&[1.0]), Err(Undefined::new(Reason::TooFew)));
        assert_eq!(percentile_interval(&[1.0, f64::NAN], 0.9), Err(Undefined::new(Reason::NotANumber)));
        assert_eq!(percentile_interval(&[1.0, f64::INFINITY], 0.9), Err(Undefined::new(Reason::Infinite)));
        assert_eq!(percentile_interval(&[1.0, 2.0], 1.0), Err(Undefined::new(Reason::OutOfRange)));
        for of_logits in [logit_interval, bias_corrected_logit_interval] {
            assert_eq!(of_logits(1.0, &[0.8, 0.9], 50.0, 0.95), Err(Undefined::new(Reason::OutOfRange)));
            assert_eq!(of_logits(0.9, &[0.8, f64::NAN], 50.0, 0.95), Err(Undefined::new(Reason::NotANumber)));
            assert_eq!(of_logits(0.9, &[0.8, 0.9], 1.0, 0.95), Err(Undefined::new(Reason::OutOfRange)));
            let width = |replicates: &[f64]| of_logits(0.6, replicates, 50.0, 0.95).map(|it| it.high - it.low).unwrap();
            assert!(width(&[0.59, 0.61]) > 3.0 * width(&[0.59, 0.61].repeat(50)));
            let at_bounds = of_logits(0.9, &[0.8, 1.0, 0.0, 1.0], 50.0, 0.95).unwrap();
            assert!(0.0 <= at_bounds.low && at_bounds.low < at_bounds.high && at_bounds.high <= 1.0, "{at_bounds:?}");
            for level in [-0.5, 0.0, 1.0, f64::NAN] {
                assert_eq!(of_logits(0.9, &[0.8, 0.9], 50.0, level), Err(Undefined::new(Reason::OutOfRange)));
            }
            // Nearer to 1 than half a row of 50, as an average precision with one error far down is.
            let near: Vec<f64> =
                (0..200).map(|it| if it % 2 == 0 { 1.0 } else { 0.98 + f64::from(it) * 5e-5 }).collect();
            let found = of_logits(0.994, &near, 50.0, 0.95).unwrap();
            assert!(found.low < 0.98 && 0.994 < found.high, "{found:?}");
        }
    }
}
