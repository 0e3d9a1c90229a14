//! What is kept of a dataset: one mergeable state per column.
//!
//! A [`Profile`] is made of batches, merges with others, and is written as bytes that depend on the rows alone, not on their order, on
//! how they were cut into parts, or on the order of merges. Everything about a column that compares it with others reads
//! this: an analyzer that sees rows makes one of them, and one that is given a stored profile ([`file`](mod@file)) in place of reference rows
//! reads it ([`stored`]) and cannot tell the two apart, but for what the stored one does not keep.
//!
//! No file is opened here, and nothing is compared.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod predictor;
mod profile;
mod settings;

mod multiples;

mod column;
mod numeric;
mod tensor;

mod categories;
mod wide;

mod description;
mod pattern;
mod times;

pub mod file;
pub mod stored;

pub use crate::{
    column::{Body, Column},
    description::Description,
    multiples::Multiples,
    numeric::{Numeric, Paired, pair},
    predictor::Predictor,
    profile::{Group, Key, Profile},
    settings::Settings,
    tensor::Tensor,
};
