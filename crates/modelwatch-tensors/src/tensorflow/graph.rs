//! Frozen graphs: the constants of a `GraphDef`, alone or inside a SavedModel.

use prost::{Message, bytes::Bytes};

use super::{
    dtype,
    proto::{GraphDef, NodeDef, SavedModel, TensorProto},
    unsupported_type,
};
use crate::{
    catalog::{Catalog, Data, checked_len, length_mismatch, tensor, unsigned_shape},
    code::Code,
    dtype::DType,
    error::{Site, TensorError},
    tensor::TensorInfo,
};

/// The most that a tensor given by fewer values than it has elements may unfold to.
const MAX_REPEATED: usize = 64 << 20;
/// Nodes whose values are kept beside the graph.
const VARIABLES: [&str; 3] = ["VarHandleOp", "VariableV2", "Variable"];

/// Lists the constants of a frozen graph by node; those inside functions as `function/node`.
pub(crate) fn read_frozen(site: Site<'_>, bytes: &Bytes) -> Result<Catalog, TensorError> {
    let graph = GraphDef::decode(bytes.clone()).map_err(|error| site.corrupt("the graph", error))?;
    let mut catalog = Catalog::default();
    add_graph(site, "", graph, &mut catalog)?;
    Ok(catalog)
}

/// Lists the constants of a SavedModel that has no variables, or none that are saved, such as those that count steps of a
/// metric.
///
/// Where there is more than one graph, names follow its number: `1/dense/kernel`.
pub(crate) fn read_saved_model(site: Site<'_>, bytes: &Bytes) -> Result<Catalog, TensorError> {
    let model = decode_saved_model(site, bytes)?;
    let mut catalog = Catalog::default();
    let is_single = model.meta_graphs.len() == 1;
    for (idx, meta_graph) in model.meta_graphs.into_iter().enumerate() {
        let scope = if is_single { String::new() } else { format!("{idx}/") };
        let saves_variables = meta_graph.saver_def.is_some() || meta_graph.object_graph_def.is_some();
        if let Some(graph) = meta_graph.graph_def {
            if saves_variables && let Some(it) = graph.node.iter().find(|it| VARIABLES.contains(&it.op.as_str())) {
                let variable = it.name.escape_debug();
                return Err(
                    site.corrupt("the model", format!("has the variable `{variable}`, but no file of variables"))
                );
            }
            add_graph(site, &scope, graph, &mut catalog)?;
        }
    }
    Ok(catalog)
}

/// Checks that a SavedModel can be read, whose variables are elsewhere, and returns what it has that TensorFlow runs.
pub(crate) fn code_of_saved_model(site: Site<'_>, bytes: &Bytes) -> Result<Code, TensorError> {
    let mut res = Code::default();
    for graph in decode_saved_model(site, bytes)?.meta_graphs.into_iter().filter_map(|it| it.graph_def) {
        let functions = graph.library.iter().flat_map(|it| &it.function).flat_map(|it| &it.node_def);
        graph.node.iter().chain(functions).for_each(|it| res.operator(&it.op));
    }
    Ok(res)
}

fn decode_saved_model(site: Site<'_>, bytes: &Bytes) -> Result<SavedModel, TensorError> {
    SavedModel::decode(bytes.clone()).map_err(|error| site.corrupt("the model", error))
}

fn add_graph(site: Site<'_>, scope: &str, graph: GraphDef, catalog: &mut Catalog) -> Result<(), TensorError> {
    add_nodes(site, scope, graph.node, catalog)?;
    for function in graph.library.into_iter().flat_map(|it| it.function) {
        let name = function.signature.map(|it| it.name).unwrap_or_default();
        add_nodes(site, &format!("{scope}{name}/"), function.node_def, catalog)?;
    }
    Ok(())
}

fn add_nodes(site: Site<'_>, scope: &str, nodes: Vec<NodeDef>, catalog: &mut Catalog) -> Result<(), TensorError> {
    for mut node in nodes {
        catalog.code.operator(&node.op);
        if node.op != "Const" {
            continue;
        }
        let name = format!("{scope}{}", node.name);
        match node.attr.remove("value").and_then(|it| it.tensor) {
            Some(tensor) => add(site, name, tensor, catalog)?,
            None => return Err(site.corrupt(tensor(&name), "is a constant without a value")),
        }
    }
    Ok(())
}

