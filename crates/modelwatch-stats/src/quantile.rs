//! Quantiles of weighted points and of plain slices.

use crate::error::{Reason, Undefined};
use crate::sample::{Point, total_count};

/// Returns the `level` quantile of points in ascending order, with linear interpolation between order statistics.
///
/// This is type 7 of Hyndman & Fan (1996), NumPy's default: position `level * (n - 1)` in the sorted values.
/// Undefined for no points, a NaN, points out of order, or a level outside 0..=1.
///
/// ```
/// use modelwatch_stats::quantile::quantile;
///
/// // The values are 1, 1, 2, 4: position 0.5 * 3 = 1.5 lies between 1 and 2.
/// assert_eq!(quantile(&[(1.0, 2), (2.0, 1), (4.0, 1)], 0.5), Ok(1.5));
/// ```
pub fn quantile(points: &[Point], level: f64) -> Result<f64, Undefined> {
    quantiles(points, &[level])?.pop().ok_or(Undefined::new(Reason::Empty))
}

/// Returns several quantiles in one pass, as [`quantile`]; the levels are in ascending order.
///
/// ```
/// use modelwatch_stats::quantile::quantiles;
/// assert_eq!(quantiles(&[(1.0, 2), (2.0, 1), (4.0, 1)], &[0.0, 0.5, 1.0]), Ok(vec![1.0, 1.5, 4.0]));
/// ```
pub fn quantiles(points: &[Point], levels: &[f64]) -> Result<Vec<f64>, Undefined> {
    let n = total_count(points)?;
    if !levels.iter().all(|it| (0.0..=1.0).contains(it)) {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    if !levels.is_sorted() {
        return Err(Undefined::new(Reason::NotSorted));
    }
    // Ranks only grow, so that each point is looked at once per rank that it has.
    let (mut idx, mut seen) = (0, 0);
    let mut value_of = |rank: u64| {
        while seen + points[idx].1 <= rank {
            seen += points[idx].1;
            idx += 1;
        }
        // The next of them, without moving on: the following level may start at this one.
        let (mut next, mut after) = (idx, seen);
        while after + points[next].1 <= (rank + 1).min(n - 1) {
            after += points[next].1;
            next += 1;
        }
        (points[idx].0, points[next].0)
    };
    let mut res = Vec::with_capacity(levels.len());
    for level in levels {
        let position = level * (n - 1) as f64;
        let rank = (position.floor() as u64).min(n - 1);
        let (lower, upper) = value_of(rank);
        res.push(interpolate(lower, upper, position - position.floor()));
    }
    Ok(res)
}

/// Returns the `level` quantile of values in any order; type 7, as [`quantile`].
pub fn quantile_of(values: &[f64], level: f64) -> Result<f64, Undefined> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let points: Vec<Point> = sorted.into_iter().map(|it| (it, 1)).collect();
    quantile(&points, level)
}

/// Interpolates from whichever end is nearer, as NumPy does, which keeps the result monotone in `fraction`.
fn interpolate(low: f64, high: f64, fraction: f64) -> f64 {
    if low == high || fraction == 0.0 {
        return low;
    }
    let step = high - low;
    if fraction >= 0.5 { high - step * (1.0 - fraction) } else { low + step * fraction }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_middle_and_bad_input() {
        let values = [3.0, 1.0, 2.0, 10.0];
        assert_eq!(quantile_of(&values, 0.0), Ok(1.0));
        assert_eq!(quantile_of(&values, 1.0), Ok(10.0));
        assert_eq!(quantile_of(&values, 0.25), Ok(1.75));
        assert_eq!(quantile_of(&[], 0.5), Err(Undefined::new(Reason::Empty)));
        assert_eq!(quantile_of(&[f64::NAN], 0.5), Err(Undefined::new(Reason::NotANumber)));
        assert_eq!(quantile_of(&values, 1.5), Err(Undefined::new(Reason::OutOfRange)));
        assert_eq!(quantile(&[(2.0, 1), (1.0, 1)], 0.5), Err(Undefined::new(Reason::NotSorted)));
        assert_eq!(quantile(&[(2.0, 0)], 0.5), Err(Undefined::new(Reason::Empty)));
    }
}
