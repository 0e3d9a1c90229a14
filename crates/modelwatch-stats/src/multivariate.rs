//! Whether two samples of whole rows come from one distribution.
//!
//! Rows are finite numbers, [`Rows`]. A [`Pool`] has those of both samples, and [`Dealings`] are the ways of dealing the pool out into
//! samples of the same sizes: first the one that was observed, then random ones from a seed. A test gives its statistic for each of
//! them, and the share of dealings that are as extreme is the p-value: exact for any distribution and any number of rows, because under
//! no difference every dealing is as likely. [`adjusted`] does the same for several statistics together.
//!
//! Encoding of columns and scaling are for the caller. They have to treat both samples alike, or the dealings are not equally likely:
//! what is learned from the reference alone fits the reference better than anything else.

mod calibration;
mod classifier;
mod correlation;
mod design;
mod energy;
mod family;
mod lanes;
mod logistic;
mod mmd;
mod neighbors;
mod pairs;
mod pool;
mod projection;
mod reconstruction;
mod rows;
mod subsets;
mod symmetric;

pub use calibration::{CalibrationChange, calibration_change};
pub use classifier::{Classifier, cross_fitted_auc, mean_shift_contributions};
pub use correlation::{PairChange, correlation_change, correlation_changes};
pub use energy::energy;
pub use family::{adjusted, permutation_p_value};
pub use logistic::{Logistic, Penalty};
pub use mmd::{Rbf, linear_mmd, linear_mmds, mmd, mmd_squared};
pub use neighbors::neighbors;
pub use pool::{Dealings, Pool, Strata};
pub use projection::Projection;
pub use reconstruction::{Reconstruction, reconstruction_change};
pub use rows::Rows;
