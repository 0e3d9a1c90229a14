//! `If`, `Loop` and `Scan`.

use std::sync::Arc;

use tract_onnx::{
    prelude::{Tensor, TractResult, tensor0},
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::arrays::{at, stack};
use crate::tract::{
    axes::resolve_axis,
    interpreter::{
        call::Call,
        graph::{Declared, Graph},
        loops::Loop,
        value::Value,
    },
    memory::MAX_TENSOR_BYTES,
};

/// ONNX's number of single precision.
const FLOAT: i32 = 1;

pub(super) fn choose(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let condition = call.maybe_scalar::<bool>(0)?.context("the condition is missing")?;
    call.run(call.graph(if condition { "then_branch" } else { "else_branch" })?, vec![])
}

pub(super) fn repeat(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let body = call.graph("body")?;
    let limit = call.maybe_scalar::<i64>(0)?.unwrap_or(i64::MAX);
    let mut goes_on = call.maybe_scalar::<bool>(1)?.unwrap_or(true);
    let mut carried: Vec<Value> =
        (2..call.inputs.len()).map(|idx| call.value(idx).cloned()).collect::<TractResult<_>>()?;
    let n_carried = carried.len();
    ensure!(body.outputs.len() > n_carried, "the body has {} outputs", body.outputs.len());
    let mut collected = Collected::new(body.outputs.len() - 1 - n_carried);
    let mut iteration = 0;
    if !goes_on || limit < 1 {
        let inputs = [vec![tensor0(0_i64).into(), tensor0(goes_on).into()], carried.clone()].concat();
        let inputs = inputs.into_iter().take(body.inputs.len()).collect();
        carried.extend(of_no_iteration(call, body, 1 + n_carried, inputs, |_, _| Ok(0))?);
        return Ok(carried);
    }
    let mut counted = Loop::new(call.scope.progress(), limit, n_bytes(&carried));
    while goes_on && iteration < limit {
        counted.iterate()?;
        counted.carry(n_bytes(&carried))?;
        let mut inputs = vec![tensor0(iteration).into(), tensor0(goes_on).into()];
        inputs.append(&mut carried);
        inputs.truncate(body.inputs.len());
        let mut outputs = call.run(body, inputs)?.into_iter();
        let condition = outputs.next().context("the body has no outputs")?;
        goes_on = condition.tensor()?.cast_to_scalar::<bool>()?;
        carried = outputs.by_ref().take(n_carried).collect();
        collected.push(outputs)?;
        iteration += 1;
    }
    for all in collected.of_outputs {
        carried.push(join(&all, 0)?);
    }
    Ok(carried)
}

fn n_bytes(carried: &[Value]) -> u64 {
    carried.iter().map(Value::n_bytes).fold(0, u64::saturating_add)
}

/// What iterations give beside what they carry on.
struct Collected {
    of_outputs: Vec<Vec<Value>>,
    n_bytes: u64,
}

impl Collected {
    fn new(n_outputs: usize) -> Self {
        Self { of_outputs: vec![vec![]; n_outputs], n_bytes: 0 }
    }

    fn push(&mut self, outputs: impl Iterator<Item = Value>) -> TractResult<()> {
        for (all, one) in self.of_outputs.iter_mut().zip(outputs) {
            one.tensor()?;
            self.n_bytes += one.n_bytes();
            ensure!(self.n_bytes <= MAX_TENSOR_BYTES, "its iterations give more than {MAX_TENSOR_BYTES} bytes");
            all.push(one);
        }
        Ok(())
    }
}

/// Returns what there is of the outputs of `body`, from that at `first` on, where it is never run: nothing along a new axis, which
/// `axis` gives by the place of the output and its rank.
///
/// Where the file does not say what the rest of the shape is, running it once does.
fn of_no_iteration(
    call: &Call<'_>,
    body: &Graph,
    first: usize,
    inputs: Vec<Value>,
    axis: impl Fn(usize, usize) -> TractResult<usize>,
) -> TractResult<Vec<Value>> {
    let declared = &body.declared[first..];
    let shape = |it: &Option<Declared>| it.as_ref().and_then(|it| it.shape.as_ref()?.iter().copied().collect());
    let shapes: Vec<Option<Vec<usize>>> = declared.iter().map(shape).collect();
    let tried = if shapes.iter().all(Option::is_some) { None } else { call.run(body, inputs).ok() };
    let one = |(idx, shape): (usize, Option<Vec<usize>>)| {
        let declared = declared[idx].as_ref();
        let data_type = declared.map_or(FLOAT, |it| it.data_type);
        let (data_type, mut shape) = match (shape, tried.as_ref().and_then(|it| it.get(first + idx))) {
            (Some(it), _) => (data_type, it),
            (None, Some(it)) => (it.data_type()?, it.shape()?.to_vec()),
            // A dimension that nothing tells is none.
            (None, None) => {
                let dims = declared.and_then(|it| it.shape.as_ref()).into_iter().flatten();
                (data_type, dims.map(|it| it.unwrap_or(0)).collect())
            }
        };
        shape.insert(axis(idx, shape.len() + 1)?, 0);
        Value::of_type(data_type, |it| Tensor::zero_dt(it, &shape))
    };
    shapes.into_iter().enumerate().map(one).collect()
}

/// Returns what iterations gave, side by side along a new axis.
fn join(all: &[Value], axis: usize) -> TractResult<Value> {
    let tensors: Vec<&Arc<Tensor>> = all.iter().map(Value::tensor).collect::<TractResult<_>>()?;
    let first = tensors.first().context("there is nothing to put side by side")?;
    let fits = |it: &&Arc<Tensor>| it.shape() == first.shape() && it.datum_type() == first.datum_type();
    ensure!(tensors.iter().all(fits), "an output changes its shape or type from iteration to iteration");
    let tensors: Vec<&Tensor> = tensors.into_iter().map(|it| &**it).collect();
    Ok(stack(&tensors, axis)?.into())
}

pub(super) fn scan(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let inputs = |skip: usize| -> TractResult<Vec<Arc<Tensor>>> {
        (skip..call.inputs.len()).map(|idx| call.tensor(idx).cloned()).collect()
    };
    if call.version() >= 9 {
        return scan_once(call, inputs(0)?);
    }
    // Version 8 has a batch as the first axis of everything, and optional lengths.
    ensure!(call.maybe_value(0).is_none(), "sequence lengths are not supported");
    let inputs = inputs(1)?;
    let n = inputs.first().and_then(|it| it.shape().first().copied()).context("there is no batch")?;
    ensure!(inputs.iter().all(|it| it.shape().first() == Some(&n)), "the inputs differ in their batch");
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for row in 0..n {
        let inputs = inputs.iter().map(|it| Ok(Arc::new(at(it, 0, row)?))).collect::<TractResult<_>>()?;
        rows.push(scan_once(call, inputs)?);
    }
    let n_outputs = rows.first().map_or(0, Vec::len);
    (0..n_outputs).map(|idx| join(&rows.iter().map(|it| it[idx].clone()).collect::<Vec<_>>(), 0)).collect()
}

fn scan_once(call: &Call<'_>, mut inputs: Vec<Arc<Tensor>>) -> TractResult<Vec<Value>> {
    let body: &Graph = call.graph("body")?;
    let n_scanned = usize::try_from(call.int("num_scan_inputs", 0))?;
    ensure!((1..=inputs.len()).contains(&n_scanned), "{n_scanned} of {} inputs are scanned", inputs.len());
    let scanned = inputs.split_off(inputs.len() - n_scanned);
    let n_states = inputs.len();
    let mut states: Vec<Value> = inputs.into_iter().map(Value::Tensor).collect();
    ensure!(body.outputs.len() >= n_states, "the body has {} outputs", body.outputs.len());
    let n_collected = body.outputs.len() - n_states;

    let setting = |name: &str, idx: usize| call.int_list(name).and_then(|it| it.get(idx).copied()).unwrap_or(0);
    // Version 8 names the directions of the inputs only.
    let direction = if call.version() >= 9 { "scan_input_directions" } else { "directions" };
    let mut axes = Vec::new();
    for (idx, it) in scanned.iter().enumerate() {
        axes.push(resolve_axis(setting("scan_input_axes", idx), it.rank())?);
    }
    let length = scanned[0].shape()[axes[0]];
    if scanned.iter().zip(&axes).any(|(it, &axis)| it.shape()[axis] != length) {
        bail!("the scanned inputs differ in length");
    }
    if length == 0 {
        let empty = |(it, axis): (&Arc<Tensor>, &usize)| {
            let mut shape = it.shape().to_vec();
            shape.remove(*axis);
            Ok(Tensor::zero_dt(it.datum_type(), &shape)?.into())
        };
        let rows = scanned.iter().zip(&axes).map(empty).collect::<TractResult<Vec<Value>>>()?;
        let place = |idx: usize, rank: usize| resolve_axis(setting("scan_output_axes", idx), rank);
        let of_none = of_no_iteration(call, body, n_states, [states.clone(), rows].concat(), place)?;
        return Ok([states, of_none].concat());
    }
    let mut collected = Collected::new(n_collected);
    let mut counted = Loop::new(call.scope.progress(), i64::try_from(length)?, n_bytes(&states));
    for step in 0..length {
        counted.carry(n_bytes(&states))?;
        let mut inputs = states;
        for (idx, (it, &axis)) in scanned.iter().zip(&axes).enumerate() {
            let from = if setting(direction, idx) == 0 { step } else { length - 1 - step };
            inputs.push(at(it, axis, from)?.into());
        }
        let mut outputs = call.run(body, inputs)?.into_iter();
        states = outputs.by_ref().take(n_states).collect();
        collected.push(outputs)?;
    }
    for (idx, mut all) in collected.of_outputs.into_iter().enumerate() {
        if setting("scan_output_directions", idx) != 0 {
            all.reverse();
        }
        let rank = all.first().map_or(Ok(0), |it| it.shape().map(<[usize]>::len))? + 1;
        states.push(join(&all, resolve_axis(setting("scan_output_axes", idx), rank)?)?);
    }
    Ok(states)
}
