//! Reads ONNX models.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, OnceLock},
};

use prost::Message;
use tract_onnx::{
    Onnx,
    model::ParseResult,
    pb::{
        GraphProto, ModelProto, TensorProto, ValueInfoProto,
        tensor_proto::DataType,
        tensor_shape_proto::dimension::Value as Dimension,
        type_proto::{Tensor as TensorType, Value as TypeValue},
    },
    prelude::{DatumType, InferenceModel},
};

use super::{
    audit::{self, Findings},
    convert, functions, guard,
    interpreter::Interpreter,
    layers, limits, ops,
    preflight::{self, ExternalData, Sound},
    rewrite,
    source::{Attempts, Examined, Graph, Source},
    wire,
};
use crate::{
    error::InferError,
    spec::{ElementType, Layers, ModelFormat, ModelInfo, TensorSpec},
};

/// Bytes up to which a decoded file is kept.
const MOST_KEPT: usize = 16 << 20;

/// A model in case that it has to be interpreted.
pub(super) struct Uncompiled {
    /// Where it may turn out late, and the model is small. Else the file is read again, lest the weights be in memory twice
    /// while plans are made of them.
    kept: Option<(Arc<Onnx>, ModelProto)>,
    /// Of the file, lest another one be taken for it.
    digest: blake3::Hash,
    beside: Arc<ExternalData>,
    interpreter: OnceLock<Arc<Interpreter>>,
}

impl Uncompiled {
    /// Returns the interpreter, made at the first call.
    pub(super) fn interpreter(&self, path: &Path) -> Result<Arc<Interpreter>, InferError> {
        if let Some(it) = self.interpreter.get() {
            return Ok(it.clone());
        }
        if let Some((onnx, proto)) = &self.kept {
            return self.interpret(path, onnx.clone(), proto);
        }
        let bytes = limits::read(path)?;
        if blake3::hash(&bytes) != self.digest {
            return Err(InferError::Changed { path: path.to_path_buf() });
        }
        let Decoded { mut onnx, proto, .. } = decode(path, bytes)?;
        onnx.provider = self.beside.clone();
        self.interpret(path, Arc::new(onnx), &proto)
    }

    fn interpret(&self, path: &Path, onnx: Arc<Onnx>, proto: &ModelProto) -> Result<Arc<Interpreter>, InferError> {
        let made = Interpreter::new(onnx, proto, path).map_err(|it| malformed(path, guard::reason(&it)))?;
        Ok(self.interpreter.get_or_init(|| Arc::new(made)).clone())
    }
}

pub(super) fn malformed(path: &Path, reason: String) -> InferError {
    InferError::Malformed { path: path.to_path_buf(), format: ModelFormat::Onnx, reason }
}

/// A sound model, and what is known of its operators.
struct Decoded {
    onnx: Onnx,
    proto: ModelProto,
    findings: Findings,
    beside: Arc<ExternalData>,
    row_work: u64,
}

/// Decodes the file and looks at its operators; those that nobody computes are an error.
pub(super) fn open(path: &Path) -> Result<(Onnx, ModelProto, Findings), InferError> {
    let Decoded { onnx, proto, findings, .. } = read(path)?;
    if findings.unsupported.is_empty() {
        return Ok((onnx, proto, findings));
    }
    Err(InferError::unsupported(path, findings.unsupported))
}

fn read(path: &Path) -> Result<Decoded, InferError> {
    decode(path, limits::read(path)?)
}

fn decode(path: &Path, bytes: Vec<u8>) -> Result<Decoded, InferError> {
    let mut proto: ModelProto = limits::decode_bytes(path, &bytes, ModelFormat::Onnx, &wire::ONNX)?;
    drop(bytes);
    functions::inline(&mut proto).map_err(|it| it.of(path))?;
    let Sound { beside, row_work } = preflight::check(path, &mut proto)?;
    let beside = Arc::new(beside);
    let mut onnx = ops::onnx();
    onnx.provider = beside.clone();
    if let Some(graph) = &mut proto.graph {
        rewrite::rewrite(graph);
    }
    let findings = audit::audit(&proto, &onnx);
    Ok(Decoded { onnx, proto, findings, beside, row_work })
}

