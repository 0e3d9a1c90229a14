//! Operators of TensorFlow Lite. What they are to give is said by their definitions, and was computed with NumPy where it takes more
//! than a glance.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    numbers,
    tflite::{Lite, check, file, load, none, run},
};
use modelwatch_infer::InferError;
use tract_tflite::tflite::{ActivationFunctionType, BuiltinOperator as Op, MirrorPadMode, Padding, TensorType, *};

const X: [f64; 6] = [-2.0, -0.5, 0.0, 0.5, 1.0, 3.0];

#[test]
fn functions_of_single_numbers() {
    let cases: [(Op, [f64; 6]); 13] = [
        (Op::ABS, [2.0, 0.5, 0.0, 0.5, 1.0, 3.0]),
        (Op::NEG, [2.0, 0.5, 0.0, -0.5, -1.0, -3.0]),
        (Op::SIGN, [-1.0, -1.0, 0.0, 1.0, 1.0, 1.0]),
        // Halves go to what is even.
        (Op::ROUND, [-2.0, 0.0, 0.0, 0.0, 1.0, 3.0]),
        (Op::CEIL, [-2.0, 0.0, 0.0, 1.0, 1.0, 3.0]),
        (Op::FLOOR, [-2.0, -1.0, 0.0, 0.0, 1.0, 3.0]),
        (Op::SQUARE, [4.0, 0.25, 0.0, 0.25, 1.0, 9.0]),
        (Op::RELU, [0.0, 0.0, 0.0, 0.5, 1.0, 3.0]),
        (Op::RELU_N1_TO_1, [-1.0, -0.5, 0.0, 0.5, 1.0, 1.0]),
        (Op::RELU_0_TO_1, [0.0, 0.0, 0.0, 0.5, 1.0, 1.0]),
        (Op::ELU, [-0.864_664_716_763_387_3, -0.393_469_340_287_366_6, 0.0, 0.5, 1.0, 3.0]),
        (Op::HARD_SWISH, [-1.0 / 3.0, -0.208_333_333_333_333_34, 0.0, 0.291_666_666_666_666_7, 2.0 / 3.0, 3.0]),
        (Op::ZEROS_LIKE, [0.0; 6]),
    ];
    for (op, wanted) in cases {
        check(op.variant_name().unwrap(), &[3], |it, x| it.float(op, &[x], none), &X, &wanted);
    }
    let slope = |it: &mut Lite, x| {
        it.float(Op::LEAKY_RELU, &[x], options!(LeakyReluOptions, LeakyReluOptionsArgs { alpha: 0.25 }))
    };
    check("LEAKY_RELU", &[3], slope, &X, &[-0.5, -0.125, 0.0, 0.5, 1.0, 3.0]);
    let slopes = |it: &mut Lite, x| {
        let slope = it.floats(&[3], &[0.5, 2.0, 1.0]);
        it.float(Op::PRELU, &[x, slope], none)
    };
    check("PRELU", &[3], slopes, &X, &[-1.0, -1.0, 0.0, 0.5, 1.0, 3.0]);
    for (approximate, wanted) in [
        (
            false,
            [
                -0.045_500_263_896_358_42,
                -0.154_268_769_362_993_47,
                0.0,
                0.345_731_230_637_006_5,
                0.841_344_746_068_542_8,
                2.995_950_305_905_11,
            ],
        ),
        (
            true,
            [
                -0.045_402_305_912_224_94,
                -0.154_285_990_174_855_06,
                0.0,
                0.345_714_009_825_143_94,
                0.841_191_990_608_276_8,
                2.996_362_607_918_227,
            ],
        ),
    ] {
        let gelu = |it: &mut Lite, x| it.float(Op::GELU, &[x], options!(GeluOptions, GeluOptionsArgs { approximate }));
        check(&format!("GELU {approximate}"), &[3], gelu, &X, &wanted);
    }
}

#[test]
fn functions_of_rows() {
    let wanted = [
        -2.554_956_919_641_991,
        -1.054_956_919_641_990_6,
        -0.554_956_919_641_990_6,
        -2.696_734_096_919_617,
        -2.196_734_096_919_617,
        -0.196_734_096_919_616_96,
    ];
    check("LOG_SOFTMAX", &[3], |it, x| it.float(Op::LOG_SOFTMAX, &[x], none), &X, &wanted);
    let wanted = [
        0.013_212_886_953_789_414,
        0.265_387_928_772_241_93,
        0.721_399_184_273_968_7,
        0.006_573_263_185_309_082,
        0.017_867_981_870_304_504,
        0.975_558_754_944_386_4,
    ];
    let softmax =
        |it: &mut Lite, x| it.float(Op::SOFTMAX, &[x], options!(SoftmaxOptions, SoftmaxOptionsArgs { beta: 2.0 }));
    check("SOFTMAX", &[3], softmax, &X, &wanted);
    let wanted = [
        -0.970_142_500_145_331_9,
        -0.242_535_625_036_332_97,
        0.0,
        0.156_173_761_888_606_07,
        0.312_347_523_777_212_14,
        0.937_042_571_331_636_4,
    ];
    check("L2_NORMALIZATION", &[3], |it, x| it.float(Op::L2_NORMALIZATION, &[x], none), &X, &wanted);
    check(
        "L2_NORMALIZATION of nothing",
        &[2],
        |it, x| it.float(Op::L2_NORMALIZATION, &[x], none),
        &[0.0; 2],
        &[0.0; 2],
    );
}

