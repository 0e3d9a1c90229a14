//! Where the values of a stretch of a stream lie.

use modelwatch_sdk::{
    Result,
    state::{Reader, Writer},
};
use modelwatch_stats::moments::Moments;

/// Mean and standard deviation of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Level {
    pub(crate) n: u64,
    /// NaN of no values, or of too great ones.
    pub(crate) mean: f64,
    /// NaN of fewer than two values, or of too great ones.
    pub(crate) deviation: f64,
}

impl Level {
    /// Of no values.
    pub(crate) const NONE: Self = Self { n: 0, mean: f64::NAN, deviation: f64::NAN };

    /// Returns the level of finite values.
    pub(crate) fn of(values: &Moments) -> Self {
        Self {
            n: values.n(),
            mean: values.mean().unwrap_or(f64::NAN),
            deviation: values.standard_deviation(1).unwrap_or(f64::NAN),
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.n);
        writer.f64(self.mean);
        writer.f64(self.deviation);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { n: reader.u64()?, mean: reader.f64()?, deviation: reader.f64()? })
    }
}
