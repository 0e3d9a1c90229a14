//! Which node of one graph is which of another.

use std::collections::{BTreeSet, HashMap, HashSet};

use tract_onnx::{
    prelude::{DatumType, TractResult},
    tract_hir::internal::{OutletId, TypedNode},
};

use super::{super::nodes::NodeGraph, fingerprint::Fingerprint, structure::Structure};
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
    /// How those were found that do not share a name.
    found_by: HashMap<usize, MatchedBy>,
}

impl Pairing {
    /// Pairs computing nodes of the reference and the candidate by name, then by structure, and the rest by shape, order and
    /// what they make of some rows.
    ///
    /// Names alone would pair what only looks alike: a converter that fuses a batch normalization into a convolution keeps
    /// the convolution's name for what is another value now. Operators and shapes alone would do so, too; see `structure`.
    pub(super) fn new(
        [reference, candidate]: [&NodeGraph; 2],
        outputs: &[(usize, usize)],
        [reference_rows, candidate_rows]: [Vec<HostTensor>; 2],
    ) -> TractResult<Self> {
        let mut res = Self { by_candidate: by_name(reference, candidate), found_by: HashMap::new() };
        let (left, right) = res.unpaired(reference, candidate);
        if left.is_empty() || right.is_empty() {
            return Ok(res);
        }
        let prints =
            [Fingerprint::all(reference, reference_rows, &left)?, Fingerprint::all(candidate, candidate_rows, &right)?];
        let structure = Structure::new([reference, candidate], outputs, &prints)?;
        res.add(structure.pairs(&res.by_candidate)?, MatchedBy::Structure);
        let (left, right) = res.unpaired(reference, candidate);
        let is_pair = |at: usize, to: usize| {
            prints[0][&left[at]].resembles(&prints[1][&right[to]])
                && are_numbers_alike(reference.model.node(left[at]), candidate.model.node(right[to]))
        };
        let by_value = common_subsequence(left.len(), right.len(), is_pair);
        if by_value.is_empty() {
            return Ok(res);
        }
        res.add(by_value.into_iter().map(|(at, to)| (right[to], left[at])), MatchedBy::Value);
        // Those are neighbors, too.
        res.add(structure.pairs(&res.by_candidate)?, MatchedBy::Structure);
        Ok(res)
    }

    fn add(&mut self, pairs: impl IntoIterator<Item = (usize, usize)>, found_by: MatchedBy) {
        for (candidate, reference) in pairs {
            self.by_candidate.insert(candidate, reference);
            self.found_by.insert(candidate, found_by);
        }
    }

    /// Returns the nodes of the reference and of the candidate that have no counterpart yet.
    fn unpaired(&self, reference: &NodeGraph, candidate: &NodeGraph) -> (Vec<usize>, Vec<usize>) {
        let taken: HashSet<usize> = self.by_candidate.values().copied().collect();
        let left = reference.computing().map(|it| it.id).filter(|it| !taken.contains(it)).collect();
        let right = candidate.computing().map(|it| it.id).filter(|it| !self.by_candidate.contains_key(it)).collect();
        (left, right)
    }

    pub(super) fn matched_by(&self, candidate: usize) -> MatchedBy {
        self.found_by.get(&candidate).copied().unwrap_or(MatchedBy::Name)
    }
}

/// Returns the reference's node by the candidate's where both have one name, and their values are used alike.
fn by_name(reference: &NodeGraph, candidate: &NodeGraph) -> HashMap<usize, usize> {
    let by_name: HashMap<&str, &TypedNode> = reference.computing().map(|it| (&*it.name, it)).collect();
    let by_tensor: HashMap<&str, &TypedNode> = reference.computing().flat_map(|it| labels(reference, it)).collect();
    let mut res = HashMap::new();
    for node in candidate.computing() {
        let quantized = node.name.strip_suffix(DEQUANTIZED).and_then(|it| by_tensor.get(it));
        // What is done with a value tells what it is.
        let same = by_name.get(&*node.name).filter(|it| consumers(reference, it) == consumers(candidate, node));
        let is_pair = |it: &&&TypedNode| shapes(it).is_some_and(|left| Some(left) == shapes(node));
        if let Some(other) = quantized.or(same).filter(is_pair).filter(|it| are_numbers_alike(it, node)) {
            res.insert(node.id, other.id);
        }
    }
    res
}

/// Returns the names of the node's tensors.
fn labels<'a>(graph: &'a NodeGraph, node: &'a TypedNode) -> impl Iterator<Item = (&'a str, &'a TypedNode)> {
    let outlets = (0..node.outputs.len()).map(|slot| OutletId::new(node.id, slot));
    outlets.filter_map(|it| graph.model.outlet_label(it)).map(move |it| (it, node))
}

/// Returns the operators that take the node's values, seen through quantization and back.
pub(super) fn consumers(graph: &NodeGraph, node: &TypedNode) -> BTreeSet<String> {
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
pub(super) fn shapes(node: &TypedNode) -> Option<Vec<Vec<usize>>> {
    node.outputs.iter().map(|it| it.fact.shape.as_concrete().map(<[usize]>::to_vec)).collect()
}

/// Returns whether the values of two nodes are numbers of one kind: integers of eight bits that stand for others by a scale, which a node
/// between quantized ones has without knowing it, say nothing beside what they stand for.
pub(super) fn are_numbers_alike(left: &TypedNode, right: &TypedNode) -> bool {
    let is_code = |it: DatumType| matches!(it, DatumType::I8 | DatumType::U8);
    left.outputs.iter().zip(&right.outputs).all(|it| is_code(it.0.fact.datum_type) == is_code(it.1.fact.datum_type))
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
