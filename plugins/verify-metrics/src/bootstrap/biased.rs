//! Intervals of greatest and of mean distances, which chance alone makes larger.
//!
//! Replicates vary as such a value does, but do not tell by how much it is too large on average: they resample rows that are off already, and of few
//! rows there are those that are on the same side in each. An interval reaches as far below the value as that can be instead, and so holds the
//! true one at least as often as it says.

use std::f64::consts::{FRAC_PI_2, LN_2, PI, SQRT_2};

use modelwatch_sdk::report::Interval;
use modelwatch_stats::{
    intervals::{normal_tail, student_t_quantile},
    moments::Moments,
};

use super::{Replicates, replicates::ROUNDING};
use crate::{
    measure::{Measure, Of},
    tally::{Bin, Tally},
};

impl Replicates {
    /// Returns the interval of the `nth` metric of a model.
    pub(super) fn biased(&self, nth: usize, model: usize, value: f64, level: f64) -> Option<Interval> {
        let half = self.half_width(nth, level, |it| it[model])?;
        let [least, most] = self.measures[nth].range();
        let low = (value - half - self.most_off(nth)[model]).max(least);
        let high = (value + half).min(most);
        low.is_finite().then_some(Interval { low, high, level })
    }

    /// Returns the interval of the difference of the models by the `nth` metric. Each can be off by as little as nothing.
    pub(super) fn biased_difference(&self, nth: usize, value: f64, level: f64) -> Option<Interval> {
        let half = self.half_width(nth, level, |it| it[0] - it[1])?;
        let [candidate, baseline] = self.most_off(nth);
        let (low, high) = (value - half - candidate, value + half + baseline);
        (low.is_finite() && high.is_finite()).then_some(Interval { low, high, level })
    }

    fn half_width(&self, nth: usize, level: f64, of: impl Fn([f64; 2]) -> f64) -> Option<f64> {
        let values = self.defined(nth, of)?;
        let mut moments = Moments::default();
        moments.update(&values);
        // What never varies in these rows, as where they are all apart, says nothing of how much it could.
        let deviation = moments.standard_deviation(1).ok().filter(|it| *it > ROUNDING)?;
        let quantile = student_t_quantile((1.0 + level) / 2.0, values.len() as f64 - 1.0).ok()?;
        Some(quantile * deviation * self.shrink(nth).unwrap_or(1.0))
    }

    /// Returns how far the value of each model can be above the true one on average.
    fn most_off(&self, nth: usize) -> [f64; 2] {
        self.off[nth].map(|it| it * self.shrink(nth).unwrap_or(1.0))
    }
}

/// Returns how far a metric of a model can be above the true one on average; 0 of what is not [biased](Measure::is_biased).
pub(super) fn most_off(measure: Measure, tally: &Tally, model: usize) -> f64 {
    match measure {
        Measure::Ece => of_calibration(&tally.models[model].classes.bins),
        Measure::Ks(Of::Positive(_)) => of_class(tally, 0),
        Measure::Ks(Of::Class(class)) => of_class(tally, class),
        Measure::Ks(_) => {
            let n = tally.truth.len();
            (0..n).map(|it| of_class(tally, it)).sum::<f64>() / n as f64
        }
        _ => 0.0,
    }
}

/// Returns how far the greatest distance between the distributions of the scores of a class and of the others can be off: the mean of
/// Kolmogorov's distribution, `√(π/2) ln 2`, is that of two distributions that are the same, and of others there is less chance where they
/// are farthest apart.
fn of_class(tally: &Tally, class: usize) -> f64 {
    let (of, others) = (tally.truth[class], tally.all - tally.truth[class]);
    FRAC_PI_2.sqrt() * LN_2 * (1.0 / of.effective() + 1.0 / others.effective()).sqrt()
}

/// Returns how far the mean distance of the bins of a calibration curve can be off.
///
/// That of a bin is of a nearly normal variable from 0, whose variance is that of the share of its hits, as if it had one more of either kind.
/// Where the true distance is 0, it is off by `1 + √2` times as much as drawing another such variable about it adds, and elsewhere by less.
fn of_calibration(bins: &[Bin]) -> f64 {
    let added = |it: &Bin| {
        let n = it.rows.effective();
        let share = (it.hits / it.rows.weight * n + 1.0) / (n + 2.0);
        let deviation = (it.rows.squares * share * (1.0 - share)).sqrt();
        let distance = (it.confidence - it.hits).abs() / deviation;
        // The mean of |d + z| for a standard normal z, less d.
        let mean = (2.0 / PI).sqrt() * (-distance * distance / 2.0).exp() - 2.0 * distance * normal_tail(distance);
        deviation * mean
    };
    let all: f64 = bins.iter().map(|it| it.rows.weight).sum();
    (1.0 + SQRT_2) * bins.iter().filter(|it| it.rows.weight > 0.0).map(added).sum::<f64>() / all
}
