//! Functions that a model brings along.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Npy, assert_close, batch, numbers,
    proto::{float, float_tensor, graph_attribute, model, node, tensor_attribute, value},
    threads,
};
use modelwatch_infer::{InferError, Model};
use prost::Message;
use tract_onnx::pb::{AttributeProto, FunctionProto, GraphProto, NodeProto, OperatorSetIdProto, TensorProto};

const VERSION: i64 = 17;

fn op(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    node(op_type, "", inputs, output, vec![])
}

/// A function from `inputs` to `b`, in the domain `my`.
fn function(name: &str, inputs: &[&str], attributes: &[&str], node: Vec<NodeProto>) -> FunctionProto {
    FunctionProto {
        name: Some(name.to_owned()),
        domain: Some("my".to_owned()),
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec!["b".to_owned()],
        attribute: attributes.iter().map(ToString::to_string).collect(),
        node,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: VERSION }],
        ..Default::default()
    }
}

/// Returns what nodes make of rows of two numbers.
fn answer(nodes: Vec<NodeProto>, functions: Vec<FunctionProto>, x: &[f64]) -> Result<Vec<f64>, InferError> {
    let graph = GraphProto {
        node: nodes,
        input: vec![value("x", &[-1, 2])],
        output: vec![value("y", &[])],
        ..Default::default()
    };
    let mut proto = model(VERSION, graph);
    proto.functions = functions;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    std::fs::write(&path, proto.encode_to_vec()).unwrap();
    let x = Npy { shape: vec![x.len() / 2, 2], values: x.to_vec() };
    let outputs = Model::load(&path)?.run(&batch(&[("x", &x)]), threads(1))?;
    Ok(numbers(outputs.column(0)))
}

fn call(name: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    node(name, "my", inputs, output, attributes)
}

fn of_call(name: &str, of: &str) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: 1, ref_attr_name: of.to_owned(), ..Default::default() }
}

fn refusal(nodes: Vec<NodeProto>, functions: Vec<FunctionProto>) -> String {
    answer(nodes, functions, &[1.0, 2.0]).unwrap_err().to_string()
}

#[test]
fn functions_are_put_in_place_of_their_calls() {
    let twice = || function("Twice", &["a"], &[], vec![op("Add", &["a", "a"], "b")]);
    let nodes = vec![call("Twice", &["x"], "double", vec![]), call("Twice", &["double"], "y", vec![])];
    assert_close("twice", &answer(nodes, vec![twice()], &[1.0, -2.0]).unwrap(), &[4.0, -8.0]);

    // Names within are not those around, and functions call others.
    let inner = vec![call("Twice", &["a"], "x", vec![]), call("Twice", &["x"], "y", vec![]), op("Neg", &["y"], "b")];
    let outer = function("Outer", &["a"], &[], inner);
    let nodes = vec![call("Outer", &["x"], "once", vec![]), op("Add", &["once", "x"], "y")];
    assert_close("nested", &answer(nodes, vec![twice(), outer], &[1.0, -2.0]).unwrap(), &[-3.0, 6.0]);

    // A function is called by the name of an operator.
    let mut relu = function("Relu", &["a"], &[], vec![op("Neg", &["a"], "b")]);
    relu.domain = None;
    assert_close("hidden", &answer(vec![op("Relu", &["x"], "y")], vec![relu], &[1.0, -2.0]).unwrap(), &[-1.0, 2.0]);

    // What is passed on is no node of the function.
    let mut same = function("Same", &["a"], &[], vec![]);
    same.output = vec!["a".to_owned()];
    let nodes = vec![call("Same", &["x"], "same", vec![]), op("Neg", &["same"], "y")];
    assert_close("passed on", &answer(nodes, vec![same], &[1.0, -2.0]).unwrap(), &[-1.0, 2.0]);
}

#[test]
fn calls_give_attributes_and_leave_out_inputs() {
    let leaky = node("LeakyRelu", "", &["a"], "b", vec![of_call("alpha", "slope")]);
    let function_of = |attributes: &[&str]| function("Leaky", &["a"], attributes, vec![leaky.clone()]);
    let given = vec![call("Leaky", &["x"], "y", vec![float("slope", 0.5)])];
    assert_close("given", &answer(given, vec![function_of(&["slope"])], &[1.0, -2.0]).unwrap(), &[1.0, -1.0]);
    // Of an attribute that may be left out, the operator has a default.
    let left_out = || vec![call("Leaky", &["x"], "y", vec![])];
    assert_close("default", &answer(left_out(), vec![function_of(&["slope"])], &[1.0, -2.0]).unwrap(), &[1.0, -0.02]);
    // The function has one of its own, which is not decoded.
    let said = refusal(left_out(), vec![function_of(&[])]);
    assert!(said.contains("node `the_y` (Leaky) leaves out `slope`, whose default is not read"), "{said}");

    let clip = function("Clipped", &["a", "low", "high"], &[], vec![op("Clip", &["a", "low", "high"], "b")]);
    let high = tensor_attribute("value", float_tensor("", &[], &[1.5]));
    let nodes = vec![node("Constant", "", &[], "most", vec![high]), call("Clipped", &["x", "", "most"], "y", vec![])];
    assert_close("left out", &answer(nodes, vec![clip], &[7.0, -2.0]).unwrap(), &[1.5, -2.0]);
}

