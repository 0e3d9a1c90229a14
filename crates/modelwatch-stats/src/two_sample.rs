//! Two-sample tests, distances between distributions, and the binning they need.
//!
//! Samples come as points `(value, count)` in ascending order of value, or as one non-negative weight per bin or category.
//! Weights need not sum to one: every distance scales them first.
//! Empty input, NaN and unsorted points are [`Undefined`](crate::Undefined); infinities are allowed in rank statistics only.

mod anderson_darling;
mod binning;
mod category_omnibus;
mod contingency;
mod cramer_von_mises;
mod discrepancy;
mod distances;
mod effect;
mod epps_singleton;
mod kolmogorov;
mod ks;
mod kuiper;
mod levels;
mod omnibus;
mod one_sided;
mod permuted;
mod pooled_epps_singleton;
mod ranks;
mod scores;
mod shape;
mod student;
pub(crate) mod tails;
mod tied;
mod two_by_two;
mod variation;
mod winsorize;

pub use anderson_darling::anderson_darling;
pub use binning::{BinCounts, BinRule, Values, bin_edges, count_into};
pub use category_omnibus::{category_omnibus, dealt_test, least_category_p, least_dealt_p};
pub use contingency::{ChiSquared, Yates, chi2_contingency, chi2_contingency_with, cramers_v, g_test, homogeneity};
pub(crate) use cramer_von_mises::RankSquares;
pub use cramer_von_mises::{CramerVonMises, cramer_von_mises, cramer_von_mises_tied};
pub use discrepancy::discrepancy;
pub use distances::{
    LogBase, ZeroFill, energy, fill_zeros, hellinger, jensen_shannon, kl, linf, proportions, psi, standard_deviation,
    total_variation, wasserstein, wasserstein_normed, wasserstein_of,
};
pub use effect::{CellDistance, Effect, cell_effect, ks_effect, ks_effect_of, wasserstein_effect};
pub use epps_singleton::epps_singleton;
pub use kolmogorov::kolmogorov_sf;
pub use ks::{EXACT_LIMIT, ks, ks_asymptotic, ks_statistic};
pub use kuiper::kuiper;
pub use levels::Levels;
pub use omnibus::{Leading, Omnibus, omnibus, omnibus_of};
pub use one_sided::one_sided_rows;
pub use permuted::PermutedChi2;
pub use pooled_epps_singleton::epps_singleton_pooled;
pub use ranks::{Alternative, MannWhitney, mann_whitney, mood};
pub use student::{skewness_of_difference, student_t, welch_t};
pub use two_by_two::{Shares, fisher_exact, fisher_exact_greater, z_test};
pub use variation::{chance_variation, variation_interval};
pub use winsorize::{robust_deviation, winsorize};

/// Returns the sum of counts, rounded beyond 2^53.
fn total(counts: &[u64]) -> f64 {
    counts.iter().map(|&it| it as f64).sum()
}

/// Returns how many rows counts are of, or the greatest number.
fn n_rows(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum: u64, it| sum.saturating_add(*it))
}

/// A statistic and its p-value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The statistic.
    pub statistic: f64,
    /// The probability, under no difference, of a statistic at least as extreme.
    pub p_value: f64,
}
