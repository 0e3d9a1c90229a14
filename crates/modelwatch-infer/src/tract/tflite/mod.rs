//! Reads TensorFlow Lite models, with any batch.
//!
//! tract takes the shapes that a file is written with, where a dynamic batch is 1, and refuses the operators that carry it through a
//! `Flatten` or `Reshape`. So for each batch the file is changed before tract sees it: the inputs have their shapes, and what follows from
//! shapes alone is a constant.

mod data;
mod operators;
mod shapes;
mod surgery;
#[cfg(test)]
mod tests;
mod weights;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use tract_onnx::{
    prelude::{DatumType, Framework, OutletId, TractError, TractResult, TypedModel},
    tract_core::ops::{binary::TypedBinOp, math},
    tract_hir::internal::{TractErrorContext, bail, ensure},
};
use tract_tflite::tflite::{
    BuiltinOperator, Model, Operator, OperatorCode, SignatureDef, SubGraph, Tensor, TensorType,
};

pub(super) use self::operators::table;
use self::{
    operators::fault,
    shapes::Integers,
    surgery::{Edit, NewTensor},
};
use super::{
    convert, guard,
    preflight::check_order,
    signatures,
    source::{Examined, Graph, Source},
};
use crate::{
    error::InferError,
    format::MAX_MODEL_BYTES,
    spec::{ModelFormat, ModelInfo, TensorSpec},
};

/// Each shape that is asked for costs a graph up to there.
const MAX_SHAPES: usize = 256;
/// The channels of a layer whose bias is left out.
const MAX_BIAS: usize = 1 << 20;

/// A file whose structure was verified, and which of its graphs is run.
#[derive(Clone)]
pub(super) struct TfLite {
    bytes: Arc<[u8]>,
    graph: usize,
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
        let datum_type = datum_type(tensor).ok();
        let dtype = datum_type.and_then(convert::element_type).ok_or_else(|| {
            let found = tensor.type_().variant_name().unwrap_or("unknown");
            let reason = match scaled(tensor) {
                Some(scaled) => format!(
                    "`{name}` has the unsupported element type quantized {found} ({scaled}); convert the model with inputs, outputs and \
                     steps in single precision, of which the weights alone may be quantized"
                ),
                None => format!("`{name}` has the unsupported element type {found}"),
            };
            InferError::Interface { path: path.to_path_buf(), reason }
        })?;
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
        self.view()?.typed(&self.bytes, shapes)
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

    fn constant(self, idx: i32) -> Option<Integers> {
        let tensor = self.tensor(idx)?;
        Integers::read(tensor.type_(), tensor.shape().map_or(0, |it| it.len()), self.data(tensor)?)
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
        let mut known: HashSet<i32> = HashSet::new();
        for (operator, node) in self.nodes() {
            let name = shown(operator);
            let outputs: Vec<i32> = node.outputs().into_iter().flatten().collect();
            let mut inputs = node.inputs().into_iter().flatten();
            let are_known = inputs.all(|it| known.contains(&it) || self.constant(it).is_some());
            let is_folded =
                operator == Some(BuiltinOperator::SHAPE) || (operator.is_some_and(shapes::is_foldable) && are_known);
            if is_folded {
                known.extend(&outputs);
            } else if let Some(fault) = fault(operator, node) {
                res.push((format!("{name}{fault}"), self.first_output(node).to_owned()));
            }
            *operators.entry(name).or_default() += 1;
        }
        res
    }

