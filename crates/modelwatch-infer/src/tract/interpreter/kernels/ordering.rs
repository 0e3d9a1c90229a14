//! Operators about positions and order: ranges, running products, unique elements, reversed sequences.

use std::{cmp::Ordering, collections::BTreeMap};

use tract_onnx::{
    prelude::{
        Datum, DatumType, IntoTensor, Tensor, TractError, TractResult, tensor1,
        tract_ndarray::{ArrayD, Axis},
    },
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::arrays::{concat, elements, full, reshape};
use crate::tract::{
    interpreter::{
        call::{Call, array},
        value::{Value, checked_len},
    },
    whole_range,
};

/// `start, start + step, …` up to `limit`; the operands may be scalars or hold one element.
pub(super) fn range(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let datum_type = call.tensor(0)?.datum_type();
    if datum_type.is_float() {
        let scalar = |idx: usize| call.maybe_scalar::<f64>(idx)?.with_context(|| format!("input {idx} is missing"));
        let (start, limit, step) = (scalar(0)?, scalar(1)?, scalar(2)?);
        let n = ((limit - start) / step).ceil().max(0.0);
        ensure!(n.is_finite(), "a range by {step} has no end");
        let n = checked_len(&[n as usize])?;
        let values: Vec<f64> = (0..n).map(|it| start + it as f64 * step).collect();
        return Ok(vec![call.like(0, ArrayD::from_shape_vec(vec![n], values)?)?]);
    }
    let whole = |idx: usize| call.maybe_scalar::<i64>(idx)?.with_context(|| format!("input {idx} is missing"));
    let (start, limit, step) = (whole(0)?, whole(1)?, whole(2)?);
    let n = checked_len(&[usize::try_from(whole_range::count(start, limit, step)?).unwrap_or(usize::MAX)])?;
    let values: Vec<i64> = (0..n as i64).map(|it| start.wrapping_add(it.wrapping_mul(step))).collect();
    Ok(vec![tensor1(&values).cast_to_dt(datum_type)?.into_owned().into()])
}

/// The part of a tensor that Python's slices have: nothing where the start is behind the end.
pub(super) fn slice(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let mut tensor = (**call.tensor(0)?).clone();
    let list = |idx: usize, name: &str| {
        Ok::<_, TractError>(match call.maybe_ints(idx)? {
            Some(it) => it,
            None => call.int_list(name).unwrap_or_default().to_vec(),
        })
    };
    let (starts, ends, axes, steps) = (list(1, "starts")?, list(2, "ends")?, list(3, "axes")?, list(4, "")?);
    ensure!(starts.len() == ends.len(), "{} starts and {} ends", starts.len(), ends.len());
    for (idx, (start, end)) in starts.iter().zip(&ends).enumerate() {
        let axis = call.axis(axes.get(idx).copied().unwrap_or(idx as i64), tensor.rank())?;
        let step = steps.get(idx).copied().unwrap_or(1);
        ensure!(step != 0, "the step of a slice is 0");
        let len = i64::try_from(tensor.shape()[axis])?;
        let bounds = if step > 0 { (0, len) } else { (-1, len - 1) };
        let place = |it: &i64| (if *it < 0 { it.saturating_add(len) } else { *it }).clamp(bounds.0, bounds.1);
        let (start, end) = (place(start), place(end));
        let last = |it: &i64| if step > 0 { *it < end } else { *it > end };
        let places = std::iter::successors(Some(start), |it| it.checked_add(step)).take_while(last);
        let parts =
            places.map(|it| tensor.slice(axis, it as usize, it as usize + 1)).collect::<TractResult<Vec<_>>>()?;
        tensor = if parts.is_empty() {
            let mut shape = tensor.shape().to_vec();
            shape[axis] = 0;
            Tensor::zero_dt(tensor.datum_type(), &shape)?
        } else {
            concat(&parts, axis)?
        };
    }
    Ok(vec![tensor.into()])
}

pub(super) fn cumulative_product(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let tensor = call.tensor(0)?;
    let axis = call.axis(call.maybe_scalar::<i64>(1)?.context("the axis is missing")?, tensor.rank())?;
    let (is_reverse, is_exclusive) = (call.flag("reverse"), call.flag("exclusive"));
    macro_rules! product {
        ($ty:ty, $one:expr, $times:expr) => {{
            let mut values: ArrayD<$ty> = array(tensor)?;
            for mut lane in values.lanes_mut(Axis(axis)) {
                if is_reverse {
                    lane.invert_axis(Axis(0));
                }
                let mut product: $ty = $one;
                for value in &mut lane {
                    let next = $times(product, *value);
                    *value = if is_exclusive { product } else { next };
                    product = next;
                }
            }
            values.into_tensor().cast_to_dt(tensor.datum_type())?.into_owned()
        }};
    }
    let res = if tensor.datum_type().is_float() {
        product!(f64, 1.0, |a: f64, b: f64| a * b)
    } else {
        product!(i64, 1, i64::wrapping_mul)
    };
    Ok(vec![res.into()])
}

/// Returns the first `sequence_lens[i]` steps of row `i` in reverse.
pub(super) fn reverse_sequence(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = call.tensor(0)?;
    let (batch, time) =
        (call.axis(call.int("batch_axis", 1), input.rank())?, call.axis(call.int("time_axis", 0), input.rank())?);
    ensure!(batch != time, "batch and time are the same axis");
    let lengths = call.ints(1)?;
    let (n_rows, n_steps) = (input.shape()[batch], input.shape()[time]);
    ensure!(lengths.shape() == [n_rows], "{:?} sequence lengths for {n_rows} rows", lengths.shape());
    let mut rows = Vec::with_capacity(n_rows);
    for (row, &length) in lengths.iter().enumerate() {
        let length = usize::try_from(length).ok().filter(|&it| it <= n_steps);
        let length = length.with_context(|| format!("a sequence is longer than {n_steps}"))?;
        let row = input.slice(batch, row, row + 1)?;
        let steps = (0..n_steps).map(|it| if it < length { length - 1 - it } else { it });
        let steps: Vec<Tensor> = steps.map(|it| row.slice(time, it, it + 1)).collect::<TractResult<_>>()?;
        rows.push(concat(&steps, time)?);
    }
    if rows.is_empty() { Ok(vec![Value::Tensor(input.clone())]) } else { Ok(vec![concat(&rows, batch)?.into()]) }
}

/// Writes a block into a cache, at a place of its own for each row.
pub(super) fn tensor_scatter(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let (cache, update) = (call.floats(0)?, call.floats(1)?);
    let axis = call.axis(call.int("axis", -2), cache.ndim())?;
    let (size, length) = (cache.shape()[axis], update.shape().get(axis).copied().unwrap_or(0));
    let is_circular = match call.text("mode", "linear") {
        "linear" => false,
        "circular" => true,
        other => bail!("mode {other:?} is not known"),
    };
    let mut wanted = cache.shape().to_vec();
    wanted[axis] = length;
    ensure!(
        axis > 0 && update.shape() == wanted && length <= size,
        "an update of shape {:?} for {:?}",
        update.shape(),
        cache.shape()
    );
    let starts = call.maybe_ints(2)?.unwrap_or_else(|| vec![0; cache.shape()[0]]);
    ensure!(starts.len() == cache.shape()[0], "{} write indices for {} rows", starts.len(), cache.shape()[0]);
    let mut res = cache;
    for (position, &value) in update.indexed_iter() {
        let mut at = tract_onnx::prelude::tract_ndarray::Dimension::slice(&position).to_vec();
        let to = usize::try_from(starts[at[0]])?.checked_add(at[axis]).context("a write index is too large")?;
        at[axis] = if is_circular { to % size } else { to };
        ensure!(at[axis] < size, "a write index is beyond {size}");
        res[&*at] = value;
    }
    Ok(vec![call.like(0, res)?])
}

/// An element or a slice, comparable.
type Part = Vec<f64>;

fn compare(a: &Part, b: &Part) -> Ordering {
    a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|it| it.is_ne()).unwrap_or(Ordering::Equal)
}

