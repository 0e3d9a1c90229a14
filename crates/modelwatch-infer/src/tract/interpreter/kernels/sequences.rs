//! Sequences and optionals.

use std::sync::Arc;

use tract_onnx::{
    prelude::{Tensor, TractResult, tensor0},
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::arrays::{at, concat, stack};
use crate::tract::interpreter::{call::Call, value::Value};

fn sequence<'a>(call: &'a Call<'_>, idx: usize) -> TractResult<&'a Vec<Value>> {
    match call.value(idx)? {
        Value::Sequence(it) => Ok(it),
        _ => bail!("input {idx} is no sequence"),
    }
}

/// Returns a position from 0 to `len`; negative ones count from the end.
fn position(idx: i64, len: usize) -> TractResult<usize> {
    let signed = if idx < 0 { idx.saturating_add(i64::try_from(len)?) } else { idx };
    usize::try_from(signed).map_err(|_| tract_onnx::tract_hir::internal::format_err!("there is no position {idx}"))
}

pub(super) fn empty(_call: &Call<'_>) -> TractResult<Vec<Value>> {
    Ok(vec![Value::Sequence(vec![])])
}

pub(super) fn construct(call: &Call<'_>) -> TractResult<Vec<Value>> {
    Ok(vec![Value::Sequence(call.inputs.iter().flatten().map(element_of).collect::<TractResult<_>>()?)])
}

pub(super) fn length(call: &Call<'_>) -> TractResult<Vec<Value>> {
    Ok(vec![tensor0(i64::try_from(sequence(call, 0)?.len())?).into()])
}

pub(super) fn element(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let all = sequence(call, 0)?;
    let idx = call.maybe_scalar::<i64>(1)?.context("the position is missing")?;
    let element = all.get(position(idx, all.len())?);
    Ok(vec![element.with_context(|| format!("a sequence of {} has no position {idx}", all.len()))?.clone()])
}

/// The most elements of a sequence that grows one by one: each step copies those before it.
const MAX_LENGTH: usize = 1 << 16;

/// Returns a value as an element; sequences of sequences, which could double at every node, do not exist.
fn element_of(value: &Value) -> TractResult<Value> {
    ensure!(!matches!(value, Value::Sequence(_)), "a sequence is no element of a sequence");
    Ok(value.clone())
}

pub(super) fn insert(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let mut all = sequence(call, 0)?.clone();
    let at = match call.maybe_scalar::<i64>(2)? {
        Some(it) => position(it, all.len())?,
        None => all.len(),
    };
    ensure!(at <= all.len(), "a sequence of {} has no position {at}", all.len());
    ensure!(all.len() < MAX_LENGTH, "a sequence of more than {MAX_LENGTH} elements is not supported");
    all.insert(at, element_of(call.value(1)?)?);
    Ok(vec![Value::Sequence(all)])
}

pub(super) fn erase(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let mut all = sequence(call, 0)?.clone();
    let at = position(call.maybe_scalar::<i64>(1)?.unwrap_or(-1), all.len())?;
    ensure!(at < all.len(), "a sequence of {} has no position {at}", all.len());
    all.remove(at);
    Ok(vec![Value::Sequence(all)])
}

pub(super) fn concatenate(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let all = sequence(call, 0)?.iter().map(|it| Ok((**it.tensor()?).clone()));
    let tensors: Vec<Tensor> = all.collect::<TractResult<_>>()?;
    let is_new = call.flag("new_axis");
    let rank = tensors.first().context("the sequence is empty")?.rank() + usize::from(is_new);
    let axis = call.axis(call.int("axis", 0), rank)?;
    Ok(vec![if is_new { stack(&tensors, axis)? } else { concat(&tensors, axis)? }.into()])
}

pub(super) fn split(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = call.tensor(0)?;
    let axis = call.axis(call.int("axis", 0), input.rank())?;
    let size = input.shape()[axis];
    let Some(lengths) = call.maybe_ints(1)? else {
        let keeps = call.int("keepdims", 1) != 0;
        let one = |idx| Ok(if keeps { input.slice(axis, idx, idx + 1)? } else { at(input, axis, idx)? }.into());
        return Ok(vec![Value::Sequence((0..size).map(one).collect::<TractResult<_>>()?)]);
    };
    let lengths: Vec<usize> = lengths.into_iter().map(usize::try_from).collect::<Result<_, _>>()?;
    let mut res = Vec::new();
    let mut start = 0;
    if call.tensor(1)?.rank() == 0 {
        ensure!(lengths[0] > 0, "parts of length 0 never end");
        while start < size {
            let end = size.min(start.saturating_add(lengths[0]));
            res.push(input.slice(axis, start, end)?.into());
            start = end;
        }
    } else {
        for length in lengths {
            let end = start.checked_add(length).filter(|&it| it <= size).context("the parts exceed the tensor")?;
            res.push(part(input, axis, start, end)?);
            start = end;
        }
        ensure!(start == size, "the parts leave {} of {size} over", size - start);
    }
    Ok(vec![Value::Sequence(res)])
}

/// Returns a part along an axis, which may be empty.
fn part(tensor: &Tensor, axis: usize, start: usize, end: usize) -> TractResult<Value> {
    if start < end {
        return Ok(tensor.slice(axis, start, end)?.into());
    }
    let mut shape = tensor.shape().to_vec();
    shape[axis] = 0;
    Ok(Tensor::zero_dt(tensor.datum_type(), &shape)?.into())
}

pub(super) fn map(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let body = call.graph("body")?;
    let n = sequence(call, 0)?.len();
    let mut res = vec![Vec::with_capacity(n); body.outputs.len()];
    for idx in 0..n {
        let one = |input: &Option<Value>| match input {
            Some(Value::Sequence(it)) => it.get(idx).cloned().context("the sequences differ in length"),
            Some(other) => Ok(other.clone()),
            None => bail!("an input is missing"),
        };
        let inputs = call.inputs.iter().map(one).collect::<TractResult<_>>()?;
        for (all, one) in res.iter_mut().zip(call.run(body, inputs)?) {
            all.push(one);
        }
    }
    Ok(res.into_iter().map(Value::Sequence).collect())
}

pub(super) fn optional(call: &Call<'_>) -> TractResult<Vec<Value>> {
    Ok(vec![call.maybe_value(0).cloned().unwrap_or(Value::Absent)])
}

pub(super) fn has_element(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let has = !matches!(call.maybe_value(0), None | Some(Value::Absent));
    Ok(vec![Value::Tensor(Arc::new(tensor0(has)))])
}

pub(super) fn get_element(call: &Call<'_>) -> TractResult<Vec<Value>> {
    match call.value(0)? {
        Value::Absent => bail!("the optional has no value"),
        it => Ok(vec![it.clone()]),
    }
}
