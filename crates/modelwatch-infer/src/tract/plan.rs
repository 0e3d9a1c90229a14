//! A model compiled for concrete shapes, and the state of a thread that runs it.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    sync::Arc,
};

use modelwatch_tensors::heap;
use tract_onnx::{
    prelude::{DatumType, IntoArcTensor, IntoRunnable, IntoTValue, TValue, TVec, TractError, TractResult, TypedModel},
    tract_core::ops::konst::Const,
    tract_hir::internal::ensure,
};

use super::{
    apart, convert, guard, independent,
    interpreter::{Costly, Interpreter, Limits, Value},
    kernels, memory,
    preflight::MAX_QUESTION_WORK,
    self_tests::{ModelTests, Outcome},
    source::{Source, as_answered, known_dims},
    stages::{Fallback, StageStates, Stages},
};
use crate::{
    error::InferError,
    probe::Probe,
    runtime::{Prepared, Worker, rows_of},
    spec::ElementType,
    tensor::HostTensor,
};

pub(super) struct Plan {
    path: PathBuf,
    rows: usize,
    input_types: Vec<DatumType>,
    outputs: Outputs,
    /// Single rows would have other answers beside others.
    rows_are_mixed: bool,
    engine: Engine,
}

/// The types and shapes of the outputs; empty if they are not known before data is run.
type Outputs = Vec<(ElementType, Vec<Option<usize>>)>;

enum Engine {
    Compiled(Stages),
    /// With the layers that are given behind the outputs.
    Interpreted(Arc<Interpreter>, Vec<String>),
}

impl Engine {
    fn run(&self, states: &mut StageStates, inputs: TVec<TValue>, limits: Limits) -> TractResult<TVec<TValue>> {
        match self {
            Self::Compiled(it) => it.run_with(states, inputs),
            Self::Interpreted(it, layers) => {
                let inputs = inputs.into_iter().map(|it| Value::Tensor(it.into_arc_tensor())).collect();
                it.run(inputs, layers, limits)?.iter().map(|it| Ok(it.tensor()?.clone().into_tvalue())).collect()
            }
        }
    }
}

/// Rows that are run together.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub rows: usize,
    pub row_shapes: &'a [Vec<usize>],
    /// What is taken from all rows of a batch is taken from all of these, not from each.
    pub at_once: bool,
}

impl Plan {
    /// Compiles the model for a batch and checks that it gives as many rows.
    ///
    /// What `tests` know of the model is not found out again.
    pub(super) fn new(
        path: &Path,
        source: &Source,
        Batch { rows, row_shapes, at_once }: Batch<'_>,
        tests: Option<&ModelTests>,
    ) -> Result<Self, InferError> {
        let probe = Probe::new(path, rows, row_shapes, &source.info.inputs)?;
        let failed = |it| InferError::Prepare { path: path.to_path_buf(), rows, reason: guard::reason(&it) };
        let mut typed = source.typed(rows, row_shapes).map_err(failed)?;
        let names = || source.info.outputs.iter().map(|it| &*it.name);
        let outputs = compiled_outputs(path, names(), &typed, rows)?;
        if rows == 1 || !at_once {
            apart::separate(&mut typed, rows).map_err(failed)?;
        }
        let stages = Stages::new(typed).map_err(failed)?;
        // What the forms were made from, before memory is taken to run them.
        heap::give_back();
        let outcome = match tests.and_then(|it| it.recall(rows, row_shapes)) {
            Some(known) => {
                known.fallback.clone().into_iter().for_each(|it| stages.give_up(it));
                known
            }
            None if rows == 1 && source.row_work > MAX_QUESTION_WORK => {
                tracing::debug!(path = %path.display(), work = source.row_work, "The model is not asked before it is run.");
                Outcome::UNASKED
            }
            None => {
                let mut found = Outcome {
                    size_matters: size_matters(source, &stages, probe, (rows, row_shapes)),
                    ..test(&stages, probe, &source.input_types)
                };
                if rows == 1 && !at_once && source.row_by_row {
                    found.rows_are_independent = !pairs_differ(path, source, &stages, row_shapes);
                }
                tests.into_iter().for_each(|it| it.keep(rows, row_shapes, &found));
                found
            }
        };
        if let Some(it) = &outcome.fallback {
            tracing::warn!(path = %path.display(), "The optimizer changes the model's answers {it}; it runs as written, slower.");
        }
        // What takes a scale from all rows of a batch that is one means it.
        let is_meant = at_once && source.is_quantized_as_it_runs();
        if rows > 1 && !is_meant && (!outcome.rows_are_independent || (outcome.size_matters && !at_once)) {
            return Err(InferError::mixed_rows(path));
        }
        Ok(Self {
            path: path.to_path_buf(),
            rows,
            input_types: source.input_types.clone(),
            outputs,
            rows_are_mixed: !outcome.rows_are_independent,
            engine: Engine::Compiled(stages),
        })
    }

