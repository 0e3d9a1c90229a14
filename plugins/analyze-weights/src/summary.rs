//! What is kept of one tensor.

use std::collections::BTreeMap;

use modelwatch_sdk::{DType, Host, Result, TensorView, report::float};
use serde::{Deserialize, Serialize};

use crate::{
    decode,
    units::{Axis, KEPT_UNITS, UnitSums, Units},
};

/// The number of distinct magnitudes up to which they are counted; more is "many".
pub(crate) const MANY_MAGNITUDES: usize = 17;

/// Bins of log10 |w| per decade.
pub(crate) const BINS_PER_DECADE: i32 = 4;

/// What is kept of one tensor. Numbers are over its finite elements; integers have counts only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) dtype: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) n: u64,
    pub(crate) is_float: bool,
    pub(crate) nan: u64,
    pub(crate) positive_infinite: u64,
    pub(crate) negative_infinite: u64,
    pub(crate) zeros: u64,
    pub(crate) near_zero: u64,
    pub(crate) denormal: u64,
    #[serde(with = "float")]
    pub(crate) min: f64,
    #[serde(with = "float")]
    pub(crate) max: f64,
    #[serde(with = "float")]
    pub(crate) mean: f64,
    /// The population standard deviation.
    #[serde(with = "float")]
    pub(crate) std: f64,
    #[serde(with = "float")]
    pub(crate) l1: f64,
    #[serde(with = "float")]
    pub(crate) l2: f64,
    #[serde(with = "float")]
    pub(crate) max_abs: f64,
    /// The median of the non-zero |w|, to 3 % (a histogram with 16 buckets per octave); 0 without any.
    #[serde(with = "float")]
    pub(crate) median_abs: f64,
    /// Elements whose magnitude is the greatest one.
    pub(crate) at_max_abs: u64,
    /// Distinct magnitudes, up to [`MANY_MAGNITUDES`].
    pub(crate) magnitudes: u64,
    pub(crate) is_constant: bool,
    /// Whether every element is 0, −∞ or the lowest finite number, as in an attention mask.
    pub(crate) is_mask: bool,
    /// Along the first and the last axis, for two and more axes.
    pub(crate) units: Vec<Units>,
    /// The elements, where at most one axis is longer than 1 and there are few.
    #[serde(with = "float::list")]
    pub(crate) vector: Vec<f64>,
    /// Counts of floor([`BINS_PER_DECADE`] · log10 |w|).
    pub(crate) histogram: BTreeMap<i32, u64>,
}

impl Summary {
    /// Reads a tensor once.
    pub(crate) fn of(host: &dyn Host, tensor: &TensorView<'_>, near_zero: f64) -> Result<Self> {
        decode::check_size(tensor)?;
        let mut tally = Tally::new(tensor, near_zero);
        if tensor.dtype.is_float() {
            decode::chunks(host, tensor, |start, values| tally.add(start, values))?;
        } else {
            decode::chunks(host, tensor, |_, values| {
                tally.zeros += values.iter().filter(|&&it| it == 0.0).count() as u64
            })?;
        }
        Ok(tally.finish(tensor))
    }

    /// Returns whether counts fit the shape, as they do in every summary that was computed.
    pub(crate) fn is_consistent(&self) -> bool {
        let parts = [self.nan, self.positive_infinite, self.negative_infinite];
        let counts = [self.zeros, self.near_zero, self.denormal, self.at_max_abs];
        let product = self.shape.iter().try_fold(1u64, |product, &it| product.checked_mul(it));
        product == Some(self.n)
            && parts.iter().try_fold(0u64, |sum, &it| sum.checked_add(it)).is_some_and(|it| it <= self.n)
            && counts.iter().all(|&it| it <= self.n)
            && self.histogram.iter().all(|(bin, &count)| (-1300..=1300).contains(bin) && count <= self.n)
            && self.units.iter().all(|it| it.dead <= it.count)
    }

