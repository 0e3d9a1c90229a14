//! The probe: a count of rows and tensors.

use std::env;

use modelwatch_sdk::{
    Analyzer, Error, Host, KnownMetric, ModelRole, Need, Needs, Probe, RecordBatch, Report, Result, Role, RowNeeds,
    TensorNeeds, TensorView, Verifier,
    arrow::array::{cast::AsArray, types::Int64Type},
    report::Metric,
    state,
};
use tracing::info;

use crate::{
    config::{Config, Fault},
    crash::{crash, hang},
};

/// The verifier and analyzer `faulty`.
pub struct Faulty {
    config: Config,
    rows: u64,
    inferred: u64,
    tensors: u64,
}

impl Faulty {
    fn new(config: Config) -> Result<Self> {
        Ok(Self { config: config.opened()?, rows: 0, inferred: 0, tensors: 0 })
    }
}

impl Verifier for Faulty {
    const NAME: &'static str = "faulty";
    type Config = Config;
    fn open(config: Config) -> Result<Self> {
        Self::new(config)
    }
}

impl Analyzer for Faulty {
    const NAME: &'static str = "faulty";
    type Config = Config;
    fn open(config: Config) -> Result<Self> {
        Self::new(config)
    }
}

impl Probe for Faulty {
    fn needs(&self) -> Needs {
        self.config.fault.at(Fault::Needs);
        let tensors = TensorNeeds { candidate: Need::Optional, baseline: Need::Optional };
        let rows = RowNeeds { features: true, ..RowNeeds::default() };
        let metrics = KnownMetric::all(["rows", "inferred", "tensors", "doubled", "process"], &[]).collect();
        Needs { current: Some(rows), tensors, metrics, ..Needs::default() }
    }

    fn update(&mut self, host: &dyn Host, _: Role, batch: &RecordBatch) -> Result<()> {
        self.config.fault.at(Fault::Update);
        crash(self.config.fault);
        if self.config.fault == Fault::HangAtRow && has_row(batch) {
            hang();
        }
        while self.config.fault == Fault::Sleep && !host.is_cancelled() {
            std::thread::yield_now();
        }
        if host.is_cancelled() {
            return Err(host.cancelled());
        }
        self.rows += batch.num_rows() as u64;
        if self.config.services {
            self.inferred += host.infer(ModelRole::Candidate, batch)?.num_rows() as u64;
        }
        host.progress(self.rows, 0);
        info!(rows = self.rows, "Rows were counted.");
        Ok(())
    }

    fn update_tensor(&mut self, _: &dyn Host, _: ModelRole, _: &TensorView<'_>) -> Result<()> {
        self.config.fault.at(Fault::UpdateTensor);
        self.tensors += 1;
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        self.config.fault.at(Fault::State);
        state::encode(1, &[self.rows, self.inferred, self.tensors])
    }

    fn merge(&mut self, state: &[u8]) -> Result<()> {
        self.config.fault.at(Fault::Merge);
        let [rows, inferred, tensors] = state::decode(1, state)?;
        let sum = |a: u64, b: u64| a.checked_add(b).ok_or_else(|| Error::input("the state's counts are too large"));
        self.rows = sum(self.rows, rows)?;
        self.inferred = sum(self.inferred, inferred)?;
        self.tensors = sum(self.tensors, tensors)?;
        Ok(())
    }

    fn evaluate(&mut self, host: &dyn Host) -> Result<Report> {
        self.config.fault.at(Fault::Evaluate);
        let mut metrics = vec![
            Metric::new("rows", self.rows as f64).n(self.rows),
            Metric::new("inferred", self.inferred as f64).n(self.inferred),
            Metric::new("tensors", self.tensors as f64).n(self.tensors),
        ];
        if self.config.services {
            let answer = host.call("double", &self.rows.into())?;
            metrics.push(Metric::new("doubled", answer.as_f64().unwrap_or(f64::NAN)).n(self.rows));
        }
        if self.config.fault == Fault::Process {
            metrics.push(Metric::new("process", f64::from(std::process::id())).n(1));
        }
        Ok(Report { metrics, ..Report::default() })
    }
}

/// Returns whether the batch has the row to hang at. Not an option, so that a run that hangs and one that does not are of one pipeline.
fn has_row(batch: &RecordBatch) -> bool {
    let row = env::var("MODELWATCH_FAULTY_ROW").ok().and_then(|it| it.parse::<i64>().ok());
    let column = batch.column_by_name("row").and_then(|it| it.as_primitive_opt::<Int64Type>());
    row.zip(column).is_some_and(|(row, column)| column.values().contains(&row))
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.config.fault.at(Fault::Drop);
    }
}
