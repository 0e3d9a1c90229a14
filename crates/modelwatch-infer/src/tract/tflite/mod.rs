//! Reads TensorFlow Lite models, with any batch.
//!
//! tract takes the shapes that a file is written with, where a dynamic batch is 1, has few of the operators, and computes some of them
//! wrongly. So the tables of a file are all that is read by it, and operators are wired here for each batch.

mod constants;
mod data;
mod operators;
mod ops;
mod reader;
mod scales;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use tract_onnx::{
    prelude::{DatumType, TractResult, TypedModel},
    tract_hir::internal::{TractErrorContext, TypedNode},
};
use tract_tflite::tflite::{
    BuiltinOperator, Model, Operator, OperatorCode, SignatureDef, SubGraph, Tensor, TensorType,
};

pub(super) use self::operators::table;
use self::{
    operators::fault,
    scales::{Scale, Scaled},
};
use super::{
    convert, guard, signatures,
    source::{Examined, Graph, Source},
};
use crate::{
    error::InferError,
    format::MAX_MODEL_BYTES,
    spec::{ModelFormat, ModelInfo, TensorSpec},
};

/// A file whose structure was verified, and which of its graphs is run.
#[derive(Clone)]
pub(super) struct TfLite {
    bytes: Arc<[u8]>,
    graph: usize,
}

/// Returns how far apart the numbers are to which a node rounds, if it does.
pub(super) fn step(node: &TypedNode) -> Option<f64> {
    node.op_as::<Scaled>()?.step()
}

/// Returns whether a node does with each number what it does with all: between integers and the numbers that they stand for.
pub(super) fn is_elementwise(node: &TypedNode) -> bool {
    node.op_is::<Scaled>()
}

/// Reads a TFLite flat buffer, of which a signature may be wanted.
pub(super) fn examine(path: &Path, wanted: Option<&str>) -> Result<Examined, InferError> {
    let malformed =
        |reason: String| InferError::Malformed { path: path.to_path_buf(), format: ModelFormat::TfLite, reason };
    let open = |source| InferError::Open { path: path.to_path_buf(), source };
    let n_bytes = std::fs::metadata(path).map_err(open)?.len();
    if n_bytes > MAX_MODEL_BYTES {
        return Err(InferError::TooLarge { path: path.to_path_buf(), bytes: n_bytes, limit: MAX_MODEL_BYTES });
    }
    let first = TfLite { bytes: std::fs::read(path).map_err(open)?.into(), graph: 0 };
    let main = first.view().map_err(|it| malformed(guard::reason(&it)))?;
    let signatures = main.signatures();
    let chosen = main.signature(wanted);
    if let Some(wanted) = wanted.filter(|_| chosen.is_none()) {
        return Err(signatures::missing(path, wanted, &signatures));
    }
    let file = TfLite { graph: chosen.map_or(0, |it| it.subgraph_index() as usize), ..first.clone() };
    let view = file.view().map_err(|it| malformed(guard::reason(&it)))?;
    data::check(view).map_err(malformed)?;
    let names = chosen.map(names).unwrap_or_default();
    let signature = chosen.and_then(|it| it.signature_key()).map(str::to_owned);
    let mut info = ModelInfo {
        format: ModelFormat::TfLite,
        inputs: Vec::new(),
        outputs: Vec::new(),
        operators: BTreeMap::new(),
        n_parameters: view.n_parameters(),
        signature,
        signatures,
        is_one_file: true,
    };
    let spec = |idx: i32| {
        let tensor = view.tensor(idx).ok_or_else(|| malformed(format!("there is no tensor {idx}")))?;
        let name = names.get(&idx).copied().or(tensor.name()).unwrap_or_default().to_owned();
        let unsupported = |what: String| InferError::Interface {
            path: path.to_path_buf(),
            reason: format!("`{name}` has the unsupported element type {what}"),
        };
        Scale::of(tensor).map_err(unsupported)?;
        let datum_type = DatumType::try_from(tensor.type_()).ok();
        let dtype = datum_type.and_then(convert::element_type);
        let found = || tensor.type_().variant_name().unwrap_or("unknown").to_owned();
        let dtype = dtype.ok_or_else(|| unsupported(found()))?;
        let dims = tensor.shape_signature().filter(|it| !it.is_empty()).or(tensor.shape());
        let shape = dims.into_iter().flatten().map(|it| usize::try_from(it).ok()).collect();
        Ok::<_, InferError>((TensorSpec { name, dtype, shape }, datum_type))
    };
    let mut input_types = Vec::new();
    for idx in view.graph.inputs().into_iter().flatten() {
        let (spec, datum_type) = spec(idx)?;
        info.inputs.push(spec);
        input_types.extend(datum_type);
    }
    for idx in view.graph.outputs().into_iter().flatten() {
        info.outputs.push(spec(idx)?.0);
    }
    let obstacles = view.audit(&mut info.operators);
    let row_by_row = info.has_convolutions();
    let attempts = if obstacles.is_empty() {
        let graph = Graph::TfLite(file.clone());
        Ok(Source { row_by_row, ..Source::new(graph, info.clone(), input_types) }.into())
    } else {
        Err(InferError::unsupported(path, obstacles.clone()))
    };
    Ok(Examined { info, obstacles, attempts })
}

