//! Numeric kernels and mergeable accumulators over slices.
//!
//! Kernels take slices and return plain structs.
//! Accumulators offer `update`, `merge`, `to_bytes` and `from_bytes`; their bytes start with a version byte.
//! A number that does not exist (an empty sample, one class, a NaN in the input) is [`Undefined`], never NaN.
//!
//! There is no input or output here, no threads and no hidden randomness: seeds are parameters.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
pub mod random;
mod state;

pub mod boosting;
pub mod bootstrap;
pub mod categories;
pub mod change;
pub mod classification;
pub mod correlation;
pub mod delong;
pub mod detection;
pub mod distinct;
pub mod estimation;
pub mod hash;
pub mod intervals;
pub mod isotonic;
pub mod keys;
pub mod moments;
pub mod multiple;
pub mod multivariate;
pub mod online;
pub mod outliers;
pub mod peers;
pub mod predictive;
pub mod prefix;
pub mod quantile;
pub mod regression;
pub mod residuals;
pub mod retrieval;
pub mod sample;
pub mod sequences;
pub mod table;
pub mod two_sample;
pub mod weights;
pub mod whole_numbers;

pub use crate::error::{Reason, StateError, Undefined};
pub use crate::sample::Point;
