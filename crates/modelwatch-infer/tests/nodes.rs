//! Two models compared node by node.
#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeSet, fs, path::Path};

use common::{Npy, assert_close, batch, fixture, npz, numbers, proto, threads};
use modelwatch_infer::{
    Comparison, Excerpt, HostTensor, InferError, MatchedBy, Model, NodeDifference, NodeNumbers, Numerics, Reproducer,
    Reproduction, Terms, Tolerance, Values,
};
use prost::Message;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto, TypeProto, ValueInfoProto,
    tensor_proto::DataLocation, type_proto::Value,
};

const CNN: &str = "digits/cnn/cnn.onnx";

/// The nodes, and the greatest difference of the output.
fn compare(reference: &Path, candidate: &Path, tolerance: Tolerance) -> (Vec<NodeDifference>, f64) {
    let test = npz("digits/data/test.npz")["x"].head(16);
    let [reference, candidate] = [reference, candidate].map(|it| Model::load(it).unwrap());
    let mut comparison =
        Comparison::new(&reference, &candidate, &same_outputs(&reference, &candidate, tolerance)).unwrap();
    for rows in [test.head(7), test] {
        comparison.run(&rows_for(&reference, &rows), &rows_for(&candidate, &rows)).unwrap();
    }
    assert_eq!(comparison.n_rows(), 7 + 16);
    (comparison.nodes(), comparison.outputs()[0].difference.max_absolute)
}

/// Terms by which the first outputs are one: every format has a name of its own for it.
fn same_outputs(reference: &Model, candidate: &Model, tolerance: Tolerance) -> Terms {
    let [old, new] = [reference, candidate].map(|it| it.info().outputs[0].name.clone());
    Terms { tolerance, outputs: [(new, old)].into() }
}

fn rows_for(model: &Model, rows: &Npy) -> arrow_array::RecordBatch {
    batch(&[(&model.info().inputs[0].name, rows)])
}

/// The names of the nodes that do something else with the same inputs.
fn culprits(nodes: &[NodeDifference]) -> Vec<&str> {
    let is_culprit = |it: &&NodeDifference| it.counterpart.as_ref().is_some_and(|it| it.isolated.n_beyond > 0);
    nodes.iter().filter(is_culprit).map(|it| &*it.name).collect()
}

/// Returns the fixture with one number of a kernel changed.
fn with_changed_weight(kernel: &str) -> tempfile::NamedTempFile {
    let mut model = fs::read(fixture(CNN)).unwrap();
    let weights = &npz("digits/cnn/cnn.npz")[&format!("digits_cnn.{kernel}.kernel")].values;
    // The kernel's first numbers stand there in the order that ONNX wants.
    let first = (weights[0] as f32).to_le_bytes();
    let places: Vec<_> = (0..model.len() - 4).filter(|&it| model[it..it + 4] == first).collect();
    let [place] = places[..] else { panic!("{places:?}") };
    model[place..place + 4].copy_from_slice(&(weights[0] as f32 + 0.5).to_le_bytes());
    let res = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    fs::write(res.path(), model).unwrap();
    res
}

#[test]
fn a_model_does_not_differ_from_itself() {
    let (nodes, output) = compare(&fixture(CNN), &fixture(CNN), Tolerance { absolute: 0.0, relative: 0.0 });
    assert_eq!(output, 0.0);
    assert!(nodes.len() > 10, "{nodes:?}");
    for node in nodes {
        let counterpart = node.counterpart.unwrap();
        assert_eq!((counterpart.name, counterpart.matched_by), (node.name, MatchedBy::Name));
        assert_eq!((counterpart.cumulative.max_absolute, counterpart.isolated.max_absolute), (0.0, 0.0));
        assert!(counterpart.cumulative.n >= 23 * 10 && counterpart.range == node.range);
    }
}

#[test]
fn one_changed_weight_is_found_in_its_node() {
    for (kernel, node) in [("conv1", "conv1_1/BiasAdd"), ("conv2", "conv2_1/BiasAdd"), ("fc1", "fc1_1/MatMul")] {
        let changed = with_changed_weight(kernel);
        let (nodes, output) = compare(&fixture(CNN), changed.path(), Tolerance::default());
        assert!(output > 0.0, "{kernel}");
        let culprits = culprits(&nodes);
        assert!(culprits.len() == 1 && culprits[0].contains(node), "{kernel}: {culprits:?}");
        let further: Vec<_> = nodes.iter().skip_while(|it| it.name != culprits[0]).skip(1).collect();
        let cumulative = further.iter().filter_map(|it| it.counterpart.as_ref()).map(|it| it.cumulative.n_beyond);
        assert!(cumulative.sum::<u64>() > 0, "{kernel}: what follows differs too");
    }
}

/// Writes what a change makes of a fixture.
fn with_change(path: &Path, change: impl FnOnce(&mut GraphProto)) -> tempfile::NamedTempFile {
    let mut model = ModelProto::decode(&*fs::read(path).unwrap()).unwrap();
    change(model.graph.as_mut().unwrap());
    let res = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    fs::write(res.path(), model.encode_to_vec()).unwrap();
    res
}

/// Gives every node, and every tensor that is neither input nor output of the model, another name.
fn rename_all(graph: &mut GraphProto) {
    let kept: BTreeSet<String> = graph.input.iter().chain(&graph.output).map(|it| it.name.clone()).collect();
    let rename = |it: &mut String| {
        if !it.is_empty() && !kept.contains(it) {
            *it = format!("copy/{it}");
        }
    };
    graph.initializer.iter_mut().for_each(|it| rename(&mut it.name));
    graph.value_info.iter_mut().for_each(|it| rename(&mut it.name));
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(rename);
        node.name = format!("copy/{}", node.name);
    }
}

