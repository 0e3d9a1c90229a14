//! `DFT`: tract's is as exact as single precision, which next to large values leaves 1e-6 where there is nothing.

use std::f64::consts::TAU;

use tract_onnx::{
    prelude::{
        TractResult,
        tract_ndarray::{ArrayD, Axis, IxDyn},
    },
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::arrays::full;
use crate::tract::interpreter::{call::Call, value::Value};

/// The most multiplications; the sum is taken as it is defined, for the sake of exactness.
const MAX_WORK: usize = 1 << 34;

pub(super) fn transform(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = call.floats(0)?;
    let rank = input.ndim();
    ensure!(rank >= 2, "a signal of shape {:?} has no parts", input.shape());
    let axis = if call.version() >= 20 { call.maybe_scalar::<i64>(2)?.unwrap_or(-2) } else { call.int("axis", 1) };
    let axis = call.axis(axis, rank)?;
    ensure!(axis + 1 < rank, "the last axis holds the parts of a complex number");
    let (is_inverse, is_onesided) = (call.flag("inverse"), call.flag("onesided"));
    let (n_given, n_parts) = (input.shape()[axis], input.shape()[rank - 1]);
    ensure!(n_parts == 1 || n_parts == 2, "a number has {n_parts} parts");
    let from_half = is_inverse && is_onesided;
    let length = match call.maybe_scalar::<i64>(1)? {
        Some(it) => usize::try_from(it)?,
        None if from_half => 2 * n_given.saturating_sub(1),
        None => n_given,
    };
    let n_out = if is_onesided && !is_inverse { length / 2 + 1 } else { length };
    ensure!(length > 0, "a transform of length 0");
    let mut shape = input.shape().to_vec();
    shape[axis] = n_out;
    shape[rank - 1] = if from_half { 1 } else { 2 };
    let mut res = full(&shape, 0.0)?;
    let work = res.len().checked_mul(length).filter(|&it| it <= MAX_WORK);
    work.with_context(|| format!("a transform of length {length} is not supported"))?;
    let sign = if is_inverse { TAU } else { -TAU };
    let table: Vec<(f64, f64)> = (0..length).map(|it| (sign * it as f64 / length as f64).sin_cos()).collect();
    let part = |signal: &ArrayD<f64>, at: usize, part: usize| -> f64 {
        // What is missing is zero.
        signal.get(IxDyn(&[at, part])).copied().unwrap_or(0.0)
    };
    let mut lanes_shape = input.shape().to_vec();
    (lanes_shape[axis], lanes_shape[rank - 1]) = (1, 1);
    for idx in 0..lanes_shape.iter().product() {
        let lane = super::arrays::unravel(idx, &lanes_shape);
        let mut signal = input.view();
        let mut out = res.view_mut();
        for other in (0..rank - 1).rev().filter(|&it| it != axis) {
            signal.index_axis_inplace(Axis(other), lane[other]);
            out.index_axis_inplace(Axis(other), lane[other]);
        }
        let signal = signal.to_owned();
        for k in 0..n_out {
            let (mut real, mut imaginary) = (0.0, 0.0);
            for t in 0..length {
                let (a, b) = match t {
                    // The second half is the conjugate of the first.
                    t if from_half && t >= n_given => (part(&signal, length - t, 0), -part(&signal, length - t, 1)),
                    t => (part(&signal, t, 0), part(&signal, t, 1)),
                };
                let (sin, cos) = table[k * t % length];
                real += a * cos - b * sin;
                imaginary += a * sin + b * cos;
            }
            let scale = if is_inverse { 1.0 / length as f64 } else { 1.0 };
            match out.shape()[1] {
                1 => out[[k, 0]] = real * scale,
                2 => (out[[k, 0]], out[[k, 1]]) = (real * scale, imaginary * scale),
                n => bail!("a number has {n} parts"),
            }
        }
    }
    Ok(vec![call.like(0, res)?])
}
