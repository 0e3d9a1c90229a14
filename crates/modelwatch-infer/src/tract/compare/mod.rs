//! Runs two graphs in lockstep.

mod fingerprint;
mod pairing;
mod structure;
mod values;
mod watch;

use std::collections::HashMap;

use tract_onnx::{
    prelude::{TValue, TVec, TractError, TractResult, TypedModel},
    tract_hir::internal::{TractErrorContext, TypedNode, bail},
};

pub(crate) use self::watch::Whose;
use self::{
    pairing::Pairing,
    values::{Range, add_difference},
    watch::Watched,
};
use super::{
    convert, guard,
    nodes::{NodeGraph, Outputs, Values, is_source},
};
use crate::{
    compare::{Counterpart, NodeDifference},
    difference::{Difference, Tolerance},
    tensor::HostTensor,
};

/// Beyond this share of the norm, an optimized node does something else; rounding stays far below.
const MISCOMPILED: f64 = 1e-3;

/// Returns the first node of `optimized` that does something else than its counterpart in `written`, and its operator.
///
/// Nothing is returned where no node can be told, such as where the graph cannot be run node by node.
pub(super) fn first_difference(
    written: &TypedModel,
    optimized: &TypedModel,
    inputs: &TVec<TValue>,
) -> Option<(String, String)> {
    let tensors: Vec<HostTensor> = inputs.iter().map(|it| convert::from_tract(it)).collect::<TractResult<_>>().ok()?;
    let types: Vec<_> = inputs.iter().map(|it| it.datum_type()).collect();
    let rows = tensors.first()?.shape.first().copied()?;
    let shapes: Vec<_> = tensors.iter().map(|it| it.shape.get(1..).unwrap_or_default().to_vec()).collect();
    let graph = |model: &TypedModel| NodeGraph::new(model.clone(), rows, &shapes, &types).ok();
    let graphs = (graph(written)?, graph(optimized)?);
    let outputs = (0..written.outputs.len().min(optimized.outputs.len())).map(|it| (it, it)).collect();
    let mut lockstep = Lockstep::new(graphs, Tolerance::default(), outputs).ok()?;
    lockstep.pair(tensors.clone(), tensors.clone()).ok()?;
    lockstep.run(tensors.clone(), tensors, rows).ok()?;
    let nodes = lockstep.nodes();
    let of = |it: &NodeDifference| (it.name.clone(), it.operator.clone());
    let differs =
        |it: &&NodeDifference| it.counterpart.as_ref().is_some_and(|it| it.isolated.relative_norm() > MISCOMPILED);
    if let Some(it) = nodes.iter().find(differs) {
        return Some(of(it));
    }
    // What is wrong has no counterpart: the first node after the last that agrees.
    let last = nodes.iter().rposition(|it| it.counterpart.is_some())?;
    nodes.get(last + 1).map(of)
}

/// Two graphs and what is known of how they differ.
pub(crate) struct Lockstep {
    reference: NodeGraph,
    candidate: NodeGraph,
    pairing: Pairing,
    tolerance: Tolerance,
    /// By node of the candidate.
    seen: HashMap<usize, Seen>,
    /// By node of the reference.
    reference_ranges: HashMap<usize, Range>,
    /// The positions of the outputs that are compared, in the reference and in the candidate.
    output_pairs: Vec<(usize, usize)>,
    outputs: Vec<Difference>,
    /// By node of the candidate whose values are kept: those of the last run.
    watched: HashMap<usize, Option<Watched>>,
    /// How many rows of the run count.
    n_rows: usize,
}

#[derive(Default)]
struct Seen {
    cumulative: Difference,
    isolated: Difference,
    range: Range,
}

/// The values of one run.
struct Run {
    reference: Values,
    /// The next position in the reference's order.
    next: usize,
    /// What the candidate's nodes gave.
    own: Values,
    /// What they gave where they were fed the reference's values; only where they have no counterpart to take instead.
    fed: Values,
}

impl Lockstep {
    /// Puts the reference and the candidate side by side, or says why they cannot be compared. `output_pairs` are the positions
    /// of outputs that belong together.
    pub(crate) fn new(
        (reference, candidate): (NodeGraph, NodeGraph),
        tolerance: Tolerance,
        output_pairs: Vec<(usize, usize)>,
    ) -> Result<Self, String> {
        if reference.rows != candidate.rows {
            return Err(format!("one takes {} rows at once, the other {}", reference.rows, candidate.rows));
        }
        if reference.row_shapes != candidate.row_shapes {
            let (left, right) = (&reference.row_shapes, &candidate.row_shapes);
            return Err(format!("the rows of their inputs have the shapes {left:?} and {right:?}"));
        }
        let is_there = |(left, right): &(usize, usize)| {
            *left < reference.model.outputs.len() && *right < candidate.model.outputs.len()
        };
        if !output_pairs.iter().all(is_there) {
            return Err("an output of the model is none of its graph".to_owned());
        }
        Ok(Self {
            outputs: vec![Difference::default(); output_pairs.len()],
            output_pairs,
            reference,
            candidate,
            pairing: Pairing::default(),
            tolerance,
            seen: HashMap::new(),
            reference_ranges: HashMap::new(),
            watched: HashMap::new(),
            n_rows: 0,
        })
    }

