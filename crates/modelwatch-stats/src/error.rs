//! Why a number does not exist, and why stored state cannot be read.

use std::error;
use std::fmt;

/// Says that a statistic does not exist for the given input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undefined {
    /// Why it does not exist.
    pub reason: Reason,
}

/// Why a statistic does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A sample holds no usable value, or all its weights are zero.
    Empty,
    /// The input holds a NaN.
    NotANumber,
    /// The input holds an infinity where only finite values make sense.
    Infinite,
    /// The result does not fit a finite float.
    Overflow,
    /// Two slices that belong together have different lengths.
    LengthMismatch,
    /// Points are not in ascending order of value.
    NotSorted,
    /// A value or parameter is outside its domain, such as a probability above 1.
    OutOfRange,
    /// Only one of the two classes is present.
    OneClass,
    /// There are fewer values than the statistic needs.
    TooFew,
    /// All values are equal, so that a ratio to their spread does not exist.
    NoSpread,
    /// The quartiles are equal, so that their distance is no unit of the values, which differ beyond it.
    NarrowMiddle,
    /// What is rare is too rare in the smaller sample for a limit distribution to hold.
    TooRare,
    /// The values are so skewed that means of so few of them are not normal.
    TooSkewed,
    /// The range of the data is too narrow for that many bins of finite width.
    TooManyBins,
    /// The caller asked for an end before there was an answer.
    Interrupted,
}

/// Says why bytes are not the state of an accumulator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// The bytes end before the state does.
    Truncated {
        /// What the bytes should have been.
        what: &'static str,
    },
    /// Bytes follow the end of the state.
    TrailingBytes {
        /// What the bytes should have been.
        what: &'static str,
        /// How many bytes are left over.
        count: usize,
    },
    /// The version byte is not one that this build reads.
    UnknownVersion {
        /// What the bytes should have been.
        what: &'static str,
        /// The version byte found.
        version: u8,
    },
    /// A field holds a value that no accumulator produces.
    Invalid {
        /// What the bytes should have been.
        what: &'static str,
        /// Which field is wrong.
        field: &'static str,
    },
}

impl Undefined {
    /// Returns the error for `reason`.
    pub const fn new(reason: Reason) -> Self {
        Self { reason }
    }
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the statistic is undefined: {}", self.reason)
    }
}

impl error::Error for Undefined {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "there are no values",
            Self::NotANumber => "the input holds a NaN",
            Self::Infinite => "the input holds an infinity",
            Self::Overflow => "the result does not fit a finite float",
            Self::LengthMismatch => "inputs have different lengths",
            Self::NotSorted => "points are not in ascending order",
            Self::OutOfRange => "a value is outside its domain",
            Self::OneClass => "only one class is present",
            Self::TooFew => "there are too few values",
            Self::NoSpread => "all values are equal",
            Self::NarrowMiddle => "the middle half of the values is equal, and the others are measured by its range",
            Self::TooRare => "too few rows beside the most frequent values are to be expected in the smaller sample",
            Self::TooSkewed => "means of so few rows are not normal, as the values are skewed",
            Self::TooManyBins => "the range is too narrow for that many bins",
            Self::Interrupted => "it was interrupted",
        })
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { what } => {
                write!(f, "cannot read the state of {what}: it is cut short; recompute it from the data")
            }
            Self::TrailingBytes { what, count } => {
                write!(f, "cannot read the state of {what}: {count} bytes follow its end; recompute it from the data")
            }
            Self::UnknownVersion { what, version } => {
                write!(f, "cannot read the state of {what}: version {version} is unknown; recompute it from the data")
            }
            Self::Invalid { what, field } => {
                write!(f, "cannot read the state of {what}: field `{field}` is invalid; recompute it from the data")
            }
        }
    }
}

impl error::Error for StateError {}

/// Returns `value` unless it is NaN or infinite.
pub(crate) fn finite(value: f64) -> Result<f64, Undefined> {
    if value.is_finite() { Ok(value) } else { Err(Undefined::new(Reason::Overflow)) }
}

/// Returns `numerator / denominator`, or 0 when the denominator is 0.
pub(crate) fn ratio_or_zero(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { 0.0 } else { numerator / denominator }
}
