//! Runs one node in tract, with shapes and parameters that are known by the time it runs.
//!
//! tract wants the shapes of what it compiles, and many operands (axes, pads, shapes, scales) as constants.
//! Between two nodes of an interpreted graph all of it is known, so a plan is made for what is there and kept for the next batch.

use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::{
    model::ParseResult,
    pb::{
        GraphProto, ModelProto, NodeProto, TensorShapeProto, TypeProto, ValueInfoProto,
        tensor_shape_proto::{Dimension, dimension::Value as DimValue},
        type_proto::{Tensor as TensorType, Value as TypeValue},
    },
    prelude::{DatumType, InferenceModel, InferenceModelExt, IntoArcTensor, IntoTValue, TVec, Tensor, TractResult},
    tract_hir::{
        infer::InferenceFact,
        internal::{ensure, format_err},
        ops::konst::Const,
    },
};

use super::{
    graph::Context,
    value::{Value, data_type_of, without_symbols},
};
use crate::tract::stages::{StageStates, Stages};

/// The most plans of one node; more shapes than this are prepared again and again.
const MAX_PLANS: usize = 8;

/// A node with the plans made for it so far.
pub(super) struct TractNode {
    /// Operands that tract needs as constants.
    parameters: &'static [usize],
    plans: Mutex<Vec<Arc<NodePlan>>>,
}

struct NodePlan {
    operands: Vec<Operand>,
    stages: Stages,
}

/// What a plan was made for.
#[derive(Clone)]
enum Operand {
    Absent,
    Of(DatumType, Vec<usize>),
    Is(Arc<Tensor>),
}

impl Operand {
    fn fits(&self, input: Option<&Arc<Tensor>>) -> bool {
        match (self, input) {
            (Self::Absent, None) => true,
            (Self::Of(datum_type, shape), Some(it)) => *datum_type == it.datum_type() && shape == it.shape(),
            (Self::Is(tensor), Some(it)) => Arc::ptr_eq(tensor, it) || tensor == it,
            _ => false,
        }
    }
}

impl TractNode {
    pub(super) fn new(proto: &NodeProto) -> Self {
        Self { parameters: parameters(&proto.op_type), plans: Mutex::default() }
    }

    /// Returns one value per output, in order; those without a name are absent.
    pub(super) fn run(
        &self,
        context: &Context,
        proto: &NodeProto,
        inputs: &[Option<Value>],
        are_constant: &[bool],
    ) -> TractResult<Vec<Value>> {
        let tensors = inputs.iter().map(|it| it.as_ref().map(|it| it.tensor().cloned()).transpose());
        let tensors: Vec<Option<Arc<Tensor>>> = tensors.collect::<TractResult<_>>()?;
        let plan = self.plan(context, proto, &tensors, are_constant)?;
        let varying = tensors.into_iter().zip(&plan.operands).filter(|(_, it)| matches!(it, Operand::Of(..)));
        let varying: TVec<_> = varying.filter_map(|(it, _)| it.map(|it| it.into_tvalue())).collect();
        // The first run holds the optimized form against the one as written.
        let mut outputs = plan.stages.run_with(&mut StageStates::default(), varying)?.into_iter();
        let output = |name: &String| {
            if name.is_empty() {
                return Ok(Value::Absent);
            }
            let tensor = outputs.next().ok_or_else(|| format_err!("output `{name}` is missing"))?;
            Ok(Value::Tensor(without_symbols(tensor.into_arc_tensor())?))
        };
        proto.output.iter().map(output).collect()
    }

    fn plan(
        &self,
        context: &Context,
        proto: &NodeProto,
        inputs: &[Option<Arc<Tensor>>],
        are_constant: &[bool],
    ) -> TractResult<Arc<NodePlan>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |it: &&Arc<NodePlan>| it.operands.iter().zip(inputs).all(|(it, input)| it.fits(input.as_ref()));
        if let Some(plan) = plans.iter().find(fits) {
            return Ok(plan.clone());
        }
        let is_parameter = |idx: usize| are_constant[idx] || self.parameters.contains(&idx);
        // What tract needs as a constant beyond the usual is found by trying.
        let plan = self
            .make(context, proto, inputs, is_parameter)
            .or_else(|error| self.make(context, proto, inputs, |idx| idx > 0).map_err(|_| error))
            .or_else(|error| self.make(context, proto, inputs, |_| true).map_err(|_| error))?;
        let plan = Arc::new(plan);
        if plans.len() >= MAX_PLANS {
            plans.remove(0);
        }
        plans.push(plan.clone());
        Ok(plan)
    }

    fn make(
        &self,
        context: &Context,
        proto: &NodeProto,
        inputs: &[Option<Arc<Tensor>>],
        is_parameter: impl Fn(usize) -> bool,
    ) -> TractResult<NodePlan> {
        let operand = |(idx, input): (usize, &Option<Arc<Tensor>>)| match input {
            None => Operand::Absent,
            Some(it) if is_parameter(idx) => Operand::Is(it.clone()),
            Some(it) => Operand::Of(it.datum_type(), it.shape().to_vec()),
        };
        let operands: Vec<Operand> = inputs.iter().enumerate().map(operand).collect();
        let ParseResult { mut model, unresolved_inputs, .. } =
            context.onnx.parse(&single(context, proto, inputs)?, context.folder.as_deref())?;
        ensure!(unresolved_inputs.is_empty(), "nothing computes {unresolved_inputs:?}");
        let given = operands.iter().filter(|it| !matches!(it, Operand::Absent));
        let constants = given.map(|it| if let Operand::Is(tensor) = it { Some(tensor.clone()) } else { None });
        make_constant(&mut model, constants.collect())?;
        let stages = Stages::new(model.into_typed()?)?;
        Ok(NodePlan { operands, stages })
    }
}

