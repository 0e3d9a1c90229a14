//! Reads the operators of a graph for inputs of known shapes.

use std::collections::HashMap;

use tract_onnx::{
    prelude::{DatumType, OutletId, SpecialOps, TractError, TractResult, TypedFact, TypedModel},
    tract_core::ops::cast::cast,
    tract_hir::internal::{TractErrorContext, bail, ensure},
};
use tract_tensorflow::model::TfOpRegister;
use tract_tflite::tflite::{BuiltinOperator, Operator};

use super::{
    View, constants,
    ops::{self, Call},
    scales::{Scale, Scaled},
    shown,
};
use crate::tract::tf_ops;

/// Returns a graph of tract's for inputs of these shapes.
pub(super) fn read(view: View<'_>, shapes: &[Vec<usize>]) -> TractResult<TypedModel> {
    let inputs: Vec<i32> = view.graph.inputs().into_iter().flatten().collect();
    ensure!(inputs.len() == shapes.len(), "the model has {} inputs", inputs.len());
    let tensorflow = tf_ops::tensorflow().op_register;
    let mut reader = Reader { view, model: TypedModel::default(), wires: HashMap::new(), tensorflow: &tensorflow };
    for (idx, shape) in inputs.into_iter().zip(shapes) {
        reader.input(idx, shape)?;
    }
    for (operator, node) in view.nodes() {
        let named = || format!("{} (node `{}`)", shown(operator), view.first_output(node));
        reader.node(operator, node).with_context(named)?;
    }
    let outputs = view.graph.outputs().into_iter().flatten().map(|it| reader.output(it));
    let outputs = outputs.collect::<TractResult<Vec<_>>>()?;
    reader.model.select_output_outlets(&outputs)?;
    Ok(reader.model)
}

struct Reader<'a> {
    view: View<'a>,
    model: TypedModel,
    /// What each tensor is in the graph: of scaled integers, the numbers that they stand for.
    wires: HashMap<i32, OutletId>,
    tensorflow: &'a TfOpRegister,
}

