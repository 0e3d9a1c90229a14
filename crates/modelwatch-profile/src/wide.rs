//! Whole numbers that a float cannot hold.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Error, Result,
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
pub(crate) const FIRST_WIDE: u64 = 1 << 53;

/// The most bits that are left out: of 64-bit numbers nothing but their sign is left then.
const MOST_SHIFTED: u32 = 64;

/// The whole numbers of a column from 2^53 on, in magnitude, with their counts: exact while there are no more different ones
/// than the budget says, and without as many of their last bits beyond it as are needed for that. Which bits these are is a matter of all
/// numbers together, so that the order in which they come does not show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wide {
    /// By what is left of each number.
    buckets: BTreeMap<i128, u64>,
    /// How many of the last bits are left out.
    shift: u32,
    /// Whether an older profile had more of them than it kept any of.
    is_lost: bool,
}

/// How a file tells that an older program kept none of the numbers; one more than the shift otherwise, but for 0.
const LOST: u8 = 1;

/// Added where buckets are steps from one to the next, as they are since version 4 of the file.
const STEPS: u8 = 1 << 7;

/// The most bytes of a step between two 64-bit integers, of seven bits each.
const MAX_STEP: u32 = 10;

impl Wide {
    /// Takes in the wide values of an array; other types than 64-bit integers have none.
    pub(crate) fn update(&mut self, array: &dyn Array, multiples: Multiples<'_>, budget: u64) {
        each_wide(array, |row, value| self.add(value >> self.shift, multiples.of(row), budget));
    }

    pub(crate) fn merge(&mut self, other: &Self, budget: u64) {
        self.is_lost |= other.is_lost;
        self.coarsen(other.shift);
        for (bucket, count) in &other.buckets {
            self.add(*bucket >> (self.shift - other.shift), *count, budget);
        }
        // The budget may have become smaller.
        self.fit(budget);
    }

    /// Returns whether there were any.
    pub(crate) fn is_empty(&self) -> bool {
        self.buckets.is_empty() && !self.is_lost
    }

    /// Returns how many of the last bits are left out.
    pub(crate) fn shift(&self) -> u32 {
        self.shift
    }

    /// Returns all whole numbers of the column without so many of their last bits, at least as many as are left out here, given its points as
    /// floats; `None` where a number is not whole, where some are floats that great, and where an older profile kept none.
    pub(crate) fn shifted(&self, points: &[Point], shift: u32) -> Option<BTreeMap<i128, u64>> {
        if self.is_lost {
            return None;
        }
        let mut res: BTreeMap<i128, u64> = BTreeMap::new();
        let mut add = |bucket: i128, count: u64| {
            let slot = res.entry(bucket).or_insert(0);
            *slot = slot.saturating_add(count);
        };
        let (narrow, wide): (Vec<&Point>, Vec<&Point>) = points.iter().partition(|it| it.0.abs() < FIRST_WIDE as f64);
        let n_wide = wide.iter().fold(0u64, |sum, it| sum.saturating_add(it.1));
        if n_wide != self.buckets.values().fold(0u64, |sum, it| sum.saturating_add(*it)) {
            return None;
        }
        for &(value, count) in narrow {
            if value.fract() != 0.0 {
                return None;
            }
            add(value as i128 >> shift, count);
        }
        self.buckets.iter().for_each(|(bucket, count)| add(*bucket >> shift.saturating_sub(self.shift), *count));
        Some(res)
    }

