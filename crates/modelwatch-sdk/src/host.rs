//! What the host offers to a component during a call.

use std::num::NonZeroUsize;

use arrow_array::RecordBatch;
use serde_json::Value;

use crate::{
    about::{MachineDescription, ModelDescription},
    answer,
    artifact::{self, Artifact},
    error::{Error, ErrorKind, Result},
    memory::{InferenceMemory, MEMORY},
    nodes::{self, NodeComparison, Terms},
    numerics::{NUMERICS, Numerics},
    reproduction::{self, Reproduction},
};

/// What the service is called that loads a model again; see [`Host::load_again`].
pub const LOAD: &str = "load_again";
/// Behind the name of a model: that it takes all rows in one call; see [`Host::infer_at_once`].
pub const AT_ONCE: &str = ":at-once";

/// The most threads on which a model is run at once: each has answers of its own. See [`Host::infer_on_threads`].
pub const MAX_THREADS: NonZeroUsize = NonZeroUsize::new(64).expect("it is not 0");

/// The service behind [`Host::is_one_model`].
pub const IS_ONE_MODEL: &str = "is_one_model";

/// Between the name of a model and a number of threads: that it is run on all of them; see [`Host::infer_on_threads`].
const ON_THREADS: &str = ":threads:";

/// Returns the model and the number of threads where a service is that of [`Host::infer_on_threads`].
pub fn threads_of(service: &str) -> Option<(ModelRole, NonZeroUsize)> {
    let (model, threads) = service.split_once(ON_THREADS)?;
    Some((ModelRole::parse(model)?, threads.parse().ok()?))
}

/// The services of the host, lent for the length of one call.
///
/// The defaults do nothing, so that a test can pass `&()`.
pub trait Host: Send + Sync {
    /// Reports that `done` of `total` units are done (`total` 0: unknown).
    fn progress(&self, done: u64, total: u64) {
        let _ = (done, total);
    }

    /// Returns whether the run is to end; a long loop asks and returns [`Host::cancelled`].
    fn is_cancelled(&self) -> bool {
        false
    }

    /// Runs a model on rows and returns one column per output, under its own name.
    ///
    /// The rows have the columns of the data that the pipeline makes the model's inputs of, which a probe sees
    /// where it asks for them ([`crate::RowNeeds::inputs`]), with any values; further columns are ignored.
    /// Where one of those is missing they have one column per input, named after it.
    ///
    /// # Errors
    /// When the model is not part of the run, or cannot run the rows.
    fn infer(&self, model: ModelRole, input: &RecordBatch) -> Result<RecordBatch> {
        self.exchange(model.as_str(), input)
    }

    /// As [`Host::infer`], in one call of the model, so that what depends on the size of a batch shows. A model whose batch is
    /// part of it takes that many rows at once all the same.
    ///
    /// # Errors
    /// As [`Host::infer`], and [`ErrorKind::MixedRows`] when the rows influence each other.
    fn infer_at_once(&self, model: ModelRole, input: &RecordBatch) -> Result<RecordBatch> {
        self.exchange(&format!("{}{AT_ONCE}", model.as_str()), input)
    }

    /// As [`Host::infer`] of the same rows on so many threads at once, so that what runs of the model share shows. The answers of
    /// all threads stand one after the other.
    ///
    /// # Errors
    /// As [`Host::infer`], for more than [`MAX_THREADS`], and `NotFound` where the host does not offer it.
    fn infer_on_threads(&self, model: ModelRole, input: &RecordBatch, threads: NonZeroUsize) -> Result<RecordBatch> {
        self.exchange(&format!("{}{ON_THREADS}{threads}", model.as_str()), input)
    }

    /// Gives rows to a named service of the host and returns the rows that it answers with. Both models are such services.
    ///
    /// # Errors
    /// When the host does not offer the service, or the service fails.
    fn exchange(&self, service: &str, rows: &RecordBatch) -> Result<RecordBatch> {
        let _ = rows;
        Err(match ModelRole::parse(service) {
            Some(_) => Error::new(ErrorKind::NotFound, format!("there is no {service} model in this run")),
            None => Error::new(ErrorKind::NotFound, format!("the host offers no service `{service}` for rows")),
        })
    }

    /// Runs the baseline and the candidate node by node on the same rows, which have the columns of both models' inputs
    /// as in [`Host::infer`].
    ///
    /// # Errors
    /// When one of them is not part of the run, cannot run the rows, or has other inputs than the other, and when the terms
    /// name an output that is not there.
    fn compare_nodes(&self, rows: &RecordBatch, terms: &Terms) -> Result<NodeComparison> {
        answer::from_rows(&self.exchange(&nodes::service(terms)?, rows)?)
    }

    /// Cuts the candidate down to where it parts from the baseline at a node, which is one of
    /// [`Host::compare_nodes`] of the same rows.
    ///
    /// # Errors
    /// As there, and when the candidate is no ONNX model, or no tensor from the node on has a counterpart.
    fn reproduce(&self, rows: &RecordBatch, node: &str) -> Result<Reproduction> {
        Reproduction::from_rows(&self.exchange(&reproduction::service(node), rows)?)
    }

    /// Returns how many bytes of files the host still takes from this probe: none where nobody asked for them.
    fn artifact_bytes(&self) -> u64 {
        self.call(artifact::BUDGET, &Value::Null).ok().and_then(|it| it.as_u64()).unwrap_or(0)
    }

