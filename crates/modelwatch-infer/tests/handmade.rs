//! Small ONNX models, each made for one rule.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::PathBuf;

use arrow_array::{ArrayRef, cast::AsArray};
use common::{
    Npy, assert_close, batch, numbers,
    proto::{
        float, float_tensor, floats, graph_attribute, int, ints, model, node, numbers_tensor, strings, text, value,
    },
    threads,
};
use modelwatch_infer::{InferError, Model};
use prost::Message;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// Writes a model from `x` with these dimensions (-1 is the batch) to `y` and returns its path.
fn write(folder: &tempfile::TempDir, dims: &[i64], nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> PathBuf {
    write_of(13, folder, dims, nodes, initializer)
}

fn write_of(
    opset: i64,
    folder: &tempfile::TempDir,
    dims: &[i64],
    nodes: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
) -> PathBuf {
    let graph = GraphProto {
        node: nodes,
        initializer,
        input: vec![value("x", dims)],
        output: vec![value("y", &[])],
        ..Default::default()
    };
    let path = folder.path().join("model");
    std::fs::write(&path, model(opset, graph).encode_to_vec()).unwrap();
    path
}

#[test]
fn operators_that_would_run_wrongly_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (node("Relu", "com.example", &["x"], "y", vec![]), "com.example.Relu"),
        (node("Unheard", "", &["x"], "y", vec![]), "Unheard"),
        (node("RandomNormalLike", "", &["x"], "y", vec![]), "RandomNormalLike: random outputs"),
        (node("Bernoulli", "", &["x"], "y", vec![]), "Bernoulli"),
    ];
    for (node, operator) in cases {
        let path = write(&folder, &[-1, 4, 2, 2], vec![node], vec![]);
        let error = Model::load(&path).unwrap_err();
        let InferError::Unsupported { operators, .. } = &error else { panic!("{error}") };
        assert!(operators.0[0].0.starts_with(operator), "{error}");
        assert_eq!(operators.0[0].1, "the_y");
    }
}

/// A model that passes on what is not dropped, with this ratio and in training mode or not; `maker` makes that of `flag`.
fn dropout(ratio: Option<f32>, is_training: bool, maker: Option<&str>) -> Result<Model, InferError> {
    let folder = tempfile::tempdir().unwrap();
    let flag = TensorProto {
        name: "flag".to_owned(),
        data_type: 9,
        int32_data: vec![i32::from(is_training)],
        ..Default::default()
    };
    let mut constants = vec![flag];
    constants.extend(ratio.map(|it| float_tensor("ratio", &[], &[it])));
    let mut nodes: Vec<_> = maker.map(|it| node(it, "", &["flag"], "made", vec![])).into_iter().collect();
    let training_mode = if maker.is_some() { "made" } else { "flag" };
    nodes.push(node("Dropout", "", &["x", if ratio.is_some() { "ratio" } else { "" }, training_mode], "y", vec![]));
    Model::load(&write(&folder, &[-1, 2], nodes, constants))
}

#[test]
fn what_drops_at_random_is_refused_by_name() {
    for (ratio, is_training, maker) in
        [(Some(0.75), true, None), (None, true, None), (Some(0.75), false, Some("Not")), (None, true, Some("Identity"))]
    {
        let error = dropout(ratio, is_training, maker).unwrap_err();
        let InferError::Unsupported { operators, .. } = &error else { panic!("{error}") };
        let named = ("Dropout: in training mode it drops at random, and random outputs cannot be compared", "the_y");
        assert_eq!((&*operators.0[0].0, &*operators.0[0].1), named);
    }
    let x = Npy { shape: vec![2, 2], values: vec![1.0, -2.0, 3.0, f64::NAN] };
    for (ratio, is_training) in [(Some(0.0), true), (Some(0.75), false), (None, false)] {
        let model = dropout(ratio, is_training, None).unwrap();
        let outputs = model.run(&batch(&[("x", &x)]), threads(1)).unwrap();
        assert_close("kept", &numbers(outputs.column(0)), &x.values);
    }
}

#[test]
fn rows_that_influence_each_other_are_computed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = vec![
        node("ReduceMean", "", &["x"], "mean", vec![ints("axes", &[0]), int("keepdims", 1)]),
        node("Sub", "", &["x", "mean"], "y", vec![]),
    ];
    let model = Model::load(&write(&folder, &[-1, 2], nodes, vec![])).unwrap();
    assert!(model.micro_batch() == 1 && model.rows_are_mixed());
    let independent = node("Neg", "", &["x"], "y", vec![]);
    let model = Model::load(&write(&folder, &[-1, 2], vec![independent], vec![])).unwrap();
    assert!(model.micro_batch() == 256 && !model.rows_are_mixed());
}

#[test]
fn rows_that_influence_each_other_show_in_answers_of_any_type() {
    let folder = tempfile::tempdir().unwrap();
    let mean = |of: &str| node("ReduceMean", "", &[of], "mean", vec![ints("axes", &[0]), int("keepdims", 1)]);
    let sum = |of: &str| node("ReduceSum", "", &[of], "wide", vec![int("keepdims", 1)]);
    let cast = |of: &str, output: &str, to: i64| node("Cast", "", &[of], output, vec![int("to", to)]);
    let to = |op: &str, inputs: &[&str], output: &str| node(op, "", inputs, output, vec![]);
    let class = |of: &str| node("ArgMax", "", &[of], "y", vec![int("axis", 1)]);
    let (double, int64) = (11, 7);
    let cases = [
        ("doubles", vec![cast("x", "wide", double), to("Neg", &["wide"], "y")], false),
        ("centered doubles", vec![cast("x", "wide", double), mean("wide"), to("Sub", &["wide", "mean"], "y")], true),
        ("classes", vec![class("x")], false),
        ("classes beside others", vec![mean("x"), to("Sub", &["mean", "x"], "rest"), class("rest")], true),
        ("whole numbers", vec![cast("x", "wide", int64), to("Neg", &["wide"], "y")], false),
        ("summed whole numbers", vec![cast("x", "n", int64), sum("n"), to("Sub", &["n", "wide"], "y")], true),
        ("truths", vec![to("Greater", &["x", "x"], "y")], false),
        ("truths beside others", vec![mean("x"), to("Greater", &["x", "mean"], "y")], true),
    ];
    for (name, nodes, is_mixed) in cases {
        let model = Model::load(&write(&folder, &[-1, 2], nodes, vec![])).unwrap();
        assert_eq!((model.micro_batch() == 1, model.rows_are_mixed()), (is_mixed, is_mixed), "{name}");
    }
}

