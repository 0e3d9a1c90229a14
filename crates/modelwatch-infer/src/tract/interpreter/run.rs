//! Runs graphs node by node.

use std::{cell::Cell, collections::HashMap, sync::Arc};

use tract_onnx::{
    prelude::{DatumType, TractResult},
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::{
    call::Call,
    graph::{Context, Graph, Node, Route},
    kernels,
    loops::{Costly, Limits, Loops},
    narrow::{Narrow, Overflow},
    value::Value,
};
use crate::tract::{
    attributes::label,
    memory::MAX_TENSOR_BYTES,
    preflight::{Known, node_outputs, node_work},
};

/// The most nodes that are run for one answer, those of loops each time; what is not done by then is taken for endless.
pub(super) const MAX_STEPS: u64 = 1 << 24;

/// What was done for one answer, in all graphs, and what may be.
pub(super) struct Progress {
    pub(super) n_steps: Cell<u64>,
    n_operations: Cell<u64>,
    pub(super) loops: Loops,
}

impl Progress {
    pub(super) fn new(limits: Limits) -> Self {
        Self { n_steps: Cell::new(0), n_operations: Cell::new(0), loops: Loops::new(limits) }
    }

    /// Counts what a node is to compute of these values, if that is still within what an answer may cost, and in memory as well: tract
    /// evaluates what is constant while it reads, however large it is.
    fn work(&self, node: &Node, inputs: &[Option<Value>], version: i64) -> TractResult<()> {
        let known: Vec<Option<Known>> = inputs.iter().map(|it| it.as_ref().map(Value::known)).collect();
        let outputs = node_outputs(&node.proto, &known, version);
        for output in &outputs {
            let n_bytes = output.min_bytes();
            ensure!(n_bytes <= MAX_TENSOR_BYTES, "it makes a tensor of shape {}, {n_bytes} bytes", output.shape_text());
        }
        let work = node_work(&node.proto, &known, &outputs, version);
        let n_operations = self.n_operations.get().saturating_add(work);
        self.n_operations.set(n_operations);
        let limits = self.loops.limits;
        if n_operations <= limits.work {
            return Ok(());
        }
        if limits.is_preparing() {
            return Err(Costly.into());
        }
        let (done, most) = (n_operations as f64, limits.work as f64);
        bail!("it takes {done:.1e} operations with the nodes before it, more than the {most:.0e} that are allowed")
    }
}

/// The values of a graph that is running, and of those around it.
pub(super) struct Scope<'a> {
    constants: &'a HashMap<String, Value>,
    values: HashMap<&'a str, Value>,
    parent: Option<&'a Scope<'a>>,
    progress: &'a Progress,
}

impl Scope<'_> {
    pub(super) fn progress(&self) -> &Progress {
        self.progress
    }

    /// Returns a value, and whether it is the same in every run.
    fn find(&self, name: &str) -> Option<(&Value, bool)> {
        if let Some(value) = self.values.get(name) {
            return Some((value, false));
        }
        match self.constants.get(name) {
            Some(value) => Some((value, true)),
            None => self.parent?.find(name),
        }
    }
}

/// Who is shown the values of each node.
pub(super) type See<'a> = dyn Fn(usize, &[Value]) -> TractResult<()> + 'a;

/// Where a graph stands.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// It is the model's, of which these tensors are wanted behind the outputs.
    Model { layers: &'a [String], progress: &'a Progress, see: Option<&'a See<'a>> },
    /// It is in an attribute of a node of this graph.
    Nested(&'a Scope<'a>),
}

