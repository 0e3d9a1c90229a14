//! Operators given by how they are wired in tract's typed graphs.
//!
//! tract infers types and shapes with rules of its own for each operator; here they are read off the wired graph instead.

use std::{fmt, sync::Arc};

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    prelude::{DatumType, OutletId, SpecialOps, TVec, Tensor, TractResult, TypedFact, TypedModel, tensor0},
    tract_core::ops::change_axes::wire_with_rank_broadcast,
    tract_hir::{
        infer::{InferenceOp, InferenceResult, Solver, TensorProxy, check_input_arity, check_output_arity},
        internal::{Expansion, Op, StaticName, TDim, TractErrorContext, TypedOp, expand},
    },
};

type Wire = dyn Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>> + Send + Sync;

#[derive(Clone)]
struct Wired {
    name: StaticName,
    n_outputs: usize,
    /// The inputs whose values must be known, counted from the end if negative.
    constants: Vec<isize>,
    /// What comes of the first input has its type and shape.
    is_alike: bool,
    wire: Arc<Wire>,
}

impl fmt::Debug for Wired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Returns an operator with one output, of whose inputs these must be constants.
pub(super) fn wired(
    name: impl Into<StaticName>,
    constants: &[isize],
    wire: impl Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>> + Send + Sync + 'static,
) -> Box<dyn InferenceOp> {
    several(name, 1, constants, wire)
}

/// Returns an operator with several outputs.
pub(super) fn several(
    name: impl Into<StaticName>,
    n_outputs: usize,
    constants: &[isize],
    wire: impl Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>> + Send + Sync + 'static,
) -> Box<dyn InferenceOp> {
    expand(Wired { name: name.into(), n_outputs, constants: constants.to_vec(), is_alike: false, wire: Arc::new(wire) })
}

/// Returns an operator whose output has the type and the shape of its only input.
pub(super) fn alike(
    name: impl Into<StaticName>,
    wire: impl Fn(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>> + Send + Sync + 'static,
) -> Box<dyn InferenceOp> {
    expand(Wired { name: name.into(), n_outputs: 1, constants: vec![], is_alike: true, wire: Arc::new(wire) })
}

/// Returns what tract wires for a node, to be wired as a part of something else.
pub(super) fn of_tract(context: &ParsingContext, node: &NodeProto) -> TractResult<Box<dyn Expansion>> {
    let missing = || format!("there is no `{}`", node.op_type);
    let parse = tract_onnx::onnx().op_register.0.get(&node.op_type).copied().with_context(missing)?;
    let (op, _) = parse(context, node)?;
    expansion(&*op).with_context(missing)
}

/// Returns what an operator is wired by, if it is made of others.
pub(super) fn expansion(op: &dyn InferenceOp) -> Option<Box<dyn Expansion>> {
    let op: &dyn Op = op;
    op.downcast_ref::<Box<dyn Expansion>>().cloned()
}

/// Wires operators one after the other.
pub(super) struct Chain<'a> {
    prefix: &'a str,
    model: &'a mut TypedModel,
    n: usize,
}

impl<'a> Chain<'a> {
    pub(super) fn new(prefix: &'a str, model: &'a mut TypedModel) -> Self {
        Self { prefix, model, n: 0 }
    }

    pub(super) fn add(&mut self, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> TractResult<OutletId> {
        self.n += 1;
        Ok(wire_with_rank_broadcast(format!("{}.{}", self.prefix, self.n), self.model, op, inputs)?[0])
    }

    /// Adds an operator whose inputs are of several ranks.
    pub(super) fn add_unlike(&mut self, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> TractResult<OutletId> {
        self.n += 1;
        Ok(self.model.wire_node(format!("{}.{}", self.prefix, self.n), op, inputs)?[0])
    }

    /// Adds a number in the type of `like`.
    pub(super) fn number(&mut self, value: f32, like: OutletId) -> TractResult<OutletId> {
        self.n += 1;
        let dtype = self.model.outlet_fact(like)?.datum_type;
        let value: Tensor = tensor0(value).cast_to_dt(dtype)?.into_owned();
        self.model.add_const(format!("{}.{}", self.prefix, self.n), value)
    }
}

impl Wired {
    fn is_constant(&self, idx: usize, n_inputs: usize) -> bool {
        let from_end = idx as isize - n_inputs as isize;
        self.constants.iter().any(|&it| it == idx as isize || it == from_end)
    }
}

impl Expansion for Wired {
    fn name(&self) -> StaticName {
        self.name.clone()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.n_outputs)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        if self.is_alike {
            check_input_arity(inputs, 1)?;
            check_output_arity(outputs, 1)?;
            s.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
            return s.equals(&outputs[0].shape, &inputs[0].shape);
        }
        let n_inputs = inputs.len();
        s.given_all(inputs.iter().map(|it| &it.datum_type), move |s, types: Vec<DatumType>| {
            let types = types.clone();
            s.given_all(inputs.iter().map(|it| &it.shape), move |s, shapes: Vec<TVec<TDim>>| {
                let (types, shapes) = (types.clone(), shapes.clone());
                let constants = inputs.iter().enumerate().filter(|(idx, _)| self.is_constant(*idx, n_inputs));
                let constants: Vec<_> = constants.map(|(_, it)| &it.value).collect();
                s.given_all(constants, move |s, values| {
                    let mut values = values.into_iter();
                    let mut scratch = TypedModel::default();
                    let mut wires = TVec::new();
                    for (idx, (dtype, shape)) in types.iter().zip(&shapes).enumerate() {
                        let name = format!("input-{idx}");
                        let value = if self.is_constant(idx, n_inputs) { values.next() } else { None };
                        wires.push(match value {
                            Some(it) => scratch.add_const(name, it)?,
                            None => scratch.add_source(name, TypedFact::dt_shape(*dtype, &**shape))?,
                        });
                    }
                    let results = (self.wire)("it", &mut scratch, &wires)?;
                    for (output, result) in outputs.iter().zip(results) {
                        let fact = scratch.outlet_fact(result)?;
                        s.equals(&output.datum_type, fact.datum_type)?;
                        s.equals(&output.shape, fact.shape.to_tvec())?;
                    }
                    Ok(())
                })
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        (self.wire)(prefix, model, inputs)
    }
}