#[test]
fn rows_that_are_run_one_by_one_are_asked_whether_they_influence_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let conv = |input: &str| node("Conv", "", &[input, "kernel"], "maps", vec![]);
    let mean = || node("ReduceMean", "", &["maps"], "mean", vec![ints("axes", &[0]), int("keepdims", 1)]);
    // What the graph says nothing of.
    let deconv = || node("ConvTranspose", "", &["x", "kernel"], "maps", vec![]);
    let celu = |of: &str, output: &str| node("Celu", "", &[of], output, vec![float("alpha", 2.0)]);
    let y = |op: &str, inputs: &[&str]| node(op, "", inputs, "y", vec![]);
    let counted = || {
        vec![
            node("Shape", "", &["x"], "shape", vec![]),
            node("Gather", "", &["shape", "zero"], "n", vec![int("axis", 0)]),
            node("Cast", "", &["n"], "divisor", vec![int("to", 1)]),
        ]
    };
    let cases = [
        ("followed", vec![conv("x"), y("Relu", &["maps"])], false),
        ("centered", vec![conv("x"), mean(), y("Sub", &["maps", "mean"])], true),
        ("counted", [counted(), vec![conv("x"), y("Div", &["maps", "divisor"])]].concat(), true),
        ("counted in vain", [counted(), vec![conv("x"), y("Relu", &["maps"])]].concat(), false),
        ("asked", vec![deconv(), y("Relu", &["maps"])], false),
        ("asked and centered", vec![deconv(), mean(), y("Sub", &["maps", "mean"])], true),
        ("interpreted", vec![deconv(), celu("maps", "y")], false),
        ("interpreted and centered", vec![deconv(), mean(), celu("mean", "other"), y("Sub", &["maps", "other"])], true),
    ];
    for (name, nodes, is_mixed) in cases {
        let constants = vec![
            float_tensor("kernel", &[1, 1, 1, 1], &[2.0]),
            TensorProto { name: "zero".to_owned(), data_type: 7, int64_data: vec![0], ..Default::default() },
        ];
        let model = Model::load(&write(&folder, &[-1, 1, 65, 64], nodes, constants)).unwrap();
        assert_eq!((model.micro_batch(), model.rows_are_mixed()), (1, is_mixed), "{name}");
    }
}

#[test]
fn all_rows_at_once_show_what_depends_on_the_size_of_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    // Each row is divided by the number of rows.
    let nodes = vec![
        node("Shape", "", &["x"], "shape", vec![]),
        node("Gather", "", &["shape", "zero"], "n", vec![int("axis", 0)]),
        node("Cast", "", &["n"], "divisor", vec![int("to", 1)]),
        node("Div", "", &["x", "divisor"], "y", vec![]),
    ];
    let zero = TensorProto { name: "zero".to_owned(), data_type: 7, int64_data: vec![0], ..Default::default() };
    let model = Model::load(&write(&folder, &[-1, 2], nodes, vec![zero])).unwrap();
    // Otherwise each is the row of a batch whose size nobody asked for.
    assert!(model.micro_batch() == 1 && model.rows_are_mixed());
    let rows = Npy { shape: vec![40, 2], values: vec![1.0; 80] };
    assert_close("alone", &numbers(model.run(&batch(&[("x", &rows)]), threads(1)).unwrap().column(0)), &[1.0; 80]);
    for n in [1, 3, 40] {
        let rows = Npy { shape: vec![n, 2], values: vec![1.0; 2 * n] };
        let outputs = model.run_at_once(&batch(&[("x", &rows)])).unwrap();
        assert_close("shares", &numbers(outputs.column(0)), &vec![1.0 / n as f64; 2 * n]);
    }
    // Rows that influence each other cannot be run so.
    let nodes = vec![
        node("ReduceMean", "", &["x"], "mean", vec![ints("axes", &[0]), int("keepdims", 1)]),
        node("Sub", "", &["x", "mean"], "y", vec![]),
    ];
    let model = Model::load(&write(&folder, &[-1, 2], nodes, vec![])).unwrap();
    let rows = Npy { shape: vec![4, 2], values: (0..8).map(f64::from).collect() };
    let error = model.run_at_once(&batch(&[("x", &rows)])).unwrap_err();
    assert!(matches!(error, InferError::MixedRows { .. }), "{error}");
}

#[test]
fn large_integers_that_meet_a_length_keep_their_digits() {
    let folder = tempfile::tempdir().unwrap();
    let integer = |name: &str, it| TensorProto { dims: vec![], ..numbers_tensor(name, &[it]) };
    let constants = vec![integer("zero", 0), integer("large", 1 << 40)];
    let xs: Vec<f64> = [31, 32, 40, 52].iter().flat_map(|&it| [2_f64.powi(it), -2_f64.powi(it)]).collect();
    for (op, operand, added) in [("Add", "none", 0.0), ("Sub", "none", 0.0), ("Add", "number", 2_f64.powi(40))] {
        let nodes = vec![
            node("Cast", "", &["x"], "integers", vec![int("to", 7)]),
            node("Shape", "", &["x"], "shape", vec![]),
            node("Gather", "", &["shape", "zero"], "n", vec![int("axis", 0)]),
            node("Mul", "", &["n", "zero"], "none", vec![]),
            node("Add", "", &["none", "large"], "number", vec![]),
            node(op, "", &["integers", operand], "res", vec![]),
            node("Cast", "", &["res"], "y", vec![int("to", 1)]),
        ];
        let model = Model::load(&write(&folder, &[-1, 2], nodes, constants.clone())).unwrap();
        let outputs = model.run(&batch(&[("x", &Npy { shape: vec![4, 2], values: xs.clone() })]), threads(1)).unwrap();
        let wanted: Vec<f64> = xs.iter().map(|it| it + added).collect();
        assert_eq!(numbers(outputs.column(0)), wanted, "{op} {operand}");
    }
}

