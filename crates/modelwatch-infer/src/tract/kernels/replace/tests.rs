//! What is replaced gives the numbers of what was there, and what is not replaced stays.

use tract_onnx::{
    prelude::{DatumExt, DatumType, IntoRunnable, IntoTValue, IntoTensor, Tensor, tract_ndarray::ArrayD, tvec},
    tract_core::ops::{
        cnn::{KernelFormat, PaddingSpec},
        math::{add, div, max, min, mul, rsqrt, sqrt, square, sub},
        nn::{DataFormat, Reduce, Reducer},
    },
    tract_hir::internal::{SpecialOps, TVec, ToDim, TypedOp},
};

use super::*;
use crate::tract::{
    kernels::spare,
    nan,
    repair::{Dequantize, Quantize, ZeroPoint},
};

/// Numbers between -1 and 1, no two alike.
fn numbers(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    let numbers = (0..n).map(|it| ((it as f64 + 1.0) * 0.618_033_988_749_895).fract() as f32 * 2.0 - 1.0);
    ArrayD::from_shape_vec(shape, numbers.collect()).unwrap().into_tensor()
}

fn wire(model: &mut TypedModel, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> OutletId {
    let name = format!("node {}", model.nodes.len());
    model.wire_node(name, op, inputs).unwrap()[0]
}

fn constant(model: &mut TypedModel, tensor: Tensor) -> OutletId {
    let name = format!("constant {}", model.nodes.len());
    model.add_const(name, tensor).unwrap()
}

/// Runs a graph over one input as written and replaced, for one sample and for several, and returns the operators that are left.
fn check(row: &[usize], build: impl Fn(&mut TypedModel, OutletId) -> OutletId) -> Vec<String> {
    let graph = |n: usize| {
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([&[n], row].concat())).unwrap();
        let y = build(&mut model, x);
        model.select_output_outlets(&[y]).unwrap();
        model
    };
    let run = |model: TypedModel, x: &Tensor| {
        // What is in memory before must not matter.
        for shape in model.nodes.iter().filter_map(|it| it.outputs[0].fact.shape.as_concrete()) {
            let nan = ArrayD::from_elem(shape, f32::NAN).into_tensor();
            spare::give(nan.into_tvalue());
        }
        let y = model.into_runnable().unwrap().run(tvec!(x.clone().into_tvalue())).unwrap().remove(0);
        y.to_plain_array_view::<f32>().unwrap().iter().copied().collect::<Vec<_>>()
    };
    let replaced = |n: usize| {
        let mut model = graph(n);
        replace(&mut model).unwrap();
        model.compact().unwrap();
        model
    };
    const N: usize = 5;
    let x = numbers(&[&[N], row].concat());
    let mut written = graph(N);
    nan::keep(&mut written);
    let (got, wanted) = (run(replaced(N), &x), run(written, &x));
    assert_eq!(got.len(), wanted.len());
    // Windows in the padding see nothing, which is -∞.
    let is_near = |got: f32, wanted: f32| {
        got == wanted || (wanted.is_finite() && (got - wanted).abs() <= 1e-5 * wanted.abs().max(0.5))
    };
    let far = got.iter().zip(&wanted).position(|(got, wanted)| !is_near(*got, *wanted));
    assert_eq!(far.map(|it| (it, got[it], wanted[it])), None);
    for (sample, wanted) in got.chunks(got.len() / N).enumerate() {
        assert_eq!(run(replaced(1), &x.slice(0, sample, sample + 1).unwrap()), wanted, "sample {sample} alone");
    }
    let model = replaced(N);
    let is_left = |it: &&TypedNode| !it.inputs.is_empty();
    model.nodes.iter().filter(is_left).map(|it| it.op.name().into_owned()).collect()
}

/// Returns the operators that are left of a graph after it is replaced.
fn operators_left(shape: &[usize], build: impl Fn(&mut TypedModel, OutletId) -> OutletId) -> Vec<String> {
    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact(shape)).unwrap();
    let y = build(&mut model, x);
    model.select_output_outlets(&[y]).unwrap();
    replace(&mut model).unwrap();
    model.nodes.iter().filter(|it| !it.inputs.is_empty()).map(|it| it.op.name().into_owned()).collect()
}

