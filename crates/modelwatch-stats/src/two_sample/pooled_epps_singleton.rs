//! The Epps–Singleton test with the covariance of both samples together.

use super::{
    Test,
    epps_singleton::{CUTOFF, SIZE, diagonalize, moments, spread_of},
    levels::{Level, Levels},
    tails::chi_squared_sf,
};
use crate::error::{Reason, Undefined};

/// The most that one row of the smaller sample may add to the statistic along a direction, in units of its mean there.
const MOST_OF_ONE: f64 = 0.5;

/// Returns the Epps–Singleton test as one of equal distributions: with the covariance that both samples have together.
///
/// The test of [`epps_singleton`](super::epps_singleton()), which is SciPy's, takes the covariance of each sample by itself. A direction
/// along which the smaller one does not vary, as it has none of the rare values, then looks certain: of Poisson counts that do not differ, it
/// calls many different. Here each direction has the variance that dealt rows have, and one along which a single row of the smaller sample
/// would be worth more than half of what is to be expected is left out, as no limit holds there: which ones are is a matter of both samples
/// together, so that it costs no false alarms. The statistic is χ² distributed with as many degrees of freedom as directions are left.
///
/// Undefined for fewer than five rows in a sample, for an interquartile range of 0 or so small that values in its units
/// overflow, for infinities, and where no direction is left.
///
/// ```
/// use modelwatch_stats::two_sample::{Levels, epps_singleton_pooled};
///
/// // Counts of which 2 rows of 5,000 are rare.
/// let (left, right) = ([(0.0, 1800), (1.0, 1800), (2.0, 1398), (9.0, 2)], [(0.0, 36), (1.0, 36), (2.0, 28)]);
/// let test = epps_singleton_pooled(&Levels::new(&left, &right).unwrap()).unwrap();
/// assert!(test.p_value > 0.9);
/// ```
pub fn epps_singleton_pooled(levels: &Levels) -> Result<Test, Undefined> {
    levels.refuse_infinities()?;
    if levels.m.min(levels.n) < 5 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let spread = spread_of(levels)?;
    let (m, n) = (levels.m as f64, levels.n as f64);
    let (left, _) = moments(levels, m, spread, |it| it.reference);
    let (right, _) = moments(levels, n, spread, |it| it.current);
    let (mean, mut covariance) = moments(levels, m + n, spread, Level::both);
    if !covariance.iter().flatten().chain(&left).chain(&right).all(|it| it.is_finite()) {
        return Err(Undefined::new(Reason::Overflow));
    }
    let vectors = diagonalize(&mut covariance);
    let greatest = (0..SIZE).map(|it| covariance[it][it]).fold(0.0, f64::max);
    let along = |direction: usize, of: &dyn Fn(usize) -> f64| -> f64 {
        (0..SIZE).map(|it| vectors[it][direction] * of(it)).sum()
    };
    let (mut sum, mut rank) = (0.0, 0u32);
    for (direction, row) in covariance.iter().enumerate() {
        let variance = row[direction];
        if variance <= CUTOFF.sqrt() * greatest {
            continue;
        }
        let waves = levels.levels.iter().map(|it| super::epps_singleton::waves(it.value, spread));
        let far = waves.map(|it| along(direction, &|at| it[at] - mean[at]).powi(2)).fold(0.0, f64::max);
        if far / variance > MOST_OF_ONE * m.min(n) {
            continue;
        }
        sum += along(direction, &|at| left[at] - right[at]).powi(2) / variance;
        rank += 1;
    }
    if rank == 0 {
        return Err(Undefined::new(Reason::TooRare));
    }
    let statistic = m / (m + n) * n * sum;
    Ok(Test { statistic, p_value: chi_squared_sf(statistic, f64::from(rank)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Point;
    use crate::two_sample::epps_singleton;

    fn of(left: &[Point], right: &[Point]) -> Result<Test, Undefined> {
        epps_singleton_pooled(&Levels::new(left, right).unwrap())
    }

    #[test]
    fn a_rare_value_that_the_smaller_sample_lacks_is_no_difference() {
        // Poisson counts with mean 1, as frequent as they are on average.
        let left = [(0.0, 1839), (1.0, 1839), (2.0, 920), (3.0, 307), (4.0, 77), (5.0, 15), (6.0, 3)];
        let right = [(0.0, 38), (1.0, 36), (2.0, 19), (3.0, 7)];
        let (ours, other) = (of(&left, &right).unwrap(), epps_singleton(&left, &right).unwrap());
        assert!(ours.p_value > 0.5 && other.p_value < 0.01, "{ours:?} {other:?}");
    }

    #[test]
    fn differences_of_place_and_of_scale_are_seen() {
        let points = |from: i32, by: f64| (-100..=100).map(|it| (f64::from(it + from) * by, 1)).collect::<Vec<_>>();
        assert!(of(&points(0, 1.0), &points(0, 2.0)).unwrap().p_value < 1e-9);
        assert!(of(&points(0, 1.0), &points(60, 1.0)).unwrap().p_value < 1e-9);
        assert!(of(&points(0, 1.0), &points(0, 1.0)).unwrap().p_value > 0.999);
        assert!(of(&[(0.0, 100)], &[(1.0, 100)]).unwrap().p_value < 1e-30);
    }

    #[test]
    fn what_has_no_limit_is_undefined() {
        let few = [(1.0, 1), (2.0, 3)];
        let flat = [(1.0, 100), (2.0, 3)];
        assert_eq!(of(&few, &flat), Err(Undefined::new(Reason::TooFew)));
        assert_eq!(of(&flat, &flat), Err(Undefined::new(Reason::NarrowMiddle)));
        assert_eq!(of(&[(1.0, 9)], &[(1.0, 9)]), Err(Undefined::new(Reason::NoSpread)));
        assert_eq!(of(&flat, &[(f64::INFINITY, 9)]), Err(Undefined::new(Reason::Infinite)));
        let far = [(0.0, 50), (1e-200, 50), (1e200, 1)];
        assert_eq!(of(&far, &far), Err(Undefined::new(Reason::Overflow)));
        // A quarter of all rows is rare where there are but five.
        assert_eq!(of(&[(0.0, 74), (1.0, 26)], &[(0.0, 4), (1.0, 1)]), Err(Undefined::new(Reason::TooRare)));
    }
}
