//! Changes of the element type: `Cast`, `CastLike`, `BitCast`, `QuantizeLinear`, `DequantizeLinear`.

use std::sync::Arc;

use tract_onnx::{
    prelude::{DatumType, IntoTensor, Tensor, TractResult, tract_ndarray::ArrayD},
    tract_hir::internal::{bail, ensure},
};

use super::arrays::{elements, full, unravel};
use crate::tract::{
    interpreter::{
        call::{Call, array},
        narrow::{Narrow, Overflow},
        value::{Value, datum_type_of},
    },
    texts,
};

/// ONNX's number of the type of texts.
const TEXT: i32 = 8;

pub(super) fn cast(call: &Call<'_>) -> TractResult<Vec<Value>> {
    cast_to(call, i32::try_from(call.int("to", 0))?)
}

pub(super) fn cast_like(call: &Call<'_>) -> TractResult<Vec<Value>> {
    cast_to(call, call.value(1)?.data_type()?)
}

fn cast_to(call: &Call<'_>, data_type: i32) -> TractResult<Vec<Value>> {
    let tensor = match call.value(0)? {
        Value::Narrow(_, it) => it,
        other => other.tensor()?,
    };
    let is_text = tensor.datum_type() == DatumType::String;
    let numbers = if is_text && data_type != TEXT { Arc::new(texts::read(tensor, data_type)?) } else { tensor.clone() };
    let value = Value::of_type(data_type, |datum_type| match datum_type {
        DatumType::String if is_text => Ok((**tensor).clone()),
        DatumType::String => texts::written(tensor),
        DatumType::Bool => Ok(array::<f64>(&numbers)?.mapv(|it| it != 0.0).into_tensor()),
        it => Ok(numbers.cast_to_dt(it)?.into_owned()),
    })?;
    let Value::Narrow(narrow, values) = value else {
        return Ok(vec![value]);
    };
    let overflow = if call.int("saturate", 1) != 0 { Overflow::Saturate } else { Overflow::Infinite };
    let values = values.to_plain_array_view::<f32>()?;
    let values = match (narrow, call.text("round_mode", "up")) {
        (Narrow::Float8E8M0, mode) => values.mapv(|it| nearest_power(it, mode, overflow)),
        _ => values.mapv(|it| narrow.nearest(it, overflow)),
    };
    Ok(vec![Value::Narrow(narrow, Arc::new(values.into_tensor()))])
}

/// Returns the power of two that `mode` chooses; float8e8m0 has nothing else.
fn nearest_power(value: f32, mode: &str, overflow: Overflow) -> f32 {
    if value.is_nan() || value < 0.0 {
        return f32::NAN;
    }
    let smallest = 2f64.powi(-127);
    let value = f64::from(value);
    if value.is_infinite() {
        return if overflow == Overflow::Saturate { 2f32.powi(127) } else { f32::NAN };
    }
    if value <= smallest {
        return smallest as f32;
    }
    let below = 2f64.powi(value.log2().floor() as i32);
    let goes_up = match mode {
        "down" => false,
        "nearest" => value / below >= 1.5,
        _ => value > below,
    };
    let res = if goes_up { below * 2.0 } else { below };
    match (res > 2f64.powi(127), overflow) {
        (false, _) => res as f32,
        (true, Overflow::Saturate) => 2f32.powi(127),
        (true, Overflow::Infinite) => f32::NAN,
    }
}

/// Reads the bits of one type as another, little end first; widths may differ along the last axis.
pub(super) fn bit_cast(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = call.tensor(0)?;
    let to = datum_type_of(i32::try_from(call.int("to", 0))?)?;
    ensure!(input.datum_type() != DatumType::String && to != DatumType::String, "texts have no bits to cast");
    ensure!(
        input.datum_type().size_of() == to.size_of(),
        "the types {:?} and {to:?} differ in width",
        input.datum_type()
    );
    let bytes = bytes_of(input)?;
    Ok(vec![from_bytes(to, input.shape(), &bytes)?.into()])
}

