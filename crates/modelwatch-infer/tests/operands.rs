//! Operands that depend on data, that are empty, or that older versions of an operator have elsewhere.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Npy, assert_close,
    proto::{float_tensor, graph, graph_attribute, int, ints, model, node, numbers_tensor, value},
};
use modelwatch_infer::InferError;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// Returns what nodes make of `x`, whose dimensions are these (-1 is the batch), in this version of ONNX.
fn answer(
    version: i64,
    dims: &[i64],
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    x: &Npy,
) -> Result<Vec<f64>, InferError> {
    common::answer(&model(version, graph(dims, nodes, constants)), x)
}

fn op(op_type: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    node(op_type, "", inputs, output, attributes)
}

fn scalar(name: &str, it: i64) -> TensorProto {
    TensorProto { dims: vec![], ..numbers_tensor(name, &[it]) }
}

fn float_scalar(name: &str, it: f32) -> TensorProto {
    float_tensor(name, &[], &[it])
}

fn row(values: &[f64]) -> Npy {
    Npy { shape: vec![1, values.len()], values: values.to_vec() }
}

#[test]
fn what_data_asks_for_is_made_up_to_a_limit() {
    let of = |x: &[f64], more: &[NodeProto], made: &str| {
        let mut nodes = vec![
            op("ReduceMax", &["x"], "limit", vec![int("keepdims", 0)]),
            op("Range", &["zero", "limit", "one"], "range", vec![]),
        ];
        nodes.extend_from_slice(more);
        nodes.push(op("ReduceSum", &[made], "sum", vec![int("keepdims", 0)]));
        nodes.push(op("Add", &["x", "sum"], "y", vec![]));
        let constants = vec![float_scalar("zero", 0.0), float_scalar("one", 1.0), numbers_tensor("last", &[-1, 1])];
        answer(13, &[-1, 2], nodes, constants, &row(x))
    };
    assert_close("three", &of(&[3.0, 1.0], &[], "range").unwrap(), &[6.0, 4.0]);
    for large in [1e9, 1e12, 1e30] {
        let error = of(&[large, 1.0], &[], "range").unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, InferError::Run { .. }), "{said}");
        assert!(said.contains("node `the_range` (Range) makes a tensor of more than the 2147483648 bytes"), "{said}");
    }
    // None of these is too large alone.
    let table = [op("Reshape", &["range", "last"], "column", vec![]), op("Mul", &["range", "column"], "table", vec![])];
    assert_close("table", &of(&[3.0, 1.0], &table, "table").unwrap(), &[12.0, 10.0]);
    let said = of(&[1e5, 1.0], &table, "table").unwrap_err().to_string();
    assert!(said.contains("makes a tensor of more than the 2147483648 bytes"), "{said}");
}

#[test]
fn a_loop_that_is_never_run_gives_rows_of_its_type_none_of_them() {
    let loop_of = |n: i64, shape: Option<&[i64]>| {
        let mut declared = value("whole", shape.unwrap_or_default());
        if shape.is_none() {
            declared.r#type = None;
        }
        let body = GraphProto {
            node: vec![
                op("Identity", &["goes_on"], "goes_on_still", vec![]),
                op("Identity", &["it"], "same", vec![]),
                op("Cast", &["it"], "whole", vec![int("to", 7)]),
            ],
            input: vec![value("n", &[]), value("goes_on", &[]), value("it", &[-1, 2])],
            output: vec![value("goes_on_still", &[]), value("same", &[-1, 2]), declared],
            ..Default::default()
        };
        let mut repeated = op("Loop", &["times", "", "x"], "last", vec![graph_attribute("body", body)]);
        repeated.output.push("all".to_owned());
        let nodes = vec![
            repeated,
            // Only integers are indices.
            op("Gather", &["table", "all"], "found", vec![]),
            op("ReduceSum", &["found", "axis"], "sum", vec![int("keepdims", 0)]),
            op("Add", &["last", "sum"], "y", vec![]),
        ];
        let table = float_tensor("table", &[3], &[10.0, 20.0, 30.0]);
        let constants = vec![scalar("times", n), table, numbers_tensor("axis", &[0])];
        answer(13, &[-1, 2], nodes, constants, &row(&[1.0, 2.0])).unwrap()
    };
    for shape in [None, Some(&[-1, 2][..])] {
        assert_close("twice", &loop_of(2, shape), &[41.0, 62.0]);
    }
    for shape in [None, Some(&[-1, 2][..]), Some(&[1, 2][..])] {
        assert_close("never", &loop_of(0, shape), &[1.0, 2.0]);
    }
}

