//! Agreement with SciPy, scikit-learn and the drift tools on the conformance fixtures.
//!
//! Every answer that differs is listed with its reason, and nothing else may differ.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // The tables are meant to be seen.

mod fixtures;
mod formulas;
mod multivariate;
mod online;
mod peers;
mod predictions;
mod table;
mod univariate;
