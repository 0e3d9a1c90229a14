//! Count, mean and variance of 64-bit whole numbers, exactly.
//!
//! Floats round whole numbers from 2^53 on, and sums of floats depend on the order of the rows. These sums do neither.

use crate::error::{Reason, StateError, Undefined};
use crate::state::{Reader, Writer};

/// Number, sum, sum of squares and range of whole numbers, none of them rounded.
///
/// `m2 = Σ (x - q)² - r² / n` with `Σ x = q n + r`, so that only the last step is done in floats.
///
/// ```
/// use modelwatch_stats::whole_numbers::WholeNumbers;
///
/// let mut sums = WholeNumbers::new();
/// [i64::MAX, i64::MAX - 1, i64::MAX - 2].into_iter().for_each(|it| sums.push(it.into()));
/// // The same three numbers as floats are equal.
/// assert_eq!(sums.variance(1), Ok(1.0));
/// assert_eq!(sums.range(), Some((i128::from(i64::MAX) - 2, i128::from(i64::MAX))));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WholeNumbers {
    n: u64,
    sum: i128,
    squares: Wide,
    range: Option<(i128, i128)>,
}

/// A number of 256 bits, which wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wide {
    high: u128,
    low: u128,
}

impl WholeNumbers {
    /// Returns sums of no numbers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a number of at most 64 bits, signed or not; a greater one counts as the greatest of them.
    pub fn push(&mut self, value: i128) {
        let value = value.clamp(i128::from(i64::MIN), i128::from(u64::MAX));
        self.n = self.n.saturating_add(1);
        // 2^63 numbers of 64 bits are in reach of 127 bits.
        self.sum = self.sum.saturating_add(value);
        self.squares = self.squares.add(product(value.unsigned_abs(), value.unsigned_abs()));
        self.widen(value, value);
    }

    /// Adds what `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        self.n = self.n.saturating_add(other.n);
        self.sum = self.sum.saturating_add(other.sum);
        self.squares = self.squares.add(other.squares);
        if let Some((least, greatest)) = other.range {
            self.widen(least, greatest);
        }
    }

    /// Returns how many numbers there are.
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// Returns the least and the greatest number.
    pub const fn range(&self) -> Option<(i128, i128)> {
        self.range
    }

    /// Returns the mean.
    ///
    /// # Errors
    /// When there are no numbers.
    pub fn mean(&self) -> Result<f64, Undefined> {
        let n = self.divisor()?;
        Ok(self.sum.div_euclid(n) as f64 + self.sum.rem_euclid(n) as f64 / self.n as f64)
    }

    /// Returns the variance over `n - ddof`.
    ///
    /// # Errors
    /// When there are not more numbers than `ddof`.
    pub fn variance(&self, ddof: u64) -> Result<f64, Undefined> {
        let n = self.divisor()?;
        if self.n <= ddof {
            return Err(Undefined::new(Reason::TooFew));
        }
        let (quotient, rest) = (self.sum.div_euclid(n), self.sum.rem_euclid(n));
        // Σ (x - q)² = Σ x² - q (2 Σ x - n q) = Σ x² - q (Σ x + r), which is neither negative nor too large, so that wrapping is right.
        let factor = self.sum.saturating_add(rest);
        let part = product(quotient.unsigned_abs(), factor.unsigned_abs());
        let is_negative = (quotient < 0) != (factor < 0);
        let around_quotient = self.squares.add(if is_negative { part } else { part.negated() });
        let m2 = around_quotient.to_f64() - (rest as f64).powi(2) / self.n as f64;
        Ok(m2.max(0.0) / (self.n - ddof) as f64)
    }

    /// Returns the sums as bytes, equal for equal multisets of numbers.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(self.n);
        let (least, greatest) = self.range.unwrap_or_default();
        for it in [self.sum as u128, self.squares.high, self.squares.low, least as u128, greatest as u128] {
            writer.u64((it >> 64) as u64);
            writer.u64(it as u64);
        }
        writer.finish()
    }

    /// Returns the sums that [`WholeNumbers::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are not such sums.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new("whole numbers", bytes)?;
        let n = reader.u64()?;
        let mut word =
            || -> Result<u128, StateError> { Ok(u128::from(reader.u64()?) << 64 | u128::from(reader.u64()?)) };
        let (sum, high, low) = (word()? as i128, word()?, word()?);
        let (least, greatest) = (word()? as i128, word()? as i128);
        let domain = i128::from(i64::MIN)..=i128::from(u64::MAX);
        if least > greatest || !domain.contains(&least) || !domain.contains(&greatest) {
            return Err(reader.invalid("range"));
        }
        let count = i128::from(n);
        let is_possible = (least.saturating_mul(count)..=greatest.saturating_mul(count)).contains(&sum);
        if !is_possible || (n == 0 && (least, greatest, high, low) != (0, 0, 0, 0)) {
            return Err(reader.invalid("sum"));
        }
        reader.finish()?;
        Ok(Self { n, sum, squares: Wide { high, low }, range: (n > 0).then_some((least, greatest)) })
    }

    fn divisor(&self) -> Result<i128, Undefined> {
        if self.n == 0 { Err(Undefined::new(Reason::Empty)) } else { Ok(self.n.into()) }
    }

    fn widen(&mut self, least: i128, greatest: i128) {
        let known = self.range.unwrap_or((least, greatest));
        self.range = Some((known.0.min(least), known.1.max(greatest)));
    }
}

