//! Replaces operators in compiled graphs that tract computes wrongly.
//!
//! `Reduce` with the maximum or minimum starts from the largest finite numbers, so that it never answers with an infinity (a mask over
//! nothing but hidden positions is not recognized any more), and drops NaN.
//! `Reduce` with the sum adds integers in 32 bits: see [`super::reductions`]. What gives or takes places is in [`super::places`].
//! `QuantizeLinear` adds the zero point to integers of 32 bits, which go around where a number is beyond them.
//! `DynamicQuantizeLinear` makes integers of NaN that say nothing of it.
//! `Range` counts integers of 64 bits in double precision: see [`super::whole_range`].
//! What computes with lengths of axes cuts numbers to 32 bits: see [`lengths`].
//! `Scan`, which recurrent layers are made of, begins a run with what it remembers of the last one.
//! Some functions have no form for double precision, or overflow: see [`super::double`] and [`super::widened`].
//! `DequantizeLinearF32` is right, but the optimizer folds whatever is between it and a quantization into a table of 256 entries if its
//! axes map one to one; those of a softmax do, its values do not.

use tract_onnx::{
    prelude::{
        Datum, DatumExt, DatumType, IntoTValue, IntoTensor, TValue, TVec, Tensor, TractResult, TypedFact, TypedModel,
        tensor0, tract_ndarray::Axis, tvec,
    },
    tract_core::ops::{
        element_wise::ElementWiseOp,
        logic::IfThenElse,
        nn::{Reduce, Reducer},
        quant::{DequantizeLinearF32, QuantizeLinearI8, QuantizeLinearU8},
        scan::Scan,
    },
    tract_hir::internal::{
        EvalContext, EvalOp, Op, StaticName, TypedNode, TypedOp, as_op, bail, op_as_typed_op, op_out_of_plan,
    },
};

use super::{
    apart, axes::reduced, double::Double, dynamic_product::Quantization, error_function::ErrorFunction,
    integer_product::IntegerProduct, lengths, places, reductions::Fold, texts::FromTexts, whole_range::WholeRange,
    widened::Widened,
};

/// Replaces what is known to be wrong, in the graphs of loops and branches as well.
pub(super) fn repair(model: &mut TypedModel) {
    let inputs: Vec<Option<TypedFact>> = model.nodes.iter().map(|it| first_input(model, it)).collect();
    for (node, input) in model.nodes.iter_mut().zip(inputs) {
        bodies(node).into_iter().for_each(repair);
        if let Some(&DequantizeLinearF32 { scale, zero_point }) = node.op_as() {
            node.op = Box::new(Dequantize { scale, zero_point });
        }
        if let Some(it) = Double::of(node) {
            node.op = Box::new(it);
        }
        if let Some(it) = ErrorFunction::of(node) {
            node.op = Box::new(it);
        }
        if let Some(it) = node.op_as_mut::<Scan>() {
            // Else what a recurrent layer remembers of the last rows is what it begins the next ones with.
            it.reset_every_turn = true;
        }
        if let Some(it) = node.op_as::<ElementWiseOp>().and_then(Quantize::repaired) {
            node.op = Box::new(it);
        }
        if let Some(it) = lengths::repaired(node) {
            node.op = it;
        }
        if node.op.name() == apart::QUANTIZATION {
            node.op = Box::new(DynamicQuantize);
        }
        if let Some(it) = Widened::of(node) {
            node.op = Box::new(it);
        }
        if let Some(it) = WholeRange::of(node) {
            node.op = Box::new(it);
        }
        if let Some(it) = IntegerProduct::of(node) {
            node.op = Box::new(it);
        }
        if let Some(it) = input.as_ref().and_then(|it| FromTexts::of(node, it)) {
            node.op = Box::new(it);
        }
        if let Some(it) = input.as_ref().and_then(|it| places::of(node, it)) {
            node.op = it;
        }
        if let Some(it) = input.as_ref().and_then(|it| Fold::of(node, it)) {
            node.op = Box::new(it);
        }
        let Some(reduce) = node.op_as::<Reduce>() else {
            continue;
        };
        let largest = match reduce.reducer {
            Reducer::Max => true,
            Reducer::Min => false,
            _ => continue,
        };
        if node.outputs[0].fact.datum_type.is_float() {
            node.op = Box::new(Extreme { axes: reduce.axes.to_vec(), largest });
        }
    }
}

/// Replaces what overflows where the answer does not, in the form for such numbers alone: it costs time.
pub(super) fn hold_large(model: &mut TypedModel) {
    for node in &mut model.nodes {
        bodies(node).into_iter().for_each(hold_large);
        if let Some(it) = Double::of_large(node) {
            node.op = Box::new(it);
        }
    }
}

