//! A loaded model with its plans, one per row shape.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    MICRO_BATCH, guard,
    interpreted::{InterpretedNodes, Tap},
    nodes::NodeGraph,
    onnx::Uncompiled,
    plan::{Batch, Plan},
    self_tests::ModelTests,
    source::{Attempts, Graph, Source, as_answered},
    without_layers,
};
use crate::{
    error::InferError,
    runtime::{Executable, Prepared},
    spec::{Layers, ModelInfo},
};

/// The most plans kept, each with its own packed weights; data with more row shapes than this pays for preparing them again.
const MAX_PLANS: usize = 32;

/// The rows of a micro-batch where rows are as small as those of tables: there, what each run costs is much of the whole. Not
/// where values between input and output are larger and no longer fit into the caches, or into memory.
const MANY_ROWS: usize = 256;

/// What a plan is for: its rows, and their shapes.
type Wanted = (Rows, Vec<Vec<usize>>);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Rows {
    /// Those of a micro-batch, which do not know of each other.
    MicroBatch,
    /// So many of them.
    Apart(usize),
    /// So many, as one batch.
    AtOnce(usize),
}

pub(super) struct TractExecutable {
    path: PathBuf,
    info: ModelInfo,
    source: Source,
    /// The model without the layers that are given; none where there are none.
    without_layers: Option<Source>,
    /// What is run where the source cannot be compiled.
    uncompiled: Option<Arc<Uncompiled>>,
    micro_batch: usize,
    /// The batch is part of the model.
    is_fixed: bool,
    /// Rows influence each other, for which reason each is run alone.
    rows_are_mixed: AtomicBool,
    /// What is known from earlier loads.
    tests: Option<ModelTests>,
    plans: Mutex<HashMap<Wanted, Arc<Plan>>>,
    /// What there can be no plan for, lest it be tried again at every request.
    without_plan: Mutex<HashSet<Wanted>>,
}

/// Why there is no plan.
enum Failed {
    /// There is none for the model, in this way.
    Model(InferError),
    /// There is one for the model without its layers.
    Layers(InferError),
}

impl From<Failed> for InferError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Model(it) | Failed::Layers(it) => it,
        }
    }
}

/// Returns the first reading of a model that can be prepared, or the first one's error.
///
/// Only a model that cannot be compiled in any reading is interpreted.
pub(super) fn first_that_works(
    path: &Path,
    Attempts { sources, uncompiled, .. }: Attempts,
    tests: Option<&ModelTests>,
) -> Result<TractExecutable, InferError> {
    let uncompiled = uncompiled.map(Arc::new);
    let mut first_error = None;
    let mut last = None;
    for (reading, source) in sources.into_iter().enumerate() {
        if matches!(source.graph, Graph::Uncompiled) {
            last = Some(source);
            continue;
        }
        match prepare(path, source, None, None, tests.map(|it| it.of_reading(reading))) {
            Ok(mut it) => {
                it.uncompiled = uncompiled.filter(|_| it.info.fixed_rows().is_none());
                return Ok(it);
            }
            Err(failed) => {
                let (error, source) = *failed;
                first_error.get_or_insert(error);
                last = Some(source);
            }
        }
    }
    if let (Some(mut source), Some(uncompiled)) = (last, uncompiled) {
        source.graph = Graph::Uncompiled;
        match prepare(path, source, None, Some(uncompiled), None) {
            Ok(it) => return Ok(it),
            Err(failed) => match failed.0 {
                // What tract said is of a file that is no longer there, or does not name what is refused.
                it @ (InferError::Changed { .. } | InferError::Open { .. } | InferError::Unsupported { .. }) => {
                    return Err(it);
                }
                it => first_error.get_or_insert(it),
            },
        };
    }
    Err(first_error
        .unwrap_or_else(|| InferError::Interface { path: path.to_path_buf(), reason: "there is no graph".to_string() }))
}

fn prepare(
    path: &Path,
    source: Source,
    without_layers: Option<Source>,
    uncompiled: Option<Arc<Uncompiled>>,
    tests: Option<ModelTests>,
) -> Result<TractExecutable, Box<(InferError, Source)>> {
    let fixed = match source.info.fixed_batch(path) {
        Ok(it) => it,
        Err(error) => return Err(Box::new((error, source))),
    };
    let mut res = TractExecutable {
        path: path.to_path_buf(),
        info: source.info.clone(),
        micro_batch: fixed.unwrap_or_else(|| micro_batch(path, &source)),
        is_fixed: fixed.is_some(),
        source,
        without_layers,
        uncompiled,
        rows_are_mixed: AtomicBool::new(false),
        tests,
        plans: Mutex::default(),
        without_plan: Mutex::default(),
    };
    // With dynamic rows the first batch decides; what is wrong with the model shows then.
    if let Some(row_shapes) = res.info.fixed_rows() {
        let plan = match res.plan_for(Rows::MicroBatch, &row_shapes) {
            Ok(it) => it,
            Err(error) => return Err(Box::new((error, res.source))),
        };
        res.micro_batch = plan.rows();
        for (spec, (dtype, mut shape)) in res.info.outputs.iter_mut().zip(plan.outputs()) {
            if !res.is_fixed {
                shape[0] = None;
            }
            (spec.dtype, spec.shape) = (dtype, shape);
        }
    }
    Ok(res)
}

