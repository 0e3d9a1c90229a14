//! Weights that are NaN or infinite: what they make of a graph as written, the form that is run makes as well.

use tract_onnx::{
    prelude::{DatumType, IntoTValue, OutletId, Tensor, TypedFact, TypedModel, tvec},
    tract_core::{
        axes::AxesMapping,
        ops::{
            cnn::{Conv, KernelFormat, PaddingSpec, PoolSpec},
            einsum::EinSum,
            math::{add, max, min, mul},
            nn::{DataFormat, Softmax, SoftmaxKind, leaky_relu, sigmoid},
        },
    },
    tract_hir::internal::{SpecialOps, TypedOp},
};

use super::*;

const TYPES: [DatumType; 3] = [DatumType::F32, DatumType::F16, DatumType::F64];
const ROWS: usize = 5;

/// A graph of one type, over one input.
struct Graph {
    model: TypedModel,
    datum_type: DatumType,
    end: OutletId,
}

impl Graph {
    fn new(datum_type: DatumType, row: &[usize]) -> Self {
        let mut model = TypedModel::default();
        let fact = TypedFact::dt_shape(datum_type, [&[ROWS], row].concat());
        let end = model.add_source("x", fact).unwrap();
        Self { model, datum_type, end }
    }

    /// Adds a constant of numbers few and small enough that no sum of products is rounded in any type, one of them `odd`.
    fn constant(&mut self, shape: &[usize], odd: Option<f32>) -> OutletId {
        let n: usize = shape.iter().product();
        let mut numbers: Vec<f32> = (0..n).map(|it| (it * 7 % 5) as f32 * 0.5 - 1.0).collect();
        if let Some(it) = odd {
            numbers[n / 5] = it;
        }
        self.given(&Tensor::from_shape(shape, &numbers).unwrap())
    }

    fn given(&mut self, tensor: &Tensor) -> OutletId {
        let tensor = tensor.cast_to_dt(self.datum_type).unwrap().into_owned();
        self.model.add_const(format!("constant {}", self.model.nodes.len()), tensor).unwrap()
    }

    /// Puts an operator behind what is there.
    fn then(&mut self, op: impl Into<Box<dyn TypedOp>>, others: &[OutletId]) {
        let inputs: Vec<OutletId> = [self.end].iter().chain(others).copied().collect();
        self.end = self.model.wire_node(format!("node {}", self.model.nodes.len()), op, &inputs).unwrap()[0];
    }

    fn product(&mut self, odd: Option<f32>) {
        let weights = self.constant(&[6, 4], odd);
        let axes: AxesMapping = "mk,kn->mn".parse().unwrap();
        self.then(EinSum::new(axes, self.datum_type), &[weights]);
    }

    fn convolution(&mut self, channels: [usize; 3], sizes: &[usize], odd: [Option<f32>; 2]) {
        let [n_in, n_out, group] = channels;
        let kernel = self.constant(&[&[n_out, n_in / group], sizes].concat(), odd[0]);
        self.convolve(channels, sizes, kernel, KernelFormat::OIHW, odd[1]);
    }

    fn convolve(
        &mut self,
        [n_in, n_out, group]: [usize; 3],
        sizes: &[usize],
        kernel: OutletId,
        kernel_fmt: KernelFormat,
        odd: Option<f32>,
    ) {
        let bias = self.constant(&[n_out], odd);
        let ones: TVec<usize> = sizes.iter().map(|_| 1).collect();
        let pool_spec = PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: sizes.into(),
            padding: PaddingSpec::Explicit(ones.clone(), ones),
            dilations: None,
            strides: None,
            input_channels: n_in,
            output_channels: n_out,
        };
        self.then(Conv { pool_spec, kernel_fmt, group, q_params: None }, &[kernel, bias]);
    }

    fn stages(mut self) -> Stages {
        self.model.select_output_outlets(&[self.end]).unwrap();
        Stages::new(self.model).unwrap()
    }
}

/// Returns rows of few and small numbers, some of them 0.
fn question(datum_type: DatumType, row: &[usize]) -> TVec<TValue> {
    let shape = [&[ROWS], row].concat();
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|it: usize| (it * 5 % 7) as f32 - 3.0).collect();
    let tensor = Tensor::from_shape(&shape, &numbers).unwrap().cast_to_dt(datum_type).unwrap().into_owned();
    tvec![tensor.into_tvalue()]
}

