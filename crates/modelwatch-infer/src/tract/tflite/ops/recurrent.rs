//! Recurrent layers, step by step.

use tract_onnx::{
    prelude::{DatumType, OutletId, SpecialOps, TVec, Tensor, TractResult},
    tract_core::ops::{
        array::{Slice, TypedConcat},
        change_axes::AxisOp,
        einsum::EinSum,
        math,
        nn::sigmoid,
    },
    tract_hir::internal::{TractErrorContext, bail, ensure},
};
use tract_tflite::tflite::{ActivationFunctionType, BuiltinOperator as Op};

use super::{Call, Known, Wires, given, numbers::cut, ours};
use crate::tract::{tflite::scales::are_scaled, wired::Chain};

pub(super) const KNOWN: &[Known] = &[ours(Op::UNIDIRECTIONAL_SEQUENCE_LSTM, lstm)];

/// As many as a graph has room for.
const MAX_STEPS: usize = 1024;
/// The gates, in the order in which their weights are given: what is let in, what is kept, what there is to let in, what is let out.
const N_GATES: usize = 4;

/// Where the inputs are.
const WEIGHTS: usize = 1;
const RECURRENT_WEIGHTS: usize = 5;
const PEEPHOLES: std::ops::Range<usize> = 9..12;
const BIASES: usize = 12;
const PROJECTION: std::ops::Range<usize> = 16..18;
const NORMALIZATION: std::ops::Range<usize> = 20..24;

/// The layer of Hochreiter and Schmidhuber, "Long Short-Term Memory" (1997), as Keras has it, whose state is 0 before the first step.
fn lstm(c: &mut Call<'_, '_>) -> Wires {
    let options = given(c.node.builtin_options_as_unidirectional_sequence_lstmoptions())?;
    ensure!(!options.asymmetric_quantize_inputs(), "it has asymmetric_quantize_inputs");
    ensure!(!options.diagonal_recurrent_tensors(), "it has diagonal_recurrent_tensors");
    ensure!(options.fused_activation_function() == ActivationFunctionType::TANH, "its activation is not TANH");
    for (parts, what) in [(PEEPHOLES, "peepholes"), (PROJECTION, "a projection"), (NORMALIZATION, "a normalization")] {
        ensure!(parts.into_iter().all(|it| c.optional(it).is_none()), "it has {what}");
    }
    let outputs = c.node.outputs().into_iter().flatten();
    let is_scaled = outputs.filter_map(|it| c.view.tensor(it)).any(are_scaled);
    ensure!(!is_scaled, "it is one of integers that stand for numbers");
    let clip = options.cell_clip();
    ensure!(clip >= 0.0 && clip.is_finite(), "its cell_clip is {clip}");

    let x = c.input(0)?;
    let dims = c.model.outlet_fact(x)?.shape.as_concrete().context("the shape of its input is not known")?.to_vec();
    let &[a, b, _] = &*dims else { bail!("its input has the shape {dims:?}") };
    let (time, n_steps, n_rows) = if options.time_major() { (0, a, b) } else { (1, b, a) };
    ensure!((1..=MAX_STEPS).contains(&n_steps), "it has {n_steps} steps, and from 1 to {MAX_STEPS} are taken");
    let [weights, recurrent, biases] = [WEIGHTS, RECURRENT_WEIGHTS, BIASES].map(|first| gates(c, first));
    let (weights, recurrent, biases) = (weights?, recurrent?, biases?);
    let fact = c.model.outlet_fact(recurrent)?.clone();
    let n_units = fact.shape.as_concrete().and_then(|it| it.get(1).copied()).context("its weights have no shape")?;
    let state = Tensor::zero_dt(DatumType::F32, &[n_rows, n_units])?;
    let state = c.model.add_const(format!("{}.state", c.prefix), state)?;

    let mut chain = c.chain();
    let product = |axes: &str| -> TractResult<EinSum> {
        Ok(EinSum { axes: axes.parse()?, q_params: None, operating_dt: DatumType::F32 })
    };
    let all = chain.add_unlike(product("ABI,OI->ABO")?, &[x, weights])?;
    let all = chain.add(math::add(), &[all, biases])?;
    let (mut hidden, mut cell) = (state, state);
    let mut given = TVec::new();
    for step in 0..n_steps {
        let now = part(&mut chain, all, time, step, 1)?;
        let now = chain.add(AxisOp::Rm(time), &[now])?;
        let before = chain.add_unlike(product("BI,OI->BO")?, &[hidden, recurrent])?;
        let gates = chain.add(math::add(), &[now, before])?;
        let [into, kept, new, out] = [0, 1, 2, 3].map(|it| part(&mut chain, gates, 1, it, n_units));
        let into = chain.add(sigmoid(), &[into?])?;
        let kept = chain.add(sigmoid(), &[kept?])?;
        let new = chain.add(math::tanh(), &[new?])?;
        let out = chain.add(sigmoid(), &[out?])?;
        let kept = chain.add(math::mul(), &[kept, cell])?;
        let new = chain.add(math::mul(), &[into, new])?;
        cell = chain.add(math::add(), &[kept, new])?;
        if clip > 0.0 {
            cell = cut(&mut chain, cell, Some(-clip), Some(clip))?;
        }
        let shown = chain.add(math::tanh(), &[cell])?;
        hidden = chain.add(math::mul(), &[out, shown])?;
        given.push(chain.add(AxisOp::Add(time), &[hidden])?);
    }
    c.model.wire_node(c.prefix, TypedConcat::new(time), &given)
}

/// Puts what is given of each gate one below the other.
fn gates(c: &mut Call<'_, '_>, first: usize) -> TractResult<OutletId> {
    let all: TVec<OutletId> = (first..first + N_GATES).map(|it| c.input(it)).collect::<TractResult<_>>()?;
    let name = format!("{}.of-gates-{first}", c.prefix);
    Ok(c.model.wire_node(name, TypedConcat::new(0), &all)?[0])
}

fn part(chain: &mut Chain<'_>, wire: OutletId, axis: usize, idx: usize, len: usize) -> TractResult<OutletId> {
    chain.add(Slice { axis, start: (idx * len).into(), end: ((idx + 1) * len).into() }, &[wire])
}
