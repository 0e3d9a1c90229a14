//! Operators of `ai.onnx.ml` that map elements: encoders, imputing, selecting.

use std::collections::HashMap;

use tract_onnx::{
    prelude::{
        DatumType, IntoTensor, Tensor, TractResult, tensor1,
        tract_ndarray::{ArrayD, Axis},
    },
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::arrays::{concat, elements, full};
use crate::tract::{
    interpreter::{
        call::{Call, array},
        value::{Value, checked_len},
    },
    ops::{NanKeys, places},
};

/// An element of either kind, to look up. Floats are compared by their bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Int(i64),
    Float(u64),
    Text(String),
}

fn keys(tensor: &Tensor, nan: NanKeys) -> TractResult<Vec<Key>> {
    Ok(match tensor.datum_type() {
        DatumType::String => elements::<String>(tensor)?.into_iter().map(Key::Text).collect(),
        it if it.is_float() => array::<f64>(tensor)?.into_iter().map(|it| Key::Float(nan.key(it))).collect(),
        _ => array::<i64>(tensor)?.into_iter().map(Key::Int).collect(),
    })
}

/// Returns one side of the mapping: a tensor attribute or a list of one of three types.
fn side(call: &Call<'_>, prefix: &str) -> TractResult<Tensor> {
    if let Some(value) = call.tensor_attribute(&format!("{prefix}_tensor"))? {
        return Ok((**value.tensor()?).clone());
    }
    // Version 1 names one side of the mapping by its positions.
    let (strings, ints) = (call.texts(&format!("{prefix}_strings")), call.int_list(&format!("{prefix}_int64s")));
    if !strings.is_empty() {
        return Ok(tensor1(&strings));
    }
    match ints {
        Some(it) if !it.is_empty() => Ok(tensor1(it)),
        _ => Ok(tensor1(call.float_list(&format!("{prefix}_floats")))),
    }
}

pub(super) fn label_encoder(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = call.tensor(0)?;
    let (from, to) = if call.has_attribute("classes_strings") {
        let names = tensor1(&call.texts("classes_strings"));
        let positions = tensor1(&(0..i64::try_from(names.len())?).collect::<Vec<_>>());
        if input.datum_type() == DatumType::String { (names, positions) } else { (positions, names) }
    } else {
        (side(call, "keys")?, side(call, "values")?)
    };
    ensure!(from.len() == to.len(), "{} keys and {} values", from.len(), to.len());
    let nan = NanKeys::of(&call.context.opset_import);
    let values = keys(&to, NanKeys::OfSameBits)?;
    let positions = places(call.proto(), keys(&from, nan)?, |a, b| values[a] == values[b])?;
    let found: Vec<Option<usize>> = keys(input, nan)?.iter().map(|it| positions.get(it).copied()).collect();
    let default = call.tensor_attribute("default_tensor")?;
    let default = default.as_ref().map(Value::tensor).transpose()?;
    let shape = input.shape();
    macro_rules! pick {
        ($ty:ty, $otherwise:expr) => {{
            let values = elements::<$ty>(&to)?;
            let otherwise: $ty = match default {
                Some(it) => elements::<$ty>(it)?.into_iter().next().context("the default is empty")?,
                None => $otherwise,
            };
            let picked = found.iter().map(|it| it.map_or_else(|| otherwise.clone(), |it| values[it].clone()));
            ArrayD::from_shape_vec(shape, picked.collect())?.into_tensor()
        }};
    }
    let res = match to.datum_type() {
        DatumType::String => pick!(String, call.text("default_string", "_Unused").to_string()),
        DatumType::I64 => pick!(i64, call.int("default_int64", -1)),
        DatumType::I32 => pick!(i32, -1),
        DatumType::I16 => pick!(i16, -1),
        DatumType::F32 => pick!(f32, call.float("default_float", -0.0) as f32),
        DatumType::F64 => pick!(f64, -0.0),
        other => bail!("values of type {other:?} are not supported"),
    };
    Ok(vec![res.into()])
}

