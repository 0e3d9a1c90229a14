//! The intervals of areas under the ROC curve, and of means of them over classes, after DeLong.

use modelwatch_sdk::report::Interval;
use modelwatch_stats::{delong::area_interval, intervals::two_sided_z};

use crate::{
    bootstrap::{AreaOf, Rows},
    intervals::of_correlated,
    measure::{Areas, Measure},
    row::Layout,
    summed::{SumMetric, SumOf},
    tasks::multi_label,
};

/// The variances of both models' areas and of their differences; none where they are undefined, and with weights.
#[derive(Debug, Default)]
pub(crate) struct AreaVariances {
    classes: Vec<Variances>,
    /// Those of the mean over all classes.
    mean: Variances,
    /// Those of the mean over the classes that have rows on both sides.
    present: Variances,
    together: Variances,
}

#[derive(Clone, Debug, Default)]
struct Variances {
    models: Vec<Option<f64>>,
    difference: Option<f64>,
    /// The number of positive and of negative rows; of a mean those of the class that has the fewest, and of all labels together the rows
    /// that have any, and that lack any.
    n: (f64, f64),
}

impl AreaVariances {
    /// Returns the variances for `n` rows, of which `rows` are kept.
    pub(crate) fn new(rows: &Rows<'_>, layout: &Layout, n: u64) -> Self {
        if layout.has_weights {
            return Self::default();
        }
        let counts: Vec<f64> = rows.iter().map(|it| it.1 as f64).collect();
        let n_kept: f64 = counts.iter().sum();
        // A variance falls as the rows become more.
        let share = n_kept / n as f64;
        let n_models = layout.models.len();
        let of = |influences: &[Option<Vec<f64>>], n: (f64, f64)| Variances::new(influences, &counts, share, n);
        let mut sums: Vec<Option<Vec<f64>>> = vec![Some(vec![0.0; counts.len()]); n_models];
        let (mut is_whole, mut n_present, mut fewest) = (true, 0.0, (f64::INFINITY, f64::INFINITY));
        let mut classes = Vec::new();
        for class in 0..rows.n_ranked() {
            let positives = rows.positives(class) / share;
            let n = (positives, n_kept / share - positives);
            let found: Vec<Option<Vec<f64>>> =
                (0..n_models).map(|it| rows.influences(it, AreaOf::Class(class))).collect();
            classes.push(of(&found, n));
            if n.0 == 0.0 || n.1 == 0.0 {
                is_whole = false;
                continue;
            }
            n_present += 1.0;
            fewest = if n.0.min(n.1) < fewest.0.min(fewest.1) { n } else { fewest };
            for (sum, found) in sums.iter_mut().zip(found) {
                *sum = sum.take().zip(found).map(|(mut sum, found)| {
                    sum.iter_mut().zip(found).for_each(|(sum, it)| *sum += it);
                    sum
                });
            }
        }
        sums.iter_mut().flatten().flatten().for_each(|it| *it /= n_present);
        let present = if n_present > 0.0 { of(&sums, fewest) } else { Variances::default() };
        let together = rows.is_of_labels().then(|| {
            let found: Vec<Option<Vec<f64>>> = (0..n_models).map(|it| rows.influences(it, AreaOf::Together)).collect();
            of(&found, (rows.with_entry(true) / share, rows.with_entry(false) / share))
        });
        Self {
            classes,
            mean: if is_whole { present.clone() } else { Variances::default() },
            present,
            together: together.unwrap_or_default(),
        }
    }

    /// Returns the interval of a metric of a model, where it is an area or [a linear function](scale) of it.
    pub(crate) fn interval(&self, measure: Measure, value: f64, model: usize, level: f64) -> Option<Interval> {
        let scale = scale(measure)?;
        let of = self.of(measure)?;
        let variance = of.models.get(model).copied().flatten()?;
        let found = area_interval((value - 1.0 + scale) / scale, variance, of.n, level).ok()?;
        let moved = |it: f64| scale * it + 1.0 - scale;
        Some(Interval { low: moved(found.low), high: moved(found.high), level })
    }