/// Returns what a sound model declares, whoever is to run it.
pub(super) fn interface(path: &Path) -> Result<ModelInfo, InferError> {
    let Decoded { proto, findings, beside, .. } = read(path)?;
    let graph = proto.graph.as_ref().ok_or_else(|| malformed(path, "there is no graph".to_string()))?;
    Ok(info(path, graph, findings.operators, &beside)?.0)
}

/// Returns the data beside a sound model.
pub(super) fn data(path: &Path) -> Result<Arc<ExternalData>, InferError> {
    Ok(read(path)?.beside)
}

/// Returns the layers of a sound model.
pub(super) fn layers_of(path: &Path) -> Result<Layers, InferError> {
    let proto = read(path)?.proto;
    proto.graph.as_ref().map(layers::layers).ok_or_else(|| malformed(path, "there is no graph".to_string()))
}

/// Returns what is known of the model, and the ways to read it if every operator can be computed.
pub(super) fn examine(path: &Path) -> Result<Examined, InferError> {
    let bytes = limits::read(path)?;
    let digest = blake3::hash(&bytes);
    let decoded = decode(path, bytes)?;
    let Decoded { proto, findings, beside, .. } = &decoded;
    let graph = proto.graph.as_ref().ok_or_else(|| malformed(path, "there is no graph".to_string()))?;
    let (info, input_types) = info(path, graph, findings.operators.clone(), beside)?;
    if !findings.unsupported.is_empty() {
        let error = InferError::unsupported(path, findings.unsupported.clone());
        return Ok(Examined { info, obstacles: decoded.findings.unsupported, attempts: Err(error) });
    }
    let attempts = attempts(path, decoded, digest, &info, &input_types);
    Ok(Examined { info, obstacles: Vec::new(), attempts })
}

/// Returns the readings of the model for tract, without and with the exporter's intermediate shapes, and the model itself.
///
/// The shapes are wrong or too general in many files, but a few operators cannot be analyzed without.
fn attempts(
    path: &Path,
    Decoded { onnx, proto, findings, beside, row_work }: Decoded,
    digest: blake3::Hash,
    info: &ModelInfo,
    input_types: &[DatumType],
) -> Result<Attempts, InferError> {
    // Convolutions of many small images at once are faster; large ones fill the caches alone, and many of them the memory.
    const SMALL_IMAGE: usize = 4096;
    // Whatever it is, so much for a row is not worth doing for others meanwhile.
    const LARGE_ROW: u64 = 20_000_000_000;
    let is_large = row_work > LARGE_ROW || (info.has_convolutions() && !info.has_rows_up_to(SMALL_IMAGE));
    let row_by_row = findings.row_by_row || is_large;
    let layers = proto.graph.as_ref().map(layers::layers);
    let operators: Arc<BTreeMap<String, String>> = Arc::new(proto.graph.as_ref().map(operators).unwrap_or_default());
    let source = |graph| {
        let (layers, operators) = (layers.clone(), operators.clone());
        Source { layers, row_by_row, row_work, operators, ..Source::new(graph, info.clone(), input_types.to_vec()) }
    };
    let has_shapes = proto.graph.as_ref().is_some_and(|it| !it.value_info.is_empty());
    let mut sources = Vec::new();
    let mut first_error = None;
    for ignore in [true, false] {
        if findings.needs_interpreter || !(ignore || has_shapes) {
            break;
        }
        match parse(&onnx.clone().with_ignore_value_info(ignore), &proto, path) {
            Ok(it) => sources.push(source(Graph::Inference(it))),
            Err(reason) => _ = first_error.get_or_insert(reason),
        }
    }
    let mut uncompiled = Uncompiled { kept: None, digest, beside: beside.clone(), interpreter: OnceLock::new() };
    let onnx = Arc::new(onnx);
    if sources.is_empty() {
        // An error about the file is the same for both; what only tract lacks does not matter any more.
        if let Err(error) = uncompiled.interpret(path, onnx, &proto) {
            return Err(first_error.map_or(error, |it| malformed(path, it)));
        }
        sources.push(source(Graph::Uncompiled));
    } else if info.fixed_rows().is_none() && proto.encoded_len() <= MOST_KEPT {
        uncompiled.kept = Some((onnx, proto));
    }
    Ok(Attempts { sources, uncompiled: Some(uncompiled), beside: Some(beside) })
}

