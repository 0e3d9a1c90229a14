//! What ONNX Runtime answers where a specification says nothing, or something else. Where both cannot be right, a model is refused.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Npy, assert_close,
    proto::{
        float, float_tensor, floats, graph, int, ints, model, node, numbers_tensor, strings, tensor_attribute, text,
    },
};
use modelwatch_infer::InferError;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

const ML: &str = "ai.onnx.ml";

/// Returns what nodes make of `x`, whose dimensions are these (-1 is the batch), in this version of ONNX.
fn answer(
    version: i64,
    dims: &[i64],
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    x: &[f64],
) -> Result<Vec<f64>, InferError> {
    let mut proto = model(version, graph(dims, nodes, constants));
    proto.opset_import[1].version = 5;
    let row: Vec<usize> = dims[1..].iter().map(|it| usize::try_from(*it).unwrap()).collect();
    let n_rows = x.len() / row.iter().product::<usize>();
    let x = Npy { shape: [&[n_rows], &*row].concat(), values: x.to_vec() };
    common::answer(&proto, &x)
}

fn refusal(dims: &[i64], nodes: Vec<NodeProto>, constants: Vec<TensorProto>, x: &[f64]) -> String {
    let error = answer(23, dims, nodes, constants, x).unwrap_err();
    assert!(matches!(error, InferError::Unsupported { .. }), "{error}");
    error.to_string()
}

#[test]
fn places_are_counted_by_the_length_that_an_axis_has_at_last() {
    let of = |mode: &str, transform: &str, part: &[f32], to: (f32, i64), more: Vec<AttributeProto>| {
        let attributes = vec![
            text("mode", mode),
            text("coordinate_transformation_mode", transform),
            text("nearest_mode", if transform == "align_corners" { "floor" } else { "round_prefer_floor" }),
            float("extrapolation_value", -9.0),
        ];
        let (scales, sizes) = if to.0 == 0.0 { ("", "sizes") } else { ("scales", "") };
        let nodes = vec![node("Resize", "", &["x", "part", scales, sizes], "y", [attributes, more].concat())];
        let part: Vec<f32> =
            if part.is_empty() { vec![] } else { vec![0.0, 0.0, 0.0, part[0], 1.0, 1.0, 1.0, part[1]] };
        let constants = vec![
            float_tensor("part", &[part.len() as i64], &part),
            float_tensor("scales", &[4], &[1.0, 1.0, 1.0, to.0]),
            numbers_tensor("sizes", &[1, 1, 1, to.1]),
        ];
        answer(13, &[-1, 1, 1, 4], nodes, constants, &[1.0, 2.0, 4.0, 8.0])
    };
    const SCALE: (f32, i64) = (1.25, 0);
    let corners = |mode: &str| of(mode, "align_corners", &[], SCALE, vec![]).unwrap();
    assert_close("nearest", &corners("nearest"), &[1.0, 1.0, 2.0, 4.0, 8.0]);
    assert_close("linear", &corners("linear"), &[1.0, 1.75, 3.0, 5.0, 8.0]);
    assert_close("cubic", &corners("cubic"), &[1.0, 1.5625, 2.71875, 5.117_187_5, 8.0]);
    let cut = |mode: &str, part: &[f32], to| of(mode, "tf_crop_and_resize", part, to, vec![]);
    assert_close("nearest", &cut("nearest", &[0.1, 0.8], SCALE).unwrap(), &[1.0, 2.0, 2.0, 4.0, 4.0]);
    assert_close("linear", &cut("linear", &[0.1, 0.8], SCALE).unwrap(), &[1.3, 1.825, 2.7, 3.75, 5.6]);
    let wanted = [1.184_500_2, 1.669_797_4, 2.537_905_7, 3.514_160_2, 5.768_002_5];
    assert_close("cubic", &cut("cubic", &[0.1, 0.8], SCALE).unwrap(), &wanted);
    assert_close("beyond", &cut("linear", &[0.5, 1.2], SCALE).unwrap(), &[3.0, 4.1, 6.2, -9.0, -9.0]);
    assert_close("sizes", &cut("linear", &[0.1, 0.8], (0.0, 3)).unwrap(), &[1.3, 2.7, 5.6]);
    assert_close("all of it", &cut("linear", &[0.0, 1.0], (0.0, 4)).unwrap(), &[1.0, 2.0, 4.0, 8.0]);
    let said = cut("linear", &[0.1, 0.8], (0.0, 4)).unwrap_err().to_string();
    assert!(said.contains("axis 3 is cut and keeps its length, where ONNX Runtime does not cut it"), "{said}");
    for said in [cut("linear", &[0.1, 0.8], (1.4, 0)), of("linear", "align_corners", &[], (1.4, 0), vec![])] {
        let said = said.unwrap_err().to_string();
        assert!(said.contains("axis 3 becomes 5.6 long, for which ONNX Runtime and ONNX's own cases"), "{said}");
    }
    for mode in ["nearest", "linear", "cubic"] {
        let one = of(mode, "pytorch_half_pixel", &[], (0.4, 0), vec![]).unwrap();
        assert_close(mode, &one, &[1.0]);
    }
}