/// Returns unique elements, or slices along an axis, with where each was first, which one each was, and their numbers.
pub(super) fn unique(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let mut tensor = (**call.tensor(0)?).clone();
    let axis = if call.has_attribute("axis") {
        call.axis(call.int("axis", 0), tensor.rank())?
    } else {
        let n = tensor.len();
        tensor = tensor.into_shape(&[n])?;
        0
    };
    let n = tensor.shape()[axis];
    let parts: Vec<Part> = if tensor.datum_type() == DatumType::String {
        ensure!(tensor.rank() == 1, "unique slices of texts are not supported");
        let texts = elements::<String>(&tensor)?;
        let ranks: BTreeMap<&String, f64> =
            texts.iter().collect::<std::collections::BTreeSet<_>>().into_iter().zip((0..).map(f64::from)).collect();
        texts.iter().map(|it| vec![ranks[it]]).collect()
    } else {
        let values: ArrayD<f64> = array(&tensor)?;
        (0..n).map(|it| values.index_axis(Axis(axis), it).iter().map(|it| it + 0.0).collect()).collect()
    };
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| compare(&parts[a], &parts[b]).then(a.cmp(&b)));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for idx in order {
        match groups.last_mut() {
            Some(group) if compare(&parts[group[0]], &parts[idx]).is_eq() => group.push(idx),
            _ => groups.push(vec![idx]),
        }
    }
    if call.int("sorted", 1) == 0 {
        groups.sort_by_key(|it| it[0]);
    }
    let firsts: Vec<Tensor> =
        groups.iter().map(|it| tensor.slice(axis, it[0], it[0] + 1)).collect::<TractResult<_>>()?;
    let y = if firsts.is_empty() { tensor.clone() } else { concat(&firsts, axis)? };
    let mut inverse = vec![0i64; n];
    for (number, group) in groups.iter().enumerate() {
        for &idx in group {
            inverse[idx] = i64::try_from(number)?;
        }
    }
    let first: Vec<i64> = groups.iter().map(|it| it[0] as i64).collect();
    let counts: Vec<i64> = groups.iter().map(|it| it.len() as i64).collect();
    Ok(vec![y.into(), tensor1(&first).into(), tensor1(&inverse).into(), tensor1(&counts).into()])
}