/// Returns the operators by the names of their nodes, but for names that several have.
fn operators(graph: &GraphProto) -> BTreeMap<String, String> {
    let (mut res, mut repeated) = (BTreeMap::new(), BTreeSet::new());
    for node in &graph.node {
        // One without a name is named after its first output.
        let Some(name) = [Some(&node.name), node.output.first()].into_iter().flatten().find(|it| !it.is_empty()) else {
            continue;
        };
        if res.insert(name.clone(), node.op_type.clone()).is_some() {
            repeated.insert(name);
        }
    }
    res.retain(|name, _| !repeated.contains(name));
    res
}

fn parse(onnx: &Onnx, proto: &ModelProto, path: &Path) -> Result<InferenceModel, String> {
    let folder = path.parent().and_then(Path::to_str);
    let ParseResult { model, unresolved_inputs, .. } = onnx.parse(proto, folder).map_err(|it| guard::reason(&it))?;
    if unresolved_inputs.is_empty() { Ok(model) } else { Err(format!("nothing computes {unresolved_inputs:?}")) }
}

fn info(
    path: &Path,
    graph: &GraphProto,
    operators: BTreeMap<String, usize>,
    beside: &ExternalData,
) -> Result<(ModelInfo, Vec<DatumType>), InferError> {
    let mut inputs = Vec::new();
    let mut input_types = Vec::new();
    for input in &graph.input {
        if graph.initializer.iter().any(|it| it.name == input.name) {
            continue;
        }
        let interface = |what: &str| InferError::Interface {
            path: path.to_path_buf(),
            reason: format!("input `{}` {what}", input.name),
        };
        let tensor = tensor_type(input).ok_or_else(|| interface("is not a tensor"))?;
        let datum_type = datum_type(tensor).ok_or_else(|| interface("has an unknown element type"))?;
        let dtype = convert::element_type(datum_type).ok_or_else(|| interface("has an unsupported element type"))?;
        let shape = dims(tensor).ok_or_else(|| interface("has no declared shape"))?;
        inputs.push(TensorSpec { name: input.name.clone(), dtype, shape });
        input_types.push(datum_type);
    }
    // Replaced by what the prepared plan says as soon as there is one.
    let output = |it: &ValueInfoProto| {
        let tensor = tensor_type(it);
        let dtype = tensor.and_then(datum_type).and_then(convert::element_type).unwrap_or(ElementType::F32);
        TensorSpec { name: it.name.clone(), dtype, shape: tensor.and_then(dims).unwrap_or_else(|| vec![None]) }
    };
    let outputs = graph.output.iter().map(output).collect();
    let n_parameters = n_parameters(graph);
    let info = ModelInfo {
        format: ModelFormat::Onnx,
        inputs,
        outputs,
        operators,
        n_parameters,
        signature: None,
        signatures: Vec::new(),
        is_one_file: beside.is_empty(),
    };
    Ok((info, input_types))
}

pub(super) fn tensor_type(value: &ValueInfoProto) -> Option<&TensorType> {
    let TypeValue::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    Some(tensor)
}

fn datum_type(tensor: &TensorType) -> Option<DatumType> {
    DataType::try_from(tensor.elem_type).ok()?.try_into().ok()
}

/// Returns the declared dimensions; skl2onnx writes 0 and others write -1 for a dynamic one.
pub(super) fn dims(tensor: &TensorType) -> Option<Vec<Option<usize>>> {
    let one = |it: &Option<Dimension>| match it {
        Some(Dimension::DimValue(it)) => usize::try_from(*it).ok().filter(|&it| it > 0),
        _ => None,
    };
    Some(tensor.shape.as_ref()?.dim.iter().map(|it| one(&it.value)).collect())
}

fn n_parameters(graph: &GraphProto) -> u64 {
    let initializers = graph.initializer.iter().map(n_numbers);
    let of_nodes = graph.node.iter().map(|node| {
        // Classical models keep their numbers in attributes.
        let is_ml = node.domain == "ai.onnx.ml";
        let one = |it: &tract_onnx::pb::AttributeProto| {
            let floats = if is_ml { it.floats.len() as u64 } else { 0 };
            floats + it.t.as_ref().map_or(0, n_numbers) + it.g.as_ref().map_or(0, n_parameters)
        };
        node.attribute.iter().map(one).sum::<u64>()
    });
    initializers.chain(of_nodes).fold(0, u64::saturating_add)
}

