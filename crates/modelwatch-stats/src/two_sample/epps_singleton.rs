//! The Epps–Singleton test on empirical characteristic functions.

use super::{
    Test,
    levels::{Level, Levels},
    tails::chi_squared_sf,
};
use crate::error::{Reason, Undefined};
use crate::quantile::quantile;
use crate::sample::Point;

/// Where the characteristic functions are compared, in units of half the interquartile range.
const PLACES: [f64; 2] = [0.4, 0.8];

pub(super) const SIZE: usize = 4;

/// Eigenvalues below this share of the greatest are 0, as in SciPy's pseudo-inverse.
pub(super) const CUTOFF: f64 = 1e-15;

/// A part of a vector that is this much shorter than the whole may be rounding.
const ROUNDING: f64 = 1e-9;

/// From this χ² on, p is 0 in floats for up to [`SIZE`] degrees of freedom.
const CERTAIN: f64 = 1e4;

pub(super) type Vector = [f64; SIZE];
pub(super) type Matrix = [Vector; SIZE];

/// How far a difference is from 0 for its covariance S.
struct Distance {
    /// `d' S⁺ d` with the pseudo-inverse of S.
    squared: f64,
    rank: usize,
    /// The squared length of the part of d outside the range of S.
    outside: f64,
    /// The squared length of d.
    length: f64,
    /// The eigenvalue up to which S was taken for singular.
    cutoff: f64,
}

/// Returns the Epps–Singleton test (1986; Goerg & Kaiser 2009), which sees differences of any kind, also in discrete data.
///
/// It is SciPy's, right for large samples; see [`epps_singleton_pooled`](super::epps_singleton_pooled()) for one that is right for
/// smaller ones, too. The statistic is the squared Mahalanobis distance of the means of `cos` and `sin` at two places, χ² distributed with as
/// many degrees of freedom as their covariance has rank; below 25 rows it is shrunk by Epps and Singleton's factor.
/// A difference along which neither sample varies, as of differing constants, is an infinite statistic and p-value 0.
/// Undefined for fewer than five rows in a sample, for an interquartile range of 0 or so small that values in its units
/// overflow, and for infinities.
///
/// ```
/// use modelwatch_stats::two_sample::epps_singleton;
///
/// let same: Vec<_> = (0..50).map(|it| (f64::from(it), 1)).collect();
/// assert!(epps_singleton(&same, &same).unwrap().p_value > 0.999);
/// ```
pub fn epps_singleton(reference: &[Point], current: &[Point]) -> Result<Test, Undefined> {
    let levels = Levels::new(reference, current)?;
    levels.refuse_infinities()?;
    if levels.m.min(levels.n) < 5 {
        return Err(Undefined::new(Reason::TooFew));
    }
    let spread = spread_of(&levels)?;
    let (m, n) = (levels.m as f64, levels.n as f64);
    let rows = m + n;
    let (left_mean, left_covariance) = moments(&levels, m, spread, |it| it.reference);
    let (right_mean, right_covariance) = moments(&levels, n, spread, |it| it.current);
    let mut covariance: Matrix = [[0.0; SIZE]; SIZE];
    let mut difference: Vector = [0.0; SIZE];
    for row in 0..SIZE {
        difference[row] = left_mean[row] - right_mean[row];
        for column in 0..SIZE {
            covariance[row][column] =
                rows / m * left_covariance[row][column] + rows / n * right_covariance[row][column];
        }
    }
    if !covariance.iter().flatten().chain(&difference).all(|it| it.is_finite()) {
        return Err(Undefined::new(Reason::Overflow));
    }
    let distance = mahalanobis(covariance, difference);
    if distance.is_infinite(rows) {
        return Ok(Test { statistic: f64::INFINITY, p_value: 0.0 });
    }
    if distance.rank == 0 {
        return Err(Undefined::new(Reason::NarrowMiddle));
    }
    let is_small = m.max(n) < 25.0;
    let shrink = if is_small { 1.0 / (1.0 + rows.powf(-0.45) + 10.1 * (m.powf(-1.7) + n.powf(-1.7))) } else { 1.0 };
    let statistic = rows * distance.squared * shrink;
    Ok(Test { statistic, p_value: chi_squared_sf(statistic, distance.rank as f64) })
}

/// Returns half of the interquartile range of both samples.
///
/// # Errors
/// Where it is 0, and says no unit.
pub(super) fn spread_of(levels: &Levels) -> Result<f64, Undefined> {
    let both: Vec<Point> = levels.levels.iter().map(|it| (it.value, it.both())).collect();
    let spread = quantile(&both, 0.75)? / 2.0 - quantile(&both, 0.25)? / 2.0;
    match both.len() {
        _ if spread > 0.0 => Ok(spread),
        1 => Err(Undefined::new(Reason::NoSpread)),
        _ => Err(Undefined::new(Reason::NarrowMiddle)),
    }
}

/// Returns the functions of a value whose means are compared.
pub(super) fn waves(value: f64, spread: f64) -> Vector {
    let [first, second] = PLACES.map(|it| it / spread * value);
    [first.cos(), second.cos(), first.sin(), second.sin()]
}

