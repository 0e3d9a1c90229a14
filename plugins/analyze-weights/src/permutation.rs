//! Whether a tensor is another one with its units in another order.

use std::collections::{BTreeMap, VecDeque};

use modelwatch_sdk::TensorView;
use serde::{Deserialize, Serialize};

use crate::{
    decode,
    units::{Axis, KEPT_UNITS},
};

/// Unit `i` of the candidate is unit `from[i]` of the baseline, bit for bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Permutation {
    pub(crate) axis: Axis,
    pub(crate) from: Vec<usize>,
}

impl Permutation {
    /// Returns the permutation of the units along `axis` that turns `old` into `new`, if there is one.
    ///
    /// Both have one shape and type. Above [`KEPT_UNITS`] units it is not looked for.
    pub(crate) fn find(axis: Axis, old: &TensorView<'_>, new: &TensorView<'_>) -> Option<Self> {
        let (n, units) = (old.len(), axis.len(old.shape) as usize);
        if n == 0 || !(2..=KEPT_UNITS).contains(&units) {
            return None;
        }
        let (old_hashes, new_hashes) = (hashes(axis, old, units), hashes(axis, new, units));
        // Units that stayed where they were are not given away to equal ones elsewhere.
        let mut free = BTreeMap::<u64, VecDeque<usize>>::new();
        for unit in (0..units).filter(|&it| old_hashes[it] != new_hashes[it]) {
            free.entry(old_hashes[unit]).or_default().push_back(unit);
        }
        let source = |unit: usize| {
            if old_hashes[unit] == new_hashes[unit] { Some(unit) } else { free.get_mut(&new_hashes[unit])?.pop_front() }
        };
        let from = (0..units).map(source).collect::<Option<Vec<_>>>()?;
        let same = |unit: usize| {
            (0..n / units).all(|k| {
                let (new_idx, old_idx) = (axis.element(unit, k, n, units), axis.element(from[unit], k, n, units));
                decode::bits(new, new_idx) == decode::bits(old, old_idx)
            })
        };
        (0..units).all(same).then_some(Self { axis, from })
    }

    /// Returns how many units moved.
    pub(crate) fn moved(&self) -> usize {
        self.from.iter().enumerate().filter(|(unit, from)| unit != *from).count()
    }

    /// Returns `k` where unit `i` is the baseline's unit `i + k`, counted around.
    pub(crate) fn rotation(&self) -> Option<usize> {
        let n = self.from.len();
        let first = *self.from.first()?;
        self.from.iter().enumerate().all(|(unit, &from)| from == (unit + first) % n).then_some(first)
    }
}

/// A hash of the bits of each unit (FNV-1a over elements).
fn hashes(axis: Axis, tensor: &TensorView<'_>, units: usize) -> Vec<u64> {
    let n = tensor.len();
    let mut res = vec![0xcbf2_9ce4_8422_2325_u64; units];
    for idx in 0..n {
        let it = &mut res[axis.unit(idx, n, units)];
        *it = (*it ^ decode::bits(tensor, idx)).wrapping_mul(0x0100_0000_01b3);
        *it ^= *it >> 29;
    }
    res
}