struct Case {
    row: Vec<usize>,
    n_out: usize,
    size: usize,
    stride: usize,
    dilation: usize,
    pad: usize,
    groups: usize,
}

impl Case {
    fn pool(&self, n_out: usize) -> PoolSpec {
        let rank = self.row.len() - 1;
        let all = |it: usize| -> TVec<usize> { tvec![it; rank] };
        PoolSpec {
            data_format: DataFormat::NCHW,
            kernel_shape: all(self.size),
            padding: PaddingSpec::Explicit(all(self.pad), all(self.pad)),
            dilations: Some(all(self.dilation)),
            strides: Some(all(self.stride)),
            input_channels: self.row[0],
            output_channels: n_out,
        }
    }

    fn wire(&self, model: &mut TypedModel, x: OutletId) -> OutletId {
        let kernel = [self.n_out, self.row[0] / self.groups].into_iter().chain(self.row[1..].iter().map(|_| self.size));
        let kernel = constant(model, numbers(&kernel.collect::<Vec<_>>()));
        let bias = constant(model, numbers(&[self.n_out]));
        let (pool_spec, kernel_fmt) = (self.pool(self.n_out), KernelFormat::OIHW);
        let op = Conv { pool_spec, kernel_fmt, group: self.groups, q_params: None };
        wire(model, op, &[x, kernel, bias])
    }
}

const USUAL: fn() -> Case =
    || Case { row: vec![3, 11, 9], n_out: 10, size: 3, stride: 1, dilation: 1, pad: 1, groups: 1 };

#[test]
fn convolutions_of_all_kinds_are_replaced() {
    for case in [
        USUAL(),
        Case { stride: 2, ..USUAL() },
        Case { stride: 3, size: 5, pad: 0, ..USUAL() },
        Case { dilation: 2, pad: 2, ..USUAL() },
        Case { size: 1, pad: 0, ..USUAL() },
        Case { size: 1, pad: 0, stride: 2, ..USUAL() },
        Case { size: 1, pad: 1, ..USUAL() },
        Case { row: vec![4, 40], n_out: 3, ..USUAL() },
        Case { row: vec![4, 8, 8], ..USUAL() },
        Case { row: vec![4, 3, 16], dilation: 2, pad: 2, ..USUAL() },
        Case { row: vec![6, 7, 7], groups: 3, n_out: 9, ..USUAL() },
        Case { row: vec![1, 1, 1], ..USUAL() },
    ] {
        assert_eq!(check(&case.row, |model, x| case.wire(model, x)), ["Convolution"]);
    }
    for (stride, dilation, size) in [(1, 1, 3), (2, 1, 3), (1, 2, 3), (2, 1, 5), (3, 2, 2)] {
        let case = Case { row: vec![4, 13, 10], n_out: 4, groups: 4, stride, dilation, size, pad: 2 };
        assert_eq!(check(&case.row, |model, x| case.wire(model, x)), ["Depthwise"]);
    }
}

#[test]
fn images_with_their_channels_last_are_seen_as_planes() {
    let usual = || Case { row: vec![4, 11, 9], stride: 2, ..USUAL() };
    let dilated = || Case { dilation: 2, pad: 2, ..usual() };
    for (kernel_fmt, kernel, group, name, case, is_same) in [
        (KernelFormat::HWIO, [3, 3, 4, 10], 1, "Convolution", usual(), false),
        (KernelFormat::OHWI, [10, 3, 3, 4], 1, "Convolution", usual(), false),
        (KernelFormat::OIHW, [10, 4, 3, 3], 1, "Convolution", usual(), false),
        (KernelFormat::HWIO, [3, 3, 4, 1], 4, "Depthwise", usual(), false),
        (KernelFormat::HWIO, [3, 3, 4, 3], 2, "Convolution", usual(), false),
        (KernelFormat::OHWI, [1, 3, 3, 4], 4, "Depthwise", usual(), true),
        (KernelFormat::OHWI, [1, 3, 3, 4], 4, "Depthwise", dilated(), false),
        (KernelFormat::OHWI, [10, 3, 3, 4], 1, "Convolution", usual(), true),
        (KernelFormat::HWIO, [3, 3, 4, 10], 1, "Convolution", dilated(), false),
    ] {
        let n_out = *kernel_fmt.output_channels(&kernel, group);
        let left = check(&[11, 9, 4], |model, x| {
            let mut pool_spec = PoolSpec { data_format: DataFormat::NHWC, ..case.pool(n_out) };
            if is_same {
                pool_spec.padding = PaddingSpec::SameUpper;
            }
            let (weights, bias) = (numbers(&kernel), numbers(&[n_out]));
            let (weights, bias) = (constant(model, weights), constant(model, bias));
            let op = Conv { pool_spec: pool_spec.clone(), kernel_fmt, group, q_params: None };
            let y = wire(model, op, &[x, weights, bias]);
            let shift = constant(model, numbers(&[1, 1, 1, n_out]));
            let y = wire(model, add(), &[shift, y]);
            let pool_spec = PoolSpec { input_channels: n_out, ..pool_spec };
            wire(model, MaxPool { pool_spec, with_index_outputs: None }, &[y])
        });
        let kernels: Vec<_> = left.iter().filter(|it| !it.contains("Move")).collect();
        assert_eq!(kernels, [name, "Largest"], "{kernel_fmt:?}");
        assert_eq!(left.len(), 4, "{left:?}");
    }
}

