//! What is usual of a metric: limits from what labels gave in chunks of the reference, or in chunks before.

use std::collections::BTreeMap;

use modelwatch_sdk::cells::Window;
use modelwatch_stats::{
    intervals::{normal_quantile, normal_tail, student_t_quantile},
    weights::whole_rows,
};

use crate::{
    config::{Config, Limits, Rule},
    metric::Metric,
    scale::Scale,
};

/// How far a run may be from what is usual before it says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// How many standard errors that is.
    pub(crate) factor: f64,
    /// For how many slices.
    n_slices: usize,
}

impl Budget {
    /// Returns the budget of a run that looks at so many numbers of all rows and of `n_slices` slices.
    ///
    /// By the rule `budget` each of them gets an equal part of `alpha` (Bonferroni), so that the chance of any false alarm is at most that,
    /// whatever they have to do with each other.
    pub(crate) fn new(config: &Config, n_looks: usize, n_slices: usize) -> Self {
        let factor = match config.rule {
            Rule::Nannyml => config.deviations(),
            Rule::Budget => {
                let tail = config.alpha() / (2.0 * n_looks.max(1) as f64);
                normal_quantile(tail).map_or(f64::INFINITY, |it| -it)
            }
        };
        Self { factor, n_slices }
    }
}

/// What labels gave in a chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gave {
    /// None where the metric does not exist.
    pub(crate) value: Option<f64>,
    /// How many rows that count alike the chunk is worth.
    pub(crate) size: f64,
}

/// What labels gave in the chunks of both roles, by their first second.
pub(crate) struct Past {
    reference: Vec<Gave>,
    chunks: BTreeMap<i64, Vec<Gave>>,
    /// The chunks of current rows alone.
    current: BTreeMap<i64, Vec<Gave>>,
}

impl Past {
    pub(crate) fn new<'a>(reference: impl Iterator<Item = (Option<i64>, &'a Gave)>) -> Self {
        let mut res = Self { reference: Vec::new(), chunks: BTreeMap::new(), current: BTreeMap::new() };
        for (start, gave) in reference {
            res.reference.push(*gave);
            if let Some(it) = start {
                res.chunks.entry(it).or_default().push(*gave);
            }
        }
        res
    }

    pub(crate) fn add(&mut self, current: impl Iterator<Item = (Option<i64>, Gave)>) {
        for (start, gave) in current {
            if let Some(it) = start {
                self.chunks.entry(it).or_default().push(gave);
                self.current.entry(it).or_default().push(gave);
            }
        }
    }

    /// Returns what labels gave in the window of the chunk that begins there.
    pub(crate) fn before(&self, window: Window, start: Option<i64>) -> Vec<Gave> {
        let Some(start) = start else { return self.reference.clone() };
        match window {
            Window::Fixed => self.reference.clone(),
            Window::Expanding => {
                let earlier = self.current.range(..start).flat_map(|it| it.1);
                self.reference.iter().chain(earlier).copied().collect()
            }
            Window::Rolling(n) => {
                let n = usize::try_from(n).unwrap_or(usize::MAX);
                self.chunks.range(..start).rev().take(n).flat_map(|it| it.1).copied().collect()
            }
            Window::Seasonal(season) => {
                let Some((&first, _)) = self.chunks.first_key_value() else { return Vec::new() };
                let seasons = std::iter::successors(Some(season.before(start)), |it| Some(season.before(*it)));
                let starts = seasons.take_while(|it| *it >= first);
                starts.filter_map(|it| self.chunks.get(&it)).flatten().copied().collect()
            }
        }
    }
}

/// From so many chunks of the reference on these tell how chunks differ that are not among them.
const ENOUGH: usize = 10;

/// Whose chunks are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Of<'a> {
    pub(crate) metric: Metric,
    /// Those of a slice, or of a window that moves, of which there are few.
    pub(crate) has_few: bool,
    /// All chunks of the reference, where these differ as those of the window do.
    pub(crate) reference: &'a [Gave],
    pub(crate) budget: Budget,
}

/// What chunks of the reference gave.
pub(crate) struct Usual {
    pub(crate) mean: Option<f64>,
    /// The standard error in chunks of that size.
    pub(crate) error: f64,
    /// The mean size of the chunks.
    pub(crate) size: f64,
    scale: Scale,
    /// The mean on that scale.
    center: f64,
    /// How far from it the limits are there; none where there are fewer than two, which say nothing about how chunks differ.
    width: Option<f64>,
    /// How many standard errors a chunk may be further from the mean for being smaller.
    factor: f64,
}

