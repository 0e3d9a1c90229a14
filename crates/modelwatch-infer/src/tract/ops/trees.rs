//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`, versions 1 and 3 of `ai.onnx.ml`.
//!
//! Where the specification is silent (two classes with one score), this follows what onnxruntime answers.

use std::collections::{HashMap, HashSet};

use tract_onnx::{
    pb::NodeProto,
    prelude::TractResult,
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::labels::Labels;
use crate::tract::{
    attributes::{indices, int, ints, numbers, text, texts},
    guard::RefusedOperator,
    post_transform::{PROBIT_OF_ONE, PostTransform, logistic},
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Test {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
    Leaf,
}

/// As small as can be: going from one to the next is what takes the time.
#[derive(Clone, Debug)]
struct Node {
    threshold: f64,
    feature: u32,
    /// Where to go if the test holds and if not; of a leaf, where its weights begin and end.
    next: [u32; 2],
    test: Test,
    missing_is_true: bool,
}

/// Trees whose leaves carry weights for targets.
#[derive(Clone, Debug)]
struct Forest {
    nodes: Vec<Node>,
    roots: Vec<u32>,
    /// What leaves add: target and weight.
    weights: Vec<(usize, f64)>,
    /// The weights are in double precision, and so are their sums.
    is_double: bool,
    /// The features that tests need.
    n_features: usize,
}

impl Forest {
    /// Reads the `nodes_*` attributes and the leaves under `prefix` (`class` or `target`).
    fn parse(node: &NodeProto, prefix: &str, n_targets: usize) -> TractResult<Self> {
        let n = ints(node, "nodes_nodeids").len();
        let tree_ids = ints(node, "nodes_treeids");
        let node_ids = ints(node, "nodes_nodeids");
        let (values, _) = numbers(node, "nodes_values")?;
        let modes = texts(node, "nodes_modes");
        let features = indices(node, "nodes_featureids", n)?;
        ensure!(
            n > 0 && tree_ids.len() == n && values.len() == n && modes.len() == n,
            "the `nodes_*` attributes differ in length"
        );
        let missing = ints(node, "nodes_missing_value_tracks_true");
        let (true_ids, false_ids) = (ints(node, "nodes_truenodeids"), ints(node, "nodes_falsenodeids"));
        ensure!(true_ids.len() == n && false_ids.len() == n, "the `nodes_*` attributes differ in length");
        let mut positions = HashMap::new();
        for idx in 0..n {
            ensure!(
                positions.insert((tree_ids[idx], node_ids[idx]), idx).is_none(),
                "a node of a tree is defined twice"
            );
        }
        let position = |it: usize| u32::try_from(it).context("there are too many nodes");
        let mut nodes = Vec::with_capacity(n);
        let mut is_child = vec![false; n];
        for idx in 0..n {
            let test = parse_test(&modes[idx])?;
            let mut next = [0; 2];
            if test != Test::Leaf {
                for (next, id) in next.iter_mut().zip([true_ids[idx], false_ids[idx]]) {
                    let child = *positions
                        .get(&(tree_ids[idx], id))
                        .context("a tree refers to a node that it does not have")?;
                    ensure!(!is_child[child], "a node of a tree has two parents");
                    is_child[child] = true;
                    *next = position(child)?;
                }
            }
            nodes.push(Node {
                threshold: values[idx],
                feature: position(features[idx])?,
                next,
                test,
                missing_is_true: missing.get(idx).is_some_and(|&it| it != 0),
            });
        }
        let (weights, is_double) = numbers(node, &format!("{prefix}_weights"))?;
        let targets = indices(node, &format!("{prefix}_ids"), weights.len())?;
        let (leaf_trees, leaf_nodes) =
            (ints(node, &format!("{prefix}_treeids")), ints(node, &format!("{prefix}_nodeids")));
        ensure!(
            leaf_trees.len() == weights.len() && leaf_nodes.len() == weights.len(),
            "the leaf attributes differ in length"
        );
        let mut leaves = vec![Vec::new(); n];
        for idx in 0..weights.len() {
            let at = positions.get(&(leaf_trees[idx], leaf_nodes[idx])).context("a weight belongs to no node")?;
            ensure!(targets[idx] < n_targets, "a weight is for target {} of {n_targets}", targets[idx]);
            leaves[*at].push((targets[idx], weights[idx]));
        }
        let mut weights = Vec::new();
        for (node, leaf) in nodes.iter_mut().zip(leaves).filter(|it| it.0.test == Test::Leaf) {
            let start = position(weights.len())?;
            weights.extend(leaf);
            node.next = [start, position(weights.len())?];
        }
        // The root is the node that is nobody's child; trees are summed in the order of the file.
        let roots: Vec<u32> = (0..n).filter(|&it| !is_child[it]).map(position).collect::<TractResult<_>>()?;
        let n_trees = tree_ids.iter().collect::<HashSet<_>>().len();
        ensure!(roots.len() == n_trees, "{n_trees} trees have {} roots", roots.len());
        // Nodes have one parent each, so whatever a root does not reach is in a cycle.
        let (mut stack, mut n_reached) = (roots.clone(), 0);
        while let Some(at) = stack.pop() {
            n_reached += 1;
            let node = &nodes[at as usize];
            if node.test != Test::Leaf {
                stack.extend(node.next);
            }
        }
        ensure!(n_reached == n, "{} nodes of the trees are in a cycle", n - n_reached);
        let tests = nodes.iter().filter(|it| it.test != Test::Leaf);
        let n_features = tests.map(|it| it.feature as usize + 1).max().unwrap_or(0);
        Ok(Self { nodes, roots, weights, is_double, n_features })
    }

    /// Rounds to single precision, unless the weights are in double precision. Sums of two numbers of single precision are as if they
    /// had been computed in it.
    fn rounded(&self, value: f64) -> f64 {
        if self.is_double { value } else { f64::from(value as f32) }
    }

    /// Calls `f` with each weight that `row` reaches.
    fn visit(&self, row: &[f64], mut f: impl FnMut(usize, f64)) -> TractResult<()> {
        ensure!(self.n_features <= row.len(), "a tree tests feature {} of {}", self.n_features - 1, row.len());
        for &root in &self.roots {
            let mut node = &self.nodes[root as usize];
            while node.test != Test::Leaf {
                let holds = node.holds(row[node.feature as usize]);
                node = &self.nodes[node.next[usize::from(!holds)] as usize];
            }
            let [start, end] = node.next;
            for &(target, weight) in &self.weights[start as usize..end as usize] {
                f(target, weight);
            }
        }
        Ok(())
    }
}

impl Node {
    fn holds(&self, value: f64) -> bool {
        let res = match self.test {
            Test::Leq => value <= self.threshold,
            Test::Lt => value < self.threshold,
            Test::Gte => value >= self.threshold,
            Test::Gt => value > self.threshold,
            Test::Eq => value == self.threshold,
            Test::Neq => value != self.threshold,
            Test::Leaf => false,
        };
        res || (self.missing_is_true && value.is_nan())
    }
}

fn parse_test(mode: &str) -> TractResult<Test> {
    Ok(match mode {
        "BRANCH_LEQ" => Test::Leq,
        "BRANCH_LT" => Test::Lt,
        "BRANCH_GTE" => Test::Gte,
        "BRANCH_GT" => Test::Gt,
        "BRANCH_EQ" => Test::Eq,
        "BRANCH_NEQ" => Test::Neq,
        "LEAF" => Test::Leaf,
        other => bail!("unknown node mode {other:?}"),
    })
}

/// Two classes whose leaves all weigh the same target: one score decides. Where that is of the first class, it becomes that of the
/// second, and the other column is made from it; else nothing speaks for the first.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Binary {
    /// Weights are shares: the score is a probability, and the limit is one half.
    Share,
    /// Weights have signs: the limit is zero.
    Margin,
}

#[derive(Clone, Debug)]
pub(super) struct Classifier {
    forest: Forest,
    labels: Labels,
    base_values: Vec<f64>,
    transform: PostTransform,
    binary: Option<Binary>,
    /// The only target is the second class.
    is_of_second: bool,
}

impl Classifier {
    pub(super) fn parse(node: &NodeProto) -> TractResult<Self> {
        let labels = Labels::parse(node, "classlabels_int64s", "classlabels_strings");
        let n_classes = labels.len();
        ensure!(n_classes > 1, "a classifier needs two classes, not {n_classes}");
        let forest = Forest::parse(node, "class", n_classes)?;
        let (base_values, _) = numbers(node, "base_values")?;
        let transform = PostTransform::of(node)?;
        let targets = ints(node, "class_ids");
        let has_one_target = targets.iter().all(|it| Some(it) == targets.first());
        let is_positive = forest.weights.iter().all(|it| it.1 >= 0.0);
        let binary =
            (n_classes == 2 && has_one_target).then_some(if is_positive { Binary::Share } else { Binary::Margin });
        let is_of_second = binary.is_some() && targets.first() == Some(&1);
        let n = base_values.len();
        if binary.is_some() {
            // With two, onnxruntime takes the classes apart again, and what it answers is not specified.
            if n > usize::from(!is_of_second) {
                let why =
                    format!("{n} base values where all leaves weigh one class; add them to the weights of one tree");
                return Err(RefusedOperator::of(node, &why).into());
            }
            if transform == PostTransform::Probit && !is_of_second {
                return Err(RefusedOperator::of(node, PROBIT_OF_ONE).into());
            }
        }
        let allowed = binary.is_some() || n == 0 || n == n_classes;
        ensure!(allowed, "node `{}` (TreeEnsembleClassifier) has {n} base values for {n_classes} classes", node.name);
        Ok(Self { forest, labels, base_values, transform, binary, is_of_second })
    }

    pub(super) fn n_classes(&self) -> usize {
        self.labels.len()
    }

    pub(super) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Appends one score per class and returns the index of the class.
    pub(super) fn classify(&self, row: &[f64], out: &mut Vec<f32>) -> TractResult<usize> {
        match self.binary {
            Some(binary) => self.classify_binary(binary, row, out),
            None => {
                let mut scores: Vec<Option<f64>> = vec![None; self.n_classes()];
                let mut add = |target: usize, weight| {
                    scores[target] = Some(self.forest.rounded(scores[target].unwrap_or(0.0) + weight));
                };
                self.forest.visit(row, &mut add)?;
                self.base_values.iter().enumerate().for_each(|(target, base)| add(target, *base));
                // Only a class that a leaf or a base value speaks for is chosen, as onnxruntime does: where weights are
                // negative, silence would win.
                let mut best: Option<(usize, f64)> = None;
                for (idx, score) in scores.iter().enumerate() {
                    if let Some(score) = score.filter(|it| best.is_none_or(|(_, most)| *it > most)) {
                        best = Some((idx, score));
                    }
                }
                let best = best.map_or(0, |it| it.0);
                write(self.transform, scores.into_iter().map(|it| it.unwrap_or(0.0)), out);
                Ok(best)
            }
        }
    }

    fn classify_binary(&self, binary: Binary, row: &[f64], out: &mut Vec<f32>) -> TractResult<usize> {
        let mut score = 0.0;
        self.forest.visit(row, |_, weight| score = self.forest.rounded(score + weight))?;
        score = self.forest.rounded(score + self.base_values.last().copied().unwrap_or(0.0));
        let limit = match binary {
            Binary::Share => 0.5,
            Binary::Margin => 0.0,
        };
        if self.is_of_second {
            self.transform.append(&mut [0.0, score], out);
            return Ok(usize::from(score > limit));
        }
        // As onnxruntime does: what makes shares of several scores is left out.
        let scores = match (self.transform, binary) {
            (PostTransform::Logistic, _) => [logistic(-score), logistic(score)],
            (_, Binary::Share) => [1.0 - score, score],
            (_, Binary::Margin) => [-score, score],
        };
        out.extend(scores.map(|it| it as f32));
        Ok(usize::from(score > limit))
    }
}

/// Appends scores as the transform leaves them.
fn write(transform: PostTransform, scores: impl Iterator<Item = f64>, out: &mut Vec<f32>) {
    if transform == PostTransform::None {
        return out.extend(scores.map(|it| it as f32));
    }
    let mut scores: Vec<f64> = scores.collect();
    transform.append(&mut scores, out);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

#[derive(Clone, Debug)]
pub(super) struct Regressor {
    forest: Forest,
    n_targets: usize,
    aggregate: Aggregate,
    base_values: Vec<f64>,
    transform: PostTransform,
}

impl Regressor {
    pub(super) fn parse(node: &NodeProto) -> TractResult<Self> {
        let n_targets = usize::try_from(int(node, "n_targets").unwrap_or(1))?;
        ensure!((1..=1 << 20).contains(&n_targets), "a regressor with {n_targets} targets is not supported");
        let aggregate = match text(node, "aggregate_function").unwrap_or("SUM") {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            other => {
                bail!("node `{}` (TreeEnsembleRegressor) uses aggregate {other}, which is not supported", node.name)
            }
        };
        let transform = PostTransform::of(node)?;
        let transform = transform.for_targets(n_targets);
        let (base_values, _) = numbers(node, "base_values")?;
        ensure!(
            base_values.is_empty() || base_values.len() == n_targets,
            "{} base values for {n_targets} targets",
            base_values.len()
        );
        let forest = Forest::parse(node, "target", n_targets)?;
        Ok(Self { forest, n_targets, aggregate, base_values, transform })
    }

    pub(super) fn n_targets(&self) -> usize {
        self.n_targets
    }

    /// Appends one prediction per target.
    pub(super) fn predict(&self, row: &[f64], out: &mut Vec<f32>) -> TractResult<()> {
        let mut scores: Vec<Option<f64>> = vec![None; self.n_targets];
        let aggregate = self.aggregate;
        self.forest.visit(row, |target, weight| {
            scores[target] = Some(match (scores[target], aggregate) {
                (None, _) => weight,
                (Some(it), Aggregate::Sum | Aggregate::Average) => self.forest.rounded(it + weight),
                (Some(it), Aggregate::Min) => it.min(weight),
                (Some(it), Aggregate::Max) => it.max(weight),
            });
        })?;
        let divisor = if aggregate == Aggregate::Average { self.forest.roots.len() as f64 } else { 1.0 };
        let base = |idx: usize| self.base_values.get(idx).copied().unwrap_or(0.0);
        let rounded = |it: f64| self.forest.rounded(it);
        let scores = scores.into_iter().enumerate();
        // Of several targets, one that no leaf speaks for is 0, as onnxruntime has it.
        let is_silent = |it: Option<f64>| it.is_none() && self.n_targets > 1;
        let score = |(idx, it): (usize, Option<f64>)| {
            if is_silent(it) { 0.0 } else { rounded(rounded(it.unwrap_or(0.0) / divisor) + base(idx)) }
        };
        let scores = scores.map(score);
        write(self.transform, scores, out);
        Ok(())
    }
}
