//! A host whose models are functions.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use arrow_array::{Array, ArrayRef, RecordBatch, make_array};
use arrow_data::transform::MutableArrayData;
use serde_json::Value;

use crate::{
    about::{MachineDescription, ModelDescription},
    answer,
    artifact::{self, Artifact},
    error::{Error, ErrorKind, Result},
    host::{AT_ONCE, Host, LOAD, ModelRole, threads_of},
    memory::{InferenceMemory, MEMORY},
    nodes::{self, NodeComparison, Terms},
    numerics::{NUMERICS, Numerics},
    reproduction::{self, Reproduction},
};

type Run = dyn Fn(&RecordBatch) -> Result<RecordBatch> + Send + Sync;
type Compare = dyn Fn(&RecordBatch, &Terms) -> Result<NodeComparison> + Send + Sync;
type Numbers = dyn Fn(&RecordBatch) -> Result<Numerics> + Send + Sync;
type Reproduce = dyn Fn(&RecordBatch, &str) -> Result<Reproduction> + Send + Sync;
type Memory = dyn Fn(&str, usize) -> Option<InferenceMemory> + Send + Sync;
type Load = dyn Fn(u64) -> f64 + Send + Sync;
type Seconds = dyn Fn(u64, usize) -> f64 + Send + Sync;

/// A model that is a function.
pub struct TestModel {
    /// Returns the outputs for rows, one column per output.
    pub run: Box<Run>,
    /// What the host tells about it.
    pub description: ModelDescription,
    /// Returns the seconds that a run takes, by how many there were before and how many rows there are.
    pub seconds: Box<Seconds>,
    /// Returns the seconds that loading it again takes, by how often it was; none where it cannot be loaded again.
    pub load: Option<Box<Load>>,
}

impl TestModel {
    /// Returns a model that nothing is known of, and that takes a millisecond for a row.
    pub fn new(run: impl Fn(&RecordBatch) -> Result<RecordBatch> + Send + Sync + 'static) -> Self {
        Self {
            run: Box::new(run),
            description: ModelDescription::default(),
            seconds: Box::new(|_, rows| rows as f64 * 1e-3),
            load: None,
        }
    }
}

/// A host with models, for tests of probes that run them.
#[derive(Default)]
pub struct ModelHost {
    models: BTreeMap<&'static str, TestModel>,
    compare: Option<Box<Compare>>,
    numerics: Option<Box<Numbers>>,
    reproduce: Option<Box<Reproduce>>,
    /// How many bytes of files it takes.
    artifact_bytes: u64,
    kept: Mutex<Vec<Artifact>>,
    memory: Option<Box<Memory>>,
    /// By model: how often it ran, and how long the last time.
    runs: Mutex<BTreeMap<String, (u64, f64)>>,
    /// By model: how often it was loaded again.
    loads: Mutex<BTreeMap<String, u64>>,
}

impl ModelHost {
    /// Returns a host whose candidate is `model`.
    pub fn new(model: TestModel) -> Self {
        Self { models: BTreeMap::from([(ModelRole::Candidate.as_str(), model)]), ..Self::default() }
    }

    /// Adds a baseline.
    #[must_use]
    pub fn with_baseline(mut self, model: TestModel) -> Self {
        self.models.insert(ModelRole::Baseline.as_str(), model);
        self
    }

    /// Says what comes out where the models are compared node by node.
    #[must_use]
    pub fn with_comparison(
        mut self,
        compare: impl Fn(&RecordBatch, &Terms) -> Result<NodeComparison> + Send + Sync + 'static,
    ) -> Self {
        self.compare = Some(Box::new(compare));
        self
    }

    /// Says what numbers the models' nodes give.
    #[must_use]
    pub fn with_numerics(
        mut self,
        numerics: impl Fn(&RecordBatch) -> Result<Numerics> + Send + Sync + 'static,
    ) -> Self {
        self.numerics = Some(Box::new(numerics));
        self
    }

    /// Says what comes out where the candidate is cut down, and how many bytes of files are taken.
    #[must_use]
    pub fn with_reproduction(
        mut self,
        artifact_bytes: u64,
        reproduce: impl Fn(&RecordBatch, &str) -> Result<Reproduction> + Send + Sync + 'static,
    ) -> Self {
        self.artifact_bytes = artifact_bytes;
        self.reproduce = Some(Box::new(reproduce));
        self
    }

    /// Returns the files that were handed over.
    pub fn kept(&self) -> Vec<Artifact> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says how much memory a model takes for so many rows; none where the system does not tell.
    #[must_use]
    pub fn with_memory(
        mut self,
        memory: impl Fn(&str, usize) -> Option<InferenceMemory> + Send + Sync + 'static,
    ) -> Self {
        self.memory = Some(Box::new(memory));
        self
    }

