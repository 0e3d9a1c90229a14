//! A model in ONNX Runtime, run in batches as with tract.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use modelwatch_infer::{
    Executable, HostTensor, InferError, Layers, MICRO_BATCH, ModelInfo, NodeGraph, Prepared, Probe, RowTest, RowTests,
    Worker, examine_onnx, rows_of,
};
use ort::environment::Environment;

use crate::{NAME, sessions::Sessions};

/// The most answers kept of whether rows of some shape can be run together.
const MAX_PLANS: usize = 32;

/// A dynamic quantization takes its scale from all rows that it sees, so a row's output would depend on its neighbors: by less than
/// what asking the model would show.
const TAKES_SCALE_FROM_ROWS: &str = "DynamicQuantizeLinear";

/// How many rows, and their shapes; and whether they are asked for as one batch, in which their number may be seen.
type Wanted = (usize, Vec<Vec<usize>>, bool);

/// Where what came of asking a model about its rows is kept.
pub(crate) struct Kept {
    folder: PathBuf,
    /// The runtime that was asked.
    runtime: String,
    tests: OnceLock<Option<RowTests>>,
}

impl Kept {
    pub(crate) fn new(folder: PathBuf, runtime: String) -> Self {
        Self { folder, runtime, tests: OnceLock::new() }
    }

    /// Returns what is kept of a model, of which all bytes are read at the first call.
    fn tests(&self, path: &Path) -> Option<&RowTests> {
        self.tests.get_or_init(|| RowTests::of_onnx(&self.folder, path, &self.runtime)).as_ref()
    }
}

pub(crate) struct OnnxExecutable {
    info: ModelInfo,
    sessions: Arc<Sessions>,
    micro_batch: usize,
    /// The batch is part of the model.
    is_fixed: bool,
    /// Rows influence each other, for which reason each is run alone.
    rows_are_mixed: AtomicBool,
    kept: Option<Kept>,
    /// None where rows would have other answers.
    plans: Mutex<HashMap<Wanted, Option<Arc<OnnxPlan>>>>,
}

impl OnnxExecutable {
    pub(crate) fn load(
        path: &Path,
        environment: &Environment,
        threads: NonZeroUsize,
        kept: Option<Kept>,
    ) -> Result<Self, InferError> {
        let mut info = examine_onnx(path, NAME)?;
        let fixed = info.fixed_batch(path)?;
        let sessions = Arc::new(Sessions::new(path, environment, threads, info.inputs.clone())?);
        info.outputs = sessions.outputs().to_vec();
        let takes_scale_from_rows = info.operators.contains_key(TAKES_SCALE_FROM_ROWS);
        let micro_batch = fixed.unwrap_or(if takes_scale_from_rows { 1 } else { MICRO_BATCH });
        let mut res = Self {
            info,
            sessions,
            micro_batch,
            is_fixed: fixed.is_some(),
            rows_are_mixed: AtomicBool::new(false),
            kept,
            plans: Mutex::default(),
        };
        // With dynamic rows the first batch decides; what is wrong with the model shows then.
        if let Some(row_shapes) = res.info.fixed_rows() {
            res.micro_batch = res.batch_plan(&row_shapes)?.rows;
            res.take_shapes(&row_shapes)?;
        }
        if !res.is_fixed {
            res.info.outputs.iter_mut().filter_map(|it| it.shape.first_mut()).for_each(|it| *it = None);
        }
        Ok(res)
    }

    /// Replaces what the file says of its outputs by what they are, since many say nothing.
    fn take_shapes(&mut self, row_shapes: &[Vec<usize>]) -> Result<(), InferError> {
        let probe = Probe::new(self.sessions.path(), self.micro_batch, row_shapes, &self.info.inputs)?;
        let Ok(answer) = probe.ask(&|it| self.sessions.run(it), 0) else { return Ok(()) };
        let answer = rows_of(self.sessions.path(), self.micro_batch, answer)?;
        for (spec, tensor) in self.info.outputs.iter_mut().zip(answer) {
            (spec.dtype, spec.shape) = (tensor.values.dtype(), tensor.shape.into_iter().map(Some).collect());
        }
        Ok(())
    }

    /// Returns the plan for a micro-batch, or for single rows where more of them influence each other.
    fn batch_plan(&self, row_shapes: &[Vec<usize>]) -> Result<Arc<OnnxPlan>, InferError> {
        match self.plan_for(self.micro_batch, row_shapes, self.is_fixed) {
            Err(error) if self.micro_batch > 1 && !self.is_fixed => {
                tracing::debug!(path = %self.path().display(), %error, "Falling back to single rows.");
                if matches!(error, InferError::MixedRows { .. }) {
                    self.rows_are_mixed.store(true, Ordering::Relaxed);
                }
                self.plan_for(1, row_shapes, false)
            }
            other => other,
        }
    }

