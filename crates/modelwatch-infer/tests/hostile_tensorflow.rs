//! TensorFlow and TFLite models that want something else than to be run: each is refused before it costs anything.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use common::{cost, fixture};
use prost::Message;
use tract_tensorflow::tfpb::{
    self,
    tensorflow::{
        AttrValue, DataType, FunctionDef, FunctionDefLibrary, GraphDef, NameAttrList, NodeDef, OpDef, TensorProto,
        TensorShapeProto, attr_value::Value, op_def::ArgDef, tensor_shape_proto::Dim,
    },
};
use tract_tflite::tflite::root_as_model;

const TEST: &str = "hostile_models_are_refused_at_once";
const FLOAT: DataType = DataType::DtFloat;
const SHARD: &str = "variables/variables.data-00000-of-00001";
const INDEX: &str = "variables/variables.index";
/// Into how many parts a file is cut, at the end of each of which it ends once.
const N_PARTS: usize = 24;

/// A model's files, and a part of what it is refused with.
struct Hostile {
    name: String,
    files: Vec<(&'static str, Vec<u8>)>,
    refusal: &'static str,
}

#[derive(Clone, PartialEq, Message)]
struct SavedModel {
    #[prost(message, repeated, tag = "2")]
    meta_graphs: Vec<MetaGraph>,
}

#[derive(Clone, PartialEq, Message)]
struct MetaGraph {
    #[prost(message, optional, tag = "1")]
    meta_info: Option<MetaInfo>,
    #[prost(message, optional, tag = "2")]
    graph: Option<GraphDef>,
    #[prost(btree_map = "string, message", tag = "5")]
    signatures: BTreeMap<String, Signature>,
}

#[derive(Clone, PartialEq, Message)]
struct MetaInfo {
    #[prost(string, repeated, tag = "4")]
    tags: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Signature {
    #[prost(btree_map = "string, message", tag = "1")]
    inputs: BTreeMap<String, TensorInfo>,
    #[prost(btree_map = "string, message", tag = "2")]
    outputs: BTreeMap<String, TensorInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    dtype: i32,
    #[prost(message, optional, tag = "3")]
    shape: Option<TensorShapeProto>,
}

fn shape(dims: &[i64]) -> TensorShapeProto {
    let dim = dims.iter().map(|&size| Dim { size, name: String::new() }).collect();
    TensorShapeProto { dim, unknown_rank: false }
}

fn constant(name: &str, dtype: DataType, value: TensorProto) -> NodeDef {
    let value = TensorProto { dtype: dtype.into(), ..value };
    tfpb::node().name(name).op("Const").attr("dtype", dtype).attr("value", value)
}

/// A constant of this shape that gives one number for all.
fn repeated(name: &str, dims: &[i64]) -> NodeDef {
    let value = TensorProto { tensor_shape: Some(shape(dims)), float_val: vec![1.0], ..Default::default() };
    constant(name, FLOAT, value)
}

fn integers(name: &str, dims: &[i64], values: &[i32]) -> NodeDef {
    let value = TensorProto { tensor_shape: Some(shape(dims)), int_val: values.to_vec(), ..Default::default() };
    constant(name, DataType::DtInt32, value)
}

fn op(name: &str, op: &str, inputs: &[&str]) -> NodeDef {
    let node = tfpb::node().name(name).op(op).attr("T", FLOAT);
    inputs.iter().fold(node, |node, it| node.input(*it))
}

fn function_attr(name: &str) -> AttrValue {
    AttrValue { value: Some(Value::Func(NameAttrList { name: name.to_owned(), ..Default::default() })) }
}

fn call(name: &str, function: &str, input: &str) -> NodeDef {
    tfpb::node().name(name).op("StatefulPartitionedCall").input(input).attr("f", function_attr(function))
}

/// A function of `x` that gives what its last node gives.
fn function(name: &str, nodes: Vec<NodeDef>) -> FunctionDef {
    let argument = |name: &str| ArgDef { name: name.to_owned(), r#type: FLOAT.into(), ..Default::default() };
    let (input_arg, output_arg) = (vec![argument("x")], vec![argument("y")]);
    let signature = OpDef { name: name.to_owned(), input_arg, output_arg, ..Default::default() };
    let ret = [("y".to_owned(), format!("{}:output:0", nodes.last().unwrap().name))].into();
    FunctionDef { signature: Some(signature), node_def: nodes, ret, ..Default::default() }
}

/// Functions that call the next one, so many times each.
fn calls(depth: usize, n: usize) -> Vec<FunctionDef> {
    let one = |level: usize| {
        let next = format!("f{}", level + 1);
        let input = |it: usize| if it == 0 { "x".to_owned() } else { format!("c{}:output:0", it - 1) };
        let nodes: Vec<_> = if level + 1 == depth {
            vec![op("c0", "Identity", &["x"])]
        } else {
            (0..n).map(|it| call(&format!("c{it}"), &next, &input(it))).collect()
        };
        function(&format!("f{level}"), nodes)
    };
    (0..depth).map(one).collect()
}

fn placeholder() -> NodeDef {
    let rows = AttrValue { value: Some(Value::Shape(shape(&[-1, 2]))) };
    tfpb::node().name("x").op("Placeholder").attr("dtype", FLOAT).attr("shape", rows)
}

fn graph(nodes: Vec<NodeDef>) -> GraphDef {
    GraphDef { node: std::iter::once(placeholder()).chain(nodes).collect(), ..Default::default() }
}

fn frozen(name: &str, nodes: Vec<NodeDef>, refusal: &'static str) -> Hostile {
    let files = vec![("model.pb", graph(nodes).encode_to_vec())];
    Hostile { name: format!("frozen_{name}"), files, refusal }
}

/// A model whose signature gives the node `y`.
fn saved(name: &str, nodes: Vec<NodeDef>, functions: Vec<FunctionDef>, refusal: &'static str) -> Hostile {
    let info = |name: &str| TensorInfo { name: name.to_owned(), dtype: FLOAT.into(), shape: Some(shape(&[-1, 2])) };
    let signature =
        Signature { inputs: [("x".to_owned(), info("x:0"))].into(), outputs: [("y".to_owned(), info("y:0"))].into() };
    let library = Some(FunctionDefLibrary { function: functions, gradient: vec![] });
    let meta_graph = MetaGraph {
        meta_info: Some(MetaInfo { tags: vec!["serve".to_owned()] }),
        graph: Some(GraphDef { library, ..graph(nodes) }),
        signatures: [("serving_default".to_owned(), signature)].into(),
    };
    let files = vec![("saved_model.pb", SavedModel { meta_graphs: vec![meta_graph] }.encode_to_vec())];
    Hostile { name: format!("saved_{name}"), files, refusal }
}

/// Graphs that either format can have.
fn graphs() -> Vec<(&'static str, Vec<NodeDef>, &'static str)> {
    let many = 1 << 20;
    let made = |maker: NodeDef, constants: Vec<NodeDef>| {
        let sum = [integers("axes", &[2], &[0, 1]), op("sum", "Sum", &["made", "axes"])];
        let mut res = constants;
        res.push(maker);
        res.extend(sum.into_iter().chain([op("y", "AddV2", &["x", "sum"])]));
        res
    };
    let one = || repeated("one", &[1, 1]);
    let large = |name: &str| integers(name, &[2], &[many, many]);
    let scalar = |name: &str, it: i32| integers(name, &[], &[it]);
    let single = TensorProto { tensor_shape: Some(shape(&[])), float_val: vec![1.0], ..Default::default() };
    let one_of_all = constant("one", FLOAT, single);
    let sum_of = |it: NodeDef| vec![it, op("y", "AddV2", &["x", "w"])];
    let bytes = TensorProto { tensor_shape: Some(shape(&[2, 2])), tensor_content: vec![0; 15], ..Default::default() };
    vec![
        ("cycle", vec![op("y", "AddV2", &["x", "back"]), op("back", "Neg", &["y"])], "cycle"),
        ("own_output", vec![op("y", "AddV2", &["x", "y"])], ""),
        ("unknown_input", vec![op("y", "AddV2", &["x", "nothing"])], "nothing"),
        ("two_of_a_name", vec![op("y", "Neg", &["x"]), op("y", "Abs", &["x"])], "two nodes `y`"),
        (
            "huge_constant",
            sum_of(repeated("w", &[i64::from(many), i64::from(many)])),
            "in constants of repeated values",
        ),
        ("overflowing_constant", sum_of(repeated("w", &[1 << 40, 1 << 40])), ""),
        ("negative_constant", sum_of(repeated("w", &[-2, 2])), ""),
        ("short_constant", sum_of(constant("w", FLOAT, bytes)), "has 15 bytes"),
        ("fill", made(op("made", "Fill", &["dims", "one"]), vec![large("dims"), one_of_all]), "`made` (Fill)"),
        (
            "broadcast",
            made(op("made", "BroadcastTo", &["one", "dims"]), vec![large("dims"), one()]),
            "`made` (BroadcastTo)",
        ),
        (
            "perm",
            vec![
                integers("perm", &[2], &[0, 0]),
                op("hidden", "Identity", &["perm"]),
                op("y", "Transpose", &["x", "hidden"]).attr("Tperm", DataType::DtInt32),
            ],
            "[0, 0] is no order of 2 axes",
        ),
        ("tile", made(op("made", "Tile", &["one", "times"]), vec![large("times"), one()]), "makes a tensor of"),
        (
            "hidden_fill",
            made(
                op("made", "Fill", &["hidden", "all"]),
                vec![large("dims"), op("hidden", "Identity", &["dims"]), scalar("all", 1)],
            ),
            "`made` (Fill)",
        ),
        (
            "range",
            made(
                op("made", "Range", &["zero", "last", "step"]),
                vec![scalar("zero", 0), scalar("last", i32::MAX), scalar("step", 1)],
            ),
            "`made` (Range)",
        ),
        (
            "pad",
            made(op("made", "Pad", &["one", "more"]), vec![integers("more", &[2, 2], &[0, many, 0, many]), one()]),
            "makes a tensor of",
        ),
        (
            "transposed_convolution",
            made(
                op("made", "Conv2DBackpropInput", &["size", "one", "one"])
                    .attr("strides", vec![1, i64::from(many), i64::from(many), 1])
                    .attr("padding", "VALID"),
                vec![integers("size", &[4], &[1, many, many, 1]), repeated("one", &[1, 1, 1, 1])],
            ),
            "makes a tensor of",
        ),
    ]
}

fn saved_models() -> Vec<Hostile> {
    let mut res: Vec<_> =
        graphs().into_iter().map(|(name, nodes, refusal)| saved(name, nodes, vec![], refusal)).collect();
    let start = || vec![call("y", "f0", "x")];
    let circle = vec![function("f0", vec![call("to_g", "g", "x")]), function("g", vec![call("to_f", "f0", "x")])];
    res.push(saved("recursion", start(), circle, "the recursive function f0 → g → f0"));
    res.push(saved(
        "own_call",
        start(),
        vec![function("f0", vec![call("again", "f0", "x")])],
        "the recursive function",
    ));
    res.push(saved("deep_calls", start(), calls(1000, 1), "functions that are nested deeper, more than the 64"));
    res.push(saved("exploding_calls", start(), calls(40, 2), "more nodes after inlining its functions"));
    res.push(saved("no_function", start(), vec![], "calls function `f0`, which is not in the file"));
    let [model, index, shard] =
        ["saved_model.pb", INDEX, SHARD].map(|it| read(&format!("digits/cnn/saved_model/{it}")));
    let whole = |name: String, model: &[u8], index: &[u8], shard: &[u8], refusal| {
        let files = vec![("saved_model.pb", model.to_vec()), (INDEX, index.to_vec()), (SHARD, shard.to_vec())];
        Hostile { name, files, refusal }
    };
    for (part, n) in cuts(&model) {
        res.push(whole(format!("saved_cut_{part}"), &model[..n], &index, &shard, "ends inside"));
    }
    for (part, n) in cuts(&index) {
        res.push(whole(format!("index_cut_{part}"), &model, &index[..n], &shard, "cannot load the weights"));
    }
    for (part, n) in cuts(&shard) {
        res.push(whole(format!("variables_cut_{part}"), &model, &index, &shard[..n], "ends past the data file"));
    }
    let flipped: Vec<u8> = shard.iter().map(|it| it ^ 1).collect();
    res.push(whole("variables_flipped".to_owned(), &model, &index, &flipped, "has checksum"));
    res.push(whole("variables_empty".to_owned(), &model, &index, &[], "ends past the data file"));
    res
}

fn frozen_graphs() -> Vec<Hostile> {
    let mut res: Vec<_> = graphs().into_iter().map(|(name, nodes, refusal)| frozen(name, nodes, refusal)).collect();
    let whole = read("digits/cnn/cnn_frozen.pb");
    for (part, n) in cuts(&whole) {
        res.push(Hostile {
            name: format!("frozen_cut_{part}"),
            files: vec![("model.pb", whole[..n].to_vec())],
            refusal: "",
        });
    }
    let many = vec![op("n", "Neg", &["x"]); 500_000];
    res.push(frozen("many", many, "nodes, more than the 400000 that are read"));
    // Messages in messages, which a decoder follows as deep as they go: a value that is a function with an attribute that is one.
    let mut value: Vec<u8> = vec![];
    for _ in 0..20_000 {
        let entry = [field(1, b"a"), field(2, &value)].concat();
        value = field(10, &[field(1, b"f"), field(2, &entry)].concat());
        if value.len() > 4 << 20 {
            break;
        }
    }
    let attribute = field(5, &[field(1, b"a"), field(2, &value)].concat());
    let node = [field(1, b"y"), field(2, b"Neg"), field(3, b"x"), attribute].concat();
    let bytes = [graph(vec![]).encode_to_vec(), field(1, &node)].concat();
    res.push(Hostile { name: "frozen_deep".to_owned(), files: vec![("model.pb", bytes)], refusal: "" });
    res
}

/// Returns a field of a protobuf message that has a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut res = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut res);
    res.extend_from_slice(content);
    res
}

fn tflites() -> Vec<Hostile> {
    let whole = read("digits/cnn/cnn.tflite");
    let hostile = |name: &str, bytes: Vec<u8>, refusal| Hostile {
        name: format!("tflite_{name}"),
        files: vec![("model.tflite", bytes)],
        refusal,
    };
    let mut res: Vec<_> =
        cuts(&whole).into_iter().map(|(part, n)| hostile(&format!("cut_{part}"), whole[..n].to_vec(), "")).collect();
    let model = root_as_model(&whole).unwrap();
    let graph = model.subgraphs().unwrap().get(0);
    let tensors = graph.tensors().unwrap();
    let operators = graph.operators().unwrap();
    let place = |bytes: &[u8]| bytes.as_ptr() as usize - whole.as_ptr() as usize;
    let changed = |at: usize, numbers: &[i32]| {
        let mut res = whole.clone();
        let bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
        res[at..at + bytes.len()].copy_from_slice(&bytes);
        res
    };
    let input = tensors.get(graph.inputs().unwrap().get(0) as usize).shape().unwrap();
    let rank = input.len();
    let of_input = place(input.bytes());
    res.push(hostile("huge_input", changed(of_input, &vec![1 << 20; rank]), ""));
    res.push(hostile("overflowing_input", changed(of_input, &vec![i32::MAX; rank]), ""));
    res.push(hostile("negative_input", changed(of_input, &vec![-7; rank]), ""));
    let weight = tensors.iter().find(|it| it.shape().is_some_and(|it| it.len() == 4) && it.buffer() > 0).unwrap();
    let weight = (place(weight.shape().unwrap().bytes()), 4);
    res.push(hostile("huge_weight", changed(weight.0, &vec![1 << 20; weight.1]), ""));
    res.push(hostile("overflowing_weight", changed(weight.0, &vec![i32::MAX; weight.1]), ""));
    let first = operators.get(0);
    let (from, to) = (first.inputs().unwrap(), first.outputs().unwrap());
    res.push(hostile("cycle", changed(place(from.bytes()), &[to.get(0)]), ""));
    res.push(hostile("tensor_beyond", changed(place(from.bytes()), &[i32::MAX]), "node 0 names tensor 2147483647"));
    res.push(hostile("output_beyond", changed(place(graph.outputs().unwrap().bytes()), &[1 << 30]), ""));
    res
}

fn read(path: &str) -> Vec<u8> {
    fs::read(fixture(path)).unwrap()
}

/// Returns the places at which a file ends too early, numbered.
fn cuts(bytes: &[u8]) -> Vec<(usize, usize)> {
    (1..N_PARTS).map(|it| (it, bytes.len() * it / N_PARTS)).collect()
}

fn write(folder: &Path, it: &Hostile) -> PathBuf {
    let folder = folder.join(&it.name);
    for (name, bytes) in &it.files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    match &*it.files {
        [(name, _)] if *name != "saved_model.pb" => folder.join(name),
        _ => folder,
    }
}

#[test]
fn hostile_models_are_refused_at_once() {
    if cost::is_measured() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let all = saved_models().into_iter().chain(frozen_graphs()).chain(tflites());
    let faults: Vec<_> =
        all.filter_map(|it| cost::fault(TEST, &it.name, &write(folder.path(), &it), it.refusal)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
