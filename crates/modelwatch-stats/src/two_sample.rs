//! Two-sample tests, distances between distributions, and the binning they need.
//!
//! Samples come as points `(value, count)` in ascending order of value, or as one non-negative weight per bin or category.
//! Weights need not sum to one: every distance scales them first.
//! Empty input, NaN and unsorted points are [`Undefined`](crate::Undefined); infinities are allowed in rank statistics only.

mod binning;
mod contingency;
mod distances;
mod kolmogorov;
mod ks;

pub use binning::{BinCounts, BinRule, Values, bin_edges, count_into};
pub use contingency::{ChiSquared, Yates, chi2_contingency, chi2_contingency_with, cramers_v};
pub use distances::{
    LogBase, ZeroFill, fill_zeros, hellinger, jensen_shannon, kl, linf, proportions, psi, total_variation, wasserstein,
};
pub use kolmogorov::kolmogorov_sf;
pub use ks::{EXACT_LIMIT, ks, ks_asymptotic, ks_statistic};

/// A statistic and its p-value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The statistic.
    pub statistic: f64,
    /// The probability, under no difference, of a statistic at least as extreme.
    pub p_value: f64,
}