    fn typed(self, bytes: &[u8], shapes: &[Vec<usize>]) -> TractResult<TypedModel> {
        let inputs: Vec<i32> = self.graph.inputs().into_iter().flatten().collect();
        ensure!(inputs.len() == shapes.len(), "the model has {} inputs", inputs.len());
        let mut changed = weights::as_numbers(self)?;
        for (idx, shape) in inputs.iter().zip(shapes) {
            let tensor = self.tensor(*idx).with_context(|| format!("there is no tensor {idx}"))?;
            let declared = tensor.shape_signature().filter(|it| !it.is_empty()).or(tensor.shape());
            let declared: Vec<i32> = declared.into_iter().flatten().collect();
            let shape = shape.iter().map(|&it| i32::try_from(it)).collect::<Result<Vec<_>, _>>()?;
            let agrees = |(declared, wanted): (&i32, &i32)| *declared < 0 || declared == wanted;
            if declared.len() != shape.len() || !declared.iter().zip(&shape).all(agrees) {
                bail!("an input has shape {declared:?}, not {shape:?}");
            }
            changed.insert(*idx as usize, NewTensor { shape, data: None, is_of_numbers: false });
        }
        let mut known: HashMap<i32, Integers> = HashMap::new();
        let mut kept = Vec::new();
        let mut n_shapes = 0;
        for (position, (operator, node)) in self.nodes().enumerate() {
            let inputs: Vec<i32> = node.inputs().into_iter().flatten().collect();
            let output = node.outputs().into_iter().flatten().next();
            if let (Some(BuiltinOperator::TRANSPOSE), &[input, axes]) = (operator, &*inputs) {
                let rank = self.tensor(input).and_then(|it| it.shape()).map_or(0, |it| it.len());
                let axes = known.get(&axes).cloned().or_else(|| self.constant(axes));
                let order = axes.context("the order of axes is not known").and_then(|it| check_order(&it.values, rank));
                order.with_context(|| format!("TRANSPOSE (node `{}`)", self.first_output(node)))?;
            }
            let found = match (operator, &*inputs) {
                (Some(BuiltinOperator::SHAPE), &[input]) => {
                    n_shapes += 1;
                    ensure!(n_shapes <= MAX_SHAPES, "the graph asks for more than {MAX_SHAPES} shapes");
                    Some(self.shape_of(bytes, input, &kept, &changed)?)
                }
                (Some(operator), _) if shapes::is_foldable(operator) => {
                    let values = inputs.iter().map(|it| known.get(it).cloned().or_else(|| self.constant(*it)));
                    let values: Option<Vec<_>> = values.collect();
                    values.and_then(|it| shapes::fold(operator, node, self.graph, &it.iter().collect::<Vec<_>>()))
                }
                _ => None,
            };
            let Some((found, output)) = found.zip(output) else {
                kept.push(position);
                continue;
            };
            let tensor = self.tensor(output).with_context(|| format!("there is no tensor {output}"))?;
            if let Some(data) = found.write(tensor.type_()) {
                changed.insert(
                    output as usize,
                    NewTensor { shape: found.shape(), data: Some(data), is_of_numbers: false },
                );
                known.insert(output, found);
            } else {
                kept.push(position);
            }
        }
        let outputs: Vec<i32> = self.graph.outputs().into_iter().flatten().collect();
        self.build(
            bytes,
            &Edit { operators: &kept, outputs: &outputs, tensors: &changed, biases: &self.missing_biases() },
        )
    }

    /// Returns the shape that a tensor has after the operators before it.
    fn shape_of(
        self,
        bytes: &[u8],
        tensor: i32,
        kept: &[usize],
        changed: &BTreeMap<usize, NewTensor>,
    ) -> TractResult<Integers> {
        if let Some(it) = changed.get(&(tensor as usize)) {
            return Ok(Integers::list(it.shape.iter().map(|&it| i64::from(it)).collect()));
        }
        let nodes: Vec<_> = self.nodes().map(|(_, node)| node).collect();
        let (mut needed, mut operators) = (HashSet::from([tensor]), Vec::new());
        for &position in kept.iter().rev() {
            if nodes[position].outputs().into_iter().flatten().any(|it| needed.contains(&it)) {
                needed.extend(nodes[position].inputs().into_iter().flatten());
                operators.push(position);
            }
        }
        operators.reverse();
        let biases = self.missing_biases();
        let edit = Edit { operators: &operators, outputs: &[tensor], tensors: changed, biases: &biases };
        let model = self.build(bytes, &edit)?;
        let shape = &model.output_fact(0)?.shape;
        let shape = shape.as_concrete().with_context(|| format!("tensor {tensor} has no known shape"))?;
        Ok(Integers::list(shape.iter().map(|&it| it as i64).collect()))
    }

    fn build(self, bytes: &[u8], edit: &Edit<'_>) -> TractResult<TypedModel> {
        let mut model = self.read(bytes, edit).map_err(|it| self.named(bytes, edit, it))?;
        unround_means(&mut model)?;
        Ok(model)
    }

