//! Drift: whether columns and predictions of the current rows are distributed as those of the reference.
//!
//! A column is called drifted only where the difference is both significant, after a correction for
//! the number of columns, and large enough to matter. What cannot be compared (too few rows, another
//! type, a method that needs more than a stored profile has) is a gap or a finding, never "no drift".
//!
//! Current rows can be cut into chunks of time, each compared with a window of reference rows or earlier chunks, and into slices. All
//! of a run is one family of tests.
//!
//! Where the data has weights, rows count by them: shares and moments are weighted ones, and each column is tested as so many rows that
//! count alike as it is worth, so that a few heavy rows are not taken for many. Of chunks and slices, where windows are small and this
//! matters most, no metric says how many these are. Unseen categories are counted by rows, and
//! methods of other tools, which know no weights, have no answer. A stored profile has none.
//!
//! There is no multivariate drift here, and there are no chunks by size or count: these follow the order of the rows, and the state
//! does not.

// The macro at the end allows itself the two exported symbols; `forbid` would not let it.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod budget;
mod codes;
mod config;
mod method;

mod side;
mod weights;

mod bins;
mod comparison;
mod comparison_categorical;
mod comparison_numeric;
mod cumulative;
mod decision;
mod further;
mod scores;

mod series;

mod probe;
mod report;
mod report_figures;
mod report_findings;
mod report_metrics;

pub use modelwatch_sdk::{
    cells::ReferenceWindow,
    chunks::{Chunks, Period},
};

pub use crate::{
    config::{Config, Correction, FalseAlarmBudget, MinEffect},
    method::Method,
    probe::{Drift, registry},
};

modelwatch_sdk::export_plugin!(registry);