impl Reader<'_> {
    fn input(&mut self, idx: i32, shape: &[usize]) -> TractResult<()> {
        let tensor = self.view.tensor(idx).with_context(|| format!("there is no tensor {idx}"))?;
        let declared = tensor.shape_signature().filter(|it| !it.is_empty()).or(tensor.shape());
        let declared: Vec<i32> = declared.into_iter().flatten().collect();
        let agrees = |(declared, wanted): (&i32, &usize)| *declared < 0 || usize::try_from(*declared) == Ok(*wanted);
        if declared.len() != shape.len() || !declared.iter().zip(shape).all(agrees) {
            bail!("an input has shape {declared:?}, not {shape:?}");
        }
        let name = self.prefix(tensor.name().unwrap_or("input"));
        let fact = TypedFact::dt_shape(DatumType::try_from(tensor.type_())?, shape);
        let mut wire = self.model.add_source(name.clone(), fact)?;
        if let Some(scale) = Scale::of(tensor).map_err(TractError::msg)? {
            wire = self.model.wire_node(format!("{name}.numbers"), Scaled::Numbers(scale), &[wire])?[0];
        }
        self.wires.insert(idx, wire);
        Ok(())
    }

    /// Returns what a tensor is in the graph.
    fn wire(&mut self, idx: i32) -> TractResult<OutletId> {
        if let Some(it) = self.wires.get(&idx) {
            return Ok(*it);
        }
        let tensor = self.view.tensor(idx).with_context(|| format!("there is no tensor {idx}"))?;
        let name = tensor.name().unwrap_or_default();
        let value = constants::read(self.view, tensor).with_context(|| format!("the constant `{name}`"))?;
        let value = value.with_context(|| format!("`{name}` is needed before it is computed"))?;
        let wire = self.model.add_const(if name.is_empty() { "constant" } else { name }, value)?;
        self.wires.insert(idx, wire);
        Ok(wire)
    }

    fn node(&mut self, operator: Option<BuiltinOperator>, node: Operator<'_>) -> TractResult<()> {
        let wire = operator.and_then(ops::wire_of).context("it is not supported")?;
        let ids: Vec<i32> = node.inputs().into_iter().flatten().collect();
        // What a layer remembers from run to run is nothing at first, and each run is one.
        let view = self.view;
        let is_left_out = |it: i32| it < 0 || view.tensor(it).is_some_and(|it| it.is_variable());
        let inputs = ids.iter().map(|it| if is_left_out(*it) { Ok(None) } else { self.wire(*it).map(Some) });
        let inputs: Vec<Option<OutletId>> = inputs.collect::<TractResult<_>>()?;
        let prefix = self.prefix(self.view.first_output(node));
        let mut call = Call {
            node,
            view: self.view,
            prefix: &prefix,
            model: &mut self.model,
            tensorflow: self.tensorflow,
            inputs: &inputs,
        };
        let given = wire(&mut call)?;
        let outputs: Vec<i32> = node.outputs().into_iter().flatten().collect();
        ensure!(outputs.len() <= given.len(), "it gives {} tensors, not {}", given.len(), outputs.len());
        // What only moves numbers keeps them on the steps where they are.
        let scale_of = |view: View<'_>, idx: i32| view.tensor(idx).map_or(Ok(None), Scale::of);
        let before = ids.first().map_or(Ok(None), |it| scale_of(self.view, *it)).ok().flatten();
        for (number, (idx, wire)) in outputs.into_iter().zip(given).enumerate() {
            let name = if number == 0 { prefix.clone() } else { format!("{prefix}.output-{number}") };
            let scale = scale_of(self.view, idx).map_err(TractError::msg)?;
            let wire = match scale {
                Some(scale) => {
                    let keeps = before == Some(scale) && operator.is_some_and(ops::moves);
                    if keeps { wire } else { self.wired(&format!("{name}.rounded"), Scaled::Rounded(scale), wire)? }
                }
                None => self.as_declared(&name, idx, wire)?,
            };
            self.wires.insert(idx, wire);
        }
        Ok(())
    }

    /// Fails if a tensor is not of the type that the file says it has; lengths are integers of any.
    fn as_declared(&mut self, name: &str, idx: i32, wire: OutletId) -> TractResult<OutletId> {
        let tensor = self.view.tensor(idx).with_context(|| format!("there is no tensor {idx}"))?;
        let declared = constants::datum_type(tensor).context("it gives what has an unsupported element type")?;
        let found = self.model.outlet_fact(wire)?.datum_type;
        match found {
            _ if found == declared => Ok(wire),
            DatumType::TDim | DatumType::I32 | DatumType::I64
                if matches!(declared, DatumType::I32 | DatumType::I64) =>
            {
                Ok(self.model.wire_node(format!("{name}.cast"), cast(declared), &[wire])?[0])
            }
            _ => bail!("it gives {found:?}, not {declared:?}"),
        }
    }

    fn wired(&mut self, name: &str, op: Scaled, wire: OutletId) -> TractResult<OutletId> {
        let found = self.model.outlet_fact(wire)?.datum_type;
        ensure!(found == DatumType::F32, "it gives {found:?}, which stands for no numbers");
        Ok(self.model.wire_node(name, op, &[wire])?[0])
    }

    fn output(&mut self, idx: i32) -> TractResult<OutletId> {
        let wire = self.wire(idx)?;
        let tensor = self.view.tensor(idx).with_context(|| format!("there is no tensor {idx}"))?;
        let Some(scale) = Scale::of(tensor).map_err(TractError::msg)? else { return Ok(wire) };
        let name = self.prefix(&format!("{}.integers", tensor.name().unwrap_or_default()));
        self.wired(&name, Scaled::Integers(scale), wire)
    }

    /// Returns a name from which those of nodes are made, and with which none begins yet.
    fn prefix(&self, name: &str) -> String {
        let is_taken = |prefix: &str| {
            let nodes = self.model.nodes().iter();
            nodes.filter_map(|it| it.name.strip_prefix(prefix)).any(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let name = if name.is_empty() { "node" } else { name };
        if !is_taken(name) {
            return name.to_owned();
        }
        // No two are made before the same number of nodes.
        format!("{name}#{}", self.model.nodes().len())
    }
}
