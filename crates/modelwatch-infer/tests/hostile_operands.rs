//! Models whose attributes and operands no operator can have: each is refused before it costs anything, by operator and node.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod common;

use std::fs;

use common::{
    cost,
    proto::{float_tensor, int, ints, model, node, numbers_tensor, text, value},
};
use prost::Message;
use tract_onnx::pb::{AttributeProto, FunctionProto, GraphProto, NodeProto, OperatorSetIdProto, TensorProto};

const TEST: &str = "what_no_operator_can_have_is_refused_at_once";

fn graph(dims: &[i64], node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> GraphProto {
    GraphProto { node, initializer, input: vec![value("x", dims)], output: vec![value("y", &[])], ..Default::default() }
}

fn of_x(op: &str, more: &[&str], attributes: Vec<AttributeProto>) -> Vec<NodeProto> {
    vec![node(op, "", &[&["x"], more].concat(), "y", attributes)]
}

fn scalar(name: &str, it: i64) -> TensorProto {
    TensorProto { dims: vec![], ..numbers_tensor(name, &[it]) }
}

/// The model, and what it is refused with.
fn models() -> Vec<(&'static str, GraphProto, &'static str)> {
    let image = [-1, 1, 4, 4];
    let kernel = || float_tensor("w", &[1, 1, 2, 2], &[1.0; 4]);
    let numbers = numbers_tensor;
    let row = [-1, 4];
    let mel = vec![
        node("MelWeightMatrix", "", &["n", "n", "rate", "low", "high"], "made", vec![]),
        node("ReduceSum", "", &["made"], "sum", vec![int("keepdims", 0)]),
        node("Add", "", &["x", "sum"], "y", vec![]),
    ];
    let ends = |name: &str, it: f32| float_tensor(name, &[], &[it]);
    let mel_operands = vec![scalar("n", 1 << 30), scalar("rate", 16_000), ends("low", 0.0), ends("high", 8e3)];
    let axes: String = ('a'..='l').collect();
    let outer = axes.chars().map(|it| format!("n{it}")).collect::<Vec<_>>().join(",");
    let outer = vec![node("Einsum", "", &["x"; 12], "y", vec![text("equation", &format!("{outer}->n{axes}"))])];
    let scattered = [vec![numbers("i", &[99]), float_tensor("u", &[1, 1], &[1.0])]].concat();
    let scattered = scattered.into_iter().map(|it| TensorProto { dims: vec![1, 1], ..it }).collect();
    vec![
        (
            "perm_twice",
            graph(&row, of_x("Transpose", &[], vec![ints("perm", &[0, 0])]), vec![]),
            "node `the_y` (Transpose) has a permutation that is none: [0, 0] is no order of 2 axes; export it again",
        ),
        (
            "perm_beyond",
            graph(&row, of_x("Transpose", &[], vec![ints("perm", &[0, 2])]), vec![]),
            "node `the_y` (Transpose) has a permutation that is none: axis 2",
        ),
        (
            "perm_long",
            graph(&row, of_x("Transpose", &[], vec![ints("perm", &[0, 2, 1])]), vec![]),
            "node `the_y` (Transpose) has a permutation of 3 axes for a tensor of rank 2",
        ),
        (
            "stride",
            graph(&image, of_x("Conv", &["w"], vec![ints("strides", &[0, 0])]), vec![kernel()]),
            "node `the_y` (Conv) has a stride of 0",
        ),
        (
            "kernel",
            graph(&image, of_x("MaxPool", &[], vec![ints("kernel_shape", &[0, 0])]), vec![]),
            "node `the_y` (MaxPool) has a kernel of 0",
        ),
        (
            "empty_kernel",
            graph(&image, of_x("Conv", &["w"], vec![]), vec![float_tensor("w", &[1, 1, 0, 2], &[])]),
            "node `the_y` (Conv) has weights of shape [1, 1, 0, 2]",
        ),
        (
            "groups",
            graph(&image, of_x("Conv", &["w"], vec![int("group", 0)]), vec![kernel()]),
            "node `the_y` (Conv) has 0 groups",
        ),
        (
            "step",
            graph(
                &row,
                of_x("Slice", &["a", "b", "c", "d"], vec![]),
                vec![numbers("a", &[0]), numbers("b", &[4]), numbers("c", &[1]), numbers("d", &[0])],
            ),
            "node `the_y` (Slice) has a step of 0",
        ),
        (
            "repeats",
            graph(&row, of_x("Tile", &["by"], vec![]), vec![numbers("by", &[1, -1])]),
            "node `the_y` (Tile) repeats its input -1 times",
        ),
        (
            "count",
            graph(
                &row,
                vec![NodeProto {
                    output: vec!["y".to_owned(), "i".to_owned()],
                    ..node("TopK", "", &["x", "k"], "y", vec![])
                }],
                vec![numbers("k", &[1 << 40])],
            ),
            "node `the_y` (TopK) takes 1099511627776 elements of 4",
        ),
        (
            "gathered",
            graph(&row, of_x("Gather", &["i"], vec![int("axis", 1)]), vec![numbers("i", &[99])]),
            "node `the_y` (Gather) takes index 99 of 4",
        ),
        (
            "scattered",
            graph(&[1, 4], of_x("ScatterElements", &["i", "u"], vec![int("axis", 1)]), scattered),
            "node `the_y` (ScatterElements) takes index 99 of 4",
        ),
        ("mel", graph(&row, mel, mel_operands), "node `the_made` (MelWeightMatrix) makes a tensor of"),
        ("outer", graph(&[-1, 10], outer, vec![]), "node `the_y` (Einsum) makes a tensor of"),
        (
            "sum",
            graph(&row, of_x("Sum", &vec!["x"; 200_000], vec![]), vec![]),
            "node `the_y` (Sum) takes 200001 inputs",
        ),
        (
            "sums",
            graph(
                &row,
                vec![
                    node("Sum", "", &vec!["x"; 15_000], "a", vec![]),
                    node("Max", "", &vec!["a"; 15_000], "y", vec![]),
                ],
                vec![],
            ),
            "it has 30000 nodes",
        ),
        (
            "sparse",
            graph(
                &row,
                vec![
                    node(
                        "Constant",
                        "",
                        &[],
                        "c",
                        vec![AttributeProto { name: "sparse_value".to_owned(), ..Default::default() }],
                    ),
                    node("Mul", "", &["x", "c"], "y", vec![]),
                ],
                vec![],
            ),
            "node `the_c` (Constant) has a sparse value, which is not read",
        ),
    ]
}

/// Functions of which each calls the next one twice.
fn doubling_functions() -> Vec<FunctionProto> {
    let opset = |domain: &str| OperatorSetIdProto { domain: domain.to_owned(), version: 13 };
    let one = |level: usize| FunctionProto {
        name: Some(format!("F{level}")),
        domain: Some("my".to_owned()),
        input: vec!["a".to_owned()],
        output: vec!["b".to_owned()],
        node: vec![
            node(&format!("F{}", level + 1), "my", &["a"], "t", vec![]),
            node(&format!("F{}", level + 1), "my", &["t"], "b", vec![]),
        ],
        opset_import: vec![opset(""), opset("my")],
        ..Default::default()
    };
    (0..40).map(one).collect()
}

#[test]
fn what_no_operator_can_have_is_refused_at_once() {
    if cost::is_measured() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for (name, graph, refusal) in models() {
        let path = folder.path().join(name);
        fs::write(&path, model(13, graph).encode_to_vec()).unwrap();
        faults.extend(cost::fault(TEST, name, &path, refusal));
    }
    let mut bomb = model(13, graph(&[-1, 4], vec![node("F0", "my", &["x"], "y", vec![])], vec![]));
    bomb.functions = doubling_functions();
    let path = folder.path().join("functions");
    fs::write(&path, bomb.encode_to_vec()).unwrap();
    faults.extend(cost::fault(TEST, "functions", &path, "its functions come to more than 20000 nodes"));
    assert!(faults.is_empty(), "{faults:#?}");
}
