//! Pairs nodes by what they are and where they stand.
//!
//! A node is told by its operator and shapes, by what it is made of (nodes that are paired, constants of the same shapes) and by
//! what is made of it (the operators that take its values). The search starts where both graphs are known to be the same, at
//! their inputs, their outputs and the nodes that are paired already, and goes on from every pair that it finds.
//!
//! All of that can be alike and the values another all the same, as where a converter left a layer out. So a node is never paired
//! against its values: not where they are those of another node that is left. Nor is one of several like nodes taken by chance,
//! such as the projections of an attention; there its constants or its values have to tell which one it is.

use std::collections::{HashMap, HashSet};

use tract_onnx::{
    prelude::TractResult,
    tract_hir::internal::{OutletId, TypedNode},
};

use super::{
    super::nodes::NodeGraph,
    fingerprint::Fingerprint,
    pairing::{are_numbers_alike, consumers, shapes},
};

/// The structure of a reference and a candidate.
pub(super) struct Structure<'a> {
    reference: &'a NodeGraph,
    candidate: &'a NodeGraph,
    /// What the nodes of both made of some rows, of those that may be paired.
    prints: &'a [HashMap<usize, Fingerprint>; 2],
    /// The reference's inputs by the candidate's.
    inputs: HashMap<usize, usize>,
    /// The outputs of the candidate and of the reference that belong together.
    outputs: Vec<(OutletId, OutletId)>,
}

impl<'a> Structure<'a> {
    /// Returns what `prints` has of both graphs to be paired. `outputs` are the positions of outputs that belong together.
    pub(super) fn new(
        [reference, candidate]: [&'a NodeGraph; 2],
        outputs: &[(usize, usize)],
        prints: &'a [HashMap<usize, Fingerprint>; 2],
    ) -> TractResult<Self> {
        let (left, right) = (reference.model.input_outlets()?, candidate.model.input_outlets()?);
        // Both are given their inputs in this order.
        let inputs = right.iter().zip(left).map(|(candidate, reference)| (candidate.node, reference.node)).collect();
        let output = |&(left, right): &(usize, usize)| {
            Some((*candidate.model.outputs.get(right)?, *reference.model.outputs.get(left)?))
        };
        let outputs = outputs.iter().filter_map(output).collect();
        Ok(Self { reference, candidate, prints, inputs, outputs })
    }

    /// Returns the nodes of the candidate and the reference that can be paired where these are.
    pub(super) fn pairs(&self, known: &HashMap<usize, usize>) -> TractResult<Vec<(usize, usize)>> {
        let mut search = Search {
            structure: self,
            counterparts: known.iter().chain(&self.inputs).map(|it| (*it.0, *it.1)).collect(),
            taken: known.values().copied().collect(),
            found: Vec::new(),
        };
        loop {
            let before = search.found.len();
            search.forward()?;
            search.backward();
            if search.found.len() == before {
                return Ok(search.found);
            }
        }
    }

    /// Returns whether two nodes are the same, but for what they are made of.
    fn are_alike(&self, candidate: &TypedNode, reference: &TypedNode) -> bool {
        candidate.op.name() == reference.op.name()
            && candidate.inputs.len() == reference.inputs.len()
            && shapes(candidate).is_some_and(|it| Some(it) == shapes(reference))
            && are_numbers_alike(candidate, reference)
            && consumers(self.candidate, candidate) == consumers(self.reference, reference)
    }

    fn resembles(&self, candidate: usize, reference: usize) -> bool {
        let prints = self.prints[1].get(&candidate).zip(self.prints[0].get(&reference));
        prints.is_some_and(|(candidate, reference)| reference.resembles(candidate))
    }

    /// Returns whether two nodes have the same constants, and have some.
    fn shares_constants(&self, candidate: &TypedNode, reference: &TypedNode) -> TractResult<bool> {
        let mut has_some = false;
        for (left, right) in candidate.inputs.iter().zip(&reference.inputs) {
            if self.candidate.is_constant(left.node) && self.reference.is_constant(right.node) {
                has_some = true;
                let (left, right) = (self.candidate.constant(*left)?, self.reference.constant(*right)?);
                if left.datum_type() != right.datum_type() || left.as_bytes() != right.as_bytes() {
                    return Ok(false);
                }
            }
        }
        Ok(has_some)
    }
}

/// What is paired so far.
struct Search<'a, 's> {
    structure: &'s Structure<'a>,
    /// The reference's node by the candidate's, the inputs among them.
    counterparts: HashMap<usize, usize>,
    /// Nodes of the reference that are a counterpart.
    taken: HashSet<usize>,
    /// What was found here.
    found: Vec<(usize, usize)>,
}

impl Search<'_, '_> {
    /// Pairs nodes all of whose inputs are paired.
    fn forward(&mut self) -> TractResult<()> {
        let candidate = self.structure.candidate;
        for node in candidate.computing() {
            if !self.is_free(node.id) {
                continue;
            }
            if let Some(other) = self.counterpart_of(node)? {
                self.add(node.id, other);
            }
        }
        Ok(())
    }

