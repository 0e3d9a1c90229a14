//! The operators of TensorFlow Lite, by how they are wired in tract's graphs.
//!
//! Those that TensorFlow has as well are wired as its are. What an operator is and takes is said by the kernels of TFLite's reference
//! implementation.

mod arrays;
mod images;
mod numbers;
mod recurrent;

use std::collections::HashMap;

use tract_onnx::{
    prelude::{OutletId, TVec, TractError, TractResult, TypedModel, tvec},
    tract_core::ops::{change_axes::wire_with_rank_broadcast, math},
    tract_hir::internal::{Expansion, TractErrorContext, TypedOp, bail},
};
use tract_tensorflow::{
    model::{ParsingContext, TfOpRegister},
    tfpb::{self, tensorflow::AttrValue},
};
use tract_tflite::tflite::{ActivationFunctionType, BuiltinOperator, Operator};

use super::View;
use crate::tract::wired::Chain;

/// What is wired of one operator: a tensor for each output.
type Wires = TractResult<TVec<OutletId>>;

/// How an operator is wired.
pub(super) type Wire = fn(&mut Call<'_, '_>) -> Wires;

/// Who computes an operator.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum By {
    Tract,
    Modelwatch,
}

/// An operator that is run.
pub(super) struct Known {
    pub(super) operator: BuiltinOperator,
    pub(super) by: By,
    wire: Wire,
}

const fn tract(operator: BuiltinOperator, wire: Wire) -> Known {
    Known { operator, by: By::Tract, wire }
}

const fn ours(operator: BuiltinOperator, wire: Wire) -> Known {
    Known { operator, by: By::Modelwatch, wire }
}

/// Returns the operators that are run.
pub(super) fn all() -> impl Iterator<Item = &'static Known> {
    [arrays::KNOWN, images::KNOWN, numbers::KNOWN, recurrent::KNOWN].into_iter().flatten()
}

pub(super) fn wire_of(operator: BuiltinOperator) -> Option<Wire> {
    Some(all().find(|it| it.operator == operator)?.wire)
}

/// Returns whether an operator gives none but the numbers that it is given first.
pub(super) fn moves(operator: BuiltinOperator) -> bool {
    use BuiltinOperator as Op;
    matches!(
        operator,
        Op::DEPTH_TO_SPACE
            | Op::EXPAND_DIMS
            | Op::GATHER
            | Op::GATHER_ND
            | Op::RESHAPE
            | Op::REVERSE_V2
            | Op::SLICE
            | Op::SPACE_TO_DEPTH
            | Op::SPLIT_V
            | Op::SQUEEZE
            | Op::STRIDED_SLICE
            | Op::TILE
            | Op::TRANSPOSE
            | Op::UNPACK
    )
}

/// An operator with its inputs, and the graph that it is wired in.
pub(super) struct Call<'c, 'a> {
    pub(super) node: Operator<'a>,
    pub(super) view: View<'a>,
    pub(super) prefix: &'c str,
    pub(super) model: &'c mut TypedModel,
    pub(super) tensorflow: &'c TfOpRegister,
    /// Those that are left out are none.
    pub(super) inputs: &'c [Option<OutletId>],
}

impl Call<'_, '_> {
    fn input(&self, idx: usize) -> TractResult<OutletId> {
        let it = self.inputs.get(idx).copied().flatten();
        it.with_context(|| format!("it has {} inputs, of which number {idx} is none", self.inputs.len()))
    }

    fn optional(&self, idx: usize) -> Option<OutletId> {
        self.inputs.get(idx).copied().flatten()
    }

    /// Returns the inputs if there are as many.
    fn arguments<const N: usize>(&self) -> TractResult<[OutletId; N]> {
        let all = self.every()?;
        <[OutletId; N]>::try_from(&*all).or_else(|_| bail!("it has {} inputs, not {N}", all.len()))
    }

    fn every(&self) -> TractResult<Vec<OutletId>> {
        (0..self.inputs.len()).map(|it| self.input(it)).collect()
    }

    fn chain(&mut self) -> Chain<'_> {
        Chain::new(self.prefix, self.model)
    }

    /// Wires one operator of tract's with all inputs.
    fn plain<const N: usize>(&mut self, op: impl Into<Box<dyn TypedOp>>) -> Wires {
        let inputs = self.arguments::<N>()?;
        wire_with_rank_broadcast(self.prefix, self.model, op, &inputs)
    }

    /// Wires an operator of TensorFlow.
    fn tensorflow(&mut self, op: &str, attributes: Vec<(&str, AttrValue)>, inputs: &[OutletId]) -> Wires {
        let node = tfpb::node().name(self.prefix).op(op);
        let node = attributes.into_iter().fold(node, |node, (name, value)| node.attr(name, value));
        let node = inputs.iter().enumerate().fold(node, |node, (idx, _)| node.input(format!("input-{idx}")));
        let build = self.tensorflow.0.get(op).with_context(|| format!("there is no {op}"))?;
        let built = build(&ParsingContext { node_output_arities: HashMap::new() }, &node)?;
        let expansion = built.as_op().downcast_ref::<Box<dyn Expansion>>();
        expansion.with_context(|| format!("{op} is wired by nobody"))?.wire(self.prefix, self.model, inputs)
    }

    /// Wires the operator of TensorFlow that takes the same inputs.
    fn same(&mut self, op: &str, attributes: Vec<(&str, AttrValue)>) -> Wires {
        let inputs = self.every()?;
        self.tensorflow(op, attributes, &inputs)
    }

    /// Wires what an operator does at its end.
    fn fused(&mut self, wires: TVec<OutletId>, activation: ActivationFunctionType) -> Wires {
        let prefix = format!("{}.fused", self.prefix);
        let mut chain = Chain::new(&prefix, self.model);
        let wire = wires[0];
        Ok(tvec!(match activation {
            ActivationFunctionType::NONE => wire,
            ActivationFunctionType::RELU => numbers::cut(&mut chain, wire, Some(0.0), None)?,
            ActivationFunctionType::RELU6 => numbers::cut(&mut chain, wire, Some(0.0), Some(6.0))?,
            ActivationFunctionType::RELU_N1_TO_1 => numbers::cut(&mut chain, wire, Some(-1.0), Some(1.0))?,
            ActivationFunctionType::TANH => chain.add(math::tanh(), &[wire])?,
            other => bail!("its fused activation {} is not supported", other.variant_name().unwrap_or("unknown")),
        }))
    }
}

/// Returns a text as an attribute of TensorFlow's.
fn text(text: &str) -> AttrValue {
    AttrValue { value: Some(tfpb::tensorflow::attr_value::Value::S(text.as_bytes().to_vec())) }
}

fn number(value: i32) -> AttrValue {
    AttrValue::from(i64::from(value))
}

/// Fails without options, which these operators cannot be read without.
fn given<T>(options: Option<T>) -> TractResult<T> {
    options.ok_or_else(|| TractError::msg("its options are those of another operator"))
}
