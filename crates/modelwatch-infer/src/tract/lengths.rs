//! The lengths of axes, as the numbers that a model computes with.
//!
//! tract has a type of its own for them, so that they may be unknown, turns all numbers into it that meet one, and cuts these to 32
//! bits (`Tensor::cast_to_dt`, the second operand of `Mul`, `Div` and `Rem`). What is known is an integer here from the beginning, of
//! which no constants are made that are cut; what is not, or comes from other formats, is computed digit by digit. What tract has
//! already computed of constants while it made the graph cannot be: a graph in which some were cut is not compiled.

use std::collections::HashSet;

use tract_onnx::{
    pb::NodeProto,
    prelude::{
        DatumType, InferenceModel, IntoArcTensor, IntoTValue, IntoTensor, OutletId, SpecialOps, TValue, TVec, Tensor,
        TractResult, TypedFact, TypedModel, tensor0, tensor1, tvec,
    },
    tract_core::ops::{
        array::Range,
        binary::{BinMiniOp, TypedBinOp},
        cast::{Cast, cast},
        logic::IfThenElse,
        scan::Scan,
    },
    tract_hir::{
        infer::{
            Factoid, InferenceNode, InferenceOp, InferenceResult, Solver, TensorProxy, check_input_arity,
            check_output_arity,
        },
        internal::{
            EvalContext, EvalOp, Expansion, Op, StaticName, TDim, TypedNode, TypedOp, as_op, ensure, expand,
            op_as_typed_op, op_out_of_plan,
        },
        ops::scan::InferenceScan,
    },
};

use super::{attributes::int, ops::branches, texts::ToTexts, wired::wired};

const CUT: &str = "an integer of 2^31 or more meets a length that is not known before the model runs";

/// What is asked for of a shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Lengths {
    /// Those of the axes from one to before another; both are counted from the end where they are negative.
    Of(i64, i64),
    Product,
}

/// Returns the operator that gives all lengths.
pub(super) fn shape() -> Box<dyn InferenceOp> {
    expand(Lengths::Of(0, i64::MAX))
}

/// Returns the operator for a node of ONNX's `Shape`.
pub(super) fn shape_of(node: &NodeProto) -> Box<dyn InferenceOp> {
    expand(Lengths::Of(int(node, "start").unwrap_or(0), int(node, "end").unwrap_or(i64::MAX)))
}

/// Returns the operator that gives the number of elements.
pub(super) fn size() -> Box<dyn InferenceOp> {
    expand(Lengths::Product)
}

impl Lengths {
    fn of(&self, shape: &[TDim]) -> Tensor {
        let lengths = match *self {
            Self::Of(start, end) => {
                let rank = shape.len() as i64;
                let place = |it: i64| (if it < 0 { it + rank } else { it }).clamp(0, rank) as usize;
                tensor1(shape.get(place(start)..place(end)).unwrap_or_default())
            }
            Self::Product => tensor0(shape.iter().product::<TDim>()),
        };
        let numbers = lengths.cast_to::<i64>().map(|it| it.into_owned());
        numbers.unwrap_or(lengths)
    }
}

impl Expansion for Lengths {
    fn name(&self) -> StaticName {
        match self {
            Self::Of(..) => "Shape".into(),
            Self::Product => "Size".into(),
        }
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].rank, i64::from(*self != Self::Product))?;
        s.given(&inputs[0].shape, move |s, shape| {
            let lengths = self.of(&shape);
            s.equals(&outputs[0].datum_type, lengths.datum_type())?;
            s.equals(&outputs[0].value, lengths.into_arc_tensor())
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let lengths = self.of(&model.outlet_fact(inputs[0])?.shape.to_tvec());
        Ok(tvec!(model.add_const(prefix, lengths)?))
    }
}

/// Makes integers of numbers; lengths stay what they are, and may stay unknown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ToIntegers;

