//! Cuts an ONNX file down to the nodes that one of its tensors needs.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use modelwatch_tensors::{map_external_data, whole};
use prost::Message;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_proto::{DataLocation, DataType},
    tensor_shape_proto::{Dimension, dimension::Value as Dim},
    type_proto::{Tensor as TensorType, Value as TypeValue},
};

use super::onnx;
use crate::{
    error::InferError,
    spec::{ElementType, TensorSpec},
};

/// The first version of the format in which an initializer need not be an input, too.
const FREE_INITIALIZERS: i64 = 4;

/// An ONNX file, to be cut.
pub(crate) struct OnnxFile {
    path: PathBuf,
    proto: ModelProto,
    graph: GraphProto,
    /// By tensor: the node that gives it.
    producers: HashMap<String, usize>,
}

/// Some nodes of a file, from the tensors that they are given to the one that they make.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// In the order of the file.
    nodes: BTreeSet<usize>,
    initializers: BTreeSet<String>,
    /// The tensors that it is given, sorted by name.
    pub(crate) inputs: BTreeSet<String>,
    output: String,
}

impl Cut {
    /// Returns how many nodes of the file are in it.
    pub(crate) fn n_nodes(&self) -> usize {
        self.nodes.len()
    }
}

impl OnnxFile {
    /// Reads the file anew: what a model keeps of it is in another form.
    pub(crate) fn open(path: &Path) -> Result<Self, InferError> {
        let (_, mut proto, _) = onnx::open(path)?;
        // That there is a graph was looked at.
        let graph = proto.graph.take().unwrap_or_default();
        let outputs = |(at, node): (usize, &NodeProto)| node.output.iter().map(move |it| (it.clone(), at)).collect();
        let producers: Vec<Vec<(String, usize)>> = graph.node.iter().enumerate().map(outputs).collect();
        let producers = producers.into_iter().flatten().filter(|it| !it.0.is_empty()).collect();
        Ok(Self { path: path.to_path_buf(), proto, graph, producers })
    }

    /// Returns the tensors that nodes give, each after those that it is made of.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &str> {
        self.graph.node.iter().flat_map(|it| &it.output).map(String::as_str).filter(|it| !it.is_empty())
    }

    /// Returns what gives a tensor, back to the inputs of the model and to the tensors at which `is_given` says to end.
    pub(crate) fn cut(&self, output: &str, is_given: impl Fn(&str) -> bool) -> Result<Cut, InferError> {
        let mut res = Cut {
            nodes: BTreeSet::new(),
            initializers: BTreeSet::new(),
            inputs: BTreeSet::new(),
            output: output.to_owned(),
        };
        let initializers: BTreeSet<&str> = self.graph.initializer.iter().map(|it| it.name.as_str()).collect();
        let inputs: BTreeSet<&str> = self.graph.input.iter().map(|it| it.name.as_str()).collect();
        let mut left = vec![output];
        while let Some(name) = left.pop() {
            if initializers.contains(name) {
                res.initializers.insert(name.to_owned());
            } else if inputs.contains(name) || (name != output && is_given(name)) {
                res.inputs.insert(name.to_owned());
            } else if let Some(&at) = self.producers.get(name) {
                if res.nodes.insert(at) {
                    let node = &self.graph.node[at];
                    left.extend(node.input.iter().map(String::as_str).filter(|it| !it.is_empty()));
                    // What a nested graph mentions may be its own.
                    let is_known = |it: &&str| {
                        self.producers.contains_key(*it) || initializers.contains(it) || inputs.contains(it)
                    };
                    left.extend(nested(node).into_iter().filter(is_known));
                }
            } else {
                return Err(self.failed(format!("nothing in the file gives tensor `{name}`")));
            }
        }
        Ok(res)
    }

    /// Returns the nodes of a cut as a model.
    ///
    /// `specs` say what is known of the tensors that the file does not declare as inputs, the output among them. Data of constants
    /// that is beside the file comes into the model.
    pub(crate) fn write(&self, cut: &Cut, specs: &[TensorSpec]) -> Result<Vec<u8>, InferError> {
        let graph = &self.graph;
        let node: Vec<NodeProto> = cut.nodes.iter().map(|&it| graph.node[it].clone()).collect();
        let kept = graph.initializer.iter().filter(|it| cut.initializers.contains(&it.name));
        let initializer = kept.map(|it| self.with_data(it)).collect::<Result<Vec<_>, _>>()?;
        let declared = |name: &str| graph.input.iter().find(|it| it.name == name).cloned();
        let value = |name: &str| {
            let made = || specs.iter().find(|it| it.name == name).map(value_info);
            made().or_else(|| declared(name)).ok_or_else(|| self.failed(format!("the type of `{name}` is not known")))
        };
        let mut input = cut.inputs.iter().map(|it| value(it)).collect::<Result<Vec<_>, _>>()?;
        if self.proto.ir_version < FREE_INITIALIZERS {
            input.extend(cut.initializers.iter().filter_map(|it| declared(it)));
        }
        let is_inside = |it: &&ValueInfoProto| {
            it.name != cut.output && self.producers.get(&it.name).is_some_and(|at| cut.nodes.contains(at))
        };
        let res = ModelProto {
            ir_version: self.proto.ir_version,
            opset_import: self.proto.opset_import.clone(),
            producer_name: "modelwatch".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            doc_string: format!("What makes the tensor `{}` of a model.", cut.output),
            functions: self.proto.functions.clone(),
            graph: Some(GraphProto {
                name: "excerpt".to_owned(),
                node,
                initializer,
                input,
                output: vec![value(&cut.output)?],
                value_info: graph.value_info.iter().filter(is_inside).cloned().collect(),
                ..GraphProto::default()
            }),
            ..ModelProto::default()
        };
        Ok(res.encode_to_vec())
    }

    /// Returns a constant with its data inside.
    fn with_data(&self, tensor: &TensorProto) -> Result<TensorProto, InferError> {
        if tensor.data_location != Some(DataLocation::External as i32) {
            return Ok(tensor.clone());
        }
        let field = |key: &str| tensor.external_data.iter().find(|it| it.key == key).map(|it| &*it.value);
        let number = |key: &str| field(key).and_then(|it| it.parse::<usize>().ok());
        let place = format!("initializer `{}`", tensor.name);
        let file = map_external_data(&self.path, &place, field("location").unwrap_or_default());
        let file = file.map_err(|e| self.failed(e.to_string()))?;
        let start = number("offset").unwrap_or(0);
        let end = number("length").map_or(Some(file.len()), |it| start.checked_add(it));
        let bytes = end.and_then(|end| file.get(start..end));
        let bytes = bytes.ok_or_else(|| self.failed(format!("the data of {place} was changed meanwhile")))?;
        let (raw_data, external_data) = (bytes.to_vec(), Vec::new());
        whole(&file).map_err(|e| self.failed(e.to_string()))?;
        // Not a clone of all of it, which may be large.
        let TensorProto { dims, data_type, name, .. } = tensor;
        let (dims, data_type, name) = (dims.clone(), *data_type, name.clone());
        Ok(TensorProto { dims, data_type, name, raw_data, external_data, ..TensorProto::default() })
    }

    fn failed(&self, reason: String) -> InferError {
        InferError::Excerpt { path: self.path.clone(), reason }
    }
}

