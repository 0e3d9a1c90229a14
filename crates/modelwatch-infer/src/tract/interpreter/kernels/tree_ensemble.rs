//! `TreeEnsemble`, version 5 of `ai.onnx.ml`.

use tract_onnx::{
    prelude::TractResult,
    tract_hir::internal::{TractErrorContext, bail, ensure},
};

use super::arrays::full;
use crate::tract::{
    interpreter::{
        call::{Call, array},
        value::Value,
    },
    post_transform::PostTransform,
};

/// Where a branch leads.
#[derive(Clone, Copy)]
enum Next {
    Node(usize),
    Leaf(usize),
}

struct Ensemble {
    features: Vec<usize>,
    modes: Vec<i64>,
    splits: Vec<f64>,
    missing_is_true: Vec<bool>,
    /// The members to test for, for nodes of that mode.
    members: Vec<Vec<f64>>,
    /// If the test holds, and if not.
    next: Vec<[Next; 2]>,
    roots: Vec<usize>,
    targets: Vec<usize>,
    weights: Vec<f64>,
}

const MEMBER: i64 = 6;

fn indices(call: &Call<'_>, name: &str) -> TractResult<Vec<usize>> {
    let values = call.int_list(name).unwrap_or_default();
    values.iter().map(|&it| usize::try_from(it).with_context(|| format!("`{name}` has {it}"))).collect()
}

fn numbers(call: &Call<'_>, name: &str) -> TractResult<Vec<f64>> {
    match call.tensor_attribute(name)? {
        Some(it) => Ok(array::<f64>(it.tensor()?)?.into_iter().collect()),
        None => Ok(vec![]),
    }
}

impl Ensemble {
    fn read(call: &Call<'_>, n_targets: usize) -> TractResult<Self> {
        let features = indices(call, "nodes_featureids")?;
        let n = features.len();
        let modes: Vec<i64> = numbers(call, "nodes_modes")?.into_iter().map(|it| it as i64).collect();
        let splits = numbers(call, "nodes_splits")?;
        let (targets, weights) = (indices(call, "leaf_targetids")?, numbers(call, "leaf_weights")?);
        ensure!(n > 0 && modes.len() == n && splits.len() == n, "the `nodes_*` attributes differ in length");
        ensure!(
            targets.len() == weights.len() && targets.iter().all(|&it| it < n_targets),
            "the leaves do not fit {n_targets} targets"
        );
        let branch = |ids: &str, leafs: &str| -> TractResult<Vec<Next>> {
            let (ids, leafs) = (indices(call, ids)?, indices(call, leafs)?);
            ensure!(ids.len() == n && leafs.len() == n, "the `nodes_*` attributes differ in length");
            let one = |(&id, &leaf): (&usize, &usize)| {
                ensure!(id < if leaf != 0 { targets.len() } else { n }, "a branch leads to {id}, which does not exist");
                Ok(if leaf != 0 { Next::Leaf(id) } else { Next::Node(id) })
            };
            ids.iter().zip(&leafs).map(one).collect()
        };
        let if_true = branch("nodes_truenodeids", "nodes_trueleafs")?;
        let if_false = branch("nodes_falsenodeids", "nodes_falseleafs")?;
        let next = if_true.into_iter().zip(if_false).map(|(a, b)| [a, b]).collect();
        let missing = call.int_list("nodes_missing_value_tracks_true").unwrap_or_default();
        let missing_is_true = (0..n).map(|it| missing.get(it).is_some_and(|&it| it != 0)).collect();
        // One set for each node of that mode, in their order, with a NaN behind each.
        let members = numbers(call, "membership_values")?;
        let mut sets = members.split(|it| it.is_nan());
        let mut of_nodes = vec![vec![]; n];
        for (node, mode) in modes.iter().enumerate() {
            if *mode == MEMBER {
                of_nodes[node] = sets.next().context("there are too few sets of members")?.to_vec();
            }
        }
        let roots = indices(call, "tree_roots")?;
        ensure!(roots.iter().all(|&it| it < n), "a root does not exist");
        Ok(Self { features, modes, splits, missing_is_true, members: of_nodes, next, roots, targets, weights })
    }

    /// Returns the leaf that a row reaches from `root`.
    fn leaf(&self, root: usize, row: &[f64]) -> TractResult<usize> {
        let mut at = root;
        // A path that is longer than the tree goes in a circle.
        for _ in 0..self.features.len() {
            let value =
                *row.get(self.features[at]).with_context(|| format!("there are only {} features", row.len()))?;
            let split = self.splits[at];
            let holds = match self.modes[at] {
                0 => value <= split,
                1 => value < split,
                2 => value >= split,
                3 => value > split,
                4 => value == split,
                5 => value != split,
                MEMBER => self.members[at].contains(&value),
                other => bail!("there is no node mode {other}"),
            };
            let holds = if value.is_nan() { self.missing_is_true[at] } else { holds };
            match self.next[at][usize::from(!holds)] {
                Next::Node(it) => at = it,
                Next::Leaf(it) => return Ok(it),
            }
        }
        bail!("a tree goes in a circle")
    }
}

pub(super) fn tree_ensemble(call: &Call<'_>) -> TractResult<Vec<Value>> {
    let input = call.floats(0)?;
    let &[n_rows, _] = input.shape() else {
        bail!("an input of shape {:?} has no rows", input.shape());
    };
    let n_targets = usize::try_from(call.int("n_targets", 1))?;
    let ensemble = Ensemble::read(call, n_targets)?;
    let transform = PostTransform::numbered(call.int("post_transform", 0))?.for_targets(n_targets);
    let aggregate = call.int("aggregate_function", 1);
    let mut res = full(&[n_rows, n_targets], 0.0)?;
    for (row, mut scores) in input.outer_iter().zip(res.outer_iter_mut()) {
        let row: Vec<f64> = row.iter().copied().collect();
        let mut sums: Vec<Option<f64>> = vec![None; n_targets];
        for &root in &ensemble.roots {
            let leaf = ensemble.leaf(root, &row)?;
            let (sum, weight) = (&mut sums[ensemble.targets[leaf]], ensemble.weights[leaf]);
            *sum = Some(match (*sum, aggregate) {
                (None, 0..=3) => weight,
                (Some(it), 0 | 1) => it + weight,
                (Some(it), 2) => it.min(weight),
                (Some(it), 3) => it.max(weight),
                (_, other) => bail!("there is no aggregate function {other}"),
            });
        }
        let divisor = if aggregate == 0 { ensemble.roots.len() as f64 } else { 1.0 };
        let mut values: Vec<f64> = sums.into_iter().map(|it| it.unwrap_or(0.0) / divisor).collect();
        transform.apply(&mut values);
        scores.iter_mut().zip(values).for_each(|(to, from)| *to = from);
    }
    Ok(vec![call.like(0, res)?])
}
