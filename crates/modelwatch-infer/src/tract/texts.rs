//! Numbers as texts, and texts as numbers: what `Cast` makes of either.

use std::ops::RangeInclusive;

use tract_onnx::{
    prelude::{Datum, DatumType, IntoTValue, IntoTensor, TValue, TVec, Tensor, TractResult, TypedFact, tvec},
    tract_core::ops::cast::Cast,
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, TractErrorContext, TypedNode, TypedOp, as_op, op_as_typed_op,
        op_out_of_plan,
    },
};

use super::interpreter::data_type_of;

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

/// Returns the numbers that texts stand for, in a type that ONNX has this number for; whether they are whole is up to that.
///
/// Where there are spaces around a number, ONNX Runtime and the reference implementation agree that they are none of it. Of `1.9` as an
/// integer ONNX Runtime takes what comes before the point, as of `3 apples`, and the reference implementation takes nothing.
pub(super) fn read(tensor: &Tensor, data_type: i32) -> TractResult<Tensor> {
    let texts = tensor.to_plain_array_view::<String>()?;
    let Some(range) = integers(data_type) else {
        let one = |it: &String| it.trim().parse::<f64>().ok().with_context(|| format!("the text {it:?} is no number"));
        let numbers: Vec<f64> = texts.iter().map(one).collect::<TractResult<_>>()?;
        return Tensor::from_shape(tensor.shape(), &numbers);
    };
    let one = |it: &String| {
        let number = it.trim().parse::<i128>().ok().filter(|it| range.contains(it));
        number.with_context(|| {
            let (least, most) = (range.start(), range.end());
            format!(
                "the text {it:?} is no whole number from {least} to {most}; cast it to a float first, or mend the data"
            )
        })
    };
    let numbers: Vec<i128> = texts.iter().map(one).collect::<TractResult<_>>()?;
    if *range.end() > i64::MAX.into() {
        return Tensor::from_shape(tensor.shape(), &numbers.into_iter().map(|it| it as u64).collect::<Vec<_>>());
    }
    Tensor::from_shape(tensor.shape(), &numbers.into_iter().map(|it| it as i64).collect::<Vec<_>>())
}

/// Returns the integers that there are of the type with this number of ONNX, if it has no others.
fn integers(data_type: i32) -> Option<RangeInclusive<i128>> {
    let signed = |bits: u32| -(1_i128 << (bits - 1))..=(1 << (bits - 1)) - 1;
    let unsigned = |bits: u32| 0..=(1_i128 << bits) - 1;
    Some(match data_type {
        2 => unsigned(8),
        3 => signed(8),
        4 => unsigned(16),
        5 => signed(16),
        6 => signed(32),
        // What is not 0 is true.
        7 | 9 => signed(64),
        12 => unsigned(32),
        13 => unsigned(64),
        21 => unsigned(4),
        22 => signed(4),
        25 => unsigned(2),
        26 => signed(2),
        _ => return None,
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

/// Makes numbers of texts in a compiled graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FromTexts {
    to: DatumType,
    data_type: i32,
}

impl FromTexts {
    /// Returns what takes the place of a node that reads texts.
    pub(super) fn of(node: &TypedNode, input: &TypedFact) -> Option<Self> {
        let to = node.op_as::<Cast>()?.to;
        let data_type =
            data_type_of(to).filter(|_| input.datum_type == DatumType::String && to != DatumType::String)?;
        Some(Self { to, data_type })
    }
}

impl Op for FromTexts {
    fn name(&self) -> StaticName {
        "Cast".into()
    }

    op_as_typed_op!();
}

impl EvalOp for FromTexts {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let numbers = read(&inputs[0], self.data_type)?;
        let res = match self.to {
            DatumType::Bool => numbers.cast_to::<i64>()?.to_plain_array_view::<i64>()?.map(|it| *it != 0).into_tensor(),
            to => numbers.cast_to_dt(to)?.into_owned(),
        };
        Ok(tvec!(res.into_tvalue()))
    }
}

impl TypedOp for FromTexts {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(TypedFact::dt_shape(self.to, inputs[0].shape.clone())))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use tract_onnx::prelude::tensor1;

    use super::*;

    #[test]
    fn texts_are_read_as_the_reference_implementation_reads_them() {
        let read = |text: &str, data_type: i32| {
            let tensor = tensor1(&[text.to_owned()]);
            read(&tensor, data_type).map(|it| it.cast_to_scalar::<f64>().unwrap()).map_err(|it| it.to_string())
        };
        for text in [" 3", "3 ", "\t3", "+3", "3"] {
            for data_type in [1, 2, 3, 6, 7, 9, 11, 13, 22] {
                assert_eq!(read(text, data_type), Ok(3.0), "{text:?} {data_type}");
            }
        }
        assert_eq!((read("1.9", 1), read(" -INF ", 1)), (Ok(1.9), Ok(f64::NEG_INFINITY)));
        for (text, data_type) in
            [("1.9", 7), ("1e3", 6), ("300", 2), ("-1", 13), ("128", 3), ("9", 22), ("inf", 7), ("", 7)]
        {
            let said = read(text, data_type).unwrap_err();
            assert!(said.starts_with(&format!("the text {text:?} is no whole number from ")), "{said}");
        }
        assert_eq!(read("three", 1), Err("the text \"three\" is no number".to_owned()));
        // What double precision does not have.
        let large = super::read(&tensor1(&["9007199254740993".to_owned()]), 7).unwrap();
        assert_eq!(large.cast_to_scalar::<i64>().unwrap(), 9_007_199_254_740_993);
        let largest = super::read(&tensor1(&["18446744073709551615".to_owned()]), 13).unwrap();
        assert_eq!(largest.cast_to_scalar::<u64>().unwrap(), u64::MAX);
    }

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