#[test]
fn branches_in_functions_see_what_is_around_them() {
    let branch = |name: &str, op_type: &str| {
        let graph = GraphProto {
            node: vec![op(op_type, &["a"], "made")],
            output: vec![value("made", &[-1, 2])],
            ..Default::default()
        };
        graph_attribute(name, graph)
    };
    let condition = TensorProto { data_type: 9, int32_data: vec![0], ..Default::default() };
    let nodes = vec![
        node("Constant", "", &[], "condition", vec![tensor_attribute("value", condition)]),
        node("If", "", &["condition"], "b", vec![branch("then_branch", "Abs"), branch("else_branch", "Neg")]),
    ];
    let nodes_of_graph = vec![call("Chosen", &["x"], "made", vec![]), op("Add", &["made", "x"], "y")];
    let got = answer(nodes_of_graph, vec![function("Chosen", &["a"], &[], nodes)], &[1.0, -2.0]).unwrap();
    assert_close("chosen", &got, &[0.0, 0.0]);
}

#[test]
fn functions_that_cannot_be_put_in_place_are_refused() {
    let endless = function("Endless", &["a"], &[], vec![call("Endless", &["a"], "b", vec![])]);
    let said = refusal(vec![call("Endless", &["x"], "y", vec![])], vec![endless]);
    assert!(said.contains("calls functions that are nested more than 64 deep; export it without functions"), "{said}");
    let overload = |op_type: &str| function("Twofold", &["a"], &[], vec![op(op_type, &["a"], "b")]);
    let said = refusal(vec![call("Twofold", &["x"], "y", vec![])], vec![overload("Neg"), overload("Abs")]);
    assert!(said.contains("its function `Twofold` is there more than once"), "{said}");
    let mut other = function("Other", &["a"], &[], vec![op("Neg", &["a"], "b")]);
    other.opset_import[0].version = 12;
    let said = refusal(vec![call("Other", &["x"], "y", vec![])], vec![other]);
    let wanted = "node `the_y` (Other) calls a function that is written for version 12 of ONNX's operators, and the model for 17, \
                  where node `the_b` (Neg) is another operator";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn a_function_for_two_versions_of_one_domain_is_refused() {
    let mut twofold = function("Twofold", &["a"], &[], vec![op("Neg", &["a"], "b")]);
    twofold.opset_import.push(OperatorSetIdProto { domain: "ai.onnx".to_owned(), version: VERSION + 1 });
    let said = refusal(vec![call("Twofold", &["x"], "y", vec![])], vec![twofold]);
    let wanted =
        "node `the_y` (Twofold) calls a function that is written for two versions of one domain; export it without";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn functions_of_another_version_are_put_in_place_if_their_operators_are_the_same() {
    let of_version = |version: i64, nodes: Vec<NodeProto>| {
        let mut res = function("Other", &["a"], &[], nodes);
        res.opset_import[0].version = version;
        res
    };
    let call = || vec![call("Other", &["x"], "y", vec![])];
    for version in [13, 21] {
        let other = of_version(version, vec![op("Neg", &["a"], "b")]);
        assert_close("the same", &answer(call(), vec![other], &[1.0, -2.0]).unwrap(), &[-1.0, 2.0]);
    }
    // In version 18 the axes of a reduction are an input, and one that is not known is not the same.
    let said = refusal(call(), vec![of_version(18, vec![op("ReduceMax", &["a"], "b")])]);
    assert!(said.contains("where node `the_b` (ReduceMax) is another operator"), "{said}");
    // Nor is one in a branch.
    let branch = |name: &str, op_type: &str| {
        let graph = GraphProto {
            node: vec![op(op_type, &["a"], "m")],
            output: vec![value("m", &[-1, 2])],
            ..Default::default()
        };
        graph_attribute(name, graph)
    };
    let chosen = node("If", "", &["c"], "b", vec![branch("then_branch", "Abs"), branch("else_branch", "Gelu")]);
    let said = refusal(call(), vec![of_version(18, vec![op("Less", &["a", "a"], "c"), chosen])]);
    assert!(said.contains("where node `the_m` (Gelu) is another operator; export both for one version"), "{said}");
}
