//! What is beyond the limits.

use modelwatch_sdk::nodes::{Counterpart, Difference, NodeComparison, NodeDifference};

use crate::config::Config;

/// Returns the share of elements that are beyond the tolerances; NaN without elements.
pub(crate) fn mismatch_share(it: &Difference) -> f64 {
    it.n_beyond as f64 / it.n as f64
}

/// Returns whether values are as near as the options ask for. No values are not.
pub(crate) fn agrees(config: &Config, it: &Difference) -> bool {
    match config.max_relative_norm {
        Some(limit) => it.relative_norm <= limit && it.n > 0,
        None => mismatch_share(it) <= config.max_mismatch_share,
    }
}

/// Returns whether a node does the same as its counterpart with the same values.
///
/// Of a node, no element may be beyond the tolerances, whatever share of an output may.
fn does_the_same(config: &Config, it: &Counterpart) -> bool {
    match config.max_relative_norm {
        Some(limit) => it.isolated.relative_norm <= limit,
        None => it.isolated.n_beyond == 0,
    }
}

/// The nodes that say where models part.
#[derive(Debug, Default)]
pub(crate) struct Where<'a> {
    /// Nodes that do something else than their counterparts, in the order in which they run.
    pub(crate) culprits: Vec<(&'a NodeDifference, &'a Counterpart)>,
    /// The last node before the first culprit at which both models still agree; without a culprit, the last at all.
    pub(crate) last_agreeing: Option<&'a NodeDifference>,
    /// Nodes with a counterpart.
    pub(crate) n_compared: u64,
}

impl<'a> Where<'a> {
    pub(crate) fn new(config: &Config, comparison: &'a NodeComparison) -> Self {
        let mut res = Self::default();
        for node in &comparison.nodes {
            let Some(counterpart) = &node.counterpart else { continue };
            res.n_compared += 1;
            if !does_the_same(config, counterpart) {
                res.culprits.push((node, counterpart));
            } else if res.culprits.is_empty() && agrees(config, &counterpart.cumulative) {
                res.last_agreeing = Some(node);
            }
        }
        res
    }
}
