//! Confidence intervals for proportions and their differences, and the quantiles behind them.

use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc_inv;
use statrs::function::gamma::gamma_ur;

use crate::error::{Reason, Undefined};
use crate::two_sample::{Test, tails};

/// A confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
    /// The two-sided confidence level, such as 0.95.
    pub level: f64,
}

/// How two classifiers do on the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairedCounts {
    /// Rows that both get right.
    pub both: u64,
    /// Rows that only the first gets right.
    pub first_only: u64,
    /// Rows that only the second gets right.
    pub second_only: u64,
    /// Rows that neither gets right.
    pub neither: u64,
}

/// How the p-value of McNemar's test is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McNemar {
    /// The two-sided binomial test on the discordant pairs.
    Exact,
    /// χ² with one degree of freedom, without a correction.
    Asymptotic,
    /// χ² with Edwards' continuity correction (1948).
    Corrected,
}

/// Returns the standard normal quantile of a probability strictly between 0 and 1.
///
/// ```
/// use modelwatch_stats::intervals::normal_quantile;
/// assert!((normal_quantile(0.975).unwrap() - 1.959963984540054).abs() < 1e-12);
/// ```
pub fn normal_quantile(probability: f64) -> Result<f64, Undefined> {
    open_unit(probability)?;
    Ok(-std::f64::consts::SQRT_2 * erfc_inv(2.0 * probability))
}

/// Returns the chance that a standard normal number is greater.
///
/// ```
/// use modelwatch_stats::intervals::normal_tail;
/// assert!((normal_tail(1.959963984540054) - 0.025).abs() < 1e-10);
/// ```
pub fn normal_tail(z: f64) -> f64 {
    tails::normal_sf(z)
}

