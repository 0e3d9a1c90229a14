//! Operators of `com.microsoft` that ONNX Runtime's optimizer and quantizer write, each held against its formula.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Npy, assert_within,
    proto::{float, float_tensor, floats, graph, int, ints, model, node, text},
};
use tract_onnx::pb::{AttributeProto, NodeProto, OperatorSetIdProto, TensorProto};

const MICROSOFT: &str = "com.microsoft";

fn integers(name: &str, data_type: i32, dims: &[i64], values: &[i32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type,
        dims: dims.to_vec(),
        int32_data: values.to_vec(),
        ..Default::default()
    }
}

/// Returns what nodes make of `x`, of rows with these dimensions.
fn answer(dims: &[i64], nodes: Vec<NodeProto>, constants: Vec<TensorProto>, x: &Npy) -> Result<Vec<f64>, String> {
    let mut proto = model(17, graph(&[&[-1], dims].concat(), nodes, constants));
    proto.opset_import.push(OperatorSetIdProto { domain: MICROSOFT.to_owned(), version: 1 });
    common::answer(&proto, x).map_err(|it| it.to_string())
}

fn of(
    op: &str,
    more: &[&str],
    attributes: Vec<AttributeProto>,
    constants: Vec<TensorProto>,
    dims: &[i64],
    x: &Npy,
) -> Vec<f64> {
    let node = node(op, MICROSOFT, &[&["x"], more].concat(), "y", attributes);
    answer(dims, vec![node], constants, x).unwrap()
}

fn rows(shape: &[usize], values: &[f64]) -> Npy {
    Npy { shape: shape.to_vec(), values: values.to_vec() }
}

fn error_function(x: f64) -> f64 {
    // The series converges everywhere.
    let term = |n: i32| {
        let factorial: f64 = (1..=n).map(f64::from).product();
        (-1.0_f64).powi(n) * x.powi(2 * n + 1) / (factorial * f64::from(2 * n + 1))
    };
    (0..40).map(term).sum::<f64>() * 2.0 / std::f64::consts::PI.sqrt()
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + error_function(x / 2.0_f64.sqrt()))
}

#[test]
fn gelus_are_those_of_their_formulas() {
    let xs = [-2.5, -1.0, -0.1, 0.0, 0.7, 2.0];
    let x = rows(&[2, 3], &xs);
    let bias = || vec![float_tensor("b", &[3], &[0.5, -0.25, 1.0])];
    let biased: Vec<f64> = xs.iter().zip([0.5, -0.25, 1.0].into_iter().cycle()).map(|(a, b)| a + b).collect();
    let each = |f: &dyn Fn(f64) -> f64, xs: &[f64]| xs.iter().map(|it| f(*it)).collect::<Vec<_>>();
    let got = of("Gelu", &[], vec![], vec![], &[3], &x);
    assert_within(1e-5, "Gelu", &got, &each(&gelu, &xs));
    let got = of("BiasGelu", &["b"], vec![], bias(), &[3], &x);
    assert_within(1e-5, "BiasGelu", &got, &each(&gelu, &biased));
    let fast = |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh());
    let got = of("FastGelu", &[], vec![], vec![], &[3], &x);
    assert_within(1e-5, "FastGelu", &got, &each(&fast, &xs));
    let got = of("FastGelu", &["b"], vec![], bias(), &[3], &x);
    assert_within(1e-5, "FastGelu with a bias", &got, &each(&fast, &biased));
    let got = of("QuickGelu", &[], vec![float("alpha", 2.0)], vec![], &[3], &x);
    assert_within(1e-5, "QuickGelu", &got, &each(&|x| x / (1.0 + (-2.0 * x).exp()), &xs));
}

