//! Evidently 0.7.23: the tests of its registry.
//!
//! Infinities are left out, as it does. Its rules of thumb do not look at the number of current rows, and with no drift at all its
//! default alarms on two thirds of columns at 5,000 reference and 100 current rows.
//! Two of its tests draw random permutations from NumPy's global generator (`TVD`, `empirical_mmd`) and are not here.

use std::f64::consts::SQRT_2;

use statrs::function::erf::erfc;

use super::{Categories, Numbers, scipy, total, weights};
use crate::error::{Reason, Undefined, finite};
use crate::multivariate::{Dealings, Pool, Rbf, Rows, Strata, mmd};
use crate::random::Random;
use crate::sample::Point;
use crate::two_sample::{
    self, Alternative, BinRule, CramerVonMises, LogBase, MannWhitney, Shares, ZeroFill, bin_edges, count_into,
    tails::chi_squared_sf,
};

/// Up to so many distinct values, a numeric reference has a bin for each.
const MAX_VALUE_BINS: usize = 20;

/// Up to so many reference rows, the default is a test and not a distance.
const MAX_TESTED_ROWS: u64 = 1000;

/// The test that the default rule chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// `ks`, for numbers.
    Ks,
    /// `chisquare`.
    ChiSquare,
    /// `z`.
    Z,
    /// `wasserstein`, for numbers.
    Wasserstein,
    /// `jensenshannon`.
    JensenShannon,
}

impl Choice {
    /// Returns whether its number is a p-value, drift being below 0.05, or a distance, drift being from 0.1 on.
    pub fn is_p_value(self) -> bool {
        matches!(self, Self::Ks | Self::ChiSquare | Self::Z)
    }
}

/// Returns the default for numbers: it looks at the reference's rows and at the distinct values, not at the current rows.
pub fn default_of_numbers(numbers: Numbers<'_>) -> Result<(Choice, f64), Undefined> {
    let (left, right) = finite_points(numbers);
    let both = union(left, right);
    let choice = match (count(left) <= MAX_TESTED_ROWS, both.len()) {
        (true, 6..) => Choice::Ks,
        (true, 3..=5) => Choice::ChiSquare,
        (true, _) => Choice::Z,
        (false, 6..) => Choice::Wasserstein,
        (false, _) => Choice::JensenShannon,
    };
    let (reference, current) = by_value(left, right, &both);
    let categories = Categories { reference: &reference, current: &current };
    let value = match choice {
        Choice::Ks => ks(numbers),
        Choice::ChiSquare => chisquare(categories),
        Choice::Z => z(categories),
        Choice::Wasserstein => wasserstein(numbers),
        Choice::JensenShannon => jensenshannon(numbers),
    }?;
    Ok((choice, value))
}

/// Returns the default for categories.
pub fn default_of_categories(categories: Categories<'_>) -> Result<(Choice, f64), Undefined> {
    let choice = match (total(categories.reference) <= MAX_TESTED_ROWS, n_categories(categories)) {
        (true, 3..) => Choice::ChiSquare,
        (true, _) => Choice::Z,
        (false, _) => Choice::JensenShannon,
    };
    let value = match choice {
        Choice::ChiSquare => chisquare(categories),
        Choice::Z => z(categories),
        _ => jensenshannon_of_categories(categories),
    }?;
    Ok((choice, value))
}

/// Returns `ks`: SciPy's p-value.
pub fn ks(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (left, right) = finite_points(numbers);
    two_sample::ks(left, right).map(|it| it.p_value)
}

/// Returns `anderson`: SciPy's p-value, cut at 0.001 and 0.25.
pub fn anderson(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (left, right) = finite_points(numbers);
    scipy::anderson_ksamp(left, right).map(|it| it.p_value)
}

/// Returns `cramer_von_mises`: SciPy's p-value. Equal constants are drift to it.
pub fn cramer_von_mises(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (left, right) = finite_points(numbers);
    scipy::cramervonmises_2samp(left, right, CramerVonMises::Auto).map(|it| it.p_value)
}

/// Returns `ed`: the energy distance, which depends on the unit of the column.
pub fn ed(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (left, right) = finite_points(numbers);
    two_sample::energy(left, right)
}

