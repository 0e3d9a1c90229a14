//! Mean and variance that do not depend on the order of rows or merges.

use std::collections::BTreeMap;

use crate::error::{Reason, StateError, Undefined, finite};
use crate::state::{Reader, Writer};

/// The binary places of a bin.
const BIN_BITS: u32 = 32;

/// The exponent of the lowest place of bin 0, that of the smallest float.
const LOWEST_EXPONENT: i32 = -1074;

/// The bins of all finite floats.
const BINS: u8 = 66;

/// An exact sum of finite numbers: integers in bins of 32 binary places.
///
/// A float is an integer of 53 bits times a power of two, and integers add in any order. It is exact for some 10^12 terms.
#[derive(Clone, Debug, Default)]
struct ExactSum(BTreeMap<u8, i128>);

/// Count, mean and variance of finite numbers: the same bits in any order, where [`super::Moments`] agrees up to rounding.
///
/// The sums of the values and of their squares are kept exactly, a square being the sum of two floats (Dekker 1971).
/// NaN and infinities are passed over.
///
/// ```
/// use modelwatch_stats::moments::ExactMoments;
///
/// let mut left = ExactMoments::default();
/// left.update(&[1e16, 1.0]);
/// let mut right = ExactMoments::default();
/// right.update(&[-1e16, 3.0]);
/// left.merge(&right);
/// assert_eq!((left.n(), left.mean()), (4, Ok(1.0)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ExactMoments {
    n: u64,
    sum: ExactSum,
    squares: ExactSum,
    /// Whether a square was greater than the greatest float, so that there is no variance.
    is_overflowed: bool,
}

impl ExactMoments {
    /// Adds values.
    pub fn update(&mut self, values: &[f64]) {
        for &value in values.iter().filter(|it| it.is_finite()) {
            self.n = self.n.saturating_add(1);
            self.sum.add(value);
            let square = value * value;
            if square.is_finite() {
                self.squares.add(square);
                self.squares.add(value.mul_add(value, -square));
            } else {
                self.is_overflowed = true;
            }
        }
    }

    /// Adds what `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        self.n = self.n.saturating_add(other.n);
        self.sum.merge(&other.sum);
        self.squares.merge(&other.squares);
        self.is_overflowed |= other.is_overflowed;
    }

    /// Returns the number of finite values.
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// Returns the mean.
    pub fn mean(&self) -> Result<f64, Undefined> {
        if self.n == 0 {
            return Err(Undefined::new(Reason::Empty));
        }
        finite(self.sum.value() / self.n as f64)
    }

    /// Returns `Σ (x - mean)² / (n - ddof)`; undefined for `n <= ddof` and where a square overflows.
    pub fn variance(&self, ddof: u64) -> Result<f64, Undefined> {
        if self.n <= ddof {
            return Err(Undefined::new(if self.n == 0 { Reason::Empty } else { Reason::TooFew }));
        }
        if self.is_overflowed {
            return Err(Undefined::new(Reason::Overflow));
        }
        // Σx² - (Σx)² / n, each as the sum of two floats, because what cancels are their first 53 bits.
        let n = self.n as f64;
        let (sum, sum_rest) = self.sum.two();
        let (squares, squares_rest) = self.squares.two();
        let square = sum * sum;
        let square_rest = sum.mul_add(sum, -square) + 2.0 * sum * sum_rest;
        let share = square / n;
        let share_rest = ((-share).mul_add(n, square) + square_rest) / n;
        let deviations = (squares - share) + (squares_rest - share_rest);
        finite(deviations.max(0.0) / (self.n - ddof) as f64)
    }

    /// Returns the square root of [`ExactMoments::variance`].
    pub fn standard_deviation(&self, ddof: u64) -> Result<f64, Undefined> {
        self.variance(ddof).map(f64::sqrt)
    }

    /// Returns the state as bytes, equal for equal multisets of values.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(self.n);
        writer.u8(u8::from(self.is_overflowed));
        self.sum.write(&mut writer);
        self.squares.write(&mut writer);
        writer.finish()
    }

    /// Returns the accumulator that [`ExactMoments::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new("exact moments", bytes)?;
        let n = reader.u64()?;
        let is_overflowed = reader.flag("is_overflowed")?;
        let (sum, squares) = (ExactSum::read(&mut reader)?, ExactSum::read(&mut reader)?);
        reader.finish()?;
        Ok(Self { n, sum, squares, is_overflowed })
    }
}

