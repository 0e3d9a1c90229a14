//! Functions of single elements, and products, that tract lacks or computes wrongly.

use tract_onnx::{
    prelude::{DatumType, IntoTensor, Tensor, TractResult},
    tract_hir::internal::{bail, ensure},
};

use super::arrays::{full, matmul, zip};
use crate::tract::{
    dropout,
    guard::RefusedOperator,
    interpreter::{
        call::{Call, array},
        value::Value,
    },
};

fn map(call: &Call<'_>, f: impl Fn(f64) -> f64) -> TractResult<Vec<Value>> {
    Ok(vec![call.like(0, call.floats(0)?.mapv(f))?])
}

pub(super) fn celu(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let alpha = call.float("alpha", 1.0);
    map(call, |it| if it > 0.0 { it } else { alpha * (it / alpha).exp_m1() })
}

pub(super) fn swish(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let alpha = call.float("alpha", 1.0);
    map(call, |it| it / (1.0 + (-alpha * it).exp()))
}

/// Of double precision, too, which tract does not ask.
pub(super) fn is_nan(call: &Call<'_>) -> TractResult<Vec<Value>> {
    Ok(vec![call.floats(0)?.mapv(f64::is_nan).into_tensor().into()])
}

/// Of double precision, too.
pub(super) fn is_infinite(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let (negative, positive) = (call.int("detect_negative", 1) != 0, call.int("detect_positive", 1) != 0);
    let is_found = |it: f64| it.is_infinite() && if it > 0.0 { positive } else { negative };
    Ok(vec![call.floats(0)?.mapv(is_found).into_tensor().into()])
}

/// Products of vectors, which tract does not take.
pub(super) fn matrix_product(call: &Call<'_>) -> TractResult<Vec<Value>> {
    Ok(vec![call.like(0, matmul(&call.floats(0)?, &call.floats(1)?)?)?])
}

/// Passes on what it is given, and says of everything that it was kept.
pub(super) fn dropout(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let x = call.value(0)?.clone();
    let is_training = call.maybe_scalar::<bool>(2)?.unwrap_or(false);
    // Without a ratio it is a half.
    let ratio = call.maybe_scalar::<f64>(1)?.unwrap_or(0.5);
    if is_training && ratio != 0.0 {
        return Err(RefusedOperator::of(call.proto(), dropout::DROPS).into());
    }
    let mut res = vec![x];
    if call.proto().output.get(1).is_some_and(|it| !it.is_empty()) {
        // Before version 10 it has the type of the numbers.
        res.push(match (call.version() < 10, &res[0]) {
            (true, Value::Tensor(it)) => {
                full(it.shape(), 1.0)?.into_tensor().cast_to_dt(it.datum_type())?.into_owned().into()
            }
            (_, it) => full(it.tensor()?.shape(), true)?.into_tensor().into(),
        });
    }
    Ok(res)
}

/// Passes anything on, sequences and optionals included.
pub(super) fn identity(call: &Call<'_>) -> TractResult<Vec<Value>> {
    Ok(vec![call.value(0)?.clone()])
}

pub(super) fn prelu(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let (x, mut slope) = (call.floats(0)?, call.floats(1)?);
    // Before version 7 a vector of slopes belongs to the channels.
    if call.version() < 7 && slope.ndim() == 1 && slope.len() > 1 && x.ndim() > 1 {
        let mut shape = vec![1; x.ndim() - 1];
        shape[0] = slope.len();
        slope = super::arrays::reshape(slope, &shape)?;
    }
    let res = zip(&x, &slope, |&x, &slope| if x < 0.0 { x * slope } else { x })?;
    ensure!(res.shape() == x.shape(), "slopes of shape {:?} for {:?}", slope.shape(), x.shape());
    Ok(vec![call.like(0, res)?])
}

/// `Swish(a) * b`.
pub(super) fn swiglu(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let alpha = call.float("alpha", 1.0);
    let (a, b) = (call.floats(0)?, call.floats(1)?);
    ensure!(a.shape() == b.shape(), "a gate of shape {:?} for {:?}", a.shape(), b.shape());
    Ok(vec![call.like(0, zip(&a, &b, |a, b| a / (1.0 + (-alpha * a).exp()) * b)?)?])
}

/// Right shifts of signed numbers keep the sign; a shift by the width or more, or by less than 0, leaves nothing but the sign.
pub(super) fn bit_shift(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let is_left = match call.text("direction", "") {
        "LEFT" => true,
        "RIGHT" => false,
        other => bail!("direction {other:?} is not known"),
    };
    let (x, by) = (call.tensor(0)?, call.tensor(1)?);
    ensure!(x.datum_type() == by.datum_type(), "{:?} is shifted by {:?}", x.datum_type(), by.datum_type());
    macro_rules! shift {
        ($ty:ty) => {{
            let one = |&x: &$ty, &by: &$ty| {
                let wide = i128::from(x);
                match u32::try_from(by).ok().filter(|&it| it < <$ty>::BITS) {
                    Some(by) if is_left => (wide << by) as $ty,
                    Some(by) => (wide >> by) as $ty,
                    None if is_left => 0,
                    None => (wide >> 64) as $ty,
                }
            };
            zip(&array::<$ty>(x)?, &array::<$ty>(by)?, one)?.into_tensor()
        }};
    }
    let res: Tensor = match x.datum_type() {
        DatumType::U8 => shift!(u8),
        DatumType::U16 => shift!(u16),
        DatumType::U32 => shift!(u32),
        DatumType::U64 => shift!(u64),
        DatumType::I8 => shift!(i8),
        DatumType::I16 => shift!(i16),
        DatumType::I32 => shift!(i32),
        DatumType::I64 => shift!(i64),
        other => bail!("{other:?} has no bits to shift"),
    };
    Ok(vec![res.into()])
}