#[test]
fn endless_loops_end() {
    let body = GraphProto {
        node: vec![op("Identity", &["goes_on"], "goes_on_still", vec![]), op("Identity", &["it"], "same", vec![])],
        input: vec![value("n", &[]), value("goes_on", &[]), value("it", &[])],
        output: vec![value("goes_on_still", &[]), value("same", &[])],
        ..Default::default()
    };
    let nodes = vec![op("Loop", &["", "", "x"], "y", vec![graph_attribute("body", body)])];
    let said = answer(13, &[-1, 2], nodes, vec![], &row(&[1.0, 2.0])).unwrap_err().to_string();
    assert!(said.contains("the loop does not end after 16384 iterations"), "{said}");
}

#[test]
fn loops_that_say_how_often_they_iterate_are_run() {
    // With a state that grows by so many numbers each time.
    let counted = |n: &str, n_numbers: usize, adds: usize| {
        let mut nodes = vec![op("Identity", &["goes_on"], "goes_on_still", vec![])];
        let sum = |it: usize| if it == adds { "more".to_owned() } else { format!("sum{it}") };
        nodes.extend((0..adds).map(|it| {
            let of = if it == 0 { "it".to_owned() } else { sum(it) };
            op("Add", &[&of, "one"], &sum(it + 1), vec![])
        }));
        nodes.push(op("Concat", &["all", "part"], "all_still", vec![int("axis", 0)]));
        let body = GraphProto {
            node: nodes,
            input: ["n", "goes_on", "it", "all"].map(|it| value(it, &[])).to_vec(),
            output: ["goes_on_still", "more", "all_still"].map(|it| value(it, &[])).to_vec(),
            ..Default::default()
        };
        let mut repeated = op("Loop", &[n, "", "x", "none"], "y", vec![graph_attribute("body", body)]);
        repeated.output.push("grown".to_owned());
        let constants = vec![
            scalar("long", 20_000),
            scalar("longer", 40_000),
            scalar("short", 20),
            float_tensor("one", &[1], &[1.0]),
            float_tensor("none", &[0], &[]),
            float_tensor("part", &[n_numbers as i64], &vec![0.0; n_numbers]),
        ];
        answer(13, &[-1, 1], vec![repeated], constants, &Npy { shape: vec![2, 1], values: vec![0.0, 0.5] })
    };
    assert_close("many iterations", &counted("long", 0, 1).unwrap(), &[20_000.0, 20_000.5]);
    assert_close("more than are asked for", &counted("longer", 0, 3).unwrap(), &[120_000.0, 120_000.5]);
    assert_close("much state", &counted("short", 1 << 17, 1).unwrap(), &[20.0, 20.5]);
    let said = counted("", 1 << 17, 1).unwrap_err().to_string();
    assert!(said.contains("bytes from iteration to iteration, where 8388608 are allowed"), "{said}");
}

