//! The settings of each detector, as they are written; names and defaults are those of the field.

use modelwatch_sdk::JsonSchema;
use modelwatch_stats::online::{AdwinSettings, DdmSettings, EddmSettings, PageHinkleySettings};
use serde::Deserialize;

/// Of `adwin`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdwinOptions {
    /// The chance of a false alarm per look.
    pub delta: f64,
    /// Every so many values it looks.
    #[schemars(range(min = 1))]
    pub clock: u64,
    /// How many buckets of one size there are before two are joined.
    #[schemars(range(min = 1, max = 1000))]
    pub max_buckets: u64,
    /// The least values on either side of a cut.
    #[schemars(range(min = 1))]
    pub min_window_length: u64,
    /// With as many values or fewer, it does not look.
    pub grace_period: u64,
}

/// Of `ddm`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DdmOptions {
    /// How many values come before the first decision.
    pub warm_start: u64,
    /// From how many deviations above the least error rate on it warns.
    pub warning_threshold: f64,
    /// From how many deviations above the least error rate on it is a change.
    pub drift_threshold: f64,
}

/// Of `eddm`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EddmOptions {
    /// How many values, and how many errors, come before the first decision.
    pub warm_start: u64,
    /// Below which share of the greatest distance between errors it warns.
    pub alpha: f64,
    /// Below which share of the greatest distance between errors it is a change.
    pub beta: f64,
}

/// Of `hddm-a`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HddmAOptions {
    /// The chance of a false change per look.
    pub drift_confidence: f64,
    /// The chance of a false warning per look.
    pub warning_confidence: f64,
}

/// Of `hddm-w`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HddmWOptions {
    /// The chance of a false change per look.
    pub drift_confidence: f64,
    /// The chance of a false warning per look.
    pub warning_confidence: f64,
    /// The weight of the newest value.
    pub lambda: f64,
}

/// Of `page-hinkley`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PageHinkleyOptions {
    /// How many values come before the first decision.
    pub min_instances: u64,
    /// How much of a deviation from the mean is ignored.
    pub delta: f64,
    /// From which sum of deviations on it is a change.
    pub threshold: f64,
    /// By which factor older deviations fade with each value.
    pub alpha: f64,
}

/// Of `kswin`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KswinOptions {
    /// The level of each test.
    pub alpha: f64,
    /// How many values are kept.
    #[schemars(range(min = 2, max = 100_000))]
    pub window_size: u64,
    /// How many of them, the newest, are held against the others.
    #[schemars(range(min = 1))]
    pub stat_size: u64,
}

/// Of `cusum`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CusumOptions {
    /// The mean where nothing has changed; without it that of the first values, and after each change of those after it.
    pub mean: Option<f64>,
    /// The standard deviation where nothing has changed; without it as the mean.
    pub deviation: Option<f64>,
    /// How many standard deviations of a shift are ignored; half of the shift that should be found. Without a mean, it is less than what a
    /// value beyond all of the first ones counts for, 2.58 for `warm_up = 100`.
    pub slack: f64,
    /// From how many standard deviations on a sum is a change.
    pub threshold: f64,
}

impl Default for AdwinOptions {
    fn default() -> Self {
        let AdwinSettings { delta, clock, max_buckets, min_window_length, grace_period, .. } = AdwinSettings::PAPER;
        Self { delta, clock, max_buckets: max_buckets as u64, min_window_length, grace_period }
    }
}

impl Default for DdmOptions {
    fn default() -> Self {
        let DdmSettings { warm_start, warning_threshold, drift_threshold } = DdmSettings::PAPER;
        Self { warm_start, warning_threshold, drift_threshold }
    }
}

impl Default for EddmOptions {
    fn default() -> Self {
        let EddmSettings { warm_start, alpha, beta } = EddmSettings::PAPER;
        Self { warm_start, alpha, beta }
    }
}

impl Default for HddmAOptions {
    fn default() -> Self {
        Self { drift_confidence: 0.001, warning_confidence: 0.005 }
    }
}

impl Default for HddmWOptions {
    fn default() -> Self {
        Self { drift_confidence: 0.001, warning_confidence: 0.005, lambda: 0.05 }
    }
}

impl Default for PageHinkleyOptions {
    fn default() -> Self {
        let PageHinkleySettings { min_rows, delta, threshold, alpha } = PageHinkleySettings::PAPER;
        Self { min_instances: min_rows, delta, threshold, alpha }
    }
}

impl Default for KswinOptions {
    fn default() -> Self {
        Self { alpha: 0.005, window_size: 100, stat_size: 30 }
    }
}

impl Default for CusumOptions {
    fn default() -> Self {
        Self { mean: None, deviation: None, slack: 0.5, threshold: 5.0 }
    }
}
