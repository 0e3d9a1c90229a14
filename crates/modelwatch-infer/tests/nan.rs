//! NaN that comes to be inside of a model, from ordinary numbers.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Npy, batch, numbers,
    proto::{float_tensor, int, ints, model, node, numbers_tensor, value},
    threads,
};
use modelwatch_infer::Model;
use prost::Message;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

const SINGLE: i32 = 1;
const HALF: i32 = 10;
const DOUBLE: i32 = 11;

const WIDTH: usize = 8;
const BAD_ROW: usize = 3;
const N_ROWS: usize = 21;

/// Rows of which one makes a NaN where it is `bad`; the others, and all where it is not, are ordinary.
fn rows(bad: Option<f64>) -> Npy {
    let mut values: Vec<f64> = (0..N_ROWS * WIDTH).map(|it| 0.25 + (it % 13) as f64 * 0.25).collect();
    if let Some(it) = bad {
        values[BAD_ROW * WIDTH + 5] = it;
    }
    Npy { shape: vec![N_ROWS, WIDTH], values }
}

/// Nodes from `made` to `kept`, and the name of what they stand for.
fn keepers() -> Vec<(&'static str, Vec<NodeProto>)> {
    let one = |op: &str| vec![node(op, "", &["made"], "kept", vec![])];
    let images = |op: &str, attributes| {
        vec![
            node("Reshape", "", &["made", "image_shape"], "image", vec![]),
            node(op, "", &["image"], "pooled", attributes),
            node("Flatten", "", &["pooled"], "kept", vec![]),
        ]
    };
    let mut res: Vec<(&str, Vec<NodeProto>)> = [
        "Relu",
        "Sigmoid",
        "Tanh",
        "LeakyRelu",
        "Elu",
        "Selu",
        "HardSigmoid",
        "HardSwish",
        "Softplus",
        "Softsign",
        "Softmax",
        "Erf",
        "Exp",
        "Abs",
        "Neg",
        "Sign",
        "Round",
        "Floor",
        "Reciprocal",
        "Sin",
        "Identity",
    ]
    .into_iter()
    .map(|it| (it, one(it)))
    .collect();
    let recurrent = |op: &str, attributes: &[AttributeProto]| {
        let n_gates = match op {
            "LSTM" => 4,
            "GRU" => 3,
            _ => 1,
        };
        let [w, r] = ["w", "r"].map(|it| format!("{it}_{n_gates}"));
        let attributes = [&[int("hidden_size", 2)], attributes].concat();
        vec![
            node("Reshape", "", &["made", "sequence_shape"], "steps", vec![]),
            node("Transpose", "", &["steps"], "sequence", vec![ints("perm", &[1, 0, 2])]),
            NodeProto {
                output: vec!["all".into(), "last".into()],
                ..node(op, "", &["sequence", &w, &r], "last", attributes)
            },
            node("Squeeze", "", &["last"], "kept", vec![]),
        ]
    };
    let same = |op: &str, of: &str, others: &[&str]| node(op, "", &[&[of], others].concat(), "same", vec![]);
    let inverse = || vec![node("Reciprocal", "", &["made"], "inverse", vec![]), same("Reciprocal", "inverse", &[])];
    let squared =
        |between: Vec<NodeProto>| [between, vec![node("Mul", "", &["same", "same"], "kept", vec![])]].concat();
    let pair = |op: &str, other: &str| vec![node(op, "", &["made", other], "kept", vec![])];
    res.extend([
        ("Clip", vec![node("Clip", "", &["made", "least", "most"], "kept", vec![])]),
        ("Max with a number", pair("Max", "least")),
        ("Max with a row", pair("Max", "row")),
        ("Max with an input", pair("Max", "numbers")),
        ("Min with a number", pair("Min", "most")),
        ("Min with a row", pair("Min", "row")),
        ("a product with 0", pair("Mul", "zero")),
        ("PRelu", pair("PRelu", "row")),
        (
            "Swish",
            vec![node("Sigmoid", "", &["made"], "inner", vec![]), node("Mul", "", &["inner", "made"], "kept", vec![])],
        ),
        (
            "a product and Relu",
            vec![node("MatMul", "", &["made", "w"], "inner", vec![]), node("Relu", "", &["inner"], "kept", vec![])],
        ),
        (
            "a sum and Clip",
            vec![
                node("Add", "", &["made", "row"], "inner", vec![]),
                node("Clip", "", &["inner", "least", "most"], "kept", vec![]),
            ],
        ),
        // What is left of the square of a root is the number that it is of.
        ("Square", pair("Mul", "made")),
        ("Power", pair("Pow", "most")),
        ("Square of Identity", squared(vec![same("Identity", "made", &[])])),
        ("Square of Slice", squared(vec![same("Slice", "made", &["four", "eight", "second"])])),
        ("Square of Expand", squared(vec![same("Expand", "made", &["row_shape"])])),
        ("Square of a product with 1", squared(vec![same("Mul", "made", &["one"])])),
        ("Square of Reciprocal", squared(vec![same("Reciprocal", "made", &[])])),
        ("Square of Reciprocal of Reciprocal", squared(inverse())),
        (
            "Power of Reciprocal of Reciprocal",
            [inverse(), vec![node("Pow", "", &["same", "most"], "kept", vec![])]].concat(),
        ),
        (
            "Square of Unsqueeze",
            vec![
                same("Unsqueeze", "made", &["third"]),
                node("Mul", "", &["same", "same"], "square", vec![]),
                node("Squeeze", "", &["square", "third"], "kept", vec![]),
            ],
        ),
        (
            "a product with another root",
            vec![node("Sqrt", "", &["numbers"], "root", vec![]), node("Mul", "", &["made", "root"], "kept", vec![])],
        ),
        (
            "a product and LeakyRelu",
            vec![
                node("MatMul", "", &["made", "w"], "inner", vec![]),
                node("LeakyRelu", "", &["inner"], "kept", vec![]),
            ],
        ),
        ("ReduceMax", vec![node("ReduceMax", "", &["made"], "kept", vec![ints("axes", &[1])])]),
        ("MaxPool", images("MaxPool", vec![ints("kernel_shape", &[2, 2])])),
        ("GlobalMaxPool", images("GlobalMaxPool", vec![])),
        ("AveragePool", images("AveragePool", vec![ints("kernel_shape", &[2, 2])])),
        ("LSTM", recurrent("LSTM", &[])),
        ("GRU", recurrent("GRU", &[int("linear_before_reset", 0)])),
        ("GRU at once", recurrent("GRU", &[int("linear_before_reset", 1)])),
        ("RNN", recurrent("RNN", &[])),
    ]);
    res
}