    pub(crate) fn non_finite(&self) -> u64 {
        self.nan + self.positive_infinite + self.negative_infinite
    }

    /// Returns max |w| over median |w|; NaN without a non-zero element.
    pub(crate) fn outlier_ratio(&self) -> f64 {
        if self.median_abs > 0.0 { self.max_abs / self.median_abs } else { f64::NAN }
    }

    /// Returns the share of exact zeros; NaN for an empty tensor.
    pub(crate) fn sparsity(&self) -> f64 {
        if self.n == 0 { f64::NAN } else { self.zeros as f64 / self.n as f64 }
    }

    /// Returns whether the tensor has two or more axes longer than 1.
    pub(crate) fn is_matrix(&self) -> bool {
        self.shape.iter().filter(|&&it| it > 1).count() >= 2
    }

    pub(crate) fn units(&self, axis: Axis) -> Option<&Units> {
        self.units.iter().find(|it| it.axis == axis)
    }
}

/// Running numbers of one tensor.
struct Tally {
    near_zero: f64,
    smallest_normal: f64,
    lowest: f64,
    nan: u64,
    positive_infinite: u64,
    negative_infinite: u64,
    finite: u64,
    zeros: u64,
    near_zeros: u64,
    denormal: u64,
    min: f64,
    max: f64,
    mean: f64,
    m2: f64,
    l1: f64,
    squares: f64,
    max_abs: f64,
    at_max_abs: u64,
    magnitudes: Vec<u64>,
    first: Option<u64>,
    is_constant: bool,
    is_mask: bool,
    /// Counts by the 11 exponent and 4 leading fraction bits of a non-zero magnitude.
    buckets: Vec<u64>,
    units: Vec<UnitSums>,
    vector: Vec<f64>,
    is_vector: bool,
}

impl Tally {
    fn new(tensor: &TensorView<'_>, near_zero: f64) -> Self {
        let (smallest_normal, lowest) = match tensor.dtype {
            DType::F16 => (2f64.powi(-14), -65504.0),
            DType::Bf16 => (f64::from(f32::MIN_POSITIVE), -f64::from(f32::from_bits(0x7f7f_0000))),
            DType::F32 => (f64::from(f32::MIN_POSITIVE), f64::from(f32::MIN)),
            _ => (f64::MIN_POSITIVE, f64::MIN),
        };
        let n = tensor.len();
        let sums = |axis: Axis| UnitSums::new(axis, n, axis.len(tensor.shape) as usize);
        let has_units = tensor.shape.len() >= 2 && n > 0 && tensor.dtype.is_float();
        let is_vector = tensor.shape.iter().filter(|&&it| it > 1).count() <= 1 && n <= KEPT_UNITS;
        Self {
            near_zero,
            smallest_normal,
            lowest,
            nan: 0,
            positive_infinite: 0,
            negative_infinite: 0,
            finite: 0,
            zeros: 0,
            near_zeros: 0,
            denormal: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            mean: 0.0,
            m2: 0.0,
            l1: 0.0,
            squares: 0.0,
            max_abs: 0.0,
            at_max_abs: 0,
            magnitudes: Vec::new(),
            first: None,
            is_constant: true,
            is_mask: true,
            buckets: vec![0; 1 << 15],
            units: if has_units { Axis::BOTH.map(sums).into() } else { Vec::new() },
            vector: Vec::new(),
            is_vector: is_vector && tensor.dtype.is_float(),
        }
    }

    fn add(&mut self, start: usize, values: &[f64]) {
        let (mut count, mut sum) = (0u64, 0.0);
        for &value in values {
            self.is_constant &= *self.first.get_or_insert(value.to_bits()) == value.to_bits();
            self.is_mask &= value == 0.0 || value == f64::NEG_INFINITY || value == self.lowest;
            if value.is_finite() {
                count += 1;
                sum += value;
                self.add_finite(value);
            } else if value.is_nan() {
                self.nan += 1;
            } else if value > 0.0 {
                self.positive_infinite += 1;
            } else {
                self.negative_infinite += 1;
            }
        }
        self.add_moments(count, sum, values);
        for it in &mut self.units {
            it.add(start, values);
        }
        if self.is_vector {
            self.vector.extend_from_slice(values);
        }
    }