/// Returns the outputs of `graph`, and what else is wanted of it.
pub(super) fn run(context: &Context, graph: &Graph, inputs: Vec<Value>, place: Place<'_>) -> TractResult<Vec<Value>> {
    let (parent, layers, progress, see) = match place {
        Place::Model { layers, progress, see } => (None, layers, progress, see),
        Place::Nested(parent) => (Some(parent), &[][..], parent.progress, None),
    };
    ensure!(inputs.len() <= graph.inputs.len(), "{} inputs are given, {} taken", inputs.len(), graph.inputs.len());
    let values = graph.inputs.iter().map(String::as_str).zip(inputs).collect();
    let n_steps = &progress.n_steps;
    let mut scope = Scope { constants: &graph.constants, values, parent, progress };
    for (idx, node) in graph.nodes.iter().enumerate() {
        n_steps.set(n_steps.get() + 1);
        ensure!(n_steps.get() <= MAX_STEPS, "{} is not done after {MAX_STEPS} steps", label(&node.proto));
        let outputs = run_node(context, node, &scope).with_context(|| label(&node.proto))?;
        see.map_or(Ok(()), |see| see(idx, &outputs))?;
        for name in node.last_uses.iter().filter(|it| !layers.contains(it)) {
            scope.values.remove(name.as_str());
        }
        let names = node.proto.output.iter().map(String::as_str);
        scope.values.extend(names.zip(outputs).filter(|(name, _)| !name.is_empty()));
    }
    let output = |name: &String| {
        let found = scope.find(name).with_context(|| format!("nothing computes output `{name}`"))?;
        Ok(found.0.clone())
    };
    graph.outputs.iter().chain(layers).map(output).collect()
}

fn run_node(context: &Context, node: &Node, scope: &Scope<'_>) -> TractResult<Vec<Value>> {
    let mut inputs = Vec::with_capacity(node.proto.input.len());
    let mut are_constant = Vec::with_capacity(node.proto.input.len());
    for name in &node.proto.input {
        if name.is_empty() {
            inputs.push(None);
            are_constant.push(true);
            continue;
        }
        let (value, is_constant) = scope.find(name).with_context(|| format!("nothing computes `{name}`"))?;
        inputs.push(Some(value.clone()));
        are_constant.push(is_constant);
    }
    scope.progress.work(node, &inputs, context.version)?;
    let takes_narrow = matches!(&node.route, Route::Own(kernel) if kernel.takes_narrow);
    let is_widened = !takes_narrow && widen(&mut inputs)?;
    let outputs = match &node.route {
        Route::Own(kernel) => (kernel.run)(&Call { context, node, inputs, scope })?,
        Route::Tract(it, fallback) => {
            let call = Call { context, node, inputs, scope };
            if kernels::is_of_nothing(&call) {
                kernels::of_nothing(&call)?
            } else {
                let computed = it.run(context, &node.proto, &call.inputs, &are_constant);
                match (computed, fallback) {
                    (Err(error), Some(fallback)) => fallback(&call).map_err(|_| error)?,
                    (computed, _) => computed?,
                }
            }
        }
    };
    let n_named = node.proto.output.iter().filter(|it| !it.is_empty()).count();
    ensure!(outputs.len() >= n_named.min(1), "it has {} outputs, not {n_named}", outputs.len());
    if is_widened { outputs.into_iter().map(narrow).collect() } else { Ok(outputs) }
}

/// Replaces bfloat16 by single precision, in which tract and most kernels compute it.
fn widen(inputs: &mut [Option<Value>]) -> TractResult<bool> {
    let mut res = false;
    for input in inputs.iter_mut().flatten() {
        match input {
            Value::Narrow(Narrow::Bfloat16, tensor) => {
                *input = Value::Tensor(tensor.clone());
                res = true;
            }
            Value::Narrow(other, _) => bail!("an input of {other:?} is not supported"),
            _ => (),
        }
    }
    Ok(res)
}

fn narrow(output: Value) -> TractResult<Value> {
    match output {
        Value::Tensor(tensor) if tensor.datum_type() == DatumType::F32 => {
            let values = tensor.to_plain_array_view::<f32>()?;
            let rounded = values.mapv(|it| Narrow::Bfloat16.nearest(it, Overflow::Infinite));
            Ok(Value::Narrow(Narrow::Bfloat16, Arc::new(rounded.into())))
        }
        other => Ok(other),
    }
}