#[test]
fn one_changed_weight_is_found_though_no_name_is_left() {
    for (kernel, node) in [("conv1", "conv1_1/BiasAdd"), ("conv2", "conv2_1/BiasAdd"), ("fc1", "fc1_1/MatMul")] {
        let copy = with_change(with_changed_weight(kernel).path(), rename_all);
        let (nodes, output) = compare(&fixture(CNN), copy.path(), Tolerance::default());
        assert!(output > 0.0, "{kernel}");
        let culprits = culprits(&nodes);
        assert!(culprits.len() == 1 && culprits[0].contains(node), "{kernel}: {culprits:?}");
        assert!(nodes.iter().all(|it| it.name.starts_with("copy/")), "{nodes:?}");
        for node in &nodes {
            let counterpart = node.counterpart.as_ref().unwrap_or_else(|| panic!("{kernel}: {}", node.name));
            assert_eq!(format!("copy/{}", counterpart.name), node.name, "{kernel}");
            assert_ne!(counterpart.matched_by, MatchedBy::Name);
        }
    }
}

#[test]
fn like_nodes_on_one_value_are_told_apart_by_their_weights() {
    // Three projections of one value, as an attention has them; the candidate's are in another order, and one differs.
    let write = |weights: [(&str, f32); 3], n_later: usize| {
        let value = |name: &str| proto::value(name, &[-1, 2]);
        let weight = |(name, it): (&str, f32)| proto::float_tensor(&format!("w_{name}"), &[2, 2], &[it, 1.0, -1.0, it]);
        let project = |(name, _): (&str, f32)| proto::node("MatMul", "", &["x", &format!("w_{name}")], name, vec![]);
        let [a, b, c] = weights.map(|it| it.0);
        let products = [proto::node("Mul", "", &[a, b], "ab", vec![]), proto::node("Mul", "", &["ab", c], "y", vec![])];
        let mut projections = weights.map(project);
        projections.rotate_left(n_later);
        let graph = GraphProto {
            name: "projections".to_owned(),
            node: projections.into_iter().chain(products).collect(),
            initializer: weights.map(weight).into(),
            input: vec![value("x")],
            output: vec![value("y")],
            ..GraphProto::default()
        };
        let file = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
        fs::write(file.path(), proto::model(13, graph).encode_to_vec()).unwrap();
        file
    };
    let reference = write([("q", 1.0), ("k", 2.0), ("v", 3.0)], 0);
    let candidate = write([("one", 1.0), ("two", 5.0), ("three", 3.0)], 1);
    let [reference, candidate] = [&reference, &candidate].map(|it| Model::load(it.path()).unwrap());
    let rows = Npy { shape: vec![2, 2], values: vec![1.0, 2.0, -3.0, 0.5] };
    let mut comparison = Comparison::new(&reference, &candidate, &Terms::default()).unwrap();
    comparison.run(&rows_for(&reference, &rows), &rows_for(&candidate, &rows)).unwrap();
    let nodes = comparison.nodes();
    let pair = |it: &NodeDifference| Some((it.name.clone(), it.counterpart.as_ref()?.name.clone()));
    let pairs: BTreeSet<_> = nodes.iter().filter_map(pair).collect();
    for (candidate, reference) in [("the_three", "the_v"), ("the_one", "the_q"), ("the_two", "the_k")] {
        assert!(pairs.contains(&(candidate.to_owned(), reference.to_owned())), "{pairs:?}");
    }
    assert_eq!(culprits(&nodes), ["the_two"]);
}

#[test]
fn one_wrong_scale_of_eight_bits_is_found_in_its_node() {
    let scale = "digits_cnn_1/fc1_1/Relu:0_scale";
    let changed = with_change(&fixture("digits/cnn/cnn_int8_qdq.onnx"), |graph| {
        let it = graph.initializer.iter_mut().find(|it| it.name == scale).unwrap();
        let before = match &it.float_data[..] {
            [it] => *it,
            _ => f32::from_le_bytes(it.raw_data[..].try_into().unwrap()),
        };
        // An eighth of the range: most values saturate.
        (it.float_data, it.raw_data) = (vec![], (before / 8.0).to_le_bytes().into());
    });
    let beyond = |nodes: &[NodeDifference]| -> Vec<String> {
        let isolated = |it: &NodeDifference| it.counterpart.as_ref().map_or(0.0, |it| it.isolated.relative_norm());
        nodes.iter().filter(|it| isolated(it) > 0.03).map(|it| it.name.clone()).collect()
    };
    let (nodes, _) = compare(&fixture(CNN), &fixture("digits/cnn/cnn_int8_qdq.onnx"), Tolerance::default());
    assert_eq!(beyond(&nodes), [""; 0]);
    let (nodes, output) = compare(&fixture(CNN), changed.path(), Tolerance::default());
    assert!(output > 0.05, "{output}");
    assert_eq!(beyond(&nodes), ["digits_cnn_1/fc1_1/Relu:0_DequantizeLinear"]);
}

#[test]
fn an_output_of_another_name_is_compared_only_where_that_is_said() {
    let renamed = with_change(&fixture(CNN), |graph| {
        for it in
            graph.node.iter_mut().flat_map(|it| &mut it.output).chain(graph.output.iter_mut().map(|it| &mut it.name))
        {
            if it == "probs" {
                *it = "score".to_owned();
            }
        }
    });
    let test = npz("digits/data/test.npz")["x"].head(4);
    let [cnn, renamed] = [&fixture(CNN), renamed.path()].map(|it| Model::load(it).unwrap());
    let rows = rows_for(&cnn, &test);
    let mut comparison = Comparison::new(&cnn, &renamed, &Terms::default()).unwrap();
    comparison.run(&rows, &rows).unwrap();
    assert!(comparison.outputs().is_empty() && !comparison.nodes().is_empty());
    assert_eq!(
        (comparison.missing_outputs(), comparison.extra_outputs()),
        (&["probs".into()][..], &["score".into()][..])
    );
    let terms = Terms { outputs: [("score".to_owned(), "probs".to_owned())].into(), ..Terms::default() };
    let mut comparison = Comparison::new(&cnn, &renamed, &terms).unwrap();
    comparison.run(&rows, &rows).unwrap();
    let outputs = comparison.outputs();
    assert_eq!((&*outputs[0].name, &*outputs[0].reference, outputs[0].difference.n), ("score", "probs", 40));
    assert!(comparison.missing_outputs().is_empty() && comparison.extra_outputs().is_empty());
}

