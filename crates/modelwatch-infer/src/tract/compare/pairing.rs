//! Which node of one graph is which of another.

use std::collections::{BTreeSet, HashMap, HashSet};

use tract_onnx::{
    prelude::TractResult,
    tract_hir::internal::{OutletId, TypedNode},
};

use super::{super::nodes::NodeGraph, fingerprint::Fingerprint};
use crate::{compare::MatchedBy, tensor::HostTensor};

/// Longer lists are paired in order, not by their longest common subsequence, whose table would be too large.
const MAX_TABLE: usize = 16_000_000;
/// Behind the name of a tensor, what ONNX Runtime's quantizer calls the node that gives it back.
const DEQUANTIZED: &str = "_DequantizeLinear";

/// Nodes of the candidate with their counterparts.
#[derive(Default)]
pub(super) struct Pairing {
    /// The reference's node by the candidate's.
    pub(super) by_candidate: HashMap<usize, usize>,
    by_value: HashSet<usize>,
}

impl Pairing {
    /// Pairs computing nodes by name, and the rest by shape, order and what they make of some rows.
    ///
    /// Names alone would pair what only looks alike: a converter that fuses a batch normalization into a convolution keeps
    /// the convolution's name for what is another value now. Operators and shapes alone would do so, too.
    pub(super) fn new(
        reference: &NodeGraph,
        candidate: &NodeGraph,
        reference_rows: Vec<HostTensor>,
        candidate_rows: Vec<HostTensor>,
    ) -> TractResult<Self> {
        let by_name: HashMap<&str, &TypedNode> = reference.computing().map(|it| (&*it.name, it)).collect();
        let by_tensor: HashMap<&str, &TypedNode> = reference.computing().flat_map(|it| labels(reference, it)).collect();
        let mut by_candidate = HashMap::new();
        for node in candidate.computing() {
            let quantized = node.name.strip_suffix(DEQUANTIZED).and_then(|it| by_tensor.get(it));
            // What is done with a value tells what it is.
            let same = by_name.get(&*node.name).filter(|it| consumers(reference, it) == consumers(candidate, node));
            if let Some(other) = quantized.or(same).filter(|it| shapes(it).is_some() && shapes(it) == shapes(node)) {
                by_candidate.insert(node.id, other.id);
            }
        }
        let taken: HashSet<usize> = by_candidate.values().copied().collect();
        let left: Vec<_> = reference.computing().map(|it| it.id).filter(|it| !taken.contains(it)).collect();
        let right: Vec<_> = candidate.computing().map(|it| it.id).filter(|it| !by_candidate.contains_key(it)).collect();
        let mut res = Self { by_candidate, by_value: HashSet::new() };
        if !left.is_empty() && !right.is_empty() {
            let left = Fingerprint::all(reference, reference_rows, &left)?;
            let right = Fingerprint::all(candidate, candidate_rows, &right)?;
            let is_pair = |at: usize, to: usize| left[at].1.resembles(&right[to].1);
            for (at, to) in common_subsequence(left.len(), right.len(), is_pair) {
                res.by_candidate.insert(right[to].0, left[at].0);
                res.by_value.insert(right[to].0);
            }
        }
        Ok(res)
    }

    pub(super) fn matched_by(&self, candidate: usize) -> MatchedBy {
        if self.by_value.contains(&candidate) { MatchedBy::Value } else { MatchedBy::Name }
    }
}

/// Returns the names of the node's tensors.
fn labels<'a>(graph: &'a NodeGraph, node: &'a TypedNode) -> impl Iterator<Item = (&'a str, &'a TypedNode)> {
    let outlets = (0..node.outputs.len()).map(|slot| OutletId::new(node.id, slot));
    outlets.filter_map(|it| graph.model.outlet_label(it)).map(move |it| (it, node))
}

/// Returns the operators that take the node's values, seen through quantization and back.
fn consumers(graph: &NodeGraph, node: &TypedNode) -> BTreeSet<String> {
    let mut res = BTreeSet::new();
    let mut left = vec![node];
    while let Some(node) = left.pop() {
        for it in node.outputs.iter().flat_map(|it| &it.successors) {
            let consumer = graph.model.node(it.node);
            let operator = consumer.op.name();
            if operator.contains("QuantizeLinear") || operator.contains("DequantizeLinear") {
                left.push(consumer);
            } else {
                res.insert(operator.into_owned());
            }
        }
    }
    res
}

/// Returns the shapes of all values, or nothing where one is not known before it is computed.
fn shapes(node: &TypedNode) -> Option<Vec<Vec<usize>>> {
    node.outputs.iter().map(|it| it.fact.shape.as_concrete().map(<[usize]>::to_vec)).collect()
}

/// Returns the positions of a longest common subsequence of two lists of these lengths.
fn common_subsequence(n_left: usize, n_right: usize, is_pair: impl Fn(usize, usize) -> bool) -> Vec<(usize, usize)> {
    if n_left.saturating_mul(n_right) > MAX_TABLE {
        let mut from = 0;
        let pair = |to: usize| {
            let at = (from..n_left).find(|&at| is_pair(at, to))?;
            from = at + 1;
            Some((at, to))
        };
        return (0..n_right).filter_map(pair).collect();
    }
    // The length of the longest one from (at, to) on.
    let width = n_right + 1;
    let mut lengths = vec![0_u32; (n_left + 1) * width];
    for at in (0..n_left).rev() {
        for to in (0..n_right).rev() {
            lengths[at * width + to] = if is_pair(at, to) {
                lengths[(at + 1) * width + to + 1] + 1
            } else {
                lengths[(at + 1) * width + to].max(lengths[at * width + to + 1])
            };
        }
    }
    let (mut at, mut to, mut res) = (0, 0, Vec::new());
    while at < n_left && to < n_right {
        if is_pair(at, to) {
            res.push((at, to));
            (at, to) = (at + 1, to + 1);
        } else if lengths[(at + 1) * width + to] >= lengths[at * width + to + 1] {
            at += 1;
        } else {
            to += 1;
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(left: &str, right: &str) -> Vec<(usize, usize)> {
        let (left, right) = (left.as_bytes(), right.as_bytes());
        common_subsequence(left.len(), right.len(), |at, to| left[at] == right[to])
    }

    #[test]
    fn nodes_keep_their_order() {
        assert_eq!(pairs("abc", "abc"), [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(pairs("abcd", "xbxd"), [(1, 1), (3, 3)]);
        assert_eq!(pairs("cab", "abc"), [(1, 0), (2, 1)]);
        assert!(pairs("", "abc").is_empty() && pairs("abc", "xyz").is_empty());
    }

    #[test]
    fn long_lists_are_paired_in_order() {
        let long = "ab".repeat(3000);
        assert_eq!(pairs(&long, &long).len(), 6000);
    }
}