    /// Hands over a file that belongs to the report, and returns where it is. A finding names it by
    /// [`Finding::files`](crate::report::Finding::files).
    ///
    /// # Errors
    /// When it cannot be written, its name is no plain one or was given before, or it is larger than
    /// [`Host::artifact_bytes`] allows. The run says so too, so that a probe may go on without.
    fn keep(&self, artifact: &Artifact) -> Result<String> {
        answer::from_rows(&self.exchange(artifact::KEEP, &artifact::to_rows(std::slice::from_ref(artifact))?)?)
    }

    /// Runs a model node by node, on rows as in [`Host::infer`], and returns what numbers its nodes gave.
    ///
    /// # Errors
    /// When the model is not part of the run, cannot run the rows, or cannot be run node by node.
    fn numerics(&self, model: ModelRole, rows: &RecordBatch) -> Result<Numerics> {
        answer::from_rows(&self.exchange(&format!("{}{NUMERICS}", model.as_str()), rows)?)
    }

    /// Runs a model once, as [`Host::infer`], and returns how much memory the process that ran it had meanwhile.
    ///
    /// # Errors
    /// When the model is not part of the run or cannot run the rows, and `NotFound` where the system does not tell.
    fn inference_memory(&self, model: ModelRole, rows: &RecordBatch) -> Result<InferenceMemory> {
        answer::from_rows(&self.exchange(&format!("{}{MEMORY}", model.as_str()), rows)?)
    }

    /// Calls a named service of the host with a JSON value.
    ///
    /// # Errors
    /// When the host does not offer the service, or the service fails.
    fn call(&self, service: &str, argument: &Value) -> Result<Value> {
        let _ = argument;
        Err(Error::new(ErrorKind::NotFound, format!("the host offers no service `{service}`")))
    }

    /// Returns the confidence level at which intervals of `metric` are wanted: the level that a
    /// requirement on it names (`with confidence 99%`), else 0.95.
    fn confidence(&self, metric: &str) -> f64 {
        self.required_confidence(metric).unwrap_or(0.95)
    }

    /// Returns whether a requirement says by how much `metric`, over all rows, may be worse than the baseline's: a difference that is
    /// certain is then no fault by itself.
    fn may_be_worse(&self, metric: &str) -> bool {
        self.call("may_be_worse", &Value::from(metric)).ok().and_then(|it| it.as_bool()).unwrap_or(false)
    }

    /// Returns the confidence level that a requirement on `metric` names; nothing where none names one.
    fn required_confidence(&self, metric: &str) -> Option<f64> {
        self.call("confidence", &Value::from(metric)).ok()?.as_f64()
    }

    /// Returns what is known of a model.
    ///
    /// # Errors
    /// When the model is not part of the run or cannot be run, or its file cannot be read.
    fn model(&self, model: ModelRole) -> Result<ModelDescription> {
        read("model", self.call("model", &Value::from(model.as_str()))?)
    }

    /// Returns what is known of a model from its file, also of one that cannot be run.
    ///
    /// # Errors
    /// When there is no such model, no probe of the run wants it, or its file cannot be read.
    fn structure(&self, model: ModelRole) -> Result<ModelDescription> {
        read("structure", self.call("structure", &Value::from(model.as_str()))?)
    }

    /// Returns whether the candidate and the baseline are one model: the same signature of the same bytes, run by the same
    /// runtime. Two that answer some rows alike need not be; where the host does not say, they are not.
    fn is_one_model(&self) -> bool {
        self.call(IS_ONE_MODEL, &Value::Null).ok().and_then(|it| it.as_bool()).unwrap_or(false)
    }

    /// Returns what is known of the machine.
    ///
    /// # Errors
    /// When the host does not say.
    fn machine(&self) -> Result<MachineDescription> {
        read("machine", self.call("machine", &Value::Null)?)
    }

    /// Returns the seconds that the model was busy in the last [`Host::infer`] of this probe, without what it
    /// costs to get there and back. The only clock that a probe has.
    ///
    /// # Errors
    /// When the model has not run yet.
    fn inference_seconds(&self, model: ModelRole) -> Result<f64> {
        read("inference_seconds", self.call("inference_seconds", &Value::from(model.as_str()))?)
    }

    /// Loads a model once more, throws it away, and returns the seconds that it took. Its files were read before, so that they may come
    /// out of a cache.
    ///
    /// # Errors
    /// When the model is not part of the run or cannot be loaded again, and `NotFound` where the host does not offer it.
    fn load_again(&self, model: ModelRole) -> Result<f64> {
        read(LOAD, self.call(LOAD, &Value::from(model.as_str()))?)
    }

    /// Returns the error with which a component ends a call that was cancelled.
    fn cancelled(&self) -> Error {
        Error::new(ErrorKind::Cancelled, "cancelled")
    }
}

impl Host for () {}

fn read<T: serde::de::DeserializeOwned>(service: &str, answer: Value) -> Result<T> {
    serde_json::from_value(answer)
        .map_err(|e| Error::new(ErrorKind::Other, format!("cannot read the host's answer of service `{service}`: {e}")))
}

/// Which of the two models of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelRole {
    /// The model that is judged.
    Candidate,
    /// The model that it must not be worse than.
    Baseline,
}

impl ModelRole {
    /// Returns the word that names it in messages, columns and across the boundary.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Baseline => "baseline",
        }
    }

    /// Returns the role of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "candidate" => Some(Self::Candidate),
            "baseline" => Some(Self::Baseline),
            _ => None,
        }
    }
}