#[test]
fn deep_convolutions_go_on_where_they_were() {
    let case = Case { row: vec![260, 5, 7], n_out: 17, ..USUAL() };
    let left = check(&case.row, |model, x| {
        // As small as what is summed up of few.
        let step = constant(model, Tensor::from_shape(&[1, 1, 1, 1], &[0.02_f32]).unwrap());
        let x = wire(model, mul(), &[x, step]);
        let beside = case.wire(model, x);
        let y = case.wire(model, x);
        wire(model, add(), &[beside, y])
    });
    assert_eq!(left, ["Mul", "Convolution", "Convolution"]);
}

#[test]
fn what_follows_a_deep_convolution_is_done_to_whole_sums() {
    let case = Case { row: vec![260, 5, 7], n_out: 18, groups: 2, ..USUAL() };
    let left = check(&case.row, |model, x| {
        let step = constant(model, Tensor::from_shape(&[1, 1, 1, 1], &[0.02_f32]).unwrap());
        let x = wire(model, mul(), &[x, step]);
        let y = case.wire(model, x);
        let least = constant(model, Tensor::zero::<f32>(&[1, 1, 1, 1]).unwrap());
        wire(model, max(), &[y, least])
    });
    assert_eq!(left, ["Mul", "Convolution"]);
}

#[test]
fn a_quantization_with_several_users_hides_no_nan() {
    for (second_scale, n_kernels) in [(0.5, 1), (0.25, 2)] {
        for pass in [join_rounding, replace] {
            let mut model = TypedModel::default();
            let x = model.add_source("x", f32::fact([2])).unwrap();
            let integers = wire(&mut model, Quantize { factor: 2.0, zero_point: ZeroPoint::U8(3) }, &[x]);
            let integers = wire(&mut model, AxisOp::Add(0), &[integers]);
            let users =
                [0.5, second_scale].map(|scale| wire(&mut model, Dequantize { scale, zero_point: 3 }, &[integers]));
            let sum = wire(&mut model, add(), &users);
            model.select_output_outlets(&[sum]).unwrap();
            pass(&mut model).unwrap();
            let kernels = model.nodes.iter().filter(|it| it.op_is::<KernelOp>());
            assert_eq!(kernels.count(), n_kernels);
            let x = Tensor::from_shape(&[2], &[f32::NAN, 1.2]).unwrap();
            let y = model.into_runnable().unwrap().run(tvec!(x.into_tvalue())).unwrap().remove(0);
            let y = y.to_plain_array_view::<f32>().unwrap();
            assert!(y[[0, 0]].is_nan(), "{y}");
            assert_eq!(y[[0, 1]], 2.0 * (0.5 + second_scale));
        }
    }
}