/// Two inputs of which one is a constant row.
fn with(op: Op, row: [f32; 3]) -> impl Fn(&mut Lite, i32) -> i32 {
    move |it, x| {
        let row = it.floats(&[3], &row);
        it.float(op, &[x, row], none)
    }
}

#[test]
fn functions_of_pairs() {
    let positive = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    check(
        "POW",
        &[3],
        with(Op::POW, [2.0, 0.5, -1.0]),
        &positive,
        &[1.0, 2.0_f64.sqrt(), 1.0 / 3.0, 16.0, 5.0_f64.sqrt(), 1.0 / 6.0],
    );
    check(
        "SQUARED_DIFFERENCE",
        &[3],
        with(Op::SQUARED_DIFFERENCE, [1.0, 2.0, 3.0]),
        &positive,
        &[0.0, 0.0, 0.0, 9.0, 9.0, 9.0],
    );
    check(
        "FLOOR_DIV",
        &[3],
        with(Op::FLOOR_DIV, [2.0, -2.0, 4.0]),
        &[-1.0, 3.0, 9.0, 5.0, -3.0, -9.0],
        &[-1.0, -2.0, 2.0, 2.0, 1.0, -3.0],
    );
    check(
        "FLOOR_MOD",
        &[3],
        with(Op::FLOOR_MOD, [2.0, -2.0, 4.0]),
        &[-1.0, 3.0, 9.0, 5.0, -3.0, -9.0],
        &[1.0, -1.0, 1.0, 1.0, -1.0, 3.0],
    );
    let sum = |it: &mut Lite, x| it.float(Op::ADD_N, &[x, x, x], none);
    check("ADD_N", &[3], sum, &positive, &[3.0, 6.0, 9.0, 12.0, 15.0, 18.0]);
    for (op, wanted) in [
        (Op::MAXIMUM, [2.0, 2.0, 3.0]),
        (Op::MINIMUM, [1.0, 2.0, 2.0]),
        (Op::SUB, [-1.0, 0.0, 1.0]),
        (Op::DIV, [0.5, 1.0, 1.5]),
    ] {
        check(op.variant_name().unwrap(), &[3], with(op, [2.0; 3]), &[1.0, 2.0, 3.0], &wanted);
    }
    // What is done at the end.
    for (end, wanted) in [
        (ActivationFunctionType::RELU_N1_TO_1, [-1.0, 0.5, 1.0]),
        (ActivationFunctionType::RELU6, [0.0, 0.5, 6.0]),
        (ActivationFunctionType::TANH, [-0.964_027_580_075_816_9, 0.462_117_157_260_009_76, 0.999_999_984_0]),
    ] {
        let add = |it: &mut Lite, x| {
            let one = it.floats(&[], &[1.0]);
            it.float(
                Op::ADD,
                &[x, one],
                options!(AddOptions, AddOptionsArgs { fused_activation_function: end, ..Default::default() }),
            )
        };
        check(end.variant_name().unwrap(), &[3], add, &[-3.0, -0.5, 8.5], &wanted);
    }
    for (op, wanted) in [
        (Op::EQUAL, [0.0, 1.0, 0.0]),
        (Op::NOT_EQUAL, [1.0, 0.0, 1.0]),
        (Op::LESS, [1.0, 0.0, 0.0]),
        (Op::GREATER_EQUAL, [0.0, 1.0, 1.0]),
    ] {
        let chosen = |it: &mut Lite, x| {
            let (two, one, zero) = (it.floats(&[1], &[2.0]), it.floats(&[1], &[1.0]), it.floats(&[1], &[0.0]));
            let flag = it.one(op, &[x, two], TensorType::BOOL, none);
            it.float(Op::SELECT_V2, &[flag, one, zero], none)
        };
        check(op.variant_name().unwrap(), &[3], chosen, &[1.0, 2.0, 3.0], &wanted);
    }
}

