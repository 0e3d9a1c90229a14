//! Multivariate drift: whether whole rows are distributed as those of the reference, where each column alone may look the same.
//!
//! Where the analyzer `drift` keeps columns, this one keeps rows: a sample of each role that depends on the rows alone. The rows of both
//! samples are encoded together, without regard to which sample they are from, and every test is judged by dealing them out again. So
//! `alpha` bounds false alarms exactly, whatever the columns are and however few rows there are.
//!
//! What is compared are *questions*: the features, each column of lists (an image, an embedding), a layer of the model, its outputs, the
//! label, and whether probabilities come true as often as they did. Several tests answer one question together.
//!
//! Where the data has weights, the rows that are compared are drawn by them, and count alike from then on.

// The macro at the end allows itself the two exported symbols; `forbid` would not let it.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod codes;
mod config;

mod probe;
mod side;
mod table;

mod draw;
mod encode;
mod question;
mod scores;

mod calibration;
mod decision;
mod report;

pub use crate::{
    config::{Config, Scale, Test},
    probe::{Multivariate, registry},
};

modelwatch_sdk::export_plugin!(registry);