/// An index beyond the depth gives off-values only.
pub(super) fn one_hot(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let indices: ArrayD<i64> = array(call.tensor(0)?)?;
    let depth = call.maybe_scalar::<i64>(1)?.context("the depth is missing")?;
    let size = usize::try_from(depth)?;
    let values = call.floats(2)?;
    ensure!(values.shape() == [2], "on and off are two values");
    let axis = call.axis(call.int("axis", -1), indices.ndim() + 1)?;
    let mut shape = indices.shape().to_vec();
    shape.insert(axis, size);
    let mut res = full(&shape, values[0])?;
    for (position, &index) in indices.indexed_iter() {
        let index = if index < 0 { index + depth } else { index };
        if let Some(index) = usize::try_from(index).ok().filter(|&it| it < size) {
            let mut at = tract_onnx::prelude::tract_ndarray::Dimension::slice(&position).to_vec();
            at.insert(axis, index);
            res[&*at] = values[1];
        }
    }
    Ok(vec![call.like(2, res)?])
}

/// The determinant of each matrix, by elimination with partial pivoting.
pub(super) fn determinant(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = call.floats(0)?;
    let rank = input.ndim();
    ensure!(rank >= 2 && input.shape()[rank - 1] == input.shape()[rank - 2], "{:?} is not square", input.shape());
    let (n, shape) = (input.shape()[rank - 1], input.shape()[..rank - 2].to_vec());
    let n_matrices = shape.iter().product();
    let stack = reshape(input, &[n_matrices, n, n])?;
    let mut res = Vec::with_capacity(n_matrices);
    for matrix in stack.outer_iter() {
        let mut rows: Vec<Vec<f64>> = matrix.outer_iter().map(|it| it.iter().copied().collect()).collect();
        let mut value = 1.0;
        for column in 0..n {
            let pivot =
                (column..n).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs())).unwrap_or(column);
            if pivot != column {
                rows.swap(pivot, column);
                value = -value;
            }
            value *= rows[column][column];
            if rows[column][column] == 0.0 {
                break;
            }
            let (above, below) = rows.split_at_mut(column + 1);
            for row in below {
                let factor = row[column] / above[column][column];
                row.iter_mut().zip(&above[column]).for_each(|(to, from)| *to -= factor * from);
            }
        }
        res.push(value);
    }
    Ok(vec![call.like(0, ArrayD::from_shape_vec(shape, res)?)?])
}

