//! Norms of the slices of a tensor along an axis: rows, columns, filters.

use modelwatch_sdk::report::float;
use serde::{Deserialize, Serialize};

/// The most units whose sums are kept; above it only counts are.
pub(crate) const KEPT_UNITS: usize = 4096;

/// Which end of the shape counts the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Axis {
    /// The first axis, as of PyTorch's and ONNX's convolutions.
    First,
    /// The last axis, as of TensorFlow's kernels.
    Last,
}

impl Axis {
    pub(crate) const BOTH: [Self; 2] = [Self::First, Self::Last];

    /// Returns the extent of the axis; 1 for a scalar.
    pub(crate) fn len(self, shape: &[u64]) -> u64 {
        match self {
            Self::First => shape.first(),
            Self::Last => shape.last(),
        }
        .copied()
        .unwrap_or(1)
    }

    /// Returns the unit of element `idx` of `n` elements in `units` units.
    pub(crate) fn unit(self, idx: usize, n: usize, units: usize) -> usize {
        match self {
            Self::First => idx / (n / units),
            Self::Last => idx % units,
        }
    }

    /// Returns the index of the `k`-th element of a unit.
    pub(crate) fn element(self, unit: usize, k: usize, n: usize, units: usize) -> usize {
        match self {
            Self::First => unit * (n / units) + k,
            Self::Last => k * units + unit,
        }
    }
}

/// What is known of the units along one axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Units {
    pub(crate) axis: Axis,
    pub(crate) count: u64,
    /// Units whose elements are all zero.
    pub(crate) dead: u64,
    #[serde(with = "float")]
    pub(crate) min_l2: f64,
    #[serde(with = "float")]
    pub(crate) max_l2: f64,
    /// The sum of |w| of each unit; empty above [`KEPT_UNITS`].
    #[serde(with = "float::list")]
    pub(crate) l1: Vec<f64>,
}

/// Sums while a tensor is read.
pub(crate) struct UnitSums {
    axis: Axis,
    n: usize,
    l1: Vec<f64>,
    squares: Vec<f64>,
}

impl UnitSums {
    pub(crate) fn new(axis: Axis, n: usize, units: usize) -> Self {
        Self { axis, n, l1: vec![0.0; units], squares: vec![0.0; units] }
    }

    /// Adds elements from index `start` on. The unit is counted along: a division per element is slow.
    pub(crate) fn add(&mut self, start: usize, values: &[f64]) {
        let units = self.l1.len();
        let mut unit = self.axis.unit(start, self.n, units);
        let per_unit = self.n / units;
        let mut left_of_unit = per_unit - start % per_unit;
        for value in values {
            self.l1[unit] += value.abs();
            self.squares[unit] += value * value;
            left_of_unit -= 1;
            if self.axis == Axis::Last {
                unit = if unit + 1 == units { 0 } else { unit + 1 };
            } else if left_of_unit == 0 {
                unit += 1;
            }
            if left_of_unit == 0 {
                left_of_unit = per_unit;
            }
        }
    }

    pub(crate) fn finish(self) -> Units {
        let norms = || self.squares.iter().map(|it| it.sqrt());
        Units {
            axis: self.axis,
            count: self.l1.len() as u64,
            dead: self.l1.iter().filter(|&&it| it == 0.0).count() as u64,
            min_l2: norms().fold(f64::INFINITY, f64::min),
            max_l2: norms().fold(0.0, f64::max),
            l1: if self.l1.len() <= KEPT_UNITS { self.l1 } else { Vec::new() },
        }
    }
}
