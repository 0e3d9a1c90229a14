//! Functions and recurrent layers in half and double precision, held against what the test computes.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Npy, assert_within, batch, numbers,
    proto::{float, float_tensor, graph, int, ints, model, node, numbers_tensor, value},
    threads,
};
use modelwatch_infer::Model;
use prost::Message;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

const HALF: i64 = 10;
const DOUBLE: i64 = 11;
const SINGLE: i64 = 1;

/// What is left of a number in double precision when it is rounded to single is multiplied by this.
const BEYOND: f64 = (1 << 24) as f64;

/// Answers with `kept`, and, in `rest`, with what single precision leaves of it.
fn load(row: i64, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Model {
    let cast = |from: &str, to: &str, data_type| node("Cast", "", &[from], to, vec![int("to", data_type)]);
    let mut initializer = initializer;
    initializer.push(float_tensor("beyond", &[], &[BEYOND as f32]));
    let mut all = nodes;
    all.extend([
        cast("kept", "y", SINGLE),
        cast("kept", "wide", DOUBLE),
        cast("y", "rounded", DOUBLE),
        cast("beyond", "factor", DOUBLE),
        node("Sub", "", &["wide", "rounded"], "left", vec![]),
        node("Mul", "", &["left", "factor"], "scaled", vec![]),
        cast("scaled", "rest", SINGLE),
    ]);
    let graph = GraphProto {
        node: all,
        initializer,
        input: vec![value("x", &[-1, row])],
        output: vec![value("y", &[]), value("rest", &[])],
        ..Default::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, model(14, graph).encode_to_vec()).unwrap();
    Model::load(&path).unwrap()
}

fn run(model: &Model, x: &Npy) -> [Vec<f64>; 2] {
    let answer = model.run(&batch(&[("x", x)]), threads(1)).unwrap();
    [0, 1].map(|it| numbers(answer.column(it)))
}

fn assert_double(what: &str, [y, rest]: [Vec<f64>; 2], wanted: &[f64]) {
    assert_within(1e-7, what, &y, wanted);
    let wanted: Vec<f64> = wanted.iter().map(|it| (it - f64::from(*it as f32)) * BEYOND).collect();
    assert!(wanted.iter().any(|it| it.abs() > 1e-3), "{what} is in single precision what it is in double");
    assert_within(1e-5, &format!("{what} beyond single precision"), &rest, &wanted);
}

#[test]
fn functions_have_the_digits_of_double_precision() {
    let x = Npy { shape: vec![41, 1], values: (0..41).map(|it| f64::from(it - 20) * 0.375).collect() };
    let slope = f64::from(0.3_f32);
    let erf = |x: f64| {
        // The integral of the bell curve by Simpson's rule.
        let (n, at) = (2_000, |it: usize| (-(x * it as f64 / 2_000.0).powi(2)).exp());
        let inner: f64 = (1..n).map(|it| at(it) * if it % 2 == 1 { 4.0 } else { 2.0 }).sum();
        std::f64::consts::FRAC_2_SQRT_PI * x / (3.0 * n as f64) * (at(0) + inner + at(n))
    };
    type Function<'a> = &'a dyn Fn(f64) -> f64;
    let cases: [(&str, Vec<_>, Function<'_>); 5] = [
        ("Sigmoid", vec![], &|it| 1.0 / (1.0 + (-it).exp())),
        ("HardSwish", vec![], &|it| it * (it / 6.0 + 0.5).clamp(0.0, 1.0)),
        ("LeakyRelu", vec![float("alpha", 0.3)], &|it| if it < 0.0 { slope * it } else { it }),
        ("Erf", vec![], &erf),
        ("Round", vec![], &|it| it.round_ties_even()),
    ];
    for (op, attributes, function) in cases {
        // A third of a third, so that no number is one of single precision.
        let nodes = vec![
            node("Cast", "", &["x"], "numbers", vec![int("to", DOUBLE)]),
            node("Cast", "", &["three"], "divisor", vec![int("to", DOUBLE)]),
            node("Div", "", &["numbers", "divisor"], "thirds", vec![]),
            node(op, "", &["thirds"], "of", attributes),
            node("Div", "", &["of", "divisor"], "kept", vec![]),
        ];
        let model = load(1, nodes, vec![float_tensor("three", &[], &[3.0])]);
        let wanted: Vec<f64> = x.values.iter().map(|it| function(it / 3.0) / 3.0).collect();
        assert_double(op, run(&model, &x), &wanted);
    }
}

const WIDTH: usize = 2;
const HIDDEN: usize = 2;

/// Weights by gate and unit, and by what they are multiplied with.
fn weights(n_gates: usize, shift: usize) -> Vec<f32> {
    (0..n_gates * HIDDEN * WIDTH).map(|it| ((it + shift) * 5 % 9) as f32 * 0.3 - 1.1).collect()
}

/// Returns what each gate is given by an input.
fn gates(weights: &[f32], x: &[f64]) -> Vec<f64> {
    weights.chunks(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum()).collect()
}

/// Returns the last state of a layer for a sequence, as ONNX defines it.
fn last_state(op: &str, w: &[f32], r: &[f32], row: &[f64]) -> Vec<f64> {
    let sigmoid = |it: f64| 1.0 / (1.0 + (-it).exp());
    let (mut h, mut c) = (vec![0.0; HIDDEN], vec![0.0; HIDDEN]);
    for x in row.chunks(WIDTH) {
        let (of_x, of_h) = (gates(w, x), gates(r, &h));
        let gate = |gate: usize, unit: usize| of_x[gate * HIDDEN + unit] + of_h[gate * HIDDEN + unit];
        let previous = h.clone();
        for unit in 0..HIDDEN {
            h[unit] = match op {
                "RNN" => gate(0, unit).tanh(),
                "GRU" => {
                    let (z, reset) = (sigmoid(gate(0, unit)), sigmoid(gate(1, unit)));
                    let candidate = (of_x[2 * HIDDEN + unit] + reset * of_h[2 * HIDDEN + unit]).tanh();
                    (1.0 - z) * candidate + z * previous[unit]
                }
                _ => {
                    c[unit] = sigmoid(gate(2, unit)) * c[unit] + sigmoid(gate(0, unit)) * gate(3, unit).tanh();
                    sigmoid(gate(1, unit)) * f64::tanh(c[unit])
                }
            };
        }
    }
    h
}

/// A layer of this precision for so many steps, and its weights.
fn recurrent(op: &str, n_gates: usize, data_type: i64, steps: usize) -> (Model, [Vec<f32>; 2]) {
    let [w, r] = [weights(n_gates, 0), weights(n_gates, 4)];
    let dims = [1, (n_gates * HIDDEN) as i64, WIDTH as i64];
    let cast = |from: &str, to: &str| node("Cast", "", &[from], to, vec![int("to", data_type)]);
    let mut attributes = vec![int("hidden_size", HIDDEN as i64)];
    if op == "GRU" {
        attributes.push(int("linear_before_reset", 1));
    }
    let nodes = vec![
        cast("x", "numbers"),
        cast("w_single", "w"),
        cast("r_single", "r"),
        node("Reshape", "", &["numbers", "shape"], "steps", vec![]),
        node("Transpose", "", &["steps"], "sequence", vec![ints("perm", &[1, 0, 2])]),
        NodeProto {
            output: vec!["all".into(), "last".into()],
            ..node(op, "", &["sequence", "w", "r"], "last", attributes)
        },
        node("Squeeze", "", &["last", "first"], "kept", vec![]),
    ];
    let initializer = vec![
        float_tensor("w_single", &dims, &w),
        float_tensor("r_single", &dims, &r),
        numbers_tensor("shape", &[0, steps as i64, WIDTH as i64]),
        numbers_tensor("first", &[0]),
    ];
    (load((steps * WIDTH) as i64, nodes, initializer), [w, r])
}

/// So many rows that they are several micro-batches, each with another sequence.
fn sequences(steps: usize) -> Npy {
    const ROWS: usize = 75;
    let values = (0..ROWS * steps * WIDTH).map(|it| f64::from(((it * 37 % 101) as f32) * 0.03 - 1.5)).collect();
    Npy { shape: vec![ROWS, steps * WIDTH], values }
}

#[test]
fn recurrent_layers_of_any_precision_begin_every_row_anew() {
    // A loop of one step is none for the optimizer.
    for steps in [4, 1] {
        for (op, n_gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
            for data_type in [SINGLE, HALF, DOUBLE] {
                assert_begins_anew(op, n_gates, data_type, steps);
            }
        }
    }
}

fn assert_begins_anew(op: &str, n_gates: usize, data_type: i64, steps: usize) {
    let what = format!("{op} of type {data_type}, steps: {steps}");
    let x = sequences(steps);
    let (model, [w, r]) = recurrent(op, n_gates, data_type, steps);
    let wanted: Vec<f64> = x.values.chunks(steps * WIDTH).flat_map(|row| last_state(op, &w, &r, row)).collect();
    let answer = run(&model, &x);
    match data_type {
        DOUBLE => assert_double(&what, answer, &wanted),
        HALF => {
            let far = answer[0].iter().zip(&wanted).find(|(got, wanted)| (*got - *wanted).abs() > 4e-3);
            assert_eq!(far, None, "{what}");
        }
        _ => assert_within(1e-5, &what, &answer[0], &wanted),
    }
    assert_eq!(model.warnings(), [""; 0], "{what}");
}

#[test]
fn functions_of_half_precision_are_rounded_once() {
    // By ONNX Runtime 1.32.0.
    let x = [-3.0, -2.998_046_875, -0.000_236_034_393_310_546_88, -0.5, 1.5];
    for (op, wanted) in [
        (
            "Gelu",
            [
                -0.004_051_208_496_093_75,
                -0.004_074_096_679_687_5,
                -0.000_118_017_196_655_273_44,
                -0.154_296_875,
                1.399_414_062_5,
            ],
        ),
        ("HardSwish", [0.0, -0.000_976_085_662_841_796_9, -0.000_118_017_196_655_273_44, -0.208_374_023_437_5, 1.125]),
        ("Elu", [-0.950_195_312_5, -0.950_195_312_5, -0.000_236_034_393_310_546_88, -0.393_554_687_5, 1.5]),
        ("Selu", [-1.670_898_437_5, -1.669_921_875, -0.000_415_086_746_215_820_3, -0.691_894_531_25, 1.576_171_875]),
    ] {
        let cast = |from: &str, to: &str, data_type| node("Cast", "", &[from], to, vec![int("to", data_type)]);
        let nodes = vec![cast("x", "half", HALF), node(op, "", &["half"], "of", vec![]), cast("of", "y", SINGLE)];
        let proto = model(20, graph(&[-1, 1], nodes, vec![]));
        let got = common::answer(&proto, &Npy { shape: vec![x.len(), 1], values: x.to_vec() }).unwrap();
        for ((x, got), wanted) in x.iter().zip(got).zip(wanted) {
            // The last digit.
            assert!((got - wanted).abs() <= 1e-3 * f64::abs(wanted), "{op} of {x} is {got}, not {wanted}");
        }
    }
}

#[test]
fn the_error_function_has_digits_near_0() {
    let x = [1e-6, -1e-6, 1e-30, 0.01, 0.5, -1.0, 3.0, 4.0, f64::INFINITY];
    // By `scipy.special.erf`.
    let wanted = [
        1.128_379_164_246_252_9e-6,
        -1.128_379_164_246_252_9e-6,
        1.128_379_170_673_689_6e-30,
        0.011_283_415_303_662_439,
        0.520_499_877_813_046_5,
        -0.842_700_792_949_714_8,
        0.999_977_909_503_001_4,
        0.999_999_984_582_742_1,
        1.0,
    ];
    let proto = model(13, graph(&[-1, 1], vec![node("Erf", "", &["x"], "y", vec![])], vec![]));
    let got = common::answer(&proto, &Npy { shape: vec![x.len(), 1], values: x.to_vec() }).unwrap();
    for ((x, got), wanted) in x.iter().zip(got).zip(wanted) {
        assert!((got - wanted).abs() <= 1e-6 * f64::abs(wanted), "erf({x}) is {got}, not {wanted}");
    }
}
