//! TensorFlow Lite models of integers that stand for numbers.
//!
//! What they are to give is computed here as TFLite's reference kernels do: with integers of 32 bits and multipliers in fixed point.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    Npy, batch, numbers,
    tflite::{Lite, load, none, run},
    threads,
};
use modelwatch_infer::{ElementType, InferError};
use tract_tflite::tflite::{
    ActivationFunctionType, AddOptionsArgs, BuiltinOperator as Op, ConcatenationOptionsArgs, Conv2DOptionsArgs,
    FullyConnectedOptionsArgs, Padding, Pool2DOptionsArgs, TensorType,
};

/// Adds a tensor of integers of eight bits with one scale.
fn scaled(lite: &mut Lite, name: &str, dims: &[i32], scale: f32, zero_point: i64) -> i32 {
    lite.tensor(name, TensorType::INT8, dims, Some((&[scale], &[zero_point], 0)), None)
}

fn wide(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|it| it.to_le_bytes()).collect()
}

#[test]
fn integers_go_in_and_come_out() {
    let mut lite = Lite::default();
    let (x, y) = (scaled(&mut lite, "x", &[-1, 2], 0.5, -1), scaled(&mut lite, "y", &[-1, 2], 1.0, 3));
    let weights = lite.bytes(&[2, 2], (&[0.25], &[0], 0), &[2, -4, 6, 8]);
    let bias = lite.constant(TensorType::INT32, &[2], Some((&[0.125], &[0], 0)), wide(&[8, -8]));
    lite.operator(
        Op::FULLY_CONNECTED,
        &[x, weights, bias],
        &[y],
        options!(FullyConnectedOptions, FullyConnectedOptionsArgs::default()),
    );
    let model = load(&lite.finish(&[x], &[y])).unwrap();
    assert_eq!(model.info().inputs[0].dtype, ElementType::I8);
    assert_eq!(model.info().outputs[0].dtype, ElementType::I8);
    // 1 and 2, of which the weights make -0.5 and 4.5: the middle of two steps goes away from zero. 127 stands for 64.
    let got = run("dense", &model, &[2], &[1.0, 3.0, 127.0, 127.0]);
    assert_eq!(got, [2.0, 8.0, -28.0, 127.0]);
    let npy = Npy { shape: vec![1, 2], values: vec![0.3, 1.0] };
    let error = model.run(&batch(&[("x", &npy)]), threads(1)).unwrap_err();
    assert!(matches!(error, InferError::Inexact { .. }) && error.to_string().contains("0.3"), "{error}");
}

#[test]
fn numbers_are_made_integers_inside() {
    for (type_, least, most) in
        [(TensorType::INT8, -128.0, 127.0), (TensorType::UINT8, 0.0, 255.0), (TensorType::INT16, -32768.0, 32767.0)]
    {
        let mut lite = Lite::default();
        let zero_point = if type_ == TensorType::UINT8 { 128 } else { 0 };
        let x = lite.tensor("x", TensorType::FLOAT32, &[-1, 4], None, None);
        let steps = lite.tensor("steps", type_, &[-1, 4], Some((&[0.25], &[zero_point], 0)), None);
        lite.operator(Op::QUANTIZE, &[x], &[steps], none);
        let y = lite.float(Op::DEQUANTIZE, &[steps], none);
        let model = load(&lite.finish(&[x], &[y])).unwrap();
        assert_eq!(model.info().inputs[0].dtype, ElementType::F32);
        let got = run("steps", &model, &[4], &[0.3, -0.125, 1e6, -1e6]);
        let zero_point = zero_point as f64;
        assert_eq!(got, [0.25, -0.25, (most - zero_point) * 0.25, (least - zero_point) * 0.25], "{type_:?}");
    }
}

/// Numbers that look random.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: u64) -> i32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i32::try_from((self.0 >> 33) % below).unwrap()
    }

    fn bytes(&mut self, n: usize) -> Vec<i8> {
        (0..n).map(|_| (self.next(255) - 127) as i8).collect()
    }
}

/// Multiplies as `MultiplyByQuantizedMultiplier` of TFLite does, with a multiplier below 1.
fn multiplied(sum: i32, multiplier: f64) -> i32 {
    let exponent = multiplier.log2().floor() as i32 + 1;
    let mut fixed = (multiplier / 2_f64.powi(exponent) * 2_f64.powi(31)).round() as i64;
    let mut shift = exponent;
    if fixed == 1 << 31 {
        fixed /= 2;
        shift += 1;
    }
    assert!(shift <= 0);
    let product = i64::from(sum) * fixed;
    let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
    let high = ((product + nudge) / (1 << 31)) as i32;
    let mask = (1_i32 << -shift) - 1;
    let threshold = (mask >> 1) + i32::from(high < 0);
    (high >> -shift) + i32::from(high & mask > threshold)
}