/// Replaces the inputs of `model` for which there is a tensor by that tensor.
pub(in crate::tract) fn make_constant(
    model: &mut InferenceModel,
    constants: Vec<Option<Arc<Tensor>>>,
) -> TractResult<()> {
    let inputs = std::mem::take(&mut model.inputs);
    ensure!(inputs.len() == constants.len(), "{} inputs are given, {} needed", constants.len(), inputs.len());
    for (outlet, constant) in inputs.into_iter().zip(constants) {
        match constant {
            Some(tensor) => {
                model.set_outlet_fact(outlet, InferenceFact::try_from(&tensor)?)?;
                model.nodes[outlet.node].op = Box::new(Const::new(tensor)?);
            }
            None => model.inputs.push(outlet),
        }
    }
    for idx in 0..model.outputs.len() {
        model.set_output_fact(idx, InferenceFact::default())?;
    }
    Ok(())
}

/// Returns a model of one node.
fn single(context: &Context, proto: &NodeProto, inputs: &[Option<Arc<Tensor>>]) -> TractResult<ModelProto> {
    let mut node = proto.clone();
    let mut infos = Vec::new();
    for (idx, (name, input)) in node.input.iter_mut().zip(inputs).enumerate() {
        if let Some(tensor) = input {
            // One name per operand, so that `Add(x, x)` has two.
            *name = format!("input {idx}");
            infos.push(info(name, tensor)?);
        }
    }
    let outputs = node.output.iter().filter(|it| !it.is_empty());
    let output = outputs.map(|it| ValueInfoProto { name: it.clone(), ..Default::default() }).collect();
    let graph = GraphProto { node: vec![node], input: infos, output, ..Default::default() };
    Ok(ModelProto {
        ir_version: 8,
        opset_import: context.opset_import.clone(),
        graph: Some(graph),
        ..Default::default()
    })
}

fn info(name: &str, tensor: &Tensor) -> TractResult<ValueInfoProto> {
    let dim = |&it: &usize| Ok(Dimension { value: Some(DimValue::DimValue(i64::try_from(it)?)), ..Default::default() });
    let dim = tensor.shape().iter().map(dim).collect::<TractResult<_>>()?;
    let elem_type =
        data_type_of(tensor.datum_type()).ok_or_else(|| format_err!("ONNX has no type {:?}", tensor.datum_type()))?;
    let tensor_type = TensorType { elem_type, shape: Some(TensorShapeProto { dim }) };
    let r#type = TypeProto { value: Some(TypeValue::TensorType(tensor_type)), ..Default::default() };
    Ok(ValueInfoProto { name: name.to_string(), r#type: Some(r#type), ..Default::default() })
}

fn parameters(op_type: &str) -> &'static [usize] {
    match op_type {
        "ConstantOfShape" => &[0],
        "BatchNormalization" => &[1, 2, 3, 4],
        "Clip"
        | "Conv"
        | "ConvTranspose"
        | "DFT"
        | "DequantizeLinear"
        | "InstanceNormalization"
        | "OneHot"
        | "QuantizeLinear" => &[1, 2],
        "ConvInteger" | "GRU" | "LSTM" | "Pad" | "RNN" | "Resize" | "Upsample" => &[1, 2, 3],
        "CumSum" | "Expand" | "Reshape" | "Split" | "Squeeze" | "Tile" | "TopK" | "Trilu" | "Unsqueeze" => &[1],
        "MatMulInteger" => &[2, 3],
        "NonMaxSuppression" => &[2, 3, 4],
        "QLinearConv" => &[1, 2, 3, 4, 5, 6, 7, 8],
        "QLinearMatMul" => &[1, 2, 4, 5, 6, 7],
        "Range" => &[0, 1, 2],
        "Slice" => &[1, 2, 3, 4],
        it if it.starts_with("Reduce") => &[1],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::{
        pb::OperatorSetIdProto,
        prelude::{tensor1, tvec},
    };

    use super::*;
    use crate::tract::ops;

    #[test]
    fn the_first_run_of_a_node_holds_its_forms_against_each_other() {
        let opset_import = vec![OperatorSetIdProto { version: 13, ..Default::default() }];
        let context = Context { onnx: Arc::new(ops::onnx()), version: 13, opset_import, folder: None };
        let [input, output] = ["x", "y"].map(|it| vec![it.to_owned()]);
        let proto = NodeProto { op_type: "Relu".to_owned(), input, output, ..Default::default() };
        let node = TractNode::new(&proto);
        let run = |x: [f32; 2]| node.run(&context, &proto, &[Some(Value::from(tensor1(&x)))], &[false]).unwrap();
        // Numbers that are not finite settle nothing.
        let extreme = [f32::INFINITY, -1.0];
        let is_settled = || {
            let plan = node.plans.lock().unwrap()[0].clone();
            plan.stages.settle(&tvec!(tensor1(&extreme).into_tvalue()))
        };
        run(extreme);
        assert!(!is_settled());
        assert_eq!(**run([1.0, -1.0])[0].tensor().unwrap(), tensor1(&[1.0_f32, 0.0]));
        assert!(is_settled());
    }
}