    /// Returns the interval of the difference of a metric; none where its variance is 0.
    ///
    /// It is DeLong's, which takes it for normal. Where a normal interval of either model would reach beyond 0 or 1, areas are skewed, and it is made
    /// of [those of both models](Self::interval).
    pub(crate) fn difference(&self, measure: Measure, values: [f64; 2], level: f64) -> Option<Interval> {
        let (scale, of) = (scale(measure)?, self.of(measure)?);
        let variance = of.difference.filter(|&it| it > 0.0)?;
        let [left, right] = [*of.models.first()?, *of.models.get(1)?].map(Option::unwrap_or_default);
        let z = two_sided_z(level).ok()?;
        let is_inside = |value: f64, variance: f64| {
            let (area, half) = ((value - 1.0 + scale) / scale, z * variance.sqrt());
            area - half >= 0.0 && area + half <= 1.0
        };
        if is_inside(values[0], left) && is_inside(values[1], right) {
            let (difference, half) = (values[0] - values[1], z * variance.sqrt() * scale);
            let (low, high) = ((difference - half).max(-scale), (difference + half).min(scale));
            return Some(Interval { low, high, level });
        }
        let together = (left + right - variance) / (2.0 * (left * right).sqrt());
        let together = if together.is_finite() { together.clamp(-1.0, 1.0) } else { 0.0 };
        let interval = |model: usize| self.interval(measure, values[model], model, level);
        let found = of_correlated([(values[0], interval(0)?), (values[1], interval(1)?)], together);
        Some(Interval { low: found.low.max(-scale), high: found.high.min(scale), level })
    }

    fn of(&self, measure: Measure) -> Option<&Variances> {
        match measure {
            Measure::RocAuc(Areas::One) | Measure::Gini => self.classes.first(),
            Measure::RocAuc(Areas::Rest(class)) => self.classes.get(class),
            Measure::RocAuc(Areas::Present) => Some(&self.present),
            Measure::Summed(_, SumMetric { of, .. }) => match of {
                SumOf::Class(class) => self.classes.get(class),
                SumOf::Macro => Some(&self.mean),
                SumOf::Micro => Some(&self.together),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Variances {
    /// Returns the variances for what each row moves the models' areas by.
    fn new(influences: &[Option<Vec<f64>>], counts: &[f64], share: f64, n: (f64, f64)) -> Self {
        let sum = |of: &dyn Fn(usize) -> f64| {
            share * counts.iter().enumerate().map(|(row, count)| count * of(row).powi(2)).sum::<f64>()
        };
        let difference = match influences {
            [Some(candidate), Some(baseline)] => Some(sum(&|row| candidate[row] - baseline[row])),
            _ => None,
        };
        let models = influences.iter().map(|it| it.as_ref().map(|it| sum(&|row| it[row]))).collect();
        Self { models, difference, n }
    }
}

/// Returns by how much a metric moves with the area under the ROC curve that it is a linear function of, 1 at 1.
fn scale(measure: Measure) -> Option<f64> {
    match measure {
        Measure::RocAuc(Areas::One | Areas::Rest(_) | Areas::Present) => Some(1.0),
        Measure::Gini => Some(2.0),
        Measure::Summed(_, it) if multi_label::is_of_ranks(it) && multi_label::is_area(it) => Some(1.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(models: [f64; 2], difference: Option<f64>) -> AreaVariances {
        let one = Variances { models: models.map(Some).to_vec(), difference, n: (40.0, 60.0) };
        AreaVariances { classes: vec![one], ..AreaVariances::default() }
    }

    #[test]
    fn a_difference_without_variance_has_no_interval() {
        let interval = |difference: Option<f64>| {
            of([1e-4; 2], difference).difference(Measure::RocAuc(Areas::One), [0.7, 0.7], 0.95)
        };
        assert!(interval(None).is_none() && interval(Some(0.0)).is_none());
        // Independent areas in the middle differ as normal deviates do.
        let found = interval(Some(2e-4)).unwrap();
        assert!((found.low + 0.0277).abs() < 1e-3 && (found.high - 0.0277).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn a_difference_near_1_is_skewed_as_the_areas_are() {
        let found = of([1e-4, 4e-4], Some(2.5e-4)).difference(Measure::RocAuc(Areas::One), [0.985, 0.96], 0.95);
        let found = found.unwrap();
        assert!(found.high - 0.025 > 1.3 * (0.025 - found.low) && found.low < 0.01, "{found:?}");
        let gini = of([1e-4, 4e-4], Some(2.5e-4)).difference(Measure::Gini, [0.97, 0.92], 0.95).unwrap();
        assert!((gini.low - 2.0 * found.low).abs() < 1e-12 && (gini.high - 2.0 * found.high).abs() < 1e-12, "{gini:?}");
    }
}
