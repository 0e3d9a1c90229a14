//! Sums that do not depend on the order of what is added.

/// Numbers as whole multiples of a power of two, the smallest for which any sum of them fits an `i64`.
///
/// With `n` numbers of at most `m` the step is at most `m · n · 2^-59`: a sum of a million of them is as exact as one
/// of doubles, and the same in any order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    per_one: f64,
}

impl Scale {
    /// Returns the scale for sums of these numbers, all finite.
    pub(super) fn new(numbers: &[f64]) -> Self {
        let greatest = numbers.iter().fold(0.0, |greatest: f64, it| greatest.max(it.abs()));
        // n ≤ 2^bits, and a sum of n numbers below 2^exponent is below 2^(exponent + bits).
        let bits = usize::BITS - numbers.len().leading_zeros();
        let exponent = if greatest > 0.0 { greatest.log2().ceil() as i32 + 1 } else { 0 };
        // Clamped to where both the scale and its inverse are ordinary numbers.
        let power = (62 - bits as i32 - exponent).clamp(-1020, 1020);
        Self { per_one: 2f64.powi(power) }
    }

    /// Returns the number in steps.
    pub(super) fn steps(self, number: f64) -> i64 {
        (number * self.per_one).round() as i64
    }

    /// Returns the number that so many steps are.
    pub(super) fn number(self, steps: i64) -> f64 {
        steps as f64 / self.per_one
    }

    /// Returns the sum of finite numbers, the same in any order.
    pub(super) fn sum_of(numbers: &[f64]) -> f64 {
        let scale = Self::new(numbers);
        scale.number(numbers.iter().fold(0, |sum: i64, it| sum.saturating_add(scale.steps(*it))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_doubles_and_have_no_order() {
        let numbers: Vec<f64> = (0..10_000).map(|it| (f64::from(it) * 0.37).sin() * 1e-7).collect();
        let mut reversed = numbers.clone();
        reversed.reverse();
        let sum = Scale::sum_of(&numbers);
        assert_eq!(sum.to_bits(), Scale::sum_of(&reversed).to_bits());
        assert!((sum - numbers.iter().sum::<f64>()).abs() < 1e-18);
    }

    #[test]
    fn none_zeros_and_extremes_do_not_overflow() {
        assert_eq!(Scale::sum_of(&[]), 0.0);
        assert_eq!(Scale::sum_of(&[0.0, -0.0]), 0.0);
        assert_eq!(Scale::sum_of(&[1e300, 1e300]), 2e300);
        assert_eq!(Scale::sum_of(&[f64::MAX, -f64::MAX]), 0.0);
        assert_eq!(Scale::sum_of(&[1.0, 1.0, 1.0]), 3.0);
    }
}