    /// Has tract read the changed file.
    fn read(self, bytes: &[u8], edit: &Edit<'_>) -> TractResult<TypedModel> {
        let edited = surgery::apply(bytes, self.model, self.graph, edit).map_err(TractError::msg)?;
        let tflite = tract_tflite::tflite();
        let proto = tflite.proto_model_for_read(&mut &*edited)?;
        tflite.model_for_proto_model(&proto)
    }

    /// Returns an error of tract, which shows numbers only, with the name and the node of the first operator that is not read.
    fn named(self, bytes: &[u8], edit: &Edit<'_>, error: TractError) -> TractError {
        let is_read = |n: &usize| {
            let (operators, outputs) = (&edit.operators[..*n], &[]);
            self.read(bytes, &Edit { operators, outputs, ..*edit }).is_ok()
        };
        let counts: Vec<usize> = (0..=edit.operators.len()).collect();
        let position = counts.partition_point(is_read).checked_sub(1).and_then(|it| edit.operators.get(it));
        let Some((operator, node)) = position.and_then(|it| self.nodes().nth(*it)) else {
            return error;
        };
        error.context(format!("{} (node `{}`)", shown(operator), self.first_output(node)))
    }

    /// Returns the name of what a node gives first, which is the node's.
    fn first_output(self, node: Operator<'a>) -> &'a str {
        let output = node.outputs().into_iter().flatten().next();
        output.and_then(|it| self.tensor(it)?.name()).unwrap_or_default()
    }

    /// Returns the nodes that leave out their bias, as products and convolutions may, with how many zeros stand for it.
    ///
    /// tract looks for the tensor of the number that says there is none.
    fn missing_biases(self) -> BTreeMap<usize, usize> {
        let scaled = weights::among_numbers(self);
        let missing = |(position, (operator, node)): (usize, (Option<BuiltinOperator>, Operator<'a>))| {
            let mut inputs = node.inputs()?.into_iter();
            let (_, weights, bias) = (inputs.next()?, inputs.next()?, inputs.next().unwrap_or(-1));
            let are_numbers = |it: &Tensor<'_>| it.type_() == TensorType::FLOAT32 || scaled.contains(&weights);
            let weights = self.tensor(weights).filter(|it| bias < 0 && are_numbers(it))?;
            let mut dims = weights.shape()?.into_iter();
            let n = match operator? {
                BuiltinOperator::FULLY_CONNECTED | BuiltinOperator::CONV_2D => dims.next()?,
                BuiltinOperator::DEPTHWISE_CONV_2D => dims.next_back()?,
                _ => return None,
            };
            Some((position, usize::try_from(n).ok().filter(|it| *it <= MAX_BIAS)?))
        };
        self.nodes().enumerate().filter_map(missing).collect()
    }
}

/// tract scales the sum of a mean as it does quantized numbers, which rounds.
fn unround_means(model: &mut TypedModel) -> TractResult<()> {
    for id in 0..model.nodes().len() {
        let node = model.node(id);
        let is_scale = node.op_as::<TypedBinOp>().is_some_and(|it| it.0.name() == "Scale");
        if is_scale && model.outlet_fact(OutletId::new(id, 0))?.datum_type.is_float() {
            model.node_mut(id).op = Box::new(math::mul());
        }
    }
    Ok(())
}

/// Returns what integers of a tensor stand for, if they are scaled.
fn scaled(tensor: Tensor<'_>) -> Option<String> {
    let quantization = tensor.quantization()?;
    let scales = quantization.scale()?;
    let zero_point = quantization.zero_point().and_then(|it| it.iter().next()).unwrap_or(0);
    Some(match scales.iter().next().filter(|_| scales.len() == 1) {
        Some(scale) => format!("scale {scale}, zero point {zero_point}"),
        None => format!("{} scales", scales.len()),
    })
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

fn datum_type(tensor: Tensor<'_>) -> TractResult<DatumType> {
    ensure!(tensor.quantization().is_none_or(|it| it.scale().is_none()), "quantized tensors have no counterpart");
    DatumType::try_from(tensor.type_())
}
