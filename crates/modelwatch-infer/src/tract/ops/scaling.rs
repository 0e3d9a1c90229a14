//! `Scaler` and `Normalizer`.

use tract_onnx::{
    pb::NodeProto,
    prelude::{DatumType, TractResult},
    tract_hir::internal::bail,
};

use crate::tract::attributes::{floats, text};

/// `(x - offset) * scale`, with one pair for all features or one for each, in the precision of the features: integers have the single one.
#[derive(Clone, Debug)]
pub(super) struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Scaler {
    pub(super) fn parse(node: &NodeProto) -> TractResult<Self> {
        let (offset, scale) = (floats(node, "offset").to_vec(), floats(node, "scale").to_vec());
        if offset.is_empty() || scale.is_empty() {
            bail!("node `{}` (Scaler) needs `offset` and `scale`", node.name);
        }
        Ok(Self { offset, scale })
    }

    pub(super) fn apply(&self, row: &[f64], of: DatumType, out: &mut Vec<f32>) -> TractResult<()> {
        let n = row.len();
        if [&self.offset, &self.scale].into_iter().any(|it| it.len() != 1 && it.len() < n) {
            let (n_offsets, n_scales) = (self.offset.len(), self.scale.len());
            bail!("a Scaler has {n_offsets} offsets and {n_scales} scales for {n} features");
        }
        let is_double = of == DatumType::F64;
        let scaled = |value: f64, offset: f32, scale: f32| {
            if is_double {
                return ((value - f64::from(offset)) * f64::from(scale)) as f32;
            }
            (value as f32 - offset) * scale
        };
        match (&*self.offset, &*self.scale) {
            (&[offset], &[scale]) => out.extend(row.iter().map(|it| scaled(*it, offset, scale))),
            (&[offset], scales) => out.extend(row.iter().zip(scales).map(|(it, scale)| scaled(*it, offset, *scale))),
            (offsets, &[scale]) => out.extend(row.iter().zip(offsets).map(|(it, offset)| scaled(*it, *offset, scale))),
            (offsets, scales) => {
                let pairs = offsets.iter().zip(scales);
                out.extend(row.iter().zip(pairs).map(|(it, (offset, scale))| scaled(*it, *offset, *scale)));
            }
        }
        Ok(())
    }
}

/// What a row is divided by; rows where that is zero stay as they are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Norm {
    Max,
    L1,
    L2,
}

impl Norm {
    pub(super) fn parse(node: &NodeProto) -> TractResult<Self> {
        Ok(match text(node, "norm").unwrap_or("MAX") {
            "MAX" => Self::Max,
            "L1" => Self::L1,
            "L2" => Self::L2,
            other => bail!("node `{}` (Normalizer) has the unknown norm {other:?}", node.name),
        })
    }

    pub(super) fn apply(self, row: &[f64], out: &mut Vec<f32>) {
        let norm = match self {
            Self::Max => row.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Self::L1 => row.iter().map(|it| it.abs()).sum(),
            Self::L2 => row.iter().map(|it| it * it).sum::<f64>().sqrt(),
        };
        let norm = if norm == 0.0 { 1.0 } else { norm };
        out.extend(row.iter().map(|it| (it / norm) as f32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_divide_as_onnx_says() {
        for (norm, expected) in [(Norm::Max, [3.0, -4.0]), (Norm::L1, [3.0 / 7.0, -4.0 / 7.0]), (Norm::L2, [0.6, -0.8])]
        {
            let mut out = Vec::new();
            let scale = if matches!(norm, Norm::Max) { 3.0 } else { 1.0 };
            norm.apply(&[3.0, -4.0], &mut out);
            assert_eq!(out, expected.map(|it: f64| (it / scale) as f32), "{norm:?}");
        }
        let mut out = Vec::new();
        Norm::L2.apply(&[0.0, 0.0], &mut out);
        assert_eq!(out, [0.0, 0.0]);
    }
}
