//! What is stored, what stays stored, and what refs may point at, as it is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

use super::{DurationOption, natural};

/// Which checkpoints of the lineage stay when it is pruned: those that any rule keeps. Without this table nothing is ever removed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeepOptions {
    /// The newest so many.
    #[serde(default, deserialize_with = "natural")]
    #[schemars(range(min = 1))]
    pub(crate) last: Option<u64>,
    /// The best by a metric: `{ metric = "accuracy", mode = "max", n = 3 }`, or a list of these.
    pub(crate) best: Option<BestList>,
    /// One of every so many training steps: the first at or after each multiple.
    #[serde(default, deserialize_with = "natural")]
    #[schemars(range(min = 1))]
    pub(crate) every_steps: Option<u64>,
    /// Those that were stored within this time: `"7d"`.
    pub(crate) within: Option<DurationOption>,
    /// Whatever is younger than this stays in any case. By default `"24h"`.
    pub(crate) grace: Option<DurationOption>,
    /// Whether every run prunes the lineage after its actions. By default only `modelwatch store prune` does.
    #[serde(default)]
    pub(crate) prune: bool,
}

/// The best checkpoints by a metric. One that is missing or not a finite number is never among the best.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BestOptions {
    /// A metric that runs measured of the checkpoint as a whole, or that its training loop reported.
    #[schemars(required, length(min = 1))]
    pub(crate) metric: Option<String>,
    /// Whether the largest or the smallest value is the best.
    #[schemars(required)]
    pub(crate) mode: Option<ModeOption>,
    /// How many. By default 1.
    #[serde(default, deserialize_with = "natural")]
    #[schemars(range(min = 1))]
    pub(crate) n: Option<u64>,
}

/// Which end of a metric is the good one.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModeOption {
    /// The larger, the better.
    Max,
    /// The smaller, the better.
    Min,
}

/// When an import is worth a checkpoint: when any rule says so. Without this table every import is stored.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SaveOptions {
    /// When the training is at least so many steps from the newest checkpoint.
    #[serde(default, deserialize_with = "natural")]
    #[schemars(range(min = 1))]
    pub(crate) every_steps: Option<u64>,
    /// When the newest checkpoint is at least so old: `"10m"`.
    pub(crate) every: Option<DurationOption>,
    /// When a metric is better than that of every checkpoint: `{ metric = "loss", mode = "min", min_delta = 0.01 }`.
    pub(crate) improved: Option<ImprovedOptions>,
    /// When the weights differ from those of the newest checkpoint by more than this share of their norm: `0.01`.
    #[schemars(range(min = 0))]
    pub(crate) changed: Option<f64>,
    /// When the run is told to end (SIGTERM) before it has imported: it imports all the same, and then ends.
    #[serde(default)]
    pub(crate) on_signal: bool,
}

/// When a metric that the training loop reports is better than before. One that is missing or not a finite number never is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImprovedOptions {
    /// The metric.
    #[schemars(required, length(min = 1))]
    pub(crate) metric: Option<String>,
    /// Whether larger or smaller values are better.
    #[schemars(required)]
    pub(crate) mode: Option<ModeOption>,
    /// By how much it must be better. By default by anything.
    #[schemars(range(min = 0))]
    pub(crate) min_delta: Option<f64>,
}

/// What holds for one ref, whoever moves it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefOptions {
    /// What a checkpoint must be for the ref to move to it. By default nothing.
    pub(crate) require: Option<RefRequirement>,
    /// How many times within the window the ref may be rolled back; from then on it is held until somebody has looked. By default 3.
    #[serde(default, deserialize_with = "natural")]
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max_rollbacks: Option<u64>,
    /// The time in which rollbacks are counted. By default `"1h"`.
    pub(crate) window: Option<DurationOption>,
}

/// What a checkpoint must be for a ref to move to it.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RefRequirement {
    /// Some pipeline passed it, the last word of none is that it failed, and the record of the verdict names this very checkpoint.
    Verified,
    /// That, and the verdict was given with the data, probes, options and requirements that this pipeline has now.
    VerifiedByThisPipeline,
}

/// One table of [`BestOptions`] or a list of them.
#[derive(Debug)]
pub(crate) enum BestList {
    One(BestOptions),
    Many(Vec<BestOptions>),
}

impl JsonSchema for BestList {
    fn schema_name() -> Cow<'static, str> {
        "BestList".into()
    }

    // One schema for both, since of two alternatives the errors would not say which key is wrong.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<BestOptions>();
        let mut res = BestOptions::json_schema(generator);
        res.insert("type".to_owned(), json!(["object", "array"]));
        res.insert("items".to_owned(), item.to_value());
        res.insert("minItems".to_owned(), 1.into());
        res
    }
}

impl<'de> Deserialize<'de> for BestList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BestList, D::Error> {
        let res = match Value::deserialize(deserializer)? {
            it @ Value::Array(_) => serde_json::from_value(it).map(BestList::Many),
            it => serde_json::from_value(it).map(BestList::One),
        };
        res.map_err(de::Error::custom)
    }
}
