//! What the runtime offers to components during a call.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use arrow_select::concat::concat_batches;
use modelwatch_infer::InferError;
use modelwatch_sdk::{
    AT_ONCE, Error, ErrorKind, Host, IS_ONE_MODEL, LOAD, MAX_THREADS, ModelRole, RecordBatch, Result, answer,
    artifact::{self, BUDGET, KEEP},
    chunks::Period,
    memory::{InferenceMemory, MEMORY},
    nodes::{self, NodeComparison, Terms},
    numerics::NUMERICS,
    reproduction::{self, Reproduction},
    threads_of,
};
use serde_json::Value;

use crate::{
    artifacts::Artifacts,
    compare, describe,
    history::EarlierRuns,
    memory,
    models::{Models, RunModel},
    pace::Pace,
    reproduce,
};

/// The host of a store, or of anything else that only asks whether to go on.
pub(crate) struct PlainHost(pub(crate) Arc<AtomicBool>);

impl Host for PlainHost {
    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The host of one probe.
pub(crate) struct ProbeHost<'a> {
    /// Told how far the probe is, as often as `pace` lets it.
    pub(crate) on_progress: Box<dyn Fn(u64, u64) + Send + Sync + 'a>,
    pub(crate) pace: Pace,
    pub(crate) cancelled: Arc<AtomicBool>,
    /// The probe's own limit: from then on it is asked to end.
    pub(crate) deadline: Option<(Instant, Duration)>,
    pub(crate) models: Models,
    /// The confidence levels that requirements name, by metric.
    pub(crate) confidence: BTreeMap<String, f64>,
    /// The metrics of which requirements say by how much they may be worse than the baseline's.
    pub(crate) tolerated: BTreeSet<String>,
    /// How long each model was busy the last time that this probe ran it.
    pub(crate) seconds: Mutex<BTreeMap<ModelRole, f64>>,
    /// The files that this probe hands over.
    pub(crate) artifacts: Artifacts,
    /// The runs before; none where the run is not kept, so that nobody can count them.
    pub(crate) earlier_runs: Option<EarlierRuns>,
}

impl ProbeHost<'_> {
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

    /// Runs one of the models, and takes the time.
    fn run(&self, role: ModelRole, rows: &RecordBatch, at_once: bool) -> Result<RecordBatch> {
        let it = self.models.required(role)?;
        let assembled = it.assemble(rows)?;
        let input = assembled.as_ref().unwrap_or(rows);
        let start = Instant::now();
        let res = if at_once { it.model.run_at_once(input) } else { it.model.run(input, NonZeroUsize::MIN) };
        let res = res.map_err(|e| match e {
            InferError::MixedRows { .. } => Error::new(ErrorKind::MixedRows, e.to_string()),
            e => Error::input(e),
        });
        let seconds = start.elapsed().as_secs_f64();
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner).insert(role, seconds);
        res
    }

    /// Runs one of the models on all rows on each of some threads, and returns what they gave one after the other.
    fn run_on(&self, threads: NonZeroUsize, role: ModelRole, rows: &RecordBatch) -> Result<RecordBatch> {
        if threads > MAX_THREADS {
            return Err(Error::input(format!("a model is run on {MAX_THREADS} threads at most, not on {threads}")));
        }
        let it = self.models.required(role)?;
        let assembled = it.assemble(rows)?;
        let input = assembled.as_ref().unwrap_or(rows);
        let run = || it.model.run(input, NonZeroUsize::MIN).map_err(Error::input);
        let answers = on_each(threads, thread::Builder::new, &run)?;
        let first = answers.first().ok_or_else(|| Error::input("no thread gave an answer"))?;
        concat_batches(&first.schema(), &answers).map_err(Error::input)
    }

    /// Runs one of the models as [`Host::infer_at_once`] where it can be run so, and looks at the memory.
    fn watch(&self, role: ModelRole, rows: &RecordBatch) -> Result<InferenceMemory> {
        let (ran, memory) = memory::watch(|| self.run(role, rows, true).or_else(|_| self.run(role, rows, false)));
        ran?;
        memory.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "this system does not tell how much memory a process had at most")
        })
    }

    /// Runs both models node by node.
    fn compare(&self, rows: &RecordBatch, terms: Terms) -> Result<NodeComparison> {
        let baseline = self.models.required(ModelRole::Baseline)?;
        let candidate = self.models.required(ModelRole::Candidate)?;
        compare::compare([baseline, candidate], rows, terms, &|| self.is_cancelled())
    }

    /// Cuts the candidate down to where it parts from the baseline.
    fn reproduce(&self, rows: &RecordBatch, node: &str) -> Result<Reproduction> {
        let baseline = self.models.required(ModelRole::Baseline)?;
        let candidate = self.models.required(ModelRole::Candidate)?;
        reproduce::reproduce(baseline, candidate, rows, node, &|| self.is_cancelled())
    }

    /// Takes a file.
    fn keep(&self, rows: &RecordBatch) -> Result<String> {
        let [file] = &artifact::from_rows(rows)?[..] else { return Err(Error::input("one file is kept at a time")) };
        self.artifacts.keep(file)
    }
}

