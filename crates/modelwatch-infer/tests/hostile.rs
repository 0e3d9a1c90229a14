//! Models that want something else than to be run: each is refused before it costs anything.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(target_os = "linux")]

mod common;

use std::{fs, io::Write, os::unix::fs::symlink};

use common::{
    cost,
    proto::{float_tensor, graph_attribute, int, ints, model, node, numbers_tensor, tensor_attribute, value},
};
use modelwatch_infer::{Model, TractRuntime};
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, StringStringEntryProto,
    TensorProto,
};

const TEST: &str = "hostile_models_are_refused_at_once";

/// A file, and a part of what it is refused with.
struct Hostile {
    name: &'static str,
    bytes: Vec<u8>,
    refusal: &'static str,
}

fn graph(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> GraphProto {
    GraphProto {
        node,
        initializer,
        input: vec![value("x", &[1, 4])],
        output: vec![value("y", &[])],
        ..Default::default()
    }
}

fn hostile(name: &'static str, graph: GraphProto, refusal: &'static str) -> Hostile {
    Hostile { name, bytes: model(13, graph).encode_to_vec(), refusal }
}

fn op(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    node(op_type, "", inputs, output, vec![])
}

/// Adds to `x` the sum of what a node makes of the initializers.
fn summed(maker: NodeProto, initializer: Vec<TensorProto>) -> GraphProto {
    let made = maker.output[0].clone();
    let sum = node("ReduceSum", "", &[&made], "sum", vec![int("keepdims", 0)]);
    graph(vec![maker, sum, op("Add", &["x", "sum"], "y")], initializer)
}

fn filled(shape: &[i64]) -> GraphProto {
    let one = tensor_attribute("value", float_tensor("", &[1], &[1.0]));
    summed(node("ConstantOfShape", "", &["shape"], "made", vec![one]), vec![numbers_tensor("shape", shape)])
}

fn product(w: TensorProto) -> GraphProto {
    graph(vec![op("MatMul", &["x", "w"], "y")], vec![w])
}

fn weight(data_type: i32, dims: &[i64], n_bytes: usize) -> TensorProto {
    let raw_data = vec![0; n_bytes];
    TensorProto { name: "w".to_owned(), data_type, dims: dims.to_vec(), raw_data, ..Default::default() }
}

/// A weight of 4 × 4 numbers somewhere else.
fn external(fields: &[(&str, &str)]) -> GraphProto {
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto { key: key.to_string(), value: value.to_string() };
    let external_data = fields.iter().map(entry).collect();
    product(TensorProto { external_data, data_location: Some(1), ..weight(1, &[4, 4], 0) })
}

fn chain(n: usize) -> GraphProto {
    let name = |it: usize| if it == n { "y".to_owned() } else { format!("chain{it}") };
    let mut nodes = vec![op("Relu", &["x"], &name(0))];
    nodes.extend((0..n).map(|it| op("Relu", &[&name(it)], &name(it + 1))));
    graph(nodes, vec![])
}

/// Each value is two of the one before.
fn doubling(n: usize, op_type: &str, attributes: &[AttributeProto]) -> GraphProto {
    let name = |it: usize| if it == 0 { "x".to_owned() } else { format!("double{it}") };
    let double = |it: usize| node(op_type, "", &[&name(it), &name(it)], &name(it + 1), attributes.to_vec());
    let mut nodes: Vec<_> = (0..n).map(double).collect();
    nodes.push(node("ReduceSum", "", &[&name(n)], "y", vec![int("keepdims", 0)]));
    graph(nodes, vec![])
}

/// What a node makes of `it` as `it_still`, so many times.
fn looped(maker: NodeProto, n: i64) -> GraphProto {
    let body = GraphProto {
        node: vec![maker, op("Identity", &["goes_on"], "goes_on_still")],
        input: vec![value("n", &[]), value("goes_on", &[]), value("it", &[])],
        output: vec![value("goes_on_still", &[]), value("it_still", &[])],
        ..Default::default()
    };
    let repeated = node("Loop", "", &["most", "", "x"], "all", vec![graph_attribute("body", body)]);
    let largest = node("ReduceMax", "", &["all"], "y", vec![ints("axes", &[1])]);
    graph(vec![repeated, largest], vec![TensorProto { dims: vec![], ..numbers_tensor("most", &[n]) }])
}

/// Conditions in conditions: both branches of each are another one.
fn nested(depth: usize, branches: &[&str]) -> GraphProto {
    let one = || tensor_attribute("value", float_tensor("", &[1], &[1.0]));
    let output = format!("nested{depth}");
    let mut res = GraphProto { output: vec![value(&output, &[])], name: "nested".to_owned(), ..Default::default() };
    if depth == 0 {
        res.node = vec![node("Constant", "", &[], &output, vec![one()])];
        return res;
    }
    let condition = TensorProto { data_type: 9, int32_data: vec![1], ..Default::default() };
    let name = format!("condition{depth}");
    res.node.push(node("Constant", "", &[], &name, vec![tensor_attribute("value", condition)]));
    let leaf = |it: &&str| if branches.contains(it) { nested(depth - 1, branches) } else { nested(0, branches) };
    let branch = |it: &&str| {
        let mut graph = leaf(it);
        graph.output[0].name = graph.node.last().unwrap().output[0].clone();
        graph_attribute(it, graph)
    };
    let branches = ["then_branch", "else_branch"].iter().map(branch).collect();
    res.node.push(node("If", "", &[&name], &output, branches));
    res
}

fn conditions(depth: usize, branches: &[&str]) -> GraphProto {
    let mut res = nested(depth, branches);
    let made = format!("nested{depth}");
    res.node.push(op("Add", &["x", &made], "y"));
    graph(res.node, vec![])
}

fn structures() -> Vec<Hostile> {
    let twice = vec![op("Relu", &["x"], "y"), op("Neg", &["x"], "y")];
    let cycle = vec![op("Relu", &["b"], "a"), op("Relu", &["a"], "b"), op("Add", &["x", "a"], "y")];
    let message =
        |depth: usize| (0..depth).fold(vec![], |inner: Vec<u8>, _| [&[0x3a, inner.len() as u8], &*inner].concat());
    let no_output = GraphProto { output: vec![value("nowhere", &[])], ..graph(vec![op("Relu", &["x"], "y")], vec![]) };
    vec![
        hostile("cycle", graph(cycle, vec![]), "needs its own output"),
        hostile("unknown_input", graph(vec![op("Add", &["x", "z"], "y")], vec![]), "takes `z`, which nothing gives"),
        hostile("unknown_output", no_output, "output `nowhere`"),
        hostile("defined_twice", graph(twice, vec![]), "gives `y`, and so does another output"),
        hostile("deep50k", chain(50_000), "it has 50001 nodes"),
        hostile("nest12", conditions(12, &["then_branch", "else_branch"]), "nested graphs"),
        hostile("nest20", conditions(20, &["then_branch"]), "nests graphs more than 16 deep"),
        hostile("nest40", conditions(40, &["then_branch"]), "nested"),
        Hostile { name: "empty_messages", bytes: [vec![8, 8], message(60)].concat(), refusal: "" },
        Hostile {
            name: "empty_nodes",
            bytes: {
                let nodes = b"\x0a\x00".repeat(600_000);
                let length = [
                    0x80 | (nodes.len() & 0x7f) as u8,
                    0x80 | (nodes.len() >> 7 & 0x7f) as u8,
                    (nodes.len() >> 14) as u8,
                ];
                [&[8, 8, 0x3a][..], &length, &nodes].concat()
            },
            refusal: "600000 nodes",
        },
    ]
}

fn tensors() -> Vec<Hostile> {
    let text = vec![weight(8, &[4], 16)];
    let at = |location: &'static str| external(&[("location", location), ("offset", "0"), ("length", "64")]);
    let beyond = external(&[("location", "good.bin"), ("offset", "1099511627776"), ("length", "64")]);
    let long = external(&[("location", "good.bin"), ("offset", "0"), ("length", "1099511627776")]);
    let wrapped = external(&[("location", "good.bin"), ("offset", "18446744073709551615"), ("length", "64")]);
    vec![
        hostile("negdim", product(weight(1, &[-1, 4], 64)), "initializer `w` has the shape [-1, 4]"),
        hostile("hugedim", product(weight(1, &[1 << 40, 1 << 20], 64)), "initializer `w` has the shape"),
        hostile("shortraw", product(weight(1, &[400, 400], 64)), "has 64 bytes of data, not the 640000"),
        hostile("complex", product(weight(14, &[4, 4], 128)), "Complex64"),
        hostile("strraw", graph(vec![op("Identity", &["w"], "y")], text), "has text as raw data"),
        hostile("traversal", at("../../../../../etc/passwd"), "not inside the folder of the model"),
        hostile("nested_traversal", at("real/../../../../etc/passwd"), "not inside the folder of the model"),
        hostile("absolute", at("/etc/passwd"), "not inside the folder of the model"),
        hostile("symlink", at("link.bin"), "goes through a symbolic link"),
        hostile("symlinked_folder", at("folder/s.bin"), "goes through a symbolic link"),
        hostile("hard_link", at("hard.bin"), "has another name as a hard link"),
        hostile("folder", at("real"), "names the data file `real`"),
        hostile("missing", at("nowhere.bin"), "names the data file `nowhere.bin`"),
        hostile("device", at("../../dev/zero"), "not inside the folder of the model"),
        hostile("beyond", beyond, "needs 64 bytes from 1099511627776"),
        hostile("long", long, "says that it is 1099511627776"),
        hostile("wrapped", wrapped, "needs 64 bytes from 18446744073709551615"),
    ]
}

fn bombs() -> Vec<Hostile> {
    let wide = |name: &str| numbers_tensor(name, &[1 << 16, 1 << 16]);
    let image = |attribute| node("Pad", "", &["x", "pads"], "made", attribute);
    let expanded = op("Expand", &["one", "shape"], "made");
    let one = || float_tensor("one", &[1], &[1.0]);
    let scalar = |name: &str, value: i64| TensorProto { dims: vec![], ..numbers_tensor(name, &[value]) };
    let computed = |how: &str| {
        let made = op("Expand", &["one", "product"], "made");
        let mut res = summed(made, vec![one(), numbers_tensor("a", &[1 << 16]), numbers_tensor("b", &[1 << 20])]);
        res.node.insert(0, op(how, &["a", "b"], "product"));
        res
    };
    // What is made depends on the input by its shape alone, so that it is known when rows are.
    let mut shaped =
        summed(op("Expand", &["one", "product"], "made"), vec![one(), numbers_tensor("by", &[1 << 18, 1 << 18])]);
    shaped.node.insert(0, op("Mul", &["shape", "by"], "product"));
    shaped.node.insert(0, op("Shape", &["x"], "shape"));
    let mut unknown =
        summed(op("Expand", &["one", "product"], "made"), vec![one(), numbers_tensor("by", &[1 << 40, 3])]);
    // Numbers that are not followed, and a kernel of this project that keeps the graph from being compiled.
    unknown.node.insert(0, op("CumProd", &["by", "axis"], "product"));
    unknown.initializer.push(scalar("axis", 0));
    let outer = vec![op("Reshape", &["column", "shape"], "flat"), op("MatMul", &["column", "flat"], "made")];
    let column = float_tensor("column", &[100_000, 1], &[0.0; 100_000]);
    let mut outer = GraphProto { node: outer, ..Default::default() };
    let rest = summed(op("Abs", &["made"], "size"), vec![column, numbers_tensor("shape", &[1, -1])]);
    outer.node.extend(rest.node.clone());
    let outer = GraphProto { node: outer.node, ..rest };
    vec![
        hostile(
            "bomb16g",
            filled(&[1 << 16, 1 << 16]),
            "node `the_made` (ConstantOfShape) makes a tensor of shape [65536, 65536], 16 GiB",
        ),
        hostile("bomb_overflow", filled(&[1 << 31, 1 << 31]), "node `the_made` (ConstantOfShape)"),
        hostile("bomb1g", filled(&[1 << 14, 1 << 14]), "1 GiB"),
        hostile("expand", summed(expanded, vec![one(), wide("shape")]), "(Expand)"),
        hostile(
            "tile",
            summed(op("Tile", &["square", "by"], "made"), vec![float_tensor("square", &[1, 1], &[1.0]), wide("by")]),
            "(Tile)",
        ),
        hostile(
            "range",
            summed(
                op("Range", &["from", "to", "step"], "made"),
                vec![scalar("from", 0), scalar("to", 1 << 40), scalar("step", 1)],
            ),
            "(Range)",
        ),
        hostile("pad", summed(image(vec![]), vec![numbers_tensor("pads", &[0, 0, 1 << 20, 1 << 20])]), "(Pad)"),
        hostile(
            "resize",
            summed(
                node("Upsample", "", &["x", "scales"], "made", vec![]),
                vec![float_tensor("scales", &[2], &[1e6, 1e6])],
            ),
            "(Upsample)",
        ),
        hostile(
            "gather",
            summed(
                op("Gather", &["table", "at"], "made"),
                vec![float_tensor("table", &[1, 50_000], &[0.0; 50_000]), numbers_tensor("at", &[0; 50_000])],
            ),
            "(Gather)",
        ),
        hostile(
            "one_hot",
            summed(
                op("OneHot", &["at", "depth", "values"], "made"),
                vec![
                    numbers_tensor("at", &[0; 1000]),
                    scalar("depth", 1 << 40),
                    float_tensor("values", &[2], &[0.0, 1.0]),
                ],
            ),
            "(OneHot)",
        ),
        hostile("window", summed(op("HannWindow", &["size"], "made"), vec![scalar("size", 1 << 40)]), "HannWindow"),
        hostile("computed_product", computed("Mul"), "(Expand)"),
        hostile(
            "computed_concat",
            GraphProto {
                node: {
                    let mut it = computed("Concat").node;
                    it[0].attribute = vec![int("axis", 0)];
                    it
                },
                ..computed("Concat")
            },
            "(Expand)",
        ),
        hostile("outer_product", outer, "(MatMul)"),
        hostile("shaped", shaped, "(Expand)"),
        hostile("unknown", unknown, "makes a tensor of shape"),
        hostile("concat2e36", doubling(36, "Concat", &[int("axis", 1)]), "(Concat)"),
        hostile(
            "kernel",
            graph(
                vec![node(
                    "MaxPool",
                    "",
                    &["image"],
                    "y",
                    vec![ints("kernel_shape", &[1, 1]), ints("pads", &[1 << 20; 4])],
                )],
                vec![float_tensor("image", &[1, 1, 1, 1], &[1.0])],
            ),
            "(MaxPool)",
        ),
        hostile(
            "in_a_branch",
            {
                let mut branch = filled(&[1 << 16, 1 << 16]);
                branch.input.clear();
                let branches = ["then_branch", "else_branch"].map(|it| graph_attribute(it, branch.clone()));
                let condition = TensorProto {
                    dims: vec![1],
                    name: "condition".to_owned(),
                    data_type: 9,
                    int32_data: vec![1],
                    ..Default::default()
                };
                graph(vec![node("If", "", &["condition"], "y", branches.to_vec())], vec![condition])
            },
            "(ConstantOfShape)",
        ),
        hostile(
            "endless_sequence",
            {
                let body = GraphProto {
                    node: vec![
                        op("SequenceConstruct", &["it", "it"], "it_twice"),
                        op("Identity", &["goes_on"], "goes_on_still"),
                    ],
                    input: vec![value("n", &[]), value("goes_on", &[]), value("it", &[])],
                    output: vec![value("goes_on_still", &[]), value("it_twice", &[])],
                    ..Default::default()
                };
                let most = scalar("most", 1 << 20);
                let repeated = node("Loop", "", &["most", "", "list"], "all", vec![graph_attribute("body", body)]);
                let first = node("SequenceAt", "", &["all", "zero"], "y", vec![]);
                graph(vec![op("SequenceConstruct", &["x"], "list"), repeated, first], vec![most, scalar("zero", 0)])
            },
            "a sequence is no element of a sequence",
        ),
        hostile("endless_loop", looped(op("Relu", &["it"], "it_still"), 1 << 60), "(Relu) takes"),
        hostile(
            "growing_state",
            looped(node("Concat", "", &["it", "it"], "it_still", vec![int("axis", 1)]), 60),
            "bytes from iteration to iteration, where 8388608 are allowed",
        ),
    ]
}

/// An uncompressed archive.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut res = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        // Not by `set_path`, which refuses what a hostile archive has.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        res.append(&header, *bytes).unwrap();
    }
    res.into_inner().unwrap()
}