    /// Returns the numbers themselves with their counts, or the middle of those that only differ in bits that are left out.
    pub(crate) fn values(&self) -> impl Iterator<Item = (i128, u64)> + '_ {
        let middle = (1i128 << self.shift) >> 1;
        self.buckets.iter().map(move |(bucket, count)| ((*bucket << self.shift) + middle, *count))
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        // No shift of 64-bit numbers is greater than 64.
        writer.u8(if self.is_lost {
            LOST
        } else if self.shift == 0 {
            STEPS
        } else {
            STEPS + self.shift as u8 + 1
        });
        writer.u64(self.buckets.len() as u64);
        let mut next = i128::from(i64::MIN);
        for (bucket, count) in &self.buckets {
            write_number(writer, bucket.abs_diff(next));
            write_number(writer, (*count).into());
            next = bucket + 1;
        }
    }

    /// Leaves out as few further bits as it takes to be written in so many bytes.
    pub(crate) fn shrink(&mut self, max_bytes: usize) {
        let size = |it: &Self| {
            let mut writer = Writer::default();
            it.write(&mut writer);
            writer.0.len()
        };
        while !self.buckets.is_empty() && self.shift < MOST_SHIFTED && size(self) > max_bytes {
            self.coarsen(self.shift + 1);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut res = Self::default();
        let form = reader.u8()?;
        let has_steps = form >= STEPS;
        match form % STEPS {
            0 => {}
            LOST => res.is_lost = true,
            it if u32::from(it) <= MOST_SHIFTED + 1 => res.shift = u32::from(it) - 1,
            _ => return Err(damaged("a column's whole numbers lack more bits than they have")),
        }
        let mut next = i128::from(i64::MIN);
        for _ in 0..reader.u64()? {
            let bucket = if has_steps {
                let step = read_number(reader)?;
                i128::try_from(step).ok().and_then(|it| next.checked_add(it)).ok_or_else(out_of_order)?
            } else {
                let is_negative = reader.flag()?;
                let magnitude = i128::from(reader.u64()?);
                if is_negative { -magnitude } else { magnitude }
            };
            next = bucket.saturating_add(1);
            let is_ascending = res.buckets.last_key_value().is_none_or(|it| *it.0 < bucket);
            let is_wide = res.shift > 0 || bucket.unsigned_abs() >= u128::from(FIRST_WIDE);
            let possible = i128::from(i64::MIN) >> res.shift..=i128::from(u64::MAX) >> res.shift;
            let count = if has_steps { u64::try_from(read_number(reader)?).map_err(damaged)? } else { reader.u64()? };
            if !is_wide || !possible.contains(&bucket) || !is_ascending || count == 0 || res.is_lost {
                return Err(out_of_order());
            }
            res.buckets.insert(bucket, count);
        }
        Ok(res)
    }

    fn add(&mut self, bucket: i128, count: u64, budget: u64) {
        if !self.is_lost && count > 0 {
            let slot = self.buckets.entry(bucket).or_insert(0);
            *slot = slot.saturating_add(count);
            self.fit(budget);
        }
    }

    fn fit(&mut self, budget: u64) {
        if self.is_lost {
            self.buckets = BTreeMap::new();
            self.shift = 0;
        }
        while self.buckets.len() as u64 > budget && self.shift < MOST_SHIFTED {
            self.coarsen(self.shift + 1);
        }
    }

    /// Leaves out so many of the last bits, if not more are left out.
    fn coarsen(&mut self, shift: u32) {
        if shift <= self.shift {
            return;
        }
        let by = shift - self.shift;
        let mut buckets: BTreeMap<i128, u64> = BTreeMap::new();
        for (bucket, count) in &self.buckets {
            let slot = buckets.entry(*bucket >> by).or_insert(0);
            *slot = slot.saturating_add(*count);
        }
        (self.buckets, self.shift) = (buckets, shift);
    }
}

fn out_of_order() -> Error {
    damaged("a column's whole numbers are out of order")
}

/// Appends a number, seven bits a byte, the lowest first.
fn write_number(writer: &mut Writer, number: u128) {
    let mut rest = number;
    while rest >= 0x80 {
        writer.u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    writer.u8(rest as u8);
}

/// Takes what [`write_number`] wrote.
fn read_number(reader: &mut Reader<'_>) -> Result<u128> {
    let mut res = 0u128;
    for at in 0..MAX_STEP {
        let byte = reader.u8()?;
        res |= u128::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Ok(res);
        }
    }
    Err(out_of_order())
}

/// Calls `visit` with the row and value of each whole number of an array that a float cannot hold; other types than 64-bit integers have none.
pub(crate) fn each_wide(array: &dyn Array, mut visit: impl FnMut(usize, i128)) {
    match array.data_type() {
        DataType::Int64 => {
            let array = array.as_primitive::<Int64Type>();
            if are_narrow(array.values().iter().map(|it| it.unsigned_abs())) {
                return;
            }
            let values = array.iter().enumerate();
            let wide = values.filter_map(|(row, it)| Some((row, it.filter(|it| it.unsigned_abs() >= FIRST_WIDE)?)));
            wide.for_each(|(row, it)| visit(row, i128::from(it)));
        }
        DataType::UInt64 => {
            let array = array.as_primitive::<UInt64Type>();
            if are_narrow(array.values().iter().copied()) {
                return;
            }
            let values = array.iter().enumerate();
            let wide = values.filter_map(|(row, it)| Some((row, it.filter(|it| *it >= FIRST_WIDE)?)));
            wide.for_each(|(row, it)| visit(row, i128::from(it)));
        }
        _ => {}
    }
}