    /// Pairs the nodes by what they make of some rows, or says what failed.
    pub(crate) fn pair(&mut self, reference: Vec<HostTensor>, candidate: Vec<HostTensor>) -> Result<(), String> {
        let pairing = Pairing::new([&self.reference, &self.candidate], &self.output_pairs, [reference, candidate]);
        self.pairing = pairing.map_err(|it| guard::reason(&it))?;
        Ok(())
    }

    /// Returns the number of rows in each run.
    pub(crate) fn rows(&self) -> usize {
        self.reference.rows
    }

    /// Returns whether the graphs are made for rows of these shapes.
    pub(crate) fn takes(&self, reference: &[Vec<usize>], candidate: &[Vec<usize>]) -> bool {
        self.reference.row_shapes == reference && self.candidate.row_shapes == candidate
    }

    /// Runs both graphs and compares the first `n_rows` rows, or says what failed.
    pub(crate) fn run(
        &mut self,
        reference: Vec<HostTensor>,
        candidate: Vec<HostTensor>,
        n_rows: usize,
    ) -> Result<(), String> {
        self.n_rows = n_rows;
        self.try_run(reference, candidate).map_err(|it| guard::reason(&it))
    }

    fn try_run(&mut self, reference: Vec<HostTensor>, candidate: Vec<HostTensor>) -> TractResult<()> {
        let mut run = Run {
            reference: Values::new(self.reference.n_uses.clone()),
            next: 0,
            own: Values::new(self.candidate.n_uses.clone()),
            fed: Values::new(self.candidate.n_uses.clone()),
        };
        for (&id, &other) in &self.pairing.by_candidate {
            // It is compared, and it is what the candidate's consumers are fed.
            run.reference.add_uses(other, 1 + self.candidate.n_uses[id]);
        }
        let sources = self.reference.sources(reference)?;
        for (id, values) in sources {
            self.see_reference(id, &values)?;
            run.reference.put(id, values);
        }
        for (id, values) in self.candidate.sources(candidate)? {
            let heads = values.iter().map(|it| self.head(it)).collect::<TractResult<_>>()?;
            self.seen.entry(id).or_default().range.add(&heads)?;
            run.fed.put(id, values.clone());
            run.own.put(id, values);
        }
        for at in 0..self.candidate.order.len() {
            self.step(&mut run, self.candidate.order[at])?;
        }
        // An output may need nodes that no pair needed.
        self.advance(&mut run, None)?;
        for idx in 0..self.output_pairs.len() {
            let (left, right) = self.output_pairs[idx];
            let reference = run.reference.take(self.reference.model.outputs[left])?;
            let candidate = run.own.take(self.candidate.model.outputs[right])?;
            if reference.shape() != candidate.shape() {
                bail!("output {right} has the shape {:?}, the reference's {:?}", candidate.shape(), reference.shape());
            }
            let (reference, candidate) = (self.head(&reference)?, self.head(&candidate)?);
            add_difference(&mut self.outputs[idx], &reference, &candidate, &self.tolerance)?;
        }
        Ok(())
    }

    /// Runs the reference until it has the values of a node, or to its end.
    fn advance(&mut self, run: &mut Run, until: Option<usize>) -> TractResult<()> {
        while run.next < self.reference.order.len() && until.is_none_or(|it| !run.reference.has(it)) {
            let id = self.reference.order[run.next];
            run.next += 1;
            let node = self.reference.model.node(id);
            if is_source(node) {
                continue;
            }
            let inputs = node.inputs.iter().map(|it| run.reference.take(*it)).collect::<TractResult<_>>()?;
            let outputs = self.reference.eval(node, inputs)?;
            self.see_reference(id, &outputs)?;
            run.reference.put(id, outputs);
        }
        Ok(())
    }

    fn see_reference(&mut self, id: usize, values: &Outputs) -> TractResult<()> {
        if !self.reference.is_constant(id) {
            let values = values.iter().map(|it| self.head(it)).collect::<TractResult<_>>()?;
            self.reference_ranges.entry(id).or_default().add(&values)?;
        }
        Ok(())
    }

