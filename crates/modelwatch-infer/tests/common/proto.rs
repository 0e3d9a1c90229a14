//! ONNX models from their parts.
#![allow(clippy::unwrap_used, dead_code)]

use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
    tensor_shape_proto::{Dimension, dimension::Value as Dim},
    type_proto::{Tensor, Value},
};

pub(crate) fn node(op: &str, domain: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: op.to_string(),
        domain: domain.to_string(),
        name: format!("the_{output}"),
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.to_string()],
        attribute,
        ..Default::default()
    }
}

pub(crate) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { name: name.to_string(), r#type: 3, s: value.as_bytes().to_vec(), ..Default::default() }
}

pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_string(), r#type: 2, i: value, ..Default::default() }
}

pub(crate) fn ints(name: &str, value: &[i64]) -> AttributeProto {
    AttributeProto { name: name.to_string(), r#type: 7, ints: value.to_vec(), ..Default::default() }
}

pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.to_string(), r#type: 1, f: value, ..Default::default() }
}

pub(crate) fn floats(name: &str, value: &[f32]) -> AttributeProto {
    AttributeProto { name: name.to_string(), r#type: 6, floats: value.to_vec(), ..Default::default() }
}

pub(crate) fn strings(name: &str, value: &[&str]) -> AttributeProto {
    let strings = value.iter().map(|it| it.as_bytes().to_vec()).collect();
    AttributeProto { name: name.to_string(), r#type: 8, strings, ..Default::default() }
}

pub(crate) fn graph_attribute(name: &str, value: GraphProto) -> AttributeProto {
    AttributeProto { name: name.to_string(), r#type: 5, g: Some(value), ..Default::default() }
}

pub(crate) fn tensor_attribute(name: &str, value: TensorProto) -> AttributeProto {
    AttributeProto { name: name.to_string(), r#type: 4, t: Some(value), ..Default::default() }
}

/// Returns integers as an initializer.
pub(crate) fn numbers_tensor(name: &str, values: &[i64]) -> TensorProto {
    let (dims, int64_data) = (vec![values.len() as i64], values.to_vec());
    TensorProto { name: name.to_string(), data_type: 7, dims, int64_data, ..Default::default() }
}

/// Returns single-precision numbers as an initializer.
pub(crate) fn float_tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw_data = values.iter().flat_map(|it| it.to_le_bytes()).collect();
    TensorProto { name: name.to_string(), data_type: 1, dims: dims.to_vec(), raw_data, ..Default::default() }
}

/// Returns an input or output of single precision with these dimensions (-1 is the batch).
pub(crate) fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&it: &i64| Dimension {
        value: Some(if it < 0 { Dim::DimParam("batch".to_string()) } else { Dim::DimValue(it) }),
        ..Default::default()
    };
    let tensor = Tensor { elem_type: 1, shape: Some(TensorShapeProto { dim: dims.iter().map(dim).collect() }) };
    let r#type = Some(TypeProto { value: Some(Value::TensorType(tensor)), ..Default::default() });
    ValueInfoProto { name: name.to_string(), r#type, ..Default::default() }
}

/// A graph that makes `y` of `x`, whose dimensions are these (-1 is the batch).
pub(crate) fn graph(dims: &[i64], nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> GraphProto {
    GraphProto {
        node: nodes,
        initializer: constants,
        input: vec![value("x", dims)],
        output: vec![value("y", &[])],
        ..Default::default()
    }
}

/// Returns a model of a graph, with operators of this version.
pub(crate) fn model(version: i64, graph: GraphProto) -> ModelProto {
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.to_string(), version };
    let opset_import = vec![opset("", version), opset("ai.onnx.ml", 1)];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }
}
