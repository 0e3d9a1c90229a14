//! Operators as they were before version 7 of ONNX's operators, by their specification: ONNX Runtime does not run them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Npy, assert_close,
    proto::{float_tensor, graph, int, model, node},
};
use modelwatch_infer::InferError;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

const FLOAT: i64 = 1;
const FLAG: i64 = 9;

fn answer(version: i64, row: &[usize], nodes: Vec<NodeProto>, b: TensorProto, x: f64) -> Result<Vec<f64>, InferError> {
    let dims: Vec<i64> = [-1].into_iter().chain(row.iter().map(|it| *it as i64)).collect();
    let values = vec![x; row.iter().product()];
    common::answer(&model(version, graph(&dims, nodes, vec![b])), &Npy { shape: [&[1], row].concat(), values })
}

fn along(axis: i64) -> Vec<AttributeProto> {
    vec![int("broadcast", 1), int("axis", axis)]
}

#[test]
fn the_second_input_has_its_axes_where_axis_says() {
    for (op, wanted) in
        [("Add", [3.0, 5.0]), ("Sub", [1.0, -1.0]), ("Mul", [2.0, 6.0]), ("Div", [2.0, 2.0 / 3.0]), ("Pow", [2.0, 8.0])]
    {
        let b = float_tensor("b", &[2], &[1.0, 3.0]);
        let got = answer(6, &[2, 3], vec![node(op, "", &["x", "b"], "y", along(1))], b, 2.0).unwrap();
        assert_close(op, &got, &[[wanted[0]; 3], [wanted[1]; 3]].concat());
    }
    for (op, wanted) in [("Greater", [1.0, 0.0]), ("Less", [0.0, 1.0]), ("Equal", [0.0, 0.0])] {
        let nodes = vec![
            node(op, "", &["x", "b"], "flags", along(1)),
            node("Cast", "", &["flags"], "y", vec![int("to", FLOAT)]),
        ];
        let got = answer(6, &[2, 2], nodes, float_tensor("b", &[2], &[1.0, 3.0]), 2.0).unwrap();
        assert_close(op, &got, &[[wanted[0]; 2], [wanted[1]; 2]].concat());
    }
    for (op, wanted) in [("And", [0.0, 1.0]), ("Or", [1.0, 1.0]), ("Xor", [1.0, 0.0])] {
        let nodes = vec![
            node("Cast", "", &["x"], "left", vec![int("to", FLAG)]),
            node("Cast", "", &["b"], "right", vec![int("to", FLAG)]),
            node(op, "", &["left", "right"], "flags", along(-2)),
            node("Cast", "", &["flags"], "y", vec![int("to", FLOAT)]),
        ];
        let got = answer(6, &[2, 2], nodes, float_tensor("b", &[2], &[0.0, 1.0]), 1.0).unwrap();
        assert_close(op, &got, &[[wanted[0]; 2], [wanted[1]; 2]].concat());
    }
    // Without an axis, and from version 7 on, axes are counted from the end.
    for (version, attributes) in [(6, vec![int("broadcast", 1)]), (7, along(1))] {
        let b = float_tensor("b", &[2], &[10.0, 20.0]);
        let got = answer(version, &[2, 2], vec![node("Add", "", &["x", "b"], "y", attributes)], b, 1.0).unwrap();
        assert_close("Add", &got, &[11.0, 21.0, 11.0, 21.0]);
    }
    let beyond = node("Add", "", &["x", "b"], "y", along(2));
    let said = answer(6, &[2, 2], vec![beyond], float_tensor("b", &[2, 2], &[0.0; 4]), 1.0).unwrap_err().to_string();
    assert!(said.contains("2 axes from axis 2 on are more than there are of 3"), "{said}");
}

#[test]
fn what_is_added_where_axis_says_is_not_taken_for_larger() {
    let (b, x) = (float_tensor("b", &[50_000], &[2.0; 50_000]), 1.0);
    let got = answer(6, &[50_000, 1], vec![node("Add", "", &["x", "b"], "y", along(1))], b, x).unwrap();
    assert_close("Add", &got, &[3.0; 50_000]);
}

#[test]
fn slopes_are_those_of_channels() {
    for (version, wanted) in [(6, [-10.0, -10.0, -20.0, -20.0]), (7, [-10.0, -20.0, -10.0, -20.0])] {
        let slopes = float_tensor("b", &[2], &[10.0, 20.0]);
        let got = answer(version, &[2, 2], vec![node("PRelu", "", &["x", "b"], "y", vec![])], slopes, -1.0).unwrap();
        assert_close("PRelu", &got, &wanted);
    }
}

#[test]
fn constants_that_are_not_given_are_those_of_the_version() {
    for (version, alpha, gamma) in [(1, 1.6732, 1.0507), (6, 1.673_263_192_176_818_8, 1.050_701_022_148_132_3)] {
        let unused = float_tensor("b", &[1], &[0.0]);
        let got = answer(version, &[1], vec![node("Selu", "", &["x"], "y", vec![])], unused, -1.0).unwrap();
        let wanted = gamma * alpha * (-1.0_f64).exp_m1();
        assert!((got[0] - wanted).abs() < 5e-7, "version {version}: {} and not {wanted}", got[0]);
    }
}