/// Returns the sums of ones, in rows of two, and `integers`, which these nodes compute of `n`: how many ones there are is found out
/// as the model runs.
fn added_to_ones(integers: Vec<NodeProto>, constants: Vec<TensorProto>) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    let none = [float_tensor("none", &[], &[0.0])];
    let mut nodes = vec![
        node("Greater", "", &["x", "none"], "positive", vec![]),
        node("NonZero", "", &["positive"], "places", vec![]),
        node("Shape", "", &["places"], "n", vec![int("start", 1)]),
    ];
    nodes.extend(integers);
    nodes.push(node("Cast", "", &["integers"], "floats", vec![int("to", 1)]));
    nodes.push(node("Add", "", &["x", "floats"], "y", vec![]));
    let model = Model::load(&write_of(17, &folder, &[-1, 2], nodes, [&none[..], &constants].concat())).unwrap();
    let x = Npy { shape: vec![3, 2], values: vec![1.0; 6] };
    numbers(model.run_at_once(&batch(&[("x", &x)])).unwrap().column(0))
}

#[test]
fn large_constants_that_meet_an_unknown_length_keep_their_digits() {
    let large = 1_i64 << 33;
    let constants = || vec![numbers_tensor("large", &[large]), numbers_tensor("factor", &[1 << 17])];
    for (op, wanted) in [("Mul", 6 * large), ("Add", 6 + large), ("Sub", 6 - large), ("Max", large), ("Div", 0)] {
        let given = added_to_ones(vec![node(op, "", &["n", "large"], "integers", vec![])], constants());
        assert_eq!(given, [(wanted + 1) as f32 as f64; 6], "{op}");
    }
    let both = node("Concat", "", &["n", "large"], "integers", vec![int("axis", 0)]);
    assert_eq!(added_to_ones(vec![both], constants()), [7.0, large as f64].repeat(3));
    // What comes of constants is one, too.
    let computed = vec![
        node("Mul", "", &["factor", "factor"], "product", vec![]),
        node("Mul", "", &["n", "product"], "integers", vec![]),
    ];
    assert_eq!(added_to_ones(computed, constants()), [6.0 * 2_f64.powi(34); 6]);
}

/// What an operator makes of `n`, which is around the graph, and of a constant in it.
fn body(op: &str) -> GraphProto {
    GraphProto {
        node: vec![node(op, "", &["n", "large"], "made", vec![])],
        initializer: vec![numbers_tensor("large", &[1 << 33])],
        output: vec![value("made", &[1])],
        ..Default::default()
    }
}

#[test]
fn large_constants_that_meet_an_unknown_length_in_a_branch_keep_their_digits() {
    let large = 1_i64 << 33;
    for (op, wanted) in [("Mul", 6 * large), ("Add", 6 + large), ("Sub", 6 - large), ("Max", large), ("Div", 0)] {
        let branches = ["then_branch", "else_branch"].map(|it| graph_attribute(it, body(op)));
        let nodes = vec![
            node("ReduceSum", "", &["x"], "sum", vec![int("keepdims", 0)]),
            node("Greater", "", &["sum", "none"], "is_positive", vec![]),
            node("If", "", &["is_positive"], "integers", branches.to_vec()),
        ];
        assert_eq!(added_to_ones(nodes, vec![]), [(wanted + 1) as f32 as f64; 6], "{op}");
    }
}

#[test]
fn large_constants_that_meet_an_unknown_length_in_a_loop_keep_their_digits() {
    let large = 1_i64 << 33;
    for (op, wanted) in [("Mul", 6 * large), ("Add", 6 + large), ("Sub", 6 - large), ("Max", large), ("Div", 0)] {
        let body = GraphProto { input: vec![value("step", &[])], ..body(op) };
        let attributes = vec![graph_attribute("body", body), int("num_scan_inputs", 1)];
        let nodes = vec![
            node("Scan", "", &["steps"], "each", attributes),
            node("ReduceMax", "", &["each"], "integers", vec![int("keepdims", 0)]),
        ];
        let steps = vec![float_tensor("steps", &[2], &[0.0; 2])];
        assert_eq!(added_to_ones(nodes, steps), [(wanted + 1) as f32 as f64; 6], "{op}");
    }
}

#[test]
fn features_that_are_not_there_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = |path: &PathBuf, width: usize, values: &[f64]| {
        let x = Npy { shape: vec![values.len() / width, width], values: values.to_vec() };
        Model::load(path)?.run(&batch(&[("x", &x)]), threads(1))
    };
    // The places are constant.
    for (places, wanted) in [(&[1_i64, 0][..], Some(vec![8.0, 7.0, 10.0, 9.0])), (&[2], None), (&[-1], None)] {
        let extractor = node("ArrayFeatureExtractor", "ai.onnx.ml", &["x", "places"], "y", vec![]);
        let path = write(&folder, &[-1, 2], vec![extractor], vec![numbers_tensor("places", places)]);
        match (run(&path, 2, &[7.0, 8.0, 9.0, 10.0]), wanted) {
            (Ok(outputs), Some(wanted)) => assert_close("features", &numbers(outputs.column(0)), &wanted),
            (Err(error), None) => assert!(error.to_string().contains("there are only 2 features"), "{error}"),
            (other, wanted) => panic!("{other:?}, not {wanted:?}"),
        }
    }
    // The places are computed.
    let nodes = vec![
        node("Cast", "", &["x"], "places", vec![int("to", 7)]),
        node("ArrayFeatureExtractor", "ai.onnx.ml", &["of", "places"], "found", vec![]),
        node("Reshape", "", &["found", "shape"], "y", vec![]),
    ];
    let constants = vec![float_tensor("of", &[3], &[5.0, 6.0, 7.0]), numbers_tensor("shape", &[-1, 1])];
    let path = write(&folder, &[-1, 1], nodes, constants);
    assert_close("found", &numbers(run(&path, 1, &[2.0, 0.0]).unwrap().column(0)), &[7.0, 5.0]);
    for place in [3.0, -1.0] {
        let error = run(&path, 1, &[0.0, place]).unwrap_err().to_string();
        assert!(error.contains("there are only 3 features"), "{error}");
    }
}

