//! What is stored, what stays stored, and what refs may point at, resolved.

use std::time::Duration;

/// Which checkpoints of a lineage stay when it is pruned. Has at least one rule beside the grace period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// The newest so many.
    pub last: Option<u64>,
    /// The best by a metric.
    pub best: Vec<Best>,
    /// One of every so many training steps; not zero.
    pub every_steps: Option<u64>,
    /// Those that were stored within this time.
    pub within: Option<Duration>,
    /// Whatever is younger stays in any case.
    pub grace: Duration,
    /// Whether every run prunes after its actions.
    pub prune: bool,
}

/// When an import is worth a checkpoint: when any rule says so. Has at least one rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Save {
    /// When the training is at least so many steps from the newest checkpoint; not zero.
    pub every_steps: Option<u64>,
    /// When the newest checkpoint is at least so old.
    pub every: Option<Duration>,
    /// When a metric is better than before.
    pub improved: Option<Improved>,
    /// When the weights changed by more than this share of their norm.
    pub changed: Option<f64>,
    /// When the run is told to end before it has imported.
    pub on_signal: bool,
}

/// When a metric is better than before.
#[derive(Debug, Clone, PartialEq)]
pub struct Improved {
    /// The metric; not empty.
    pub metric: String,
    /// Which end of it is the good one.
    pub mode: Mode,
    /// By more than this; not negative.
    pub min_delta: f64,
}

/// The best checkpoints by a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Best {
    /// The metric; not empty.
    pub metric: String,
    /// Which end of it is the good one.
    pub mode: Mode,
    /// How many; not zero.
    pub n: u64,
}

/// What holds for one ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefRules {
    /// What a checkpoint must be for it to move there; `None` for anything.
    pub require: Option<Require>,
    /// How many times within the window it may be rolled back; not zero.
    pub max_rollbacks: u64,
    /// The time in which rollbacks are counted.
    pub window: Duration,
}

/// What holds for a ref that the pipeline says nothing about.
impl Default for RefRules {
    fn default() -> Self {
        RefRules { require: None, max_rollbacks: 3, window: Duration::from_secs(3600) }
    }
}

/// What a checkpoint must be for a ref to move to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Require {
    /// Known to be good, by a verdict that is about that checkpoint.
    Verified,
    /// That, and the verdict was given with the settings that this pipeline has.
    VerifiedByThisPipeline,
}

/// Which end of a metric is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The larger, the better.
    Max,
    /// The smaller, the better.
    Min,
}

impl Mode {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Max => "max",
            Mode::Min => "min",
        }
    }

    /// Returns whether `value` is better than `than`; never where one of them is NaN.
    pub fn is_better(self, value: f64, than: f64) -> bool {
        match self {
            Mode::Max => value > than,
            Mode::Min => value < than,
        }
    }
}