/// Returns what `work` gives on each of some threads at the same time. Fails with [`ErrorKind::NotFound`] where the system gives out fewer
/// of them: what ran one after another would say nothing of what runs at once.
fn on_each<T: Send>(
    threads: NonZeroUsize,
    builder: fn() -> thread::Builder,
    work: &(dyn Fn() -> Result<T> + Sync),
) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let started: Vec<_> = (0..threads.get()).map_while(|_| builder().spawn_scoped(scope, work).ok()).collect();
        // All of them, since one that panicked and is not joined ends the scope in a panic.
        let answers: Vec<_> = started.into_iter().map(thread::ScopedJoinHandle::join).collect();
        if answers.len() < threads.get() {
            let what = format!("only {} of {threads} threads could be started", answers.len());
            return Err(Error::new(ErrorKind::NotFound, what)
                .with_help("raise the limit of processes, or ask for fewer threads"));
        }
        let panicked = |_| Err(Error::input("the model panicked"));
        answers.into_iter().map(|it| it.unwrap_or_else(panicked)).collect()
    })
}

impl Host for ProbeHost<'_> {
    fn progress(&self, done: u64, total: u64) {
        // The last one is told always, since it ends what is shown of the probe.
        if done == total || self.pace.is_due() {
            (self.on_progress)(done, total);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.check_deadline().is_err()
    }

    fn exchange(&self, service: &str, rows: &RecordBatch) -> Result<RecordBatch> {
        self.exchanged(service, rows).map_err(|e| self.models.as_shown(e))
    }

    fn call(&self, service: &str, argument: &Value) -> Result<Value> {
        self.called(service, argument).map_err(|e| self.models.as_shown(e))
    }
}

