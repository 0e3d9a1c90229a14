//! The two forms of a compiled graph: optimized, and as written.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize};
use tract_onnx::prelude::{IntoRunnable, TValue, TVec, TractResult, TypedModel, TypedRunnableModel};
use tract_onnx::tract_core::model::typed::TypedSimpleState;

use super::{careful, compare, memory, repair};
use crate::probe::is_close;

pub(super) struct Stages {
    /// Optimized, for finite numbers.
    fast: Arc<TypedRunnableModel>,
    /// As written, for numbers that are or may become NaN: see [`careful`].
    careful: Arc<TypedRunnableModel>,
    always_careful: bool,
    /// What came of holding one form against the other on the first batch; decided before any result is given.
    verdict: OnceLock<Option<Fallback>>,
}

/// Why a graph is not run in its optimized form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fallback {
    /// The node that the optimizer changed, and its operator; none where it cannot be told.
    pub node: Option<(String, String)>,
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some((node, operator)) => write!(f, "at node `{node}` ({operator})"),
            None => f.write_str("at a node that cannot be told"),
        }
    }
}

/// The states of one thread, made when they are needed.
#[derive(Default)]
pub(super) struct StageStates {
    fast: Option<TypedSimpleState>,
    careful: Option<TypedSimpleState>,
}

impl Stages {
    pub(super) fn new(mut typed: TypedModel, skip_optimizer: bool) -> TractResult<Self> {
        memory::check(&typed)?;
        repair::repair(&mut typed);
        let always_careful = careful::has_extreme_constants(&typed);
        let careful = typed.clone().into_runnable()?;
        let fast = if skip_optimizer { careful.clone() } else { typed.into_optimized()?.into_runnable()? };
        Ok(Self { fast, careful, always_careful, verdict: OnceLock::new() })
    }

    /// Holds the optimized form against the form as written, and gives it up where they do not agree. A form that
    /// cannot run is not told from one that agrees: the error comes when it is run in earnest.
    pub(super) fn test(&self, inputs: &TVec<TValue>) -> Option<&Fallback> {
        if !self.agree_on(inputs) {
            let _ = self.verdict.set(Some(self.fallback(inputs)));
        }
        self.given_up()
    }

    /// Gives the optimized form up for what came of an earlier test.
    pub(super) fn give_up(&self, fallback: Fallback) {
        let _ = self.verdict.set(Some(fallback));
    }

    /// Returns why the optimized form is not run, if so.
    pub(super) fn given_up(&self) -> Option<&Fallback> {
        self.verdict.get().and_then(Option::as_ref)
    }

    fn agree_on(&self, inputs: &TVec<TValue>) -> bool {
        if Arc::ptr_eq(&self.fast, &self.careful) {
            return true;
        }
        match (self.fast.run(inputs.clone()), self.careful.run(inputs.clone())) {
            (Ok(fast), Ok(written)) => all_close(&fast, &written),
            _ => true,
        }
    }

    fn fallback(&self, inputs: &TVec<TValue>) -> Fallback {
        Fallback { node: compare::first_difference(self.careful.model(), self.fast.model(), inputs) }
    }

    /// Runs once, without looking at the other form.
    pub(super) fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.run_form(&mut StageStates::default(), inputs)
    }

    /// Runs with the states of earlier runs; the first run of all tests both forms.
    pub(super) fn run_with(&self, states: &mut StageStates, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        if !self.is_extreme(&inputs) {
            // Other threads wait until it is known which form is right.
            self.verdict.get_or_init(|| (!self.agree_on(&inputs)).then(|| self.fallback(&inputs)));
        }
        self.run_form(states, inputs)
    }

    fn is_extreme(&self, inputs: &TVec<TValue>) -> bool {
        self.always_careful || inputs.iter().any(|it| careful::is_extreme(it))
    }

    fn run_form(&self, states: &mut StageStates, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let be_careful = self.is_extreme(&inputs);
        let as_written = be_careful || self.given_up().is_some();
        let (slot, model) =
            if as_written { (&mut states.careful, &self.careful) } else { (&mut states.fast, &self.fast) };
        let state = match slot {
            Some(it) => it,
            None => slot.insert(model.spawn()?),
        };
        if be_careful { careful::run(state, inputs) } else { state.run(inputs) }
    }
}

/// Returns whether two answers to one question are nearly the same. Classes may flip at a tie; scores may not.
fn all_close(left: &TVec<TValue>, right: &TVec<TValue>) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| {
            if left.datum_type() != right.datum_type() || left.shape() != right.shape() {
                return false;
            }
            if !left.datum_type().is_float() {
                return true;
            }
            let (Ok(a), Ok(b)) = (left.cast_to::<f64>(), right.cast_to::<f64>()) else { return false };
            match (a.to_plain_array_view::<f64>(), b.to_plain_array_view::<f64>()) {
                (Ok(a), Ok(b)) => a.iter().zip(&b).all(|(a, b)| is_close(*a, *b)),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        probe::Probe,
        tract::{convert, onnx},
    };

    /// A model that the optimizer is known to miscompile, which is why it is never asked to; and a question.
    fn miscompiled() -> (Stages, TVec<TValue>) {
        let trap = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/traps/softmax_qdq/model.onnx");
        let trap = Path::new(trap);
        let attempts = onnx::examine(trap).unwrap().attempts.unwrap();
        let source = &attempts.sources[0];
        assert!(source.skip_optimizer);
        let row_shape = |it: &crate::TensorSpec| it.shape[1..].iter().map(|it| it.unwrap()).collect();
        let row_shapes: Vec<Vec<usize>> = source.info.inputs.iter().map(row_shape).collect();
        let rows = source.info.inputs[0].shape[0].unwrap_or(4);
        let stages = Stages::new(source.typed(rows, &row_shapes).unwrap(), false).unwrap();
        let question = Probe::new(trap, rows, &row_shapes, &source.info.inputs).unwrap().question();
        (stages, convert::inputs(question, &source.input_types).unwrap())
    }

    #[test]
    fn a_node_that_the_optimizer_changes_is_named_and_not_run() {
        let (stages, question) = miscompiled();
        let written = stages.careful.run(question.clone()).unwrap();
        assert!(!all_close(&stages.fast.run(question.clone()).unwrap(), &written));
        let fallback = stages.test(&question).unwrap().clone();
        let (node, operator) = fallback.node.clone().unwrap();
        assert!(fallback.to_string().contains(&node) && !operator.is_empty(), "{fallback}");
        assert_eq!(stages.run(question.clone()).unwrap(), written);
        assert_eq!(stages.run_with(&mut StageStates::default(), question).unwrap(), written);
    }

    #[test]
    fn the_first_batch_is_a_test_as_well() {
        let (stages, question) = miscompiled();
        let written = stages.careful.run(question.clone()).unwrap();
        assert_eq!(stages.run_with(&mut StageStates::default(), question).unwrap(), written);
        assert!(stages.given_up().is_some());
    }
}