const SIDE: usize = 8;
const CHANNELS: usize = 6;
const CLASSES: usize = 10;
const INPUT: (f64, i32) = (0.007_843_137, -1);
const HIDDEN: (f64, i32) = (0.043, -128);
const OUTPUT: (f64, i32) = (0.05, 9);

/// The weights of a small network of integers, with the scale of each channel of its convolution and that of its dense layer.
struct Network {
    kernel: Vec<i8>,
    kernel_scales: Vec<f32>,
    kernel_bias: Vec<i32>,
    dense: Vec<i8>,
    dense_bias: Vec<i32>,
}

const DENSE_SCALE: f32 = 0.0039;
const N_HIDDEN: usize = SIDE * SIDE / 4 * CHANNELS;

impl Network {
    fn new(noise: &mut Noise) -> Self {
        Self {
            kernel: noise.bytes(CHANNELS * 9),
            kernel_scales: (0..CHANNELS).map(|it| 0.002 + 0.0007 * it as f32).collect(),
            kernel_bias: (0..CHANNELS).map(|_| noise.next(20_001) - 10_000).collect(),
            dense: noise.bytes(CLASSES * N_HIDDEN),
            dense_bias: (0..CLASSES).map(|_| noise.next(4_001) - 2_000).collect(),
        }
    }

    fn file(&self) -> Vec<u8> {
        let mut lite = Lite::default();
        let side = SIDE as i32;
        let x = scaled(&mut lite, "x", &[-1, side, side, 1], INPUT.0 as f32, INPUT.1.into());
        let kernel = lite.bytes(&[CHANNELS as i32, 3, 3, 1], (&self.kernel_scales, &[0; CHANNELS], 0), &self.kernel);
        let scales: Vec<f32> = self.kernel_scales.iter().map(|it| it * INPUT.0 as f32).collect();
        let bias = lite.constant(
            TensorType::INT32,
            &[CHANNELS as i32],
            Some((&scales, &[0; CHANNELS], 0)),
            wide(&self.kernel_bias),
        );
        let hidden = scaled(&mut lite, "hidden", &[-1, side, side, CHANNELS as i32], HIDDEN.0 as f32, HIDDEN.1.into());
        let args = Conv2DOptionsArgs {
            padding: Padding::SAME,
            stride_h: 1,
            stride_w: 1,
            fused_activation_function: ActivationFunctionType::RELU,
            ..Default::default()
        };
        lite.operator(Op::CONV_2D, &[x, kernel, bias], &[hidden], options!(Conv2DOptions, args));
        let pooled =
            scaled(&mut lite, "pooled", &[-1, side / 2, side / 2, CHANNELS as i32], HIDDEN.0 as f32, HIDDEN.1.into());
        let args = Pool2DOptionsArgs {
            padding: Padding::VALID,
            stride_h: 2,
            stride_w: 2,
            filter_height: 2,
            filter_width: 2,
            ..Default::default()
        };
        lite.operator(Op::MAX_POOL_2D, &[hidden], &[pooled], options!(Pool2DOptions, args));
        let flat = scaled(&mut lite, "flat", &[-1, N_HIDDEN as i32], HIDDEN.0 as f32, HIDDEN.1.into());
        let shape = lite.integers(&[2], &[-1, N_HIDDEN as i32]);
        lite.operator(Op::RESHAPE, &[pooled, shape], &[flat], none);
        let weights = lite.bytes(&[CLASSES as i32, N_HIDDEN as i32], (&[DENSE_SCALE], &[0], 0), &self.dense);
        let scale = DENSE_SCALE * HIDDEN.0 as f32;
        let bias =
            lite.constant(TensorType::INT32, &[CLASSES as i32], Some((&[scale], &[0], 0)), wide(&self.dense_bias));
        let y = scaled(&mut lite, "y", &[-1, CLASSES as i32], OUTPUT.0 as f32, OUTPUT.1.into());
        lite.operator(
            Op::FULLY_CONNECTED,
            &[flat, weights, bias],
            &[y],
            options!(FullyConnectedOptions, FullyConnectedOptionsArgs::default()),
        );
        lite.finish(&[x], &[y])
    }

