//! The histogram of float prefixes.

use std::collections::BTreeMap;

use super::Point;
use crate::error::StateError;
use crate::state::{Reader, Writer};

/// Low bits of a float that the histogram forgets.
const FORGOTTEN_BITS: u32 = 45;
/// The bucket of the greatest finite float.
const LAST_BUCKET: u32 = (f64::MAX.to_bits() >> FORGOTTEN_BITS) as u32;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    negative: BTreeMap<u32, u64>,
    n_zero: u64,
    positive: BTreeMap<u32, u64>,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Histogram {
    pub(super) const fn new() -> Self {
        Self {
            negative: BTreeMap::new(),
            n_zero: 0,
            positive: BTreeMap::new(),
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    pub(super) fn add(&mut self, value: f64, count: u64) {
        let value = value + 0.0;
        let slot = if value == 0.0 {
            &mut self.n_zero
        } else {
            let bucket = (value.abs().to_bits() >> FORGOTTEN_BITS) as u32;
            let side = if value > 0.0 { &mut self.positive } else { &mut self.negative };
            side.entry(bucket).or_insert(0)
        };
        *slot = slot.saturating_add(count);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [(&mut self.negative, &other.negative), (&mut self.positive, &other.positive)] {
            for (&bucket, &count) in theirs {
                let slot = mine.entry(bucket).or_insert(0);
                *slot = slot.saturating_add(count);
            }
        }
        self.n_zero = self.n_zero.saturating_add(other.n_zero);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    pub(super) fn total(&self) -> u64 {
        self.negative.values().chain(self.positive.values()).fold(self.n_zero, |sum, &it| sum.saturating_add(it))
    }

    pub(super) fn bucket_points(&self) -> impl Iterator<Item = Point> + '_ {
        let negative = self.negative.iter().rev().map(|(&bucket, &count)| (-middle(bucket), count));
        let zero = (self.n_zero > 0).then_some((0.0, self.n_zero));
        let positive = self.positive.iter().map(|(&bucket, &count)| (middle(bucket), count));
        negative.chain(zero).chain(positive)
    }

    pub(super) fn points(&self) -> Vec<Point> {
        self.bucket_points().map(|(value, count)| (value.clamp(self.min, self.max), count)).collect()
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.f64(self.min);
        writer.f64(self.max);
        writer.u64(self.n_zero);
        for side in [&self.negative, &self.positive] {
            writer.u64(side.len() as u64);
            for (&bucket, &count) in side {
                writer.u32(bucket);
                writer.u64(count);
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut res = Self::new();
        (res.min, res.max) = (reader.f64()?, reader.f64()?);
        if !(res.min.is_finite() && res.max.is_finite() && res.min <= res.max) {
            return Err(reader.invalid("range"));
        }
        res.n_zero = reader.u64()?;
        for side in [&mut res.negative, &mut res.positive] {
            let mut next_bucket = 0;
            for _ in 0..reader.len(12)? {
                let (bucket, count) = (reader.u32()?, reader.u64()?);
                if bucket < next_bucket || bucket > LAST_BUCKET || count == 0 {
                    return Err(reader.invalid("buckets"));
                }
                next_bucket = bucket + 1;
                side.insert(bucket, count);
            }
        }
        Ok(res)
    }
}

fn middle(bucket: u32) -> f64 {
    f64::from_bits((u64::from(bucket) << FORGOTTEN_BITS) | (1 << (FORGOTTEN_BITS - 1)))
}
