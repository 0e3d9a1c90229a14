//! The analyzer `{{name}}`: the share of missing values per column.
// Not `forbid`: `export_plugin!` writes two exported statics.
#![deny(unsafe_code)]

use std::collections::BTreeMap;

use modelwatch_sdk::{
    Analyzer, Error, FindingCode, Host, JsonSchema, KnownMetric, Needs, Probe, RecordBatch, Registry, Report, Result,
    Role, RowNeeds,
    arrow::array::Array,
    report::{Finding, Gap, Metric, Severity},
    rows::{self, Use},
    state,
};
use serde::{Deserialize, Serialize};

/// Looks for columns with too many missing values.
// This comment is what `modelwatch plugin list` shows; those of the fields document the options.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The greatest share of missing values that is no finding, from 0 to 1.
    #[serde(default = "default_max_share")]
    pub max_share: f64,
}

fn default_max_share() -> f64 {
    0.1
}

/// One instance. The host opens one per partition of the data and merges their states.
pub struct Component {
    config: Config,
    columns: BTreeMap<String, Counts>,
}

/// The state of a column: what its rows so far amount to, never how they were cut into batches.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Counts {
    rows: u64,
    missing: u64,
}

/// Increase this with every change of `Counts`, so that old states are refused.
const STATE_VERSION: u8 = 1;

impl Counts {
    fn add(&mut self, other: Self) -> Result<()> {
        let sum = |a: u64, b: u64| a.checked_add(b).ok_or_else(|| Error::input("the state's counts are too large"));
        *self = Self { rows: sum(self.rows, other.rows)?, missing: sum(self.missing, other.missing)? };
        Ok(())
    }
}

/// What `modelwatch explain` tells about the findings. Choose letters of your own; a code is stable once people filter
/// by it.
const CODES: &[FindingCode] = &[FindingCode {
    code: "XX-A001",
    severity: Severity::Warning,
    title: "a column has too many missing values",
    meaning: "The share of missing values in the column is above `max_share`.",
    advice: "Look at where the column comes from.",
}];

impl Analyzer for Component {
    const NAME: &'static str = "{{name}}";
    type Config = Config;
    const CODES: &'static [FindingCode] = CODES;

    fn open(config: Config) -> Result<Self> {
        if !(0.0..=1.0).contains(&config.max_share) {
            // The path lets the host point at the line of the pipeline.
            return Err(Error::config("/max_share", format!("`max_share` is {}", config.max_share))
                .with_help("give a share from 0 to 1"));
        }
        Ok(Self { config, columns: BTreeMap::new() })
    }
}

impl Probe for Component {
    // The host reads, infers and maps what is named here, and nothing else.
    fn needs(&self) -> Needs {
        let rows = RowNeeds { features: true, ..RowNeeds::default() };
        let metrics = KnownMetric::all(["missing_share"], &["column"]).collect();
        Needs { current: Some(rows), metrics, ..Needs::default() }
    }

    fn update(&mut self, _: &dyn Host, _: Role, batch: &RecordBatch) -> Result<()> {
        // A batch without rows must leave no trace.
        if batch.num_rows() == 0 {
            return Ok(());
        }
        for (name, column) in rows::columns(batch, Use::Feature) {
            // Null is missing, and so is a row with a NaN in it.
            let missing = if rows::is_numeric(column.data_type()) {
                let numbers = rows::numbers(column)?;
                (0..batch.num_rows()).filter(|&row| numbers.row(row).iter().any(|it| it.is_nan())).count()
            } else {
                column.logical_null_count()
            };
            let counts = Counts { rows: batch.num_rows() as u64, missing: missing as u64 };
            self.columns.entry(name.to_owned()).or_default().add(counts)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        state::encode(STATE_VERSION, &self.columns)
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        let other: BTreeMap<String, Counts> = state::decode(STATE_VERSION, state)?;
        other.into_iter().try_for_each(|(name, counts)| self.columns.entry(name).or_default().add(counts))
    }

    fn evaluate(&mut self, _: &dyn Host) -> Result<Report> {
        let mut res = Report::default();
        // Nothing passes by accident: what could not be looked at is a gap.
        if self.columns.is_empty() {
            res.gaps.push(Gap::new("missing values", "there were no rows with columns"));
        }
        for (name, &Counts { rows, missing }) in &self.columns {
            let share = missing as f64 / rows as f64;
            res.metrics.push(Metric::new("missing_share", share).label("column", name).n(rows));
            if share > self.config.max_share {
                let message = format!("{missing} of {rows} values are missing, more than {}", self.config.max_share);
                res.findings.push(
                    Finding::new("XX-A001", Severity::Warning, name, message)
                        .advice("look at where the column comes from")
                        .evidence("share", share),
                );
            }
        }
        Ok(res)
    }
}

/// Returns what this plugin offers.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).analyzer::<Component>()
}

modelwatch_sdk::export_plugin!(registry);
