//! Random numbers from a seed.

mod hypergeometric;

pub(crate) use self::hypergeometric::hypergeometric;
use crate::hash::mix;

/// SplitMix64 (Steele, Lea & Flood 2014): a counter, mixed.
///
/// ```
/// use modelwatch_stats::random::Random;
///
/// let (mut one, mut same) = (Random::new(7), Random::new(7));
/// assert_eq!(one.positive_unit(), same.positive_unit());
/// ```
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Returns the numbers of a seed, which are the same everywhere and always.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `n`; the bias is below n / 2^64.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// Returns a number above 0 and at most 1.
    pub fn positive_unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a number below 1, which may be 0.
    #[inline]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[inline]
    fn next(&mut self) -> u64 {
        let res = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        res
    }
}