#[test]
fn products_are_transposed_and_scaled() {
    // 2 rows of 2 × 3, and a matrix of 3 × 2.
    let x = rows(&[2, 2, 3], &(0..12).map(|it| f64::from(it) * 0.5 - 2.0).collect::<Vec<_>>());
    let w: Vec<f32> = (0..6).map(|it| it as f32 - 2.5).collect();
    let expected = |transposes_x: bool, transposes_w: bool| {
        let (n, depth) = if transposes_x { (3, 2) } else { (2, 3) };
        let m = 6 / depth;
        let at_x =
            |row: usize, i: usize, k: usize| x.values[row * 6 + if transposes_x { k * 3 + i } else { i * 3 + k }];
        let at_w = |k: usize, j: usize| f64::from(w[if transposes_w { j * depth + k } else { k * m + j }]);
        let mut res = Vec::new();
        for row in 0..2 {
            for i in 0..n {
                for j in 0..m {
                    res.push(0.25 * (0..depth).map(|k| at_x(row, i, k) * at_w(k, j)).sum::<f64>());
                }
            }
        }
        res
    };
    for (a, b) in [(false, false), (true, false), (false, true), (true, true)] {
        let depth = if a { 2 } else { 3 };
        let dims = if b { [6 / depth, depth] } else { [depth, 6 / depth] };
        let attributes = vec![float("alpha", 0.25), int("transA", a.into()), int("transB", b.into())];
        let got = of("FusedMatMul", &["w"], attributes, vec![float_tensor("w", &dims, &w)], &[2, 3], &x);
        assert_within(1e-5, &format!("{a} {b}"), &got, &expected(a, b));
    }
    let batched = node("FusedMatMul", MICROSOFT, &["x", "w"], "y", vec![int("transBatchA", 1)]);
    let refused = answer(&[2, 3], vec![batched], vec![float_tensor("w", &[3, 2], &w)], &x).unwrap_err();
    assert!(refused.contains("com.microsoft.FusedMatMul (node `the_y`)"), "{refused}");
}

#[test]
fn sums_are_normalized() {
    let x = rows(&[2, 4], &[1.0, 2.0, 3.0, 5.0, -1.0, 0.0, 2.0, 7.0]);
    let constants = vec![
        float_tensor("skip", &[1, 4], &[0.5, -0.5, 1.0, 0.0]),
        float_tensor("gamma", &[4], &[1.0, 2.0, 3.0, 4.0]),
        float_tensor("beta", &[4], &[0.1, 0.2, 0.3, 0.4]),
        float_tensor("bias", &[4], &[1.0, 0.0, -1.0, 2.0]),
    ];
    let mut normalized = Vec::new();
    let mut sums = Vec::new();
    for row in x.values.chunks(4) {
        let sum: Vec<f64> = row.iter().zip([1.5, -0.5, 0.0, 2.0]).map(|(a, b)| a + b).collect();
        let mean = sum.iter().sum::<f64>() / 4.0;
        let variance = sum.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 4.0;
        let one = |(idx, it): (usize, &f64)| {
            (it - mean) / (variance + 1e-3).sqrt() * (idx + 1) as f64 + 0.1 * (idx + 1) as f64
        };
        normalized.extend(sum.iter().enumerate().map(one));
        sums.extend(sum);
    }
    let inputs = ["x", "skip", "gamma", "beta", "bias"];
    let epsilon = || vec![float("epsilon", 1e-3)];
    let one = node("SkipLayerNormalization", MICROSOFT, &inputs, "y", epsilon());
    let got = answer(&[4], vec![one], constants.clone(), &x).unwrap();
    assert_within(1e-5, "normalized", &got, &normalized);
    let outputs = ["normalized", "", "", "y"].map(str::to_owned).to_vec();
    let other = NodeProto { output: outputs, ..node("SkipLayerNormalization", MICROSOFT, &inputs, "y", epsilon()) };
    assert_within(1e-5, "sums", &answer(&[4], vec![other], constants, &x).unwrap(), &sums);
}

