//! The options, all with documented defaults.

use modelwatch_sdk::{Error, JsonSchema, Result};
use serde::Deserialize;

/// Looks for broken, dead, flipped, permuted and disproportionately changed weights in a checkpoint.
///
/// With a baseline it also says what changed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The greatest magnitude of the model's inputs; whether first-layer units can fire depends on it.
    pub input_bound: f64,
    /// The name prefix of the first layer (`digits_cnn.conv1`); without it, the layer is used whose input
    /// width no other layer produces, if there is exactly one.
    pub first_layer: Option<String>,
    /// The ratio of the greatest |w| of a tensor to the median of its non-zero |w| above which it is an error.
    pub max_outlier_ratio: f64,
    /// The |w| above which it is an error: the square of a greater one nears the range of `f32`.
    pub max_magnitude: f64,
    /// The |w| up to which an element counts as near zero.
    pub near_zero: f64,
    /// The number of changed elements of a tensor up to which each is looked at for a flipped bit; at most 8.
    pub max_flipped: u64,
    /// The relative change of one layer above which it is an error where every other tensor is unchanged.
    pub max_lone_change: f64,
    /// The robust z of log relative change, among tensors of the same kind, above which it is a warning.
    pub max_change_z: f64,
    /// The relative change below which a tensor is never out of proportion.
    pub min_disproportion: f64,
    /// The growth of a matrix's L2 norm above which it is a warning.
    pub max_norm_growth: f64,
    /// The shift of a bias's mean, over the range of its values in the baseline, above which it is a warning.
    pub max_bias_shift: f64,
    /// The share of elements at the greatest magnitude above which a tensor counts as clipped.
    pub max_saturated_share: f64,
    /// How many tensors have metrics of their own; the others are counted in the overall metrics only.
    pub max_tensors: usize,
    /// Name prefixes of tensors that are left out.
    pub ignore: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            input_bound: 1.0,
            first_layer: None,
            max_outlier_ratio: 1e6,
            max_magnitude: 1e18,
            near_zero: 1e-8,
            max_flipped: 4,
            max_lone_change: 1.0,
            max_change_z: 6.0,
            min_disproportion: 0.5,
            max_norm_growth: 10.0,
            max_bias_shift: 10.0,
            max_saturated_share: 0.01,
            max_tensors: 500,
            ignore: Vec::new(),
        }
    }
}

/// The most changed elements that a summary keeps.
pub(crate) const KEPT_FLIPS: usize = 8;

impl Config {
    pub(crate) fn validated(self) -> Result<Self> {
        let positive = [
            ("/input_bound", self.input_bound),
            ("/max_outlier_ratio", self.max_outlier_ratio),
            ("/max_magnitude", self.max_magnitude),
            ("/max_lone_change", self.max_lone_change),
            ("/max_change_z", self.max_change_z),
            ("/max_norm_growth", self.max_norm_growth),
            ("/max_bias_shift", self.max_bias_shift),
        ];
        for (path, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::config(path, format!("`{}` must be above 0, got {value}", &path[1..])));
            }
        }
        for (path, value) in [("/near_zero", self.near_zero), ("/min_disproportion", self.min_disproportion)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::config(path, format!("`{}` must not be negative, got {value}", &path[1..])));
            }
        }
        if !(self.max_saturated_share > 0.0 && self.max_saturated_share <= 1.0) {
            let message =
                format!("`max_saturated_share` must be above 0 and at most 1, got {}", self.max_saturated_share);
            return Err(Error::config("/max_saturated_share", message));
        }
        if self.max_flipped > KEPT_FLIPS as u64 {
            let message = format!("`max_flipped` must be at most {KEPT_FLIPS}, got {}", self.max_flipped);
            return Err(Error::config("/max_flipped", message));
        }
        Ok(self)
    }

    pub(crate) fn is_ignored(&self, name: &str) -> bool {
        self.ignore.iter().any(|it| name.starts_with(it.as_str()))
    }
}
