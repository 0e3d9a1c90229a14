//! The two forms of a compiled graph: optimized, and as written.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize};
use tract_onnx::{
    prelude::{
        DatumType, IntoRunnable, OutletId, TValue, TVec, Tensor, TractResult, TypedModel, TypedRunnableModel,
        tract_ndarray::ArrayViewD,
    },
    tract_core::{model::typed::TypedSimpleState, ops::konst::Const},
};

use super::{careful, compare, guard, kernels, memory, nan, repair, requantize, tflite, widened};
use crate::probe::{are_close, largest_of, tolerance};

pub(super) struct Stages {
    /// Optimized, for finite numbers.
    fast: Arc<TypedRunnableModel>,
    /// As written, for numbers with which the order of computations matters: see [`careful`].
    careful: Arc<TypedRunnableModel>,
    always_careful: bool,
    /// What came of holding one form against the other on the first batch; decided before any result is given.
    verdict: OnceLock<Option<Fallback>>,
    /// By output, how far apart the forms may be besides what rounding does to sums: see [`steps`].
    steps: Vec<f64>,
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
    pub(super) fn new(mut typed: TypedModel) -> TractResult<Self> {
        memory::check(&typed)?;
        repair::repair(&mut typed);
        widened::widen_convolutions(&mut typed)?;
        let always_careful = careful::has_huge_constants(&typed);
        let steps = steps(&typed);
        let mut written = typed.clone();
        repair::hold_large(&mut written);
        requantize::requantize(&mut written)?;
        kernels::join_rounding(&mut written)?;
        nan::keep(&mut written);
        let careful = written.into_runnable()?;
        nan::move_into_biases(&mut typed)?;
        nan::keep_in_what_is_simplified(&mut typed);
        kernels::replace(&mut typed)?;
        // What no kernel took.
        requantize::requantize(&mut typed)?;
        nan::keep_in_padding(&mut typed);
        typed.declutter()?;
        nan::keep(&mut typed);
        typed.optimize()?;
        let fast = typed.into_runnable()?;
        Ok(Self { fast, careful, always_careful, verdict: OnceLock::new(), steps })
    }

    /// Holds the optimized form against the form as written, and gives it up where they do not agree, or it alone cannot run. Where
    /// the form as written cannot, the error comes when it is run in earnest.
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
        // A form that panics does not keep the other one from being run.
        let run = |it: &Arc<TypedRunnableModel>| guard::caught(|| memory::run(&mut it.spawn()?, inputs.clone()));
        let fast = run(&self.fast);
        // The other form takes none of it.
        kernels::forget_spare();
        match (fast, run(&self.careful)) {
            (Ok(fast), Ok(written)) => all_close(&fast, &written, &self.steps),
            (Err(_), Ok(_)) => false,
            (_, Err(_)) => true,
        }
    }

    fn fallback(&self, inputs: &TVec<TValue>) -> Fallback {
        let models = (self.careful.model(), self.fast.model());
        let difference = guard::caught(|| Ok(compare::first_difference(models.0, models.1, inputs)));
        Fallback { node: difference.ok().flatten() }
    }

    /// Runs once, as written.
    pub(super) fn run_as_written(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        memory::run(&mut self.careful.spawn()?, inputs)
    }

    /// Runs once, without looking at the other form.
    pub(super) fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.run_form(&mut StageStates::default(), inputs)
    }

    /// Runs with the states of earlier runs; the first run of all tests both forms.
    pub(super) fn run_with(&self, states: &mut StageStates, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.settle(&inputs);
        self.run_form(states, inputs)
    }

    /// Decides which form is right, on these inputs unless it is known, and returns whether it is known now.
    pub(super) fn settle(&self, inputs: &TVec<TValue>) -> bool {
        if self.verdict.get().is_none() && !self.is_extreme(inputs) {
            // Other threads wait until it is known.
            self.verdict.get_or_init(|| (!self.agree_on(inputs)).then(|| self.fallback(inputs)));
        }
        self.always_careful || self.verdict.get().is_some()
    }

    fn is_extreme(&self, inputs: &TVec<TValue>) -> bool {
        self.always_careful || inputs.iter().any(|it| careful::is_extreme(it))
    }

    fn run_form(&self, states: &mut StageStates, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let as_written = self.is_extreme(&inputs) || self.given_up().is_some();
        let (slot, model) =
            if as_written { (&mut states.careful, &self.careful) } else { (&mut states.fast, &self.fast) };
        let state = match slot {
            Some(it) => it,
            None => slot.insert(model.spawn()?),
        };
        memory::run(state, inputs)
    }
}

