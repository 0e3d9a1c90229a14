//! The values of a SavedModel's variables.
//!
//! Which variable was saved under which name is what the model's own restore operation says, as in TensorFlow Serving:
//! it reads a list of names from the checkpoint and assigns each to a variable.
//! The object graph that is saved beside them will not do, because its names are not unique:
//! Keras writes a variable and a copy of it under one name, and the graph computes with the copy.

use std::{collections::HashMap, path::Path};

use modelwatch_tensors::{DType, TensorFile};
use tract_tensorflow::tfpb::tensorflow::{
    DataType, NodeDef, TensorProto, TensorShapeProto,
    attr_value::{self, Value},
    tensor_shape_proto::Dim,
};

use super::{
    functions::{Refusal, Variables, data_inputs, function_name},
    proto::MetaGraph,
};

/// Variables made without a name all have this one.
const ANONYMOUS: &str = "cd2c89b7-88b7-44c8-ad83-06c2a9158347";

/// The checkpoint of a SavedModel.
pub(super) struct Checkpoint<'a> {
    file: Result<TensorFile, String>,
    keys: HashMap<&'a str, &'a str>,
}

impl<'a> Checkpoint<'a> {
    /// Opens the checkpoint of the model in `folder`; what is wrong with it is told when a variable is needed.
    pub(super) fn open(folder: &Path, graph: &'a MetaGraph) -> Self {
        let index = Path::new("variables").join("variables.index");
        let file = if folder.join(&index).is_file() {
            TensorFile::open(folder).map_err(|it| it.to_string())
        } else {
            Err(format!("there is no `{}`; copy the whole folder", index.display()))
        };
        Self { file, keys: checkpoint_keys(graph) }
    }
}

impl Variables for Checkpoint<'_> {
    fn value(&self, handle: &NodeDef) -> Result<TensorProto, Refusal> {
        let name = variable_name(handle);
        let refuse = |why: String| Refusal::Weights(format!("variable `{name}`: {why}"));
        let file = self.file.as_ref().map_err(|it| Refusal::Weights(it.clone()))?;
        // Without a restore operation that says more, variables are saved under their own names.
        let key = self.keys.get(name).copied().unwrap_or(name);
        let tensor = match file.get(key) {
            Some(it) => it.map_err(|it| refuse(it.to_string()))?,
            None => {
                let skipped = file.skipped().iter().find(|it| it.name == key);
                let why = skipped.map_or_else(|| "is not in the checkpoint".to_owned(), |it| it.reason.clone());
                return Err(refuse(format!("`{key}` {why}")));
            }
        };
        let dtype = data_type(tensor.info.dtype);
        let size = |&it: &u64| i64::try_from(it).map_err(|_| refuse(format!("has a dimension of {it}")));
        let saved = tensor.info.shape.iter().map(size).collect::<Result<Vec<_>, _>>()?;
        if let Some(Value::Type(declared)) = attribute(handle, "dtype")
            && *declared != i32::from(dtype)
        {
            let declared = DataType::try_from(*declared).map_or_else(|_| declared.to_string(), |it| format!("{it:?}"));
            return Err(refuse(format!("is declared as {declared} and saved as {dtype:?}")));
        }
        if let Some(Value::Shape(declared)) = attribute(handle, "shape")
            && !declared.unknown_rank
        {
            let declared: Vec<_> = declared.dim.iter().map(|it| it.size).collect();
            let agrees = |(declared, saved): (&i64, &i64)| *declared < 0 || declared == saved;
            if declared.len() != saved.len() || !declared.iter().zip(&saved).all(agrees) {
                return Err(refuse(format!("is declared with shape {declared:?} and saved with {saved:?}")));
            }
        }
        let dim = saved.into_iter().map(|size| Dim { size, name: String::new() }).collect();
        let tensor_content = tensor.bytes.into_owned();
        file.check().map_err(|it| refuse(it.to_string()))?;
        Ok(TensorProto {
            dtype: dtype.into(),
            tensor_shape: Some(TensorShapeProto { dim, unknown_rank: false }),
            tensor_content,
            ..Default::default()
        })
    }
}

/// Returns the name that all handles of one variable share.
pub(super) fn variable_name(handle: &NodeDef) -> &str {
    match attribute(handle, "shared_name") {
        Some(Value::S(it)) if !it.is_empty() && it != ANONYMOUS.as_bytes() => {
            std::str::from_utf8(it).unwrap_or(&handle.name)
        }
        _ => &handle.name,
    }
}

