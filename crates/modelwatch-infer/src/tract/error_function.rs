//! The error function of half and single precision, which loses all digits near 0 in the form that tract has.

use std::f32::consts::FRAC_2_SQRT_PI;

use pulp::{Arch, Simd, WithSimd};
use tract_onnx::{
    prelude::{DatumType, IntoTValue, IntoTensor, TValue, TVec, TractResult, TypedFact, TypedModel, tvec},
    tract_core::{
        model::TypedModelPatch,
        ops::{element_wise::ElementWiseOp, math::Erf, nn::gelu_exact::detect_gelu_exact},
    },
    tract_hir::internal::{
        AxesMapping, AxisChangeConsequence, AxisOp, EvalContext, EvalOp, InOut, Op, StaticName, TypedNode, TypedOp,
        as_op, op_as_typed_op, op_out_of_plan,
    },
};

/// From here on, the function is 1 in single precision.
const LARGEST: f32 = 4.0;
/// The quotient of the function and its argument is that of two polynomials of the square of the argument, from the least power on.
///
/// Both are fitted to `scipy.special.erf` by least squares of the relative error, each weighed by the quotient that was found before
/// (Sanathanan and Koerner, "Transfer function synthesis as a ratio of two complex polynomials", 1963). What is computed in single
/// precision is off by less than 4e-7 of the function.
#[rustfmt::skip]
const NUMERATOR: [f32; 7] = [
    FRAC_2_SQRT_PI, 0.207_118_1, 0.051_523_913, 0.003_990_266, 0.000_147_279_12, -1.942_288e-6, 1.911_112e-8,
];
const DENOMINATOR: [f32; 5] = [1.0, 0.516_884_86, 0.117_967_77, 0.014_957_448, 0.001_021_038_4];

/// The error function of each number. A NaN stays one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ErrorFunction;

impl ErrorFunction {
    /// Returns what takes the place of a node that has few digits; double precision has a function of its own.
    pub(super) fn of(node: &TypedNode) -> Option<Self> {
        let ElementWiseOp(op, _) = node.op_as()?;
        let is_it = op.is::<Erf>() && matches!(node.outputs[0].fact.datum_type, DatumType::F16 | DatumType::F32);
        is_it.then_some(Self)
    }
}

#[inline(always)]
fn at(x: f32) -> f32 {
    let x = x.clamp(-LARGEST, LARGEST);
    let square = x * x;
    let of = |polynomial: &[f32]| polynomial.iter().rev().fold(0.0, |acc, it| acc * square + it);
    (x * of(&NUMERATOR) / of(&DENOMINATOR)).clamp(-1.0, 1.0)
}

/// Computes in place, by the widest instructions that the processor has.
struct InPlace<'a>(&'a mut [f32]);

impl WithSimd for InPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        self.0.iter_mut().for_each(|it| *it = at(*it));
    }
}

impl Op for ErrorFunction {
    fn name(&self) -> StaticName {
        "Erf".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ErrorFunction {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = inputs.remove(0);
        let dtype = input.datum_type();
        let mut res = input.into_tensor().cast_to::<f32>()?.into_owned();
        Arch::new().dispatch(InPlace(res.try_as_plain_ram_mut()?.as_slice_mut()?));
        Ok(tvec!(res.cast_to_dt(dtype)?.into_owned().into_tvalue()))
    }
}

impl TypedOp for ErrorFunction {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    fn axes_mapping(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        AxesMapping::natural(inputs, outputs)
    }

    fn change_axes(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        _io: InOut,
        change: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        Ok(Some(AxisChangeConsequence::new(model, node, None, change)))
    }

    /// What tract makes of a Gelu has the digits that the sum with 1 leaves, in one step.
    fn declutter(&self, model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
        detect_gelu_exact(model, node)
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_digits_of_single_precision_are_right() {
        let near_zero = (1..4_000).map(|it| (f32::from(it as i16) * -0.015).exp2());
        let all = near_zero.chain((1..=6_000).map(|it| f32::from(it as i16) * 1e-3));
        for x in all {
            let wanted = libm::erf(x.into());
            for (x, wanted) in [(x, wanted), (-x, -wanted)] {
                let far = (f64::from(at(x)) - wanted).abs() / wanted.abs();
                assert!(far < 4.5e-7, "erf({x}) is {}, not {wanted}", at(x));
            }
        }
        assert_eq!([0.0, 9.0, f32::INFINITY, f32::NEG_INFINITY].map(at), [0.0, 1.0, 1.0, -1.0]);
        assert!(at(f32::NAN).is_nan());
    }
}