fn n_numbers(tensor: &TensorProto) -> u64 {
    let counts = matches!(
        DataType::try_from(tensor.data_type),
        Ok(DataType::Float
            | DataType::Double
            | DataType::Float16
            | DataType::Bfloat16
            | DataType::Int8
            | DataType::Uint8)
    );
    let dims = tensor.dims.iter().map(|&it| u64::try_from(it).unwrap_or(0));
    if counts { dims.fold(1, u64::saturating_mul) } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::SystemTime};

    use tract_onnx::{
        pb::{NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto, TypeProto, tensor_shape_proto},
        prelude::tensor2,
    };

    use super::*;
    use crate::tract::{
        executable::first_that_works,
        interpreter::{Limits, Value},
    };

    /// A product of rows of two numbers with these weights, or with those in `data` beside it.
    fn product(weights: Option<[f32; 4]>) -> Vec<u8> {
        let value = |name: &str| {
            let dim = |value| tensor_shape_proto::Dimension { value: Some(value), ..Default::default() };
            let dim = vec![dim(Dimension::DimParam("batch".to_owned())), dim(Dimension::DimValue(2))];
            let tensor = TensorType { elem_type: 1, shape: Some(TensorShapeProto { dim }) };
            let r#type = Some(TypeProto { value: Some(TypeValue::TensorType(tensor)), ..Default::default() });
            ValueInfoProto { name: name.to_owned(), r#type, ..Default::default() }
        };
        let mut tensor = TensorProto { name: "w".to_owned(), data_type: 1, dims: vec![2, 2], ..Default::default() };
        match weights {
            Some(it) => tensor.raw_data = bytes(it),
            None => {
                tensor.data_location = Some(1);
                let location = StringStringEntryProto { key: "location".to_owned(), value: "data".to_owned() };
                tensor.external_data = vec![location];
            }
        }
        let node = NodeProto {
            op_type: "MatMul".to_owned(),
            input: vec!["x".to_owned(), "w".to_owned()],
            output: vec!["y".to_owned()],
            ..Default::default()
        };
        let graph = GraphProto {
            node: vec![node],
            initializer: vec![tensor],
            input: vec![value("x")],
            output: vec![value("y")],
            ..Default::default()
        };
        let opset_import = vec![OperatorSetIdProto { version: 13, ..Default::default() }];
        ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }.encode_to_vec()
    }

    fn bytes(weights: [f32; 4]) -> Vec<u8> {
        weights.into_iter().flat_map(f32::to_le_bytes).collect()
    }

    #[test]
    fn a_model_that_is_replaced_while_it_is_loaded_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |weights| {
            fs::write(file.path(), product(Some(weights))).unwrap();
            file.as_file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        write([1.0, 2.0, 3.0, 4.0]);
        let mut attempts = examine(file.path()).unwrap().attempts.unwrap();
        write([1.0, 2.0, 3.0, 5.0]);
        let error = attempts.uncompiled.as_ref().unwrap().interpreter(file.path()).err().map(|it| it.to_string());
        assert!(error.is_some_and(|it| it.contains("changed while it was loaded")));
        // As a graph that tract does not compile.
        attempts.sources[0].input_types.clear();
        let error = first_that_works(file.path(), attempts, None).err().unwrap().to_string();
        assert!(error.contains("changed while it was loaded"), "{error}");
    }

    #[test]
    fn data_that_is_replaced_while_a_model_is_loaded_is_what_was_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let [path, data, next] = ["model.onnx", "data", "next"].map(|it| folder.path().join(it));
        fs::write(&path, product(None)).unwrap();
        fs::write(&data, bytes([1.0, 2.0, 3.0, 4.0])).unwrap();
        let attempts = examine(&path).unwrap().attempts.unwrap();
        fs::write(&next, bytes([5.0, 6.0, 7.0, 8.0])).unwrap();
        fs::rename(&next, &data).unwrap();
        let interpreter = attempts.uncompiled.unwrap().interpreter(&path).unwrap();
        let x = Value::Tensor(Arc::new(tensor2(&[[1.0_f32, 1.0]])));
        assert_eq!(
            **interpreter.run(vec![x], &[], Limits::running(1)).unwrap()[0].tensor().unwrap(),
            tensor2(&[[4.0_f32, 6.0]])
        );
    }
}
