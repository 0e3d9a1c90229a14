//! Models of a few bytes that take minutes: each is refused before it costs anything.
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![cfg(target_os = "linux")]

mod common;

use std::fs;

use common::{
    Npy, answer, cost,
    proto::{float_tensor, graph_attribute, int, ints, model, node, numbers_tensor, text, value},
};
use prost::Message;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

const TEST: &str = "models_that_take_too_long_are_refused_at_once";

fn op(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    node(op_type, "", inputs, output, vec![])
}

fn graph(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> GraphProto {
    common::proto::graph(&[1, 4], node, initializer)
}

/// A 1 as a tensor of each of these shapes, `a` and `b`, and what a node makes of them, the sum of which is added to `x`.
fn of_ones(shapes: &[&[i64]], op_type: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> GraphProto {
    let mut nodes = vec![];
    let mut constants = vec![float_tensor("one", &[], &[1.0])];
    for (name, shape) in ["a", "b"].into_iter().zip(shapes) {
        nodes.push(op("Expand", &["one", &format!("{name}_shape")], name));
        constants.push(numbers_tensor(&format!("{name}_shape"), shape));
    }
    constants.push(numbers_tensor("ten", &[10]));
    constants.push(TensorProto { dims: vec![], ..numbers_tensor("first", &[0]) });
    nodes.push(node(op_type, "", inputs, "made", attributes));
    nodes.push(node("ReduceMax", "", &["made"], "largest", vec![int("keepdims", 0)]));
    nodes.push(op("Add", &["x", "largest"], "y"));
    graph(nodes, constants)
}

/// A product with a matrix of ones, so many times.
fn repeated_product(n: i64) -> GraphProto {
    let body = GraphProto {
        node: vec![op("MatMul", &["it", "a"], "it_still"), op("Identity", &["goes_on"], "goes_on_still")],
        input: vec![value("n", &[]), value("goes_on", &[]), value("it", &[1, 2000])],
        output: vec![value("goes_on_still", &[]), value("it_still", &[])],
        ..Default::default()
    };
    let nodes = vec![
        op("Expand", &["one", "a_shape"], "a"),
        op("Tile", &["x", "by"], "wide"),
        node("Loop", "", &["n_trips", "", "wide"], "y", vec![graph_attribute("body", body)]),
    ];
    let constants = vec![
        float_tensor("one", &[], &[1.0]),
        numbers_tensor("a_shape", &[2000, 2000]),
        numbers_tensor("by", &[1, 500]),
        TensorProto { dims: vec![], ..numbers_tensor("n_trips", &[n]) },
    ];
    graph(nodes, constants)
}

/// A product with a matrix of ones for each row, so many after one another.
fn row_products(n: usize) -> GraphProto {
    let mut nodes = vec![
        op("Expand", &["one", "a_shape"], "a"),
        node("ReduceSum", "", &["x"], "sum", vec![int("keepdims", 1)]),
        op("Mul", &["sum", "a"], "made0"),
    ];
    nodes.extend((0..n).map(|it| op("MatMul", &[&format!("made{it}"), "a"], &format!("made{}", it + 1))));
    nodes.push(node("ReduceMax", "", &[&format!("made{n}")], "y", vec![ints("axes", &[1])]));
    graph(nodes, vec![float_tensor("one", &[], &[1.0]), numbers_tensor("a_shape", &[4000, 4000])])
}

/// Additions of one number, one after another.
fn additions(n: usize) -> GraphProto {
    let name = |it: usize| if it == 0 { "x".to_owned() } else { format!("added{it}") };
    let mut nodes: Vec<_> = (0..n).map(|it| op("Add", &[&name(it), "one"], &name(it + 1))).collect();
    nodes.push(op("Identity", &[&name(n)], "y"));
    graph(nodes, vec![float_tensor("one", &[], &[1.0])])
}

/// By name: a model, and a part of what it is refused with.
fn slow() -> Vec<(&'static str, GraphProto, &'static str)> {
    let image: &[i64] = &[1, 1, 4096, 4096];
    let kernel = || vec![ints("kernel_shape", &[2048, 2048])];
    let products = || vec![text("equation", "ij,jk,kl->il")];
    let line: &[i64] = &[100_000_000];
    let refused = |name: &'static str, graph: GraphProto, what: &'static str| (name, graph, what);
    vec![
        refused(
            "einsum",
            of_ones(&[&[10_000; 2]], "Einsum", &["a"; 3], products()),
            "(Einsum) takes 1.0e16 operations",
        ),
        refused("matmul", of_ones(&[&[10_000; 2]], "MatMul", &["a", "a"], vec![]), "(MatMul) takes 1.0e12 operations"),
        refused(
            "stacked",
            of_ones(&[&[100_000, 1, 1000], &[1000, 200]], "MatMul", &["a", "b"], vec![]),
            "(MatMul) takes 2.0e10 operations for what no input changes, more than the 1e10 that are allowed",
        ),
        refused("gemm", of_ones(&[&[10_000; 2]], "Gemm", &["a", "a"], vec![]), "(Gemm) takes 1.0e12"),
        refused("max", of_ones(&[image], "MaxPool", &["a"], kernel()), "(MaxPool) takes"),
        refused(
            "rounded_up",
            of_ones(&[image], "MaxPool", &["a"], [kernel(), vec![int("ceil_mode", 1)]].concat()),
            "(MaxPool) takes",
        ),
        refused(
            "padded",
            of_ones(&[image], "AveragePool", &["a"], [kernel(), vec![text("auto_pad", "SAME_UPPER")]].concat()),
            "(AveragePool) takes",
        ),
        refused(
            "dilated",
            of_ones(&[image, &[1, 1, 1024, 1024]], "Conv", &["a", "b"], vec![ints("dilations", &[2, 2])]),
            "(Conv) takes 4.4e12",
        ),
        refused(
            "transposed",
            of_ones(&[image, &[1, 1, 1024, 1024]], "ConvTranspose", &["a", "b"], vec![]),
            "(ConvTranspose) takes 1.8e13",
        ),
        refused("lrn", of_ones(&[&[1, 10_000, 100, 100]], "LRN", &["a"], vec![int("size", 1_000_001)]), "(LRN) takes"),
        refused("top", of_ones(&[line], "TopK", &["a", "ten"], vec![]), "(TopK) takes"),
        refused("sums", of_ones(&[line], "CumSum", &["a", "first"], vec![]), "(CumSum) takes"),
        refused("places", of_ones(&[line], "NonZero", &["a"], vec![]), "(NonZero) takes"),
        refused("loop", repeated_product(1 << 20), "node `the_it_still` (MatMul) takes 4.2e12 operations for one row"),
        refused("row", row_products(17), "for one row, with the nodes before it, more than the 1e12 that are allowed"),
        refused("shared", additions(19_000), "nodes that take `one`"),
    ]
}

#[test]
fn models_that_take_too_long_are_refused_at_once() {
    if cost::is_measured() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for (name, graph, refusal) in slow() {
        let path = folder.path().join(format!("{name}.onnx"));
        fs::write(&path, model(13, graph).encode_to_vec()).unwrap();
        faults.extend(cost::fault(TEST, name, &path, refusal));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn what_the_data_makes_large_is_refused_as_it_is_run() {
    let nodes = vec![
        node("ReduceMax", "", &["x"], "largest", vec![ints("axes", &[1]), int("keepdims", 0)]),
        node("Cast", "", &["largest"], "n", vec![int("to", 7)]),
        node("Concat", "", &["unit", "n", "unit", "unit"], "shape", vec![int("axis", 0)]),
        op("Expand", &["one", "shape"], "image"),
        node("LRN", "", &["image"], "normal", vec![int("size", 1_000_001)]),
        node("ReduceMax", "", &["normal"], "most", vec![int("keepdims", 0)]),
        op("Add", &["x", "most"], "y"),
    ];
    let constants = vec![float_tensor("one", &[1, 1, 1, 1], &[1.0]), numbers_tensor("unit", &[1])];
    let model = model(13, graph(nodes, constants));
    let of = |n: f64| answer(&model, &Npy { shape: vec![1, 4], values: vec![n, 0.0, 0.0, 0.0] });
    assert_eq!(of(4.0).unwrap().len(), 4);
    let said = of(1_048_576.0).unwrap_err().to_string();
    assert!(said.contains("(LRN): it takes 5.2e12 operations"), "{said}");
}