#[test]
fn places_of_whole_lengths_are_whole() {
    // 13 over 11, times 11, is less than 13 in single precision.
    let attributes = || vec![text("coordinate_transformation_mode", "align_corners"), text("nearest_mode", "ceil")];
    let sizes = |name: &str, more: Vec<AttributeProto>| {
        vec![node("Resize", "", &["x", "", "", name], "y", [attributes(), more].concat())]
    };
    let constants = || vec![numbers_tensor("sizes", &[1, 1, 1, 13]), numbers_tensor("less", &[2, 26])];
    let x: Vec<f64> = (1..12).map(f64::from).collect();
    let row = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 11.0];
    assert_close("sizes", &answer(13, &[-1, 1, 1, 11], sizes("sizes", vec![]), constants(), &x).unwrap(), &row);
    let kept = |policy: &str| vec![ints("axes", &[2, 3]), text("keep_aspect_ratio_policy", policy)];
    let nodes = sizes("less", kept("not_larger"));
    let twice = answer(18, &[-1, 1, 1, 11], nodes, constants(), &x).unwrap();
    assert_eq!((twice.len(), twice[0], twice[43]), (2 * 22, 1.0, 11.0));
    let said =
        answer(18, &[-1, 1, 1, 11], sizes("less", kept("not_smaller")), constants(), &x).unwrap_err().to_string();
    assert!(said.contains("axis 2 becomes 2.36"), "{said}");
}

#[test]
fn what_there_is_no_step_of_keeps_no_state() {
    // The sum of a row is the number of its steps, and its largest number what the layer begins with.
    for (op, n_gates, wanted) in [("GRU", 3, 0.5), ("RNN", 1, 0.0), ("LSTM", 4, 0.0)] {
        let mut layer = node(op, "", &["steps", "w", "r", "", "lengths", "first"], "all", vec![int("hidden_size", 1)]);
        layer.output.push("last".to_owned());
        let order = || ints("perm", &[1, 0, 2]);
        let nodes = vec![
            node("Transpose", "", &["x"], "steps", vec![order()]),
            node("ReduceSum", "", &["x", "both"], "sums", vec![int("keepdims", 0)]),
            node("Cast", "", &["sums"], "lengths", vec![int("to", 6)]),
            node("ReduceMax", "", &["x"], "largest", vec![ints("axes", &[1])]),
            node("Add", "", &["largest", "one"], "more", vec![]),
            node("Transpose", "", &["more"], "first", vec![order()]),
            layer,
            node("Squeeze", "", &["last", "front"], "y", vec![]),
        ];
        let zeros = vec![0.0; n_gates];
        let constants = vec![
            float_tensor("w", &[1, n_gates as i64, 1], &zeros),
            float_tensor("r", &[1, n_gates as i64, 1], &zeros),
            float_tensor("one", &[1], &[1.0]),
            numbers_tensor("both", &[1, 2]),
            numbers_tensor("front", &[0]),
        ];
        let got = answer(13, &[-1, 2, 1], nodes, constants, &[0.0, 0.0, 1.0, 1.0]).unwrap();
        assert_close(op, &got, &[0.0, wanted]);
    }
}

