//! The verifier `{{name}}`: the share of rows whose predicted class is the label.
// Not `forbid`: `export_plugin!` writes two exported statics.
#![deny(unsafe_code)]

use modelwatch_sdk::{
    Error, Host, JsonSchema, KnownMetric, ModelRole, Need, Needs, Probe, RecordBatch, Registry, Report, Result, Role,
    RowNeeds, Verifier,
    report::{Check, Gap, Labels, Metric, Status},
    rows::{self, Use},
    state,
};
use serde::{Deserialize, Serialize};

/// Holds the share of rows whose predicted class is the label against a least share.
// This comment is what `modelwatch plugin list` shows; those of the fields document the options.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The least share that passes, from 0 to 1.
    #[serde(default = "default_min_share")]
    pub min_share: f64,
}

fn default_min_share() -> f64 {
    0.9
}

/// One instance. The host opens one per partition of the data and merges their states.
pub struct Component {
    config: Config,
    counts: Counts,
}

/// The state: what the rows so far amount to, never how they were cut into batches.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Counts {
    rows: u64,
    hits: u64,
}

/// Increase this with every change of `Counts`, so that old states are refused.
const STATE_VERSION: u8 = 1;

impl Verifier for Component {
    const NAME: &'static str = "{{name}}";
    type Config = Config;

    fn open(config: Config) -> Result<Self> {
        if !(0.0..=1.0).contains(&config.min_share) {
            // The path lets the host point at the line of the pipeline.
            return Err(Error::config("/min_share", format!("`min_share` is {}", config.min_share))
                .with_help("give a share from 0 to 1"));
        }
        Ok(Self { config, counts: Counts::default() })
    }
}

impl Probe for Component {
    // The host reads, infers and maps what is named here, and nothing else.
    fn needs(&self) -> Needs {
        let rows = RowNeeds { label: Need::Required, predictions: Need::Required, ..RowNeeds::default() };
        Needs { current: Some(rows), metrics: KnownMetric::all(["hit_share"], &[]).collect(), ..Needs::default() }
    }

    fn update(&mut self, _: &dyn Host, _: Role, batch: &RecordBatch) -> Result<()> {
        let (_, labels) = rows::columns(batch, Use::Label).next().ok_or_else(|| Error::input("there is no label"))?;
        let (_, output) =
            rows::outputs(batch, ModelRole::Candidate).next().ok_or_else(|| Error::input("the model has no output"))?;
        let (labels, output) = (rows::numbers(labels)?, rows::numbers(output)?);
        for row in 0..batch.num_rows() {
            let label = labels.row(row).first().copied();
            self.counts.rows += 1;
            // A label or prediction that is missing is NaN, and NaN is no hit.
            self.counts.hits += u64::from(label.is_some() && label == predicted(output.row(row)));
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        state::encode(STATE_VERSION, &self.counts)
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        // The bytes may be damaged, so that even a sum can be too large.
        let other: Counts = state::decode(STATE_VERSION, state)?;
        let sum = |a: u64, b: u64| a.checked_add(b).ok_or_else(|| Error::input("the state's counts are too large"));
        self.counts = Counts { rows: sum(self.counts.rows, other.rows)?, hits: sum(self.counts.hits, other.hits)? };
        Ok(())
    }

    fn evaluate(&mut self, _: &dyn Host) -> Result<Report> {
        let Counts { rows, hits } = self.counts;
        let mut res = Report::default();
        let check = |status, observed, message| Check {
            metric: "hit_share".to_owned(),
            labels: Labels::new(),
            requirement: format!(">= {}", self.config.min_share),
            observed,
            interval: None,
            n: rows,
            status,
            message,
        };
        // Nothing passes by accident: without rows there is a gap, and the check says so.
        if rows == 0 {
            res.gaps.push(Gap::new("hit_share", "there were no rows"));
            res.checks.push(check(Status::NotChecked, None, "there were no rows".to_owned()));
            return Ok(res);
        }
        let share = hits as f64 / rows as f64;
        let status = if share >= self.config.min_share { Status::Pass } else { Status::Fail };
        res.metrics.push(Metric::new("hit_share", share).n(rows));
        res.checks.push(check(status, Some(share), format!("{hits} of {rows} rows are predicted as labeled")));
        Ok(res)
    }
}

/// Returns the class with the highest score; an output of one number is the class itself.
fn predicted(scores: &[f64]) -> Option<f64> {
    match scores {
        [] => None,
        [class] => Some(*class),
        _ if scores.iter().any(|it| it.is_nan()) => None,
        _ => {
            let best = (1..scores.len()).fold(0, |best, it| if scores[it] > scores[best] { it } else { best });
            Some(best as f64)
        }
    }
}

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).verifier::<Component>()
}

modelwatch_sdk::export_plugin!(registry);
