//! `BatchNormalization` in training, which takes the statistics of the batch.

use tract_onnx::{
    prelude::{
        TractResult,
        tract_ndarray::{ArrayD, Axis, IxDyn},
    },
    tract_hir::internal::{bail, ensure},
};

use crate::tract::interpreter::{call::Call, value::Value};

pub(super) fn batch_normalization(call: &Call<'_>) -> TractResult<Vec<Value>> {
    if !call.flag("training_mode") {
        bail!("only the statistics of a batch are computed here");
    }
    let x = call.floats(0)?;
    let (scale, bias, mean, variance) = (call.floats(1)?, call.floats(2)?, call.floats(3)?, call.floats(4)?);
    ensure!(x.ndim() >= 2 && !x.is_empty(), "a batch of shape {:?}", x.shape());
    let channels = x.shape()[1];
    let fits = |it: &ArrayD<f64>| it.shape() == [channels];
    ensure!([&scale, &bias, &mean, &variance].into_iter().all(fits), "there must be {channels} of each parameter");
    let (epsilon, momentum) = (call.float("epsilon", 1e-5), call.float("momentum", 0.9));
    let mut y = x.clone();
    let mut running = [ArrayD::zeros(IxDyn(&[channels])), ArrayD::zeros(IxDyn(&[channels]))];
    for channel in 0..channels {
        let values = x.index_axis(Axis(1), channel);
        let n = values.len() as f64;
        let batch_mean = values.sum() / n;
        let batch_variance = values.mapv(|it| (it - batch_mean).powi(2)).sum() / n;
        let factor = scale[channel] / (batch_variance + epsilon).sqrt();
        y.index_axis_mut(Axis(1), channel).mapv_inplace(|it| (it - batch_mean) * factor + bias[channel]);
        running[0][channel] = mean[channel] * momentum + batch_mean * (1.0 - momentum);
        running[1][channel] = variance[channel] * momentum + batch_variance * (1.0 - momentum);
    }
    let [running_mean, running_variance] = running;
    Ok(vec![call.like(0, y)?, call.like(3, running_mean)?, call.like(4, running_variance)?])
}