#[test]
fn what_follows_a_convolution_is_done_at_once() {
    let case = USUAL();
    let left = check(&case.row, |model, x| {
        let beside = case.wire(model, x);
        let mut y = case.wire(model, x);
        let scale = constant(model, numbers(&[1, case.n_out, 1, 1]));
        y = wire(model, mul(), &[y, scale]);
        let shift = constant(model, numbers(&[1, case.n_out, 1, 1]));
        y = wire(model, add(), &[y, shift]);
        y = wire(model, add(), &[beside, y]);
        let least = constant(model, numbers(&[1, 1, 1, 1]));
        y = wire(model, max(), &[y, least]);
        let most = constant(model, Tensor::from_shape(&[1, 1, 1, 1], &[0.9_f32]).unwrap());
        wire(model, min(), &[y, most])
    });
    assert_eq!(left, ["Convolution", "Convolution"]);
}

/// Whether the windows of a pool lie side by side and fill the images.
fn fills(case: &Case) -> bool {
    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact([&[1], &*case.row].concat())).unwrap();
    let op = MaxPool { pool_spec: case.pool(case.row[0]), with_index_outputs: None };
    let y = wire(&mut model, op.clone(), &[x]);
    let window = window(&model, model.node(y.node), &op.pool_spec).unwrap();
    matches!(Largest::new(&window), Largest::SideBySide { .. })
}

#[test]
fn pools_are_replaced() {
    for (size, stride, pad) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)] {
        let case = Case { size, stride, pad, ..USUAL() };
        assert!(!fills(&case), "{size} {stride} {pad}");
        let op = MaxPool { pool_spec: case.pool(3), with_index_outputs: None };
        assert_eq!(check(&case.row, |model, x| wire(model, op.clone(), &[x])), ["Largest"]);
    }
    // Windows that fill the image.
    for (row, size) in
        [([3, 8, 8], 2), ([3, 9, 6], 3), ([3, 2, 70], 2), ([3, 64, 66], 2), ([3, 5, 5], 5), ([3, 3, 2], 1)]
    {
        let case = Case { row: row.to_vec(), size, stride: size, pad: 0, ..USUAL() };
        assert!(fills(&case), "{row:?}");
        let op = MaxPool { pool_spec: case.pool(3), with_index_outputs: None };
        assert_eq!(check(&case.row, |model, x| wire(model, op.clone(), &[x])), ["Largest"], "{row:?}");
    }
}

#[test]
fn the_largest_of_infinities_below_all_numbers_is_one() {
    for (size, stride, pad, n_finite) in [(2, 2, 0, [1, 1]), (3, 3, 1, [1, 1]), (3, 1, 1, [2, 2]), (2, 1, 0, [1, 1])] {
        let case = Case { row: vec![1, 4, 4], size, stride, pad, ..USUAL() };
        let mut x = vec![f32::NEG_INFINITY; 16];
        // A number, which is the largest of the windows that see it.
        x[0] = f32::MIN;
        let x = Tensor::from_shape(&[1, 1, 4, 4], &x).unwrap();
        let mut written = TypedModel::default();
        let source = written.add_source("x", f32::fact([1, 1, 4, 4])).unwrap();
        let y = wire(&mut written, MaxPool { pool_spec: case.pool(1), with_index_outputs: None }, &[source]);
        written.select_output_outlets(&[y]).unwrap();
        let mut replaced = written.clone();
        replace(&mut replaced).unwrap();
        nan::keep(&mut written);
        for model in [written, replaced] {
            let y = model.into_runnable().unwrap().run(tvec!(x.clone().into_tvalue())).unwrap().remove(0);
            for (place, it) in y.to_plain_array_view::<f32>().unwrap().indexed_iter() {
                let wanted =
                    if place[2] < n_finite[0] && place[3] < n_finite[1] { f32::MIN } else { f32::NEG_INFINITY };
                assert_eq!(*it, wanted, "{place:?} of windows of {size}, {stride} apart, padded by {pad}");
            }
        }
    }
}

#[test]
fn products_with_weights_and_softmax_are_replaced() {
    for (depth, width) in [(1, 1), (7, 10), (64, 33), (300, 64)] {
        let left = check(&[3, depth], |model, x| {
            let weights = constant(model, numbers(&[1, depth, width]));
            let axes = tract_onnx::tract_core::axes::AxesMapping::for_numpy_matmul(3, false, false, false).unwrap();
            let y = wire(model, EinSum::new(axes, DatumType::F32), &[x, weights]);
            let bias = constant(model, numbers(&[1, 1, width]));
            let y = wire(model, add(), &[y, bias]);
            let op = TractSoftmax { axes: tvec![2], quant_output_dt: None, kind: SoftmaxKind::Softmax };
            wire(model, op, &[y])
        });
        assert_eq!(left, ["Dense", "RowSoftmax"]);
    }
}

