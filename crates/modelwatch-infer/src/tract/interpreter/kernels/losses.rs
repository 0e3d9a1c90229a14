//! `NegativeLogLikelihoodLoss` and `SoftmaxCrossEntropyLoss`.

use tract_onnx::{
    prelude::{
        TractResult,
        tract_ndarray::{ArrayD, Axis, Dimension},
    },
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::arrays::full;
use crate::tract::interpreter::{call::Call, value::Value};

pub(super) fn negative_log_likelihood(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let loss = loss(call, &call.floats(0)?)?;
    Ok(vec![call.like(0, loss)?])
}

pub(super) fn softmax_cross_entropy(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let mut scores = call.floats(0)?;
    ensure!(scores.ndim() >= 2, "the scores have no classes");
    for mut lane in scores.lanes_mut(Axis(1)) {
        let max = lane.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = lane.iter().map(|it| (it - max).exp()).sum();
        lane.mapv_inplace(|it| it - max - sum.ln());
    }
    let loss = loss(call, &scores)?;
    Ok(vec![call.like(0, loss)?, call.like(0, scores)?])
}

/// Returns the weighted negative log probability of each target class, reduced as the attribute says.
fn loss(call: &Call<'_>, log_probabilities: &ArrayD<f64>) -> TractResult<ArrayD<f64>> {
    let targets = call.ints(1)?;
    let weights = call.maybe_floats(2)?;
    let ignored = call.has_attribute("ignore_index").then(|| call.int("ignore_index", 0));
    let shape = log_probabilities.shape();
    ensure!(shape.len() >= 2, "the scores have no classes");
    let wanted = [&shape[..1], &shape[2..]].concat();
    ensure!(targets.shape() == wanted, "targets of shape {:?}, not {wanted:?}", targets.shape());
    ensure!(weights.as_ref().is_none_or(|it| it.shape() == [shape[1]]), "there must be {} weights", shape[1]);
    let mut res = full(&wanted, 0.0)?;
    let mut total = 0.0;
    for (position, &target) in targets.indexed_iter() {
        if Some(target) == ignored {
            continue;
        }
        let class = usize::try_from(target).ok().filter(|&it| it < shape[1]);
        let class = class.with_context(|| format!("class {target} of {} does not exist", shape[1]))?;
        let mut at = position.slice().to_vec();
        at.insert(1, class);
        let weight = weights.as_ref().map_or(1.0, |it| it[class]);
        res[position] = -log_probabilities[&*at] * weight;
        total += weight;
    }
    let scalar = |it: f64| full(&[], it);
    match call.text("reduction", "mean") {
        "none" => Ok(res),
        "sum" => scalar(res.sum()),
        "mean" => scalar(res.sum() / total),
        other => bail!("reduction {other:?} is not known"),
    }
}