#[test]
fn quantized_forms_follow_the_scales() {
    const U8: i32 = 2;
    let x = rows(&[2, 4], &[1.0, 2.04, 3.0, 5.0, -1.0, 0.0, 2.0, 7.0]);
    let scale = || float_tensor("s", &[], &[0.1]);
    let zero = || integers("z", U8, &[], &[20]);
    let rounded = |it: f64| ((it as f32 / 0.1_f32).round_ties_even() + 20.0).clamp(0.0, 255.0);
    let expected: Vec<f64> = x.values.iter().map(|it| f64::from((rounded(*it) - 20.0) * 0.1)).collect();
    let nodes = vec![
        node("QuantizeLinear", MICROSOFT, &["x", "s", "z"], "q", vec![]),
        node("DequantizeLinear", MICROSOFT, &["q", "s", "z"], "y", vec![]),
    ];
    assert_within(1e-5, "there and back", &answer(&[4], nodes, vec![scale(), zero()], &x).unwrap(), &expected);

    // A mean of four pixels, to steps of 0.2.
    let image = rows(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 5.0]);
    let nodes = vec![
        node("QuantizeLinear", "", &["x", "s", "z"], "q", vec![]),
        node("QLinearAveragePool", MICROSOFT, &["q", "s", "z", "t", "z"], "p", vec![ints("kernel_shape", &[2, 2])]),
        node("DequantizeLinear", "", &["p", "t", "z"], "y", vec![]),
    ];
    let constants = vec![scale(), zero(), float_tensor("t", &[], &[0.2])];
    assert_within(1e-5, "mean", &answer(&[1, 2, 2], nodes, constants, &image).unwrap(), &[2.8]);

    // Each row has a scale of its own, to which the product is right within a step for each weight.
    let weights: Vec<i32> = (0..8).map(|it| 100 + 7 * it).collect();
    let constants = vec![
        integers("w", U8, &[4, 2], &weights),
        float_tensor("ws", &[], &[0.02]),
        integers("wz", U8, &[], &[120]),
        float_tensor("b", &[2], &[10.0, -10.0]),
    ];
    let product = |row: usize, column: usize| {
        let weight = |k: usize| 0.02 * f64::from(weights[2 * k + column] - 120);
        (0..4).map(|k| x.values[4 * row + k] * weight(k)).sum::<f64>() + [10.0, -10.0][column]
    };
    let expected = [product(0, 0), product(0, 1), product(1, 0), product(1, 1)];
    let nodes = vec![node("DynamicQuantizeMatMul", MICROSOFT, &["x", "w", "ws", "wz", "b"], "y", vec![])];
    let got = answer(&[4], nodes, constants.clone(), &x).unwrap();
    assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 0.05), "{got:?} {expected:?}");

    let nodes = vec![
        node("QuantizeLinear", "", &["x", "s", "z"], "q", vec![]),
        node("MatMulIntegerToFloat", MICROSOFT, &["q", "w", "s", "ws", "z", "wz", "b"], "y", vec![]),
    ];
    let got = answer(&[4], nodes, [constants, vec![scale(), zero()]].concat(), &x).unwrap();
    assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 0.1), "{got:?} {expected:?}");
}

#[test]
fn convolutions_end_with_their_activations() {
    let x = rows(&[1, 1, 1, 4], &[1.0, -2.0, 3.0, -4.0]);
    let kernel = || float_tensor("w", &[1, 1, 1, 2], &[1.0, 1.0]);
    let of_activation = |name: &str, parameters: &[f32], inputs: &[&str]| {
        let attributes = vec![text("activation", name), floats("activation_params", parameters)];
        let constants = vec![kernel(), float_tensor("b", &[1], &[0.5]), float_tensor("z", &[1, 1, 1, 3], &[2.0; 3])];
        of("FusedConv", inputs, attributes, constants, &[1, 1, 4], &x)
    };
    assert_within(1e-6, "Relu", &of_activation("Relu", &[], &["w", "b"]), &[0.0, 1.5, 0.0]);
    assert_within(1e-6, "LeakyRelu", &of_activation("LeakyRelu", &[0.1], &["w", "b"]), &[-0.05, 1.5, -0.05]);
    assert_within(1e-6, "Clip", &of_activation("Clip", &[-0.25, 1.0], &["w", "b"]), &[-0.25, 1.0, -0.25]);
    assert_within(1e-6, "with a sum", &of_activation("Relu", &[], &["w", "b", "z"]), &[1.5, 3.5, 1.5]);
    let constants = vec![kernel(), float_tensor("b", &[1], &[0.5])];
    let plain = of("FusedConv", &["w", "b"], vec![], constants, &[1, 1, 4], &x);
    assert_within(1e-6, "no activation", &plain, &[-0.5, 1.5, -0.5]);
    let refused = node("FusedConv", MICROSOFT, &["x", "w"], "y", vec![text("activation", "Unheard")]);
    let refused = answer(&[1, 1, 4], vec![refused], vec![kernel()], &x).unwrap_err();
    assert!(refused.contains("com.microsoft.FusedConv (node `the_y`)"), "{refused}");
}