    /// Returns what TFLite's reference kernels make of a row.
    fn reference(&self, row: &[i32]) -> Vec<i32> {
        let mut hidden = vec![0; SIDE * SIDE * CHANNELS];
        for y in 0..SIDE {
            for x in 0..SIDE {
                for channel in 0..CHANNELS {
                    let mut sum = self.kernel_bias[channel];
                    for (dy, dx) in (0..3).flat_map(|dy| (0..3).map(move |dx| (dy, dx))) {
                        let (at_y, at_x) = ((y + dy).wrapping_sub(1), (x + dx).wrapping_sub(1));
                        if at_y < SIDE && at_x < SIDE {
                            let weight = i32::from(self.kernel[channel * 9 + dy * 3 + dx]);
                            sum += (row[at_y * SIDE + at_x] - INPUT.1) * weight;
                        }
                    }
                    let scale =
                        f64::from(INPUT.0 as f32) * f64::from(self.kernel_scales[channel]) / f64::from(HIDDEN.0 as f32);
                    let it = multiplied(sum, scale) + HIDDEN.1;
                    hidden[(y * SIDE + x) * CHANNELS + channel] = it.clamp(HIDDEN.1.max(-128), 127);
                }
            }
        }
        let half = SIDE / 2;
        let mut pooled = vec![0; N_HIDDEN];
        for (idx, it) in pooled.iter_mut().enumerate() {
            let (y, x, channel) = (idx / (half * CHANNELS), idx / CHANNELS % half, idx % CHANNELS);
            let at = |dy: usize, dx: usize| hidden[((2 * y + dy) * SIDE + 2 * x + dx) * CHANNELS + channel];
            *it = at(0, 0).max(at(0, 1)).max(at(1, 0)).max(at(1, 1));
        }
        let scale = f64::from(HIDDEN.0 as f32) * f64::from(DENSE_SCALE) / f64::from(OUTPUT.0 as f32);
        let class = |class: usize| {
            let weights = &self.dense[class * N_HIDDEN..][..N_HIDDEN];
            let products = pooled.iter().zip(weights).map(|(it, weight)| (it - HIDDEN.1) * i32::from(*weight));
            (multiplied(self.dense_bias[class] + products.sum::<i32>(), scale) + OUTPUT.1).clamp(-128, 127)
        };
        (0..CLASSES).map(class).collect()
    }
}

#[test]
fn a_network_of_integers_is_within_a_step_of_the_reference_kernels() {
    const ROWS: usize = 64;
    let mut noise = Noise(7);
    let network = Network::new(&mut noise);
    let rows: Vec<i32> = (0..ROWS * SIDE * SIDE).map(|_| noise.next(256) - 128).collect();
    let model = load(&network.file()).unwrap();
    let row = [SIDE as i32, SIDE as i32, 1];
    let got = run("network", &model, &row, &rows.iter().map(|it| f64::from(*it)).collect::<Vec<_>>());
    let wanted: Vec<i32> = rows.chunks(SIDE * SIDE).flat_map(|it| network.reference(it)).collect();
    assert!(wanted.iter().any(|it| *it > 50) && wanted.iter().any(|it| *it < -30), "{wanted:?}");
    let first = |row: &[f64]| (0..CLASSES).rev().max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    for (idx, (got, wanted)) in got.chunks(CLASSES).zip(wanted.chunks(CLASSES)).enumerate() {
        let wanted: Vec<f64> = wanted.iter().map(|it| f64::from(*it)).collect();
        let furthest = got.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(furthest <= 1.0 && first(got) == first(&wanted), "row {idx}: {got:?}, not {wanted:?}");
    }
    // A row does not depend on the batch that it comes in.
    let alone = run("row", &model, &row, &rows[..SIDE * SIDE].iter().map(|it| f64::from(*it)).collect::<Vec<_>>());
    assert_eq!(alone, got[..CLASSES]);
}

#[test]
fn functions_of_scaled_integers_are_rounded_to_a_step() {
    let mut lite = Lite::default();
    let x = scaled(&mut lite, "x", &[-1, 4], 0.5, 0);
    let y = scaled(&mut lite, "y", &[-1, 4], 1.0 / 256.0, -128);
    lite.operator(Op::LOGISTIC, &[x], &[y], none);
    let model = load(&lite.finish(&[x], &[y])).unwrap();
    let x = [-6.0, 0.0, 1.0, 40.0];
    let wanted = x.map(|it: f64| (256.0 / (1.0 + (-it / 2.0).exp())).round().min(255.0) - 128.0);
    assert_eq!(run("LOGISTIC", &model, &[4], &x), wanted);
}