/// Returns, by output, the largest step of the quantizations that it is computed from without another in between, or 0: a sum near
/// the middle between two steps is rounded up in one form and down in the other.
///
/// Integers that stand for numbers are next to each other then. Others are labels, say, of which none may be another one.
pub(super) fn steps(model: &TypedModel) -> Vec<f64> {
    let step = |output: &OutletId| {
        match model.outlet_fact(*output).map(|it| it.datum_type.unquantized()) {
            Ok(DatumType::I8 | DatumType::U8) => return 1.0,
            Ok(it) if !it.is_float() => return tflite::step(model.node(output.node)).map_or(0.0, |_| 1.0),
            _ => (),
        }
        let (mut step, mut seen, mut open) = (0.0_f64, HashSet::new(), vec![output.node]);
        while let Some(id) = open.pop() {
            let node = model.node(id);
            let varies = || model.node(node.inputs[0].node).op_as::<Const>().is_none();
            let dequantize = node.op_as::<repair::Dequantize>().filter(|_| varies());
            match dequantize.map(|it| f64::from(it.scale).abs()).or_else(|| tflite::step(node)) {
                Some(it) => step = step.max(it),
                None => open.extend(node.inputs.iter().map(|it| it.node).filter(|it| seen.insert(*it))),
            }
        }
        step
    };
    model.outputs.iter().map(step).collect()
}

/// Returns whether two answers to one question are nearly the same, or within a step.
fn all_close(left: &TVec<TValue>, right: &TVec<TValue>, steps: &[f64]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).zip(steps).all(|((left, right), step)| {
            if left.datum_type() != right.datum_type() || left.shape() != right.shape() {
                return false;
            }
            if !left.datum_type().is_float() {
                return **left == **right || (*step > 0.0 && are_within_a_step(left, right));
            }
            let (Ok(a), Ok(b)) = (left.cast_to::<f64>(), right.cast_to::<f64>()) else { return false };
            let (Ok(a), Ok(b)) = (a.try_as_plain_ram(), b.try_as_plain_ram()) else { return false };
            match (a.as_slice(), b.as_slice()) {
                // A step is known to single precision.
                (Ok(a), Ok(b)) => are_close(a, b, tolerance(largest_of(b)).max(step * 1.001)),
                _ => false,
            }
        })
}

/// Returns whether integers that stand for numbers are the same or next to each other, and nearly all of them the same or the largest of
/// each row at its place.
fn are_within_a_step(left: &Tensor, right: &Tensor) -> bool {
    const MOST: f64 = 0.1;
    let (Ok(left), Ok(right)) = (left.cast_to::<i64>(), right.cast_to::<i64>()) else { return false };
    let (Ok(left), Ok(right)) = (left.to_plain_array_view::<i64>(), right.to_plain_array_view::<i64>()) else {
        return false;
    };
    let pairs = || left.iter().zip(&right);
    let n_differing = pairs().filter(|(left, right)| left != right).count();
    let are_few = n_differing as f64 <= MOST * left.len() as f64;
    let width = left.shape().last().copied().unwrap_or(1).max(1);
    let numbers = |of: &ArrayViewD<'_, i64>| of.iter().copied().collect::<Vec<i64>>();
    let same_first = || {
        let (left, right) = (numbers(&left), numbers(&right));
        left.chunks(width).zip(right.chunks(width)).all(|(left, right)| first_largest(left) == first_largest(right))
    };
    pairs().all(|(left, right)| left.abs_diff(*right) <= 1) && (are_few || same_first())
}

fn first_largest(row: &[i64]) -> Option<usize> {
    (0..row.len()).rev().max_by_key(|it| row[*it])
}