impl Usual {
    /// Returns what is usual of a metric, given what labels gave in chunks and the standard error of rows that are worth their mean size.
    pub(crate) fn of(config: &Config, of: Of<'_>, chunks: &[Gave], error: impl FnOnce(f64) -> f64) -> Self {
        let size = chunks.iter().map(|it| it.size).sum::<f64>() / (chunks.len() as f64).max(1.0);
        // Rounded down, so that chunks of nearly as many rows are not taken for smaller ones.
        let size = whole_rows(size) as f64;
        let error = error(size);
        let values: Vec<f64> = chunks.iter().filter_map(|it| it.value).collect();
        let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let scale = match config.rule {
            Rule::Budget => Scale::of(of.metric),
            Rule::Nannyml => Scale::Plain,
        };
        let places = Places::of(values.into_iter().map(|it| scale.place(it)));
        let all = Places::of(of.reference.iter().filter_map(|it| it.value).map(|it| scale.place(it)));
        let on_scale = scale.error(scale.value(places.mean), error, size);
        let (width, factor) = match config.rule {
            Rule::Budget if of.has_few && all.n < ENOUGH as f64 => {
                (places.interval_of_few(of.budget.factor, on_scale), of.budget.factor)
            }
            Rule::Budget => {
                let beyond = [&places, &all].map(|it| it.beyond(of.budget.factor, on_scale));
                (places.interval(of.budget.factor, on_scale, beyond[0].max(beyond[1])), of.budget.factor)
            }
            Rule::Nannyml if of.has_few => {
                // The tail of a normal number beyond this is at most an n-th of that beyond `deviations`.
                let n_slices = of.budget.n_slices.max(1) as f64;
                let factor = (of.budget.factor.powi(2) + 2.0 * n_slices.ln()).sqrt();
                (places.interval_of_few(factor, error), factor)
            }
            Rule::Nannyml => (of.budget.factor * (places.squares / places.n).sqrt(), of.budget.factor),
        };
        // Without a sampling error nothing bounds how far few chunks are apart by accident.
        let is_known = error.is_finite() || (config.rule == Rule::Nannyml && !of.has_few);
        let width = (places.n > 1.0 && is_known).then_some(width);
        Self { mean, error, size, scale, center: places.mean, width, factor }
    }

    /// Returns the limits of a chunk that is worth `size` rows and whose metric has that standard error.
    ///
    /// A chunk that is smaller than those of the reference may be further from their mean, by as much as its error is
    /// greater; NannyML would hold it against limits that are too narrow for it.
    pub(crate) fn limits(&self, config: &Config, metric: Metric, error: f64, size: f64) -> Limits {
        if let Some(it) = config.limits.get(&metric) {
            return *it;
        }
        let Some(width) = self.width else { return Limits::default() };
        let on_scale = |error: f64, size: f64| self.scale.error(self.scale.value(self.center), error, size);
        // An error that is not known widens nothing.
        let added = (on_scale(error, size).powi(2) - on_scale(self.error, self.size).powi(2)).max(0.0);
        let width = (width.powi(2) + self.factor.powi(2) * added).sqrt();
        let bound = |sign: f64| Some(metric.clamped(self.scale.value(self.center + sign * width)));
        Limits { lower: bound(-1.0), upper: bound(1.0) }
    }
}

/// Where chunks are on a scale.
struct Places {
    n: f64,
    mean: f64,
    /// The sum of squared distances from the mean.
    squares: f64,
}

impl Places {
    fn of(places: impl Iterator<Item = f64>) -> Self {
        let places: Vec<f64> = places.collect();
        let n = places.len() as f64;
        let mean = places.iter().sum::<f64>() / n;
        Self { n, mean, squares: places.iter().map(|it| (it - mean).powi(2)).sum() }
    }

    /// Returns half the width of the prediction interval for one more chunk, whose tails are those of a normal number beyond `factor`.
    ///
    /// Where all rows are alike, chunks differ by their sampling error, which is known. What these differ by beyond that
    /// is an estimate from as many numbers as there are chunks, with the tails of Student's t. Of ten chunks that differ by twice their sampling
    /// error, 0.7 % of runs with ten chunks would alarm by one metric at the factor of 330 looks (`alpha` 0.01); of ones that are alike, 0.02 %.
    fn interval(&self, factor: f64, error: f64, beyond: f64) -> f64 {
        ((factor.powi(2) * error.powi(2) + beyond) * (1.0 + 1.0 / self.n)).sqrt()
    }

    /// Returns the square of what that interval has for chunks that differ by more than their sampling error.
    fn beyond(&self, factor: f64, error: f64) -> f64 {
        let degrees = self.n - 1.0;
        let variance = (self.squares / degrees - error.powi(2)).max(0.0);
        if variance > 0.0 { t_beyond(factor, degrees).powi(2) * variance } else { 0.0 }
    }

    /// Returns the same by Student's t alone, and at least of the sampling error: of few chunks, that they are near to each other
    /// does not say that others will be.
    fn interval_of_few(&self, factor: f64, error: f64) -> f64 {
        let degrees = self.n - 1.0;
        let of_few = t_beyond(factor, degrees) * (self.squares / degrees).sqrt();
        of_few.max(factor * error) * (1.0 + 1.0 / self.n).sqrt()
    }
}

/// Returns the number that Student's t exceeds as seldom as a normal one exceeds `z`; infinite where that is never.
fn t_beyond(z: f64, degrees_of_freedom: f64) -> f64 {
    student_t_quantile(normal_tail(z), degrees_of_freedom).map_or(f64::INFINITY, |it| -it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_that_differ_as_samples_need_no_more_than_that() {
        let error = 0.1;
        // Four chunks whose variance is that of the samples: 0.03 / 3 = 0.1².
        let alike = Places { n: 4.0, mean: 0.0, squares: 0.03 };
        let width = |of: &Places| of.interval(4.0, error, of.beyond(4.0, error));
        assert!((width(&alike) - 0.4 * 1.25f64.sqrt()).abs() < 1e-12);
        // What they differ by beyond that is as uncertain as Student's t with three degrees of freedom.
        let differing = Places { squares: 3.0, ..alike };
        let expected = ((0.4f64.powi(2) + t_beyond(4.0, 3.0).powi(2) * 0.99) * 1.25).sqrt();
        assert!((width(&differing) - expected).abs() < 1e-12);
        assert!(t_beyond(4.0, 3.0) > 20.0 && t_beyond(4.0, 1e6) - 4.0 < 1e-3);
    }
}
