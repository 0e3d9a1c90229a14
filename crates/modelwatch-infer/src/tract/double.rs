//! Functions of single numbers in double precision, for which tract has none.

use tract_onnx::{
    prelude::{DatumType, IntoTValue, IntoTensor, TValue, TVec, TractResult, TypedFact, tvec},
    tract_core::ops::{
        element_wise::ElementWiseOp,
        math::{Erf, RoundHalfToEven},
        nn::{HardSwish, LeakyRelu, Sigmoid},
    },
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, TypedNode, TypedOp, as_op, op_as_typed_op, op_out_of_plan,
    },
};

/// A function that tract computes in lower precision alone. A NaN stays one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Double {
    Sigmoid,
    HardSwish,
    /// With the slope of what is negative.
    LeakyRelu(f64),
    Erf,
    Round,
}

impl Eq for Double {}

impl Double {
    /// Returns what takes the place of a node of numbers in double precision.
    pub(super) fn of(node: &TypedNode) -> Option<Self> {
        let ElementWiseOp(op, _) = node.op_as()?;
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

    fn at(self, x: f64) -> f64 {
        match self {
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Self::LeakyRelu(slope) if x < 0.0 => slope * x,
            Self::LeakyRelu(_) => x,
            Self::Erf => libm::erf(x),
            Self::Round => x.round_ties_even(),
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
            Self::Round => "RoundHalfToEven",
        }
        .into()
    }

    op_as_typed_op!();
}

impl EvalOp for Double {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let numbers = inputs[0].to_plain_array_view::<f64>()?;
        Ok(tvec!(numbers.map(|it| self.at(*it)).into_tensor().into_tvalue()))
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
