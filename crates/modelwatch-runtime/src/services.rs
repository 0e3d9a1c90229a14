//! What the runtime offers to components during a call.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use modelwatch_infer::Model;
use modelwatch_sdk::{Error, ErrorKind, Host, ModelRole, RecordBatch, Result};
use serde_json::Value;

/// The models that a probe may run by itself.
#[derive(Clone, Default)]
pub(crate) struct Models {
    pub(crate) candidate: Option<Model>,
    pub(crate) baseline: Option<Model>,
}

impl Models {
    pub(crate) fn get(&self, role: ModelRole) -> Option<&Model> {
        match role {
            ModelRole::Candidate => self.candidate.as_ref(),
            ModelRole::Baseline => self.baseline.as_ref(),
        }
    }
}

/// The host of a store, or of anything else that only asks whether to go on.
pub(crate) struct PlainHost(pub(crate) Arc<AtomicBool>);

impl Host for PlainHost {
    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The host of one probe.
pub(crate) struct ProbeHost {
    pub(crate) cancelled: Arc<AtomicBool>,
    /// The probe's own limit: from then on it is asked to end.
    pub(crate) deadline: Option<(Instant, Duration)>,
    pub(crate) models: Models,
    /// The confidence levels that requirements name, by metric.
    pub(crate) confidence: BTreeMap<String, f64>,
}

impl ProbeHost {
    /// Returns the error of a probe that ran out of its time.
    pub(crate) fn check_deadline(&self) -> Result<()> {
        match self.deadline {
            Some((deadline, limit)) if Instant::now() >= deadline => {
                Err(Error::new(ErrorKind::Cancelled, format!("it took longer than its timeout of {limit:?}"))
                    .with_help("give it a larger `timeout`, or less to do"))
            }
            _ => Ok(()),
        }
    }
}

impl Host for ProbeHost {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.check_deadline().is_err()
    }

    fn infer(&self, role: ModelRole, input: &RecordBatch) -> Result<RecordBatch> {
        let model = self.models.get(role).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no {} model in this run", role.as_str()))
        })?;
        model.run(input, NonZeroUsize::MIN).map_err(Error::input)
    }

    fn call(&self, service: &str, argument: &Value) -> Result<Value> {
        match service {
            "confidence" => {
                let metric =
                    argument.as_str().ok_or_else(|| Error::input("`confidence` takes the name of a metric"))?;
                Ok(self.confidence.get(metric).copied().unwrap_or(0.95).into())
            }
            other => Err(Error::new(ErrorKind::NotFound, format!("the host offers no service `{other}`"))),
        }
    }
}