/// Returns `es`: the p-value of the Epps–Singleton test.
pub fn es(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (left, right) = finite_points(numbers);
    two_sample::epps_singleton(left, right).map(|it| it.p_value)
}

/// Returns `mannw`: the one-sided p-value for a reference that is *less*, blind to current values that fell.
pub fn mannw(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (left, right) = finite_points(numbers);
    two_sample::mann_whitney(left, right, Alternative::Less, MannWhitney::Auto).map(|it| it.p_value)
}

/// Returns `t_test`: the p-value of Student's test.
pub fn t_test(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (left, right) = finite_points(numbers);
    two_sample::student_t(left, right).map(|it| it.p_value)
}

/// Returns `wasserstein`: in standard deviations of the reference, or in thousandths where that is less.
pub fn wasserstein(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (left, right) = finite_points(numbers);
    two_sample::wasserstein_normed(left, right, 0.001)
}

/// Returns `psi` of numbers.
pub fn psi(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (p, q) = bins(numbers)?;
    two_sample::psi(&p, &q, ZeroFill::BelowSmallest)
}

/// Returns `jensenshannon` of numbers: the distance in nats, at most 0.83.
pub fn jensenshannon(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (p, q) = bins(numbers)?;
    two_sample::jensen_shannon(&p, &q, LogBase::E)
}

/// Returns `kl_div` of numbers.
pub fn kl_div(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (p, q) = bins(numbers)?;
    two_sample::kl(&p, &q, ZeroFill::BelowSmallest)
}

/// Returns `hellinger` of numbers: over Sturges' bins of the *distinct* values, one bin for 0/1 data.
pub fn hellinger(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (left, right) = finite_points(numbers);
    if left.is_empty() || right.is_empty() {
        return Err(Undefined::new(Reason::Empty));
    }
    let distinct: Vec<Point> = union(left, right).iter().map(|it| (*it, 1)).collect();
    let edges = bin_edges(&distinct, BinRule::Sturges, numbers.values)?;
    let side = |points: &[Point]| count_into(points, &edges).map(|it| weights(&it.counts));
    bhattacharyya(&side(left)?, &side(right)?)
}

/// Returns `psi` of categories.
pub fn psi_of_categories(categories: Categories<'_>) -> Result<f64, Undefined> {
    two_sample::psi(&weights(categories.reference), &weights(categories.current), ZeroFill::BelowSmallest)
}

/// Returns `jensenshannon` of categories.
pub fn jensenshannon_of_categories(categories: Categories<'_>) -> Result<f64, Undefined> {
    two_sample::jensen_shannon(&weights(categories.reference), &weights(categories.current), LogBase::E)
}

/// Returns `kl_div` of categories.
pub fn kl_div_of_categories(categories: Categories<'_>) -> Result<f64, Undefined> {
    two_sample::kl(&weights(categories.reference), &weights(categories.current), ZeroFill::BelowSmallest)
}

/// Returns `hellinger` of categories.
pub fn hellinger_of_categories(categories: Categories<'_>) -> Result<f64, Undefined> {
    bhattacharyya(&weights(categories.reference), &weights(categories.current))
}

/// Returns `chisquare`: the p-value of the *one-sample* test that takes the reference's shares for known.
///
/// At a nominal 5 % it alarms in 18 % to 100 % of pairs without drift. A category that the reference lacks gives 0.
///
/// ```
/// use modelwatch_stats::peers::{Categories, evidently::chisquare};
/// assert_eq!(chisquare(Categories { reference: &[2, 1, 0], current: &[1, 2, 1] }), Ok(0.0));
/// ```
pub fn chisquare(categories: Categories<'_>) -> Result<f64, Undefined> {
    let (m, n) = (total(categories.reference), total(categories.current));
    if m == 0 || n == 0 {
        return Err(Undefined::new(Reason::Empty));
    }
    goodness_of_fit(categories, n as f64 / m as f64, |observed, expected| (observed - expected).powi(2) / expected)
}