#[test]
fn boxes_are_selected_by_limits_of_any_rank() {
    let boxes = [[0.0, 0.0, 1.0, 1.0], [0.0, 0.1, 1.0, 1.1], [0.0, -0.1, 1.0, 0.9], [0.0, 10.0, 1.0, 11.0]];
    let more = [[0.0, 10.1, 1.0, 11.1], [0.0, 100.0, 1.0, 101.0]];
    let boxes: Vec<f32> = boxes.into_iter().chain(more).flatten().collect();
    let scores = Npy { shape: vec![1, 1, 6], values: vec![0.9, 0.75, 0.6, 0.95, 0.5, 0.3] };
    // The sum of the selected places.
    let selected = |limits: [Option<TensorProto>; 3], is_centered: i64| {
        let names = ["count", "overlap", "score"];
        let given: Vec<&str> =
            names.iter().zip(&limits).map(|(name, it)| if it.is_some() { name } else { "" }).collect();
        let nodes = vec![
            op(
                "NonMaxSuppression",
                &[&["boxes", "x"], &given[..]].concat(),
                "s",
                vec![int("center_point_box", is_centered)],
            ),
            op("Cast", &["s"], "f", vec![int("to", 1)]),
            op("ReduceSum", &["f"], "sum", vec![int("keepdims", 0)]),
            op("Add", &["x", "sum"], "y", vec![]),
        ];
        let mut constants = vec![float_tensor("boxes", &[1, 6, 4], &boxes)];
        constants.extend(limits.into_iter().flatten());
        answer(13, &[1, 1, 6], nodes, constants, &scores).unwrap()[0] - 0.9
    };
    let count = |n: i64| Some(scalar("count", n));
    let overlap = || Some(float_scalar("overlap", 0.5));
    let close = |got: f64, wanted: f64| assert!((got - wanted).abs() < 1e-5, "{got}, not {wanted}");
    close(selected([count(3), overlap(), None], 0), 8.0);
    close(
        selected([Some(numbers_tensor("count", &[3])), overlap(), Some(float_tensor("score", &[1], &[0.4]))], 0),
        3.0,
    );
    close(selected([count(2), overlap(), Some(float_scalar("score", 0.0))], 0), 3.0);
    // Nothing may be selected, nor is anything where that is not said.
    close(selected([count(0), overlap(), None], 0), 0.0);
    close(selected([None, None, None], 0), 0.0);
    // As centers and sizes, the same boxes overlap as much.
    close(selected([count(6), overlap(), None], 1), 8.0);
}

#[test]
fn nothing_is_reduced_to_what_a_reduction_begins_with() {
    let of = |reduction: &str, attributes: Vec<AttributeProto>, inputs: &[&str]| {
        let nodes = vec![
            op("Slice", &["x", "zero", "zero", "axis"], "none", vec![]),
            op(reduction, &[&["none"], inputs].concat(), "reduced", attributes),
            op("Add", &["x", "reduced"], "y", vec![]),
        ];
        let constants = vec![numbers_tensor("zero", &[0]), numbers_tensor("axis", &[1])];
        answer(13, &[-1, 2], nodes, constants, &row(&[1.0, 2.0])).unwrap()
    };
    assert_close("sum", &of("ReduceSum", vec![], &["axis"]), &[1.0, 2.0]);
    let axis = || vec![ints("axes", &[-1])];
    assert_close("product", &of("ReduceProd", axis(), &[]), &[2.0, 3.0]);
    assert_close("norm", &of("ReduceL2", axis(), &[]), &[1.0, 2.0]);
    assert_close("mean", &of("ReduceMean", axis(), &[]), &[f64::NAN; 2]);
    assert_close("logarithm", &of("ReduceLogSumExp", axis(), &[]), &[f64::NEG_INFINITY; 2]);
}

#[test]
fn operands_that_were_attributes_are_read() {
    let x = Npy { shape: vec![1, 2, 2], values: vec![1.0, 4.0, 3.0, 2.0] };
    let mut top = op("TopK", &["flat"], "y", vec![int("k", 3), int("axis", 1)]);
    top.output.push("places".to_owned());
    let nodes = vec![op("Reshape", &["x"], "flat", vec![ints("shape", &[0, -1])]), top];
    assert_close("version 1", &answer(1, &[-1, 2, 2], nodes, vec![], &x).unwrap(), &[4.0, 3.0, 2.0]);
}