/// Writes a model whose `x` becomes `numbers` of a type, of which `make` makes `made`.
fn write(folder: &tempfile::TempDir, data_type: i32, make: Vec<NodeProto>, keep: &[NodeProto]) -> std::path::PathBuf {
    let (w, least): (Vec<f32>, _) = ((0..WIDTH * WIDTH).map(|it| (it % 5) as f32 * 0.25 - 0.5).collect(), -2.0);
    let constants = [
        float_tensor("least", &[], &[least]),
        float_tensor("most", &[], &[2.0]),
        float_tensor("zero", &[], &[0.0]),
        float_tensor("half", &[], &[0.5]),
        float_tensor("one", &[], &[1.0]),
        float_tensor("row", &[1, WIDTH as i64], &[0.5; WIDTH]),
        float_tensor("w", &[WIDTH as i64, WIDTH as i64], &w),
        float_tensor("w_4", &[1, 8, 2], &w[..16]),
        float_tensor("r_4", &[1, 8, 2], &w[16..32]),
        float_tensor("w_3", &[1, 6, 2], &w[..12]),
        float_tensor("r_3", &[1, 6, 2], &w[16..28]),
        float_tensor("w_1", &[1, 2, 2], &w[..4]),
        float_tensor("r_1", &[1, 2, 2], &w[16..20]),
    ];
    let mut nodes = vec![node("Cast", "", &["x"], "numbers", vec![int("to", data_type.into())])];
    let lengths: [(&str, &[i64]); 7] = [
        ("image_shape", &[0, 1, 2, 4]),
        ("sequence_shape", &[0, 4, 2]),
        ("row_shape", &[1, WIDTH as i64]),
        ("second", &[1]),
        ("third", &[2]),
        ("four", &[4]),
        ("eight", &[8]),
    ];
    let mut initializer: Vec<TensorProto> = lengths.into_iter().map(|(name, it)| numbers_tensor(name, it)).collect();
    for mut it in constants {
        if data_type != SINGLE {
            let name = it.name.clone();
            it.name = format!("{name}_single");
            nodes.push(node("Cast", "", &[&it.name], &name, vec![int("to", data_type.into())]));
        }
        initializer.push(it);
    }
    nodes.extend(make);
    nodes.extend_from_slice(keep);
    nodes.push(node("Cast", "", &["kept"], "y", vec![int("to", 1)]));
    let graph = GraphProto {
        node: nodes,
        initializer,
        input: vec![value("x", &[-1, WIDTH as i64])],
        output: vec![value("y", &[])],
        ..Default::default()
    };
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, model(14, graph).encode_to_vec()).unwrap();
    path
}

