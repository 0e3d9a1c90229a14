//! A model as nodes that are run one by one.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use tract_onnx::{
    prelude::{DatumType, IntoArcTensor, IntoTValue, TValue, TVec, Tensor, TractResult, TypedModel},
    tract_core::{
        internal::SessionId,
        ops::{konst::Const, logic::IfThenElse, scan::Scan, source::TypedSource},
        plan::TurnState,
    },
    tract_hir::internal::{OutletId, TractErrorContext, TypedNode, bail},
};

use super::{bounds, convert, guard, memory};
use crate::{numerics::NodeNumbers, tensor::HostTensor};

/// A graph as written, for one number of rows of concrete shapes.
pub struct NodeGraph {
    pub(super) model: TypedModel,
    pub(super) rows: usize,
    pub(super) row_shapes: Vec<Vec<usize>>,
    input_types: Vec<DatumType>,
    /// The nodes that the outputs need, each after what it needs itself.
    pub(super) order: Vec<usize>,
    /// By node: its values, where they do not depend on the inputs.
    constants: Vec<Option<TVec<Arc<Tensor>>>>,
    /// By node: how many inputs of needed nodes its values are, and how many outputs of the model.
    pub(super) n_uses: Vec<usize>,
    /// Where the tensors of the file are, if that was asked for.
    outlets: HashMap<String, OutletId>,
    /// The operators of the file's nodes by their names, where that is known.
    operators: Arc<BTreeMap<String, String>>,
}

/// The values of one node.
pub(super) type Outputs = TVec<TValue>;

impl NodeGraph {
    pub(super) fn new(
        model: TypedModel,
        rows: usize,
        row_shapes: &[Vec<usize>],
        input_types: &[DatumType],
    ) -> TractResult<Self> {
        let order = model.eval_order()?;
        let (row_shapes, input_types) = (row_shapes.to_vec(), input_types.to_vec());
        let (constants, n_uses) = (vec![None; model.nodes().len()], n_uses(&model, &order)?);
        let (outlets, operators) = (HashMap::new(), Arc::default());
        let mut res = Self { model, rows, row_shapes, input_types, order, constants, n_uses, outlets, operators };
        for &id in &res.order {
            let node = res.model.node(id);
            // A source has no inputs either.
            if !is_source(node) && node.inputs.iter().all(|it| res.is_constant(it.node)) {
                let inputs = node.inputs.iter().map(|it| res.constant(*it)).collect::<TractResult<_>>()?;
                let values = eval(node, inputs)?;
                res.constants[id] = Some(values.into_iter().map(IntoArcTensor::into_arc_tensor).collect());
            }
        }
        Ok(res)
    }

    /// Returns the graph with the places of the file's tensors in it.
    pub(super) fn with_outlets(self, outlets: HashMap<String, OutletId>) -> Self {
        Self { outlets, ..self }
    }

    /// Returns the graph with the operators of the file's nodes.
    pub(super) fn with_operators(self, operators: Arc<BTreeMap<String, String>>) -> Self {
        Self { operators, ..self }
    }

    /// Returns the node of the file that a node is a part of, and its operator; none where that is not known.
    fn origin(&self, node: &TypedNode) -> Option<(&str, &str)> {
        // Inputs and constants may be named like a node or a part of it.
        let mut name = Some(&*node.name).filter(|_| !node.op_is::<Const>() && !is_source(node))?;
        loop {
            if let Some((name, operator)) = self.operators.get_key_value(name) {
                return Some((name.as_str(), operator.as_str()));
            }
            name = &name[..name.rfind('.')?];
        }
    }

    /// Returns the operator that the file has for a node, or else what stands for it here.
    pub(super) fn operator(&self, node: &TypedNode) -> String {
        self.origin(node).map_or_else(|| node.op.name().into_owned(), |it| it.1.to_owned())
    }

    /// Returns where a tensor of the file is.
    pub(super) fn outlet(&self, tensor: &str) -> Option<OutletId> {
        self.outlets.get(tensor).copied()
    }

    /// Returns a value that does not depend on the inputs.
    pub(super) fn constant(&self, outlet: OutletId) -> TractResult<TValue> {
        let values = self.constants[outlet.node].as_ref();
        let value = values.and_then(|it| it.get(outlet.slot)).with_context(|| format!("{outlet:?} is no constant"))?;
        Ok(value.clone().into_tvalue())
    }

    /// Returns the nodes that compute something from the inputs, in the order in which they run.
    pub(super) fn computing(&self) -> impl Iterator<Item = &TypedNode> {
        self.order.iter().map(|&id| self.model.node(id)).filter(|it| !self.is_constant(it.id) && !is_source(it))
    }

    /// Returns the nodes within which others compute what is not their own value. The steps of a recurrent layer are no nodes of the
    /// file; those of a loop are, where it `has_loops`.
    pub(crate) fn nested(&self, has_loops: bool) -> Vec<String> {
        let is_nested = |it: &&TypedNode| match (it.op_as::<IfThenElse>(), it.op_as::<Scan>()) {
            (Some(it), _) => [&it.then_body, &it.else_body].into_iter().any(|it| hides_nodes(it, &it.outputs)),
            (None, Some(it)) => has_loops && hides_nodes(&it.body, &every_step(it)),
            (None, None) => false,
        };
        self.computing().filter(is_nested).map(|it| it.name.clone()).collect()
    }