fn micro_batch(path: &Path, source: &Source) -> usize {
    const FEW_NUMBERS: usize = 256;
    let info = &source.info;
    if source.row_by_row {
        return 1;
    }
    if !info.has_rows_up_to(FEW_NUMBERS) || info.may_widen() {
        return MICRO_BATCH;
    }
    let gathers_nothing_larger = || guard::guarded(path, || Ok(source.gathers_nothing_larger())).unwrap_or(false);
    if !info.gathers() || gathers_nothing_larger() { MANY_ROWS } else { MICRO_BATCH }
}

impl TractExecutable {
    /// Returns the plan for as many rows as were asked for, or for a micro-batch.
    fn plan_for(&self, rows: Rows, row_shapes: &[Vec<usize>]) -> Result<Arc<Plan>, InferError> {
        let wanted = (rows, row_shapes.to_vec());
        // Held while preparing, so that threads do not prepare the same plan twice. A panic inside is caught below it.
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&wanted) {
            return Ok(plan.clone());
        }
        // A batch that is part of the model is one.
        let at_once = self.is_fixed || matches!(rows, Rows::AtOnce(_));
        // What is known of such a model is known of rows that are apart.
        let is_known = self.is_fixed || !at_once || !self.source.is_quantized_as_it_runs();
        let tests = self.tests.as_ref().filter(|_| is_known);
        let batch = |rows| Batch { rows, row_shapes, at_once };
        let compiled = self.prepare_rows(rows, |source, rows| Plan::new(&self.path, source, batch(rows), tests));
        let plan = match (compiled, &self.uncompiled) {
            (Ok(it), _) => it,
            (Err(Failed::Model(error)), Some(uncompiled)) => {
                let interpreter = match uncompiled.interpreter(&self.path) {
                    Ok(it) => it,
                    Err(_) if !matches!(self.source.graph, Graph::Uncompiled) => return Err(error),
                    Err(other) => return Err(other),
                };
                tracing::debug!(path = %self.path.display(), %error, "The model is interpreted.");
                self.prepare_rows(rows, |source, rows| {
                    Plan::interpreted(&self.path, source, interpreter.clone(), batch(rows))
                })?
            }
            (Err(failed), _) => return Err(failed.into()),
        };
        if plan.rows_are_mixed() {
            self.rows_are_mixed.store(true, Ordering::Relaxed);
        }
        let plan = Arc::new(plan);
        if plans.len() >= MAX_PLANS {
            plans.clear();
        }
        plans.insert(wanted, plan.clone());
        Ok(plan)
    }

    fn plan_if_possible(&self, rows: usize, row_shapes: &[Vec<usize>]) -> Option<Arc<dyn Prepared>> {
        let wanted = (Rows::Apart(rows), row_shapes.to_vec());
        // Held while preparing, as the plans are.
        let mut without_plan = self.without_plan.lock().unwrap_or_else(PoisonError::into_inner);
        if without_plan.contains(&wanted) {
            return None;
        }
        match self.plan_for(Rows::Apart(rows), row_shapes) {
            Ok(it) => Some(it),
            Err(error) => {
                tracing::debug!(path = %self.path.display(), rows, %error, "So few rows are run in micro-batches.");
                if without_plan.len() >= MAX_PLANS {
                    without_plan.clear();
                }
                without_plan.insert(wanted);
                None
            }
        }
    }

    /// Prepares for as many rows as were asked for; a micro-batch has fewer rows, and at last single ones, if that is not possible.
    ///
    /// Layers alone are no reason for fewer rows: what is one number for a whole batch would be taken for the row's own.
    fn prepare_rows(
        &self,
        wanted: Rows,
        prepare: impl Fn(&Source, usize) -> Result<Plan, InferError>,
    ) -> Result<Plan, Failed> {
        let prepare = |source, rows| guard::guarded(&self.path, || prepare(source, rows));
        let mut rows = match wanted {
            Rows::MicroBatch => self.micro_batch,
            Rows::Apart(it) | Rows::AtOnce(it) => it,
        };
        loop {
            let error = match prepare(&self.source, rows) {
                Ok(it) => return Ok(it),
                Err(it) => it,
            };
            if self.without_layers.as_ref().is_some_and(|it| prepare(it, rows).is_ok()) {
                return Err(Failed::Layers(error));
            }
            if wanted != Rows::MicroBatch || rows == 1 || self.is_fixed {
                // The error for one row can only be clearer: it is not about batching.
                return Err(Failed::Model(error));
            }
            // Rows that influence each other may do so unseen where there are fewer.
            let is_mixed = matches!(error, InferError::MixedRows { .. });
            if is_mixed {
                self.rows_are_mixed.store(true, Ordering::Relaxed);
            }
            rows = if rows > MICRO_BATCH && !is_mixed { MICRO_BATCH } else { 1 };
            tracing::debug!(path = %self.path.display(), rows, %error, "Falling back to fewer rows.");
        }
    }
}

