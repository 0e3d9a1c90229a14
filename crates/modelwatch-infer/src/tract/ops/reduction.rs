//! Reductions: `ReduceMax` and `ReduceMin`, compiled into an operator that keeps infinities and NaN, and sums, where they are not tract's.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{DatumType, OutletId, TVec, TractResult, TypedModel, tvec},
    tract_core::ops::nn::{Reduce, Reducer},
    tract_hir::{
        infer::{InferenceResult, Solver, TensorProxy, check_output_arity},
        internal::{Expansion, ShapeFactoid, SpecialOps, StaticName, TDim, ToDim, bail, ensure, expand},
        ops::nn::Reducer as TractReducer,
    },
};

use super::Built;
use crate::tract::{
    attributes::{int, ints},
    axes::{constant_integers, integers, resolve_axes},
    reductions::{Fold, Taken, adds_in_too_few_bits, wire_integers, without_axes},
    repair::Extreme,
};

/// What is made of the numbers along axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Extreme {
        largest: bool,
    },
    /// As tract does it for floating-point numbers, if it does that right.
    Sum(Taken, Option<TractReducer>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reduction {
    operator: String,
    kind: Kind,
    keeps_axes: bool,
    /// Without axes, all are reduced, or none.
    all_without_axes: bool,
    axes: Vec<i64>,
    axes_are_input: bool,
}

/// The nodes that are read here.
pub(super) const OPERATORS: [&str; 8] =
    ["ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare"];

/// Returns the operator for a node.
pub(super) fn parse(context: &ParsingContext, node: &NodeProto) -> Built {
    let kind = match &*node.op_type {
        "ReduceMax" => Kind::Extreme { largest: true },
        "ReduceMin" => Kind::Extreme { largest: false },
        "ReduceL1" => Kind::Sum(Taken::SumOfMagnitudes, Some(TractReducer::L1)),
        "ReduceL2" => Kind::Sum(Taken::Norm(2), None),
        "ReduceLogSumExp" => Kind::Sum(Taken::LogSumExp, None),
        "ReduceMean" => Kind::Sum(Taken::Mean, Some(TractReducer::Mean)),
        "ReduceSum" => Kind::Sum(Taken::Sum, Some(TractReducer::Sum)),
        // Distances are differences of such sums, of which little is left.
        "ReduceSumSquare" => Kind::Sum(Taken::SumOfSquares, None),
        other => bail!("{other} is no reduction"),
    };
    let first_with_input = if node.op_type == "ReduceSum" { 13 } else { 18 };
    let takes_axes = context.onnx_operator_set_version >= first_with_input;
    let op = Reduction {
        operator: node.op_type.clone(),
        kind,
        keeps_axes: int(node, "keepdims") != Some(0),
        all_without_axes: int(node, "noop_with_empty_axes").unwrap_or(0) == 0,
        axes: ints(node, "axes").to_vec(),
        axes_are_input: takes_axes && node.input.get(1).is_some_and(|it| !it.is_empty()),
    };
    Ok((expand(op), vec![]))
}

impl Reduction {
    fn resolved(&self, axes: &[i64], rank: usize) -> TractResult<Vec<usize>> {
        if axes.is_empty() {
            return Ok(if self.all_without_axes { (0..rank).collect() } else { vec![] });
        }
        resolve_axes(axes, rank)
    }

    fn shape(&self, axes: &[usize], input: &[TDim]) -> ShapeFactoid {
        let kept = input.iter().enumerate().filter_map(|(idx, it)| match (axes.contains(&idx), self.keeps_axes) {
            (false, _) => Some(it.clone()),
            (true, true) => Some(1.to_dim()),
            (true, false) => None,
        });
        ShapeFactoid::from(kept.collect::<Vec<_>>())
    }
}

impl Expansion for Reduction {
    fn name(&self) -> StaticName {
        self.operator.clone().into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        ensure!(inputs.len() == 1 + usize::from(self.axes_are_input), "a reduction has {} inputs", inputs.len());
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        if self.axes_are_input {
            return s.given_2(&inputs[0].shape, &inputs[1].value, move |s, shape, axes| {
                s.equals(&outputs[0].shape, self.shape(&self.resolved(&integers(&axes)?, shape.len())?, &shape))
            });
        }
        s.given(&inputs[0].shape, move |s, shape| {
            s.equals(&outputs[0].shape, self.shape(&self.resolved(&self.axes, shape.len())?, &shape))
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?.clone();
        let axes = if self.axes_are_input { constant_integers(model, inputs[1])? } else { self.axes.clone() };
        let axes = self.resolved(&axes, fact.rank())?;
        let input = inputs[0];
        let dtype = fact.datum_type;
        let wire = match self.kind {
            Kind::Extreme { largest } if dtype.is_float() => {
                model.wire_node(prefix, Extreme { axes: axes.clone(), largest }, &[input])?
            }
            Kind::Extreme { largest } => {
                let reducer = if largest { Reducer::Max } else { Reducer::Min };
                model.wire_node(prefix, Reduce { axes: axes.iter().copied().collect(), reducer }, &[input])?
            }
            Kind::Sum(taken, _) if dtype == DatumType::TDim || adds_in_too_few_bits(dtype) => {
                return wire_integers(prefix, model, input, Fold { axes, taken }, self.keeps_axes);
            }
            // Added in half precision, what is finite in the end overflows before.
            Kind::Sum(taken, _) if dtype == DatumType::F16 => {
                model.wire_node(prefix, Fold { axes: axes.clone(), taken }, &[input])?
            }
            Kind::Sum(_, Some(it)) => tvec!(it.wire(axes.iter().copied().collect(), prefix, model, input)?),
            Kind::Sum(taken, None) => model.wire_node(prefix, Fold { axes: axes.clone(), taken }, &[input])?,
        };
        if self.keeps_axes { Ok(wire) } else { without_axes(prefix, model, wire, axes) }
    }
}