    /// Returns whether rows are as they are where they are alone, or one batch where they are asked for as one.
    fn are_apart(&self, probe: &Probe<'_>, (rows, row_shapes, at_once): &Wanted) -> bool {
        if *rows == 1 {
            return true;
        }
        let run = |it| self.sessions.run(it);
        let ask = || {
            let are_independent = probe.rows_are_independent(&run);
            let tells_sizes = are_independent && self.info.tells_sizes();
            RowTest { are_independent, size_matters: tells_sizes && !probe.is_the_same_alone(&run, &run) }
        };
        let RowTest { are_independent, size_matters } = match self.kept.as_ref().and_then(|it| it.tests(self.path())) {
            Some(it) => it.recall_or(*rows, row_shapes, ask),
            None => ask(),
        };
        are_independent && (*at_once || !size_matters)
    }

    fn plan_for(&self, rows: usize, row_shapes: &[Vec<usize>], at_once: bool) -> Result<Arc<OnnxPlan>, InferError> {
        let wanted = (rows, row_shapes.to_vec(), at_once);
        // Held while asking, so that threads do not ask the same.
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = match plans.get(&wanted) {
            Some(it) => it.clone(),
            None => {
                let probe = Probe::new(self.path(), rows, row_shapes, &self.info.inputs)?;
                let sessions = self.sessions.clone();
                let plan = self.are_apart(&probe, &wanted).then(|| Arc::new(OnnxPlan { rows, sessions }));
                if plans.len() >= MAX_PLANS {
                    plans.clear();
                }
                plans.entry(wanted).or_insert(plan).clone()
            }
        };
        plan.ok_or_else(|| InferError::mixed_rows(self.path()))
    }
}

impl Executable for OnnxExecutable {
    fn path(&self) -> &Path {
        self.sessions.path()
    }

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn layers(&self) -> Result<&Layers, InferError> {
        Err(InferError::Opaque { path: self.path().to_path_buf(), runtime: NAME })
    }

    fn with_layers(&self, _: &[String]) -> Result<Arc<dyn Executable>, InferError> {
        Err(InferError::Opaque { path: self.path().to_path_buf(), runtime: NAME })
    }

    fn micro_batch(&self) -> usize {
        self.micro_batch
    }

    fn plan(&self, row_shapes: &[Vec<usize>]) -> Result<Arc<dyn Prepared>, InferError> {
        Ok(self.batch_plan(row_shapes)?)
    }

    fn few(&self, _row_shapes: &[Vec<usize>]) -> Option<Arc<dyn Prepared>> {
        None
    }

    fn single(&self, row_shapes: &[Vec<usize>]) -> Option<Arc<dyn Prepared>> {
        let plan = (!self.is_fixed).then(|| self.plan_for(1, row_shapes, false).ok()).flatten()?;
        Some(plan)
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    fn rows_are_mixed(&self) -> bool {
        self.rows_are_mixed.load(Ordering::Relaxed)
    }

    fn plan_at(&self, rows: usize, row_shapes: &[Vec<usize>]) -> Result<Arc<dyn Prepared>, InferError> {
        Ok(self.plan_for(if self.is_fixed { self.micro_batch } else { rows }, row_shapes, true)?)
    }

    fn nodes(&self, _: &[Vec<usize>], _: Option<usize>) -> Result<NodeGraph, InferError> {
        Err(InferError::Opaque { path: self.path().to_path_buf(), runtime: NAME })
    }

    fn nodes_of_file(&self, row_shapes: &[Vec<usize>], rows: Option<usize>) -> Result<NodeGraph, InferError> {
        self.nodes(row_shapes, rows)
    }
}

struct OnnxPlan {
    rows: usize,
    sessions: Arc<Sessions>,
}

impl Prepared for OnnxPlan {
    fn rows(&self) -> usize {
        self.rows
    }

    fn worker(&self) -> Result<Box<dyn Worker + '_>, InferError> {
        Ok(Box::new(OnnxWorker(self)))
    }
}

struct OnnxWorker<'a>(&'a OnnxPlan);

impl Worker for OnnxWorker<'_> {
    fn run(&mut self, inputs: Vec<HostTensor>) -> Result<Vec<HostTensor>, InferError> {
        let OnnxPlan { rows, sessions } = self.0;
        rows_of(sessions.path(), *rows, sessions.run(inputs)?)
    }
}