#[test]
fn each_tensor_has_a_scale_of_its_own() {
    let mut lite = Lite::default();
    let x = scaled(&mut lite, "x", &[-1, 3], 0.5, 1);
    let row = lite.bytes(&[1, 3], (&[0.25], &[-2], 0), &[6, 10, -2]);
    let sum = scaled(&mut lite, "sum", &[-1, 3], 0.75, 0);
    let args = AddOptionsArgs { fused_activation_function: ActivationFunctionType::RELU6, ..Default::default() };
    lite.operator(Op::ADD, &[x, row], &[sum], options!(AddOptions, args));
    let both = scaled(&mut lite, "both", &[-1, 6], 1.0, 10);
    let args = ConcatenationOptionsArgs { axis: 1, ..Default::default() };
    lite.operator(Op::CONCATENATION, &[x, sum], &[both], options!(ConcatenationOptions, args));
    let model = load(&lite.finish(&[x], &[both, sum])).unwrap();
    let npy = Npy { shape: vec![1, 3], values: vec![3.0, -5.0, 41.0] };
    let answer = model.run(&batch(&[("x", &npy)]), threads(1)).unwrap();
    // 1, -3 and 20, and with 2, 3 and 0 added to them 3, 0 and 20, of which 6 are left.
    assert_eq!(numbers(answer.column(0)), [11.0, 7.0, 30.0, 13.0, 10.0, 16.0]);
    assert_eq!(numbers(answer.column(1)), [4.0, 0.0, 8.0]);
}

#[test]
fn what_integers_stand_for_must_be_known() {
    let refused = |build: &dyn Fn(&mut Lite) -> (i32, i32)| {
        let mut lite = Lite::default();
        let (x, y) = build(&mut lite);
        load(&lite.finish(&[x], &[y])).map(|_| ()).unwrap_err().to_string()
    };
    let of_channels = |lite: &mut Lite| {
        let scales: [f32; 2] = [0.5, 0.25];
        let x = lite.tensor("x", TensorType::INT8, &[-1, 2], Some((&scales, &[0, 0], 1)), None);
        (x, lite.float(Op::DEQUANTIZE, &[x], none))
    };
    let said = refused(&of_channels);
    assert!(said.contains("`x` has the unsupported element type INT8 with 2 scales"), "{said}");
    let between = |lite: &mut Lite| {
        let x = lite.tensor("x", TensorType::FLOAT32, &[-1, 2], None, None);
        let steps = lite.tensor("steps", TensorType::INT32, &[-1, 2], Some((&[0.5], &[0], 0)), None);
        lite.operator(Op::QUANTIZE, &[x], &[steps], none);
        (x, lite.float(Op::DEQUANTIZE, &[steps], none))
    };
    let said = refused(&between);
    assert!(said.contains("QUANTIZE of scaled integers of type INT32 (node `steps`)"), "{said}");
    let nowhere = |lite: &mut Lite| {
        let x = lite.tensor("x", TensorType::UINT8, &[-1, 2], Some((&[f32::NAN], &[0], 0)), None);
        (x, lite.float(Op::DEQUANTIZE, &[x], none))
    };
    let said = refused(&nowhere);
    assert!(said.contains("UINT8 with the scale NaN and the zero points [0]"), "{said}");
    let cast = |lite: &mut Lite| {
        let x = scaled(lite, "x", &[-1, 2], 0.5, 0);
        (x, lite.float(Op::CAST, &[x], none))
    };
    let said = refused(&cast);
    assert!(said.contains("CAST (node `node-0`)") && said.contains("integers that stand for numbers"), "{said}");
}

#[test]
fn rows_of_integers_are_read_as_the_file_has_them() {
    let mut lite = Lite::default();
    let x = lite.tensor("x", TensorType::UINT8, &[-1, 2], Some((&[1.0 / 255.0], &[0], 0)), None);
    let y = lite.float(Op::DEQUANTIZE, &[x], none);
    let model = load(&lite.finish(&[x], &[y])).unwrap();
    let npy = Npy { shape: vec![1, 2], values: vec![255.0, 51.0] };
    let answer = model.run(&batch(&[("x", &npy)]), threads(1)).unwrap();
    common::assert_within(1e-6, "pixels", &numbers(answer.column(0)), &[1.0, 0.2]);
}