/// Returns `g_test`: as `chisquare`, but without scaling, so that it fails on samples of different sizes.
pub fn g_test(categories: Categories<'_>) -> Result<f64, Undefined> {
    let (m, n) = (total(categories.reference), total(categories.current));
    if m != n {
        return Err(Undefined::new(Reason::LengthMismatch));
    }
    goodness_of_fit(
        categories,
        1.0,
        |observed, expected| {
            if observed == 0.0 { 0.0 } else { 2.0 * observed * (observed / expected).ln() }
        },
    )
}

/// Returns `fisher_exact`: for two categories and samples of equal size only.
pub fn fisher_exact(categories: Categories<'_>) -> Result<f64, Undefined> {
    if n_categories(categories) > 2 {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    let shares = first_share(categories)?;
    if shares.reference_rows != shares.current_rows {
        return Err(Undefined::new(Reason::LengthMismatch));
    }
    two_sample::fisher_exact(shares)
}

/// How many dealings are behind the p-value of `TVD`.
const TVD_DEALINGS: u32 = 1000;

/// The most rows of both sides that are dealt so often.
pub const TVD_MAX_ROWS: u64 = 100_000;

/// How many dealings are behind the p-value of `empirical_mmd`.
const MMD_DEALINGS: usize = 100;

/// The most rows of both sides that are compared pair by pair.
pub const MMD_MAX_ROWS: u64 = 5000;

/// Returns the p-value of `TVD`: the share of 1,000 random dealings of the rows with a total variation distance that is no less.
///
/// The peer deals the rows in the order in which they are, with NumPy's generator from a fixed seed. Here they have no order, so that these are
/// other dealings of the same rows: both p-values have a standard error of `√(p (1 - p) / 1000)`. Undefined for more than
/// [`TVD_MAX_ROWS`] of both sides: each is dealt each time.
pub fn tvd(categories: Categories<'_>) -> Result<f64, Undefined> {
    let (m, n) = (total(categories.reference), total(categories.current));
    if m == 0 || n == 0 {
        return Err(Undefined::new(Reason::Empty));
    }
    if m.saturating_add(n) > TVD_MAX_ROWS {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    let all: Vec<u64> = categories.reference.iter().zip(categories.current).map(|(a, b)| a + b).collect();
    // Twice the distance, times the sizes of both: whole numbers, so that what is equal is so.
    let distance = |of_reference: &mut dyn Iterator<Item = u64>| {
        let one = |(all, reference): (&u64, u64)| {
            (u128::from(reference) * u128::from(n)).abs_diff(u128::from(all - reference) * u128::from(m))
        };
        all.iter().zip(of_reference).map(one).sum::<u128>()
    };
    let observed = distance(&mut categories.reference.iter().copied());
    let mut random = Random::new(0);
    let no_less = (0..TVD_DEALINGS).filter(|_| {
        let (mut rows, mut open) = (m + n, m);
        // Row by row, each with the chance that it is one of the reference's that are still to be dealt (Knuth's algorithm S).
        let mut dealt = all.iter().map(|count| {
            let before = open;
            for _ in 0..*count {
                open -= u64::from(random.below(rows) < open);
                rows -= 1;
            }
            before - open
        });
        distance(&mut dealt) >= observed
    });
    Ok(no_less.count() as f64 / f64::from(TVD_DEALINGS))
}

/// Returns the p-value of `empirical_mmd`: the share of 100 random dealings of the rows with an unbiased MMD² that is no less, with a Gaussian
/// kernel of half the median of all squared distances in the reference, each row's from itself among them.
///
/// The peer deals anew at each call, so that its answers have a standard error of `√(p (1 - p) / 100)`. Undefined for fewer than two rows of a
/// side, and for more than [`MMD_MAX_ROWS`] of both: it looks at each pair.
pub fn empirical_mmd(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let all = undealt_and_dealt_mmd(numbers)?;
    let (observed, dealt) = all.split_first().ok_or(Undefined::new(Reason::Empty))?;
    Ok(dealt.iter().filter(|it| *it >= observed).count() as f64 / MMD_DEALINGS as f64)
}

/// The unbiased MMD² of the rows as they are, then of each dealing.
fn undealt_and_dealt_mmd(numbers: Numbers<'_>) -> Result<Vec<f64>, Undefined> {
    let rows = |points: &[Point]| -> Vec<f64> {
        points.iter().flat_map(|it| std::iter::repeat_n(it.0, usize::try_from(it.1).unwrap_or(usize::MAX))).collect()
    };
    if count(numbers.reference).saturating_add(count(numbers.current)) > MMD_MAX_ROWS {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    let (left, right) = (rows(numbers.reference), rows(numbers.current));
    let kernel = Rbf::new(mmd_width(&left)?)?;
    let pool = Pool::new(Rows::new(&left, 1)?, Rows::new(&right, 1)?, 0)?;
    let dealings = Dealings::new(pool.is_current(), Strata::One, MMD_DEALINGS, 0)?;
    mmd(&pool, &dealings, kernel)
}

/// The root of half the median; of the two in the middle, the one at the even place.
fn mmd_width(reference: &[f64]) -> Result<f64, Undefined> {
    let m = reference.len();
    let middle = (m * m).checked_sub(1).ok_or(Undefined::new(Reason::Empty))?;
    let idx = if middle % 2 == 0 { middle / 2 } else { (middle / 2).next_multiple_of(2) };
    // The distances of rows from themselves come first, and each of the others twice.
    let Some(idx) = idx.checked_sub(m).map(|it| it / 2) else { return Ok(0.5f64.sqrt()) };
    let mut squares: Vec<f64> =
        (1..m).flat_map(|at| reference[..at].iter().map(move |it| (reference[at] - it).powi(2))).collect();
    let median = *squares.select_nth_unstable_by(idx, f64::total_cmp).1;
    Ok(if median == 0.0 { 0.5f64.sqrt() } else { (0.5 * median).sqrt() })
}

/// Returns `z`: the p-value for the share of the first category by name, whatever the others do.
pub fn z(categories: Categories<'_>) -> Result<f64, Undefined> {
    let z = two_sample::z_test(first_share(categories)?)?.statistic;
    // It subtracts from 1, so that p-values below 1e-16 become 0.
    Ok(2.0 * (1.0 - erfc(-z.abs() / SQRT_2) / 2.0))
}

fn goodness_of_fit(categories: Categories<'_>, scale: f64, term: impl Fn(f64, f64) -> f64) -> Result<f64, Undefined> {
    if n_categories(categories) < 2 {
        return Err(Undefined::new(Reason::NoSpread));
    }
    let pairs = categories.reference.iter().zip(categories.current).filter(|it| *it.0 > 0 || *it.1 > 0);
    let statistic: f64 = pairs.map(|(&left, &right)| term(right as f64, left as f64 * scale)).sum();
    if statistic.is_infinite() {
        return Ok(0.0);
    }
    Ok(chi_squared_sf(statistic, (n_categories(categories) - 1) as f64))
}

fn first_share(categories: Categories<'_>) -> Result<Shares, Undefined> {
    let mut pairs = categories.reference.iter().zip(categories.current).filter(|it| *it.0 > 0 || *it.1 > 0);
    let (&reference_hits, &current_hits) = pairs.next().ok_or(Undefined::new(Reason::Empty))?;
    let (reference_rows, current_rows) = (total(categories.reference), total(categories.current));
    Ok(Shares { reference_hits, reference_rows, current_hits, current_rows })
}

fn n_categories(categories: Categories<'_>) -> usize {
    categories.reference.iter().zip(categories.current).filter(|it| *it.0 > 0 || *it.1 > 0).count()
}

/// `√(1 - Σ √(p q))`, which loses digits for nearly equal shares.
fn bhattacharyya(left: &[f64], right: &[f64]) -> Result<f64, Undefined> {
    let (p, q) = (two_sample::proportions(left)?, two_sample::proportions(right)?);
    finite((1.0 - p.iter().zip(&q).map(|(p, q)| (p * q).sqrt()).sum::<f64>()).max(0.0).sqrt())
}

/// One bin per distinct value for up to 20 of them in the reference, else Sturges' bins over both.
fn bins(numbers: Numbers<'_>) -> Result<(Vec<f64>, Vec<f64>), Undefined> {
    let (left, right) = finite_points(numbers);
    if left.is_empty() || right.is_empty() {
        return Err(Undefined::new(Reason::Empty));
    }
    let both = union(left, right);
    if left.len() <= MAX_VALUE_BINS {
        let (left, right) = by_value(left, right, &both);
        return Ok((weights(&left), weights(&right)));
    }
    let points: Vec<Point> = {
        let (left, right) = by_value(left, right, &both);
        both.iter().zip(left.iter().zip(&right)).map(|(it, (left, right))| (*it, left + right)).collect()
    };
    let edges = bin_edges(&points, BinRule::Sturges, numbers.values)?;
    Ok((weights(&count_into(left, &edges)?.counts), weights(&count_into(right, &edges)?.counts)))
}

/// The points without infinities.
fn finite_points(numbers: Numbers<'_>) -> (&[Point], &[Point]) {
    fn inner(points: &[Point]) -> &[Point] {
        let start = points.partition_point(|it| it.0 == f64::NEG_INFINITY);
        let end = points.partition_point(|it| it.0 < f64::INFINITY);
        &points[start..end.max(start)]
    }
    (inner(numbers.reference), inner(numbers.current))
}

fn union(left: &[Point], right: &[Point]) -> Vec<f64> {
    let mut res: Vec<f64> = left.iter().chain(right).map(|it| it.0).collect();
    res.sort_by(f64::total_cmp);
    res.dedup();
    res
}

fn by_value(left: &[Point], right: &[Point], values: &[f64]) -> (Vec<u64>, Vec<u64>) {
    let side = |points: &[Point]| {
        let mut points = points.iter().peekable();
        let of = |value: &f64| points.next_if(|it| it.0 == *value).map_or(0, |it| it.1);
        values.iter().map(of).collect()
    };
    (side(left), side(right))
}

fn count(points: &[Point]) -> u64 {
    points.iter().fold(0, |sum, it| sum.saturating_add(it.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::two_sample::Values;

    fn points(values: std::ops::Range<i32>) -> Vec<Point> {
        values.map(|it| (f64::from(it), 1)).collect()
    }

    #[test]
    fn the_default_looks_at_the_reference_alone() {
        let choice = |left: &[Point], right: &[Point]| {
            default_of_numbers(Numbers { reference: left, current: right, values: Values::Real }).unwrap().0
        };
        assert_eq!(choice(&points(0..1000), &points(0..5000)), Choice::Ks);
        assert_eq!(choice(&points(0..1001), &points(0..50)), Choice::Wasserstein);
        assert_eq!(choice(&[(0.0, 10), (1.0, 10), (2.0, 1)], &[(1.0, 9)]), Choice::ChiSquare);
        assert_eq!(choice(&[(0.0, 10), (1.0, 10)], &[(1.0, 9)]), Choice::Z);
        assert_eq!(choice(&[(0.0, 10), (1.0, 1000)], &[(1.0, 9)]), Choice::JensenShannon);
    }

    #[test]
    fn mmd_before_any_dealing_is_that_of_the_peer() {
        // Recorded from its `kernel_matrix` and `mmd_2samp`, less `1 / (m - 1) + 1 / (n - 1)`: it counts the pairs of a row with itself.
        for (left, right, width, expected) in [
            (&[0.0, 1.0, 3.0][..], &[2.0, 5.0][..], 0.5f64.sqrt(), -0.1285671844642975),
            (&[0.0, 1.0, 3.0, 7.0], &[2.0, 5.0, 5.5], 2.1213203435596424, -0.02259449235242289),
            (&[0.0, 1.0, 3.0, 7.0, 7.5], &[-1.0, 2.0, 5.0, 5.5], 2.1213203435596424, -0.18012758413700486),
        ] {
            assert_eq!(mmd_width(left), Ok(width));
            let points = |it: &[f64]| it.iter().map(|it| (*it, 1)).collect::<Vec<_>>();
            let (left, right) = (points(left), points(right));
            let numbers = Numbers { reference: &left, current: &right, values: Values::Real };
            let found = undealt_and_dealt_mmd(numbers).unwrap()[0];
            assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
        }
    }

    #[test]
    fn a_fall_is_invisible_to_mannw() {
        let (low, high) = (points(0..100), points(50..150));
        let p = |left, right| mannw(Numbers { reference: left, current: right, values: Values::Real }).unwrap();
        assert!(p(&low, &high) < 1e-9 && p(&high, &low) > 0.999);
    }
}