#[test]
fn what_is_nan_in_both_models_is_told() {
    let test = npz("digits/data/test.npz")["x"].head(4);
    let model = Model::load(&fixture("digits/cnn_series/bad_diverged.onnx")).unwrap();
    let mut comparison = Comparison::new(&model, &model, &Terms::default()).unwrap();
    comparison.run(&rows_for(&model, &test), &rows_for(&model, &test)).unwrap();
    let difference = &comparison.outputs()[0].difference;
    assert_eq!((difference.n, difference.n_both_nan, difference.n_beyond), (40, 40, 0));
}

#[test]
fn a_model_in_eight_bits_is_paired_with_the_one_it_was_made_from() {
    let (nodes, output) = compare(&fixture(CNN), &fixture("digits/cnn/cnn_int8_qdq.onnx"), Tolerance::default());
    assert!(output > 1e-3 && output < 0.05, "{output}");
    let counterpart = |name: &str| {
        let node = nodes.iter().find(|it| it.name.ends_with(name)).unwrap();
        node.counterpart.as_ref().map(|it| (it.name.as_str(), it.matched_by))
    };
    // The quantizer keeps the tensor's name.
    let (name, matched_by) = counterpart("relu_1/Relu:0_DequantizeLinear").unwrap();
    assert!(name.contains("relu_1/Relu") && matched_by == MatchedBy::Name, "{name}");
    // The normalization was fused into the convolution, which is what it was called before.
    let (name, matched_by) = counterpart("conv2_1/BiasAdd").unwrap();
    assert!(name.ends_with("bn_1/batchnorm/add_1") && matched_by == MatchedBy::Value, "{name}");
    // Half a step of eight bits in each node, and no node that does something else.
    let worst =
        nodes.iter().filter_map(|it| Some(it.counterpart.as_ref()?.isolated.relative_norm())).fold(0.0, f64::max);
    assert!(worst > 1e-3 && worst < 0.02, "{worst}");
    assert!(culprits(&nodes)[0].contains("DequantizeLinear"), "{nodes:?}");
}

#[test]
fn integers_of_eight_bits_are_not_taken_for_what_they_stand_for() {
    let (nodes, output) = compare(&fixture(CNN), &fixture("digits/cnn/cnn_int8_qop.onnx"), Tolerance::default());
    assert!(output > 1e-3 && output < 0.05, "{output}");
    let pool = nodes.iter().find(|it| it.operator == "MaxPool").unwrap();
    assert!(pool.counterpart.is_none(), "{pool:?}");
    let beyond = |it: &&NodeDifference| it.counterpart.as_ref().is_some_and(|it| it.isolated.relative_norm() > 0.03);
    assert!(!nodes.iter().any(|it| beyond(&it)), "{nodes:?}");
    // The input and the output are numbers in both.
    assert!(nodes.iter().any(|it| it.counterpart.is_some()), "{nodes:?}");
}

#[test]
fn exports_of_one_network_are_paired_by_value() {
    let saved_model = fixture("digits/cnn/saved_model");
    for (form, at_least) in [("cnn_frozen.pb", 10), ("cnn.tflite", 6), ("cnn_keras_export.onnx", 5)] {
        let (nodes, output) = compare(&saved_model, &fixture(&format!("digits/cnn/{form}")), Tolerance::default());
        assert!(output < 1e-5, "{form}: {output}");
        let n_paired = nodes.iter().filter(|it| it.counterpart.is_some()).count();
        assert!(n_paired >= at_least, "{form}: {n_paired}");
        assert!(culprits(&nodes).is_empty(), "{form}: {:?}", culprits(&nodes));
    }
}

#[test]
fn models_that_cannot_be_compared_say_why() {
    let test = npz("digits/data/test.npz")["x"].head(4);
    let [cnn, wine] = [CNN, "tabular/wine/logreg.onnx"].map(|it| Model::load(&fixture(it)).unwrap());
    let rows = rows_for(&cnn, &test);
    let narrow = Npy { shape: vec![4, 13], values: vec![0.5; 4 * 13] };
    let mut comparison = Comparison::new(&cnn, &wine, &Terms::default()).unwrap();
    let error = comparison.run(&rows, &rows_for(&wine, &narrow)).unwrap_err();
    assert!(matches!(error, InferError::Comparison { .. }), "{error}");
    assert!(error.to_string().contains("the rows of their inputs have the shapes"), "{error}");
    let terms = Terms { outputs: [("prob".to_owned(), "probs".to_owned())].into(), ..Terms::default() };
    let error = Comparison::new(&cnn, &cnn, &terms).err().unwrap().to_string();
    assert!(error.contains("the candidate has no output `prob`, only `probs`"), "{error}");

    let mut comparison = Comparison::new(&cnn, &cnn, &Terms::default()).unwrap();
    let error = comparison.run(&rows, &rows.slice(0, 2)).unwrap_err().to_string();
    assert!(error.contains("one is given 4 rows, the other 2"), "{error}");
    comparison.run(&rows.slice(0, 0), &rows.slice(0, 0)).unwrap();
    assert!(comparison.nodes().is_empty() && comparison.outputs().is_empty() && comparison.n_rows() == 0);
}

