//! Metrics of predicted classes, probabilities and scores; definitions and edge cases are scikit-learn's.
//!
//! A ratio with a zero denominator is 0 (`zero_division=0`) where the doc says so; a metric that does not exist is
//! [`Undefined`](crate::Undefined). Top-k accuracy and averages over pairs of classes are not here.

mod calibration;
mod confusion;
mod probability;
mod ranking;

pub use calibration::{CalibrationBins, CalibrationPoint};
pub use confusion::{Average, ClassMetrics, ConfusionMatrix};
pub use probability::ProbabilityScores;
pub use ranking::{WeightedScore, average_precision, average_precision_weighted, roc_auc, roc_auc_weighted};