    /// Returns the one node of the reference that is made of the same.
    fn counterpart_of(&self, node: &TypedNode) -> TractResult<Option<usize>> {
        let Structure { reference, candidate, .. } = self.structure;
        let first = node.inputs.iter().enumerate().find(|it| !candidate.is_constant(it.1.node));
        let Some((at, &outlet)) = first else { return Ok(None) };
        let Some(&producer) = self.counterparts.get(&outlet.node) else { return Ok(None) };
        let fitting: Vec<&TypedNode> = consumers_at(reference, OutletId::new(producer, outlet.slot), at)
            .filter(|it| self.is_left(it.id) && self.fits(node, it))
            .collect();
        let Some(&other) = fitting.first() else { return Ok(None) };
        let has_rivals = consumers_at(candidate, outlet, at)
            .any(|it| it.id != node.id && self.is_free(it.id) && self.fits(it, other));
        if fitting.len() == 1 && !has_rivals {
            return Ok(Some(other.id));
        }
        // One of several: what tells them apart has to be its own, and no other's.
        let mut same = Vec::new();
        for other in fitting {
            if self.structure.resembles(node.id, other.id) || self.structure.shares_constants(node, other)? {
                same.push(other.id);
            }
        }
        Ok(if let [it] = same[..] { Some(it) } else { None })
    }

    /// Returns whether two nodes are the same and made of the same.
    fn fits(&self, node: &TypedNode, other: &TypedNode) -> bool {
        let Structure { reference, candidate, .. } = self.structure;
        let shape = |graph: &NodeGraph, it| graph.model.outlet_fact(it).ok().map(|it| it.shape.clone());
        let is_same = |(left, right): (&OutletId, &OutletId)| match (
            candidate.is_constant(left.node),
            reference.is_constant(right.node),
        ) {
            (true, true) => shape(candidate, *left) == shape(reference, *right),
            (false, false) => left.slot == right.slot && self.counterparts.get(&left.node) == Some(&right.node),
            _ => false,
        };
        self.structure.are_alike(node, other) && node.inputs.iter().zip(&other.inputs).all(is_same)
    }

    /// Pairs what pairs, and outputs, are made of.
    fn backward(&mut self) {
        let Structure { reference, candidate, .. } = self.structure;
        let mut left = self.structure.outputs.clone();
        // From the end to the beginning, so that what is found leads on.
        let order: Vec<usize> = candidate.computing().map(|it| it.id).collect();
        for id in order.into_iter().rev() {
            for (outlet, other) in std::mem::take(&mut left) {
                self.add_producers(outlet, other);
            }
            let Some(&other) = self.counterparts.get(&id) else { continue };
            let (node, other) = (candidate.model.node(id), reference.model.node(other));
            if node.op.name() == other.op.name() && node.inputs.len() == other.inputs.len() {
                left.extend(node.inputs.iter().copied().zip(other.inputs.iter().copied()));
            }
        }
    }

    fn add_producers(&mut self, outlet: OutletId, other: OutletId) {
        let Structure { reference, candidate, .. } = self.structure;
        let (left, right) = (candidate.model.node(outlet.node), reference.model.node(other.node));
        if outlet.slot == other.slot
            && self.is_free(left.id)
            && self.is_left(right.id)
            && self.structure.are_alike(left, right)
        {
            self.add(left.id, right.id);
        }
    }

    /// Pairs two nodes, unless the candidate's is more like another one that is left.
    fn add(&mut self, candidate: usize, reference: usize) {
        let resembles = |it: usize| self.structure.resembles(candidate, it);
        let mut others = self.structure.prints[0].keys().copied().filter(|it| !self.taken.contains(it));
        if resembles(reference) || !others.any(resembles) {
            self.counterparts.insert(candidate, reference);
            self.taken.insert(reference);
            self.found.push((candidate, reference));
        }
    }

    /// Returns whether a node of the candidate may be paired, and is not.
    fn is_free(&self, candidate: usize) -> bool {
        self.structure.prints[1].contains_key(&candidate) && !self.counterparts.contains_key(&candidate)
    }

    /// Returns whether a node of the reference may be paired, and is not.
    fn is_left(&self, reference: usize) -> bool {
        self.structure.prints[0].contains_key(&reference) && !self.taken.contains(&reference)
    }
}

/// Returns the nodes that take a value as their input at a position.
fn consumers_at(graph: &NodeGraph, outlet: OutletId, at: usize) -> impl Iterator<Item = &TypedNode> {
    let successors = graph.model.node(outlet.node).outputs.get(outlet.slot).map(|it| &*it.successors);
    let here = successors.unwrap_or_default().iter().filter(move |it| it.slot == at);
    here.map(|it| graph.model.node(it.node))
}