/// A tensor of an NNEF model of which only the header is there, and eight bytes.
fn nnef_tensor(n_bytes: u32, dims: &[u32], bits: u32, item_type: [u8; 4]) -> Vec<u8> {
    let mut res = vec![0; 136];
    let mut put = |at: usize, it: u32| res[at..at + 4].copy_from_slice(&it.to_le_bytes());
    put(0, u32::from_le_bytes([0x4e, 0xef, 1, 0]));
    put(4, n_bytes);
    put(8, dims.len() as u32);
    dims.iter().take(8).enumerate().for_each(|(axis, it)| put(12 + 4 * axis, *it));
    put(44, bits);
    put(48, u32::from_le_bytes(item_type));
    res
}

fn nnef(name: &'static str, body: &str, more: &[(&str, &[u8])], refusal: &'static str) -> Hostile {
    let graph =
        format!("version 1.0;\ngraph g(x) -> (y) {{ x = external<scalar>(shape = [1, 4]); {body} y = relu(x); }}");
    let files = [&[("graph.nnef", graph.as_bytes())], more].concat();
    Hostile { name, bytes: archive(&files), refusal }
}

fn nnefs() -> Vec<Hostile> {
    const FLOATS: [u8; 4] = [0; 4];
    const TEXTS: [u8; 4] = [0x00, 0x10, b'R', b'T'];
    let weight = "w = variable<scalar>(label = 'w', shape = [4, 4]);";
    let tensor = |name, bytes: Vec<u8>, refusal| nnef(name, weight, &[("w.dat", &bytes)], refusal);
    let zeros = vec![0; 64 << 20];
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&archive(&[("other.bin", &zeros)])).unwrap();
    let nested = format!("z = {}x{};", "(".repeat(60), ")".repeat(60));
    let many = 1 << 16;
    vec![
        tensor("nnef_16g", nnef_tensor(u32::MAX, &[many, many / 4], 32, FLOATS), "`w.dat` has 8 bytes of data"),
        tensor("nnef_texts", nnef_tensor(0, &[many, many], u32::MAX, TEXTS), "`w.dat` has 8 bytes of data"),
        tensor("nnef_overflow", nnef_tensor(8, &[u32::MAX; 8], 32, FLOATS), "which no tensor has"),
        tensor("nnef_axes", nnef_tensor(8, &[1; 9], 32, FLOATS), "has 9 axes"),
        tensor("nnef_short", vec![0x4e, 0xef], "`w.dat` ends within its header"),
        nnef("nnef_nested", &nested, &[], "expressions are nested too deeply"),
        nnef("nnef_tile", "z = tile([[1.0]], repeats = [1048576, 1048576]);", &[], "`z` (tile)"),
        nnef("nnef_pad", "z = pad([[1.0]], padding = [(0, 1048576), (0, 1048576)]);", &[], "`z` (pad)"),
        nnef("nnef_unknown", "z = mystery(x);", &[], "mystery (node `z`)"),
        nnef("nnef_outside", "", &[("../w.dat", &[0; 200])], "`../w.dat` is no name of a file in it"),
        nnef("nnef_twice", "", &[("graph.nnef", b"version 1.0;")], "`graph.nnef` is there twice"),
        nnef("nnef_model_in_it", "", &[("inner/graph.nnef", b"version 1.0;")], "is a model in the model"),
        Hostile { name: "nnef_packed", bytes: packed.finish().unwrap(), refusal: "unpacks to more than" },
    ]
}

