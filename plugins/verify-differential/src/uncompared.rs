//! Nodes one by one: how far each is from the baseline's, or why nobody knows.

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Report,
    nodes::{Counterpart, NodeComparison, NodeDifference},
    report::{Gap, Metric},
};

/// The metrics of all nodes together.
pub(crate) const COUNTS: [&str; 3] = ["nodes", "nodes_without_counterpart", "nodes_that_differ"];
/// The metric of a node: how far its values are from the baseline's where it is fed the baseline's.
pub(crate) const OF_NODE: &str = "isolated_relative_norm";

/// The most nodes that were not compared for one reason and are told by their names.
const MAX_NAMED: usize = 20;

/// Returns the baseline's node beside a node, where they were compared. Values that are no numbers were not, nor were none.
pub(crate) fn compared(node: &NodeDifference) -> Option<&Counterpart> {
    node.counterpart.as_ref().filter(|it| it.isolated.n > 0)
}

fn why_not(node: &NodeDifference) -> &'static str {
    match node.counterpart {
        None => "it has no counterpart in the baseline",
        Some(_) => "it gives no numbers that could be compared",
    }
}

/// Returns how many nodes were not compared, by why they were not; none where all were.
pub(crate) fn suspects(comparison: &NodeComparison) -> Option<String> {
    let uncompared = comparison.nodes.iter().filter(|it| compared(it).is_none());
    let (silent, unmatched): (Vec<_>, Vec<_>) = uncompared.partition(|it| it.counterpart.is_some());
    match (unmatched.len(), silent.len()) {
        (0, 0) => None,
        (n, 0) => Some(format!("one of {n} without")),
        (0, n) => Some(format!("one of {n} that give no numbers to compare")),
        (n, m) => Some(format!("one of {n} without, one of {m} that give no numbers to compare")),
    }
}

/// Says that no node was compared, and why.
pub(crate) fn all(res: &mut Report, why: &str) {
    res.gaps.push(Gap::new("nodes", why));
    res.metrics.extend(COUNTS.map(|it| Metric::new(it, f64::NAN).unfit(Some(why.to_owned()))));
}

/// Says of each node how far it is from the baseline's, and of those of which nobody knows how many there are and why.
pub(crate) fn each(res: &mut Report, comparison: &NodeComparison) {
    let mut unknown = BTreeMap::<&str, Vec<&str>>::new();
    for node in &comparison.nodes {
        match compared(node) {
            Some(it) => {
                let metric = Metric::new(OF_NODE, it.isolated.relative_norm).n(it.isolated.n);
                res.metrics.push(metric.label("node", &*node.name));
            }
            None => unknown.entry(why_not(node)).or_default().push(&node.name),
        }
    }
    for (why, names) in unknown {
        let unmeasured = |name: &str| Metric::new(OF_NODE, f64::NAN).label("node", name).unfit(Some(why.to_owned()));
        res.metrics.extend(names.iter().take(MAX_NAMED).map(|it| unmeasured(it)));
        let n_others = names.len().saturating_sub(MAX_NAMED);
        res.metrics.extend((n_others > 0).then(|| unmeasured(&format!("{n_others} other nodes"))));
    }
}

/// Says which nodes were not compared.
pub(crate) fn gaps(res: &mut Report, n_nodes: u64, n_compared: u64, n_unmatched: u64) {
    let mut gap = |why: String| res.gaps.push(Gap::new("nodes", why));
    match n_unmatched {
        0 => {}
        n if n == n_nodes => gap("no node has a counterpart: only the outputs were compared".to_owned()),
        n => gap(format!("{n} of {n_nodes} nodes have no counterpart, and were not compared")),
    }
    match n_nodes - n_compared - n_unmatched {
        0 => {}
        n => gap(format!("{n} of {n_nodes} nodes give no numbers that could be compared")),
    }
}
