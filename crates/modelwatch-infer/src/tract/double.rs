//! Functions of single numbers, computed in double precision: of numbers that have it, where tract has none, and those that overflow
//! or lose all digits in the form that tract has.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2};

use tract_onnx::{
    prelude::{DatumType, IntoTValue, IntoTensor, TValue, TVec, TractResult, TypedFact, tvec},
    tract_core::ops::{
        element_wise::ElementWiseOp,
        math::{Acosh, Asinh, Erf, RoundHalfToEven},
        nn::{HardSwish, LeakyRelu, Sigmoid},
    },
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, TypedNode, TypedOp, as_op, bail, f16, op_as_typed_op, op_out_of_plan,
    },
};

/// The root of 2 / π.
const ROOT_OF_2_BY_PI: f64 = 0.797_884_560_802_865_4;

/// A function that is computed in double precision, whatever that of the numbers is. A NaN stays one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Double {
    Sigmoid,
    HardSwish,
    /// With the slope of what is negative.
    LeakyRelu(f64),
    Erf,
    /// What the error function lacks to 1.
    Erfc,
    Round,
    /// The area functions, in which tract adds a large number to itself.
    Asinh,
    Acosh,
    /// The logarithm of 1 and the exponential.
    Softplus,
    /// The number times the hyperbolic tangent of its softplus.
    Mish,
    /// The approximation of the number times the normal distribution function by a hyperbolic tangent.
    Gelu,
    /// The number times the normal distribution function.
    ExactGelu,
    /// With what the exponential less 1 is multiplied by, where the number is negative.
    Elu(f64),
    /// The same, all of it multiplied by the second number.
    Selu(f64, f64),
    /// The logarithm of 1 and the number.
    Log1p,
    /// The exponential less 1.
    Expm1,
}

impl Eq for Double {}

impl Double {
    /// Returns what takes the place of a node that overflows, or whose numbers are in double precision.
    pub(super) fn of(node: &TypedNode) -> Option<Self> {
        let ElementWiseOp(op, _) = node.op_as()?;
        if !node.outputs[0].fact.datum_type.is_float() {
            return None;
        }
        if op.is::<Asinh>() || op.is::<Acosh>() {
            return Some(if op.is::<Asinh>() { Self::Asinh } else { Self::Acosh });
        }
        if node.outputs[0].fact.datum_type == DatumType::F16 && op.is::<HardSwish>() {
            return Some(Self::HardSwish);
        }
        if node.outputs[0].fact.datum_type != DatumType::F64 {
            return None;
        }
        if let Some(LeakyRelu { alpha }) = op.downcast_ref() {
            return Some(Self::LeakyRelu(f64::from(*alpha)));
        }
        let is_of = [
            (op.is::<Sigmoid>(), Self::Sigmoid),
            (op.is::<HardSwish>(), Self::HardSwish),
            (op.is::<Erf>(), Self::Erf),
            (op.is::<RoundHalfToEven>(), Self::Round),
        ];
        is_of.into_iter().find_map(|(is_it, res)| is_it.then_some(res))
    }

    /// Returns what takes the place of a node whose numbers may be as large as there are any.
    pub(super) fn of_large(node: &TypedNode) -> Option<Self> {
        let ElementWiseOp(op, _) = node.op_as()?;
        let is_it = op.is::<HardSwish>() && node.outputs[0].fact.datum_type.is_float();
        is_it.then_some(Self::HardSwish)
    }

    fn at(self, x: f64) -> f64 {
        /// From here on, the root of the square and 1 is the number.
        const LARGE: f64 = 1e16;
        match self {
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::LeakyRelu(slope) if x < 0.0 => slope * x,
            Self::LeakyRelu(_) => x,
            Self::Erf => libm::erf(x),
            Self::Erfc => libm::erfc(x),
            Self::Round => x.round_ties_even(),
            Self::Asinh if x.abs() > LARGE => (x.abs().ln() + LN_2).copysign(x),
            Self::Asinh => x.asinh(),
            Self::Acosh if x > LARGE => x.ln() + LN_2,
            Self::Acosh => x.acosh(),
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Self::Mish => x * Self::Softplus.at(x).tanh(),
            Self::Gelu => x * Self::Sigmoid.at(2.0 * ROOT_OF_2_BY_PI * x * (1.0 + 0.044_715 * x * x)),
            Self::ExactGelu => x * 0.5 * libm::erfc(-x * FRAC_1_SQRT_2),
            Self::Elu(alpha) if x < 0.0 => alpha * x.exp_m1(),
            Self::Elu(_) => x,
            Self::Selu(alpha, gamma) => gamma * Self::Elu(alpha).at(x),
            Self::Log1p => x.ln_1p(),
            Self::Expm1 => x.exp_m1(),
        }
    }
}

