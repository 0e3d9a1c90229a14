//! The histogram of float prefixes.

use super::Point;
use crate::error::StateError;
use crate::state::{Reader, Writer};

/// Low bits of a float that the histogram forgets.
const FORGOTTEN_BITS: u32 = 45;
/// The bucket of the greatest finite float.
const LAST_BUCKET: u32 = (f64::MAX.to_bits() >> FORGOTTEN_BITS) as u32;

/// How many buckets share a page: those of one binary exponent.
const PAGE: usize = 128;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    negative: Side,
    n_zero: u64,
    positive: Side,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// Counts by bucket, in a page per binary exponent that is made with its first value: an index instead of a search for each value.
#[derive(Clone, Debug, Default, PartialEq)]
struct Side(Vec<Option<Box<[u64; PAGE]>>>);

impl Side {
    fn slot(&mut self, bucket: u32) -> &mut u64 {
        let (page, place) = (bucket as usize / PAGE, bucket as usize % PAGE);
        if self.0.len() <= page {
            self.0.resize(page + 1, None);
        }
        &mut self.0[page].get_or_insert_with(|| Box::new([0; PAGE]))[place]
    }

    /// The buckets that have a count, in ascending order.
    fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, u64)> + '_ {
        let pages = self.0.iter().enumerate().filter_map(|(idx, it)| Some((idx, it.as_ref()?)));
        let buckets = pages.flat_map(|(idx, page)| {
            page.iter().enumerate().map(move |(place, &count)| ((idx * PAGE + place) as u32, count))
        });
        buckets.filter(|it| it.1 > 0)
    }
}

impl Histogram {
    pub(super) const fn new() -> Self {
        Self {
            negative: Side(Vec::new()),
            n_zero: 0,
            positive: Side(Vec::new()),
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
            side.slot(bucket)
        };
        *slot = slot.saturating_add(count);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [(&mut self.negative, &other.negative), (&mut self.positive, &other.positive)] {
            for (bucket, count) in theirs.iter() {
                let slot = mine.slot(bucket);
                *slot = slot.saturating_add(count);
            }
        }
        self.n_zero = self.n_zero.saturating_add(other.n_zero);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    pub(super) fn total(&self) -> u64 {
        self.negative.iter().chain(self.positive.iter()).fold(self.n_zero, |sum, it| sum.saturating_add(it.1))
    }

    pub(super) fn bucket_points(&self) -> impl Iterator<Item = Point> + '_ {
        let negative = self.negative.iter().rev().map(|(bucket, count)| (-middle(bucket), count));
        let zero = (self.n_zero > 0).then_some((0.0, self.n_zero));
        let positive = self.positive.iter().map(|(bucket, count)| (middle(bucket), count));
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
            writer.u64(side.iter().count() as u64);
            for (bucket, count) in side.iter() {
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
                *side.slot(bucket) = count;
            }
        }
        Ok(res)
    }
}

fn middle(bucket: u32) -> f64 {
    f64::from_bits((u64::from(bucket) << FORGOTTEN_BITS) | (1 << (FORGOTTEN_BITS - 1)))
}
