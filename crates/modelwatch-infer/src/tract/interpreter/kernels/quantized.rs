//! Arithmetic on quantized tensors: `QLinearMatMul` of ONNX, and the operators of ONNX Runtime's quantizer in `com.microsoft`.

use tract_onnx::{
    prelude::{
        DatumType, IntoTensor, Tensor, TractResult,
        tract_ndarray::{ArrayD, Axis, IxDyn},
    },
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::arrays::{concat, full, matmul, zip};
use crate::tract::interpreter::{
    call::{Call, array},
    value::Value,
};

/// Scale and zero point: scalars, or one for each index along an axis, shaped so that they broadcast.
struct Quantization {
    scale: ArrayD<f64>,
    zero: ArrayD<f64>,
}

impl Quantization {
    /// Reads the scale at input `idx` and the zero point behind it.
    fn read(call: &Call<'_>, idx: usize) -> TractResult<Self> {
        let scale = flat(call.floats(idx)?);
        let zero = match call.maybe_floats(idx + 1)? {
            Some(it) => flat(it),
            None => full(&[], 0.0)?,
        };
        Ok(Self { scale, zero })
    }

    /// Moves the axis of the values to `axis` of a tensor of rank `rank`.
    fn along(mut self, axis: usize, rank: usize) -> Self {
        for it in [&mut self.scale, &mut self.zero] {
            if it.ndim() == 1 {
                let mut shape = vec![1; rank];
                shape[axis] = it.len();
                *it = it.clone().into_shape_with_order(IxDyn(&shape)).unwrap_or_else(|_| it.clone());
            }
        }
        self
    }

    fn dequantize(&self, values: &ArrayD<f64>) -> TractResult<ArrayD<f64>> {
        zip(&zip(values, &self.zero, |a, b| a - b)?, &self.scale, |a, b| a * b)
    }

    /// Returns `round(x / scale) + zero point` in `datum_type`, ties to even, saturated.
    fn quantize(&self, values: &ArrayD<f64>, datum_type: DatumType) -> TractResult<Value> {
        let (low, high) = match datum_type {
            DatumType::U8 => (0.0, 255.0),
            DatumType::I8 => (-128.0, 127.0),
            other => bail!("quantizing to {other:?} is not supported"),
        };
        let scaled = zip(values, &self.scale, |a, b| (a / b).round_ties_even())?;
        let res = zip(&scaled, &self.zero, |a, b| (a + b).clamp(low, high))?;
        Ok(res.into_tensor().cast_to_dt(datum_type)?.into_owned().into())
    }
}

/// Returns one number as a scalar.
fn flat(array: ArrayD<f64>) -> ArrayD<f64> {
    if array.len() == 1 {
        ArrayD::from_elem(IxDyn(&[]), array.iter().copied().next().unwrap_or_default())
    } else {
        array
    }
}

/// Returns the type of the output: that of its zero point, else that of input 0.
fn output_type(call: &Call<'_>, zero: usize) -> TractResult<DatumType> {
    Ok(call.maybe_tensor(zero)?.map_or(call.tensor(0)?.datum_type(), |it| it.datum_type()))
}

pub(super) fn matrix_product(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let (a, b) = (call.floats(0)?, call.floats(3)?);
    ensure!(a.ndim() > 0 && b.ndim() > 0, "a scalar is no matrix");
    // The scales of `a` go by rows, those of `b` by columns.
    let of_a = Quantization::read(call, 1)?.along(a.ndim().saturating_sub(2), a.ndim());
    let of_b = Quantization::read(call, 4)?.along(b.ndim() - 1, b.ndim());
    let product = matmul(&of_a.dequantize(&a)?, &of_b.dequantize(&b)?)?;
    let rank = product.ndim();
    let of_y = Quantization::read(call, 6)?.along(rank.saturating_sub(2), rank);
    Ok(vec![of_y.quantize(&product, output_type(call, 7)?)?])
}

/// `alpha * A' * B' + C`, where C is in units of `alpha * scale of A * scale of B`.
pub(super) fn gemm(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let oriented = |idx: usize, name: &str| -> TractResult<ArrayD<f64>> {
        let array = call.floats(idx)?;
        ensure!(array.ndim() == 2, "input {idx} is no matrix");
        Ok(if call.flag(name) { array.reversed_axes() } else { array })
    };
    let (a, b) = (oriented(0, "transA")?, oriented(3, "transB")?);
    let (of_a, of_b) = (Quantization::read(call, 1)?, Quantization::read(call, 4)?);
    let product = matmul(&zip(&a, &of_a.zero, |a, b| a - b)?, &zip(&b, &of_b.zero, |a, b| a - b)?)?;
    let sum = match call.maybe_floats(6)? {
        Some(it) => zip(&product, &it, |a, b| a + b)?,
        None => product,
    };
    let alpha = call.float("alpha", 1.0);
    let unit = zip(&of_a.scale, &of_b.scale, |a, b| a * b * alpha)?;
    let res = zip(&sum, &unit, |a, b| a * b)?;
    if call.maybe_value(7).is_none() {
        return Ok(vec![super::super::call::cast(res, DatumType::F32)?]);
    }
    Ok(vec![Quantization::read(call, 7)?.quantize(&res, output_type(call, 8)?)?])
}

pub(super) fn add(call: &Call<'_>) -> TractResult<Vec<Value>> {
    binary(call, |a, b| a + b)
}

pub(super) fn multiply(call: &Call<'_>) -> TractResult<Vec<Value>> {
    binary(call, |a, b| a * b)
}

fn binary(call: &Call<'_>, f: fn(f64, f64) -> f64) -> TractResult<Vec<Value>> {
    let a = Quantization::read(call, 1)?.dequantize(&call.floats(0)?)?;
    let b = Quantization::read(call, 4)?.dequantize(&call.floats(3)?)?;
    let res = zip(&a, &b, |&a, &b| f(a, b))?;
    Ok(vec![Quantization::read(call, 6)?.quantize(&res, output_type(call, 7)?)?])
}

pub(super) fn sigmoid(call: &Call<'_>) -> TractResult<Vec<Value>> {
    unary(call, |it| 1.0 / (1.0 + (-it).exp()))
}

pub(super) fn leaky_relu(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let alpha = call.float("alpha", 0.01);
    unary(call, |it| if it < 0.0 { alpha * it } else { it })
}

fn unary(call: &Call<'_>, f: impl Fn(f64) -> f64) -> TractResult<Vec<Value>> {
    let res = Quantization::read(call, 1)?.dequantize(&call.floats(0)?)?.mapv(f);
    Ok(vec![Quantization::read(call, 3)?.quantize(&res, output_type(call, 4)?)?])
}

pub(super) fn softmax(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let mut values = Quantization::read(call, 1)?.dequantize(&call.floats(0)?)?;
    let axis = call.axis(call.int("axis", -1), values.ndim())?;
    // Up to version 12, all axes from there on are one.
    if call.int("opset", 13) < 13 && axis + 1 < values.ndim() {
        bail!("a softmax over several axes is not supported");
    }
    for mut lane in values.lanes_mut(Axis(axis)) {
        let max = lane.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = lane.iter().map(|it| (it - max).exp()).sum();
        lane.mapv_inplace(|it| (it - max).exp() / sum);
    }
    Ok(vec![Quantization::read(call, 3)?.quantize(&values, output_type(call, 4)?)?])
}

pub(super) fn global_average_pool(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let mut values = Quantization::read(call, 1)?.dequantize(&call.floats(0)?)?;
    ensure!(values.ndim() > 2, "there are no spatial axes");
    let first = if call.flag("channels_last") { 1 } else { 2 };
    for axis in first..first + values.ndim() - 2 {
        let mean = values.mean_axis(Axis(axis)).context("there is nothing to average")?;
        values = mean.insert_axis(Axis(axis));
    }
    Ok(vec![Quantization::read(call, 3)?.quantize(&values, output_type(call, 4)?)?])
}

pub(super) fn concatenate(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let mut parts: Vec<Tensor> = Vec::new();
    for idx in (2..call.inputs.len()).step_by(3) {
        parts.push(Quantization::read(call, idx + 1)?.dequantize(&call.floats(idx)?)?.into_tensor());
    }
    let rank = parts.first().context("there is nothing to concatenate")?.rank();
    let all = array::<f64>(&concat(&parts, call.axis(call.int("axis", 0), rank)?)?)?;
    let datum_type = call.tensor(1)?.datum_type();
    Ok(vec![Quantization::read(call, 0)?.quantize(&all, datum_type)?])
}