    /// Runs a model on threads of its own, and returns what they gave one after the other.
    fn on_threads(&self, model: &TestModel, rows: &RecordBatch, threads: usize) -> Result<RecordBatch> {
        let answers: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..threads).map(|_| scope.spawn(|| (model.run)(rows))).collect();
            let panicked = |_| Err(Error::input("the model panicked"));
            started.into_iter().map(|it| it.join().unwrap_or_else(panicked)).collect()
        });
        let mut answers = answers.into_iter();
        let mut res = answers.next().unwrap_or_else(|| Err(Error::input("there are no threads")))?;
        for it in answers {
            res = appended(&res, &it?)?;
        }
        Ok(res)
    }

    fn get(&self, name: &str) -> Result<&TestModel> {
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no {name} model in this run"));
        self.models.get(name).ok_or_else(missing)
    }
}

impl Host for ModelHost {
    fn exchange(&self, service: &str, rows: &RecordBatch) -> Result<RecordBatch> {
        if let Some(terms) = nodes::terms_of(service) {
            let compare = self.compare.as_ref().ok_or_else(|| Error::input("these models have no nodes"))?;
            return answer::to_rows(&compare(rows, &terms?)?);
        }
        if let Some(node) = reproduction::node_of(service) {
            let reproduce = self.reproduce.as_ref().ok_or_else(|| Error::input("these models have no nodes"))?;
            return reproduce(rows, node)?.into_rows();
        }
        if service == artifact::KEEP {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(artifact::from_rows(rows)?);
            let path = kept.last().map(|it| format!("kept/{}", it.name));
            return answer::to_rows(&path.ok_or_else(|| Error::input("there is no file"))?);
        }
        if service.ends_with(NUMERICS) {
            let numerics = self.numerics.as_ref().ok_or_else(|| Error::input("these models have no nodes"))?;
            return answer::to_rows(&numerics(rows)?);
        }
        if let Some(model) = service.strip_suffix(MEMORY) {
            (self.get(model)?.run)(rows)?;
            let told = self.memory.as_ref().and_then(|it| it(model, rows.num_rows()));
            let untold = || Error::new(ErrorKind::NotFound, "this system does not tell how much memory a process has");
            return answer::to_rows(&told.ok_or_else(untold)?);
        }
        if let Some((model, threads)) = threads_of(service) {
            return self.on_threads(self.get(model.as_str())?, rows, threads.get());
        }
        let service = service.strip_suffix(AT_ONCE).unwrap_or(service);
        let it = self.get(service)?;
        let outputs = (it.run)(rows)?;
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, last) = runs.entry(service.to_owned()).or_default();
        *last = (it.seconds)(*before, rows.num_rows());
        *before += 1;
        Ok(outputs)
    }

    fn call(&self, service: &str, argument: &Value) -> Result<Value> {
        let name = argument.as_str().unwrap_or_default();
        let written = match service {
            "model" | "structure" => serde_json::to_value(&self.get(name)?.description),
            artifact::BUDGET => Ok(self.artifact_bytes.into()),
            "machine" => serde_json::to_value(MachineDescription { os: "test".to_owned(), ..Default::default() }),
            "inference_seconds" => {
                let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
                let (_, last) = runs.get(name).ok_or_else(|| Error::input(format!("{name} has not run yet")))?;
                Ok((*last).into())
            }
            LOAD => {
                let load = self.get(name)?.load.as_ref().ok_or_else(|| Error::input("its file is gone"))?;
                let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
                let before = loads.entry(name.to_owned()).or_default();
                *before += 1;
                Ok(load(*before - 1).into())
            }
            other => return Err(Error::new(ErrorKind::NotFound, format!("the host offers no service `{other}`"))),
        };
        written.map_err(Error::input)
    }
}

/// Returns the rows of both, which have the same columns.
fn appended(first: &RecordBatch, second: &RecordBatch) -> Result<RecordBatch> {
    let joined = |(left, right): (&ArrayRef, &ArrayRef)| {
        let (left, right) = (left.to_data(), right.to_data());
        let mut res = MutableArrayData::new(vec![&left, &right], false, left.len() + right.len());
        res.try_extend(0, 0, left.len()).map_err(Error::input)?;
        res.try_extend(1, 0, right.len()).map_err(Error::input)?;
        Ok(make_array(res.freeze()))
    };
    let columns = first.columns().iter().zip(second.columns()).map(joined).collect::<Result<_>>()?;
    RecordBatch::try_new(first.schema(), columns).map_err(Error::input)
}
