//! What is beyond the limits.

use modelwatch_sdk::nodes::{Counterpart, Difference, NodeComparison, NodeDifference};

use crate::{config::Config, uncompared::compared};

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
    /// The first node beyond the limits with all that comes before it, where that all has counterparts.
    pub(crate) first_beyond: Option<(&'a NodeDifference, &'a Counterpart)>,
    /// The nodes up to that one which are farthest off by themselves, the farthest first.
    pub(crate) contributors: Vec<(&'a NodeDifference, &'a Counterpart)>,
    /// Nodes that were compared with a counterpart.
    pub(crate) n_compared: u64,
}

/// The most contributors that are named.
const N_CONTRIBUTORS: usize = 3;

impl<'a> Where<'a> {
    pub(crate) fn new(config: &Config, comparison: &'a NodeComparison) -> Self {
        let mut res = Self::default();
        for node in &comparison.nodes {
            let Some(counterpart) = compared(node) else { continue };
            res.n_compared += 1;
            if !does_the_same(config, counterpart) {
                res.culprits.push((node, counterpart));
            } else if res.culprits.is_empty() && agrees(config, &counterpart.cumulative) {
                res.last_agreeing = Some(node);
            }
        }
        res.add_up(config, comparison);
        res
    }

    /// Looks for where errors have added up beyond the limits.
    fn add_up(&mut self, config: &Config, comparison: &'a NodeComparison) {
        // What comes after a node that was not compared may be its doing.
        let compared = comparison.nodes.iter().map_while(|it| Some((it, compared(it)?)));
        let Some(at) = compared.clone().position(|it| !agrees(config, &it.1.cumulative)) else { return };
        self.contributors = compared.clone().take(at + 1).filter(|it| it.1.isolated.relative_norm > 0.0).collect();
        self.contributors.sort_by(|a, b| b.1.isolated.relative_norm.total_cmp(&a.1.isolated.relative_norm));
        self.contributors.truncate(N_CONTRIBUTORS);
        self.first_beyond = compared.clone().nth(at);
    }
}
