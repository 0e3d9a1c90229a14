//! `Attention`, versions 23 to 25.

use tract_onnx::{
    prelude::{
        DatumType, IntoTensor, Tensor, TractResult,
        tract_ndarray::{ArrayD, Axis, IxDyn, concatenate},
    },
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::arrays::{broadcast, full, matmul, reshape};
use crate::tract::{
    guard::RefusedOperator,
    interpreter::{
        call::{Call, array},
        value::Value,
    },
};

/// Returns each number as the type holds it, since the specification is a graph of operators that each round.
pub(super) fn rounded(array: ArrayD<f64>, datum_type: DatumType) -> TractResult<ArrayD<f64>> {
    if datum_type == DatumType::F64 {
        return Ok(array);
    }
    super::super::call::array(&*array.into_tensor().cast_to_dt(datum_type)?)
}

/// Queries, keys or values as `[batch, heads, sequence, size]`.
fn heads(array: ArrayD<f64>, n_heads: i64) -> TractResult<ArrayD<f64>> {
    match *array.shape() {
        [_, _, _, _] => Ok(array),
        [batch, length, width] => {
            let n = usize::try_from(n_heads).ok().filter(|&it| it > 0 && width % it == 0);
            let n = n.with_context(|| format!("{n_heads} heads do not share a width of {width}"))?;
            Ok(reshape(array, &[batch, length, n, width / n])?.permuted_axes(IxDyn(&[0, 2, 1, 3])))
        }
        _ => bail!("a tensor of shape {:?} has no heads", array.shape()),
    }
}

/// Returns the old part and the new one along the sequence.
fn appended(past: Option<ArrayD<f64>>, new: ArrayD<f64>) -> TractResult<ArrayD<f64>> {
    match past {
        Some(past) => Ok(concatenate(Axis(2), &[past.view(), new.view()])?),
        None => Ok(new),
    }
}

/// Returns each head `n` times in a row.
fn repeated(array: &ArrayD<f64>, n: usize) -> ArrayD<f64> {
    let indices: Vec<usize> = (0..array.shape()[1] * n).map(|it| it / n).collect();
    array.select(Axis(1), &indices)
}

pub(super) fn attention(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let datum_type = call.tensor(0)?.datum_type();
    let is_packed = call.tensor(0)?.rank() == 3;
    let q = heads(call.floats(0)?, call.int("q_num_heads", 0))?;
    let n_kv_heads = call.int("kv_num_heads", 0);
    let (past_key, past_value) = (call.maybe_floats(4)?, call.maybe_floats(5)?);
    ensure!(past_key.is_some() == past_value.is_some(), "there is only one of past key and past value");
    let past_length = past_key.as_ref().map(|it| it.shape().get(2).copied().unwrap_or(0));
    let k = appended(past_key, heads(call.floats(1)?, n_kv_heads)?)?;
    let v = appended(past_value, heads(call.floats(2)?, n_kv_heads)?)?;
    let (batch, n_heads, q_length, size) = (q.shape()[0], q.shape()[1], q.shape()[2], q.shape()[3]);
    let kv_length = k.shape()[2];
    let groups = n_heads.checked_div(k.shape()[1]).filter(|it| it * k.shape()[1] == n_heads);
    let groups = groups.with_context(|| format!("{} heads of keys for {n_heads} of queries", k.shape()[1]))?;
    ensure!(v.shape()[..3] == k.shape()[..3], "keys {:?} and values {:?} do not fit", k.shape(), v.shape());

    let lengths = call.maybe_ints(6)?;
    ensure!(lengths.as_ref().is_none_or(|it| it.len() == batch), "there must be a length for each of {batch}");
    let mask = Mask {
        lengths: &lengths,
        past_length,
        is_causal: call.flag("is_causal"),
        left: call.int("left_window_size", -1),
        right: call.int("right_window_size", -1),
    };
    let bias = mask.bias(call.maybe_tensor(3)?.map(|it| &**it), [batch, n_heads, q_length, kv_length])?;

    let n_seen = past_length.map(|it| it + q_length).filter(|_| mask.is_causal);
    if q_length == 1 && n_seen.is_some_and(|it| it < kv_length) {
        let why = "with `is_causal`, one query and more keys than one behind those of the past, ONNX Runtime hides none of them";
        return Err(RefusedOperator::of(call.proto(), why).into());
    }
    let scale = if call.has_attribute("scale") { call.float("scale", 0.0) } else { 1.0 / (size as f64).sqrt() };
    let root = rounded(full(&[], scale.sqrt())?, datum_type)?.sum();
    let scaled_q = rounded(q * root, datum_type)?;
    let scaled_k = rounded(repeated(&k, groups).permuted_axes(IxDyn(&[0, 1, 3, 2])) * root, datum_type)?;
    let raw = rounded(matmul(&scaled_q, &scaled_k)?, datum_type)?;
    let softcap = call.float("softcap", 0.0);
    let capped =
        if softcap > 0.0 { rounded(raw.mapv(|it| softcap * (it / softcap).tanh()), datum_type)? } else { raw.clone() };
    let biased = rounded(&capped + &bias, datum_type)?;
    let mut probabilities = biased.clone();
    for (mut row, bias) in probabilities.lanes_mut(Axis(3)).into_iter().zip(bias.lanes(Axis(3))) {
        if bias.iter().all(|&it| it == f64::NEG_INFINITY) {
            // A query that may look at nothing sees nothing.
            row.fill(0.0);
            continue;
        }
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|it| (it - max).exp()).sum();
        row.mapv_inplace(|it| (it - max).exp() / sum);
    }
    let probabilities = rounded(probabilities, datum_type)?;
    let mut y = matmul(&probabilities, &repeated(&v, groups))?;
    if is_packed {
        let width = n_heads * v.shape()[3];
        y = reshape(y.permuted_axes(IxDyn(&[0, 2, 1, 3])), &[batch, q_length, width])?;
    }
    let scores = match call.int("qk_matmul_output_mode", 0) {
        0 => raw,
        1 => capped,
        2 => biased,
        3 => probabilities,
        other => bail!("there is no qk_matmul_output_mode {other}"),
    };
    Ok(vec![call.like(0, y)?, call.like(1, k)?, call.like(2, v)?, call.like(0, scores)?])
}