macro_rules! with_bytes {
    ($($datum:ident $ty:ty),*) => {
        fn bytes_of(tensor: &Tensor) -> TractResult<Vec<u8>> {
            Ok(match tensor.datum_type() {
                $(DatumType::$datum => elements::<$ty>(tensor)?.into_iter().flat_map(|it| it.to_le_bytes()).collect(),)*
                DatumType::Bool => elements::<bool>(tensor)?.into_iter().map(u8::from).collect(),
                DatumType::F16 => {
                    let halves = tensor.to_plain_array_view::<tract_onnx::prelude::f16>()?;
                    halves.iter().flat_map(|it| it.to_bits().to_le_bytes()).collect()
                }
                other => bail!("the bits of {other:?} are not supported"),
            })
        }

        fn from_bytes(to: DatumType, shape: &[usize], bytes: &[u8]) -> TractResult<Tensor> {
            match to {
                $(DatumType::$datum => {
                    const WIDTH: usize = size_of::<$ty>();
                    let one = |it: &[u8]| {
                        let mut raw = [0; WIDTH];
                        raw.copy_from_slice(it);
                        <$ty>::from_le_bytes(raw)
                    };
                    Tensor::from_shape(shape, &bytes.chunks_exact(WIDTH).map(one).collect::<Vec<_>>())
                })*
                DatumType::Bool => Tensor::from_shape(shape, &bytes.iter().map(|&it| it != 0).collect::<Vec<_>>()),
                DatumType::F16 => {
                    let one = |it: &[u8]| tract_onnx::prelude::f16::from_bits(u16::from_le_bytes([it[0], it[1]]));
                    Tensor::from_shape(shape, &bytes.chunks_exact(2).map(one).collect::<Vec<_>>())
                }
                other => bail!("the bits of {other:?} are not supported"),
            }
        }
    };
}

with_bytes!(I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64, F32 f32, F64 f64);

/// Which scale belongs to an element: one for all, one for each index along an axis, or one for each block.
struct Scales {
    values: ArrayD<f32>,
    axis: usize,
    /// The length of a block; 0 without blocks.
    block: usize,
}

impl Scales {
    fn read(call: &Call<'_>, shape: &[usize]) -> TractResult<Self> {
        let values = plain(call.value(1)?)?;
        let values = array::<f32>(values)?;
        let block = usize::try_from(call.int("block_size", 0))?;
        if values.len() == 1 && block == 0 {
            return Ok(Self { values, axis: 0, block });
        }
        let axis = call.axis(call.int("axis", 1), shape.len())?;
        if block == 0 {
            ensure!(values.ndim() == 1 && values.len() == shape[axis], "{:?} scales for {shape:?}", values.shape());
        } else {
            let blocks = |(idx, &size): (usize, &usize)| if idx == axis { size.div_ceil(block) } else { size };
            let wanted: Vec<usize> = shape.iter().enumerate().map(blocks).collect();
            ensure!(values.shape() == wanted, "scales of shape {:?}, not {wanted:?}", values.shape());
        }
        Ok(Self { values, axis, block })
    }

    /// Returns where the scale of the element at `position` is.
    fn index(&self, position: &[usize]) -> Vec<usize> {
        if self.block > 0 {
            let one = |(idx, &at): (usize, &usize)| if idx == self.axis { at / self.block } else { at };
            position.iter().enumerate().map(one).collect()
        } else if self.values.len() == 1 {
            vec![0; self.values.ndim()]
        } else {
            vec![position[self.axis]]
        }
    }
}

/// Returns the numbers of a tensor of any type.
fn plain(value: &Value) -> TractResult<&Arc<Tensor>> {
    match value {
        Value::Narrow(_, it) => Ok(it),
        other => other.tensor(),
    }
}