#[test]
fn quantizing_and_dequantizing_is_one_rounding() {
    let case = USUAL();
    let scale = 0.05;
    let rounded = |model: &mut TypedModel, x: OutletId| {
        let y = wire(model, Quantize { factor: 1.0 / scale, zero_point: ZeroPoint::U8(100) }, &[x]);
        wire(model, Dequantize { scale, zero_point: 100 }, &[y])
    };
    let left = check(&case.row, |model, x| {
        let x = rounded(model, x);
        let y = case.wire(model, x);
        let y = rounded(model, y);
        let pool = Case { size: 2, stride: 2, pad: 0, ..USUAL() };
        let op = MaxPool {
            pool_spec: PoolSpec { input_channels: case.n_out, ..pool.pool(case.n_out) },
            with_index_outputs: None,
        };
        let y = wire(model, op, &[y]);
        // Nothing is left to be rounded.
        rounded(model, y)
    });
    assert_eq!(left, ["Round", "Convolution", "Largest"]);
}

/// Returns how a window of this size moves in other steps down than to the side, with other pads before than behind.
fn uneven(channels: usize, size: [usize; 2], stride: [usize; 2]) -> PoolSpec {
    PoolSpec {
        data_format: DataFormat::NCHW,
        kernel_shape: tvec![size[0], size[1]],
        padding: PaddingSpec::Explicit(tvec![0, 2], tvec![1, 1]),
        dilations: Some(tvec![1, 2]),
        strides: Some(tvec![stride[0], stride[1]]),
        input_channels: channels,
        output_channels: channels,
    }
}

fn filters(model: &mut TypedModel, x: OutletId, pool_spec: PoolSpec, group: usize) -> OutletId {
    let n = pool_spec.output_channels;
    let kernel = [&[n, pool_spec.input_channels / group], &*pool_spec.kernel_shape].concat();
    let kernel = constant(model, numbers(&kernel));
    let bias = constant(model, numbers(&[n]));
    wire(model, Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group, q_params: None }, &[x, kernel, bias])
}

#[test]
fn wide_images_and_uneven_windows_are_replaced() {
    for width in [31, 32, 33, 65] {
        for stride in [[1, 1], [3, 1], [1, 2], [2, 2], [2, 3], [1, 3]] {
            for size in [[2, 3], [3, 2], [1, 3], [4, 1]] {
                let spec = uneven(2, size, stride);
                let row = [2, 6, width];
                let pool = MaxPool { pool_spec: spec.clone(), with_index_outputs: None };
                assert_eq!(check(&row, |model, x| wire(model, pool.clone(), &[x])), ["Largest"]);
                assert_eq!(check(&row, |model, x| filters(model, x, spec.clone(), 2)), ["Depthwise"]);
                assert_eq!(check(&row, |model, x| filters(model, x, spec.clone(), 1)), ["Convolution"]);
            }
        }
    }
}

#[test]
fn convolutions_of_depth_one_are_replaced_whatever_the_image() {
    for [height, width] in [[1, 1], [3, 3], [7, 7], [5, 16], [6, 17], [4, 33], [70, 60], [9, 600]] {
        for (stride, pad) in [(1, 1), (2, 1), (1, 0), (2, 0), (1, 2), (2, 2)] {
            if height + 2 * pad < 3 {
                continue;
            }
            let case = Case { row: vec![3, height, width], n_out: 3, groups: 3, stride, pad, ..USUAL() };
            assert_eq!(check(&case.row, |model, x| case.wire(model, x)), ["Depthwise"]);
        }
    }
}

#[test]
fn a_product_of_three_is_none_with_weights() {
    let left = check(&[3], |model, x| {
        let weights = constant(model, numbers(&[3, 3]));
        let axes = "bi,ij,bj->bj".parse().unwrap();
        wire(model, EinSum::new(axes, DatumType::F32), &[x, weights, x])
    });
    assert_eq!(left, ["EinSum"]);
}