#[test]
fn outputs_without_a_row_axis_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sum = node("ReduceSum", "", &["x"], "y", vec![int("keepdims", 0)]);
    let error = Model::load(&write(&folder, &[-1, 2], vec![sum], vec![])).unwrap_err();
    assert!(error.to_string().contains("output `y` has shape []"), "{error}");
    let error = Model::load(&write(&folder, &[], vec![node("Neg", "", &["x"], "y", vec![])], vec![])).unwrap_err();
    assert!(error.to_string().contains("input `x` is a scalar"), "{error}");
}

#[test]
fn dynamic_rows_take_their_shape_from_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::load(&write(&folder, &[-1, -1], vec![node("Neg", "", &["x"], "y", vec![])], vec![])).unwrap();
    for width in [3, 5, 3] {
        let x = Npy { shape: vec![2, width], values: (0..2 * width).map(|it| it as f64).collect() };
        let outputs = model.run(&batch(&[("x", &x)]), threads(2)).unwrap();
        let wanted: Vec<f64> = x.values.iter().map(|it| -it).collect();
        assert_close("negated", &numbers(outputs.column(0)), &wanted);
    }
}

fn stumps(op: &str, extra: Vec<AttributeProto>) -> NodeProto {
    // Two stumps: x0 <= 1 (a missing value counts as true), then x1 < 0.
    let mut attributes = vec![
        ints("nodes_treeids", &[0, 0, 0, 1, 1, 1]),
        ints("nodes_nodeids", &[0, 1, 2, 0, 1, 2]),
        ints("nodes_featureids", &[0, 0, 0, 1, 0, 0]),
        ints("nodes_truenodeids", &[1, 0, 0, 1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0, 2, 0, 0]),
        ints("nodes_missing_value_tracks_true", &[1, 0, 0, 0, 0, 0]),
        floats("nodes_values", &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        strings("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_LT", "LEAF", "LEAF"]),
    ];
    attributes.extend(extra);
    node(op, "ai.onnx.ml", &["x"], "y", attributes)
}

#[test]
fn tree_regressors_follow_their_branches() {
    let folder = tempfile::tempdir().unwrap();
    let leaves = |aggregate: &str| {
        vec![
            ints("target_treeids", &[0, 0, 1, 1]),
            ints("target_nodeids", &[1, 2, 1, 2]),
            ints("target_ids", &[0, 0, 0, 0]),
            floats("target_weights", &[1.0, 2.0, 10.0, 20.0]),
            floats("base_values", &[0.5]),
            text("aggregate_function", aggregate),
            int("n_targets", 1),
        ]
    };
    let x = Npy { shape: vec![4, 2], values: vec![1.0, -1.0, 1.5, 0.0, f64::NAN, f64::NAN, f64::INFINITY, -0.0] };
    for (aggregate, wanted) in [
        ("SUM", [11.5, 22.5, 21.5, 22.5]),
        ("AVERAGE", [6.0, 11.5, 11.0, 11.5]),
        ("MIN", [1.5, 2.5, 1.5, 2.5]),
        ("MAX", [10.5, 20.5, 20.5, 20.5]),
    ] {
        let path = write(&folder, &[-1, 2], vec![stumps("TreeEnsembleRegressor", leaves(aggregate))], vec![]);
        let outputs = Model::load(&path).unwrap().run(&batch(&[("x", &x)]), threads(1)).unwrap();
        assert_close(aggregate, &numbers(outputs.column(0)), &wanted);
    }
}

#[test]
fn damaged_trees_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let leaf = |node_id| {
        vec![
            ints("target_treeids", &[0]),
            ints("target_nodeids", &[node_id]),
            ints("target_ids", &[0]),
            floats("target_weights", &[1.0]),
        ]
    };
    let mut cyclic = stumps("TreeEnsembleRegressor", leaf(1));
    for attribute in cyclic.attribute.iter_mut().filter(|it| it.name == "nodes_truenodeids") {
        attribute.ints[0] = 0;
    }
    for (node, reason) in
        [(stumps("TreeEnsembleRegressor", leaf(9)), "a weight belongs to no node"), (cyclic, "are in a cycle")]
    {
        let error = Model::load(&write(&folder, &[-1, 2], vec![node], vec![])).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("TreeEnsembleRegressor"), "{error}");
    }
}

#[test]
fn what_tract_computes_wrongly_is_interpreted() {
    let folder = tempfile::tempdir().unwrap();
    let x = Npy { shape: vec![1, 4, 1, 2], values: (0..8).map(f64::from).collect() };
    let alpha = |value: f32| AttributeProto { name: "alpha".to_string(), r#type: 1, f: value, ..Default::default() };
    let swish = |it: f64| it / (1.0 + (-0.5 * it).exp());
    let cases = [
        (
            node("DepthToSpace", "", &["x"], "y", vec![text("mode", "CRD"), int("blocksize", 2)]),
            vec![0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0],
        ),
        (node("Swish", "", &["x"], "y", vec![alpha(0.5)]), (0..8).map(|it| swish(f64::from(it))).collect()),
    ];
    for (node, wanted) in cases {
        let model = Model::load(&write(&folder, &[-1, 4, 1, 2], vec![node], vec![])).unwrap();
        let outputs = model.run(&batch(&[("x", &x)]), threads(1)).unwrap();
        assert_close("interpreted", &numbers(outputs.column(0)), &wanted);
    }
}

#[test]
fn the_largest_of_infinities_is_infinite() {
    let folder = tempfile::tempdir().unwrap();
    let largest = node("ReduceMax", "", &["x"], "y", vec![ints("axes", &[1]), int("keepdims", 0)]);
    let model = Model::load(&write(&folder, &[-1, 2], vec![largest], vec![])).unwrap();
    let infinite = f64::NEG_INFINITY;
    let x = Npy { shape: vec![3, 2], values: vec![infinite, infinite, 1.0, infinite, f64::NAN, 2.0] };
    let outputs = model.run(&batch(&[("x", &x)]), threads(1)).unwrap();
    assert_close("largest", &numbers(outputs.column(0)), &[infinite, 1.0, f64::NAN]);
}

#[test]
fn two_classes_are_decided_by_one_margin() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = node(
        "SVMClassifier",
        "ai.onnx.ml",
        &["x"],
        "label",
        vec![
            text("kernel_type", "LINEAR"),
            floats("support_vectors", &[1.0, 0.0, 0.0, 1.0]),
            floats("coefficients", &[1.0, -1.0]),
            floats("rho", &[0.5]),
            ints("vectors_per_class", &[1, 1]),
            ints("classlabels_ints", &[7, 8]),
        ],
    );
    machine.output.push("y".to_string());
    let model = Model::load(&write(&folder, &[-1, 2], vec![machine], vec![])).unwrap();
    let x = Npy { shape: vec![2, 2], values: vec![2.0, 1.0, 0.0, 3.0] };
    let outputs = model.run(&batch(&[("x", &x)]), threads(1)).unwrap();
    assert_close("margins", &numbers(outputs.column(0)), &[-1.5, 1.5, 2.5, -2.5]);
}

