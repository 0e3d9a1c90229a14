//! The options.

use modelwatch_sdk::{Error, JsonSchema, Result};
use serde::Deserialize;

/// Measures how long the model takes for batches of rows of the data, on one thread, in turns with the baseline.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The sizes of the batches. Where the data has fewer different rows they come several times.
    pub batch_sizes: Vec<usize>,
    /// For how long the models run altogether; what does not fit in is not measured.
    pub budget_seconds: f64,
    /// The most runs of a model with batches of a size. A 99th percentile takes 368 for an upper bound at 95 %.
    pub max_runs: usize,
    /// How many runs are thrown away before the others, for caches and clock rates.
    pub warm_up: usize,
    /// How many different rows are used at most.
    pub rows: usize,
    /// Another seed chooses other rows.
    pub seed: u64,
    /// Budgets of batch sizes, each as `{ batch_size = 1, p50_ms = 5, p95_ms = 10, p50_of_baseline = 1.2 }`.
    pub limits: Vec<Limits>,
    /// The longest that loading the model may take, in seconds. It is loaded ten times more, and the confidence interval of the median
    /// decides; where the first load of the run alone took longer, it is inconclusive.
    pub max_load_seconds: Option<f64>,
    /// The most times that the baseline takes to load. Both are loaded ten times more, in turns, and the confidence interval of the
    /// median ratio decides; loads below a millisecond are too short to compare.
    pub max_load_of_baseline: Option<f64>,
}

/// The budgets of a batch size. Each is held against the bound of a confidence interval.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The batch size.
    pub batch_size: usize,
    /// The most milliseconds of the median.
    pub p50_ms: Option<f64>,
    /// The most milliseconds of the 95th percentile.
    pub p95_ms: Option<f64>,
    /// The most milliseconds of the 99th percentile.
    pub p99_ms: Option<f64>,
    /// The least rows a second, at the median.
    pub min_rows_per_second: Option<f64>,
    /// The most memory that the process may have while the model runs, in MiB: with weights and all that a run takes besides.
    pub peak_memory_mib: Option<f64>,
    /// The most times the baseline's median: 1.2 allows a fifth more.
    pub p50_of_baseline: Option<f64>,
    /// The most times the baseline's 95th percentile.
    pub p95_of_baseline: Option<f64>,
    /// The most times the baseline's 99th percentile.
    pub p99_of_baseline: Option<f64>,
    /// The least times the baseline's rows a second: 0.8 allows a fifth less.
    pub rows_per_second_of_baseline: Option<f64>,
    /// The most times the memory that the process has while the baseline runs. Both models are in that process, so that this is
    /// about what a run takes, not about the size of the model.
    pub peak_memory_of_baseline: Option<f64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_sizes: vec![1, 32],
            budget_seconds: 10.0,
            max_runs: 500,
            warm_up: 5,
            rows: 256,
            seed: 0,
            limits: Vec::new(),
            max_load_seconds: None,
            max_load_of_baseline: None,
        }
    }
}

impl Config {
    pub(crate) fn validated(self) -> Result<Self> {
        let sizes = &self.batch_sizes;
        if sizes.is_empty() || sizes.contains(&0) {
            return Err(Error::config("/batch_sizes", "`batch_sizes` must have at least one size, each at least 1"));
        }
        if let Some(it) = sizes.iter().enumerate().find(|(at, it)| sizes[..*at].contains(it)) {
            return Err(Error::config("/batch_sizes", format!("`batch_sizes` has {} twice", it.1)));
        }
        positive("/budget_seconds", "budget_seconds", Some(self.budget_seconds))?;
        positive("/max_load_seconds", "max_load_seconds", self.max_load_seconds)?;
        positive("/max_load_of_baseline", "max_load_of_baseline", self.max_load_of_baseline)?;
        if self.max_runs == 0 || self.rows == 0 {
            let name = if self.rows == 0 { "rows" } else { "max_runs" };
            return Err(Error::config(format!("/{name}"), format!("`{name}` must be at least 1")));
        }
        for (at, it) in self.limits.iter().enumerate() {
            let path = format!("/limits/{at}");
            if it.batch_size == 0 {
                return Err(Error::config(path, "the limits have no `batch_size`")
                    .with_help(format!("say of which of {sizes:?} they are, as `batch_size = {}`", sizes[0])));
            }
            if !sizes.contains(&it.batch_size) {
                let message = format!("`batch_size` is {}, which is not measured", it.batch_size);
                return Err(Error::config(format!("{path}/batch_size"), message)
                    .with_help(format!("add it to `batch_sizes`, or use one of {sizes:?}")));
            }
            if self.limits[..at].iter().any(|other| other.batch_size == it.batch_size) {
                let message = format!("batches of {} have limits twice", it.batch_size);
                return Err(Error::config(format!("{path}/batch_size"), message).with_help("write them in one table"));
            }
            for (name, value) in it.named() {
                positive(&format!("{path}/{name}"), name, value)?;
            }
            if it.named().iter().all(|it| it.1.is_none()) {
                return Err(Error::config(path, format!("batches of {} have no limit", it.batch_size)).with_help(
                    "give at least one of `p50_ms`, `p95_ms`, `p99_ms`, `min_rows_per_second`, `peak_memory_mib`, `p50_of_baseline`",
                ));
            }
        }
        Ok(self)
    }
}

impl Limits {
    fn named(&self) -> [(&'static str, Option<f64>); 10] {
        [
            ("p50_ms", self.p50_ms),
            ("p95_ms", self.p95_ms),
            ("p99_ms", self.p99_ms),
            ("min_rows_per_second", self.min_rows_per_second),
            ("peak_memory_mib", self.peak_memory_mib),
            ("p50_of_baseline", self.p50_of_baseline),
            ("p95_of_baseline", self.p95_of_baseline),
            ("p99_of_baseline", self.p99_of_baseline),
            ("rows_per_second_of_baseline", self.rows_per_second_of_baseline),
            ("peak_memory_of_baseline", self.peak_memory_of_baseline),
        ]
    }
}

fn positive(path: &str, name: &str, value: Option<f64>) -> Result<()> {
    match value {
        Some(it) if !(it > 0.0 && it.is_finite()) => {
            Err(Error::config(path, format!("`{name}` is {it}, expected a finite number above 0")))
        }
        _ => Ok(()),
    }
}
