//! Quality of data: what is wrong with columns, rows and labels, and what leaks from the reference into the current rows.
//!
//! One pass keeps a bounded state per role, and everything is judged at the end. Every column gets an answer: what cannot be looked at
//! (a nested column's numbers, categories beyond the cap) is a gap that says so, never a column that is left out.
//!
//! The rows can be cut into chunks of time and slices. Then single columns are judged in each as well, against what the chunk or slice is compared
//! with.
//!
//! A row counts once, whatever its weight: what is wrong with a row is wrong with it. There is no drift of distributions here (`drift` has it), nothing is repaired, and no clock is read: how old data may be is held
//! against a time that the pipeline gives.

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
mod times;

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
