//! `RNN`, `GRU` and `LSTM` with everything that their specifications allow.

use tract_onnx::{
    prelude::{
        TractResult,
        tract_ndarray::{Array, Array1, Array2, Array3, ArrayD, ArrayView2, Axis, Dimension, Ix2, Ix3, Slice},
    },
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use crate::tract::interpreter::{call::Call, value::Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Rnn,
    Gru,
    Lstm,
}

impl Cell {
    fn n_gates(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }

    fn usual_activations(self) -> &'static [&'static str] {
        match self {
            Self::Rnn => &["Tanh"],
            Self::Gru => &["Sigmoid", "Tanh"],
            Self::Lstm => &["Sigmoid", "Tanh", "Tanh"],
        }
    }
}

/// Of a number, alpha and beta.
type Function = fn(f64, f64, f64) -> f64;

/// An activation with its parameters.
#[derive(Clone, Copy)]
struct Activation {
    function: Function,
    alpha: f64,
    beta: f64,
}

impl Activation {
    fn of(self, value: f64) -> f64 {
        (self.function)(value, self.alpha, self.beta)
    }
}

/// A parameter of an activation.
#[derive(Clone, Copy)]
enum Parameter {
    /// It has none.
    No,
    /// That of the operator of this name, where none is given.
    Usual(f64),
    /// There is no operator of this name, or onnxruntime takes 0 where none is given, and its value otherwise.
    Needed,
}

/// Returns the function and its parameters alpha and beta.
fn activation(name: &str) -> TractResult<(Function, Parameter, Parameter)> {
    use Parameter::{Needed, No, Usual};
    Ok(match &*name.to_ascii_lowercase() {
        "relu" => (|x, _, _| if x < 0.0 { 0.0 } else { x }, No, No),
        "tanh" => (|x, _, _| x.tanh(), No, No),
        "sigmoid" => (|x, _, _| 1.0 / (1.0 + (-x).exp()), No, No),
        "affine" => (|x, a, b| a * x + b, Needed, Usual(0.0)),
        "leakyrelu" => (|x, a, _| if x < 0.0 { a * x } else { x }, Usual(0.01), No),
        "thresholdedrelu" => (|x, a, _| if x < a { 0.0 } else { x }, Needed, No),
        "scaledtanh" => (|x, a, b| a * (b * x).tanh(), Needed, Needed),
        "hardsigmoid" => (|x, a, b| (a * x + b).clamp(0.0, 1.0), Usual(0.2), Usual(0.5)),
        "elu" => (|x, a, _| if x < 0.0 { a * (x.exp() - 1.0) } else { x }, Usual(1.0), No),
        "softsign" => (|x, _, _| x / (1.0 + x.abs()), No, No),
        "softplus" => (|x, _, _| x.exp().ln_1p(), No, No),
        other => bail!("the activation {other:?} is not known"),
    })
}

/// Returns the activations of each direction; parameters go to those that have them, in order.
fn activations(call: &Call<'_>, cell: Cell, n_directions: usize) -> TractResult<Vec<Vec<Activation>>> {
    let usual = cell.usual_activations();
    let mut names = call.texts("activations");
    if names.is_empty() {
        names = usual.repeat(n_directions).into_iter().map(str::to_string).collect();
    }
    ensure!(names.len() == usual.len() * n_directions, "{} activations are given", names.len());
    let mut alphas = call.float_list("activation_alpha").iter();
    let mut betas = call.float_list("activation_beta").iter();
    let mut all = Vec::new();
    for name in &names {
        let (function, alpha, beta) = activation(name)?;
        let given = |parameter: Parameter, which: &str, values: &mut std::slice::Iter<'_, f32>| {
            let usual = match parameter {
                Parameter::No => return Ok(0.0),
                Parameter::Usual(it) => Some(it),
                Parameter::Needed => None,
            };
            let value = values.next().map(|&it| f64::from(it)).or(usual);
            value.with_context(|| format!("the activation {name:?} has no `activation_{which}`"))
        };
        let (alpha, beta) = (given(alpha, "alpha", &mut alphas)?, given(beta, "beta", &mut betas)?);
        all.push(Activation { function, alpha, beta });
    }
    Ok(all.chunks(usual.len()).map(<[Activation]>::to_vec).collect())
}

pub(super) fn rnn(call: &Call<'_>) -> TractResult<Vec<Value>> {
    run(call, Cell::Rnn)
}

