//! Cumulative shares, for pictures.

use std::collections::BTreeSet;

use modelwatch_stats::{Point, quantile::quantiles};

use crate::bins::total;

/// The most values at which shares are drawn, of each sample.
const MAX_VALUES: usize = 48;

/// The share of values at either end that does not widen the picture.
const TAIL: f64 = 0.005;

/// The shares of both samples up to common values, ascending.
///
/// A value stands there twice, with the share below it and the share up to it, so that the lines are steps where a value is frequent. Both
/// are exact, and the lines are straight between values where there are too many to draw each of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cumulative {
    pub(crate) values: Vec<f64>,
    pub(crate) reference: Vec<f64>,
    pub(crate) current: Vec<f64>,
}

/// Returns the shares of two samples.
pub(crate) fn cumulative(left: &[Point], right: &[Point]) -> Cumulative {
    let mut values: Vec<f64> = [left, right].into_iter().flat_map(drawn).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let (of_left, of_right) = (Shares::new(left), Shares::new(right));
    let mut res = Cumulative::default();
    for value in values {
        for is_up_to in [false, true] {
            res.values.push(value);
            res.reference.push(of_left.at(value, is_up_to));
            res.current.push(of_right.at(value, is_up_to));
        }
    }
    res
}

/// Returns the values at which the shares are drawn: all but the outermost ones, or as many evenly spaced ranks.
fn drawn(points: &[Point]) -> Vec<f64> {
    if points.len() <= MAX_VALUES {
        return points.iter().map(|it| it.0).collect();
    }
    let step = (1.0 - 2.0 * TAIL) / (MAX_VALUES - 1) as f64;
    let ranks: Vec<f64> = (0..MAX_VALUES).map(|it| TAIL + step * it as f64).collect();
    let found = quantiles(points, &ranks).unwrap_or_default();
    // A quantile between two values is none of them, and has no step.
    let nearest = |it: f64| points.partition_point(|point| point.0 < it).min(points.len() - 1);
    let places: BTreeSet<usize> = found.into_iter().map(nearest).collect();
    places.into_iter().map(|it| points[it].0).collect()
}

/// A sample with the number of its values up to each.
struct Shares<'a> {
    points: &'a [Point],
    sums: Vec<u64>,
    total: f64,
}

impl<'a> Shares<'a> {
    fn new(points: &'a [Point]) -> Self {
        let sums = points.iter().scan(0u64, |sum, it| {
            *sum = sum.saturating_add(it.1);
            Some(*sum)
        });
        Self { points, sums: sums.collect(), total: total(points) as f64 }
    }

    /// Returns the share of values below that one, or up to it.
    fn at(&self, value: f64, is_up_to: bool) -> f64 {
        let n = self.points.partition_point(|it| it.0 < value || (is_up_to && it.0 == value));
        n.checked_sub(1).map_or(0.0, |last| self.sums[last] as f64 / self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_steps() {
        let found = cumulative(&[(1.0, 1), (2.0, 3)], &[(2.0, 1), (4.0, 1)]);
        assert_eq!(found.values, [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]);
        assert_eq!(found.reference, [0.0, 0.25, 0.25, 1.0, 1.0, 1.0]);
        assert_eq!(found.current, [0.0, 0.0, 0.0, 0.5, 0.5, 1.0]);
    }

    #[test]
    fn many_values_are_exact_where_they_are_drawn_and_outliers_are_not() {
        let mut left: Vec<Point> = (0..10_000).map(|it| (f64::from(it), 1)).collect();
        left.push((1e9, 1));
        let right: Vec<Point> = (0..10_000).map(|it| (f64::from(it) + 5000.0, 2)).collect();
        let found = cumulative(&left, &right);
        assert!((150..=4 * MAX_VALUES).contains(&found.values.len()), "{}", found.values.len());
        assert!(found.values.iter().all(|it| *it < 15_000.0));
        for (at, value) in found.values.iter().enumerate().skip(1).step_by(2) {
            let (reference, current) =
                ((value + 1.0).min(10_000.0) / 10_001.0, ((value - 4999.0) / 10_000.0).clamp(0.0, 1.0));
            assert!((found.reference[at] - reference).abs() < 1e-12 && (found.current[at] - current).abs() < 1e-12);
        }
        // No step between two values of a sample is greater than what lies between their ranks.
        assert!(found.reference.windows(2).all(|it| it[0] <= it[1] && it[1] - it[0] < 1.2 / MAX_VALUES as f64));
    }

    #[test]
    fn a_sample_of_nothing_has_no_curve() {
        assert_eq!(cumulative(&[], &[]), Cumulative::default());
    }
}