fn numbers(outputs: &TVec<TValue>) -> Vec<f64> {
    let tensor = outputs[0].cast_to::<f64>().unwrap();
    tensor.to_plain_array_view::<f64>().unwrap().iter().copied().collect()
}

/// What is put behind a graph, and what is odd in it.
type Build = fn(&mut Graph, Option<f32>);

/// Graphs with one odd weight, each with the shape of its rows.
fn cases() -> Vec<(&'static str, Vec<usize>, Build)> {
    vec![
        ("a product", vec![6], |it, odd| it.product(odd)),
        ("a product and a sum", vec![6], |it, odd| {
            it.product(None);
            let bias = it.constant(&[1, 4], odd);
            it.then(add(), &[bias]);
        }),
        ("a product, a scale and a shift", vec![6], |it, odd| {
            it.product(None);
            let [scale, shift] = [odd, None].map(|odd| it.constant(&[1, 4], odd));
            it.then(mul(), &[scale]);
            it.then(add(), &[shift]);
        }),
        ("a product between bounds", vec![6], |it, odd| {
            it.product(odd);
            let [least, most] = [-1.0_f32, 2.0].map(|at| it.given(&Tensor::from_shape(&[1, 1], &[at]).unwrap()));
            it.then(max(), &[least]);
            it.then(min(), &[most]);
        }),
        ("a product and a leaky bound", vec![6], |it, odd| {
            it.product(odd);
            it.then(leaky_relu(0.5), &[]);
        }),
        ("a product and a sigmoid", vec![6], |it, odd| {
            it.product(odd);
            it.then(sigmoid(), &[]);
        }),
        ("a product and shares", vec![6], |it, odd| {
            it.product(odd);
            it.then(Softmax { axes: tvec![1], quant_output_dt: None, kind: SoftmaxKind::Softmax }, &[]);
        }),
        ("two products", vec![6], |it, odd| {
            it.product(odd);
            let weights = it.constant(&[4, 3], None);
            let axes: AxesMapping = "mk,kn->mn".parse().unwrap();
            it.then(EinSum::new(axes, it.datum_type), &[weights]);
        }),
        ("a convolution", vec![3, 5, 6], |it, odd| it.convolution([3, 4, 1], &[3, 3], [odd, None])),
        ("a convolution and its bias", vec![3, 5, 6], |it, odd| it.convolution([3, 4, 1], &[3, 3], [None, odd])),
        ("a convolution of rows", vec![3, 9], |it, odd| it.convolution([3, 4, 1], &[3], [odd, None])),
        ("a convolution of volumes", vec![2, 4, 3, 5], |it, odd| it.convolution([2, 3, 1], &[3, 3, 3], [odd, None])),
        ("a convolution of groups", vec![4, 5, 6], |it, odd| it.convolution([4, 6, 2], &[3, 3], [odd, None])),
        ("a convolution with channels last in its weights", vec![3, 5, 6], |it, odd| {
            let kernel = it.constant(&[3, 3, 3, 4], odd);
            it.convolve([3, 4, 1], &[3, 3], kernel, KernelFormat::HWIO, None);
        }),
        ("a convolution of groups with channels last in its weights", vec![4, 5, 6], |it, odd| {
            let kernel = it.constant(&[3, 3, 4, 3], odd);
            it.convolve([4, 6, 2], &[3, 3], kernel, KernelFormat::HWIO, None);
        }),
        ("a convolution of each channel", vec![4, 5, 6], |it, odd| it.convolution([4, 4, 4], &[3, 3], [odd, None])),
        ("a convolution of each pixel", vec![3, 5, 6], |it, odd| it.convolution([3, 4, 1], &[1, 1], [odd, None])),
        ("a normalized convolution", vec![3, 5, 6], |it, odd| {
            it.convolution([3, 4, 1], &[3, 3], [None, None]);
            let [scale, shift] = [None, odd].map(|odd| it.constant(&[1, 4, 1, 1], odd));
            it.then(mul(), &[scale]);
            it.then(add(), &[shift]);
        }),
        ("a convolution that is scaled", vec![3, 5, 6], |it, odd| {
            it.convolution([3, 4, 1], &[3, 3], [None, None]);
            let scale = it.constant(&[1, 4, 1, 1], odd);
            it.then(mul(), &[scale]);
        }),
        ("a bound of each column", vec![6], |it, odd| {
            let bound = it.constant(&[1, 6], odd);
            it.then(max(), &[bound]);
        }),
    ]
}