/// Returns the quantile of Student's t distribution.
///
/// ```
/// use modelwatch_stats::intervals::student_t_quantile;
/// // One degree of freedom is the Cauchy distribution: tan(π (p - ½)).
/// assert!((student_t_quantile(0.75, 1.0).unwrap() - 1.0).abs() < 1e-12);
/// ```
pub fn student_t_quantile(probability: f64, degrees_of_freedom: f64) -> Result<f64, Undefined> {
    open_unit(probability)?;
    if !(degrees_of_freedom > 0.0 && degrees_of_freedom.is_finite()) {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    let tail = probability.min(1.0 - probability);
    if tail == 0.5 {
        return Ok(0.0);
    }
    // P(|T| > t) = I_x(v/2, 1/2) with x = v / (v + t²); solved for 1 - x = t² / (v + t²), which keeps small t exact.
    let share = beta_quantile(1.0 - 2.0 * tail, 0.5, degrees_of_freedom / 2.0);
    let magnitude = (degrees_of_freedom * share / (1.0 - share)).sqrt();
    Ok(if probability < 0.5 { -magnitude } else { magnitude })
}

/// Returns Wilson's score interval for a proportion (Wilson 1927), without a continuity correction.
///
/// Undefined for no trials, more successes than trials, or a level outside the open (0, 1).
///
/// ```
/// use modelwatch_stats::intervals::wilson;
///
/// // Half of 100: 0.5 ± z √(0.25/n + z²/4n²) / (1 + z²/n).
/// let interval = wilson(50, 100, 0.95).unwrap();
/// assert!((interval.low - 0.4038315).abs() < 1e-7 && (interval.high - 0.5961685).abs() < 1e-7);
/// ```
pub fn wilson(successes: u64, n: u64, level: f64) -> Result<Interval, Undefined> {
    wilson_share(share(successes, n)?, n as f64, level)
}

/// Returns [`wilson`]'s interval for a share among an effective number of trials, such as Kish's for rows with weights.
///
/// Undefined for no trials, and for a share or a level out of range.
///
/// ```
/// use modelwatch_stats::intervals::{wilson, wilson_share};
/// assert_eq!(wilson_share(0.5, 100.0, 0.95), wilson(50, 100, 0.95));
/// ```
pub fn wilson_share(p: f64, n: f64, level: f64) -> Result<Interval, Undefined> {
    let (low, high) = wilson_bounds(p, n, two_sided_z(level)?)?;
    Ok(Interval { low, high, level })
}

/// Returns the bounds of [`wilson_share`] for a quantile in place of a level, such as Student's (Dean & Pagano 2015); 0 and 1 for an infinite
/// one.
///
/// Undefined for no trials, and for a share out of range or a quantile that is not positive.
///
/// ```
/// use modelwatch_stats::intervals::{two_sided_z, wilson_bounds, wilson_share};
///
/// let interval = wilson_share(0.5, 100.0, 0.95).unwrap();
/// assert_eq!(wilson_bounds(0.5, 100.0, two_sided_z(0.95).unwrap()), Ok((interval.low, interval.high)));
/// assert_eq!(wilson_bounds(0.5, 100.0, f64::INFINITY), Ok((0.0, 1.0)));
/// ```
pub fn wilson_bounds(p: f64, n: f64, quantile: f64) -> Result<(f64, f64), Undefined> {
    if !(n > 0.0 && n.is_finite()) {
        return Err(Undefined::new(Reason::Empty));
    }
    if !(0.0..=1.0).contains(&p) {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    if quantile.is_nan() || quantile <= 0.0 {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    let (z, z2) = (quantile, quantile * quantile);
    if z2 / (n * n) > f64::MAX / 4.0 {
        return Ok((0.0, 1.0));
    }
    let center = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    let low = if p == 0.0 { 0.0 } else { (center - half).max(0.0) };
    let high = if p == 1.0 { 1.0 } else { (center + half).min(1.0) };
    Ok((low, high))
}

/// Returns the interval of Clopper & Pearson (1934), which never covers less than the level.
///
/// ```
/// use modelwatch_stats::intervals::clopper_pearson;
///
/// // No success in n: the upper bound is 1 - (α/2)^(1/n).
/// let interval = clopper_pearson(0, 10, 0.95).unwrap();
/// assert_eq!(interval.low, 0.0);
/// assert!((interval.high - (1.0 - 0.025f64.powf(0.1))).abs() < 1e-12);
/// ```
pub fn clopper_pearson(successes: u64, n: u64, level: f64) -> Result<Interval, Undefined> {
    share(successes, n)?;
    open_unit(level)?;
    let tail = (1.0 - level) / 2.0;
    let (hits, misses) = (successes as f64, (n - successes) as f64);
    let low = if successes == 0 { 0.0 } else { beta_quantile(tail, hits, misses + 1.0) };
    let high = if successes == n { 1.0 } else { beta_quantile(1.0 - tail, hits + 1.0, misses) };
    Ok(Interval { low, high, level })
}

/// Returns McNemar's test (1947) on the discordant pairs `b` and `c`.
///
/// The statistic is `min(b, c)` for [`McNemar::Exact`], else `(|b - c| - k)² / (b + c)` with k = 1 under the correction.
/// Undefined without discordant pairs.
///
/// ```
/// use modelwatch_stats::intervals::{McNemar, mcnemar};
///
/// // 2 P(X ≤ 1) for 4 tosses: 2 * (1 + 4) / 16.
/// assert!((mcnemar(1, 3, McNemar::Exact).unwrap().p_value - 0.625).abs() < 1e-12);
/// assert_eq!(mcnemar(1, 3, McNemar::Asymptotic).unwrap().statistic, 1.0);
/// ```
pub fn mcnemar(b: u64, c: u64, method: McNemar) -> Result<Test, Undefined> {
    let n = b.checked_add(c).ok_or(Undefined::new(Reason::Overflow))?;
    if n == 0 {
        return Err(Undefined::new(Reason::Empty));
    }
    let correction = match method {
        McNemar::Exact => {
            let fewer = b.min(c) as f64;
            // P(X ≤ k) = I_½(n - k, k + 1).
            let p_value = if b == c { 1.0 } else { (2.0 * beta_reg(n as f64 - fewer, fewer + 1.0, 0.5)).min(1.0) };
            return Ok(Test { statistic: fewer, p_value });
        }
        McNemar::Asymptotic => 0.0,
        McNemar::Corrected => 1.0,
    };
    let difference = (b.abs_diff(c) as f64 - correction).max(0.0);
    let statistic = difference * difference / n as f64;
    let p_value = if statistic == 0.0 { 1.0 } else { gamma_ur(0.5, statistic / 2.0) };
    Ok(Test { statistic, p_value })
}

/// Returns Newcombe's interval (1998, method 10) for the difference of two paired proportions, first minus second.
///
/// Wilson bounds of both proportions, joined with the correlation of the pairs (continuity-corrected φ).
///
/// ```
/// use modelwatch_stats::intervals::{PairedCounts, newcombe_paired};
///
/// // Newcombe (1998), table II: 36, 12, 2, 0 gives 0.0569 to 0.3404.
/// let counts = PairedCounts { both: 36, first_only: 12, second_only: 2, neither: 0 };
/// let interval = newcombe_paired(counts, 0.95).unwrap();
/// assert!((interval.low - 0.0569).abs() < 5e-5 && (interval.high - 0.3404).abs() < 5e-5);
/// ```
pub fn newcombe_paired(counts: PairedCounts, level: f64) -> Result<Interval, Undefined> {
    let PairedCounts { both, first_only, second_only, neither } = counts;
    let total = [both, first_only, second_only, neither].iter().try_fold(0u64, |sum, it| sum.checked_add(*it));
    let n = total.ok_or(Undefined::new(Reason::Overflow))?;
    let (first, second) = (wilson(both + first_only, n, level)?, wilson(both + second_only, n, level)?);
    let (a, b, c, d) = (both as f64, first_only as f64, second_only as f64, neither as f64);
    let (p1, p2) = ((a + b) / n as f64, (a + c) / n as f64);
    let margins = (a + b) * (c + d) * (a + c) * (b + d);
    let cross = a * d - b * c;
    let shrunk = if cross > 0.0 { (cross - n as f64 / 2.0).max(0.0) } else { cross };
    let phi = if margins == 0.0 { 0.0 } else { shrunk / margins.sqrt() };
    let join = |x: f64, y: f64| (x * x - 2.0 * phi * x * y + y * y).max(0.0).sqrt();
    let difference = p1 - p2;
    Ok(Interval {
        low: (difference - join(p1 - first.low, second.high - p2)).max(-1.0),
        high: (difference + join(p2 - second.low, first.high - p1)).min(1.0),
        level,
    })
}

/// The ranks, counted from 1, of the sorted values between which a quantile lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// The lower one; none where there are too few values for a lower bound.
    pub low: Option<u64>,
    /// The upper one; none where there are too few values for an upper bound.
    pub high: Option<u64>,
}

/// Returns the ranks of `n` sorted values that enclose the `quantile` of what they were drawn from.
///
/// Distribution-free (Conover 1999, section 3.2): the number of values below the quantile is binomial, so that
/// P(B < low) and P(B ≥ high) are at most half of 1 - `level` each. Never covers less than the level.
///
/// ```
/// use modelwatch_stats::intervals::{Ranks, quantile_ranks};
///
/// // The median of 10: P(B < 2) = 11 / 1024 = 0.011, P(B < 3) = 56 / 1024 = 0.055, and the same from above.
/// assert_eq!(quantile_ranks(10, 0.5, 0.95), Ok(Ranks { low: Some(2), high: Some(9) }));
/// // All of 100 values lie below the 99th percentile in 0.99^100 = 37 % of all samples.
/// assert_eq!(quantile_ranks(100, 0.99, 0.95).unwrap().high, None);
/// ```
pub fn quantile_ranks(n: u64, quantile: f64, level: f64) -> Result<Ranks, Undefined> {
    if n == 0 {
        return Err(Undefined::new(Reason::Empty));
    }
    open_unit(quantile)?;
    open_unit(level)?;
    let tail = (1.0 - level) / 2.0;
    // P(B < k) = P(B ≤ k - 1) = I_{1-q}(n - k + 1, k), which grows with k.
    let below = |k: u64| match k {
        0 => 0.0,
        k if k > n => 1.0,
        k => beta_reg((n - k + 1) as f64, k as f64, 1.0 - quantile),
    };
    let first = |holds: &dyn Fn(u64) -> bool| {
        let (mut low, mut high) = (0, n + 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if holds(middle) { high = middle } else { low = middle }
        }
        high
    };
    // The last k of which P(B < k) is at most the tail, and the first of which P(B ≥ k) is.
    let low = first(&|k| below(k) > tail) - 1;
    let high = first(&|k| 1.0 - below(k) <= tail);
    Ok(Ranks { low: (low >= 1).then_some(low), high: (high <= n).then_some(high) })
}

/// Returns the z such that a standard normal value lies within ±z with probability `level`.
pub fn two_sided_z(level: f64) -> Result<f64, Undefined> {
    open_unit(level)?;
    normal_quantile((1.0 + level) / 2.0)
}

/// Bisection over the floats: 64 steps halve the distance in representable numbers, so that small quantiles keep their digits.
fn beta_quantile(probability: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0u64, 1.0f64.to_bits());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if beta_reg(a, b, f64::from_bits(middle)) < probability { low = middle } else { high = middle }
    }
    f64::from_bits(high)
}