/// Returns their means over rows, and their covariance.
pub(super) fn moments(levels: &Levels, n: f64, spread: f64, count: impl Fn(&Level) -> u64) -> (Vector, Matrix) {
    let rows = || levels.levels.iter().map(|it| (waves(it.value, spread), count(it) as f64)).filter(|it| it.1 > 0.0);
    let mut mean = [0.0; SIZE];
    for (wave, weight) in rows() {
        mean.iter_mut().zip(wave).for_each(|(sum, it)| *sum += it * weight / n);
    }
    let mut covariance = [[0.0; SIZE]; SIZE];
    for (wave, weight) in rows() {
        for row in 0..SIZE {
            for column in 0..SIZE {
                covariance[row][column] += (wave[row] - mean[row]) * (wave[column] - mean[column]) * weight / n;
            }
        }
    }
    (mean, covariance)
}

impl Distance {
    /// Whether the difference leaves the range of the covariance by more than rounding explains.
    ///
    /// An eigenvalue that was cut off need not be 0, as of clusters much narrower than their distance. So the part outside
    /// has to be beyond doubt even for an eigenvalue as great as the cutoff.
    fn is_infinite(&self, rows: f64) -> bool {
        self.outside > ROUNDING * ROUNDING * self.length && rows * self.outside > CERTAIN * self.cutoff
    }
}

fn mahalanobis(mut matrix: Matrix, difference: Vector) -> Distance {
    let vectors = diagonalize(&mut matrix);
    let greatest = (0..SIZE).map(|it| matrix[it][it].abs()).fold(0.0, f64::max);
    let length = difference.iter().map(|it| it * it).sum();
    let mut res = Distance { squared: 0.0, rank: 0, outside: 0.0, length, cutoff: CUTOFF * greatest };
    for idx in 0..SIZE {
        let eigenvalue = matrix[idx][idx];
        let along: f64 = (0..SIZE).map(|it| vectors[it][idx] * difference[it]).sum();
        if eigenvalue.abs() > res.cutoff {
            res.squared += along * along / eigenvalue;
            res.rank += 1;
        } else {
            res.outside += along * along;
        }
    }
    res
}

/// Jacobi's rotations: leaves the eigenvalues on the diagonal and returns the eigenvectors in columns.
pub(super) fn diagonalize(matrix: &mut Matrix) -> Matrix {
    let mut vectors = [[0.0; SIZE]; SIZE];
    (0..SIZE).for_each(|it| vectors[it][it] = 1.0);
    for _ in 0..50 {
        for p in 0..SIZE {
            for q in p + 1..SIZE {
                if matrix[p][q] == 0.0 {
                    continue;
                }
                let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
                let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = tangent * cosine;
                let turn = |a: f64, b: f64| (cosine * a - sine * b, sine * a + cosine * b);
                for row in matrix.iter_mut().chain(&mut vectors) {
                    (row[p], row[q]) = turn(row[p], row[q]);
                }
                let (upper, lower) = (matrix[p], matrix[q]);
                for it in 0..SIZE {
                    (matrix[p][it], matrix[q][it]) = turn(upper[it], lower[it]);
                }
            }
        }
    }
    vectors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_is_undefined() {
        let few = [(1.0, 1), (2.0, 3)];
        let flat = [(1.0, 100), (2.0, 3)];
        assert_eq!(epps_singleton(&few, &flat), Err(Undefined::new(Reason::TooFew)));
        assert_eq!(epps_singleton(&flat, &flat), Err(Undefined::new(Reason::NarrowMiddle)));
        assert_eq!(epps_singleton(&[(1.0, 9)], &[(1.0, 9)]), Err(Undefined::new(Reason::NoSpread)));
        assert_eq!(epps_singleton(&flat, &[(f64::INFINITY, 9)]), Err(Undefined::new(Reason::Infinite)));
        assert_eq!(epps_singleton(&flat, &[]), Err(Undefined::new(Reason::Empty)));
    }

    #[test]
    fn a_change_of_scale_alone_is_seen() {
        let points = |scale: f64| (-100..=100).map(|it| (f64::from(it) * scale, 1)).collect::<Vec<_>>();
        assert!(epps_singleton(&points(1.0), &points(2.0)).unwrap().p_value < 1e-9);
    }

    #[test]
    fn a_difference_along_which_nothing_varies_is_certain() {
        let certain: Result<Test, Undefined> = Ok(Test { statistic: f64::INFINITY, p_value: 0.0 });
        assert_eq!(epps_singleton(&[(0.0, 100)], &[(1.0, 100)]), certain);
        assert_eq!(epps_singleton(&[(0.0, 50), (1.0, 50)], &[(2.0, 50), (3.0, 50)]), certain);
    }

    #[test]
    fn values_that_overflow_in_units_of_their_spread_are_undefined() {
        let tiny = [(1e-310, 50), (2e-310, 50)];
        assert_eq!(epps_singleton(&tiny, &tiny), Err(Undefined::new(Reason::Overflow)));
        let far = [(0.0, 50), (1e-200, 50), (1e200, 1)];
        assert_eq!(epps_singleton(&far, &far), Err(Undefined::new(Reason::Overflow)));
    }

    #[test]
    fn a_singular_covariance_alone_is_no_difference() {
        // Means of equal shares of two values differ by rounding.
        let test = epps_singleton(&[(0.3, 30), (1.7, 60)], &[(0.3, 20), (1.7, 40)]).unwrap();
        assert!(test.p_value > 0.999, "{test:?}");
        // The variance within the clusters is cut off, which would make them differ for certain.
        let clusters = |from: u32| -> Vec<Point> {
            let at =
                move |center: u32| (0..40u32).map(move |it| (f64::from(center) + f64::from(it * 2 + from) * 1e-10, 1));
            (0..3).flat_map(at).collect()
        };
        let test = epps_singleton(&clusters(0), &clusters(1)).unwrap();
        assert!(test.p_value > 0.9, "{test:?}");
    }
}