fn add(site: Site<'_>, name: String, proto: TensorProto, catalog: &mut Catalog) -> Result<(), TensorError> {
    let Some(dtype) = dtype(proto.dtype) else {
        let (lost, reason) = unsupported_type(proto.dtype);
        catalog.skip(name, lost, reason);
        return Ok(());
    };
    if proto.tensor_shape.as_ref().is_some_and(|it| it.unknown_rank) {
        return Err(site.corrupt(tensor(&name), "has no shape"));
    }
    let dims: Vec<i64> = proto.tensor_shape.iter().flat_map(|it| &it.dim).map(|it| it.size).collect();
    let shape = unsigned_shape(site, &name, &dims)?;
    let info = TensorInfo { name, dtype, shape };
    if !proto.tensor_content.is_empty() {
        return catalog.add_exact(site, info, proto.tensor_content);
    }
    let values = listed_values(dtype, &proto).map_err(|problem| site.corrupt(tensor(&info.name), problem))?;
    let want = checked_len(site, &info)?;
    if values.len() > want {
        return Err(length_mismatch(site, &info, want, values.len()));
    }
    if values.len() == want {
        return catalog.add_exact(site, info, values.into());
    }
    if want > MAX_REPEATED {
        let problem = format!("repeats one value over {want} bytes");
        return Err(site.limit(tensor(&info.name), problem, MAX_REPEATED as u64));
    }
    catalog.add(info, Data::Repeated(values.into()));
    Ok(())
}

/// Returns all elements of a tensor that was given by its first ones: the last repeats, and none means zeros.
pub(crate) fn repeat(site: Site<'_>, info: &TensorInfo, values: &[u8]) -> Result<Vec<u8>, TensorError> {
    let want = checked_len(site, info)?;
    let mut res = Vec::with_capacity(want);
    res.extend_from_slice(values);
    match values.rchunks_exact(info.dtype.size()).next() {
        None => res.resize(want, 0),
        Some(last) => {
            while res.len() < want {
                res.extend_from_slice(last);
            }
        }
    }
    Ok(res)
}