#[test]
fn what_does_not_fit_one_block_is_computed_in_several() {
    let case = Case { row: vec![3, 33, 33], ..USUAL() };
    assert_eq!(check(&case.row, |model, x| case.wire(model, x)), ["Convolution"]);
    let left = check(&[60, 300], |model, x| {
        let weights = constant(model, numbers(&[1, 300, 35]));
        let axes = tract_onnx::tract_core::axes::AxesMapping::for_numpy_matmul(3, false, false, false).unwrap();
        let y = wire(model, EinSum::new(axes, DatumType::F32), &[x, weights]);
        let op = TractSoftmax { axes: tvec![2], quant_output_dt: None, kind: SoftmaxKind::Softmax };
        wire(model, op, &[y])
    });
    assert_eq!(left, ["Dense", "RowSoftmax"]);
}

#[test]
fn what_would_take_any_amount_of_memory_is_left() {
    let left = operators_left(&[1, 1, 8, 8], |model, x| {
        let pool_spec = PoolSpec { dilations: None, ..uneven(1, [2, 2], [1, 1 << 31]) };
        wire(model, MaxPool { pool_spec, with_index_outputs: None }, &[x])
    });
    assert_eq!(left, ["MaxPool"]);
    let far = || -> TVec<usize> { tvec![1 << 20; 2] };
    let left = operators_left(&[1, 1, 1, 1], |model, x| {
        let padding = PaddingSpec::Explicit(far(), far());
        filters(model, x, PoolSpec { padding, strides: Some(far()), ..uneven(1, [1, 1], [1, 1]) }, 1)
    });
    assert_eq!(left, ["Conv"]);
}

#[test]
fn bounds_that_cross_are_applied_in_their_order() {
    for (first, then) in [("Min", "Max"), ("Max", "Min")] {
        let case = USUAL();
        let left = check(&case.row, |model, x| {
            let mut y = case.wire(model, x);
            let [least, most] = [0.75, 0.25].map(|it: f32| Tensor::from_shape(&[1, 1, 1, 1], &[it]).unwrap());
            for name in [first, then] {
                let (op, bound) = if name == "Min" { (min(), &most) } else { (max(), &least) };
                let bound = constant(model, bound.clone());
                y = wire(model, op, &[y, bound]);
            }
            y
        });
        assert_eq!(left, ["Convolution"]);
    }
}

#[test]
fn a_nan_stays_in_its_sample_and_is_not_lost() {
    let cut = |model: &mut TypedModel, y: OutletId| {
        let rank = model.outlet_fact(y).unwrap().rank();
        let least = constant(model, Tensor::zero::<f32>(&vec![1; rank]).unwrap());
        wire(model, max(), &[y, least])
    };
    let spec = uneven(3, [3, 2], [2, 1]);
    type Build<'a> = &'a dyn Fn(&mut TypedModel, OutletId) -> OutletId;
    let side_by_side = Case { row: vec![3, 5, 40], size: 5, stride: 5, pad: 0, ..USUAL() };
    assert!(fills(&side_by_side));
    let side_by_side = side_by_side.pool(3);
    let pairs = PoolSpec { kernel_shape: tvec![1, 2], strides: Some(tvec![1, 2]), ..side_by_side.clone() };
    let of_depth_one = |stride| Case { row: vec![3, 5, 40], stride, ..USUAL() }.pool(3);
    let builds: [Build<'_>; 9] = [
        &|model, x| {
            let y = filters(model, x, of_depth_one(1), 3);
            cut(model, y)
        },
        &|model, x| filters(model, x, of_depth_one(2), 3),
        &|model, x| filters(model, x, spec.clone(), 1),
        &|model, x| {
            let y = filters(model, x, spec.clone(), 1);
            cut(model, y)
        },
        &|model, x| {
            let y = filters(model, x, spec.clone(), 3);
            cut(model, y)
        },
        &|model, x| wire(model, MaxPool { pool_spec: spec.clone(), with_index_outputs: None }, &[x]),
        &|model, x| wire(model, MaxPool { pool_spec: side_by_side.clone(), with_index_outputs: None }, &[x]),
        &|model, x| wire(model, MaxPool { pool_spec: pairs.clone(), with_index_outputs: None }, &[x]),
        &|model, x| {
            let weights = constant(model, numbers(&[1, 1, 40, 7]));
            let axes = tract_onnx::tract_core::axes::AxesMapping::for_numpy_matmul(4, false, false, false).unwrap();
            let y = wire(model, EinSum::new(axes, DatumType::F32), &[x, weights]);
            cut(model, y)
        },
    ];
    for (idx, build) in builds.into_iter().enumerate() {
        let mut model = TypedModel::default();
        let shape = [3, 3, 5, 40];
        let x = model.add_source("x", f32::fact(shape)).unwrap();
        let y = build(&mut model, x);
        model.select_output_outlets(&[y]).unwrap();
        replace(&mut model).unwrap();
        let mut x = numbers(&shape);
        let n_each = x.len() / 3;
        x.try_as_plain_ram_mut().unwrap().as_slice_mut::<f32>().unwrap()[n_each..2 * n_each].fill(f32::NAN);
        let y = model.into_runnable().unwrap().run(tvec!(x.into_tvalue())).unwrap().remove(0);
        let y: Vec<f32> = y.to_plain_array_view::<f32>().unwrap().iter().copied().collect();
        let n_each = y.len() / 3;
        for (at, it) in y.iter().enumerate() {
            assert_eq!(it.is_nan(), at / n_each == 1, "{it} at {at} of graph {idx}");
        }
    }
}