#[test]
fn a_regression_by_support_vectors_is_not_transformed() {
    for (transform, one_class, wanted) in [
        ("NONE", 0, [0.3, -0.6]),
        ("LOGISTIC", 0, [0.3, -0.6]),
        ("PROBIT", 0, [0.3, -0.6]),
        ("SOFTMAX", 1, [1.0, -1.0]),
    ] {
        let attributes = vec![
            text("kernel_type", "LINEAR"),
            floats("kernel_params", &[1.0, 0.0, 1.0]),
            floats("coefficients", &[1.0]),
            floats("rho", &[0.0]),
            int("one_class", one_class),
            text("post_transform", transform),
        ];
        let nodes = vec![node("SVMRegressor", ML, &["x"], "y", attributes)];
        assert_close(transform, &answer(13, &[-1, 1], nodes, vec![], &[0.3, -0.6]).unwrap(), &wanted);
    }
}

/// A machine that tells two classes apart, by this transform and these numbers of vectors.
fn machine(transform: &str, vectors_per_class: &[i64]) -> Vec<NodeProto> {
    let mut res = node(
        "SVMClassifier",
        ML,
        &["x"],
        "label",
        vec![
            text("kernel_type", "LINEAR"),
            floats("kernel_params", &[1.0, 0.0, 1.0]),
            floats("support_vectors", &[1.0, 0.0, 0.0, 1.0]),
            floats("coefficients", &[-0.5, 0.75]),
            ints("vectors_per_class", vectors_per_class),
            floats("rho", &[0.25]),
            ints("classlabels_ints", &[3, 4]),
            text("post_transform", transform),
        ],
    );
    res.output.push("y".to_owned());
    vec![res]
}

#[test]
fn a_single_score_of_two_classes_is_no_share() {
    let x = [1.0, 2.0, -1.0, 0.5];
    for (transform, wanted) in [
        ("NONE", [-1.25, 1.25, -1.125, 1.125]),
        ("SOFTMAX", [-0.25, 1.25, -0.125, 1.125]),
        ("SOFTMAX_ZERO", [-0.25, 1.25, -0.125, 1.125]),
        ("LOGISTIC", [0.222_700_12, 0.777_299_9, 0.245_085, 0.754_915]),
    ] {
        assert_close(transform, &answer(13, &[-1, 2], machine(transform, &[1, 1]), vec![], &x).unwrap(), &wanted);
    }
    for nodes in [machine("PROBIT", &[1, 1]), machine("NONE", &[])] {
        let said = refusal(&[-1, 2], nodes, vec![], &x);
        assert!(said.contains("SVMClassifier: what ONNX Runtime answers is not specified"), "{said}");
        assert!(said.contains("(node `the_label`)"), "{said}");
    }
}

/// A tree with a test of the only feature and two leaves, for targets or classes.
fn tree(op: &str, prefix: &str, ids: &[i64], weights: &[f32], more: Vec<AttributeProto>) -> Vec<NodeProto> {
    let of = |name: &str| format!("{prefix}_{name}");
    let attributes = vec![
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[0, 0, 0]),
        strings("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF"]),
        floats("nodes_values", &[1.0, 0.0, 0.0]),
        ints("nodes_truenodeids", &[1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0]),
        ints(&of("treeids"), &[0, 0]),
        ints(&of("nodeids"), &[1, 2]),
        ints(&of("ids"), ids),
        floats(&of("weights"), weights),
    ];
    let mut res = node(op, ML, &["x"], "y", [attributes, more].concat());
    if prefix == "class" {
        res.output = vec!["label".to_owned(), "y".to_owned()];
    }
    vec![res]
}

