//! The probe: a count of rows and tensors.

use std::{
    env,
    io::{self, Write},
    sync::{Condvar, Mutex, PoisonError},
};

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

/// Whether an instance has failed ahead of the others and is gone.
static HAS_FAILED: Mutex<bool> = Mutex::new(false);
/// Tells that it is.
static FAILED: Condvar = Condvar::new();

/// The verifier and analyzer `faulty`.
pub struct Faulty {
    config: Config,
    has_failed: bool,
    rows: u64,
    inferred: u64,
    tensors: u64,
}

impl Faulty {
    fn new(config: Config) -> Result<Self> {
        Ok(Self { config: config.opened()?, has_failed: false, rows: 0, inferred: 0, tensors: 0 })
    }

    fn fail_ahead(&mut self, batch: &RecordBatch) -> Result<()> {
        let row = "MODELWATCH_FAULTY_FAIL_ROW";
        if has_row(batch, row) {
            self.has_failed = true;
            return Err(Error::input("planted fault"));
        }
        if env::var_os(row).is_some() {
            let has_failed = HAS_FAILED.lock().unwrap_or_else(PoisonError::into_inner);
            drop(FAILED.wait_while(has_failed, |it| !*it));
        }
        Ok(())
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
        if self.config.fault == Fault::HangAtRow && has_row(batch, "MODELWATCH_FAULTY_ROW") {
            drop(writeln!(io::stderr(), "a probe hangs"));
            hang();
        }
        if self.config.fault == Fault::FailAhead {
            self.fail_ahead(batch)?;
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

/// Returns whether the batch has the row that a variable says. It is no option, so that a run that ends there and one that does not are of
/// one pipeline.
fn has_row(batch: &RecordBatch, variable: &str) -> bool {
    let row = env::var(variable).ok().and_then(|it| it.parse::<i64>().ok());
    let column = batch.column_by_name("row").and_then(|it| it.as_primitive_opt::<Int64Type>());
    row.zip(column).is_some_and(|(row, column)| column.values().contains(&row))
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.config.fault.at(Fault::Drop);
        if self.has_failed {
            *HAS_FAILED.lock().unwrap_or_else(PoisonError::into_inner) = true;
            FAILED.notify_all();
        }
    }
}