/// Returns the names that the graphs in a node's attributes mention.
fn nested(node: &NodeProto) -> Vec<&str> {
    let mut res = Vec::new();
    // A stack, because files can nest deeper than threads can recurse.
    let mut left: Vec<&GraphProto> = node.attribute.iter().flat_map(|it| it.g.iter().chain(&it.graphs)).collect();
    while let Some(graph) = left.pop() {
        res.extend(graph.output.iter().map(|it| it.name.as_str()));
        for node in &graph.node {
            res.extend(node.input.iter().map(String::as_str));
            left.extend(node.attribute.iter().flat_map(|it| it.g.iter().chain(&it.graphs)));
        }
    }
    res
}

fn value_info(spec: &TensorSpec) -> ValueInfoProto {
    let dim = |it: &Option<usize>| {
        let value = match it {
            Some(it) => Dim::DimValue(i64::try_from(*it).unwrap_or(i64::MAX)),
            None => Dim::DimParam("rows".to_owned()),
        };
        Dimension { value: Some(value), ..Dimension::default() }
    };
    let shape = Some(TensorShapeProto { dim: spec.shape.iter().map(dim).collect() });
    let tensor = TensorType { elem_type: data_type(spec.dtype) as i32, shape };
    let r#type = Some(TypeProto { value: Some(TypeValue::TensorType(tensor)), ..TypeProto::default() });
    ValueInfoProto { name: spec.name.clone(), r#type, ..ValueInfoProto::default() }
}

fn data_type(dtype: ElementType) -> DataType {
    match dtype {
        ElementType::Bool => DataType::Bool,
        ElementType::I8 => DataType::Int8,
        ElementType::I16 => DataType::Int16,
        ElementType::I32 => DataType::Int32,
        ElementType::I64 => DataType::Int64,
        ElementType::U8 => DataType::Uint8,
        ElementType::U16 => DataType::Uint16,
        ElementType::U32 => DataType::Uint32,
        ElementType::U64 => DataType::Uint64,
        ElementType::F16 => DataType::Float16,
        ElementType::F32 => DataType::Float,
        ElementType::F64 => DataType::Double,
        ElementType::Utf8 => DataType::String,
    }
}