/// Returns the operator for a node of ONNX's `Cast`, whose integers of 64 bits are lengths in tract.
pub(super) fn cast_to(node: &NodeProto) -> TractResult<Box<dyn InferenceOp>> {
    let to = node.get_attr::<DatumType>("to")?;
    Ok(match to {
        DatumType::I64 => expand(ToIntegers),
        DatumType::String => wired("Cast", &[], |prefix, model, inputs| model.wire_node(prefix, ToTexts, inputs)),
        _ => Box::new(cast(to)),
    })
}

impl Expansion for ToIntegers {
    fn name(&self) -> StaticName {
        "Cast".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].shape, &inputs[0].shape)?;
        s.given(&inputs[0].datum_type, move |s, from| s.equals(&outputs[0].datum_type, integers_of(from)))
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let to = integers_of(model.outlet_fact(inputs[0])?.datum_type);
        model.wire_node(prefix, cast(to), inputs)
    }
}

fn integers_of(from: DatumType) -> DatumType {
    if from == DatumType::TDim { from } else { DatumType::I64 }
}

/// Refuses an analyzed graph in which large constants meet lengths that are not known: what comes of both may be computed already.
pub(super) fn check_operands(model: &InferenceModel) -> TractResult<()> {
    for node in &model.nodes {
        for body in bodies(node) {
            check_operands(body)?;
        }
        // The ends of slices may be as far away as one likes.
        if node.op.name() == "StridedSlice" {
            continue;
        }
        let facts: Vec<_> = node.inputs.iter().map(|it| model.outlet_fact(*it)).collect::<TractResult<_>>()?;
        let of = |dtype: DatumType| facts.iter().filter(move |it| it.datum_type.concretize() == Some(dtype));
        if of(DatumType::TDim).next().is_none() {
            continue;
        }
        for it in of(DatumType::I64).filter_map(|it| it.value.concretize()) {
            ensure!(cut_numbers(&it)?.is_none(), "node `{}`: {CUT}", node.name);
        }
    }
    Ok(())
}

/// Returns the graphs of a loop or of branches.
fn bodies(node: &InferenceNode) -> Vec<&InferenceModel> {
    match node.op_as() {
        Some(InferenceScan { body, .. }) => vec![body],
        None => branches(node).into_iter().flatten().collect(),
    }
}

/// Refuses a graph, as it was made, in which constants were cut, or will be, because they met lengths that are not known.
pub(super) fn check(model: &TypedModel) -> TractResult<()> {
    for node in &model.nodes {
        if let Some(Scan { body, .. }) = node.op_as() {
            check(body)?;
        }
        if node.op_is::<Range>() {
            check_range(model, node)?;
        }
        if let Some(IfThenElse { then_body, else_body, .. }) = node.op_as() {
            check(then_body)?;
            check(else_body)?;
        }
    }
    let constants = |of: DatumType| {
        let outputs = model.nodes.iter().flat_map(|node| node.outputs.iter().map(move |it| (node, &it.fact)));
        let known = outputs.filter_map(|(node, it)| Some((node, it.konst.as_ref().or(it.uniform.as_ref())?)));
        known.filter(move |it| it.1.datum_type() == of)
    };
    let mut cut = HashSet::new();
    for (_, it) in constants(DatumType::I64) {
        if let Some(it) = cut_numbers(it)? {
            cut.insert(it);
        }
    }
    for (node, it) in constants(DatumType::TDim) {
        // Others have lengths in them that are not known, and no constants alone.
        let Ok(numbers) = it.cast_to::<i64>() else { continue };
        let is_right =
            cut_numbers(&numbers)?.is_none() && !cut.contains(numbers.try_as_plain_ram()?.as_slice::<i64>()?);
        ensure!(is_right, "node `{}`: {CUT}", node.name);
    }
    Ok(())
}

/// Refuses a range whose length tract counts in double precision, which does not have its integers.
fn check_range(model: &TypedModel, node: &TypedNode) -> TractResult<()> {
    const WHOLE: u64 = 1 << 53;
    for input in &node.inputs {
        let Some(it) = &model.outlet_fact(*input)?.konst else { continue };
        if it.datum_type() == DatumType::I64 {
            let is_right = it.cast_to_scalar::<i64>()?.unsigned_abs() <= WHOLE;
            ensure!(is_right, "node `{}`: an integer of more than 2^53 bounds a range", node.name);
        }
    }
    Ok(())
}