impl ExactSum {
    fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let (exponent, fraction) = ((bits >> 52 & 0x7ff) as u32, bits & ((1 << 52) - 1));
        let (place, integer) = if exponent == 0 { (0, fraction) } else { (exponent - 1, fraction | 1 << 52) };
        if integer == 0 {
            return;
        }
        let integer = i128::from(integer) << (place % BIN_BITS);
        self.add_to((place / BIN_BITS) as u8, if value < 0.0 { -integer } else { integer });
    }

    fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(&bin, &it)| self.add_to(bin, it));
    }

    fn add_to(&mut self, bin: u8, integer: i128) {
        let slot = self.0.entry(bin).or_insert(0);
        *slot = slot.saturating_add(integer);
    }

    /// The sum as a float and what that lacks.
    fn two(&self) -> (f64, f64) {
        let first = self.value();
        if !first.is_finite() {
            return (first, 0.0);
        }
        let mut rest = self.clone();
        rest.add(-first);
        (first, rest.value())
    }

    /// The sum within a rounding or two of the exact one.
    fn value(&self) -> f64 {
        let (digits, is_negative) = self.digits();
        // From the highest digit down, in two steps so that neither power overflows.
        let term = |(bin, digit): (usize, &i128)| {
            let power = BIN_BITS as i32 * bin as i32 + LOWEST_EXPONENT;
            *digit as f64 * 2f64.powi(power / 2) * 2f64.powi(power - power / 2)
        };
        let sum: f64 = digits.iter().enumerate().rev().map(term).sum();
        if is_negative { -sum } else { sum }
    }

    /// The magnitude as digits from 0 to 2^32, but for a greater last one, and whether it is negative.
    fn digits(&self) -> (Vec<i128>, bool) {
        let carried = |sign: i128| {
            let len = self.0.last_key_value().map_or(0, |it| usize::from(*it.0) + 1);
            let mut digits = vec![0; len];
            self.0.iter().for_each(|(&bin, &it)| digits[usize::from(bin)] = it.saturating_mul(sign));
            for idx in 1..len {
                let carry = digits[idx - 1] >> BIN_BITS;
                digits[idx - 1] -= carry << BIN_BITS;
                digits[idx] = digits[idx].saturating_add(carry);
            }
            digits
        };
        let digits = carried(1);
        // Digits of a negative sum would cancel each other.
        if digits.last().is_some_and(|it| *it < 0) { (carried(-1), true) } else { (digits, false) }
    }

    fn write(&self, writer: &mut Writer) {
        // A bin that came to nothing is as if it had never been.
        let bins: Vec<_> = self.0.iter().filter(|it| *it.1 != 0).collect();
        writer.u8(bins.len() as u8);
        for (&bin, integer) in bins {
            writer.u8(bin);
            writer.u64(*integer as u64);
            writer.u64((*integer >> 64) as u64);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut res = Self::default();
        for _ in 0..reader.u8()? {
            let bin = reader.u8()?;
            let (low, high) = (reader.u64()?, reader.u64()?);
            let integer = i128::from(high as i64) << 64 | i128::from(low);
            let is_ascending = res.0.last_key_value().is_none_or(|it| *it.0 < bin);
            if bin >= BINS || !is_ascending || integer == 0 {
                return Err(reader.invalid("sum"));
            }
            res.0.insert(bin, integer);
        }
        Ok(res)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::moments::Moments;

    fn of(values: &[f64]) -> ExactMoments {
        let mut res = ExactMoments::default();
        res.update(values);
        res
    }

    #[test]
    fn nothing_cancels() {
        let values: Vec<f64> = (0..1000).map(|it| -1e12 - f64::from(it % 2)).collect();
        assert_eq!(of(&values).mean(), Ok(-1e12 - 0.5));
        assert!((of(&values).variance(0).unwrap() - 0.25).abs() < 1e-9);
        assert_eq!(of(&[0.1; 10]).variance(1).unwrap(), 0.0);
        assert_eq!(of(&[1e300, -1e300, 1e-300]).mean(), Ok(1e-300 / 3.0));
    }

    #[test]
    fn what_does_not_exist_is_undefined() {
        assert_eq!(of(&[f64::NAN, f64::INFINITY]).mean(), Err(Undefined::new(Reason::Empty)));
        assert_eq!(of(&[1.0]).variance(1), Err(Undefined::new(Reason::TooFew)));
        assert_eq!(of(&[1e200, 1.0]).variance(1), Err(Undefined::new(Reason::Overflow)));
    }

    proptest! {
        #[test]
        fn order_does_not_show_and_other_moments_agree(
            values in prop::collection::vec(prop_oneof![-1e6..1e6f64, any::<f64>()], 0..60), at in 0usize..60,
        ) {
            let at = at.min(values.len());
            let whole = of(&values);
            let (mut forward, mut backward) = (of(&values[..at]), of(&values[at..]));
            let copy = forward.clone();
            forward.merge(&backward);
            backward.merge(&copy);
            prop_assert_eq!(forward.to_bytes(), whole.to_bytes());
            prop_assert_eq!(backward.to_bytes(), whole.to_bytes());
            prop_assert_eq!(ExactMoments::from_bytes(&whole.to_bytes()).unwrap().to_bytes(), whole.to_bytes());
            let small: Vec<f64> = values.iter().copied().filter(|it| it.abs() < 1e6).collect();
            let mut other = Moments::new();
            other.update(&small);
            if small.len() > 1 {
                let (ours, theirs) = (of(&small), other);
                prop_assert!((ours.mean().unwrap() - theirs.mean().unwrap()).abs() < 1e-6);
                let (ours, theirs) = (ours.variance(1).unwrap(), theirs.variance(1).unwrap());
                prop_assert!((ours - theirs).abs() <= 1e-9 * theirs, "{} {}", ours, theirs);
            }
        }

        #[test]
        fn damaged_bytes_never_panic(values in prop::collection::vec(any::<f64>(), 1..9), idx in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = of(&values).to_bytes();
            let idx = idx.index(bytes.len());
            bytes[idx] = byte;
            if let Ok(read) = ExactMoments::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes.clone());
                let _ = (read.mean(), read.variance(1));
            }
            prop_assert!(ExactMoments::from_bytes(&bytes[..idx]).is_err());
        }
    }
}
