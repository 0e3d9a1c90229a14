//! `NonMaxSuppression`, whose limits are scalars or have one element, and which selects nothing where it may select none.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{
        Datum, DatumExt, DatumType, IntoTValue, IntoTensor, OutletId, SpecialOps, TValue, TVec, Tensor, TractResult,
        TypedFact, TypedModel, tract_ndarray::Array2, tvec,
    },
    tract_hir::{
        infer::{InferenceResult, Solver, TensorProxy, check_output_arity},
        internal::{
            EvalContext, EvalOp, Expansion, Op, StaticName, Symbol, ToDim, TractErrorContext, TypedOp, as_op, bail,
            ensure, expand, op_as_typed_op, op_out_of_plan,
        },
    },
};

use super::Built;
use crate::tract::attributes::int;

/// The inputs behind boxes and scores, as far as they are given: the most boxes of a class, and which overlap and score there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Suppression {
    is_centered: bool,
    has_count: bool,
    has_overlap: bool,
    has_score: bool,
}

/// Returns the operator for a node of `NonMaxSuppression`.
pub(super) fn parse(_context: &ParsingContext, node: &NodeProto) -> Built {
    let has = |idx: usize| node.input.get(idx).is_some_and(|it| !it.is_empty());
    let is_centered = int(node, "center_point_box").unwrap_or(0) != 0;
    let op = Suppression { is_centered, has_count: has(2), has_overlap: has(3), has_score: has(4) };
    Ok((expand(op), vec![]))
}

impl Expansion for Suppression {
    fn name(&self) -> StaticName {
        "NonMaxSuppression".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        let n = 2 + [self.has_count, self.has_overlap, self.has_score].into_iter().filter(|it| *it).count();
        ensure!(inputs.len() == n, "it has {} inputs, not {n}", inputs.len());
        s.equals(&inputs[0].rank, 3)?;
        s.equals(&inputs[0].shape[2], 4.to_dim())?;
        s.equals(&inputs[1].rank, 3)?;
        s.equals(&inputs[0].shape[0], &inputs[1].shape[0])?;
        s.equals(&inputs[0].shape[1], &inputs[1].shape[2])?;
        s.equals(&outputs[0].datum_type, DatumType::I64)?;
        s.equals(&outputs[0].rank, 2)?;
        s.equals(&outputs[0].shape[1], 3.to_dim())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let n_selected = model.symbols.new_with_prefix("selected");
        model.wire_node(prefix, Select { of: *self, n_selected }, inputs)
    }
}

/// The operator in a compiled graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Select {
    of: Suppression,
    n_selected: Symbol,
}

impl Op for Select {
    fn name(&self) -> StaticName {
        "NonMaxSuppression".into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        true
    }

    op_as_typed_op!();
}

impl EvalOp for Select {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut limits = inputs[2..].iter();
        let mut limit = |is_given: bool| if is_given { limits.next() } else { None };
        let count = limit(self.of.has_count).map(|it| scalar::<i64>(it)).transpose()?.unwrap_or(0);
        let overlap = limit(self.of.has_overlap).map(|it| scalar::<f32>(it)).transpose()?.unwrap_or(0.0);
        let least = limit(self.of.has_score).map(|it| scalar::<f32>(it)).transpose()?;
        let (boxes, scores) = (inputs[0].cast_to::<f32>()?, inputs[1].cast_to::<f32>()?);
        let (boxes, scores) = (boxes.to_plain_array_view::<f32>()?, scores.to_plain_array_view::<f32>()?);
        let &[n_batches, n_classes, n_boxes] = scores.shape() else { bail!("scores have three axes") };
        let mut selected: Vec<i64> = Vec::new();
        for batch in 0..n_batches {
            let corners: Vec<Corners> = (0..n_boxes)
                .map(|it| Corners::of([0, 1, 2, 3].map(|at| boxes[[batch, it, at]]), self.of.is_centered))
                .collect();
            for class in 0..n_classes {
                let score = |it: usize| scores[[batch, class, it]];
                let mut left: Vec<usize> =
                    (0..n_boxes).filter(|it| least.is_none_or(|least| score(*it) > least)).collect();
                left.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
                let mut kept: Vec<usize> = Vec::new();
                for it in left {
                    if kept.len() as i64 >= count {
                        break;
                    }
                    if !kept.iter().any(|other| corners[it].overlap(&corners[*other]) > overlap) {
                        kept.push(it);
                    }
                }
                selected.extend(kept.iter().flat_map(|it| [batch as i64, class as i64, *it as i64]));
            }
        }
        let n = selected.len() / 3;
        Ok(tvec!(Array2::from_shape_vec((n, 3), selected)?.into_tensor().into_tvalue()))
    }
}

impl TypedOp for Select {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(i64::fact([self.n_selected.to_dim(), 3.to_dim()])))
    }

    as_op!();
}

/// Returns the only element.
fn scalar<T: Datum + Copy>(tensor: &Tensor) -> TractResult<T> {
    ensure!(tensor.len() == 1, "a limit has {} elements", tensor.len());
    let it = tensor.cast_to::<T>()?;
    it.to_plain_array_view::<T>()?.first().copied().context("a limit has no element")
}

/// A box by its ends along both axes.
struct Corners {
    low: [f32; 2],
    high: [f32; 2],
}

impl Corners {
    fn of(it: [f32; 4], is_centered: bool) -> Self {
        let [a, b, c, d] = it;
        if is_centered {
            return Self { low: [a - c / 2.0, b - d / 2.0], high: [a + c / 2.0, b + d / 2.0] };
        }
        Self { low: [a.min(c), b.min(d)], high: [a.max(c), b.max(d)] }
    }

    fn area(&self) -> f32 {
        (self.high[0] - self.low[0]) * (self.high[1] - self.low[1])
    }

    /// Returns how much of both boxes is shared, 0 where it is nothing.
    fn overlap(&self, other: &Self) -> f32 {
        let side = |axis: usize| self.high[axis].min(other.high[axis]) - self.low[axis].max(other.low[axis]);
        let (a, b) = (side(0), side(1));
        if a <= 0.0 || b <= 0.0 {
            return 0.0;
        }
        let (shared, areas) = (a * b, self.area() + other.area());
        if self.area() <= 0.0 || other.area() <= 0.0 { 0.0 } else { shared / (areas - shared) }
    }
}