#[test]
fn a_target_that_no_leaf_speaks_for_is_nothing() {
    for aggregate in ["SUM", "AVERAGE", "MIN", "MAX"] {
        let of = |n_targets: i64, ids: &[i64], base: &[f32]| {
            let more =
                vec![int("n_targets", n_targets), floats("base_values", base), text("aggregate_function", aggregate)];
            let nodes = tree("TreeEnsembleRegressor", "target", ids, &[0.5, 0.25], more);
            answer(13, &[-1, 1], nodes, vec![], &[0.0, 2.0]).unwrap()
        };
        assert_close(aggregate, &of(2, &[0, 1], &[10.0, 20.0]), &[10.5, 0.0, 0.0, 20.25]);
        assert_close(aggregate, &of(1, &[0, 0], &[10.0]), &[10.5, 10.25]);
    }
}

#[test]
fn two_classes_with_a_weight_each_are_refused_by_name() {
    let of =
        |labels: AttributeProto, ids: &[i64]| tree("TreeEnsembleClassifier", "class", ids, &[0.7, 0.8], vec![labels]);
    for labels in [ints("classlabels_int64s", &[0, 1]), strings("classlabels_strings", &["a", "b"])] {
        let said = refusal(&[-1, 1], of(labels, &[0, 1]), vec![], &[0.0]);
        assert!(said.contains("TreeEnsembleClassifier: ONNX Runtime takes the second class wherever"), "{said}");
    }
    let nodes = of(ints("classlabels_int64s", &[0, 1, 2]), &[0, 1]);
    assert_close("three", &answer(13, &[-1, 1], nodes, vec![], &[0.0, 2.0]).unwrap(), &[0.7, 0.0, 0.0, 0.0, 0.8, 0.0]);
}

/// A tree of version 5 with two leaves.
fn ensemble(n_targets: i64, transform: i64) -> Vec<NodeProto> {
    let modes = TensorProto { data_type: 2, dims: vec![1], int32_data: vec![0], ..Default::default() };
    let attributes = vec![
        int("n_targets", n_targets),
        int("post_transform", transform),
        ints("tree_roots", &[0]),
        ints("nodes_featureids", &[0]),
        tensor_attribute("nodes_modes", modes),
        tensor_attribute("nodes_splits", float_tensor("", &[1], &[1.0])),
        ints("nodes_truenodeids", &[0]),
        ints("nodes_trueleafs", &[1]),
        ints("nodes_falsenodeids", &[1]),
        ints("nodes_falseleafs", &[1]),
        ints("leaf_targetids", &[0, n_targets - 1]),
        tensor_attribute("leaf_weights", float_tensor("", &[2], &[0.5, 2.0])),
    ];
    vec![node("TreeEnsemble", ML, &["x"], "y", attributes)]
}

#[test]
fn transforms_that_are_taken_for_each_other_are_refused_by_name() {
    let of = |n_targets, transform| answer(21, &[-1, 1], ensemble(n_targets, transform), vec![], &[0.0, 2.0]).unwrap();
    assert_close("none", &of(2, 0), &[0.5, 0.0, 0.0, 2.0]);
    assert_close("zeros stay", &of(2, 3), &[1.0, 0.0, 0.0, 1.0]);
    // A single one is no share.
    assert_close("one", &of(1, 3), &[0.5, 2.0]);
    for transform in [1, 2] {
        let said = refusal(&[-1, 1], ensemble(2, transform), vec![], &[0.0]);
        assert!(said.contains("TreeEnsemble: ONNX Runtime takes one for the other"), "{said}");
    }
}

#[test]
fn windows_that_are_padded_in_two_ways_are_refused_by_name() {
    let of = |op: &str, attributes: &[AttributeProto]| {
        let shape = [ints("kernel_shape", &[2]), text("auto_pad", "SAME_LOWER")];
        vec![node(op, "", &["x"], "y", [&shape, attributes].concat())]
    };
    for op in ["MaxPool", "AveragePool", "LpPool"] {
        for attribute in [ints("dilations", &[2]), ints("strides", &[4])] {
            let said = refusal(&[-1, 1, 5], of(op, &[attribute]), vec![], &[0.0; 5]);
            assert!(said.contains("what ONNX Runtime pads is not what is specified; give `pads`"), "{said}");
        }
    }
    let nodes = of("MaxPool", &[ints("dilations", &[1]), ints("strides", &[3])]);
    let x = [1.0, 2.0, 3.0, 4.0, 5.0];
    assert_close("strides", &answer(22, &[-1, 1, 5], nodes, vec![], &x).unwrap(), &[2.0, 5.0]);
}