/// Returns zero points as numbers, in the shape of the scales.
fn zero_points(call: &Call<'_>, scales: &Scales) -> TractResult<ArrayD<f32>> {
    let Some(value) = call.maybe_value(2) else {
        return full(scales.values.shape(), 0.0);
    };
    let res = array::<f32>(plain(value)?)?;
    match res.broadcast(scales.values.shape()) {
        Some(it) => Ok(it.to_owned()),
        None if res.len() == 1 && scales.values.len() == 1 => super::arrays::reshape(res, scales.values.shape()),
        None => bail!("zero points of shape {:?} for scales of {:?}", res.shape(), scales.values.shape()),
    }
}

/// `round(x / scale) + zero point`, ties to even, saturated.
pub(super) fn quantize(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = plain(call.value(0)?)?;
    let scales = Scales::read(call, input.shape())?;
    let zeros = zero_points(call, &scales)?;
    let data_type = match (call.maybe_value(2), i32::try_from(call.int("output_dtype", 0))?) {
        (Some(it), _) => it.data_type()?,
        (None, 0) => 2,
        (None, it) => it,
    };
    let narrow = Narrow::of(data_type);
    let range = match narrow {
        Some(it) => it.integer_range().map(|(low, high)| (low as f32, high as f32)),
        None => Some(integer_range(datum_type_of(data_type)?)?),
    };
    let overflow = if call.int("saturate", 1) != 0 { Overflow::Saturate } else { Overflow::Infinite };
    let shape = input.shape().to_vec();
    let one = |(idx, &value): (usize, &f32)| {
        let at = scales.index(&unravel(idx, &shape));
        let scaled = value / scales.values[&*at];
        match (range, narrow) {
            (Some((low, high)), _) => (scaled.round_ties_even() + zeros[&*at]).clamp(low, high),
            (None, Some(narrow)) => narrow.nearest(scaled + zeros[&*at], overflow),
            (None, None) => scaled,
        }
    };
    let input = array::<f32>(input)?;
    let values: Vec<f32> = input.as_standard_layout().iter().enumerate().map(one).collect();
    let tensor = Tensor::from_shape(&shape, &values)?;
    Ok(vec![Value::of_type(data_type, |it| Ok(tensor.cast_to_dt(it)?.into_owned()))?])
}

fn integer_range(datum_type: DatumType) -> TractResult<(f32, f32)> {
    Ok(match datum_type {
        DatumType::U8 => (0.0, 255.0),
        DatumType::I8 => (-128.0, 127.0),
        DatumType::U16 => (0.0, 65535.0),
        DatumType::I16 => (-32768.0, 32767.0),
        other => bail!("quantizing to {other:?} is not supported"),
    })
}

/// `(x - zero point) * scale`, in the type of the scale.
pub(super) fn dequantize(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = plain(call.value(0)?)?;
    let scales = Scales::read(call, input.shape())?;
    let zeros = zero_points(call, &scales)?;
    let data_type = match i32::try_from(call.int("output_dtype", 0))? {
        0 => call.value(1)?.data_type()?,
        it => it,
    };
    let shape = input.shape().to_vec();
    let one = |(idx, &value): (usize, &f64)| {
        let at = scales.index(&unravel(idx, &shape));
        (value - f64::from(zeros[&*at])) as f32 * scales.values[&*at]
    };
    // 32-bit integers are exact in double precision only.
    let input = array::<f64>(input)?;
    let values: Vec<f32> = input.as_standard_layout().iter().enumerate().map(one).collect();
    let tensor = Tensor::from_shape(&shape, &values)?;
    Ok(vec![match Value::of_type(data_type, |it| Ok(tensor.cast_to_dt(it)?.into_owned()))? {
        Value::Narrow(narrow, it) => {
            let rounded = it.to_plain_array_view::<f32>()?.mapv(|it| narrow.nearest(it, Overflow::Saturate));
            Value::Narrow(narrow, Arc::new(rounded.into_tensor()))
        }
        other => other,
    }])
}