/// Returns what tract makes of integers that are to be lengths, where that is not the same.
fn cut_numbers(numbers: &Tensor) -> TractResult<Option<Vec<i64>>> {
    let whole = numbers.try_as_plain_ram()?.as_slice::<i64>()?;
    let is_cut = whole.iter().any(|it| i32::try_from(*it).is_err());
    Ok(is_cut.then(|| whole.iter().map(|&it| i64::from(it as i32)).collect()))
}

/// Returns what stands for an operator that cuts numbers which are lengths, or become some.
pub(super) fn repaired(node: &TypedNode) -> Option<Box<dyn TypedOp>> {
    if node.outputs[0].fact.datum_type != DatumType::TDim {
        return None;
    }
    if node.op_is::<Cast>() {
        return Some(Box::new(ToLengths));
    }
    let TypedBinOp(op, _) = node.op_as()?;
    matches!(op.name(), "Mul" | "Div" | "Rem").then(|| Box::new(OfLengths(op.clone())) as _)
}

/// Makes lengths of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ToLengths;

impl Op for ToLengths {
    fn name(&self) -> StaticName {
        "ToLengths".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ToLengths {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        if inputs[0].datum_type() == DatumType::TDim {
            return Ok(inputs);
        }
        let numbers = inputs[0].cast_to::<i64>()?;
        let lengths = numbers.to_plain_array_view::<i64>()?.map(|it| TDim::Val(*it));
        Ok(tvec!(lengths.into_tensor().into_tvalue()))
    }
}

impl TypedOp for ToLengths {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(TypedFact::dt_shape(DatumType::TDim, inputs[0].shape.clone())))
    }

    as_op!();
}

/// An operator of lengths, computed of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OfLengths(Box<dyn BinMiniOp>);

impl Op for OfLengths {
    fn name(&self) -> StaticName {
        format!("{}OfLengths", self.0.name()).into()
    }

    op_as_typed_op!();
}

impl EvalOp for OfLengths {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let numbers = |it| cast(DatumType::I64).eval(context, tvec!(it));
        let numbers: Vec<TVec<TValue>> = inputs.into_iter().map(numbers).collect::<TractResult<_>>()?;
        let res = TypedBinOp(self.0.clone(), None).eval(context, numbers.into_iter().flatten().collect())?;
        ToLengths.eval(context, res)
    }
}

impl TypedOp for OfLengths {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        TypedBinOp(self.0.clone(), None).output_facts(inputs)
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use tract_onnx::{
        prelude::{InferenceFact, IntoRunnable},
        tract_core::ops::math,
        tract_hir::internal::InletId,
    };

    use super::*;
    use crate::tract::repair::repair;

    #[test]
    fn lengths_are_counted_from_both_ends() {
        let known = [2, 3, 5].map(TDim::Val);
        for (start, end, wanted) in [
            (0, i64::MAX, &[2, 3, 5][..]),
            (1, i64::MAX, &[3, 5]),
            (0, 2, &[2, 3]),
            (-1, i64::MAX, &[5]),
            (-2, -1, &[3]),
            (-9, 1, &[2]),
            (i64::MIN, i64::MAX, &[2, 3, 5]),
            (1, 9, &[3, 5]),
            (3, 9, &[]),
            (9, i64::MAX, &[]),
            (0, -3, &[]),
            (2, 1, &[]),
        ] {
            assert_eq!(Lengths::Of(start, end).of(&known), tensor1::<i64>(wanted), "{start}..{end}");
        }
        assert_eq!(Lengths::Of(0, i64::MAX).of(&[]), tensor1::<i64>(&[]));
        for (shape, n) in [(&known[..], 30), (&[], 1), (&[TDim::Val(7), TDim::Val(0)], 0)] {
            assert_eq!(Lengths::Product.of(shape), tensor0::<i64>(n));
        }
    }