    /// Returns the rows of a value that count.
    fn head(&self, value: &TValue) -> TractResult<TValue> {
        self.reference.head(value, self.n_rows)
    }

    /// Runs a node of the candidate, on its own values and on the reference's.
    fn step(&mut self, run: &mut Run, id: usize) -> TractResult<()> {
        if is_source(self.candidate.model.node(id)) {
            return Ok(());
        }
        let counterpart = self.pairing.by_candidate.get(&id).copied();
        if counterpart.is_some() {
            self.advance(run, counterpart)?;
        }
        let node = self.candidate.model.node(id);
        let own_inputs: Outputs = node.inputs.iter().map(|it| run.own.take(*it)).collect::<TractResult<_>>()?;
        let fed_inputs = self.fed_inputs(run, node, &own_inputs)?;
        let own = self.candidate.eval(node, own_inputs)?;
        if self.candidate.is_constant(id) {
            run.own.put(id, own);
            return Ok(());
        }
        let fed = match fed_inputs {
            Some(inputs) => self.candidate.eval(node, inputs)?,
            None => own.clone(),
        };
        let heads = |it: &Outputs| it.iter().map(|it| self.head(it)).collect::<TractResult<Outputs>>();
        let own_head = heads(&own)?;
        let reference = counterpart.map(|it| run.reference.use_all(it)).transpose()?;
        let compared = reference.as_ref().map(|it| Ok::<_, TractError>((heads(it)?, heads(&fed)?))).transpose()?;
        if let Some(it) = self.watched.get_mut(&id) {
            *it = Some(Watched { own: own.clone(), fed: fed.clone(), reference });
        }
        let seen = self.seen.entry(id).or_default();
        seen.range.add(&own_head)?;
        if let Some((reference, fed)) = compared {
            let named = || format!("comparing node `{}`", node.name);
            for ((reference, own), fed) in reference.iter().zip(&own_head).zip(&fed) {
                add_difference(&mut seen.cumulative, reference, own, &self.tolerance).with_context(named)?;
                add_difference(&mut seen.isolated, reference, fed, &self.tolerance).with_context(named)?;
            }
        }
        run.own.put(id, own);
        run.fed.put(id, fed);
        Ok(())
    }

    /// Returns what the reference gives a node of the candidate; nothing where it is what the candidate itself has.
    fn fed_inputs(&self, run: &mut Run, node: &TypedNode, own: &Outputs) -> TractResult<Option<Outputs>> {
        let mut is_other = false;
        let mut res = Outputs::new();
        for (outlet, own) in node.inputs.iter().zip(own) {
            if self.candidate.is_constant(outlet.node) {
                res.push(own.clone());
                continue;
            }
            let fed = run.fed.take(*outlet)?;
            let reference = match self.pairing.by_candidate.get(&outlet.node) {
                Some(&other) => run.reference.use_all(other)?.get(outlet.slot).cloned(),
                None => None,
            };
            let fits =
                |it: &tract_onnx::prelude::TValue| it.datum_type() == own.datum_type() && it.shape() == own.shape();
            let value = reference.filter(fits).unwrap_or(fed);
            is_other |= value.as_bytes() != own.as_bytes();
            res.push(value);
        }
        Ok(is_other.then_some(res))
    }

    /// Returns the candidate's computing nodes in the order in which they run.
    pub(crate) fn nodes(&self) -> Vec<NodeDifference> {
        self.candidate.computing().map(|it| self.node(it)).collect()
    }

    fn node(&self, node: &TypedNode) -> NodeDifference {
        let producers = node.inputs.iter().map(|it| it.node).filter(|it| !self.candidate.is_constant(*it));
        let producers: Vec<usize> = producers.collect();
        let range = |id: &usize| self.seen.get(id).and_then(|it| it.range.0);
        let counterpart = |(&other, seen): (&usize, &Seen)| Counterpart {
            name: self.reference.model.node(other).name.clone(),
            matched_by: self.pairing.matched_by(node.id),
            cumulative: seen.cumulative.clone(),
            isolated: seen.isolated.clone(),
            range: self.reference_ranges.get(&other).and_then(|it| it.0),
        };
        NodeDifference {
            name: node.name.clone(),
            operator: self.candidate.operator(node),
            inputs: producers.iter().map(|&it| self.candidate.model.node(it).name.clone()).collect(),
            input_ranges: producers.iter().map(range).collect(),
            counterpart: self.pairing.by_candidate.get(&node.id).zip(self.seen.get(&node.id)).map(counterpart),
            range: range(&node.id),
        }
    }

    /// Returns the differences of the outputs.
    pub(crate) fn outputs(&self) -> Vec<Difference> {
        self.outputs.clone()
    }
}
