//! The comparison of numbers.

use modelwatch_stats::{
    Point, Undefined,
    two_sample::{LogBase, Test, ZeroFill, jensen_shannon, ks, ks_asymptotic, psi, wasserstein},
};

use crate::{
    bins::{cells, count_of, histogram, total},
    comparison::{Constant, Detail, Part, PartName},
    config::{Config, NumericMethod},
    numeric::{Numeric, Paired, pair},
};

/// What takes the place of an empty bin's share in the population stability index.
pub(crate) const ZERO_FILL: ZeroFill = ZeroFill::Floor(1e-4);

/// Up to so many pairs of rows, the exact p-value is worth its time; it is within a few percent of the other there.
const MAX_EXACT_PAIRS: u64 = 4_000_000;

/// With fewer occupied buckets, a histogram hides most differences.
const MIN_BUCKETS: usize = 12;

/// Sums of floats that should be equal differ by less than this share of their size.
const NOISE: f64 = 1e-6;

/// Where numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// They are in the data.
    Data,
    /// They were computed here, so that they carry rounding errors.
    Computed,
}

/// Returns the comparison of numbers, of which both samples have some.
///
/// # Errors
/// Why the samples cannot be compared.
pub(crate) fn compare_numbers(
    config: &Config,
    name: Option<PartName>,
    origin: Origin,
    reference: &Numeric,
    current: &Numeric,
) -> Result<Part, String> {
    let mut paired = pair(reference, current);
    if origin == Origin::Computed {
        paired = without_noise(paired, reference, current);
    }
    let Paired { reference: left, current: right, is_exact } = &paired;
    let test = kolmogorov_smirnov(left, right).map_err(|e| e.to_string())?;
    let cells = cells(left, right).map_err(|e| e.to_string())?;
    let (p, q): (Vec<f64>, Vec<f64>) = cells.iter().map(|it| (it.reference, it.current)).unzip();
    let psi = psi(&p, &q, ZERO_FILL).unwrap_or(f64::NAN);
    let jensen_shannon = jensen_shannon(&p, &q, LogBase::Two).unwrap_or(f64::NAN);
    let wasserstein = wasserstein(left, right).unwrap_or(f64::NAN);
    let wasserstein_normed = if wasserstein == 0.0 { 0.0 } else { wasserstein / standard_deviation(left) };
    let (effect, effect_name, min_effect) = match config.numeric_method {
        NumericMethod::Auto | NumericMethod::Ks => {
            (test.statistic, "Kolmogorov-Smirnov statistic", config.min_effect.ks)
        }
        NumericMethod::Wasserstein => {
            (wasserstein_normed, "normed Wasserstein distance", config.min_effect.wasserstein)
        }
        NumericMethod::Psi => (psi, "population stability index", config.min_effect.psi),
        NumericMethod::JensenShannon => (jensen_shannon, "Jensen-Shannon distance", config.min_effect.jensen_shannon),
    };
    let buckets = left.len().max(right.len());
    Ok(Part {
        name,
        statistic: test.statistic,
        p_value: test.p_value,
        effect,
        effect_name,
        min_effect,
        psi,
        jensen_shannon,
        cells,
        constant: constant(&paired, reference, current),
        detail: Detail::Numeric {
            wasserstein,
            wasserstein_normed,
            is_coarse: !is_exact && buckets < MIN_BUCKETS,
            histogram: histogram(left, right),
        },
    })
}

fn kolmogorov_smirnov(left: &[Point], right: &[Point]) -> Result<Test, Undefined> {
    let pairs = total(left).saturating_mul(total(right));
    if pairs <= MAX_EXACT_PAIRS { ks(left, right) } else { ks_asymptotic(left, right) }
}

fn constant(paired: &Paired, reference: &Numeric, current: &Numeric) -> Option<Constant> {
    let value_of = |it: &Numeric, points: &[Point]| {
        let is_constant = points.len() == 1 && it.range().is_some_and(|(min, max)| min == max || paired.is_exact);
        is_constant.then(|| points[0].0)
    };
    let (left, right) = (value_of(reference, &paired.reference), value_of(current, &paired.current));
    let (is_current, value, own, other) = match (left, right) {
        (Some(it), None) => (false, it, &paired.reference, &paired.current),
        (None, Some(it)) => (true, it, &paired.current, &paired.reference),
        _ => return None,
    };
    let share = count_of(other, value) as f64 / total(other) as f64;
    let shown = if is_current { current.range() } else { reference.range() };
    Some(Constant {
        is_current,
        value: shown.map_or(value, |it| it.0).to_string(),
        chance: share.powf(total(own) as f64),
    })
}

/// Makes one value of values that differ by rounding alone.
fn without_noise(paired: Paired, reference: &Numeric, current: &Numeric) -> Paired {
    let (Some(left), Some(right)) = (reference.range(), current.range()) else { return paired };
    let (min, max) = (left.0.min(right.0), left.1.max(right.1));
    if max - min > NOISE * min.abs().max(max.abs()) {
        return paired;
    }
    let one = |points: &[Point]| vec![(min, total(points))];
    Paired { reference: one(&paired.reference), current: one(&paired.current), is_exact: true }
}

/// Returns the standard deviation (of the whole, not of a sample), scaled so that squares neither overflow nor vanish.
fn standard_deviation(points: &[Point]) -> f64 {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return f64::NAN };
    let scale = last.0 / 2.0 - first.0 / 2.0;
    if scale == 0.0 {
        return 0.0;
    }
    let n = total(points) as f64;
    let scaled = |it: &Point| (it.0 / scale - first.0 / scale, it.1 as f64);
    let mean = points.iter().map(scaled).map(|(value, count)| value * count).sum::<f64>() / n;
    let squares = points.iter().map(scaled).map(|(value, count)| (value - mean).powi(2) * count).sum::<f64>();
    (squares / n).sqrt() * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_of_huge_and_tiny_values_exist() {
        for scale in [1.0, 1e300, 1e-300] {
            let std = standard_deviation(&[(-scale, 1), (scale, 1)]);
            assert!((std / scale - 1.0).abs() < 1e-12, "{scale}: {std}");
        }
        assert_eq!(standard_deviation(&[(3.0, 5)]), 0.0);
    }

    #[test]
    fn rounding_noise_of_computed_numbers_is_no_difference() {
        let of = |offset: f64| {
            let mut res = Numeric::new(1000);
            (0..200).for_each(|it| res.push(0.1 + offset + f64::from(it) * 1e-12));
            res
        };
        let part = |origin| compare_numbers(&Config::default(), None, origin, &of(0.0), &of(1e-9)).unwrap();
        assert_eq!(part(Origin::Computed).p_value, 1.0);
        assert!(part(Origin::Data).p_value < 1e-9);
    }
}