#[test]
fn sums_and_places_along_axes() {
    let x = [1.0, 5.0, 2.0, 4.0, 3.0, 6.0];
    for (op, keep_dims, axes, wanted) in [
        (Op::MEAN, true, &[-1][..], &[8.0 / 3.0, 13.0 / 3.0][..]),
        (Op::SUM, false, &[1, 2], &[21.0]),
        (Op::REDUCE_MAX, false, &[-2], &[4.0, 5.0, 6.0]),
        (Op::REDUCE_MIN, false, &[1], &[1.0, 3.0, 2.0]),
        (Op::REDUCE_PROD, false, &[2], &[10.0, 72.0]),
    ] {
        let reduced = |it: &mut Lite, x| {
            let axes = it.integers(&[axes.len() as i32], axes);
            it.float(op, &[x, axes], options!(ReducerOptions, ReducerOptionsArgs { keep_dims }))
        };
        check(op.variant_name().unwrap(), &[2, 3], reduced, &x, wanted);
    }
    for (op, wanted) in [(Op::REDUCE_ANY, [1.0, 1.0]), (Op::REDUCE_ALL, [0.0, 1.0])] {
        let reduced = |it: &mut Lite, x| {
            let (two, axis) = (it.floats(&[], &[2.0]), it.integers(&[], &[-1]));
            let flags = it.one(Op::GREATER, &[x, two], TensorType::BOOL, none);
            let flag = it.one(
                op,
                &[flags, axis],
                TensorType::BOOL,
                options!(ReducerOptions, ReducerOptionsArgs { keep_dims: false }),
            );
            it.float(
                Op::CAST,
                &[flag],
                options!(
                    CastOptions,
                    CastOptionsArgs { in_data_type: TensorType::BOOL, out_data_type: TensorType::FLOAT32 }
                ),
            )
        };
        check(op.variant_name().unwrap(), &[2, 3], reduced, &x, &wanted);
    }
    let most = |it: &mut Lite, x| {
        let axis = it.integers(&[], &[-1]);
        it.one(
            Op::ARG_MAX,
            &[x, axis],
            TensorType::INT32,
            options!(ArgMaxOptions, ArgMaxOptionsArgs { output_type: TensorType::INT32 }),
        )
    };
    check("ARG_MAX", &[2, 3], most, &x, &[1.0, 2.0]);
    let least = |it: &mut Lite, x| {
        let axis = it.integers(&[1], &[1]);
        it.one(
            Op::ARG_MIN,
            &[x, axis],
            TensorType::INT64,
            options!(ArgMinOptions, ArgMinOptionsArgs { output_type: TensorType::INT64 }),
        )
    };
    check("ARG_MIN", &[2, 3], least, &x, &[0.0, 1.0, 0.0]);
    for (exclusive, reverse, wanted) in [(false, false, [1.0, 6.0, 8.0]), (true, true, [7.0, 2.0, 0.0])] {
        let running = |it: &mut Lite, x| {
            let axis = it.integers(&[], &[1]);
            it.float(Op::CUMSUM, &[x, axis], options!(CumsumOptions, CumsumOptionsArgs { exclusive, reverse }))
        };
        check("CUMSUM", &[3], running, &x[..3], &wanted);
    }
    let mut lite = Lite::default();
    let x = lite.tensor("x", TensorType::FLOAT32, &[-1, 4], None, None);
    let (k, numbers_of, places) = (
        lite.integers(&[], &[2]),
        lite.tensor("top", TensorType::FLOAT32, &[-1], None, None),
        lite.tensor("places", TensorType::INT32, &[-1], None, None),
    );
    lite.operator(Op::TOPK_V2, &[x, k], &[numbers_of, places], none);
    let model = load(&lite.finish(&[x], &[places, numbers_of])).unwrap();
    let npy = common::Npy { shape: vec![1, 4], values: vec![3.0, 1.0, 4.0, 1.0] };
    let answer = common::run(&model, &[&npy]);
    assert_eq!((numbers(answer.column(0)), numbers(answer.column(1))), (vec![2.0, 0.0], vec![4.0, 3.0]));
}