fn first_input(model: &TypedModel, node: &TypedNode) -> Option<TypedFact> {
    node.inputs.first().and_then(|it| model.outlet_fact(*it).ok()).map(TypedFact::without_value)
}

/// Returns the graphs of a loop or of branches.
pub(super) fn bodies(node: &mut TypedNode) -> Vec<&mut TypedModel> {
    if node.op_is::<Scan>() {
        return node.op_as_mut::<Scan>().map(|it| &mut it.body).into_iter().collect();
    }
    node.op_as_mut::<IfThenElse>().map_or(vec![], |it| vec![&mut it.then_body, &mut it.else_body])
}

/// The largest or smallest element along axes, which stay with length 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Extreme {
    pub axes: Vec<usize>,
    pub largest: bool,
}

impl Extreme {
    fn of<T: Datum + Copy + PartialOrd>(&self, tensor: &Tensor, start: T) -> TractResult<Tensor> {
        let mut res = tensor.to_plain_array_view::<T>()?.to_owned();
        for &axis in &self.axes {
            let largest = self.largest;
            // A number that is not equal to itself is a NaN, which stays.
            let better = move |a: T, b: T| a.partial_cmp(&a).is_none() || if largest { a > b } else { a < b };
            let pick = |&a: &T, &b: &T| if better(a, b) { a } else { b };
            res = res.fold_axis(Axis(axis), start, pick).insert_axis(Axis(axis));
        }
        Ok(res.into_tensor())
    }
}

impl Op for Extreme {
    fn name(&self) -> StaticName {
        if self.largest { "Largest" } else { "Smallest" }.into()
    }

    op_as_typed_op!();
}

impl EvalOp for Extreme {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let start = if self.largest { f64::NEG_INFINITY } else { f64::INFINITY };
        let res = match inputs[0].datum_type() {
            DatumType::F32 => self.of::<f32>(&inputs[0], start as f32)?,
            DatumType::F64 => self.of::<f64>(&inputs[0], start)?,
            other => {
                let wide = inputs[0].cast_to::<f32>()?;
                self.of::<f32>(&wide, start as f32)?.cast_to_dt(other)?.into_owned()
            }
        };
        Ok(tvec!(res.into_tvalue()))
    }
}

impl TypedOp for Extreme {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(reduced(inputs[0], &self.axes, inputs[0].datum_type)))
    }

    as_op!();
}

/// The integers of eight bits that stand for numbers: the nearest, to which the zero point is added, and the last ones for what is beyond.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quantize {
    /// Steps for each unit.
    pub factor: f32,
    pub zero_point: ZeroPoint,
}

impl Eq for Quantize {}

/// An integer of the type that is quantized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZeroPoint {
    U8(u8),
    I8(i8),
}

impl ZeroPoint {
    pub(super) fn datum_type(self) -> DatumType {
        match self {
            Self::U8(_) => DatumType::U8,
            Self::I8(_) => DatumType::I8,
        }
    }

    pub(super) fn value(self) -> i32 {
        match self {
            Self::U8(it) => it.into(),
            Self::I8(it) => it.into(),
        }
    }

    /// Returns the first and the last integer of the type.
    pub(super) fn range(self) -> [i32; 2] {
        match self {
            Self::U8(_) => [0, 255],
            Self::I8(_) => [-128, 127],
        }
    }
}

impl Quantize {
    fn repaired(op: &ElementWiseOp) -> Option<Self> {
        if let Some(it) = op.0.downcast_ref::<QuantizeLinearU8>() {
            return Some(Self { factor: it.scale, zero_point: ZeroPoint::U8(it.zero_point) });
        }
        let it = op.0.downcast_ref::<QuantizeLinearI8>()?;
        Some(Self { factor: it.scale, zero_point: ZeroPoint::I8(it.zero_point) })
    }
}

impl Op for Quantize {
    fn name(&self) -> StaticName {
        "QuantizeLinear".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Quantize {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (zero_point, [least, most]) = (self.zero_point.value(), self.zero_point.range());
        let quantized = |it: f32| {
            // What is beyond 32 bits becomes the last integer of those.
            let nearest = (it * self.factor).round_ties_even() as i32;
            nearest.saturating_add(zero_point).clamp(least, most)
        };
        let numbers = inputs[0].cast_to::<f32>()?;
        let numbers = numbers.to_plain_array_view::<f32>()?;
        let res = match self.zero_point {
            ZeroPoint::U8(_) => numbers.map(|it| quantized(*it) as u8).into_tensor(),
            ZeroPoint::I8(_) => numbers.map(|it| quantized(*it) as i8).into_tensor(),
        };
        Ok(tvec!(res.into_tvalue()))
    }
}

impl TypedOp for Quantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(TypedFact::dt_shape(self.zero_point.datum_type(), inputs[0].shape.clone())))
    }

    as_op!();
}