#[test]
fn a_query_that_sees_more_than_it_may_is_refused_by_name() {
    let of = |keys: &str| {
        let mut attention = node(
            "Attention",
            "",
            &["x", keys, keys, "", "x", "x"],
            "y",
            vec![int("is_causal", 1), float("scale", 1.0)],
        );
        attention.output.extend(["keys".to_owned(), "values".to_owned()]);
        vec![node("Concat", "", &["x", "x"], "two", vec![int("axis", 2)]), attention]
    };
    let x = [1.0, 0.5];
    assert_close("one key", &answer(23, &[-1, 1, 1, 2], of("x"), vec![], &x).unwrap(), &x);
    let said = refusal(&[-1, 1, 1, 2], of("two"), vec![], &x);
    assert!(said.contains("ONNX Runtime hides none of them") && said.contains("(node `the_y`)"), "{said}");
}

/// Images of two channels, four by five.
fn images() -> Vec<f32> {
    (0..2 * 2 * 4 * 5).map(|it| (f64::from(it) * 0.618_033_988_749_895).fract() as f32 - 0.5).collect()
}

/// Boxes of the images: which of them, and two corners.
const BOXES: [[f64; 5]; 5] = [
    [0.0, 0.0, 0.0, 4.0, 3.0],
    [1.0, 0.5, 1.25, 3.75, 6.5],
    [0.0, -2.0, -1.5, 1.5, 2.0],
    [1.0, 3.0, 2.0, 1.0, 0.5],
    [1.0, 9.0, 9.0, 12.0, 12.0],
];

/// Returns what is in boxes, a row with both channels for each.
fn aligned(
    version: i64,
    attributes: Vec<AttributeProto>,
    images: &[f32],
    boxes: &[[f64; 5]],
) -> Result<Vec<f64>, InferError> {
    let nodes = vec![
        node("Gather", "", &["x", "first"], "column", vec![int("axis", 1)]),
        node("Cast", "", &["column"], "places", vec![int("to", 7)]),
        node("Reshape", "", &["places", "flat"], "images_of", vec![]),
        node("Gather", "", &["x", "others"], "boxes", vec![int("axis", 1)]),
        node("RoiAlign", "", &["images", "boxes", "images_of"], "y", attributes),
    ];
    let constants = vec![
        float_tensor("images", &[2, 2, 4, 5], images),
        numbers_tensor("first", &[0]),
        numbers_tensor("flat", &[-1]),
        numbers_tensor("others", &[1, 2, 3, 4]),
    ];
    answer(version, &[-1, 5], nodes, constants, boxes.as_flattened())
}

fn halves(mode: &str, sampling_ratio: i64, more: Vec<AttributeProto>) -> Vec<AttributeProto> {
    let attributes = vec![
        text("mode", mode),
        int("output_width", 2),
        int("sampling_ratio", sampling_ratio),
        float("spatial_scale", 0.75),
    ];
    [attributes, more].concat()
}