/// Largest or smallest element along axes, for the types that tract does not compare.
pub(super) fn reduce_max(call: &Call<'_>) -> TractResult<Vec<Value>> {
    extreme(call, f64::NEG_INFINITY, |a, b| if a > b || a.is_nan() { a } else { b })
}

pub(super) fn reduce_min(call: &Call<'_>) -> TractResult<Vec<Value>> {
    extreme(call, f64::INFINITY, |a, b| if a < b || a.is_nan() { a } else { b })
}

fn extreme(call: &Call<'_>, start: f64, f: fn(f64, f64) -> f64) -> TractResult<Vec<Value>> {
    let tensor = call.tensor(0)?;
    let rank = tensor.rank();
    let given = if call.version() >= 18 { call.maybe_ints(1)? } else { call.int_list("axes").map(<[i64]>::to_vec) };
    let axes = match given {
        Some(it) if !it.is_empty() => it.into_iter().map(|it| call.axis(it, rank)).collect::<TractResult<Vec<_>>>()?,
        _ if call.flag("noop_with_empty_axes") => return Ok(vec![Value::Tensor(tensor.clone())]),
        _ => (0..rank).collect(),
    };
    let (is_integer, datum_type) = (!tensor.datum_type().is_float(), tensor.datum_type());
    // Sixty-four bits do not fit into a double; only the order of the elements matters, and their values are looked up again.
    ensure!(
        !matches!(datum_type, DatumType::I64 | DatumType::U64) || fits_double(tensor)?,
        "integers beyond 2^53 are not supported"
    );
    let mut res = call.floats(0)?;
    for &axis in &axes {
        res = res.fold_axis(Axis(axis), start, |&a, &b| f(a, b)).insert_axis(Axis(axis));
    }
    if is_integer && res.iter().any(|it| it.is_infinite()) {
        // The extreme of nothing is the type's own limit.
        let limit = limits(datum_type)?;
        res.mapv_inplace(|it| {
            if it == f64::NEG_INFINITY {
                limit.0
            } else if it == f64::INFINITY {
                limit.1
            } else {
                it
            }
        });
    }
    if call.int("keepdims", 1) == 0 {
        let kept: Vec<usize> = (0..rank).filter(|it| !axes.contains(it)).map(|it| res.shape()[it]).collect();
        res = reshape(res, &kept)?;
    }
    if datum_type == DatumType::Bool {
        Ok(vec![res.mapv(|it| it != 0.0).into_tensor().into()])
    } else {
        Ok(vec![call.like(0, res)?])
    }
}

fn fits_double(tensor: &Tensor) -> TractResult<bool> {
    const LIMIT: i128 = 1 << 53;
    fn all<T: Datum + Copy + Into<i128>>(tensor: &Tensor) -> TractResult<bool> {
        Ok(tensor.to_plain_array_view::<T>()?.iter().all(|&it| it.into().abs() <= LIMIT))
    }
    if tensor.datum_type() == DatumType::I64 { all::<i64>(tensor) } else { all::<u64>(tensor) }
}

fn limits(datum_type: DatumType) -> TractResult<(f64, f64)> {
    Ok(match datum_type {
        DatumType::Bool => (0.0, 1.0),
        DatumType::I8 => (f64::from(i8::MIN), f64::from(i8::MAX)),
        DatumType::U8 => (0.0, f64::from(u8::MAX)),
        DatumType::I16 => (f64::from(i16::MIN), f64::from(i16::MAX)),
        DatumType::U16 => (0.0, f64::from(u16::MAX)),
        DatumType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        DatumType::U32 => (0.0, f64::from(u32::MAX)),
        other => bail!("the extreme of no elements of {other:?} is not supported"),
    })
}
