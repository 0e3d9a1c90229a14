//! The maximum mean discrepancy of two samples of numbers.

use super::levels::Levels;
use crate::error::{Reason, Undefined};
use crate::sample::Point;

/// Returns the maximum mean discrepancy (Gretton, Borgwardt, Rasch, Schölkopf & Smola 2012) with the Laplace kernel
/// `exp(-|x - y| / width)`: the root of `Σ d(x) d(y) exp(-|x - y| / width)` over all pairs of values, `d` being the difference of their
/// shares. From 0 to √2, which two constants have that are far apart; of samples that are spread it is less, because their own values are apart
/// as well: of two normal ones that are as wide as the kernel, 0.92.
///
/// It is biased: of equal distributions it is about `√((1 / m + 1 / n) (1 - k))`, `k` being the mean of the kernel over pairs of their values,
/// 0.43 of a normal one that is as wide as the kernel.
///
/// The kernel falls by one factor from value to value, so that one pass over the sorted values has all pairs. Of a width of 0, only equal
/// values are alike. Undefined for infinities, and for a width that is negative or not finite.
///
/// ```
/// use modelwatch_stats::two_sample::discrepancy;
/// // √(1 + 1 - 2 / e)
/// let apart = discrepancy(&[(0.0, 5)], &[(3.0, 4)], 3.0).unwrap();
/// assert!((apart - (2.0 - 2.0 / std::f64::consts::E).sqrt()).abs() < 1e-15);
/// assert_eq!(discrepancy(&[(0.0, 1), (1.0, 1)], &[(0.0, 2), (1.0, 2)], 3.0), Ok(0.0));
/// ```
pub fn discrepancy(reference: &[Point], current: &[Point], width: f64) -> Result<f64, Undefined> {
    if !(0.0..f64::INFINITY).contains(&width) {
        return Err(Undefined::new(Reason::OutOfRange));
    }
    let levels = Levels::new(reference, current)?;
    let (m, n) = (levels.m as f64, levels.n as f64);
    // What all values so far add to the one that is next, at the last value.
    let (mut before, mut last, mut sum) = (0.0, None, 0.0);
    for it in &levels.refuse_infinities()?.levels {
        let difference = it.reference as f64 / m - it.current as f64 / n;
        // Halves do not overflow where the values are far apart.
        let kept = |last: f64| (-2.0 * ((it.value / 2.0 - last / 2.0) / width)).exp();
        before *= last.filter(|_| width > 0.0).map_or(0.0, kept);
        sum += difference * (difference + 2.0 * before);
        before += difference;
        last = Some(it.value);
    }
    Ok(sum.max(0.0).sqrt())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(values: &[u8]) -> Vec<Point> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        sorted.chunk_by(|a, b| a == b).map(|it| (f64::from(it[0]), it.len() as u64)).collect()
    }

    #[test]
    fn what_has_no_answer_is_undefined_and_ends_of_all_numbers_have_one() {
        let one = [(0.0, 1)];
        assert_eq!(discrepancy(&[], &one, 1.0).unwrap_err().reason, Reason::Empty);
        assert_eq!(discrepancy(&one, &[(f64::INFINITY, 1)], 1.0).unwrap_err().reason, Reason::Infinite);
        for width in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(discrepancy(&one, &one, width).unwrap_err().reason, Reason::OutOfRange);
        }
        assert_eq!(discrepancy(&[(-f64::MAX, 1)], &[(f64::MAX, 1)], 1.0), Ok(2f64.sqrt()));
        for value in [1.0, f64::from_bits(1)] {
            assert_eq!(discrepancy(&one, &[(value, 1)], 0.0), Ok(2f64.sqrt()));
        }
    }

    proptest! {
        #[test]
        fn one_pass_has_all_pairs(
            left in prop::collection::vec(any::<u8>(), 1..30), right in prop::collection::vec(any::<u8>(), 1..30), width in 0.1..200.0f64,
        ) {
            let mean = |a: &[u8], b: &[u8]| {
                let kernel = |x: &u8, y: &u8| (-(f64::from(*x) - f64::from(*y)).abs() / width).exp();
                let sum: f64 = a.iter().flat_map(|x| b.iter().map(move |y| kernel(x, y))).sum();
                sum / (a.len() * b.len()) as f64
            };
            let expected = mean(&left, &left) + mean(&right, &right) - 2.0 * mean(&left, &right);
            let found = discrepancy(&points(&left), &points(&right), width).unwrap();
            prop_assert!((found * found - expected).abs() < 1e-12, "{} {}", found * found, expected);
        }
    }
}