/// Returns the labels and scores that a classifier gives.
fn classified(classifier: NodeProto, x: &Npy) -> (Vec<String>, Vec<f64>) {
    let folder = tempfile::tempdir().unwrap();
    let graph = GraphProto {
        node: vec![NodeProto { output: vec!["label".into(), "y".into()], ..classifier }],
        input: vec![value("x", &[-1, x.shape[1] as i64])],
        output: vec![value("label", &[]), value("y", &[])],
        ..Default::default()
    };
    let path = folder.path().join("model");
    std::fs::write(&path, model(13, graph).encode_to_vec()).unwrap();
    let outputs = Model::load(&path).unwrap().run(&batch(&[("x", x)]), threads(1)).unwrap();
    let labels = texts(outputs.column(0));
    (labels, numbers(outputs.column(1)))
}

fn texts(column: &ArrayRef) -> Vec<String> {
    match column.as_string_opt::<i32>() {
        Some(it) => it.iter().map(|it| it.unwrap().to_owned()).collect(),
        None => numbers(column).iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn linear_classifiers_name_their_classes() {
    let three = |transform: &str| {
        let attributes = vec![
            floats("coefficients", &[1.0, 0.0, 0.0, 1.0, -1.0, -1.0]),
            floats("intercepts", &[0.0, 0.0, 0.5]),
            strings("classlabels_strings", &["left", "up", "back"]),
            text("post_transform", transform),
        ];
        node("LinearClassifier", "ai.onnx.ml", &["x"], "y", attributes)
    };
    let x = Npy { shape: vec![2, 2], values: vec![2.0, 1.0, -2.0, -1.0] };
    let (labels, scores) = classified(three("NONE"), &x);
    assert_eq!(labels, ["left", "back"]);
    assert_close("sums", &scores, &[2.0, 1.0, -2.5, -2.0, -1.0, 3.5]);
    let (labels, scores) = classified(three("SOFTMAX_ZERO"), &x);
    assert_eq!(labels, ["left", "back"]);
    let shares = |sums: [f64; 3]| sums.map(|it| it.exp() / sums.iter().map(|it| it.exp()).sum::<f64>());
    assert_close("shares", &scores, &[shares([2.0, 1.0, -2.5]), shares([-2.0, -1.0, 3.5])].concat());
    // One sum for two classes: the other score is what is left of 1, as onnxruntime writes it.
    let one = |transform: &str| {
        let attributes = vec![
            floats("coefficients", &[1.0, 0.5]),
            floats("intercepts", &[-1.0]),
            ints("classlabels_ints", &[7, 8]),
            text("post_transform", transform),
        ];
        node("LinearClassifier", "ai.onnx.ml", &["x"], "y", attributes)
    };
    let (labels, scores) = classified(one("NONE"), &x);
    assert_eq!(labels, ["8", "7"]);
    assert_close("one sum", &scores, &[-0.5, 1.5, 4.5, -3.5]);
    let logistic = |it: f64| 1.0 / (1.0 + (-it).exp());
    assert_close("logistic", &classified(one("LOGISTIC"), &x).1, &[1.5, -1.5, -3.5, 3.5].map(|it| logistic(-it)));
    for transform in ["SOFTMAX", "SOFTMAX_ZERO"] {
        assert_close(transform, &classified(one(transform), &x).1, &[-0.5, 1.5, 4.5, -3.5]);
    }
    let folder = tempfile::tempdir().unwrap();
    let node = NodeProto { output: vec!["label".into(), "y".into()], ..one("PROBIT") };
    let error = Model::load(&write(&folder, &[-1, 2], vec![node], vec![])).unwrap_err().to_string();
    let said = "LinearClassifier: PROBIT of the only score of two classes is not defined; give each class a score of its own \
                (node `the_y`)";
    assert!(error.contains(said), "{error}");
}

#[test]
fn regressions_are_transformed_where_it_is_clear_how() {
    let folder = tempfile::tempdir().unwrap();
    let linear = |targets: i64, transform: &str| {
        let attributes = vec![
            floats("coefficients", &[0.1, 0.0, 0.0, 0.1][..2 * targets as usize]),
            floats("intercepts", &[0.2, 0.3][..targets as usize]),
            int("targets", targets),
            text("post_transform", transform),
        ];
        node("LinearRegressor", "ai.onnx.ml", &["x"], "y", attributes)
    };
    let x = Npy { shape: vec![1, 2], values: vec![3.0, 4.0] };
    let answer = |node| {
        let model = Model::load(&write(&folder, &[-1, 2], vec![node], vec![])).unwrap();
        numbers(model.run(&batch(&[("x", &x)]), threads(1)).unwrap().column(0))
    };
    assert_close("none", &answer(linear(2, "NONE")), &[0.5, 0.7]);
    let logistic = |it: f64| 1.0 / (1.0 + (-it).exp());
    assert_close("logistic", &answer(linear(2, "LOGISTIC")), &[logistic(0.5), logistic(0.7)]);
    // The median of the normal distribution.
    assert_close("probit", &answer(linear(1, "PROBIT")), &[0.0]);
    // As onnxruntime answers.
    for transform in ["LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"] {
        assert_close(transform, &answer(linear(1, transform)), &[0.5]);
    }
}

#[test]
fn a_class_that_no_leaf_speaks_for_is_not_chosen() {
    let leaves = |base: &[f32]| {
        vec![
            ints("class_treeids", &[0, 0, 1, 1]),
            ints("class_nodeids", &[1, 2, 1, 2]),
            ints("class_ids", &[0, 1, 0, 1]),
            floats("class_weights", &[-1.0, -2.0, -3.0, -1.0]),
            strings("classlabels_strings", &["a", "b", "c"]),
            floats("base_values", base),
        ]
    };
    let x = Npy { shape: vec![2, 2], values: vec![1.0, -1.0, 2.0, 0.0] };
    // The two stumps reach leaves of one class each; of `c` there is none.
    let (labels, scores) = classified(stumps("TreeEnsembleClassifier", leaves(&[])), &x);
    assert_eq!(labels, ["a", "b"]);
    assert_close("sums", &scores, &[-4.0, 0.0, 0.0, 0.0, -3.0, 0.0]);
    let (labels, scores) = classified(stumps("TreeEnsembleClassifier", leaves(&[0.5, 0.5, 0.5])), &x);
    assert_eq!(labels, ["b", "a"]);
    assert_close("with base values", &scores, &[-3.5, 0.5, 0.5, 0.5, -2.5, 0.5]);
}

#[test]
fn an_activation_without_a_usual_parameter_needs_one() {
    let folder = tempfile::tempdir().unwrap();
    let recurrent = |attributes: Vec<AttributeProto>| {
        let attributes = [vec![int("hidden_size", 1), strings("activations", &["Affine"])], attributes].concat();
        let nodes = vec![
            node("Transpose", "", &["x"], "steps", vec![ints("perm", &[1, 0, 2])]),
            node("RNN", "", &["steps", "w", "r"], "states", attributes),
            node("Transpose", "", &["states"], "y", vec![ints("perm", &[2, 0, 1, 3])]),
        ];
        let weight = |name: &str| float_tensor(name, &[1, 1, 1], &[1.0]);
        write(&folder, &[-1, 3, 1], nodes, vec![weight("w"), weight("r")])
    };
    let error = Model::load(&recurrent(vec![])).unwrap_err().to_string();
    assert!(error.contains("the activation \"Affine\" has no `activation_alpha`"), "{error}");
    let model = Model::load(&recurrent(vec![floats("activation_alpha", &[2.0])])).unwrap();
    let x = Npy { shape: vec![1, 3, 1], values: vec![1.0, 2.0, 3.0] };
    let outputs = model.run(&batch(&[("x", &x)]), threads(1)).unwrap();
    assert_close("states", &numbers(outputs.column(0)), &[2.0, 8.0, 22.0]);
}

/// One number of a type of eight bits, or more of them.
fn eight_bits(name: &str, signed: bool, dims: &[i64], values: &[i32]) -> TensorProto {
    let (data_type, int32_data) = (if signed { 3 } else { 2 }, values.to_vec());
    TensorProto { name: name.to_owned(), data_type, dims: dims.to_vec(), int32_data, ..Default::default() }
}

#[test]
fn quantized_operators_are_compiled_and_answer_as_when_they_are_interpreted() {
    let folder = tempfile::tempdir().unwrap();
    let of_b = ["b", "scale", "zero_b"];
    let cases = [
        ("QGemm", "com.microsoft", [&of_b[..], &["c", "wide", "zero"]].concat(), vec![int("transB", 1)]),
        ("QLinearMatMul", "", [&of_b[..], &["wide", "zero"]].concat(), vec![]),
        ("QLinearAdd", "com.microsoft", [&of_b[..], &["wide", "zero"]].concat(), vec![]),
        ("QLinearMul", "com.microsoft", [&of_b[..], &["wide", "zero"]].concat(), vec![]),
        ("QLinearSoftmax", "com.microsoft", vec!["share", "zero_b"], vec![int("axis", -1), int("opset", 13)]),
    ];
    for (operator, domain, inputs, attributes) in cases {
        let is_softmax = operator == "QLinearSoftmax";
        let inputs = [&["q", "scale", "zero"], &*inputs].concat();
        let back = if is_softmax { ["r", "share", "zero_b"] } else { ["r", "wide", "zero"] };
        let nodes = |is_interpreted: bool| {
            let mut res = vec![
                node("QuantizeLinear", "", &["x", "scale", "zero"], "q", vec![]),
                node(operator, domain, &inputs, "r", attributes.clone()),
                node("DequantizeLinear", "", &back, "y", vec![]),
            ];
            if is_interpreted {
                res.push(node("Celu", "", &["y"], "unused", vec![]));
            }
            res
        };
        let numbers_of_b: Vec<i32> = (0..16).map(|it| it * 17 - 128).collect();
        let weights = [
            float_tensor("scale", &[], &[0.02]),
            float_tensor("wide", &[], &[0.05]),
            float_tensor("share", &[], &[1.0 / 256.0]),
            eight_bits("zero", false, &[], &[120]),
            eight_bits("zero_b", true, &[], &[if is_softmax { -128 } else { 3 }]),
            eight_bits("b", true, &[4, 4], &numbers_of_b),
            TensorProto {
                name: "c".to_owned(),
                data_type: 6,
                dims: vec![4],
                int32_data: vec![500, -500, 7, 0],
                ..Default::default()
            },
        ];
        let weights = weights.into_iter().filter(|it| inputs.contains(&&*it.name) || back.contains(&&*it.name));
        let weights: Vec<_> = weights.collect();
        let dims = if operator == "QLinearAdd" || operator == "QLinearMul" { [-1, 4, 4] } else { [-1, 1, 4] };
        let dims = if operator == "QGemm" { &[-1, 4][..] } else { &dims };
        let width: i64 = dims[1..].iter().product();
        let mut shape: Vec<usize> = dims.iter().map(|it| *it as usize).collect();
        shape[0] = 40;
        let values = (0..40 * width).map(|it| (it as f64 * 0.618_033_988_749).fract() * 5.0 - 2.5).collect();
        let rows = batch(&[("x", &Npy { shape, values })]);
        let answers = [false, true].map(|is_interpreted| {
            let model = Model::load(&write(&folder, dims, nodes(is_interpreted), weights.clone())).unwrap();
            assert_eq!(model.numerics(&rows, &|| false).unwrap().is_interpreted, is_interpreted, "{operator}");
            numbers(model.run(&rows, threads(1)).unwrap().column(0))
        });
        // A sum in the middle between two steps may be rounded to the other one.
        let step = if is_softmax { 1.0 / 256.0 } else { 0.05 };
        let differ = answers[0].iter().zip(&answers[1]).filter(|(a, b)| (*a - *b).abs() > step / 2.0).count();
        assert!(differ <= 1, "{operator}: {differ} of {} differ: {answers:?}", answers[0].len());
        assert!(answers[0].iter().any(|it| *it != answers[0][0]), "{operator}");
    }
}

#[test]
fn a_nan_is_not_hidden_by_a_quantization() {
    for between in ["Identity", "Flatten"] {
        let rows = [f64::NAN, 3.0, f64::INFINITY];
        let got = through_integers(false, node(between, "", &["q"], "r", vec![]), 128, &[], &rows);
        assert!(got[0].is_nan() && got[1..] == [3.0, 63.5], "{between}: {got:?}");
    }
}

/// The answers of a model whose input `x` has rows of these numbers, which become integers of 8 bits `q`, are made to others, `r`, and
/// stand for numbers again.
fn through_integers(signed: bool, made: NodeProto, zero: i32, more: &[TensorProto], rows: &[f64]) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    let nodes = vec![
        node("QuantizeLinear", "", &["x", "step", "zero"], "q", vec![]),
        made,
        node("DequantizeLinear", "", &["r", "step", "zero"], "y", vec![]),
    ];
    let weights = [float_tensor("step", &[], &[0.5]), eight_bits("zero", signed, &[], &[zero])];
    let path = write(&folder, &[-1, 1, 1, 1], nodes, [&weights, more].concat());
    let rows = batch(&[("x", &Npy { shape: vec![rows.len(), 1, 1, 1], values: rows.to_vec() })]);
    let model = Model::load(&path).unwrap();
    let res = numbers(model.run(&rows, threads(1)).unwrap().column(0));
    if res.iter().all(|it| it.is_finite()) {
        let nodes = model.numerics(&rows, &|| false).unwrap().nodes;
        let range = nodes.iter().find(|it| !it.outputs.is_empty()).unwrap().range.unwrap();
        let of = |pick: fn(f64, f64) -> f64| res.iter().copied().reduce(pick).unwrap();
        assert_eq!([range.least, range.greatest], [of(f64::min), of(f64::max)], "node by node");
    }
    assert_eq!(model.warnings(), [""; 0]);
    res
}

#[test]
fn what_is_beyond_all_integers_is_the_last_of_them() {
    for (signed, zero, least, most) in
        [(false, 128, 0, 255), (false, 0, 0, 255), (true, -5, -128, 127), (true, 7, -128, 127)]
    {
        let rows = [1e10, -1e10, 1e30, -1e30, 3.0];
        let [least, most] = [least, most].map(|it| f64::from(it - zero) / 2.0);
        let wanted = [most, least, most, least, 3.0];
        for rows in [&rows[..], &rows[..2], &rows[4..]] {
            let wanted = if rows.len() == 1 { &wanted[4..] } else { &wanted[..rows.len()] };
            // With another node between, quantization and inverse are not one step.
            for between in ["Identity", "Flatten"] {
                let got = through_integers(signed, node(between, "", &["q"], "r", vec![]), zero, &[], rows);
                assert_eq!(got, wanted, "{between} of {rows:?} with the zero point {zero}");
            }
        }
    }
}

#[test]
fn sums_beyond_all_integers_are_the_last_of_them() {
    let weights = [
        eight_bits("w", true, &[1, 1, 1, 1], &[100]),
        eight_bits("zero_w", true, &[], &[0]),
        float_tensor("scale", &[], &[1e4]),
        float_tensor("tiny", &[], &[1e-4]),
    ];
    let inputs = ["q", "scale", "zero", "w", "scale", "zero_w", "tiny", "zero"];
    for (operator, domain) in [("QLinearConv", ""), ("QLinearMatMul", ""), ("QLinearMul", "com.microsoft")] {
        for zero in [3, 128] {
            let made = node(operator, domain, &inputs, "r", vec![]);
            let got = through_integers(false, made, zero, &weights, &[20.0, -20.0, 0.0]);
            let [least, most] = [0, 255].map(|it| f64::from(it - zero) / 2.0);
            assert_eq!(got, [most, least, 0.0], "{operator} with the zero point {zero}");
        }
    }
}

#[test]
fn rows_that_are_quantized_as_they_come_keep_their_own_scale() {
    for (depth, width, more) in [(1, 1, vec![]), (7, 33, vec![]), (40, 5, vec![3]), (300, 10, vec![])] {
        let folder = tempfile::tempdir().unwrap();
        let nodes = |is_interpreted: bool| {
            let quantize = NodeProto {
                output: ["q", "scale_x", "zero_x"].map(str::to_owned).to_vec(),
                ..node("DynamicQuantizeLinear", "", &["x"], "q", vec![])
            };
            let mut res = vec![
                quantize,
                node("Mul", "", &["scale_x", "scale"], "unit", vec![]),
                node("MatMulInteger", "", &["q", "w", "zero_x", "zero"], "sums", vec![]),
                node("Cast", "", &["sums"], "numbers", vec![int("to", 1)]),
                node("Mul", "", &["numbers", "unit"], "scaled", vec![]),
                node("Add", "", &["scaled", "bias"], "added", vec![]),
                node("Relu", "", &["added"], "y", vec![]),
            ];
            if is_interpreted {
                res.push(node("Celu", "", &["y"], "unused", vec![]));
            }
            res
        };
        let integers =
            |n: usize, seed: usize| (0..n).map(|it| ((it + seed) * 89 % 251) as i32 - 125).collect::<Vec<_>>();
        let dims = [depth as i64, width as i64];
        let weights = vec![
            eight_bits("w", true, &dims, &integers(depth * width, 3)),
            eight_bits("zero", true, &[width as i64], &integers(width, 7).iter().map(|it| it / 60).collect::<Vec<_>>()),
            float_tensor("scale", &[width as i64], &(0..width).map(|it| 0.01 + 0.001 * it as f32).collect::<Vec<_>>()),
            float_tensor("bias", &[width as i64], &(0..width).map(|it| 0.3 * it as f32 - 1.0).collect::<Vec<_>>()),
        ];
        const N: usize = 37;
        let row: Vec<usize> = [&more[..], &[depth]].concat();
        let n: usize = row.iter().product();
        let size = |row: usize| 10_f64.powi((row % 7) as i32 - 3);
        let mut values: Vec<f64> =
            (0..N * n).map(|it| ((it as f64 * 0.618_033_988_749).fract() - 0.3) * size(it / n)).collect();
        // A row of nothing but zeros, and one with a NaN.
        values[5 * n..6 * n].fill(0.0);
        let clean = values.clone();
        values[9 * n + n / 2] = f64::NAN;
        let dims: Vec<i64> = [-1].into_iter().chain(row.iter().map(|it| *it as i64)).collect();
        let rows = |values: &[f64]| {
            batch(&[("x", &Npy { shape: [&[values.len() / n], &*row].concat(), values: values.to_vec() })])
        };
        let load =
            |is_interpreted| Model::load(&write(&folder, &dims, nodes(is_interpreted), weights.clone())).unwrap();
        let run = |model: &Model, values: &[f64]| numbers(model.run(&rows(values), threads(1)).unwrap().column(0));

        let model = load(false);
        assert!(model.micro_batch() > 1, "{row:?} times {width}");
        let got = run(&model, &clean);
        assert_eq!(model.warnings(), [""; 0]);
        let interpreted = load(true);
        assert_eq!(run(&interpreted, &clean), got, "all rows of {depth} numbers for {width}");
        for (idx, (row, got)) in clean.chunks(n).zip(got.chunks(got.len() / N)).enumerate() {
            assert_eq!(run(&interpreted, row), got, "row {idx} of {depth} numbers for {width}");
            assert_eq!(run(&model, row), got, "row {idx} alone");
        }
        let with_nan = run(&model, &values);
        for (idx, (with_nan, got)) in with_nan.chunks(got.len() / N).zip(got.chunks(got.len() / N)).enumerate() {
            let is_kept = if idx == 9 { with_nan.iter().all(|it| it.is_nan()) } else { with_nan == got };
            assert!(is_kept, "row {idx}: {with_nan:?}");
        }
    }
}

/// Nodes that tell which of two numbers in `x`, or in what it stands for, is larger once both are quantized, and what they need.
fn larger_of_two(x: &str, y: &str) -> (Vec<NodeProto>, Vec<TensorProto>) {
    let quantize = NodeProto {
        output: ["q", "scale_x", "zero_x"].map(str::to_owned).to_vec(),
        ..node("DynamicQuantizeLinear", "", &[x], "q", vec![])
    };
    let nodes = vec![
        quantize,
        node("MatMulInteger", "", &["q", "w", "zero_x", "zero"], "sums", vec![]),
        node("Cast", "", &["sums"], "numbers", vec![int("to", 1)]),
        node("Mul", "", &["numbers", "scale_x"], "scaled", vec![]),
        node("ArgMax", "", &["scaled"], "place", vec![int("axis", -1), int("keepdims", 1)]),
        node("Cast", "", &["place"], y, vec![int("to", 1)]),
    ];
    (nodes, vec![eight_bits("w", true, &[2, 2], &[1, 0, 0, 1]), eight_bits("zero", true, &[], &[0])])
}

/// One row is so much larger than the others that these are zeros by its scale.
const UNEVEN: [f64; 6] = [0.1, 0.2, 1000.0, 0.0, 0.1, 0.2];

#[test]
fn rows_that_are_quantized_as_they_come_keep_their_own_scale_where_they_are_interpreted() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nodes, weights) = larger_of_two("x", "y");
    nodes.push(node("Celu", "", &["scaled"], "unused", vec![]));
    let model = Model::load(&write(&folder, &[-1, 2], nodes, weights)).unwrap();
    let rows = batch(&[("x", &Npy { shape: vec![3, 2], values: UNEVEN.to_vec() })]);
    assert_eq!(numbers(model.run(&rows, threads(1)).unwrap().column(0)), [1.0, 0.0, 1.0]);
}