    #[test]
    fn lengths_are_integers_only_where_all_are_known() {
        let model = TypedModel::default();
        let n = model.symbols.sym("n");
        let shape = [TDim::Val(2), TDim::Sym(n.clone()), TDim::Val(5)];
        for (start, end, wanted) in [
            (0, i64::MAX, tensor1(&shape)),
            (-2, -1, tensor1(&shape[1..2])),
            (-1, i64::MAX, tensor1(&[5_i64])),
            (0, 1, tensor1(&[2_i64])),
        ] {
            assert_eq!(Lengths::Of(start, end).of(&shape), wanted, "{start}..{end}");
        }
        let product = Lengths::Product.of(&shape);
        let product = product.to_plain_array_view::<TDim>().unwrap()[[]].substitute(&n, &TDim::Val(3)).unwrap();
        assert_eq!(product, TDim::Val(30));
    }

    #[test]
    fn only_constants_that_were_cut_are_refused() {
        let mut model = TypedModel::default();
        let large = model.add_const("large", tensor1(&[1_i64 << 33, 1])).unwrap();
        let small = model.add_const("small", tensor1(&[1_i64 << 30, 1])).unwrap();
        model.wire_node("right", cast(DatumType::TDim), &[small]).unwrap();
        check(&model).unwrap();
        model.wire_node("cut", cast(DatumType::TDim), &[large]).unwrap();
        assert!(check(&model).unwrap_err().to_string().contains("node `cut`"));
        let mut outer = TypedModel::default();
        outer.add_node("steps", Scan::new(model, vec![], vec![], 0).unwrap(), tvec!()).unwrap();
        assert!(check(&outer).unwrap_err().to_string().contains("node `cut`"));
        let mut model = TypedModel::default();
        // The operators that are given such a length cut it.
        model.add_const("length", tensor0(TDim::Val(1 << 31))).unwrap();
        assert!(check(&model).is_err());
    }

    #[test]
    fn large_constants_that_meet_an_unknown_length_are_found_in_loops_and_branches() {
        let of = |number: i64| {
            let mut body = InferenceModel::default();
            let length = body.add_source("length", InferenceFact::dt_shape(DatumType::TDim, [1])).unwrap();
            let number = body.add_const("number", tensor1(&[number])).unwrap();
            let id = body.add_node("sum", expand(Lengths::Product), tvec!(InferenceFact::default())).unwrap();
            for (slot, it) in [length, number].into_iter().enumerate() {
                body.add_edge(it, InletId::new(id, slot)).unwrap();
            }
            let mut outer = InferenceModel::default();
            let steps = InferenceScan { body, ..InferenceScan::default() };
            outer.add_node("steps", Box::new(steps) as Box<dyn InferenceOp>, tvec!()).unwrap();
            check_operands(&outer).map_err(|it| it.to_string())
        };
        assert_eq!(of(1 << 30), Ok(()));
        assert!(of(1 << 33).unwrap_err().contains("node `sum`"));
    }

    #[test]
    fn lengths_keep_the_digits_of_numbers() {
        let numbers = [1 << 31, -(1 << 31) - 1, (1 << 40) + 5, 7];
        let factor = (1_i64 << 32) + 1;
        for (op, wanted) in [
            (math::mul(), numbers.map(|it| 3 * it)),
            (math::div(), numbers.map(|it| 3 * factor / it)),
            (math::rem(), numbers.map(|it| 3 * factor % it)),
        ] {
            let mut model = TypedModel::default();
            let x = model.add_source("x", TypedFact::dt_shape(DatumType::I64, [4])).unwrap();
            let lengths = model.wire_node("lengths", cast(DatumType::TDim), &[x]).unwrap()[0];
            let other = if op.0.name() == "Mul" { 3 } else { 3 * factor };
            let other = model.add_const("other", tensor1(&[TDim::Val(other)])).unwrap();
            let res = model.wire_node("res", op, &[other, lengths]).unwrap();
            let res = model.wire_node("numbers", cast(DatumType::I64), &res).unwrap();
            model.select_output_outlets(&res).unwrap();
            repair(&mut model);
            let res = model.into_runnable().unwrap().run(tvec!(tensor1(&numbers).into_tvalue())).unwrap();
            assert_eq!(*res[0], tensor1(&wanted));
        }
    }
}