#[test]
fn what_is_in_boxes_is_interpolated() {
    #[rustfmt::skip]
    let earlier = [
        ("avg", 0, [
            0.002_466_671_2, -0.049_649_004, -0.131_645_22, 0.053_218_275, 0.038_296_465, -0.120_414_674, 0.188_689_1,
            -0.040_334_523, -0.231_214_6, -0.172_725_75, -0.050_874_71, 0.002_407_133_6, -0.053_215_593, 0.255_801_38,
            -0.192_535_82, -0.383_518_82, 0.0, 0.0, 0.0, 0.0,
        ]),
        ("avg", 2, [
            0.002_466_678_6, -0.052_904_22, -0.125_134_8, 0.053_869_322, 0.067_264_36, -0.144_350_47, 0.267_787_87,
            -0.037_576_947, -0.230_979_77, -0.172_256_14, -0.050_639_89, -0.009_330_254, -0.053_215_59, 0.193_301_38,
            -0.192_535_82, -0.321_018_8, 0.0, 0.0, 0.0, 0.0,
        ]),
        ("max", 0, [
            0.228_442_5, 0.242_961_21, 0.261_796_6, 0.212_145_21, 0.157_551_91, 0.175_688_58, 0.334_555_2,
            0.079_616_964, 0.0, 0.155_542_95, 0.002_563_729_9, 0.381_475_03, 0.127_900_69, 0.255_801_38, 0.0, 0.0, 0.0,
            0.0, 0.0, 0.0,
        ]),
        ("max", 2, [
            0.179_490_54, 0.156_189_35, 0.183_257_61, 0.166_685_52, 0.157_551_91, 0.175_688_58, 0.334_555_2,
            0.079_616_964, 0.0, 0.139_988_66, 0.0, 0.381_475_03, 0.119_906_895, 0.167_869_66, 0.013_846_429,
            0.021_985_8, 0.0, 0.0, 0.0, 0.0,
        ]),
    ];
    #[rustfmt::skip]
    let later = [
        ("avg", 0, [
            -0.246_751_11, -0.053_639_725, -0.055_342_14, 0.083_081_72, 0.233_415_41, -0.215_977_13, 0.078_470_16,
            0.128_642_77, 0.0, -0.255_266_88, 0.0, -0.042_645_708, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
        ]),
        ("avg", 2, [
            -0.250_508_2, -0.055_443_68, -0.055_844_013, 0.082_579_85, 0.235_704_88, -0.225_909_95, 0.080_759_63,
            0.130_863_58, 0.0, -0.392_762_63, 0.0, -0.057_595_544, -0.053_456_873, 0.022_080_144, 0.096_285_42,
            0.007_759_917_5, 0.0, 0.0, 0.0, 0.0,
        ]),
        ("max", 0, [
            0.081_329_65, 0.081_329_65, 0.299_196_1, 0.299_196_1, 0.403_486_6, 0.066_113_76, 0.371_319_5, 0.283_085_17,
            0.0, 0.035_041_347, 0.0, 0.142_118_14, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
        ]),
        ("max", 2, [
            0.105_728_55, 0.105_728_55, 0.280_496_33, 0.280_496_33, 0.403_486_6, 0.066_113_76, 0.371_319_5,
            0.283_085_17, 0.0, 0.035_041_347, 0.0, 0.142_118_14, 0.217_099_38, 0.125_950_41, 0.169_497_53,
            0.169_497_53, 0.0, 0.0, 0.0, 0.0,
        ]),
    ];
    let transform = || vec![text("coordinate_transformation_mode", "output_half_pixel")];
    for (version, more, cases) in [(10, vec![], &earlier), (16, transform(), &earlier), (16, vec![], &later)] {
        for (mode, sampling_ratio, wanted) in cases {
            let what = format!("version {version}, {mode} of {sampling_ratio}");
            let got = aligned(version, halves(mode, *sampling_ratio, more.clone()), &images(), &BOXES).unwrap();
            assert_close(&what, &got, wanted);
        }
    }
}

#[test]
fn what_is_no_number_in_boxes_is_seen() {
    let mut images = images();
    images[5] = f32::NAN;
    let boxes = [[0.0, 0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 0.0, f64::NAN, 2.0], [1.0, 0.0, 0.0, 2.0, 2.0]];
    for mode in ["avg", "max"] {
        let got = aligned(16, vec![text("mode", mode)], &images, &boxes).unwrap();
        let seen: Vec<bool> = got.iter().map(|it| it.is_nan()).collect();
        // The other channel of the first image has all of its numbers.
        assert_eq!(seen, [true, false, true, true, false, false], "{mode}");
    }
}

