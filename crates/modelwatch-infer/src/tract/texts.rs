//! Numbers as texts: what `Cast` makes of them.

use tract_onnx::{
    prelude::{Datum, DatumType, IntoTValue, IntoTensor, TValue, TVec, Tensor, TractResult, TypedFact, tvec},
    tract_hir::internal::{EvalContext, EvalOp, Op, StaticName, TypedOp, as_op, op_as_typed_op, op_out_of_plan},
};

/// As many digits has a number at most, as ONNX Runtime writes it.
const DIGITS: i32 = 8;

/// Returns each element as a text.
pub(super) fn written(tensor: &Tensor) -> TractResult<Tensor> {
    Ok(match tensor.datum_type() {
        DatumType::String => tensor.clone(),
        it if it.is_float() => texts::<f64>(tensor, |it| float(*it))?,
        DatumType::Bool => texts::<bool>(tensor, |it| if *it { "True" } else { "False" }.to_owned())?,
        DatumType::U64 => texts::<u64>(tensor, u64::to_string)?,
        _ => texts::<i64>(tensor, i64::to_string)?,
    })
}

fn texts<T: Datum>(tensor: &Tensor, text: impl Fn(&T) -> String) -> TractResult<Tensor> {
    Ok(tensor.cast_to::<T>()?.to_plain_array_view::<T>()?.map(text).into_tensor())
}

/// Returns a number as `%.8g` of C writes it, and the names that ONNX has for what is none.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "INF" } else { "-INF" }.to_owned();
    }
    let text = format!("{number:.*e}", DIGITS as usize - 1);
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        return without_zeros(&format!("{number:.*}", (DIGITS - 1 - exponent) as usize)).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(digits), exponent.abs())
}

fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// Makes texts of numbers in a compiled graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToTexts;

impl Op for ToTexts {
    fn name(&self) -> StaticName {
        "Cast".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ToTexts {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec!(written(&inputs[0])?.into_tvalue()))
    }
}

impl TypedOp for ToTexts {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(TypedFact::dt_shape(DatumType::String, inputs[0].shape.clone())))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_onnx_runtime_writes_them() {
        // By ONNX Runtime 1.32.
        for (number, wanted) in [
            (127.0, "127"),
            (1e20, "1e+20"),
            (-0.0, "-0"),
            (f64::from(0.1_f32), "0.1"),
            (1.0 / 3.0, "0.33333333"),
            (123_456_789.0, "1.2345679e+08"),
            (12_345_678.0, "12345678"),
            (1e8, "1e+08"),
            (f64::from(1e-5_f32), "9.9999997e-06"),
            (0.0001, "0.0001"),
            (f64::from(1e-40_f32), "9.9999461e-41"),
            (1e-300, "1e-300"),
            (f64::INFINITY, "INF"),
            (f64::NEG_INFINITY, "-INF"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(float(number), wanted);
        }
        // What has fewer digits once it is rounded.
        assert_eq!((float(99_999_999.7), float(0.000_099_999_999_97)), ("1e+08".to_owned(), "0.0001".to_owned()));
    }
}
