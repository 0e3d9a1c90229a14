//! Runs the models in turns.

use std::{collections::BTreeMap, mem};

use modelwatch_sdk::{ErrorKind, Host, ModelRole, RecordBatch, Result, memory::InferenceMemory, sample::take};

use crate::config::Config;

/// What was measured with batches of a size.
pub(crate) struct Measured {
    pub(crate) batch_size: usize,
    /// The first run of each model, before anything was warm.
    pub(crate) first: (f64, Option<f64>),
    /// The seconds of the candidate's runs.
    pub(crate) candidate: Vec<f64>,
    /// The seconds of the baseline's runs, each next to the candidate's of the same place.
    pub(crate) baseline: Option<Vec<f64>>,
    /// The memory of one more run of the candidate.
    pub(crate) memory: Memory,
    /// The same of the baseline.
    pub(crate) baseline_memory: Option<Memory>,
    /// The models that do not take the batch in one call, with why.
    pub(crate) in_passes: BTreeMap<ModelRole, String>,
}

/// The memory of a run, or why it is not known.
pub(crate) type Memory = std::result::Result<InferenceMemory, String>;

/// Measures every batch size. `rows` are not empty.
pub(crate) fn measure(
    config: &Config,
    host: &dyn Host,
    rows: &RecordBatch,
    with_baseline: bool,
) -> Result<Vec<Measured>> {
    let share = config.budget_seconds / config.batch_sizes.len() as f64;
    let mut res = Vec::new();
    let mut left_over = 0.0;
    for &size in &config.batch_sizes {
        let order: Vec<_> = (0..size).map(|it| it % rows.num_rows()).collect();
        let batch = take(rows, &order)?;
        let mut clock = Clock { host, batch: &batch, left: share + left_over, in_passes: BTreeMap::new() };
        res.push(clock.measure(config, size, with_baseline)?);
        // What a small batch does not use a large one may.
        left_over = clock.left.max(0.0);
        host.progress(res.len() as u64, config.batch_sizes.len() as u64);
    }
    Ok(res)
}

/// Runs models until the time is over.
struct Clock<'a> {
    host: &'a dyn Host,
    batch: &'a RecordBatch,
    left: f64,
    in_passes: BTreeMap<ModelRole, String>,
}

impl Clock<'_> {
    fn measure(&mut self, config: &Config, batch_size: usize, with_baseline: bool) -> Result<Measured> {
        let first = self.run(ModelRole::Candidate)?;
        let first_baseline = if with_baseline { Some(self.run(ModelRole::Baseline)?) } else { None };
        let mut res = Measured {
            batch_size,
            first: (first, first_baseline),
            candidate: Vec::new(),
            baseline: with_baseline.then(Vec::new),
            memory: Err(String::new()),
            baseline_memory: None,
            in_passes: BTreeMap::new(),
        };
        for turn in 0..config.warm_up + config.max_runs {
            if self.left <= 0.0 {
                break;
            }
            // Who goes first changes, so that going second is nobody's advantage.
            let (candidate, baseline) = match (with_baseline, turn % 2 == 0) {
                (false, _) => (self.run(ModelRole::Candidate)?, None),
                (true, true) => {
                    let candidate = self.run(ModelRole::Candidate)?;
                    (candidate, Some(self.run(ModelRole::Baseline)?))
                }
                (true, false) => {
                    let baseline = self.run(ModelRole::Baseline)?;
                    (self.run(ModelRole::Candidate)?, Some(baseline))
                }
            };
            if turn >= config.warm_up {
                res.candidate.push(candidate);
                res.baseline.iter_mut().for_each(|it| it.extend(baseline));
            }
        }
        // Last, so that looking at the memory makes no run slower that is timed.
        let memory = |model| self.host.inference_memory(model, self.batch).map_err(|e| e.message);
        res.memory = memory(ModelRole::Candidate);
        res.baseline_memory = with_baseline.then(|| memory(ModelRole::Baseline));
        res.in_passes = mem::take(&mut self.in_passes);
        Ok(res)
    }

    /// Runs a model once and returns how long it was busy.
    fn run(&mut self, model: ModelRole) -> Result<f64> {
        if self.host.is_cancelled() {
            return Err(self.host.cancelled());
        }
        // In one call, as a server would; a model that cannot take its rows so is timed as the pass runs it.
        if !self.in_passes.contains_key(&model)
            && let Err(e) = self.host.infer_at_once(model, self.batch)
        {
            if e.kind == ErrorKind::Cancelled {
                return Err(e);
            }
            self.in_passes.insert(model, e.message);
        }
        if self.in_passes.contains_key(&model) {
            self.host.infer(model, self.batch)?;
        }
        let seconds = self.host.inference_seconds(model)?;
        self.left -= seconds;
        Ok(seconds)
    }
}