    pub(super) fn is_constant(&self, id: usize) -> bool {
        self.constants[id].is_some()
    }

    /// Returns the number of rows in each run.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the inputs and the nodes that compute something from them, before anything was run. `outputs` are the names
    /// of the model's outputs.
    pub(crate) fn unseen(&self, outputs: &[String]) -> HashMap<usize, NodeNumbers> {
        // An output that does not depend on the inputs is one all the same.
        let is_output = |id: usize| self.model.outputs.iter().any(|it| it.node == id);
        let kept: Vec<usize> =
            self.order.iter().copied().filter(|id| !self.is_constant(*id) || is_output(*id)).collect();
        let mut n_parts: HashMap<&str, usize> = HashMap::new();
        for (name, _) in kept.iter().filter_map(|id| self.origin(self.model.node(*id))) {
            *n_parts.entry(name).or_default() += 1;
        }
        let one = |id: usize| {
            let node = self.model.node(id);
            // Each part of a node has a name of its own.
            let whole = self.origin(node).map(|it| it.0).filter(|it| n_parts[it] == 1);
            let name = whole.unwrap_or(&node.name).to_owned();
            let its_outputs = self.model.outputs.iter().zip(outputs).filter(|it| it.0.node == id);
            let operator = if is_source(node) { String::new() } else { self.operator(node) };
            let outputs = its_outputs.map(|it| it.1.clone()).collect();
            let is_float = node.outputs.iter().all(|it| it.fact.datum_type.is_float());
            let numbers = NodeNumbers { name, operator, outputs, is_float, ..NodeNumbers::default() };
            (id, numbers.with_bounds(bounds::of(self, node)))
        };
        kept.into_iter().map(one).collect()
    }

    /// Returns the numbers of the constants that computing nodes take, or says what failed.
    pub(crate) fn constant_numbers(&self) -> Result<Vec<NodeNumbers>, String> {
        let taken: HashSet<usize> = self.computing().flat_map(|it| &it.inputs).map(|it| it.node).collect();
        let mut res = Vec::new();
        for id in self.order.iter().copied().filter(|it| taken.contains(it)) {
            let node = self.model.node(id);
            let values = self.constants[id].iter().flatten().filter(|it| it.datum_type().is_float());
            let mut numbers = NodeNumbers {
                name: node.name.clone(),
                operator: self.operator(node),
                is_float: true,
                ..NodeNumbers::default()
            };
            for value in values {
                add_all(&mut numbers, value).map_err(|it| guard::reason(&it))?;
            }
            if numbers.n > 0 {
                res.push(numbers);
            }
        }
        Ok(res)
    }

    /// Returns the numbers in the order in which the nodes run.
    pub(crate) fn in_order(&self, mut numbers: HashMap<usize, NodeNumbers>) -> Vec<NodeNumbers> {
        self.order.iter().filter_map(|id| numbers.remove(id)).collect()
    }

    /// Runs all nodes and adds the numbers of the first `n_rows` rows, or says what failed.
    pub(crate) fn add_numbers(
        &self,
        inputs: Vec<HostTensor>,
        n_rows: usize,
        numbers: &mut HashMap<usize, NodeNumbers>,
    ) -> Result<(), String> {
        let see = |id: usize, values: &Outputs| {
            let Some(numbers) = numbers.get_mut(&id) else { return Ok(()) };
            for value in values.iter().filter(|it| is_number(it)) {
                let value = self.head(value, n_rows)?;
                add_all(numbers, &value)?;
            }
            Ok(())
        };
        self.run(inputs, see).map_err(|it| guard::reason(&it))
    }

    /// Returns the first rows of a value, where rows are its first axis: the rest only fills a batch up.
    pub(super) fn head(&self, value: &TValue, n_rows: usize) -> TractResult<TValue> {
        if n_rows >= self.rows || value.shape().first() != Some(&self.rows) {
            return Ok(value.clone());
        }
        Ok(value.slice(0, 0, n_rows)?.into_tvalue())
    }

    /// Returns the values of the inputs by node.
    pub(super) fn sources(&self, inputs: Vec<HostTensor>) -> TractResult<HashMap<usize, Outputs>> {
        let sources = self.model.input_outlets()?;
        if inputs.len() != sources.len() {
            bail!("the graph has {} inputs, {} are given", sources.len(), inputs.len());
        }
        let source = |((it, tensor), &dtype): ((&OutletId, _), _)| {
            let value = convert::to_tract(tensor, dtype)?.into_tvalue();
            Ok((it.node, [value].into_iter().collect()))
        };
        sources.iter().zip(inputs).zip(&self.input_types).map(source).collect()
    }

