//! Operators with numbers that tract computes wrongly: compiled, for ordinary rows and beside a row of NaN, and interpreted.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Npy, batch, numbers,
    proto::{float, float_tensor, floats, int, ints, model, node, numbers_tensor, text, value},
    threads,
};
use modelwatch_infer::{InferError, Model};
use prost::Message;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

const SINGLE: i64 = 1;
const INTEGER: i64 = 7;
const HALF: i64 = 10;
const DOUBLE: i64 = 11;

/// A model from rows `x` of these dimensions to `y`.
#[derive(Clone)]
struct Case {
    opset: i64,
    row: Vec<i64>,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Case {
    fn new(row: &[i64], nodes: Vec<NodeProto>) -> Self {
        Self { opset: 13, row: row.to_vec(), nodes, constants: vec![] }
    }

    /// An operator between two casts, to numbers of this type and back.
    fn between(row: &[i64], data_type: i64, mut operator: NodeProto) -> Self {
        operator.input[0] = "inner".to_owned();
        operator.output[0] = "outer".to_owned();
        let cast = |from: &str, to: &str, data_type| node("Cast", "", &[from], to, vec![int("to", data_type)]);
        Self::new(row, vec![cast("x", "inner", data_type), operator, cast("outer", "y", SINGLE)])
    }

    fn of(self, opset: i64) -> Self {
        Self { opset, ..self }
    }

    fn with(mut self, constant: TensorProto) -> Self {
        self.constants.push(constant);
        self
    }

    fn load(&self) -> Result<Model, InferError> {
        let graph = GraphProto {
            node: self.nodes.clone(),
            initializer: self.constants.clone(),
            input: vec![value("x", &[&[-1], &*self.row].concat())],
            output: vec![value("y", &[])],
            ..Default::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, model(self.opset, graph).encode_to_vec()).unwrap();
        Model::load(&path)
    }

    /// Returns the same model with a node that no output needs, and that only this project computes.
    fn interpreted(&self) -> Self {
        let mut res = self.clone();
        res.nodes.push(node("Celu", "", &["x"], "unused", vec![float("alpha", 2.0)]));
        res
    }

    fn run(&self, what: &str, x: &[f64]) -> Vec<f64> {
        let width = self.row.iter().product::<i64>() as usize;
        let shape = [&[x.len() / width], &*self.row.iter().map(|it| *it as usize).collect::<Vec<_>>()].concat();
        let model = self.load().unwrap_or_else(|it| panic!("{what}: {it}"));
        let answer = model.run(&batch(&[("x", &Npy { shape, values: x.to_vec() })]), threads(1));
        assert_eq!(model.warnings(), [""; 0], "{what}");
        numbers(answer.unwrap_or_else(|it| panic!("{what}: {it}")).column(0))
    }

    /// Fails unless the rows give what is wanted, whoever computes it, and a row of NaN beside them nothing but NaN.
    fn check(&self, what: &str, within: f64, x: &[f64], wanted: &[f64]) {
        let width = self.row.iter().product::<i64>() as usize;
        let n_each = wanted.len() / (x.len() / width);
        for (case, way) in [(self.clone(), "compiled"), (self.interpreted(), "interpreted")] {
            let what = format!("{what}, {way}");
            assert_numbers(&what, within, &case.run(&what, x), wanted);
            let got = case.run(&what, &[&vec![f64::NAN; width], x].concat());
            let wanted = [&vec![f64::NAN; n_each], wanted].concat();
            assert_numbers(&format!("{what}, beside NaN"), within, &got, &wanted);
        }
    }

    /// Fails unless the rows give what is wanted, whoever computes it.
    fn check_rows(&self, what: &str, within: f64, x: &[f64], wanted: &[f64]) {
        for (case, way) in [(self.clone(), "compiled"), (self.interpreted(), "interpreted")] {
            let what = format!("{what}, {way}");
            assert_numbers(&what, within, &case.run(&what, x), wanted);
        }
    }
}

fn assert_numbers(what: &str, within: f64, got: &[f64], wanted: &[f64]) {
    assert_eq!(got.len(), wanted.len(), "{what}: {got:?}");
    let agree = |(got, wanted): (&f64, &f64)| {
        got == wanted
            || (got.is_nan() && wanted.is_nan())
            || (wanted.is_finite() && (got - wanted).abs() <= within * wanted.abs())
    };
    assert!(got.iter().zip(wanted).all(agree), "{what}: {got:?}, not {wanted:?}");
}

#[test]
fn logarithms_of_softmax_are_finite_where_the_softmax_has_no_digits() {
    let of = || node("LogSoftmax", "", &["x"], "y", vec![]);
    let last = Case::new(&[3], vec![of()]);
    last.check("f32", 1e-6, &[0.0, 120.0, 60.0, 1.0, 1.0, 1.0], &[-120.0, 0.0, -60.0, -LN_3, -LN_3, -LN_3]);
    let ends = [f64::NEG_INFINITY, 0.0, 0.0];
    last.check("f32", 1e-6, &ends, &[f64::NEG_INFINITY, -std::f64::consts::LN_2, -std::f64::consts::LN_2]);
    // Before version 13, from the axis on.
    let all = Case::new(&[2, 2], vec![of()]).of(11);
    all.check("all axes", 1e-6, &[0.0, 100.0, 50.0, -50.0], &[-100.0, 0.0, -50.0, -150.0]);
    let first = node("LogSoftmax", "", &["x"], "y", vec![int("axis", 1)]);
    let first = Case::new(&[2, 2], vec![first]);
    first.check(
        "another axis",
        1e-6,
        &[0.0, 7.0, 200.0, 7.0],
        &[-200.0, -std::f64::consts::LN_2, 0.0, -std::f64::consts::LN_2],
    );
    // ln(1 + e^-5 + e^-20) is 0.006715350…
    let sum = 0.006_715_350_4;
    Case::between(&[3], HALF, of()).check("f16", 2e-3, &[0.0, 20.0, 15.0], &[-20.0 - sum, -sum, -5.0 - sum]);
    Case::between(&[3], DOUBLE, of()).check("f64", 1e-7, &[0.0, 800.0, 60.0], &[-800.0, 0.0, -740.0]);
}

const LN_3: f64 = 1.098_612_288_668_11;

#[test]
fn exponentials_that_overflow_are_no_part_of_what_is_finite() {
    let softplus = || node("Softplus", "", &["x"], "y", vec![]);
    let x = [100.0, 89.0, -20.0, 0.0];
    let wanted = [100.0, 89.0, 2.061_153_620_3e-9, std::f64::consts::LN_2];
    Case::new(&[4], vec![softplus()]).check("f32", 1e-6, &x, &wanted);
    Case::between(&[4], DOUBLE, softplus()).check(
        "f64",
        1e-6,
        &[1e3, 89.0, -20.0, 0.0],
        &[1e3, 89.0, wanted[2], wanted[3]],
    );
    Case::between(&[2], HALF, softplus()).check("f16", 1e-3, &[12.0, 0.0], &[12.000_006, wanted[3]]);

    let x = [100.0, 100.0, -200.0, -201.0, f64::NEG_INFINITY, f64::NEG_INFINITY, f64::INFINITY, 1.0];
    // ln(e^0 + e^-1) is 0.313261687…
    let wanted = [100.0 + std::f64::consts::LN_2, -200.0 + 0.313_261_687_5, f64::NEG_INFINITY, f64::INFINITY];
    let along = vec![ints("axes", &[1]), int("keepdims", 0)];
    let sum = || node("ReduceLogSumExp", "", &["x"], "y", along.clone());
    Case::new(&[2], vec![sum()]).check("f32", 1e-6, &x, &wanted);
    Case::between(&[2], DOUBLE, sum()).check("f64", 1e-6, &x, &wanted);
    Case::between(&[2], HALF, sum()).check("f16", 2e-3, &x, &wanted);
    let sum = node("ReduceLogSumExp", "", &["x", "axes"], "y", vec![]);
    Case::new(&[2], vec![sum]).of(18).with(numbers_tensor("axes", &[-1])).check("an input", 1e-6, &x, &wanted);
}

#[test]
fn sums_of_integers_have_all_their_bits() {
    const LARGE: f64 = 3e9;
    let to_integers = || node("Cast", "", &["x"], "integers", vec![int("to", INTEGER)]);
    let along = || vec![ints("axes", &[1]), int("keepdims", 0)];
    let x = [LARGE, LARGE, 5.0, -8.0];
    for (op, wanted) in [("ReduceMean", [LARGE, -1.0]), ("ReduceL1", [2.0 * LARGE, 13.0])] {
        let case = Case::new(&[2], vec![to_integers(), node(op, "", &["integers"], "y", along())]);
        case.check_rows(op, 0.0, &x, &wanted);
    }
    let sum = Case::new(&[2], vec![to_integers(), node("ReduceSum", "", &["integers", "axes"], "y", vec![])]);
    sum.with(numbers_tensor("axes", &[1])).check_rows("ReduceSum", 0.0, &x, &[2.0 * LARGE, -3.0]);
    let squares = Case::new(&[2], vec![to_integers(), node("ReduceSumSquare", "", &["integers"], "y", along())]);
    squares.check_rows("ReduceSumSquare", 0.0, &[2e9, 2e9, 3.0, -4.0], &[8e18, 25.0]);
    // A sum of constants, which is there before the model runs.
    let constants = vec![
        to_integers(),
        node("ReduceSum", "", &["large"], "sum", vec![]),
        node("Add", "", &["integers", "sum"], "y", vec![]),
    ];
    let case = Case::new(&[2], constants).with(numbers_tensor("large", &[3_000_000_000, 3_000_000_000]));
    case.check_rows("constants", 0.0, &[1.0, -1.0], &[2.0 * LARGE + 1.0, 2.0 * LARGE - 1.0]);
}

#[test]
fn sums_in_half_precision_may_be_beyond_it_on_the_way() {
    let along = || vec![ints("axes", &[1]), int("keepdims", 0)];
    for (op, x, wanted) in [("ReduceMean", 5000.0, 5000.0), ("ReduceL2", 800.0, 3200.0)] {
        let case = Case::between(&[16], HALF, node(op, "", &["x"], "y", along()));
        case.check_rows(op, 0.0, &[x; 16], &[wanted]);
    }
}

#[test]
fn sums_of_many_numbers_keep_their_digits() {
    const N: usize = 1 << 18;
    let sum = node("ReduceSum", "", &["x", "axes"], "y", vec![int("keepdims", 0)]);
    for (row, axes) in [(&[N as i64][..], &[1][..]), (&[1 << 9, 1 << 9], &[1, 2])] {
        let case = Case { opset: 13, row: row.to_vec(), nodes: vec![sum.clone()], constants: vec![] };
        let got = case.with(numbers_tensor("axes", axes)).run("a sum", &vec![0.1; N]);
        assert_numbers("a sum", 1e-6, &got, &[f64::from(0.1_f32) * N as f64]);
    }
}

#[test]
fn a_cube_at_the_border_is_refused_by_name() {
    let sample = |mode: &str, padding: &str| {
        let attributes = vec![text("mode", mode), text("padding_mode", padding)];
        let nodes = vec![node("GridSample", "", &["x", "grid"], "y", attributes)];
        Case::new(&[1, 3, 3], nodes).of(20).with(float_tensor("grid", &[1, 1, 1, 2], &[2.0, 0.5])).load()
    };
    let error = sample("cubic", "border").unwrap_err().to_string();
    assert!(error.contains("GridSample: places outside are moved") && error.contains("node `the_y`"), "{error}");
    for (mode, padding) in [("cubic", "zeros"), ("linear", "border")] {
        let error = sample(mode, padding).err().map(|it| it.to_string()).unwrap_or_default();
        assert!(!error.contains("places outside are moved"), "{error}");
    }
}

#[test]
fn remainders_have_the_sign_of_the_divisor() {
    let divisors = || float_tensor("d", &[6], &[-2.0, 2.0, 2.0, -2.0, 3.0, -3.0]);
    let of = |fmod: i64, last: &str| {
        let remainder = node("Mod", "", &["x", "d"], last, vec![int("fmod", fmod)]);
        Case::new(&[6], vec![remainder]).with(divisors())
    };
    let x = [0.0, -0.0, 0.0, -0.0, -7.0, 7.0];
    of(0, "y").check("remainders", 0.0, &x, &[0.0, 0.0, 0.0, 0.0, 2.0, -2.0]);
    of(1, "y").check("of the dividend", 0.0, &x, &[0.0, 0.0, 0.0, 0.0, -1.0, 1.0]);
    // The sign of a zero shows where 1 is divided by it.
    let mut inverse = of(0, "r");
    inverse.nodes.push(node("Reciprocal", "", &["r"], "y", vec![]));
    let infinity = f64::INFINITY;
    inverse.check("zeros", 0.0, &x, &[-infinity, infinity, infinity, -infinity, 0.5, -0.5]);
}

#[test]
fn nan_comes_before_all_numbers() {
    const NAN: f64 = f64::NAN;
    let x = [0.1, NAN, 0.7, 0.7, NAN, 1.0, 2.0, 0.5, 3.0, 3.0, 2.0, 3.0, f64::NEG_INFINITY, 2.0, f64::INFINITY, 2.0];
    let top = |largest: i64, output: &str| {
        let outputs = ["values", "indices"].map(str::to_owned).to_vec();
        let op = node("TopK", "", &["inner", "k"], "values", vec![int("largest", largest)]);
        vec![NodeProto { output: outputs, ..op }, node("Cast", "", &[output], "y", vec![int("to", SINGLE)])]
    };
    for (largest, values, indices) in [
        (1, [NAN, 0.7, NAN, 2.0, 3.0, 3.0, f64::INFINITY, 2.0], [1.0, 2.0, 0.0, 2.0, 0.0, 1.0, 2.0, 1.0]),
        (0, [NAN, 0.1, NAN, 0.5, 2.0, 3.0, f64::NEG_INFINITY, 2.0], [1.0, 0.0, 0.0, 3.0, 2.0, 0.0, 0.0, 1.0]),
    ] {
        for (output, wanted) in [("values", values), ("indices", indices)] {
            for data_type in [SINGLE, HALF, DOUBLE] {
                let cast = node("Cast", "", &["x"], "inner", vec![int("to", data_type)]);
                let case = Case::new(&[4], [vec![cast], top(largest, output)].concat()).with(numbers_tensor("k", &[2]));
                case.check_rows(&format!("{output} of type {data_type}"), 1e-3, &x, &wanted);
            }
        }
    }
    for (op, last, wanted) in [
        ("ArgMax", 0, [1.0, 0.0, 0.0, 2.0]),
        ("ArgMax", 1, [1.0, 0.0, 3.0, 2.0]),
        ("ArgMin", 0, [1.0, 0.0, 2.0, 0.0]),
        ("ArgMin", 1, [1.0, 0.0, 2.0, 0.0]),
    ] {
        let attributes = vec![int("axis", 1), int("keepdims", 0), int("select_last_index", last)];
        let op = node(op, "", &["x"], "y", attributes);
        let what = format!("{}, last: {last}", op.op_type);
        Case::new(&[4], vec![op.clone()]).check_rows(&what, 0.0, &x, &wanted);
        Case::between(&[4], DOUBLE, op.clone()).check_rows(&what, 0.0, &x, &wanted);
        // Of two numbers with another axis behind them.
        let pairs = Case::new(&[2, 2], vec![op]);
        let column = if last == 1 { [0.0, 0.0, 1.0, 1.0] } else { [0.0, 0.0, 1.0, 0.0] };
        let x = [NAN, 1.0, 2.0, if what.starts_with("ArgMax") { 0.5 } else { 2.0 }, 1.0, 1.0, NAN, 1.0];
        pairs.check_rows(&what, 0.0, &x, &column);
    }
}

/// Returns what a deconvolution of squares with one channel gives before anything is cut off.
fn deconvolved(x: &[f64], len: usize, kernel: &[f64], size: usize, stride: usize) -> (Vec<f64>, usize) {
    let made = (len - 1) * stride + size;
    let mut res = vec![0.0; made * made];
    for (place, it) in x.iter().enumerate() {
        let (row, column) = (place / len * stride, place % len * stride);
        for (at, weight) in kernel.iter().enumerate() {
            res[(row + at / size) * made + column + at % size] += it * weight;
        }
    }
    (res, made)
}

#[test]
fn deconvolutions_are_padded_as_onnx_says() {
    const LEN: usize = 5;
    const STRIDE: usize = 2;
    let x: Vec<f64> = (0..2 * LEN * LEN).map(|it| f64::from((it * 7 % 11) as u32) - 4.0).collect();
    // The size of the kernel, what else is said, and what is cut off at the start and given in all, by ONNX Runtime.
    for (size, said, before, given) in [
        (3, vec![ints("output_shape", &[10, 10])], 1, 10),
        (3, vec![ints("output_shape", &[10, 10]), ints("pads", &[0, 0, 1, 1])], 1, 10),
        (3, vec![ints("output_shape", &[10, 10]), text("auto_pad", "SAME_UPPER")], 0, 10),
        (3, vec![ints("output_shape", &[12, 12])], 0, 12),
        (3, vec![ints("output_shape", &[10, 10]), text("auto_pad", "SAME_LOWER")], 1, 10),
        (3, vec![ints("output_shape", &[10, 10]), ints("output_padding", &[1, 1])], 1, 10),
        (3, vec![text("auto_pad", "SAME_UPPER"), ints("output_padding", &[1, 1])], 1, 10),
        (3, vec![text("auto_pad", "SAME_LOWER"), ints("output_padding", &[1, 1])], 1, 10),
        (3, vec![text("auto_pad", "SAME_UPPER")], 0, 10),
        (3, vec![text("auto_pad", "SAME_LOWER")], 1, 10),
        (2, vec![text("auto_pad", "SAME_UPPER")], 0, 10),
        (1, vec![text("auto_pad", "SAME_UPPER")], 0, 9),
        (4, vec![text("auto_pad", "SAME_LOWER")], 1, 10),
        (3, vec![text("auto_pad", "VALID"), ints("output_padding", &[1, 1])], 0, 12),
        (3, vec![ints("pads", &[1, 1, 0, 0]), ints("output_padding", &[1, 1])], 1, 11),
    ] {
        let what = format!("{size}: {said:?}");
        let kernel: Vec<f64> = (0..size * size).map(|it| f64::from(it as u32) * 0.5 - 1.0).collect();
        let weights: Vec<f32> = kernel.iter().map(|it| *it as f32).collect();
        let attributes = [said, vec![ints("strides", &[STRIDE as i64; 2])]].concat();
        let op = node("ConvTranspose", "", &["x", "w"], "y", attributes);
        let dims = [1, 1, size as i64, size as i64];
        let case = Case::new(&[1, LEN as i64, LEN as i64], vec![op]).with(float_tensor("w", &dims, &weights));
        let mut wanted = Vec::new();
        for image in x.chunks(LEN * LEN) {
            let (all, made) = deconvolved(image, LEN, &kernel, size, STRIDE);
            for (row, column) in (0..given * given).map(|it| (it / given + before, it % given + before)) {
                // What is added at the end is 0.
                wanted.push(if row < made && column < made { all[row * made + column] } else { 0.0 });
            }
        }
        case.check_rows(&what, 1e-5, &x, &wanted);
        let halves = Case { nodes: Case::between(&case.row, DOUBLE, case.nodes[0].clone()).nodes, ..case };
        let cast = node("Cast", "", &["w"], "wide", vec![int("to", DOUBLE)]);
        let mut doubles = Case { nodes: [vec![cast], halves.nodes.clone()].concat(), ..halves };
        doubles.nodes[2].input[1] = "wide".to_owned();
        doubles.check_rows(&format!("{what} in double precision"), 1e-6, &x, &wanted);
    }
    let longer = node("ConvTranspose", "", &["x", "w"], "y", vec![ints("output_shape", &[9])]);
    let case = Case::new(&[1, 5], vec![longer]).with(float_tensor("w", &[1, 1, 3], &[1.0; 3]));
    assert!(case.load().unwrap_err().to_string().contains("numbers along an axis are wanted"));
}

#[test]
fn statistics_of_a_batch_are_refused_by_name() {
    let inputs = ["x", "one", "zero", "zero", "one"];
    let attributes = |mode| vec![int("training_mode", mode)];
    let case = |mode| {
        let op = node("BatchNormalization", "", &inputs, "y", attributes(mode));
        let case = Case::new(&[2, 1, 1], vec![op]).of(15);
        case.with(float_tensor("one", &[2], &[1.0; 2])).with(float_tensor("zero", &[2], &[0.0; 2]))
    };
    for case in [case(1), case(1).interpreted()] {
        let error = case.load().unwrap_err();
        let InferError::Unsupported { operators, .. } = &error else { panic!("{error}") };
        let named = "BatchNormalization: the statistics of training are taken for those of the batch";
        assert_eq!((&*operators.0[0].0, &*operators.0[0].1), (named, "the_y"));
    }
    case(0).check("trained", 1e-4, &[1.0, -2.0, 3.0, 4.0], &[1.0, -2.0, 3.0, 4.0]);
}

#[test]
fn norms_of_images_are_sums() {
    let x = [1.0, -2.0, 3.0, -4.0, 0.0, 0.5, 0.0, 0.5];
    for (degree, wanted) in
        [(1, [10.0, 1.0]), (2, [30_f64.sqrt(), 0.5_f64.sqrt()]), (3, [100_f64.cbrt(), 0.25_f64.cbrt()])]
    {
        let op = node("GlobalLpPool", "", &["x"], "y", vec![int("p", degree)]);
        Case::new(&[1, 2, 2], vec![op.clone()]).check(&format!("{degree}"), 1e-6, &x, &wanted);
        Case::between(&[1, 2, 2], DOUBLE, op).check(&format!("{degree} in double precision"), 1e-6, &x, &wanted);
    }
}

#[test]
fn slices_may_start_beyond_32_bits() {
    let large = 1_i64 << 62;
    for (start, end, step, wanted) in [
        (large, -large, -1, vec![3.0, 2.0, 1.0]),
        (large, -large, -2, vec![3.0, 1.0]),
        (-large, large, 1, vec![1.0, 2.0, 3.0]),
        (-large, 2, 1, vec![1.0, 2.0]),
    ] {
        let slice = node("Slice", "", &["x", "start", "end", "axis", "step"], "y", vec![]);
        let constants = [("start", start), ("end", end), ("axis", 1), ("step", step)];
        let case = constants
            .iter()
            .fold(Case::new(&[3], vec![slice]), |case, (name, it)| case.with(numbers_tensor(name, &[*it])));
        case.check(&format!("{start}:{end}:{step}"), 0.0, &[1.0, 2.0, 3.0], &wanted);
    }
}

#[test]
fn integers_are_multiplied_with_weights_and_picked_from_the_end() {
    let to_integers = || node("Cast", "", &["x"], "integers", vec![int("to", INTEGER)]);
    let product = Case::new(&[2], vec![to_integers(), node("MatMul", "", &["integers", "w"], "y", vec![])]);
    let weights = TensorProto { dims: vec![2, 2], ..numbers_tensor("w", &[1 << 20, 1, -1, 3]) };
    product.with(weights).check_rows(
        "MatMul",
        0.0,
        &[3e9, 5.0, -1.0, 2.0],
        &[3e9 * 1_048_576.0 - 5.0, 3e9 + 15.0, -1_048_578.0, 5.0],
    );
    let pick = Case::new(&[1], vec![to_integers(), node("GatherND", "", &["data", "integers"], "y", vec![])]);
    let pick = pick.with(float_tensor("data", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    pick.check_rows("GatherND", 0.0, &[-1.0, 0.0, 2.0, -3.0], &[5.0, 6.0, 1.0, 2.0, 5.0, 6.0, 1.0, 2.0]);
    let hot = node("OneHot", "", &["integers", "depth", "values"], "y", vec![int("axis", 1)]);
    let hot = Case::new(&[1], vec![to_integers(), hot]).with(numbers_tensor("depth", &[3]));
    let wanted = [0.5, 0.5, 0.5, 0.5, 0.5, 1.5, 1.5, 0.5, 0.5, 0.5, 0.5, 0.5];
    hot.with(float_tensor("values", &[2], &[0.5, 1.5])).check_rows("OneHot", 0.0, &[3.0, -1.0, 0.0, -4.0], &wanted);
}

#[test]
fn a_sigmoid_of_what_is_far_below_0_is_as_small() {
    let x = [-20.0, -50.0, -80.0, -13.0, -1e30, 0.0];
    // By `math.exp` of Python; 1 more or less is beyond the digits.
    let of = [2.061_153_620_3e-9, 1.928_749_847_96e-22, 1.804_851_387_8e-35, 2.260_324_299e-6, 0.0, 0.5];
    let sigmoid = || node("Sigmoid", "", &["x"], "y", vec![]);
    Case::new(&[6], vec![sigmoid()]).check("Sigmoid", 1e-5, &x, &of);
    let product = vec![node("Sigmoid", "", &["x"], "s", vec![]), node("Mul", "", &["x", "s"], "y", vec![])];
    let products: Vec<f64> = x.iter().zip(of).map(|(x, of)| x * of).collect();
    Case::new(&[6], product).check("x times its Sigmoid", 1e-5, &x, &products);
    Case::new(&[6], vec![node("Sigmoid", "", &["x"], "s", vec![]), node("Log", "", &["s"], "y", vec![])]).check(
        "the logarithm",
        1e-5,
        &x,
        &[-20.0, -50.0, -80.0, -13.000_002_26, f64::NEG_INFINITY, -std::f64::consts::LN_2],
    );
    // 5.96e-8 is the least number of half precision.
    let wanted = [6.0 * 5.960_464e-8, 0.0, 0.5];
    Case::between(&[3], HALF, sigmoid()).check("f16", 1e-3, &[-14.8, -50.0, 0.0], &wanted);
}

#[test]
fn images_are_enlarged_as_before_version_10() {
    let x = [1.0, 3.0, 5.0, 9.0];
    let nearest = [1.0, 1.0, 3.0, 3.0, 1.0, 1.0, 3.0, 3.0, 5.0, 5.0, 9.0, 9.0, 5.0, 5.0, 9.0, 9.0];
    let linear = [1.0, 2.0, 3.0, 3.0, 3.0, 4.5, 6.0, 6.0, 5.0, 7.0, 9.0, 9.0, 5.0, 7.0, 9.0, 9.0];
    for (mode, wanted) in [("nearest", nearest), ("linear", linear)] {
        let scales = [1.0, 1.0, 2.0, 2.0];
        let op = node("Upsample", "", &["x", "scales"], "y", vec![text("mode", mode)]);
        let case = Case::new(&[1, 2, 2], vec![op]).of(9).with(float_tensor("scales", &[4], &scales));
        case.check(mode, 1e-6, &x, &wanted);
        let op = node("Upsample", "", &["x"], "y", vec![text("mode", mode), floats("scales", &scales)]);
        Case::new(&[1, 2, 2], vec![op]).of(7).check(&format!("{mode}, version 7"), 1e-6, &x, &wanted);
    }
}