#[test]
fn of_a_model_that_is_interpreted_only_the_outputs_are_compared() {
    let test = npz("digits/data/test.npz")["x"].head(4);
    let other = with_change(&fixture("digits/cnn/cnn_int8_qop.onnx"), |graph| {
        // tract computes it wrongly.
        graph.node.push(proto::node("Celu", "", &["probs"], "unused", vec![]));
    });
    let [cnn, other] = [&*fixture(CNN), other.path()].map(|it| Model::load(it).unwrap());
    let mut comparison = Comparison::new(&cnn, &other, &Terms::default()).unwrap();
    comparison.run(&rows_for(&cnn, &test), &rows_for(&other, &test)).unwrap();
    let why = comparison.obstacle().unwrap().to_string();
    assert!(why.contains("node by node"), "{why}");
    let outputs = comparison.outputs();
    let difference = &outputs[0].difference;
    assert!(difference.n == 40 && difference.n_beyond > 0 && difference.max_absolute < 0.05, "{outputs:?}");
    assert!(comparison.nodes().is_empty());
}

#[test]
fn the_numbers_of_every_node_are_told() {
    let test = npz("digits/data/test.npz")["x"].head(16);
    let model = Model::load(&fixture(CNN)).unwrap();
    let Numerics { nodes, constants, nested, is_interpreted } =
        model.numerics(&rows_for(&model, &test), &|| false).unwrap();
    assert!(nested.is_empty() && !is_interpreted, "{nested:?}");
    assert_eq!((&*nodes[0].operator, nodes[0].n), ("", 16 * 64));
    let range = nodes[0].range.unwrap();
    assert!(range.least == 0.0 && range.greatest == 1.0 && (0.1..0.5).contains(&nodes[0].mean_square()), "{nodes:?}");
    let output = nodes.iter().find(|it| !it.outputs.is_empty()).unwrap();
    assert_eq!((output.outputs.as_slice(), output.n), (["probs".to_owned()].as_slice(), 16 * 10));
    assert!(output.range.unwrap().greatest <= 1.0);
    assert!(nodes.iter().all(|it| it.n_nan + it.n_infinite == 0));
    assert!(model.numerics(&rows_for(&model, &test).slice(0, 0), &|| false).unwrap().nodes.is_empty());
    // The weights as they are in the file.
    let weights = &npz("digits/cnn/cnn.npz")["digits_cnn.fc1.kernel"].values;
    let is_fc1 = |it: &&NodeNumbers| it.n == weights.len() as u64;
    let range = constants.iter().find(is_fc1).unwrap().range.unwrap();
    let extreme = |pick: fn(f64, f64) -> f64| weights.iter().copied().reduce(pick).unwrap();
    assert_close("fc1", &[range.least, range.greatest], &[extreme(f64::min), extreme(f64::max)]);
}

#[test]
fn of_a_model_that_is_interpreted_the_numbers_are_told_as_well() {
    let test = npz("digits/data/test.npz")["x"].head(3);
    let other = with_change(&fixture(CNN), |graph| {
        // tract computes it wrongly.
        let output = graph.output[0].name.clone();
        graph.node.push(proto::node("Celu", "", &[&output], "unused", vec![]));
    });
    let numbers = |path: &Path| {
        let model = Model::load(path).unwrap();
        model.numerics(&rows_for(&model, &test), &|| false).unwrap()
    };
    let (compiled, interpreted) = (numbers(&fixture(CNN)), numbers(other.path()));
    assert!(!compiled.is_interpreted && interpreted.is_interpreted);
    let mut n_alike = 0;
    for node in &interpreted.nodes {
        let is_alike = |it: &&NodeNumbers| (&it.name, &it.operator) == (&node.name, &node.operator);
        let Some(wanted) = compiled.nodes.iter().find(is_alike) else { continue };
        n_alike += 1;
        assert_eq!((node.n, &node.outputs, node.is_float), (wanted.n, &wanted.outputs, wanted.is_float));
        let ends = |it: &NodeNumbers| [it.range.unwrap().least, it.range.unwrap().greatest, it.mean_square()];
        assert_close(&node.name, &ends(node), &ends(wanted));
    }
    assert!(n_alike > 5 && interpreted.nodes.iter().any(|it| it.outputs == ["probs"]), "{interpreted:?}");
    let weights = &npz("digits/cnn/cnn.npz")["digits_cnn.fc1.kernel"].values;
    assert!(interpreted.constants.iter().any(|it| it.n == weights.len() as u64), "{:?}", interpreted.constants);
}

/// Returns a model that answers with the integers from `first` on.
fn with_names_from(first: i64) -> tempfile::NamedTempFile {
    let mut output = proto::value("y", &[-1, 4]);
    let Some(TypeProto { value: Some(Value::TensorType(tensor)), .. }) = &mut output.r#type else { panic!() };
    tensor.elem_type = 7;
    let graph = GraphProto {
        name: "names".to_owned(),
        node: vec![
            proto::node("Cast", "", &["x"], "whole", vec![proto::int("to", 7)]),
            proto::node("Add", "", &["whole", "first"], "y", vec![]),
        ],
        initializer: vec![proto::numbers_tensor("first", &[first])],
        input: vec![proto::value("x", &[-1, 4])],
        output: vec![output],
        ..GraphProto::default()
    };
    let file = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    fs::write(file.path(), proto::model(13, graph).encode_to_vec()).unwrap();
    file
}

