//! TensorFlow graphs from their parts.
#![allow(clippy::unwrap_used, dead_code)]

use modelwatch_infer::{InferError, Model};
use prost::Message;
use tract_tensorflow::tfpb::{
    self,
    tensorflow::{AttrValue, DataType, GraphDef, NodeDef, TensorProto, TensorShapeProto, tensor_shape_proto::Dim},
};

use super::{Npy, assert_within, batch, numbers, threads};

pub(crate) const FLOAT: DataType = DataType::DtFloat;
pub(crate) const INTEGER: DataType = DataType::DtInt64;
pub(crate) const SHORT: DataType = DataType::DtInt32;
pub(crate) const FLAG: DataType = DataType::DtBool;

pub(crate) fn shape(dims: &[i64]) -> TensorShapeProto {
    TensorShapeProto { dim: dims.iter().map(|&size| Dim { size, name: String::new() }).collect(), unknown_rank: false }
}

pub(crate) fn constant(name: &str, dtype: DataType, tensor: TensorProto) -> NodeDef {
    let value = AttrValue::from(TensorProto { dtype: dtype.into(), ..tensor });
    tfpb::node().name(name).op("Const").attr("dtype", dtype).attr("value", value)
}

pub(crate) fn integers(name: &str, values: &[i32]) -> NodeDef {
    let tensor_shape = Some(shape(&[values.len() as i64]));
    constant(name, SHORT, TensorProto { tensor_shape, int_val: values.to_vec(), ..Default::default() })
}

pub(crate) fn integer(name: &str, value: i32) -> NodeDef {
    constant(name, SHORT, TensorProto { tensor_shape: Some(shape(&[])), int_val: vec![value], ..Default::default() })
}

pub(crate) fn floats(name: &str, dims: &[i64], values: &[f32]) -> NodeDef {
    let tensor_shape = Some(shape(dims));
    constant(name, FLOAT, TensorProto { tensor_shape, float_val: values.to_vec(), ..Default::default() })
}

pub(crate) fn op(name: &str, op: &str, inputs: &[&str]) -> NodeDef {
    inputs.iter().fold(tfpb::node().name(name).op(op), |node, it| node.input(*it))
}

pub(crate) fn cast(name: &str, input: &str, from: DataType, to: DataType) -> NodeDef {
    op(name, "Cast", &[input]).attr("SrcT", from).attr("DstT", to)
}

/// Writes a model from rows `x` of these dimensions to `out`, which is `y`.
pub(crate) fn load(row: &[i64], nodes: Vec<NodeDef>) -> Result<Model, InferError> {
    let x = tfpb::node().name("x").op("Placeholder").attr("dtype", FLOAT).attr("shape", shape(&[&[-1], row].concat()));
    let out = op("out", "Identity", &["y"]).attr("T", FLOAT);
    let node = [vec![x], nodes, vec![out]].concat();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pb");
    std::fs::write(&path, GraphDef { node, ..Default::default() }.encode_to_vec()).unwrap();
    Model::load(&path)
}

pub(crate) fn check(what: &str, row: &[i64], nodes: Vec<NodeDef>, x: &[f64], wanted: &[f64]) {
    let model = load(row, nodes).unwrap_or_else(|it| panic!("{what}: {it}"));
    let width: i64 = row.iter().product();
    let dims: Vec<usize> = row.iter().map(|it| *it as usize).collect();
    let x = Npy { shape: [&[x.len() / width as usize], &*dims].concat(), values: x.to_vec() };
    let answer = model.run(&batch(&[("x", &x)]), threads(1)).unwrap_or_else(|it| panic!("{what}: {it}"));
    assert_within(1e-6, what, &numbers(answer.column(0)), wanted);
    assert_eq!(model.warnings(), [""; 0], "{what}");
}

/// One number of a list, as slices of Python take it.
pub(crate) fn pick(name: &str, list: &str, at: i32) -> Vec<NodeDef> {
    let [begin, end, step] = ["begin", "end", "step"].map(|it| format!("{name}-{it}"));
    let slice = op(name, "StridedSlice", &[list, &begin, &end, &step]);
    let slice = slice.attr("T", SHORT).attr("Index", SHORT).attr("shrink_axis_mask", 1_i64);
    vec![integers(&begin, &[at]), integers(&end, &[at + 1]), integers(&step, &[1]), slice]
}