/// The integers of eight bits that stand for numbers, their scale and their zero point, which are taken from all of the numbers. The
/// scale is NaN where one of them is not finite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DynamicQuantize;

impl Op for DynamicQuantize {
    fn name(&self) -> StaticName {
        "DynamicQuantizeLinear".into()
    }

    op_as_typed_op!();
}

impl EvalOp for DynamicQuantize {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let numbers = inputs[0].cast_to::<f32>()?;
        let numbers = numbers.to_plain_array_view::<f32>()?;
        let quantization = Quantization::of(numbers.iter().copied());
        let integers = numbers.map(|it| quantization.integer(*it) as u8).into_tensor();
        let (scale, zero_point) = (tensor0(quantization.scale), tensor0(quantization.zero_point as u8));
        Ok(tvec!(integers.into_tvalue(), scale.into_tvalue(), zero_point.into_tvalue()))
    }
}

impl TypedOp for DynamicQuantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(u8::fact(inputs[0].shape.clone()), f32::fact([0; 0]), u8::fact([0; 0])))
    }

    as_op!();
}

/// The numbers that integers of 8 or 32 bits stand for: a step for each of them above the zero point.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dequantize {
    pub scale: f32,
    pub zero_point: i32,
}

impl Eq for Dequantize {}

impl Dequantize {
    fn of<T: Datum + Copy + Into<i32>>(&self, tensor: &Tensor) -> TractResult<Tensor> {
        let number = |&it: &T| it.into().wrapping_sub(self.zero_point) as f32 * self.scale;
        Ok(tensor.to_plain_array_view::<T>()?.map(number).into_tensor())
    }
}

impl Op for Dequantize {
    fn name(&self) -> StaticName {
        "DequantizeLinear".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Dequantize {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let res = match inputs[0].datum_type() {
            DatumType::I8 => self.of::<i8>(&inputs[0])?,
            DatumType::U8 => self.of::<u8>(&inputs[0])?,
            DatumType::I32 => self.of::<i32>(&inputs[0])?,
            other => bail!("elements of {other:?} are not dequantized"),
        };
        Ok(tvec!(res.into_tvalue()))
    }
}

impl TypedOp for Dequantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use tract_onnx::{
        prelude::{IntoRunnable, OutletId, SpecialOps, tensor0, tensor2},
        tract_core::ops::scan::{InputMapping, OutputMapping, ScanInfo},
    };

    use super::*;

    /// Returns the largest number of each row of two, with the graph's own operator.
    fn largest(rows: usize) -> TypedModel {
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([rows, 2])).unwrap();
        let reduce = Reduce { axes: tvec![1], reducer: Reducer::Max };
        let res = model.wire_node("largest", reduce, &[x]).unwrap();
        model.select_output_outlets(&res).unwrap();
        model
    }

    /// Returns what an operator with a graph gives for some inputs.
    fn nested(op: impl Into<Box<dyn TypedOp>>, inputs: &[Tensor]) -> TValue {
        let mut model = TypedModel::default();
        let source = |(idx, it): (usize, &Tensor)| {
            let fact = TypedFact::dt_shape(it.datum_type(), it.shape());
            model.add_source(format!("input_{idx}"), fact).unwrap()
        };
        let sources: Vec<OutletId> = inputs.iter().enumerate().map(source).collect();
        let res = model.wire_node("nested", op, &sources).unwrap();
        model.select_output_outlets(&res).unwrap();
        repair(&mut model);
        let inputs = inputs.iter().map(|it| it.clone().into_tvalue()).collect();
        model.into_runnable().unwrap().run(inputs).unwrap().remove(0)
    }

    #[test]
    fn what_is_nested_is_replaced_as_well() {
        const NONE: f32 = f32::NEG_INFINITY;
        let (x, wanted) = (tensor2(&[[NONE, NONE], [1.0, NONE]]), tensor2(&[[NONE], [1.0]]));
        for takes_first in [true, false] {
            let branches = IfThenElse {
                then_body: largest(2),
                then_input_mapping: vec![1],
                else_body: largest(2),
                else_input_mapping: vec![1],
            };
            assert_eq!(*nested(branches, &[tensor0(takes_first), x.clone()]), wanted);
        }
        let rows = ScanInfo { axis: 0, chunk: 1 };
        let each = OutputMapping { scan: Some((0, rows)), ..OutputMapping::default() };
        let steps = Scan::new(largest(1), vec![InputMapping::Scan(rows)], vec![each], 0).unwrap();
        assert_eq!(*nested(steps, &[x]), wanted);
    }
}
