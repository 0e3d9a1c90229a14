//! Operators that give or take places.
//!
//! tract drops NaN where the greatest numbers are wanted, and ends in a panic or an error at an index that is counted from the end in
//! `GatherND` and `ScatterND`, or beyond the depth in `OneHot`. Here a NaN comes before all numbers, whether the greatest or the smallest are wanted, so that it
//! cannot hide: NumPy's `argmax` and `argmin` do the same.

use std::cmp::Ordering;

use tract_onnx::{
    prelude::{
        Datum, DatumType, IntoTValue, IntoTensor, TValue, TVec, Tensor, TractResult, TypedFact,
        tract_ndarray::{ArrayD, Axis},
        tvec,
    },
    tract_core::ops::{
        array::{GatherNd, OneHot, ScatterNd, Topk},
        nn::{Reduce, Reducer},
    },
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, TractErrorContext, TypedNode, TypedOp, as_op, bail, ensure, f16,
        op_as_typed_op, op_out_of_plan,
    },
};

use super::{axes::reduced, reductions::along};

/// Returns what takes the place of a node that gives or takes places.
pub(super) fn of(node: &TypedNode, input: &TypedFact) -> Option<Box<dyn TypedOp>> {
    if let Some(it) = node.op_as::<GatherNd>() {
        return Some(Box::new(Picked(it.clone())));
    }
    if let Some(it) = node.op_as::<ScatterNd>() {
        return Some(Box::new(Put(it.clone())));
    }
    if let Some(it) = node.op_as::<OneHot>() {
        return Some(Box::new(Hot { op: it.clone(), counts_from_end: true }));
    }
    if !input.datum_type.is_float() {
        return None;
    }
    if let Some(it) = node.op_as::<Topk>() {
        return Some(Box::new(Top(it.clone())));
    }
    let Reduce { axes, reducer } = node.op_as()?;
    let (largest, last) = match reducer {
        Reducer::ArgMax(last) => (true, *last),
        Reducer::ArgMin(last) => (false, *last),
        _ => return None,
    };
    Some(Box::new(Place { axes: axes.to_vec(), largest, last }))
}

/// Orders what comes first before what comes later: NaN, then the numbers from the largest or the smallest on.
fn order(a: f64, b: f64, largest: bool) -> Ordering {
    let numbers = || a.partial_cmp(&b).map(|it| if largest { it.reverse() } else { it });
    b.is_nan().cmp(&a.is_nan()).then_with(|| numbers().unwrap_or(Ordering::Equal))
}

/// Gives the place of the largest or smallest number along axes, which stay with length 1: of several, the first or the last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    axes: Vec<usize>,
    largest: bool,
    last: bool,
}

impl Place {
    fn of<T: Datum + Copy + Into<f64>>(&self, tensor: &Tensor) -> TractResult<Tensor> {
        along(tensor, &self.axes, |numbers: &[T]| {
            let (mut place, mut best) = (0, f64::NAN);
            for (it, idx) in numbers.iter().map(|it| Into::<f64>::into(*it)).zip(0_i64..) {
                let is_better = match order(it, best, self.largest) {
                    Ordering::Less => true,
                    Ordering::Equal => self.last,
                    Ordering::Greater => false,
                };
                if idx == 0 || is_better {
                    (place, best) = (idx, it);
                }
            }
            place
        })
    }
}

impl Op for Place {
    fn name(&self) -> StaticName {
        if self.largest { "PlaceOfLargest" } else { "PlaceOfSmallest" }.into()
    }

    op_as_typed_op!();
}

impl EvalOp for Place {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let res = match inputs[0].datum_type() {
            DatumType::F16 => self.of::<f16>(&inputs[0])?,
            DatumType::F32 => self.of::<f32>(&inputs[0])?,
            DatumType::F64 => self.of::<f64>(&inputs[0])?,
            other => bail!("elements of {other:?} are not compared"),
        };
        Ok(tvec!(res.into_tvalue()))
    }
}

impl TypedOp for Place {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(reduced(inputs[0], &self.axes, DatumType::I64)))
    }

    as_op!();
}

/// The largest or smallest numbers along an axis, and their places; of equal ones, the first come first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Top(Topk);

impl Op for Top {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn mints_runtime_symbols(&self) -> bool {
        self.0.mints_runtime_symbols()
    }