fn share(successes: u64, n: u64) -> Result<f64, Undefined> {
    if n == 0 {
        Err(Undefined::new(Reason::Empty))
    } else if successes > n {
        Err(Undefined::new(Reason::OutOfRange))
    } else {
        Ok(successes as f64 / n as f64)
    }
}

fn open_unit(probability: f64) -> Result<(), Undefined> {
    if probability > 0.0 && probability < 1.0 { Ok(()) } else { Err(Undefined::new(Reason::OutOfRange)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn student_quantiles_equal_published_tables() {
        for (p, dof, expected) in [
            (0.975, 1.0, 12.706_204_736_174_7),
            (0.975, 19.0, 2.093_024_054_408_26),
            (0.95, 10.0, 1.812_461_122_811_68),
            (0.995, 100.0, 2.625_890_521_398_82),
            (0.025, 4.0, -2.776_445_105_197_79),
            (0.975, 1e6, 1.959_966_356_821_21),
        ] {
            let found = student_t_quantile(p, dof).unwrap();
            assert!((found / expected - 1.0).abs() < 1e-8, "t({p}, {dof}) = {found}, expected {expected}");
        }
        assert_eq!(student_t_quantile(0.5, 3.0), Ok(0.0));
        assert_eq!(student_t_quantile(0.9, 0.0), Err(Undefined::new(Reason::OutOfRange)));
        assert_eq!(normal_quantile(f64::NAN), Err(Undefined::new(Reason::OutOfRange)));
    }

    #[test]
    fn quantile_ranks_cover_what_they_say() {
        let binomial = |n: u64, q: f64| {
            let mut all = vec![1.0];
            for _ in 0..n {
                let mut next = vec![0.0; all.len() + 1];
                for (k, it) in all.iter().enumerate() {
                    next[k] += it * (1.0 - q);
                    next[k + 1] += it * q;
                }
                all = next;
            }
            all
        };
        for (n, q, level) in [(10, 0.5, 0.95), (60, 0.95, 0.9), (400, 0.99, 0.95), (5, 0.5, 0.99), (37, 0.1, 0.8)] {
            let masses = binomial(n, q);
            let tail = (1.0 - level) / 2.0 + 1e-12;
            let below = |k: u64| masses[..k as usize].iter().sum::<f64>();
            let Ranks { low, high } = quantile_ranks(n, q, level).unwrap();
            let lowest = low.unwrap_or(0);
            assert!(below(lowest) <= tail && below(lowest + 1) > tail, "{n} {q}: {low:?}");
            let highest = high.unwrap_or(n + 1);
            assert!(high.is_none() || 1.0 - below(highest) <= tail, "{n} {q}: {high:?}");
            assert!(1.0 - below(highest - 1) > tail, "{n} {q}: {high:?}");
        }
        // 0.99^n is at most 2.5 % from 368 on.
        assert_eq!(quantile_ranks(367, 0.99, 0.95).unwrap().high, None);
        assert_eq!(quantile_ranks(368, 0.99, 0.95).unwrap().high, Some(368));
        assert_eq!(quantile_ranks(0, 0.5, 0.95), Err(Undefined::new(Reason::Empty)));
        assert_eq!(quantile_ranks(9, 1.0, 0.95), Err(Undefined::new(Reason::OutOfRange)));
    }

    #[test]
    fn impossible_counts_are_undefined() {
        for interval in [wilson, clopper_pearson] {
            assert_eq!(interval(0, 0, 0.95), Err(Undefined::new(Reason::Empty)));
            assert_eq!(interval(2, 1, 0.95), Err(Undefined::new(Reason::OutOfRange)));
            assert_eq!(interval(1, 2, 1.0), Err(Undefined::new(Reason::OutOfRange)));
        }
        assert_eq!(mcnemar(0, 0, McNemar::Exact), Err(Undefined::new(Reason::Empty)));
        assert_eq!(mcnemar(3, 3, McNemar::Exact).unwrap().p_value, 1.0);
        assert_eq!(mcnemar(3, 3, McNemar::Corrected).unwrap().p_value, 1.0);
        let nothing = PairedCounts { both: 0, first_only: 0, second_only: 0, neither: 0 };
        assert_eq!(newcombe_paired(nothing, 0.95), Err(Undefined::new(Reason::Empty)));
    }

    proptest! {
        #[test]
        fn intervals_hold_the_estimate_and_mirror(n in 1u64..2000, part in 0.0..=1.0f64, level in 0.5..0.999f64) {
            let hits = (part * n as f64) as u64;
            for method in [wilson, clopper_pearson] {
                let (interval, mirrored) = (method(hits, n, level).unwrap(), method(n - hits, n, level).unwrap());
                let p = hits as f64 / n as f64;
                prop_assert!(0.0 <= interval.low && interval.low <= p && p <= interval.high && interval.high <= 1.0);
                prop_assert!((interval.low - (1.0 - mirrored.high)).abs() < 1e-9);
            }
        }

        #[test]
        fn paired_interval_holds_the_difference(both in 0u64..50, first_only in 0u64..50, second_only in 0u64..50, neither in 1u64..50) {
            let n = (both + first_only + second_only + neither) as f64;
            let interval = newcombe_paired(PairedCounts { both, first_only, second_only, neither }, 0.95).unwrap();
            let difference = (first_only as f64 - second_only as f64) / n;
            prop_assert!(interval.low <= difference + 1e-12 && difference <= interval.high + 1e-12);
        }
    }
}