impl Executable for TractExecutable {
    fn path(&self) -> &Path {
        &self.path
    }

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn layers(&self) -> Result<&Layers, InferError> {
        self.source.layers.as_ref().ok_or_else(|| without_layers(&self.path, self.info.format))
    }

    fn with_layers(&self, layers: &[String]) -> Result<Arc<dyn Executable>, InferError> {
        let known = self.layers()?;
        let refused = |reason| InferError::Layer { path: self.path.clone(), reason };
        if let Some(it) = layers.iter().find(|it| !known.tensors.contains(it)) {
            return Err(refused(format!(
                "none of its nodes gives a tensor `{it}`; `modelwatch model show` lists those that there are"
            )));
        }
        let executable = guard::guarded(&self.path, || {
            let with = |layers| self.source.with_layers(layers).map_err(|it| refused(guard::reason(&it)));
            // What is known of the model's outputs says nothing of its layers.
            prepare(&self.path, with(layers)?, Some(with(&[])?), self.uncompiled.clone(), None).map_err(|it| it.0)
        })?;
        Ok(Arc::new(executable))
    }

    fn micro_batch(&self) -> usize {
        self.micro_batch
    }

    fn plan(&self, row_shapes: &[Vec<usize>]) -> Result<Arc<dyn Prepared>, InferError> {
        Ok(self.plan_for(Rows::MicroBatch, row_shapes)?)
    }

    fn few(&self, row_shapes: &[Vec<usize>]) -> Option<Arc<dyn Prepared>> {
        if self.is_fixed || self.micro_batch <= MICRO_BATCH {
            return None;
        }
        self.plan_if_possible(MICRO_BATCH, row_shapes)
    }

    fn single(&self, row_shapes: &[Vec<usize>]) -> Option<Arc<dyn Prepared>> {
        if self.is_fixed {
            return None;
        }
        self.plan_if_possible(1, row_shapes)
    }

    fn warnings(&self) -> Vec<String> {
        let plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let mut res: Vec<_> = plans.values().filter_map(|it| it.given_up()).map(ToString::to_string).collect();
        res.sort();
        res.dedup();
        let warning = |it| format!("the runtime's optimizer changes what the model answers {it}; it is run as written");
        res.into_iter().map(warning).collect()
    }

    fn rows_are_mixed(&self) -> bool {
        self.rows_are_mixed.load(Ordering::Relaxed)
    }

    fn plan_at(&self, rows: usize, row_shapes: &[Vec<usize>]) -> Result<Arc<dyn Prepared>, InferError> {
        let rows = if self.is_fixed { Rows::MicroBatch } else { Rows::AtOnce(rows) };
        Ok(self.plan_for(rows, row_shapes)?)
    }

    fn nodes(&self, row_shapes: &[Vec<usize>], rows: Option<usize>) -> Result<NodeGraph, InferError> {
        let rows = if self.is_fixed { self.micro_batch } else { rows.unwrap_or(1) };
        let failed = |it| InferError::Nodes { path: self.path.clone(), reason: guard::reason(&it) };
        guard::guarded(&self.path, || {
            let mut typed = self.source.typed(rows, row_shapes).map_err(failed)?;
            as_answered(&mut typed).map_err(failed)?;
            let graph = NodeGraph::new(typed, rows, row_shapes, &self.source.input_types).map_err(failed)?;
            Ok(graph.with_operators(self.source.operators.clone()))
        })
    }

    fn tap(&self, row_shapes: &[Vec<usize>]) -> Result<Tap, InferError> {
        let error = match self.nodes(row_shapes, None) {
            Ok(it) => return Ok(Tap::Compiled(Box::new(it))),
            Err(it) => it,
        };
        let Some(uncompiled) = &self.uncompiled else { return Err(error) };
        let interpreter = guard::guarded(&self.path, || uncompiled.interpreter(&self.path)).map_err(|_| error)?;
        let rows = if self.is_fixed { self.micro_batch } else { 1 };
        Ok(Tap::Interpreted(InterpretedNodes::new(interpreter, rows, self.source.input_types.clone())))
    }

    fn nodes_of_file(&self, row_shapes: &[Vec<usize>], rows: Option<usize>) -> Result<NodeGraph, InferError> {
        let rows = if self.is_fixed { self.micro_batch } else { rows.unwrap_or(1) };
        let failed = |it| InferError::Excerpt { path: self.path.clone(), reason: guard::reason(&it) };
        guard::guarded(&self.path, || {
            let (typed, outlets) = self.source.typed_with_tensors(rows, row_shapes).map_err(failed)?;
            let graph = NodeGraph::new(typed, rows, row_shapes, &self.source.input_types).map_err(failed)?;
            Ok(graph.with_outlets(outlets).with_operators(self.source.operators.clone()))
        })
    }
}