#[test]
fn a_nan_that_is_made_inside_reaches_the_output() {
    let infinities = vec![
        node("Mul", "", &["numbers", "numbers"], "squares", vec![]),
        node("Exp", "", &["squares"], "huge", vec![]),
        node("Sub", "", &["huge", "huge"], "none", vec![]),
        node("Add", "", &["none", "numbers"], "made", vec![]),
    ];
    let makers = [
        ("Log", -1.0, vec![node("Log", "", &["numbers"], "made", vec![])]),
        ("Sqrt", -1.0, vec![node("Sqrt", "", &["numbers"], "made", vec![])]),
        ("Pow", -1.0, vec![node("Pow", "", &["numbers", "half"], "made", vec![])]),
        ("∞ - ∞", 100.0, infinities),
    ];
    for (maker, bad, make) in makers {
        for (keeper, keep) in keepers() {
            for data_type in [SINGLE, HALF, DOUBLE] {
                let what = format!("{maker}, {keeper}, type {data_type}");
                let folder = tempfile::tempdir().unwrap();
                let model = Model::load(&write(&folder, data_type, make.clone(), &keep)).unwrap();
                let run = |bad| model.run(&batch(&[("x", &rows(bad))]), threads(1)).map(|it| numbers(it.column(0)));
                let (got, clean) = (run(Some(bad)).unwrap(), run(None).unwrap());
                let n = clean.len() / N_ROWS;
                for (idx, (got, clean)) in got.chunks(n).zip(clean.chunks(n)).enumerate() {
                    assert!(clean.iter().all(|it| !it.is_nan()), "{what}: {clean:?}");
                    if idx == BAD_ROW {
                        assert!(got.iter().any(|it| it.is_nan()), "{what}: {got:?}");
                    } else {
                        assert_eq!(got, clean, "{what}, row {idx}");
                    }
                }
                assert_eq!(model.warnings(), [""; 0], "{what}");
                // Node by node as well, where an ordinary run is not asked.
                let nodes = model.numerics(&batch(&[("x", &rows(Some(bad)))]), &|| false).unwrap().nodes;
                let output = nodes.iter().find(|it| !it.outputs.is_empty()).unwrap();
                assert!(output.n_nan > 0, "{what}: {output:?}");
            }
        }
    }
}

#[test]
fn a_nan_in_a_half_or_double_reaches_the_output() {
    for data_type in [HALF, DOUBLE] {
        for (keeper, keep) in keepers() {
            let folder = tempfile::tempdir().unwrap();
            let made = vec![node("Identity", "", &["numbers"], "made", vec![])];
            let model = Model::load(&write(&folder, data_type, made, &keep)).unwrap();
            let output = model.run(&batch(&[("x", &rows(Some(f64::NAN)))]), threads(1)).unwrap();
            let output = numbers(output.column(0));
            let n = output.len() / N_ROWS;
            let rows: Vec<usize> = (0..output.len()).filter(|it| output[*it].is_nan()).map(|it| it / n).collect();
            assert!(!rows.is_empty() && rows.iter().all(|it| *it == BAD_ROW), "{keeper}, type {data_type}: {rows:?}");
        }
    }
}

#[test]
fn a_number_to_the_power_of_0_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let keep = [node("Pow", "", &["made", "zero"], "kept", vec![])];
    let model =
        Model::load(&write(&folder, SINGLE, vec![node("Log", "", &["numbers"], "made", vec![])], &keep)).unwrap();
    let output = model.run(&batch(&[("x", &rows(Some(-1.0)))]), threads(1)).unwrap();
    assert!(numbers(output.column(0)).iter().all(|it| *it == 1.0));
}