fn attribute<'a>(node: &'a NodeDef, name: &str) -> Option<&'a attr_value::Value> {
    node.attr.get(name)?.value.as_ref()
}

fn data_type(dtype: DType) -> DataType {
    match dtype {
        DType::F16 => DataType::DtHalf,
        DType::Bf16 => DataType::DtBfloat16,
        DType::F32 => DataType::DtFloat,
        DType::F64 => DataType::DtDouble,
        DType::I8 => DataType::DtInt8,
        DType::I16 => DataType::DtInt16,
        DType::I32 => DataType::DtInt32,
        DType::I64 => DataType::DtInt64,
        DType::U8 => DataType::DtUint8,
        DType::U16 => DataType::DtUint16,
        DType::U32 => DataType::DtUint32,
        DType::U64 => DataType::DtUint64,
        DType::Bool => DataType::DtBool,
        _ => DataType::DtInvalid,
    }
}

/// Returns under which name each variable was saved.
///
/// TensorFlow 2 restores in a function that takes the variables; TensorFlow 1 does so in the graph itself.
fn checkpoint_keys(graph: &MetaGraph) -> HashMap<&str, &str> {
    let Some(main) = &graph.graph else {
        return HashMap::new();
    };
    let nodes = index(&main.node);
    let restore = graph.saver.as_ref().and_then(|it| nodes.get(node_of(&it.restore_op)).copied());
    let function = restore.and_then(|it| function_name(it, "f").ok());
    let Some((call, function)) = restore.zip(function) else {
        return assignments(&main.node, |reference| nodes.get(node_of(reference)).copied());
    };
    let functions = main.library.iter().flat_map(|it| &it.function);
    let mut found = functions.filter_map(|it| Some((it.signature.as_ref()?, it)));
    let Some((signature, function)) = found.find(|(signature, _)| signature.name == *function) else {
        return HashMap::new();
    };
    let arguments = signature.input_arg.iter().map(|it| it.name.as_str()).zip(data_inputs(call));
    let arguments: HashMap<&str, &str> = arguments.collect();
    assignments(&function.node_def, |reference| nodes.get(node_of(arguments.get(reference)?)).copied())
}

/// Follows each assignment in `nodes` to the name of what is assigned.
fn assignments<'a>(nodes: &'a [NodeDef], handle: impl Fn(&'a str) -> Option<&'a NodeDef>) -> HashMap<&'a str, &'a str> {
    /// Identities between a saved value and its variable.
    const MAX_STEPS: usize = 8;
    let by_name = index(nodes);
    let key = |reference: &'a str| {
        let mut reference = reference;
        for _ in 0..MAX_STEPS {
            let node = by_name.get(node_of(reference))?;
            match &*node.op {
                "Identity" => reference = data_inputs(node).next()?,
                "RestoreV2" => {
                    let idx = reference.rsplit_once(':').and_then(|(_, it)| it.parse().ok()).unwrap_or(0);
                    let mut lists = data_inputs(node).skip(1);
                    let names = strings(by_name.get(node_of(lists.next()?))?)?;
                    let slices = strings(by_name.get(node_of(lists.next()?))?)?;
                    // A slice is one part of a variable that was cut into several.
                    let is_whole = slices.get(idx).or(slices.last()).is_none_or(Vec::is_empty);
                    return std::str::from_utf8(names.get(idx)?).ok().filter(|_| is_whole);
                }
                _ => return None,
            }
        }
        None
    };
    let assigned = nodes.iter().filter(|it| matches!(&*it.op, "AssignVariableOp" | "Assign"));
    let pair = |node: &'a NodeDef| {
        let mut inputs = data_inputs(node);
        let handle = handle(inputs.next()?)?;
        Some((variable_name(handle), key(inputs.next()?)?))
    };
    assigned.filter_map(pair).collect()
}

fn index(nodes: &[NodeDef]) -> HashMap<&str, &NodeDef> {
    nodes.iter().map(|it| (it.name.as_str(), it)).collect()
}

fn strings(node: &NodeDef) -> Option<&Vec<Vec<u8>>> {
    match attribute(node, "value") {
        Some(Value::Tensor(it)) if node.op == "Const" => Some(&it.string_val),
        _ => None,
    }
}

fn node_of(reference: &str) -> &str {
    reference.split(':').next().unwrap_or_default()
}