    /// Takes the model as it is, to be interpreted for a batch.
    pub(super) fn interpreted(
        path: &Path,
        source: &Source,
        interpreter: Arc<Interpreter>,
        Batch { rows, row_shapes, at_once }: Batch<'_>,
    ) -> Result<Self, InferError> {
        // Nothing gives each row a scale of its own, and the probe may not see it.
        if rows > 1 && !at_once && source.is_quantized_as_it_runs() {
            return Err(InferError::mixed_rows(path));
        }
        let probe = Probe::new(path, rows, row_shapes, &source.info.inputs)?;
        let engine = Engine::Interpreted(interpreter, source.given.clone());
        let run = |it| -> TractResult<_> {
            let inputs = convert::inputs(it, &source.input_types)?;
            convert::outputs(&engine.run(&mut StageStates::default(), inputs, Limits::PREPARING)?)
        };
        // Nothing was compiled, so that this is the first time that the attributes of the nodes are looked at.
        let failed = |reason| InferError::Prepare { path: path.to_path_buf(), rows, reason };
        let input_types = source.input_types.clone();
        let answer = match probe.ask::<TractError>(&run, 0) {
            Err(error) if Costly::is_root_of(&error) && (rows == 1 || at_once) => {
                tracing::debug!(path = %path.display(), rows, %error, "The model is not asked before it is run.");
                let (path, outputs) = (path.to_path_buf(), Vec::new());
                return Ok(Self { path, rows, input_types, outputs, rows_are_mixed: false, engine });
            }
            answer => answer.map_err(|it| guard::refusal(path, &it, failed))?,
        };
        let mut outputs = Vec::new();
        for (spec, tensor) in source.info.outputs.iter().zip(&answer) {
            if tensor.shape.first() != Some(&rows) {
                return Err(interface(path, &spec.name, format!("has shape {:?} for {rows} rows", tensor.shape)));
            }
            outputs.push((tensor.values.dtype(), tensor.shape.iter().copied().map(Some).collect()));
        }
        let size_matters = || source.info.tells_sizes() && !probe.is_the_same_alone::<TractError>(&run, &run);
        let is_meant = at_once && source.is_quantized_as_it_runs();
        let is_mixed = !is_meant && !probe.rows_are_independent::<TractError>(&run);
        if is_mixed || (rows > 1 && !at_once && size_matters()) {
            return Err(InferError::mixed_rows(path));
        }
        // What takes a scale from all rows is run alone, and so means it.
        let rows_are_mixed = rows == 1 && !at_once && source.row_by_row && !source.is_quantized_as_it_runs() && {
            let pair = |it| of_pair(run(it)?);
            let probe = Probe::new(path, PAIR, row_shapes, &source.info.inputs)?;
            !probe.is_the_same_alone::<TractError>(&pair, &run)
        };
        Ok(Self { path: path.to_path_buf(), rows, input_types, outputs, rows_are_mixed, engine })
    }

    /// Returns why the optimized form is not run, if so.
    pub(super) fn given_up(&self) -> Option<&Fallback> {
        match &self.engine {
            Engine::Compiled(it) => it.given_up(),
            Engine::Interpreted(..) => None,
        }
    }

    /// Returns whether it was seen that single rows would have other answers beside others.
    pub(super) fn rows_are_mixed(&self) -> bool {
        self.rows_are_mixed
    }

