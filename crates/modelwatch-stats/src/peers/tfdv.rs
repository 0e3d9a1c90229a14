//! TensorFlow Data Validation 1.16: its comparators for drift and skew.
//!
//! It has no thresholds of its own, and no p-values.

use super::{Categories, Numbers, weights};
use crate::error::{Reason, Undefined};
use crate::sample::Point;
use crate::two_sample::{self, BinRule, LogBase, Values, bin_edges, count_into};

/// How many buckets its standard histogram has.
const N_BUCKETS: u32 = 10;

/// Returns `infinity_norm` of categories: the greatest difference of two shares.
pub fn l_infinity(categories: Categories<'_>) -> Result<f64, Undefined> {
    two_sample::linf(&weights(categories.reference), &weights(categories.current))
}

/// Returns `jensen_shannon_divergence` of categories: the divergence, not the distance, in bits.
///
/// ```
/// use modelwatch_stats::peers::{Categories, tfdv::jensen_shannon_divergence_of_categories};
/// let disjoint = Categories { reference: &[3, 0], current: &[0, 3] };
/// assert_eq!(jensen_shannon_divergence_of_categories(disjoint), Ok(1.0));
/// ```
pub fn jensen_shannon_divergence_of_categories(categories: Categories<'_>) -> Result<f64, Undefined> {
    divergence(&weights(categories.reference), &weights(categories.current))
}

/// Returns `jensen_shannon_divergence` of numbers, in bits: ten buckets of equal width per side, cut at the edges of both, rows spread
/// evenly within a bucket.
///
/// TFDV fills its buckets from a quantile sketch, so that its number differs from this by a few percent and between runs.
pub fn jensen_shannon_divergence(numbers: Numbers<'_>) -> Result<f64, Undefined> {
    let (left, right) = (Buckets::new(numbers.reference)?, Buckets::new(numbers.current)?);
    // A constant is a point, and no part of a bucket.
    match (left.constant, right.constant) {
        (None, None) => {}
        (left, right) => return Ok(f64::from(u8::from(left != right))),
    }
    let mut edges: Vec<f64> = left.edges.iter().chain(&right.edges).copied().collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    divergence(&left.masses(&edges), &right.masses(&edges))
}

fn divergence(left: &[f64], right: &[f64]) -> Result<f64, Undefined> {
    two_sample::jensen_shannon(left, right, LogBase::Two).map(|it| (it * it).min(1.0))
}

struct Buckets {
    constant: Option<f64>,
    edges: Vec<f64>,
    counts: Vec<u64>,
}

impl Buckets {
    fn new(points: &[Point]) -> Result<Self, Undefined> {
        if points.iter().any(|it| it.0.is_infinite()) {
            return Err(Undefined::new(Reason::Infinite));
        }
        let edges = bin_edges(points, BinRule::EqualWidth(N_BUCKETS), Values::Real)?;
        let counts = count_into(points, &edges)?.counts;
        let occurring = || points.iter().filter(|it| it.1 > 0).map(|it| it.0);
        let constant = occurring().next().filter(|it| occurring().all(|other| other == *it));
        Ok(Self { constant, edges, counts })
    }

    /// The rows between neighbouring edges, of which each bucket holds a part.
    fn masses(&self, edges: &[f64]) -> Vec<f64> {
        let below = |value: f64| {
            let parts = self.edges.windows(2).zip(&self.counts);
            parts
                .map(|(bucket, &count)| count as f64 * ((value - bucket[0]) / (bucket[1] - bucket[0])).clamp(0.0, 1.0))
                .sum::<f64>()
        };
        edges.windows(2).map(|it| (below(it[1]) - below(it[0])).max(0.0)).collect()
    }
}
