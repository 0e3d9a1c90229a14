//! A sum that does not depend on the order of its terms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An exact sum of finite numbers that are not negative: integers in bins of 32 binary places.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExactSum(BTreeMap<u16, (u64, u64)>);

impl ExactSum {
    pub(crate) fn add(&mut self, value: f64) {
        let bits = value.abs().to_bits();
        let (exponent, fraction) = ((bits >> 52) as u16, bits & ((1 << 52) - 1));
        if exponent == 0x7ff || bits == 0 {
            return;
        }
        let (exponent, integer) = if exponent == 0 { (0, fraction) } else { (exponent - 1, fraction | 1 << 52) };
        self.add_bin(exponent / 32, u128::from(integer) << (exponent % 32));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (&bin, &it) in &other.0 {
            self.add_bin(bin, join(it));
        }
    }

    pub(crate) fn value(&self) -> f64 {
        // The lowest place of bin 0 is 2^-1074; 2^32 per bin, in two steps so that neither overflows.
        let term = |(&bin, &it): (&u16, &(u64, u64))| {
            let power = 32 * i32::from(bin) - 1074;
            join(it) as f64 * 2f64.powi(power / 2) * 2f64.powi(power - power / 2)
        };
        self.0.iter().map(term).sum()
    }

    pub(crate) fn is_consistent(&self) -> bool {
        self.0.keys().all(|&it| it < 64)
    }

    fn add_bin(&mut self, bin: u16, value: u128) {
        let slot = self.0.entry(bin).or_default();
        let sum = join(*slot).saturating_add(value);
        *slot = ((sum >> 64) as u64, sum as u64);
    }
}

fn join((high, low): (u64, u64)) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_nothing_is_lost() {
        let values = [1e16, 1.0, 1e-30, 3.0, 1e300, 5e-324, 0.0];
        let of = |values: &mut dyn Iterator<Item = &f64>| {
            let mut res = ExactSum::default();
            values.for_each(|&it| res.add(it));
            res
        };
        assert_eq!(of(&mut values.iter()), of(&mut values.iter().rev()));
        assert_eq!(of(&mut [0.5, 0.25, 1e-3].iter()).value(), 0.751);
        assert_eq!(of(&mut [5e-324].iter()).value(), 5e-324);
        let mut left = of(&mut values[..3].iter());
        left.merge(&of(&mut values[3..].iter()));
        assert_eq!(left, of(&mut values.iter()));
    }
}
