//! Whole numbers that a float cannot hold.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Result,
    arrow::{
        array::{
            Array,
            cast::AsArray,
            types::{Int64Type, UInt64Type},
        },
        schema::DataType,
    },
    state::{Reader, Writer, damaged},
};
use modelwatch_stats::Point;

use crate::multiples::Multiples;

/// From this magnitude on, neighboring whole numbers fall together as floats.
const FIRST_WIDE: u64 = 1 << 53;

/// The whole numbers of a column from 2^53 on, in magnitude, with their counts: exact while there are no more different ones
/// than the budget says, none of them beyond it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wide {
    values: BTreeMap<i128, u64>,
    is_overflowed: bool,
}

impl Wide {
    /// Takes in the wide values of an array; other types than 64-bit integers have none.
    pub(crate) fn update(&mut self, array: &dyn Array, multiples: Multiples<'_>, budget: u64) {
        match array.data_type() {
            DataType::Int64 => {
                let array = array.as_primitive::<Int64Type>();
                if are_narrow(array.values().iter().map(|it| it.unsigned_abs())) {
                    return;
                }
                let values = array.iter().enumerate();
                let wide = values.filter_map(|(row, it)| Some((row, it.filter(|it| it.unsigned_abs() >= FIRST_WIDE)?)));
                wide.for_each(|(row, it)| self.add(i128::from(it), multiples.of(row), budget));
            }
            DataType::UInt64 => {
                let array = array.as_primitive::<UInt64Type>();
                if are_narrow(array.values().iter().copied()) {
                    return;
                }
                let values = array.iter().enumerate();
                let wide = values.filter_map(|(row, it)| Some((row, it.filter(|it| *it >= FIRST_WIDE)?)));
                wide.for_each(|(row, it)| self.add(i128::from(it), multiples.of(row), budget));
            }
            _ => {}
        }
    }

    pub(crate) fn merge(&mut self, other: &Self, budget: u64) {
        self.is_overflowed |= other.is_overflowed;
        other.values.iter().for_each(|(&value, &count)| self.add(value, count, budget));
        // The budget may have become smaller.
        self.fit(budget);
    }

    /// Returns whether there were any.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && !self.is_overflowed
    }

    /// Returns all whole numbers of the column exactly, given its points as floats; `None` beyond the budget or where a number is
    /// not whole.
    pub(crate) fn exact(&self, points: &[Point]) -> Option<BTreeMap<i128, u64>> {
        if self.is_overflowed {
            return None;
        }
        let mut res = BTreeMap::new();
        for &(value, count) in points.iter().filter(|it| it.0.abs() < FIRST_WIDE as f64) {
            if value.fract() != 0.0 {
                return None;
            }
            res.insert(value as i128, count);
        }
        res.extend(&self.values);
        Some(res)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u8(u8::from(self.is_overflowed));
        writer.u64(self.values.len() as u64);
        for (value, count) in &self.values {
            // All of them are 64-bit integers, signed or not.
            writer.u8(u8::from(*value < 0));
            writer.u64(value.unsigned_abs() as u64);
            writer.u64(*count);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let is_overflowed = reader.flag()?;
        let mut values: BTreeMap<i128, u64> = BTreeMap::new();
        for _ in 0..reader.u64()? {
            let is_negative = reader.flag()?;
            let magnitude = i128::from(reader.u64()?);
            let value = if is_negative { -magnitude } else { magnitude };
            let is_ascending = values.last_key_value().is_none_or(|it| *it.0 < value);
            let count = reader.u64()?;
            if magnitude < i128::from(FIRST_WIDE) || !is_ascending || count == 0 || is_overflowed {
                return Err(damaged("a column's whole numbers are out of order"));
            }
            values.insert(value, count);
        }
        Ok(Self { values, is_overflowed })
    }

    fn add(&mut self, value: i128, count: u64, budget: u64) {
        if !self.is_overflowed && count > 0 {
            let slot = self.values.entry(value).or_insert(0);
            *slot = slot.saturating_add(count);
            self.fit(budget);
        }
    }

    fn fit(&mut self, budget: u64) {
        self.is_overflowed |= self.values.len() as u64 > budget;
        if self.is_overflowed {
            self.values = BTreeMap::new();
        }
    }
}

/// Returns whether a float holds all numbers of these magnitudes, without looking at them one by one.
fn are_narrow(magnitudes: impl Iterator<Item = u64>) -> bool {
    magnitudes.fold(0, |all, it| all | it) < FIRST_WIDE
}

/// Returns both samples as distances from the smallest number of either, and that number; `None` where a distance is not exact.
pub(crate) fn from_least(
    reference: &BTreeMap<i128, u64>,
    current: &BTreeMap<i128, u64>,
) -> Option<(Vec<Point>, Vec<Point>, i128)> {
    let least = *reference.keys().chain(current.keys()).min()?;
    let greatest = *reference.keys().chain(current.keys()).max()?;
    if greatest - least >= i128::from(FIRST_WIDE) {
        return None;
    }
    let side = |it: &BTreeMap<i128, u64>| it.iter().map(|(value, count)| ((value - least) as f64, *count)).collect();
    Some((side(reference), side(current), least))
}

#[cfg(test)]
mod tests {
    use modelwatch_sdk::arrow::array::{Int64Array, UInt64Array};

    use super::*;

    fn of(values: &[i64]) -> Wide {
        let mut res = Wide::default();
        res.update(&Int64Array::from(values.to_vec()), Multiples::One, 10);
        res
    }

    #[test]
    fn neighbors_stay_apart_and_bytes_do_not_depend_on_the_order() {
        let base = (1i64 << 53) + 1;
        let (left, right) = (of(&[base, 3]), of(&[base + 1, -base]));
        let (mut forward, mut backward) = (left.clone(), right.clone());
        forward.merge(&right, 10);
        backward.merge(&left, 10);
        let bytes = |it: &Wide| {
            let mut writer = Writer::default();
            it.write(&mut writer);
            writer.0
        };
        assert_eq!(bytes(&forward), bytes(&backward));
        assert_eq!(bytes(&Wide::read(&mut Reader(&bytes(&forward))).unwrap()), bytes(&forward));
        let exact = forward.exact(&[(3.0, 1), (base as f64, 3)]).unwrap();
        assert_eq!(exact.keys().copied().collect::<Vec<_>>(), [-base, 3, base, base + 1].map(i128::from));
        let narrow = exact.into_iter().filter(|it| it.0 > 3).collect();
        assert_eq!(from_least(&narrow, &narrow).unwrap().0, [(0.0, 1), (1.0, 1)]);
        assert_eq!(from_least(&narrow, &BTreeMap::from([(0, 1)])), None);
    }

    #[test]
    fn beyond_the_budget_none_is_kept() {
        let mut wide = of(&(0..11).map(|it| i64::MAX - it).collect::<Vec<_>>());
        assert_eq!(wide.exact(&[]), None);
        assert!(!wide.is_empty());
        wide.update(&UInt64Array::from(vec![u64::MAX]), Multiples::One, 10);
        assert_eq!(wide.exact(&[]), None);
    }
}