    op_as_typed_op!();
}

impl EvalOp for Top {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let Topk { axis, largest, .. } = self.0;
        let numbers = inputs[0].cast_to::<f64>()?;
        let numbers = numbers.to_plain_array_view::<f64>()?;
        let k = usize::try_from(inputs[1].cast_to_scalar::<i64>()?)?;
        ensure!(k <= numbers.shape()[axis], "{k} of {} numbers are wanted", numbers.shape()[axis]);
        let mut shape = numbers.shape().to_vec();
        shape[axis] = k;
        let (mut values, mut places) = (ArrayD::<f64>::zeros(&*shape), ArrayD::<i64>::zeros(&*shape));
        let mut lanes = values.lanes_mut(Axis(axis)).into_iter().zip(places.lanes_mut(Axis(axis)));
        for lane in numbers.lanes(Axis(axis)) {
            let (mut values, mut places) = lanes.next().context("there are fewer answers than rows")?;
            let mut order_of: Vec<usize> = (0..lane.len()).collect();
            order_of.sort_by(|a, b| order(lane[*a], lane[*b], largest));
            for (to, from) in order_of.into_iter().take(k).enumerate() {
                (values[to], places[to]) = (lane[from], from as i64);
            }
        }
        let values = values.into_tensor().cast_to_dt(inputs[0].datum_type())?.into_owned();
        Ok(tvec!(values.into_tvalue(), places.into_tensor().into_tvalue()))
    }
}

impl TypedOp for Top {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    as_op!();
}

/// Picks what is at places, which may be counted from the end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Picked(GatherNd);

impl Op for Picked {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl EvalOp for Picked {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let places = from_start(&inputs[0], &inputs[1], self.0.batch_dims)?;
        self.0.eval(context, tvec!(inputs[0].clone(), places.into_tvalue()))
    }
}

/// Returns places in the axes of `data` from this one on, counted from the start.
fn from_start(data: &Tensor, places: &Tensor, first_axis: usize) -> TractResult<Tensor> {
    let mut places = places.cast_to::<i64>()?.into_owned().into_plain_array::<i64>()?;
    let n = *places.shape().last().context("there are no places")?;
    let lens = data.shape().get(first_axis..first_axis + n);
    let lens = lens.with_context(|| format!("places of {n} numbers in {:?}", data.shape()))?;
    for (place, len) in places.iter_mut().zip(lens.iter().cycle()) {
        let len = i64::try_from(*len)?;
        let from_start = if *place < 0 { place.saturating_add(len) } else { *place };
        ensure!((0..len).contains(&from_start), "there is nothing at {place} of {len}");
        *place = from_start;
    }
    Ok(places.into_tensor())
}

impl TypedOp for Picked {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    as_op!();
}

/// Puts something at places, which may be counted from the end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Put(ScatterNd);

impl Op for Put {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl EvalOp for Put {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        inputs[1] = from_start(&inputs[0], &inputs[1], 0)?.into_tvalue();
        self.0.eval(context, inputs)
    }
}

impl TypedOp for Put {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    as_op!();
}

/// One number where an index says so and another elsewhere, which is everywhere for an index that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hot {
    pub op: OneHot,
    /// A negative index is one from the end.
    pub counts_from_end: bool,
}

impl Op for Hot {
    fn name(&self) -> StaticName {
        self.op.name()
    }

    op_as_typed_op!();
}

impl EvalOp for Hot {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (axis, depth) = (self.op.axis, i64::try_from(self.op.dim)?);
        let mut indices = inputs[0].cast_to::<i64>()?.into_owned().into_plain_array::<i64>()?;
        indices.mapv_inplace(|it| {
            let it = if it < 0 && self.counts_from_end { it.saturating_add(depth) } else { it };
            if (0..depth).contains(&it) { it } else { depth }
        });
        // One place more, for what does not exist.
        let op = OneHot { dim: self.op.dim + 1, ..self.op.clone() };
        let all = op.eval(context, tvec!(indices.into_tensor().into_tvalue()))?.remove(0);
        Ok(tvec!(all.slice(axis, 0, self.op.dim)?.into_tvalue()))
    }
}

impl TypedOp for Hot {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.op.output_facts(inputs)
    }

    as_op!();
}