#[test]
fn what_is_used_elsewhere_is_left() {
    let case = USUAL();
    let left = check(&case.row, |model, x| {
        let y = case.wire(model, x);
        let least = constant(model, numbers(&[1, 1, 1, 1]));
        let cut = wire(model, max(), &[y, least]);
        wire(model, mul(), &[y, cut])
    });
    assert_eq!(left, ["Convolution", "Round", "Mul"]);
}

#[test]
fn bounds_that_follow_no_kernel_are_one_step() {
    for is_first in [true, false] {
        let left = check(&[3, 33], |model, x| {
            let [least, most] = [-0.25, 0.5].map(|it: f32| Tensor::from_shape(&[1, 1, 1], &[it]).unwrap());
            let [least, most] = [least, most].map(|it| constant(model, it));
            let operands = |x, bound| if is_first { [bound, x] } else { [x, bound] };
            let y = wire(model, max(), &operands(x, least));
            wire(model, min(), &operands(y, most))
        });
        assert_eq!(left, ["Round"], "{is_first}");
    }
}

#[test]
fn products_of_numbers_that_are_quantized_before_are_replaced_where_they_are_exact() {
    let product = |model: &mut TypedModel, x: OutletId, width: usize, weight: i32| {
        let shape = model.outlet_fact(x).unwrap().shape.as_concrete().unwrap().to_vec();
        let weights = (0..shape[shape.len() - 1] * width).map(|it| it as i32 * 89 % 255 - 127 + weight).collect();
        let scales = (0..width).map(|it| 0.01 + 0.001 * it as f32).collect();
        wire(model, DynamicProduct::new(shape[0], weights, scales), &[x])
    };
    for row in [&[1][..], &[31], &[32], &[3, 33], &[500]] {
        for width in [1, 31, 32, 33, 70] {
            let left = check(row, |model, x| {
                let y = product(model, x, width, 0);
                let rank = row.len() + 1;
                let bias = constant(model, numbers(&[vec![1; rank - 1], vec![width]].concat()));
                let y = wire(model, add(), &[y, bias]);
                let least = constant(model, Tensor::from_shape(&vec![1; rank], &[0.0_f32]).unwrap());
                wire(model, max(), &[y, least])
            });
            assert_eq!(left, ["Dense"], "{row:?} and {width}");
        }
    }
    assert_eq!(check(&[700], |model, x| product(model, x, 2, 120)), ["DynamicProduct"]);
}