#[cfg(test)]
mod weights;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tract_onnx::{
        prelude::{IntoTValue, SpecialOps, TypedFact, tensor1, tensor2, tvec},
        tract_core::ops::array::GatherNd,
        tract_hir::internal::{EvalContext, EvalOp, Op, StaticName, TypedOp, as_op, op_as_typed_op, op_out_of_plan},
    };

    use super::*;
    use crate::{
        probe::Probe,
        tract::{convert, onnx},
    };

    /// A model that the optimizer miscompiles where nothing keeps it from that, and a question.
    fn trap() -> (TypedModel, TVec<TValue>) {
        let trap = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/traps/softmax_qdq/model.onnx");
        let trap = Path::new(trap);
        let attempts = onnx::examine(trap).unwrap().attempts.unwrap();
        let source = &attempts.sources[0];
        let row_shape = |it: &crate::TensorSpec| it.shape[1..].iter().map(|it| it.unwrap()).collect();
        let row_shapes: Vec<Vec<usize>> = source.info.inputs.iter().map(row_shape).collect();
        let rows = source.info.inputs[0].shape[0].unwrap_or(4);
        let question = Probe::new(trap, rows, &row_shapes, &source.info.inputs).unwrap().question();
        (source.typed(rows, &row_shapes).unwrap(), convert::inputs(question, &source.input_types).unwrap())
    }

    fn miscompiled() -> (Stages, TVec<TValue>) {
        let (typed, question) = trap();
        let (careful, steps) = (typed.clone().into_runnable().unwrap(), steps(&typed));
        let fast = typed.into_optimized().unwrap().into_runnable().unwrap();
        (Stages { fast, careful, always_careful: false, verdict: OnceLock::new(), steps }, question)
    }

    #[test]
    fn a_softmax_between_quantizations_is_optimized_and_right() {
        let (typed, question) = trap();
        let stages = Stages::new(typed).unwrap();
        assert_eq!(stages.test(&question), None);
        let has_softmax = stages.fast.model().nodes().iter().any(|it| it.op.name() == "RowSoftmax");
        assert!(has_softmax, "{}", stages.fast.model());
    }

    #[test]
    fn a_node_that_the_optimizer_changes_is_named_and_not_run() {
        let (stages, question) = miscompiled();
        let written = stages.careful.run(question.clone()).unwrap();
        assert!(!all_close(&stages.fast.run(question.clone()).unwrap(), &written, &stages.steps));
        let fallback = stages.test(&question).unwrap().clone();
        let (node, operator) = fallback.node.clone().unwrap();
        assert!(fallback.to_string().contains(&node) && !operator.is_empty(), "{fallback}");
        assert_eq!(stages.run(question.clone()).unwrap(), written);
        assert_eq!(stages.run_with(&mut StageStates::default(), question).unwrap(), written);
    }

    #[test]
    fn a_quantized_answer_may_differ_by_a_step() {
        let (mut typed, _) = trap();
        repair::repair(&mut typed);
        let steps = steps(&typed);
        assert!(!steps.is_empty() && steps.iter().all(|it| *it > 0.0 && *it < 1.0), "{steps:?}");
        let answer = |it: f32| tvec![Tensor::from(it).into_tvalue()];
        assert!(all_close(&answer(0.5), &answer(0.25), &[0.25]) && !all_close(&answer(0.5), &answer(0.2), &[0.25]));
        assert!(!all_close(&answer(f32::NAN), &answer(0.5), &[0.25]) && !all_close(&answer(0.5), &answer(0.4), &[0.0]));
    }

    #[test]
    fn rounded_integers_may_be_the_next_ones() {
        let integers = |n: u8, by: u8| {
            let integers: Vec<u8> = (0..20).map(|it| if it < n { 3 + by } else { 3 }).collect();
            tvec![tensor1(&integers).into_tvalue()]
        };
        assert!(
            all_close(&integers(0, 0), &integers(2, 1), &[1.0]) && !all_close(&integers(0, 0), &integers(2, 1), &[0.0])
        );
        assert!(!all_close(&integers(0, 0), &integers(1, 2), &[1.0]));
        // All of them, if the largest one stays where it is.
        let rows = |rows: [[i16; 2]; 2]| tvec![tensor2(&rows).into_tvalue()];
        assert!(all_close(&rows([[5, -3], [1, 2]]), &rows([[6, -4], [0, 3]]), &[1.0]));
        assert!(!all_close(&rows([[5, -3], [1, 2]]), &rows([[6, -4], [2, 1]]), &[1.0]));
        assert!(!all_close(&rows([[5, -3], [1, 2]]), &rows([[7, -3], [1, 2]]), &[1.0]));
        let single = |it: i8| tvec![tensor2(&[[it]]).into_tvalue()];
        assert!(all_close(&single(7), &single(8), &[1.0]) && !all_close(&single(7), &single(9), &[1.0]));
    }

    #[test]
    fn no_label_may_be_another_one() {
        let numbers = |last: i64| tvec![tensor1(&[&[1_i64; 99][..], &[last]].concat()).into_tvalue()];
        assert!(all_close(&numbers(1), &numbers(1), &[0.0]) && !all_close(&numbers(1), &numbers(2), &[0.0]));
        let texts = |last: &str| tvec![tensor1(&["a".to_owned(), last.to_owned()]).into_tvalue()];
        assert!(all_close(&texts("b"), &texts("b"), &[0.0]) && !all_close(&texts("b"), &texts("c"), &[0.0]));
        let flags = |last: bool| tvec![tensor1(&[true, last]).into_tvalue()];
        assert!(all_close(&flags(true), &flags(true), &[0.0]) && !all_close(&flags(true), &flags(false), &[0.0]));
    }

    #[test]
    fn an_optimized_form_that_alone_cannot_run_is_given_up() {
        let (mut stages, question) = miscompiled();
        let mut failing = TypedModel::default();
        let fact = TypedFact::dt_shape(question[0].datum_type(), question[0].shape());
        let x = failing.add_source("x", fact).unwrap();
        let places = failing.add_const("places", tensor2(&[[99_i64]])).unwrap();
        let picked = failing.wire_node("picked", GatherNd::new(0), &[x, places]).unwrap();
        failing.select_output_outlets(&picked).unwrap();
        repair::repair(&mut failing);
        let failing = failing.into_runnable().unwrap();
        assert!(failing.run(question.clone()).is_err());
        stages.fast = failing.clone();
        let written = stages.careful.run(question.clone()).unwrap();
        assert_eq!(stages.run_with(&mut StageStates::default(), question.clone()).unwrap(), written);
        assert!(stages.given_up().is_some());
        // Neither form runs.
        (stages.careful, stages.verdict) = (failing, OnceLock::new());
        assert!(stages.run_with(&mut StageStates::default(), question).is_err() && stages.given_up().is_none());
    }

    /// What stands for an operator whose kernel panics.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Panics;

    impl Op for Panics {
        fn name(&self) -> StaticName {
            "Panics".into()
        }

        op_as_typed_op!();
    }

    impl EvalOp for Panics {
        op_out_of_plan!();

        fn eval(&self, _context: &EvalContext, _inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
            panic!("storage is not plain")
        }
    }

    impl TypedOp for Panics {
        fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
            Ok(tvec!(inputs[0].without_value()))
        }

        as_op!();
    }

    #[test]
    fn an_optimized_form_that_panics_is_given_up() {
        let (mut stages, question) = miscompiled();
        let mut panicking = TypedModel::default();
        let fact = TypedFact::dt_shape(question[0].datum_type(), question[0].shape());
        let x = panicking.add_source("x", fact).unwrap();
        let panics = panicking.wire_node("panics", Panics, &[x]).unwrap();
        panicking.select_output_outlets(&panics).unwrap();
        stages.fast = panicking.into_runnable().unwrap();
        let written = stages.careful.run(question.clone()).unwrap();
        assert_eq!(stages.run_with(&mut StageStates::default(), question).unwrap(), written);
        assert!(stages.given_up().is_some());
    }

    #[test]
    fn only_what_is_not_extreme_settles_which_form_is_right() {
        let (stages, question) = miscompiled();
        let mut extreme = question.clone();
        for it in &mut extreme {
            let tensor = it.cast_to::<f32>().unwrap().into_owned();
            let n = tensor.len();
            *it = Tensor::from_shape(tensor.shape(), &vec![f32::NAN; n]).unwrap().into_tvalue();
        }
        assert!(!stages.settle(&extreme) && stages.given_up().is_none());
        assert!(stages.settle(&question) && stages.given_up().is_some());
        assert!(stages.settle(&extreme));
    }

    #[test]
    fn the_first_batch_is_a_test_as_well() {
        let (stages, question) = miscompiled();
        let written = stages.careful.run(question.clone()).unwrap();
        assert_eq!(stages.run_with(&mut StageStates::default(), question).unwrap(), written);
        assert!(stages.given_up().is_some());
    }
}