impl Wide {
    fn add(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        Self { high: self.high.wrapping_add(other.high).wrapping_add(u128::from(carry)), low }
    }

    fn negated(self) -> Self {
        Self { high: !self.high, low: !self.low }.add(Self { high: 0, low: 1 })
    }

    fn to_f64(self) -> f64 {
        self.high as f64 * 2f64.powi(128) + self.low as f64
    }
}

/// Returns the product of two numbers in full, by their halves.
fn product(left: u128, right: u128) -> Wide {
    const HALF: u128 = u64::MAX as u128;
    let (a, b) = (left >> 64, left & HALF);
    let (c, d) = (right >> 64, right & HALF);
    let low = Wide { high: 0, low: b * d };
    let high = Wide { high: a * c, low: 0 };
    let shifted = |it: u128| Wide { high: it >> 64, low: it << 64 };
    low.add(high).add(shifted(a * d)).add(shifted(b * c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: impl IntoIterator<Item = i128>) -> WholeNumbers {
        let mut res = WholeNumbers::new();
        values.into_iter().for_each(|it| res.push(it));
        res
    }

    #[test]
    fn the_widest_numbers_are_exact() {
        let sums = of([0, u64::MAX.into()]);
        assert_eq!(sums.mean(), Ok(u64::MAX as f64 / 2.0));
        assert!((sums.variance(0).unwrap() / (u64::MAX as f64 / 2.0).powi(2) - 1.0).abs() < 1e-15);
        let sums = of([i64::MIN.into(), u64::MAX.into()]);
        assert!((sums.variance(0).unwrap() / (3.0 * 2f64.powi(62)).powi(2) - 1.0).abs() < 1e-15);
        assert_eq!(of([]).mean(), Err(Undefined::new(Reason::Empty)));
        assert_eq!(of([3]).variance(1), Err(Undefined::new(Reason::TooFew)));
        assert_eq!(WholeNumbers::from_bytes(&of([]).to_bytes()), Ok(of([])));
    }

    proptest! {
        #[test]
        fn variance_is_that_of_the_distances(base in any::<i64>(), steps in prop::collection::vec(-1000i128..1000, 2..40)) {
            let sums = of(steps.iter().map(|it| i128::from(base / 2) + it));
            let n = steps.len() as f64;
            let mean = steps.iter().sum::<i128>() as f64 / n;
            let expected = steps.iter().map(|it| (*it as f64 - mean).powi(2)).sum::<f64>() / (n - 1.0);
            prop_assert!((sums.variance(1).unwrap() - expected).abs() <= 1e-9 * expected.max(1.0));
        }

        #[test]
        fn state_depends_on_the_multiset_alone(values in prop::collection::vec(any::<i64>(), 0..40), at in 0usize..40) {
            let wide = |it: &[i64]| of(it.iter().map(|it| i128::from(*it)));
            let at = at.min(values.len());
            let mut merged = wide(&values[at..]);
            merged.merge(&wide(&values[..at]));
            prop_assert_eq!(merged.to_bytes(), wide(&values).to_bytes());
            prop_assert_eq!(WholeNumbers::from_bytes(&merged.to_bytes()), Ok(merged));
        }

        #[test]
        fn damaged_bytes_never_panic(values in prop::collection::vec(any::<i64>(), 0..10), idx in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = of(values.iter().map(|it| i128::from(*it))).to_bytes();
            let idx = idx.index(bytes.len());
            bytes[idx] = byte;
            if let Ok(read) = WholeNumbers::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes.clone());
                let _ = (read.mean(), read.variance(1));
            }
            prop_assert!(WholeNumbers::from_bytes(&bytes[..idx]).is_err());
        }
    }
}