#[test]
fn a_nan_weight_makes_the_same_of_a_graph_in_both_forms() {
    for (what, row, build) in cases() {
        for datum_type in TYPES {
            let what = format!("{what}, {datum_type:?}");
            let mut graph = Graph::new(datum_type, &row);
            build(&mut graph, Some(f32::NAN));
            let stages = graph.stages();
            assert!(!stages.always_careful, "{what}");
            let question = question(datum_type, &row);
            assert_eq!(stages.test(&question), None, "{what}");
            let [fast, careful] = [&stages.fast, &stages.careful].map(|it| numbers(&it.run(question.clone()).unwrap()));
            assert!(careful.iter().any(|it| it.is_nan()), "{what}: {careful:?}");
            assert_eq!(
                careful.iter().all(|it| it.is_nan()),
                ["shares", "two"].iter().any(|it| what.contains(it)),
                "{what}"
            );
            let is_same = |(a, b): (&f64, &f64)| (a.is_nan() && b.is_nan()) || a == b;
            let rounds = ["sigmoid"].iter().any(|it| what.contains(it));
            let is_near = |(a, b): (&f64, &f64)| (a.is_nan() && b.is_nan()) || (a - b).abs() < 1e-6;
            let differs = |it: &usize| !if rounds { is_near } else { is_same }((&fast[*it], &careful[*it]));
            let differing = (0..careful.len()).find(differs).map(|it| (it, fast[it], careful[it]));
            assert_eq!(differing.is_some().then_some(differing), None, "{what}");
        }
    }
}

#[test]
fn a_single_bound_that_is_nan_makes_nan_of_all() {
    for datum_type in TYPES {
        for (op, is_behind_product) in [(max(), true), (min(), true), (max(), false), (min(), false)] {
            let mut graph = Graph::new(datum_type, &[6]);
            if is_behind_product {
                graph.product(None);
            }
            let bound = graph.given(&Tensor::from_shape(&[1, 1], &[f32::NAN]).unwrap());
            graph.then(op, &[bound]);
            let answer = numbers(&graph.stages().fast.run(question(datum_type, &[6])).unwrap());
            assert!(answer.iter().all(|it| it.is_nan()), "{datum_type:?}: {answer:?}");
        }
    }
}

#[test]
fn a_graph_with_an_infinite_weight_is_run_as_written() {
    for (what, row, build) in cases() {
        for (odd, datum_type) in [f32::INFINITY, f32::NEG_INFINITY].into_iter().flat_map(|it| TYPES.map(|of| (it, of)))
        {
            let mut graph = Graph::new(datum_type, &row);
            build(&mut graph, Some(odd));
            let stages = graph.stages();
            assert!(stages.always_careful, "{what}, {datum_type:?}");
            let question = question(datum_type, &row);
            let careful = stages.careful.run(question.clone()).unwrap();
            assert_eq!(stages.run(question).unwrap(), careful, "{what}, {datum_type:?}");
        }
    }
}

#[test]
fn an_infinite_factor_is_not_made_a_part_of_weights() {
    let mut graph = Graph::new(DatumType::F32, &[6]);
    graph.product(None);
    let scale = graph.given(&Tensor::from_shape(&[1, 4], &[f32::INFINITY, 2.0, f32::INFINITY, 3.0]).unwrap());
    graph.then(mul(), &[scale]);
    let stages = graph.stages();
    let question = question(DatumType::F32, &[6]);
    let answer = numbers(&stages.run(question.clone()).unwrap());
    assert!(answer.iter().any(|it| it.is_infinite()) && answer.iter().any(|it| it.is_finite()), "{answer:?}");
    // Products of single weights with infinity are infinities of both signs, whose sum is no number.
    let fast = numbers(&stages.fast.run(question).unwrap());
    assert!(fast.iter().all(|it| !it.is_infinite()), "{fast:?}");
}