/// Who may look at whom.
struct Mask<'a> {
    /// The keys of each row that are no padding.
    lengths: &'a Option<Vec<i64>>,
    past_length: Option<usize>,
    is_causal: bool,
    left: i64,
    right: i64,
}

impl Mask<'_> {
    /// Returns what is added to the scores, negative infinity where a key is hidden.
    fn bias(&self, given: Option<&Tensor>, shape: [usize; 4]) -> TractResult<ArrayD<f64>> {
        let [_, _, q_length, kv_length] = shape;
        let mut res = match given {
            Some(it) => broadcast(&Self::given(it, kv_length)?, &shape)?.to_owned(),
            None => full(&shape, 0.0)?,
        };
        for (position, value) in res.indexed_iter_mut() {
            let (row, query, key) = (position[0], i64::try_from(position[2])?, i64::try_from(position[3])?);
            let length = self.lengths.as_ref().map(|it| it[row]);
            let offset = match (self.past_length, length) {
                (Some(it), _) => i64::try_from(it)?,
                (None, Some(it)) => it - i64::try_from(q_length)?,
                (None, None) => 0,
            };
            let at = query + offset;
            let is_hidden = (self.is_causal && key > at)
                || (self.left >= 0 && key < at.saturating_sub(self.left))
                || (self.right >= 0 && key > at.saturating_add(self.right))
                || length.is_some_and(|it| key >= it);
            if is_hidden {
                *value = f64::NEG_INFINITY;
            }
        }
        Ok(res)
    }

    /// Returns the given mask as numbers to add; what it is too short for is hidden.
    fn given(mask: &Tensor, kv_length: usize) -> TractResult<ArrayD<f64>> {
        let is_bool = mask.datum_type() == DatumType::Bool;
        let one = |it: f64| if it != 0.0 { 0.0 } else { f64::NEG_INFINITY };
        let mask: ArrayD<f64> = array(mask)?;
        let mask = if is_bool { mask.mapv(one) } else { mask };
        let length = mask.shape().last().copied().unwrap_or(1);
        if mask.ndim() == 0 || length == kv_length {
            return Ok(mask);
        }
        ensure!(length < kv_length, "a mask for {length} keys of {kv_length}");
        let mut rest = mask.shape().to_vec();
        let axis = Axis(rest.len() - 1);
        rest[axis.0] = kv_length - length;
        Ok(concatenate(axis, &[mask.view(), full(&rest, f64::NEG_INFINITY)?.view()])?)
    }
}
