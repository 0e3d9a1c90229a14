//! How whole rows are held against each other.

use modelwatch_sdk::{Error, JsonSchema, Result};
use modelwatch_stats::outliers::{FOREST_ROWS, FOREST_TREES, LOOP_EXTENT};
use serde::Deserialize;

/// How outliers among whole rows are looked for. The rows are those of the features; where there are reference rows, the
/// methods learn from them, and the current rows are judged.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutlierRows {
    /// The methods; an empty list looks for none.
    pub methods: Vec<OutlierMethod>,
    /// `isolation-forest`: the number of trees.
    #[schemars(range(min = 10, max = 10_000))]
    pub trees: usize,
    /// `isolation-forest`: how many rows a tree is grown from.
    #[schemars(range(min = 16, max = 65_536))]
    pub tree_rows: usize,
    /// `isolation-forest`: the score above which a row is an outlier. By default it follows from the scores of the rows that the forest was
    /// grown from: Tukey's inner fence where there are reference rows, with whose share that of the current rows is compared,
    /// else the outer one.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub isolation_score: Option<f64>,
    /// `loop`: the number of neighbors.
    #[schemars(range(min = 2, max = 1000))]
    pub neighbors: usize,
    /// `loop`: how many standard distances are usual.
    #[schemars(range(min = 0.1, max = 100.0))]
    pub extent: f64,
    /// `loop`: the probability above which a row is an outlier.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
    /// `loop`: how many different rows of each role are looked at. The time is that of every pair of them.
    #[schemars(range(min = 100, max = 20_000))]
    pub loop_rows: usize,
    /// How many of the rows that are farthest from the others are shown.
    #[schemars(range(max = 1000))]
    pub shown: usize,
    /// Another seed grows another forest.
    pub seed: u64,
}

/// A method that finds outliers among whole rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutlierMethod {
    /// How few random cuts set a row apart: isolation forest (Liu, Ting & Zhou 2008). Categories are numbers by their share.
    IsolationForest,
    /// How much sparser it is around a row than around its neighbors: local outlier probabilities (Kriegel et al. 2009), over Gower's
    /// distance.
    Loop,
}

impl OutlierMethod {
    /// Returns its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::IsolationForest => "isolation-forest",
            Self::Loop => "loop",
        }
    }
}

impl Default for OutlierRows {
    fn default() -> Self {
        Self {
            methods: vec![OutlierMethod::IsolationForest, OutlierMethod::Loop],
            trees: FOREST_TREES,
            tree_rows: FOREST_ROWS,
            isolation_score: None,
            neighbors: 20,
            extent: LOOP_EXTENT,
            // deepchecks 0.19, `OutlierSampleDetection`.
            probability: 0.7,
            loop_rows: 2000,
            shown: 10,
            seed: 1,
        }
    }
}

impl OutlierRows {
    /// Checks that every number is in its domain.
    pub(crate) fn check(&self) -> Result<()> {
        let numbers = [
            ("trees", self.trees as f64, 10.0, 10_000.0),
            ("tree_rows", self.tree_rows as f64, 16.0, 65_536.0),
            ("isolation_score", self.isolation_score.unwrap_or_default(), 0.0, 1.0),
            ("neighbors", self.neighbors as f64, 2.0, 1000.0),
            ("extent", self.extent, 0.1, 100.0),
            ("probability", self.probability, 0.0, 1.0),
            ("loop_rows", self.loop_rows as f64, 100.0, 20_000.0),
            ("shown", self.shown as f64, 0.0, 1000.0),
        ];
        for (name, value, least, greatest) in numbers {
            if !(least..=greatest).contains(&value) {
                return Err(Error::config(format!("/outlier_rows/{name}"), format!("`{value}` is out of range"))
                    .with_help(format!("use a number from {least} to {greatest}")));
            }
        }
        Ok(())
    }
}