impl Op for Double {
    fn name(&self) -> StaticName {
        match self {
            Self::Sigmoid => "Sigmoid",
            Self::HardSwish => "HardSwish",
            Self::LeakyRelu(_) => "LeakyRelu",
            Self::Erf => "Erf",
            Self::Erfc => "Erfc",
            Self::Round => "RoundHalfToEven",
            Self::Asinh => "Asinh",
            Self::Acosh => "Acosh",
            Self::Softplus => "Softplus",
            Self::Mish => "Mish",
            Self::Gelu | Self::ExactGelu => "Gelu",
            Self::Elu(_) => "Elu",
            Self::Selu(..) => "Selu",
            Self::Log1p => "Log1p",
            Self::Expm1 => "Expm1",
        }
        .into()
    }

    op_as_typed_op!();
}

impl EvalOp for Double {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = &inputs[0];
        let res = match input.datum_type() {
            DatumType::F16 => {
                input.to_plain_array_view::<f16>()?.map(|it| f16::from_f64(self.at((*it).into()))).into_tensor()
            }
            DatumType::F32 => input.to_plain_array_view::<f32>()?.map(|it| self.at((*it).into()) as f32).into_tensor(),
            DatumType::F64 => input.to_plain_array_view::<f64>()?.map(|it| self.at(*it)).into_tensor(),
            other => bail!("elements of {other:?} have no {}", self.name()),
        };
        Ok(tvec!(res.into_tvalue()))
    }
}

impl TypedOp for Double {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_next_to_1_keeps_its_digits() {
        // By `math.log1p`, `math.expm1`, `numpy.logaddexp(0, x)` (and, for Mish, `math.tanh` of it), `math.asinh` and `math.acosh` of Python.
        for (function, x, wanted) in [
            (Double::Log1p, 1e-10, 9.999_999_999_5e-11),
            (Double::Expm1, 1e-10, 1.000_000_000_05e-10),
            (Double::Softplus, -20.0, 2.061_153_620_314_381e-9),
            (Double::Softplus, 0.0, std::f64::consts::LN_2),
            (Double::Softplus, 1e300, 1e300),
            (Double::Softplus, f64::INFINITY, f64::INFINITY),
            (Double::Mish, -20.0, -4.122_307_240_628_762e-8),
            (Double::Asinh, 1e300, 691.468_675_078_773_6),
            (Double::Asinh, 1e-10, 1e-10),
            (Double::Acosh, 1e300, 691.468_675_078_773_6),
            (Double::Acosh, f64::INFINITY, f64::INFINITY),
            (Double::Softplus, f64::NEG_INFINITY, 0.0),
        ] {
            let got = function.at(x);
            assert!(got == wanted || (got - wanted).abs() <= 1e-15 * wanted.abs(), "{function:?} of {x} is {got}");
        }
        let all = [Double::Log1p, Double::Expm1, Double::Softplus, Double::Mish, Double::Asinh, Double::Acosh];
        assert!(all.iter().all(|it| it.at(f64::NAN).is_nan()));
    }

    #[test]
    fn the_error_function_is_exact_to_double_precision() {
        // By `math.erf` of Python.
        for (x, wanted) in [
            (0.0, 0.0),
            (1e-300, 1.128_379_167_095_512_6e-300),
            (1e-8, 1.128_379_167_095_512_6e-8),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.5, 0.999_593_047_982_555),
            (4.0, 0.999_999_984_582_742_1),
            (5.5, 0.999_999_999_999_992_7),
            (5.9, 0.999_999_999_999_999_9),
            (7.0, 1.0),
            (f64::INFINITY, 1.0),
        ] {
            for sign in [1.0, -1.0] {
                let got = Double::Erf.at(sign * x);
                assert!(
                    (got - sign * wanted).abs() <= 1e-15 * wanted,
                    "erf({}) is {got}, not {}",
                    sign * x,
                    sign * wanted
                );
            }
        }
        assert!(Double::Erf.at(f64::NAN).is_nan());
    }

    #[test]
    fn the_error_function_is_odd_and_never_beyond_1() {
        for x in (0..=7_000).map(|it| f64::from(it) * 1e-3) {
            let [got, mirrored] = [x, -x].map(|it| Double::Erf.at(it));
            assert!(got <= 1.0 && mirrored == -got, "erf({x}) is {got}, and erf(-{x}) {mirrored}");
        }
    }
}
