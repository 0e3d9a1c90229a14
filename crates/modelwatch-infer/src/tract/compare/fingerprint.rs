//! A few numbers that tell whether two nodes give the same values.

use std::collections::HashMap;

use tract_onnx::{prelude::TractResult, tract_hir::internal::bail};

use super::super::nodes::{NodeGraph, Outputs, is_number};
use crate::tensor::HostTensor;

/// How many random projections there are. The estimate of a squared distance is off by a factor of about `1 ± √(2/n)`.
const N_PROJECTIONS: usize = 16;
/// The greatest distance, as a share of the norm, at which two nodes are taken for one. Quantization to eight bits stays
/// below it, and what another layer gives does not come near.
const CLOSE: f64 = 0.05;

/// Shapes, norm and random projections of a node's values, whose distances are those of the values
/// (Achlioptas 2003, doi:10.1016/S0022-0000(03)00025-4).
#[derive(Default)]
pub(super) struct Fingerprint {
    shapes: Vec<Vec<usize>>,
    squares: f64,
    projections: [f64; N_PROJECTIONS],
}

impl Fingerprint {
    /// Returns those of some nodes.
    pub(super) fn all(graph: &NodeGraph, rows: Vec<HostTensor>, nodes: &[usize]) -> TractResult<HashMap<usize, Self>> {
        let mut found: HashMap<usize, Self> = HashMap::new();
        graph.run(rows, |id, values| {
            if nodes.contains(&id) {
                found.insert(id, Self::new(values)?);
            }
            Ok(())
        })?;
        match nodes.iter().find(|it| !found.contains_key(it)) {
            Some(it) => bail!("node {it} was not run"),
            None => Ok(found),
        }
    }

    fn new(values: &Outputs) -> TractResult<Self> {
        let mut res = Self::default();
        for value in values {
            res.shapes.push(value.shape().to_vec());
            if !is_number(value) {
                continue;
            }
            let numbers = value.cast_to::<f64>()?;
            for (idx, &it) in numbers.to_plain_array_view::<f64>()?.iter().enumerate() {
                res.squares += it * it;
                let signs = mixed(idx as u64);
                for (at, projection) in res.projections.iter_mut().enumerate() {
                    *projection += if signs >> at & 1 == 0 { it } else { -it };
                }
            }
        }
        Ok(res)
    }

    /// Returns whether the values are nearly the same, and tell something at all.
    pub(super) fn resembles(&self, other: &Self) -> bool {
        let projections = self.projections.iter().zip(&other.projections);
        let distance = projections.map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / N_PROJECTIONS as f64;
        self.shapes == other.shapes && self.squares > 0.0 && distance <= CLOSE * CLOSE * self.squares
    }
}

/// Returns bits that follow from a number and look random (splitmix64).
fn mixed(number: u64) -> u64 {
    let it = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

#[cfg(test)]
mod tests {
    use tract_onnx::prelude::{IntoTValue, tensor1};

    use super::*;

    fn fingerprint(values: &[f32]) -> Fingerprint {
        Fingerprint::new(&[tensor1(values).into_tvalue()].into_iter().collect()).unwrap()
    }

    #[test]
    fn values_resemble_themselves_and_little_else() {
        let wave: Vec<f32> = (0..500).map(|it| (it as f32).sin()).collect();
        let noisy: Vec<f32> = wave.iter().zip(0..).map(|(it, at)| it + 0.02 * (at as f32 * 7.0).cos()).collect();
        let other: Vec<f32> = (0..500).map(|it| (it as f32).cos()).collect();
        let wave_print = fingerprint(&wave);
        assert!(wave_print.resembles(&fingerprint(&wave)) && wave_print.resembles(&fingerprint(&noisy)));
        assert!(!wave_print.resembles(&fingerprint(&other)) && !wave_print.resembles(&fingerprint(&wave[1..])));
    }

    #[test]
    fn nothing_resembles_nothing() {
        let zeros = fingerprint(&[0.0; 8]);
        assert!(!zeros.resembles(&zeros));
        let broken = fingerprint(&[1.0, f32::NAN]);
        assert!(!broken.resembles(&broken));
    }
}