impl ProbeHost<'_> {
    fn exchanged(&self, service: &str, rows: &RecordBatch) -> Result<RecordBatch> {
        let model = |suffix: &str| service.strip_suffix(suffix).and_then(ModelRole::parse);
        if let Some(role) = model("") {
            self.run(role, rows, false)
        } else if let Some(role) = model(AT_ONCE) {
            self.run(role, rows, true)
        } else if let Some((role, threads)) = threads_of(service) {
            self.run_on(threads, role, rows)
        } else if let Some(role) = model(MEMORY) {
            answer::to_rows(&self.watch(role, rows)?)
        } else if let Some(role) = model(NUMERICS) {
            answer::to_rows(&compare::numerics(self.models.required(role)?, rows, &|| self.is_cancelled())?)
        } else if let Some(terms) = nodes::terms_of(service) {
            answer::to_rows(&self.compare(rows, terms?)?)
        } else if let Some(node) = reproduction::node_of(service) {
            self.reproduce(rows, node)?.into_rows()
        } else if service == KEEP {
            answer::to_rows(&self.keep(rows)?)
        } else {
            ().exchange(service, rows)
        }
    }

    fn called(&self, service: &str, argument: &Value) -> Result<Value> {
        let text = |what: &str| argument.as_str().ok_or_else(|| Error::input(format!("`{service}` takes {what}")));
        let role = || {
            let name = text("the name of a model")?;
            ModelRole::parse(name).ok_or_else(|| Error::input(format!("there is no model `{name}`")))
        };
        match service {
            "confidence" => Ok(self.confidence.get(text("the name of a metric")?).copied().into()),
            "may_be_worse" => Ok(self.tolerated.contains(text("the name of a metric")?).into()),
            "model" => serde_json::to_value(self.models.required(role()?)?.description()?).map_err(Error::input),
            "structure" => {
                let role = role()?;
                let found = match self.models.refused.get(&role) {
                    Some(it) => describe::refused(it)?,
                    None => self.models.required(role)?.description()?,
                };
                serde_json::to_value(found).map_err(Error::input)
            }
            BUDGET => Ok(self.artifacts.bytes_left().into()),
            IS_ONE_MODEL => match self.models.are_one(&|| self.is_cancelled()) {
                Err(_) if self.is_cancelled() => Err(self.cancelled()),
                found => Ok(found?.into()),
            },
            LOAD => Ok(self.models.required(role()?)?.load_again()?.into()),
            "earlier_runs" => {
                let period: Period = serde_json::from_value(argument.clone()).map_err(Error::input)?;
                let none = || Error::new(ErrorKind::NotFound, "the run is not kept in a history");
                let earlier = self.earlier_runs.as_ref().ok_or_else(none)?;
                Ok(earlier.count_in(period).map_err(|e| Error::new(ErrorKind::Other, e.to_string()))?.into())
            }
            "machine" => {
                let runtime = self.models.candidate.as_deref().map(RunModel::runtime);
                serde_json::to_value(describe::machine(runtime)).map_err(Error::input)
            }
            "inference_seconds" => {
                let role = role()?;
                let seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner).get(&role).copied();
                let never = || Error::new(ErrorKind::NotFound, format!("the {} has not run yet", role.as_str()));
                Ok(seconds.ok_or_else(never)?.into())
            }
            other => Err(Error::new(ErrorKind::NotFound, format!("the host offers no service `{other}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_tells_how_far_it_is_at_once_and_at_its_end() {
        let told = Mutex::new(Vec::new());
        let host = ProbeHost {
            on_progress: Box::new(|done, total| told.lock().unwrap().push((done, total))),
            pace: Pace::default(),
            cancelled: Arc::default(),
            deadline: None,
            models: Models::default(),
            confidence: BTreeMap::new(),
            tolerated: BTreeSet::new(),
            seconds: Mutex::default(),
            artifacts: Artifacts::into_folder(None),
            earlier_runs: None,
        };
        // The interval begins when the first one is told.
        host.progress(1, 2);
        host.progress(2, 2);
        assert_eq!(*told.lock().unwrap(), [(1, 2), (2, 2)], "the last one is told whenever it comes");
        host.cancelled.store(true, Ordering::Relaxed);
        assert!(host.is_cancelled());
    }

    #[test]
    fn what_is_to_run_at_once_does_not_run_on_fewer_threads() {
        let answers = |builder| on_each(NonZeroUsize::new(3).unwrap(), builder, &|| Ok(thread::current().id()));
        let here = thread::current().id();
        let started = answers(thread::Builder::new).unwrap();
        assert!(started.len() == 3 && !started.contains(&here), "{started:?}");
        // No system has room for such a stack.
        let refused = answers(|| thread::Builder::new().stack_size(usize::MAX / 4)).unwrap_err();
        assert_eq!((refused.kind, &*refused.message), (ErrorKind::NotFound, "only 0 of 3 threads could be started"));
    }
}
