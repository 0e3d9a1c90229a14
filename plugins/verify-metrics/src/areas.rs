//! The intervals of areas under the ROC curve of binary models, after DeLong.

use modelwatch_sdk::report::Interval;
use modelwatch_stats::{
    delong::{Placements, Scored, area_interval},
    intervals::two_sided_z,
};

use crate::row::{Layout, Prediction};

/// The variances of both models' areas and of their difference; none where they are undefined.
#[derive(Debug, Default)]
pub(crate) struct AreaVariances {
    models: Vec<Option<f64>>,
    difference: Option<f64>,
    /// The number of positive and of negative rows.
    n: (f64, f64),
}

impl AreaVariances {
    /// Returns the variances for `n` rows, of which `rows` with their counts are kept. Rows with weights have none.
    pub(crate) fn new(rows: &[(&[u64], u64)], layout: &Layout, n: u64) -> Self {
        let Some(positive) = layout.positive.filter(|_| !layout.has_weights) else { return Self::default() };
        let of_model = |model: usize| {
            let scored = rows.iter().map(|&(words, count)| match layout.prediction(words, model) {
                Prediction::Scores(it) => Some(Scored {
                    score: f64::from_bits(it.kept[0]),
                    is_positive: Layout::label_class(words) == positive,
                    count,
                }),
                _ => None,
            });
            Placements::new(&scored.collect::<Option<Vec<_>>>()?).ok()
        };
        let placements: Vec<Option<Placements>> = (0..layout.models.len()).map(of_model).collect();
        // A variance falls as the rows become more.
        let n_kept: u64 = rows.iter().map(|it| it.1).sum();
        let share = n_kept as f64 / n as f64;
        let positives: u64 = rows.iter().filter(|it| Layout::label_class(it.0) == positive).map(|it| it.1).sum();
        let difference = match &placements[..] {
            [Some(candidate), Some(baseline)] => candidate.difference_variance(baseline).ok(),
            _ => None,
        };
        Self {
            models: placements.iter().map(|it| Some(it.as_ref()?.variance().ok()? * share)).collect(),
            difference: difference.map(|it| it * share),
            n: (positives as f64 / share, (n_kept - positives) as f64 / share),
        }
    }

    /// Returns the interval of `scale` times an area plus what makes it 1 at an area of 1.
    pub(crate) fn interval(&self, area: f64, model: usize, level: f64, scale: f64) -> Option<Interval> {
        let variance = self.models.get(model).copied().flatten()?;
        let found = area_interval(area, variance, self.n, level).ok()?;
        let moved = |it: f64| scale * it + 1.0 - scale;
        Some(Interval { low: moved(found.low), high: moved(found.high), level })
    }

    /// Returns the interval of the difference of `scale` times the areas; none where its variance is 0.
    pub(crate) fn difference(&self, value: f64, level: f64, scale: f64) -> Option<Interval> {
        let variance = self.difference.filter(|&it| it > 0.0)?;
        let half = two_sided_z(level).ok()? * variance.sqrt() * scale;
        value.is_finite().then_some(Interval {
            low: (value - half).max(-scale),
            high: (value + half).min(scale),
            level,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_without_variance_has_no_interval() {
        let of = |difference: Option<f64>| {
            AreaVariances { models: Vec::new(), difference, n: (2.0, 2.0) }.difference(0.0, 0.95, 1.0)
        };
        assert!(of(None).is_none() && of(Some(0.0)).is_none());
        assert!(of(Some(1e-4)).is_some_and(|it| it.low < -0.019 && it.high > 0.019));
    }
}