#[test]
fn hostile_models_are_refused_at_once() {
    if cost::is_measured() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("good.bin"), [0; 64]).unwrap();
    fs::write(at("other.bin"), [0; 64]).unwrap();
    fs::hard_link(at("other.bin"), at("hard.bin")).unwrap();
    symlink("/etc/passwd", at("link.bin")).unwrap();
    fs::create_dir(at("real")).unwrap();
    fs::write(at("real/s.bin"), [0; 64]).unwrap();
    symlink("real", at("folder")).unwrap();
    let mut faults = Vec::new();
    for Hostile { name, bytes, refusal } in structures().into_iter().chain(tensors()).chain(bombs()).chain(nnefs()) {
        let path = at(&format!("{name}.onnx"));
        fs::write(&path, bytes).unwrap();
        faults.extend(cost::fault(TEST, name, &path, refusal));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_link_in_a_folder_is_no_part_of_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let graph = "version 1.0;\ngraph g(x) -> (y) { x = external<scalar>(shape = [1, 4]); y = relu(x); }";
    fs::write(folder.path().join("graph.nnef"), graph).unwrap();
    Model::load(folder.path()).unwrap();
    symlink("/dev/zero", folder.path().join("w.dat")).unwrap();
    let said = Model::load(folder.path()).err().unwrap().to_string();
    assert!(said.contains("`w.dat` is a link, or no plain file; put the file itself there"), "{said}");
}

