//! What an ONNX model says about itself, without its weights.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use prost::{Message, bytes::Bytes};

use super::{
    proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto},
    tensors::dtype,
};
use crate::{
    dtype::DType,
    error::{Site, TensorError},
    format::Format,
    mmap::{map, whole},
    tree::Tree,
};

/// A summary of an ONNX model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnnxModel {
    /// The version of the file format.
    pub ir_version: i64,
    /// The operator sets: version by domain; the empty domain is `ai.onnx`.
    pub opset_imports: BTreeMap<String, i64>,
    /// The tool that wrote the file; may be empty.
    pub producer_name: String,
    /// The version of that tool; may be empty.
    pub producer_version: String,
    /// The inputs that a caller must give: those that no initializer provides.
    pub inputs: Vec<OnnxValue>,
    /// The outputs, in order.
    pub outputs: Vec<OnnxValue>,
    /// How often each operator occurs, in subgraphs and functions too; outside `ai.onnx` as `domain::operator`.
    pub op_counts: BTreeMap<String, u64>,
    /// The first node of each operator, by the same names: its own name, or where it has none, that of its first output.
    pub first_nodes: BTreeMap<String, String>,
}

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnnxValue {
    /// The name.
    pub name: String,
    /// The element type; `None` if it is not a tensor or its type is not one of [`DType`], such as a string.
    pub dtype: Option<DType>,
    /// The dimensions; `None` if the model does not say how many there are.
    pub shape: Option<Vec<Dimension>>,
}

/// One dimension of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// A size.
    Fixed(u64),
    /// A named size; the same name means the same size.
    Named(String),
    /// Any size.
    Unknown,
}

impl OnnxModel {
    /// Reads the summary of the model in a file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read or is not an ONNX model with a graph.
    pub fn open(path: &Path) -> Result<Self, TensorError> {
        let site = Site { path, format: Format::Onnx, tree: Tree::Disk };
        let bytes = map(path)?;
        let model = decode(site, &bytes);
        whole(&bytes)?;
        let model = model?;
        let graph = graph(site, &model)?;
        let mut operators = Operators::default();
        operators.add(&graph.node);
        for function in &model.functions {
            operators.add(&function.node);
        }
        let initialized: HashSet<&str> = graph.initializer.iter().map(|it| it.name.as_str()).collect();
        Ok(Self {
            ir_version: model.ir_version,
            opset_imports: model.opset_import.iter().map(|it| (it.domain.clone(), it.version)).collect(),
            producer_name: model.producer_name.clone(),
            producer_version: model.producer_version.clone(),
            inputs: graph.input.iter().filter(|it| !initialized.contains(it.name.as_str())).map(value).collect(),
            outputs: graph.output.iter().map(value).collect(),
            op_counts: operators.counts,
            first_nodes: operators.first_nodes,
        })
    }
}

pub(super) fn decode(site: Site<'_>, bytes: &Bytes) -> Result<ModelProto, TensorError> {
    ModelProto::decode(bytes.clone()).map_err(|error| site.corrupt("the model", error))
}

pub(super) fn graph<'a>(site: Site<'_>, model: &'a ModelProto) -> Result<&'a GraphProto, TensorError> {
    model.graph.as_ref().ok_or_else(|| site.corrupt("the model", "has no graph"))
}

/// What is known of the nodes of a model by operator.
#[derive(Default)]
struct Operators {
    counts: BTreeMap<String, u64>,
    first_nodes: BTreeMap<String, String>,
}

impl Operators {
    fn add(&mut self, nodes: &[NodeProto]) {
        for node in nodes {
            let op = match node.domain.as_str() {
                "" | "ai.onnx" => node.op_type.clone(),
                domain => format!("{domain}::{}", node.op_type),
            };
            let name = Some(&node.name).filter(|it| !it.is_empty()).or(node.output.first());
            self.first_nodes.entry(op.clone()).or_insert_with(|| name.cloned().unwrap_or_default());
            *self.counts.entry(op).or_default() += 1;
            for attribute in &node.attribute {
                for graph in attribute.g.iter().chain(&attribute.graphs) {
                    self.add(&graph.node);
                }
            }
        }
    }
}

fn value(info: &ValueInfoProto) -> OnnxValue {
    let tensor = info.r#type.as_ref().and_then(|it| it.tensor_type.as_ref());
    let shape = tensor.and_then(|it| it.shape.as_ref()).map(|shape| {
        let dims = shape.dim.iter().map(|dim| match (dim.dim_value, &dim.dim_param) {
            (Some(size), _) => u64::try_from(size).map_or(Dimension::Unknown, Dimension::Fixed),
            (None, Some(name)) if !name.is_empty() => Dimension::Named(name.clone()),
            _ => Dimension::Unknown,
        });
        dims.collect()
    });
    OnnxValue { name: info.name.clone(), dtype: tensor.and_then(|it| dtype(it.elem_type)), shape }
}
