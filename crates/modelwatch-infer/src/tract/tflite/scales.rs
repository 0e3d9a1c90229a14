//! Integers that stand for numbers: what they are times a scale, counted from a zero point.
//!
//! A model of such integers is run on the numbers that they stand for, and what each operator gives is rounded to the scale of its
//! output. TFLite's kernels compute with the integers, and differ from that by a step where they approximate.

use tract_onnx::{
    prelude::{DatumType, IntoTValue, IntoTensor, TValue, TVec, TractResult, TypedFact, tvec},
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, TypedOp, as_op, bail, ensure, op_as_typed_op, op_out_of_plan,
    },
};
use tract_tflite::tflite::{Tensor, TensorType};

/// One scale for all integers of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    dtype: DatumType,
    scale: f64,
    zero_point: i64,
}

impl Eq for Scale {}

impl Scale {
    /// Returns the scale of a tensor that an operator gives or the model takes, if its integers have one.
    ///
    /// Fails for those that stand for numbers in another way.
    pub(super) fn of(tensor: Tensor<'_>) -> Result<Option<Self>, String> {
        if !are_scaled(tensor) {
            return Ok(None);
        }
        let name = tensor.type_().variant_name().unwrap_or("unknown");
        let dtype = match tensor.type_() {
            TensorType::INT8 => DatumType::I8,
            TensorType::UINT8 => DatumType::U8,
            TensorType::INT16 => DatumType::I16,
            _ => return Err(format!("scaled integers of type {name}")),
        };
        let Some(quantization) = tensor.quantization() else { return Ok(None) };
        let scales: Vec<f32> = quantization.scale().into_iter().flatten().collect();
        let zero_points: Vec<i64> = quantization.zero_point().into_iter().flatten().collect();
        let &[scale] = &*scales else { return Err(format!("{name} with {} scales", scales.len())) };
        let zero_point = zero_points.first().copied().unwrap_or(0);
        let [least, most] = range(dtype);
        let is_right = scale.is_finite() && scale > 0.0 && (least..=most).contains(&zero_point);
        if !is_right || zero_points.len() > 1 {
            return Err(format!("{name} with the scale {scale} and the zero points {zero_points:?}"));
        }
        Ok(Some(Self { dtype, scale: f64::from(scale), zero_point }))
    }

    fn number(self, integer: i64) -> f32 {
        ((integer - self.zero_point) as f64 * self.scale) as f32
    }

    /// Returns the integer that is closest to standing for a number, or nothing for a NaN.
    fn integer(self, number: f32) -> Option<i64> {
        /// The middle between two steps goes away from zero, also where it was computed with an error.
        const ERROR: f64 = 1.0 / 4096.0;
        if number.is_nan() {
            return None;
        }
        let steps = f64::from(number) / self.scale;
        let [least, most] = range(self.dtype);
        // What is beyond all integers is cut by the cast.
        let rounded = (steps + ERROR.copysign(steps)).round() as i64;
        Some(rounded.saturating_add(self.zero_point).clamp(least, most))
    }
}

/// Returns whether integers of a tensor stand for numbers.
pub(super) fn are_scaled(tensor: Tensor<'_>) -> bool {
    let is_of_integers = matches!(
        tensor.type_(),
        TensorType::INT4
            | TensorType::INT8
            | TensorType::UINT8
            | TensorType::INT16
            | TensorType::UINT16
            | TensorType::INT32
            | TensorType::INT64
    );
    is_of_integers && tensor.quantization().is_some_and(|it| it.scale().is_some_and(|it| !it.is_empty()))
}

fn range(dtype: DatumType) -> [i64; 2] {
    match dtype {
        DatumType::I8 => [i8::MIN.into(), i8::MAX.into()],
        DatumType::U8 => [u8::MIN.into(), u8::MAX.into()],
        _ => [i16::MIN.into(), i16::MAX.into()],
    }
}

/// Between integers and the numbers that they stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scaled {
    /// The numbers of integers.
    Numbers(Scale),
    /// The integers of numbers.
    Integers(Scale),
    /// The numbers that the integers of numbers stand for. A NaN stays one.
    Rounded(Scale),
}

impl Scaled {
    /// Returns how far apart the numbers are to which others are rounded, or those that integers made of them stand for.
    pub(super) fn step(self) -> Option<f64> {
        match self {
            Self::Numbers(_) => None,
            Self::Integers(to) | Self::Rounded(to) => Some(to.scale),
        }
    }
}