/// Returns whether [`each_wide`] visits a value of an array, given that value as a float.
pub(crate) fn is_wide(array: &dyn Array, value: f64) -> bool {
    value.abs() >= FIRST_WIDE as f64 && matches!(array.data_type(), DataType::Int64 | DataType::UInt64)
}

/// Returns whether a float holds all numbers of these magnitudes, without looking at them one by one.
fn are_narrow(magnitudes: impl Iterator<Item = u64>) -> bool {
    magnitudes.fold(0, |all, it| all | it) < FIRST_WIDE
}

/// Returns both samples, whose numbers lack so many bits, as distances from the smallest number of either, and that number; `None` where a
/// distance is not exact.
pub(crate) fn from_least(
    reference: &BTreeMap<i128, u64>,
    current: &BTreeMap<i128, u64>,
    shift: u32,
) -> Option<(Vec<Point>, Vec<Point>, i128)> {
    let least = *reference.keys().chain(current.keys()).min()?;
    let greatest = *reference.keys().chain(current.keys()).max()?;
    if greatest - least >= i128::from(FIRST_WIDE) {
        return None;
    }
    let unit = 2f64.powi(shift as i32);
    let side = |it: &BTreeMap<i128, u64>| it.iter().map(|(it, count)| ((it - least) as f64 * unit, *count)).collect();
    // Each stands for the middle of those that only differ in the bits that they lack.
    Some((side(reference), side(current), (least << shift) + ((1 << shift) >> 1)))
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
        let exact = forward.shifted(&[(3.0, 1), (base as f64, 3)], 0).unwrap();
        assert_eq!(exact.keys().copied().collect::<Vec<_>>(), [-base, 3, base, base + 1].map(i128::from));
        let narrow = exact.into_iter().filter(|it| it.0 > 3).collect();
        assert_eq!(from_least(&narrow, &narrow, 0).unwrap().0, [(0.0, 1), (1.0, 1)]);
        assert_eq!(from_least(&narrow, &BTreeMap::from([(0, 1)]), 0), None);
    }

    fn bytes(it: &Wide) -> Vec<u8> {
        let mut writer = Writer::default();
        it.write(&mut writer);
        writer.0
    }

    #[test]
    fn beyond_the_budget_last_bits_are_left_out_in_any_order() {
        let values: Vec<i64> =
            (0..40).map(|it| (i64::MAX - 100) + it * 37 % 64).chain([i64::MIN, -(1 << 60)]).collect();
        let whole = of(&values);
        // 64 neighbors in as many buckets as there is room for, beside the two others.
        assert_eq!(whole.shift(), 4);
        for at in [1, 7, 21, 40] {
            let (left, right) = (of(&values[at..]), of(&values[..at]));
            let (mut forward, mut backward) = (left.clone(), right.clone());
            forward.merge(&right, 10);
            backward.merge(&left, 10);
            assert_eq!((bytes(&forward), bytes(&backward)), (bytes(&whole), bytes(&whole)), "{at}");
        }
        let read = Wide::read(&mut Reader(&bytes(&whole))).unwrap();
        assert_eq!(bytes(&read), bytes(&whole));
        assert_eq!(whole.values().map(|it| it.1).sum::<u64>(), 42);
        assert!(whole.values().all(|(it, _)| values.iter().any(|value| (i128::from(*value) - it).abs() <= 8)));
        // The widest numbers, of both signs, in the least room.
        let mut widest = Wide::default();
        widest.update(&Int64Array::from(vec![i64::MIN, i64::MAX]), Multiples::One, 1);
        widest.update(&UInt64Array::from(vec![u64::MAX]), Multiples::One, 1);
        assert_eq!(bytes(&Wide::read(&mut Reader(&bytes(&widest))).unwrap()), bytes(&widest));
    }

    #[test]
    fn what_an_older_profile_lost_stays_lost() {
        let lost = Wide::read(&mut Reader(&[&[LOST][..], &[0; 8]].concat())).unwrap();
        assert!(!lost.is_empty() && lost.shifted(&[], 0).is_none());
        let mut merged = of(&[i64::MAX]);
        merged.merge(&lost, 10);
        assert_eq!(bytes(&merged), bytes(&lost));
    }
}
