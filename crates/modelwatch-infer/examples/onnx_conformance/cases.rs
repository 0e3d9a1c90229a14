//! Backend test cases as ONNX stores them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use modelwatch_infer::ExactValue;
use prost::Message;

/// A model with its data.
pub(crate) struct Case {
    pub(crate) model: PathBuf,
    /// The operator of a model with one node, else nothing.
    pub(crate) operator: String,
    pub(crate) data: Vec<DataSet>,
}

pub(crate) struct DataSet {
    pub(crate) inputs: Vec<ExactValue>,
    pub(crate) outputs: Vec<ExactValue>,
}

/// The parts of `ModelProto` that say what is in the data files.
#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(message, optional, tag = "2")]
    r#type: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, boxed, tag = "4")]
    sequence: Option<Box<Element>>,
    #[prost(message, optional, boxed, tag = "9")]
    optional: Option<Box<Element>>,
}

#[derive(Clone, PartialEq, Message)]
struct Element {
    #[prost(message, optional, boxed, tag = "1")]
    elem_type: Option<Box<Type>>,
}

/// `SequenceProto` of tensors.
#[derive(Clone, PartialEq, Message)]
struct Sequence {
    #[prost(bytes = "vec", repeated, tag = "3")]
    tensors: Vec<Vec<u8>>,
}

/// `OptionalProto`.
#[derive(Clone, PartialEq, Message)]
struct Optional {
    #[prost(bytes = "vec", optional, tag = "3")]
    tensor: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    sequence: Option<Vec<u8>>,
}

impl Case {
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        let model = folder.join("model.onnx");
        let bytes = fs::read(&model).map_err(|it| format!("cannot read the model: {it}"))?;
        let graph = Model::decode(&*bytes).map_err(|it| it.to_string())?.graph.unwrap_or_default();
        let operator = match &*graph.node {
            [node] if node.domain.is_empty() => node.op_type.clone(),
            [node] => format!("{}.{}", node.domain, node.op_type),
            _ => String::new(),
        };
        let mut data = Vec::new();
        for idx in 0.. {
            let set = folder.join(format!("test_data_set_{idx}"));
            if !set.is_dir() {
                break;
            }
            data.push(DataSet {
                inputs: read(&set, "input", &graph.input)?,
                outputs: read(&set, "output", &graph.output)?,
            });
        }
        if data.is_empty() { Err("there is no data".to_string()) } else { Ok(Self { model, operator, data }) }
    }
}

fn read(folder: &Path, what: &str, infos: &[ValueInfo]) -> Result<Vec<ExactValue>, String> {
    let one = |(idx, info): (usize, &ValueInfo)| {
        let path = folder.join(format!("{what}_{idx}.pb"));
        // Initializers are inputs in old models, without data.
        let bytes = path.exists().then(|| fs::read(&path).map_err(|it| it.to_string()));
        bytes.map(|it| decode(&it?, info.r#type.as_ref()).map_err(|it| format!("cannot read {what} {idx}: {it}")))
    };
    infos.iter().enumerate().filter_map(one).collect()
}

fn decode(bytes: &[u8], r#type: Option<&Type>) -> Result<ExactValue, String> {
    let Some(r#type) = r#type else {
        return ExactValue::decode_tensor(bytes);
    };
    if r#type.sequence.is_some() {
        return sequence(bytes);
    }
    if r#type.optional.is_none() {
        return ExactValue::decode_tensor(bytes);
    }
    let optional = Optional::decode(bytes).map_err(|it| it.to_string())?;
    match (optional.tensor, optional.sequence) {
        (Some(it), _) => ExactValue::decode_tensor(&it),
        (None, Some(it)) => sequence(&it),
        (None, None) => Ok(ExactValue::Absent),
    }
}

fn sequence(bytes: &[u8]) -> Result<ExactValue, String> {
    let sequence = Sequence::decode(bytes).map_err(|it| it.to_string())?;
    sequence.tensors.iter().map(|it| ExactValue::decode_tensor(it)).collect::<Result<_, _>>().map(ExactValue::Sequence)
}