pub(super) fn gru(call: &Call<'_>) -> TractResult<Vec<Value>> {
    run(call, Cell::Gru)
}

pub(super) fn lstm(call: &Call<'_>) -> TractResult<Vec<Value>> {
    run(call, Cell::Lstm)
}

/// One direction of a layer.
struct Direction {
    cell: Cell,
    /// `[gates * hidden, input]`
    w: Array2<f64>,
    /// `[gates * hidden, hidden]`
    r: Array2<f64>,
    w_bias: Array1<f64>,
    r_bias: Array1<f64>,
    /// Input, output and forget gate, `[3 * hidden]`.
    peepholes: Array1<f64>,
    activations: Vec<Activation>,
    clip: Option<f64>,
    input_forget: bool,
    linear_before_reset: bool,
}

fn of_rank<D: Dimension>(array: ArrayD<f64>, what: &str) -> TractResult<Array<f64, D>> {
    let shape = array.shape().to_vec();
    array.into_dimensionality::<D>().with_context(|| format!("{what} has the shape {shape:?}"))
}

fn run(call: &Call<'_>, cell: Cell) -> TractResult<Vec<Value>> {
    let is_batch_first = call.flag("layout");
    let mut x: Array3<f64> = of_rank::<Ix3>(call.floats(0)?, "the input")?;
    if is_batch_first {
        x.swap_axes(0, 1);
    }
    let (n_steps, n_rows, n_inputs) = x.dim();
    let w: Array3<f64> = of_rank::<Ix3>(call.floats(1)?, "the weight")?;
    let r: Array3<f64> = of_rank::<Ix3>(call.floats(2)?, "the recurrence weight")?;
    let (n_directions, n_gates, hidden) = (r.dim().0, cell.n_gates(), r.dim().2);
    ensure!(
        w.dim() == (n_directions, n_gates * hidden, n_inputs) && r.dim().1 == n_gates * hidden,
        "weights of shape {:?} and {:?} do not fit an input of {n_inputs}",
        w.shape(),
        r.shape()
    );
    let direction = call.text("direction", "forward");
    let is_reverse: &[bool] = match direction {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => bail!("the direction {other:?} is not known"),
    };
    ensure!(is_reverse.len() == n_directions, "direction {direction:?} with weights for {n_directions}");
    let optional = |idx: usize, width: usize| -> TractResult<Array2<f64>> {
        let array = match call.maybe_floats(idx)? {
            Some(it) => of_rank::<Ix2>(it, "a bias")?,
            None => Array2::zeros((n_directions, width)),
        };
        ensure!(array.dim() == (n_directions, width), "input {idx} has the shape {:?}", array.shape());
        Ok(array)
    };
    let biases = optional(3, 2 * n_gates * hidden)?;
    let peepholes = if cell == Cell::Lstm { optional(7, 3 * hidden)? } else { Array2::zeros((n_directions, 0)) };
    let lengths = match call.maybe_ints(4)? {
        Some(it) => it.into_iter().map(|it| Ok(usize::try_from(it)?.min(n_steps))).collect::<TractResult<_>>()?,
        None => vec![n_steps; n_rows],
    };
    ensure!(lengths.len() == n_rows, "{} sequence lengths for {n_rows} rows", lengths.len());
    let initial = |idx: usize| -> TractResult<Array3<f64>> {
        let Some(array) = call.maybe_floats(idx)? else {
            return Ok(Array3::zeros((n_directions, n_rows, hidden)));
        };
        let mut array: Array3<f64> = of_rank::<Ix3>(array, "an initial state")?;
        if is_batch_first {
            array.swap_axes(0, 1);
        }
        ensure!(array.dim() == (n_directions, n_rows, hidden), "an initial state has the shape {:?}", array.shape());
        Ok(array)
    };
    let mut h = initial(5)?;
    let mut c = if cell == Cell::Lstm { initial(6)? } else { Array3::zeros((n_directions, n_rows, hidden)) };
    let activations = activations(call, cell, n_directions)?;
    let clip = call.has_attribute("clip").then(|| call.float("clip", 0.0));
    ensure!(clip.is_none_or(|it| it >= 0.0), "a clip of {clip:?} leaves nothing");
    let shape = [n_steps, n_directions, n_rows, hidden];
    let mut y = super::arrays::full(&shape, 0.0)?;
    let bias_split = n_gates * hidden;
    for (idx, &is_reverse) in is_reverse.iter().enumerate() {
        let layer = Direction {
            cell,
            w: w.index_axis(Axis(0), idx).to_owned(),
            r: r.index_axis(Axis(0), idx).to_owned(),
            w_bias: biases.row(idx).slice_axis(Axis(0), Slice::from(..bias_split)).to_owned(),
            r_bias: biases.row(idx).slice_axis(Axis(0), Slice::from(bias_split..)).to_owned(),
            peepholes: peepholes.row(idx).to_owned(),
            activations: activations[idx].clone(),
            clip,
            input_forget: call.flag("input_forget"),
            linear_before_reset: call.flag("linear_before_reset"),
        };
        for (row, &length) in lengths.iter().enumerate() {
            let x = x.index_axis(Axis(1), row);
            // All steps at once: a product of matrices, not of vectors.
            let gates = x.slice_axis(Axis(0), Slice::from(..length)).dot(&layer.w.t()) + &layer.w_bias;
            let mut state =
                (h.index_axis(Axis(0), idx).row(row).to_owned(), c.index_axis(Axis(0), idx).row(row).to_owned());
            for step in 0..length {
                let step = if is_reverse { length - 1 - step } else { step };
                state = layer.step(gates.row(step).to_owned(), &state.0, &state.1);
                for (unit, &value) in state.0.iter().enumerate() {
                    y[[step, idx, row, unit]] = value;
                }
            }
            if length == 0 {
                // As onnxruntime does: what there is no step of keeps no state.
                state = (Array1::zeros(hidden), Array1::zeros(hidden));
            }
            h.index_axis_mut(Axis(0), idx).row_mut(row).assign(&state.0);
            c.index_axis_mut(Axis(0), idx).row_mut(row).assign(&state.1);
        }
    }
    if is_batch_first {
        y = y.permuted_axes(vec![2, 0, 1, 3]);
        h.swap_axes(0, 1);
        c.swap_axes(0, 1);
    }
    let mut res = vec![call.like(0, y)?, call.like(0, h.into_dyn())?];
    if cell == Cell::Lstm {
        res.push(call.like(0, c.into_dyn())?);
    }
    Ok(res)
}

