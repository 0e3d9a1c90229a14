//! The two forms of a compiled graph: optimized, and as written.

use std::sync::Arc;

use tract_onnx::prelude::{IntoRunnable, TValue, TVec, TractResult, TypedModel, TypedRunnableModel};
use tract_onnx::tract_core::model::typed::TypedSimpleState;

use super::{careful, repair};

pub(super) struct Stages {
    /// Optimized, for finite numbers.
    pub fast: Arc<TypedRunnableModel>,
    /// As written, for numbers that are or may become NaN: see [`careful`].
    pub careful: Arc<TypedRunnableModel>,
    always_careful: bool,
}

/// The states of one thread, made when they are needed.
#[derive(Default)]
pub(super) struct StageStates {
    fast: Option<TypedSimpleState>,
    careful: Option<TypedSimpleState>,
}

impl Stages {
    pub(super) fn new(mut typed: TypedModel, skip_optimizer: bool) -> TractResult<Self> {
        repair::repair(&mut typed);
        let always_careful = careful::has_extreme_constants(&typed);
        let careful = typed.clone().into_runnable()?;
        let fast = if skip_optimizer { careful.clone() } else { typed.into_optimized()?.into_runnable()? };
        Ok(Self { fast, careful, always_careful })
    }

    /// Gives the optimized form up.
    pub(super) fn run_as_written(&mut self) {
        self.fast = self.careful.clone();
    }

    pub(super) fn is_optimized(&self) -> bool {
        !Arc::ptr_eq(&self.fast, &self.careful)
    }

    /// Runs once.
    pub(super) fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.run_with(&mut StageStates::default(), inputs)
    }

    /// Runs with the states of earlier runs.
    pub(super) fn run_with(&self, states: &mut StageStates, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let be_careful = self.always_careful || inputs.iter().any(|it| careful::is_extreme(it));
        let (slot, model) =
            if be_careful { (&mut states.careful, &self.careful) } else { (&mut states.fast, &self.fast) };
        let state = match slot {
            Some(it) => it,
            None => slot.insert(model.spawn()?),
        };
        if be_careful { careful::run(state, inputs) } else { state.run(inputs) }
    }
}
