//! What other tools answer for two samples, right or wrong, so that a threshold set for one of them keeps its meaning.
//!
//! Each function follows the peer's definition and gives its number to rounding. Where the peer raises an error or answers NaN,
//! the result is [`Undefined`](crate::Undefined). For a test to rely on, take [`two_sample`](crate::two_sample): several of these
//! have the wrong size or a blind side, and their docs say which.
//!
//! Columns come without missing values. What the peers do about those is for the caller: Evidently, NannyML and SciPy's
//! `nan_policy="omit"` leave them out, alibi-detect answers NaN.

pub mod alibi;
pub mod evidently;
pub mod nannyml;
mod numpy;
pub mod scipy;
pub mod tfdv;

use crate::sample::Point;
use crate::two_sample::Values;

/// Two numeric columns.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    /// The reference, in ascending order, infinities at the ends.
    pub reference: &'a [Point],
    /// The current rows, likewise.
    pub current: &'a [Point],
    /// Whether both columns hold integers, for which NumPy makes bins of at least 1.
    pub values: Values,
}

/// Two categorical columns: counts over the categories of either, in ascending order of their names.
#[derive(Clone, Copy, Debug)]
pub struct Categories<'a> {
    /// How often each category occurs in the reference.
    pub reference: &'a [u64],
    /// How often each category occurs in the current rows.
    pub current: &'a [u64],
}

fn weights(counts: &[u64]) -> Vec<f64> {
    counts.iter().map(|&it| it as f64).collect()
}

fn total(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, &it| sum.saturating_add(it))
}