impl Op for Scaled {
    fn name(&self) -> StaticName {
        match self {
            Self::Numbers(_) => "ScaledToNumbers",
            Self::Integers(_) => "NumbersToScaled",
            Self::Rounded(_) => "RoundToScale",
        }
        .into()
    }

    op_as_typed_op!();
}

impl EvalOp for Scaled {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = &inputs[0];
        let res = match *self {
            Self::Numbers(of) => {
                macro_rules! numbers {
                    ($ty:ty) => {
                        input.to_plain_array_view::<$ty>()?.map(|it| of.number(i64::from(*it))).into_tensor()
                    };
                }
                match input.datum_type() {
                    DatumType::I8 => numbers!(i8),
                    DatumType::U8 => numbers!(u8),
                    DatumType::I16 => numbers!(i16),
                    other => bail!("integers of {other:?} have no scale"),
                }
            }
            Self::Rounded(to) => {
                let rounded = |it: &f32| to.integer(*it).map_or(f32::NAN, |it| to.number(it));
                input.to_plain_array_view::<f32>()?.map(rounded).into_tensor()
            }
            Self::Integers(to) => {
                let numbers = input.to_plain_array_view::<f32>()?;
                ensure!(numbers.iter().all(|it| !it.is_nan()), "a NaN is none of the numbers that integers stand for");
                // They are in the range of the type.
                let integer = |it: &f32| to.integer(*it).unwrap_or_default();
                match to.dtype {
                    DatumType::I8 => numbers.map(|it| integer(it) as i8).into_tensor(),
                    DatumType::U8 => numbers.map(|it| integer(it) as u8).into_tensor(),
                    _ => numbers.map(|it| integer(it) as i16).into_tensor(),
                }
            }
        };
        Ok(tvec!(res.into_tvalue()))
    }
}

impl TypedOp for Scaled {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let dtype = match self {
            Self::Integers(to) => to.dtype,
            Self::Numbers(_) | Self::Rounded(_) => DatumType::F32,
        };
        Ok(tvec!(TypedFact::dt_shape(dtype, inputs[0].shape.clone())))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use tract_onnx::prelude::{DatumExt, SpecialOps, TypedModel};
    use tract_onnx::tract_core::ops::{change_axes::AxisOp, math};

    use super::*;
    use crate::tract::stages::steps;

    #[test]
    fn answers_have_the_steps_that_they_were_rounded_to() {
        let scale = Scale { dtype: DatumType::I16, scale: 0.5, zero_point: 0 };
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([2, 3])).unwrap();
        let mut wire = |name: &str, op: Box<dyn TypedOp>, of| model.wire_node(name, op, &[of]).unwrap()[0];
        let rounded = wire("rounded", Box::new(Scaled::Rounded(scale)), x);
        let moved = wire("moved", Box::new(AxisOp::Move(0, 1)), rounded);
        let computed = wire("computed", Box::new(math::neg()), moved);
        let fine = wire("fine", Box::new(Scaled::Rounded(Scale { scale: 0.125, ..scale })), computed);
        let integers = wire("integers", Box::new(Scaled::Integers(scale)), fine);
        let taken = wire("taken", Box::new(Scaled::Numbers(scale)), integers);
        model.select_output_outlets(&[moved, computed, fine, integers, taken, x]).unwrap();
        assert_eq!(steps(&model), [0.5, 0.5, 0.125, 1.0, 0.5, 0.0]);
    }

    #[test]
    fn numbers_go_to_the_next_step_and_no_further_than_the_last() {
        let scale = Scale { dtype: DatumType::I8, scale: 0.5, zero_point: -3 };
        for (number, wanted) in [
            (0.0, -3),
            (0.25, -2),
            (-0.25, -4),
            // The middle of two steps, computed with an error.
            (0.249_999_99, -2),
            (0.24, -3),
            (1.0, -1),
            (65.0, 127),
            (1e30, 127),
            (-1e30, -128),
            (f32::INFINITY, 127),
        ] {
            assert_eq!(scale.integer(number), Some(wanted), "{number}");
        }
        assert_eq!((scale.integer(f32::NAN), scale.number(-3), scale.number(127)), (None, 0.0, 65.0));
    }
}