#[test]
fn integers_that_are_one_off_are_others_however_large_they_are() {
    let rows = Npy { shape: vec![2, 4], values: (0_u8..8).map(f64::from).collect() };
    for first in [1_000_000, 1 << 53] {
        let [reference, candidate] = [first, first + 1].map(with_names_from);
        let [reference, candidate] = [&reference, &candidate].map(|it| Model::load(it.path()).unwrap());
        let mut comparison = Comparison::new(&reference, &candidate, &Terms::default()).unwrap();
        comparison.run(&rows_for(&reference, &rows), &rows_for(&candidate, &rows)).unwrap();
        let difference = &comparison.outputs()[0].difference;
        assert_eq!((difference.n, difference.n_beyond, difference.max_absolute), (8, 8, 1.0), "{first}");
        assert!(!culprits(&comparison.nodes()).is_empty(), "{first}");
    }
}

#[test]
fn numbers_at_a_bound_of_their_operator_are_counted() {
    let value = |name: &str| proto::value(name, &[-1, 4]);
    let graph = GraphProto {
        name: "bounded".to_owned(),
        node: vec![
            proto::node("Sigmoid", "", &["x"], "sigmoid", vec![]),
            proto::node("Tanh", "", &["x"], "tanh", vec![]),
            proto::node("Relu", "", &["x"], "relu", vec![]),
            proto::node("Clip", "", &["x", "low", "high"], "clip", vec![]),
            proto::node("Sum", "", &["sigmoid", "tanh", "relu", "clip"], "y", vec![]),
        ],
        initializer: vec![proto::float_tensor("low", &[], &[-6.0]), proto::float_tensor("high", &[], &[6.0])],
        input: vec![value("x")],
        output: vec![value("y")],
        ..GraphProto::default()
    };
    let file = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    fs::write(file.path(), proto::model(13, graph).encode_to_vec()).unwrap();
    let model = Model::load(file.path()).unwrap();
    let rows = Npy { shape: vec![2, 4], values: vec![-50.0, -6.5, -1.0, 0.0, 0.5, 6.0, 7.0, 50.0] };
    let nodes = model.numerics(&rows_for(&model, &rows), &|| false).unwrap().nodes;
    let saturated = |name: &str| -> Vec<Option<u64>> {
        nodes.iter().filter(|it| it.name.contains(name)).map(|it| it.n_saturated).collect()
    };
    assert_eq!((saturated("sigmoid"), saturated("tanh")), (vec![Some(2)], vec![Some(2)]));
    assert_eq!(saturated("relu"), [None]);
    // Twice: what is cut off from below, then from above.
    assert_eq!(saturated("clip"), [Some(2), Some(3)]);
    assert!(nodes.iter().filter(|it| it.name == "x" || it.name.contains("the_y")).all(|it| it.n_saturated.is_none()));
    let model = Model::load(&fixture("digits/cnn/cnn_int8_qdq.onnx")).unwrap();
    let test = npz("digits/data/test.npz")["x"].head(16);
    let nodes = model.numerics(&rows_for(&model, &test), &|| false).unwrap().nodes;
    let quantized: Vec<_> = nodes.iter().filter(|it| it.operator.contains("QuantizeLinear")).collect();
    assert!(quantized.len() > 5 && quantized.iter().all(|it| it.n_saturated.is_some()), "{quantized:?}");
}

/// Returns the numbers of the nodes of a model on one row that has the same number everywhere.
fn numbers_of(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>, dims: [&[i64]; 2], input: f64) -> Vec<NodeNumbers> {
    let graph = GraphProto {
        name: "named".to_owned(),
        node: nodes,
        initializer,
        input: vec![proto::value("x", dims[0])],
        output: vec![proto::value("y", dims[1])],
        ..GraphProto::default()
    };
    let file = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    fs::write(file.path(), proto::model(13, graph).encode_to_vec()).unwrap();
    let model = Model::load(file.path()).unwrap();
    let shape: Vec<usize> = dims[0].iter().map(|it| usize::try_from(*it).unwrap_or(1)).collect();
    let rows = Npy { values: vec![input; shape.iter().product()], shape };
    model.numerics(&rows_for(&model, &rows), &|| false).unwrap().nodes
}

#[test]
fn nodes_have_the_names_and_operators_of_the_file() {
    let nodes = vec![
        proto::node("Clip", "", &["x", "low", "high"], "clip", vec![]),
        proto::node("Flatten", "", &["clip"], "flat", vec![proto::int("axis", 1)]),
        proto::node("MatMul", "", &["flat", "w"], "y", vec![]),
    ];
    let scalar = |name: &str, it: f32| proto::float_tensor(name, &[], &[it]);
    let weights = vec![scalar("low", -6.0), scalar("high", 6.0), proto::float_tensor("w", &[4, 3], &[0.5; 12])];
    let found = numbers_of(nodes, weights, [&[-1, 2, 2], &[-1, 3]], 1.0);
    let told: Vec<_> = found.iter().map(|it| (it.name.as_str(), it.operator.as_str())).collect();
    assert_eq!(told[0], ("x", ""));
    assert_eq!(told.last().unwrap(), &("the_y", "MatMul"));
    assert!(told[1..].iter().all(|it| ["Clip", "Flatten", "MatMul"].contains(&it.1)), "{told:?}");
    assert!(told.contains(&("the_flat", "Flatten")), "{told:?}");
    // Two parts of one node have a name of their own.
    let clipped: BTreeSet<_> = told.iter().filter(|it| it.1 == "Clip").map(|it| it.0).collect();
    assert!(clipped.len() == 2 && clipped.iter().all(|it| it.starts_with("the_clip")), "{told:?}");
}

#[test]
fn numbers_are_subnormal_in_the_type_of_their_node() {
    let cast = |to: i64| vec![proto::int("to", to)];
    let nodes = vec![
        proto::node("Cast", "", &["x"], "wide", cast(11)),
        proto::node("Mul", "", &["wide", "wide"], "small", vec![]),
        proto::node("Cast", "", &["small"], "y", cast(1)),
    ];
    let found = numbers_of(nodes, vec![], [&[-1, 4], &[-1, 4]], 1e-20);
    let subnormal = |name: &str| found.iter().find(|it| it.name == name).unwrap().n_subnormal;
    // 1e-40 is a number like any other in double precision, and subnormal in single precision.
    assert_eq!((subnormal("the_small"), subnormal("the_y")), (0, 4), "{found:?}");
}