#[test]
fn numbers_are_moved() {
    let x: Vec<f64> = (0..6).map(f64::from).collect();
    let split = |it: &mut Lite, x| {
        let (axis, parts) = (
            it.integers(&[], &[-1]),
            ["a", "b", "c"].map(|name| it.tensor(name, TensorType::FLOAT32, &[-1], None, None)),
        );
        it.operator(Op::SPLIT, &[axis, x], &parts, options!(SplitOptions, SplitOptionsArgs { num_splits: 3 }));
        it.float(
            Op::CONCATENATION,
            &[parts[2], parts[0]],
            options!(ConcatenationOptions, ConcatenationOptionsArgs { axis: -1, ..Default::default() }),
        )
    };
    check("SPLIT, CONCATENATION", &[2, 3], split, &x, &[2.0, 0.0, 5.0, 3.0]);
    let split = |it: &mut Lite, x| {
        let (sizes, axis) = (it.integers(&[2], &[1, -1]), it.integers(&[], &[2]));
        let parts = ["a", "b"].map(|name| it.tensor(name, TensorType::FLOAT32, &[-1], None, None));
        it.operator(
            Op::SPLIT_V,
            &[x, sizes, axis],
            &parts,
            options!(SplitVOptions, SplitVOptionsArgs { num_splits: 2 }),
        );
        parts[1]
    };
    check("SPLIT_V", &[2, 3], split, &x, &[1.0, 2.0, 4.0, 5.0]);
    let pack = |it: &mut Lite, x| {
        it.float(Op::PACK, &[x, x], options!(PackOptions, PackOptionsArgs { values_count: 2, axis: -1 }))
    };
    check("PACK", &[2], pack, &x[..2], &[0.0, 0.0, 1.0, 1.0]);
    let unpack = |it: &mut Lite, x| {
        let parts = ["a", "b"].map(|name| it.tensor(name, TensorType::FLOAT32, &[-1], None, None));
        it.operator(Op::UNPACK, &[x], &parts, options!(UnpackOptions, UnpackOptionsArgs { num: 2, axis: 1 }));
        it.float(Op::SUB, &[parts[1], parts[0]], none)
    };
    check("UNPACK", &[2, 3], unpack, &x, &[3.0; 3]);
    let take = |it: &mut Lite, x| {
        let places = it.integers(&[2], &[2, 0]);
        it.float(Op::GATHER, &[x, places], options!(GatherOptions, GatherOptionsArgs { axis: -1, batch_dims: 0 }))
    };
    check("GATHER", &[2, 3], take, &x, &[2.0, 0.0, 5.0, 3.0]);
    let embed = |it: &mut Lite, x| {
        let places = it.one(Op::CAST, &[x], TensorType::INT32, none);
        let table = it.bytes(&[3, 2], (&[0.5], &[1], 0), &[1, 3, 5, 7, 9, 11]);
        let table = it.float(Op::DEQUANTIZE, &[table], none);
        it.float(Op::EMBEDDING_LOOKUP, &[places, table], none)
    };
    check("EMBEDDING_LOOKUP, DEQUANTIZE", &[1], embed, &[2.0, 0.0], &[4.0, 5.0, 0.0, 1.0]);
    for (name, op, constants, wanted) in [
        ("SLICE", Op::SLICE, [&[0, 0, 1][..], &[-1, 2, 1]].to_vec(), vec![1.0, 4.0]),
        ("TRANSPOSE", Op::TRANSPOSE, [&[0, 2, 1][..]].to_vec(), vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
        ("TILE", Op::TILE, [&[1, 1, 2][..]].to_vec(), vec![0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 3.0, 4.0, 5.0]),
        ("REVERSE_V2", Op::REVERSE_V2, [&[-1][..]].to_vec(), vec![2.0, 1.0, 0.0, 5.0, 4.0, 3.0]),
        ("EXPAND_DIMS", Op::EXPAND_DIMS, [&[-1][..]].to_vec(), x.clone()),
        ("RESHAPE", Op::RESHAPE, [&[-1, 3, 2][..]].to_vec(), x.clone()),
    ] {
        let moved = |it: &mut Lite, x| {
            let constants: Vec<i32> =
                constants.iter().map(|values| it.integers(&[values.len() as i32], values)).collect();
            it.float(op, &[&[x], &constants[..]].concat(), none)
        };
        check(name, &[2, 3], moved, &x, &wanted);
    }
    let squeezed = |it: &mut Lite, x| {
        let one = it.floats(&[2, 3], &[1.0; 6]);
        let flat = it.float(Op::SQUEEZE, &[x], |builder: &mut common::tflite::Builder| {
            let squeeze_dims = Some(builder.create_vector(&[1, -1]));
            let options = SqueezeOptions::create(builder, &SqueezeOptionsArgs { squeeze_dims });
            Some((BuiltinOptions::SqueezeOptions, options.as_union_value()))
        });
        it.float(Op::ADD, &[flat, one], none)
    };
    check("SQUEEZE", &[1, 2, 3, 1], squeezed, &x, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let strided = |it: &mut Lite, x| {
        let (begin, end, step) =
            (it.integers(&[3], &[0, 1, 2]), it.integers(&[3], &[0, 2, 0]), it.integers(&[3], &[1, 1, -2]));
        let args = StridedSliceOptionsArgs { begin_mask: 1, end_mask: 5, shrink_axis_mask: 2, ..Default::default() };
        it.float(Op::STRIDED_SLICE, &[x, begin, end, step], options!(StridedSliceOptions, args))
    };
    check("STRIDED_SLICE", &[2, 3], strided, &x, &[5.0, 3.0]);
    let hot = |it: &mut Lite, x| {
        let places = it.one(Op::CAST, &[x], TensorType::INT32, none);
        let (depth, on, off) = (it.integers(&[], &[3]), it.floats(&[], &[5.0]), it.floats(&[], &[-1.0]));
        it.float(Op::ONE_HOT, &[places, depth, on, off], options!(OneHotOptions, OneHotOptionsArgs { axis: -1 }))
    };
    check("ONE_HOT", &[1], hot, &[2.0, 0.0], &[-1.0, -1.0, 5.0, 5.0, -1.0, -1.0]);
}

#[test]
fn numbers_are_put_around() {
    let x = [1.0, 2.0, 3.0];
    for (what, op, value, wanted) in [
        ("PAD", Op::PAD, None, [0.0, 1.0, 2.0, 3.0, 0.0, 0.0]),
        ("PADV2", Op::PADV2, Some(7.0), [7.0, 1.0, 2.0, 3.0, 7.0, 7.0]),
    ] {
        let padded = |it: &mut Lite, x| {
            let amounts = it.integers(&[2, 2], &[0, 0, 1, 2]);
            let value = value.map(|value| it.floats(&[], &[value]));
            let inputs: Vec<i32> = [x, amounts].into_iter().chain(value).collect();
            it.float(op, &inputs, none)
        };
        check(what, &[3], padded, &x, &wanted);
    }
    for (mode, wanted) in [
        (MirrorPadMode::REFLECT, [2.0, 1.0, 2.0, 3.0, 2.0, 1.0]),
        (MirrorPadMode::SYMMETRIC, [1.0, 1.0, 2.0, 3.0, 3.0, 2.0]),
    ] {
        let padded = |it: &mut Lite, x| {
            let amounts = it.integers(&[2, 2], &[0, 0, 1, 2]);
            it.float(Op::MIRROR_PAD, &[x, amounts], options!(MirrorPadOptions, MirrorPadOptionsArgs { mode }))
        };
        check(mode.variant_name().unwrap(), &[3], padded, &x, &wanted);
    }
    let filled = |it: &mut Lite, x| {
        let (start, limit, step) = (it.integers(&[], &[4]), it.integers(&[], &[-1]), it.integers(&[], &[-2]));
        let range = it.one(Op::RANGE, &[start, limit, step], TensorType::INT32, none);
        let range = it.float(Op::CAST, &[range], none);
        let (shape, value) = (it.integers(&[2], &[1, 3]), it.floats(&[], &[10.0]));
        let tens = it.float(Op::FILL, &[shape, value], none);
        let sum = it.float(Op::ADD, &[range, tens], none);
        it.float(Op::MUL, &[sum, x], none)
    };
    check("RANGE, FILL", &[3], filled, &x, &[14.0, 24.0, 30.0]);
    let lengths = |it: &mut Lite, x| {
        let shape = it.one(
            Op::SHAPE,
            &[x],
            TensorType::INT32,
            options!(ShapeOptions, ShapeOptionsArgs { out_type: TensorType::INT32 }),
        );
        let rank = it.one(Op::RANK, &[x], TensorType::INT32, none);
        let last = it.integers(&[1], &[1]);
        let length = it.one(Op::GATHER, &[shape, last], TensorType::INT32, none);
        let both = it.one(Op::ADD, &[length, rank], TensorType::INT32, none);
        let both = it.float(Op::CAST, &[both], none);
        let shape = it.integers(&[2], &[1, 2]);
        let shape = it.float(Op::BROADCAST_TO, &[both, shape], none);
        let axes = it.integers(&[1], &[1]);
        let first = it.float(Op::SUM, &[x, axes], options!(ReducerOptions, ReducerOptionsArgs { keep_dims: true }));
        it.float(Op::ADD, &[first, shape], none)
    };
    // Rows of three numbers, and a rank of 2.
    check("SHAPE, RANK, BROADCAST_TO", &[3], lengths, &[1.0, 0.0, 0.0, 2.0, 0.0, 0.0], &[6.0, 6.0, 7.0, 7.0]);
    let x: Vec<f64> = (1..=4).map(f64::from).collect();
    let dilated = |it: &mut Lite, x| {
        let (block, pads) = (it.integers(&[1], &[2]), it.integers(&[1, 2], &[0, 0]));
        let apart = it.float(Op::SPACE_TO_BATCH_ND, &[x, block, pads], none);
        // Every second number, next to its like.
        let (axis, crops) = (it.integers(&[], &[1]), it.integers(&[1, 2], &[1, 0]));
        let sums = it.float(Op::CUMSUM, &[apart, axis], none);
        it.float(Op::BATCH_TO_SPACE_ND, &[sums, block, crops], none)
    };
    check("SPACE_TO_BATCH_ND, BATCH_TO_SPACE_ND", &[4, 1], dilated, &x, &[2.0, 4.0, 6.0]);
    let padded = |it: &mut Lite, x| {
        let (block, pads) = (it.integers(&[2], &[2, 2]), it.integers(&[2, 2], &[0, 0, 1, 1]));
        let apart = it.float(Op::SPACE_TO_BATCH_ND, &[x, block, pads], none);
        let shape = it.integers(&[2], &[-1, 8]);
        it.float(Op::RESHAPE, &[apart, shape], none)
    };
    check("SPACE_TO_BATCH_ND", &[2, 2, 1], padded, &x, &[0.0, 2.0, 1.0, 0.0, 0.0, 4.0, 3.0, 0.0]);
    let blocks = |it: &mut Lite, x| {
        it.float(Op::SPACE_TO_DEPTH, &[x], options!(SpaceToDepthOptions, SpaceToDepthOptionsArgs { block_size: 2 }))
    };
    let x: Vec<f64> = (0..8).map(f64::from).collect();
    check("SPACE_TO_DEPTH", &[2, 4, 1], blocks, &x, &[0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
    let blocks = |it: &mut Lite, x| {
        it.float(Op::DEPTH_TO_SPACE, &[x], options!(DepthToSpaceOptions, DepthToSpaceOptionsArgs { block_size: 2 }))
    };
    check("DEPTH_TO_SPACE", &[1, 2, 4], blocks, &x, &[0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
}

#[test]
fn images_are_convolved() {
    for (padding, size, bias, wanted) in [
        (
            Padding::SAME,
            4,
            Some(0.5),
            &[1.5, 2.5, 5.5, 4.5, 4.5, 5.5, 14.5, 10.5, 10.5, 14.5, 36.5, 24.5, 12.5, 15.5, 34.5, 20.5][..],
        ),
        (
            Padding::VALID,
            5,
            None,
            &[
                1.0, 2.0, 5.0, 4.0, 6.0, 4.0, 5.0, 14.0, 10.0, 12.0, 10.0, 14.0, 36.0, 24.0, 30.0, 12.0, 15.0, 34.0,
                20.0, 24.0, 21.0, 24.0, 55.0, 32.0, 36.0,
            ],
        ),
    ] {
        let transposed = |it: &mut Lite, x| {
            let kernel: Vec<f32> = (1..=9_u8).map(f32::from).collect();
            let (size, kernel) = (it.integers(&[4], &[1, size, size, 1]), it.floats(&[1, 3, 3, 1], &kernel));
            let bias = bias.map(|bias| it.floats(&[1], &[bias]));
            let inputs: Vec<i32> = [size, kernel, x].into_iter().chain(bias).collect();
            let args = TransposeConvOptionsArgs { padding, stride_h: 2, stride_w: 2, ..Default::default() };
            it.float(Op::TRANSPOSE_CONV, &inputs, options!(TransposeConvOptions, args))
        };
        check("TRANSPOSE_CONV", &[2, 2, 1], transposed, &[1.0, 2.0, 3.0, 4.0], wanted);
    }
    let transposed = |it: &mut Lite, x| {
        let kernel: Vec<f32> = (1..=16_u8).map(f32::from).collect();
        let (size, kernel) = (it.integers(&[4], &[1, 2, 3, 2]), it.floats(&[2, 2, 2, 2], &kernel));
        let args = TransposeConvOptionsArgs { padding: Padding::VALID, stride_h: 1, stride_w: 1, ..Default::default() };
        it.float(Op::TRANSPOSE_CONV, &[size, kernel, x], options!(TransposeConvOptions, args))
    };
    let wanted = [5.0, 29.0, 22.0, 102.0, 25.0, 81.0, 17.0, 41.0, 62.0, 142.0, 53.0, 109.0];
    check("TRANSPOSE_CONV of channels", &[1, 2, 2], transposed, &[1.0, 2.0, 3.0, 4.0], &wanted);
    let x: Vec<f64> = (1..=8).map(f64::from).collect();
    let solid = |it: &mut Lite, x| {
        let kernel: Vec<f32> = (1..=8_u8).map(f32::from).collect();
        let (kernel, bias) = (it.floats(&[1, 2, 2, 1, 2], &kernel), it.floats(&[2], &[1.0, -1.0]));
        let args =
            Conv3DOptionsArgs { padding: Padding::VALID, stride_d: 1, stride_h: 1, stride_w: 1, ..Default::default() };
        it.float(Op::CONV_3D, &[x, kernel, bias], options!(Conv3DOptions, args))
    };
    check("CONV_3D", &[2, 2, 2, 1], solid, &x, &[51.0, 59.0, 115.0, 139.0]);
    let depthwise = |shape: &'static [i32]| {
        move |it: &mut Lite, x| {
            let kernel: Vec<f32> = (1..=shape.iter().product()).map(|at: i32| at as f32).collect();
            let kernel = it.floats(shape, &kernel);
            let args = DepthwiseConv2DOptionsArgs {
                padding: Padding::VALID,
                depth_multiplier: 2,
                stride_h: 1,
                stride_w: 1,
                ..Default::default()
            };
            it.float(Op::DEPTHWISE_CONV_2D, &[x, kernel], options!(DepthwiseConv2DOptions, args))
        }
    };
    let (of_two, of_one) = (depthwise(&[1, 2, 2, 4]), depthwise(&[1, 2, 2, 2]));
    check("DEPTHWISE_CONV_2D of two for each channel", &[2, 2, 2], of_two, &x, &[152.0, 168.0, 220.0, 240.0]);
    check("DEPTHWISE_CONV_2D of one channel", &[2, 2, 1], of_one, &x[..4], &[50.0, 60.0]);
    let grouped = |it: &mut Lite, x| {
        let kernel = it.floats(&[4, 1, 1, 2], &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0]);
        let args = Conv2DOptionsArgs { padding: Padding::VALID, stride_h: 1, stride_w: 1, ..Default::default() };
        it.float(Op::CONV_2D, &[x, kernel, -1], options!(Conv2DOptions, args))
    };
    check("CONV_2D of groups", &[1, 1, 4], grouped, &x[..4], &[21.0, 42.0, 129.0, 172.0]);
}

#[test]
fn images_are_resized() {
    type Wanted = [f64; 9];
    let cases: [(bool, bool, Wanted); 3] = [
        (false, true, [1.0, 1.5, 2.0, 2.0, 2.75, 3.5, 3.0, 4.0, 5.0]),
        (true, false, [1.0, 1.5, 2.0, 2.0, 2.75, 3.5, 3.0, 4.0, 5.0]),
        (false, false, [1.0, 5.0 / 3.0, 2.0, 7.0 / 3.0, 31.0 / 9.0, 4.0, 3.0, 13.0 / 3.0, 5.0]),
    ];
    for (align_corners, half_pixel_centers, wanted) in cases {
        let resized = |it: &mut Lite, x| {
            let size = it.integers(&[2], &[3, 3]);
            let args = ResizeBilinearOptionsArgs { align_corners, half_pixel_centers };
            it.float(Op::RESIZE_BILINEAR, &[x, size], options!(ResizeBilinearOptions, args))
        };
        check("RESIZE_BILINEAR", &[2, 2, 1], resized, &[1.0, 2.0, 3.0, 5.0], &wanted);
    }
    let x: Vec<f64> = (0..9).map(f64::from).collect();
    for (align_corners, half_pixel_centers, wanted) in
        [(false, true, [0.0, 2.0, 6.0, 8.0]), (true, false, [0.0, 2.0, 6.0, 8.0]), (false, false, [0.0, 1.0, 3.0, 4.0])]
    {
        let resized = |it: &mut Lite, x| {
            let size = it.integers(&[2], &[2, 2]);
            let args = ResizeNearestNeighborOptionsArgs { align_corners, half_pixel_centers };
            it.float(Op::RESIZE_NEAREST_NEIGHBOR, &[x, size], options!(ResizeNearestNeighborOptions, args))
        };
        check("RESIZE_NEAREST_NEIGHBOR", &[3, 3, 1], resized, &x, &wanted);
    }
}

#[test]
fn rows_are_multiplied() {
    let x: Vec<f64> = (1..=4).map(f64::from).collect();
    for (keep_num_dims, what) in [(true, "axes that stay"), (false, "axes that go")] {
        let product = |it: &mut Lite, x| {
            let (weights, bias) =
                (it.floats(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]), it.floats(&[3], &[0.5, 0.0, 0.0]));
            let args = FullyConnectedOptionsArgs { keep_num_dims, ..Default::default() };
            let rows = it.float(Op::FULLY_CONNECTED, &[x, weights, bias], options!(FullyConnectedOptions, args));
            let shape = it.integers(&[2], &[-1, 6]);
            it.float(Op::RESHAPE, &[rows, shape], none)
        };
        check(what, &[2, 2], product, &x, &[1.5, 2.0, 3.0, 3.5, 4.0, 7.0]);
    }
    let product = |it: &mut Lite, x| {
        let other = it.floats(&[1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
        it.float(
            Op::BATCH_MATMUL,
            &[x, other],
            options!(BatchMatMulOptions, BatchMatMulOptionsArgs { adj_y: true, ..Default::default() }),
        )
    };
    check("BATCH_MATMUL", &[2, 2], product, &x, &[5.0, 11.0, 11.0, 25.0]);
    // Weights of half precision.
    let product = |it: &mut Lite, x| {
        let data = [0x3c00_u16, 0x4000].into_iter().flat_map(u16::to_le_bytes).collect();
        let weights = it.constant(TensorType::FLOAT16, &[1, 2], None, data);
        let weights = it.float(Op::DEQUANTIZE, &[weights], none);
        it.float(
            Op::FULLY_CONNECTED,
            &[x, weights, -1],
            options!(FullyConnectedOptions, FullyConnectedOptionsArgs::default()),
        )
    };
    check("weights of half precision", &[2], product, &x, &[5.0, 11.0]);
}

#[test]
fn what_would_be_wrong_is_refused_by_operator_and_node() {
    let refused = |bytes: Vec<u8>| load(&bytes).map(|_| ()).unwrap_err();
    let named = |bytes: Vec<u8>| match refused(bytes) {
        InferError::Unsupported { operators, .. } => operators.0[0].clone(),
        other => panic!("{other}"),
    };
    let place = file(&[3], |it, x| it.float(Op::ATAN2, &[x, x], none));
    assert_eq!(named(place), ("ATAN2".to_owned(), "node-0".to_owned()));
    let rows = file(&[2, 3], |it, x| {
        let places = it.integers(&[1, 1], &[0]);
        it.float(Op::GATHER, &[x, places], options!(GatherOptions, GatherOptionsArgs { axis: 1, batch_dims: 1 }))
    });
    assert_eq!(named(rows), ("GATHER with batch_dims = 1".to_owned(), "node-0".to_owned()));
    let layer = file(&[3, 2], |it, x| {
        let args = UnidirectionalSequenceLSTMOptionsArgs::default();
        it.float(Op::UNIDIRECTIONAL_SEQUENCE_LSTM, &[x], options!(UnidirectionalSequenceLSTMOptions, args))
    });
    let wanted = "UNIDIRECTIONAL_SEQUENCE_LSTM with the activation NONE";
    assert_eq!(named(layer), (wanted.to_owned(), "node-0".to_owned()));
    let ended = file(&[3], |it, x| {
        let args = AddOptionsArgs { fused_activation_function: ActivationFunctionType::SIGN_BIT, ..Default::default() };
        it.float(Op::ADD, &[x, x], options!(AddOptions, args))
    });
    let said = refused(ended).to_string();
    assert!(said.contains("ADD (node `node-0`)") && said.contains("fused activation SIGN_BIT"), "{said}");
    let reshaped = file(&[3], |it, x| {
        let shape = it.integers(&[2], &[-1, 7]);
        it.float(Op::RESHAPE, &[x, shape], none)
    });
    let said = refused(reshaped).to_string();
    assert!(said.contains("RESHAPE (node `node-0`)") && said.contains("does not become [-1, 7]"), "{said}");
    // The file says that comparisons are numbers.
    let said = refused(file(&[3], |it, x| it.float(Op::LESS, &[x, x], none))).to_string();
    assert!(said.contains("LESS (node `node-0`)") && said.contains("it gives Bool, not F32"), "{said}");
    let huge = file(&[3], |it, x| {
        let (shape, one) = (it.integers(&[3], &[1 << 15, 1 << 15, 3]), it.floats(&[], &[1.0]));
        let ones = it.float(Op::FILL, &[shape, one], none);
        it.float(Op::ADD, &[x, ones], none)
    });
    let said = refused(huge).to_string();
    assert!(said.contains("FILL (node `node-0`)") && said.contains("more than the"), "{said}");
}

#[test]
fn numbers_are_chosen_and_rounded() {
    let chosen = |it: &mut Lite, x| {
        let (zero, ones) = (it.floats(&[1, 1], &[0.0]), it.floats(&[1, 3], &[1.0, 10.0, 100.0]));
        let flag = it.one(Op::LESS, &[x, zero], TensorType::BOOL, none);
        let ones = it.float(Op::MUL, &[x, ones], none);
        let negative = it.float(Op::NEG, &[x], none);
        it.float(Op::SELECT, &[flag, negative, ones], none)
    };
    check("SELECT", &[3], chosen, &X, &[2.0, 0.5, 0.0, 0.5, 10.0, 300.0]);
    let picked = |it: &mut Lite, x| {
        // The second number of the first row and the first of the second one, of a table.
        let (table, places) = (it.floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), it.integers(&[2, 2], &[0, 1, 1, 0]));
        let numbers = it.float(Op::GATHER_ND, &[table, places], none);
        it.float(Op::ADD, &[x, numbers], none)
    };
    check("GATHER_ND", &[2], picked, &[0.0, 0.0], &[2.0, 3.0]);
    let rounded = |it: &mut Lite, x| {
        let args = FakeQuantOptionsArgs { min: -1.0, max: 1.5, num_bits: 8, narrow_range: false };
        it.float(Op::FAKE_QUANT, &[x], options!(FakeQuantOptions, args))
    };
    let scale = 2.5 / 255.0;
    check("FAKE_QUANT", &[3], rounded, &[0.3, 2.0, -2.0], &[31.0 * scale, 1.5, -1.0]);
    let both = |it: &mut Lite, x| {
        let (one, two) = (it.floats(&[], &[0.5]), it.floats(&[], &[-0.5]));
        let above = it.one(Op::GREATER, &[x, one], TensorType::BOOL, none);
        let below = it.one(Op::LESS_EQUAL, &[x, two], TensorType::BOOL, none);
        let either = it.one(Op::LOGICAL_OR, &[above, below], TensorType::BOOL, none);
        let neither = it.one(Op::LOGICAL_NOT, &[either], TensorType::BOOL, none);
        it.float(Op::CAST, &[neither], none)
    };
    check("LOGICAL_OR, LOGICAL_NOT", &[3], both, &X, &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn layers_remember_from_step_to_step_and_not_from_run_to_run() {
    let line = |n: i32, by: f64, from: f64| -> Vec<f32> {
        (0..n).map(|it| (f64::from((it * 7) % 11 - 5) * by + from) as f32).collect()
    };
    let (weights, recurrent, biases) = (line(16, 0.1, 0.05), line(16, -0.1, 0.02), line(8, 0.2, 0.0));
    let x = [1.0, -1.0, 0.5, 2.0, -0.5, 0.25];
    let cases = [
        (
            0.0,
            [
                -0.054_765_122_885_335_284,
                -0.050_168_571_619_702_32,
                0.113_612_085_248_368_16,
                -0.431_697_838_378_439_5,
                0.159_734_028_930_771_07,
                -0.340_058_469_721_747_2,
            ],
        ),
        (
            0.1,
            [
                -0.054_765_122_885_335_284,
                -0.050_168_571_619_702_32,
                0.064_892_534_936_874_77,
                -0.064_472_045_779_218_67,
                0.064_616_135_333_058_16,
                -0.043_306_324_008_914_085,
            ],
        ),
    ];
    for (cell_clip, wanted) in cases {
        let layer = |it: &mut Lite, x| {
            let mut inputs = vec![x];
            for of in [&weights, &recurrent] {
                inputs.extend(of.chunks(4).map(|gate| it.floats(&[2, 2], gate)));
                if inputs.len() == 9 {
                    inputs.extend([-1; 3]);
                }
            }
            inputs.extend(biases.chunks(2).map(|gate| it.floats(&[2], gate)));
            inputs.extend([-1; 2]);
            inputs.extend([it.variable(&[1, 2]), it.variable(&[1, 2])]);
            inputs.extend([-1; 4]);
            let args = UnidirectionalSequenceLSTMOptionsArgs {
                fused_activation_function: ActivationFunctionType::TANH,
                cell_clip,
                ..Default::default()
            };
            it.float(Op::UNIDIRECTIONAL_SEQUENCE_LSTM, &inputs, options!(UnidirectionalSequenceLSTMOptions, args))
        };
        let model = load(&file(&[3, 2], layer)).unwrap();
        for what in ["first", "second"] {
            common::assert_within(1e-5, what, &run(what, &model, &[3, 2], &x), &wanted);
        }
        let both = run("both", &model, &[3, 2], &[x, x].concat());
        common::assert_within(1e-5, "both", &both, &[wanted, wanted].concat());
    }
}

#[test]
fn rows_do_not_depend_on_each_other() {
    let model = load(&file(&[3], |it, x| it.float(Op::LOG_SOFTMAX, &[x], none))).unwrap();
    let whole = run("both", &model, &[3], &X);
    assert_eq!([run("first", &model, &[3], &X[..3]), run("second", &model, &[3], &X[3..])].concat(), whole);
}
