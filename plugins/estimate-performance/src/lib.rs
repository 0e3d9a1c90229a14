//! The analyzer `performance`: how well the model does on current rows, before anyone knows their labels.
//!
//! # Classification
//! The scores of the reference are calibrated where that makes them better chances, and the chances of the current rows
//! give an expected confusion matrix and an expected ranking (`modelwatch_stats::estimation`), chunk by chunk. Definitions,
//! sampling errors and the decision to calibrate are those of NannyML's CBPE; where not, the tests list it. Of two classes the cells of
//! the confusion matrix are metrics like others; of several, the matrix of all current rows is reported.
//!
//! # Regression
//! Boosted trees learn from the labeled reference how large the error of a row is, from its features and its prediction, and
//! the mean of what they say of current rows is the estimate ("direct loss estimation"). NannyML does the same with
//! LightGBM, whose trees are others, so that its numbers are near and not equal.
//!
//! # What it cannot see
//! Both rest on the reference: where the same row means something else now, the estimate stays as it was. Once labels come,
//! the realized metric stands beside the estimate, and a difference beyond chance is a finding.
//!
//! # Memory
//! Every row is kept: a number for each score, 8 bytes for the called class, the label and the time, and for a
//! regression 8 bytes for each feature; up to `max_rows` of each role, and more is an error rather than a sample.
//! Chunks by size and count follow the order of the rows, so that partial states are put together in that order.
//!
//! # False alarms
//! By the rule `budget`, which is the default, a run without any change raises an alarm with a chance of at most `alpha`: over all
//! metrics, chunks and slices, and over what is estimated, what labels gave, and the two differing. Each of these gets an equal part of it
//! (Bonferroni), and the limits are a prediction interval for one more chunk. Rows of a chunk are taken to be independent, and metrics of
//! chunks to be normal on the scale that is made for them (`scale`). NannyML's limits, a mean and three standard
//! deviations whatever the number of chunks and metrics, are the rule `nannyml`.
//!
//! # What cannot be used
//! A score that is missing, infinite or, where those of the reference are chances, not from 0 to 1 is of no use; nor is a class that nobody
//! knows. Such rows are counted and told, the rest is estimated and reported, and no requirement on it is decided: rows are seldom unusable at
//! random. A label that is none of the classes counts as none; where the reference has such labels, or labeled rows of which nothing could be
//! learned, no requirement on what is estimated is decided.
//!
//! # Slices
//! Each slice is estimated like all rows, in the same chunks, with what was learned from all rows, and is held against chunks of its own rows in the
//! reference: one on which the model always did worse is no alarm.
//!
//! # Windows
//! The limits of a chunk come from the chunks of the reference, or by `reference_window` from what labels gave in chunks before it.
//! What was learned of scores and errors is always that of the reference.
//!
//! # Weights
//! Where the data has weights, rows count by them: what is learned, expected and realized is weighted, and sampling errors are those of
//! weighted means, so that a chunk of a few heavy rows is not taken for a large one. How many rows that count alike a chunk is worth (Kish)
//! decides whether it is too small. Chunks by size and count, and slices, are of as many rows whatever these weigh, and the mean and
//! the limits of chunks count each chunk once.

// The macro at the end allows itself the two exported symbols; `forbid` would not let it.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod codes;
mod config;
mod metric;

mod read;
mod rows;

mod classifier;
mod confusion;
mod encoding;
mod estimator;
mod regressor;

mod evaluation;
mod limits;
mod probe;
mod report;
mod report_figures;
mod report_findings;
mod report_metrics;
mod scale;

pub use modelwatch_sdk::{
    cells::ReferenceWindow,
    chunks::{Chunks, Period},
};

pub use crate::{
    config::{Calibration, CellValues, Config, Limits, Rule, Task},
    metric::Metric,
    probe::{Performance, registry},
};

modelwatch_sdk::export_plugin!(registry);