#[test]
fn a_weight_that_is_not_finite_shows_in_its_node_first() {
    let test = npz("digits/data/test.npz")["x"].head(4);
    let model = Model::load(&fixture("digits/cnn_series/bad_diverged.onnx")).unwrap();
    let nodes = model.numerics(&rows_for(&model, &test), &|| false).unwrap().nodes;
    let first = nodes.iter().find(|it| it.n_nan > 0).unwrap();
    assert!(first.name.contains("conv1") && !first.operator.is_empty(), "{first:?}");
}

#[test]
fn a_batch_that_is_part_of_a_model_is_filled_up_and_the_filling_does_not_count() {
    let test = npz("digits/data/test.npz")["x"].head(5);
    let [any, fixed] =
        ["digits/cnn/cnn.onnx", "digits/cnn/cnn_frozen_b1.pb"].map(|it| Model::load(&fixture(it)).unwrap());
    let terms = same_outputs(&any, &fixed, Tolerance::default());
    let mut comparison = Comparison::new(&any, &fixed, &terms).unwrap();
    comparison.run(&rows_for(&any, &test), &rows_for(&fixed, &test)).unwrap();
    assert_eq!((comparison.n_rows(), comparison.outputs()[0].difference.n), (5, 50));
    assert!(model_is_interrupted(&any, &test));
}

fn model_is_interrupted(model: &Model, rows: &Npy) -> bool {
    let error = model.numerics(&rows_for(model, rows), &|| true).unwrap_err();
    error.to_string().contains("interrupted")
}

/// What a model gives for one row, and how far that is from what the reference gave.
fn run_again(excerpt: &Excerpt) -> f64 {
    let file = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    fs::write(file.path(), &excerpt.model).unwrap();
    let model = Model::load(file.path()).unwrap();
    assert_eq!(model.info().outputs.len(), 1);
    assert_eq!(model.info().outputs[0].name, excerpt.output);
    let inputs: Vec<_> = excerpt.inputs.iter().map(|(name, it)| (name.as_str(), npy(it))).collect();
    let columns: Vec<_> = inputs.iter().map(|(name, it)| (*name, it)).collect();
    let outputs = model.run(&batch(&columns), threads(1)).unwrap();
    let (now, candidate) = (numbers(outputs.column(0)), npy(&excerpt.candidate).values);
    assert_close(&excerpt.output, &now, &candidate);
    let distances = now.iter().zip(npy(&excerpt.reference).values).map(|(left, right)| (left - right).abs());
    distances.fold(0.0, f64::max)
}

fn npy(it: &HostTensor) -> Npy {
    let values = match &it.values {
        Values::F32(it) => it.iter().map(|&it| f64::from(it)).collect(),
        Values::U8(it) => it.iter().map(|&it| f64::from(it)).collect(),
        other => panic!("{other:?}"),
    };
    Npy { shape: it.shape.clone(), values }
}

/// Cuts the candidate down to where it parts from the digits CNN first.
fn reproduce(candidate: &Path) -> Reproduction {
    let (nodes, _) = compare(&fixture(CNN), candidate, Tolerance::default());
    let node = culprits(&nodes)[0];
    let test = npz("digits/data/test.npz")["x"].head(16);
    let [reference, candidate] = [&fixture(CNN), candidate].map(|it| Model::load(it).unwrap());
    let mut reproducer = Reproducer::new(&reference, &candidate, node);
    for rows in [test.head(7), test] {
        reproducer.run(&rows_for(&reference, &rows), &rows_for(&candidate, &rows)).unwrap();
    }
    reproducer.finish().unwrap().unwrap()
}

#[test]
fn a_changed_weight_is_reproduced_by_the_part_of_the_model_that_has_it() {
    let mut n_before = 0;
    for kernel in ["conv1", "conv2", "fc1"] {
        let found = reproduce(with_changed_weight(kernel).path());
        let part = found.part.as_ref().unwrap_or(&found.prefix);
        assert!(found.prefix.n_nodes > n_before && part.n_nodes <= 2, "{kernel}: {found:?}");
        n_before = found.prefix.n_nodes;
        assert!(found.row < 7 + 16 && part.inputs.len() == 1, "{kernel}");
        assert_eq!(found.prefix.inputs[0].1.shape, [1, 8, 8, 1]);
        for it in [&found.prefix, part] {
            assert!(it.max_absolute() > 0.01, "{kernel}: {}", it.max_absolute());
            let again = run_again(it);
            assert!((again - it.max_absolute()).abs() < 1e-5, "{kernel}: {again} is not {}", it.max_absolute());
        }
    }
}

#[test]
fn an_error_of_eight_bits_is_reproduced() {
    let found = reproduce(&fixture("digits/cnn/cnn_int8_qdq.onnx"));
    assert!(found.tensor.contains("DequantizeLinear"), "{}", found.tensor);
    for it in [Some(&found.prefix), found.part.as_ref()].into_iter().flatten() {
        assert!(it.max_absolute() > 1e-4 && it.n_nodes >= 2, "{}", it.max_absolute());
        let again = run_again(it);
        assert!((again - it.max_absolute()).abs() < 1e-6, "{again} is not {}", it.max_absolute());
    }
}