#[test]
fn rows_that_are_quantized_in_a_nested_graph_keep_their_own_scale() {
    let folder = tempfile::tempdir().unwrap();
    let (nodes, initializer) = larger_of_two("step", "of_step");
    let body = GraphProto {
        node: nodes,
        initializer,
        name: "body".to_owned(),
        input: vec![value("step", &[-1, 2])],
        output: vec![value("of_step", &[-1, 1])],
        ..Default::default()
    };
    let attributes = vec![
        graph_attribute("body", body),
        int("num_scan_inputs", 1),
        ints("scan_input_axes", &[1]),
        ints("scan_output_axes", &[1]),
    ];
    let scan = node("Scan", "", &["x"], "y", attributes);
    let model = Model::load(&write(&folder, &[-1, 1, 2], vec![scan], vec![])).unwrap();
    let rows = batch(&[("x", &Npy { shape: vec![3, 1, 2], values: UNEVEN.to_vec() })]);
    assert_eq!(numbers(model.run(&rows, threads(1)).unwrap().column(0)), [1.0, 0.0, 1.0]);
}

#[test]
fn a_nan_among_rows_that_are_quantized_at_once_is_not_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let (mut nodes, weights) = larger_of_two("x", "unused");
    nodes.push(node("Relu", "", &["scaled"], "y", vec![]));
    let model = Model::load(&write(&folder, &[-1, 2], nodes, weights)).unwrap();
    let answer = |values: [f64; 4]| {
        let rows = batch(&[("x", &Npy { shape: vec![2, 2], values: values.to_vec() })]);
        numbers(model.run_at_once(&rows).unwrap().column(0))
    };
    assert_eq!(answer([255.0, 1.0, 2.0, 0.0]), [255.0, 1.0, 2.0, 0.0]);
    // The scale is taken from all of them.
    let with_nan = answer([255.0, 1.0, f64::NAN, 0.0]);
    assert!(with_nan.iter().all(|it| it.is_nan()), "{with_nan:?}");
}
