//! `LinearAttention` and `CausalConvWithState`: layers that carry a state from token to token.

use tract_onnx::{
    prelude::{
        TractResult,
        tract_ndarray::{ArrayD, Axis, IxDyn, concatenate},
    },
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::arrays::full;
use crate::tract::interpreter::{call::Call, value::Value};

pub(super) fn linear_attention(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let (q, k, v) = (call.floats(0)?, call.floats(1)?, call.floats(2)?);
    let dims = |it: &ArrayD<f64>| match *it.shape() {
        [batch, length, width] => Ok((batch, length, width)),
        _ => bail!("an input of shape {:?} is not packed", it.shape()),
    };
    let (batch, length, q_width) = dims(&q)?;
    let count = |name: &str| usize::try_from(call.int(name, 0)).ok().filter(|&it| it > 0);
    let (q_heads, kv_heads) =
        count("q_num_heads").zip(count("kv_num_heads")).context("the numbers of heads are missing")?;
    let (d_k, d_v) = (q_width / q_heads, dims(&v)?.2 / kv_heads);
    ensure!(
        q_heads % kv_heads == 0
            && q_width == q_heads * d_k
            && dims(&k)? == (batch, length, kv_heads * d_k)
            && dims(&v)? == (batch, length, kv_heads * d_v),
        "queries {:?}, keys {:?} and values {:?} do not fit",
        q.shape(),
        k.shape(),
        v.shape()
    );
    let (is_gated, is_delta) = match call.text("update_rule", "gated_delta") {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => bail!("the update rule {other:?} is not known"),
    };
    let wide = |idx: usize, is_needed: bool, widths: &[usize]| -> TractResult<Option<ArrayD<f64>>> {
        if !is_needed {
            return Ok(None);
        }
        let array = call.floats(idx)?;
        let (b, l, width) = dims(&array)?;
        ensure!((b, l) == (batch, length) && widths.contains(&width), "input {idx} has the shape {:?}", array.shape());
        Ok(Some(array))
    };
    let decay = wide(4, is_gated, &[kv_heads, kv_heads * d_k])?;
    let beta = wide(5, is_delta, &[kv_heads, 1])?;
    let mut state = match call.maybe_floats(3)? {
        Some(it) => it,
        None => full(&[batch, kv_heads, d_k, d_v], 0.0)?,
    };
    ensure!(state.shape() == [batch, kv_heads, d_k, d_v], "the past state has the shape {:?}", state.shape());
    let scale = match call.float("scale", 0.0) {
        0.0 => 1.0 / (d_k as f64).sqrt(),
        it => it,
    };
    let mut res = full(&[batch, length, q_heads * d_v], 0.0)?;
    for b in 0..batch {
        for t in 0..length {
            for head in 0..kv_heads {
                for i in 0..d_k {
                    // A width of one value per head is shared by its keys.
                    let gate = decay
                        .as_ref()
                        .map_or(0.0, |it| it[[b, t, if it.shape()[2] == kv_heads { head } else { head * d_k + i }]]);
                    (0..d_v).for_each(|j| state[[b, head, i, j]] *= gate.exp());
                }
                let rate = beta.as_ref().map_or(1.0, |it| it[[b, t, if it.shape()[2] == 1 { 0 } else { head }]]);
                for j in 0..d_v {
                    let key = |i: usize| k[[b, t, head * d_k + i]];
                    let known: f64 =
                        if is_delta { (0..d_k).map(|i| state[[b, head, i, j]] * key(i)).sum() } else { 0.0 };
                    let new = rate * (v[[b, t, head * d_v + j]] - known);
                    (0..d_k).for_each(|i| state[[b, head, i, j]] += key(i) * new);
                }
            }
            for q_head in 0..q_heads {
                let head = q_head * kv_heads / q_heads;
                for j in 0..d_v {
                    let sum: f64 = (0..d_k).map(|i| q[[b, t, q_head * d_k + i]] * state[[b, head, i, j]]).sum();
                    res[[b, t, q_head * d_v + j]] = scale * sum;
                }
            }
        }
    }
    let state_type = if call.maybe_value(3).is_some() { 3 } else { 0 };
    Ok(vec![call.like(0, res)?, call.like(state_type, state)?])
}

pub(super) fn causal_convolution(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let (x, weight) = (call.floats(0)?, call.floats(1)?);
    let (&[batch, channels, length], &[w_channels, 1, taps]) = (x.shape(), weight.shape()) else {
        bail!("an input of shape {:?} with a kernel of {:?}", x.shape(), weight.shape());
    };
    ensure!(w_channels == channels && taps > 0, "a kernel of {:?} for {channels} channels", weight.shape());
    let bias = call.maybe_floats(2)?;
    ensure!(bias.as_ref().is_none_or(|it| it.shape() == [channels]), "there must be {channels} biases");
    let past = match call.maybe_floats(3)? {
        Some(it) => it,
        None => full(&[batch, channels, taps - 1], 0.0)?,
    };
    ensure!(past.shape() == [batch, channels, taps - 1], "the past state has the shape {:?}", past.shape());
    let is_silu = match call.text("activation", "none") {
        "none" => false,
        "silu" | "swish" => true,
        other => bail!("the activation {other:?} is not known"),
    };
    let all = concatenate(Axis(2), &[past.view(), x.view()])?;
    let mut res = ArrayD::zeros(IxDyn(&[batch, channels, length]));
    for (position, value) in res.indexed_iter_mut() {
        let (row, channel, at) = (position[0], position[1], position[2]);
        let sum: f64 = (0..taps).map(|tap| weight[[channel, 0, tap]] * all[[row, channel, at + tap]]).sum();
        let sum = sum + bias.as_ref().map_or(0.0, |it| it[channel]);
        *value = if is_silu { sum / (1.0 + (-sum).exp()) } else { sum };
    }
    let start = all.shape()[2] - (taps - 1);
    let state = all.slice_axis(Axis(2), tract_onnx::prelude::tract_ndarray::Slice::from(start..)).to_owned();
    Ok(vec![call.like(0, res)?, call.like(0, state)?])
}
