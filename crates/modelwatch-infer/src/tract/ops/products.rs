//! `Gemm` of any precision, and `MatMulInteger` of vectors.
//!
//! tract multiplies what a `Gemm` adds by numbers of single precision, whatever the others are, and takes a vector of integers for a
//! matrix with the other rank.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{OutletId, TVec, TractResult, TypedModel, tensor0, tvec},
    tract_core::{
        axes::AxesMapping,
        ops::{change_axes::AxisOp, einsum::EinSum},
    },
    tract_hir::{
        internal::{SpecialOps, ensure},
        ops::math,
    },
};

use super::Built;
use crate::tract::{
    attributes::{float, int},
    wired::{of_tract, wired},
};

/// A product of matrices, and what is added to it.
#[derive(Clone, Copy, Debug)]
struct Gemm {
    alpha: f32,
    beta: f32,
    transposed: [bool; 2],
}

pub(super) fn gemm(_context: &ParsingContext, node: &NodeProto) -> Built {
    let flag = |name: &str| int(node, name).unwrap_or(0) != 0;
    let gemm = Gemm {
        alpha: float(node, "alpha").unwrap_or(1.0),
        beta: float(node, "beta").unwrap_or(1.0),
        transposed: [flag("transA"), flag("transB")],
    };
    Ok((wired("Gemm", &[], move |prefix, model, inputs| gemm.wire(prefix, model, inputs)), vec![]))
}

impl Gemm {
    fn wire(self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        ensure!(matches!(inputs.len(), 2 | 3), "{} inputs where there should be 2 or 3", inputs.len());
        for it in &inputs[..2] {
            let rank = model.outlet_fact(*it)?.rank();
            ensure!(rank == 2, "matrices are multiplied, and one has the rank {rank}");
        }
        let [a, b] = self.transposed;
        let op = EinSum::new(AxesMapping::for_numpy_matmul(2, a, b, false)?, model.outlet_fact(inputs[0])?.datum_type);
        let mut res = model.wire_node(format!("{prefix}.ab"), op, &inputs[..2])?[0];
        res = scaled(&format!("{prefix}.alpha_ab"), model, res, self.alpha)?;
        let Some(added) = inputs.get(2).filter(|_| self.beta != 0.0) else { return Ok(tvec!(res)) };
        let mut added = *added;
        for rank in model.outlet_fact(added)?.rank()..2 {
            added = model.wire_node(format!("{prefix}.c_add_axis_{rank}"), AxisOp::Add(0), &[added])?[0];
        }
        added = scaled(&format!("{prefix}.beta_c"), model, added, self.beta)?;
        model.wire_node(prefix, math::add(), &[res, added])
    }
}

/// Multiplies a matrix by a number in its own type.
fn scaled(name: &str, model: &mut TypedModel, matrix: OutletId, factor: f32) -> TractResult<OutletId> {
    if factor == 1.0 {
        return Ok(matrix);
    }
    let dtype = model.outlet_fact(matrix)?.datum_type;
    ensure!(dtype.is_float() || factor.fract() == 0.0, "a product of integers is multiplied by {factor}");
    let factor = tensor0(factor).cast_to_dt(dtype)?.into_owned().broadcast_into_rank(2)?;
    let factor = model.add_const(format!("{name}.cst"), factor)?;
    Ok(model.wire_node(name, math::mul(), &[factor, matrix])?[0])
}

/// A vector is a row on the left and a column on the right, which is no axis of the product.
pub(super) fn of_integers(context: &ParsingContext, node: &NodeProto) -> Built {
    let of_matrices = of_tract(context, node)?;
    let wire = move |prefix: &str, model: &mut TypedModel, inputs: &[OutletId]| {
        ensure!(inputs.len() > 1, "{} inputs where there should be 2", inputs.len());
        let ranks = [model.outlet_fact(inputs[0])?.rank(), model.outlet_fact(inputs[1])?.rank()];
        ensure!(ranks.iter().all(|it| *it > 0), "a scalar is no matrix");
        let mut inputs: TVec<OutletId> = inputs.into();
        for (idx, name) in [(0, "row"), (1, "column")] {
            if ranks[idx] == 1 {
                inputs[idx] = model.wire_node(format!("{prefix}.{name}"), AxisOp::Add(idx), &[inputs[idx]])?[0];
            }
        }
        if ranks.iter().all(|it| *it > 1) {
            return of_matrices.wire(prefix, model, &inputs);
        }
        let mut res = of_matrices.wire(&format!("{prefix}.matrix"), model, &inputs)?;
        let rank = ranks[0].max(ranks[1]).max(2);
        // From behind, so that what is left keeps its place.
        for (idx, axis, name) in [(1, rank - 1, "without_column"), (0, rank - 2, "without_row")] {
            if ranks[idx] == 1 {
                res = model.wire_node(format!("{prefix}.{name}"), AxisOp::Rm(axis), &res)?;
            }
        }
        Ok(res)
    };
    Ok((wired("MatMulInteger", &[], wire), vec![]))
}