#[test]
fn a_node_that_is_not_there_and_a_model_that_is_no_onnx_are_refused() {
    let test = npz("digits/data/test.npz")["x"].head(4);
    let [cnn, frozen] = [CNN, "digits/cnn/cnn_frozen.pb"].map(|it| Model::load(&fixture(it)).unwrap());
    let refusal = |candidate: &Model, node: &str| {
        let mut it = Reproducer::new(&cnn, candidate, node);
        assert!(it.finish().unwrap().is_none());
        it.run(&rows_for(&cnn, &test), &rows_for(candidate, &test)).unwrap_err().to_string()
    };
    assert!(refusal(&cnn, "nowhere").contains("no tensor from node `nowhere` on has a counterpart"));
    assert!(refusal(&frozen, "probs").contains("cannot write a part of"), "{}", refusal(&frozen, "probs"));
}

/// A model of three nodes, in the first version of the format that a file can have; the weights of the first are beside it.
fn write_scaled(path: &Path, last: f32, is_beside: bool) -> Model {
    let mut weights = proto::float_tensor("w", &[3], &[1.0, 2.0, last]);
    if is_beside {
        fs::write(path.with_extension("bin"), std::mem::take(&mut weights.raw_data)).unwrap();
        let location = path.with_extension("bin").file_name().unwrap().to_string_lossy().into_owned();
        let entry =
            |(key, value): (&str, &str)| StringStringEntryProto { key: key.to_owned(), value: value.to_owned() };
        weights.data_location = Some(DataLocation::External as i32);
        weights.external_data = [("location", &*location), ("offset", "0"), ("length", "12")].map(entry).into();
    }
    let value = |name: &str| proto::value(name, if matches!(name, "x" | "y") { &[-1, 3] } else { &[3] });
    let graph = GraphProto {
        name: "scaled".to_owned(),
        node: vec![
            proto::node("Mul", "", &["x", "w"], "scaled", vec![]),
            proto::node("Relu", "", &["scaled"], "positive", vec![]),
            proto::node("Add", "", &["positive", "bias"], "y", vec![]),
        ],
        initializer: vec![weights, proto::float_tensor("bias", &[3], &[0.5; 3])],
        input: ["x", "w", "bias"].map(value).into(),
        output: vec![value("y")],
        ..GraphProto::default()
    };
    fs::write(path, ModelProto { ir_version: 3, ..proto::model(13, graph) }.encode_to_vec()).unwrap();
    Model::load(path).unwrap()
}

#[test]
fn an_excerpt_needs_no_other_file_and_has_no_constants_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let reference = write_scaled(&dir.path().join("reference.onnx"), 3.0, false);
    let candidate = write_scaled(&dir.path().join("candidate.onnx"), 4.0, true);
    let rows = Npy { shape: vec![2, 3], values: vec![1.0, 1.0, 1.0, -1.0, 2.0, 3.0] };
    let mut reproducer = Reproducer::new(&reference, &candidate, "the_scaled");
    reproducer.run(&rows_for(&reference, &rows), &rows_for(&candidate, &rows)).unwrap();
    let found = reproducer.finish().unwrap().unwrap();
    assert_eq!((&*found.tensor, found.row, found.prefix.n_nodes), ("scaled", 1, 1));
    assert!(found.part.is_none() && found.prefix.max_absolute() == 3.0);
    let graph = ModelProto::decode(&*found.prefix.model).unwrap().graph.unwrap();
    let names = |it: Vec<&String>| it.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(names(graph.initializer.iter().map(|it| &it.name).collect()), ["w"]);
    assert_eq!(names(graph.input.iter().map(|it| &it.name).collect()), ["x", "w"]);
    assert!(graph.initializer[0].raw_data.len() == 12 && graph.initializer[0].external_data.is_empty());
    assert_eq!(run_again(&found.prefix), 3.0);
}

/// A model that chooses by its one row between two graphs, both of which capture what is made outside of them.
fn write_choosing(path: &Path, bias: f32) -> Model {
    let value = |name: &str| proto::value(name, &[1, 3]);
    let branch = |operator: &str, output: &str| GraphProto {
        name: output.to_owned(),
        node: vec![proto::node(operator, "", &["scaled", "bias"], output, vec![])],
        output: vec![value(output)],
        ..GraphProto::default()
    };
    let branches = vec![
        proto::graph_attribute("then_branch", branch("Add", "added")),
        proto::graph_attribute("else_branch", branch("Sub", "less")),
    ];
    let keep_no_axes = vec![proto::int("keepdims", 0)];
    let graph = GraphProto {
        name: "choosing".to_owned(),
        node: vec![
            proto::node("Mul", "", &["x", "w"], "scaled", vec![]),
            proto::node("Relu", "", &["x"], "unused_by_it", vec![]),
            proto::node("ReduceSum", "", &["x"], "sum", keep_no_axes),
            proto::node("Greater", "", &["sum", "zero"], "is_positive", vec![]),
            proto::node("If", "", &["is_positive"], "chosen", branches),
            proto::node("Add", "", &["chosen", "unused_by_it"], "y", vec![]),
        ],
        initializer: vec![
            proto::float_tensor("w", &[3], &[1.0, 2.0, 3.0]),
            proto::float_tensor("bias", &[3], &[bias; 3]),
            proto::float_tensor("zero", &[], &[0.0]),
        ],
        input: vec![value("x")],
        output: vec![value("y")],
        ..GraphProto::default()
    };
    fs::write(path, proto::model(13, graph).encode_to_vec()).unwrap();
    Model::load(path).unwrap()
}

