//! A model compiled for concrete shapes, and the state of a thread that runs it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tract_onnx::{
    prelude::{DatumType, IntoRunnable, IntoTValue, TVec, TractResult, TypedRunnableModel},
    tract_core::model::typed::TypedSimpleState,
};

use super::{
    careful, convert, guard,
    probe::Probe,
    source::{Source, known_dims},
};
use crate::{
    error::InferError,
    runtime::{Prepared, Worker},
    spec::ElementType,
    tensor::HostTensor,
};

pub(super) struct Plan {
    path: PathBuf,
    rows: usize,
    input_types: Vec<DatumType>,
    outputs: Vec<(ElementType, Vec<Option<usize>>)>,
    /// Optimized, for finite numbers.
    fast: Arc<TypedRunnableModel>,
    /// As written, for numbers that are or may become NaN: see [`careful`].
    careful: Arc<TypedRunnableModel>,
    always_careful: bool,
}

impl Plan {
    /// Compiles the model for `rows` rows of these shapes and checks that it gives as many rows.
    pub(super) fn new(
        path: &Path,
        source: &Source,
        rows: usize,
        row_shapes: &[Vec<usize>],
    ) -> Result<Self, InferError> {
        let failed = |it| InferError::Prepare { path: path.to_path_buf(), rows, reason: guard::reason(&it) };
        let typed = source.typed(rows, row_shapes).map_err(failed)?;
        let always_careful = careful::has_extreme_constants(&typed);
        let careful = typed.clone().into_runnable().map_err(failed)?;
        let mut fast = if source.skip_optimizer {
            careful.clone()
        } else {
            typed.into_optimized().and_then(|it| it.into_runnable()).map_err(failed)?
        };
        let mut outputs = Vec::new();
        for (idx, spec) in source.info.outputs.iter().enumerate() {
            let fact = careful.model().output_fact(idx).map_err(failed)?;
            let interface = |what: String| InferError::Interface {
                path: path.to_path_buf(),
                reason: format!("output `{}` {what}", spec.name),
            };
            let dtype = match convert::element_type(fact.datum_type) {
                Some(ElementType::F16) => ElementType::F32,
                Some(it) => it,
                None => {
                    return Err(interface(format!("has the unsupported element type {:?}", fact.datum_type)));
                }
            };
            let shape = known_dims(fact.shape.iter());
            if shape.first().is_none_or(|it| it.is_some_and(|it| it != rows)) {
                let dims: Vec<_> = fact.shape.iter().map(ToString::to_string).collect();
                return Err(interface(format!("has shape [{}] for {rows} rows", dims.join(", "))));
            }
            outputs.push((dtype, shape));
        }
        let input_types = source.input_types.clone();
        let probe = Probe { rows, row_shapes, types: &input_types };
        if !Arc::ptr_eq(&fast, &careful) && !probe.stages_agree(&fast, &careful) {
            tracing::warn!(path = %path.display(), "The optimizer changed the model's answers; it runs as written, slower.");
            fast = careful.clone();
        }
        if rows > 1 && !probe.rows_are_independent(&fast) {
            return Err(InferError::Interface {
                path: path.to_path_buf(),
                reason: "its rows influence each other".to_string(),
            });
        }
        Ok(Self { path: path.to_path_buf(), rows, input_types, outputs, fast, careful, always_careful })
    }

    /// Returns the types and shapes of the outputs.
    pub(super) fn outputs(&self) -> Vec<(ElementType, Vec<Option<usize>>)> {
        self.outputs.clone()
    }
}

impl Prepared for Plan {
    fn rows(&self) -> usize {
        self.rows
    }

    fn worker(&self) -> Result<Box<dyn Worker + '_>, InferError> {
        Ok(Box::new(PlanWorker { plan: self, fast: None, careful: None }))
    }
}

struct PlanWorker<'a> {
    plan: &'a Plan,
    fast: Option<TypedSimpleState>,
    careful: Option<TypedSimpleState>,
}

impl PlanWorker<'_> {
    fn try_run(&mut self, inputs: Vec<HostTensor>) -> TractResult<Vec<HostTensor>> {
        let be_careful = self.plan.always_careful || inputs.iter().any(careful::is_extreme);
        let tensors = inputs.into_iter().zip(&self.plan.input_types);
        let tensors: TVec<_> =
            tensors.map(|(it, &dtype)| Ok(convert::to_tract(it, dtype)?.into_tvalue())).collect::<TractResult<_>>()?;
        let (slot, model) =
            if be_careful { (&mut self.careful, &self.plan.careful) } else { (&mut self.fast, &self.plan.fast) };
        let state = match slot {
            Some(it) => it,
            None => slot.insert(model.spawn()?),
        };
        let outputs = if be_careful { careful::run(state, tensors)? } else { state.run(tensors)? };
        outputs.iter().map(|it| convert::from_tract(it)).collect()
    }
}

impl Worker for PlanWorker<'_> {
    fn run(&mut self, inputs: Vec<HostTensor>) -> Result<Vec<HostTensor>, InferError> {
        let plan = self.plan;
        let failed = |reason| InferError::Run { path: plan.path.clone(), reason };
        let outputs = guard::guarded(&plan.path, || self.try_run(inputs).map_err(|it| failed(guard::reason(&it))));
        if outputs.is_err() {
            // A state that was interrupted holds values of the failed run.
            (self.fast, self.careful) = (None, None);
        }
        let outputs = outputs?;
        match outputs.iter().position(|it| it.shape.first() != Some(&plan.rows)) {
            Some(idx) => Err(failed(format!("output {idx} has shape {:?} for {} rows", outputs[idx].shape, plan.rows))),
            None => Ok(outputs),
        }
    }
}
