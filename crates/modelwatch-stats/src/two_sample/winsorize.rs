//! Samples without their outermost values.

use crate::error::{Reason, Undefined};
use crate::quantile::quantiles;
use crate::sample::{Point, total_count};
use crate::two_sample::standard_deviation;

/// One of so many rows at each end counts as one of the outermost.
const ONE_OF: u64 = 100;

/// More rows than these are no accident, and whatever is said of them has to count.
const MOST_ROWS: u64 = 5;

/// Below so many rows, no row is one of the outermost: there are too few to tell.
const LEAST_ROWS: u64 = 20;

/// Returns both samples with values beyond a common range pulled in to its ends (Winsorizing), so that a distance of the two is robust.
///
/// The range is that of all but the outermost hundredth of the rows of each sample at each end, rounded up: of at most five rows, and
/// of none below twenty. It holds the inner values of both samples, so that a shift is kept at its full size, however large it is,
/// while a few outliers in either are no more than the most extreme of the others. Undefined for infinities.
///
/// ```
/// use modelwatch_stats::two_sample::winsorize;
///
/// let inner = winsorize(&[(0.0, 50), (1.0, 49), (1e9, 1)], &[(-1e9, 1), (3.0, 98), (4.0, 1)]).unwrap();
/// assert_eq!(inner, (vec![(0.0, 50), (1.0, 49), (3.0, 1)], vec![(0.0, 1), (3.0, 98), (3.0, 1)]));
/// ```
pub fn winsorize(reference: &[Point], current: &[Point]) -> Result<(Vec<Point>, Vec<Point>), Undefined> {
    let (left, right) = (inner_range(reference)?, inner_range(current)?);
    let (low, high) = (left.0.min(right.0), left.1.max(right.1));
    let pulled_in = |points: &[Point]| points.iter().map(|it| (it.0.clamp(low, high), it.1)).collect();
    Ok((pulled_in(reference), pulled_in(current)))
}

/// Returns how far the values of a sample are apart, in a unit that outliers do not stretch: the standard deviation of those within
/// the range that [`winsorize`] leaves it, or the distance of its quartiles as that of normal numbers is in deviations, if that
/// is less and not zero.
///
/// Values that stand for missing ones, -999 or a billion, are often more than an accident, and yet say nothing of how the others vary.
/// Undefined for infinities.
///
/// ```
/// use modelwatch_stats::two_sample::robust_deviation;
///
/// let deviation = robust_deviation(&[(-999.0, 5), (1.0, 30), (2.0, 30), (3.0, 35)]).unwrap();
/// assert_eq!(deviation, 2.0 / 1.348_979_500_392_163_5);
/// assert_eq!(robust_deviation(&[(0.0, 80), (5.0, 20)]), Ok(2.0));
/// ```
pub fn robust_deviation(points: &[Point]) -> Result<f64, Undefined> {
    /// The distance of the quartiles of the standard normal distribution.
    const OF_NORMAL: f64 = 1.348_979_500_392_163_5;
    let (low, high) = inner_range(points)?;
    let inner: Vec<Point> = points.iter().map(|it| (it.0.clamp(low, high), it.1)).collect();
    let deviation = standard_deviation(&inner)?;
    let quartiles = quantiles(points, &[0.25, 0.75])?;
    // Halves do not overflow where the values are far apart.
    let of_middle = 2.0 * ((quartiles[1] / 2.0 - quartiles[0] / 2.0) / OF_NORMAL);
    Ok(if of_middle > 0.0 { of_middle.min(deviation) } else { deviation })
}

fn inner_range(points: &[Point]) -> Result<(f64, f64), Undefined> {
    let n = total_count(points)?;
    let occurring = || points.iter().filter(|it| it.1 > 0);
    if occurring().any(|it| it.0.is_infinite()) {
        return Err(Undefined::new(Reason::Infinite));
    }
    let n_outer = n.div_ceil(ONE_OF).min(n / LEAST_ROWS).min(MOST_ROWS);
    Ok((beyond(points.iter(), n_outer)?, beyond(points.iter().rev(), n_outer)?))
}

/// The first value with more than so many rows up to it.
fn beyond<'a>(mut points: impl Iterator<Item = &'a Point>, n: u64) -> Result<f64, Undefined> {
    let mut seen = 0;
    let first = points.find(|it| {
        seen += it.1;
        seen > n
    });
    first.map(|it| it.0).ok_or(Undefined::new(Reason::Empty))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::two_sample::wasserstein;

    fn points(mut values: Vec<f64>) -> Vec<Point> {
        values.sort_by(f64::total_cmp);
        values.into_iter().map(|it| (it, 1)).collect()
    }

    #[test]
    fn too_few_rows_have_no_outermost_ones() {
        let few = points((0..19).map(f64::from).collect());
        assert_eq!(winsorize(&few, &few).unwrap(), (few.clone(), few));
        assert_eq!(winsorize(&[], &[(1.0, 1)]), Err(Undefined::new(Reason::Empty)));
        assert_eq!(winsorize(&[(1.0, 1)], &[(f64::INFINITY, 1)]), Err(Undefined::new(Reason::Infinite)));
    }

    proptest! {
        #[test]
        fn outliers_are_no_more_than_the_others(
            left in prop::collection::vec(-10.0f64..10.0, 99..300), right in prop::collection::vec(-10.0f64..10.0, 99..300), outlier in 1e3f64..1e300,
        ) {
            let wild = |it: &[f64]| points([it, &[outlier]].concat());
            let (reference, current) = winsorize(&wild(&left), &wild(&right)).unwrap();
            for it in [&reference, &current] {
                prop_assert!(it.iter().all(|it| it.0.abs() <= 10.0));
                prop_assert!(standard_deviation(it).unwrap() <= 10.0);
            }
        }

        #[test]
        fn a_shift_keeps_its_size(values in prop::collection::vec(-10.0f64..10.0, 20..300), shift in 0.0f64..1e6) {
            let reference = points(values.clone());
            let current = points(values.into_iter().map(|it| it + shift).collect());
            let (left, right) = winsorize(&reference, &current).unwrap();
            // At most a twentieth of the rows is pulled in at each end, and not by more than the values differ.
            let distance = wasserstein(&left, &right).unwrap();
            prop_assert!(distance <= shift * (1.0 + 1e-12) + 1e-9 && distance >= 0.9 * shift - 1e-9, "{} {}", distance, shift);
        }
    }
}