    /// Returns the types and shapes of the outputs.
    pub(super) fn outputs(&self) -> Outputs {
        self.outputs.clone()
    }
}

/// Finds out what is wrong with a compiled graph.
fn test(stages: &Stages, probe: Probe<'_>, types: &[DatumType]) -> Outcome {
    let question = convert::inputs(probe.question(), types);
    let fallback = question.ok().and_then(|it| stages.test(&it)).cloned();
    let answer = |it| -> TractResult<_> { convert::outputs(&stages.run(convert::inputs(it, types)?)?) };
    Outcome { fallback, rows_are_independent: probe.rows_are_independent::<TractError>(&answer), size_matters: false }
}

/// Returns whether a row has another answer where it is alone. Both are asked as they are written, lest rounding in one form be taken for it.
fn size_matters(
    source: &Source,
    stages: &Stages,
    probe: Probe<'_>,
    (rows, row_shapes): (usize, &[Vec<usize>]),
) -> bool {
    if rows == 1 || !source.info.tells_sizes() {
        return false;
    }
    let single = || {
        let mut typed = source.typed(1, row_shapes)?;
        apart::separate(&mut typed, 1)?;
        as_answered(&mut typed)?;
        typed.into_runnable()
    };
    // A graph for several rows alone has no other answer.
    let Ok(single) = guard::caught(single) else { return false };
    let types = &source.input_types;
    let several = |it| convert::outputs(&stages.run_as_written(convert::inputs(it, types)?)?);
    let alone = |it| convert::outputs(&memory::run(&mut single.spawn()?, convert::inputs(it, types)?)?);
    guard::caught(|| Ok(!probe.is_the_same_alone::<TractError>(&several, &alone))).unwrap_or(false)
}

/// The rows of the smallest batch in which they can influence each other.
const PAIR: usize = 2;

/// Bytes of constants up to which a pair is asked in its optimized form, which has a copy of them.
const FEW_BYTES: usize = 256 << 20;

/// Returns whether rows that are run one by one have other answers in a batch, of a model as it is written.
///
/// It is asked only where its graph does not tell, as the graphs of most networks do: a batch takes as much more memory.
fn pairs_differ(path: &Path, source: &Source, stages: &Stages, row_shapes: &[Vec<usize>]) -> bool {
    let pair = || -> TractResult<_> {
        let mut typed = source.typed(PAIR, row_shapes)?;
        apart::separate(&mut typed, PAIR)?;
        let is_told = !source.info.tells_sizes() && independent::rows_are_independent(&typed, PAIR);
        Ok((!is_told).then_some(typed))
    };
    // A graph for single rows alone has no other answer.
    let Ok(Some(pair)) = guard::caught(pair) else { return false };
    let Ok(probe) = Probe::new(path, PAIR, row_shapes, &source.info.inputs) else { return false };
    let types = &source.input_types;
    // The form as written takes several times as long.
    if bytes_of_constants(&pair) <= FEW_BYTES && are_alike_optimized(pair.clone(), stages, probe, types) {
        return false;
    }
    // Rounding, or a mistake of the optimizer, is no influence of rows.
    let written = || -> TractResult<_> {
        let mut typed = pair;
        memory::check(&typed)?;
        as_answered(&mut typed)?;
        typed.into_runnable()
    };
    let Ok(pair) = guard::caught(written) else { return false };
    let several = |it| of_pair(convert::outputs(&memory::run(&mut pair.spawn()?, convert::inputs(it, types)?)?)?);
    let alone = |it| convert::outputs(&stages.run_as_written(convert::inputs(it, types)?)?);
    guard::caught(|| Ok(!probe.is_the_same_alone::<TractError>(&several, &alone))).unwrap_or(false)
}