    /// Runs all nodes and shows the values of each.
    pub(super) fn run(
        &self,
        inputs: Vec<HostTensor>,
        mut see: impl FnMut(usize, &Outputs) -> TractResult<()>,
    ) -> TractResult<()> {
        let mut values = Values::new(self.n_uses.clone());
        for (id, it) in self.sources(inputs)? {
            see(id, &it)?;
            values.put(id, it);
        }
        for node in self.order.iter().map(|&id| self.model.node(id)).filter(|it| !is_source(it)) {
            let inputs = node.inputs.iter().map(|it| values.take(*it)).collect::<TractResult<_>>()?;
            let outputs = self.eval(node, inputs)?;
            see(node.id, &outputs)?;
            values.put(node.id, outputs);
        }
        Ok(())
    }

    /// Runs a node, or returns what it always gives.
    pub(super) fn eval(&self, node: &TypedNode, inputs: Outputs) -> TractResult<Outputs> {
        match &self.constants[node.id] {
            Some(it) => Ok(it.iter().map(|it| it.clone().into_tvalue()).collect()),
            None => eval(node, inputs),
        }
    }
}

/// Returns by node: how many inputs of the nodes in `order` its values are, and how many outputs of the model.
pub(super) fn n_uses(model: &TypedModel, order: &[usize]) -> TractResult<Vec<usize>> {
    let mut res = vec![0; model.nodes().len()];
    let inputs = order.iter().flat_map(|&id| &model.node(id).inputs);
    inputs.chain(model.output_outlets()?).for_each(|it| res[it.node] += 1);
    Ok(res)
}

pub(super) fn add_all(numbers: &mut NodeNumbers, value: &Tensor) -> TractResult<()> {
    let least_normal = least_normal(value.datum_type());
    let value = value.cast_to::<f64>()?;
    value.to_plain_array_view::<f64>()?.iter().for_each(|it| numbers.add(*it, least_normal));
    Ok(())
}

/// Returns the least normal number of a type; 0 of one that has no others.
fn least_normal(of: DatumType) -> f64 {
    match of {
        DatumType::F16 => 2_f64.powi(-14),
        DatumType::F32 => f64::from(f32::MIN_POSITIVE),
        DatumType::F64 => f64::MIN_POSITIVE,
        _ => 0.0,
    }
}

fn eval(node: &TypedNode, inputs: Outputs) -> TractResult<Outputs> {
    if let Some(it) = node.op_as::<Const>() {
        return Ok([it.val().clone().into_tvalue()].into_iter().collect());
    }
    let turn = TurnState::default();
    let context = turn.context(SessionId::NONE, node.id);
    let mut state = node.op.state(&context)?;
    memory::eval(&context, state.as_deref_mut(), node, inputs)
}

pub(super) fn is_source(node: &TypedNode) -> bool {
    node.op_is::<TypedSource>()
}

/// Returns whether nodes of a graph compute what is not among these values of it, or have graphs of their own.
fn hides_nodes(body: &TypedModel, seen: &[OutletId]) -> bool {
    let is_seen = |it: &TypedNode| seen.iter().any(|outlet| outlet.node == it.id);
    let has_graph = |it: &TypedNode| it.op_is::<IfThenElse>() || it.op_is::<Scan>();
    body.nodes().iter().any(|it| has_graph(it) || (!it.inputs.is_empty() && !is_seen(it)))
}

/// Returns what a loop gives for every step; of what it carries along only the last value is seen.
fn every_step(of: &Scan) -> Vec<OutletId> {
    let outputs = of.body.outputs.iter().zip(&of.output_mapping);
    outputs.filter(|it| it.1.scan.is_some()).map(|it| *it.0).collect()
}

/// The values that somebody still needs, by node.
pub(super) struct Values {
    values: Vec<Option<Outputs>>,
    n_uses: Vec<usize>,
}

impl Values {
    /// Returns no values, of nodes that are used so often.
    pub(super) fn new(n_uses: Vec<usize>) -> Self {
        Self { values: vec![None; n_uses.len()], n_uses }
    }

    pub(super) fn add_uses(&mut self, id: usize, n: usize) {
        self.n_uses[id] += n;
    }

    pub(super) fn put(&mut self, id: usize, values: Outputs) {
        if self.n_uses[id] > 0 {
            self.values[id] = Some(values);
        }
    }

    pub(super) fn has(&self, id: usize) -> bool {
        self.values[id].is_some()
    }

    /// Uses all values of a node once.
    pub(super) fn use_all(&mut self, id: usize) -> TractResult<Outputs> {
        self.n_uses[id] = self.n_uses[id].saturating_sub(1);
        let slot = &mut self.values[id];
        let value = if self.n_uses[id] == 0 { slot.take() } else { slot.clone() };
        value.with_context(|| format!("node {id} has no value"))
    }

    /// Uses one value of a node once.
    pub(super) fn take(&mut self, outlet: OutletId) -> TractResult<TValue> {
        self.use_all(outlet.node)?.get(outlet.slot).cloned().with_context(|| format!("{outlet:?} has no value"))
    }
}

/// Whether a value is made of numbers; an optimized graph has values that are packed for one operator alone.
pub(super) fn is_number(value: &TValue) -> bool {
    let it = value.datum_type();
    it.is_number() || it == DatumType::Bool || it.is_tdim()
}