fn of_gate(gate: usize, hidden: usize) -> Slice {
    Slice::from(gate * hidden..(gate + 1) * hidden)
}

impl Direction {
    /// Returns the next hidden state and cell; `gates` is what the input alone gives, bias included.
    fn step(&self, gates: Array1<f64>, h: &Array1<f64>, c: &Array1<f64>) -> (Array1<f64>, Array1<f64>) {
        let hidden = h.len();
        let part = |from: &Array1<f64>, gate: usize| from.slice_axis(Axis(0), of_gate(gate, hidden)).to_owned();
        let rows = |gate: usize| -> ArrayView2<'_, f64> { self.r.slice_axis(Axis(0), of_gate(gate, hidden)) };
        let activate = |idx: usize, values: Array1<f64>| {
            values.mapv(|it| self.activations[idx].of(self.clip.map_or(it, |clip| it.clamp(-clip, clip))))
        };
        if self.cell == Cell::Gru {
            let z = activate(0, part(&gates, 0) + rows(0).dot(h) + part(&self.r_bias, 0));
            let r = activate(0, part(&gates, 1) + rows(1).dot(h) + part(&self.r_bias, 1));
            let recurrent = if self.linear_before_reset {
                r * (rows(2).dot(h) + part(&self.r_bias, 2))
            } else {
                rows(2).dot(&(r * h)) + part(&self.r_bias, 2)
            };
            let candidate = activate(1, part(&gates, 2) + recurrent);
            return ((1.0 - &z) * candidate + z * h, c.clone());
        }
        let all = gates + self.r.dot(h) + &self.r_bias;
        if self.cell == Cell::Rnn {
            return (activate(0, all), c.clone());
        }
        let peephole = |gate: usize| part(&self.peepholes, gate);
        let i = activate(0, part(&all, 0) + peephole(0) * c);
        let f = if self.input_forget { 1.0 - &i } else { activate(0, part(&all, 2) + peephole(2) * c) };
        let candidate = activate(1, part(&all, 3));
        let next_c = f * c + i * candidate;
        let o = activate(0, part(&all, 1) + peephole(1) * &next_c);
        let next_h = o * next_c.mapv(|it| self.activations[2].of(it));
        (next_h, next_c)
    }
}