/// Returns whether both rows of a pair have the answers that they have alone; not where that cannot be asked of the optimized forms.
fn are_alike_optimized(pair: TypedModel, stages: &Stages, probe: Probe<'_>, types: &[DatumType]) -> bool {
    let is_answered = Cell::new(true);
    let alike = guard::caught(|| {
        let pair = Stages::new(pair)?;
        let ask = |of: &Stages, it| convert::outputs(&of.run(convert::inputs(it, types)?)?);
        let noted = |answer: TractResult<Vec<HostTensor>>| answer.inspect_err(|_| is_answered.set(false));
        let several = |it| noted(ask(&pair, it).and_then(of_pair));
        let alone = |it| noted(ask(stages, it));
        Ok(probe.is_the_same_alone::<TractError>(&several, &alone))
    });
    kernels::forget_spare();
    heap::give_back();
    alike.unwrap_or(false) && is_answered.get()
}

fn bytes_of_constants(model: &TypedModel) -> usize {
    let constants = model.nodes().iter().filter_map(|it| it.op_as::<Const>());
    constants.map(|it| it.val().len() * it.val().datum_type().size_of()).sum()
}

/// Returns the answer to a pair of rows; none is one that has no row for each.
fn of_pair(answer: Vec<HostTensor>) -> TractResult<Vec<HostTensor>> {
    ensure!(answer.iter().all(|it| it.shape.first() == Some(&PAIR)), "there is no row for each of {PAIR}");
    Ok(answer)
}

fn interface(path: &Path, output: &str, what: String) -> InferError {
    InferError::Interface { path: path.to_path_buf(), reason: format!("output `{output}` {what}") }
}

fn compiled_outputs<'a>(
    path: &Path,
    names: impl Iterator<Item = &'a str>,
    typed: &TypedModel,
    rows: usize,
) -> Result<Outputs, InferError> {
    let mut res = Vec::new();
    for (idx, name) in names.enumerate() {
        let fact = typed.output_fact(idx).map_err(|it| interface(path, name, guard::reason(&it)))?;
        let dtype = match convert::element_type(fact.datum_type) {
            Some(ElementType::F16) => ElementType::F32,
            Some(it) => it,
            None => {
                return Err(interface(path, name, format!("has the unsupported element type {:?}", fact.datum_type)));
            }
        };
        let shape = known_dims(fact.shape.iter());
        if shape.first().is_none_or(|it| it.is_some_and(|it| it != rows)) {
            let dims: Vec<_> = fact.shape.iter().map(ToString::to_string).collect();
            return Err(interface(path, name, format!("has shape [{}] for {rows} rows", dims.join(", "))));
        }
        res.push((dtype, shape));
    }
    Ok(res)
}

impl Prepared for Plan {
    fn rows(&self) -> usize {
        self.rows
    }

    fn settle(&self, inputs: Vec<HostTensor>) -> bool {
        let Engine::Compiled(stages) = &self.engine else { return true };
        let settle = || Ok(convert::inputs(inputs, &self.input_types).is_ok_and(|it| stages.settle(&it)));
        // What cannot be run is an error when it is run in earnest.
        guard::guarded(&self.path, settle).unwrap_or(true)
    }

    fn worker(&self) -> Result<Box<dyn Worker + '_>, InferError> {
        Ok(Box::new(PlanWorker { plan: self, states: StageStates::default() }))
    }
}

struct PlanWorker<'a> {
    plan: &'a Plan,
    states: StageStates,
}

impl PlanWorker<'_> {
    fn try_run(&mut self, inputs: Vec<HostTensor>) -> TractResult<Vec<HostTensor>> {
        let inputs = convert::inputs(inputs, &self.plan.input_types)?;
        convert::outputs(&self.plan.engine.run(&mut self.states, inputs, Limits::running(self.plan.rows))?)
    }
}

impl Worker for PlanWorker<'_> {
    fn run(&mut self, inputs: Vec<HostTensor>) -> Result<Vec<HostTensor>, InferError> {
        let plan = self.plan;
        let failed = |reason| InferError::Run { path: plan.path.clone(), reason };
        let outputs =
            guard::guarded(&plan.path, || self.try_run(inputs).map_err(|it| guard::refusal(&plan.path, &it, failed)));
        if outputs.is_err() {
            // A state that was interrupted holds values of the failed run.
            self.states = StageStates::default();
        }
        rows_of(&plan.path, plan.rows, outputs?)
    }
}