#[test]
fn external_data_beneath_the_folder_is_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let diagonal: Vec<u8> = (0..16).flat_map(|it| (f32::from(u8::from(it % 5 == 0)) * 2.0).to_le_bytes()).collect();
    fs::write(folder.path().join("data/w.bin"), [vec![0; 8], diagonal].concat()).unwrap();
    let graph = external(&[("location", "./data/w.bin"), ("offset", "8"), ("length", "64")]);
    let path = folder.path().join("model.onnx");
    fs::write(&path, model(13, graph).encode_to_vec()).unwrap();
    let x = common::Npy { shape: vec![1, 4], values: vec![1.0, 2.0, 3.0, 4.0] };
    let outputs = Model::load(&path).unwrap().run(&common::batch(&[("x", &x)]), common::threads(1)).unwrap();
    common::assert_close("doubled", &common::numbers(outputs.column(0)), &[2.0, 4.0, 6.0, 8.0]);
}

#[test]
fn a_model_says_whether_all_of_it_is_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("w.bin"), [1; 64]).unwrap();
    let elsewhere = || external(&[("location", "w.bin"), ("offset", "0"), ("length", "64")]);
    let one_file = model(13, product(weight(1, &[4, 4], 64)));
    // A function that nobody calls refers to it all the same.
    let constant = tensor_attribute("value", elsewhere().initializer.remove(0));
    let function = FunctionProto {
        name: Some("f".to_owned()),
        node: vec![node("Constant", "", &[], "w", vec![constant])],
        ..FunctionProto::default()
    };
    let with_function = ModelProto { functions: vec![function], ..one_file.clone() };
    // So does a sparse constant, and what is of a type that nobody knows.
    let mut sparse = node("Constant", "", &[], "unused", vec![]);
    sparse.attribute.push(AttributeProto {
        name: "sparse_value".to_owned(),
        sparse_tensor: Some(SparseTensorProto { values: elsewhere().initializer.pop(), ..Default::default() }),
        ..Default::default()
    });
    let function = FunctionProto { name: Some("f".to_owned()), node: vec![sparse], ..FunctionProto::default() };
    let with_sparse = ModelProto { functions: vec![function], ..one_file.clone() };
    let mut unknown = elsewhere().initializer.remove(0);
    unknown.data_type = 99;
    let constant = node("Constant", "", &[], "unused", vec![tensor_attribute("value", unknown)]);
    let function = FunctionProto { name: Some("f".to_owned()), node: vec![constant], ..FunctionProto::default() };
    let with_unknown = ModelProto { functions: vec![function], ..one_file.clone() };
    for (proto, expected) in [
        (one_file, true),
        (model(13, elsewhere()), false),
        (with_function, false),
        (with_sparse, false),
        (with_unknown, false),
    ] {
        let path = folder.path().join("model.onnx");
        fs::write(&path, proto.encode_to_vec()).unwrap();
        assert_eq!(Model::load(&path).unwrap().info().is_one_file, expected, "{proto:?}");
    }
    for (path, expected) in [("digits/cnn/cnn.tflite", true), ("digits/cnn/saved_model", false)] {
        assert_eq!(Model::load(&common::fixture(path)).unwrap().info().is_one_file, expected, "{path}");
    }
}

#[test]
fn weights_beside_a_model_are_part_of_what_is_known_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let graph = external(&[("location", "w.bin"), ("offset", "0"), ("length", "64")]);
    fs::write(&path, model(13, graph).encode_to_vec()).unwrap();
    let kept = folder.path().join("kept");
    for (weight, n_kept) in [(1_u8, 1), (1, 1), (2, 2)] {
        fs::write(folder.path().join("w.bin"), [weight; 64]).unwrap();
        Model::load_with(&TractRuntime::keeping_self_tests(kept.clone()), &path).unwrap();
        assert_eq!(fs::read_dir(&kept).unwrap().count(), n_kept, "{weight}");
    }
}