impl TfLite {
    /// Returns the graph for inputs of these shapes.
    pub(super) fn typed(&self, shapes: &[Vec<usize>]) -> TractResult<TypedModel> {
        reader::read(self.view()?, shapes)
    }

    fn view(&self) -> TractResult<View<'_>> {
        let model = tract_tflite::tflite::root_as_model(&self.bytes)?;
        let graphs = model.subgraphs().filter(|it| self.graph < it.len());
        let graphs = graphs.with_context(|| {
            if self.graph == 0 { "there is no graph".to_owned() } else { format!("there is no graph {}", self.graph) }
        })?;
        Ok(View { model, graph: graphs.get(self.graph) })
    }
}

/// The tables of a file. Indices in it may be wrong, offsets are not.
#[derive(Clone, Copy)]
struct View<'a> {
    model: Model<'a>,
    graph: SubGraph<'a>,
}

impl<'a> View<'a> {
    fn tensor(self, idx: i32) -> Option<Tensor<'a>> {
        let idx = usize::try_from(idx).ok()?;
        let tensors = self.graph.tensors().filter(|it| idx < it.len())?;
        Some(tensors.get(idx))
    }

    fn nodes(self) -> impl Iterator<Item = (Option<BuiltinOperator>, Operator<'a>)> {
        let codes: Vec<_> = self.model.operator_codes().into_iter().flatten().map(builtin).collect();
        let nodes = self.graph.operators().into_iter().flatten();
        nodes.map(move |node| (codes.get(node.opcode_index() as usize).copied(), node))
    }

    /// Returns the bytes of a tensor that is a constant.
    fn data(self, tensor: Tensor<'a>) -> Option<&'a [u8]> {
        let idx = usize::try_from(tensor.buffer()).ok().filter(|&it| it > 0)?;
        let buffers = self.model.buffers().filter(|it| idx < it.len())?;
        Some(buffers.get(idx).data()?.bytes()).filter(|it| !it.is_empty())
    }

    fn n_parameters(self) -> u64 {
        let counts = |it: &Tensor<'_>| {
            matches!(it.type_(), TensorType::FLOAT32 | TensorType::FLOAT16 | TensorType::INT8 | TensorType::UINT8)
        };
        let constants = self.graph.tensors().into_iter().flatten().filter(|it| self.data(*it).is_some());
        let len = |it: Tensor<'_>| {
            let dims = it.shape().into_iter().flatten().map(|it| u64::try_from(it).unwrap_or(0));
            dims.fold(1, u64::saturating_mul)
        };
        constants.filter(counts).map(len).fold(0, u64::saturating_add)
    }

    /// Returns the names of all signatures, sorted.
    fn signatures(self) -> Vec<String> {
        let all = self.model.signature_defs().into_iter().flatten();
        let mut res: Vec<_> = all.filter_map(|it| it.signature_key().map(str::to_owned)).collect();
        res.sort();
        res
    }

    /// Returns the signature that is wanted; where none is, the default one, else the only one, else that of the first graph.
    fn signature(self, wanted: Option<&str>) -> Option<SignatureDef<'a>> {
        let all = || self.model.signature_defs().into_iter().flatten();
        let named = |name: &str| all().find(|it| it.signature_key() == Some(name));
        if let Some(wanted) = wanted {
            return named(wanted);
        }
        let only = || all().next().filter(|_| all().nth(1).is_none());
        named(signatures::DEFAULT).or_else(only).or_else(|| all().find(|it| it.subgraph_index() == 0))
    }

    /// Counts operators, and returns those that cannot be run with the tensor that each would have computed.
    fn audit(self, operators: &mut BTreeMap<String, usize>) -> Vec<(String, String)> {
        let mut res = Vec::new();
        for (operator, node) in self.nodes() {
            let name = shown(operator);
            let outputs = node.outputs().into_iter().flatten();
            let scales = || outputs.filter_map(|it| Scale::of(self.tensor(it)?).err()).next();
            let fault = fault(operator, node).or_else(|| scales().map(|it| format!(" of {it}")));
            res.extend(fault.map(|it| (format!("{name}{it}"), self.first_output(node).to_owned())));
            *operators.entry(name).or_default() += 1;
        }
        res
    }

    /// Returns the name of what a node gives first, which is the node's.
    fn first_output(self, node: Operator<'a>) -> &'a str {
        let output = node.outputs().into_iter().flatten().next();
        output.and_then(|it| self.tensor(it)?.name()).unwrap_or_default()
    }
}

/// Old files have the code in the deprecated field only, new operators in the other one only.
fn builtin(code: OperatorCode<'_>) -> BuiltinOperator {
    BuiltinOperator(code.builtin_code().0.max(i32::from(code.deprecated_builtin_code())))
}

/// Returns the names that a signature gives to the tensors of its graph.
fn names(signature: SignatureDef<'_>) -> HashMap<i32, &str> {
    let maps = [signature.inputs(), signature.outputs()].into_iter().flatten().flatten();
    maps.filter_map(|it| Some((i32::try_from(it.tensor_index()).ok()?, it.name()?))).collect()
}

/// Returns the name of an operator.
fn shown(operator: Option<BuiltinOperator>) -> String {
    let Some(it) = operator else { return "operator without a code".to_owned() };
    it.variant_name().map_or_else(|| format!("operator {}", it.0), str::to_owned)
}
