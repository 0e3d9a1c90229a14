//! How well a classifier does where nobody knows the right answers yet.
//!
//! If a model's probabilities are calibrated, a row that it calls positive with the chance `p` is a true positive with
//! the chance `p` and a false one with the chance `1 - p`. The sums of these over rows are an expected confusion
//! matrix, and metrics of it estimate those that labels will give (Guillory et al. 2021; NannyML's "confidence-based
//! performance estimation"). With 0 and 1 for chances the same functions give the metrics of labeled rows.
//!
//! This holds as long as the same row still means the same: a change of the concept shows in nothing that is here.

mod expected;
mod sampling_error;

pub use expected::{ExpectedCounts, ExpectedMasses, expected_average_precision, expected_roc_auc};
pub use sampling_error::{Spread, average_precision_spread, macro_error, roc_auc_spread};