#[test]
fn boxes_that_cannot_be_taken_are_an_error() {
    let of = |attributes, boxes: [f64; 5]| aligned(16, attributes, &images(), &[boxes]).unwrap_err().to_string();
    let said = of(vec![], [0.0, 0.0, 0.0, 1e6, 1e6]);
    assert!(said.contains("a box is so large that the image is looked at more than 4194304 times"), "{said}");
    for image in [-1.0, 2.0] {
        let said = of(vec![], [image, 0.0, 0.0, 1.0, 1.0]);
        assert!(said.contains(&format!("a box is of image {image}, and there are 2")), "{said}");
    }
    let said = of(vec![text("mode", "median")], BOXES[0]);
    assert!(said.contains(r#"mode "median" is not known"#), "{said}");
}

/// Numbers between -0.5 and 0.5.
fn sequence(name: &str, dims: &[i64], scale: f32) -> TensorProto {
    let number = |it: i64| ((it as f64 * 0.618_033_988_749_895).fract() as f32 - 0.5) * scale;
    float_tensor(name, dims, &(1..=dims.iter().product()).map(number).collect::<Vec<_>>())
}

/// Returns what a kernel makes of images of two channels, three by four, at places with these offsets.
fn deformed(offsets: &[i64], inputs: &[&str], x: &[f64]) -> Result<Vec<f64>, InferError> {
    let attributes = vec![
        ints("dilations", &[1, 2]),
        int("group", 2),
        int("offset_group", 2),
        ints("pads", &[1, 1, 0, 1]),
        ints("strides", &[2, 1]),
    ];
    let constants = vec![
        sequence("weights", &[2, 1, 2, 2], 1.0),
        sequence("offsets", offsets, 5.0),
        sequence("bias", &[2], 1.0),
        sequence("less", &[1, 8, 2, 4], 1.0),
        float_tensor("half", &[], &[0.5]),
    ];
    let nodes = vec![
        node("Add", "", &["less", "half"], "mask", vec![]),
        node("DeformConv", "", &[&["x", "weights", "offsets"], inputs].concat(), "y", attributes),
    ];
    answer(19, &[-1, 2, 3, 4], nodes, constants, x)
}

#[test]
fn kernels_reach_where_the_data_says() {
    let x: Vec<f64> =
        (1..=24).map(|it| f64::from((f64::from(it) * 0.618_033_988_749_895).fract() as f32 - 0.5)).collect();
    let got = deformed(&[1, 16, 2, 4], &["bias", "mask"], &x).unwrap();
    let wanted = [
        0.120_447_17,
        0.118_076_98,
        0.137_930_84,
        0.118_034_005,
        0.118_034_005,
        0.089_126_58,
        0.122_972_79,
        0.118_034_005,
        -0.267_477_15,
        -0.202_544_24,
        -0.263_932_02,
        -0.265_842_3,
        -0.354_342_7,
        -0.275_605_17,
        -0.163_800_51,
        -0.258_617_9,
    ];
    assert_close("with a mask", &got, &wanted);
    // The bias is the last to be added.
    let without = deformed(&[1, 16, 2, 4], &["", "mask"], &x).unwrap();
    let bias = |it: usize| if it < 8 { 0.118_034 } else { -0.263_932 };
    assert_close("without a bias", &without, &(0..16).map(|it| wanted[it] - bias(it)).collect::<Vec<_>>());
    let mut with_nan = x.clone();
    with_nan[0] = f64::NAN;
    let seen = deformed(&[1, 16, 2, 4], &[], &with_nan).unwrap();
    assert!(seen[..8].iter().any(|it| it.is_nan()) && seen[8..].iter().all(|it| it.is_finite()), "{seen:?}");
    let said = deformed(&[1, 16, 2, 3], &[], &x).unwrap_err().to_string();
    assert!(said.contains("offsets are 2 by 3, which are not the places of the kernel in 3 by 4"), "{said}");
    let said = deformed(&[1, 12, 2, 4], &[], &x).unwrap_err().to_string();
    assert!(said.contains("not of 16 channels"), "{said}");
}