pub(super) fn one_hot_encoder(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = call.tensor(0)?;
    let strings = call.texts("cats_strings");
    let categories =
        if strings.is_empty() { tensor1(call.int_list("cats_int64s").unwrap_or_default()) } else { tensor1(&strings) };
    let input_keys = if input.datum_type().is_float() {
        array::<f64>(input)?.into_iter().map(category).collect()
    } else {
        keys(input, NanKeys::All)?
    };
    let positions: HashMap<Key, usize> =
        keys(&categories, NanKeys::All)?.into_iter().enumerate().map(|(idx, key)| (key, idx)).collect();
    let mut res = full(&[input_keys.len(), categories.len()], 0f32)?;
    for (row, key) in input_keys.iter().enumerate() {
        match positions.get(key) {
            Some(&idx) => res[[row, idx]] = 1.0,
            None => ensure!(call.int("zeros", 1) != 0, "{key:?} is none of the categories"),
        }
    }
    let shape = [input.shape(), &[categories.len()]].concat();
    Ok(vec![super::arrays::reshape(res, &shape)?.into()])
}

/// Returns the category that a float stands for, cut to an integer; no number is none of them.
fn category(value: f64) -> Key {
    if value.is_finite() { Key::Int(value as i64) } else { Key::Float(NanKeys::All.key(value)) }
}

pub(super) fn imputer(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let dtype = call.tensor(0)?.datum_type();
    if dtype.is_float() {
        let values: Vec<f64> = call.float_list("imputed_value_floats").iter().map(|&it| f64::from(it)).collect();
        let replaced = call.float("replaced_value_float", 0.0);
        let is_replaced = |it: f64| it == replaced || (it.is_nan() && replaced.is_nan());
        return Ok(vec![call.like(0, imputed(&call.floats(0)?, &values, is_replaced)?)?]);
    }
    let replaced = call.int("replaced_value_int64", 0);
    let values = call.int_list("imputed_value_int64s").unwrap_or_default();
    let res = imputed(&call.ints(0)?, values, |it| it == replaced)?.into_tensor();
    Ok(vec![res.cast_to_dt(dtype)?.into_owned().into()])
}

/// Puts one value for all features, or that of the feature, in the place of what is replaced.
fn imputed<T: Copy>(input: &ArrayD<T>, values: &[T], is_replaced: impl Fn(T) -> bool) -> TractResult<ArrayD<T>> {
    let width = input.shape().last().copied().unwrap_or(1).max(1);
    ensure!(values.len() == 1 || values.len() == width, "{} values for {width} features", values.len());
    let one = |(idx, it): (usize, T)| if is_replaced(it) { values[idx % width % values.len()] } else { it };
    let imputed = input.iter().copied().enumerate().map(one).collect();
    Ok(ArrayD::from_shape_vec(input.shape(), imputed)?)
}

pub(super) fn feature_vectorizer(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let mut parts = Vec::new();
    let dims = call.int_list("inputdimensions");
    let n_inputs = call.inputs.len();
    ensure!(
        dims.is_none_or(|it| it.len() == n_inputs),
        "there are {} dimensions for {n_inputs} inputs",
        dims.map_or(0, <[i64]>::len)
    );
    for idx in 0..n_inputs {
        let mut part = array::<f32>(call.tensor(idx)?)?;
        if part.ndim() == 1 {
            part.insert_axis_inplace(Axis(0));
        }
        let rows = part.shape().first().copied().context("a scalar has no features")?;
        let width: usize = part.shape()[1..].iter().product();
        let mut part = super::arrays::reshape(part, &[rows, width])?.into_tensor();
        // What is missing of the features that an input is to have is 0.
        let wanted = dims.map_or(Ok(width), |it| usize::try_from(it[idx]))?;
        if wanted < width {
            part = part.slice(1, 0, wanted)?;
        } else if wanted > width {
            checked_len(&[rows, wanted])?;
            part = concat(&[part, full(&[rows, wanted - width], 0f32)?.into_tensor()], 1)?;
        }
        parts.push(part);
    }
    Ok(vec![concat(&parts, 1)?.into()])
}

pub(super) fn binarizer(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let threshold = call.float("threshold", 0.0);
    // A NaN is not above anything, as in the reference implementation.
    Ok(vec![call.like(0, call.floats(0)?.mapv(|it| if it > threshold { 1.0 } else { 0.0 }))?])
}

pub(super) fn array_feature_extractor(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = call.tensor(0)?;
    let axis = input.rank().checked_sub(1).context("a scalar has no features")?;
    let mut parts = Vec::new();
    for idx in call.ints(1)? {
        let idx = usize::try_from(idx).ok().filter(|&it| it < input.shape()[axis]);
        let idx = idx.with_context(|| format!("there are only {} features", input.shape()[axis]))?;
        parts.push(input.slice(axis, idx, idx + 1)?);
    }
    let mut res = concat(&parts, axis)?;
    if res.rank() == 1 {
        res.insert_axis(0)?;
    }
    Ok(vec![res.into()])
}