    fn add_finite(&mut self, value: f64) {
        let magnitude = value.abs();
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.l1 += magnitude;
        self.squares += value * value;
        self.near_zeros += u64::from(magnitude <= self.near_zero);
        if magnitude == 0.0 {
            self.zeros += 1;
        } else {
            self.denormal += u64::from(magnitude < self.smallest_normal);
            self.buckets[(magnitude.to_bits() >> 48) as usize] += 1;
        }
        if magnitude > self.max_abs {
            (self.max_abs, self.at_max_abs) = (magnitude, 1);
        } else if magnitude == self.max_abs {
            self.at_max_abs += 1;
        }
        if self.magnitudes.len() < MANY_MAGNITUDES && !self.magnitudes.contains(&magnitude.to_bits()) {
            self.magnitudes.push(magnitude.to_bits());
        }
    }

    /// Adds the mean and the squared deviations of a chunk (Chan, Golub & LeVeque 1983).
    fn add_moments(&mut self, count: u64, sum: f64, values: &[f64]) {
        if count == 0 {
            return;
        }
        let (left, right) = (self.finite as f64, count as f64);
        let mean = sum / right;
        let m2: f64 = values.iter().filter(|it| it.is_finite()).map(|it| (it - mean) * (it - mean)).sum();
        let delta = mean - self.mean;
        self.finite += count;
        self.mean += delta * right / (left + right);
        self.m2 += m2 + delta * delta * left * right / (left + right);
    }

    fn finish(self, tensor: &TensorView<'_>) -> Summary {
        let has_values = self.finite > 0;
        let number = |it: f64| if has_values { it } else { f64::NAN };
        Summary {
            dtype: tensor.dtype.to_string(),
            shape: tensor.shape.to_vec(),
            n: tensor.len() as u64,
            is_float: tensor.dtype.is_float(),
            nan: self.nan,
            positive_infinite: self.positive_infinite,
            negative_infinite: self.negative_infinite,
            zeros: self.zeros,
            near_zero: self.near_zeros,
            denormal: self.denormal,
            min: number(self.min),
            max: number(self.max),
            mean: number(self.mean),
            std: number((self.m2 / self.finite as f64).sqrt()),
            l1: number(self.l1),
            l2: number(self.squares.sqrt()),
            max_abs: number(self.max_abs),
            median_abs: median(&self.buckets),
            at_max_abs: self.at_max_abs,
            magnitudes: self.magnitudes.len() as u64,
            is_constant: self.is_constant && self.first.is_some(),
            is_mask: self.is_mask && self.first.is_some(),
            units: self.units.into_iter().map(UnitSums::finish).collect(),
            vector: self.vector,
            histogram: histogram(&self.buckets),
        }
    }
}

/// The middle of a bucket.
fn middle(bucket: usize) -> f64 {
    f64::from_bits((bucket as u64) << 48 | 1 << 47)
}

fn median(buckets: &[u64]) -> f64 {
    let total: u64 = buckets.iter().sum();
    let mut left = total.div_ceil(2);
    for (bucket, &count) in buckets.iter().enumerate().filter(|it| *it.1 > 0) {
        if count >= left {
            return middle(bucket);
        }
        left -= count;
    }
    0.0
}

fn histogram(buckets: &[u64]) -> BTreeMap<i32, u64> {
    let mut res = BTreeMap::new();
    for (bucket, &count) in buckets.iter().enumerate().filter(|it| *it.1 > 0) {
        let bin = (middle(bucket).log10() * f64::from(BINS_PER_DECADE)).floor() as i32;
        *res.entry(bin).or_default() += count;
    }
    res
}