fn listed_values(dtype: DType, proto: &TensorProto) -> Result<Vec<u8>, String> {
    let narrow = |values: &[i32], fits: fn(i32) -> bool| {
        let mut res = Vec::with_capacity(values.len().saturating_mul(dtype.size()));
        for &it in values {
            if !fits(it) {
                return Err(format!("has the value {it} as {dtype}"));
            }
            res.extend(it.to_le_bytes().into_iter().take(dtype.size()));
        }
        Ok(res)
    };
    match dtype {
        DType::F32 => Ok(proto.float_val.iter().flat_map(|it| it.to_le_bytes()).collect()),
        DType::F64 => Ok(proto.double_val.iter().flat_map(|it| it.to_le_bytes()).collect()),
        DType::I64 => Ok(proto.int64_val.iter().flat_map(|it| it.to_le_bytes()).collect()),
        DType::U32 => Ok(proto.uint32_val.iter().flat_map(|it| it.to_le_bytes()).collect()),
        DType::U64 => Ok(proto.uint64_val.iter().flat_map(|it| it.to_le_bytes()).collect()),
        DType::Bool => Ok(proto.bool_val.iter().map(|&it| u8::from(it)).collect()),
        DType::F16 | DType::Bf16 => narrow(&proto.half_val, |it| u16::try_from(it).is_ok()),
        DType::I32 => narrow(&proto.int_val, |_| true),
        DType::I16 => narrow(&proto.int_val, |it| i16::try_from(it).is_ok()),
        DType::I8 => narrow(&proto.int_val, |it| i8::try_from(it).is_ok()),
        DType::U16 => narrow(&proto.int_val, |it| u16::try_from(it).is_ok()),
        DType::U8 => narrow(&proto.int_val, |it| u8::try_from(it).is_ok()),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::{
        super::proto::{AttrValue, Dim, FunctionDef, FunctionDefLibrary, Ignored, MetaGraphDef, TensorShapeProto},
        *,
    };
    use crate::{TensorRef, format::Format, tree::Tree};

    fn read(tensor: TensorProto, dims: &[i64]) -> Result<Vec<f64>, String> {
        let dim = dims.iter().map(|&size| Dim { size }).collect();
        let tensor = TensorProto { tensor_shape: Some(TensorShapeProto { dim, unknown_rank: false }), ..tensor };
        let attr = BTreeMap::from([("value".to_owned(), AttrValue { tensor: Some(tensor) })]);
        let node = vec![NodeDef { name: "w".to_owned(), op: "Const".to_owned(), attr }];
        let site = Site { path: Path::new("it.pb"), format: Format::FrozenGraph, tree: Tree::Disk };
        let bytes = GraphDef { node, library: None }.encode_to_vec().into();
        let found = read_frozen(site, &bytes).and_then(|it| it.finish(site)).map_err(|it| it.to_string())?;
        if let Some(it) = found.skipped.first() {
            return Err(it.reason.clone());
        }
        let bytes = found.data[0].read(site, &found.infos[0]).map_err(|it| it.to_string())?;
        Ok(TensorRef { info: &found.infos[0], bytes: &bytes }.values_f64())
    }

    fn proto(dtype: i32) -> TensorProto {
        TensorProto { dtype, ..TensorProto::default() }
    }

    #[test]
    fn short_lists_repeat_their_last_value() {
        let cases = [
            (TensorProto { float_val: vec![1.0, 2.5], ..proto(1) }, vec![1.0, 2.5, 2.5, 2.5]),
            (proto(1), vec![0.0; 4]),
            (TensorProto { int_val: vec![-3], ..proto(6) }, vec![-3.0; 4]),
            (TensorProto { half_val: vec![0x3c00], ..proto(19) }, vec![1.0; 4]),
            (TensorProto { bool_val: vec![false, true], ..proto(10) }, vec![0.0, 1.0, 1.0, 1.0]),
            (TensorProto { int64_val: vec![1, 2, 3, 4], ..proto(9) }, vec![1.0, 2.0, 3.0, 4.0]),
            (TensorProto { tensor_content: vec![9, 8, 7, 6].into(), ..proto(4) }, vec![9.0, 8.0, 7.0, 6.0]),
        ];
        for (tensor, want) in cases {
            assert_eq!(read(tensor.clone(), &[2, 2]).unwrap(), want, "{tensor:?}");
        }
        assert_eq!(read(proto(1), &[0]).unwrap(), [0.0; 0]);
    }

    #[test]
    fn lying_constants_are_refused() {
        let cases = [
            (TensorProto { float_val: vec![1.0, 2.0], ..proto(1) }, vec![1], "holds 8 bytes"),
            (
                TensorProto { float_val: vec![1.0], ..proto(1) },
                vec![1 << 30],
                "repeats one value over 4294967296 bytes",
            ),
            (TensorProto { float_val: vec![1.0], ..proto(1) }, vec![i64::MAX, i64::MAX], "overflows"),
            (TensorProto { tensor_content: vec![0; 3].into(), ..proto(1) }, vec![1], "holds 3 bytes"),
            (TensorProto { int_val: vec![300], ..proto(4) }, vec![1], "has the value 300 as u8"),
            (proto(1), vec![-1], "negative dimension"),
            (proto(7), vec![1], "holds strings"),
        ];
        for (tensor, dims, want) in cases {
            let error = read(tensor, &dims).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn operators_that_call_python_or_reach_for_files_are_named_wherever_they_are() {
        let node = |op: &str| NodeDef { name: "x".to_owned(), op: op.to_owned(), ..NodeDef::default() };
        let function = FunctionDef { signature: None, node_def: vec![node("EagerPyFunc"), node("RestoreV2")] };
        let library = Some(FunctionDefLibrary { function: vec![function] });
        let graph = GraphDef { node: vec![node("ReadFile"), node("ReadFile"), node("MatMul")], library };
        let site = Site { path: Path::new("saved_model.pb"), format: Format::SavedModel, tree: Tree::Disk };
        let model = SavedModel {
            meta_graphs: vec![MetaGraphDef { graph_def: Some(graph.clone()), ..MetaGraphDef::default() }],
        };
        let bytes = model.encode_to_vec().into();
        let expected = ["the operator EagerPyFunc", "the operator ReadFile"];
        assert_eq!(code_of_saved_model(site, &bytes).unwrap().into_list(), expected);
        assert_eq!(read_saved_model(site, &bytes).unwrap().code.into_list(), expected);
        assert_eq!(read_frozen(site, &graph.encode_to_vec().into()).unwrap().code.into_list(), expected);
    }

    #[test]
    fn only_variables_that_are_saved_are_missed() {
        let node = |name: &str, op: &str| NodeDef { name: name.to_owned(), op: op.to_owned(), ..NodeDef::default() };
        let graph = GraphDef { node: vec![node("metrics/total", "VariableV2")], library: None };
        let site = Site { path: Path::new("saved_model.pb"), format: Format::SavedModel, tree: Tree::Disk };
        let meta_graph = MetaGraphDef { graph_def: Some(graph), ..MetaGraphDef::default() };
        let read = |meta_graph| {
            let model = SavedModel { meta_graphs: vec![meta_graph] };
            read_saved_model(site, &model.encode_to_vec().into()).map(drop).map_err(|it| it.to_string())
        };
        assert_eq!(read(meta_graph.clone()), Ok(()));
        let of_first = MetaGraphDef { saver_def: Some(Ignored {}), ..meta_graph.clone() };
        let of_second = MetaGraphDef { object_graph_def: Some(Ignored {}), ..meta_graph };
        for it in [of_first, of_second] {
            let error = read(it).unwrap_err();
            assert!(error.contains("has the variable `metrics/total`"), "{error}");
        }
    }
}
