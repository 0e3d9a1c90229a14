//! Quality of data: what is wrong with columns, rows and labels, and what leaks from the reference into the current rows.
//!
//! One pass keeps a bounded state per role, and everything is judged at the end. Every column gets an answer: what cannot be looked at
//! (a nested column's numbers, categories beyond the cap) is a gap that says so, never a column that is left out.
//!
//! The rows can be cut into chunks of time and slices. Then single columns are judged in each as well, against what the chunk or slice is compared
//! with.
//!
//! Where the data has weights, shares are those of the rows' weight: of what is missing, not finite, zero, negative, outside of written bounds,
//! unexpected or unseen, and of classes; so are correlations and predictive power. How far a share may be from another by chance follows
//! from how many rows that count alike it is worth, by its linearized variance (`modelwatch_stats::weights`). What is wrong with a row is
//! wrong with it, whatever it weighs: findings about single values, how many rows there are, ranges, quantiles, texts, outliers, repeated
//! rows, conflicting labels, freshness and leakage count each row once. Where any row of either role has no weight, or all of a
//! role weigh nothing, every row of both counts once, in all chunks and slices, so that no share by weight is held against one of rows.
//!
//! A stored profile of the reference stands in for its rows as far as single columns go; the rest is a gap.
//!
//! There is no drift of distributions here (`drift` has it), nothing is repaired, and no clock is read: how old data may be is held against
//! a time that the pipeline gives.

// The macro at the end allows itself the two exported symbols; `forbid` would not let it.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod codes;
mod config;
mod limits;
mod row_options;
mod rule;
mod settings;
mod time;

mod column;
mod identity;
mod kind;
mod names;
mod numbers;
mod profile;
mod rows;
mod stored;
mod times;
mod weighed;

mod context;
mod label;
mod leakage;
mod outlier_rows;
mod pairs;
mod parts;
mod repeated;
mod row_scores;
mod row_table;
mod schema;
mod table;
mod texts;
mod values;
mod written;

mod figures;
mod probe;

pub use crate::{
    config::{Config, Freshness},
    limits::Limits,
    probe::{Quality, registry},
    row_options::{OutlierMethod, OutlierRows},
    rule::{Bound, ColumnRule},
};

modelwatch_sdk::export_plugin!(registry);