#[test]
fn an_excerpt_has_what_nested_graphs_capture() {
    let dir = tempfile::tempdir().unwrap();
    let reference = write_choosing(&dir.path().join("reference.onnx"), 0.5);
    let candidate = write_choosing(&dir.path().join("candidate.onnx"), 1.5);
    let rows = Npy { shape: vec![1, 3], values: vec![1.0, -0.5, 2.0] };
    let mut comparison = Comparison::new(&reference, &candidate, &Terms::default()).unwrap();
    comparison.run(&rows_for(&reference, &rows), &rows_for(&candidate, &rows)).unwrap();
    assert!(comparison.obstacle().is_none());
    let nodes = comparison.nodes();
    assert_eq!(culprits(&nodes), ["the_chosen"], "{nodes:?}");
    let mut reproducer = Reproducer::new(&reference, &candidate, "the_chosen");
    reproducer.run(&rows_for(&reference, &rows), &rows_for(&candidate, &rows)).unwrap();
    let found = reproducer.finish().unwrap().unwrap();
    assert_eq!((&*found.tensor, found.prefix.n_nodes, found.prefix.max_absolute()), ("chosen", 4, 1.0));
    let graph = ModelProto::decode(&*found.prefix.model).unwrap().graph.unwrap();
    let constants: BTreeSet<_> = graph.initializer.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(constants, ["bias", "w", "zero"].into());
    assert_eq!(run_again(&found.prefix), 1.0);
    // The part is given what the graphs capture, as the reference has it.
    let part = found.part.unwrap();
    let inputs: Vec<_> = part.inputs.iter().map(|it| it.0.as_str()).collect();
    assert!(part.n_nodes <= 2 && inputs.contains(&"scaled") && part.max_absolute() == 1.0, "{inputs:?}");
}

/// Returns the nodes of a model that hide others: of one that ends with this node, computing `y` of `x` where the sum is positive.
fn hiding(last: NodeProto) -> Vec<String> {
    let graph = GraphProto {
        name: "hiding".to_owned(),
        node: vec![
            proto::node("ReduceSum", "", &["x"], "sum", vec![proto::int("keepdims", 0)]),
            proto::node("Greater", "", &["sum", "zero"], "is_positive", vec![]),
            last,
        ],
        initializer: vec![proto::float_tensor("zero", &[], &[0.0])],
        input: vec![proto::value("x", &[1, 3])],
        output: vec![ValueInfoProto { name: "y".to_owned(), ..ValueInfoProto::default() }],
        ..GraphProto::default()
    };
    let file = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    fs::write(file.path(), proto::model(13, graph).encode_to_vec()).unwrap();
    let model = Model::load(file.path()).unwrap();
    let rows = Npy { shape: vec![1, 3], values: vec![1.0, -0.5, 2.0] };
    model.numerics(&rows_for(&model, &rows), &|| false).unwrap().nested
}

/// What is seen of a branch is what it ends with.
#[test]
fn nodes_that_hide_others_are_named() {
    fn choice(output: &str, ends: [&str; 2]) -> NodeProto {
        let names = ["then_branch", "else_branch"];
        let branches = names.into_iter().zip(ends).map(|(name, end)| proto::graph_attribute(name, branch(end)));
        proto::node("If", "", &["is_positive"], output, branches.collect())
    }
    fn branch(end: &str) -> GraphProto {
        let inner = proto::node("Log", "", &["x"], &format!("{end}_inner"), vec![]);
        let node = match end {
            "deep" => vec![inner, proto::node("Relu", "", &["deep_inner"], end, vec![])],
            "within" => vec![choice(end, ["deep", "leaf"])],
            _ => vec![proto::node("Relu", "", &["x"], end, vec![])],
        };
        let output = vec![proto::value(end, &[1, 3])];
        GraphProto { name: end.to_owned(), node, output, ..GraphProto::default() }
    }
    assert_eq!(hiding(choice("y", ["plain", "other"])), [""; 0]);
    assert_eq!(hiding(choice("y", ["plain", "deep"])), ["the_y"]);
    assert_eq!(hiding(choice("y", ["plain", "within"])), ["the_y"]);
}

/// tract makes nodes of one name of them, and refuses the second one.
#[test]
fn two_choices_are_two_nodes() {
    let value = |name: &str| proto::value(name, &[1, 3]);
    let choice = |output: &str, of: [&str; 2]| {
        let branch = |name: &str, operator: &str| {
            let made = format!("{output}_{name}");
            let node = vec![proto::node(operator, "", &of, &made, vec![])];
            let graph = GraphProto { name: made.clone(), node, output: vec![value(&made)], ..GraphProto::default() };
            proto::graph_attribute(name, graph)
        };
        let branches = vec![branch("then_branch", "Add"), branch("else_branch", "Sub")];
        proto::node("If", "", &["is_positive"], output, branches)
    };
    let graph = GraphProto {
        name: "choosing".to_owned(),
        node: vec![
            proto::node("ReduceSum", "", &["x"], "sum", vec![proto::int("keepdims", 0)]),
            proto::node("Greater", "", &["sum", "zero"], "is_positive", vec![]),
            choice("first", ["x", "bias"]),
            choice("second", ["first", "bias"]),
            proto::node("Relu", "", &["second"], "y", vec![]),
        ],
        initializer: vec![proto::float_tensor("bias", &[3], &[0.5; 3]), proto::float_tensor("zero", &[], &[0.0])],
        input: vec![value("x")],
        output: vec![value("y")],
        ..GraphProto::default()
    };
    let file = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    fs::write(file.path(), proto::model(13, graph).encode_to_vec()).unwrap();
    let model = Model::load(file.path()).unwrap();
    let rows = Npy { shape: vec![1, 3], values: vec![1.0, -0.5, 2.0] };
    let mut comparison = Comparison::new(&model, &model, &Terms::default()).unwrap();
    comparison.run(&rows_for(&model, &rows), &rows_for(&model, &rows)).unwrap();
    assert!(comparison.obstacle().is_none(), "{:?}", comparison.obstacle());
    let nodes = comparison.nodes();
    let names: Vec<_> = nodes.iter().map(|it| it.name.as_str()).collect();
    assert!(names.contains(&"the_first") && names.contains(&"the_second"), "{names:?}");
    let outputs = model.run(&rows_for(&model, &rows), threads(1)).unwrap();
    assert_close("y", &numbers(outputs.column(0)), &[2.0, 0.5, 3.0]);
}