#[test]
fn products_of_what_varies_are_replaced_with_what_moves_their_axes() {
    for (tokens, width) in [(1, 4), (7, 8), (33, 32), (40, 5)] {
        let left = check(&[tokens, 3 * width], |model, x| {
            let (heads, of_head) = (tvec![3_usize.to_dim(), width.to_dim()], tvec![(3 * width).to_dim()]);
            let parts = wire(model, AxisOp::Reshape(2, of_head, heads), &[x]);
            let queries = wire(model, AxisOp::Move(1, 2), &[parts]);
            let keys = wire(model, AxisOp::Move(2, 3), &[queries]);
            let product = |axes: &str| EinSum::new(axes.parse().unwrap(), DatumType::F32);
            let scores = wire(model, product("abij,abjk->abik"), &[queries, keys]);
            let scale = constant(model, Tensor::from_shape(&[1, 1, 1, 1], &[0.25_f32]).unwrap());
            let scores = wire(model, mul(), &[scores, scale]);
            let shares = TractSoftmax { axes: tvec![3], quant_output_dt: None, kind: SoftmaxKind::Softmax };
            let shares = wire(model, shares, &[scores]);
            let values = wire(model, AxisOp::Move(1, 2), &[parts]);
            let sums = wire(model, product("abij,abjk->abik"), &[shares, values]);
            wire(model, AxisOp::Move(1, 2), &[sums])
        });
        assert_eq!(left, ["Reshape", "PairProduct", "RowSoftmax", "PairProduct"], "{tokens} of {width}");
    }
}

#[test]
fn a_normalization_is_replaced_however_it_is_written() {
    let mean = |model: &mut TypedModel, x: OutletId, width: usize| {
        let sum = wire(model, Reduce::new(tvec![2], Reducer::Sum), &[x]);
        let n = constant(model, Tensor::from_shape(&[1, 1, 1], &[width as f32]).unwrap());
        wire(model, div(), &[sum, n])
    };
    for (width, by_inverse) in [1, 5, 16, 37, 64].into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let left = check(&[3, width], |model, x| {
            let of_row = mean(model, x, width);
            let centered = wire(model, sub(), &[x, of_row]);
            let squares =
                if by_inverse { wire(model, square(), &[centered]) } else { wire(model, mul(), &[centered, centered]) };
            let variance = mean(model, squares, width);
            let epsilon = constant(model, Tensor::from_shape(&[1, 1, 1], &[1e-5_f32]).unwrap());
            let variance = wire(model, add(), &[variance, epsilon]);
            let (op, then) = if by_inverse { (rsqrt(), mul()) } else { (sqrt(), div()) };
            let deviation = wire(model, op, &[variance]);
            let y = wire(model, then, &[centered, deviation]);
            let [scale, shift] = [0, 1].map(|_| constant(model, numbers(&[1, 1, width])));
            let y = wire(model, mul(), &[y, scale]);
            wire(model, add(), &[y, shift])
        });
        assert_eq!(left, ["Normalization"], "{width}");
    }
}

#[test]
fn a_product_of_one_row_behind_the_columns_is_replaced() {
    for axes in ["aecd,abcd->acbe", "aecd,abcd->aceb"] {
        let left = check(&[4, 6], |model, x| {
            let parts = |model: &mut TypedModel, x: OutletId| {
                wire(model, AxisOp::Reshape(2, tvec![6.to_dim()], tvec![2.to_dim(), 3.to_dim()]), &[x])
            };
            let many = parts(model, x);
            let sum = wire(model, Reduce::new(tvec![1], Reducer::Sum), &[x]);
            let one = parts(model, sum);
            wire(model, EinSum::new(axes.parse().unwrap(), DatumType::F32), &[one, many])
        });
        assert!(left.iter().any(|it| it == "PairProduct"), "{axes}: {left:?}");
    }
}

#[test]
fn dequantizations_along_a_chain_share_what_is_before_them() {
    const N: usize = 30;
    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact([2, 3])).unwrap();
    let mut integers = wire(&mut model, Quantize { factor: 2.0, zero_point: ZeroPoint::U8(3) }, &[x]);
    let mut outputs = Vec::new();
    for _ in 0..N {
        integers = wire(&mut model, AxisOp::Move(0, 1), &[integers]);
        outputs.push(wire(&mut model, Dequantize { scale: 0.5, zero_point: 3 }, &[integers]));
    }
    model.select_output_outlets(&outputs).unwrap();
    let run = |model: &TypedModel| {
        let x = numbers(&[2, 3]);
        model.clone().into_runnable().unwrap().run(tvec!(x.into_tvalue())).unwrap()
    };
    let (wanted, n_nodes) = (run(&model), model.nodes.len());
    dequantize_where_quantized(&mut model).unwrap();
    assert!(model.nodes.len() <= n_nodes + 1, "{} nodes, {n_nodes} before", model.nodes.len());
    assert_eq!(run(&model), wanted);
}
