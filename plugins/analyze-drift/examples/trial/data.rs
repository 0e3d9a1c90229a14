//! Random columns from a seed: the same on every machine.

use std::sync::Arc;

use modelwatch_sdk::{
    RecordBatch,
    arrow::array::{ArrayRef, Float64Array, StringArray},
    rows::Use,
    testing,
};

/// How the values of a column are distributed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Normal.
    Normal,
    /// Student's t with two degrees of freedom.
    HeavyTailed,
    /// Log-normal.
    Skewed,
    /// Normal, rounded to halves.
    Tied,
    /// Zero in nine of ten rows, else exponential.
    ZeroInflated,
    /// Zero and one, one row in fifty.
    RareEvent,
    /// Zero and one, and something else in one row of fifty thousand.
    StrayValue,
    /// Fifty categories, the k-th as frequent as 1/k.
    Categories,
    /// Three categories, of which two are rare.
    RareCategories,
}

/// All kinds.
pub(crate) const KINDS: [Kind; 9] = [
    Kind::Normal,
    Kind::HeavyTailed,
    Kind::Skewed,
    Kind::Tied,
    Kind::ZeroInflated,
    Kind::RareEvent,
    Kind::StrayValue,
    Kind::Categories,
    Kind::RareCategories,
];

/// Numbers from a seed (SplitMix64).
#[derive(Debug)]
pub(crate) struct Random(pub u64);

impl Random {
    /// Returns a number between 0 and 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a standard normal number.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Returns a standard exponential number.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }

    /// Returns a number of that kind.
    pub(crate) fn number(&mut self, kind: Kind) -> f64 {
        match kind {
            Kind::Normal => self.normal(),
            Kind::HeavyTailed => self.normal() / self.exponential().sqrt(),
            Kind::Skewed => self.normal().exp(),
            Kind::Tied => (2.0 * self.normal()).round() / 2.0,
            Kind::ZeroInflated => {
                let is_zero = self.uniform() < 0.9;
                if is_zero { 0.0 } else { self.exponential() }
            }
            Kind::RareEvent => f64::from(u8::from(self.uniform() < 0.02)),
            Kind::StrayValue => {
                let it = self.uniform();
                f64::from(u8::from(it > 0.55) + u8::from(it > 0.99998))
            }
            // The sum of 1/k grows as the logarithm of k.
            Kind::Categories => (51f64.powf(self.uniform())).floor(),
            Kind::RareCategories => {
                let it = self.uniform();
                f64::from(u8::from(it > 0.96) + u8::from(it > 0.985))
            }
        }
    }
}

/// Returns a column of that kind.
pub(crate) fn column(random: &mut Random, kind: Kind, rows: usize) -> ArrayRef {
    let values = (0..rows).map(|_| random.number(kind));
    if matches!(kind, Kind::Categories | Kind::RareCategories) {
        let names: Vec<String> = (0..64).map(|it| format!("c{it}")).collect();
        return Arc::new(StringArray::from_iter_values(values.map(|it| names[it as usize].as_str())));
    }
    Arc::new(Float64Array::from_iter_values(values))
}

/// Returns a table of features.
pub(crate) fn table(columns: Vec<ArrayRef>) -> RecordBatch {
    testing::batch(columns.into_iter().enumerate().map(|(idx, it)| (format!("x{idx:02}"), [Use::Feature], it)))
}
