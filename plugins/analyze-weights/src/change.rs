//! What changed between the baseline's tensor and the candidate's of the same name.

use modelwatch_sdk::{DType, Host, Result, TensorView, report::float};
use modelwatch_stats::change::{self, ChangeSums};
use serde::{Deserialize, Serialize};

use crate::{config::KEPT_FLIPS, decode, permutation::Permutation, units::Axis};

/// The change of a tensor whose shape stayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// Elements that differ: in a bit, or in value where the types differ.
    pub(crate) changed: u64,
    /// ‖Δ‖₂; NaN with an element that is not finite.
    #[serde(with = "float")]
    pub(crate) delta_l2: f64,
    /// ‖w‖₂ of the baseline.
    #[serde(with = "float")]
    pub(crate) old_l2: f64,
    /// max |Δ|; NaN with an element that is not finite.
    #[serde(with = "float")]
    pub(crate) max_delta: f64,
    /// The cosine of old and new; NaN where either is all zero.
    #[serde(with = "float")]
    pub(crate) cosine: f64,
    /// The first few changed elements; only of tensors of one type.
    pub(crate) first: Vec<ElementChange>,
    /// The axes along which the units only moved.
    pub(crate) permutations: Vec<Permutation>,
}

/// An element that changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ElementChange {
    pub(crate) index: u64,
    #[serde(with = "float")]
    pub(crate) old: f64,
    #[serde(with = "float")]
    pub(crate) new: f64,
    /// The bit, where exactly one differs; 0 is the lowest.
    pub(crate) bit: Option<u32>,
}

impl Change {
    /// Compares two tensors of one shape.
    pub(crate) fn between(host: &dyn Host, old: &TensorView<'_>, new: &TensorView<'_>) -> Result<Self> {
        let same_type = old.dtype == new.dtype;
        let wide = decode::wide(old.dtype).filter(|_| same_type);
        let mut sums = ChangeSums::default();
        let mut first = Vec::new();
        decode::chunk_pairs(host, old, new, |start, old_values, new_values| {
            for (offset, (&before, &after)) in old_values.iter().zip(new_values).enumerate() {
                let idx = start + offset;
                let xor = if same_type { decode::bits(old, idx) ^ decode::bits(new, idx) } else { 0 };
                match wide {
                    Some(read) => sums.add_integers(read(decode::bits(old, idx)), read(decode::bits(new, idx))),
                    None => sums.add(before, after, if same_type { xor != 0 } else { before != after }),
                }
                if xor != 0 && first.len() < KEPT_FLIPS {
                    let bit = (xor.count_ones() == 1).then(|| xor.trailing_zeros());
                    first.push(ElementChange { index: idx as u64, old: before, new: after, bit });
                }
            }
        })?;
        let axes: &[Axis] = if old.shape.len() < 2 { &[Axis::First] } else { &Axis::BOTH };
        let permutations = if same_type && sums.changed() > 1 {
            axes.iter().filter_map(|&axis| Permutation::find(axis, old, new)).collect()
        } else {
            Vec::new()
        };
        let change::Change { changed, delta_l2, old_l2, max_delta, cosine, .. } = sums.finish();
        Ok(Self { changed, delta_l2, old_l2, max_delta, cosine, first, permutations })
    }

    /// Returns ‖Δ‖ / ‖w‖; 0 for an unchanged tensor, infinite for one that was all zero,
    /// NaN where an element is not finite.
    pub(crate) fn relative(&self) -> f64 {
        match self.changed {
            0 => 0.0,
            _ if self.old_l2.is_finite() => self.delta_l2 / self.old_l2,
            _ => f64::NAN,
        }
    }

    pub(crate) fn permutation(&self, axis: Axis) -> Option<&Permutation> {
        self.permutations.iter().find(|it| it.axis == axis)
    }
}

/// Returns whether a bit of that type is its sign or in its exponent.
pub(crate) fn is_high_bit(dtype: &str, bit: u32) -> bool {
    match DType::parse(dtype) {
        Some(DType::F16) => bit >= 10,
        Some(DType::Bf16) => bit >= 7,
        Some(DType::F32) => bit >= 23,
        Some(DType::F64) => bit >= 52,
        _ => false,
    }
}
