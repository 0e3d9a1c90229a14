//! Agreement with SciPy, scikit-learn, Evidently and NannyML on the conformance fixtures.
//!
//! Every answer that differs is listed with its reason, and nothing else may differ.

#![allow(clippy::unwrap_used)]

mod fixtures;
mod predictions;
mod univariate;
